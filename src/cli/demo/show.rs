//! What the demo prints: what happens, and how long after the push; in colour on a terminal.

use std::cell::{Cell, RefCell};
use std::io::Write;

use tokio_util::sync::CancellationToken;

use crate::cli::output::printable;
use crate::cli::paint::{Tone, paint, width, wrapped};
use crate::model::Timestamp;

/// Columns of the time, in milliseconds, and of the word that says what happened.
const COLUMNS: (usize, usize) = (5, 12);

/// What kind of step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Something is set going.
    Begun,
    /// It is as it should be.
    Good,
    /// Something was kept out, or went wrong.
    Bad,
    /// It went wrong and was put right.
    Back,
    /// One of the steps in between.
    Step,
}

impl Mark {
    /// The sign, and its tone.
    fn sign(self) -> (char, Tone) {
        match self {
            Self::Begun => ('→', Tone::Busy),
            Self::Good => ('✓', Tone::Good),
            Self::Bad => ('✗', Tone::Bad),
            Self::Back => ('↩', Tone::Warning),
            Self::Step => (' ', Tone::Dim),
        }
    }
}

/// The screen.
pub struct Show {
    since: Cell<i64>,
    title: RefCell<String>,
    closed: CancellationToken,
}

impl Show {
    /// Standard output. `closed` is cancelled when nobody reads it (`| head`).
    pub fn new(closed: CancellationToken) -> Self {
        Self {
            since: Cell::default(),
            title: RefCell::default(),
            closed,
        }
    }

    /// A line of text.
    pub fn line(&self, text: &str) {
        let mut out = anstream::stdout();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            self.closed.cancel();
        }
    }

    /// What begins now. The times of the steps count from `since`.
    pub fn title(&self, text: &str, since: Timestamp) {
        self.since(since);
        text.clone_into(&mut self.title.borrow_mut());
        self.line(&format!("\n{}", paint(Tone::Strong, &printable(text))));
    }

    /// The times of the steps count from here.
    pub fn since(&self, since: Timestamp) {
        self.since.set(since.0);
    }

    /// True if the reader is gone.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// The title of what goes on now.
    pub fn current(&self) -> String {
        self.title.borrow().clone()
    }

    /// What happened, in a word and in more.
    pub fn step(&self, at: Timestamp, mark: Mark, word: &str, text: &str) {
        let (time, word_columns) = COLUMNS;
        let (sign, tone) = mark.sign();
        let elapsed = (at.0 - self.since.get()).max(0);
        let elapsed = paint(Tone::Dim, &format!("{elapsed:>time$} ms"));
        let what = paint(tone, &format!("{sign} {word:<word_columns$}"));
        let indent = " ".repeat(time + " ms".len() + 2 + 2 + word_columns + 1);
        let text = wrapped(&printable(text), &indent, width()).join("\n");
        self.line(&format!("{elapsed}  {what} {}", text.trim_start()));
    }

    /// Something to read on the side.
    pub fn aside(&self, text: &str) {
        self.line(&paint(Tone::Dim, &printable(text)));
    }
}
