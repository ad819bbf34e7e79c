//! The collector of everything that is wrong, while the reading goes on.

use std::cell::RefCell;
use std::path::Path;

use super::diagnostic::{Diagnostic, Severity};
use super::source::{Place, Source};

/// Most diagnostics that are shown: whoever has more has given the wrong file.
const SHOWN_MAX: usize = 200;

/// One problem, before its line is looked up: masks that are set later count for it too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    place: Place,
    message: String,
    hint: Option<String>,
}

/// What was found so far, and the files it was found in.
#[derive(Debug)]
pub(super) struct Problems {
    pub sources: Vec<Source>,
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// What to do about a problem; `None` if that is plain.
pub(super) trait Hint {
    fn text(self) -> Option<String>;
}

impl Hint for &str {
    fn text(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Hint for String {
    fn text(self) -> Option<String> {
        Some(self)
    }
}

impl Hint for Option<String> {
    fn text(self) -> Option<String> {
        self
    }
}

impl Problems {
    pub fn new(sources: Vec<Source>) -> Self {
        Self {
            sources,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The configuration can't be used.
    pub fn error(&self, place: Place, message: impl Into<String>, hint: impl Hint) {
        let problem = Problem {
            place,
            message: message.into(),
            hint: hint.text(),
        };
        self.errors.borrow_mut().push(problem);
    }

    /// The configuration can be used.
    pub fn warning(&self, place: Place, message: impl Into<String>, hint: impl Hint) {
        let problem = Problem {
            place,
            message: message.into(),
            hint: hint.text(),
        };
        self.warnings.borrow_mut().push(problem);
    }

    /// Never shows what stands there.
    pub fn mask(&self, place: Place) {
        self.sources[place.source].mask(place.start..place.end);
    }

    /// What stands there, letter by letter.
    pub fn text_at(&self, place: Place) -> &str {
        self.sources[place.source]
            .text
            .get(place.start..place.end)
            .unwrap_or_default()
    }

    /// The directory that relative paths written there begin at.
    pub fn directory(&self, place: Place) -> &Path {
        self.sources[place.source].directory()
    }

    /// `FILE:LINE`, for a message that names a second place.
    pub fn line_of(&self, place: Place) -> String {
        let source = &self.sources[place.source];
        format!("{}:{}", source.file.display(), source.line_at(place.start).0 + 1)
    }

    /// A diagnostic that says nothing yet of a place.
    pub fn at(&self, place: Place) -> Diagnostic {
        Diagnostic::at(Severity::Error, &self.sources[place.source], place, String::new(), None)
    }

    /// Errors and warnings in the order of the files, each once.
    pub fn into_diagnostics(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let render = |severity, problems: RefCell<Vec<Problem>>| {
            let mut problems = problems.into_inner();
            // A value of [defaults] is read for each target that takes it, and complained about once.
            problems.sort();
            problems.dedup();
            problems.truncate(SHOWN_MAX);
            let show = |p: Problem| Diagnostic::at(severity, &self.sources[p.place.source], p.place, p.message, p.hint);
            problems.into_iter().map(show).collect()
        };
        (
            render(Severity::Error, self.errors),
            render(Severity::Warning, self.warnings),
        )
    }
}
