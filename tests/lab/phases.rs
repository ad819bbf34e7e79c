//! hookd, its package or the machine goes away in each phase of a deployment that has a build, a reload and a check: nothing is rolled
//! back, nothing fails, and what was pushed is live in the end.

use crate::container::{Kind, PLAIN};
use crate::deb;
use crate::site::{Site, configuration};

/// The phases that have a command.
const PHASES: [&str; 3] = ["build", "reload", "check"];

/// Debian 13 with what units take.
const NEWER: Kind = Kind {
    suite: "trixie",
    packages: "git,libssl3t64,polkitd,curl,sudo",
    ..PLAIN
};

/// A command that stays in its phase as long as a file says so.
const GATE: &str = "echo \"in $1\"\nwhile [ -e \"/srv/hold-$1\" ]; do sleep 0.1; done\n";

/// The commands of the target.
const KEYS: &str = r#"
build = "sh /srv/gate build"
reload = "sh /srv/gate reload"
check = "sh /srv/gate check"
check_timeout = "50s"
"#;

/// What a stop meets: a deployment that may still finish, or one that is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The command goes on while the daemon stops, and the next phases begin meanwhile.
    Finishes,
    /// The command does not end in time.
    CutsOff,
}

/// A site with these commands, where the first page is live.
fn site(on: impl FnOnce() -> Site, stop: Stop) -> Site {
    let site = on();
    site.machine.write("/srv/gate", 0o755, GATE);
    let grace = if stop == Stop::Finishes { "20s" } else { "1s" };
    site.configure(&format!("[limits]\nstop_grace = \"{grace}\"\n{}", configuration(KEYS)));
    site.machine.sh("systemctl enable --now hookd");
    site.machine
        .until("journalctl -u hookd -o cat | grep -x 'commands run in units of systemd'");
    site.push("first");
    site.served("first");
    site.settled();
    site
}

/// Does `action` in each phase, and looks at what came of it.
fn in_each_phase(site: &Site, stop: Stop, label: &str, action: impl Fn(&Site)) {
    let machine = &site.machine;
    for phase in PHASES {
        let page = format!("{label} in {phase}");
        machine.sh(&format!("touch /srv/hold-{phase}"));
        site.push(&page);
        machine.until(&format!("hookd logs site/live | grep -q 'in {phase}'"));
        if stop == Stop::Finishes {
            machine.sh(&format!(
                "(until systemctl show -p StatusText hookd | grep -q 'may finish'; do sleep 0.1; done; rm /srv/hold-{phase}) \
                 >/dev/null 2>&1 &"
            ));
        }
        action(site);
        machine.sh(&format!("rm -f /srv/hold-{phase}"));
        machine.until("hookd status");
        site.served(&page);
        site.settled();
        nothing_failed(site, &page);
    }
}

/// No deployment failed, went back, or left anything running.
fn nothing_failed(site: &Site, page: &str) {
    let history = site.json("hookd history --json");
    let rows = history.as_array().unwrap();
    assert_eq!(rows[0]["outcome"], "live", "{page}: {history}");
    assert_eq!(rows[0]["subject"], *page, "{history}");
    for row in rows {
        let outcome = row["outcome"].as_str().unwrap_or_default();
        assert!(["live", "unchanged", "interrupted"].contains(&outcome), "{page}: {row}");
    }
    let left = site.machine.sh("systemctl list-units --all --no-legend 'hookd-r*'");
    assert_eq!(left, "", "{page}");
}

fn restarted(site: &Site) {
    site.machine.sh("systemctl restart hookd");
}

fn stopped(site: &Site) {
    site.machine.sh("systemctl stop hookd");
    assert_eq!(site.property("Result"), "success");
    site.machine.sh("systemctl start hookd");
}

fn upgraded_and_back(site: &Site) {
    let installed = "dpkg-query -W -f '${Version}' hookd";
    let before = site.machine.sh(installed);
    let other = if before.ends_with(".1") { "hookd" } else { "newer" };
    site.machine.sh(&format!("dpkg -i /root/{other}.deb </dev/null"));
    assert_ne!(site.machine.sh(installed), before);
}

fn removed(site: &Site) {
    site.machine
        .sh("dpkg -r hookd; dpkg -i /root/hookd.deb; systemctl start hookd");
}

#[test]
fn a_restart_in_each_phase_ends_live() {
    for stop in [Stop::Finishes, Stop::CutsOff] {
        let site = site(Site::stopped, stop);
        in_each_phase(&site, stop, "restarted", restarted);
        in_each_phase(&site, stop, "stopped", stopped);
    }
}

#[test]
fn another_package_in_each_phase_ends_live() {
    for stop in [Stop::Finishes, Stop::CutsOff] {
        let site = site(Site::stopped, stop);
        site.machine.copy(deb::newer(), "/root/newer.deb");
        in_each_phase(&site, stop, "newer", upgraded_and_back);
        in_each_phase(&site, stop, "older", upgraded_and_back);
        in_each_phase(&site, stop, "removed", removed);
    }
}

#[test]
fn a_reboot_in_each_phase_ends_live() {
    for stop in [Stop::Finishes, Stop::CutsOff] {
        let site = site(Site::stopped, stop);
        in_each_phase(&site, stop, "rebooted", |site| site.machine.reboot());
    }
}

#[test]
fn a_newer_systemd_does_the_same() {
    let site = site(|| Site::stopped_on(NEWER), Stop::Finishes);
    in_each_phase(&site, Stop::Finishes, "restarted", restarted);
    in_each_phase(&site, Stop::Finishes, "rebooted", |site| site.machine.reboot());
}

#[test]
fn a_purge_in_each_phase_leaves_a_whole_site() {
    for phase in PHASES {
        let site = site(Site::stopped, Stop::CutsOff);
        let machine = &site.machine;
        machine.sh(&format!("touch /srv/hold-{phase}"));
        site.push("second");
        machine.until(&format!("hookd logs site/live | grep -q 'in {phase}'"));
        machine.sh("dpkg -P hookd");
        let page = machine.sh("cat /srv/site/current/index.html");
        let expected = if phase == "build" { "first\n" } else { "second\n" };
        assert_eq!(page, expected, "{phase}");
        assert_eq!(
            machine.sh("systemctl list-units --no-legend 'hookd*'; ps -eo args | grep -c '[s]rv/gate' || :"),
            "0\n"
        );
    }
}

#[test]
fn a_reload_that_kills_the_daemon_does_not_stop_it() {
    let site = Site::stopped();
    let machine = &site.machine;
    let keys = r#"
isolation = "process"
reload = "[ ! -e /srv/kill ] || kill -KILL $(systemctl show -P MainPID hookd)"
"#;
    site.configure(&configuration(keys));
    machine.sh("systemctl enable --now hookd");
    site.push("first");
    site.served("first");
    site.settled();
    machine.sh("touch /srv/kill");
    // More often in a minute than systemd starts a service by default.
    for round in 1..=4 {
        site.push(&format!("bad {round}"));
        machine.until(&format!(
            "[ \"$(hookd history | grep -c 'killed 2 times')\" = {round} ]"
        ));
        site.served("first");
    }
    assert_eq!(site.property("ActiveState"), "active");
    machine.sh("rm /srv/kill");
    site.push("good");
    site.served("good");
}
