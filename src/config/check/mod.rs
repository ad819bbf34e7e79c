//! From the merged tree to a [`Config`]: each table in its own file, then the checks across tables.

mod across;
mod apis;
mod command;
mod http;
mod limits;
mod listener;
mod notify;
mod repo;
mod repo_options;
mod server;
mod source_of_secret;
mod table;
mod target;
mod target_options;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::problems::Problems;
use super::raw::Table;
use super::section::Section;
use super::source::Place;
use super::types::{Config, Places};
use super::{Environment, keys};
use across::Seen;
pub use limits::Limits;
pub use repo_options::RepoOptions;
pub use target_options::TargetOptions;

/// The configuration. It holds defaults in the place of what was wrong, so it counts only if `problems` has no errors.
pub(super) fn config(file: &Path, table: &Table, environment: Environment, problems: &Problems) -> Config {
    let root = Section::root(table, problems);
    let mut seen = Seen::default();
    let server = server::read(&root, environment, &mut seen);
    let (notify_names, notify) = notify::channels(&root);
    let forges = apis::forges(&root, &mut seen);
    let defaults = root.sub(keys::DEFAULTS, keys::DEFAULTS);
    if let Some(defaults) = &defaults {
        // Even with nobody to take them, they must hold.
        RepoOptions::read(defaults, &forges);
        TargetOptions::read(defaults, &notify_names);
        target::tags(defaults, Vec::new());
    }
    let mut repos = BTreeMap::new();
    for (name, section) in root.tables("repo", "repo.NAME", defaults.as_ref().map(|d| d.table)) {
        if let Some(repo) = repo::read(name, &section, &notify_names, &forges, server.proxy.as_ref(), &mut seen) {
            repos.insert(repo.name.clone(), Arc::new(repo));
        }
    }
    across::judge(&seen, &server.state_dir, problems);
    let shown = |places: Vec<Place>| places.into_iter().map(|place| problems.at(place)).collect();
    let places = seen.places.into_iter().map(|(key, places)| (key, shown(places)));
    Config {
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        listen: server.listen,
        state_dir: server.state_dir,
        control: server.control,
        max_jobs: server.max_jobs,
        limits: server.limits,
        http: server.http,
        repos,
        notify,
        forges,
        places: Places(places.collect()),
    }
}
