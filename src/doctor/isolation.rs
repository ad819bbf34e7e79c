//! The units that commands run in: whether they are there, and whether root's drop-ins say what the configuration does.

use std::fs;

use super::{Area, Findings, Scene};
use crate::config::Isolation;
use crate::exec::{DropIn, Units, drop_ins, quoted};

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
    let directory = drop_in.path.parent().unwrap_or(&drop_in.path);
    let lines: Vec<String> = drop_in.text.lines().map(quoted).collect();
    vec![
        format!("mkdir -p {}", quoted(&directory.to_string_lossy())),
        format!(
            r"printf '%s\n' {} > {}",
            lines.join(" "),
            quoted(&drop_in.path.to_string_lossy())
        ),
        "systemctl daemon-reload".to_owned(),
    ]
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
