//! The mirror on disk: damage, leftovers, depth, growth, and questions about history.

use std::fs;

use hookd::config::Pattern;
use hookd::git::{GitErrorKind, sweep};
use hookd::model::GitRef;

use super::support::git_server::{Change, GitServer, Origin};
use super::support::world::wait_until;
use super::{World, access, id, read};

#[tokio::test]
async fn stale_locks_and_half_packs_are_swept() {
    let world = World::new();
    let origin = world.origin("blog.git");
    origin.commit("main", "1", &[Change::File("a", b"1")]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    world.fetch(&access, "main").await.unwrap();
    let mirror = world.mirror();
    let tips = mirror.join("refs/hookd/tip");
    let tip = fs::read_dir(&tips).unwrap().next().unwrap().unwrap().path();
    let leftovers = [
        tip.with_extension("lock"),
        mirror.join("packed-refs.lock"),
        mirror.join("config.lock"),
        mirror.join("objects/pack/pack_git2_0123456789abcdef"),
        mirror.join("objects/pack/tmp_pack_abc"),
    ];
    let litter = || leftovers.iter().for_each(|path| fs::write(path, b"").unwrap());

    litter();
    sweep(&mirror).unwrap();
    assert!(leftovers.iter().all(|path| !path.exists()));
    assert!(tip.exists());

    litter();
    let second = origin.commit("main", "2", &[Change::File("a", b"2")]);
    assert_eq!(world.fetch(&access, "main").await.unwrap().commit, id(&second));
    assert!(leftovers.iter().all(|path| !path.exists()));
    sweep(&world.path("no-such-mirror")).unwrap();
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    let world = World::new();
    let origin = world.origin("blog.git");
    origin.commit("main", "1", &[Change::File("a", b"1")]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    let mirror = world.mirror();
    let pack_files = || {
        fs::read_dir(mirror.join("objects/pack"))
            .unwrap()
            .flatten()
            .map(|e| e.path())
    };
    let tip = || {
        fs::read_dir(mirror.join("refs/hookd/tip"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("empty ref", &|| fs::write(tip(), b"").unwrap()),
        ("no packs", &|| pack_files().for_each(|p| fs::remove_file(p).unwrap())),
        ("empty packs", &|| pack_files().for_each(|p| fs::write(p, b"").unwrap())),
        ("no HEAD", &|| fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("garbage for HEAD and config", &|| {
            fs::write(mirror.join("HEAD"), b"\0\0").unwrap();
            fs::write(mirror.join("config"), b"[[[").unwrap();
        }),
    ];
    for (number, (what, damage)) in damages.iter().enumerate() {
        world.fetch(&access, "main").await.unwrap();
        damage();
        let head = origin.commit("main", what, &[Change::File("a", what.as_bytes())]);
        let fetched = world
            .fetch(&access, "main")
            .await
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(fetched.commit, id(&head), "{what}");
        let name = format!("release{number}");
        world
            .checkout(&access, &fetched.commit, &name)
            .await
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(read(&world.path(&name).join("a")), *what);
    }
}

#[tokio::test]
async fn bit_rot_found_by_a_checkout_is_cured_by_the_next_fetch() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "1", &[Change::File("a", &super::noise(100_000))]);
    let server = GitServer::http(&world.root());
    let access = access(&server.url("blog.git"));
    world.fetch(&access, "main").await.unwrap();
    let packs = fs::read_dir(world.mirror().join("objects/pack"))
        .unwrap()
        .flatten()
        .map(|e| e.path());
    let pack = packs
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "pack"))
        .unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0);
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();

    let error = world.checkout(&access, &id(&head), "bad").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Corrupt, "{error}");
    assert!(error.is_transient());
    world.fetch(&access, "main").await.unwrap();
    world.checkout(&access, &id(&head), "good").await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_no_mirror_is_left_alone() {
    let world = World::new();
    let origin = world.origin("blog.git");
    origin.commit("main", "1", &[Change::File("a", b"1")]);
    fs::create_dir_all(world.mirror()).unwrap();
    fs::write(world.mirror().join("thesis.txt"), b"ten years of work").unwrap();
    let error = world.fetch(&access(&origin.file_url()), "main").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::Disk, "{error}");
    assert_eq!(read(&world.mirror().join("thesis.txt")), "ten years of work");
}

