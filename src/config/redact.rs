//! Finds secrets that were typed where they don't belong, and must not be shown with their line.

use super::problems::Problems;
use super::raw::{Node, Table, Value};
use super::source::Source;
use super::suggest;

/// Keys whose values are secrets, and the words by which a misspelt one is known.
const SECRET_WORDS: &[&str] = &["secret", "token", "password", "passwd", "passphrase", "credential"];

/// Whether what stands under this key may be a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word)) || suggest::nearest(&key, SECRET_WORDS.iter().copied()).is_some()
}

/// Whether a value says where the secret is, and not what it is.
fn names_a_source(text: &str) -> bool {
    text == "insecure-none"
        || ["file:", "credential:", "env:"]
            .iter()
            .any(|form| text.starts_with(form))
}

/// Masks, in all of the tree, secrets, environments, passwords in URLs, and the URLs of chat hooks, which are secrets.
pub(super) fn mask_tree(table: &Table, problems: &Problems) {
    mask_below(table, "", problems);
}

fn mask_below(table: &Table, top: &str, problems: &Problems) {
    for (key, entry) in table {
        let top = if top.is_empty() { key } else { top };
        if is_secret_key(key) || key == "env" || (top == "notify" && key == "url") {
            mask_values(&entry.node, key != "env", problems);
        } else {
            mask_url_parts(&entry.node, top, key, problems);
        }
    }
}

/// Masks every plain value; `sources` leaves those that only name a source.
fn mask_values(node: &Node, sources: bool, problems: &Problems) {
    match &node.value {
        Value::Text(text) if sources && names_a_source(text) => {}
        Value::List(items) => items.iter().for_each(|item| mask_values(item, sources, problems)),
        Value::Table(table) => table
            .values()
            .for_each(|entry| mask_values(&entry.node, sources, problems)),
        _ => problems.mask(node.place),
    }
}

fn mask_url_parts(node: &Node, top: &str, key: &str, problems: &Problems) {
    match &node.value {
        Value::Table(table) => mask_below(table, top, problems),
        Value::List(items) => items.iter().for_each(|item| mask_url_parts(item, top, key, problems)),
        Value::Text(_) => {
            let written = problems.text_at(node.place);
            if let Some((start, end)) = userinfo(written) {
                let masked = node.place.start + start..node.place.start + end;
                problems.sources[node.place.source].mask(masked);
            }
            if let (true, Some(query)) = (key == "url", written.find('?')) {
                // Some forges take a token as a parameter. The closing quote stays.
                let end = node.place.end.saturating_sub(1);
                problems.sources[node.place.source].mask(node.place.start + query + 1..end);
            }
        }
        _ => {}
    }
}

/// Where the `user:password` of a URL stands in a text.
fn userinfo(text: &str) -> Option<(usize, usize)> {
    let end = text.rfind('@')?;
    if let Some(scheme) = text.find("://") {
        let start = scheme + 3;
        // ssh has no tokens: `git@` is worth seeing, and only a password is hidden.
        let plain = text[..scheme].ends_with("ssh") && !text.get(start..end)?.contains(':');
        return (start < end && !plain).then_some((start, end));
    }
    let start = text.find(|c: char| !matches!(c, '"' | '\''))?;
    text.get(start..end)?.contains(':').then_some((start, end))
}

/// Masks possible secrets in the line of a syntax error, where no tree shows which part is a value.
pub(super) fn mask_line(source: &Source, at: usize) {
    let (_, line) = source.line_at(at);
    let text = &source.text[line.clone()];
    // A line that begins with a quote goes on with a value whose key stands above it.
    let hidden = if text.trim_start().starts_with(['"', '\'']) {
        Some(0)
    } else {
        end_of_secret_word(text)
    };
    if let Some(from) = hidden {
        let plain = text[from..].len() - text[from..].trim_start_matches([' ', '\t', '=', ':']).len();
        source.mask(line.start + from + plain..line.end);
    } else if let Some((start, end)) = userinfo(text) {
        source.mask(line.start + start..line.start + end);
    }
}

/// Where the first word ends that announces a secret.
fn end_of_secret_word(text: &str) -> Option<usize> {
    let between = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-');
    let mut end = 0;
    text.split_inclusive(between).find_map(|word| {
        let bare = word.trim_end_matches(between);
        let here = end + bare.len();
        end += word.len();
        is_secret_key(bare).then_some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_secret_keys_are_still_secret() {
        for key in [
            "secret",
            "secrets",
            "secert",
            "tokn",
            "webhook_secret",
            "api-token",
            "PASSWORD",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["url", "branch", "path", "shared", "timeout"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn userinfo_is_found_even_with_odd_passwords() {
        for (text, hidden) in [
            ("\"https://u:p/w@host/x\"", Some("u:p/w")),
            ("\"https://tok@host/x\"", Some("tok")),
            ("\"ssh://git:pw@host/x\"", Some("git:pw")),
            ("\"ssh://git@host/x\"", None),
            ("\"git@host:alice/blog\"", None),
            ("\"git:pw@host:alice/blog\"", Some("git:pw")),
            ("\"/srv/x\"", None),
            ("\"@\"", None),
        ] {
            assert_eq!(userinfo(text).map(|(a, b)| &text[a..b]), hidden, "{text}");
        }
    }
}
