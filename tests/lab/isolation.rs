//! Commands in units of their own: what they may and may not, and that nothing is left of them.

use crate::bench::Bench;
use crate::container::{Kind, Machine, PLAIN, TRIXIE};

/// A service that a deployment reloads.
const GUESTBOOK: &str = "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/touch /run/guestbook.reloaded\n";

/// Root's permission for just that.
const GUESTBOOK_RULE: &str = r#"polkit.addRule(function (action, subject) {
    if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "hookd" &&
        action.lookup("unit") == "guestbook.service" && action.lookup("verb") == "reload") {
        return polkit.Result.YES;
    }
});"#;

/// What the journal has of a phase of a target.
fn journal_of(machine: &Machine, target: &str, phase: &str) -> String {
    machine.sh(&format!(
        "journalctl --no-pager -o cat HOOKD_TARGET=blog/{target} HOOKD_PHASE={phase} HOOKD_STREAM=stdout"
    ))
}

fn the_whole_way(kind: Kind) {
    let bench = Bench::new(
        kind,
        &[(
            "my-site",
            r#"
            build = '''
                cat /proc/self/cgroup; head -c 8 "$HOOKD_PAYLOAD_FILE" && echo
                echo complaint >/dev/stderr; echo built > page; echo kept >> ../../shared/kept
                echo again >> $HOME/cache; wc -l < $HOME/cache
            '''
            reload = "systemctl reload guestbook; cat /proc/self/cgroup"
            check = "test -e /run/guestbook.reloaded && grep built page && cat /proc/self/cgroup"
            "#,
        )],
    );
    let machine = &bench.machine;
    machine.write("/etc/systemd/system/guestbook.service", 0o644, GUESTBOOK);
    machine.write("/etc/polkit-1/rules.d/60-guestbook.rules", 0o644, GUESTBOOK_RULE);
    // polkitd looks at a rule when it appears, and could not read it yet.
    machine.sh("systemctl restart polkit; systemctl daemon-reload; systemctl start guestbook");
    machine.until("journalctl -u hookd -o cat | grep -x 'commands run in units of systemd'");

    bench.push("my-site");
    machine.sh("hookd send blog --ref refs/heads/my-site");
    bench.until_ended(1, "live");
    let log = machine.sh("hookd logs blog/my-site");
    let unit = "hookd-run@blog@my-site.service";
    assert!(log.contains(unit), "{log}");
    assert!(log.contains("hookd-reload@blog@my-site.service"), "{log}");
    assert!(log.contains("{\"ref\"") || log.contains("| {"), "no payload: {log}");
    assert!(log.contains("complaint"), "{log}");
    let journal = journal_of(machine, "my-site", "build");
    assert!(journal.contains(unit), "{journal}");
    assert!(journal_of(machine, "my-site", "reload").contains("hookd-reload@blog@my-site"));
    let page = machine.sh("cat /srv/my-site/current/page /srv/my-site/shared/kept");
    assert_eq!(page, "built\nkept\n");

    // The cache outlives the command, and nothing else does.
    let text = bench.deploy("my-site").live();
    assert!(text.contains("build    | 2"), "{text}");
    assert_eq!(
        machine.sh("systemctl list-units --all --no-legend 'hookd-r*'; ls /run/hookd/run"),
        ""
    );
    assert!(machine.sh("hookd status").contains("commands run in units of systemd"));
    assert!(
        machine
            .sh("hookd check -v")
            .contains("commands run in units of systemd")
    );
}

#[test]
fn build_reload_and_check_run_in_units() {
    the_whole_way(PLAIN);
}

#[test]
fn build_reload_and_check_run_in_units_of_a_newer_systemd() {
    the_whole_way(TRIXIE);
}