#[tokio::test]
async fn shallow_mirrors_stay_so_until_all_is_wanted() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let first = origin.commit("main", "1", &[Change::File("a", b"1")]);
    origin.commit("main", "2", &[Change::File("a", b"2")]);
    let main = GitRef::branch("main").unwrap();
    let server = GitServer::http(&world.root());
    for url in [server.url("blog.git"), origin.file_url()] {
        let remote = access(&url);
        let third = origin.commit("main", "3", &[Change::File("a", b"3")]);
        assert_eq!(world.fetch_deep(&remote, &main, 1).await.unwrap().commit, id(&third));
        let next = origin.commit("main", "4", &[Change::File("a", b"4")]);
        assert_eq!(world.fetch_deep(&remote, &main, 1).await.unwrap().commit, id(&next));
        assert!(world.mirror().join("shallow").exists());
        let error = world
            .git
            .contains(&world.mirror(), &id(&first), &id(&next), &world.cancel)
            .await
            .unwrap_err();
        assert_eq!(error.kind, GitErrorKind::Unsupported, "{error}");
        let error = world
            .git
            .changed_paths(&world.mirror(), &id(&first), &id(&next), &[], &world.cancel)
            .await
            .unwrap_err();
        assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");

        world.fetch_deep(&remote, &main, 0).await.unwrap();
        assert!(world.contains(&id(&first), &id(&next)).await);
        // A full mirror is not cut down again.
        world.fetch_deep(&remote, &main, 1).await.unwrap();
        assert!(world.contains(&id(&first), &id(&next)).await);
        fs::remove_dir_all(world.mirror()).unwrap();
    }
}

#[tokio::test]
async fn changed_paths_come_from_the_trees() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let old = origin.commit(
        "main",
        "1",
        &[
            Change::File("same", b"1"),
            Change::File("docs/a", b"1"),
            Change::File("gone", b"1"),
            Change::File("x", b"x"),
        ],
    );
    origin.commit("main", "2", &[Change::File("docs/a", b"2"), Change::Delete("gone")]);
    let new = origin.commit(
        "main",
        "3",
        &[Change::File("new/deep/file", b"3"), Change::Program("x", b"x")],
    );
    let remote = access(&origin.file_url());
    world.fetch(&remote, "main").await.unwrap();
    for (from, pattern, count, matching) in [
        (&old, "**", 4, Some("docs/a")),
        (&old, "gone", 4, Some("gone")),
        (&old, "new/**", 4, Some("new/deep/file")),
        (&old, "x", 4, Some("x")),
        (&old, "same", 4, None),
        (&new, "**", 0, None),
    ] {
        let patterns = [Pattern::new(pattern).unwrap()];
        let (mirror, from, new) = (world.mirror(), id(from), id(&new));
        let changed = world.git.changed_paths(&mirror, &from, &new, &patterns, &world.cancel);
        let changed = changed.await.unwrap();
        assert_eq!(
            (changed.count, changed.matching.as_deref()),
            (count, matching),
            "{pattern}"
        );
        let all = ["docs/a", "gone", "new/deep/file", "x"];
        assert_eq!(changed.first, all[..usize::try_from(count).unwrap()], "{pattern}");
    }

    let missing = id(&"1".repeat(40));
    let error = world
        .git
        .changed_paths(&world.mirror(), &missing, &id(&new), &[], &world.cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");
    assert!(world.contains(&id(&old), &id(&new)).await);
    assert!(world.contains(&id(&new), &id(&new)).await);
    assert!(!world.contains(&id(&new), &id(&old)).await);
    assert!(!world.contains(&missing, &id(&new)).await);
}

