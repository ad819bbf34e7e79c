//! The addresses that forges publish as those of their webhooks: fetched, refreshed daily, and kept on disk for when the
//! forge's API is away.
//!
//! Until the addresses of a forge are known, no sender counts as that forge: deliveries are answered 503 and the poll finds the pushes.
//! Known addresses stay in force however old they are, and their age is shown.

pub mod read;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock;
use crate::config::{AllowFrom, Config, Published, Repo};
use crate::model::{Locked, Timestamp};
use crate::web;
use crate::worker::Settings;

/// How often the ranges are fetched: forges announce changes days ahead.
const REFRESH: Duration = Duration::from_hours(24);

/// First pause after a failed fetch, and the longest one; it doubles.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_hours(1));

/// All pauses are longer by up to this part of themselves, so that not all machines ask at the same moment.
const JITTER: f64 = 0.2;

/// Longest fetch.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer, bytes: GitHub's is about half a megabyte, most of it the ranges of its runners.
const ANSWER_MAX: usize = 8 << 20;

/// Age from which on a person is told that the ranges could not be refreshed.
const OLD: Duration = Duration::from_hours(3 * 24);

/// Whether an address is one of a forge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The forge's addresses are not known yet.
    NotKnown,
}

/// The ranges of a forge, as they are kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    /// Where they come from; ranges from elsewhere are not believed.
    source: String,
    /// When they were fetched, milliseconds since the epoch.
    fetched_at: i64,
    networks: Vec<IpNet>,
}

/// What is known of one forge.
#[derive(Debug, Default)]
struct Entry {
    known: Option<Known>,
    /// Why the last fetch failed.
    error: Option<String>,
    /// Failed fetches in a row.
    failures: u32,
    /// When it is fetched next; none: now.
    next: Option<Timestamp>,
}

/// The ranges of all forges that the configuration names; clones share them.
#[derive(Clone)]
pub struct Ranges {
    directory: PathBuf,
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

/// The ranges that repos ask for, each once.
fn asked_for(config: &Config) -> Vec<&Published> {
    let mut all: BTreeMap<&str, &Published> = BTreeMap::new();
    for repo in config.repos.values() {
        all.extend(of_repo(repo).map(|published| (published.name.as_str(), published)));
    }
    all.into_values().collect()
}

fn of_repo(repo: &Repo) -> impl Iterator<Item = &Published> {
    repo.allow_from.iter().filter_map(|allowed| match allowed {
        AllowFrom::Published(published) => Some(published),
        AllowFrom::Net(_) => None,
    })
}

impl Ranges {
    /// What was kept in the state directory.
    pub fn open(config: &Config) -> Self {
        let ranges = Self {
            directory: config.state_dir.join("ranges"),
            entries: Arc::default(),
        };
        ranges.take_up(config);
        ranges
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    /// Reads from disk what the configuration asks for and is not known yet.
    fn take_up(&self, config: &Config) {
        for published in asked_for(config) {
            let Some(url) = &published.url else { continue };
            let mut entries = self.entries.locked();
            let entry = entries.entry(published.name.clone()).or_default();
            if entry
                .known
                .as_ref()
                .is_some_and(|known| known.source != web::shown(url))
            {
                *entry = Entry::default();
            }
            if entry.known.is_some() {
                continue;
            }
            entry.known = read_kept(&self.file(&published.name)).filter(|known| known.source == web::shown(url));
            entry.next = entry
                .known
                .as_ref()
                .map(|known| Timestamp(known.fetched_at).after(REFRESH));
        }
    }

    /// Whether an address is one that this forge publishes.
    pub fn has(&self, published: &Published, address: IpAddr) -> Member {
        let member = |is: bool| if is { Member::Yes } else { Member::No };
        if published.url.is_none() {
            let mut networks = read::GITLAB.iter().filter_map(|net| net.parse::<IpNet>().ok());
            return member(networks.any(|net| net.contains(&address)));
        }
        let entries = self.entries.locked();
        let known = entries.get(&published.name).and_then(|entry| entry.known.as_ref());
        known.map_or(Member::NotKnown, |known| {
            member(known.networks.iter().any(|net| net.contains(&address)))
        })
    }

    /// What a person must know.
    pub fn warnings(&self, config: &Config) -> Vec<String> {
        let entries = self.entries.locked();
        let mut warnings = Vec::new();
        for repo in config.repos.values() {
            for published in of_repo(repo).filter(|published| published.url.is_some()) {
                let entry = entries.get(&published.name);
                let error = entry
                    .and_then(|entry| entry.error.as_deref())
                    .unwrap_or("they are being fetched");
                let (name, repo_name) = (&published.name, &repo.name);
                match entry.and_then(|entry| entry.known.as_ref()) {
                    None => warnings.push(format!(
                        "the addresses of {name} are NOT KNOWN YET ({error}): deliveries to {repo_name} are answered 503, {}",
                        until_then(repo)
                    )),
                    Some(known) if Timestamp(known.fetched_at).after(OLD) < clock::now() => warnings.push(format!(
                        "the addresses of {name}, which {repo_name} allows, are those of {}: {error}",
                        Timestamp(known.fetched_at)
                    )),
                    Some(_) => {}
                }
            }
        }
        warnings
    }

    /// Keeps the ranges fresh, for ever.
    pub async fn run(self, mut settings: watch::Receiver<Settings>) {
        loop {
            let config = Arc::clone(&settings.borrow_and_update().config);
            self.take_up(&config);
            for published in asked_for(&config) {
                if self.is_due(published) {
                    self.refresh(published).await;
                }
            }
            let wait = self.next(&config).map(|time| time.since(clock::now()));
            let timer = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                changed = settings.changed() => match changed {
                    Ok(()) => self.ask_again(),
                    Err(_) => return,
                },
            }
        }
    }

