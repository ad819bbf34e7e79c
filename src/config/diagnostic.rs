//! Diagnostics: what is wrong, where, and what to do about it.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::source::{Place, Source};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can be used, and is probably not what was meant.
    Warning,
}

/// One thing to say about the configuration. Secrets are masked in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// The file it stands in.
    pub file: String,
    /// The line, from 1; `None` if the file as a whole is meant.
    pub line: Option<usize>,
    /// The column, from 1, in characters.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line itself.
    pub source_line: Option<String>,
    /// Characters before the carets, and how many carets.
    #[serde(skip)]
    caret: (usize, usize),
}

impl Diagnostic {
    /// About a file as a whole.
    pub fn of_file(file: &Path, message: String, hint: Option<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.display().to_string(),
            line: None,
            column: None,
            message,
            hint,
            source_line: None,
            caret: (0, 0),
        }
    }

    /// The same place with something to say of it.
    pub(super) fn saying(self, message: String, hint: Option<String>) -> Self {
        Self { message, hint, ..self }
    }

    /// The same as a warning.
    pub(super) fn into_warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }

    pub(super) fn at(severity: Severity, source: &Source, place: Place, message: String, hint: Option<String>) -> Self {
        let shown = source.show(place);
        Self {
            severity,
            file: source.file.display().to_string(),
            line: Some(shown.line),
            column: Some(shown.column),
            message,
            hint,
            source_line: Some(shown.text),
            caret: (shown.before, shown.width),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COL: message`, the line, carets, `hint: …`; no line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        let kind = if self.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        write!(f, ": {kind}{}", self.message)?;
        if let Some(line) = &self.source_line {
            let (before, width) = self.caret;
            // Tabs are kept, so that the carets stand below the place whatever a tab's width is.
            let padding: String = line
                .chars()
                .take(before)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n    {line}\n    {padding}{}", "^".repeat(width))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// At least one.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, diagnostic) in self.diagnostics.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Diagnostic {
        let source = Source::new(Path::new("/etc/hookd.toml"), "a = 1\n\tbrnch = 2\n".to_owned());
        let place = Place {
            source: 0,
            start: 7,
            end: 12,
        };
        let hint = Some("did you mean `branch`?".to_owned());
        Diagnostic::at(Severity::Error, &source, place, "unknown key `brnch`".to_owned(), hint)
    }

    #[test]
    fn reads_like_a_compiler() {
        assert_eq!(
            sample().to_string(),
            "/etc/hookd.toml:2:2: unknown key `brnch`\n    \tbrnch = 2\n    \t^^^^^\nhint: did you mean `branch`?"
        );
        let report = Report {
            diagnostics: vec![sample(), Diagnostic::of_file(Path::new("/x"), "gone".into(), None)],
        };
        assert!(report.to_string().ends_with("?\n\n/x: gone"));
    }

    #[test]
    fn as_json() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["line"], 2);
        assert_eq!(json["severity"], "error");
        assert_eq!(json["source_line"], "\tbrnch = 2");
        assert!(json.get("caret").is_none());
    }
}
