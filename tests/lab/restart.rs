//! Restarts of all kinds under a stream of deliveries: every request is answered, and every accepted one is dealt with.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::deb;
use crate::site::{self, Site, address, configuration};
use crate::support::http::Answer;

/// How many senders there are at once, as when several repositories are pushed to.
const SENDERS: usize = 3;

/// Pause of each between two deliveries: the stream must not end because of its own length.
const PACE: Duration = Duration::from_millis(15);

/// Longest wait of a sender for its answer: forges give up after ten seconds.
const FORGE_WAITS: Duration = Duration::from_secs(10);

/// Sends deliveries, one after the other, until `during` is over; gives the ids of those that were accepted.
fn stream(site: &Site, commit: &str, during: impl FnOnce()) -> BTreeSet<String> {
    let over = AtomicBool::new(false);
    let sent: Mutex<Vec<(String, std::io::Result<Answer>, Duration)>> = Mutex::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            site.machine.in_network(|| {
                std::thread::scope(|senders| {
                    for _ in 0..SENDERS {
                        senders.spawn(|| {
                            while !over.load(Ordering::SeqCst) {
                                let delivery = site::pushed(commit);
                                let begun = Instant::now();
                                let answer = address().send(&delivery.bytes());
                                let row = (delivery.its_id(), answer, begun.elapsed());
                                sent.lock().unwrap().push(row);
                                std::thread::sleep(PACE);
                            }
                        });
                    }
                });
            });
        });
        let flowing = |than: usize| {
            let end = Instant::now() + FORGE_WAITS;
            while sent.lock().unwrap().len() <= than + SENDERS {
                assert!(Instant::now() < end, "no delivery is answered");
                std::thread::sleep(PACE);
            }
        };
        // The stream must end even if `during` fails.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            flowing(0);
            during();
            let so_far = sent.lock().unwrap().len();
            flowing(so_far);
        }));
        over.store(true, Ordering::SeqCst);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let mut accepted = BTreeSet::new();
    for (id, answer, took) in sent.into_inner().unwrap() {
        let answer = answer.unwrap_or_else(|error| panic!("a delivery was refused: {error}"));
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(took < FORGE_WAITS, "an answer took {took:?}");
        accepted.insert(id);
    }
    accepted
}

/// Fails unless each of these deliveries was stored, and led to a deployment that ended.
fn dealt_with(site: &Site, accepted: &BTreeSet<String>) {
    site.settled();
    let history = site.json("hookd history --json -n 100000");
    let ended: BTreeSet<&str> = history
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| ["live", "unchanged", "superseded"].contains(&row["outcome"].as_str().unwrap_or_default()))
        .filter_map(|row| row["delivery"].as_str())
        .collect();
    let lost: Vec<&String> = accepted.iter().filter(|id| !ended.contains(id.as_str())).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        accepted.len()
    );
}

#[test]
fn a_restart_refuses_and_loses_nothing() {
    let site = Site::new("");
    let commit = site.publish("one");
    let before = site.property("MainPID");
    let accepted = stream(&site, &commit, || {
        for _ in 0..3 {
            site.machine.sh("systemctl restart hookd");
        }
    });
    assert_ne!(site.property("MainPID"), before);
    dealt_with(&site, &accepted);
    site.served("one");
    assert!(site.machine.sh("hookd status").contains("0 waiting"));
}

