//! Output on a terminal: errors with causes and a hint, tables, times; never control sequences from outside.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use super::paint::{self, Cell};
pub use super::plain::{printable, short};
use crate::model::Timestamp;

/// Exit codes, as in hookd(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It failed.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// The daemon can't be reached.
    Unreachable = 4,
    /// The configuration is bad (`EX_CONFIG` of sysexits.h).
    Config = 78,
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
    causes: Vec<String>,
    /// What a command printed, as a terminal may see it, below a heading.
    quoted: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with an exit code of its own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            quoted: Vec::new(),
            hint: None,
        }
    }

    /// The ordinary failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }

    /// Adds what led to it.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what was printed: lines that are free of what a terminal would obey, but for colours.
    pub fn quote(mut self, heading: &str, lines: &[String]) -> Self {
        self.quoted.push(format!("  {heading}"));
        self.quoted.extend(lines.iter().map(|line| format!("    {line}")));
        self
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into().filter(|hint| !hint.trim().is_empty()).or(self.hint);
        self
    }

    /// Says in which larger undertaking it happened.
    pub fn within(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Says it on stderr; gives the exit code.
    pub fn report(&self) -> ExitCode {
        anstream::eprintln!(
            "{} {}",
            paint::paint(paint::Tone::Bad, "hookd: error:"),
            printable(&self.message)
        );
        for cause in &self.causes {
            anstream::eprintln!("  caused by: {}", printable(cause));
        }
        for line in &self.quoted {
            anstream::eprintln!("{line}");
        }
        if let Some(hint) = &self.hint {
            anstream::eprintln!("hint: {}", printable(hint));
        }
        ExitCode::from(self.code as u8)
    }
}

/// In one line, for where another one tells it.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Prints a line; a reader that is gone (`| head`) ends the program quietly.
pub fn line(text: &str) {
    if writeln!(anstream::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a value as JSON.
pub fn json(value: &impl serde::Serialize) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::failed(e.to_string()))?;
    line(&text);
    Ok(ExitCode::SUCCESS)
}

/// Prints rows in columns that fit the terminal.
pub fn table(head: &[&str], rows: &[Vec<Cell>]) {
    for row in paint::table(head, rows, paint::width()) {
        line(&row);
    }
}

/// Empties the terminal.
pub fn clear() {
    // A terminal that is gone ends the program with the next line.
    let _ = write!(std::io::stdout(), "\x1b[H\x1b[2J");
}

/// A point in time, in UTC.
pub fn time(millis: i64) -> String {
    Timestamp(millis).to_string()
}

/// How long something took.
pub fn took(from: i64, to: Option<i64>) -> String {
    let Some(to) = to else { return String::new() };
    let tenths = (to - from).max(0) / 100;
    if tenths < 600 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        format!("{}m{:02}s", tenths / 600, tenths / 10 % 60)
    }
}
