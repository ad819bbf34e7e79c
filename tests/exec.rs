//! Commands that misbehave, run for real under the real supervisor.
//!
//! Whether anything survived is asked of a named pipe that every process of a command inherits: it has a writer as long
//! as one of them lives. So no test waits for a time, or trusts a process id.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use hookd::config::Command;
use hookd::exec::{CommandSpec, Ended, LINE_MAX, OutputLine, Stream, run};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, User, getgrouplist};
use tokio_util::sync::CancellationToken;

const HOOKD: &str = env!("CARGO_BIN_EXE_hookd");

/// What no test comes near, unless something hangs.
const LONG: Duration = Duration::from_mins(1);

/// Set for a copy of this test program that plays the daemon: the shell line that it runs.
const STAND_IN: &str = "EXEC_TEST_STAND_IN";

fn shell(line: &str) -> CommandSpec {
    let command = Command::Shell(line.to_owned());
    CommandSpec::new(command, "/", LONG, Duration::from_millis(200))
}

fn argv(argv: &[&str]) -> CommandSpec {
    CommandSpec {
        command: Command::Argv(argv.iter().map(ToString::to_string).collect()),
        ..shell("")
    }
}

async fn outcome(spec: &CommandSpec) -> (Ended, Vec<OutputLine>) {
    let mut lines = Vec::new();
    let never = CancellationToken::new();
    let ended = run(Path::new(HOOKD), spec, |line| lines.push(line), &never)
        .await
        .unwrap();
    (ended, lines)
}

