//! Spares on a btrfs, where they are snapshots. It takes root to mount one: others have the copies that `reuse` tries.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;
use rustix::fs::{XattrFlags, removexattr, setxattr};

use super::reuse::{Site, essence, filled_below, flipped, tick, try_rounds, write_in_place};
use super::support::git_server::Change;

/// A new btrfs; it is unmounted in the end.
struct Btrfs {
    dir: tempfile::TempDir,
}

impl Btrfs {
    /// None for who may not mount.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("not tried: only root mounts a btrfs");
            return None;
        }
        let made = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let (image, place) = (made.dir.path().join("image"), made.place());
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        fs::create_dir(&place).unwrap();
        call(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        call(Command::new("mount").args(["-o", "loop"]).args([&image, &place]));
        Some(made)
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        // A worker that waits for work may have it open for a moment; the kernel lets go of it then.
        call(Command::new("umount").arg("--lazy").arg(self.place()));
    }
}

/// What a command prints; it must not fail.
fn call(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn is_subvolume(path: &Path) -> bool {
    fs::metadata(path).unwrap().ino() == 256
}

/// Whether it began as a snapshot.
fn is_snapshot(path: &Path) -> bool {
    let told = call(Command::new("btrfs").args(["subvolume", "show"]).arg(path));
    let line = told.lines().find(|line| line.contains("Parent UUID:")).unwrap();
    !line.trim_end().ends_with('-')
}

impl Site {
    fn live(&self) -> &Path {
        self.releases.last().unwrap()
    }

    fn copy(&self) -> PathBuf {
        self.spare().join("tree")
    }

    fn push(&self, text: &str) {
        self.origin
            .commit("main", text, &[Change::File("d1/page1", text.as_bytes())]);
    }
}

#[test]
fn whatever_was_done_to_others_a_release_is_what_git_has() {
    let Some(btrfs) = Btrfs::new() else { return };
    try_rounds(&btrfs.place());
}

#[tokio::test]
async fn a_spare_is_a_snapshot_with_what_git_has_alone() {
    let Some(btrfs) = Btrfs::new() else { return };
    let mut site = filled_below(&btrfs.place(), 300).await;
    let live = site.live().to_owned();
    assert!(is_subvolume(&live));
    let expected = essence(&live);
    let (changed, renamed) = (live.join("d3/page3"), live.join("d4/page4"));
    fs::create_dir_all(live.join("d2/built/deep")).unwrap();
    fs::write(live.join("d2/built/deep/page"), "built").unwrap();
    write_in_place(&changed, &flipped(&changed));
    fs::rename(&renamed, live.join("d4/other")).unwrap();
    fs::set_permissions(&live, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(site.make_spare().await);
    assert!(is_snapshot(&site.copy()));
    let found = essence(&site.copy());
    for (path, what) in &found {
        // Not `assert_eq!`, which prints it all.
        assert!(expected.get(path) == Some(what), "{}", path.display());
    }
    for lost in ["d3/page3", "d4/page4"] {
        assert!(!found.contains_key(Path::new(lost)), "{lost}");
    }
    // What was made in the tick that the release was finished in is not believed.
    assert!(
        found
            .keys()
            .any(|path| path.starts_with("d5") && path.extension().is_none())
    );
    site.push("changed");
    let done = site.deploy().await;
    assert!(done.files - done.reused >= 3, "{done:?}");
    assert!(is_snapshot(site.live()));
    assert!(essence(site.live()) == essence(&site.oracle().await));
    // Other releases are what they were.
    assert_eq!(fs::read_to_string(live.join("d2/built/deep/page")).unwrap(), "built");
}

#[tokio::test]
async fn a_push_that_comes_before_the_spare_has_a_snapshot_too() {
    let Some(btrfs) = Btrfs::new() else { return };
    let mut site = filled_below(&btrfs.place(), 300).await;
    for text in ["one", "two"] {
        fs::write(site.live().join("built"), "by the build").unwrap();
        tick(&site.world.path("releases"));
        site.push(text);
        let done = site.deploy().await;
        assert!(done.files > done.reused && done.reused > 0, "{done:?}");
        assert!(is_snapshot(site.live()));
        assert!(essence(site.live()) == essence(&site.oracle().await));
    }
}

#[tokio::test]
async fn what_a_snapshot_would_bring_along_makes_the_spare_a_copy() {
    let Some(btrfs) = Btrfs::new() else { return };
    let site = filled_below(&btrfs.place(), 300).await;
    let (live, copy) = (site.live().to_owned(), site.copy());
    let copied = async |why: &str| {
        assert!(site.make_spare().await, "{why}");
        assert!(is_subvolume(&copy) && !is_snapshot(&copy), "{why}");
        fs::remove_dir_all(site.spare()).unwrap();
    };
    let (page, directory) = (live.join("d3/page3"), live.join("d3"));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    call(Command::new("chattr").arg("+i").arg(&page));
    copied("immutable").await;
    call(Command::new("chattr").arg("-i").arg(&page));
    setxattr(&directory, "user.note", b"kept", XattrFlags::empty()).unwrap();
    copied("attributes").await;
    removexattr(&directory, "user.note").unwrap();
    mode(&directory, 0o775);
    copied("a directory's mode").await;
    mode(&directory, 0o755);
    mode(&live, 0o2755);
    copied("a group that is inherited").await;
    mode(&live, 0o755);
    // More that was built than is in git.
    for number in 0..400 {
        fs::write(live.join(format!("d1/built{number}")), "built").unwrap();
    }
    copied("much is built").await;
}
