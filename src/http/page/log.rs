//! The log on a deployment's page: a window of it in colours, folded by phase, with lines that can be linked to.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use maud::{Markup, html};
use serde::Deserialize;

use super::ansi;
use crate::logbook::{LogBook, LogLine};

/// Most lines of a log on one page: they are read and scrolled at once, and more are behind a link.
pub const LINES: usize = 2000;

/// Most of them, bytes as they are in the file.
const TEXT: usize = 1 << 20;

/// Lines before one that is linked to.
const CONTEXT: u64 = 20;

/// Words that say in a line that something went wrong, in the output of compilers, package managers and shells.
const ERROR_WORDS: &[&str] = &[
    "error",
    "fatal",
    "panicked",
    "exception",
    "not found",
    "failed",
    "cannot",
    "denied",
];

/// What says the contrary.
const NO_ERROR_WORDS: &[&str] = &["0 error", "no error", "0 failed", "without error"];

/// Which lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The last ones.
    End,
    /// Those around this one.
    Around(u64),
    /// The last ones before this one.
    Before(u64),
    /// Those that contain a text, whatever its case.
    Matching(String),
}

/// Lines of a log. Progress has no number and is not shown.
#[derive(Debug, Default)]
pub struct Window {
    /// Each with its number, from 1.
    pub lines: VecDeque<(u64, LogLine)>,
    /// How many there are in all.
    pub total: u64,
    /// How many match, if a text is looked for.
    pub matches: u64,
    /// The first one that looks like an error.
    pub error: Option<u64>,
    /// Where the log goes on.
    pub offset: u64,
}

/// What every line is looked at for; the others are read through by the hundred thousand.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Finds words, whatever their case.
struct Finder {
    errors: AhoCorasick,
    contrary: AhoCorasick,
    /// The text that is looked for: ASCII, or in small letters what is more than that.
    looked_for: Option<(String, Option<AhoCorasick>)>,
}

impl Finder {
    fn new(part: &Part) -> io::Result<Self> {
        let of = |words: &[&str]| {
            let finder = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
            finder.map_err(io::Error::other)
        };
        let looked_for = match part {
            Part::Matching(text) if text.is_ascii() => Some((text.clone(), Some(of(&[text])?))),
            Part::Matching(text) => Some((text.to_lowercase(), None)),
            _ => None,
        };
        Ok(Self {
            errors: of(ERROR_WORDS)?,
            contrary: of(NO_ERROR_WORDS)?,
            looked_for,
        })
    }

    fn is_error(&self, line: &Glance<'_>) -> bool {
        line.stream != "hookd" && self.errors.is_match(&*line.text) && !self.contrary.is_match(&*line.text)
    }

    fn finds(&self, line: &Glance<'_>) -> bool {
        let is_plain = line.text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let plain = if is_plain {
            line.text.clone()
        } else {
            ansi::plain(&line.text).into()
        };
        match &self.looked_for {
            Some((_, Some(finder))) => finder.is_match(&*plain),
            Some((text, None)) => plain.to_lowercase().contains(text),
            None => true,
        }
    }
}

/// Reads a part of a log, within [`LINES`] and [`TEXT`].
pub fn window(book: &LogBook, deployment: i64, part: &Part) -> io::Result<Window> {
    let finder = Finder::new(part)?;
    let mut window = Window::default();
    let mut rows: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let mut text = 0;
    book.visit(deployment, |bytes, offset| {
        let Ok(line) = serde_json::from_slice::<Glance<'_>>(bytes) else {
            return;
        };
        window.offset = offset;
        if line.stream == "progress" {
            return;
        }
        window.total += 1;
        let number = window.total;
        if window.error.is_none() && finder.is_error(&line) {
            window.error = Some(number);
        }
        let full = rows.len() >= LINES || text >= TEXT;
        let wanted = match part {
            Part::End => true,
            Part::Before(before) => number < *before,
            Part::Around(line) => number + CONTEXT >= *line && !full,
            Part::Matching(_) => {
                let found = finder.finds(&line);
                window.matches += u64::from(found);
                found && !full
            }
        };
        if !wanted {
            return;
        }
        text += bytes.len();
        rows.push_back((number, bytes.to_owned()));
        while rows.len() > LINES || (text > TEXT && rows.len() > 1) {
            text -= rows.pop_front().map_or(0, |(_, bytes)| bytes.len());
        }
    })?;
    let parsed = rows.into_iter().filter_map(|(number, bytes)| {
        let line = serde_json::from_slice(&bytes).ok()?;
        Some((number, line))
    });
    window.lines = parsed.collect();
    Ok(window)
}

