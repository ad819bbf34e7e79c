//! What commands print, as a terminal may see it: colours stay, `\r` overwrites the line, every other control is dropped.

use std::collections::VecDeque;

use crate::model::words;

/// Longest run of colours that is kept at once, bytes: a program that never resets them costs no more.
const STYLE_MAX: usize = 128;

/// Resets all colours.
const RESET: &str = "\x1b[0m";

/// Reads lines of one stream; colours go on from line to line, as on a terminal.
#[derive(Debug, Clone, Default)]
pub struct Painter {
    style: String,
}

/// A line while it is being written.
struct Canvas {
    cells: Vec<(usize, char)>,
    /// Each style once that cells name by its index.
    styles: Vec<String>,
    at: usize,
}

impl Painter {
    /// The line as a terminal would show it at its end. Colours are reset at the end of it.
    pub fn line(&mut self, text: &str) -> String {
        let mut canvas = Canvas {
            cells: Vec::new(),
            styles: vec![self.style.clone()],
            at: 0,
        };
        let mut rest: VecDeque<char> = words::printable(text, char::is_control).chars().collect();
        while let Some(c) = rest.pop_front() {
            match c {
                '\x1b' => self.escape(&mut rest, &mut canvas),
                // The same in one character, as ECMA-48 has it for eight-bit codes.
                '\u{9b}' => self.control(&mut rest, &mut canvas),
                '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut rest),
                '\r' => canvas.at = 0,
                '\x08' => canvas.at = canvas.at.saturating_sub(1),
                '\t' => canvas.put('\t'),
                c if c.is_control() => {}
                c => canvas.put(c),
            }
        }
        canvas.written()
    }

    fn escape(&mut self, rest: &mut VecDeque<char>, canvas: &mut Canvas) {
        match rest.front() {
            Some('[') => {
                rest.pop_front();
                self.control(rest, canvas);
            }
            // Strings for the terminal: titles, links, device controls.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                rest.pop_front();
                skip_string(rest);
            }
            // Two or three characters: character sets, keypad, save and restore.
            _ => {
                while rest.front().is_some_and(|c| (' '..='/').contains(c)) {
                    rest.pop_front();
                }
                if rest.front().is_some_and(|c| ('0'..='~').contains(c)) {
                    rest.pop_front();
                }
            }
        }
    }

    /// A control sequence after its beginning: parameters, intermediates, and the final character that names it.
    fn control(&mut self, rest: &mut VecDeque<char>, canvas: &mut Canvas) {
        let mut parameters = String::new();
        while let Some(c) = rest.front().copied().filter(|c| (' '..='?').contains(c)) {
            parameters.push(c);
            rest.pop_front();
        }
        let Some(last) = rest.front().copied().filter(|c| ('@'..='~').contains(c)) else {
            return;
        };
        rest.pop_front();
        match last {
            'm' => self.colour(&parameters, canvas),
            'K' => canvas.erase(&parameters),
            'G' if matches!(parameters.as_str(), "" | "0" | "1") => canvas.at = 0,
            _ => {}
        }
    }

    fn colour(&mut self, parameters: &str, canvas: &mut Canvas) {
        if !parameters.chars().all(|c| c.is_ascii_digit() || matches!(c, ';' | ':')) {
            return;
        }
        let resets = matches!(parameters.split(';').next(), Some("" | "0" | "00"));
        if resets || self.style.len() + parameters.len() > STYLE_MAX {
            self.style.clear();
        }
        if !matches!(parameters, "" | "0" | "00") && parameters.len() <= STYLE_MAX {
            self.style = format!("{}\x1b[{parameters}m", self.style);
        }
        canvas.styles.push(self.style.clone());
    }
}

impl Canvas {
    fn put(&mut self, c: char) {
        let cell = (self.styles.len() - 1, c);
        match self.cells.get_mut(self.at) {
            Some(there) => *there = cell,
            None => self.cells.push(cell),
        }
        self.at += 1;
    }

