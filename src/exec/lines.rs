//! Bytes of a pipe to lines, with bounded memory.

/// Longest line, bytes; longer ones are cut into several, so that a program that never prints a newline costs no memory.
pub const LINE_MAX: usize = 8 * 1024;

/// Collects bytes until they make a line.
#[derive(Default)]
pub(super) struct Lines {
    /// The line begun, without a newline, never longer than [`LINE_MAX`].
    begun: Vec<u8>,
}

impl Lines {
    /// Takes what was read and tells the lines that are complete with it.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while !bytes.is_empty() {
            let room = LINE_MAX - self.begun.len();
            let newline = bytes.iter().take(room + 1).position(|&b| b == b'\n');
            let taken = newline.unwrap_or(room.min(bytes.len()));
            self.begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if newline.is_some() {
                bytes = &bytes[1..];
                self.tell(self.begun.len(), &mut line);
            } else if !bytes.is_empty() {
                self.tell(character_boundary(&self.begun), &mut line);
            }
        }
    }

    /// Tells the last line, if it had no newline.
    pub(super) fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.begun.is_empty() {
            self.tell(self.begun.len(), &mut line);
        }
    }

    /// Tells the first `end` bytes and keeps the rest as the beginning of the next line.
    fn tell(&mut self, end: usize, line: &mut impl FnMut(String)) {
        line(String::from_utf8_lossy(&self.begun[..end]).into_owned());
        self.begun.drain(..end);
    }
}

/// Where to cut so that no UTF-8 character is cut in two: before the last character if it is incomplete, else the end.
fn character_boundary(bytes: &[u8]) -> usize {
    // An incomplete character has at most three bytes, and only its first one is no continuation byte (10xxxxxx).
    let tail = bytes.len().saturating_sub(3)..bytes.len();
    let start = tail.rev().find(|&at| bytes[at] & 0xC0 != 0x80);
    let incomplete = |&at: &usize| std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none());
    start.filter(incomplete).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines of `bytes`, given in pieces of `piece` bytes.
    fn lines(bytes: &[u8], piece: usize) -> Vec<String> {
        let (mut lines, mut told) = (Lines::default(), Vec::new());
        for chunk in bytes.chunks(piece) {
            lines.push(chunk, |line| told.push(line));
        }
        lines.finish(|line| told.push(line));
        told
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(lines(b"a\n\nb", 1), ["a", "", "b"]);
        assert_eq!(lines(b"a\n", 10), ["a"]);
        assert!(lines(b"", 1).is_empty());
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut text = "x".repeat(LINE_MAX - 1);
        text.push_str("\u{20ac}uro\nend");
        assert_eq!(
            lines(text.as_bytes(), 1000),
            ["x".repeat(LINE_MAX - 1), "\u{20ac}uro".into(), "end".into()]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_line() {
        let text = format!("{}\nb\n", "x".repeat(LINE_MAX));
        for piece in [1, 7, LINE_MAX, LINE_MAX + 1, LINE_MAX + 2] {
            assert_eq!(lines(text.as_bytes(), piece), ["x".repeat(LINE_MAX), "b".into()]);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(lines(b"\xff\x00\x1b[31m\n", 2), ["\u{fffd}\0\u{1b}[31m"]);
        let garbage = vec![0x80; 3 * LINE_MAX];
        assert_eq!(lines(&garbage, 4096).len(), 3);
    }

    proptest! {
        #[test]
        fn text_comes_out_as_it_went_in(text in "[a\u{e9}\u{20ac}\u{1f600}\n]{0,400}", repeat in 1_usize..40, piece in 1_usize..9000) {
            let text = text.repeat(repeat);
            let told = lines(text.as_bytes(), piece);
            prop_assert!(told.iter().all(|line| line.len() <= LINE_MAX));
            prop_assert_eq!(told.concat(), text.replace('\n', ""));
        }
    }
}
