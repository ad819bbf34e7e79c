//! Commands: a string is a line for the shell, a list is a program and its arguments.

use crate::config::raw::{Node, Value};
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::value::{Check, Command};

use super::apis;

/// Programs whose arguments may be lines for a shell.
const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "su", "sudo", "runuser", "ssh",
];

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
            section.wrong(node.place, format!("`{key}` is an empty list"), "leave the key out");
        }
        return None;
    };
    if program.value.trim().is_empty() {
        section.wrong(program.place, format!("`{key}` names no program"), None);
    }
    // A shell replaces it all the same.
    let shell = program
        .value
        .rsplit('/')
        .next()
        .is_some_and(|name| SHELLS.contains(&name));
    for word in words
        .iter()
        .filter(|word| word.value == "~" || word.value.starts_with("~/"))
    {
        if !shell {
            let message = format!("`{key}`: `~` is not replaced by a home directory in a list");
            section.wrong(word.place, message, "write the path from the root");
        }
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
        if looks_like_a_url(text) {
            let message = "`check` is run as a command, since neither `http://` nor `https://` begins it";
            section.wrong(node.place, message, format!("write \"http://{text}\""));
            return None;
        }
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let message = "`check` is run as a command, since only http:// and https:// are asked";
            section.problems.warning(node.place, message, None);
        }
    }
    read(section, "check").map(Check::Command)
}

/// Whether a URL without its scheme stands there: `localhost:8080/up`, `127.0.0.1:8080`, `blog.example.org/up`.
fn looks_like_a_url(text: &str) -> bool {
    let (host, path) = text
        .split_once('/')
        .map_or((text, None), |(host, path)| (host, Some(path)));
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if text.contains(char::is_whitespace) {
        return false;
    }
    if let Some((name, port)) = host.rsplit_once(':') {
        return (plain(name) || name.starts_with('[')) && port.parse::<u16>().is_ok();
    }
    let top = host
        .rsplit_once('.')
        .map_or("", |(name, top)| if plain(name) { top } else { "" });
    path.is_some() && top.len() > 1 && top.bytes().all(|b| b.is_ascii_alphanumeric()) && !host.starts_with('.')
}
