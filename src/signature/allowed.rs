//! Lines of OpenSSH's `allowed_signers`: who may sign with which key, for what and when. See ssh-keygen(1), ALLOWED SIGNERS.

use ssh_key::PublicKey;

use super::timestamp;
use crate::model::Timestamp;

/// What git signs for; `namespaces=` may leave it out.
pub(super) const NAMESPACE: &str = "git";

/// One line.
#[derive(Debug, Clone)]
pub(super) struct AllowedKey {
    /// Whose key it is, as written.
    pub principals: String,
    /// Patterns of what it may sign; none: anything.
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
    pub key: PublicKey,
}

impl AllowedKey {
    /// Why the key does not count, for something that says that it was signed at `claimed`.
    ///
    /// The time that a commit claims is written by whoever signs it, so a key must be valid now as well: somebody who stole
    /// one that is long replaced could date a commit back.
    pub(super) fn refuses(&self, claimed: Timestamp, now: Timestamp) -> Option<String> {
        if self
            .namespaces
            .as_ref()
            .is_some_and(|list| !matches_list(list, NAMESPACE))
        {
            return Some(format!("whose `namespaces` leave out \"{NAMESPACE}\""));
        }
        let early = |limit: &Timestamp| claimed < *limit || now < *limit;
        let late = |limit: &Timestamp| claimed > *limit || now > *limit;
        match (self.valid_after.filter(early), self.valid_before.filter(late)) {
            (Some(limit), _) => Some(format!("a key that is valid only after {limit}")),
            (_, Some(limit)) => Some(format!("a key that was valid only before {limit}")),
            (None, None) => None,
        }
    }
}

/// Understands a line; none for a comment or an empty one.
pub(super) fn parse(line: &str) -> Result<Option<AllowedKey>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (principals, rest) = principals(line)?;
    // Where there is no key, there are options before it.
    let (options, key) = if let Ok(key) = PublicKey::from_openssh(rest) {
        ("", key)
    } else {
        let (options, rest) = options(rest);
        let key = PublicKey::from_openssh(rest).map_err(|e| format!("no public key of a known kind: {e}"))?;
        (options, key)
    };
    let mut allowed = AllowedKey {
        principals: principals.to_owned(),
        namespaces: None,
        valid_after: None,
        valid_before: None,
        key,
    };
    for option in split(options, ',').filter(|option| !option.is_empty()) {
        allowed.take(option)?;
    }
    Ok(Some(allowed))
}

impl AllowedKey {
    fn take(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.trim_matches('"'))),
            None => (option, None),
        };
        let time = || {
            let wrong = || format!("`{name}` is no time such as \"20261231Z\"");
            value.and_then(timestamp::parse).map(Some).ok_or_else(wrong)
        };
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => self.namespaces = Some(value.unwrap_or_default().to_owned()),
            "valid-after" => self.valid_after = time()?,
            "valid-before" => self.valid_before = time()?,
            "cert-authority" => {
                return Err(
                    "`cert-authority` is not supported: list the keys that the authority has signed".to_owned(),
                );
            }
            _ => return Err(format!("unknown option `{}`", name.escape_debug())),
        }
        Ok(())
    }
}

/// The first word, which may stand in quotes.
fn principals(line: &str) -> Result<(&str, &str), String> {
    let incomplete = || "a line has principals, perhaps options, and a key".to_owned();
    let (word, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or_else(incomplete)?,
        None => line.split_once([' ', '\t']).ok_or_else(incomplete)?,
    };
    let rest = rest.trim_start();
    if word.is_empty() || rest.is_empty() {
        return Err(incomplete());
    }
    Ok((word, rest))
}

/// The options, up to the first blank that is not in quotes; and what follows.
fn options(rest: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = rest.find(|c| {
        quoted ^= c == '"';
        !quoted && matches!(c, ' ' | '\t')
    });
    let (options, key) = rest.split_at(end.unwrap_or(rest.len()));
    (options, key.trim_start())
}

/// The parts between separators that are not in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        !quoted && c == separator
    })
}

/// OpenSSH's pattern lists: one of the patterns must match, and none that begins with `!`.
fn matches_list(list: &str, text: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    found
}

/// `*` is any text, `?` any character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', more)), _) => matches(more, text) || text.split_first().is_some_and(|(_, t)| matches(pattern, t)),
        (Some((p, more)), Some((t, rest))) => (*p == b'?' || p == t) && matches(more, rest),
        _ => false,
    }
}
