//! What single tables can't know: two targets in one place, an open repo on an open address.

use std::path::{Path, PathBuf};

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
    /// Repos by their full name.
    pub full_names: Vec<(String, At<String>)>,
}

pub(super) fn judge(seen: &Seen, state_dir: &Path, problems: &Problems) {
    paths(seen, state_dir, problems);
    open_listeners(seen, problems);
    full_names(seen, problems);
}

fn paths(seen: &Seen, state_dir: &Path, problems: &Problems) {
    // In the order of the files: of two that clash, the later one is complained about.
    let mut targets: Vec<_> = seen.targets.iter().collect();
    targets.sort_by_key(|(_, path)| path.place);
    for (number, (id, path)) in targets.iter().enumerate() {
        if path.value.starts_with(state_dir) || state_dir.starts_with(&path.value) {
            let message = format!(
                "`path` and `state_dir` ({}) lie one inside the other",
                state_dir.display()
            );
            problems.error(
                path.place,
                message,
                "give the target a directory of its own, /srv/NAME say".to_owned(),
            );
        }
        for (other, first) in &targets[..number] {
            let relation = match (
                path.value.starts_with(&first.value),
                first.value.starts_with(&path.value),
            ) {
                (true, true) => "is also that of",
                (true, false) => "lies inside that of",
                (false, true) => "encloses that of",
                (false, false) => continue,
            };
            let message = format!(
                "the `path` of {id} {relation} {other} ({})",
                problems.line_of(first.place)
            );
            problems.error(path.place, message, "two targets can't share a directory".to_owned());
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
            problems.error(*place, message, hint.to_owned());
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
            let message = format!("`{repo}` and `{first}` have one full name, `{}`", name.value);
            let hint = format!("`POST /hook` can't tell them apart; `POST /hook/{repo}` can");
            problems.warning(name.place, message, hint);
        }
    }
}
