//! Secrets and rights: credentials, files that are open, a configuration that is refused, who may use the control socket.

use crate::site::{Site, configuration};

/// The configuration with the secret from somewhere else.
fn with_secret(source: &str) -> String {
    configuration("").replace("\"file:/etc/hookd/site.secret\"", source)
}

/// Writes a drop-in of the unit.
fn drop_in(site: &Site, lines: &str) {
    site.machine.sh("mkdir -p /etc/systemd/system/hookd.service.d");
    let path = "/etc/systemd/system/hookd.service.d/credentials.conf";
    site.machine.write(path, 0o644, &format!("[Service]\n{lines}\n"));
    site.machine.sh("systemctl daemon-reload");
}

#[test]
fn secrets_come_from_credentials_plain_set_and_encrypted() {
    let site = Site::stopped();
    let machine = &site.machine;
    // Files of root alone: systemd reads them.
    machine.sh("chown root:root /etc/hookd/site.secret; chmod 600 /etc/hookd/site.secret");
    site.configure(&with_secret("\"credential:site\""));
    drop_in(&site, "LoadCredential=site:/etc/hookd/site.secret");
    machine.sh("systemctl enable --now hookd");
    site.push("one");
    site.served("one");
    // Root can check by hand what the running unit has.
    assert!(machine.sh("hookd check").contains("1 repo"));

    drop_in(
        &site,
        &format!(
            "SetCredential=site:{}",
            crate::support::forge::SECRET.replace('%', "%%")
        ),
    );
    machine.sh("systemctl restart hookd");
    site.push("two");
    site.served("two");

    machine.sh("systemd-creds setup 2>/dev/null; systemd-creds encrypt --name=site /etc/hookd/site.secret /etc/hookd/site.cred; rm /etc/hookd/site.secret");
    drop_in(&site, "LoadCredentialEncrypted=site:/etc/hookd/site.cred");
    machine.sh("systemctl restart hookd");
    site.push("three");
    site.served("three");
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_what_to_do() {
    let site = Site::stopped();
    site.machine.sh("chmod 644 /etc/hookd/site.secret");
    site.configure(&configuration(""));
    assert!(!site.machine.try_sh("systemctl start hookd").status.success());
    let said = site.machine.sh("journalctl --no-pager -u hookd");
    assert!(
        said.contains("/etc/hookd/site.secret is open to every user of this machine"),
        "{said}"
    );
    assert!(said.contains("hint: chmod 640 /etc/hookd/site.secret"), "{said}");
    site.machine
        .sh("chmod 640 /etc/hookd/site.secret; systemctl start hookd");
}

#[test]
fn a_broken_configuration_is_refused_once_with_its_place() {
    let site = Site::stopped();
    site.configure(&configuration("biuld = \"true\""));
    let start = site.machine.try_sh("systemctl start hookd");
    assert!(!start.status.success());
    assert_eq!(site.property("ActiveState"), "failed");
    assert_eq!(site.property("ExecMainStatus"), "78");
    let said = site.machine.sh("journalctl --no-pager -u hookd");
    assert!(
        said.contains("unknown key `biuld`") && said.contains("hint: did you mean `build`?"),
        "{said}"
    );
    // It would have come back after RestartSec=.
    site.machine
        .sh("systemctl show -p RestartUSec hookd | grep -qx RestartUSec=2s; sleep 3");
    assert_eq!(site.property("NRestarts"), "0");
    assert_eq!(site.property("ActiveState"), "failed");
}

#[test]
fn members_of_the_group_use_the_control_socket_and_others_do_not() {
    let site = Site::new("");
    site.push("one");
    site.served("one");
    let machine = &site.machine;
    machine.sh("useradd --groups hookd friend; useradd stranger");
    assert_eq!(
        machine.sh("stat -c '%a %U:%G' /run/hookd/control.sock").trim(),
        "660 hookd:hookd"
    );
    assert!(machine.sh("runuser -u friend -- hookd status").contains("site/live"));
    machine.sh("runuser -u friend -- hookd pause site");
    let stranger = machine.try_sh("runuser -u stranger -- hookd status");
    assert_eq!(stranger.status.code(), Some(4));
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(said.contains("hint:") && said.contains("hookd"), "{said}");
    for file in [
        "/etc/hookd/site.secret",
        "/var/lib/hookd/hookd.db",
        "/var/lib/hookd/logs",
    ] {
        let read = machine.try_sh(&format!("runuser -u stranger -- cat {file}"));
        assert!(!read.status.success(), "a stranger reads {file}");
    }
    let listed = machine.try_sh("runuser -u stranger -- ls /var/lib/hookd");
    assert!(!listed.status.success());
}