#[test]
fn an_upgrade_refuses_and_loses_nothing_and_a_running_build_finishes() {
    let site = Site::new(r#"build = "while [ ! -e /srv/site/go ]; do sleep 0.1; done""#);
    site.machine.copy(deb::newer(), "/root/newer.deb");
    let commit = site.push("one");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -q '1 running'");
    let before = site.property("MainPID");
    let accepted = stream(&site, &commit, || {
        site.machine
            .sh("dpkg -i /root/newer.deb >/root/upgrade.log 2>&1 & echo $! >/root/upgrade.pid");
        site.machine
            .until("systemctl show -p StatusText hookd | grep -q 'stopping; site/live may finish'");
        let notified = site.property("TimeoutStopUSec");
        assert_eq!(notified, "1min 30s");
        site.machine.sh("runuser -u hookd -- touch /srv/site/go");
        site.machine
            .until("! kill -0 $(cat /root/upgrade.pid) 2>/dev/null && systemctl is-active hookd");
    });
    assert_ne!(site.property("MainPID"), before);
    let log = site
        .machine
        .sh("cat /root/upgrade.log; dpkg-query -W -f '${Status} ${Version}' hookd");
    assert!(log.contains("install ok installed") && log.ends_with(".1"), "{log}");
    dealt_with(&site, &accepted);
    site.served("one");
    let history = site.json("hookd history --json -n 100000");
    let first = history.as_array().unwrap().last().unwrap();
    assert_eq!(first["outcome"], "live", "the build that ran did not finish: {first}");
}

#[test]
fn a_crash_refuses_and_loses_nothing() {
    let site = Site::new("");
    let commit = site.publish("one");
    site.push("two");
    site.machine.sh("systemctl kill --signal=KILL --kill-who=main hookd");
    // Nobody runs for two seconds; who connects waits.
    let accepted = site.machine.in_network(|| {
        let send = || {
            let delivery = site::pushed(&commit);
            address().send(&delivery.bytes()).unwrap().expect(202);
            delivery.its_id()
        };
        std::iter::repeat_with(send).take(5).collect()
    });
    dealt_with(&site, &accepted);
    site.served("two");
    assert_eq!(site.property("NRestarts"), "1");
    // People's tools find the socket that was kept, too.
    assert!(site.machine.sh("hookd status").contains("0 running"));
}

#[test]
fn the_watchdog_ends_a_stopped_daemon_and_the_next_one_has_its_queue() {
    let site = Site::stopped();
    site.configure(&configuration(
        r#"build = "while [ ! -e /srv/site/go ]; do sleep 0.1; done""#,
    ));
    site.machine.sh("mkdir -p /etc/systemd/system/hookd.service.d
         printf '[Service]\\nWatchdogSec=2s\\n' >/etc/systemd/system/hookd.service.d/soon.conf
         systemctl daemon-reload; systemctl enable --now hookd");
    let one = site.push("one");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -q '1 running'");
    let two = site.push("two");
    let before = site.property("MainPID");
    site.machine.sh(&format!("kill -STOP {before}"));
    site.machine
        .until("[ \"$(systemctl show --value -p NRestarts hookd)\" = 1 ] && systemctl is-active hookd");
    assert_ne!(site.property("MainPID"), before);
    let said = site.machine.sh("journalctl --no-pager -u hookd");
    assert!(said.contains("Watchdog timeout"), "{said}");
    site.machine.sh("runuser -u hookd -- touch /srv/site/go");
    site.served("two");
    site.settled();
    let history = site.json("hookd history --json");
    let outcomes: Vec<(&str, &str)> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["commit"].as_str().unwrap_or_default(),
                row["outcome"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert!(outcomes.contains(&(two.as_str(), "live")), "{one} {two} {outcomes:?}");
}

#[test]
fn a_stop_that_waits_for_a_deployment_asks_systemd_for_the_time() {
    let site = Site::stopped();
    site.configure(&configuration(r#"build = "sleep 3""#));
    site.machine.sh("mkdir -p /etc/systemd/system/hookd.service.d
         printf '[Service]\\nTimeoutStopSec=1s\\n' >/etc/systemd/system/hookd.service.d/soon.conf
         systemctl daemon-reload; systemctl enable --now hookd");
    site.push("one");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -q '1 running'");
    site.machine.sh("systemctl stop hookd");
    assert_eq!(site.property("Result"), "success");
    site.served("one");
    let said = site.machine.sh("journalctl --no-pager -u hookd");
    assert!(!said.contains("timed out") && said.contains("stopping"), "{said}");
}

#[test]
fn a_reboot_keeps_the_queue() {
    let site = Site::new(r#"build = "while [ ! -e /srv/site/go ]; do sleep 0.1; done""#);
    site.configure(&format!(
        "[limits]\nstop_grace = \"1s\"\n{}",
        configuration(r#"build = "while [ ! -e /srv/site/go ]; do sleep 0.1; done""#)
    ));
    site.machine.sh("systemctl reload hookd");
    site.push("one");
    site.machine
        .until("systemctl show -p StatusText hookd | grep -q '1 running'");
    site.push("two");
    site.machine.reboot();
    site.machine.until("systemctl is-active hookd");
    site.machine.sh("runuser -u hookd -- touch /srv/site/go");
    site.served("two");
    site.settled();
    let history = site.machine.sh("hookd history");
    assert!(history.contains("interrupted"), "{history}");
}

#[test]
fn with_hookd_socket_systemd_listens_before_and_after() {
    let site = Site::stopped();
    site.configure(&configuration(""));
    site.machine.sh("systemctl enable --now hookd.socket");
    let commit = site.publish("one");
    assert_eq!(site.property("ActiveState"), "inactive");
    site.deliver(&commit).expect(202);
    assert_eq!(site.property("ActiveState"), "active");
    site.served("one");
    let accepted = stream(&site, &commit, || {
        site.machine
            .sh("systemctl stop hookd.service; systemctl start hookd.service");
    });
    dealt_with(&site, &accepted);
}
