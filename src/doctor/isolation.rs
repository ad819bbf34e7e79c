//! The units that commands of a target run in: do the drop-ins stand that its limits, its user and the secrets need?

use std::fs;

use super::Scene;
use super::finding::{Area, Findings};
use super::settings::word;
use crate::config::Isolation;
use crate::exec::{self, DropIn, Units, quoted};

/// Looks at the drop-ins of all targets that may run in units.
pub fn look(scene: &Scene<'_>, found: &mut Findings) {
    if !scene.machine.managed() || Units::obstacle().is_some() {
        return;
    }
    for target in scene.config.repos.values().flat_map(|repo| repo.targets.values()) {
        if target.isolation == Some(Isolation::Process) {
            continue;
        }
        for wanted in exec::drop_ins(scene.config, target) {
            let there = fs::read_to_string(&wanted.path).ok();
            judge(&target.id.to_string(), &wanted, there.as_deref(), found);
        }
    }
}

fn judge(target: &str, wanted: &DropIn, there: Option<&str>, found: &mut Findings) {
    let shown = wanted.path.display();
    if there == Some(&wanted.text) {
        found.ok(
            Area::Unit,
            format!("target {target}: {shown} says what the configuration says"),
        );
        return;
    }
    let text = match there {
        None => format!(
            "target {target}: its commands' unit {} lacks its drop-in {shown}",
            wanted.unit
        ),
        Some(_) => format!("target {target}: {shown} does not say what the configuration says now"),
    };
    let lines: Vec<String> = wanted.text.lines().map(quoted).collect();
    let error = found.error(Area::Unit, text);
    if let Some(directory) = wanted.path.parent() {
        error.fix(format!("mkdir -p {}", word(directory)));
    }
    error.fix(format!(r"printf '%s\n' {} > {}", lines.join(" "), word(&wanted.path)));
    error.fix("systemctl daemon-reload");
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_drop_in_that_lacks_or_differs_is_printed_whole() {
        let wanted = DropIn {
            unit: "hookd-run@blog-live.service".into(),
            path: "/etc/systemd/system/hookd-run@blog-live.service.d/50-hookd.conf".into(),
            text: "# it's hookd's\n[Service]\nMemoryMax=1\n".into(),
        };
        let level = |there: Option<&str>| {
            let mut found = Findings::default();
            judge("blog/live", &wanted, there, &mut found);
            (found.0[0].level, found.0[0].fix.clone())
        };
        assert_eq!(level(Some(&wanted.text)).0, Level::Ok);
        let (lacks, fix) = level(None);
        assert_eq!(lacks, Level::Error);
        assert_eq!(fix[1].replace(r"'\''", "").matches('\'').count() % 2, 0, "{fix:?}");
        assert!(
            fix[1].contains("MemoryMax=1") && fix[1].ends_with("50-hookd.conf"),
            "{fix:?}"
        );
        assert_eq!(level(Some("[Service]\n")).0, Level::Error);
    }
}
