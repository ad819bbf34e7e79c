//! What commands print, as markup: colours by classes, every other control sequence dropped, `\r` overwrites, and the text
//! stays text.

use maud::{Markup, html};

use crate::model::words;

/// What turns a style on and off, and its class.
const STYLES: [(u16, u16, &str); 5] = [
    (1, 22, "bold"),
    (2, 22, "faint"),
    (3, 23, "italic"),
    (4, 24, "underline"),
    (7, 27, "reverse"),
];

/// How a stretch of text is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    /// Which of [`STYLES`] are on.
    styles: [bool; STYLES.len()],
    /// Number of the colour of the text, 0 to 15.
    front: Option<u8>,
    /// Number of the colour behind it.
    back: Option<u8>,
}

/// One line in its colours.
pub(super) fn coloured(text: &str) -> Markup {
    html! { @for (look, text) in spans(overwritten(text)) {
        @match look.classes().as_str() {
            "" => (text),
            classes => span class=(classes) { (text) },
        }
    } }
}

/// One line as bare text.
pub(super) fn plain(text: &str) -> String {
    spans(overwritten(text)).into_iter().map(|(_, text)| text).collect()
}

/// What a terminal would still show of a line in which `\r` goes back to its begin.
fn overwritten(text: &str) -> &str {
    let text = text.trim_end_matches('\r');
    text.rsplit('\r').next().unwrap_or(text)
}

/// The visible text, cut where its look changes.
fn spans(text: &str) -> Vec<(Look, String)> {
    let mut spans: Vec<(Look, String)> = Vec::new();
    let mut look = Look::default();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['\u{1b}', '\u{9b}', '\u{9d}']).unwrap_or(rest.len());
        let shown = words::printable(&rest[..end], |c| c == '\t');
        match spans.last_mut() {
            _ if shown.is_empty() => {}
            Some((same, text)) if *same == look => text.push_str(&shown),
            _ => spans.push((look.clone(), shown)),
        }
        rest = sequence(&rest[end..], &mut look);
    }
    spans
}

/// Takes a control sequence from the begin of `text`, and gives what is behind it.
fn sequence<'a>(text: &'a str, look: &mut Look) -> &'a str {
    let body = |skip: &str| text.strip_prefix(skip);
    if let Some(rest) = body("\u{1b}[").or_else(|| body("\u{9b}")) {
        // Parameters and intermediates, then one final character.
        let Some(end) = rest.find(|c: char| !(' '..='?').contains(&c)) else {
            return "";
        };
        if rest[end..].starts_with('m') {
            look.apply(&rest[..end]);
        }
        let last = rest[end..].chars().next().map_or(0, char::len_utf8);
        return &rest[end + last..];
    }
    let strings = ["\u{1b}]", "\u{9d}", "\u{1b}P", "\u{1b}_", "\u{1b}^", "\u{1b}X"];
    if let Some(rest) = strings.iter().find_map(|begin| body(begin)) {
        // Titles, links and the like end with BEL or ST; one that does not end swallows nothing but its begin.
        let end = ["\u{7}", "\u{1b}\\", "\u{9c}"]
            .iter()
            .filter_map(|end| rest.find(end).map(|at| at + end.len()))
            .min();
        return &rest[end.unwrap_or(0)..];
    }
    let mut rest = text.chars();
    if rest.next() == Some('\u{1b}') {
        let intermediates = rest.as_str().trim_start_matches(|c| (' '..='/').contains(&c));
        rest = intermediates.chars();
        rest.next();
    }
    rest.as_str()
}

impl Look {
    /// Takes the parameters of an SGR sequence.
    fn apply(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|n| n.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                30..=37 => self.front = Some(small(number - 30)),
                38 => self.front = extended(&mut numbers),
                39 => self.front = None,
                40..=47 => self.back = Some(small(number - 40)),
                48 => self.back = extended(&mut numbers),
                49 => self.back = None,
                90..=97 => self.front = Some(small(number - 90) + 8),
                100..=107 => self.back = Some(small(number - 100) + 8),
                _ => self.style(number),
            }
        }
    }

    fn style(&mut self, number: u16) {
        for (is_on, (on, off, _)) in self.styles.iter_mut().zip(STYLES) {
            *is_on = (*is_on || number == on) && number != off;
        }
    }

    fn classes(&self) -> String {
        let styles = self.styles.iter().zip(STYLES).filter(|(is_on, _)| **is_on);
        let mut classes: Vec<String> = styles.map(|(_, (.., name))| name.to_owned()).collect();
        classes.extend(self.front.map(|colour| format!("f{colour}")));
        classes.extend(self.back.map(|colour| format!("b{colour}")));
        classes.join(" ")
    }
}

fn small(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

/// A colour of the 256, or one in red, green and blue, as the nearest of the 16: a page has a palette for dark and for light.
fn extended(numbers: &mut impl Iterator<Item = u16>) -> Option<u8> {
    let cube = |n: u16| n * 51;
    match numbers.next()? {
        5 => Some(match numbers.next()? {
            n @ 0..=15 => small(n),
            n @ 16..=231 => {
                let n = n - 16;
                nearest(cube(n / 36), cube(n / 6 % 6), cube(n % 6))
            }
            n => {
                let grey = n.saturating_sub(232) * 10 + 8;
                nearest(grey, grey, grey)
            }
        }),
        2 => Some(nearest(numbers.next()?, numbers.next()?, numbers.next()?)),
        _ => None,
    }
}

fn nearest(red: u16, green: u16, blue: u16) -> u8 {
    let most = red.max(green).max(blue);
    // Half as strong as the strongest counts as there.
    let bit = |part: u16, value: u8| if most > 40 && part * 2 > most { value } else { 0 };
    let bright = if most > 191 { 8 } else { 0 };
    bit(red, 1) + bit(green, 2) + bit(blue, 4) + bright
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes() {
        for (text, markup) in [
            ("plain <b>", "plain &lt;b&gt;"),
            (
                "\u{1b}[1;31merror\u{1b}[0m: no",
                "<span class=\"bold f1\">error</span>: no",
            ),
            ("\u{1b}[92mok\u{1b}[39m.", "<span class=\"f10\">ok</span>."),
            ("\u{1b}[38;5;196mred\u{1b}[m", "<span class=\"f9\">red</span>"),
            ("\u{1b}[48;2;0;0;128mblue", "<span class=\"b4\">blue</span>"),
        ] {
            assert_eq!(coloured(text).into_string(), markup);
        }
    }

    #[test]
    fn other_controls_are_dropped_and_text_stays() {
        for (text, left) in [
            ("10%\r50%\r100%\r", "100%"),
            ("\u{1b}[2J\u{1b}[1;1Hhome", "home"),
            ("\u{1b}]8;;http://evil.example\u{7}link\u{1b}]8;;\u{7}", "link"),
            ("\u{1b}]0;title\u{1b}\\text", "text"),
            ("\u{1b}]0;never ends", "0;never ends"),
            ("\u{1b}(Bcharset \u{1b}", "charset "),
            ("a\u{202e}b\u{7}c", "a\u{fffd}b\u{fffd}c"),
            ("\u{1b}[31", ""),
        ] {
            assert_eq!(plain(text), left, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_printed_shows_nothing_that_acts(text in "[\\x1b\\[\\]m;:0-9a\u{9b}\u{9d}\u{7}\u{202e}ä\\\\]{0,40}") {
            let shown = plain(&text);
            proptest::prop_assert!(!shown.chars().any(words::is_invisible), "{shown:?}");
        }
    }
}
