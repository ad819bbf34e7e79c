//! The directories of a target, on a real file system.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

mod shared;
mod whole;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hookd::model::{CommitId, Timestamp};
use hookd::release::{Current, Keep, Layout, ReleaseError, ReleaseName, free_space};
use nix::unistd::{Uid, User};
use tempfile::TempDir;

/// 2026-11-22T10:15:00Z
const NOON: Timestamp = Timestamp(1_795_342_500_000);

fn commit() -> CommitId {
    "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".parse().unwrap()
}

fn layout() -> (TempDir, Layout) {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path().join("blog"));
    layout.prepare().unwrap();
    (directory, layout)
}

/// Makes a file with its parents.
fn write(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Publishes a release with an `index.html` that holds its name.
fn release(layout: &Layout) -> ReleaseName {
    let name = layout.name(NOON, &commit(), None).unwrap();
    let staging = layout.staging(1);
    write(staging.join("index.html"), name.as_str());
    assert_eq!(layout.publish(&staging, &name).unwrap(), layout.release(&name));
    name
}

fn obstacle(result: Result<impl std::fmt::Debug, ReleaseError>) -> String {
    match result.unwrap_err() {
        ReleaseError::Obstacle(text) => text,
        other @ ReleaseError::Io { .. } => panic!("no obstacle: {other}"),
    }
}

fn list(strings: &[&str]) -> Vec<String> {
    strings.iter().map(ToString::to_string).collect()
}

#[test]
fn prepare_makes_the_directories_and_leaves_nothing_else() {
    let (_directory, layout) = layout();
    layout.prepare().unwrap();
    let mut names: Vec<_> = fs::read_dir(layout.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["releases", "shared"]);
    assert_eq!(fs::read_dir(layout.releases()).unwrap().count(), 0);
    assert_eq!(layout.current().unwrap(), Current::None);
}

#[test]
fn prepare_tells_what_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let is_file = format!("{} is a file, and hookd needs a directory there", file.display());
    assert!(obstacle(Layout::new(&file).prepare()).starts_with(&is_file));
    assert!(obstacle(Layout::new(file.join("below")).prepare()).starts_with(&is_file));

    let dangling = directory.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    assert!(obstacle(Layout::new(&dangling).prepare()).contains("is a link to nothing"));

    let linked = directory.path().join("linked");
    fs::create_dir(&linked).unwrap();
    symlink(directory.path(), linked.join("releases")).unwrap();
    assert!(obstacle(Layout::new(&linked).prepare()).contains("releases is a link"));

    let taken = directory.path().join("taken");
    write(taken.join("current/index.html"), "precious");
    let text = obstacle(Layout::new(&taken).prepare());
    assert!(
        text.contains("current is a directory") && text.contains("mv "),
        "{text}"
    );
}

