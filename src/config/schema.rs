//! The JSON Schema of the configuration (draft 4, as editors' TOML plugins read it), made from the table of keys.

use serde_json::{Map, Value, json};

use super::keys::{self, DEFAULTS, KEYS, Key, Unset};
use super::kind::Kind;

/// What a duration is written like.
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

/// What a size is written like.
const SIZE: &str = "^[0-9]+([KMGT]i)?B$";

/// The names of repos, targets, notifications and forges.
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$";

/// Where a secret is.
const SECRET: &str = "^(credential:[^/]+|file:[^~].*|env:[A-Za-z_][A-Za-z0-9_]*)$";

/// The schema, of the main file and of drop-ins alike.
pub fn schema() -> Value {
    let mut root = table("");
    root["$schema"] = "http://json-schema.org/draft-04/schema#".into();
    root["title"] = "hookd.toml".into();
    root["description"] =
        "The configuration of hookd, which deploys git repositories to the machine it runs on.".into();
    root["properties"][DEFAULTS] = table(DEFAULTS);
    root
}

/// A table with the keys and tables that may stand in it.
fn table(name: &str) -> Value {
    let mut properties = Map::new();
    for word in keys::words(name).into_iter().filter(|word| *word != DEFAULTS) {
        let value = match keys::find(name, word) {
            Some(key) => documented(key),
            None => below(name, word),
        };
        properties.insert(word.to_owned(), value);
    }
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (Some(rule), Some(into)) = (required(name), table.as_object_mut()) {
        into.extend(rule.as_object().cloned().unwrap_or_default());
    }
    let begin: Vec<&str> = match name {
        "repo.NAME" => vec!["url", "secret", "deploy"],
        "repo.NAME.deploy.TARGET" => vec!["branch", "path", "build", "check"],
        _ => return table,
    };
    table["x-taplo"] = json!({ "initKeys": begin });
    table
}

/// A table within a table; one whose names are free has any number of them.
fn below(name: &str, word: &str) -> Value {
    let path = if name.is_empty() {
        word.to_owned()
    } else {
        format!("{name}.{word}")
    };
    let free = ["NAME", "TARGET"].map(|free| format!("{path}.{free}"));
    let is_there = |free: &&String| KEYS.iter().any(|key| key.table() == free.as_str());
    match free.iter().find(is_there) {
        Some(named) => json!({
            "type": "object",
            "additionalProperties": false,
            "patternProperties": { NAME: table(named) },
        }),
        None => table(&path),
    }
}

/// Which keys of a table must be there, and which exclude each other.
fn required(name: &str) -> Option<Value> {
    let one_of = |keys: [&str; 2]| keys.map(|key| json!({ "required": [key] }));
    Some(match name {
        "repo.NAME" => json!({
            "required": ["url"],
            "anyOf": [
                { "required": ["secret"] },
                { "required": ["public_key"] },
                { "required": ["forge"], "properties": { "forge": { "enum": ["sourcehut"] } } },
                { "properties": { "url": { "pattern": "git\\.sr\\.ht" } } },
            ],
        }),
        "repo.NAME.deploy.TARGET" => json!({ "required": ["path"], "oneOf": one_of(["branch", "tag"]) }),
        "notify.NAME" => {
            json!({ "anyOf": [{ "required": ["url"] }, { "required": ["command"] }, { "required": ["smtp"] }] })
        }
        "forge.NAME" => json!({ "anyOf": one_of(["token", "ranges"]) }),
        "http.tls" => json!({ "required": ["cert", "key"] }),
        "http.login" => json!({ "anyOf": one_of(["users", "header"]) }),
        _ => return None,
    })
}

/// A key with what an editor shows of it.
fn documented(key: &Key) -> Value {
    let mut value = kind(key.kind);
    let mut docs = json!({ "main": key.meaning });
    value["description"] = key.meaning.into();
    match key.unset {
        Unset::Is(text) => {
            docs["defaultValue"] = text.into();
            value["default"] = literal(text);
        }
        Unset::Absent(words, _) => docs["defaultValue"] = words.into(),
        Unset::Required(_) => {}
    }
    value["x-taplo"] = json!({ "docs": docs });
    value
}

/// A value of the table of keys, which is written as TOML.
fn literal(text: &str) -> Value {
    let parsed = format!("x = {text}").parse::<toml::Table>().ok();
    let value = parsed.and_then(|mut table| table.remove("x"));
    value
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or_default()
}

fn kind(kind: Kind) -> Value {
    if let Some(words) = kind.choices() {
        return json!({ "enum": words });
    }
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration(..) => text(Some(DURATION)),
        Kind::Size(least, most) => json!({ "anyOf": [
            text(Some(SIZE)),
            { "type": "integer", "minimum": least, "maximum": most },
        ]}),
        Kind::OffOr(other) => json!({ "anyOf": [{ "enum": ["off"] }, self::kind(*other)] }),
        Kind::AnyText => json!({ "type": "string" }),
        Kind::List(one) => json!({ "anyOf": [self::kind(*one), { "type": "array", "items": self::kind(*one) }] }),
        Kind::OneOrMore(one) => json!({ "anyOf": [
            self::kind(*one),
            { "type": "array", "items": self::kind(*one), "minItems": 1 },
        ]}),
        Kind::Command | Kind::Check => json!({ "anyOf": [
            text(None),
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ]}),
        Kind::Variables => json!({
            "type": "object",
            "additionalProperties": false,
            "patternProperties": { "^[A-Za-z_][A-Za-z0-9_]*$": { "type": "string" } },
        }),
        Kind::Paths => json!({ "type": "object", "additionalProperties": self::kind(Kind::Path) }),
        Kind::Roles => json!({ "type": "object", "additionalProperties": { "enum": ["view", "act"] } }),
        other => text(pattern(other)),
    }
}

/// The pattern of a string, where one tells more than that it is not empty.
fn pattern(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Path | Kind::Inside => "^[^~]",
        Kind::Url => "^https?://[^/]",
        Kind::SecretUrl => "^(https?://[^/]|credential:|file:|env:)",
        Kind::Smtp => "^(smtp|smtps|smtp\\+insecure)://[^/]",
        Kind::Mail => "@",
        Kind::Remote => "^[^~\\s]([^\\s]|[^\\s].*[^\\s])?$",
        Kind::Listener => "^(unix:.+|(\\[[0-9A-Fa-f:.]+\\]|[0-9.]+):[0-9]{1,5})$",
        Kind::Network => "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
        Kind::Secret => SECRET,
        Kind::WebhookSecret => "^(insecure-none|credential:[^/]+|file:[^~].*|env:[A-Za-z_][A-Za-z0-9_]*)$",
        Kind::Pointer => "^/",
        Kind::Header => "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        _ => return None,
    })
}

fn text(pattern: Option<&str>) -> Value {
    match pattern {
        Some(pattern) => json!({ "type": "string", "minLength": 1, "pattern": pattern }),
        None => json!({ "type": "string", "minLength": 1, "pattern": "\\S" }),
    }
}
