//! adnanh/webhook: hooks.json and hooks.yaml, by its manual's pages "Hook definition", "Hook rules" and "Referencing request values".

use std::path::Path;

use super::draft::{Draft, RepoDraft};
use super::tree::{Node, Value};
use super::{Bad, origin, rules};
use crate::exec::quoted;

/// Keys that have no counterpart, and what hookd does.
const WITHOUT: &[(&str, &str)] = &[
    ("response-message", "hookd answers the forge in JSON of its own"),
    ("response-headers", "hookd answers with headers of its own"),
    (
        "success-http-response-code",
        "hookd answers 202 once a delivery is on disk",
    ),
    (
        "trigger-rule-mismatch-http-response-code",
        "hookd answers 200 and says why it ignores a delivery",
    ),
    (
        "incoming-payload-content-type",
        "hookd takes JSON and forms, as forges send them",
    ),
    ("http-methods", "hookd takes POST alone"),
    (
        "include-command-output-in-response",
        "the forge has its answer before a command runs; see hookd logs",
    ),
    (
        "include-command-output-in-response-on-error",
        "the forge has its answer before a command runs; see hookd logs",
    ),
    ("parse-parameters-as-json", "hookd reads payloads by itself"),
    (
        "pre-hook-command",
        "hookd runs no command of its own before a delivery is judged",
    ),
    ("trigger-signature-soft-failures", "a wrong signature is always 401"),
    (
        "keep-file-environment",
        "HOOKD_PAYLOAD_FILE is there while the commands run",
    ),
];

/// Values of requests that hookd has as variables of the environment, by source and name.
const VARIABLES: &[(&str, &str, &str)] = &[
    ("payload", "ref", "HOOKD_REF"),
    ("payload", "after", "HOOKD_COMMIT"),
    ("payload", "checkout_sha", "HOOKD_COMMIT"),
    ("payload", "head_commit.id", "HOOKD_COMMIT"),
    ("payload", "before", "HOOKD_PREVIOUS_COMMIT"),
    ("payload", "pusher.name", "HOOKD_PUSHER"),
    ("payload", "pusher.username", "HOOKD_PUSHER"),
    ("payload", "user_username", "HOOKD_PUSHER"),
    ("payload", "user_name", "HOOKD_PUSHER"),
    ("payload", "push.changes.0.new.name", "HOOKD_BRANCH"),
    ("header", "x-github-event", "HOOKD_EVENT"),
    ("header", "x-gitlab-event", "HOOKD_EVENT"),
    ("header", "x-gitea-event", "HOOKD_EVENT"),
    ("header", "x-event-key", "HOOKD_EVENT"),
    ("header", "x-github-delivery", "HOOKD_DELIVERY"),
    ("header", "x-gitea-delivery", "HOOKD_DELIVERY"),
    ("header", "x-request-uuid", "HOOKD_DELIVERY"),
];

/// Reads a file of hooks.
pub(super) fn read(root: &Node) -> Result<Draft, Bad> {
    let Value::List(hooks) = &root.value else {
        return Err(Bad::new(root.place, "not a list of hooks").hint("is it a file of adnanh/webhook?"));
    };
    let mut draft = Draft::default();
    for hook in hooks {
        let repo = hook_of(hook, &mut draft)?;
        draft.repos.push(repo);
    }
    Ok(draft)
}

fn hook_of(hook: &Node, draft: &mut Draft) -> Result<RepoDraft, Bad> {
    if hook.entries().is_empty() {
        return Err(Bad::new(
            hook.place,
            "not a hook: an object with `id` and `execute-command`",
        ));
    }
    let required = |key: &str| {
        let text = hook.get(key).and_then(Node::text).filter(|text| !text.is_empty());
        text.ok_or_else(|| {
            let place = hook.get(key).map_or(hook.place, |node| node.place);
            Bad::new(place, format!("the hook has no `{key}`"))
        })
    };
    let (id, command) = (required("id")?, required("execute-command")?);
    let mut repo = RepoDraft {
        name: id.to_owned(),
        place: hook.place,
        ..RepoDraft::default()
    };
    let directory = hook.get("command-working-directory").and_then(Node::text);
    repo.url = directory.and_then(|directory| origin(Path::new(directory)));
    let mut line = command_line(hook, command, &mut repo, draft);
    if let Some(directory) = directory.filter(|directory| !directory.is_empty()) {
        line = format!("cd {}\n{line}", quoted(directory));
    }
    repo.reload = Some(line);
    for (key, place, value) in hook.entries() {
        if let Some((_, instead)) = WITHOUT.iter().find(|(without, _)| without == key) {
            draft.note(*place, format!("hook `{id}`: `{key}` is not carried over: {instead}"));
        } else if key == "trigger-rule" {
            rules::read(value, &mut repo, draft);
        } else if !KNOWN.contains(&key.as_str()) {
            draft.note(*place, format!("hook `{id}`: `{key}` is not a key of webhook"));
        }
    }
    say_what_changes(hook, id, &repo, draft);
    Ok(repo)
}

