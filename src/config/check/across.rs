//! Checks across tables: two targets in one directory, an unauthenticated repo on a public address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::config::paths::real;
use crate::config::problems::Problems;
use crate::config::source::{At, Place};
use crate::config::value::Listen;

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
    for (_, path, here) in &targets {
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
    }
    for (later, earlier) in overlapping(targets.iter().map(|(_, _, real)| real.as_path())) {
        let ((id, path, here), (other, first, there)) = (&targets[later], &targets[earlier]);
        let relation = match (here.starts_with(there), there.starts_with(here)) {
            (true, true) => "is also that of",
            (true, false) => "lies inside that of",
            _ => "encloses that of",
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

/// Which of these are or contain each other, as pairs of indices, the larger one first, sorted. Thousands are looked at in their number,
/// not in its square.
fn overlapping<'a>(paths: impl Iterator<Item = &'a Path> + Clone) -> BTreeSet<(usize, usize)> {
    let mut by_path: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (number, path) in paths.clone().enumerate() {
        by_path.entry(path).or_default().push(number);
    }
    let above = |path: &'a Path| path.ancestors().filter_map(|above| by_path.get(above)).flatten();
    let pairs = paths
        .enumerate()
        .flat_map(|(number, path)| above(path).map(move |other| (number, *other)));
    let different = pairs.filter(|(one, other)| one != other);
    different.map(|(one, other)| (one.max(other), one.min(other))).collect()
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
    let mut known: HashMap<String, &str> = HashMap::new();
    for (repo, name) in &seen.full_names {
        let first = known.entry(name.value.to_ascii_lowercase()).or_insert(repo);
        if *first != repo {
            let message = format!("`{repo}` and `{first}` have the same full name, `{}`", name.value);
            let hint = format!("`POST /hook` can't tell them apart; `POST /hook/{repo}` can");
            problems.warning(name.place, message, hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_that_overlap_are_found(paths in prop::collection::vec("(/[ab]{1,2}){1,4}", 0..12)) {
            let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
            let mut pairs = BTreeSet::new();
            for (later, here) in paths.iter().enumerate() {
                for (earlier, there) in paths[..later].iter().enumerate() {
                    if here.starts_with(there) || there.starts_with(here) {
                        pairs.insert((later, earlier));
                    }
                }
            }
            prop_assert_eq!(overlapping(paths.iter().copied()), pairs);
        }
    }
}
