//! Releases that are made of the one before, or of a spare copy of it, whatever people, programs and builds did to those: the
//! same commit written from git alone is the oracle.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hookd::git::{CheckedOut, Reuse, Worth};
use hookd::model::CommitId;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::support::git_server::{Change, Origin};
use super::{World, access, id};

/// What a name is: its mode, what is in it, and its modification time.
type Shot = BTreeMap<PathBuf, (u32, Vec<u8>, SystemTime)>;

fn shot(root: &Path) -> Shot {
    let (mut found, mut open) = (Shot::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        let is = fs::symlink_metadata(&path).unwrap();
        let content = if is.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if is.is_symlink() {
            fs::read_link(&path).unwrap().to_str().unwrap().into()
        } else {
            fs::read(&path).unwrap()
        };
        let below = path.strip_prefix(root).unwrap().to_owned();
        found.insert(below, (is.mode(), content, is.modified().unwrap()));
    }
    found
}

/// Names, modes and contents, without times.
pub(super) fn essence(root: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let entries = shot(root).into_iter();
    entries
        .map(|(path, (mode, content, _))| (path, (mode, text(content))))
        .collect()
}

/// Where the manifest of a release is.
fn manifest_of(release: &Path) -> PathBuf {
    release.with_extension("manifest")
}

/// A target whose releases are made one after the other.
pub(super) struct Site {
    pub world: World,
    pub origin: Origin,
    pub releases: Vec<PathBuf>,
}

impl Site {
    fn below(place: &Path) -> Self {
        let world = World::below(place);
        let origin = world.origin("blog.git");
        fs::create_dir(world.path("releases")).unwrap();
        fs::write(world.path("outside"), "somebody else's").unwrap();
        Self {
            world,
            origin,
            releases: Vec::new(),
        }
    }

    pub(super) fn spare(&self) -> PathBuf {
        self.world.path("releases/spare")
    }

    /// What there is for the next release.
    fn reuse(&self) -> Reuse {
        let next = self.world.path(&format!("releases/{}", self.releases.len()));
        Reuse {
            previous: self.releases.last().cloned(),
            previous_manifest: self.releases.last().map(|release| manifest_of(release)),
            spare: Some(self.spare()),
            volume_least: Some(0),
            manifest: Some(manifest_of(&next)),
            owner: None,
        }
    }

    async fn fetch(&self) -> CommitId {
        let remote = access(&self.origin.file_url());
        self.world.fetch(&remote, "main").await.unwrap().commit
    }

    async fn write(&self, commit: &CommitId, to: &Path, reuse: &Reuse) -> CheckedOut {
        let (world, remote) = (&self.world, access(&self.origin.file_url()));
        let (mirror, options) = (world.mirror(), world.options());
        world
            .git
            .checkout(&remote, &mirror, commit, to, &options, reuse, &world.cancel, |_| {})
            .await
            .unwrap()
    }

    /// The next release, of what was pushed last.
    pub(super) async fn deploy(&mut self) -> CheckedOut {
        let commit = self.fetch().await;
        let release = self.world.path(&format!("releases/{}", self.releases.len()));
        let done = self.write(&commit, &release, &self.reuse()).await;
        assert!(!self.spare().exists(), "a spare is used or thrown away");
        self.releases.push(release);
        done
    }

    /// What the newest release has to be.
    pub(super) async fn oracle(&self) -> PathBuf {
        let oracle = self.world.path("oracle");
        if oracle.exists() {
            fs::remove_dir_all(&oracle).unwrap();
        }
        self.write(&self.fetch().await, &oracle, &Reuse::default()).await;
        oracle
    }

    pub(super) async fn make_spare(&self) -> bool {
        self.make_spare_of(u64::MAX).await
    }