/// Runs one test of this program again, as nobody, if this is root.
fn again_as_nobody(test: &str, directory: &Path) -> bool {
    if !Uid::effective().is_root() {
        return false;
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new("/proc/self/exe")
        .args(["--exact", test, "--nocapture"])
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .uid(nobody.uid.as_raw())
        .gid(nobody.gid.as_raw())
        .status()
        .unwrap();
    assert!(status.success());
    true
}

#[test]
fn without_permission_the_owner_is_named() {
    let directory = tempfile::tempdir().unwrap();
    if again_as_nobody("without_permission_the_owner_is_named", directory.path()) {
        return;
    }
    let path = directory.path().join("blog");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    let me = User::from_uid(Uid::effective()).unwrap().unwrap().name;
    let text = obstacle(Layout::new(&path).prepare());
    assert!(
        text.starts_with(&format!("{me}, who hookd runs as, may not write in {}", path.display())),
        "{text}"
    );
    assert!(
        text.contains(&format!("it belongs to {me}:")) && text.contains("mode 0555"),
        "{text}"
    );
}

#[test]
fn read_only_directories_are_removed_too() {
    let directory = tempfile::tempdir().unwrap();
    if again_as_nobody("read_only_directories_are_removed_too", directory.path()) {
        return;
    }
    let (_directory, layout) = layout();
    let name = release(&layout);
    let module = layout.release(&name).join("pkg/mod");
    write(module.join("a/b"), "");
    for (directory, mode) in [("a", 0o000), ("", 0o555), ("..", 0o311)] {
        fs::set_permissions(module.join(directory), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(layout.remove(&name).unwrap(), Vec::<String>::new());
    assert_eq!(fs::read_dir(layout.releases()).unwrap().count(), 0);
}

#[test]
fn names_of_one_second_are_told_apart_and_sort_by_age() {
    let (_directory, layout) = layout();
    let names: Vec<ReleaseName> = (0..3).map(|_| release(&layout)).collect();
    let texts: Vec<&str> = names.iter().map(ReleaseName::as_str).collect();
    assert_eq!(
        texts,
        [
            "20261122T101500Z-1a2b3c4",
            "20261122T101501Z-1a2b3c4",
            "20261122T101502Z-1a2b3c4"
        ]
    );
    fs::create_dir(layout.releases().join("20200101000000")).unwrap();
    assert_eq!(layout.list().unwrap(), names.iter().rev().cloned().collect::<Vec<_>>());
}

#[test]
fn names_sort_in_the_order_of_deployment_when_the_clock_steps_back() {
    let (_directory, layout) = layout();
    let name = |time, newest: &str| {
        let newest = newest.parse().ok();
        layout
            .name(Timestamp(time), &commit(), newest.as_ref())
            .unwrap()
            .to_string()
    };
    let hour = 3_600_000;
    assert_eq!(
        name(NOON.0 - hour, "20261122T101500Z-fffffff"),
        "20261122T101501Z-1a2b3c4"
    );
    assert_eq!(
        name(NOON.0 + hour, "20261122T101500Z-fffffff"),
        "20261122T111500Z-1a2b3c4"
    );
    // A directory with a name of the future is nobody's newest release.
    fs::create_dir(layout.releases().join("20991231T235959Z-abcdef0")).unwrap();
    assert_eq!(name(NOON.0, ""), "20261122T101500Z-1a2b3c4");
}

#[test]
fn publishing_replaces_nothing() {
    let (_directory, layout) = layout();
    let name = release(&layout);
    fs::create_dir(layout.staging(2)).unwrap();
    fs::remove_file(layout.release(&name).join("index.html")).unwrap();
    let error = layout.publish(&layout.staging(2), &name).unwrap_err().to_string();
    assert!(error.ends_with("File exists"), "{error}");
    assert!(layout.staging(2).exists() && layout.is_intact(&name));
}

#[test]
fn current_is_a_relative_link_that_moves() {
    let (_directory, layout) = layout();
    let (first, second) = (release(&layout), release(&layout));
    for name in [&first, &second, &first, &first] {
        layout.activate(name).unwrap();
        assert_eq!(layout.current().unwrap(), Current::Release(name.clone()));
        assert_eq!(
            fs::read_link(layout.current_link()).unwrap(),
            Path::new("releases").join(name.as_str())
        );
        assert_eq!(
            fs::read_to_string(layout.current_link().join("index.html")).unwrap(),
            name.as_str()
        );
    }
    layout.deactivate().unwrap();
    layout.deactivate().unwrap();
    assert_eq!(layout.current().unwrap(), Current::None);
    assert!(layout.is_intact(&first));
}

#[test]
fn what_hookd_did_not_make_is_told_as_it_is() {
    let (_directory, layout) = layout();
    let name = release(&layout);
    let link = layout.current_link();
    let with_target = |target: &Path| {
        let _ = fs::remove_file(&link);
        symlink(target, &link).unwrap();
        layout.current().unwrap()
    };
    let live = Current::Release(name.clone());
    assert_eq!(with_target(&layout.release(&name)), live);
    assert_eq!(with_target(Path::new(&format!("./releases/{name}/"))), live);
    for foreign in [
        "releases/20200101000000",
        "../elsewhere",
        "/",
        "releases",
        &format!("releases/{name}/public"),
    ] {
        assert_eq!(with_target(Path::new(foreign)), Current::Foreign(foreign.to_owned()));
    }
    // Another tool's link may be taken over, but a directory may hold anything.
    layout.activate(&name).unwrap();
    fs::remove_file(&link).unwrap();
    write(link.join("precious"), "");
    assert_eq!(layout.current().unwrap(), Current::Foreign("not a link".to_owned()));
    assert!(obstacle(layout.activate(&name)).contains("is a directory"));
    assert!(obstacle(layout.deactivate()).contains("is a directory"));
    assert!(link.join("precious").exists());
    let leftover = |name: &str| name.starts_with(".current-");
    assert!(
        !fs::read_dir(layout.path())
            .unwrap()
            .any(|e| leftover(e.unwrap().file_name().to_str().unwrap()))
    );
}

#[test]
fn only_a_release_that_is_there_goes_live() {
    let (_directory, layout) = layout();
    let name: ReleaseName = "20261122T101500Z-1a2b3c4".parse().unwrap();
    assert!(!layout.is_intact(&name));
    assert!(obstacle(layout.activate(&name)).contains("is no directory"));
    symlink("/", layout.release(&name)).unwrap();
    assert!(!layout.is_intact(&name));
    assert!(obstacle(layout.activate(&name)).contains("is no directory"));
    assert_eq!(layout.current().unwrap(), Current::None);
}

#[test]
fn readers_never_see_anything_but_a_whole_release() {
    let (_directory, layout) = layout();
    let names = [release(&layout), release(&layout)];
    layout.activate(&names[0]).unwrap();
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let index = layout.current_link().join("index.html");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let text = fs::read_to_string(&index).expect("a reader was let down");
                    assert!(names.iter().any(|name| name.as_str() == text));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let activated = (0..2000).try_for_each(|turn| layout.activate(&names[turn % 2]));
        stop.store(true, Ordering::Relaxed);
        activated.unwrap();
    });
    assert!(reads.into_inner() > 1000);
}

#[test]
fn shared_is_filled_by_the_release_that_goes_live_and_can_be_taken_back() {
    let (_directory, layout) = layout();
    let name = layout.name(NOON, &commit(), None).unwrap();
    let staging = layout.staging(1);
    write(staging.join("uploads/logo.png"), "from the commit");
    write(staging.join("config/app.toml"), "from the commit");
    let shared = list(&["uploads", "config/app.toml", "log/app", ".env", "data.d/"]);
    layout.link_shared(&staging, &shared).unwrap();
    let release = layout.publish(&staging, &name).unwrap();
    assert_eq!(fs::read_dir(layout.shared()).unwrap().count(), 0);
    assert!(release.join("log/app").is_dir() && release.join("data.d").is_dir());
    write(release.join("data.d/built"), "by the build");

    layout.seal(&name, &shared, None).unwrap();
    assert_eq!(layout.filled_by(&name).unwrap(), shared);
    let notes = layout.fill_shared(&release, &shared).unwrap();
    assert_eq!(notes.len(), 5, "{notes:?}");
    assert!(notes[0].ends_with("uploads was missing and was filled from the release"));
    assert!(notes[2].ends_with("log/app was missing and is now an empty directory"));
    assert!(notes[3].contains("shared/.env is missing"));
    let link = |entry: &str| fs::read_link(release.join(entry)).unwrap();
    assert_eq!(link("uploads"), Path::new("../../shared/uploads"));
    assert_eq!(link("config/app.toml"), Path::new("../../../shared/config/app.toml"));
    assert_eq!(link(".env"), Path::new("../../shared/.env"));
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    assert_eq!(read(layout.shared().join("uploads/logo.png")), "from the commit");
    assert_eq!(read(layout.shared().join("data.d/built")), "by the build");
    // After a crash it may be done again, and what is sealed is still whole.
    assert_eq!(
        layout.fill_shared(&release, &shared).unwrap().len(),
        1,
        "the file is missing still"
    );
    assert!(layout.is_sealed(&name, &shared).unwrap());

    // The next release gets what is shared, and its own version is gone.
    write(layout.shared().join(".env"), "A=1");
    write(layout.shared().join("uploads/new.png"), "uploaded");
    let next = layout.staging(2);
    write(next.join("uploads/logo.png"), "of the next commit");
    layout.link_shared(&next, &shared).unwrap();
    assert_eq!(read(next.join("uploads/logo.png")), "from the commit");
    assert_eq!(read(next.join("uploads/new.png")), "uploaded");
    assert_eq!(read(next.join("config/app.toml")), "from the commit");
    assert_eq!(read(next.join(".env")), "A=1");

    // If the first did not stay live, `shared` is as it was before it.
    layout
        .empty_shared(&release, &list(&["uploads", "config/app.toml"]))
        .unwrap();
    assert!(!layout.shared().join("uploads").exists() && !layout.shared().join("config/app.toml").exists());
    assert_eq!(read(release.join("uploads/new.png")), "uploaded");
    assert!(layout.shared().join(".env").exists());
}

#[test]
fn a_links_target_is_never_touched() {
    let (directory, layout) = layout();
    let outside = directory.path().join("outside");
    write(outside.join("precious"), "untouched");
    let staging = layout.staging(1);
    fs::create_dir(&staging).unwrap();
    symlink(&outside, staging.join("escape")).unwrap();

    let text = obstacle(layout.link_shared(&staging, &list(&["escape/precious"])));
    assert!(text.contains("escape is a link"), "{text}");
    layout.link_shared(&staging, &list(&["escape"])).unwrap();
    layout.fill_shared(&staging, &list(&["escape"])).unwrap();
    assert_eq!(
        fs::read_link(staging.join("escape")).unwrap(),
        Path::new("../../shared/escape")
    );
    assert!(fs::symlink_metadata(layout.shared().join("escape")).unwrap().is_dir());

    symlink(&outside, layout.shared().join("app")).unwrap();
    assert!(obstacle(layout.link_shared(&staging, &list(&["app/made"]))).contains("app is a link"));
    // What an administrator has put elsewhere is used as it is.
    layout.link_shared(&staging, &list(&["app"])).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(staging.join("app/precious")).unwrap(), "untouched");
}