/// Each line of a build, and what comes of it; all of them have to fail.
const ATTEMPTS: &[(&str, &str)] = &[
    ("its own repo's secret", "cat /etc/hookd/blog.secret"),
    ("another repo's secret", "cat /etc/hookd/other.secret"),
    ("the configuration", "cat /etc/hookd.toml"),
    ("the store", "ls /var/lib/hookd"),
    ("credentials", "ls /run/credentials"),
    ("home directories", "ls /root /home"),
    (
        "the control socket",
        "curl -s --unix-socket /run/hookd/control.sock http://x/",
    ),
    ("a file of the machine", "touch /etc/x"),
    ("its target beside the release", "touch /srv/one/x"),
    ("the other target", "touch /srv/two/x"),
    (
        "the links that say where it may write",
        "rm /run/hookd/run/blog@one/release",
    ),
    ("the way of the order", "rm /run/hookd/run/blog@one/order"),
    ("a unit of its own", "systemd-run true"),
    ("another unit", "systemctl restart hookd"),
    ("the bus", "busctl --system list"),
    ("any process that is not its own", "kill -9 1 || kill -0 $DAEMON"),
    ("the daemon's memory", "cat /proc/$DAEMON/mem"),
    ("the daemon's environment", "cat /proc/$DAEMON/environ"),
    ("the daemon's files", "ls /proc/$DAEMON/root/"),
    (
        "another target's cache",
        "cat /var/cache/hookd/blog@two/token || ls /var/cache/hookd/blog@two",
    ),
    ("what others have in shared memory", "cat /dev/shm/two"),
    ("the journal's sockets", "logger x || ls /run/systemd/journal"),
    (
        "name services by their sockets",
        "ls /run/systemd/resolve/io.systemd.Resolve",
    ),
    ("a user manager", "loginctl enable-linger"),
    // io_uring_setup(2)
    (
        "io_uring",
        "perl -e '$p = qq(\\0) x 120; exit(syscall(425, 8, $p) < 0)'",
    ),
    ("a set-group-id program", "cp /bin/true id && chmod g+s id"),
    ("a set-group-id directory", "mkdir -m 2755 id.d"),
    ("its supervisor", "kill -9 $SUPERVISOR"),
    ("its supervisor's files", "ls /proc/$SUPERVISOR/fd/"),
    ("more rights", "sudo -n true"),
];

fn gets_at_nothing(kind: Kind) {
    let script = ATTEMPTS
        .iter()
        .map(|(what, line)| {
            format!("if ({line}); then echo \"GOT: {what}\"; else echo \"kept: {what}\"; fi 2>/dev/null\n")
        })
        .collect::<Vec<_>>()
        .concat();
    // A file, so that it is no line of the configuration; a broken TERM of everybody ends it.
    let build = "build = \"SUPERVISOR=$PPID sh /srv/attempts; kill -TERM -1; echo went on\"";
    let two = "build = \"echo secret > $HOME/token; echo secret > /dev/shm/two\"";
    let bench = Bench::new(kind, &[("one", build), ("two", two)]);
    let machine = &bench.machine;
    machine.sh("echo secret > /dev/shm/two");
    let daemon = machine.sh("systemctl show -P MainPID hookd");
    machine.write("/srv/attempts", 0o755, &format!("DAEMON={}\n{script}", daemon.trim()));
    bench.deploy("two").live();
    let text = bench.deploy("one").text;
    for (what, _) in ATTEMPTS {
        assert!(text.contains(&format!("kept: {what}\n")), "{what}\n{text}");
    }
    assert!(!text.contains("GOT"), "{text}");
    assert_eq!(machine.sh("systemctl show -P MainPID hookd"), daemon, "{text}");
    assert_eq!(
        machine.sh("stat -c '%U %a' /var/cache/hookd /var/cache/hookd/blog@*"),
        "root 755\nhookd 700\nhookd 700\n"
    );
    assert_eq!(machine.sh("cat /dev/shm/two"), "secret\n");
}

#[test]
fn a_build_gets_at_nothing_but_its_own() {
    gets_at_nothing(PLAIN);
}

#[test]
fn a_build_gets_at_nothing_but_its_own_with_a_newer_systemd() {
    gets_at_nothing(TRIXIE);
}