    fn erase(&mut self, what: &str) {
        match what {
            "" | "0" => self.cells.truncate(self.at),
            "2" => {
                self.cells.clear();
                self.cells.resize(self.at, (0, ' '));
            }
            "1" => {
                let end = self.at.min(self.cells.len());
                self.cells[..end].fill((0, ' '));
            }
            _ => {}
        }
    }

    fn written(&self) -> String {
        let mut text = String::new();
        let mut style = "";
        for (index, c) in &self.cells {
            let wanted = self.styles[*index].as_str();
            if wanted != style {
                if !style.is_empty() {
                    text.push_str(RESET);
                }
                text.push_str(wanted);
                style = wanted;
            }
            text.push(*c);
        }
        let mut text = text.trim_end_matches(' ').to_owned();
        if !style.is_empty() {
            text.push_str(RESET);
        }
        text
    }
}

/// Skips a string for the terminal up to its end; one without an end takes the line.
fn skip_string(rest: &mut VecDeque<char>) {
    while let Some(c) = rest.pop_front() {
        match c {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                if rest.front() == Some(&'\\') {
                    rest.pop_front();
                }
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> String {
        Painter::default().line(text)
    }

    #[test]
    fn colours_stay_and_are_reset_at_the_end() {
        assert_eq!(line("\x1b[1;31mbad\x1b[0m ok"), "\x1b[1;31mbad\x1b[0m ok");
        assert_eq!(line("\x1b[31mbad"), "\x1b[31mbad\x1b[0m");
        assert_eq!(line("\x1b[38;5;208mx\x1b[m"), "\x1b[38;5;208mx\x1b[0m");
        let mut painter = Painter::default();
        painter.line("\x1b[32mone");
        assert_eq!(painter.line("two\x1b[0m three"), "\x1b[32mtwo\x1b[0m three");
    }

    #[test]
    fn a_carriage_return_overwrites() {
        assert_eq!(line("10%\r55%\r100%"), "100%");
        assert_eq!(line("long text\rshort"), "shorttext");
        assert_eq!(line("long text\r\x1b[Kshort"), "short");
        assert_eq!(line("long text\x1b[2K\rshort"), "short");
        assert_eq!(line("one\r"), "one");
        assert_eq!(line("ab\x08c"), "ac");
    }

    #[test]
    fn what_a_terminal_would_obey_is_dropped() {
        assert_eq!(line("a\x1b[2Jb\x1b[10;10Hc\x1bcd\x07\x1b(Be"), "abcde");
        assert_eq!(
            line("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"),
            "alink"
        );
        assert_eq!(
            line("\x1bPq#0\x1b\\a\u{9b}31mb\u{9d}52;c;x\u{9c}c"),
            "a\x1b[31mbc\x1b[0m"
        );
        assert_eq!(line("a\x1b[?25lb\x1b[>4;1mc\x1b["), "abc");
        assert_eq!(line("a\u{202e}b"), "a\u{fffd}b");
    }

    proptest! {
        /// Whatever is printed, only colours and text reach the terminal.
        #[test]
        fn only_colours_and_text_come_out(
            bytes in proptest::collection::vec(prop_oneof![
                Just(0x1b), Just(b'['), Just(b']'), Just(b'm'), Just(b'\r'), Just(b';'), Just(0x9b), Just(b'K'), any::<u8>(),
            ], 0..300)
        ) {
            let text = line(&String::from_utf8_lossy(&bytes));
            let open = text.rfind('\x1b').is_some_and(|last| !text[last..].starts_with(RESET));
            prop_assert!(!open, "{text:?}");
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once('\x1b') {
                prop_assert!(!before.contains(|c: char| c != '\t' && words::is_invisible(c)));
                let end = after.find(|c: char| c != '[' && c != ';' && c != ':' && !c.is_ascii_digit());
                prop_assert!(after.starts_with('[') && end.is_some_and(|end| after[end..].starts_with('m')), "{text:?}");
                rest = &after[end.unwrap_or_default() + 1..];
            }
            prop_assert!(!rest.contains(|c: char| c != '\t' && words::is_invisible(c)));
        }
    }
}