/// The lines, one fold for each phase. `failed` is the phase that failed.
pub(super) fn folds(window: &Window, failed: Option<&str>) -> Markup {
    let mut folds: Vec<(&str, Vec<&(u64, LogLine)>)> = Vec::new();
    for row in &window.lines {
        match folds.last_mut() {
            Some((phase, rows)) if *phase == row.1.phase => rows.push(row),
            _ => folds.push((&row.1.phase, vec![row])),
        }
    }
    html! {
        @for (phase, rows) in folds {
            details.fold open data-phase=(phase) {
                summary { (phase) @if failed == Some(phase) { " " span.pill.bad { "failed" } } }
                div.rows { @for (number, line) in rows { (row(*number, line)) } }
            }
        }
    }
}

/// One line.
fn row(number: u64, line: &LogLine) -> Markup {
    let at = crate::model::Timestamp(line.at).to_string();
    let time = at.get(11..19).unwrap_or_default();
    html! {
        div.row.(line.stream) id={ "L" (number) } data-phase=(line.phase) {
            a href={ "?line=" (number) "#L" (number) } title={ (time) " UTC" } aria-label={ "line " (number) } { (number) }
            span.said { (ansi::coloured(&line.text)) }
        }
    }
}

/// The events of a stream of rows: each has the rows as one line of markup, and an id by which a cut stream goes on.
pub(super) struct Rows {
    /// How many lines came before.
    pub before: u64,
}

impl Rows {
    /// Whole lines of the log, up to `offset`, as an event.
    pub fn event(&mut self, lines: &[u8], offset: u64) -> Bytes {
        let mut markup = String::new();
        for line in lines.split(|b| *b == b'\n') {
            let Ok(line) = serde_json::from_slice::<LogLine>(line) else {
                continue;
            };
            if line.stream != "progress" {
                self.before += 1;
                markup.push_str(&row(self.before, &line).into_string());
            }
        }
        format!("id: {offset}:{}\ndata: {markup}\n\n", self.before).into()
    }
}

/// Lines of the log as bare text.
pub(super) fn text(lines: &[u8]) -> Bytes {
    let mut out = String::new();
    for line in lines.split(|b| *b == b'\n') {
        if let Ok(line) = serde_json::from_slice::<LogLine>(line)
            && line.stream != "progress"
        {
            out.push_str(&ansi::plain(&line.text));
            out.push('\n');
        }
    }
    out.into()
}

/// How far the newest step of a deployment is, if the last thing that it said is its progress: the text, and done of total.
pub(super) fn progress(book: &LogBook, deployment: i64) -> Option<(String, Option<(u64, u64)>)> {
    let (lines, _) = book.tail(deployment, 1024).ok()?;
    let last = lines.last().filter(|line| line.stream == "progress")?;
    let numbers = last.text.split_once(": ").map_or("", |(_, numbers)| numbers);
    let counted = numbers.split_once(',').map_or(numbers, |(counted, _)| counted);
    let counted = counted
        .split_once(" of ")
        .and_then(|(done, total)| Some((done.parse().ok()?, total.parse().ok()?)));
    Some((last.text.clone(), counted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(lines: usize) -> (tempfile::TempDir, LogBook) {
        let directory = tempfile::tempdir().unwrap();
        let book = LogBook::open(directory.path().to_owned(), u64::MAX).unwrap();
        let mut log = book.write(1).unwrap();
        for number in 1..=lines {
            let stream = if number % 10 == 0 { "progress" } else { "stdout" };
            log.line(&LogLine {
                at: 0,
                phase: "build".into(),
                stream: stream.into(),
                text: format!("line {number}"),
                done: None,
                total: None,
            });
        }
        (directory, book)
    }

    #[test]
    fn a_window_is_bounded_and_numbered_from_the_begin() {
        let (_directory, book) = book(100_000);
        let ends = |window: &Window| (window.lines[0].0, window.lines.back().unwrap().0);
        let end = window(&book, 1, &Part::End).unwrap();
        assert_eq!((end.total, ends(&end)), (90_000, (88_001, 90_000)));
        let before = window(&book, 1, &Part::Before(88_001)).unwrap();
        assert_eq!(ends(&before), (86_001, 88_000));
        let around = window(&book, 1, &Part::Around(500)).unwrap();
        assert_eq!(ends(&around), (480, 2479));
        let found = window(&book, 1, &Part::Matching("LINE 99999".into())).unwrap();
        assert_eq!((found.matches, ends(&found)), (1, (90_000, 90_000)));
        assert_eq!(window(&book, 2, &Part::End).unwrap().total, 0);
    }
}