#[test]
fn what_does_not_end_is_ended() {
    let bench = Bench::new(
        PLAIN,
        &[
            (
                "deaf",
                "build = \"trap '' TERM; setsid sleep 1000 & while :; do sleep 0.1; done\"\ntimeout = \"1s\"\nkill_grace = \"500ms\"",
            ),
            (
                "leaves",
                "build = \"setsid sh -c \\\"trap : TERM; while :; do sleep 0.1; done\\\" & echo done\"",
            ),
            ("long", "build = \"echo begun; sleep 1000\"\nkill_grace = \"500ms\""),
        ],
    );
    let text = bench.deploy("deaf").failed();
    assert!(
        text.contains("failed: build timed out after 1s and was stopped"),
        "{text}"
    );
    bench.deploy("leaves").live();
    let machine = &bench.machine;
    bench.push("long");
    machine.sh("hookd deploy --no-wait blog/long");
    machine.until("hookd logs blog/long | grep begun");
    // What stops the half of the supervisor inside does not keep the half outside from ending it.
    machine.sh("kill -STOP $(systemctl show -P MainPID hookd-run@blog@long)");
    machine.sh("hookd cancel blog/long");
    bench.until_ended(3, "cancelled");
    assert_eq!(machine.sh("systemctl list-units --all --no-legend 'hookd-r*'"), "");
    assert_eq!(machine.try_sh("pgrep -x sleep").status.code(), Some(1));
}

#[test]
fn a_killed_daemon_leaves_no_unit_behind() {
    let bench = Bench::new(
        PLAIN,
        &[(
            "one",
            "build = \"echo begun; test -e ../../shared/go || { touch ../../shared/go; sleep 1000; }\"",
        )],
    );
    let machine = &bench.machine;
    bench.push("one");
    machine.sh("hookd deploy --no-wait blog/one");
    machine.until("hookd logs blog/one | grep begun");
    machine.sh("pgrep -x sleep; systemctl kill -s KILL --kill-who=main hookd");
    machine.until("! pgrep -x sleep; ! systemctl is-active 'hookd-run@*'");
    // The next one runs the job again.
    bench.until_ended(1, "interrupted");
    bench.until_ended(2, "live");

    // Whatever keeps a unit of a killed daemon, the next command of the target does not find it running.
    machine.sh("rm /srv/one/shared/go");
    bench.push("one");
    machine.sh("hookd deploy --no-wait blog/one");
    machine.until("hookd logs blog/one | grep begun");
    machine.sh("kill -STOP $(systemctl show -P MainPID hookd-run@blog@one)");
    machine.sh("systemctl kill -s KILL --kill-who=main hookd");
    bench.until_ended(4, "live");
    assert_eq!(machine.try_sh("pgrep -x sleep").status.code(), Some(1));
}

#[test]
fn the_daemon_may_start_no_other_unit() {
    may_start_no_other_unit(PLAIN);
}

#[test]
fn the_daemon_may_start_no_other_unit_of_a_newer_systemd() {
    may_start_no_other_unit(TRIXIE);
}

