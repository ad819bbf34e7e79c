//! The trigger rules of adnanh/webhook: what of them hookd has a word for.

use super::Place;
use super::draft::{Draft, RepoDraft};
use super::public_url;
use super::tree::Node;

/// One thing that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fact {
    Signature {
        secret: String,
        header: String,
        algorithm: &'static str,
    },
    Token {
        secret: String,
        forge: &'static str,
    },
    Branch(String),
    Tag(String),
    FullName(String),
    Url(String),
    Network(String),
    Event(String),
    /// True of everything that hookd deploys, or of what it answers by itself.
    Implied,
}

/// Headers that name the event, and whose they are.
const EVENT_HEADERS: [(&str, &str); 6] = [
    ("x-github-event", "github"),
    ("x-gitlab-event", "gitlab"),
    ("x-gitea-event", "gitea"),
    ("x-forgejo-event", "forgejo"),
    ("x-gogs-event", "gogs"),
    ("x-event-key", "bitbucket"),
];

/// Where payloads have the name of the repository.
const NAMES: [&str; 3] = [
    "repository.full_name",
    "project.path_with_namespace",
    "repository.path_with_namespace",
];

/// Where payloads have its URL.
const URLS: [&str; 6] = [
    "repository.clone_url",
    "repository.ssh_url",
    "repository.git_url",
    "repository.html_url",
    "project.git_http_url",
    "project.git_ssh_url",
];

/// Where payloads have the branch without `refs/heads/`.
const SHORT_REFS: [&str; 2] = ["push.changes.0.new.name", "push.changes[0].new.name"];

/// Takes over what a rule asks for.
pub(super) fn read(rule: &Node, repo: &mut RepoDraft, draft: &mut Draft) {
    for (word, place, inner) in rule.entries() {
        match word.as_str() {
            "and" => inner.items().iter().for_each(|part| read(part, repo, draft)),
            "or" => any(inner, *place, repo, draft),
            "not" => draft.note(
                *place,
                format!(
                    "hook `{}`: a `not` rule is not carried over; a pattern with `!` excludes branches",
                    repo.name
                ),
            ),
            "match" => match fact(inner, repo) {
                Ok(fact) => take(fact, repo),
                Err(why) => draft.note(inner_place(inner, *place), format!("hook `{}`: {why}", repo.name)),
            },
            other => draft.note(
                *place,
                format!("hook `{}`: `{other}` is not a rule of webhook", repo.name),
            ),
        }
    }
}

fn inner_place(node: &Node, place: Place) -> Place {
    node.entries().first().map_or(place, |(_, place, _)| *place)
}

/// Alternatives can be carried over if all of them ask for the same kind of thing.
fn any(list: &Node, place: Place, repo: &mut RepoDraft, draft: &mut Draft) {
    let mut facts = Vec::new();
    for alternative in list.items() {
        let Some(inner) = alternative.get("match") else {
            let why = "an `or` of more than plain matches is not carried over";
            return draft.note(alternative.place, format!("hook `{}`: {why}", repo.name));
        };
        match fact(inner, repo) {
            Ok(Fact::Implied) => {}
            Ok(fact) => facts.push(fact),
            Err(why) => {
                return draft.note(
                    inner_place(inner, alternative.place),
                    format!("hook `{}`: {why}", repo.name),
                );
            }
        }
    }
    let alike = |one: &Fact, other: &Fact| std::mem::discriminant(one) == std::mem::discriminant(other);
    let refs = |fact: &Fact| matches!(fact, Fact::Branch(_) | Fact::Tag(_));
    let together = facts.windows(2).all(|pair| alike(&pair[0], &pair[1]))
        && !facts
            .iter()
            .any(|f| matches!(f, Fact::FullName(_) | Fact::Url(_)) && facts.len() > 1);
    if !together {
        let why = if facts.iter().all(refs) {
            "branches and tags are followed by targets of their own; the `or` is not carried over"
        } else {
            "an `or` of different things is not carried over"
        };
        return draft.note(place, format!("hook `{}`: {why}", repo.name));
    }
    for fact in facts {
        take(fact, repo);
    }
}