#[test]
fn shared_entries_stay_below_the_release() {
    let (_directory, layout) = layout();
    fs::create_dir(layout.staging(1)).unwrap();
    for bad in ["", "/", "..", "a/../../b", "/etc", "a//b", "."] {
        assert!(
            obstacle(layout.link_shared(&layout.staging(1), &list(&[bad]))).contains("below the release"),
            "{bad:?}"
        );
    }
    let overlapping = layout.link_shared(&layout.staging(1), &list(&["a", "a/b"]));
    assert!(obstacle(overlapping).contains("it is below \"a\""));
}

#[test]
fn prune_keeps_the_good_the_live_and_the_protected() {
    let (_directory, layout) = layout();
    let names: Vec<ReleaseName> = (0..7).map(|_| release(&layout)).collect();
    let [a, b, c, failed, d, live, newest] = names.as_slice() else {
        unreachable!()
    };
    layout.activate(live).unwrap();
    let foreign = layout.releases().join("20200101000000");
    fs::create_dir(&foreign).unwrap();
    let good = [newest, d, c, b, a].map(Clone::clone);
    let keep = Keep {
        count: 2,
        good: good.to_vec(),
        known: names.clone(),
        protected: vec![a.clone()],
    };
    let superfluous = layout.superfluous(&keep).unwrap();
    assert_eq!(superfluous, [failed, c, b].map(Clone::clone));
    for name in &superfluous {
        assert_eq!(layout.remove(name).unwrap(), Vec::<String>::new());
    }
    assert_eq!(layout.list().unwrap(), [newest, live, d, a].map(Clone::clone));
    assert!(foreign.exists());
    assert!(obstacle(layout.remove(live)).contains("is live"));
}