    /// After a reload, what is not known is asked for at once: a person may have mended just that.
    fn ask_again(&self) {
        for entry in self.entries.locked().values_mut().filter(|entry| entry.known.is_none()) {
            entry.next = None;
        }
    }

    fn is_due(&self, published: &Published) -> bool {
        let due = |entry: &Entry| entry.next.is_none_or(|next| next <= clock::now());
        published.url.is_some() && self.entries.locked().get(&published.name).is_none_or(due)
    }

    /// When the next fetch is due.
    fn next(&self, config: &Config) -> Option<Timestamp> {
        let entries = self.entries.locked();
        let of = |published: &Published| entries.get(&published.name)?.next;
        asked_for(config).into_iter().filter_map(of).min()
    }

    async fn refresh(&self, published: &Published) {
        let Some(url) = &published.url else { return };
        let fetched = fetch(published, url).await;
        if let Ok(known) = &fetched
            && let Err(error) = keep(&self.file(&published.name), known)
        {
            tracing::warn!("the addresses of {} could not be kept: {error}", published.name);
        }
        let mut entries = self.entries.locked();
        let entry = entries.entry(published.name.clone()).or_default();
        let pause = match fetched {
            Ok(known) => {
                tracing::info!("{} publishes {} networks", published.name, known.networks.len());
                *entry = Entry {
                    known: Some(known),
                    ..Entry::default()
                };
                REFRESH
            }
            Err(error) => {
                // Said once, not at every try.
                if entry.error.as_ref() != Some(&error) {
                    tracing::warn!("the addresses of {} could not be fetched: {error}", published.name);
                }
                entry.error = Some(error);
                entry.failures += 1;
                RETRY
                    .0
                    .saturating_mul(2_u32.saturating_pow(entry.failures - 1))
                    .min(RETRY.1)
            }
        };
        let part = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
        entry.next = Some(clock::now().after(pause.mul_f64(1.0 + JITTER * part)));
    }
}

/// What becomes of pushes while deliveries are refused.
fn until_then(repo: &Repo) -> &'static str {
    if repo.poll.is_some() {
        "and the poll finds its pushes until then"
    } else {
        "and with `poll = \"off\"` NOTHING finds its pushes until then"
    }
}

async fn fetch(published: &Published, url: &url::Url) -> Result<Known, String> {
    let accept = [("accept".to_owned(), "application/json".to_owned())];
    let shown = web::shown(url);
    let answer = web::fetch(url, &accept, ANSWER_MAX, TIMEOUT).await;
    let answer = answer.map_err(|e| format!("{shown}: {e}"))?;
    if answer.status != 200 {
        return Err(format!("{shown}: answered {}", answer.status));
    }
    let networks = read::read(published.kind, &answer.body).map_err(|e| format!("{shown}: {e}"))?;
    Ok(Known {
        source: shown,
        fetched_at: clock::now().0,
        networks,
    })
}

/// What was kept; `None` if there is nothing, or nothing that can be believed.
fn read_kept(file: &Path) -> Option<Known> {
    let known: Known = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    read::plausible(known.networks.clone()).ok()?;
    Some(known)
}

/// Whole or not at all.
fn keep(file: &Path, known: &Known) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let new = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(new.as_file(), known)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}
