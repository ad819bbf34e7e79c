//! The daemon that runs: does it answer, is it of this version, who may ask it, what does it say of its targets?

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use super::Scene;
use super::finding::{Area, Findings};
use super::settings::word;
use super::unit::active;
use crate::api::{Status, TargetStatus};
use crate::exec;
use crate::machine::asked;
use crate::machine::rights;
use crate::model::short_commit;

/// Whether the control socket can be reached, and by whom.
pub fn control(scene: &Scene<'_>, found: &mut Findings) {
    let path = &scene.config.control;
    let shown = path.display();
    match UnixStream::connect(path).map_err(|error| error.kind()) {
        Ok(_) => rights_of_control(scene, found),
        Err(ErrorKind::PermissionDenied) => {
            let me = &scene.machine.me.name;
            let text = format!("{me} may not use the control socket {shown}");
            let error = found.error(Area::Sockets, text);
            error
                .fix(format!("adduser {me} hookd"))
                .hint("then log in again: groups count from the next login on");
        }
        Err(_) => not_running(scene, found),
    }
}

fn rights_of_control(scene: &Scene<'_>, found: &mut Findings) {
    let path = &scene.config.control;
    let Ok(about) = std::fs::metadata(path) else { return };
    let wrong = if about.mode() & 0o007 != 0 {
        Some("every user of this machine can deploy and roll back by it")
    } else if about.mode() & 0o060 != 0o060 {
        Some("members of its group can't use it")
    } else {
        None
    };
    match wrong {
        Some(why) => {
            let text = format!("control socket {} ({}): {why}", path.display(), rights(&about));
            found
                .error(Area::Sockets, text)
                .fix(format!("chmod 660 {}", word(path)));
        }
        None => found.ok(
            Area::Sockets,
            format!("control socket {} answers ({})", path.display(), rights(&about)),
        ),
    }
}

fn not_running(scene: &Scene<'_>, found: &mut Findings) {
    let path = scene.config.control.display();
    match &scene.machine.unit {
        Some(unit) if active(unit) => {
            let text = format!("hookd runs but does not answer at {path}");
            found.error(Area::Sockets, text).fix("systemctl restart hookd");
        }
        // The unit's own look says that it does not run, and what to do.
        Some(_) => {
            found.skipped(Area::Daemon, "the daemon does not run: nothing to ask it");
        }
        None => {
            let hint = format!("hookd serve --config {}", word(&scene.config.file));
            found
                .warning(Area::Daemon, format!("no daemon answers at {path}"))
                .hint(hint);
        }
    }
}

/// Version and warnings of the daemon, and its targets.
pub fn status(status: &Status, managed: bool, found: &mut Findings) {
    let mine = env!("CARGO_PKG_VERSION");
    if status.version == mine {
        found.ok(Area::Daemon, format!("hookd {mine} runs, process {}", status.pid));
    } else {
        let text = format!(
            "the daemon is hookd {}, and the program is hookd {mine}",
            status.version
        );
        let warning = found.warning(Area::Daemon, text);
        if managed {
            warning.fix("systemctl restart hookd");
        } else {
            warning.hint("restart the daemon");
        }
    }
    for warning in &status.warnings {
        found.warning(Area::Daemon, warning.clone());
    }
    for problem in &status.problems {
        if !status.warnings.contains(&problem.text) {
            found
                .warning(Area::Daemon, problem.text.clone())
                .hint(problem.hint.clone());
        }
    }
    for target in &status.targets {
        self::target(target, found);
    }
}

/// Problems that keep people from seeing what they pushed; the others are wanted by somebody, or may pass.
const GRAVE: &[&str] = &[
    "failed",
    "nothing-live",
    "ref-missing",
    "current-missing",
    "current-foreign",
    "webhook-mismatch",
    "disk-low",
];