/// Keys that are carried over.
const KNOWN: [&str; 6] = [
    "id",
    "execute-command",
    "command-working-directory",
    "pass-arguments-to-command",
    "pass-environment-to-command",
    "pass-file-to-command",
];

fn say_what_changes(hook: &Node, id: &str, repo: &RepoDraft, draft: &mut Draft) {
    draft.note(
        hook.place,
        format!("hook `{id}`: the forge delivers to /hook/NAME now, not to /hooks/{id}"),
    );
    if repo.url.is_none() {
        let text = format!("hook `{id}`: it does not say where the repository is: write its `url`");
        draft.note(hook.place, text);
    }
    if repo.branches.is_empty() && repo.tags.is_empty() {
        draft.note(
            hook.place,
            format!("hook `{id}`: it ran for every ref; hookd follows main, or what `branch` says"),
        );
    }
    if repo.secrets.is_empty() {
        draft.note(
            hook.place,
            format!("hook `{id}`: it has no secret that a forge signs with: a new one is made"),
        );
    }
}

/// The command with its arguments; what it gets by variables and files is set before it.
fn command_line(hook: &Node, command: &str, repo: &mut RepoDraft, draft: &mut Draft) -> String {
    let mut line = String::new();
    let items = |key: &str| hook.get(key).map(Node::items).unwrap_or_default();
    for item in items("pass-environment-to-command") {
        let name = variable_name(item);
        if item.text_at("source") == "string" {
            let value = item.text_at("name").to_owned();
            if name.starts_with("HOOKD_") || !is_variable(&name) {
                draft.note(
                    item.place,
                    format!("hook `{}`: the variable `{name}` is not carried over", repo.name),
                );
            } else {
                repo.env.retain(|(before, _)| *before != name);
                repo.env.push((name, value));
            }
        } else {
            export(&mut line, &name, item, repo, draft);
        }
    }
    for item in items("pass-file-to-command") {
        let name = variable_name(item);
        if item.text_at("source") == "entire-payload" && is_variable(&name) {
            line.extend(["export ", &name, "=\"$HOOKD_PAYLOAD_FILE\"\n"]);
        } else {
            let text = format!(
                "hook `{}`: the file of `{}` is not carried over; HOOKD_PAYLOAD_FILE is the whole payload",
                repo.name,
                item.text_at("name")
            );
            draft.note(item.place, text);
        }
    }
    line.push_str(&quoted(command));
    for item in items("pass-arguments-to-command") {
        line.push(' ');
        line.push_str(&reference(item, repo, draft));
    }
    line
}

fn export(line: &mut String, name: &str, item: &Node, repo: &RepoDraft, draft: &mut Draft) {
    if is_variable(name) {
        let value = reference(item, repo, draft);
        line.extend(["export ", name, "=", &value, "\n"]);
    } else {
        draft.note(
            item.place,
            format!("hook `{}`: the variable `{name}` is not carried over", repo.name),
        );
    }
}

fn variable_name(item: &Node) -> String {
    match item.text_at("envname") {
        "" => format!("HOOK_{}", item.text_at("name")),
        name => name.to_owned(),
    }
}

fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A value of the request, as the shell finds it in what hookd gives to commands.
fn reference(item: &Node, repo: &RepoDraft, draft: &mut Draft) -> String {
    let (source, name) = (item.text_at("source"), item.text_at("name"));
    let lower = name.to_ascii_lowercase();
    let named = |(of, known, _): &&(&str, &str, &str)| {
        *of == source && (*known == name || (source == "header" && *known == lower))
    };
    match (source, VARIABLES.iter().find(named)) {
        ("string", _) => quoted(name),
        ("entire-payload", _) => "\"$(cat \"$HOOKD_PAYLOAD_FILE\")\"".to_owned(),
        (_, Some((_, _, variable))) => format!("\"${variable}\""),
        _ => {
            let text = format!(
                "hook `{}`: {source} `{name}` is not carried over and is empty; a script finds it in $HOOKD_PAYLOAD_FILE if it was pushed",
                repo.name
            );
            draft.note(item.place, text);
            "''".to_owned()
        }
    }
}
