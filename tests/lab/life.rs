//! The package's life: installed, started, upgraded, removed, purged.

use std::process::Command;

use crate::container::{NEWER, PLAIN};
use crate::deb;
use crate::site::Site;

/// All files of the machine but those that any installation changes: package lists, caches and logs.
const FILES: &str = "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /root -o -path /var/cache \
                     -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd/deb-systemd-helper-enabled \\) \
                     -prune -o -print | sort";

#[test]
fn lintian_finds_no_fault() {
    let output = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"])
        .arg(deb::package())
        .output()
        .expect("lintian is missing: tests/run installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.is_empty(), "{text}");
}

#[test]
fn an_installation_is_complete_and_waits_for_a_configuration() {
    let machine = deb::installed(PLAIN);
    assert_eq!(
        machine.sh("stat -c '%a %U %G %n' /usr/bin/hookd /etc/hookd.toml /etc/hookd /var/lib/hookd"),
        "755 root root /usr/bin/hookd\n644 root root /etc/hookd.toml\n750 root hookd /etc/hookd\n711 hookd hookd /var/lib/hookd\n"
    );
    assert_eq!(
        machine
            .sh("dpkg-query -W -f '${Conffiles}' hookd | cut -d' ' -f2")
            .trim(),
        "/etc/hookd.toml"
    );
    assert_eq!(machine.try_sh("systemctl is-enabled hookd").stdout, b"disabled\n");
    assert_eq!(machine.try_sh("systemctl is-active hookd").stdout, b"inactive\n");
    for page in ["hookd", "hookd.toml", "hookd-deploy", "hookd-forges", "hookd-api"] {
        machine.sh(&format!("man {page} | grep -q ."));
    }
    machine.sh("test -s /usr/share/bash-completion/completions/hookd
         test -s /usr/share/zsh/vendor-completions/_hookd
         test -s /usr/share/fish/vendor_completions.d/hookd.fish
         test -s /usr/share/doc/hookd/examples/static-site/nginx.conf
         gzip -dc /usr/share/doc/hookd/changelog.Debian.gz | grep -q '^hookd '");
    // The configuration that comes with it is good, and there is nothing to do.
    machine.sh("systemctl enable --now hookd; curl -sf http://127.0.0.1:9000/healthz");
    assert!(machine.sh("hookd status").contains("0 running"));
}

#[test]
fn the_package_works_on_debian_13_too() {
    let machine = deb::installed(NEWER);
    machine.sh(
        "systemctl enable --now hookd; curl -sf http://127.0.0.1:9000/healthz; systemctl restart hookd; hookd status",
    );
    assert_eq!(machine.sh("systemd-analyze verify hookd.service hookd.socket 2>&1"), "");
}

#[test]
fn the_unit_is_valid_and_as_closed_as_the_readme_says() {
    let machine = deb::installed(PLAIN);
    let said = machine.sh("systemd-analyze verify hookd.service hookd.socket 2>&1");
    assert_eq!(said, "");
    // In tenths: the exit status says whether it is above.
    machine.sh("systemd-analyze security --no-pager --threshold=15 hookd.service");
}

#[test]
fn an_upgrade_keeps_configuration_and_state() {
    let site = Site::new("");
    let commit = site.push("one");
    site.served("one");
    let machine = &site.machine;
    let before = machine.sh("sha256sum /etc/hookd.toml /etc/hookd/*; hookd history --json; hookd deliveries --json");
    machine.copy(deb::newer(), "/root/newer.deb");
    // Without a terminal, as unattended upgrades do it.
    machine.sh("dpkg -i /root/newer.deb </dev/null");
    let after = machine.sh("sha256sum /etc/hookd.toml /etc/hookd/*; hookd history --json; hookd deliveries --json");
    assert_eq!(after, before);
    assert_eq!(site.property("ActiveState"), "active");
    site.push("two");
    site.served("two");
    assert!(machine.sh("hookd history").contains(&commit[..7]));
}

/// What stands in the state directory of a version that let others in, while one of them holds its lock.
const LEFT_OPEN: &str = "cd /var/lib/hookd; chmod 644 lock; chmod 755 . mirrors logs; chown hookd /var/cache/hookd
    setpriv --reuid=65534 --clear-groups flock lock sleep 600 >/dev/null 2>&1 &
    until grep -q FLOCK.*$(stat -c %i lock) /proc/locks; do sleep 0.1; done";

#[test]
fn an_upgrade_mends_what_was_open_to_others() {
    let site = Site::new("");
    site.push("one");
    site.served("one");
    site.settled();
    let machine = &site.machine;
    machine.copy(deb::newer(), "/root/newer.deb");
    machine.sh("systemctl stop hookd");
    machine.sh(LEFT_OPEN);
    machine.sh("dpkg -i /root/newer.deb; systemctl start hookd");
    let modes = machine.sh(
        "cd /var/lib/hookd; stat -c '%a %U %n' . lock children hookd.db mirrors logs payloads scratch /var/cache/hookd",
    );
    assert_eq!(
        modes,
        "711 hookd .\n600 hookd lock\n600 hookd children\n600 hookd hookd.db\n700 hookd mirrors\n700 hookd logs\n\
         711 hookd payloads\n700 hookd scratch\n755 root /var/cache/hookd\n"
    );
    let locked = machine.try_sh("setpriv --reuid=65534 --clear-groups flock -n /var/lib/hookd/lock true");
    assert!(!locked.status.success(), "another user can lock it");
    machine.sh("systemctl restart hookd");
    site.push("two");
    site.served("two");
}

#[test]
fn an_upgrade_does_not_start_what_was_stopped_and_says_what_it_could_not_start() {
    let site = Site::new("");
    let machine = &site.machine;
    machine.copy(deb::newer(), "/root/newer.deb");
    machine.sh("systemctl stop hookd; dpkg -i /root/newer.deb");
    assert_eq!(site.property("ActiveState"), "inactive");

    machine.sh("systemctl start hookd; sed -i 's/^url/lru/' /etc/hookd.toml");
    let said = machine.sh("dpkg -i /root/hookd.deb 2>&1");
    assert!(
        said.contains("hookd could not be restarted: see journalctl -u hookd"),
        "{said}"
    );
}

#[test]
fn removing_keeps_and_purging_leaves_nothing_but_the_sites() {
    let site = Site::stopped();
    let machine = &site.machine;
    machine.sh("rm /etc/hookd/site.secret; dpkg -P hookd; rm -r /srv/site; getent passwd hookd");
    let before = machine.sh(FILES);

    machine.sh("dpkg -i /root/hookd.deb; install -d -o hookd -g hookd /srv/site");
    machine.write("/etc/hookd/site.secret", 0o644, crate::support::forge::SECRET);
    machine.sh("chown root:hookd /etc/hookd/site.secret; chmod 640 /etc/hookd/site.secret; mkdir -p /etc/hookd.d");
    site.configure(&crate::site::configuration(""));
    machine.sh("systemctl enable --now hookd.socket hookd");
    site.push("one");
    site.served("one");
    site.settled();

    machine.sh("dpkg -r hookd");
    assert_eq!(
        machine.try_sh("systemctl is-active hookd hookd.socket").stdout,
        b"inactive\ninactive\n"
    );
    machine.sh("test -s /etc/hookd.toml; test -s /etc/hookd/site.secret; test -s /var/lib/hookd/hookd.db");
    machine.sh("dpkg -i /root/hookd.deb; systemctl start hookd");
    assert!(machine.sh("hookd history").contains("live"));

    machine.sh("dpkg -P hookd");
    assert_eq!(machine.sh("cat /srv/site/current/index.html"), "one\n");
    machine.sh("rm -r /srv/site /srv/work /srv/git; install -d -o hookd -g hookd /srv/git /srv/work");
    let gone = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("/srv/"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(gone(&machine.sh(FILES)), gone(&before));
    assert_eq!(machine.sh("systemctl --failed --no-legend"), "");
    // Files below /srv may still belong to it.
    machine.sh("getent passwd hookd");
}
