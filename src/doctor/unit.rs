//! The systemd unit: installed, enabled, running, and as closed as it is shipped.

use std::path::Path;

use super::finding::{Area, Findings};
use crate::config::Config;
use crate::exec::quoted;
use crate::machine::{Machine, Unit, in_home};
use crate::machine::{Setting, UnitText, same_value};
use crate::model::TargetId;

const AREA: Area = Area::Unit;

/// The unit of this version.
const SHIPPED: &str = include_str!("../../packaging/hookd.service");

/// Lists in which a shorter one is closed further, and a longer one is open further.
const ALLOWING: &[&str] = &[
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "RestrictAddressFamilies",
];

/// Settings that say yes or no, or one word.
const PLAIN: &[&str] = &[
    "User",
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    "PrivateMounts",
    "PrivateDevices",
    "DevicePolicy",
    "NoNewPrivileges",
    "RestrictSUIDSGID",
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectClock",
    "ProtectHostname",
    "ProtectControlGroups",
    "ProtectProc",
    "RemoveIPC",
    "PrivateIPC",
    "RestrictNamespaces",
    "RestrictRealtime",
    "LockPersonality",
    "SystemCallArchitectures",
    "UMask",
    "CacheDirectory",
    "CacheDirectoryMode",
    "LimitNOFILE",
    "LogRateLimitIntervalSec",
];

/// Lists of what is out of sight.
const HIDING: &[&str] = &["InaccessiblePaths", "TemporaryFileSystem", "ReadOnlyPaths"];

/// Lists of what is brought into sight.
const BINDING: &[&str] = &["BindPaths", "BindReadOnlyPaths"];

/// Looks at the unit.
pub fn look(machine: &Machine, config: Option<&Config>, found: &mut Findings) {
    if !machine.systemd {
        found.skipped(
            AREA,
            "systemd does not run this machine: nothing here says how hookd is started",
        );
        return;
    }
    match &machine.unit {
        None => {
            found.skipped(AREA, "hookd.service is not about this configuration file");
        }
        Some(unit) => judge(unit, machine.socket.is_some(), config.and_then(at_home), found),
    }
}

/// Whether the daemon runs as systemd sees it.
pub fn active(unit: &Unit) -> bool {
    matches!(unit.property("ActiveState"), "active" | "reloading" | "activating")
}

/// A target in somebody's home, which takes an open one.
fn at_home(config: &Config) -> Option<&TargetId> {
    let mut targets = config.repos.values().flat_map(|repo| repo.targets.values());
    targets.find(|target| in_home(&target.path)).map(|target| &target.id)
}

fn judge(unit: &Unit, socket: bool, at_home: Option<&TargetId>, found: &mut Findings) {
    match unit.property("LoadState") {
        "loaded" => {}
        "masked" => {
            found
                .error(AREA, "hookd.service is masked: it can't be started")
                .fix("systemctl unmask hookd");
            return;
        }
        "not-found" => {
            let hint = "install hookd's package, or packaging/hookd.service as the README's `Install` says";
            found.error(AREA, "hookd.service is not installed").hint(hint);
            return;
        }
        other => {
            found
                .error(AREA, format!("systemd can't load hookd.service: {other}"))
                .hint("systemctl status hookd says why");
            return;
        }
    }
    state(unit, socket, found);
    let mut shipped = UnitText::default();
    shipped.add(Path::new("hookd.service"), SHIPPED);
    let wider = widened("hookd.service", &shipped, &unit.text);
    if wider.is_empty() {
        found.ok(AREA, "hookd.service is as closed as it is shipped");
    }
    for (setting, text) in wider {
        let of_drop_in = setting.filter(|setting| setting.file.starts_with("/etc/systemd/system/hookd.service.d"));
        let needed = setting.filter(|setting| setting.key == "ProtectHome").and(at_home);
        let warning = found.warning(AREA, text);
        if let Some(target) = needed {
            warning.hint(format!("{target} needs it; below /srv it would not"));
        } else if let Some(setting) = of_drop_in {
            warning.hint("keep it if a deployment needs it; else run the fix");
            warning.fix(format!(
                "sed -i '{}s/^/#/' {}",
                setting.line,
                quoted(&setting.file.display().to_string())
            ));
            warning.fix("systemctl daemon-reload").fix("systemctl restart hookd");
        }
    }
}

