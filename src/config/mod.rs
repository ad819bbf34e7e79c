//! The configuration: parses text to a valid `Config`, or to all diagnostics at once.
//!
//! The way of a file:
//!
//! | step | file | result |
//! |---|---|---|
//! | read the main file and the drop-ins, merge them | `files` | one `raw::Table`, in which every value knows its place |
//! | take each value with the type that its key has | `section`, after the table in `keys` | `At<T>`, or a diagnostic |
//! | find what contradicts itself | `check` | [`Config`] |
//! | say what is wrong, and where | `problems`, `diagnostic` | [`Report`] |
//!
//! No step stops at its first problem: whoever fixes the file wants to see all of them.

mod channel;
mod check;
mod diagnostic;
mod example;
mod files;
mod fitting;
mod forges;
pub mod keys;
pub mod kind;
mod paths;
mod pattern;
mod problems;
mod published;
mod raw;
mod redact;
mod remote;
mod schema;
mod secrets;
mod section;
mod source;
mod suggest;
mod types;
pub mod units;
mod value;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use crate::dialects::{Encoding, ForgeKind, Generic, HashAlgorithm};
pub use channel::{Channel, ChannelKind, Mail, Notify, UrlSource};
pub use check::{Limits, RepoOptions, TargetOptions};
pub use diagnostic::{Diagnostic, Report, Severity};
pub use example::example;
pub use forges::{Dispatch, ForgeApi, Reporting};
pub use pattern::{Pattern, PatternError, matches};
pub use remote::name_in_payloads;
pub use schema::schema;
pub use suggest::nearest;
pub use types::*;
pub use value::*;

use problems::Problems;

/// The configuration, if no other is named.
pub const FILE: &str = "/etc/hookd.toml";

/// A configuration that holds, and what is still worth saying about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// How the value of an environment variable is looked up; the daemon's own environment, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads `file` and the `hookd.d/*.toml` beside it, and checks all of it together.
pub fn load(file: &Path) -> Result<Loaded, Report> {
    load_in(file, &|name| std::env::var_os(name))
}

/// Like [`load`], with the environment variables that `environment` gives (`STATE_DIRECTORY`, `RUNTIME_DIRECTORY`).
pub fn load_in(file: &Path, environment: Environment) -> Result<Loaded, Report> {
    conclude(file, files::read(file)?, environment)
}

/// Like [`load`], as if `text` stood in the drop-in `drop_in` already, in the place of what does; none: as if it were gone.
pub fn load_with(file: &Path, drop_in: &Path, text: Option<&str>) -> Result<Loaded, Report> {
    let mut sources = files::read(file)?;
    sources.retain(|source| source.file != drop_in);
    sources.extend(text.map(|text| source::Source::new(drop_in, text.to_owned())));
    conclude(file, sources, &|name| std::env::var_os(name))
}

/// What `file` holds, and everything that there is to say of it at once.
pub struct Examined {
    /// The configuration with its secrets, if both can be used.
    pub usable: Option<(Config, Secrets)>,
    /// What keeps it from that: of the file, and of the secrets that it names.
    pub errors: Vec<Diagnostic>,
    /// What it can be used with.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the configuration and its secrets, and says all that is wrong with either, not of one only once the other is well.
pub fn examine(file: &Path) -> Examined {
    let environment = |name: &str| std::env::var_os(name);
    let (config, mut errors, mut warnings) = match files::read(file) {
        Ok(sources) => read_all(file, sources, &environment),
        Err(report) => (None, report.diagnostics, Vec::new()),
    };
    let usable = config.and_then(|config| match Secrets::read(&config) {
        Ok(secrets) => {
            warnings.extend(secrets.warnings(&config));
            Some((config, secrets))
        }
        Err(found) => {
            errors.extend(found);
            None
        }
    });
    Examined {
        usable: usable.filter(|_| errors.is_empty()),
        errors,
        warnings,
    }
}

/// Directory of the drop-ins of a configuration file.
pub fn drop_ins(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    file.with_file_name(files::DROP_INS)
}

/// Checks `text` as if it stood in `file`; no file is read and there are no drop-ins.
pub fn parse(file: &Path, text: &str, environment: Environment) -> Result<Loaded, Report> {
    conclude(file, vec![source::Source::new(file, text.to_owned())], environment)
}

fn conclude(file: &Path, sources: Vec<source::Source>, environment: Environment) -> Result<Loaded, Report> {
    match read_all(file, sources, environment) {
        (Some(config), errors, warnings) if errors.is_empty() => Ok(Loaded { config, warnings }),
        (_, errors, _) => Err(Report { diagnostics: errors }),
    }
}

/// The configuration as far as it can be read, its errors, and its warnings.
fn read_all(
    file: &Path,
    sources: Vec<source::Source>,
    environment: Environment,
) -> (Option<Config>, Vec<Diagnostic>, Vec<Diagnostic>) {
    let problems = Problems::new(sources);
    let config = files::merge(&problems).map(|table| check::config(file, &table, environment, &problems));
    let (errors, warnings) = problems.into_diagnostics();
    (config, errors, warnings)
}

#[cfg(test)]
mod tests;