#[tokio::test]
async fn kept_commits_outlive_force_pushes_and_packing() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let remote = access(&origin.file_url());
    let old = origin.commit("main", "old", &[Change::File("a", b"old")]);
    world.fetch(&remote, "main").await.unwrap();
    world.keep(&[id(&old)]).await;
    let dropped = origin.rewrite("main", "dropped", &[Change::File("a", b"dropped")]);
    world.fetch(&remote, "main").await.unwrap();
    // More packs than a mirror may have, each of a history that the next push throws away.
    let packs = || {
        let files = fs::read_dir(world.mirror().join("objects/pack")).unwrap().flatten();
        files
            .filter(|e| e.path().extension().is_some_and(|e| e == "pack"))
            .count()
    };
    let mut tip = String::new();
    for round in 0..50 {
        tip = origin.rewrite("main", "push", &[Change::File("a", format!("{round}").as_bytes())]);
        world.fetch(&remote, "main").await.unwrap();
    }
    assert!(packs() > 50, "{}", packs());
    world.keep(&[id(&tip), id(&old)]).await;
    assert!(packs() < 5, "{}", packs());
    world.checkout(&remote, &id(&old), "rollback").await.unwrap();
    assert_eq!(read(&world.path("rollback/a")), "old");
    let error = world.checkout(&remote, &id(&dropped), "dropped").await.unwrap_err();
    assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");

    let mirror = Origin { path: world.mirror() };
    let kept = || mirror.git(&["for-each-ref", "refs/hookd/keep"]).lines().count();
    assert_eq!(kept(), 2);
    world.keep(&[id(&tip)]).await;
    assert_eq!(kept(), 1);
}

#[tokio::test]
async fn many_pushes_leave_few_packs_and_the_large_one_as_it_is() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let remote = access(&origin.file_url());
    let mirror = world.mirror();
    let largest = || {
        let files = fs::read_dir(mirror.join("objects/pack")).unwrap().flatten();
        let packs = files.filter(|e| e.path().extension().is_some_and(|e| e == "pack"));
        let mut sizes: Vec<(u64, String)> = packs
            .map(|e| {
                (
                    e.metadata().unwrap().len(),
                    e.file_name().to_string_lossy().into_owned(),
                )
            })
            .collect();
        sizes.sort();
        (sizes.len(), sizes.pop().unwrap().1)
    };
    // git counts objects: more of them than all pushes bring.
    let names: Vec<String> = (0..1000).map(|number| format!("file{number}")).collect();
    let noise = super::noise(2_000_000);
    let files = names.iter().zip(noise.chunks(2000));
    let first: Vec<Change> = files.map(|(name, bytes)| Change::File(name, bytes)).collect();
    let mut tip = origin.commit("main", "first", &first);
    let mut joined = Vec::new();
    for round in 0..120_u32 {
        tip = origin.commit("main", "push", &[Change::File("a", round.to_string().as_bytes())]);
        world.fetch(&remote, "main").await.unwrap();
        let before = largest();
        world.git.keep(&mirror, &[id(&tip)], &world.cancel).await.unwrap();
        let after = largest();
        assert!(after.0 <= 50, "{after:?}");
        if after.0 < before.0 {
            joined.push((before.1, after.1));
        }
    }
    // All of it the first time, the small ones from then on.
    assert!(joined.len() > 1, "{joined:?}");
    assert!(joined[1..].iter().all(|(before, after)| before == after), "{joined:?}");
    world.checkout(&remote, &id(&tip), "live").await.unwrap();
    assert_eq!(read(&world.path("live/a")), "119");
}

