//! A plain directory kept at a commit.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use hookd::git::{Access, GitError, GitErrorKind, Updated};

use super::support::git_server::{Change, Origin, mode};
use super::{World, access, id, read};

async fn update(world: &World, remote: &Access, from: Option<&str>, to: &str) -> Result<Updated, GitError> {
    world.fetch(remote, "main").await.unwrap();
    let (from, to, site) = (from.map(id), id(to), world.path("site"));
    let updated = world
        .git
        .update_in_place(
            remote,
            &world.mirror(),
            from.as_ref(),
            &to,
            &site,
            &world.options(),
            &world.cancel,
            |_| {},
        )
        .await?;
    hookd::git::settle(&site).unwrap();
    Ok(updated)
}

fn start() -> (World, Origin, Access) {
    let world = World::new();
    let origin = world.origin("blog.git");
    let remote = access(&origin.file_url());
    (world, origin, remote)
}

#[tokio::test]
async fn changes_what_changed_and_leaves_the_rest() {
    let (world, origin, remote) = start();
    let old = origin.commit(
        "main",
        "1",
        &[
            Change::File("same", b"same"),
            Change::File("changed", b"old"),
            Change::File("dir/gone", b"gone"),
            Change::File("keep/gone", b"gone"),
            Change::File("mode", b"m"),
            Change::Link("link", "same"),
        ],
    );
    let first = update(&world, &remote, None, &old).await.unwrap();
    assert_eq!((first.written, first.removed), (6, 0));
    let site = world.path("site");
    fs::write(site.join("untracked"), b"mine").unwrap();
    fs::write(site.join("keep/upload"), b"mine").unwrap();
    let inode = fs::metadata(site.join("same")).unwrap().ino();

    let new = origin.commit(
        "main",
        "2",
        &[
            Change::File("changed", b"new"),
            Change::Delete("dir/gone"),
            Change::Delete("keep/gone"),
            Change::Program("mode", b"m"),
            Change::Link("link", "changed"),
            Change::File("new/file", b"new"),
        ],
    );
    let second = update(&world, &remote, Some(&old), &new).await.unwrap();
    assert_eq!((second.written, second.removed, second.old_known), (4, 2, true));
    assert_eq!(read(&site.join("changed")), "new");
    assert_eq!(read(&site.join("new/file")), "new");
    assert_eq!(fs::read_link(site.join("link")).unwrap().to_str(), Some("changed"));
    assert_ne!(mode(&site.join("mode")) & 0o100, 0);
    assert!(!site.join("dir").exists() && !site.join("keep/gone").exists() && !site.join(".hookd-new").exists());
    assert_eq!(
        (read(&site.join("untracked")), read(&site.join("keep/upload"))),
        ("mine".into(), "mine".into())
    );
    assert_eq!(fs::metadata(site.join("same")).unwrap().ino(), inode);

    let again = update(&world, &remote, Some(&new), &new).await.unwrap();
    assert_eq!((again.written, again.removed), (0, 0));
}

#[tokio::test]
async fn repairs_what_was_modified_locally() {
    let (world, origin, remote) = start();
    let head = origin.commit(
        "main",
        "1",
        &[
            Change::File("same-size", b"aaaa"),
            Change::File("deleted", b"1"),
            Change::File("linked", b"2"),
            Change::Program("mode", b"3"),
        ],
    );
    update(&world, &remote, None, &head).await.unwrap();
    let site = world.path("site");
    fs::write(site.join("same-size"), b"bbbb").unwrap();
    fs::remove_file(site.join("deleted")).unwrap();
    fs::remove_file(site.join("linked")).unwrap();
    fs::write(world.path("outside"), b"2").unwrap();
    symlink(world.path("outside"), site.join("linked")).unwrap();
    fs::set_permissions(site.join("mode"), fs::Permissions::from_mode(0o644)).unwrap();
    // What an update that was killed left behind.
    fs::create_dir(site.join(".hookd-new")).unwrap();
    fs::write(site.join(".hookd-new/0"), b"half").unwrap();

    assert_eq!(update(&world, &remote, Some(&head), &head).await.unwrap().written, 4);
    assert_eq!(read(&site.join("same-size")), "aaaa");
    assert_eq!(read(&site.join("deleted")), "1");
    assert!(fs::symlink_metadata(site.join("linked")).unwrap().is_file());
    assert_eq!(read(&world.path("outside")), "2");
    assert!(!site.join(".hookd-new").exists());
}

