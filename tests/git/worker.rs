//! The child process: what it is told, what it leaves behind, and that it never outlives its parent.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use hookd::git::{Access, Git, GitErrorKind};

use super::support::faults::{Fault, Proxy};
use super::support::git_server::{Change, GitServer};
use super::{HOOKD, LONG, World, access, noise, secret};

/// A fetch through a proxy that goes silent in the middle of the pack.
fn stalled(world: &World) -> (GitServer, Proxy, Access) {
    world
        .origin("blog.git")
        .commit("main", "x", &[Change::File("big", &noise(4_000_000))]);
    let server = GitServer::http_with_password(&world.root(), "u", "t0p-s3cr3t");
    let proxy = Proxy::new(server.port(), Fault::StallAfter(1_000_000));
    let mut access = access(&server.url_at_port("blog.git", proxy.port()));
    access.token = Some(secret("u:t0p-s3cr3t"));
    (server, proxy, access)
}

/// Process ids whose command line is `… git-worker` and whose environment mentions this world.
fn workers(mark: &str) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|e| e.path());
    let of = |path: &PathBuf, file: &str| fs::read(path.join(file)).unwrap_or_default();
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    processes
        .filter(|p| has(&of(p, "cmdline"), "git-worker") && has(&of(p, "environ"), mark))
        .collect()
}

/// A world whose workers have its directory in their environment.
fn marked() -> (World, String) {
    let mut world = World::new();
    world.git.scratch = world.dir.path().to_owned();
    let mark = world.dir.path().to_str().unwrap().to_owned();
    (world, mark)
}

#[tokio::test]
async fn secrets_are_neither_argument_nor_environment() {
    let (world, mark) = marked();
    let (_server, proxy, access) = stalled(&world);
    let cancel = world.cancel.clone();
    let looker = tokio::task::spawn_blocking(move || {
        proxy.wait();
        let found = workers(&mark);
        let seen = found.iter().map(|p| {
            [
                fs::read(p.join("cmdline")).unwrap(),
                fs::read(p.join("environ")).unwrap(),
            ]
            .concat()
        });
        let seen: Vec<String> = seen
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', "\n"))
            .collect();
        cancel.cancel();
        (found, seen)
    });
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Cancelled);
    let (found, seen) = looker.await.unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(!seen[0].contains("t0p-s3cr3t"));
    let names: Vec<&str> = seen[0]
        .lines()
        .skip(2)
        .filter_map(|l| l.split_once('='))
        .map(|(name, _)| name)
        .collect();
    for name in names {
        assert!(["PATH", "HOME", "LANG", "MALLOC_CONF"].contains(&name), "{name}");
    }
    assert!(found.iter().all(|p| !p.exists()), "the worker is still there");
}

#[tokio::test]
async fn a_dropped_call_takes_its_worker_along() {
    let (world, mark) = marked();
    let (_server, proxy, access) = stalled(&world);
    let waiting = tokio::task::spawn_blocking(move || proxy.wait());
    tokio::select! {
        fetched = world.fetch(&access, "main") => panic!("{fetched:?}"),
        waited = waiting => waited.unwrap(),
    }
    // Killed when dropped; the kernel may need a moment to end it.
    let begun = Instant::now();
    while !workers(&mark).is_empty() {
        assert!(begun.elapsed() < LONG, "the worker is still there");
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_end_of_the_input_is_the_end_of_the_worker() {
    let world = World::new();
    let (server, proxy, _) = stalled(&world);
    let url = server.url_at_port("blog.git", proxy.port());
    let remote = format!(
        r#"{{"url":"{url}","ssh_key":null,"known_hosts":[],"token":"u:t0p-s3cr3t","keys":[],"submodule_hosts":[]}}"#
    );
    let at = world.dir.path().display();
    let job = format!(r#"{{"Fetch":{{"mirror":"{at}/m.git","git_ref":"refs/heads/main","depth":0}}}}"#);
    let limits = r#""bounds":{"file_size":1000000,"files":1000},"memory":500000000"#;
    let request = format!(r#"{{"idle_ms":600000,"scratch":"{at}",{limits},"remote":{remote},"job":{job}}}"#);
    let mut command = Command::new(HOOKD);
    command.arg("git-worker").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{request}").unwrap();
    proxy.wait();
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    assert!(!child.wait().unwrap().success());
}

#[test]
fn nonsense_is_answered_and_not_repeated() {
    let mut command = Command::new(HOOKD);
    command
        .arg("git-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"token\":\"t0p-s3cr3t\"\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("not a request") && !said.contains("t0p-s3cr3t"), "{said}");
}

#[tokio::test]
async fn a_worker_that_dies_is_told_with_its_last_words() {
    let world = World::new();
    let wrapper = world.path("dying");
    fs::write(
        &wrapper,
        "#!/bin/sh\nread line\necho 'out of memory, says the test' >&2\nkill -KILL $$\n",
    )
    .unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let git = Git::new(wrapper, LONG, LONG);
    let error = git.ls_remote(&access("/srv/x"), &world.cancel).await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Cut, "{error}");
    assert!(
        error.message.contains("signal: 9") && error.message.contains("says the test"),
        "{error}"
    );
    let git = Git::new(world.path("no-such-program"), LONG, LONG);
    assert!(
        git.ls_remote(&access("/srv/x"), &world.cancel)
            .await
            .unwrap_err()
            .message
            .contains("no-such-program")
    );
}

#[tokio::test]
async fn nothing_is_left_in_the_temporary_directory() {
    let mut world = World::new();
    let wrapper = world.path("hookd-in-its-own-tmp");
    fs::write(
        &wrapper,
        format!(
            "#!/bin/sh\necho \"$HOME\" >> {}\nexec {HOOKD} \"$@\"\n",
            world.path("homes").display()
        ),
    )
    .unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.git.program = wrapper;
    let origin = world.origin("blog.git");
    origin.commit("main", "x", &[Change::File("a", b"a")]);
    world.fetch(&access(&origin.file_url()), "main").await.unwrap();
    world.fetch(&access("/srv/nothing"), "main").await.unwrap_err();
    let homes = super::read(&world.path("homes"));
    assert_eq!(homes.lines().count(), 2);
    assert!(homes.lines().all(|home| !PathBuf::from(home).exists()), "{homes}");
}
