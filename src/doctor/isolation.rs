//! The units that commands run in: whether they are there, and whether root's drop-ins say what the configuration does.

use std::fs;
use std::path::Path;

use super::{Area, Findings, Scene};
use crate::config::Isolation;
use crate::exec::{DropIn, ReloadRule, Units, drop_ins, quoted, reload_rule};

/// Where polkit's rules are: root's own, and those of packages.
const POLKIT_RULES: [&str; 2] = ["/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"];

/// Looks at templates and drop-ins, and at what the daemon says of them.
pub(super) fn look(scene: &Scene<'_>, found: &mut Findings) {
    let targets = || scene.config.repos.values().flat_map(|repo| repo.targets.values());
    if let Some(status) = &scene.told.status {
        found.ok(Area::Unit, status.isolation.clone());
    }
    if targets().all(|target| target.isolation == Some(Isolation::Process)) {
        return;
    }
    if let Some(obstacle) = Units::obstacle() {
        let wanted = |isolation| isolation == Some(Isolation::Systemd);
        for target in targets().filter(|target| wanted(target.isolation) || !target.network) {
            let text = format!("the commands of {} need units of systemd, and {obstacle}", target.id);
            found
                .error(Area::Unit, text)
                .hint("install hookd's package, or set `isolation = \"process\"`");
        }
        return;
    }
    for drop_in in drop_ins(scene.config) {
        match fs::read_to_string(&drop_in.path) {
            Ok(text) if text == drop_in.text => {
                found.ok(
                    Area::Unit,
                    format!("{} is what the configuration says", drop_in.path.display()),
                );
            }
            read => {
                let lack = if read.is_ok() {
                    "says something else"
                } else {
                    "is missing"
                };
                let text = format!(
                    "limits, user or hidden paths of {} do not hold: {} {lack}",
                    drop_in.unit,
                    drop_in.path.display()
                );
                found.warning(Area::Unit, text).fix.extend(fix(&drop_in));
            }
        }
    }
}

/// Shell lines that write it.
fn fix(drop_in: &DropIn) -> Vec<String> {
    let mut lines = writing(&drop_in.path, &drop_in.text);
    lines.push("systemctl daemon-reload".to_owned());
    lines
}

/// Shell lines that write a file.
fn writing(path: &Path, text: &str) -> Vec<String> {
    let directory = path.parent().unwrap_or(path);
    let lines: Vec<String> = text.lines().map(quoted).collect();
    vec![
        format!("mkdir -p {}", quoted(&directory.to_string_lossy())),
        format!(
            r"printf '%s\n' {} > {}",
            lines.join(" "),
            quoted(&path.to_string_lossy())
        ),
    ]
}

/// Looks whether polkit lets each `reload` ask systemd for what it asks for.
pub(super) fn reloads(scene: &Scene<'_>, found: &mut Findings) {
    let Some(daemon) = scene
        .machine
        .daemon
        .as_ref()
        .filter(|daemon| scene.machine.systemd && daemon.uid != 0)
    else {
        return;
    };
    let rules: Vec<ReloadRule> = scene
        .config
        .repos
        .values()
        .flat_map(|repo| repo.targets.values())
        .filter_map(|target| reload_rule(target, &daemon.name))
        .collect();
    if rules.is_empty() {
        return;
    }
    let Some(texts) = polkit_rules() else {
        found.skipped(
            Area::Unit,
            format!(
                "what polkit lets `reload` do: {} can be read by root only",
                POLKIT_RULES[0]
            ),
        );
        return;
    };
    for rule in rules {
        let names: Vec<&str> = rule.asked.iter().map(|(_, unit)| unit.as_str()).collect();
        let names = names.join(", ");
        // Rules are programs; what a person wrote in another way is taken for right if it names the unit and the user.
        let is_named = |unit: &String| {
            texts
                .iter()
                .any(|text| text.contains(unit.as_str()) && text.contains(&daemon.name))
        };
        if rule.asked.iter().all(|(_, unit)| is_named(unit)) {
            found.ok(
                Area::Unit,
                format!("a polkit rule names {names}, which a `reload` asks systemd for"),
            );
        } else {
            let text = format!(
                "a `reload` asks systemd for {names}, and no polkit rule lets {} do that",
                daemon.name
            );
            found
                .error(Area::Unit, text)
                .fix
                .extend(writing(&rule.path, &rule.text));
        }
    }
}

/// The text of all rules but hookd's own; none if they can't be read.
fn polkit_rules() -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for directory in POLKIT_RULES {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != "50-hookd.rules") {
            texts.push(fs::read_to_string(entry.path()).ok()?);
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_writes_just_that() {
        let directory = tempfile::tempdir().unwrap();
        let drop_in = DropIn {
            unit: "x@.service".into(),
            path: directory.path().join("x@.service.d/50-hookd.conf"),
            text: "# it's \"hookd\"\n[Service]\nInaccessiblePaths=-\"/srv/%%x y\"\n".into(),
        };
        let lines = fix(&drop_in);
        for line in &lines[..2] {
            let status = std::process::Command::new("sh").args(["-euc", line]).status();
            assert!(status.unwrap().success(), "{line}");
        }
        assert_eq!(fs::read_to_string(&drop_in.path).unwrap(), drop_in.text);
    }
}
