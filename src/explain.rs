//! What would this delivery do, and why: everything that `hookd explain` says, without doing any of it.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

use crate::config::{Config, ForgeKind, Repo, SecretSource, Secrets};
use crate::forge::{self, Delivery, Parsed, Rejection, Trust};
use crate::model::{CommitId, Event, Timestamp, short_commit};
use crate::rules::{self, Verdict};

pub use crate::api::{Came, ExplainedCondition, ExplainedEvent, ExplainedVerdict, Explanation};

/// Explains a delivery. `forge` is what the caller says it is; `config` adds the signature and the verdicts of the repos that
/// have the payload's full name.
pub fn explain(
    headers: &HeaderMap,
    body: &[u8],
    forge: Option<ForgeKind>,
    config: Option<(&Config, &Secrets)>,
    now: Timestamp,
) -> Explanation {
    // A repo that speaks `generic` cannot be told from the payload: its pointers are tried where it is the caller's wish.
    let pointers = config
        .and_then(|(config, _)| {
            config
                .repos
                .values()
                .find(|repo| repo.forge == Some(ForgeKind::Generic))
        })
        .filter(|_| forge == Some(ForgeKind::Generic))
        .map(|repo| &repo.generic);
    let forge = forge.or_else(|| configured_forge(headers, body, config?.0));
    let parsed = match forge::parse_unverified(headers, body, forge, pointers) {
        Ok(parsed) => parsed,
        Err(error) => return not_understood(headers, forge, error.to_string()),
    };
    let (signature, verdicts) = match config {
        Some((config, secrets)) => by_configuration(headers, body, &parsed, config, secrets, now),
        None => (not_checked("no configuration was given"), Vec::new()),
    };
    Explanation {
        came: None,
        forge: Some(parsed.forge.as_str().into()),
        delivery: parsed.delivery.as_ref().map(ToString::to_string),
        events: parsed.events.iter().map(explained).collect(),
        event: Some(parsed.event),
        signature: signature.0.into(),
        signature_reason: signature.1,
        verdicts: verdicts.into_iter().map(explained_verdict).collect(),
        error: None,
    }
}

/// Explains a stored delivery: its signature was right when it came in, and only the repo that it was stored for is asked.
pub fn explain_stored(
    headers: &HeaderMap,
    body: &[u8],
    forge: Option<ForgeKind>,
    repo: Option<&Repo>,
    came: Came,
) -> Explanation {
    let parsed = match forge::parse_unverified(headers, body, forge, repo.map(|repo| &repo.generic)) {
        Ok(parsed) => parsed,
        Err(error) => {
            return Explanation {
                came: Some(came),
                ..not_understood(headers, forge, error.to_string())
            };
        }
    };
    let is_open = repo.is_some_and(|repo| repo.secret.contains(&SecretSource::InsecureNone));
    let (signature, why) = if is_open {
        ("not checked", "the repo has `insecure-none`")
    } else {
        ("valid", "checked when it came in")
    };
    Explanation {
        came: Some(came),
        forge: Some(parsed.forge.as_str().into()),
        delivery: parsed.delivery.as_ref().map(ToString::to_string),
        events: parsed.events.iter().map(explained).collect(),
        signature: signature.into(),
        signature_reason: Some(why.to_owned()),
        verdicts: repo
            .map(|repo| rules::judge(repo, &parsed))
            .unwrap_or_default()
            .into_iter()
            .map(explained_verdict)
            .collect(),
        event: Some(parsed.event),
        error: None,
    }
}

/// The forge that the configuration gives the repo of this payload, where no header tells better.
fn configured_forge(headers: &HeaderMap, body: &[u8], config: &Config) -> Option<ForgeKind> {
    if forge::detect(headers).is_some() {
        return None;
    }
    let (_, name) = forge::full_name(headers, body)?;
    config.repos.values().find_map(|repo| {
        repo.forge
            .filter(|forge| rules::is_about(repo, *forge, Some(&name), &[]))
    })
}

