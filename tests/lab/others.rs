//! What other people of the machine may do, strangers and members of the group `hookd`, and what root's commands do where hookd's
//! user plants links.

use crate::bench::Bench;
use crate::container::{Kind, PLAIN, TRIXIE};

/// What somebody without any right tries while one target is live and another is being built; all of it has to fail.
const STRANGER: &[(&str, &str)] = &[
    ("the lock", "flock -n /var/lib/hookd/lock true"),
    ("the lock of the children", "flock -n -s /var/lib/hookd/children true"),
    ("the state", "ls /var/lib/hookd"),
    ("the store", "cat /var/lib/hookd/hookd.db"),
    ("payloads", "ls /var/lib/hookd/payloads"),
    ("logs", "ls /var/lib/hookd/logs"),
    ("mirrors", "ls /var/lib/hookd/mirrors"),
    ("secrets", "cat /etc/hookd/blog.secret"),
    ("the control socket", "hookd status"),
    ("to pause", "hookd pause blog/one"),
    ("to make a token", "hookd token add mine --may deploy:*"),
    ("the orders' directory", "ls /run/hookd/run/blog@two"),
    ("a file beside the sockets", "touch /run/hookd/x"),
    ("a release", "touch /srv/one/current/x"),
    ("the target's directory", "touch /srv/one/x"),
    ("caches", "ls /var/cache/hookd/blog@two"),
    ("a unit of hookd's", "systemctl start hookd-run@probe"),
    ("to stop hookd", "systemctl stop hookd"),
    ("to reload hookd", "systemctl reload hookd"),
    ("signals to the daemon", "kill -0 $DAEMON"),
    ("the daemon's environment", "cat /proc/$DAEMON/environ"),
    ("signals to a build", "kill -0 $BUILD"),
    ("the environment of a build", "cat /proc/$BUILD/environ"),
    ("the files of a build", "ls /proc/$BUILD/root/ || ls /proc/$BUILD/cwd/"),
];

/// What a member of the group `hookd` can't do either, who may use the control socket.
const MEMBER: &[(&str, &str)] = &[
    ("the lock", "flock -n /var/lib/hookd/lock true"),
    ("the state", "ls /var/lib/hookd"),
    ("the store", "cat /var/lib/hookd/hookd.db"),
    ("payloads", "ls /var/lib/hookd/payloads"),
    ("logs", "ls /var/lib/hookd/logs"),
    ("a secret of hookd's user alone", "cat /etc/hookd/other.secret"),
    ("the orders' directory", "ls /run/hookd/run/blog@two"),
    ("a file beside the sockets", "touch /run/hookd/x"),
    ("to replace the control socket", "rm -f /run/hookd/control.sock"),
    (
        "the live release",
        "touch /srv/one/current/x || echo x >> /srv/one/current/file",
    ),
    (
        "what the build made",
        "echo x >> /srv/one/current/made || touch /srv/one/current/dir/x",
    ),
    (
        "what releases share",
        "touch /srv/one/shared/uploads/x || echo x >> /srv/one/shared/uploads/db",
    ),
    (
        "the target's directory",
        "touch /srv/one/x || ln -sfn /tmp /srv/one/current",
    ),
    ("caches", "ls /var/cache/hookd/blog@two"),
    ("to stop hookd", "systemctl stop hookd"),
    ("signals to the daemon", "kill -0 $DAEMON"),
    ("the environment of a build", "cat /proc/$BUILD/environ"),
];

/// Runs each line as this user; gives what did not fail.
fn got(bench: &Bench, user: &str, attempts: &[(&str, &str)], pids: &str) -> Vec<String> {
    let script = attempts
        .iter()
        .map(|(what, line)| format!("if ({line}) >/dev/null 2>&1 </dev/null; then echo \"{what}\"; fi\n"))
        .collect::<Vec<_>>()
        .concat();
    bench
        .machine
        .write("/srv/attempts", 0o755, &format!("{pids}{script}echo ended\n"));
    let said = bench.machine.sh(&format!("runuser -u {user} -- sh /srv/attempts"));
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(lines.pop().as_deref(), Some("ended"), "{said}");
    lines
}

fn others_get_at_nothing(kind: Kind) {
    let one = "shared = [\"uploads\"]\nbuild = \"umask 002; echo x > uploads/db; echo x > made; mkdir dir\"";
    let two = "env = { TOKEN = \"of-two\" }\nbuild = \"echo begun; while [ ! -e /srv/go ]; do sleep 0.1; done\"";
    let bench = Bench::new(kind, &[("one", one), ("two", two)]);
    let machine = &bench.machine;
    machine.sh(
        "useradd stranger; useradd --groups hookd member; chown hookd: /etc/hookd/other.secret; chmod 400 /etc/hookd/other.secret",
    );
    bench.deploy("one").live();
    bench.push("two");
    machine.sh("hookd deploy --no-wait blog/two");
    machine.until("hookd logs blog/two | grep begun");
    let pids =
        machine.sh("echo DAEMON=$(systemctl show -P MainPID hookd); echo BUILD=$(pgrep -u hookd -x sh | tail -n 1)");
    assert!(!pids.contains("=\n"), "{pids}");
    assert_eq!(got(&bench, "stranger", STRANGER, &pids), [""; 0]);
    assert_eq!(got(&bench, "member", MEMBER, &pids), [""; 0]);

    // What a member may do: all that the commands do.
    machine.sh("runuser -u member -- hookd pause blog/one; runuser -u member -- hookd status | grep -q paused");
    machine.sh("hookd audit | grep \" member .*pause\"");
    // A lock that a stranger may hold keeps nothing from starting, since there is none.
    machine.sh("touch /srv/go; hookd resume blog/one; systemctl restart hookd; hookd status");
}

