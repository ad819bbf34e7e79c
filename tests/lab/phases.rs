//! hookd, its package or the machine goes away in each phase of a deployment that has a build, a reload and a check: nothing is rolled
//! back, nothing fails, and what was pushed is live in the end.

use crate::container::{Kind, PLAIN};
use crate::deb;
use crate::site::{REPOSITORY, Site, configuration};

/// The phases that have a command.
const COMMANDS: [&str; 3] = ["build", "reload", "check"];

/// These, and the one that waits for the forge.
const PHASES: [&str; 4] = ["fetch", "build", "reload", "check"];

/// The repository's URL there.
const FORGE: &str = "http://127.0.0.1:8090/site.git";

/// The repository over HTTP, by nginx and git, which can be held as commands can; both are there before hookd after a boot.
const BEHIND_NGINX: &str = r#"
install -d -m 777 /srv/told
cat >/etc/nginx/conf.d/forge.conf <<'END'
server {
    listen 127.0.0.1:8090;
    location / {
        include fastcgi_params;
        fastcgi_read_timeout 300s;
        fastcgi_param SCRIPT_FILENAME /srv/forge;
        fastcgi_param GIT_PROJECT_ROOT /srv/git;
        fastcgi_param GIT_HTTP_EXPORT_ALL "";
        fastcgi_param PATH_INFO $uri;
        fastcgi_pass unix:/run/fcgiwrap.socket;
    }
}
END
git config --system --add safe.directory '*'
mkdir -p /etc/systemd/system/hookd.service.d
printf '[Unit]\nAfter=nginx.service fcgiwrap.socket\n' >/etc/systemd/system/hookd.service.d/forge.conf
systemctl daemon-reload
systemctl enable --now fcgiwrap.socket nginx
systemctl restart nginx
"#;

/// git's own program behind the web server. What is told in a phase stands in a file, since there is no output.
const BACKEND: &str = "#!/bin/sh\n[ ! -e /srv/hold-fetch ] || echo 'in fetch' >>/srv/told/fetch\n\
                       while [ -e /srv/hold-fetch ]; do sleep 0.1; done\nexec /usr/lib/git-core/git-http-backend\n";

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
fn site(on: Kind, url: &str, stop: Stop) -> Site {
    let site = Site::stopped_on(on);
    let machine = &site.machine;
    machine.write("/srv/gate", 0o755, GATE);
    if url == FORGE {
        machine.write("/srv/forge", 0o755, BACKEND);
        machine.sh(BEHIND_NGINX);
    }
    let grace = if stop == Stop::Finishes { "20s" } else { "1s" };
    let target = configuration(KEYS).replace(REPOSITORY, url);
    site.configure(&format!("[limits]\nstop_grace = \"{grace}\"\n{target}"));
    machine.sh("systemctl enable --now hookd");
    machine.until("journalctl -u hookd -o cat | grep -x 'commands run in units of systemd'");
    site.push("first");
    site.served("first");
    site.settled();
    site
}

/// Keeps a deployment of this page in a phase, until `/srv/hold-PHASE` is removed.
fn hold(site: &Site, phase: &str, page: &str) {
    let machine = &site.machine;
    machine.sh(&format!("rm -f /srv/told/*; touch /srv/hold-{phase}"));
    site.push(page);
    if phase == "fetch" {
        machine.until("grep -q 'in fetch' /srv/told/fetch");
    } else {
        machine.until(&format!("hookd logs site/live | grep -q 'in {phase}'"));
    }
}

/// Does `action` in each phase, and looks at what came of it.
fn in_each_phase(site: &Site, phases: &[&str], stop: Stop, label: &str, action: impl Fn(&Site)) {
    let machine = &site.machine;
    for phase in phases {
        let page = format!("{label} in {phase}");
        hold(site, phase, &page);
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
        let site = site(PLAIN, FORGE, stop);
        in_each_phase(&site, &PHASES, stop, "restarted", restarted);
        in_each_phase(&site, &PHASES, stop, "stopped", stopped);
    }
}

#[test]
fn another_package_in_each_phase_ends_live() {
    for stop in [Stop::Finishes, Stop::CutsOff] {
        let site = site(PLAIN, FORGE, stop);
        site.machine.copy(deb::newer(), "/root/newer.deb");
        in_each_phase(&site, &PHASES, stop, "newer", upgraded_and_back);
        in_each_phase(&site, &PHASES, stop, "older", upgraded_and_back);
        in_each_phase(&site, &PHASES, stop, "removed", removed);
    }
}

#[test]
fn a_reboot_in_each_phase_ends_live() {
    for stop in [Stop::Finishes, Stop::CutsOff] {
        let site = site(PLAIN, FORGE, stop);
        in_each_phase(&site, &PHASES, stop, "rebooted", |site| site.machine.reboot());
    }
}

#[test]
fn a_newer_systemd_does_the_same() {
    let site = site(NEWER, REPOSITORY, Stop::Finishes);
    in_each_phase(&site, &COMMANDS, Stop::Finishes, "restarted", restarted);
    in_each_phase(&site, &COMMANDS, Stop::Finishes, "rebooted", |site| {
        site.machine.reboot();
    });
}

#[test]
fn a_purge_in_each_phase_leaves_a_whole_site() {
    for phase in PHASES {
        let site = site(PLAIN, FORGE, Stop::CutsOff);
        let machine = &site.machine;
        hold(&site, phase, "second");
        machine.sh("dpkg -P hookd");
        let page = machine.sh("cat /srv/site/current/index.html");
        let expected = if ["fetch", "build"].contains(&phase) {
            "first\n"
        } else {
            "second\n"
        };
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
