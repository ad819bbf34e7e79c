//! The key of an ssh remote's host: known already, published by the forge, or accepted by a person.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::options::Add;
use crate::cli::output::Failure;
use crate::config::{Config, Repo, Secrets};
use crate::deploy::access;
use crate::git::{self, Access, Git};
use crate::setup::Place;

pub(super) fn git() -> Git {
    // A person waits.
    Git::new("/proc/self/exe".into(), Duration::from_secs(20), Duration::from_mins(1))
}

/// The key of the remote's host, if it is not known yet and is accepted: the line, and what is told of it.
pub(super) async fn host_key(
    config: &Config,
    repo: &Repo,
    place: &Place,
    options: &Add,
    json: bool,
) -> Result<Option<(String, String)>, Failure> {
    let mut access: Access = access(config, &Secrets::default(), repo);
    access.known_hosts.push(place.known_hosts(&repo.name));
    let trouble =
        |error: git::GitError| Failure::failed(format!("{}: {}", repo.remote.url, error.message)).hint(error.hint);
    if git::is_known(&access).map_err(trouble)? {
        return Ok(None);
    }
    let key = git()
        .host_key(&access, &CancellationToken::new())
        .await
        .map_err(trouble)?;
    let host = access.host.as_deref().unwrap_or_default();
    let published = git::published_fingerprints(host);
    let print = &key.fingerprint;
    let told = if published.contains(&print.as_str()) {
        format!("{print}, as {host} publishes it")
    } else if !published.is_empty() {
        return Err(Failure::failed(format!(
            "{host} shows the host key {print}, which it does not publish"
        ))
        .cause(format!("it publishes {}", published.join(", ")))
        .hint("somebody intercepts the connection, or the forge has a new key: read its page before anything else".to_owned()));
    } else {
        accept(host, print, options, json)?;
        format!("{print}, as you said")
    };
    Ok(Some((format!("{}\n", key.line), told)))
}

/// A host key that nobody publishes is taken only if a person says so.
fn accept(host: &str, print: &str, options: &Add, json: bool) -> Result<(), Failure> {
    let refused = |message: String| Err(Failure::failed(message));
    match &options.accept_host_key {
        Some(expected) if expected == print => return Ok(()),
        Some(expected) => return refused(format!("{host} shows the host key {print}, and not {expected}")),
        None => {}
    }
    if json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return refused(format!(
            "{host} shows the host key {print}, and nobody has confirmed it"
        ))
        .map_err(|failure| {
            failure.hint(format!(
                "compare it with what the host's owner says, then: --accept-host-key {print}"
            ))
        });
    }
    eprint!("{host} shows the host key {print}.\nIs that what the host's owner says? [y/N] ");
    // Without the question nobody answers; then the answer is no.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    refused("the host key was not accepted; nothing was changed".to_owned())
}
