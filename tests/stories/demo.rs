//! `hookd demo` from outside: what it shows, in which order, and that nothing is left when it has ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longest wait for the next line: more than the demo itself gives any of its steps.
const LINE_TIME: Duration = Duration::from_secs(90);

/// A demo that runs, in a temporary directory of the test's own.
struct Running {
    place: TempDir,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// Starts `hookd demo` with these arguments and this PATH.
fn start(arguments: &[&str], path: Option<&Path>) -> Running {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookd"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command.spawn().unwrap();
    let (sender, lines) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        stdout
            .lines()
            .map_while(Result::ok)
            .all(|line| sender.send(line).is_ok())
    });
    Running {
        place,
        child,
        lines,
        seen: Vec::new(),
    }
}

impl Running {
    /// Reads until a line has all of these texts; gives it.
    fn until(&mut self, texts: &[&str]) -> String {
        loop {
            let line = self.lines.recv_timeout(LINE_TIME);
            let line = line.unwrap_or_else(|_| panic!("no line with {texts:?} in\n{}", self.seen.join("\n")));
            self.seen.push(line.clone());
            if texts.iter().all(|text| line.contains(text)) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for the end: what it wrote on stderr, the exit code, and its directory.
    fn end(self) -> (Option<i32>, String, TempDir) {
        let Output { status, stderr, .. } = self.child.wait_with_output().unwrap();
        (status.code(), String::from_utf8_lossy(&stderr).into_owned(), self.place)
    }
}

/// Processes that were started with this directory in their arguments or environment.
fn processes(place: &Path) -> Vec<String> {
    let mark = place.to_str().unwrap();
    let mentions = |file: PathBuf| {
        std::fs::read(file).is_ok_and(|bytes| bytes.windows(mark.len()).any(|part| part == mark.as_bytes()))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .map_while(Result::ok)
        .map(|entry| entry.path())
        .filter(|process| mentions(process.join("environ")) || mentions(process.join("cmdline")))
        .map(|process| {
            let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).replace('\0', " ")
        })
        .collect()
}

fn assert_nothing_left(place: &TempDir) {
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(processes(place.path()), Vec::<String>::new());
}

/// Git as a user has it, without what this machine's user has set up.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Bob", "-c", "user.email=bob@example.org"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs a line as somebody types it on a fresh machine, where git knows no name.
fn fresh(directory: &Path, line: &str) {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", directory)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {told}");
}

/// The answer to a GET, head and body, from `http://HOST:PORT/PATH`, asked for under the name `host`.
fn get(url: &str, host: &str) -> String {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn once_shows_each_step_and_leaves_nothing() {
    let mut demo = start(&["--once"], None);
    let goes_live = |demo: &mut Running, subject: &str, headline: &str| {
        demo.until(&["→ pushed", subject, "to main"]);
        demo.until(&["✓ accepted", "the signed webhook", "202"]);
        demo.until(&["fetch", "fetched", subject]);
        demo.until(&["build", "| built public/index.html"]);
        demo.until(&["activate", "`current` points at"]);
        demo.until(&["check", "is healthy"]);
        demo.until(&["✓ live", "deployed"]);
        demo.until(&["✓ page", headline]);
    };
    demo.until(&["✓ daemon", "hookd serve"]);
    goes_live(&mut demo, "Open the garden", "The garden is open");
    goes_live(&mut demo, "Tell about the pears", "The first pears are ripe");
    demo.until(&["✗ refused", "401"]);
    demo.until(&["→ pushed", "Call the start page home.html"]);
    demo.until(&["✓ accepted"]);
    demo.until(&["build", "| built public/home.html"]);
    demo.until(&["check", "answered 404"]);
    demo.until(&["↩ rolled-back", "check failed"]);
    demo.until(&["✓ page", "The first pears are ripe"]);
    goes_live(&mut demo, "Revert", "The first pears are ripe");
    demo.until(&["#3", "rolled-back", "Call the start page home.html"]);
    demo.until(&["All as it should be"]);
    assert!(!demo.seen.concat().contains('\x1b'), "colours without a terminal");
    let (code, stderr, place) = demo.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_nothing_left(&place);
}

#[test]
fn stays_up_and_deploys_what_a_visitor_pushes() {
    let mut demo = start(&[], None);
    let watch = demo
        .until(&["in a browser: "])
        .split_once("browser: ")
        .unwrap()
        .1
        .to_owned();
    demo.until(&["1. Alice pushes a site"]);
    let overview = get(&watch, "localhost");
    assert!(
        overview.starts_with("HTTP/1.1 200") && overview.contains("site/production"),
        "{overview}"
    );
    let page = demo
        .until(&["The site: "])
        .split_once("site: ")
        .unwrap()
        .1
        .trim()
        .to_owned();
    let line = demo.until(&["git clone "]);
    let url = line.split_whitespace().nth(2).unwrap().to_owned();
    let more = demo.until(&["user.email="]);
    demo.until(&["hookd.log"]);

    let mine = tempfile::tempdir().unwrap();
    fresh(mine.path(), &format!("{}\n{}", line.trim(), more.trim()));
    let work = mine.path().join("garden");
    let file = work.join("index.html");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("The first pears are ripe", "Bob was here")).unwrap();
    fresh(&work, "git commit --quiet -am 'Say hello' && git push --quiet");
    let commit = git(&work, &["rev-parse", "--short=7", "HEAD"]);
    demo.until(&["→ pushed", &commit, "“Say hello” to main"]);
    demo.until(&["✓ live", &commit]);
    demo.until(&["✓ page", "Bob was here"]);
    let shown = get(&page, "anything");
    assert!(
        shown.starts_with("HTTP/1.1 200") && shown.contains("Bob was here") && shown.contains(&commit),
        "{shown}"
    );

    // What no target follows is shown, too, and deploys nothing.
    git(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/draft"]);
    demo.until(&["→ pushed", "to draft"]);
    demo.until(&["ignored", "with 200", "draft is not main"]);

    // A web page that was given this address under its own name gets nothing.
    let refs = format!("{url}/info/refs?service=git-receive-pack");
    assert!(get(&refs, "rebound.example").starts_with("HTTP/1.1 403"));

    demo.signal(Signal::SIGINT);
    let (code, stderr, place) = demo.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_nothing_left(&place);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let mut demo = start(&["--once"], None);
    demo.until(&["✓ accepted"]);
    demo.signal(Signal::SIGTERM);
    let (code, stderr, place) = demo.end();
    assert_eq!(
        (code, stderr.as_str()),
        (Some(1), "hookd: error: the demo was interrupted\n")
    );
    assert_nothing_left(&place);
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let mut demo = start(&[], None);
    demo.until(&["✓ accepted"]);
    drop(std::mem::replace(&mut demo.lines, channel().1));
    let (code, stderr, place) = demo.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_nothing_left(&place);
}

#[test]
fn says_so_without_git() {
    let empty = tempfile::tempdir().unwrap();
    let demo = start(&["--once"], Some(empty.path()));
    let (code, stderr, place) = demo.end();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("git can't be run") && stderr.contains("hint: install it"),
        "{stderr}"
    );
    assert_nothing_left(&place);
}

#[test]
fn says_which_step_went_wrong_and_leaves_the_log() {
    let mut demo = start(&["--once"], None);
    demo.until(&["1. Alice pushes a site"]);
    let daemon = std::fs::read_dir("/proc").unwrap().map_while(Result::ok).find(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        words.starts_with("hookd\0serve") && words.contains(demo.place.path().to_str().unwrap())
    });
    let pid = daemon.unwrap().file_name().to_str().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let (code, stderr, place) = demo.end();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("the demo failed at “1. Alice pushes a site”"),
        "{stderr}"
    );
    assert!(stderr.contains("is ready"), "the end of the log: {stderr}");
    let left = std::fs::read_dir(place.path()).unwrap().next().unwrap().unwrap();
    assert!(
        stderr.contains(&format!("{}/hookd.log", left.path().display())),
        "{stderr}"
    );
    assert!(left.path().join("hookd.log").exists());
}
