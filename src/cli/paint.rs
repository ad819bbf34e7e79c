//! Colours by meaning, and tables that fit the terminal.

use std::ffi::OsString;
use std::io::IsTerminal;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::plain;
use crate::model::span;

/// When output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Narrowest terminal that tables are made for, columns: below it they are cut as for this one.
const WIDTH_MIN: usize = 40;

/// A column that gives way keeps at least this width.
const COLUMN_MIN: usize = 8;

/// The end of a text stays if it takes at most this part of the column: what stands before it says more.
const TAIL_PART: usize = 3;

/// Between two columns.
const GAP: &str = "  ";

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// It is well.
    Good,
    /// It needs a person.
    Bad,
    /// It may need a person.
    Warning,
    /// It goes on.
    Busy,
    /// It is there for completeness.
    Dim,
    /// It is what one looks for.
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Good => colour(AnsiColor::Green),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Busy => colour(AnsiColor::Cyan),
            Self::Dim => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }

    /// The tone of a state, an outcome or a result.
    pub fn of(word: &str) -> Self {
        match word {
            "live" | "accepted" | "good" | "ok" => Self::Good,
            "failed" | "rolled-back" | "nothing-live" | "rejected" | "error" => Self::Bad,
            "paused" | "pinned" | "interrupted" | "cancelled" | "warning" => Self::Warning,
            "running" | "waiting" | "building" => Self::Busy,
            "unchanged" | "superseded" | "ignored" | "pong" | "duplicate" => Self::Dim,
            _ => Self::Plain,
        }
    }
}

/// Takes `--color` from the arguments, before they are read: what is wrong with them is said in colours, too.
pub fn choose(arguments: impl Iterator<Item = OsString>) {
    let mut words = arguments.map(|word| word.to_string_lossy().into_owned());
    let mut choice = ColorChoice::Auto;
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("--color", value)) => Some(value.to_owned()),
            None if word == "--color" => words.next(),
            None if word == "--" => break,
            _ => None,
        };
        choice = match value.as_deref() {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            Some(_) => ColorChoice::Auto,
            None => choice,
        };
    }
    choice.write_global();
}

/// What was chosen, for clap's own words.
pub fn choice() -> clap::ColorChoice {
    match ColorChoice::global() {
        ColorChoice::Always | ColorChoice::AlwaysAnsi => clap::ColorChoice::Always,
        ColorChoice::Never => clap::ColorChoice::Never,
        ColorChoice::Auto => clap::ColorChoice::Auto,
    }
}

/// The text in its tone. Escapes are taken out again where nobody sees colours.
pub fn paint(tone: Tone, text: &str) -> String {
    let style = tone.style();
    format!("{style}{text}{style:#}")
}

/// One field of a table.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
    /// What the text ends with, which stays where the rest is cut: the author of a commit.
    tail: String,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A field in a tone.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
            ..Self::default()
        }
    }

    /// `3b03e09 Fix the menu · Alice`; where it does not fit, the subject gives way.
    pub fn commit(id: Option<&str>, subject: Option<&str>, author: Option<&str>) -> Self {
        let head = commit(id, subject, None);
        let text = commit(id, subject, author);
        let tail = text.strip_prefix(&head).unwrap_or_default().to_owned();
        Self { tail, ..text.into() }
    }

    /// The text, with `…` in place of what does not fit.
    fn fitted(&self, most: usize) -> String {
        let tail = self.tail.width();
        match self.text.strip_suffix(&self.tail) {
            Some(head) if self.text.width() > most && tail > 0 && tail <= most / TAIL_PART => {
                fit(head, most - tail) + &self.tail
            }
            _ => fit(&self.text, most),
        }
    }

    /// A word in the tone of its meaning.
    pub fn word(word: &str) -> Self {
        Self::new(Tone::of(word), word)
    }
}

/// Columns that standard output shows; `None` if it is no terminal, and everything is printed whole.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let (width, _) = terminal_size::terminal_size()?;
    Some(usize::from(width.0).max(WIDTH_MIN))
}

/// The text, with `…` in place of what does not fit.
pub fn fit(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > most {
            break;
        }
        used += wide;
        kept.push(c);
    }
    kept + "…"
}

