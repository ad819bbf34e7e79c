//! Remotes over http, https and the local disk: what works, and how each failure is told.

use std::net::TcpListener;
use std::time::Duration;

use hookd::git::{Access, GitErrorKind, ProgressPhase};
use hookd::model::GitRef;

use super::support::faults::{Canned, Fault, HttpProxy, Proxy};
use super::support::git_server::{Change, GitServer};
use super::support::world::wait_until;
use super::{World, access, id, noise, read, secret};

#[tokio::test]
async fn http_from_push_to_files() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit(
        "main",
        "First\n\nbody",
        &[Change::File("a/b.txt", b"hello"), Change::File("c", b"")],
    );
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));

    let refs = world.ls_remote(&access).await.unwrap();
    assert_eq!(refs.len(), 1);
    assert_eq!(
        (refs[0].name.as_str(), &refs[0].object, &refs[0].peeled),
        ("refs/heads/main", &id(&head), &None)
    );

    let fetched = world.fetch(&access, "main").await.unwrap();
    assert_eq!(
        (
            fetched.commit.as_str(),
            fetched.subject.as_str(),
            fetched.author.as_str()
        ),
        (&*head, "First", "Alice")
    );
    assert_eq!(fetched.committed.seconds(), 1_795_342_500);

    let written = world.checkout(&access, &fetched.commit, "release").await.unwrap();
    assert_eq!((written.files, written.bytes), (2, 5));
    assert_eq!(read(&world.path("release/a/b.txt")), "hello");
    assert_eq!(read(&world.path("release/c")), "");
    assert!(!world.path("release/.git").exists());

    let second = origin.commit("main", "Second", &[Change::File("c", b"now")]);
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&second));
}