fn target(target: &TargetStatus, found: &mut Findings) {
    let name = &target.target;
    for problem in &target.problems {
        let text = format!("{name}: {}", problem.text);
        let finding = if GRAVE.contains(&problem.code.as_str()) {
            found.error(Area::Targets, text)
        } else {
            found.warning(Area::Targets, text)
        };
        if let (true, Some(last)) = (problem.code == "failed", &target.last) {
            finding
                .fix(format!("hookd retry {name}"))
                .hint(format!("hookd logs {} shows what it printed", last.id));
        } else if problem.hint.starts_with("hookd ") && !problem.hint.contains(',') {
            finding.fix(problem.hint.clone());
        } else {
            finding.hint(problem.hint.clone());
        }
    }
    if target.problems.is_empty() {
        let text = match &target.live {
            Some(live) => {
                let commit = short_commit(&live.commit);
                let last = target.last.as_ref().and_then(|last| last.outcome.as_deref());
                let last = last.map(|outcome| format!("; its last deployment was {outcome}"));
                format!("{name}: {commit} is live{}", last.unwrap_or_default())
            }
            None => format!("{name}: {}", target.state),
        };
        found.ok(Area::Targets, text);
    }
}

/// Whether whoever asks sees what hookd writes into the journal.
pub async fn journal(scene: &Scene<'_>, found: &mut Findings) {
    if !scene.machine.managed() || !exec::installed("journalctl") {
        return;
    }
    let readers = ["systemd-journal", "adm"];
    let member = |group: &str| {
        let group = nix::unistd::Group::from_name(group).ok().flatten();
        group.is_some_and(|group| scene.machine.me.groups.contains(&group.gid.as_raw()))
    };
    let me = &scene.machine.me.name;
    if !scene.machine.root() && !readers.iter().any(|group| member(group)) {
        let text = format!("{me} may not read hookd's messages in the journal");
        found
            .warning(Area::Daemon, text)
            .fix(format!("adduser {me} systemd-journal"))
            .hint("then log in again");
    } else if asked("journalctl", &["-u", "hookd", "-n", "1", "-q", "--no-pager"])
        .await
        .is_none()
    {
        let error = found.warning(
            Area::Daemon,
            "the journal can't be read: why something failed is seen in `hookd logs` only",
        );
        error.fix("systemctl restart systemd-journald");
    } else {
        found.ok(Area::Daemon, "the journal can be read: journalctl -u hookd");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::api::Problem;

    fn judged(change: impl Fn(&mut Status, &mut TargetStatus)) -> Findings {
        let text = format!(
            r#"{{"version":"{}","pid":1,"started_at":0,"config":"/etc/hookd.toml","warnings":[],"waiting":0,"running":0,"targets":[]}}"#,
            env!("CARGO_PKG_VERSION")
        );
        let mut status: Status = serde_json::from_str(&text).unwrap();
        let text = r#"{"target":"blog/live","follows":"branch main","path":"/srv/blog","state":"live","commit":"1a2b3c4",
            "ref":"refs/heads/main","release":"x","live_since":0,"pinned":null,"paused":false,"behind":false,
            "live":{"commit":"1a2b3c4","subject":null,"author":null,"ref":null,"release":"x","since":0},"tip":null,"problems":[],
            "remote_error":null,"running":null,"last":null,"waiting":[],"next_try":null}"#;
        let mut target = serde_json::from_str(text).unwrap();
        change(&mut status, &mut target);
        status.targets = vec![target];
        let mut found = Findings::default();
        self::status(&status, true, &mut found);
        found
    }

    #[test]
    fn what_needs_a_person_is_told() {
        let well = judged(|_, _| {});
        assert_eq!(
            (well.count(Level::Error), well.count(Level::Warning)),
            (0, 0),
            "{well:?}"
        );
        let older = judged(|status, _| status.version = "0.0.1".into());
        assert!(
            older.texts(Level::Warning)[0].contains("the daemon is hookd 0.0.1"),
            "{older:?}"
        );
        assert_eq!(older.0[0].fix, ["systemctl restart hookd"]);
        let broken = judged(|status, _| status.warnings = vec!["the configuration file is broken".into()]);
        assert_eq!(broken.texts(Level::Warning), ["the configuration file is broken"]);
        let problem = |code: &str, hint: &str| Problem {
            code: code.into(),
            text: "as it is".into(),
            hint: hint.into(),
            since: None,
        };
        let pinned = judged(|_, target| target.problems = vec![problem("pinned", "hookd resume blog/live")]);
        assert_eq!(pinned.0.last().unwrap().fix, ["hookd resume blog/live"]);
        assert_eq!(pinned.count(Level::Error), 0);
        let new = judged(|_, target| target.problems = vec![problem("nothing-live", "hookd deploy blog/live")]);
        assert_eq!(new.texts(Level::Error), ["blog/live: as it is"]);
    }
}
