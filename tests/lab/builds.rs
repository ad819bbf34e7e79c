//! Builds that misbehave, in the plain unit: each is stopped and named, what it left behind is gone, and the site stays as it is.

use crate::container::{Kind, PLAIN};
use crate::site::Site;

/// Where `TasksMax=` and `MemoryMax=` bite.
const LIMITED: Kind = Kind { cgroup: "v1", ..PLAIN };

/// The newest deployment's outcome and reason.
fn verdict(site: &Site) -> (String, String) {
    site.settled();
    let history = site.json("hookd history --json -n 1");
    let word = |key: &str| history[0][key].as_str().unwrap_or_default().to_owned();
    (word("outcome"), word("reason"))
}

/// Pushes the script `build` and a page, and tells how it ended.
fn built(site: &Site, page: &str, script: &str) -> (String, String) {
    site.machine.write("/srv/work/build.sh", 0o755, script);
    site.push(page);
    verdict(site)
}

/// Fails if anything but the daemon runs as hookd's user.
fn alone(site: &Site) {
    let daemon = site.property("MainPID");
    // The worker that waits for the next call is not the build's.
    let others = "ps -u hookd -o pid=,args= | awk '!/ git-worker$/ { print $1 }' | tr -d '\\n'";
    site.machine.until(&format!("[ \"$({others})\" = {daemon} ]"));
}

#[test]
fn what_hangs_writes_elsewhere_or_leaves_daemons_behind_is_stopped_and_named() {
    let site = Site::new("build = \"sh ./build.sh\"\ntimeout = \"2s\"\nkill_grace = \"500ms\"");
    assert_eq!(built(&site, "good", "#!/bin/sh\ntrue\n").0, "live");

    let (outcome, reason) = built(
        &site,
        "deaf",
        "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 0.1; done\n",
    );
    assert_eq!(outcome, "failed");
    assert!(reason.contains("timed out after 2s"), "{reason}");
    alone(&site);

    // A daemon in a session of its own, which ignores signals, is no reason to fail; it is gone with the build.
    let (outcome, _) = built(
        &site,
        "daemons",
        "#!/bin/sh\nsetsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' &\nnohup sleep 1000 >/dev/null 2>&1 &\n",
    );
    assert_eq!(outcome, "live");
    alone(&site);
    site.served("daemons");

    // Even where hookd's user could write, the unit lets it write only below /srv and its state.
    site.machine.sh("install -d -o hookd /opt/own");
    let (outcome, reason) = built(&site, "writer", "#!/bin/sh\necho x >/opt/own/x\n");
    assert_eq!(outcome, "failed", "{reason}");
    let log = site.machine.sh("hookd logs site");
    assert!(log.contains("/opt/own/x: Read-only file system"), "{log}");
    let (outcome, _) = built(&site, "home", "#!/bin/sh\nset -e\necho x >/root/x\n");
    assert_eq!(outcome, "failed");
    let (outcome, _) = built(&site, "setuid", "#!/bin/sh\nset -e\ncp /bin/true x\nchmod u+s x\n");
    assert_eq!(outcome, "failed");
    let (outcome, _) = built(&site, "sudo", "#!/bin/sh\nset -e\nsudo -n true\n");
    assert_eq!(outcome, "failed");

    site.served("daemons");
    assert_eq!(site.property("NRestarts"), "0");
}

#[test]
fn a_fork_bomb_ends_at_the_tasks_of_the_service_and_the_daemon_goes_on() {
    let site = Site::on(
        LIMITED,
        "build = \"sh ./build.sh\"\ntimeout = \"5s\"\nkill_grace = \"500ms\"",
    );
    site.machine.sh("systemctl set-property --runtime hookd TasksMax=100");
    assert_eq!(built(&site, "good", "#!/bin/sh\ntrue\n").0, "live");
    let bomb = "#!/bin/sh\nbomb() { bomb | bomb & }\nbomb\nwait\nsleep 1000\n";
    let (outcome, reason) = built(&site, "bomb", bomb);
    assert_eq!(outcome, "failed", "{reason}");
    let log = site.machine.sh("hookd logs site");
    assert!(log.contains("Cannot fork"), "{log}");
    alone(&site);
    assert_eq!(site.property("NRestarts"), "0");
    assert_eq!(built(&site, "after", "#!/bin/sh\ntrue\n").0, "live");
    site.served("after");
}

#[test]
fn a_build_that_eats_memory_is_killed_and_the_daemon_goes_on() {
    let site = Site::new("build = \"sh ./build.sh\"\ntimeout = \"20s\"\nmemory_max = \"256MiB\"");
    assert_eq!(built(&site, "good", "#!/bin/sh\ntrue\n").0, "live");
    let eater = "#!/bin/sh\nperl -e '$all .= q(x) x 1_000_000 for 1 .. 600'\n";
    let (outcome, reason) = built(&site, "eater", eater);
    let log = site.machine.sh("hookd logs site");
    assert!(log.contains("Out of memory"), "{log}");
    assert_eq!(outcome, "failed", "{reason}");
    alone(&site);
    assert_eq!(site.property("NRestarts"), "0");
    site.served("good");
}
