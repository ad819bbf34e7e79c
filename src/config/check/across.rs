//! Checks across tables: two targets in one directory, an unauthenticated repo on a public address.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::paths::real;
use crate::config::problems::Problems;
use crate::config::source::{At, Place};
use crate::config::types::Listen;

/// What was read, with its places, whether or not the rest of its table was right.
#[derive(Default)]
pub(super) struct Seen {
    /// `listen`, as far as it is given.
    pub listeners: Vec<At<Listen>>,
    /// `repo/target` and its `path`.
    pub targets: Vec<(String, At<PathBuf>)>,
    /// Where `insecure-none` stands.
    pub insecure: Vec<Place>,
    /// Keys whose values can be judged only on the machine.
    pub places: BTreeMap<String, Vec<Place>>,
    /// Repos by their full name.
    pub full_names: Vec<(String, At<String>)>,
}

impl Seen {
    /// Notes where the values of a key stand.
    pub fn note<'a>(&mut self, key: &str, values: impl IntoIterator<Item = At<&'a str>>) {
        let places = values.into_iter().map(|at| at.place).collect();
        self.places.insert(key.to_owned(), places);
    }
}

pub(super) fn judge(seen: &Seen, state_dir: &Path, problems: &Problems) {
    paths(seen, state_dir, problems);
    open_listeners(seen, problems);
    full_names(seen, problems);
}

fn paths(seen: &Seen, state_dir: &Path, problems: &Problems) {
    // In the order of the files: of two that clash, the later one is complained about.
    let mut targets: Vec<_> = seen
        .targets
        .iter()
        .map(|(id, path)| (id, path, real(&path.value)))
        .collect();
    targets.sort_by_key(|(_, path, _)| path.place);
    let real_state = real(state_dir);
    for (number, (id, path, here)) in targets.iter().enumerate() {
        if here.starts_with(&real_state) || real_state.starts_with(here) {
            let message = format!(
                "`path` and `state_dir` ({}) must not contain each other",
                state_dir.display()
            );
            problems.error(
                path.place,
                message,
                "give the target a directory of its own, /srv/NAME say",
            );
        }
        for (other, first, there) in &targets[..number] {
            let relation = match (here.starts_with(there), there.starts_with(here)) {
                (true, true) => "is also that of",
                (true, false) => "lies inside that of",
                (false, true) => "encloses that of",
                (false, false) => continue,
            };
            let by_links = if *here == path.value && *there == first.value {
                String::new()
            } else {
                format!(", by links: {}", here.display())
            };
            let message = format!(
                "the `path` of {id} {relation} {other} ({}){by_links}",
                problems.line_of(first.place)
            );
            problems.error(path.place, message, "two targets can't share a directory");
        }
    }
}

fn open_listeners(seen: &Seen, problems: &Problems) {
    let open = seen.listeners.iter().find_map(|listener| match &listener.value {
        Listen::Tcp(address) if !address.ip().is_loopback() => Some((address, listener.place)),
        _ => None,
    });
    for place in &seen.insecure {
        if let Some((address, listener)) = open {
            let message = format!(
                "`insecure-none` on {address}, which others can reach ({})",
                problems.line_of(listener)
            );
            let hint = "give the repo a secret, or listen on 127.0.0.1 or a unix socket only";
            problems.error(*place, message, hint);
        } else {
            let message = "`insecure-none`: whoever reaches the listener can start this repo's deployments";
            problems.warning(*place, message, None);
        }
    }
}

fn full_names(seen: &Seen, problems: &Problems) {
    for (number, (repo, name)) in seen.full_names.iter().enumerate() {
        let same = |other: &&(String, At<String>)| other.1.value.eq_ignore_ascii_case(&name.value);
        if let Some((first, _)) = seen.full_names[..number].iter().find(same) {
            let message = format!("`{repo}` and `{first}` have the same full name, `{}`", name.value);
            let hint = format!("`POST /hook` can't tell them apart; `POST /hook/{repo}` can");
            problems.warning(name.place, message, hint);
        }
    }
}