fn texts(lines: &[OutputLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

fn reason(ended: Ended) -> String {
    match ended {
        Ended::NotStarted(reason) => reason,
        other => panic!("it was started, and {other}"),
    }
}

/// The named pipe that tells whether any process of a command lives.
struct Life {
    directory: tempfile::TempDir,
    reader: File,
}

impl Life {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("life");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o622)).unwrap();
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        Self { directory, reader }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("life")
    }

    /// A shell line of which every process holds the pipe.
    fn line(&self, line: &str) -> String {
        format!("exec 9>{}; echo began >&9; {line}", self.path().display())
    }

    /// The command began, and none of its processes lives.
    fn assert_over(&self) {
        let mut text = [0; 100];
        let began = (&self.reader).read(&mut text).unwrap();
        assert_eq!(&text[..began], b"began\n");
        let state = (&self.reader).read(&mut text);
        assert!(matches!(state, Ok(0)), "something still runs: {state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals_are_told_apart() {
    for code in [0, 1, 3, 127, 137, 255] {
        assert_eq!(outcome(&shell(&format!("exit {code}"))).await.0, Ended::Exited(code));
    }
    assert_eq!(outcome(&shell("kill -9 $$")).await.0, Ended::Signalled(9));
    assert_eq!(outcome(&shell("kill -15 $$")).await.0, Ended::Signalled(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_arrive_as_they_are() {
    let (ended, lines) = outcome(&argv(&["printf", "%s|", "a b", "$HOME", "", "'\"*"])).await;
    assert_eq!((ended, texts(&lines)), (Ended::Exited(0), vec!["a b|$HOME||'\"*|"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_told_with_its_reason() {
    let in_path = CommandSpec {
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..argv(&["no-such-program", "x"])
    };
    let missing = reason(outcome(&in_path).await.0);
    assert!(
        missing
            .starts_with("no-such-program: No such file or directory; it is in no directory of PATH (/usr/bin:/bin)"),
        "{missing}"
    );
    assert!(reason(outcome(&argv(&["/no/such/program"])).await.0).starts_with("/no/such/program: No such file"));
    assert!(reason(outcome(&argv(&[])).await.0).contains("empty"));
    assert!(reason(outcome(&argv(&["a\0b"])).await.0).contains("nul byte"));

    let nowhere = CommandSpec {
        directory: "/no/such/directory".into(),
        ..shell("true")
    };
    assert_eq!(
        reason(outcome(&nowhere).await.0),
        "its directory /no/such/directory: No such file or directory"
    );

    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("build");
    std::fs::write(&script, "#!/no/such/shell\n").unwrap();
    let script_text = script.to_str().unwrap();
    let not_executable = reason(outcome(&argv(&[script_text])).await.0);
    assert!(not_executable.contains("make it executable"), "{not_executable}");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let no_interpreter = reason(outcome(&argv(&[script_text])).await.0);
    assert!(
        no_interpreter.contains("interpreter that its first line names"),
        "{no_interpreter}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_streams_and_a_last_line_without_newline() {
    let (ended, lines) = outcome(&shell("echo out; echo err >&2; printf last; printf lost >&2")).await;
    assert_eq!(ended, Ended::Exited(0));
    let of = |stream| {
        let lines: Vec<_> = lines.iter().filter(|line| line.stream == stream).cloned().collect();
        texts(&lines).join(",")
    };
    assert_eq!(
        (of(Stream::Stdout), of(Stream::Stderr)),
        ("out,last".to_owned(), "err,lost".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stderr_before_any_stdout_is_no_deadlock() {
    let (ended, lines) = outcome(&shell("head -c 1000000 /dev/zero | tr '\\0' 'e' >&2; echo done")).await;
    assert_eq!(ended, Ended::Exited(0));
    let errors: usize = lines
        .iter()
        .filter(|l| l.stream == Stream::Stderr)
        .map(|l| l.text.len())
        .sum();
    assert_eq!(errors, 1_000_000);
    assert!(lines.iter().any(|line| line.text == "done"));
}

/// The most memory that this process has ever had, in kB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_without_a_newline() {
    let before = peak_memory();
    let (mut bytes, mut longest) = (0, 0);
    let output = |line: OutputLine| {
        bytes += line.text.len();
        longest = longest.max(line.text.len());
    };
    let spec = shell("head -c 200000000 /dev/zero | tr '\\0' 'x'");
    let ended = run(Path::new(HOOKD), &spec, output, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((ended, bytes, longest), (Ended::Exited(0), 200_000_000, LINE_MAX));
    // The other tests' memory is in this as well.
    let more = peak_memory().saturating_sub(before);
    assert!(more < 50_000, "{more} kB for 200 MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_garbage_becomes_text() {
    let (ended, lines) = outcome(&shell("head -c 100000 /dev/urandom; printf '\\377\\0\\033[2J\\n'")).await;
    assert_eq!(ended, Ended::Exited(0));
    assert!(lines.last().unwrap().text.ends_with("\u{fffd}\0\u{1b}[2J"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_survives_the_main_process_and_nobody_waits_for_it() {
    let began = Instant::now();
    for left_behind in [
        "sleep 1000 &",
        "setsid sleep 1000 &",
        "setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &",
        "(sh -c 'sleep 1000 & exit' &); :",
        "trap '' TERM HUP; (trap '' TERM HUP; while :; do sleep 1000; done) &",
        "sh -c 'kill -STOP $$' &",
        "perl -e 'for (;;) { exit if fork }' &",
        "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4; do setsid sleep 1000 & done; sleep 1000) & done",
    ] {
        let life = Life::new();
        let (ended, lines) = outcome(&shell(&life.line(&format!("{left_behind}\necho last; exit 7")))).await;
        assert_eq!(
            (ended, texts(&lines)),
            (Ended::Exited(7), vec!["last"]),
            "{left_behind}"
        );
        life.assert_over();
    }
    assert!(began.elapsed() < LONG);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_reaches_grandchildren_that_ignore_term() {
    let life = Life::new();
    let spec =
        CommandSpec {
            timeout: Duration::from_millis(300),
            ..shell(&life.line(
                "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & while :; do sleep 1; done",
            ))
        };
    let (ended, _) = outcome(&spec).await;
    assert_eq!(ended, Ended::TimedOut { after: spec.timeout });
    assert_eq!(ended.to_string(), "timed out after 300ms and was stopped");
    life.assert_over();
}

#[tokio::test(flavor = "multi_thread")]
async fn term_comes_first_and_leaves_time_to_tidy_up() {
    let life = Life::new();
    let spec = CommandSpec {
        grace: LONG,
        ..shell(&life.line("trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.05; done"))
    };
    let cancel = CancellationToken::new();
    let mut lines = Vec::new();
    let output = |line: OutputLine| {
        if line.text == "ready" {
            cancel.cancel();
        }
        lines.push(line);
    };
    let ended = run(Path::new(HOOKD), &spec, output, &cancel).await.unwrap();
    // The shell may say on standard error that its `sleep` was terminated.
    lines.retain(|line| line.stream == Stream::Stdout);
    assert_eq!((ended, texts(&lines)), (Ended::Cancelled, vec!["ready", "tidied"]));
    life.assert_over();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_before_it_began() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ended = run(Path::new("/no/such/program"), &shell("true"), |_| {}, &cancel)
        .await
        .unwrap();
    assert_eq!(ended, Ended::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_kills_everything() {
    let life = Life::new();
    let spec = shell(&life.line("setsid sleep 1000 & trap '' TERM; echo ready; while :; do sleep 1; done"));
    let (ready, mut is_ready) = tokio::sync::mpsc::unbounded_channel();
    let running = tokio::spawn(async move {
        let output = move |line: OutputLine| ready.send(line).unwrap();
        run(Path::new(HOOKD), &spec, output, &CancellationToken::new()).await
    });
    assert_eq!(is_ready.recv().await.unwrap().text, "ready");
    running.abort();
    assert_eq!(until_over(life).await, "began\n");
}

/// Waits until no process of a command lives, and tells what the pipe held.
async fn until_over(life: Life) -> String {
    let wait = tokio::task::spawn_blocking(move || {
        nix::fcntl::fcntl(&life.reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
        let mut text = String::new();
        (&life.reader).read_to_string(&mut text).unwrap();
        text
    });
    tokio::time::timeout(LONG, wait).await.expect("it still runs").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_supervisor_nor_command_is_left_as_a_zombie() {
    let (ended, lines) = outcome(&shell("echo $$ $PPID; (sleep 1000 & echo $!)")).await;
    assert_eq!(ended, Ended::Exited(0));
    let ids: Vec<&str> = lines.iter().flat_map(|line| line.text.split(' ')).collect();
    assert_eq!(ids.len(), 3);
    for id in ids {
        assert!(!Path::new("/proc").join(id).exists(), "{id} is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_starts_with_a_clean_slate() {
    let line = "cat; ps -o pid=,sid=,pgid= -p $$; umask; grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let (ended, lines) = outcome(&shell(line)).await;
    assert_eq!(ended, Ended::Exited(0));
    let ids: Vec<&str> = lines[0].text.split_whitespace().collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(lines[2].text, "SigBlk:\t0000000000000000");
    let ignored = u64::from_str_radix(lines[3].text.trim_start_matches("SigIgn:\t"), 16).unwrap();
    assert_eq!(
        ignored & 1 << (nix::libc::SIGPIPE - 1),
        0,
        "a broken pipe ends a command"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_and_core_files_are_off() {
    let line = "ulimit -c; x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let (ended, lines) = outcome(&shell(line)).await;
    assert_eq!((ended, texts(&lines)), (Ended::Exited(0), vec!["0", "100000000"]));
    let spec = CommandSpec {
        memory_max: Some(32 << 20),
        ..shell(line)
    };
    assert!(!outcome(&spec).await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_that_is_passed_comes_last_and_wins() {
    let spec = CommandSpec {
        environment: vec![
            ("HOME".into(), "/elsewhere".into()),
            ("GREETING".into(), "a b\n$c".into()),
        ],
        ..shell("echo \"$HOME $GREETING\"")
    };
    assert_eq!(texts(&outcome(&spec).await.1), ["/elsewhere a b", "$c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_for_good_with_that_users_groups_alone() {
    if !Uid::effective().is_root() {
        let spec = CommandSpec {
            run_as: Some("root".into()),
            ..shell("true")
        };
        assert!(reason(outcome(&spec).await.0).contains("needs a daemon that runs as root"));
        return;
    }
    let spec = CommandSpec {
        run_as: Some("nobody".into()),
        ..shell(
            "id -u; id -g; id -G; echo $HOME; grep -E '^(Uid|CapEff)' /proc/self/status; kill -9 $PPID 2>/dev/null || echo refused",
        )
    };
    let (ended, lines) = outcome(&spec).await;
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let groups: Vec<String> = getgrouplist(c"nobody", nobody.gid)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    let (uid, gid) = (nobody.uid.to_string(), nobody.gid.to_string());
    let told = texts(&lines);
    assert_eq!(ended, Ended::Exited(0));
    assert_eq!(told[..4], [&uid, &gid, &groups.join(" "), nobody.dir.to_str().unwrap()]);
    assert_eq!(told[4], format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    assert_eq!(told[5], "CapEff:\t0000000000000000");
    assert!(
        told.contains(&"refused"),
        "the command could kill its supervisor: {told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_limited_for_another_user() {
    if !Uid::effective().is_root() {
        // Whether forks of this user's own fail is up to whatever else it runs.
        eprintln!("not tested: a limit of tasks for another user takes root");
        return;
    }
    let spec = CommandSpec {
        run_as: Some("nobody".into()),
        ..shell("(true); echo forked")
    };
    assert_eq!(texts(&outcome(&spec).await.1), ["forked"]);
    let limited = CommandSpec {
        tasks_max: Some(1),
        ..spec
    };
    let (ended, lines) = outcome(&limited).await;
    assert!(
        !ended.success() && !texts(&lines).contains(&"forked"),
        "{ended:?} {lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_named() {
    let spec = CommandSpec {
        run_as: Some("no-such-user".into()),
        ..shell("true")
    };
    let reason = reason(outcome(&spec).await.0);
    assert_eq!(
        reason,
        "run_as = \"no-such-user\": there is no such user on this machine"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_an_error_and_its_command_goes_too() {
    let life = Life::new();
    let spec = shell(&life.line("kill -9 $PPID; exec sleep 1000"));
    let error = run(Path::new(HOOKD), &spec, |_| {}, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("signal: 9"), "{error}");
    assert_eq!(until_over(life).await, "began\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_at_once() {
    let runs: Vec<_> = (0..20)
        .map(|n| tokio::spawn(async move { outcome(&shell(&format!("sleep 1000 & echo {n}; exit {n}"))).await }))
        .collect();
    for (n, running) in runs.into_iter().enumerate() {
        let (ended, lines) = running.await.unwrap();
        assert_eq!(
            (ended, lines[0].text.clone()),
            (Ended::Exited(i32::try_from(n).unwrap()), n.to_string())
        );
    }
}

/// Not a test of its own: what the tests below start as their daemon. Runs the line that it is given.
#[tokio::test(flavor = "multi_thread")]
async fn stand_in_for_the_daemon() {
    let Ok(line) = std::env::var(STAND_IN) else { return };
    let output = |line: OutputLine| println!("> {}", line.text);
    run(Path::new(HOOKD), &shell(&line), output, &CancellationToken::new())
        .await
        .unwrap();
}

/// A process that runs `line` as the daemon would, started by a shell that first does `before`.
fn stand_in(before: &str, line: &str) -> Process {
    let mut process = Process::new("/bin/sh");
    process
        .args([
            "-c",
            &format!("{before}\nexec \"$0\" --exact stand_in_for_the_daemon --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env(STAND_IN, line)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_with_9_takes_its_command_along() {
    let life = Life::new();
    let command = life.line("trap '' TERM HUP; setsid sleep 1000 & echo ready; while :; do sleep 1; done");
    let mut daemon = stand_in("", &command).spawn().unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("> ready")));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(until_over(life).await, "began\n");
}

#[test]
fn nothing_of_the_daemon_leaks_into_a_command() {
    let output = stand_in("exec 7</etc/passwd", "env; ls /proc/self/fd | xargs echo fds")
        .env("DAEMON_SECRET", "s3cret")
        .env("TMPDIR", "/tmp")
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/home/of-daemon")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("> "))
        .map(|(_, line)| line)
        .collect();
    told.sort_unstable();
    // PWD is the shell's own; the fourth descriptor is the directory that `ls` reads.
    assert_eq!(
        told,
        [
            "HOME=/home/of-daemon",
            "LANG=C.UTF-8",
            "PATH=/usr/bin:/bin",
            "PWD=/",
            "TMPDIR=/tmp",
            "fds 0 1 2 3"
        ]
    );
}