#[test]
fn strangers_and_members_of_the_group_get_at_nothing_else() {
    others_get_at_nothing(PLAIN);
}

#[test]
fn strangers_and_members_of_the_group_get_at_nothing_else_with_a_newer_systemd() {
    others_get_at_nothing(TRIXIE);
}

/// Exchanges a directory and a link for each other as fast as it can (renameat2(2) with `RENAME_EXCHANGE`).
const EXCHANGE: &str = r#"my ($one, $other) = ("$ARGV[0]\0", "$ARGV[1]\0"); my $n = 0;
until (-e "/srv/enough") { syscall(316, -100, $one, -100, $other, 2) == 0 or die "exchange: $!"; $n++ }
open my $file, ">", "/tmp/exchanged" or die; print $file $n;"#;

/// hookd's user exchanges directories for links while root makes and removes repos in there: what the links lead to stays as it is.
#[test]
fn roots_commands_follow_no_link_that_is_exchanged_meanwhile() {
    let bench = Bench::new(PLAIN, &[("one", "")]);
    let machine = &bench.machine;
    bench.deploy("one").live();
    machine.sh(
        "mkdir -p /root/victim/releases/precious /root/victim/blog.git; echo x > /root/victim/file; chmod 700 /root/victim
         install -d -o hookd /srv/open /srv/open/site; ln -s /root/victim /srv/open/link; chown -h hookd /srv/open/link
         ln -s /root/victim /var/lib/hookd/aside; chown -h hookd /var/lib/hookd/aside",
    );
    machine.write("/srv/exchange.pl", 0o644, EXCHANGE);
    let before = "cd /root/victim; find . -exec stat -c '%n %U %G %a' {} + | sort";
    let victim = machine.sh(before);
    machine.sh(
        "systemd-run --quiet --uid=hookd --unit=sites perl /srv/exchange.pl /srv/open/site /srv/open/link
         systemd-run --quiet --uid=hookd --unit=mirrors perl /srv/exchange.pl /var/lib/hookd/mirrors /var/lib/hookd/aside",
    );
    // Either may refuse, or be done: what counts is the victim.
    machine.sh("for n in $(seq 20); do
            hookd add /srv/git/blog --name r$n --path /srv/open/site/new >/dev/null 2>&1 && echo added
            hookd remove r$n --purge --yes >/dev/null 2>&1 && echo removed
        done; touch /srv/enough");
    machine.until("! systemctl is-active -q sites mirrors");
    let exchanged: u64 = machine.sh("cat /tmp/exchanged").trim().parse().unwrap();
    assert!(exchanged > 1000, "{exchanged}");
    assert_eq!(machine.sh(before), victim);
}

/// Whoever may write to the journal can make up fields; the lines that the manual shows name the unit, which nobody can make up.
#[test]
fn what_others_write_into_the_journal_is_not_taken_for_hookds() {
    let flood = "build = \"seq 200000\"";
    let bench = Bench::new(PLAIN, &[("one", ""), ("flood", flood)]);
    let machine = &bench.machine;
    machine.sh("useradd stranger");
    machine.write(
        "/srv/forged",
        0o644,
        "MESSAGE=forged\nHOOKD_TARGET=blog/one\nHOOKD_OUTCOME=failed\nSYSLOG_IDENTIFIER=hookd\n_SYSTEMD_UNIT=hookd.service\n",
    );
    machine.sh("runuser -u stranger -- sh -c 'logger --journald < /srv/forged; seq 50000 | logger'");
    machine.until("journalctl --no-pager HOOKD_TARGET=blog/one | grep forged");
    bench.push("flood");
    machine.sh("hookd deploy --no-wait blog/flood");
    for _ in 0..3 {
        bench.deploy("one").live();
    }
    machine.until("hookd status --json | tr -d ' \\n' | grep -q '\"waiting\":0,.*\"running\":0,'");
    machine.sh("journalctl --flush; journalctl --sync");
    let outcomes = |target: &str| {
        machine.sh(&format!(
            "journalctl --no-pager -o cat -u hookd HOOKD_TARGET={target} HOOKD_PHASE=finish"
        ))
    };
    assert_eq!(
        outcomes("blog/one").matches("live: deployed").count(),
        3,
        "{}",
        outcomes("blog/one")
    );
    assert!(!outcomes("blog/one").contains("forged"));
    assert_eq!(
        outcomes("blog/flood").matches("live: deployed").count(),
        1,
        "{}",
        outcomes("blog/flood")
    );
    let lines = machine.sh("journalctl --no-pager -o cat -u hookd HOOKD_TARGET=blog/flood HOOKD_STREAM=stdout | wc -l");
    assert!(lines.trim().parse::<u64>().unwrap() <= 10_000, "{lines}");
}
