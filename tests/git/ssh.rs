//! ssh with deploy keys: whom we trust, and who trusts us.

use std::os::unix::fs::PermissionsExt;

use hookd::git::{self, Access, GitErrorKind};

use super::support::git_server::{Change, GitServer, program, run};
use super::{World, access, id};

/// A server with one repository, and access to it that works.
fn serve(world: &World) -> (GitServer, Access, String) {
    let head = world.origin("blog.git").commit("main", "x", &[Change::File("a", b"a")]);
    let server = GitServer::ssh(&world.root());
    let mut access = access(&server.url("blog.git"));
    access.ssh_key = Some(server.ssh_key());
    access.known_hosts = vec![
        world.path("missing"),
        server.known_hosts(&server.host_key_line("ed25519")),
    ];
    (server, access, head)
}

#[tokio::test]
async fn a_deploy_key_and_a_known_host() {
    let world = World::new();
    let (server, access, head) = serve(&world);
    assert_eq!(world.ls_remote(&access).await.unwrap()[0].object, id(&head));
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
    world.checkout(&access, &id(&head), "release").await.unwrap();

    let mut missing = access.clone();
    missing.url = server.url("nothing.git").parse().unwrap();
    let error = world.fetch(&missing, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn the_host_key_is_shown_before_it_is_known() {
    let world = World::new();
    let (server, mut access, head) = serve(&world);
    access.known_hosts = vec![world.root().join("none")];
    access.ssh_key = None;
    assert!(!git::is_known(&access).unwrap());
    let shown = world.git.host_key(&access, &world.cancel).await.unwrap();
    let own = ["ed25519", "rsa", "ecdsa"].map(|kind| server.host_key_line(kind).trim_end().to_owned());
    assert!(own.contains(&shown.line), "{shown:?} {own:?}");
    // What was written down is what the next connection sees.
    let file = server.known_hosts(&format!("{}\n", shown.line));
    let printed = run(
        std::process::Command::new(program("ssh-keygen", "openssh-client"))
            .arg("-lf")
            .arg(&file),
        b"",
    );
    assert!(printed.contains(&shown.fingerprint), "{printed} {shown:?}");
    access.known_hosts = vec![file];
    access.ssh_key = Some(server.ssh_key());
    assert!(git::is_known(&access).unwrap());
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));

    access.url = "ssh://127.0.0.1:1/x".parse().unwrap();
    assert!(world.git.host_key(&access, &world.cancel).await.is_err());
}

#[tokio::test]
async fn any_listed_key_type_will_do() {
    let world = World::new();
    let (server, access, head) = serve(&world);
    for kind in ["rsa", "ecdsa", "ed25519"] {
        server.known_hosts(&server.host_key_line(kind));
        assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head), "{kind}");
    }
}

#[tokio::test]
async fn hashed_known_hosts() {
    let world = World::new();
    let (server, access, head) = serve(&world);
    let file = server.known_hosts(&server.host_key_line("ed25519"));
    run(
        std::process::Command::new(program("ssh-keygen", "openssh-client"))
            .args(["-q", "-H", "-f"])
            .arg(&file),
        b"",
    );
    assert!(super::read(&file).starts_with("|1|"));
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
}

#[tokio::test]
async fn unknown_changed_and_revoked_hosts_are_refused() {
    let world = World::new();
    let (server, access, _) = serve(&world);
    let (right, other) = (
        server.host_key_line("ed25519"),
        GitServer::ssh(&world.root()).host_key_line("ed25519"),
    );
    let key = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let name = format!("[127.0.0.1]:{}", server.port());
    for (lines, says) in [
        (String::new(), "not in any line"),
        (format!("127.0.0.1 {}", key(&right)), "not in any line"),
        (format!("{name} {}", key(&other)), "was changed"),
        (format!("{right}@revoked * {}", key(&right)), "revoked"),
        (format!("@cert-authority * {}", key(&right)), "not supported"),
    ] {
        server.known_hosts(&lines);
        let error = world.fetch(&access, "main").await.unwrap_err();
        assert_eq!(error.kind, GitErrorKind::HostKey, "{error}");
        assert!(error.message.contains(says), "{says}: {error}");
    }
    let mut nobody = access.clone();
    nobody.known_hosts.clear();
    assert_eq!(
        world.fetch(&nobody, "main").await.unwrap_err().kind,
        GitErrorKind::HostKey
    );
}

#[tokio::test]
async fn keys_that_do_not_open_the_door() {
    let world = World::new();
    let (server, access, _) = serve(&world);
    let with = |key| Access {
        ssh_key: key,
        ..access.clone()
    };
    let readable = server.ssh_key();
    let public = server.ssh_key().with_extension("pub");
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (access, says) in [
        (with(None), "none is configured"),
        (with(Some(server.other_ssh_key(""))), "does not accept the ssh key"),
        (with(Some(world.path("no-such-key"))), "can't be read"),
        (with(Some(public)), "is not an OpenSSH or PEM private key"),
    ] {
        let error = world.fetch(&access, "main").await.unwrap_err();
        assert_eq!(error.kind, GitErrorKind::Authentication, "{error}");
        assert!(error.message.contains(says), "{says}: {error}");
    }
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = world.fetch(&with(Some(readable)), "main").await.unwrap_err();
    assert!(error.message.contains("can be read by others (mode 0644)"), "{error}");
    assert!(error.hint.unwrap().starts_with("chmod 600 "));
}

#[tokio::test]
async fn a_key_with_a_passphrase_is_called_that() {
    let world = World::new();
    let (server, mut access, _) = serve(&world);
    access.ssh_key = Some(server.other_ssh_key("open sesame"));
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Authentication, "{error}");
    assert!(error.message.contains("has a passphrase"), "{error}");
}

#[tokio::test]
async fn a_url_without_a_user_means_git() {
    let world = World::new();
    let (server, mut access, _) = serve(&world);
    let path = world.root().join("blog.git");
    let url = format!("ssh://127.0.0.1:{}{}", server.port(), path.display());
    access.url = url.parse().unwrap();
    // There is no account `git` here, so that asking as `git` is what fails.
    let error = world.fetch(&access, "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Authentication, "{error}");
    drop(world);
    assert!(server.log().contains("user git"), "{}", server.log());
}