fn may_start_no_other_unit(kind: Kind) {
    let bench = Bench::new(kind, &[("one", "")]);
    let machine = &bench.machine;
    // It finds no order, but it may be asked for.
    machine.sh("runuser -u hookd -- systemctl start --no-block hookd-run@no@body");
    for refused in [
        "systemctl start guestbook.service",
        "systemctl stop nginx",
        "systemctl restart hookd",
        "systemctl start hookd-run@x.socket",
        "systemctl restart hookd-run@no@body",
        "systemctl set-property --runtime hookd-run@no@body MemoryMax=1G",
        "systemctl edit --runtime --stdin hookd-run@no@body",
        "systemctl daemon-reload",
        "systemd-run true",
        "systemd-run --unit=hookd-run@no@body.service true",
        "systemd-run --unit=hookd-run@no@body.service -p User=root true",
        "systemd-run --scope true",
        // Names that lead to other directories than their own.
        "systemctl start --no-block hookd-run@.",
        "systemctl start --no-block hookd-run@..",
        "systemctl start --no-block hookd-reload@.a@b",
        "systemctl start --no-block hookd-run@a@..",
        "systemctl start --no-block hookd-run@a",
        "systemctl start --no-block hookd-run@a@b@c",
        "loginctl enable-linger hookd",
        "loginctl enable-linger",
        "systemctl start user@$(id -u hookd)",
        "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager SetUserLinger ubb $(id -u hookd) true false",
        "systemctl bind hookd-run@no@body /etc /mnt",
        "systemctl clean hookd-run@no@body",
    ] {
        let output = machine.try_sh(&format!("runuser -u hookd -- {refused} </dev/null"));
        assert!(!output.status.success(), "{refused}");
    }
    // An administrator's own rule still allows what it names.
    machine.write("/etc/systemd/system/guestbook.service", 0o644, GUESTBOOK);
    machine.write("/etc/polkit-1/rules.d/my-guestbook.rules", 0o644, GUESTBOOK_RULE);
    machine.sh("systemctl restart polkit; systemctl daemon-reload; systemctl start guestbook");
    machine.sh("runuser -u hookd -- systemctl reload guestbook");
    // And nobody else may start those.
    let other = machine.try_sh("runuser -u nobody -- systemctl start --no-block hookd-run@no@body");
    assert!(!other.status.success());
}

#[test]
fn without_the_right_commands_run_as_processes_and_it_is_said() {
    let targets = [
        ("one", "build = \"cat /proc/self/cgroup\""),
        ("strict", "isolation = \"systemd\"\nbuild = \"true\""),
        ("offline", "network = false\nbuild = \"true\""),
    ];
    let bench = Bench::new(PLAIN, &targets);
    let machine = &bench.machine;
    machine.sh("rm /usr/share/polkit-1/rules.d/50-hookd.rules");
    // polkit looks at its rules by inotify.
    machine.until("! runuser -u hookd -- systemctl start --no-block hookd-run@no@body");
    machine.sh("systemctl restart hookd");
    machine
        .until("journalctl -u hookd -o cat | grep 'commands run as processes of the daemon: systemd may not be asked'");
    let text = bench.deploy("one").live();
    assert!(text.contains("/hookd.service"), "{text}");
    let text = bench.deploy("strict").failed();
    assert!(
        text.contains("build could not be started: systemd may not be asked"),
        "{text}"
    );
    let text = bench.deploy("offline").failed();
    assert!(text.contains("requires `isolation = \"systemd\"`"), "{text}");
    assert!(bench.journal().contains("commands run as processes"));
}

#[test]
fn the_templates_are_locked_down() {
    let bench = Bench::new(PLAIN, &[("one", "")]);
    for template in ["hookd-run@x.service", "hookd-reload@x.service"] {
        // In tenths: 1.5.
        bench.machine.sh(&format!(
            "systemd-analyze security --no-pager --threshold=15 {template}"
        ));
        bench.machine.sh(&format!(
            "systemd-analyze verify --man=no {template} 2>&1 | grep . && exit 1; true"
        ));
    }
}

#[test]
fn a_build_in_a_unit_reads_the_history() {
    let build = "git log --format=%s > subjects; git log -1 --format=%cI -- file > changed";
    let bench = Bench::new(PLAIN, &[("past", &format!("history = true\nbuild = {build:?}"))]);
    bench.deploy("past").live();
    bench.deploy("past").live();
    let machine = &bench.machine;
    assert_eq!(machine.sh("cat /srv/past/current/subjects"), "another\nanother\n");
    assert!(machine.sh("cat /srv/past/current/changed").starts_with("20"));
    // Whatever it wrote there is in no mirror and no release.
    assert_eq!(machine.sh("find /srv/past/ -name .git | wc -l"), "0\n");
}