fn take(fact: Fact, repo: &mut RepoDraft) {
    match fact {
        Fact::Signature {
            secret,
            header,
            algorithm,
        } => {
            match header.to_ascii_lowercase().as_str() {
                "x-hub-signature" if algorithm == "sha256" => repo.forge = repo.forge.or(Some("bitbucket")),
                "x-hub-signature" | "x-hub-signature-256" => repo.forge = repo.forge.or(Some("github")),
                "x-gitea-signature" => repo.forge = Some("gitea"),
                "x-forgejo-signature" => repo.forge = Some("forgejo"),
                "x-gogs-signature" => repo.forge = Some("gogs"),
                _ => {
                    repo.forge = Some("generic");
                    repo.generic = Some((header, algorithm));
                }
            }
            add(&mut repo.secrets, secret);
        }
        Fact::Token { secret, forge } => {
            repo.forge = Some(forge);
            add(&mut repo.secrets, secret);
        }
        Fact::Branch(branch) => add(&mut repo.branches, branch),
        Fact::Tag(tag) => add(&mut repo.tags, tag),
        Fact::FullName(name) => {
            repo.url = repo.url.take().or_else(|| public_url(repo.forge, &name));
            repo.full_name = Some(name);
        }
        Fact::Url(url) => repo.url = Some(url),
        Fact::Network(network) => add(&mut repo.allow_from, network),
        Fact::Event(event) => add(&mut repo.on, event),
        Fact::Implied => {}
    }
}

fn add(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// What a `match` asks for, or why hookd has no word for it.
fn fact(rule: &Node, repo: &mut RepoDraft) -> Result<Fact, String> {
    let parameter = rule.get("parameter");
    let part = |key| parameter.map(|parameter| parameter.text_at(key)).unwrap_or_default();
    let (source, name) = (part("source"), part("name"));
    let kind = rule.text_at("type");
    let algorithm = match kind
        .trim_start_matches("payload-hmac-")
        .trim_start_matches("payload-hash-")
    {
        "sha1" => "sha1",
        "sha256" => "sha256",
        "sha512" => "sha512",
        _ => "",
    };
    match kind {
        "value" => value(source, name, rule.text_at("value"), repo),
        "regex" => regex(source, name, rule.text_at("regex")),
        "ip-whitelist" => Ok(Fact::Network(network(rule.text_at("ip-range")))),
        _ if !algorithm.is_empty() && rule.text_at("secret").is_empty() => Err("its secret is empty".to_owned()),
        _ if !algorithm.is_empty() && source == "header" => Ok(Fact::Signature {
            secret: rule.text_at("secret").to_owned(),
            header: name.to_owned(),
            algorithm,
        }),
        _ if !algorithm.is_empty() => Err(format!(
            "a signature in {source} is not carried over: hookd reads it from a header"
        )),
        "scalr-signature" => Err("hookd knows no signatures of Scalr".to_owned()),
        other => Err(format!("the rule `{other}` is not carried over")),
    }
}

/// A single address stands alone for hookd, too; bits behind the prefix are no network.
fn network(text: &str) -> String {
    let Some((address, prefix)) = text.split_once('/') else {
        return text.to_owned();
    };
    let (Ok(address), Ok(prefix)) = (address.parse::<std::net::IpAddr>(), prefix.parse::<u32>()) else {
        return text.to_owned();
    };
    match address {
        std::net::IpAddr::V4(v4) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv4Addr::from(u32::from(v4) & mask))
        }
        std::net::IpAddr::V6(v6) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv6Addr::from(u128::from(v6) & mask))
        }
        _ => text.to_owned(),
    }
}

fn value(source: &str, name: &str, value: &str, repo: &mut RepoDraft) -> Result<Fact, String> {
    let lower = name.to_ascii_lowercase();
    let event_of = EVENT_HEADERS
        .iter()
        .find(|(header, _)| *header == lower && source == "header");
    if let Some((_, forge)) = event_of {
        repo.forge = repo.forge.or(Some(forge));
        return event(value);
    }
    match (source, name) {
        ("header", _) if lower == "x-gitlab-token" => Ok(Fact::Token {
            secret: value.to_owned(),
            forge: "gitlab",
        }),
        ("payload", "ref") => whole_ref(value).ok_or_else(|| format!("`{value}` is not a ref")),
        ("payload", name) if SHORT_REFS.contains(&name) => Ok(Fact::Branch(value.to_owned())),
        ("payload", name) if NAMES.contains(&name) => Ok(Fact::FullName(value.to_owned())),
        ("payload", name) if URLS.contains(&name) => Ok(Fact::Url(value.to_owned())),
        ("payload", "object_kind" | "event_name") => event(value),
        _ if ["token", "secret", "password", "key"]
            .iter()
            .any(|word| lower.contains(word)) =>
        {
            Err(format!(
                "the token in {source} `{name}` is not carried over: hookd checks signatures with a secret instead"
            ))
        }
        _ => Err(format!("the rule on {source} `{name}` is not carried over")),
    }
}