    /// If the release has no more bytes than `most`, or takes none.
    async fn make_spare_of(&self, most: u64) -> bool {
        let (live, world) = (self.releases.last().unwrap(), &self.world);
        let staging = world.path("releases/staging");
        let worth = Worth { least: 0, most };
        let (manifest, spare) = (manifest_of(live), self.spare());
        world
            .git
            .make_spare(live, &manifest, &staging, &spare, worth, &world.cancel)
            .await
            .unwrap()
    }
}

/// After this, files that are changed get another ctime than those that were made before.
pub(super) fn tick(directory: &Path) {
    let probe = |name: &str| {
        let path = directory.join(name);
        fs::write(&path, "").unwrap();
        let found = fs::metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (found.ctime(), found.ctime_nsec())
    };
    let before = probe("tick");
    while probe("tick") == before {}
}

/// Paths that commits have: some stand in others' places.
const PATHS: [&str; 9] = [
    "index.html",
    "a/page",
    "a/b/page",
    "a/b/c",
    "a",
    "run",
    "a-b/page",
    "d/e/f/g",
    "d/e",
];

/// What is pushed.
#[derive(Debug, Clone)]
enum Push {
    File(usize, u8),
    Program(usize, u8),
    Link(usize, u8),
    Delete(usize),
}

/// What others do to a release. Those that can keep size and modification time.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write,
    Append,
    Truncate,
    Chmod,
    Touch,
    WriteByAnotherName,
    RenameOver,
    Remove,
    LinkInPlace,
    Add,
    SetId,
    DirectoryBecomesLink,
    MakeImmutable,
}

fn acts() -> impl Strategy<Value = Act> {
    prop::sample::select(vec![
        Act::Write,
        Act::Append,
        Act::Truncate,
        Act::Chmod,
        Act::Touch,
        Act::WriteByAnotherName,
        Act::RenameOver,
        Act::Remove,
        Act::LinkInPlace,
        Act::Add,
        Act::SetId,
        Act::DirectoryBecomesLink,
        Act::MakeImmutable,
    ])
}

fn pushes() -> impl Strategy<Value = Push> {
    let path = 0..PATHS.len();
    prop_oneof![
        4 => (path.clone(), 0_u8..4).prop_map(|(path, text)| Push::File(path, text)),
        1 => (path.clone(), 0_u8..4).prop_map(|(path, text)| Push::Program(path, text)),
        1 => (path.clone(), 0_u8..4).prop_map(|(path, text)| Push::Link(path, text)),
        1 => path.prop_map(Push::Delete),
    ]
}

/// One round: what is pushed, whether a spare is made of the release, and what is done to which of the trees then.
#[derive(Debug, Clone)]
struct Round {
    pushes: Vec<Push>,
    spare: bool,
    acts: Vec<(Act, usize, usize)>,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let acts = prop::collection::vec((acts(), any::<usize>(), any::<usize>()), 0..5);
    let round = (prop::collection::vec(pushes(), 1..6), any::<bool>(), acts);
    let round = round.prop_map(|(pushes, spare, acts)| Round { pushes, spare, acts });
    prop::collection::vec(round, 2..5)
}

fn push(origin: &Origin, pushes: &[Push]) {
    let texts: Vec<String> = (0..4).map(|text| format!("content {text}\n").repeat(5)).collect();
    let changes: Vec<Change<'_>> = pushes
        .iter()
        .map(|push| match *push {
            Push::File(path, text) => Change::File(PATHS[path], texts[usize::from(text)].as_bytes()),
            Push::Program(path, text) => Change::Program(PATHS[path], texts[usize::from(text)].as_bytes()),
            Push::Link(path, text) => Change::Link(PATHS[path], ["run", "../outside", "/etc", "a"][usize::from(text)]),
            Push::Delete(path) => Change::Delete(PATHS[path]),
        })
        .collect();
    origin.commit("main", "x", &changes);
}

fn keep_time(path: &Path, work: impl FnOnce()) {
    let before = fs::metadata(path).unwrap();
    work();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
}

/// As many other bytes.
pub(super) fn flipped(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap().iter().map(|byte| byte ^ 1).collect()
}