fn state(unit: &Unit, socket: bool, found: &mut Findings) {
    match unit.property("UnitFileState") {
        "enabled" | "enabled-runtime" | "static" | "linked" | "alias" | "generated" => {
            found.ok(AREA, "hookd.service starts with the machine");
        }
        _ if socket => found.ok(AREA, "hookd.service is started by hookd.socket"),
        _ => {
            let text = "hookd.service is not enabled: after a boot nothing deploys";
            found.error(AREA, text).fix("systemctl enable hookd");
        }
    }
    if unit.property("NeedDaemonReload") == "yes" {
        let text = "the unit or a drop-in was changed, and systemd has not read it yet";
        found
            .warning(AREA, text)
            .fix("systemctl daemon-reload")
            .fix("systemctl restart hookd");
    }
    match unit.property("ActiveState") {
        "active" | "reloading" => found.ok(AREA, "hookd.service is active"),
        "failed" => {
            let how = match (unit.property("Result"), unit.property("ExecMainStatus")) {
                ("exit-code", "78") => "the configuration is bad".to_owned(),
                ("exit-code", code) => format!("it exited with {code}"),
                (result, _) => result.to_owned(),
            };
            found
                .error(AREA, format!("hookd.service has failed: {how}"))
                .fix("systemctl reset-failed hookd")
                .fix("systemctl restart hookd")
                .hint("journalctl -u hookd -n 50 says why");
        }
        "activating" if unit.property("SubState") == "auto-restart" => {
            let text = "hookd.service fails and is restarted, again and again";
            found
                .error(AREA, text)
                .fix("systemctl restart hookd")
                .hint("journalctl -u hookd -n 50 says why");
        }
        "activating" => found.ok(AREA, "hookd.service is being started"),
        _ => {
            found
                .error(AREA, "hookd.service does not run")
                .fix("systemctl start hookd");
        }
    }
}

/// Where a unit is open further than another, with the setting that makes it so.
pub(super) fn widened<'u>(name: &str, shipped: &UnitText, unit: &'u UnitText) -> Vec<(Option<&'u Setting>, String)> {
    let mut wider = unhidden(name, shipped, unit);
    for key in PLAIN {
        let (wanted, is) = (shipped.value(key), unit.value(key));
        let closed = closed_further(key, is);
        if !wanted.is_empty() && !same_value(wanted, is) && !closed {
            let setting = unit.last(key);
            let text = match setting {
                Some(setting) => format!(
                    "{}:{}: {key}={is} instead of {key}={wanted}, as it is shipped",
                    setting.file.display(),
                    setting.line
                ),
                None => format!("{name} lacks {key}={wanted}, which the unit of this version has"),
            };
            wider.push((setting, text));
        }
    }
    for key in ALLOWING {
        let wanted = shipped.words(key);
        if unit.last(key).is_none() {
            wider.push((None, format!("{name} lacks {key}={}", wanted.join(" "))));
        }
        for (word, setting) in unit.each(key) {
            if !wanted.contains(&word) {
                let text = format!("{}:{}: {key}= allows {word}", setting.file.display(), setting.line);
                wider.push((Some(setting), text));
            }
        }
    }
    let (wanted, is) = (shipped.all("SystemCallFilter"), unit.all("SystemCallFilter"));
    if let Some(missing) = wanted
        .iter()
        .find(|line| !is.iter().any(|other| other.value == line.value))
    {
        wider.push((None, format!("{name} lacks SystemCallFilter={}", missing.value)));
    }
    for setting in is
        .iter()
        .filter(|line| !wanted.iter().any(|other| other.value == line.value))
    {
        if !setting.value.starts_with('~') {
            let text = format!(
                "{}:{}: SystemCallFilter= allows {}",
                setting.file.display(),
                setting.line,
                setting.value
            );
            wider.push((Some(setting), text));
        }
    }
    wider
}

