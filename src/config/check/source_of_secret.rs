//! `credential:NAME`, `file:PATH`, `env:VAR`: where a secret is, and never the secret itself.

use crate::config::section::Section;
use crate::config::source::At;
use crate::config::value::SecretSource;

/// The forms that a source has.
pub(super) const HINT: &str = "write where it is: \"credential:NAME\", \"file:PATH\" or \"env:VAR\"";

/// The source that a value of `key` names. No message repeats the value: it may be the secret.
pub(super) fn parse(section: &Section, key: &str, text: At<&str>) -> Option<SecretSource> {
    match read(section, key, text) {
        Ok(source) => source,
        Err((message, hint)) => {
            section.wrong(text.place, format!("`{key}`{message}"), hint);
            None
        }
    }
}

/// The source; `None` if the path was reported already; or what is wrong, and a hint.
fn read(section: &Section, key: &str, text: At<&str>) -> Result<Option<SecretSource>, (&'static str, &'static str)> {
    if let Some(name) = text.value.strip_prefix("credential:") {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            let hint = "it is the NAME of `LoadCredential=NAME:PATH` in the unit";
            return Err((": the name of a credential is a file name, without `/`", hint));
        }
        return Ok(Some(SecretSource::Credential(name.to_owned())));
    }
    if let Some(path) = text.value.strip_prefix("file:") {
        if path.is_empty() {
            return Err((": the path is missing after `file:`", HINT));
        }
        return Ok(section.as_path(key, text.with(path)).map(SecretSource::File));
    }
    if let Some(name) = text.value.strip_prefix("env:") {
        if !is_variable(name) {
            let hint = "a variable has letters, digits and `_`, and does not begin with a digit";
            return Err((": what follows `env:` is not the name of a variable", hint));
        }
        return Ok(Some(SecretSource::Env(name.to_owned())));
    }
    match (text.value, key) {
        ("insecure-none", "secret") => Ok(Some(SecretSource::InsecureNone)),
        ("insecure-none", _) => Err((": `insecure-none` is for webhook secrets only", HINT)),
        _ => Err((
            " contains the secret itself, which does not belong in the configuration",
            HINT,
        )),
    }
}

/// Whether a text is the name of an environment variable that every shell can use.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
