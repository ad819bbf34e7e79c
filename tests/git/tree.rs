//! What a tree becomes on disk, and which trees do not get there.

use std::fs;
use std::os::unix::fs::symlink;

use hookd::git::{Bounds, CheckoutOptions, GitErrorKind};

use super::support::git_server::{Change, mode};
use super::{World, access, id, read};

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n";

#[tokio::test]
async fn files_programs_links_and_empty_ones() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let head = origin.commit(
        "main",
        "x",
        &[
            Change::File("plain", b"a\r\nb"),
            Change::Program("bin/run", b"#!/bin/sh\n"),
            Change::Link("link", "bin/run"),
            Change::Link("out", "../../etc/passwd"),
            Change::Link("dangling", "nowhere"),
            Change::File(".gitattributes", b"* text=auto eol=lf\nplain export-ignore\n"),
            Change::File("we\\ird \"na\nme\" \u{fc}", b"1"),
            Change::File("-rf", b"1"),
            Change::File(&long, b"1"),
        ],
    );
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    fs::create_dir(world.path("release")).unwrap();
    let written = world.checkout(&remote, &id(&head), "release").await.unwrap();
    assert_eq!(written.files, 9);
    let at = world.path("release");
    assert_eq!(fs::read(at.join("plain")).unwrap(), b"a\r\nb");
    assert_eq!(mode(&at.join("bin/run")) & 0o111, mode(&at.join("bin")) & 0o111);
    assert_eq!(mode(&at.join("plain")) & 0o111, 0);
    assert_eq!(fs::read_link(at.join("link")).unwrap().to_str(), Some("bin/run"));
    assert_eq!(
        fs::read_link(at.join("out")).unwrap().to_str(),
        Some("../../etc/passwd")
    );
    assert_eq!(fs::read_link(at.join("dangling")).unwrap().to_str(), Some("nowhere"));
    assert!(at.join("we\\ird \"na\nme\" \u{fc}").exists() && at.join("-rf").exists() && at.join(&long).exists());
}

#[tokio::test]
async fn the_destination_must_be_new_or_empty() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"1")]);
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    fs::create_dir(world.path("full")).unwrap();
    fs::write(world.path("full/a"), b"mine").unwrap();
    fs::create_dir(world.path("empty")).unwrap();
    symlink(world.path("empty"), world.path("link")).unwrap();
    for name in ["full", "link"] {
        let error = world.checkout(&remote, &id(&head), name).await.unwrap_err();
        assert_eq!(error.kind, GitErrorKind::Disk, "{error}");
    }
    assert_eq!(read(&world.path("full/a")), "mine");
    assert!(fs::read_dir(world.path("empty")).unwrap().next().is_none());
}

#[tokio::test]
async fn lfs_pointers_are_refused_by_name_and_number() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit(
        "main",
        "x",
        &[
            Change::File("b/video.mp4", POINTER),
            Change::File("a.psd", POINTER),
            Change::File("c.txt", b"version https://git-lfs is not what this is"),
        ],
    );
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    let error = world.checkout(&remote, &id(&head), "release").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Lfs, "{error}");
    assert!(
        error.message.starts_with("`a.psd` and 1 more are Git LFS pointers"),
        "{error}"
    );
    let keep = CheckoutOptions {
        refuse_lfs: false,
        ..world.options()
    };
    world.checkout_with(&remote, &id(&head), "kept", &keep).await.unwrap();
    assert_eq!(fs::read(world.path("kept/a.psd")).unwrap(), POINTER);
}

#[tokio::test]
async fn modes_are_made_canonical() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let blob = origin.blob(b"#!/bin/sh\n");
    let head = origin.commit_raw_tree(
        "main",
        &[
            ("104755", b"setuid", &blob),
            ("102644", b"setgid", &blob),
            ("100600", b"private", &blob),
            ("100664", b"old", &blob),
        ],
    );
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    world.checkout(&remote, &id(&head), "release").await.unwrap();
    let at = world.path("release");
    let (program, file) = (mode(&at.join("setuid")), mode(&at.join("private")));
    assert_eq!(program & 0o7000, 0);
    assert_eq!(program & 0o100, 0o100);
    assert_eq!((program & 0o666, file & 0o111), (file, 0));
    assert_eq!((mode(&at.join("setgid")), mode(&at.join("old"))), (file, file));
}

