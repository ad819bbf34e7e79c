//! The units that commands run in: whether they are there, and whether root's drop-ins say what the configuration does.

use std::fs;

use super::fence::{POLKIT_RULES, polkit_rules};
use super::{Area, Findings, Scene};
use crate::config::{Config, Isolation};
use crate::exec::{DropIn, ReloadRule, Units, drop_ins, reload_rule, writing};
use crate::machine::Machine;
use crate::model::TargetId;

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

/// What the `reload` of a target asks systemd for, and whether the daemon's user may do that.
pub struct Reload {
    /// The target.
    pub target: TargetId,
    /// The units.
    pub units: String,
    /// The user.
    pub user: String,
    /// Whether a rule of polkit names both; `None` if its rules can't be read.
    pub allowed: Option<bool>,
    /// Shell lines that write the rule.
    pub fix: Vec<String>,
}

/// Each `reload` that needs a rule of polkit. root needs none, and without systemd there is nothing to ask.
pub fn reloads(config: &Config, machine: &Machine) -> Vec<Reload> {
    let Some(daemon) = machine
        .daemon
        .as_ref()
        .filter(|daemon| machine.systemd && daemon.uid != 0)
    else {
        return Vec::new();
    };
    let texts: Option<Vec<String>> = polkit_rules().map(|rules| rules.into_iter().map(|(_, text)| text).collect());
    let targets = config.repos.values().flat_map(|repo| repo.targets.values());
    let rules = targets.filter_map(|target| Some((target.id.clone(), reload_rule(target, &daemon.name)?)));
    // Rules are programs; what a person wrote in another way is taken for right if it names the unit and the user.
    let names = |text: &String, unit: &str| text.contains(unit) && text.contains(&daemon.name);
    let allowed = |texts: &Vec<String>, rule: &ReloadRule| {
        let mut asked = rule.asked.iter();
        asked.all(|(_, unit)| texts.iter().any(|text| names(text, unit)))
    };
    rules
        .map(|(target, rule)| Reload {
            target,
            units: rule
                .asked
                .iter()
                .map(|(_, unit)| unit.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            user: daemon.name.clone(),
            allowed: texts.as_ref().map(|texts| allowed(texts, &rule)),
            fix: rule.writing(),
        })
        .collect()
}

/// Looks whether polkit lets each `reload` ask systemd for what it asks for.
pub(super) fn look_at_reloads(scene: &Scene<'_>, found: &mut Findings) {
    for reload in reloads(scene.config, scene.machine) {
        let Reload { units, user, .. } = &reload;
        match reload.allowed {
            Some(true) => {
                let text = format!("a polkit rule names {units}, which a `reload` asks systemd for");
                found.ok(Area::Unit, text);
            }
            Some(false) => {
                let text = format!("a `reload` asks systemd for {units}, and no polkit rule lets {user} do that");
                found.error(Area::Unit, text).fix.extend(reload.fix);
            }
            None => {
                let text = format!(
                    "what polkit lets `reload` do: {} can be read by root only",
                    POLKIT_RULES[0]
                );
                found.skipped(Area::Unit, text);
            }
        }
    }
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
