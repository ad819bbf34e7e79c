//! The keys of `[repo.NAME]` that `[defaults]` may give, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::listener::network;
use super::table::table;
use crate::config::forges::{ForgeApi, Reporting};
use crate::config::published;
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::value::{AllowFrom, Lfs, Published};

/// All `[forge.NAME]`.
pub(super) type Forges = BTreeMap<String, ForgeApi>;

table! {
    /// The keys of a repo that `[defaults]` may give, too. A [`Repo`](crate::config::Repo) has them as its own.
    #[derive(Debug, Clone)]
    pub RepoOptions["repo.NAME"](s, forges: &Forges = &Forges::new()) {
        /// `poll`; none is `"off"`.
        poll: Option<Duration> = poll(s),
        /// `ssh_key`
        ssh_key: Option<PathBuf> = s.path("ssh_key").map(|at| at.value),
        /// `known_hosts`; default: `STATE_DIR/known_hosts` and `/etc/ssh/ssh_known_hosts`.
        known_hosts: Option<PathBuf> = s.path("known_hosts").map(|at| at.value),
        /// `ca_file`: PEM file of authorities that an https remote may have, besides the system's.
        ca_file: Option<PathBuf> = s.path("ca_file").map(|at| at.value),
        /// `submodule_hosts`: hosts and networks that submodules may name although they are private.
        submodule_hosts: Vec<String> = s.each("submodule_hosts", |text| submodule_host(s, text)),
        /// `allow_from`; empty: everybody.
        allow_from: Vec<AllowFrom> = s.each("allow_from", |text| allow_from(s, text, forges)),
        /// `allow_sha1`: take GitHub's legacy `X-Hub-Signature: sha1=…`.
        allow_sha1: bool = s.boolean("allow_sha1"),
        /// `timestamp_tolerance`: how old a signed time stamp may be (5 min).
        timestamp_tolerance: Duration = s.duration("timestamp_tolerance"),
        /// `submodules` (default true)
        submodules: bool = s.boolean("submodules"),
        /// `depth` of fetches; 0 is full history (default 0).
        depth: u32 = s.small("depth"),
        /// `lfs`: whether a commit with LFS pointer files is refused.
        refuse_lfs: bool = s.choice::<Lfs>("lfs") == Lfs::Refuse,
        /// `report`: what the forge is told; none is the default, the status where there is a token.
        report: Option<Vec<Reporting>> = report(s),
    }
}

/// `None` if it is not given: then the status is reported where there is a token.
fn report(section: &Section) -> Option<Vec<Reporting>> {
    if section.is_word("report", "off") {
        return Some(Vec::new());
    }
    let given = section.each("report", |text| section.chosen("report", text));
    (!given.is_empty()).then_some(given)
}

fn poll(section: &Section) -> Option<Duration> {
    if section.is_word("poll", "off") {
        return None;
    }
    Some(section.duration("poll"))
}

fn allow_from(section: &Section, text: At<&str>, forges: &Forges) -> Option<AllowFrom> {
    if text.value.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.value.contains(':') {
        published_ranges(section, text, forges).map(AllowFrom::Published)
    } else {
        network(section, "allow_from", text).map(AllowFrom::Net)
    }
}

/// The name of a host, an address, or a network.
fn submodule_host(section: &Section, text: At<&str>) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !text.value.bytes().all(plain) {
        network(section, "submodule_hosts", text)?;
    }
    Some(text.value.to_ascii_lowercase())
}

/// The forge whose published ranges `allow_from` names: a `[forge.NAME]`, or the forge itself.
fn published_ranges(section: &Section, text: At<&str>, forges: &BTreeMap<String, ForgeApi>) -> Option<Published> {
    let api = forges.get(text.value);
    let kind = match api {
        Some(api) => api.kind,
        None => section.chosen("allow_from", text)?,
    };
    let found = published::find(text.value, kind, api);
    found
        .map_err(|reason| {
            let hint = "write its networks, such as \"192.0.2.0/24\"".to_owned();
            section.wrong(text.place, format!("`allow_from`: {reason}"), hint);
        })
        .ok()
}
