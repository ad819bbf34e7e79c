//! What somebody with a shell on the machine, or a command of one target, may try against another target, the daemon and root.

use crate::bench::Bench;
use crate::container::{Kind, Machine, PLAIN, TRIXIE};

/// A service that a deployment may reload, and another one.
const SERVICE: &str = "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/touch /run/%N.reloaded\n";

/// Lets hookd's user do anything with either: so what is refused is refused by hookd.
const RULE: &str = r#"polkit.addRule(function (action, subject) {
    if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "hookd" &&
        ["guestbook.service", "other.service"].indexOf(action.lookup("unit")) >= 0) {
        return polkit.Result.YES;
    }
});"#;

/// Listens and never answers, so that a fetch waits.
const SILENT: &str = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8099, Listen => 5) \
                      or die; my @kept; while (my $c = $s->accept) { push @kept, $c }";

/// Sends open files to itself until it may not any more, and says how many are on their way (sendmsg(2), 250 at a time).
const IN_FLIGHT: &str = r#"use Socket; my ($n, @kept); my $data = "x"; my $iov = pack("PQ", $data, 1);
my $control = pack("Qii", 16 + 4 * 250, 1, 1) . pack("i250", (0) x 250);
my $message = pack("QLLPQPQiI", 0, 0, 0, $iov, 1, $control, length $control, 0, 0);
while (@kept < 500) {
    socketpair(my $one, my $other, AF_UNIX, SOCK_DGRAM, 0) or last;
    push @kept, $one, $other;
    while (syscall(46, fileno $one, $message, 0x40) >= 0) { $n += 250 }
}
$| = 1; print "in flight: $n\n"; sleep 1 until -e "/srv/go";"#;

/// What a reload of one target tries, while a build of another one and a fetch run; all of it has to fail.
const ATTEMPTS: &[(&str, &str)] = &[
    ("another verb", "systemctl restart guestbook"),
    ("another unit", "systemctl reload other"),
    ("to stop hookd", "systemctl stop hookd"),
    ("a unit of hookd's", "systemctl start --no-block hookd-run@blog@two"),
    (
        "a unit whose cache is all caches",
        "systemctl start hookd-run@..service",
    ),
    ("a unit made up", "systemd-run true"),
    ("a user manager", "loginctl enable-linger hookd"),
    ("a unit of its own user", "systemd-run --user true"),
    (
        "settings of a unit",
        "systemctl set-property --runtime guestbook CPUWeight=1",
    ),
    ("systemd's configuration", "systemctl daemon-reload"),
    ("names on the bus", "busctl list"),
    (
        "another service",
        "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListSessions",
    ),
    (
        "the real bus",
        "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket busctl list",
    ),
    (
        "systemd's own socket",
        "busctl --address=unix:path=/run/systemd/private list",
    ),
    ("the environment of a build", "grep -qa b-secret /proc/[0-9]*/environ"),
    (
        "the files of a build",
        "ls /proc/$BUILD/root/ || ls /proc/$BUILD/cwd/ || ls /proc/$BUILD/fd/",
    ),
    (
        "the memory of a build",
        "head -c 1 /proc/$BUILD/mem || cat /proc/$BUILD/maps",
    ),
    ("signals to a build", "kill -0 $BUILD"),
    ("the environment of a fetch", "cat /proc/$FETCH/environ"),
    ("the files of a fetch", "ls /proc/$FETCH/root/ || ls /proc/$FETCH/fd/"),
    ("signals to a fetch", "kill -0 $FETCH"),
    ("the daemon's files", "ls /proc/$DAEMON/root/"),
    ("signals to the daemon", "kill -0 $DAEMON"),
    ("secrets", "cat /etc/hookd/*.secret"),
    ("the journal", "logger x"),
    ("another target's cache", "ls /var/cache/hookd/blog@two"),
    ("more rights", "sudo -n true"),
];

fn services(machine: &Machine) {
    for name in ["guestbook", "other"] {
        machine.write(&format!("/etc/systemd/system/{name}.service"), 0o644, SERVICE);
    }
    machine.write("/etc/polkit-1/rules.d/60-services.rules", 0o644, RULE);
    machine.sh("systemctl restart polkit; systemctl daemon-reload; systemctl start guestbook other");
}

