//! What moves between a release and `shared/`, while somebody else may write in the release.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{Uid, User};

use super::{layout, list, write};

/// How often it is tried: where the directory is not held, one of the first rounds leads elsewhere.
const ROUNDS: i64 = 300;

#[test]
fn shared_may_be_on_another_file_system() {
    let (directory, layout) = layout();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(directory.path()) == device(elsewhere.path()) {
        return;
    }
    fs::remove_dir(layout.shared()).unwrap();
    symlink(elsewhere.path(), layout.shared()).unwrap();
    let staging = layout.staging(1);
    let program = staging.join("uploads/a/b");
    write(&program, "text");
    symlink("b", staging.join("uploads/a/link")).unwrap();
    if Uid::effective().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        chown(&program, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    }
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::open(&program).unwrap().set_modified(then).unwrap();
    let owner = fs::metadata(&program).unwrap().uid();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6751)).unwrap();
    layout.link_shared(&staging, &list(&["uploads"])).unwrap();
    layout.fill_shared(&staging, &list(&["uploads"])).unwrap();
    assert_eq!(fs::read_to_string(staging.join("uploads/a/link")).unwrap(), "text");
    let copy = fs::metadata(elsewhere.path().join("uploads/a/b")).unwrap();
    assert_eq!(
        (copy.mode() & 0o7777, copy.uid()),
        (0o751, owner),
        "no file of root's that runs as root"
    );
    assert_eq!(copy.modified().unwrap(), then);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_becomes_a_link_leads_nobody_elsewhere() {
    let (directory, layout) = layout();
    let outside = directory.path().join("outside");
    write(outside.join("b"), "precious");
    for round in 0..ROUNDS {
        let staging = layout.staging(round);
        let (own, trap) = (staging.join("a"), directory.path().join(format!("trap{round}")));
        write(own.join("b"), "own");
        symlink(&outside, &trap).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    renameat2(AT_FDCWD, &own, AT_FDCWD, &trap, RenameFlags::RENAME_EXCHANGE).unwrap();
                }
            });
            // Refused, or what the release itself has.
            let shared = list(&["a/b"]);
            let linked = layout.link_shared(&staging, &shared);
            let _ = linked.and_then(|()| layout.fill_shared(&staging, &shared));
            stop.store(true, Ordering::Relaxed);
        });
        assert!(fs::symlink_metadata(outside.join("b")).is_ok_and(|found| found.is_file()));
        assert_eq!(fs::read_to_string(outside.join("b")).unwrap(), "precious");
        let kept = layout.shared().join("a");
        assert!(fs::read_to_string(kept.join("b")).unwrap_or_default() != "precious");
        if kept.exists() {
            fs::remove_dir_all(kept).unwrap();
        }
    }
}
