//! Reading the main file and the drop-ins beside it, and making one tree of them.

use std::collections::btree_map;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Report};
use super::problems::Problems;
use super::raw::{self, Entry, Table, Value};
use super::redact;
use super::source::{Place, Source};

/// Directory of the drop-ins, beside the main file.
pub(super) const DROP_INS: &str = "hookd.d";

/// Tables that a drop-in may add to; everything else belongs in the main file.
const IN_DROP_INS: &[&str] = &["repo", "notify", "forge"];

/// Largest file that is taken for a configuration: a thousand repos are a tenth of it, a disk image is not read.
const FILE_MAX: u64 = 4 << 20;

/// The main file, then the drop-ins by name; or what can't be read, all of it.
pub(super) fn read(file: &Path) -> Result<Vec<Source>, Report> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut paths = vec![file.clone()];
    let mut diagnostics = Vec::new();
    match drop_ins(&file.with_file_name(DROP_INS)) {
        Ok(more) => paths.extend(more),
        Err(diagnostic) => diagnostics.push(*diagnostic),
    }
    let mut sources = Vec::new();
    for path in paths {
        match read_text(&path) {
            Ok(text) => sources.push(Source::new(&path, text)),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
    if diagnostics.is_empty() {
        Ok(sources)
    } else {
        Err(Report { diagnostics })
    }
}

fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let unreadable = |e| Box::new(Diagnostic::of_file(directory, format!("cannot be read: {e}"), None));
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_text(path: &Path) -> Result<String, Box<Diagnostic>> {
    let failed =
        |message: String, hint: Option<&str>| Box::new(Diagnostic::of_file(path, message, hint.map(str::to_owned)));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    if let Err(e) = read {
        let hint = match e.kind() {
            std::io::ErrorKind::NotFound => Some("`--config FILE` or HOOKD_CONFIG names another file"),
            std::io::ErrorKind::PermissionDenied => Some("run this as root or as the user that the daemon runs as"),
            _ => None,
        };
        return Err(failed(format!("cannot be read: {e}"), hint));
    }
    if bytes.len() as u64 > FILE_MAX {
        return Err(failed(
            format!("more than {} MiB: not a configuration", FILE_MAX >> 20),
            None,
        ));
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()]
            .split(|b| *b == b'\n')
            .count();
        failed(format!("not UTF-8 in line {line}"), Some("TOML files are UTF-8"))
    })
}

/// One tree of all the files. `None` if one has a syntax error: what stands in a broken file can only be guessed.
pub(super) fn merge(problems: &Problems) -> Option<Table> {
    let mut merged = Table::new();
    let mut broken = false;
    for (number, source) in problems.sources.iter().enumerate() {
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        let mut table = raw::table(number, document.get_ref());
        redact::mask_tree(&table, problems);
        broken |= !errors.is_empty();
        for error in &errors {
            let span = error.span().unwrap_or_default();
            redact::mask_line(source, span.start);
            let place = Place {
                source: number,
                start: span.start,
                end: span.end,
            };
            let (_, line) = source.line_at(span.start);
            problems.error(place, error.message(), syntax_hint(error.message(), &source.text[line]));
        }
        if number > 0 {
            keep_drop_in_keys(&mut table, problems);
        }
        add(&mut merged, table, "", problems);
    }
    (!broken).then_some(merged)
}

/// What to do about a line that is no TOML, as far as it looks like something else.
fn syntax_hint(message: &str, line: &str) -> Option<String> {
    let line = line.trim();
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    let hint = match message {
        _ if line.contains(['“', '”', '„', '‘', '’']) => "write plain quotes: \"",
        "duplicate key" if line.starts_with('[') => "write its keys below the first table of that name",
        "duplicate key" => "write each key once; several values are a list: [\"a\", \"b\"]",
        _ if line.starts_with(['{', '}']) => "the file is TOML, not JSON: `key = value`, below `[table]`",
        _ if !line.contains('=') && line.contains(':') => "TOML has `key = value`, and no colons",
        _ if matches!(value, "True" | "False" | "yes" | "no" | "on" | "off") => "write true or false",
        text if text.starts_with("string values must be quoted") => "put it in quotes",
        text if text.starts_with("missing escaped value") || text.contains("unicode") => {
            "write a backslash as `\\\\`, or the text in single quotes"
        }
        text if text.starts_with("invalid basic string") => "the closing quote is missing",
        text if text.starts_with("unclosed table") => "the closing `]` is missing",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn keep_drop_in_keys(table: &mut Table, problems: &Problems) {
    table.retain(|key, entry| {
        let allowed = IN_DROP_INS.contains(&key.as_str());
        if !allowed {
            let main = problems.sources[0].file.display();
            let hint = format!("write it into {main}; a drop-in has [repo.NAME], [notify.NAME] and [forge.NAME]");
            problems.error(entry.key, format!("`{key}` does not belong in a drop-in"), hint);
        }
        allowed
    });
}

/// Adds the entries of one file; tables grow together, any other key may be given once.
fn add(into: &mut Table, from: Table, path: &str, problems: &Problems) {
    for (key, entry) in from {
        let name = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match into.entry(key) {
            btree_map::Entry::Vacant(free) => {
                free.insert(entry);
            }
            btree_map::Entry::Occupied(mut taken) => match (&mut taken.get_mut().node.value, entry) {
                (
                    Value::Table(old),
                    Entry {
                        node:
                            raw::Node {
                                value: Value::Table(new),
                                ..
                            },
                        ..
                    },
                ) => {
                    add(old, new, &name, problems);
                }
                (_, second) => {
                    let first = problems.line_of(taken.get().key);
                    problems.error(second.key, format!("`{name}` is given twice, first in {first}"), None);
                }
            },
        }
    }
}
