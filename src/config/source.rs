//! One file as it was read: places to lines and columns, and which of its bytes must not be shown.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::model::words;

/// Longest piece of a source line that is shown, in characters: what is longer fills the screen and shows nothing.
const SHOWN_MAX: usize = 160;

/// Shown in place of a masked text of any length.
const MASK: &str = "***";

/// A stretch of bytes in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which file, by its number.
    pub source: usize,
    /// First byte.
    pub start: usize,
    /// First byte that no longer belongs to it.
    pub end: usize,
}

/// A value, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> At<T> {
    /// Another value in the same place.
    pub fn with<U>(&self, value: U) -> At<U> {
        At {
            value,
            place: self.place,
        }
    }
}

/// A line of a file as it may be shown, and where in it the caret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The line, secrets masked, cut if long, without control characters.
    pub text: String,
    /// Characters of `text` before the caret.
    pub before: usize,
    /// Characters below which carets stand; at least 1.
    pub width: usize,
}

/// A file of the configuration.
#[derive(Debug)]
pub(super) struct Source {
    pub file: PathBuf,
    pub text: String,
    line_starts: Vec<usize>,
    masked: RefCell<Vec<Range<usize>>>,
}

impl Source {
    pub fn new(file: &Path, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: file.to_owned(),
            text,
            line_starts,
            masked: RefCell::default(),
        }
    }

    /// The directory that relative paths in it begin at.
    pub fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// From now on, these bytes are never shown, nor the rest of a character that they begin or end in.
    pub fn mask(&self, bytes: Range<usize>) {
        if bytes.start < bytes.end {
            let end = self.text.ceil_char_boundary(bytes.end.min(self.text.len()));
            self.masked.borrow_mut().push(self.boundary(bytes.start)..end);
        }
    }

    /// The bytes of the line that holds the byte `at`, without its line end, and the line's number from 0.
    pub fn line_at(&self, at: usize) -> (usize, Range<usize>) {
        let number = self.line_starts.partition_point(|start| *start <= at).saturating_sub(1);
        let start = self.line_starts[number];
        let end = self
            .line_starts
            .get(number + 1)
            .map_or(self.text.len(), |next| next - 1);
        let end = if self.text[start..end].ends_with('\r') {
            end - 1
        } else {
            end
        };
        (number, start..end)
    }

    /// The line of a place, with the caret's position.
    pub fn show(&self, place: Place) -> Shown {
        let start = self.boundary(place.start);
        let (number, line) = self.line_at(start);
        let start = start.min(line.end);
        let end = self.boundary(place.end).clamp(start, line.end);
        let prefix = self.visible(line.start..start);
        let marked = self.visible(start..end);
        let before = prefix.chars().count();
        let width = marked.chars().count().max(1);
        let text = self.visible(line.clone());
        let (text, before, width) = window(&text, before, width);
        Shown {
            line: number + 1,
            column: self.text[line.start..start].chars().count() + 1,
            text,
            before,
            width,
        }
    }

    /// The nearest character boundary at or before `at`, within the text.
    fn boundary(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at.min(self.text.len()))
    }

    /// What may be seen of these bytes: masked stretches become `***`, control characters are replaced.
    fn visible(&self, bytes: Range<usize>) -> String {
        let mut masks: Vec<_> = self.masked.borrow().clone();
        masks.retain(|mask| mask.start < bytes.end && mask.end > bytes.start);
        masks.sort_by_key(|mask| mask.start);
        let mut shown = String::new();
        let mut at = bytes.start;
        for mask in masks {
            if mask.end <= at {
                continue;
            }
            shown.push_str(&self.text[at..mask.start.max(at)]);
            shown.push_str(MASK);
            at = mask.end.min(bytes.end);
        }
        shown.push_str(&self.text[at..bytes.end]);
        words::printable(&shown, |c| c == '\t')
    }
}

/// Cuts a long line down to a window around the caret.
fn window(text: &str, before: usize, width: usize) -> (String, usize, usize) {
    let length = text.chars().count();
    let before = before.min(length);
    if length <= SHOWN_MAX {
        return (text.to_owned(), before, width.min((length - before).max(1)));
    }
    let from = before.saturating_sub(SHOWN_MAX / 4);
    let mut cut: String = text.chars().skip(from).take(SHOWN_MAX).collect();
    let shift = usize::from(from > 0);
    if from > 0 {
        cut.insert(0, '…');
    }
    let width = width.min(SHOWN_MAX - (before - from)).max(1);
    if from + SHOWN_MAX < length {
        cut.push('…');
    }
    (cut, before - from + shift, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: usize, end: usize) -> Place {
        Place { source: 0, start, end }
    }

    fn source(text: &str) -> Source {
        Source::new(Path::new("/etc/hookd.toml"), text.to_owned())
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let source = source("a = 1\r\nü = \"ö\" # x\n");
        let shown = source.show(place(7, 9));
        assert_eq!((shown.line, shown.column, shown.text.as_str()), (2, 1, "ü = \"ö\" # x"));
        let at = source.text.find("\"ö").unwrap();
        let shown = source.show(place(at, at + 4));
        assert_eq!((shown.column, shown.before, shown.width), (5, 4, 3));
        let end = source.text.len();
        assert_eq!(source.show(place(end, end)).line, 3);
        assert_eq!(source.show(place(end + 9, end + 99)).line, 3);
    }

    #[test]
    fn masked_bytes_are_never_shown_and_the_caret_follows() {
        let source = source("a = { secret = \"hunter2\", x = 1 }");
        let at = source.text.find("\"hunter2\"").unwrap();
        source.mask(at..at + 9);
        let x = source.text.find('x').unwrap();
        let shown = source.show(place(x, x + 1));
        assert_eq!(shown.text, "a = { secret = ***, x = 1 }");
        assert_eq!(shown.text.chars().nth(shown.before), Some('x'));
        let shown = source.show(place(at, at + 9));
        assert_eq!((shown.before, shown.width), (15, 3));
        // A place within the mask reveals nothing either.
        assert!(!source.show(place(at + 3, at + 5)).text.contains("unte"));
        assert!(!source.show(place(0, 33)).text.contains("hunter2"));
    }

    #[test]
    fn a_mask_that_cuts_a_character_covers_it() {
        let source = source("url = ?\u{1f800}x");
        source.mask(8..10);
        assert_eq!(source.show(place(9, 10)).text, "url = ?***x");
    }

    #[test]
    fn a_mask_over_several_lines_covers_each() {
        let source = source("a = \"\"\"one\ntwo\nthree\"\"\" # c\n");
        let end = source.text.find(" #").unwrap();
        source.mask(4..end);
        for (start, text) in [(0, "a = ***"), (11, "***"), (16, "*** # c")] {
            assert_eq!(source.show(place(start, start + 1)).text, text);
        }
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_replaced() {
        let source = source(&format!("{}X{}\u{1b}[2J", "a".repeat(500), "b".repeat(500)));
        let shown = source.show(place(500, 501));
        assert!(shown.text.chars().count() <= SHOWN_MAX + 2);
        assert_eq!(shown.text.chars().nth(shown.before), Some('X'));
        assert!(
            !super::super::source::Source::new(Path::new("/x"), "\u{1b}[2J".into())
                .show(place(0, 0))
                .text
                .contains('\u{1b}')
        );
    }
}