/// Writes without opening the file anew by its name.
pub(super) fn write_in_place(path: &Path, bytes: &[u8]) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

fn do_to(act: Act, tree: &Path, which: usize, site: &World) {
    let all: Vec<PathBuf> = shot(tree).into_keys().map(|path| tree.join(path)).collect();
    let is = |path: &PathBuf| fs::symlink_metadata(path).unwrap();
    let files: Vec<&PathBuf> = all.iter().filter(|path| is(path).is_file()).collect();
    let directories: Vec<&PathBuf> = all.iter().filter(|path| is(path).is_dir() && *path != tree).collect();
    let file = (!files.is_empty()).then(|| files[which % files.len()]);
    // A file gets no name in another subvolume.
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let is_volume = device(tree) != device(site.dir.path());
    let beside = if is_volume { tree } else { site.dir.path() };
    let aside = beside.join(format!("aside{which}"));
    match (act, file) {
        (Act::Write, Some(file)) => keep_time(file, || write_in_place(file, &flipped(file))),
        (Act::Append, Some(file)) => File::options()
            .append(true)
            .open(file)
            .unwrap()
            .write_all(b"more")
            .unwrap(),
        (Act::Truncate, Some(file)) => File::options().write(true).open(file).unwrap().set_len(1).unwrap(),
        (Act::Chmod, Some(file)) => fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap(),
        (Act::SetId, Some(file)) => fs::set_permissions(file, fs::Permissions::from_mode(0o4755)).unwrap(),
        (Act::Touch, Some(file)) => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        (Act::WriteByAnotherName, Some(file)) if !aside.exists() => {
            fs::hard_link(file, &aside).unwrap();
            keep_time(&aside, || write_in_place(&aside, &flipped(file)));
        }
        (Act::RenameOver, Some(file)) if !aside.exists() => {
            let before = is(file);
            fs::write(&aside, flipped(file)).unwrap();
            fs::set_permissions(&aside, before.permissions()).unwrap();
            File::open(&aside)
                .unwrap()
                .set_modified(before.modified().unwrap())
                .unwrap();
            fs::rename(&aside, file).unwrap();
        }
        (Act::Remove, Some(file)) => fs::remove_file(file).unwrap(),
        (Act::LinkInPlace, Some(file)) => {
            fs::remove_file(file).unwrap();
            symlink(site.path("outside"), file).unwrap();
        }
        // It may be there, and a link by now.
        (Act::Add, _) if tree.join("foreign").symlink_metadata().is_err() => {
            fs::write(tree.join("foreign"), "nobody's").unwrap();
        }
        (Act::MakeImmutable, Some(file)) => {
            // Not every file system has the bit, nor every user the right.
            let run = |flag| std::process::Command::new("chattr").arg(flag).arg(file).output();
            drop((run("+i"), run("-i")));
        }
        (Act::DirectoryBecomesLink, _) if !directories.is_empty() && !aside.exists() => {
            let directory = directories[which % directories.len()];
            fs::rename(directory, &aside).unwrap();
            for name in shot(&aside).into_keys().filter(|name| is(&aside.join(name)).is_file()) {
                let bytes = flipped(&aside.join(&name));
                keep_time(&aside.join(&name), || write_in_place(&aside.join(&name), &bytes));
            }
            symlink(&aside, directory).unwrap();
        }
        _ => {}
    }
}

async fn run(rounds: Vec<Round>, place: &Path) {
    let mut site = Site::below(place);
    site.origin
        .commit("main", "first", &[Change::File("always", b"there\n")]);
    for round in rounds {
        push(&site.origin, &round.pushes);
        let before: Vec<Shot> = site.releases.iter().map(|release| shot(release)).collect();
        site.deploy().await;
        let oracle = site.oracle().await;
        assert_eq!(essence(site.releases.last().unwrap()), essence(&oracle));
        for (release, before) in site.releases.iter().zip(before) {
            assert_eq!(shot(release), before, "another release has changed");
        }
        if round.spare {
            tick(&site.world.path("releases"));
            assert!(site.make_spare().await);
        }
        let spare = site.spare().join("tree");
        let mut trees: Vec<&Path> = site.releases.iter().map(PathBuf::as_path).collect();
        trees.extend(spare.exists().then_some(spare.as_path()));
        for (act, tree, file) in round.acts {
            do_to(act, trees[trees.len() - 1 - tree % trees.len()], file, &site.world);
        }
        // What was done stays what was done: hookd never writes into a release.
        assert_eq!(
            fs::read_to_string(site.world.path("outside")).unwrap(),
            "somebody else's"
        );
    }
}

