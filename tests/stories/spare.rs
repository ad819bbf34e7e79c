//! Large sites: a spare copy of the live release waits for the next push, and nobody but hookd notices.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::support::world::{World, names, wait_until};

/// More than are worth a spare, with an `index.html`.
const FILES: usize = 600;

/// Commits a large site and pushes it.
fn publish(world: &World, text: &str) {
    let pages: Vec<(String, String)> = (0..FILES)
        .map(|number| (format!("d{}/page{number}", number % 9), format!("page {number}")))
        .chain([("index.html".to_owned(), text.to_owned())])
        .collect();
    let pages: Vec<(&str, &str)> = pages
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    world.site.commit(&pages);
    world.site.push();
    world.send(&world.pushed());
    world.settled();
}

/// The spare of what is live.
fn spare(world: &World) -> PathBuf {
    let live = world.release().expect("something is live");
    world.seen("live/releases").join(format!(".spare-{live}"))
}

fn wait_for_spare(world: &World) -> PathBuf {
    let spare = spare(world);
    wait_until("a spare copy of what is live", || spare.join("manifest").exists());
    spare
}

fn hidden(world: &World) -> Vec<String> {
    let all = names(&world.seen("live/releases")).into_iter();
    all.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn the_next_release_is_the_spare_and_what_the_push_changes() {
    let world = World::site("");
    publish(&world, "one");
    let spare = wait_for_spare(&world);
    let inode = fs::metadata(spare.join("tree/d3/page3")).unwrap().ino();
    assert!(!world.hookd(&["releases", "site"]).expect(0).out.contains("spare"));
    // What somebody writes into the live release is no part of the next one.
    fs::write(world.seen("live/current/d4/page4"), "mine").unwrap();
    world.deploy("two");
    assert_eq!(world.served(), "two");
    let page = |name: &str| world.seen("live/current").join(name);
    assert_eq!(fs::metadata(page("d3/page3")).unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(page("d4/page4")).unwrap(), "page 4");
    assert!(!spare.exists(), "it is the new release now");
    wait_for_spare(&world);
    assert_eq!(hidden(&world).len(), 1);
}

#[test]
fn pushes_do_not_wait_for_a_spare() {
    let world = World::site("keep = 2");
    publish(&world, "one");
    for text in ["two", "three", "four"] {
        world.deploy(text);
        assert_eq!(world.served(), text);
    }
    wait_for_spare(&world);
    // The two that are kept, and the spare.
    assert_eq!(world.releases().len(), 3);
}

#[test]
fn a_daemon_that_was_killed_sweeps_spares_but_that_of_what_is_live() {
    let mut world = World::site("");
    publish(&world, "one");
    let kept = wait_for_spare(&world);
    world.kill();
    let releases = world.seen("live/releases");
    for half in [".tmp-77.spare/tree/d1", ".spare-20200101T000000Z-1a2b3c4/tree"] {
        fs::create_dir_all(releases.join(half)).unwrap();
        fs::write(releases.join(half).join("page"), "half").unwrap();
    }
    world.start();
    wait_until("the start has swept", || {
        hidden(&world) == [kept.file_name().unwrap().to_str().unwrap()]
    });
    // Killed at any moment, it leaves nothing that the next start does not sweep.
    for text in ["two", "three"] {
        world.deploy(text);
        world.kill();
        world.start();
        world.settled();
        // A spare that is being made again is done in a moment.
        wait_until("what was half made is gone", || {
            hidden(&world).iter().all(|name| !name.starts_with(".tmp-"))
        });
    }
    world.deploy("four");
    assert_eq!(world.served(), "four");
}

#[test]
fn without_spares_there_is_none() {
    let mut world = World::site("spare = false");
    publish(&world, "one");
    world.deploy("two");
    world.stop();
    assert_eq!(hidden(&world), Vec::<String>::new());
}
