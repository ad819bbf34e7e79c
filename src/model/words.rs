//! Untrusted text: how much of it is kept, and how it is made safe to show.

/// Most of a commit's subject that is kept, characters: four times what fits a line of a forge.
pub const SUBJECT_MAX: usize = 300;

/// Most of a person's name that is kept, characters.
pub const AUTHOR_MAX: usize = 100;

/// Most of a commit's message that is looked at, bytes: marks such as `[skip deploy]` stand near its beginning.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// What stands for a character that must not be shown.
const REPLACEMENT: char = '\u{fffd}';

/// Whether a character acts on its surroundings instead of showing itself: terminals obey control characters, and format
/// characters (Unicode's general categories Cf, Zl and Zp) reorder, hide or join what stands beside them.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text with a mark in place of each invisible character, except those that `kept` takes. Joiners stay within scripts and
/// emoji that are written with them.
pub fn printable(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let joins = matches!(c, '\u{200c}' | '\u{200d}') && before > '\u{2ff}' && !is_invisible(before);
            before = c;
            if is_invisible(c) && !kept(c) && !joins {
                REPLACEMENT
            } else {
                c
            }
        })
        .collect()
}

/// One line of at most `most` characters, all of them visible; `…` ends one that was longer.
pub fn shown(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
        return printable(text, |_| false);
    };
    let kept = text[..end].char_indices().next_back().map_or(0, |(last, _)| last);
    printable(&text[..kept], |_| false) + "…"
}

/// The subject of a commit's message: its first paragraph in one line, as git has it, within [`SUBJECT_MAX`].
pub fn subject(message: &str) -> String {
    let mut subject = String::new();
    let lines = message.lines().map(str::trim).skip_while(|line| line.is_empty());
    for line in lines.take_while(|line| !line.is_empty()) {
        if !subject.is_empty() {
            subject.push(' ');
        }
        subject.push_str(line);
        if subject.len() > 4 * SUBJECT_MAX {
            break;
        }
    }
    shown(&subject, SUBJECT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_reader_would_be_fooled_by_is_replaced() {
        assert_eq!(
            shown("a\u{202e}b\u{2066}c\u{7}d\u{feff}e\u{200b}f\u{85}", 99),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}"
        );
        assert_eq!(printable("a\tb\nc\u{200d}", |c| c == '\t'), "a\tb\u{fffd}c\u{fffd}");
        let joined = "\u{1f9d1}\u{200d}\u{1f4bb} \u{646}\u{200c}\u{647}";
        assert_eq!(shown(joined, 99), joined);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shown("äöü", 3), "äöü");
        assert_eq!(shown("äöüß", 3), "äö…");
        assert_eq!(shown("", 3), "");
    }

    #[test]
    fn a_subject_is_the_first_paragraph() {
        assert_eq!(subject("\n one\ntwo \n\nbody"), "one two");
        let long = subject(&"x".repeat(20_000_000));
        assert_eq!(long.chars().count(), SUBJECT_MAX);
        assert!(long.ends_with('…'));
    }
}
