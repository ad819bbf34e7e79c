//! Talking to a remote: what refs it has, and fetching some of them.

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use git2::{
    AutotagOption, CertificateCheckStatus, Direction, FetchOptions, FetchPrune, Progress as Transfer, RemoteCallbacks,
    Repository,
};

use super::address::Address;
use super::credentials::{Wallet, stop};
use super::known_hosts::{HostKey, KnownHosts};
use super::mirror::init_bare;
use super::program::Program;
use super::reach::Reach;
use super::report::Reporter;
use super::spec::{Advertised, Spec};
use super::transport::{self, CONNECT, Server, Trouble};
use super::wire::RemoteSpec;
use super::{GitError, GitErrorKind, Progress, ProgressPhase};
use crate::config::Transport;
use crate::model::{Locked, words};
use crate::web::line::{Line, look_up};

/// Most branches or tags that are compared with one that is not there.
const COMPARED_MAX: usize = 1000;

/// Most branches or tags that a message names.
const NAMED_MAX: usize = 8;

/// Most of the name of one that is shown, characters.
const NAME_SHOWN: usize = 80;

/// One remote, ready to be asked.
pub(super) struct Remote<'a> {
    pub(super) spec: RemoteSpec,
    pub(super) address: Address,
    pub(super) scratch: &'a Path,
    pub(super) reporter: &'a Reporter,
    silence: Duration,
    reach: Option<Arc<Reach>>,
    line: OnceCell<Arc<Line>>,
}

impl<'a> Remote<'a> {
    pub(super) fn new(
        spec: RemoteSpec,
        scratch: &'a Path,
        reporter: &'a Reporter,
        silence: Duration,
    ) -> Result<Self, GitError> {
        let address = Address::parse(&spec.url).ok_or_else(|| {
            GitError::new(
                GitErrorKind::Unsupported,
                "the remote's URL is not of a kind that hookd supports",
            )
            .hint("use https://…, ssh://…, user@host:path or an absolute path")
        })?;
        Ok(Self {
            spec,
            address,
            scratch,
            reporter,
            silence,
            reach: None,
            line: OnceCell::new(),
        })
    }

    /// The remote of a submodule, whose addresses may be out of reach.
    pub(super) fn submodule(&self, spec: RemoteSpec, reach: Option<Reach>) -> Result<Self, GitError> {
        Ok(Self {
            reach: reach.map(Arc::new),
            ..Self::new(spec, self.scratch, self.reporter, self.silence)?
        })
    }

    fn program(&self) -> Option<Program> {
        (self.address.transport == Transport::Local)
            .then(Program::find)
            .flatten()
    }

    /// All refs.
    pub(super) fn list(&self) -> Result<Vec<Advertised>, GitError> {
        if let Some(git) = self.program() {
            return git.list(&self.spec.url);
        }
        let place = self.scratch.join("list.git");
        let repo = init_bare(&place).map_err(|e| GitError::from_git2(&e, "making a scratch repository"))?;
        self.connected(&repo, "asking", |remote, callbacks| {
            let connection = remote.connect_auth(Direction::Fetch, Some(callbacks), None)?;
            Ok(advertised(connection.list()?))
        })
    }

    /// The key that the ssh server shows. The connection ends there, before anything is shown to the server.
    pub(super) fn host_key(&self) -> Result<HostKey, GitError> {
        let repo = init_bare(&self.scratch.join("list.git"));
        let repo = repo.map_err(|e| GitError::from_git2(&e, "making a scratch repository"))?;
        let seen = RefCell::new(None);
        let mut callbacks = RemoteCallbacks::new();
        callbacks.certificate_check(|certificate, _| {
            let key = certificate.as_hostkey().and_then(git2::cert::CertHostkey::hostkey);
            *seen.borrow_mut() = key.map(|key| HostKey::new(&self.address.host, self.address.port, key));
            Err(stop())
        });
        let asked = repo
            .remote_anonymous(self.spec.url.as_str())
            .and_then(|mut remote| remote.connect_auth(Direction::Fetch, Some(callbacks), None).map(|_| ()));
        match (seen.take(), asked) {
            (Some(key), _) => Ok(key),
            (None, Err(error)) => Err(GitError::from_git2(&error, &format!("asking {}", self.redacted_url()))),
            (None, Ok(())) => Err(GitError::new(GitErrorKind::HostKey, "the server shows no ssh host key")),
        }
    }

