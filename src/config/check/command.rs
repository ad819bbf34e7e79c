//! Commands: a string is a line for the shell, a list is a program and its arguments.

use crate::config::raw::{Node, Value};
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::types::{Check, Command};

use super::apis;

/// The command under a key, if there is one and it says something.
pub(super) fn read(section: &Section, key: &str) -> Option<Command> {
    let node = section.node(key)?;
    let Value::List(items) = &node.value else {
        let line = section.strings(key)?.value.pop()?;
        return Some(Command::Shell(line.value.to_owned()));
    };
    argv(section, key, node, items)
}

fn argv<'a>(section: &Section<'a>, key: &str, node: &Node, items: &'a [Node]) -> Option<Command> {
    let words = section.arguments(key, items);
    let Some(program) = words.first() else {
        if items.is_empty() {
            section.wrong(
                node.place,
                format!("`{key}` is an empty list"),
                "leave the key out".to_owned(),
            );
        }
        return None;
    };
    if program.value.trim().is_empty() {
        section.wrong(program.place, format!("`{key}` names no program"), None);
    }
    Some(Command::Argv(words.iter().map(|word| word.value.to_owned()).collect()))
}

/// `check`: what begins like a web address is one, everything else is a command.
pub(super) fn check(section: &Section) -> Option<Check> {
    let node = section.node("check")?;
    if let Value::Text(text) = &node.value {
        let at = At {
            value: text.as_str(),
            place: node.place,
        };
        if text.starts_with("http://") || text.starts_with("https://") {
            return apis::web_url(section, at).map(Check::Url);
        }
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let message = "`check` is run as a command, since only http:// and https:// are asked";
            section.problems.warning(node.place, message, None);
        }
    }
    read(section, "check").map(Check::Command)
}
