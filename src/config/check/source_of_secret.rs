//! `credential:NAME`, `file:PATH`, `env:VAR`: where a secret is, and never the secret itself.

use crate::config::section::Section;
use crate::config::source::At;
use crate::config::types::SecretSource;

/// The forms that a source has.
pub(super) const HINT: &str = "write where it is: \"credential:NAME\", \"file:PATH\" or \"env:VAR\"";

/// The source that a value of `key` names. No message repeats the value: it may be the secret.
pub(super) fn parse(section: &Section, key: &str, text: At<&str>) -> Option<SecretSource> {
    let refuse = |message: String, hint: &str| {
        section.wrong(text.place, message, hint.to_owned());
        None
    };
    if let Some(name) = text.value.strip_prefix("credential:") {
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
        return match plain {
            true => Some(SecretSource::Credential(name.to_owned())),
            false => refuse(
                format!("`{key}`: the name of a credential is a file name, without `/`"),
                "it is the NAME of `LoadCredential=NAME:PATH` in the unit",
            ),
        };
    }
    if let Some(path) = text.value.strip_prefix("file:") {
        return match path.is_empty() {
            true => refuse(format!("`{key}`: the path is missing after `file:`"), HINT),
            false => section
                .as_path(
                    key,
                    At {
                        value: path,
                        place: text.place,
                    },
                )
                .map(SecretSource::File),
        };
    }
    if let Some(name) = text.value.strip_prefix("env:") {
        return match is_variable(name) {
            true => Some(SecretSource::Env(name.to_owned())),
            false => refuse(
                format!("`{key}`: what follows `env:` is not the name of a variable"),
                "a variable has letters, digits and `_`, and does not begin with a digit",
            ),
        };
    }
    if text.value == "insecure-none" {
        return match key {
            "secret" => Some(SecretSource::InsecureNone),
            _ => refuse(format!("`{key}`: `insecure-none` is for webhook secrets only"), HINT),
        };
    }
    refuse(
        format!("`{key}` holds the text itself, which does not belong into the configuration"),
        HINT,
    )
}

/// Whether a text is the name of an environment variable that every shell can use.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