    /// Fetches `specs` into the bare repository `into`. Fails with `RefMissing` if the remote lacks one of them.
    pub(super) fn download(&self, into: &Path, specs: &[Spec], depth: u32) -> Result<(), GitError> {
        if let Some(git) = self.program() {
            let fetched = git.fetch(into, &self.spec.url, specs, depth, self.reporter);
            return fetched.map_err(|error| match specs {
                [only] if error.kind == GitErrorKind::RefMissing => {
                    self.missing(only, &self.list().unwrap_or_default())
                }
                _ => error,
            });
        }
        let repo = super::mirror::open(into)?;
        // libgit2's local transport can't do shallow fetches; there is no wire to spare either.
        let depth = if self.address.transport == Transport::Local {
            0
        } else {
            i32::try_from(depth).unwrap_or(i32::MAX)
        };
        let listed = self.connected(&repo, "fetching", |remote, callbacks| {
            let mut options = FetchOptions::new();
            options
                .remote_callbacks(callbacks)
                .depth(depth)
                .prune(FetchPrune::Off)
                .download_tags(AutotagOption::None)
                .update_fetchhead(false);
            let refspecs: Vec<String> = specs.iter().map(Spec::refspec).collect();
            remote.fetch(&refspecs, Some(&mut options), None)?;
            Ok(advertised(remote.list()?))
        })?;
        // libgit2 fetches nothing, and says nothing, for a ref that isn't there.
        let names: HashSet<&str> = listed.iter().map(|a| a.name.as_str()).collect();
        let is_there = |spec: &&Spec| !spec.from.starts_with("refs/") || names.contains(spec.from.as_str());
        match specs.iter().find(|spec| !is_there(spec)) {
            None => Ok(()),
            Some(lacking) => Err(self.missing(lacking, &listed)),
        }
    }

    /// Says that a ref is not there, and what else of its kind is.
    fn missing(&self, spec: &Spec, listed: &[Advertised]) -> GitError {
        let message = format!("{} does not exist in {}", spec.from, self.redacted_url());
        let error = GitError::new(GitErrorKind::RefMissing, message);
        let kinds = [("refs/heads/", "branches"), ("refs/tags/", "tags")];
        let Some((prefix, kind)) = kinds.iter().find(|(prefix, _)| spec.from.starts_with(prefix)) else {
            return error;
        };
        let names = listed.iter().filter_map(|a| a.name.strip_prefix(prefix));
        let names = names.filter(|name| !name.ends_with("^{}")).collect();
        match existing(&spec.from[prefix.len()..], names) {
            Some(names) => error.hint(format!("its {kind}: {names}")),
            None => error.hint(format!("it has no {kind}")),
        }
    }

