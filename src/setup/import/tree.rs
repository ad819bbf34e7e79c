//! JSON, YAML and TOML as one tree of values in which each knows its place.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Bad, Place};

/// Deepest nesting: rules of other programs are a handful deep, and each level is a call.
const DEPTH_MAX: usize = 64;

/// Most values: an alias of YAML is a copy, and aliases of aliases could fill the memory.
const NODES_MAX: usize = 100_000;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// A value. Numbers and booleans are as they are written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// What stands under a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(name, _, _)| name == key)
            .map(|(_, _, node)| node)
    }

    /// Keys, their places and values; `None` if it is no object.
    pub fn entries(&self) -> &[(String, Place, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Its items; `None` if it is no list.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Its text; `None` if it is no string, number or boolean.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text under a key, or an empty one.
    pub fn text_at(&self, key: &str) -> &str {
        self.get(key).and_then(Self::text).unwrap_or_default()
    }
}

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Node, Bad> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let place = Place {
            line: error.line(),
            column: error.column(),
        };
        let bad = Bad::new(place, format!("not valid JSON: {}", cause(&error.to_string())));
        if text.contains("{{") {
            bad.hint("it looks like a template: import what `webhook -template` makes of it")
        } else {
            bad
        }
    })?;
    // All JSON is YAML, whose reader knows places, but for halves of surrogate pairs.
    Ok(yaml(text).unwrap_or_else(|_| placeless(&value)))
}

/// The error without the place, which is told in front of it.
fn cause(error: &str) -> &str {
    error.rsplit_once(" at line ").map_or(error, |(cause, _)| cause)
}

fn placeless(value: &serde_json::Value) -> Node {
    let place = Place::default();
    let value = match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(placeless).collect()),
        serde_json::Value::Object(entries) => {
            let entry = |(key, value): (&String, &serde_json::Value)| (key.clone(), place, placeless(value));
            Value::Map(entries.iter().map(entry).collect())
        }
        other => Value::Text(other.to_string()),
    };
    Node { place, value }
}

/// Reads the first document of YAML.
pub(super) fn yaml(text: &str) -> Result<Node, Bad> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        left: NODES_MAX,
    };
    loop {
        match reader.next()? {
            (Event::StreamEnd, span) => return Err(Bad::new(place(span), "the file is empty")),
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (event, span) => return reader.node(event, span, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, (Node, usize)>,
    left: usize,
}

fn place(span: Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Bad> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let at = error.marker();
                let place = Place {
                    line: at.line(),
                    column: at.col() + 1,
                };
                Err(Bad::new(place, format!("not valid YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Bad> {
        let place = place(span);
        if depth > DEPTH_MAX {
            return Err(Bad::new(place, format!("more than {DEPTH_MAX} levels deep")));
        }
        let before = self.left;
        self.spend(place, 1)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Value::Null
                } else {
                    Value::Text(text.into_owned())
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => {
                let (node, size) = self.anchors.get(&anchor).cloned().unwrap_or((
                    Node {
                        place,
                        value: Value::Null,
                    },
                    1,
                ));
                self.spend(place, size)?;
                return Ok(node);
            }
            _ => (Value::Null, 0),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), before - self.left));
        }
        Ok(node)
    }

    fn spend(&mut self, place: Place, count: usize) -> Result<(), Bad> {
        let left = self.left.checked_sub(count);
        self.left = left.ok_or_else(|| Bad::new(place, format!("more than {NODES_MAX} values")))?;
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Bad> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Bad> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(Value::Map(entries)),
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(name) = key.text() else {
                return Err(Bad::new(key.place, "the key is not a string"));
            };
            entries.push((name.to_owned(), key.place, value));
        }
    }
}

/// Reads TOML.
pub(super) fn toml(text: &str) -> Result<Node, Bad> {
    let found = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Bad::new(place_at(text, at), format!("not valid TOML: {}", error.message()))
    })?;
    Ok(table(text, 0, found.get_ref()))
}

fn table(text: &str, at: usize, table: &DeTable<'_>) -> Node {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let place = place_at(text, key.span().start);
        (key.get_ref().to_string(), place, value_of(text, value))
    };
    Node {
        place: place_at(text, at),
        value: Value::Map(table.iter().map(entry).collect()),
    }
}

fn value_of(text: &str, spanned: &Spanned<DeValue<'_>>) -> Node {
    let at = spanned.span();
    let value = match spanned.get_ref() {
        DeValue::Table(inner) => return table(text, at.start, inner),
        DeValue::Array(items) => Value::List(items.iter().map(|item| value_of(text, item)).collect()),
        DeValue::String(string) => Value::Text(string.to_string()),
        _ => Value::Text(text.get(at.clone()).unwrap_or_default().to_owned()),
    };
    Node {
        place: place_at(text, at.start),
        value,
    }
}

/// Line and column of a byte.
pub(super) fn place_at(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}
