//! What is left of a deployment when it has ended, whatever its end: what the manual names, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::daemon::text_of;
use crate::support::world::{World, names, wait_until};

/// Commands and checks that do what the commit says.
const BY_THE_COMMIT: &str = "build = \"sh ./build.sh\"\ncheck = \"sh ./check.sh\"\ncheck_timeout = \"1s\"\n\
    timeout = \"20s\"\nshared = [\"kept/file.d/\"]\nkeep = 2";

/// A pointer of Git LFS.
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";

/// Asserts that there is nothing but whole releases, `failed` of them failed.
#[track_caller]
fn nothing_but_releases(world: &World, way: &str, failed: usize) {
    let releases = names(&world.path("live/releases"));
    let good = world.release().map_or(0, |_| 1);
    assert!(
        releases.iter().all(|name| name.starts_with("20")) && releases.len() <= 2 * good + failed,
        "{way}: {releases:?}"
    );
    let live = names(&world.path("live"));
    assert!(
        live.iter()
            .all(|name| ["current", "releases", "shared"].contains(&name.as_str())),
        "{way}: {live:?}"
    );
    assert_eq!(names(&world.path("state/payloads")), [""; 0], "{way}");
    // A look at the remote may be under way.
    wait_until("no git worker but the one that waits for work has a directory", || {
        names(&world.path("state/scratch")).len() <= 1
    });
    let packs = names(&world.path("state/mirrors/site.git/objects/pack"));
    let is_pack = |name: &String| name.starts_with("pack-") && !name.contains(".lock");
    assert!(packs.iter().all(is_pack), "{way}: {packs:?}");
    assert!(
        names(&world.path("state/mirrors"))
            .iter()
            .all(|name| name == "site.git" || name == "site.git.lock"),
        "{way}"
    );
}

