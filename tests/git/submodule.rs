//! Submodules: where they may come from, and what is shown to whom.

use hookd::config::Pattern;
use hookd::git::{CheckoutOptions, GitErrorKind};

use super::support::faults::Canned;
use super::support::git_server::{Change, GitServer};
use super::{World, access, id, read, secret};

fn modules(path: &str, url: &str) -> String {
    format!("# ours\n[submodule \"x.y \\\"z\\\"\"]\n\tpath = {path}\n\turl = \"{url}\" ; comment\n\tbranch = main\n")
}

#[tokio::test]
async fn relative_urls_nested_and_pinned_to_their_commits() {
    let world = World::new();
    let (origin, theme, font) = (
        world.origin("blog.git"),
        world.origin("theme.git"),
        world.origin("font.git"),
    );
    let font_head = font.commit("main", "f", &[Change::File("woff", b"font")]);
    let pinned = theme.commit(
        "side",
        "pinned",
        &[
            Change::File("css", b"pinned"),
            Change::File(".gitmodules", modules("font", "../font.git").as_bytes()),
            Change::Submodule("font", &font_head),
        ],
    );
    theme.commit("side", "newer", &[Change::File("css", b"newer")]);
    let head = origin.commit(
        "main",
        "x",
        &[
            Change::File(".gitmodules", modules("sub/theme", "../theme.git").as_bytes()),
            Change::Submodule("sub/theme", &pinned),
        ],
    );
    let server = GitServer::http_with_password(&world.root(), "u", "p");
    let mut remote = access(&server.url("blog.git"));
    remote.token = Some(secret("u:p"));
    world.fetch(&remote, "main").await.unwrap();
    let written = world.checkout(&remote, &id(&head), "release").await.unwrap();
    assert_eq!(written.files, 4);
    assert_eq!(read(&world.path("release/sub/theme/css")), "pinned");
    assert_eq!(read(&world.path("release/sub/theme/font/woff")), "font");

    // The second time nothing is fetched: the mirrors have the commits.
    drop(server);
    world.checkout(&remote, &id(&head), "again").await.unwrap();

    let off = CheckoutOptions {
        submodules: false,
        ..world.options()
    };
    world.checkout_with(&remote, &id(&head), "without", &off).await.unwrap();
    assert!(
        std::fs::read_dir(world.path("without/sub/theme"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn a_commit_that_no_branch_has() {
    let world = World::new();
    let (origin, theme) = (world.origin("blog.git"), world.origin("theme.git"));
    let lost = theme.commit("main", "lost", &[Change::File("css", b"lost")]);
    theme.rewrite("main", "other", &[Change::File("css", b"other")]);
    let head = origin.commit(
        "main",
        "x",
        &[
            Change::File(".gitmodules", modules("theme", "../theme.git").as_bytes()),
            Change::Submodule("theme", &lost),
        ],
    );
    let server = GitServer::http(&world.root());
    let remote = access(&server.url("blog.git"));
    world.fetch(&remote, "main").await.unwrap();
    let error = world.checkout(&remote, &id(&head), "refused").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Submodule, "{error}");
    assert!(
        error.message.contains("submodule `theme`") && error.message.contains(&lost),
        "{error}"
    );

    theme.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    world.checkout(&remote, &id(&head), "by-name").await.unwrap();
    assert_eq!(read(&world.path("by-name/theme/css")), "lost");
}

#[tokio::test]
async fn a_damaged_submodule_mirror_is_cured_by_the_next_attempt() {
    let world = World::new();
    let (origin, theme) = (world.origin("blog.git"), world.origin("theme.git"));
    let commit = theme.commit("main", "x", &[Change::File("css", &super::noise(100_000))]);
    let gitmodules = modules("theme", "../theme.git");
    let changes = [
        Change::File(".gitmodules", gitmodules.as_bytes()),
        Change::Submodule("theme", &commit),
    ];
    let head = origin.commit("main", "x", &changes);
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    world.checkout(&remote, &id(&head), "first").await.unwrap();

    let mirrors = std::fs::read_dir(world.options().submodule_mirrors)
        .unwrap()
        .flatten()
        .map(|e| e.path());
    let mirror = mirrors
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "git"))
        .unwrap();
    let packs = std::fs::read_dir(mirror.join("objects/pack"))
        .unwrap()
        .flatten()
        .map(|e| e.path());
    let pack = packs
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "pack"))
        .unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0);
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();

    let error = world.checkout(&remote, &id(&head), "second").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Corrupt, "{error}");
    world.fetch(&remote, "main").await.unwrap();
    world.checkout(&remote, &id(&head), "third").await.unwrap();
}

