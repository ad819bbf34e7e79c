//! webhookd: its `[[project]]` tables.

use std::path::Path;

use super::draft::{Draft, RepoDraft};
use super::tree::Node;
use super::{Bad, origin};
use crate::exec::quoted;

/// Keys of a project that are carried over.
const KNOWN: [&str; 6] = ["name", "event", "exec", "working_directory", "token", "secret"];

/// Reads the file.
pub(super) fn read(root: &Node) -> Result<Draft, Bad> {
    let mut draft = Draft::default();
    let projects = root.get("project").map(Node::items).unwrap_or_default();
    if projects.is_empty() {
        return Err(Bad::new(root.place, "there is no `[[project]]`").hint("is it a file of webhookd?"));
    }
    for (key, place, value) in root.entries() {
        match key.as_str() {
            "project" => {}
            "listen_addr" => draft.listen = value.text().map(str::to_owned),
            other => draft.note(*place, format!("`{other}` is not a key of webhookd")),
        }
    }
    for project in projects {
        let repo = project_of(project, &mut draft)?;
        draft.repos.push(repo);
    }
    Ok(draft)
}

fn project_of(project: &Node, draft: &mut Draft) -> Result<RepoDraft, Bad> {
    let required = |key: &str| {
        let text = project.get(key).and_then(Node::text);
        text.ok_or_else(|| Bad::new(project.place, format!("the project has no `{key}`")))
    };
    let (name, exec) = (required("name")?, required("exec")?);
    let directory = required("working_directory")?;
    let mut repo = RepoDraft {
        name: name.to_owned(),
        place: project.place,
        url: origin(Path::new(directory)),
        reload: Some(format!("cd {}\n{exec}", quoted(directory))),
        ..RepoDraft::default()
    };
    for (key, place, value) in project.entries() {
        let text = value.text().unwrap_or_default();
        match key.as_str() {
            "secret" => {
                repo.forge = Some("github");
                repo.secrets.push(text.to_owned());
            }
            "token" => {
                repo.forge = repo.forge.or(Some("gitlab"));
                repo.secrets.push(text.to_owned());
            }
            "event" if matches!(text, "push" | "tag_push" | "ping") => {}
            "event" if matches!(text, "release" | "workflow_run" | "pipeline") => repo.on.push(text.to_owned()),
            "event" => draft.note(
                *place,
                format!("project `{name}`: the event `{text}` is not carried over: hookd deploys refs"),
            ),
            "endpoint" => draft.note(
                *place,
                format!("project `{name}`: the forge delivers to /hook/NAME now, not to {text}"),
            ),
            "stdout" | "stderr" => draft.note(
                *place,
                format!("project `{name}`: `{key}` is not carried over: see hookd logs"),
            ),
            "save_body" if text == "false" => {}
            "save_body" => {
                let line = repo.reload.take().unwrap_or_default();
                repo.reload = Some(format!("export WEBHOOKD_BODY=\"$HOOKD_PAYLOAD_FILE\"\n{line}"));
            }
            known if KNOWN.contains(&known) => {}
            other => draft.note(*place, format!("project `{name}`: `{other}` is not a key of webhookd")),
        }
    }
    if repo.url.is_none() {
        draft.note(
            project.place,
            format!("project `{name}`: it does not say where the repository is: write its `url`"),
        );
    }
    draft.note(
        project.place,
        format!("project `{name}`: it ran for every ref; hookd follows main, or what `branch` says"),
    );
    if repo.secrets.is_empty() {
        draft.note(
            project.place,
            format!("project `{name}`: it has no secret that a forge signs with: a new one is made"),
        );
    }
    Ok(repo)
}
