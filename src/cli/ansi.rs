//! What commands print, as a terminal may have it: colours stay, `\r` overwrites the line, every other control is dropped.

use crate::terminal::Printed;

/// Resets all colours.
const RESET: &str = "\x1b[0m";

/// Reads lines of one stream; colours go on from line to line.
#[derive(Debug, Clone, Default)]
pub struct Painter(Printed);

impl Painter {
    /// The line as a terminal would show it at its end. Colours are reset at the end of it.
    pub fn line(&mut self, text: &str) -> String {
        let mut line = String::new();
        let mut coloured = false;
        for span in self.0.line(text) {
            if coloured {
                line.push_str(RESET);
            }
            coloured = !span.colours.is_empty();
            line.extend(span.colours.iter().flat_map(|colour| ["\x1b[", colour, "m"]));
            line.push_str(&span.text);
        }
        line.truncate(line.trim_end_matches(' ').len());
        if coloured {
            line.push_str(RESET);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::words;
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
