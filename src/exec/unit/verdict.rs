//! From what the unit may and how it ended to what a person reads.

use std::time::Duration;

use nix::unistd::{User, geteuid};

use super::bus::{Result as UnitResult, Settled};
use super::{FILES_GROUP, Template, Unit};
use crate::config::units::show_duration;
use crate::exec::wire::{End, Report};

/// Exit codes of systemd itself, before it executes anything (`systemd.exec(5)`): 200 and more.
const SYSTEMD_CODES: std::ops::RangeInclusive<i32> = 200..=245;

/// The name of the user that this process is.
pub(super) fn own_user() -> String {
    let me = geteuid();
    User::from_uid(me)
        .ok()
        .flatten()
        .map_or(me.to_string(), |user| user.name)
}

/// The number of a unit's user; without `User=` it is root.
pub(super) fn uid_of(user: &str) -> std::result::Result<u32, String> {
    if user.is_empty() {
        return Ok(0);
    }
    let found = User::from_name(user).map_err(|error| format!("looking up the user {user}: {error}"))?;
    let uid = found.map(|user| user.uid.as_raw()).or_else(|| user.parse().ok());
    uid.ok_or_else(|| format!("there is no user {user}"))
}

/// Whether the command may run in a unit like that; if not, why. What is only a limit does not keep it from running.
pub(super) fn refuse(unit: &Unit, run_as: Option<&str>, settled: &Settled) -> Option<String> {
    let user = run_as.map_or_else(own_user, ToOwned::to_owned);
    // Without `User=` it is root.
    let has = if settled.user.is_empty() { "root" } else { &settled.user };
    let name = &unit.name;
    let hint = "`hookd check` prints the drop-in that root has to write; or set isolation = \"process\"";
    if has != user {
        return Some(match run_as {
            Some(_) => format!("run_as = {user:?}: the unit {name} runs as {has} ({hint})"),
            None => format!("hookd runs as {user}, and the unit {name} as {has} (run hookd as {has}, or {hint})"),
        });
    }
    if user != own_user() && settled.group != FILES_GROUP {
        return Some(format!(
            "run_as = {user:?}: the unit {name} does not run in the group {FILES_GROUP}, through which hookd removes what it makes ({hint})"
        ));
    }
    if !unit.network && settled.network && unit.name.template == Template::Run {
        return Some(format!("network = false: the unit {name} has a network ({hint})"));
    }
    None
}

/// What the configuration limits and the unit does not.
pub(super) fn lacking(unit: &Unit, memory_max: Option<u64>, settled: &Settled) -> Vec<String> {
    let mut lacking = Vec::new();
    let larger = |wanted: Option<u64>, has: u64| wanted.is_some_and(|wanted| has > wanted);
    let other = |wanted: Option<u64>, has: u64| wanted.is_some_and(|wanted| has != wanted);
    if larger(memory_max, settled.memory_max) {
        lacking.push("`memory_max` holds for each process by itself, and not for all together".to_owned());
    }
    if larger(unit.tasks_max, settled.tasks_max) {
        lacking.push("`tasks_max` does not hold".to_owned());
    }
    for (key, wanted, has) in [
        ("cpu_weight", unit.cpu_weight, settled.cpu_weight),
        ("io_weight", unit.io_weight, settled.io_weight),
    ] {
        if other(wanted, has) {
            lacking.push(format!("`{key}` does not hold"));
        }
    }
    lacking
}

/// The report from within the unit, together with systemd's.
pub(super) fn verdict(report: Option<Report>, result: &UnitResult, settled: &Settled, took: Duration) -> Report {
    let reported = report.is_some();
    let mut report = report.unwrap_or_else(|| unreported(result));
    if report.stopped {
        return report;
    }
    // Files in memory stay when their writer is killed, so the kernel kills all of the unit, the supervisor too, and systemd can't tell
    // why where control groups have version 1.
    let killed = result.word == "signal" && result.status == nix::libc::SIGKILL;
    let all_killed = !reported && killed && settled.memory_max != u64::MAX;
    let memory = result.word == "oom-kill" || report.counters.oom_kills > 0 || all_killed;
    if all_killed {
        let text =
            "all of its unit was killed at once, as the kernel does when files in memory reach the limit (memory_max)";
        report.notes.push(text.to_owned());
    }
    let after = show_duration(Duration::from_secs(took.as_secs().max(1)));
    if memory {
        report.killed = Some(match settled.memory_max {
            u64::MAX => format!("the machine was out of memory, after {after}"),
            limit => format!("memory {} after {after}", in_words(limit)),
        });
    } else if result.word == "timeout" {
        report.killed = Some(format!("the unit's RuntimeMaxSec= was over, after {after}"));
    }
    if report.counters.refused_forks > 0 {
        let text = format!(
            "it reached the limit of {} processes and threads (tasks_max)",
            settled.tasks_max
        );
        report.notes.push(text);
    }
    report
}

