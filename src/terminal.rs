//! What a terminal would show of the lines that a program prints: colours, and text over which `\r` may have gone once more. Every
//! other control is dropped.

use std::collections::VecDeque;

use crate::model::words;

/// Longest run of colours that is kept at once, bytes: a program that never resets them costs no more.
const COLOURS_MAX: usize = 128;

/// Reads the lines of one stream; colours go on from line to line, as on a terminal.
#[derive(Debug, Clone, Default)]
pub struct Printed {
    colours: Vec<String>,
}

/// Text in the same colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Parameters of the sequences that set them (`1;31`), ECMA-48's SGR; none for plain text.
    pub colours: Vec<String>,
    /// What is seen.
    pub text: String,
}

/// A line while it is being written.
struct Canvas {
    cells: Vec<(usize, char)>,
    /// Each style once that cells name by its index.
    styles: Vec<Vec<String>>,
    at: usize,
}

impl Printed {
    /// The line as a terminal would show it at its end.
    pub fn line(&mut self, text: &str) -> Vec<Span> {
        // Nearly every line: nothing in it acts on another part.
        if !text.contains(|c: char| c.is_control() && c != '\t') {
            let text = words::printable(text, |c| c == '\t');
            let colours = self.colours.clone();
            return if text.is_empty() {
                Vec::new()
            } else {
                vec![Span { colours, text }]
            };
        }
        let mut canvas = Canvas {
            cells: Vec::new(),
            styles: vec![self.colours.clone()],
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
        canvas.spans()
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
        let kept: usize = self.colours.iter().map(String::len).sum();
        if resets || kept + parameters.len() > COLOURS_MAX {
            self.colours.clear();
        }
        if !matches!(parameters, "" | "0" | "00") && parameters.len() <= COLOURS_MAX {
            self.colours.push(parameters.to_owned());
        }
        canvas.styles.push(self.colours.clone());
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

    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (index, c) in &self.cells {
            let colours = &self.styles[*index];
            match spans.last_mut().filter(|span| span.colours == *colours) {
                Some(span) => span.text.push(*c),
                None => spans.push(Span {
                    colours: colours.clone(),
                    text: c.to_string(),
                }),
            }
        }
        spans
    }
}

/// Skips a string for the terminal, with its end; of one without an end nothing is skipped, since it may be all that was said.
fn skip_string(rest: &mut VecDeque<char>) {
    let ends = |(at, c): (usize, &char)| match c {
        '\x07' | '\u{9c}' => Some(at + 1),
        '\x1b' => Some(at + 1 + usize::from(rest.get(at + 1) == Some(&'\\'))),
        _ => None,
    };
    if let Some(end) = rest.iter().enumerate().find_map(ends) {
        rest.drain(..end);
    }
}
