//! What root has to say in a drop-in: memory, tasks, network, user.

use std::path::Path;

use hookd::config;
use hookd::exec::drop_ins;

use crate::bench::{Bench, configuration};
use crate::container::{Kind, PLAIN};

/// Where limits of memory and tasks bite: here the host keeps its controllers in version 1.
const LIMITED: Kind = Kind { cgroup: "v1", ..PLAIN };

/// Writes the drop-ins that hookd asks for, as root would.
fn write_drop_ins(bench: &Bench, targets: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookd.toml");
    std::fs::write(&file, configuration(targets)).unwrap();
    let mut config = config::load(&file).unwrap().config;
    config.file = "/etc/hookd.toml".into();
    config.state_dir = "/var/lib/hookd".into();
    config.control = "/run/hookd/control.sock".into();
    for drop_in in drop_ins(&config) {
        let directory = drop_in.path.parent().map(Path::display).unwrap();
        bench.machine.sh(&format!("mkdir -p {directory}"));
        let path = drop_in.path.to_str().unwrap();
        bench.machine.write(path, 0o644, &drop_in.text);
    }
    bench.machine.sh("systemctl daemon-reload");
}

#[test]
fn limits_bite_and_are_named() {
    let targets = [
        (
            "greedy",
            "memory_max = \"48MiB\"\nbuild = \"echo begun; tail /dev/zero\"",
        ),
        (
            "files",
            "memory_max = \"48MiB\"\nbuild = \"echo begun; cat /dev/zero > /dev/shm/x\"",
        ),
        ("bomb", "tasks_max = 40\nbuild = \"f() { f | f & }; f; sleep 1; true\""),
        ("modest", "memory_max = \"48MiB\"\ntasks_max = 40\nbuild = \"true\""),
    ];
    let bench = Bench::new(LIMITED, &targets);
    // Without root's word a limit of memory holds for each process, which is said.
    let text = bench.deploy("greedy").failed();
    assert!(
        text.contains("hookd: `memory_max` holds for each process by itself"),
        "{text}"
    );

    write_drop_ins(&bench, &targets);
    let text = bench.deploy("greedy").failed();
    assert!(text.contains("failed: build killed: memory 48 MiB after"), "{text}");
    assert!(!text.contains("holds for each"), "{text}");
    // Files in memory count, too.
    let text = bench.deploy("files").failed();
    assert!(text.contains("failed: build killed: memory 48 MiB after"), "{text}");
    let text = bench.deploy("bomb").text;
    assert!(
        text.contains("hookd: it reached the limit of 40 processes and threads (tasks_max)"),
        "{text}"
    );
    assert_eq!(
        bench
            .machine
            .sh("ps -u hookd -o args= | awk '!/^\\/usr\\/bin\\/hookd serve| git-worker$/ { others++ } END { print others + 0 }'"),
        "0\n"
    );
    bench.deploy("modest").live();
}

/// Listens where a name service would.
const NAME_SERVICE: &str = "use IO::Socket::UNIX; mkdir '/run/nscd'; my $s = IO::Socket::UNIX->new(Local => '/run/nscd/socket', Listen => 9) \
                            or die $!; chmod 0777, '/run/nscd/socket'; while ($s->accept) { }";

/// Succeeds if it is heard there.
const ASK: &str = "use IO::Socket::UNIX; exit(IO::Socket::UNIX->new(Peer => '/run/nscd/socket') ? 0 : 1)";

#[test]
fn a_build_without_network_has_none() {
    let build = "! perl /srv/ask.pl || exit 3; cat /proc/net/dev; curl -sS http://127.0.0.1:80/";
    let targets = [("offline", &*format!("network = false\nbuild = {build:?}"))];
    let bench = Bench::new(PLAIN, &targets);
    let machine = &bench.machine;
    machine.until("systemctl is-active nginx");
    // A service that asks name servers for others, by a socket of the file system, as nscd and systemd-resolved do.
    machine.write("/root/nscd.pl", 0o644, NAME_SERVICE);
    machine.write("/srv/ask.pl", 0o644, ASK);
    machine.sh("systemd-run --quiet --unit=names perl /root/nscd.pl");
    machine.until("perl /srv/ask.pl");
    let text = bench.deploy("offline").failed();
    assert!(text.contains("build could not be started: network = false"), "{text}");
    write_drop_ins(&bench, &targets);
    let text = bench.deploy("offline").failed();
    assert!(text.contains("lo:") && !text.contains("host0:"), "{text}");
    assert!(text.contains("build exited with 7"), "{text}"); // curl: could not connect
}

#[test]
fn commands_run_as_another_user_by_a_drop_in() {
    let targets = [(
        "theirs",
        r#"
        run_as = "builder"
        keep = 1
        shared = ["uploads"]
        build = '''
            id -un; mkdir -m 0755 made; touch made/file uploads/one; chmod 0700 made; echo more >> file
            cat "$HOOKD_PAYLOAD_FILE" /etc/hookd/blog.secret || echo said >/dev/stderr
        '''
        "#,
    )];
    let bench = Bench::new(PLAIN, &targets);
    let machine = &bench.machine;
    machine.sh("useradd --system builder");
    let text = bench.deploy("theirs").failed();
    assert!(
        text.contains("run_as = \"builder\": the unit hookd-run@blog@theirs.service runs as hookd"),
        "{text}"
    );

    write_drop_ins(&bench, &targets);
    let mut text = String::new();
    for _ in 0..3 {
        text = bench.deploy("theirs").text;
        assert!(
            text.contains("build    | builder") && text.contains("build    ! said"),
            "{text}"
        );
        assert!(text.contains("blog.secret: Permission denied"), "{text}");
        assert!(text.contains("live: deployed"), "{text}");
    }
    assert_eq!(machine.sh("stat -c %U /srv/theirs/current/made/file"), "builder\n");
    // The first one is removed, though another user made it: kept are the live one, the one before, and the failed one.
    assert!(text.contains("pruned"), "{text}");
    assert_eq!(machine.sh("ls -A /srv/theirs/releases | wc -l"), "3\n");
}