#[tokio::test]
async fn what_a_pusher_wrote_is_decoded_and_bounded() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let tree = origin.git(&["mktree", "-z"]);
    let person = b"Gr\xfc\xdf\xe9 <a@example.org> 1795342500 +0000\n";
    let raw = [
        format!("tree {tree}\nauthor ").as_bytes(),
        person,
        b"committer ",
        person,
        b"encoding ISO-8859-1\n\nGr\xfc\xdfe\nan alle\n\nbody\n",
    ]
    .concat();
    let latin = origin.git_input(&["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], &raw);
    origin.git(&["update-ref", "refs/heads/latin", &latin]);
    let access = access(&origin.file_url());
    let fetched = world.fetch(&access, "latin").await.unwrap();
    assert_eq!(
        (fetched.subject.as_str(), fetched.author.as_str()),
        ("Gr\u{fc}\u{df}e an alle", "Gr\u{fc}\u{df}\u{e9}")
    );

    let mut raw = format!("tree {tree}\nauthor ").into_bytes();
    raw.extend(b"n\xe2\x80\xaen".repeat(4_000_000));
    raw.extend_from_slice(b" <a@example.org> 1795342500 +0000\ncommitter A <a@example.org> 1795342500 +0000\n\n");
    raw.extend(b"\xe2\x80\xaes".repeat(5_000_000));
    let huge = origin.git_input(&["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], &raw);
    origin.git(&["update-ref", "refs/heads/huge", &huge]);
    let fetched = world.fetch(&access, "huge").await.unwrap();
    assert_eq!(fetched.commit, id(&huge));
    assert_eq!(fetched.subject.chars().count(), hookd::model::words::SUBJECT_MAX);
    assert_eq!(fetched.author.chars().count(), hookd::model::words::AUTHOR_MAX);
    assert!(fetched.whole_message.len() <= hookd::model::words::MESSAGE_MAX);
    assert!(!format!("{}{}", fetched.subject, fetched.author).contains('\u{202e}'));
}

#[tokio::test]
async fn https_is_checked_against_the_configured_authority_too() {
    let world = World::new();
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let server = GitServer::https(&world.root());
    let mut access = access(&server.url("blog.git"));

    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::HostKey, "{error}");
    assert!(error.hint.unwrap().contains("ca_file"));

    access.ca_file = Some(server.ca_file());
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));

    let other = GitServer::https(&world.root());
    access.ca_file = Some(other.ca_file());
    assert_eq!(
        world.fetch(&access, "main").await.unwrap_err().kind,
        GitErrorKind::HostKey
    );

    access.ca_file = Some(world.path("missing.pem"));
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert!(error.message.contains("missing.pem"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_trusted_if_it_is_in_the_file() {
    let world = World::new();
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let server = GitServer::https_self_signed(&world.root());
    let mut access = access(&server.url("blog.git"));
    assert_eq!(
        world.fetch(&access, "main").await.unwrap_err().kind,
        GitErrorKind::HostKey
    );
    access.ca_file = Some(server.ca_file());
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));

    // It is so for its own name alone.
    access.url = server
        .url("blog.git")
        .replace("127.0.0.1", "localhost")
        .parse()
        .unwrap();
    access.host = Some("localhost".to_owned());
    assert_eq!(
        world.fetch(&access, "main").await.unwrap_err().kind,
        GitErrorKind::HostKey
    );

    let nothing = world.path("nothing.pem");
    std::fs::write(&nothing, "no certificate").unwrap();
    access.ca_file = Some(nothing);
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert!(error.message.contains("nothing.pem"), "{error}");
}

#[tokio::test]
async fn a_fetch_is_one_connection_whose_answers_may_be_compressed() {
    let world = World::new();
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let server = GitServer::https(&world.root());
    let mut access = access(&server.url("blog.git"));
    access.ca_file = Some(server.ca_file());
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
    // nginx notes a request after it has answered it.
    wait_until("the server has noted both requests", || server.requests().len() >= 2);

    let requests = server.requests();
    let connection = |line: &String| line.split(' ').next().map(str::to_owned);
    assert!(requests.iter().all(|line| line.ends_with(" gzip")), "{requests:?}");
    assert!(
        requests.iter().all(|line| connection(line) == connection(&requests[0])),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_proxy_sees_its_own_password_and_nobody_elses() {
    let world = World::new();
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let plain = GitServer::http_with_password(&world.root(), "u", "t0ken");
    let encrypted = GitServer::https(&world.root());
    let proxy = HttpProxy::new();
    for (server, method) in [(&plain, "GET http://127.0.0.1"), (&encrypted, "CONNECT 127.0.0.1")] {
        let mut access = access(&server.url("blog.git"));
        access.token = Some(secret("u:t0ken"));
        access.ca_file = server.url("").starts_with("https").then(|| server.ca_file());
        access.proxy = Some(hookd::config::Proxy(secret(&format!(
            "http://me:pa%2Fss@127.0.0.1:{}",
            proxy.port()
        ))));
        assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
        let requests = proxy.requests();
        let seen = requests.last().unwrap();
        assert!(seen.starts_with(method), "{seen}");
        // me:pa/ss
        assert!(
            seen.to_ascii_lowercase().contains("proxy-authorization: basic "),
            "{seen}"
        );
        assert!(seen.contains("bWU6cGEvc3M="), "{seen}");
        assert!(!seen.to_ascii_lowercase().contains("\r\nauthorization:"), "{seen}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut access = access(&plain.url("blog.git"));
    access.proxy = Some(hookd::config::Proxy(secret(&format!(
        "http://me:pa%2Fss@127.0.0.1:{nobody}"
    ))));
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Connect, "{error}");
    assert!(!error.message.contains("pa%2Fss"), "{error}");
}

#[tokio::test]
async fn basic_auth_wants_the_right_token() {
    let world = World::new();
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let server = GitServer::http_with_password(&world.root(), "deployer", "s3cr3t-t0k3n");
    let mut access = access(&server.url("blog.git"));

    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Authentication, "{error}");
    assert!(error.message.contains("no token") && error.hint.unwrap().contains("`token`"));

    access.token = Some(secret("deployer:wr0ng"));
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Authentication, "{error}");
    assert!(
        error.message.contains("does not accept the token") && !error.message.contains("wr0ng"),
        "{error}"
    );

    access.token = Some(secret("deployer:s3cr3t-t0k3n"));
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
    assert_eq!(world.ls_remote(&access).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_repository_is_not_found() {
    let world = World::new();
    let server = GitServer::http(&world.root());
    let remote = access(&server.url("nothing.git"));
    for error in [
        world.fetch(&remote, "main").await.unwrap_err(),
        world.ls_remote(&remote).await.unwrap_err(),
        world
            .fetch(&access(world.path("nothing").to_str().unwrap()), "main")
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind, GitErrorKind::NotFound, "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error() {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = world
        .fetch(&access(&format!("http://127.0.0.1:{port}/x")), "main")
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Connect, "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn server_errors_may_pass() {
    let world = World::new();
    for (status, kind) in [
        ("503 Busy", GitErrorKind::Connect),
        ("403 No", GitErrorKind::Authentication),
    ] {
        let server = Canned::new(&format!(
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        let error = world.fetch(&access(&server.url("x")), "main").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[tokio::test]
async fn redirects_to_another_host_are_not_followed() {
    let world = World::new();
    world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let elsewhere = GitServer::http(&world.root());
    let target = elsewhere.url("blog.git").replace("127.0.0.1", "localhost");
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {target}/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let server = Canned::new(&answer);
    let remote = access(&server.url("blog.git"));
    for error in [
        world.fetch(&remote, "main").await.unwrap_err(),
        world.ls_remote(&remote).await.unwrap_err(),
    ] {
        assert!(error.message.contains("redirect"), "{error}");
        assert!(error.hint.is_some_and(|h| h.contains("`url`")));
    }
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let world = World::new();
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let server = GitServer::http(&world.root());
    for location in [
        format!("{}/info/refs?service=git-upload-pack", server.url("blog.git")),
        format!("{}/", server.url("blog.git")),
    ] {
        let moved = format!("HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let access = access(&Canned::new(&moved).url("old.git"));
        assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
    }
}

#[tokio::test]
async fn a_server_of_files_is_named_so() {
    let world = World::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n\r\n";
    let error = world
        .fetch(&access(&Canned::new(answer).url("x")), "main")
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Unsupported, "{error}");
    assert!(error.hint.unwrap().contains("dumb"), "{}", error.message);
}

#[tokio::test]
async fn a_server_that_falls_silent_runs_into_the_idle_limit_and_the_next_fetch_works() {
    let mut world = World::new();
    let head = world
        .origin("blog.git")
        .commit("main", "x", &[Change::File("big", &noise(4_000_000))]);
    let server = GitServer::http(&world.root());
    let proxy = Proxy::new(server.port(), Fault::StallAfter(1_000_000));
    let stalled = access(&server.url_at_port("blog.git", proxy.port()));

    world.git.idle = Duration::from_secs(2);
    let error = world.fetch(&stalled, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Timeout, "{error}");
    assert!(error.message.contains("2 s"), "{error}");

    world.git.idle = super::LONG;
    assert_eq!(
        world
            .fetch(&access(&server.url("blog.git")), "main")
            .await
            .unwrap()
            .commit,
        id(&head)
    );
    let left = std::fs::read_dir(world.mirror().join("objects/pack"))
        .unwrap()
        .flatten();
    let left: Vec<_> = left
        .filter(|e| e.file_name().to_string_lossy().starts_with("pack_git2_"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_total_limit_holds_whatever_comes() {
    let mut world = World::new();
    world
        .origin("blog.git")
        .commit("main", "x", &[Change::File("big", &noise(4_000_000))]);
    let server = GitServer::http(&world.root());
    let proxy = Proxy::new(server.port(), Fault::StallAfter(1_000_000));
    world.git.total = Duration::from_secs(2);
    let error = world
        .fetch(&access(&server.url_at_port("blog.git", proxy.port())), "main")
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn a_cut_connection_is_told_and_the_next_fetch_works() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let (http, https) = (GitServer::http(&world.root()), GitServer::https(&world.root()));
    for server in [&http, &https, &GitServer::ssh(&world.root())] {
        // More than was fetched before, so that each has a whole pack to send.
        let head = origin.commit(
            "main",
            "x",
            &[Change::File(&server.port().to_string(), &noise(4_000_000))],
        );
        let proxy = Proxy::new(server.port(), Fault::CutAfter(1_000_000));
        let mut cut = access(&server.url_at_port("blog.git", proxy.port()));
        cut.ca_file = server.url("").starts_with("https").then(|| server.ca_file());
        if server.url("").starts_with("ssh") {
            let line = server.host_key_line("ed25519");
            let through = line.replace(&server.port().to_string(), &proxy.port().to_string());
            cut.known_hosts = vec![server.known_hosts(&(line + &through))];
            cut.ssh_key = Some(server.ssh_key());
        }
        let whole = Access {
            url: server.url("blog.git").parse().unwrap(),
            ..cut.clone()
        };
        std::fs::remove_dir_all(world.mirror()).unwrap_or_default();
        let error = world.fetch(&cut, "main").await.unwrap_err();
        assert_eq!(error.kind, GitErrorKind::Cut, "{error}");
        assert!(error.is_transient());
        assert_eq!(world.fetch(&whole, "main").await.unwrap().commit, id(&head));
    }
}

#[tokio::test]
async fn cancelling_ends_a_stalled_fetch() {
    let world = World::new();
    world
        .origin("blog.git")
        .commit("main", "x", &[Change::File("big", &noise(4_000_000))]);
    let server = GitServer::http(&world.root());
    let proxy = Proxy::new(server.port(), Fault::StallAfter(1_000_000));
    let stalled = access(&server.url_at_port("blog.git", proxy.port()));
    let cancel = world.cancel.clone();
    let canceller = tokio::task::spawn_blocking(move || {
        proxy.wait();
        cancel.cancel();
    });
    let error = world.fetch(&stalled, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Cancelled, "{error}");
    canceller.await.unwrap();
}

#[tokio::test]
async fn progress_tells_of_objects_and_bytes() {
    let world = World::new();
    let head = world
        .origin("blog.git")
        .commit("main", "x", &[Change::File("big", &noise(2_000_000))]);
    let server = GitServer::http(&world.root());
    let remote = access(&server.url("blog.git"));
    let mut seen = Vec::new();
    let main = GitRef::branch("main").unwrap();
    world
        .git
        .fetch(&remote, &world.mirror(), &main, 0, &world.cancel, |p| seen.push(p))
        .await
        .unwrap();
    assert!(
        seen.iter().any(|p| p.phase == ProgressPhase::Receiving && p.total == 3),
        "{seen:?}"
    );
    seen.clear();
    let (mirror, to, options) = (world.mirror(), world.path("release"), world.options());
    world
        .git
        .checkout(
            &remote,
            &mirror,
            &id(&head),
            &to,
            &options,
            &hookd::git::Reuse::default(),
            &world.cancel,
            |p| {
                seen.push(p);
            },
        )
        .await
        .unwrap();
    assert!(
        seen.iter().any(|p| p.phase == ProgressPhase::Writing && p.total == 1),
        "{seen:?}"
    );
}

#[tokio::test]
async fn local_remotes_by_path_and_by_file_url() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    for url in [origin.path.to_str().unwrap().to_owned(), origin.file_url()] {
        let remote = access(&url);
        assert_eq!(world.ls_remote(&remote).await.unwrap()[0].object, id(&head));
        assert_eq!(world.fetch(&remote, "main").await.unwrap().commit, id(&head));
    }
    let error = world.fetch(&access(&origin.file_url()), "gone").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");
    // Loose objects in the mirror would be a risk, see `program::Program::fetch`.
    let loose = std::fs::read_dir(world.mirror().join("objects")).unwrap().flatten();
    assert_eq!(loose.filter(|e| e.file_name().len() == 2).count(), 0);
}

#[tokio::test]
async fn local_remotes_of_somebody_else() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    if nix::unistd::geteuid().is_root() {
        // Only root can give files away; others have no repository of somebody else to try this with.
        let paths = super::support::git_server::run(std::process::Command::new("find").arg(&origin.path), b"");
        for path in paths.lines() {
            std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
        }
    }
    let remote = access(&origin.file_url());
    assert_eq!(world.ls_remote(&remote).await.unwrap().len(), 1);
    assert_eq!(world.fetch(&remote, "main").await.unwrap().commit, id(&head));
}

#[tokio::test]
async fn local_remotes_without_the_git_program() {
    let mut world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    let wrapper = world.path("hookd-without-git");
    std::fs::write(
        &wrapper,
        format!("#!/bin/sh\nPATH=/nonexistent exec {} \"$@\"\n", super::HOOKD),
    )
    .unwrap();
    std::os::unix::fs::chown(&wrapper, None, None).unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.git.program = wrapper;
    let remote = access(&origin.file_url());
    assert_eq!(world.ls_remote(&remote).await.unwrap().len(), 1);
    assert_eq!(
        world
            .fetch_deep(&remote, &GitRef::branch("main").unwrap(), 1)
            .await
            .unwrap()
            .commit,
        id(&head)
    );
    assert_eq!(
        world.fetch(&remote, "gone").await.unwrap_err().kind,
        GitErrorKind::RefMissing
    );
    let error = world
        .fetch(&access(world.path("nothing").to_str().unwrap()), "main")
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::NotFound, "{error}");
}