#[tokio::test]
async fn files_directories_and_links_may_change_places() {
    let (world, origin, remote) = start();
    let old = origin.commit(
        "main",
        "1",
        &[
            Change::File("a", b"1"),
            Change::File("b/x/y", b"1"),
            Change::Link("c", "a"),
            Change::File("d/e", b"1"),
        ],
    );
    let new = origin.commit(
        "main",
        "2",
        &[
            Change::Delete("a"),
            Change::File("a/deep/file", b"2"),
            Change::Delete("b"),
            Change::File("b", b"2"),
            Change::Delete("c"),
            Change::File("c/file", b"2"),
            Change::Delete("d"),
            Change::Link("d", "b"),
        ],
    );
    update(&world, &remote, None, &old).await.unwrap();
    update(&world, &remote, Some(&old), &new).await.unwrap();
    let site = world.path("site");
    assert_eq!(read(&site.join("a/deep/file")), "2");
    assert_eq!(read(&site.join("b")), "2");
    assert!(fs::symlink_metadata(site.join("c")).unwrap().is_dir());
    assert_eq!(fs::read_link(site.join("d")).unwrap().to_str(), Some("b"));
    update(&world, &remote, Some(&new), &old).await.unwrap();
    assert_eq!(read(&site.join("b/x/y")), "1");
    assert_eq!(fs::read_link(site.join("c")).unwrap().to_str(), Some("a"));
}

#[tokio::test]
async fn links_on_the_way_lead_nobody_out() {
    let (world, origin, remote) = start();
    let head = origin.commit("main", "1", &[Change::File("uploads/file", b"1")]);
    let (site, outside) = (world.path("site"), world.path("outside"));
    fs::create_dir(&site).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, site.join("uploads")).unwrap();
    let error = update(&world, &remote, None, &head).await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Disk, "{error}");
    assert!(error.message.contains("`uploads` is in the way"), "{error}");
    assert!(fs::read_dir(&outside).unwrap().next().is_none());

    // The old commit's file behind a link is not removed either.
    fs::write(outside.join("file"), b"precious").unwrap();
    let empty = origin.commit("main", "2", &[Change::Delete("uploads/file"), Change::File("b", b"b")]);
    update(&world, &remote, Some(&head), &empty).await.unwrap();
    assert_eq!(read(&outside.join("file")), "precious");
}

#[tokio::test]
async fn untracked_things_in_the_way_are_named() {
    let (world, origin, remote) = start();
    let old = origin.commit("main", "1", &[Change::File("a", b"1")]);
    update(&world, &remote, None, &old).await.unwrap();
    let site = world.path("site");
    fs::create_dir(site.join("new")).unwrap();
    fs::write(site.join("new/mine"), b"mine").unwrap();
    let new = origin.commit("main", "2", &[Change::File("new", b"2")]);
    let error = update(&world, &remote, Some(&old), &new).await.unwrap_err();
    assert!(error.message.contains("`new` is in the way"), "{error}");
    assert_eq!(read(&site.join("new/mine")), "mine");
}