/// The main process of the unit ended without a word.
pub(super) fn unreported(result: &UnitResult) -> Report {
    let end = match (result.word.as_str(), result.status) {
        ("exit-code", code) if SYSTEMD_CODES.contains(&code) => End::NotStarted(format!(
            "systemd could not set its sandbox up (status {code}, see `journalctl -u 'hookd-r*'`)"
        )),
        ("exit-code", code) => End::NotStarted(format!("the unit's supervisor ended with {code}")),
        ("signal" | "core-dump", number) => End::Signalled(number),
        ("oom-kill" | "timeout", _) => End::Signalled(nix::libc::SIGKILL),
        (word, _) => End::NotStarted(format!("the unit ended with the result {word}")),
    };
    Report::plain(end)
}

/// `512 MiB`
fn in_words(bytes: u64) -> String {
    let text = crate::config::units::show_size(bytes);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    format!("{} {}", &text[..digits], &text[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled() -> Settled {
        Settled {
            user: own_user(),
            group: String::new(),
            network: true,
            memory_max: 512 << 20,
            tasks_max: 64,
            cpu_weight: u64::MAX,
            io_weight: u64::MAX,
        }
    }

    fn ended(word: &str, status: i32) -> UnitResult {
        UnitResult {
            word: word.into(),
            status,
        }
    }

    #[test]
    fn what_killed_it_is_said_in_words() {
        let took = Duration::from_millis(41_300);
        let verdict = |word, status| verdict(None, &ended(word, status), &settled(), took);
        let killed = verdict("oom-kill", 9);
        assert_eq!(killed.killed.as_deref(), Some("memory 512 MiB after 41s"));
        let silent = verdict("signal", 9);
        assert_eq!(silent.end, End::Signalled(9));
        assert_eq!(silent.killed.as_deref(), Some("memory 512 MiB after 41s"));
        assert_eq!(verdict("signal", 11).killed, None);
        let End::NotStarted(why) = verdict("exit-code", 226).end else {
            panic!("it did not run")
        };
        assert!(why.contains("226"), "{why}");
        assert!(verdict("timeout", 15).killed.unwrap().contains("RuntimeMaxSec="));
    }

    #[test]
    fn what_was_counted_counts() {
        let took = Duration::from_millis(300);
        let mut report = unreported(&ended("success", 0));
        report.end = End::Exited(1);
        report.counters.oom_kills = 1;
        report.counters.refused_forks = 7;
        let told = verdict(Some(report), &ended("success", 0), &settled(), took);
        assert_eq!(told.killed.as_deref(), Some("memory 512 MiB after 1s"));
        assert_eq!(
            told.notes,
            ["it reached the limit of 64 processes and threads (tasks_max)"]
        );
    }

    #[test]
    fn a_unit_of_another_user_or_with_a_network_is_refused() {
        let mut unit = Unit::probe();
        let has = settled();
        assert_eq!(refuse(&unit, None, &has), None);
        assert!(
            refuse(&unit, Some("alice"), &has)
                .unwrap()
                .contains("run_as = \"alice\"")
        );
        let theirs = Settled {
            user: "alice".into(),
            group: "hookd".into(),
            ..settled()
        };
        assert!(
            refuse(&unit, Some("alice"), &theirs)
                .unwrap()
                .contains("group hookd-files")
        );
        unit.network = false;
        assert!(refuse(&unit, None, &has).unwrap().contains("network = false"));
        let offline = Settled { network: false, ..has };
        assert_eq!(refuse(&unit, None, &offline), None);
    }

    #[test]
    fn limits_that_only_the_configuration_knows_are_said() {
        let mut unit = Unit::probe();
        assert!(lacking(&unit, Some(512 << 20), &settled()).is_empty());
        unit.cpu_weight = Some(20);
        let lacks = lacking(&unit, Some(256 << 20), &settled());
        assert!(
            lacks[0].starts_with("`memory_max`") && lacks[1].starts_with("`cpu_weight`"),
            "{lacks:?}"
        );
    }
}