    /// Runs `work` with an anonymous remote; of two errors, the callbacks' and libgit2's, the first says what happened.
    fn connected<T>(
        &self,
        repo: &Repository,
        doing: &str,
        work: impl FnOnce(&mut git2::Remote<'_>, RemoteCallbacks<'_>) -> Result<T, git2::Error>,
    ) -> Result<T, GitError> {
        let doing = format!("{doing} {}", self.redacted_url());
        let pinned = self.pinned(&doing).map_err(|error| self.scrubbed(error))?;
        let (url, address) = pinned
            .as_ref()
            .map_or((self.spec.url.as_str(), &self.address), |(url, at)| (url, at));
        let hosts = self.known_hosts(address)?;
        let trouble = Trouble::default();
        let wallet = Wallet::new(&self.spec, address);
        let callbacks = self.callbacks(&wallet, hosts.as_ref(), &trouble);
        let call = || {
            let mut remote = repo.remote_anonymous(url)?;
            work(&mut remote, callbacks)
        };
        let outcome = match self.address.transport {
            Transport::Http | Transport::Https => transport::with(self.server(&trouble, &doing)?, call),
            Transport::Ssh | Transport::Local => call(),
        };
        outcome.map_err(|error| {
            let told = trouble.locked().take();
            self.scrubbed(told.unwrap_or_else(|| GitError::from_git2(&error, &doing)))
        })
    }

    fn server(&self, trouble: &Trouble, doing: &str) -> Result<Arc<Server>, GitError> {
        if self.line.get().is_none() {
            let line = transport::line(&self.spec, self.reach.clone(), self.silence)?;
            let _ = self.line.set(line);
        }
        let line = self.line.get().cloned();
        Ok(Arc::new(Server {
            line: line.ok_or_else(|| GitError::new(GitErrorKind::Other, "no connection"))?,
            spec: self.spec.clone(),
            address: self.address.clone(),
            trouble: Arc::clone(trouble),
            doing: doing.to_owned(),
            state: Mutex::default(),
        }))
    }

    /// The URL and address of an ssh submodule by number: libssh2 would look its name up again, after it was judged.
    fn pinned(&self, doing: &str) -> Result<Option<(String, Address)>, GitError> {
        let Some(reach) = self.reach.as_ref().filter(|_| self.address.transport == Transport::Ssh) else {
            return Ok(None);
        };
        let Address { host, port, .. } = &self.address;
        let found = look_up(host, *port).map_err(|error| {
            let message = format!("{doing}: failed to resolve address for {host}: {error}");
            GitError::new(GitErrorKind::Connect, message)
        })?;
        reach.require(host, &found)?;
        // Of several, one that answers; libssh2 tells why none does.
        let answers = |at: &&SocketAddr| TcpStream::connect_timeout(at, CONNECT.min(self.silence)).is_ok();
        let chosen = if found.len() > 1 {
            found.iter().find(answers)
        } else {
            None
        };
        let Some(chosen) = chosen.or(found.first()) else {
            return Err(GitError::new(
                GitErrorKind::Connect,
                format!("{doing}: {host} has no address"),
            ));
        };
        let pinned = self.address.by_number(&self.spec.url, chosen.ip());
        Ok(pinned.and_then(|url| Some((url.clone(), Address::parse(&url)?))))
    }

