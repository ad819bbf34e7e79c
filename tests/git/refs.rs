//! Branches and tags: moved, removed, renamed, annotated, oddly named.

use hookd::git::GitErrorKind;
use hookd::model::GitRef;

use super::support::git_server::{Change, GitServer};
use super::{World, access, id, read};

#[tokio::test]
async fn a_force_push_is_followed() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let old = origin.commit("main", "old", &[Change::File("a", b"1")]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&old));
    let new = origin.rewrite("main", "new", &[Change::File("a", b"2")]);
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&new));
    world.checkout(&access, &id(&new), "release").await.unwrap();
    assert_eq!(read(&world.path("release/a")), "2");
    assert!(!world.contains(&id(&old), &id(&new)).await);
}

#[tokio::test]
async fn a_deleted_or_misspelt_branch_is_an_error() {
    let world = World::new();
    let origin = world.origin("blog.git");
    origin.commit("main", "x", &[Change::File("a", b"1")]);
    origin.commit("gone", "x", &[Change::File("a", b"1")]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    world.fetch(&access, "gone").await.unwrap();
    origin.git(&["update-ref", "-d", "refs/heads/gone"]);
    for branch in ["gone", "mian"] {
        let error = world.fetch(&access, branch).await.unwrap_err();
        assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");
        assert!(error.message.contains(&format!("refs/heads/{branch}")), "{error}");
    }
}

#[tokio::test]
async fn an_empty_repository_has_no_branch() {
    let world = World::new();
    world.origin("blog.git");
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    assert!(world.ls_remote(&access).await.unwrap().is_empty());
    assert_eq!(
        world.fetch(&access, "main").await.unwrap_err().kind,
        GitErrorKind::RefMissing
    );
}

#[tokio::test]
async fn a_branch_may_become_a_directory_of_branches() {
    let world = World::new();
    let origin = world.origin("blog.git");
    origin.commit("feat", "file", &[Change::File("a", b"1")]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    world.fetch(&access, "feat").await.unwrap();
    origin.git(&["update-ref", "-d", "refs/heads/feat"]);
    let below = origin.commit("feat/x", "directory", &[Change::File("a", b"2")]);
    assert_eq!(world.fetch(&access, "feat/x").await.unwrap().commit, id(&below));
    assert_eq!(
        world.fetch(&access, "feat").await.unwrap_err().kind,
        GitErrorKind::RefMissing
    );
}

#[tokio::test]
async fn tags_light_annotated_and_strange() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    origin.git(&["tag", "light", &head]);
    origin.git(&["tag", "-a", "-m", "one", "v1", &head]);
    origin.git(&["tag", "-a", "-m", "two", "v1-again", "v1"]);
    origin.git(&["tag", "blob", &origin.blob(b"no commit")]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));

    let refs = world.ls_remote(&access).await.unwrap();
    let find = |name: &str| refs.iter().find(|r| r.name == name).unwrap();
    assert_eq!(
        (&find("refs/tags/light").object, &find("refs/tags/light").peeled),
        (&id(&head), &None)
    );
    let v1 = find("refs/tags/v1");
    assert_eq!(v1.object.as_str(), origin.resolve("refs/tags/v1").unwrap());
    assert_eq!(v1.peeled, Some(id(&head)));
    assert_eq!(find("refs/tags/v1-again").peeled, Some(id(&head)));
    assert_eq!(refs.len(), 5);

    for tag in ["light", "v1", "v1-again"] {
        let fetched = world.fetch_deep(&access, &GitRef::tag(tag).unwrap(), 0).await.unwrap();
        assert_eq!(fetched.commit, id(&head), "{tag}");
    }
    let error = world
        .fetch_deep(&access, &GitRef::tag("blob").unwrap(), 0)
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Unsupported, "{error}");
    assert!(error.message.contains("names a blob"), "{error}");
    // A branch and a tag of one name are two things.
    let other = origin.commit("v1", "branch", &[Change::File("a", b"2")]);
    assert_eq!(world.fetch(&access, "v1").await.unwrap().commit, id(&other));
    assert_eq!(
        world
            .fetch_deep(&access, &GitRef::tag("v1").unwrap(), 0)
            .await
            .unwrap()
            .commit,
        id(&head)
    );
}