#[test]
fn whatever_was_done_to_others_a_release_is_what_git_has() {
    try_rounds(&std::env::temp_dir());
}

/// Makes releases of a few random histories below a directory.
pub(super) fn try_rounds(place: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let tested = TestRunner::new(config).run(&rounds(), |rounds| {
        let mut told = Ok(());
        let shown = format!("{rounds:?}");
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run(rounds, place))));
        if failed.is_err() {
            told = Err(TestCaseError::fail(shown));
        }
        told
    });
    tested.unwrap();
}

/// Fills a site with files, and deploys it.
async fn filled(count: usize) -> Site {
    filled_below(&std::env::temp_dir(), count).await
}

pub(super) async fn filled_below(place: &Path, count: usize) -> Site {
    let mut site = Site::below(place);
    let names: Vec<String> = (0..count)
        .map(|number| format!("d{}/page{number}", number % 7))
        .collect();
    let text = "a page\n".repeat(3000);
    let changes: Vec<Change<'_>> = names
        .iter()
        .map(|name| Change::File(name, text.as_bytes()))
        .chain([
            Change::Program("bin/run", b"#!/bin/sh\n"),
            Change::Link("link", "bin/run"),
        ])
        .collect();
    site.origin.commit("main", "x", &changes);
    site.deploy().await;
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in shot(&site.releases[0]).into_keys() {
        let path = site.releases[0].join(name);
        if fs::symlink_metadata(&path).unwrap().is_file() {
            File::open(&path).unwrap().set_modified(then).unwrap();
        }
    }
    // The times are those of the release before: this one has them, and a manifest that holds.
    site.origin
        .commit("main", "y", &[Change::File("d0/page0", b"changed\n")]);
    site.deploy().await;
    tick(&site.world.path("releases"));
    site
}

fn is_of_then(path: &Path) -> bool {
    fs::metadata(path).unwrap().mtime() == 1_000_000_000
}

#[tokio::test]
async fn unchanged_files_are_copied_and_keep_their_times() {
    let mut site = filled(300).await;
    site.origin.commit(
        "main",
        "z",
        &[Change::File("d1/page1", b"changed\n"), Change::Delete("d2/page2")],
    );
    let done = site.deploy().await;
    // Files of the tick in which a release was finished are taken from git; how many those are depends on the kernel.
    assert!(done.reused > 0, "{done:?}");
    assert_eq!(done.files, 301);
    let live = site.releases.last().unwrap();
    assert!(is_of_then(&live.join("d3/page3")) && is_of_then(&live.join("bin/run")));
    assert!(!is_of_then(&live.join("d1/page1")) && !live.join("d2/page2").exists());
    assert_eq!(essence(live), essence(&site.oracle().await));
}