    fn callbacks<'c>(
        &'c self,
        wallet: &'c Wallet<'c>,
        hosts: Option<&'c KnownHosts>,
        trouble: &'c Trouble,
    ) -> RemoteCallbacks<'c> {
        let keep = move |error: GitError| transport::keep(trouble, error);
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(move |url, user, allowed| wallet.give(url, user, allowed).map_err(keep));
        callbacks.certificate_check(move |certificate, _| match (certificate.as_hostkey(), hosts) {
            (Some(shown), Some(hosts)) => match shown.hostkey() {
                Some(key) => hosts
                    .check(key)
                    .map(|()| CertificateCheckStatus::CertificateOk)
                    .map_err(keep),
                None => Err(keep(GitError::new(
                    GitErrorKind::HostKey,
                    "the ssh server shows no host key",
                ))),
            },
            _ => Ok(CertificateCheckStatus::CertificatePassthrough),
        });
        let reporter = self.reporter;
        callbacks.transfer_progress(move |transfer| {
            reporter.progress(progress(&transfer));
            true
        });
        callbacks.sideband_progress(move |_| {
            reporter.progress(Progress {
                phase: ProgressPhase::Counting,
                done: 0,
                total: 0,
                bytes: 0,
            });
            true
        });
        callbacks
    }

    /// The keys of an ssh host; also laid down where libgit2 looks which key type to ask the server for.
    fn known_hosts(&self, at: &Address) -> Result<Option<KnownHosts>, GitError> {
        if self.address.transport != Transport::Ssh {
            return Ok(None);
        }
        let hosts = KnownHosts::read(&self.spec.known_hosts, &self.address.host, self.address.port)?;
        let directory = self.scratch.join(".ssh");
        let file = directory.join("known_hosts");
        std::fs::create_dir_all(&directory)
            .and_then(|()| std::fs::write(&file, hosts.plain_lines(&at.host, at.port)))
            .map_err(|e| GitError::disk(&file, &e))?;
        Ok(Some(hosts))
    }

    /// The URL without user and password.
    fn redacted_url(&self) -> String {
        redacted(&self.spec.url)
    }

    /// Texts of libgit2 and of servers may quote anything.
    fn scrubbed(&self, mut error: GitError) -> GitError {
        error.message = error.message.replace(self.spec.url.as_str(), &self.redacted_url());
        if let Some(proxy) = &self.spec.proxy {
            error.message = error.message.replace(proxy.as_str(), &redacted(proxy));
            if let Some(password) = url::Url::parse(proxy).ok().as_ref().and_then(url::Url::password) {
                error.message = error.message.replace(password, "…");
            }
        }
        if let Some(token) = &self.spec.token {
            let secret = token.rsplit_once(':').map_or(token.as_str(), |(_, secret)| secret);
            if !secret.is_empty() {
                error.message = error.message.replace(secret, "…");
            }
        }
        error
    }
}

/// The names that are there, the most similar to `wanted` first: as many as fit a line that a person reads.
fn existing(wanted: &str, mut names: Vec<&str>) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let count = names.len();
    names.truncate(COMPARED_MAX);
    names.sort_by_cached_key(|name| {
        let same = wanted.eq_ignore_ascii_case(name) || ["main", "master"].contains(name);
        (!same, strsim::osa_distance(wanted, name.get(..100).unwrap_or(name)))
    });
    let shown: Vec<String> = names
        .iter()
        .take(NAMED_MAX)
        .map(|name| words::shown(name, NAME_SHOWN))
        .collect();
    let more = count.saturating_sub(NAMED_MAX);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(shown.join(", ") + &more)
}

/// A URL without what stands before an `@` in its authority.
pub(super) fn redacted(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => url.to_owned(),
    }
}

/// Refs whose names are not UTF-8 can't be configured, so they are passed over; git2 0.21 panics on them.
fn advertised(heads: &[git2::RemoteHead<'_>]) -> Vec<Advertised> {
    let name = |head: &git2::RemoteHead<'_>| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| head.name().to_owned())).ok()
    };
    heads
        .iter()
        .filter_map(|head| {
            Some(Advertised {
                name: name(head)?,
                id: head.oid().to_string(),
            })
        })
        .collect()
}

fn progress(transfer: &Transfer<'_>) -> Progress {
    let count = |n: usize| n as u64;
    let bytes = count(transfer.received_bytes());
    let (phase, done, total) = if transfer.received_objects() < transfer.total_objects() || transfer.total_deltas() == 0
    {
        (
            ProgressPhase::Receiving,
            transfer.received_objects(),
            transfer.total_objects(),
        )
    } else {
        (
            ProgressPhase::Resolving,
            transfer.indexed_deltas(),
            transfer.total_deltas(),
        )
    };
    Progress {
        phase,
        done: count(done),
        total: count(total),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn urls_are_shown_without_their_user() {
        assert_eq!(redacted("https://u:p@h/a@b"), "https://h/a@b");
        assert_eq!(redacted("https://h/a"), "https://h/a");
        assert_eq!(redacted("git@h:a"), "git@h:a");
    }
}
