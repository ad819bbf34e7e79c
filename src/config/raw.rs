//! The configuration as typed: a tree of values in which each knows its place.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Place;

/// A value as TOML has it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    /// More than 64 bits can hold.
    HugeInteger,
    Float,
    Boolean(bool),
    Time,
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// What it is, in words, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) | Self::HugeInteger => "an integer",
            Self::Float => "a number with a fraction",
            Self::Boolean(_) => "a boolean",
            Self::Time => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// A key's place, and what it is set to.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: Place,
    pub node: Node,
}

/// A table: keys in the order of the alphabet.
pub(super) type Table = BTreeMap<String, Entry>;

/// The table of the file with that number.
pub(super) fn table(source: usize, table: &DeTable) -> Table {
    let entries = table.iter().map(|(key, value)| {
        let entry = Entry {
            key: place(source, &key.span()),
            node: node(source, value),
        };
        (key.get_ref().to_string(), entry)
    });
    entries.collect()
}

fn node(source: usize, value: &Spanned<DeValue>) -> Node {
    let typed = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(digits) => {
            i64::from_str_radix(digits.as_str(), digits.radix()).map_or(Value::HugeInteger, Value::Integer)
        }
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(on) => Value::Boolean(*on),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(source, item)).collect()),
        DeValue::Table(entries) => Value::Table(table(source, entries)),
    };
    Node {
        place: place(source, &value.span()),
        value: typed,
    }
}

fn place(source: usize, span: &Range<usize>) -> Place {
    Place {
        source,
        start: span.start,
        end: span.end,
    }
}