fn a_reload_reaches_only_what_it_names(kind: Kind) {
    let script = ATTEMPTS
        .iter()
        .map(|(what, line)| {
            format!("if ({line}) >/dev/null 2>&1; then echo \"GOT: {what}\"; else echo \"kept: {what}\"; fi\n")
        })
        .collect::<Vec<_>>()
        .concat();
    let two = "env = { TOKEN = \"b-secret\" }\nbuild = \"echo begun; while [ ! -e /srv/go ]; do sleep 0.1; done\"\n\
               [repo.slow]\nurl = \"http://127.0.0.1:8099/x.git\"\nsecret = \"file:/etc/hookd/other.secret\"\npoll = \"off\"\n\
               [repo.slow.deploy.x]\nbranch = \"main\"\npath = \"/srv/x\"\n";
    let one = "[repo.own]\nurl = \"/srv/git/blog\"\nsecret = \"file:/etc/hookd/blog.secret\"\npoll = \"off\"\n\
               [repo.own.deploy.one]\nbranch = \"one\"\npath = \"/srv/one\"\n\
               reload = \"systemctl reload guestbook && sh /srv/attempts\"\n";
    let bench = Bench::new(kind, &[("two", &format!("{two}{one}"))]);
    let machine = &bench.machine;
    services(machine);
    machine.sh("install -d -o hookd /srv/one /srv/x");
    machine.write("/root/silent.pl", 0o644, SILENT);
    machine.sh("systemd-run --quiet --unit=silent perl /root/silent.pl");
    machine.sh("systemctl restart hookd");
    bench.push("two");
    machine.sh("hookd deploy --no-wait blog/two; hookd deploy --no-wait slow/x");
    machine.until("hookd logs blog/two | grep begun");
    machine.until("pgrep -f 'hookd git-worker'");
    let pids = machine.sh(
        "echo BUILD=$(pgrep -u hookd -x sh | tail -n 1); echo FETCH=$(pgrep -f 'hookd git-worker' | tail -n 1); \
         echo DAEMON=$(systemctl show -P MainPID hookd)",
    );
    machine.write("/srv/attempts", 0o755, &format!("{pids}{script}"));
    bench.push("one");
    let text = String::from_utf8(machine.try_sh("hookd deploy own/one 2>&1").stdout).unwrap();
    for (what, _) in ATTEMPTS {
        assert!(text.contains(&format!("kept: {what}\n")), "{what}\n{pids}{text}");
    }
    assert!(text.contains("live: deployed"), "{text}");
    // What it names it gets, and what was refused is said.
    machine.sh("test -e /run/guestbook.reloaded; ! test -e /run/other.reloaded");
    assert!(text.contains("hookd: refused reload other.service"), "{text}");
    assert_eq!(
        machine.try_sh("ls /var/lib/systemd/linger/hookd").status.code(),
        Some(2)
    );
    machine.sh("touch /srv/go");
    machine.until("hookd status | grep 'two.*live'");
    machine.sh("hookd cancel slow/x");
}

#[test]
fn a_reload_reaches_what_it_names_and_nothing_else() {
    a_reload_reaches_only_what_it_names(PLAIN);
}

#[test]
fn a_reload_reaches_what_it_names_and_nothing_else_with_a_newer_systemd() {
    a_reload_reaches_only_what_it_names(TRIXIE);
}

#[test]
fn open_files_on_their_way_keep_no_other_target_from_deploying() {
    let targets = [
        ("one", "build = \"ulimit -n $(ulimit -Hn); perl /srv/in-flight\""),
        ("two", "build = \"true\""),
    ];
    let bench = Bench::new(PLAIN, &targets);
    let machine = &bench.machine;
    machine.write("/srv/in-flight", 0o755, IN_FLIGHT);
    machine.sh(
        "printf '[repo.own]\\nurl = \"/srv/git/blog\"\\nsecret = \"file:/etc/hookd/blog.secret\"\\npoll = \"off\"\\n\
         [repo.own.deploy.two]\\nbranch = \"two\"\\npath = \"/srv/own\"\\nbuild = \"true\"\\n' >> /etc/hookd.toml; \
         install -d -o hookd /srv/own; systemctl restart hookd",
    );
    bench.push("two");
    bench.push("one");
    machine.sh("hookd deploy --no-wait blog/one");
    machine.until("hookd logs blog/one | grep 'in flight'");
    let text = machine.sh("hookd logs blog/one");
    let count: u64 = text
        .split("in flight: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.trim().parse().ok())
        .unwrap();
    assert!((16_000..17_000).contains(&count), "{text}");
    machine.sh("hookd deploy own/two");
    machine.sh("touch /srv/go");
    machine.until("hookd status | grep 'one.*live'");
}