#[tokio::test]
async fn a_spare_becomes_the_next_release() {
    let mut site = filled(300).await;
    assert!(site.make_spare().await);
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    let page = inode(site.spare().join("tree/d3/page3"));
    let private = fs::metadata(site.spare()).unwrap().mode() & 0o777;
    assert_eq!(private, 0o700, "nobody else gets at a spare");
    let changes = [
        Change::File("d1/page1", b"changed\n"),
        Change::File("new/deep/page", b"new\n"),
        Change::Delete("d2/page2"),
        Change::Delete("link"),
        Change::File("link/is/a/directory", b"now\n"),
    ];
    site.origin.commit("main", "z", &changes);
    let done = site.deploy().await;
    assert_eq!(done.files - done.reused, 3, "{done:?}");
    let live = site.releases.last().unwrap();
    assert_eq!(inode(live.join("d3/page3")), page);
    assert!(is_of_then(&live.join("d3/page3")) && !is_of_then(&live.join("d1/page1")));
    assert_eq!(essence(live), essence(&site.oracle().await));
    // The one after it is made of that manifest.
    site.origin.commit("main", "z", &[Change::File("d1/page1", b"again\n")]);
    tick(&site.world.path("releases"));
    assert!(site.make_spare().await);
    let done = site.deploy().await;
    assert_eq!(done.files - done.reused, 1, "{done:?}");
}

#[tokio::test]
async fn a_spare_for_which_there_is_no_room_leaves_nothing() {
    let site = filled(10).await;
    assert!(!site.make_spare_of(1).await);
    assert!(!site.spare().exists() && !site.world.path("releases/staging").exists());
    assert!(site.make_spare().await);
}

#[tokio::test]
async fn what_was_written_in_the_live_release_gets_no_old_time() {
    let mut site = filled(300).await;
    assert!(site.make_spare().await);
    let live = site.releases.last().unwrap().clone();
    let (changed, touched) = (live.join("d3/page3"), live.join("d4/page4"));
    write_in_place(&changed, &flipped(&changed));
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_100_000_000);
    File::open(&touched).unwrap().set_modified(later).unwrap();
    site.origin
        .commit("main", "z", &[Change::File("d1/page1", b"changed\n")]);
    let done = site.deploy().await;
    assert_eq!(done.files - done.reused, 1, "{done:?}");
    let live = site.releases.last().unwrap();
    assert!(
        !is_of_then(&live.join("d3/page3")),
        "its content is new to whoever saw the page"
    );
    assert_eq!(fs::metadata(live.join("d4/page4")).unwrap().mtime(), 1_100_000_000);
    assert_eq!(essence(live), essence(&site.oracle().await));
}

#[tokio::test]
async fn a_writer_at_the_same_time_leaves_no_trace() {
    let site = filled(120).await;
    let stop = AtomicBool::new(false);
    let live = site.releases.last().unwrap().clone();
    let pages: Vec<PathBuf> = (10..110)
        .map(|number| live.join(format!("d{}/page{number}", number % 7)))
        .collect();
    let oracle = site.oracle().await;
    let truth = fs::read(&pages[0]).unwrap();
    let write = || {
        let bytes = flipped(&pages[0]);
        while !stop.load(Ordering::Relaxed) {
            for page in &pages {
                keep_time(page, || write_in_place(page, &bytes));
                keep_time(page, || write_in_place(page, &truth));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        // Another thread: this one has a runtime that waits for it.
        let made = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let rounds = (0..10).map(|round| {
                let (to, commit) = (
                    site.world.path(&format!("releases/race{round}")),
                    site.origin.resolve("refs/heads/main"),
                );
                let reuse = Reuse {
                    manifest: None,
                    spare: None,
                    ..site.reuse()
                };
                runtime.block_on(site.write(&id(&commit.unwrap()), &to, &reuse));
                essence(&to) == essence(&oracle)
            });
            rounds.collect::<Vec<bool>>()
        });
        let made = made.join();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(made.unwrap(), [true; 10]);
    });
}

#[tokio::test]
async fn a_damaged_manifest_is_none() {
    let mut site = filled(50).await;
    let manifest = manifest_of(site.releases.last().unwrap());
    let mut bytes = fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    assert!(!site.make_spare().await);
    site.origin
        .commit("main", "z", &[Change::File("d1/page1", b"changed\n")]);
    let done = site.deploy().await;
    assert_eq!(done.reused, 0);
    let live = site.releases.last().unwrap();
    assert!(is_of_then(&live.join("d3/page3")), "times are kept by the content");
    assert_eq!(essence(live), essence(&site.oracle().await));
}