#[tokio::test]
async fn urls_that_are_refused() {
    let world = World::new();
    let (origin, theme) = (world.origin("blog.git"), world.origin("theme.git"));
    let commit = theme.commit("main", "x", &[Change::File("css", b"1")]);
    let server = GitServer::http(&world.root());
    let remote = access(&server.url("blog.git"));
    let local = theme.path.to_str().unwrap();
    for (number, (text, says)) in [
        (modules("theme", local), "local path"),
        (modules("theme", &theme.file_url()), "local path"),
        (modules("theme", "ext::sh -c 'touch /tmp/x'"), "a space"),
        (modules("theme", "ext::sh"), "not of a kind"),
        (modules("theme", "http://127.0.0.1:6379/ HTTP/1.1\\nSET a b"), "a space"),
        (modules("theme", "http://127.0.0.1:6379/%0d%0aSET%20a"), "control"),
        (modules("theme", "../theme%0a.git"), "control"),
        (modules("theme", "../the me.git"), "a space"),
        (modules("theme", "ssh://git@127.0.0.1/a%20b"), "a space"),
        (modules("theme", "http://127.0.0.2:6379/x"), "private network"),
        (modules("theme", "http://localhost:6379/x"), "private network"),
        (modules("theme", "http://localhost./x"), "private network"),
        (modules("theme", "http://[::1]/x"), "private network"),
        (modules("theme", "http://[::ffff:127.0.0.1]/x"), "private network"),
        (modules("theme", "http://127.1.1:80/x"), "private network"),
        (modules("theme", "git@10.0.0.1:x.git"), "private network"),
        (modules("theme", "ssh://git@169.254.169.254/x"), "private network"),
        (modules("theme", "git://127.0.0.1/x"), "not of a kind"),
        (modules("theme", "-u./payload"), "not of a kind"),
        (modules("theme", "../../../../x"), "leads out"),
        (modules("elsewhere", "../theme.git"), "no URL"),
        (
            format!("[include]\n\tpath = /etc/passwd\n{}", modules("theme", "../theme.git")),
            "includes other files",
        ),
        ("[submodule".to_owned(), "can't be read"),
    ]
    .iter()
    .enumerate()
    {
        let head = origin.commit(
            "main",
            "x",
            &[
                Change::File(".gitmodules", text.as_bytes()),
                Change::Submodule("theme", &commit),
            ],
        );
        world.fetch(&remote, "main").await.unwrap();
        let error = world
            .checkout(&remote, &id(&head), &format!("release{number}"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, GitErrorKind::Submodule, "{error}");
        assert!(error.message.contains(says), "{says}: {error}");
    }
}

#[tokio::test]
async fn private_hosts_that_the_configuration_lists_are_within_reach() {
    let world = World::new();
    let (origin, theme) = (world.origin("blog.git"), world.origin("theme.git"));
    let commit = theme.commit("main", "x", &[Change::File("css", b"1")]);
    let server = GitServer::http(&world.root());
    let by_name = server.url("theme.git").replace("127.0.0.1", "localhost");
    let changes = [
        Change::File(".gitmodules", &modules("theme", &by_name).into_bytes()),
        Change::Submodule("theme", &commit),
    ];
    let head = origin.commit("main", "x", &changes);
    let mut remote = access(&server.url("blog.git"));
    world.fetch(&remote, "main").await.unwrap();
    let error = world.checkout(&remote, &id(&head), "refused").await.unwrap_err();
    assert!(error.hint.unwrap().contains("submodule_hosts"));
    remote.submodule_hosts = vec!["localhost".to_owned()];
    world.checkout(&remote, &id(&head), "listed").await.unwrap();
    assert_eq!(read(&world.path("listed/theme/css")), "1");
}

#[tokio::test]
async fn what_only_a_tag_reaches_is_found_and_what_is_switched_off_is_left_out() {
    let world = World::new();
    let (origin, theme) = (world.origin("blog.git"), world.origin("theme.git"));
    let tagged = theme.commit("main", "tagged", &[Change::File("css", b"tagged")]);
    theme.git(&["tag", "-a", "-m", "x", "v1", &tagged]);
    theme.rewrite("main", "other", &[Change::File("css", b"other")]);
    let off = "[submodule \"off\"]\n\tpath = off\n\turl = https://no-such-host.invalid/x\n\tupdate = none\n";
    let gitmodules = modules("theme", "../theme.git") + off;
    let changes = [
        Change::File(".gitmodules", gitmodules.as_bytes()),
        Change::Submodule("theme", &tagged),
        Change::Submodule("off", &tagged),
    ];
    let head = origin.commit("main", "x", &changes);
    let server = GitServer::http(&world.root());
    let remote = access(&server.url("blog.git"));
    world.fetch(&remote, "main").await.unwrap();
    world.checkout(&remote, &id(&head), "release").await.unwrap();
    assert_eq!(read(&world.path("release/theme/css")), "tagged");
    assert_eq!(std::fs::read_dir(world.path("release/off")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_bump_changes_what_is_below_the_submodule() {
    let world = World::new();
    let (origin, lib) = (world.origin("blog.git"), world.origin("lib.git"));
    let first = lib.commit("main", "1", &[Change::File("a", b"1")]);
    let second = lib.commit("main", "2", &[Change::File("a", b"2")]);
    let old = origin.commit(
        "main",
        "1",
        &[Change::Submodule("lib", &first), Change::File("library", b"")],
    );
    let new = origin.commit("main", "2", &[Change::Submodule("lib", &second)]);
    world.fetch(&access(&origin.file_url()), "main").await.unwrap();
    for (patterns, matching) in [
        (&["lib/**"][..], Some("lib")),
        (&["lib"], Some("lib")),
        (&["lib/src/*.css"], Some("lib")),
        (&["library/**"], None),
        (&["**", "!lib/**", "!lib"], None),
    ] {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
        let (mirror, old, new) = (world.mirror(), id(&old), id(&new));
        let changed = world.git.changed_paths(&mirror, &old, &new, &patterns, &world.cancel);
        assert_eq!(changed.await.unwrap().matching.as_deref(), matching, "{patterns:?}");
    }
}

/// `u:p` in a header.
const OURS: &str = "dTpw";

#[tokio::test]
async fn the_token_is_for_the_configured_place_alone() {
    let world = World::new();
    let (origin, theme) = (world.origin("blog.git"), world.origin("theme.git"));
    let commit = theme.commit("main", "x", &[Change::File("css", b"1")]);
    let stranger = Canned::new(
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"give me\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let server = GitServer::http_with_password(&world.root(), "u", "p");
    let mut remote = access(&server.url("blog.git"));
    remote.token = Some(secret("u:p"));
    let strange = stranger.url("theme.git");
    let (ours, theirs) = (server.url(""), strange.strip_prefix("http://").unwrap());
    let ours = ours.trim_end_matches('/');
    // The last ones are on our server as the web's standard reads them, and on the stranger's as libgit2 does.
    for (number, (url, kind)) in [
        (strange.clone(), GitErrorKind::Authentication),
        (format!("{ours}@{theirs}"), GitErrorKind::Authentication),
        (format!("{ours}\\\\@{theirs}"), GitErrorKind::Submodule),
        (format!("{ours}?@{theirs}"), GitErrorKind::Submodule),
        (format!("{ours}#@{theirs}"), GitErrorKind::Submodule),
        (format!("{ours}\\t@{theirs}"), GitErrorKind::Submodule),
    ]
    .iter()
    .enumerate()
    {
        let gitmodules = modules("theme", url);
        let changes = [
            Change::File(".gitmodules", gitmodules.as_bytes()),
            Change::Submodule("theme", &commit),
        ];
        let head = origin.commit("main", "x", &changes);
        world.fetch(&remote, "main").await.unwrap();
        let name = format!("release{number}");
        let error = world.checkout(&remote, &id(&head), &name).await.unwrap_err();
        let requests = stranger.requests();
        assert!(!requests.iter().any(|r| r.contains(OURS)), "{url}: {requests:?}");
        assert_eq!(error.kind, *kind, "{url}: {error}");
    }
    assert!(!stranger.requests().is_empty());
}

#[tokio::test]
async fn a_submodule_of_itself_comes_to_an_end() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let mut head = origin.commit(
        "main",
        "0",
        &[Change::File(".gitmodules", modules("me", "../blog.git").as_bytes())],
    );
    for number in 0..10 {
        head = origin.commit("main", &format!("{number}"), &[Change::Submodule("me", &head)]);
    }
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    let error = world.checkout(&remote, &id(&head), "release").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Submodule, "{error}");
    assert!(error.message.contains("nested too deeply"), "{error}");
}