#[test]
fn removal_follows_no_link_and_copes_with_depth() {
    let (directory, layout) = layout();
    let outside = directory.path().join("outside");
    write(outside.join("precious"), "");
    let name = release(&layout);
    let tree = layout.release(&name);
    symlink(&outside, tree.join("directory")).unwrap();
    symlink(outside.join("precious"), tree.join("file")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    let mut deep = tree;
    for _ in 0..300 {
        deep.push("d");
    }
    write(deep.join("bottom"), "");
    assert_eq!(layout.remove(&name).unwrap(), Vec::<String>::new());
    assert_eq!(layout.remove(&name).unwrap(), Vec::<String>::new());
    assert_eq!(fs::read_dir(layout.releases()).unwrap().count(), 0);
    assert!(outside.join("precious").exists());
}

#[test]
fn files_that_appear_meanwhile_are_removed_too() {
    let (_directory, layout) = layout();
    let name = release(&layout);
    let tree = layout.release(&name);
    for n in 0..500 {
        write(tree.join(format!("cache/{n}/x")), "");
    }
    // A running program goes on writing in its working directory, whatever that is called by now.
    let mut writer = Command::new("/bin/sh")
        .args([
            "-c",
            "echo; n=0; while echo >w$n; do n=$((n+1)); sleep 0.001; done 2>/dev/null",
        ])
        .current_dir(tree.join("cache"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut first).unwrap();
    let problems = layout.remove(&name).unwrap();
    let ended = writer.wait().unwrap();
    assert!(ended.success());
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(fs::read_dir(layout.releases()).unwrap().count(), 0);
}

#[test]
fn what_is_immutable_stays_and_is_told() {
    let (_directory, layout) = layout();
    let name = release(&layout);
    let file = layout.release(&name).join("immutable");
    write(&file, "");
    write(layout.release(&name).join("other/file"), "");
    let chattr = |flag: &str, path: &Path| Command::new("chattr").arg(flag).arg(path).status();
    if !chattr("+i", &file).is_ok_and(|status| status.success()) {
        // Only root may, and not every file system can.
        return;
    }
    let problems = layout.remove(&name).unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("/immutable: Operation not permitted (is it immutable?"));
    assert_eq!(layout.list().unwrap(), []);
    let gone: Vec<PathBuf> = fs::read_dir(layout.releases())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(fs::read_dir(&gone[0]).unwrap().count(), 1, "all else is gone");
    assert_eq!(layout.sweep().unwrap().len(), 1);
    assert_eq!(layout.unremoved().unwrap(), gone);
    chattr("-i", &gone[0].join("immutable")).unwrap();
    assert_eq!(layout.sweep().unwrap(), Vec::<String>::new());
    assert!(!gone[0].exists());
}

#[test]
fn sweep_takes_leftovers_alone() {
    let (_directory, layout) = layout();
    let name = release(&layout);
    layout.activate(&name).unwrap();
    write(layout.staging(7).join("half/made"), "");
    write(layout.releases().join(".gone-x/y"), "");
    write(layout.releases().join(".hidden/y"), "");
    write(layout.shared().join(".seed-x/y"), "");
    write(layout.shared().join(".env"), "");
    symlink("releases/x", layout.path().join(".current-0123")).unwrap();
    write(layout.path().join(".current-notes"), "no link");
    assert_eq!(layout.sweep().unwrap(), Vec::<String>::new());
    let names = |directory: PathBuf| {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        names(layout.path().to_owned()),
        [".current-notes", "current", "releases", "shared"]
    );
    assert_eq!(names(layout.releases()), [".hidden", name.as_str()]);
    assert_eq!(names(layout.shared()), [".env"]);
    assert_eq!(Layout::new("/no/such/target").sweep().unwrap(), Vec::<String>::new());
}

#[test]
fn free_space_of_what_is_not_there_yet() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, inodes) = free_space(&directory.path().join("a/b")).unwrap();
    assert!(bytes > 0 && inodes > 0);
    assert_eq!(free_space(Path::new("/proc/self/x")).unwrap().0, 0);
}
