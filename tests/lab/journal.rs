//! What the journal and `systemctl status` say.

use serde_json::Value;

use crate::site::Site;

/// The entries of the journal that match.
fn entries(site: &Site, matches: &str) -> Vec<Value> {
    let printed = site
        .machine
        .sh(&format!("journalctl --no-pager -o json --all {matches}"));
    printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_line_is_an_entry_with_the_fields_of_the_manual() {
    let site = Site::new(r#"build = "echo one; echo two; echo oh >&2; printf 'no end'""#);
    let commit = site.push("hello");
    site.served("hello");
    site.settled();
    let target = entries(&site, "HOOKD_TARGET=site/live");
    let printed: Vec<&Value> = target.iter().filter(|entry| !entry["HOOKD_STREAM"].is_null()).collect();
    let of = |stream: &str| -> Vec<(&str, &str)> {
        let of = printed.iter().filter(|entry| entry["HOOKD_STREAM"] == stream);
        of.map(|entry| (entry["MESSAGE"].as_str().unwrap(), entry["PRIORITY"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(of("stdout"), [("one", "6"), ("two", "6"), ("no end", "6")]);
    assert_eq!(of("stderr"), [("oh", "4")]);
    let deliveries = site.json("hookd deliveries --json");
    let delivery = &deliveries[0]["delivery"];
    assert!(delivery.is_string(), "{deliveries}");
    for entry in &printed {
        assert_eq!(entry["HOOKD_REPO"], "site");
        assert_eq!(entry["HOOKD_REF"], "refs/heads/main");
        assert_eq!(entry["HOOKD_COMMIT"], *commit);
        assert_eq!(&entry["HOOKD_DELIVERY"], delivery);
        assert_eq!(entry["HOOKD_DEPLOYMENT"], "1");
        assert_eq!(entry["HOOKD_PHASE"], "build");
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "hookd");
        assert_eq!(entry["_SYSTEMD_UNIT"], "hookd.service");
    }
    let last = entries(&site, "HOOKD_TARGET=site/live HOOKD_OUTCOME=live");
    assert_eq!(last.len(), 1);
    assert_eq!(last[0]["HOOKD_PHASE"], "finish");
    assert_eq!(last[0]["PRIORITY"], "6");
    assert!(last[0]["HOOKD_REASON"].is_string(), "{}", last[0]);

    let received = entries(&site, &format!("HOOKD_DELIVERY={}", delivery.as_str().unwrap()));
    assert_eq!(received[0]["HOOKD_REMOTE_ADDR"], "127.0.0.1");
    assert!(received[0]["HOOKD_REASON"].is_string());
}

#[test]
fn failures_and_refusals_have_their_priority_and_no_secret_is_anywhere() {
    let site = Site::new(r#"build = "exit 3""#);
    let commit = site.push("hello");
    site.settled();
    let failed = entries(&site, "HOOKD_OUTCOME=failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["PRIORITY"], "3");
    let wrong = crate::site::pushed(&commit).signed("wrong");
    let answer = site.machine.in_network(|| crate::site::address().send(&wrong.bytes()));
    answer.unwrap().expect(401);
    let refused = entries(&site, "_SYSTEMD_UNIT=hookd.service PRIORITY=4");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["HOOKD_REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(refused[0]["HOOKD_REPO"], "site");
    let everything = site.machine.sh("journalctl --no-pager -o verbose --all");
    assert!(!everything.contains(crate::support::forge::SECRET));
    assert!(!everything.contains("X-Hub-Signature"));
}

#[test]
fn systemctl_status_says_what_goes_on() {
    let site = Site::new(r#"build = "while [ ! -e /srv/site/go ]; do sleep 0.1; done""#);
    assert_eq!(site.property("StatusText"), "0 running, 0 waiting");
    let one = site.push("one");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -qx 'StatusText=1 running, 0 waiting'");
    let two = site.push("two");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -q '1 running, 1 waiting'");
    site.machine.sh("runuser -u hookd -- touch /srv/site/go");
    site.served("two");
    assert_ne!(one, two);
    site.machine
        .until("systemctl show -p StatusText hookd | grep -q '0 running, 0 waiting'");
    let status = site.machine.sh("systemctl status --no-pager hookd");
    let expected = format!("Status: \"0 running, 0 waiting; site/live live at {}\"", &two[..7]);
    assert!(status.contains(&expected), "{status}");
}

#[test]
fn a_reload_is_announced_and_a_broken_file_keeps_the_old_one_and_says_so() {
    let site = Site::new("");
    site.push("one");
    site.served("one");
    let pid = site.property("MainPID");
    let reload = site
        .machine
        .try_sh("sed -i 's/^branch/barnch/' /etc/hookd.toml; systemctl reload hookd");
    assert!(
        !reload.status.success(),
        "the reload of a broken file seems to have worked"
    );
    site.machine
        .until("journalctl -u hookd | grep -q 'did you mean .branch'");
    let said = site.machine.sh("journalctl --no-pager -u hookd PRIORITY=3");
    assert!(
        said.contains("the previous one stays in force") && said.contains("/etc/hookd.toml:"),
        "{said}"
    );
    site.machine
        .until("systemctl status --no-pager hookd | grep -q 'Status:.*configuration file is broken'");
    assert_eq!(site.property("ActiveState"), "active");
    site.push("two");
    site.served("two");
    site.machine
        .sh("sed -i 's/^barnch/branch/' /etc/hookd.toml; systemctl reload hookd");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -qv broken");
    assert_eq!(site.property("MainPID"), pid);
    assert_eq!(site.property("NRestarts"), "0");
}
