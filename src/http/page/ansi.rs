//! The output of commands as markup: colours become classes, and text is escaped.

use maud::{Markup, html};

use crate::terminal::Printed;

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
    html! { @for span in Printed::default().line(text) {
        @match Look::of(&span.colours).classes().as_str() {
            "" => (span.text),
            classes => span class=(classes) { (span.text) },
        }
    } }
}

/// One line as bare text.
pub(super) fn plain(text: &str) -> String {
    Printed::default()
        .line(text)
        .into_iter()
        .map(|span| span.text)
        .collect()
}

impl Look {
    fn of(colours: &[String]) -> Self {
        let mut look = Self::default();
        for parameters in colours {
            look.apply(parameters);
        }
        look
    }

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
    use crate::model::words;

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
            ("long text\rshort", "shorttext"),
            ("\u{1b}[2J\u{1b}[1;1Hhome", "home"),
            ("\u{1b}]8;;http://evil.example\u{7}link\u{1b}]8;;\u{7}", "link"),
            ("\u{1b}]0;title\u{1b}\\text", "text"),
            ("\u{1b}]0;never ends", "0;never ends"),
            ("\u{1b}(Bcharset \u{1b}", "charset "),
            ("a\u{202e}b\u{7}c", "a\u{fffd}bc"),
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