#[tokio::test]
async fn a_spare_worker_serves_the_next_call_and_ends_with_its_git() {
    let mut world = World::new();
    let wrapper = world.path("counting");
    let script = format!(
        "#!/bin/sh\necho $$ >>{}\nexec {} \"$@\"\n",
        world.path("started").display(),
        super::HOOKD
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.git.program = wrapper;
    world.git = world.git.clone().ahead();
    let started = || fs::read_to_string(world.path("started")).unwrap_or_default();
    let origin = world.origin("blog.git");
    let head = origin.commit("main", "x", &[Change::File("a", b"a")]);
    let remote = access(&origin.file_url());
    for calls in 1..=3 {
        assert_eq!(world.fetch(&remote, "main").await.unwrap().commit, id(&head));
        // One for each call, and one that waits.
        wait_until("the next worker waits", || started().lines().count() == calls + 1);
        tokio::task::yield_now().await;
    }
    let spare = started().lines().last().unwrap().to_owned();
    let process = std::path::PathBuf::from(format!("/proc/{spare}"));
    assert!(process.exists());
    // One that is gone is replaced.
    let killed = nix::unistd::Pid::from_raw(spare.parse().unwrap());
    nix::sys::signal::kill(killed, nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("it is dead", || {
        let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
        !state.contains(") S ") && !state.contains(") R ") && !state.contains(") D ")
    });
    assert_eq!(world.fetch(&remote, "main").await.unwrap().commit, id(&head));
    wait_until("the next worker waits", || started().lines().count() == 6);
}

#[tokio::test]
async fn nothing_fetched_is_said_plainly() {
    let world = World::new();
    let some = id(&"1".repeat(40));
    let error = world
        .git
        .contains(&world.mirror(), &some, &some, &world.cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, GitErrorKind::RefMissing, "{error}");
}

#[tokio::test]
async fn a_mirror_of_a_local_remote_that_is_damaged_is_made_anew_too() {
    let world = World::new();
    let origin = world.origin("blog.git");
    let local = access(&origin.file_url());
    let mirror = world.mirror();
    let first = |directory: &str, extension: &str| {
        let entries = fs::read_dir(mirror.join(directory)).unwrap().flatten();
        let mut paths = entries.map(|entry| entry.path());
        paths
            .find(|path| extension.is_empty() || path.extension().is_some_and(|e| e == extension))
            .unwrap()
    };
    let flip = |path: std::path::PathBuf| {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..].iter_mut().take(8).for_each(|byte| *byte ^= 0xff);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    let damages: [(&str, &dyn Fn()); 11] = [
        ("an empty HEAD", &|| fs::write(mirror.join("HEAD"), "").unwrap()),
        ("garbage in HEAD", &|| {
            fs::write(mirror.join("HEAD"), [0; 4096]).unwrap();
        }),
        ("an empty configuration", &|| {
            fs::write(mirror.join("config"), "[core\0").unwrap();
        }),
        ("an empty tip", &|| fs::write(first("refs/hookd/tip", ""), "").unwrap()),
        ("flipped bits in a pack", &|| flip(first("objects/pack", "pack"))),
        ("flipped bits in an index", &|| flip(first("objects/pack", "idx"))),
        ("an empty pack", &|| {
            fs::write(first("objects/pack", "pack"), "").unwrap();
        }),
        ("no objects", &|| fs::remove_dir_all(mirror.join("objects")).unwrap()),
        ("a file for the refs", &|| {
            fs::remove_dir_all(mirror.join("refs")).unwrap();
            fs::write(mirror.join("refs"), "").unwrap();
        }),
        ("a file for the mirror", &|| {
            fs::remove_dir_all(&mirror).unwrap();
            fs::write(&mirror, "").unwrap();
        }),
        ("a link to nothing for the mirror", &|| {
            fs::remove_dir_all(&mirror).unwrap();
            std::os::unix::fs::symlink("nothing", &mirror).unwrap();
        }),
    ];
    let mut text = String::from("text\n");
    for (damage, make) in damages {
        text.push_str(damage);
        origin.commit("main", damage, &[Change::File("a", text.as_bytes())]);
        world.fetch(&local, "main").await.unwrap();
        make();
        text.push('.');
        let commit = origin.commit("main", damage, &[Change::File("a", text.as_bytes())]);
        let mut fetched = world.fetch(&local, "main").await;
        if let Err(error) = &fetched {
            assert_eq!(error.kind, GitErrorKind::Corrupt, "{damage}: {error}");
            fetched = world.fetch(&local, "main").await;
        }
        assert_eq!(fetched.unwrap().commit, id(&commit), "{damage}");
        let release = world.path("release");
        if let Err(error) = world.checkout(&local, &id(&commit), "release").await {
            // Damage that no fetch needs to see is found by whoever reads it, and the next attempt begins anew.
            assert_eq!(error.kind, GitErrorKind::Corrupt, "{damage}: {error}");
            fs::remove_dir_all(&release).unwrap();
            world.fetch(&local, "main").await.unwrap();
            world.checkout(&local, &id(&commit), "release").await.unwrap();
        }
        assert_eq!(read(&release.join("a")), text, "{damage}");
        fs::remove_dir_all(release).unwrap();
    }
    // Damage at the remote is not ours, and no reason to fetch everything again.
    let marker = mirror.join("untouched");
    fs::write(&marker, "").unwrap();
    fs::remove_dir_all(origin.path.join("objects")).unwrap();
    assert_eq!(
        world.fetch(&local, "main").await.unwrap_err().kind,
        GitErrorKind::NotFound
    );
    assert!(marker.exists());
}