#[tokio::test]
async fn a_refused_commit_changes_nothing() {
    let (world, origin, remote) = start();
    let old = origin.commit("main", "1", &[Change::File("a", b"1")]);
    update(&world, &remote, None, &old).await.unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let new = origin.commit("main", "2", &[Change::File("a", b"2"), Change::File("z", pointer)]);
    assert_eq!(
        update(&world, &remote, Some(&old), &new).await.unwrap_err().kind,
        GitErrorKind::Lfs
    );
    let taken = origin.commit("main", "3", &[Change::Delete("z"), Change::File(".hookd-new/x", b"2")]);
    assert_eq!(
        update(&world, &remote, Some(&old), &taken).await.unwrap_err().kind,
        GitErrorKind::UnsafeTree
    );
    let names: Vec<_> = fs::read_dir(world.path("site"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(names, ["a"]);
    assert_eq!(read(&world.path("site/a")), "1");
}

#[tokio::test]
async fn an_old_commit_that_is_gone_is_told() {
    let (world, origin, remote) = start();
    let head = origin.commit("main", "1", &[Change::File("a", b"1")]);
    let done = update(&world, &remote, Some(&"1".repeat(40)), &head).await.unwrap();
    assert!(!done.old_known);
}

#[tokio::test]
async fn submodules_follow() {
    let (world, origin, remote) = start();
    let sub = world.origin("theme.git");
    let one = sub.commit("main", "1", &[Change::File("css", b"1"), Change::File("old", b"1")]);
    let modules = b"[submodule \"t\"]\n\tpath = theme\n\turl = ../theme.git\n";
    let first = origin.commit(
        "main",
        "1",
        &[Change::File(".gitmodules", modules), Change::Submodule("theme", &one)],
    );
    update(&world, &remote, None, &first).await.unwrap();
    let site = world.path("site");
    assert_eq!(read(&site.join("theme/css")), "1");
    let two = sub.commit("main", "2", &[Change::File("css", b"2"), Change::Delete("old")]);
    let second = origin.commit("main", "2", &[Change::Submodule("theme", &two)]);
    update(&world, &remote, Some(&first), &second).await.unwrap();
    assert_eq!(read(&site.join("theme/css")), "2");
    assert!(!site.join("theme/old").exists());
    let third = origin.commit(
        "main",
        "3",
        &[
            Change::Delete("theme"),
            Change::Delete(".gitmodules"),
            Change::File("a", b"a"),
        ],
    );
    update(&world, &remote, Some(&second), &third).await.unwrap();
    assert!(!site.join("theme").exists());
}

/// What is below a directory: paths with their content, sorted.
fn below(directory: &std::path::Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.push((format!("{name}/"), String::new()));
            found.extend(
                below(&path)
                    .into_iter()
                    .map(|(rest, text)| (format!("{name}/{rest}"), text)),
            );
        } else {
            found.push((name, read(&path)));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn an_obstacle_is_found_before_anything_is_changed() {
    let (world, origin, remote) = start();
    let old = origin.commit("main", "1", &[Change::File("a", b"1"), Change::File("gone/x", b"1")]);
    update(&world, &remote, None, &old).await.unwrap();
    let site = world.path("site");
    fs::create_dir_all(site.join("z/mine")).unwrap();
    fs::write(site.join("y"), "mine").unwrap();
    let before = below(&site);
    for (new, text) in [("z", "`z` is in the way"), ("y/file", "`y` is in the way")] {
        let changes = [
            Change::File("a", b"2"),
            Change::Delete("gone/x"),
            Change::File("new/x", b"2"),
            Change::File(new, b"2"),
        ];
        let commit = origin.rewrite("main", new, &changes);
        let error = update(&world, &remote, Some(&old), &commit).await.unwrap_err();
        assert!(error.message.contains(text), "{error}");
        assert_eq!(below(&site), before, "{new}");
    }
}

#[tokio::test]
async fn a_failure_midway_is_undone() {
    let (world, origin, remote) = start();
    let old = origin.commit(
        "main",
        "1",
        &[
            Change::File("a", b"1"),
            Change::File("gone/x", b"1"),
            Change::File("p", b"1"),
            Change::File("z", b"1"),
        ],
    );
    update(&world, &remote, None, &old).await.unwrap();
    let site = world.path("site");
    let chattr = |flag: &str| {
        std::process::Command::new("chattr")
            .arg(flag)
            .arg(site.join("z"))
            .status()
    };
    if !chattr("+i").is_ok_and(|status| status.success()) {
        // Only root may, and not every file system can.
        return;
    }
    let before = below(&site);
    let changes = [
        Change::File("a", b"2"),
        Change::Delete("gone/x"),
        Change::File("gone", b"2"),
        Change::Delete("p"),
        Change::File("p/q/r", b"2"),
        Change::File("z", b"2"),
    ];
    let new = origin.commit("main", "2", &changes);
    let error = update(&world, &remote, Some(&old), &new).await.unwrap_err();
    assert!(error.message.contains("/z: "), "{error}");
    assert_eq!(below(&site), before);
    chattr("-i").unwrap();
    update(&world, &remote, Some(&old), &new).await.unwrap();
    assert_eq!(read(&site.join("p/q/r")), "2");
}

#[tokio::test]
async fn what_is_on_disk_is_compared_with_the_commit() {
    let (world, origin, remote) = start();
    let head = origin.commit("main", "1", &[Change::File("a", b"1"), Change::Link("l", "a")]);
    update(&world, &remote, None, &head).await.unwrap();
    let site = world.path("site");
    let holds = async || {
        let (mirror, options) = (world.mirror(), world.options());
        world
            .git
            .holds(&remote, &mirror, &id(&head), &site, &options, &world.cancel)
            .await
            .unwrap()
    };
    fs::write(site.join("untracked"), "mine").unwrap();
    assert!(holds().await);
    fs::write(site.join("a"), "").unwrap();
    assert!(!holds().await);
    fs::remove_file(site.join("a")).unwrap();
    assert!(!holds().await);
    update(&world, &remote, Some(&head), &head).await.unwrap();
    assert!(holds().await);

    // What an update that was cut off has brought goes with the next one.
    let half = origin.commit("main", "2", &[Change::File("half", b"2")]);
    let next = origin.commit("main", "3", &[Change::Delete("half"), Change::File("a", b"3")]);
    fs::create_dir(site.join(".hookd-new")).unwrap();
    fs::write(site.join(".hookd-new/to"), &half).unwrap();
    fs::write(site.join("half"), "2").unwrap();
    assert!(!holds().await);
    update(&world, &remote, Some(&head), &next).await.unwrap();
    assert!(!site.join("half").exists() && !site.join(".hookd-new").exists());
}