#[test]
fn after_any_end_nothing_is_left_but_what_the_manual_names() {
    let world = World::site(BY_THE_COMMIT);
    let fine = [("build.sh", "true"), ("check.sh", "true"), ("lfs", "none")];
    let with = |changed: &[(&'static str, &'static str)]| {
        let mut files: Vec<(&str, &str)> = fine.to_vec();
        files.extend_from_slice(changed);
        files
    };
    let ways = [
        (
            "nothing live, and it fails its check",
            with(&[("check.sh", "exit 1")]),
            "failed",
        ),
        ("live", with(&[]), "live"),
        ("the build fails", with(&[("build.sh", "touch made; exit 3")]), "failed"),
        ("the check fails", with(&[("check.sh", "exit 1")]), "rolled-back"),
        ("the checkout fails", with(&[("lfs", POINTER)]), "failed"),
        ("live again", with(&[("page", "new")]), "live"),
    ];
    for (way, files, outcome) in ways {
        world.site.commit(&files);
        world.site.push();
        world.send(&world.pushed()).expect(202);
        world.settled();
        assert_eq!(world.last()["outcome"], outcome, "{way}: {}", world.last());
        nothing_but_releases(&world, way, 1);
        let filled = world.path("live/shared/kept").exists();
        assert_eq!(
            filled,
            world.release().is_some(),
            "{way}: only what is live fills `shared`"
        );
    }

    // What `shared` refuses.
    fs::remove_dir_all(world.site.work.join("kept")).ok();
    symlink("/tmp", world.site.work.join("kept")).unwrap();
    world.site.commit(&fine);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert!(
        world.last()["reason"].to_string().contains("is a link"),
        "{}",
        world.last()
    );
    nothing_but_releases(&world, "refused by `shared`", 1);
    // What is cancelled while it builds.
    fs::remove_file(world.site.work.join("kept")).unwrap();
    world
        .site
        .commit(&[("build.sh", "touch $HOOKD_PATH/../building; sleep 60")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    wait_until("it builds", || world.path("building").exists());
    world.hookd(&["cancel", "site"]).expect(0);
    world.settled();
    assert_eq!(world.last()["outcome"], "cancelled");
    nothing_but_releases(&world, "cancelled", 1);
}

#[test]
fn ten_failures_leave_one_failed_release_and_the_good_ones() {
    let world = World::site("keep = 1\nbuild = \"sh ./build.sh\"");
    for build in ["true", "true #"] {
        world.site.commit(&[("build.sh", build), ("index.html", build)]);
        world.site.push();
        world.send(&world.pushed()).expect(202);
        world.settled();
    }
    let good = world.releases();
    assert_eq!(good.len(), 2, "the live one, and the one before it");
    for number in 0..10 {
        world.site.commit(&[("build.sh", &format!("exit {}", number + 1))]);
        world.site.push();
        world.send(&world.pushed()).expect(202);
        world.settled();
        let releases = world.releases();
        assert!(releases.len() == 3 && releases.starts_with(&good), "{releases:?}");
    }
    assert_eq!(world.served(), "true #");
}

#[test]
fn a_start_removes_what_is_too_much_and_forgets_what_is_gone() {
    let mut world = World::site("keep = 3");
    for page in ["one", "two", "three"] {
        world.deploy(page);
    }
    let [_, second, _] = &world.releases()[..] else {
        panic!("{:?}", world.releases())
    };
    world.kill();
    // As a crash may leave it.
    fs::remove_dir_all(world.path("live/releases").join(second)).unwrap();
    fs::create_dir(world.path("live/releases/.tmp-7")).unwrap();
    fs::create_dir(world.path("live/releases/.gone-x")).unwrap();
    let half = world.path("state/mirrors/site.git/objects/pack/pack_git2_x");
    fs::write(&half, "half a pack").unwrap();
    world.start();
    // A start sweeps when it accepts already.
    wait_until("the start has swept", || {
        !half.exists()
            && names(&world.path("live/releases"))
                .iter()
                .all(|name| name.starts_with("20"))
    });
    nothing_but_releases(&world, "a start", 0);
    let told = world.hookd(&["rollback", "site", second]);
    assert_ne!(told.code, 0, "{told:?}");
    assert!(told.err.contains("no") || told.err.contains("not"), "{told:?}");
    assert_eq!(world.served(), "three");
}

#[test]
fn a_build_cannot_push_out_good_releases_by_names_of_the_future() {
    let world = World::site("keep = 2\nbuild = \"for n in 1 2 3 4; do mkdir -p ../2099010${n}T000000Z-abcdef0; done\"");
    for page in ["one", "two", "three", "four"] {
        world.deploy(page);
    }
    let known: Vec<String> = world
        .releases()
        .into_iter()
        .filter(|name| !name.starts_with("2099"))
        .collect();
    assert_eq!(known.len(), 2, "{:?}", world.releases());
    assert_eq!(world.releases(), known, "they count for nothing");
    world.hookd(&["rollback", "site", &known[0]]).expect(0);
    assert_eq!(world.served(), "three");
}

#[test]
fn a_build_that_sets_set_id_bits_is_told_so_and_they_are_gone() {
    let world = World::site("build = \"cp /bin/true tool; chmod 6755 tool; mkdir d; chmod 2775 d\"");
    world.deploy("one");
    let mode = |name: &str| {
        fs::metadata(world.path("live/current").join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!((mode("tool"), mode("d")), (0o755, 0o775));
    let log = world.hookd(&["logs", "site"]).expect(0).out;
    assert!(
        log.contains("cleared the set-user-ID and set-group-ID bits of"),
        "{log}"
    );
}

#[test]
fn a_release_that_fails_its_check_takes_back_what_it_brought_to_shared() {
    let world = World::site("shared = [\"data/\"]\ncheck = \"sh ./check.sh\"\ncheck_timeout = \"1s\"");
    world.site.commit(&[("data/config", "bad"), ("check.sh", "exit 1")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(world.last()["outcome"], "failed", "{}", world.last());
    assert_eq!(names(&world.path("live/shared")), [""; 0]);
    world.site.commit(&[("data/config", "good"), ("check.sh", "true")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    let config = world.path("live/shared/data/config");
    assert_eq!(text_of(&config), "good");
    assert_eq!(text_of(Path::new(&world.path("live/current/data/config"))), "good");
    // Later commits have no say there, and the log says so.
    world.site.commit(&[("data/config", "newer")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(text_of(&config), "good");
    let log = world.hookd(&["logs", "site"]).expect(0).out;
    assert!(
        log.contains("the commit changes data/config, which has no effect"),
        "{log}"
    );
}

#[test]
fn unchanged_files_keep_their_times_from_release_to_release() {
    let world = World::site("build = \"cp page built; date +%N >new\"");
    world.site.commit(&[("page", "a page"), ("index.html", "one")]);
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    let modified = |name: &str| {
        fs::metadata(world.path("live/current").join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = ["page", "built", "index.html"].map(modified);
    world.deploy("two");
    assert_eq!(modified("page"), before[0]);
    assert_eq!(modified("built"), before[1]);
    assert_ne!(modified("index.html"), before[2]);
}
