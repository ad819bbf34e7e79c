//! One table of the configuration: hands out its values by key, with the type that the key has, or reports them.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{Key, Unset};
use super::kind::Kind;
use super::problems::{Hint, Problems};
use super::raw::{Entry, Node, Table, Value};
use super::source::{At, Place};
use super::units::{self, UnitError};
use super::{keys, paths, redact, suggest};
use crate::model::Spelled;

/// A table that was looked through for unknown keys.
pub(super) struct Section<'a> {
    /// Its name in the table of keys, `repo.NAME`.
    schema: &'static str,
    /// Its name in the file, `repo.blog`.
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    pub table: &'a Table,
    defaults: Option<&'a Table>,
    pub problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// The whole of the configuration.
    pub fn root(table: &'a Table, problems: &'a Problems) -> Self {
        let place = Place {
            source: 0,
            start: 0,
            end: 0,
        };
        let section = Self {
            schema: "",
            name: String::new(),
            place,
            table,
            defaults: None,
            problems,
        };
        section.refuse_unknown_keys();
        section
    }

    /// A table without entries: all its values are defaults.
    pub fn empty(schema: &'static str, table: &'a Table, problems: &'a Problems) -> Self {
        Self {
            schema,
            ..Self::root(table, problems)
        }
    }

    /// The `[repo.NAME.deploy.TARGET]` of a repo.
    pub fn targets(&self) -> Vec<(At<&'a str>, Self)> {
        self.tables("deploy", "repo.NAME.deploy.TARGET", self.defaults)
    }

    /// The table under a key; `None` if there is none.
    pub fn sub(&self, key: &'static str, schema: &'static str) -> Option<Self> {
        let entry = self.table.get(key)?;
        self.open(schema, self.full(key), entry, self.defaults)
    }

    /// All the `[KEY.NAME]` tables; those that are tables.
    pub fn tables(&self, key: &str, schema: &'static str, defaults: Option<&'a Table>) -> Vec<(At<&'a str>, Self)> {
        let Some(entry) = self.table.get(key) else {
            return Vec::new();
        };
        let Some(named) = self.as_table(&self.full(key), &entry.node) else {
            return Vec::new();
        };
        let open = |(name, entry): (&'a String, &'a Entry)| {
            let at = At {
                value: name.as_str(),
                place: entry.key,
            };
            Some((
                at,
                self.open(schema, format!("{}.{name}", self.full(key)), entry, defaults)?,
            ))
        };
        named.iter().filter_map(open).collect()
    }

    fn open(&self, schema: &'static str, name: String, entry: &'a Entry, defaults: Option<&'a Table>) -> Option<Self> {
        let Value::Table(table) = &entry.node.value else {
            let message = format!("`{name}` must be a table, not {}", entry.node.value.kind());
            self.problems
                .error(entry.key, message, format!("write `[{schema}]` and the keys below it"));
            return None;
        };
        let section = Self {
            schema,
            name,
            place: entry.key,
            table,
            defaults,
            problems: self.problems,
        };
        section.refuse_unknown_keys();
        Some(section)
    }

    fn as_table(&self, name: &str, node: &'a Node) -> Option<&'a Table> {
        match &node.value {
            Value::Table(table) => Some(table),
            other => {
                let hint = matches!((other, name), (Value::List(_), "repo" | "notify" | "forge"))
                    .then(|| format!("write `[{name}.NAME]` instead of `[[{name}]]`"));
                self.problems.error(
                    node.place,
                    format!("`{name}` must be a table, not {}", other.kind()),
                    hint,
                );
                None
            }
        }
    }

    fn refuse_unknown_keys(&self) {
        let words = keys::words(self.schema);
        for (key, entry) in self.table.iter().filter(|(key, _)| !words.contains(&key.as_str())) {
            let near = suggest::nearest(key, words.iter().copied());
            let misplaced = self.home_of_table(key);
            let hint = match (near, keys::home_of(key)) {
                _ if misplaced.is_some() => misplaced,
                (Some(word), _) => Some(format!("did you mean `{word}`?")),
                (None, Some("")) => Some(format!("`{key}` stands at the top level, before the first table")),
                (None, Some(home)) => Some(format!("`{key}` belongs in `[{home}]`")),
                (None, None) => None,
            };
            if near.is_none_or(redact::is_secret_key) {
                self.problems.mask(entry.node.place);
            }
            let whose = if self.name.is_empty() {
                String::new()
            } else {
                format!(" in `[{}]`", self.name)
            };
            self.problems
                .error(entry.key, format!("unknown key `{key}`{whose}"), hint);
        }
    }

    /// Where a table belongs that stands in the wrong one: `[repo.blog.production]`, `[production]`, `[deploy.production]`.
    fn home_of_table(&self, key: &str) -> Option<String> {
        let Value::Table(table) = &self.table.get(key)?.node.value else {
            return None;
        };
        let of_target = ["branch", "tag", "build"].iter().any(|word| table.contains_key(*word));
        match self.schema {
            "repo.NAME" if of_target => Some(format!("write `[{}.deploy.{key}]`", self.name)),
            "" if key == "deploy" || of_target => Some("a target is a `[repo.NAME.deploy.TARGET]`".to_owned()),
            "" if table.contains_key("url") => Some(format!("write `[repo.{key}]`")),
            _ => None,
        }
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// The entry that this very table has.
    pub fn own(&self, key: &str) -> Option<&'a Entry> {
        self.table.get(key)
    }

    /// The entry of this table, or that of `[defaults]`.
    pub fn find(&self, key: &str) -> Option<&'a Entry> {
        self.own(key).or_else(|| self.inherited(key))
    }

    fn inherited(&self, key: &str) -> Option<&'a Entry> {
        self.defaults.filter(|_| keys::has_default(self.schema, key))?.get(key)
    }

    /// Says that the value under `key` is wrong.
    pub fn wrong(&self, place: Place, message: impl Into<String>, hint: impl Hint) {
        self.problems.error(place, message, hint);
    }

    /// Says that a required key is missing, unless it is there (and may be wrong).
    pub fn require(&self, key: &str, hint: &str) {
        if self.own(key).is_none() {
            self.wrong(self.place, format!("`[{}]` has no `{key}`", self.name), hint);
        }
    }

    fn wrong_type(&self, key: &str, node: &Node, wanted: &str) {
        let hint = match (&node.value, wanted) {
            (Value::Text(text), "an integer") if text.parse::<i64>().is_ok() => Some("write it without the quotes"),
            (Value::Text(text), "a boolean") if text == "true" || text == "false" => {
                Some("write it without the quotes")
            }
            (Value::Integer(_) | Value::Float | Value::Boolean(_), wanted) if wanted.starts_with("a string") => {
                Some("put it in quotes")
            }
            _ => None,
        };
        let message = format!("`{key}` must be {wanted}, not {}", node.value.kind());
        self.wrong(node.place, message, hint.map(str::to_owned));
    }

    /// A string, which may be empty.
    pub fn text(&self, key: &str) -> Option<At<&'a str>> {
        self.as_text(key, &self.find(key)?.node, "a string")
    }

    /// A string that is not empty.
    pub fn string(&self, key: &str) -> Option<At<&'a str>> {
        self.as_string(key, &self.find(key)?.node, "a string")
    }

    fn as_string(&self, key: &str, node: &'a Node, wanted: &str) -> Option<At<&'a str>> {
        let text = self.as_text(key, node, wanted)?;
        if text.value.trim().is_empty() {
            self.wrong(text.place, format!("`{key}` is empty"), None);
            return None;
        }
        Some(text)
    }

    fn as_text(&self, key: &str, node: &'a Node, wanted: &str) -> Option<At<&'a str>> {
        match &node.value {
            // No path, argument or variable of the system can hold one.
            Value::Text(text) if text.contains('\0') => {
                self.wrong(node.place, format!("`{key}` holds a NUL character"), None);
                None
            }
            Value::Text(text) => Some(At {
                value: text,
                place: node.place,
            }),
            _ => {
                self.wrong_type(key, node, wanted);
                None
            }
        }
    }

    /// A string or a list of strings, none of them empty. What is no string is reported and left out.
    pub fn strings(&self, key: &str) -> Option<At<Vec<At<&'a str>>>> {
        let node = &self.find(key)?.node;
        let value = match &node.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| self.as_string(key, item, "a string"))
                .collect(),
            _ => vec![self.as_string(key, node, "a string or a list of strings")?],
        };
        Some(At {
            value,
            place: node.place,
        })
    }

    /// Like [`Self::strings`], but an empty list is an error.
    pub fn some_strings(&self, key: &str) -> Option<At<Vec<At<&'a str>>>> {
        let strings = self.strings(key)?;
        if self
            .find(key)
            .is_some_and(|entry| matches!(&entry.node.value, Value::List(items) if items.is_empty()))
        {
            self.wrong(strings.place, format!("`{key}` is an empty list"), None);
        }
        Some(strings)
    }

    /// Each string of a string or a list of strings, turned into something by `turn`, which reports what it refuses.
    pub fn each<T>(&self, key: &str, turn: impl FnMut(At<&'a str>) -> Option<T>) -> Vec<T> {
        self.strings(key)
            .map(|list| list.value.into_iter().filter_map(turn).collect())
            .unwrap_or_default()
    }

    /// Whether the value is just this word.
    pub fn is_word(&self, key: &str, word: &str) -> bool {
        matches!(self.find(key), Some(entry) if matches!(&entry.node.value, Value::Text(text) if text == word))
    }

    /// The raw value, for the one key that is a string or an argument list with a meaning of its own.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        Some(&self.find(key)?.node)
    }

    /// Where the value of a key stands.
    pub fn value_at(&self, key: &str) -> Option<At<&'a str>> {
        let place = self.find(key)?.node.place;
        Some(At { value: "", place })
    }

    /// The strings of a list, empty ones too.
    pub fn arguments(&self, key: &str, items: &'a [Node]) -> Vec<At<&'a str>> {
        items
            .iter()
            .filter_map(|item| self.as_text(key, item, "a string"))
            .collect()
    }

    /// The names and strings of a table of strings: first those of `[defaults]`, then its own.
    pub fn pairs(&self, key: &str) -> Vec<(At<&'a str>, At<&'a str>)> {
        let mut pairs = Vec::new();
        for entry in self.inherited(key).into_iter().chain(self.own(key)) {
            let Some(table) = self.as_table(key, &entry.node) else {
                continue;
            };
            for (name, entry) in table {
                if let Some(text) = self.as_text(&format!("{key}.{name}"), &entry.node, "a string") {
                    pairs.push((
                        At {
                            value: name.as_str(),
                            place: entry.key,
                        },
                        text,
                    ));
                }
            }
        }
        pairs
    }

    /// What the table of keys says of a key.
    fn key(&self, name: &str) -> Option<&'static Key> {
        keys::find(self.schema, name)
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        self.key(name).map(|key| match key.kind {
            Kind::OffOr(kind) => *kind,
            kind => kind,
        })
    }

    /// The default of a key, as it would be written.
    fn default(&self, name: &str) -> &'static str {
        match self.key(name).map(|key| key.unset) {
            Some(Unset::Is(value)) => value,
            _ => "",
        }
    }

    /// The default of a key that is a string.
    pub fn usual(&self, key: &str) -> String {
        self.default(key).trim_matches('"').to_owned()
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> bool {
        let usual = self.default(key) == "true";
        let Some(entry) = self.find(key) else { return usual };
        if let Value::Boolean(on) = entry.node.value {
            return on;
        }
        self.wrong_type(key, &entry.node, "a boolean");
        usual
    }

    /// A number within its range, or the default.
    pub fn number(&self, key: &str) -> u64 {
        let usual = || self.default(key).parse().unwrap_or_default();
        self.some_number(key).unwrap_or_else(usual)
    }

    /// A number within its range.
    pub fn some_number(&self, key: &str) -> Option<u64> {
        let node = &self.find(key)?.node;
        let number = match node.value {
            Value::Integer(number) => u64::try_from(number).ok(),
            Value::HugeInteger => None,
            _ => {
                self.wrong_type(key, node, "an integer");
                return None;
            }
        };
        let Some(Kind::Number(least, most)) = self.kind(key) else {
            return number;
        };
        let within = number.filter(|number| (least..=most).contains(number));
        if within.is_none() {
            self.wrong(node.place, format!("`{key}` must be between {least} and {most}"), None);
        }
        within
    }

    /// A number within its range, or the default, as a size in memory.
    pub fn count(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    /// A number within its range, or the default.
    pub fn small(&self, key: &str) -> u32 {
        u32::try_from(self.number(key)).unwrap_or(u32::MAX)
    }

    /// `"90s"`, or the default.
    pub fn duration(&self, key: &str) -> Duration {
        let usual = || units::parse_duration(self.default(key).trim_matches('"')).unwrap_or_default();
        self.some_duration(key).unwrap_or_else(usual)
    }

    fn some_duration(&self, key: &str) -> Option<Duration> {
        const HINT: &str = "a duration is written like \"90s\", \"10m\", \"1h30m\" or \"250ms\"";
        let node = &self.find(key)?.node;
        let Value::Text(text) = &node.value else {
            let message = format!("`{key}` must be a string with a duration, not {}", node.value.kind());
            let hint = match node.value {
                Value::Integer(number) => format!("write \"{number}s\" for seconds, \"{number}m\" for minutes"),
                _ => HINT.to_owned(),
            };
            self.wrong(node.place, message, hint);
            return None;
        };
        let meant = units::meant_duration(text);
        let duration = self.in_units(key, node.place, units::parse_duration(text), meant, HINT)?;
        let Some(Kind::Duration(least, most)) = self.kind(key) else {
            return Some(duration);
        };
        let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
        if (least..=most).contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (units::show_duration(least), units::show_duration(most));
        self.wrong(node.place, format!("`{key}` must be between {least} and {most}"), None);
        None
    }

    /// `"25MiB"`, or bytes as a number; or the default.
    pub fn size(&self, key: &str) -> u64 {
        let usual = || units::parse_size(self.default(key).trim_matches('"')).unwrap_or_default();
        self.some_size(key).unwrap_or_else(usual)
    }

    /// `"25MiB"`, or bytes as a number.
    pub fn some_size(&self, key: &str) -> Option<u64> {
        const HINT: &str = "a size is written like \"25MiB\", \"512KiB\" or \"1GiB\", or as a number of bytes";
        let node = &self.find(key)?.node;
        let bytes = match &node.value {
            Value::Text(text) => {
                let meant = units::meant_size(text);
                self.in_units(key, node.place, units::parse_size(text), meant, HINT)?
            }
            // What is below zero or above 64 bits is in no range.
            Value::Integer(bytes) => u64::try_from(*bytes).unwrap_or(u64::MAX),
            Value::HugeInteger => u64::MAX,
            other => {
                let message = format!("`{key}` must be a size, not {}", other.kind());
                self.wrong(node.place, message, HINT.to_owned());
                return None;
            }
        };
        let Some(Kind::Size(least, most)) = self.kind(key) else {
            return Some(bytes);
        };
        if (least..=most).contains(&bytes) {
            return Some(bytes);
        }
        let (least, most) = (units::show_size(least), units::show_size(most));
        self.wrong(node.place, format!("`{key}` must be between {least} and {most}"), None);
        None
    }

    fn in_units<T>(
        &self,
        key: &str,
        place: Place,
        parsed: Result<T, UnitError>,
        meant: Option<String>,
        hint: &str,
    ) -> Option<T> {
        let hint = || meant.map_or(hint.to_owned(), |meant| format!("write \"{meant}\""));
        parsed
            .map_err(|e| self.wrong(place, format!("`{key}`: {e}"), hint()))
            .ok()
    }

    /// One of a few words. Without the key or with another word it is the default.
    pub fn choice<T: Spelled>(&self, key: &str) -> T {
        let usual = || T::spelled(self.default(key).trim_matches('"'));
        self.some_choice(key).or_else(usual).unwrap_or(T::ALL[0])
    }

    /// Like [`Self::choice`], for a key without a default.
    pub fn some_choice<T: Spelled>(&self, key: &str) -> Option<T> {
        self.chosen(key, self.string(key)?)
    }

    /// The meaning of one of a few words.
    pub fn chosen<T: Spelled>(&self, key: &str, word: At<&str>) -> Option<T> {
        let found = T::spelled(word.value);
        if found.is_none() {
            let all = || format!("one of `{}`", T::WORDS.join("`, `"));
            let hint = suggest::hint(word.value, T::WORDS.iter().copied()).unwrap_or_else(all);
            let message = format!("`{}` is no value of `{key}`", word.value.escape_debug());
            self.wrong(word.place, message, hint);
        }
        found
    }

    /// A path, made absolute against the file's directory.
    pub fn path(&self, key: &str) -> Option<At<PathBuf>> {
        let text = self.string(key)?;
        self.as_path(key, text).map(|value| text.with(value))
    }

    /// The text of a value as a path.
    pub fn as_path(&self, key: &str, text: At<&str>) -> Option<PathBuf> {
        if let Some(reason) = paths::refuse_unexpanded(text.value) {
            self.wrong(text.place, format!("`{key}`: {reason}"), "write the path from the root");
            return None;
        }
        Some(paths::absolute(self.problems.directory(text.place), text.value))
    }
}