/// The text in lines of at most that many columns, broken between words; each begins with `indent`.
pub fn wrapped(text: &str, indent: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else {
        return text.lines().map(|line| format!("{indent}{line}")).collect();
    };
    let most = width.saturating_sub(indent.width()).max(COLUMN_MIN);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > most {
                lines.push(format!("{indent}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(format!("{indent}{line}"));
    }
    lines
}

/// How a column of a table gives way where the table does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is cut.
    Cut,
    /// It is cut only when the others are as narrow as may be: it has what one types.
    Last,
    /// It is left out, so that the others have room.
    Out,
}

/// The name of a column, and how it gives way: `=TARGET` last, `-BY` at once.
fn way(head: &str) -> (&str, Way) {
    match (head.strip_prefix('='), head.strip_prefix('-')) {
        (Some(name), _) => (name, Way::Last),
        (_, Some(name)) => (name, Way::Out),
        _ => (head, Way::Cut),
    }
}

/// The lines of a table, the head first, for a terminal of that width or whole.
pub fn table(head: &[&str], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<String> {
    let (head, ways): (Vec<&str>, Vec<Way>) = head.iter().map(|head| way(head)).unzip();
    let plain = |text: &str| plain::printable(text).replace(['\n', '\t'], " ");
    let clean = |cell: &Cell| Cell {
        text: plain(&cell.text),
        tail: plain(&cell.tail),
        tone: cell.tone,
    };
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(clean).collect()).collect();
    let widest = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.text.width());
        cells.max().unwrap_or(0)
    };
    // What is empty in every row is left out.
    let mut shown: Vec<usize> = (0..head.len())
        .filter(|column| rows.is_empty() || widest(*column) > 0)
        .collect();
    let whole = |column: usize| widest(column).max(head[column].width());
    if let Some(width) = width {
        let is_tight =
            |shown: &[usize]| shown.iter().map(|column| whole(*column) + GAP.len()).sum::<usize>() > width + GAP.len();
        while is_tight(&shown)
            && let Some(last) = shown.iter().rposition(|column| ways[*column] == Way::Out)
        {
            shown.remove(last);
        }
    }
    let mut widths: Vec<usize> = shown.iter().map(|column| whole(*column)).collect();
    if let Some(width) = width {
        let gives = |way: Way| shown.iter().map(|column| ways[*column] == way).collect::<Vec<_>>();
        narrow(&mut widths, &gives(Way::Cut), width);
        narrow(&mut widths, &gives(Way::Last), width);
    }
    let line = |cells: Vec<Cell>| {
        let last = shown.len().saturating_sub(1);
        let fields = shown.iter().zip(&widths).enumerate().map(|(at, (column, width))| {
            let cell = cells.get(*column).cloned().unwrap_or_default();
            let text = cell.fitted(*width);
            let space = if at == last {
                0
            } else {
                width - text.width().min(*width)
            };
            format!("{}{}", paint(cell.tone, &text), " ".repeat(space))
        });
        fields.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    let heads = head.iter().map(|head| Cell::new(Tone::Dim, *head)).collect();
    std::iter::once(heads).chain(rows.clone()).map(line).collect()
}

/// Takes width from the widest of the columns that give until the line fits; of equals, from the last.
fn narrow(widths: &mut [usize], gives: &[bool], most: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        let giving = widths.iter_mut().zip(gives).filter(|(_, gives)| **gives);
        match giving.map(|(width, _)| width).max_by_key(|width| **width) {
            Some(width) if *width > COLUMN_MIN => *width -= 1,
            _ => return,
        }
    }
}

/// How long ago something was: `now`, `5 min ago`, `3 days ago`.
pub fn ago(then: i64) -> String {
    match crate::clock::now().0 - then {
        ..5000 => "now".to_owned(),
        passed => format!("{} ago", span(passed)),
    }
}

/// `3b03e09 Fix the menu · Alice`
pub fn commit(commit: Option<&str>, subject: Option<&str>, author: Option<&str>) -> String {
    let mut text = plain::short(commit);
    if let Some(subject) = subject.filter(|subject| !subject.is_empty()) {
        text = format!("{text} {subject}");
    }
    match author.filter(|author| !author.is_empty()) {
        Some(author) if !text.is_empty() => format!("{text} · {author}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_and_are_whole_in_a_pipe() {
        let row = vec![Cell::word("live"), "äöü ".repeat(40).into(), "漢字".repeat(20).into()];
        for width in [40, 80, 120] {
            for line in table(&["STATE", "SUBJECT", "NAME"], std::slice::from_ref(&row), Some(width)) {
                let plain = anstream::adapter::strip_str(&line).to_string();
                assert!(plain.width() <= width, "{width}: {plain}");
            }
        }
        let whole = table(&["STATE", "SUBJECT", "NAME"], &[row], None).join("\n");
        assert!(whole.contains(&"漢字".repeat(20)) && !whole.contains('…'));
    }

    #[test]
    fn what_others_wrote_is_not_obeyed() {
        let lines = table(&["A"], &[vec!["x\x1b[2Jy\nz".into()]], None);
        assert_eq!(anstream::adapter::strip_str(&lines[1]).to_string(), "x\u{fffd}[2Jy z");
    }

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(
            wrapped("one two three four", "  ", Some(12)),
            ["  one two", "  three four"]
        );
        assert_eq!(fit("abcdef", 4), "abc…");
    }

    #[test]
    fn the_author_stays_where_the_subject_is_cut() {
        let cell = Cell::commit(
            Some("3b03e0912345"),
            Some("Fix the menu on small screens"),
            Some("Alice"),
        );
        assert_eq!(cell.fitted(80), "3b03e09 Fix the menu on small screens · Alice");
        assert_eq!(cell.fitted(30), "3b03e09 Fix the menu … · Alice");
        assert_eq!(cell.fitted(16), "3b03e09 Fix the…");
    }
}