#[tokio::test]
async fn unsafe_trees_are_refused_before_anything_is_written() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let blob = origin.blob(b"x");
    let empty = origin.git_input(&["mktree"], b"");
    let inner = origin.git_input(&["mktree"], format!("100644 blob {blob}\tconfig\n").as_bytes());
    let long = "x".repeat(256);
    let trees: &[&[(&str, &[u8], &str)]] = &[
        &[("40000", b".git", &inner)],
        &[("40000", b".GIT", &inner)],
        &[("40000", b"git~1", &inner)],
        &[("100644", b".git", &blob)],
        &[("40000", b"..", &inner)],
        &[("40000", b".", &inner)],
        &[("100644", b"../evil", &blob)],
        &[("100644", b"/etc/evil", &blob)],
        &[("100644", b"a/b", &blob)],
        &[("120000", b"a", &blob), ("40000", b"a", &inner)],
        &[("100644", b"a", &blob), ("100644", b"a", &blob)],
        &[("120000", b".gitmodules", &blob)],
        &[("10644", b"fifo", &blob)],
        &[("100644", long.as_bytes(), &blob)],
        &[("40000", b"deep", &empty), ("120000", b"empty-link", &origin.blob(b""))],
        &[("120000", b"nul-link", &origin.blob(b"a\0b"))],
    ];
    for (number, tree) in trees.iter().enumerate() {
        let branch = format!("b{number}");
        let head = origin.commit_raw_tree(&branch, tree);
        let remote = access(&origin.file_url());
        world
            .fetch(&remote, &branch)
            .await
            .unwrap_or_else(|e| panic!("{tree:?}: {e}"));
        let error = world
            .checkout(&remote, &id(&head), &format!("release{number}"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, GitErrorKind::UnsafeTree, "{tree:?}: {error}");
    }
    assert!(!world.path("evil").exists());
}

#[tokio::test]
async fn trees_that_nest_or_multiply_without_end_are_refused() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let mut tree = origin.git_input(&["mktree"], b"");
    for _ in 0..300 {
        tree = origin.git_input(&["mktree"], format!("040000 tree {tree}\td\n").as_bytes());
    }
    let deep = origin.commit_raw_tree("deep", &[("40000", b"d", &tree)]);
    let blob = origin.blob(b"x");
    let mut bomb = origin.git_input(&["mktree"], format!("100644 blob {blob}\tf\n").as_bytes());
    for _ in 0..12 {
        let lines: Vec<String> = (0..10).map(|n| format!("040000 tree {bomb}\td{n}\n")).collect();
        bomb = origin.git_input(&["mktree"], lines.concat().as_bytes());
    }
    let wide = origin.commit_raw_tree("wide", &[("40000", b"d", &bomb)]);
    let remote = access(&origin.file_url());
    for (branch, head) in [("deep", deep), ("wide", wide)] {
        world.fetch(&remote, branch).await.unwrap();
        let error = world.checkout(&remote, &id(&head), branch).await.unwrap_err();
        assert_eq!(error.kind, GitErrorKind::UnsafeTree, "{branch}: {error}");
    }
}

#[tokio::test]
async fn what_a_small_repository_makes_endless_is_refused() {
    let mut world = World::new();
    world.git.bounds = Bounds {
        file_size: 1 << 20,
        files: 50_000,
    };
    let origin = world.origin("blog.git");
    let mut directories = origin.git_input(&["mktree"], b"");
    for _ in 0..10 {
        let lines: Vec<String> = (0..10).map(|n| format!("040000 tree {directories}\td{n}\n")).collect();
        let lines = lines.concat();
        directories = origin.git_input(&["mktree"], lines.as_bytes());
    }
    let gitlink = "1".repeat(40);
    let lines: Vec<String> = (0..60_000)
        .map(|n| format!("160000 commit {gitlink}\tm{n}\n"))
        .collect();
    let lines = lines.concat();
    let gitlinks = origin.git_input(&["mktree", "--missing"], lines.as_bytes());
    let large = origin.blob(&vec![0; 2 << 20]);
    let large = origin.git_input(&["mktree"], format!("100644 blob {large}\tlarge\n").as_bytes());
    let off = CheckoutOptions {
        submodules: false,
        ..world.options()
    };
    let access = access(&origin.file_url());
    for (name, tree, says) in [
        ("directories", directories, "50000 files, directories and submodules"),
        ("gitlinks", gitlinks, "50000 files, directories and submodules"),
        ("large", large, "`large` has 2 MiB"),
    ] {
        let commit = origin.commit_tree(name, &tree);
        world.fetch(&access, name).await.unwrap();
        let error = world
            .checkout_with(&access, &id(&commit), name, &off)
            .await
            .unwrap_err();
        assert_eq!(error.kind, GitErrorKind::UnsafeTree, "{error}");
        assert!(error.message.contains(says), "{error}");
        assert!(error.hint.unwrap().contains("[limits]"));
    }
}