fn event(word: &str) -> Result<Fact, String> {
    match word {
        "push" | "Push Hook" | "Tag Push Hook" | "tag_push" | "create" | "ping" | "repo:push" => Ok(Fact::Implied),
        "release" | "Release Hook" => Ok(Fact::Event("release".to_owned())),
        "workflow_run" | "pipeline" => Ok(Fact::Event(word.to_owned())),
        "Pipeline Hook" => Ok(Fact::Event("pipeline".to_owned())),
        other => Err(format!("the event `{other}` is not carried over: hookd deploys refs")),
    }
}

fn whole_ref(text: &str) -> Option<Fact> {
    let of = |rest: &str, fact: fn(String) -> Fact| (!rest.is_empty()).then(|| fact(rest.to_owned()));
    match (text.strip_prefix("refs/heads/"), text.strip_prefix("refs/tags/")) {
        (Some(branch), _) => of(branch, Fact::Branch),
        (_, Some(tag)) => of(tag, Fact::Tag),
        _ => None,
    }
}

fn regex(source: &str, name: &str, regex: &str) -> Result<Fact, String> {
    if source != "payload" || name != "ref" {
        return Err(format!(
            "the regular expression on {source} `{name}` is not carried over"
        ));
    }
    let pattern = as_pattern(regex).as_deref().and_then(whole_ref);
    pattern.ok_or_else(|| {
        format!("the regular expression `{regex}` is not carried over: hookd has patterns like `release/*`")
    })
}

/// A regular expression as a pattern: plain text, `.*`, and one group of alternatives.
fn as_pattern(regex: &str) -> Option<String> {
    let whole = regex.strip_prefix('^').unwrap_or(regex);
    let (whole, open) = whole.strip_suffix('$').map_or((whole, true), |whole| (whole, false));
    let mut pattern = String::new();
    let mut rest = whole;
    while let Some(c) = rest.chars().next() {
        let found = [
            (".*", "**"),
            (".+", "**"),
            ("[^/]*", "*"),
            ("[^/]+", "*"),
            ("(", "{"),
            (")", "}"),
            ("|", ","),
        ];
        if let Some((wild, glob)) = found.iter().find(|(wild, _)| rest.starts_with(wild)) {
            pattern.push_str(glob);
            rest = &rest[wild.len()..];
        } else if let Some(escaped) = rest.strip_prefix('\\').and_then(|after| after.chars().next()) {
            let plain = "./-_+".contains(escaped);
            pattern.push(plain.then_some(escaped)?);
            rest = &rest[1 + escaped.len_utf8()..];
        } else if c.is_alphanumeric() || "/-_ ".contains(c) {
            pattern.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            return None;
        }
    }
    // Without its end it also matches what goes on.
    if open && !pattern.ends_with("**") {
        pattern.push_str("**");
    }
    let inside_group = pattern.matches('{').count() == pattern.matches('}').count();
    let alone = pattern.contains(',') && !pattern.contains('{');
    (inside_group && !alone).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_regular_expressions_become_patterns() {
        for (regex, pattern) in [
            ("^refs/heads/main$", Some("refs/heads/main")),
            ("^refs/heads/(main|dev)$", Some("refs/heads/{main,dev}")),
            ("refs/heads/release/.*", Some("refs/heads/release/**")),
            (r"^refs/tags/v[^/]+\.0$", Some("refs/tags/v*.0")),
            ("^refs/heads/ma", Some("refs/heads/ma**")),
            ("refs/heads/[a-z]+", None),
            ("main|dev", None),
            ("refs/heads/a{2}", None),
        ] {
            assert_eq!(as_pattern(regex).as_deref(), pattern, "{regex}");
        }
    }

    #[test]
    fn networks_lose_the_bits_behind_their_prefix() {
        for (text, is) in [
            ("192.168.0.1/24", "192.168.0.0/24"),
            ("10.0.0.9/32", "10.0.0.9/32"),
            ("::1/0", "::/0"),
            ("1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(network(text), is);
        }
    }
}