/// Names with every printable ASCII character that git-check-ref-format(1) allows, alone and inside, and some beyond
/// ASCII.
fn names() -> Vec<String> {
    let allowed = |c: &char| !"~^:?*[\\".contains(*c);
    let mut names: Vec<String> = ('!'..='~')
        .filter(allowed)
        .filter(|c| !c.is_ascii_alphanumeric() && *c != '/' && *c != '.')
        .flat_map(|c| [format!("a{c}b"), format!("x{c}")])
        .collect();
    for plain in [
        "a.b",
        "a/b.c/d",
        "@",
        "UPPER",
        "0",
        "ümläut",
        "日本語",
        "emoji-🚀",
        "a@b{c}",
        "$(id)",
        "`id`",
        "a;b&c|d",
        "'q'",
        "\"q\"",
        "refs/heads/x",
        "HEAD",
        "%00",
    ] {
        names.push(plain.to_owned());
    }
    names.push("x".repeat(200));
    names
}

#[tokio::test]
async fn every_name_that_git_allows() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    let names = names();
    assert!(names.len() >= 64, "{}", names.len());
    let updates = names.iter().fold(String::new(), |text, name| {
        text + &format!("create refs/heads/{name} {head}\n")
    });
    let quoted = updates.lines().map(|line| {
        let mut words = line.split(' ');
        let (verb, name, commit) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        format!("{verb} \"{}\" {commit}\n", name.replace('"', "\\\""))
    });
    origin.git_input(&["update-ref", "--stdin"], quoted.collect::<String>().as_bytes());
    let server = GitServer::http(&world.root());
    let remote = access(&server.url("blog.git"));

    let refs = world.ls_remote(&remote).await.unwrap();
    for name in &names {
        assert!(refs.iter().any(|r| r.name == format!("refs/heads/{name}")), "{name}");
        let git_ref = GitRef::branch(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Alternately over http and by the git program.
        let url = if name.len() % 2 == 0 {
            origin.file_url()
        } else {
            server.url("blog.git")
        };
        let fetched = world.fetch_deep(&access(&url), &git_ref, 0).await;
        assert_eq!(fetched.unwrap_or_else(|e| panic!("{name}: {e}")).commit, id(&head));
    }
}

#[tokio::test]
async fn names_that_are_no_text_are_passed_over() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    let mut packed = format!("{head} refs/heads/caf").into_bytes();
    packed.extend_from_slice(b"\xe9\n");
    std::fs::write(origin.path.join("packed-refs"), packed).unwrap();
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    let refs = world.ls_remote(&access).await.unwrap();
    assert_eq!(
        refs.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["refs/heads/main"]
    );
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&head));
}

#[tokio::test]
async fn only_what_is_followed_is_listed_and_some_others_for_who_misspelt_one() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"a")]);
    let lines: Vec<String> = (0..300)
        .map(|n| format!("create refs/heads/topic-{n} {head}\ncreate refs/tags/t{n} {head}\n"))
        .collect();
    let lines = lines.concat();
    origin.git_input(&["update-ref", "--stdin"], lines.as_bytes());
    let mut access = access(&origin.file_url());
    let patterns = vec![hookd::config::Pattern::new("topic-29?").unwrap()];
    access.follows = Some(vec![hookd::config::RefFilter::Branches(patterns)]);
    let refs = world.ls_remote(&access).await.unwrap();
    let followed = refs
        .iter()
        .filter(|r| r.name.starts_with("refs/heads/topic-29"))
        .count();
    assert!(followed >= 10 && refs.len() <= 111, "{followed} of {}", refs.len());
    assert!(refs.iter().all(|r| r.name.starts_with("refs/heads/")));

    let error = world.fetch(&access, "mian").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");
    let hint = error.hint.unwrap();
    assert!(
        hint.starts_with("its branches: main, ") && hint.ends_with(" more"),
        "{hint}"
    );
}