type Signature = (&'static str, Option<String>);

fn not_checked(why: &str) -> Signature {
    ("not checked", Some(why.to_owned()))
}

fn not_understood(headers: &HeaderMap, forge: Option<ForgeKind>, error: String) -> Explanation {
    Explanation {
        came: None,
        forge: forge
            .or_else(|| forge::detect(headers))
            .map(|forge| forge.as_str().into()),
        delivery: None,
        event: None,
        events: Vec::new(),
        signature: "not checked".into(),
        signature_reason: None,
        verdicts: Vec::new(),
        error: Some(error),
    }
}

fn by_configuration(
    headers: &HeaderMap,
    body: &[u8],
    parsed: &Parsed,
    config: &Config,
    secrets: &Secrets,
    now: Timestamp,
) -> (Signature, Vec<Verdict>) {
    let claimed = parsed.repo.as_ref();
    let is_meant = |repo: &&Arc<Repo>| match claimed {
        Some(_) => rules::concerns(repo, parsed),
        None => parsed.forge.dialect().may_be_unnamed && repo.forge == Some(parsed.forge),
    };
    let repos: Vec<&Arc<Repo>> = config.repos.values().filter(is_meant).collect();
    if repos.is_empty() {
        let why = claimed.map_or_else(
            || "the payload names no repo".to_owned(),
            |claimed| {
                format!(
                    "no repo of the configuration has the full name {}",
                    rules::shown(claimed)
                )
            },
        );
        return (not_checked(&why), Vec::new());
    }
    let delivery = Delivery { headers, body };
    let checked = repos.iter().map(|repo| {
        let keys = secrets.webhook.get(&repo.name).map_or(&[][..], Vec::as_slice);
        signature(&delivery, &Trust::of(repo, keys, now))
    });
    // Several repos of one name: the one that knows the secret speaks for them.
    let signature = checked.reduce(|best, next| if best.0 == "valid" { best } else { next });
    let verdicts = repos.iter().flat_map(|repo| rules::judge(repo, parsed)).collect();
    (
        signature.unwrap_or_else(|| not_checked("there is nothing to check with")),
        verdicts,
    )
}

fn signature(delivery: &Delivery<'_>, trust: &Trust<'_>) -> Signature {
    if trust.is_open() {
        return not_checked("the repo has `insecure-none`");
    }
    match forge::verify(delivery, trust) {
        Ok(_) => ("valid", None),
        Err(reason @ (Rejection::Missing | Rejection::Empty)) => ("missing", Some(reason.to_string())),
        Err(reason) => ("invalid", Some(reason.to_string())),
    }
}

fn explained(event: &Event) -> ExplainedEvent {
    let (before, after) = (event.before.as_ref(), event.after.as_ref());
    // As long as the other end, for the 64 digits of SHA-256 repositories.
    let or_zeros = |id: Option<&CommitId>, other: Option<&CommitId>| match (id, other) {
        (Some(id), _) => id.to_string(),
        (None, Some(other)) => "0".repeat(other.as_str().len()),
        (None, None) => CommitId::zero().to_string(),
    };
    ExplainedEvent {
        kind: event.kind.as_str().into(),
        name: event.name.clone(),
        action: event.action.as_str().to_owned(),
        repo: event.repo.clone(),
        git_ref: event.git_ref.clone(),
        before: or_zeros(before, after),
        after: or_zeros(after, before),
        forced: event.forced,
    }
}

fn explained_verdict(verdict: Verdict) -> ExplainedVerdict {
    ExplainedVerdict {
        target: verdict.target.to_string(),
        verdict: verdict.word().into(),
        reason: verdict.reason,
        conditions: verdict
            .conditions
            .into_iter()
            .map(|c| ExplainedCondition {
                name: c.name.into(),
                passed: c.passed,
                detail: c.detail,
            })
            .collect(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, text: &str| writeln!(f, "{name:<10} {text}");
        if let Some(came) = &self.came {
            let at = Timestamp(came.received_at);
            let text = format!("{at} from {}: {}, {}", came.remote_addr, came.result, came.reason);
            row(f, "came in", &text)?;
        }
        row(f, "forge", self.forge.as_deref().unwrap_or("unknown"))?;
        if let Some(error) = &self.error {
            return row(f, "error", error);
        }
        if let Some(id) = &self.delivery {
            row(f, "delivery", id)?;
        }
        match &self.signature_reason {
            Some(reason) => row(f, "signature", &format!("{}: {reason}", self.signature))?,
            None => row(f, "signature", &self.signature)?,
        }
        for event in &self.events {
            row(f, "event", &event.to_string())?;
        }
        if self.events.is_empty() {
            row(f, "event", "nothing happened: the delivery lists no change")?;
        }
        for verdict in &self.verdicts {
            row(
                f,
                "verdict",
                &format!("{}: {}, {}", verdict.target, verdict.verdict, verdict.reason),
            )?;
            for condition in &verdict.conditions {
                let mark = if condition.passed { '✓' } else { '✗' };
                writeln!(f, "{:<10} {mark} {}: {}", "", condition.name, condition.detail)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({} {})",
            rules::shown(&self.name),
            self.kind,
            rules::shown(&self.action)
        )?;
        if let Some(git_ref) = &self.git_ref {
            write!(f, " {}", rules::shown(git_ref))?;
        }
        if let Some(repo) = &self.repo {
            write!(f, " of {}", rules::shown(repo))?;
        }
        let said = |id: &str| id.bytes().any(|b| b != b'0');
        let short = |id: &str| {
            if said(id) {
                short_commit(id).to_owned()
            } else {
                "none".to_owned()
            }
        };
        if said(&self.before) || said(&self.after) {
            write!(f, ", {} → {}", short(&self.before), short(&self.after))?;
        }
        if self.forced == Some(true) {
            f.write_str(", forced")?;
        }
        Ok(())
    }
}