/// What is shown that the other hides, or bound to where it is not.
fn unhidden<'u>(name: &str, shipped: &UnitText, unit: &'u UnitText) -> Vec<(Option<&'u Setting>, String)> {
    let mut wider = Vec::new();
    for key in HIDING {
        let is = unit.words(key);
        for word in shipped.words(key).into_iter().filter(|word| !is.contains(word)) {
            wider.push((None, format!("{name} lacks {key}={word}")));
        }
    }
    for key in BINDING {
        let wanted = shipped.words(key);
        for (word, setting) in unit.each(key) {
            // What hookd's own drop-ins bind.
            if !wanted.contains(&word) && word != "/run/hookd" {
                let text = format!(
                    "{}:{}: {key}={word} leads past directories that are closed to the commands' user",
                    setting.file.display(),
                    setting.line
                );
                wider.push((Some(setting), text));
            }
        }
    }
    wider
}

/// Values that differ from the shipped one and give less.
fn closed_further(key: &str, value: &str) -> bool {
    match key {
        "User" => !value.is_empty() && value != "root",
        "ProtectProc" => value == "noaccess",
        "DevicePolicy" => value == "strict",
        "UMask" => !value.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn judged(properties: &[(&str, &str)], drop_in: &str) -> Findings {
        let mut unit = Unit::default();
        for (key, value) in [
            ("LoadState", "loaded"),
            ("UnitFileState", "enabled"),
            ("ActiveState", "active"),
        ]
        .iter()
        .chain(properties)
        {
            unit.properties.insert((*key).to_owned(), (*value).to_owned());
        }
        unit.text.add(Path::new("/etc/systemd/system/hookd.service"), SHIPPED);
        unit.text
            .add(Path::new("/etc/systemd/system/hookd.service.d/x.conf"), drop_in);
        let mut found = Findings::default();
        judge(&unit, false, None, &mut found);
        found
    }

    #[test]
    fn the_shipped_unit_is_well() {
        let found = judged(&[], "");
        assert_eq!(
            (found.count(Level::Error), found.count(Level::Warning)),
            (0, 0),
            "{found:?}"
        );
    }

    #[test]
    fn drop_ins_that_open_are_named() {
        let found = judged(
            &[],
            "[Service]\nNoNewPrivileges=no\nReadWritePaths=/var/www\nCapabilityBoundingSet=CAP_SYS_ADMIN\nUMask=0027\n",
        );
        let texts = found.texts(Level::Warning);
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].starts_with("/etc/systemd/system/hookd.service.d/x.conf:2: NoNewPrivileges=no instead"));
        assert!(texts[1].contains("allows CAP_SYS_ADMIN"), "{texts:?}");
        assert_eq!(
            found.0.iter().find(|f| f.level == Level::Warning).unwrap().fix[0],
            "sed -i '2s/^/#/' /etc/systemd/system/hookd.service.d/x.conf"
        );
    }

    #[test]
    fn what_does_not_run_is_an_error_with_its_fix() {
        for (properties, fix) in [
            (&[("ActiveState", "inactive")][..], "systemctl start hookd"),
            (&[("UnitFileState", "disabled")], "systemctl enable hookd"),
            (&[("LoadState", "masked")], "systemctl unmask hookd"),
            (
                &[
                    ("ActiveState", "failed"),
                    ("Result", "exit-code"),
                    ("ExecMainStatus", "78"),
                ],
                "systemctl reset-failed hookd",
            ),
        ] {
            let found = judged(properties, "");
            let errors: Vec<_> = found.0.iter().filter(|f| f.level == Level::Error).collect();
            assert_eq!((errors.len(), errors[0].fix[0].as_str()), (1, fix), "{found:?}");
        }
    }
}
