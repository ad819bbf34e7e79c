//! What is sure of a release that goes live.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{layout, list, release, write};

#[test]
fn a_release_that_lost_something_is_not_whole() {
    let (_directory, layout) = layout();
    let shared = list(&["uploads"]);
    let name = release(&layout);
    write(layout.release(&name).join("a/page.html"), "text");
    assert!(!layout.is_sealed(&name, &shared).unwrap(), "not sealed yet");
    layout.seal(&name, &shared, None).unwrap();
    assert!(layout.is_sealed(&name, &shared).unwrap());
    let page = layout.release(&name).join("a/page.html");
    fs::write(&page, "").unwrap();
    assert!(!layout.is_sealed(&name, &shared).unwrap());
    fs::remove_file(&page).unwrap();
    assert!(!layout.is_sealed(&name, &shared).unwrap());
    layout.unseal().unwrap();
    assert_eq!(fs::read_dir(layout.releases()).unwrap().count(), 1);
}

#[test]
fn set_id_bits_are_cleared_wherever_a_build_leaves_them() {
    let (directory, layout) = layout();
    let name = release(&layout);
    let tree = layout.release(&name);
    let with_mode = |path: PathBuf, mode| {
        write(&path, "program");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let files = [
        with_mode(tree.join("bin/tool"), 0o6755),
        with_mode(layout.shared().join("uploads/tool"), 0o2711),
    ];
    fs::set_permissions(tree.join("bin"), fs::Permissions::from_mode(0o2775)).unwrap();
    let other = with_mode(directory.path().join("of-the-system"), 0o4755);
    fs::hard_link(&other, tree.join("linked")).unwrap();
    symlink(&other, tree.join("link")).unwrap();
    let told = layout
        .clear_set_ids(&tree, &list(&["uploads"]), false)
        .unwrap()
        .unwrap();
    for name in ["bin,", "bin/tool", "linked", "shared/uploads/tool"] {
        assert!(told.contains(name), "{told}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&files[0]), 0o755);
    assert_eq!(mode(&files[1]), 0o711);
    assert_eq!(mode(&tree.join("bin")), 0o775);
    assert_eq!(mode(&tree.join("linked")), 0o755);
    assert_eq!(mode(&other), 0o4755, "a program of the system keeps its bits");
    assert_eq!(layout.clear_set_ids(&tree, &list(&["uploads"]), false).unwrap(), None);
    // What the target's own directory hands down is its administrator's wish.
    fs::set_permissions(layout.path(), fs::Permissions::from_mode(0o2755)).unwrap();
    fs::set_permissions(tree.join("bin"), fs::Permissions::from_mode(0o2775)).unwrap();
    assert_eq!(layout.clear_set_ids(&tree, &[], false).unwrap(), None);
}

#[test]
fn unchanged_files_keep_their_times() {
    let (directory, _layout) = layout();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for (path, before, after) in [("a/same", "x", "x"), ("a/changed", "x", "y"), ("longer", "x", "xx")] {
        write(old.join(path), before);
        write(new.join(path), after);
        fs::File::open(old.join(path)).unwrap().set_modified(then).unwrap();
    }
    symlink("/dev/zero", old.join("zero")).unwrap();
    write(new.join("zero"), "");
    hookd::release::keep_times(&old, &new);
    let kept = |path: &str| fs::metadata(new.join(path)).unwrap().modified().unwrap() == then;
    assert!(kept("a/same") && !kept("a/changed") && !kept("longer"));
}

/// A program that may write to what is shared, the site's own say, exchanges a directory for a link as fast as it can.
#[test]
fn directories_that_become_links_lead_to_nobody_elses_files() {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    use std::sync::atomic::{AtomicBool, Ordering};

    const FILES: u32 = 40;
    let (directory, layout) = layout();
    let (victim, uploads) = (directory.path().join("victim"), layout.shared().join("uploads"));
    let tree = layout.release(&release(&layout));
    let (inner, link) = (uploads.join("inner"), uploads.join("link"));
    fs::create_dir_all(&inner).unwrap();
    symlink(&victim, &link).unwrap();
    for file in 0..FILES {
        write(victim.join(file.to_string()), "nobody else's");
        fs::set_permissions(victim.join(file.to_string()), fs::Permissions::from_mode(0o600)).unwrap();
        write(inner.join(file.to_string()), "");
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &inner, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        for _ in 0..200 {
            for place in [&inner, &link] {
                for file in 0..FILES {
                    // Wherever it is at the moment; the victim's stay as they are.
                    let path = place.join(file.to_string());
                    let is_own = fs::symlink_metadata(place).is_ok_and(|found| found.is_dir());
                    let opened = fs::File::options().read(true).open(&path).ok().filter(|_| is_own);
                    let opened = opened.filter(|file| file.metadata().unwrap().len() == 0);
                    if let Some(file) = opened {
                        file.set_permissions(fs::Permissions::from_mode(0o4666)).unwrap();
                    }
                }
            }
            // What is exchanged at this very moment may be passed over, or told.
            let _ = layout.clear_set_ids(&tree, &list(&["uploads"]), false);
        }
        over.store(true, Ordering::Relaxed);
    });
    for file in 0..FILES {
        let found = fs::metadata(victim.join(file.to_string())).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o600, "{file}");
    }
}
