//! The way of a delivery from bytes to stored jobs: verify, parse, judge, accept. Knows no HTTP status: the public listener and
//! `replay` call it, and whatever else may bring deliveries.

mod jobs;
mod rejections;
mod replay;

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock;
use crate::config::{AllowFrom, ForgeKind, Repo};
use crate::forge::{self, Delivery, ParseError, Parsed, Trust, Verified};
use crate::logging::About;
use crate::model::{EventKind, GitRef, Secret};
use crate::poll::Poller;
use crate::ranges::{Member, Ranges};
use crate::rules::{self, Verdict};
use crate::store::{Accepted, DeliveryResult, NewDelivery, Source, Store, StoreError};
use crate::worker::{Settings, Worker};

pub use rejections::{Refused, Rejections};
pub use replay::{NotReplayed, Replayed};

/// Takes deliveries in.
pub struct Intake {
    /// Where they are kept.
    store: Store,
    /// Runs their jobs.
    worker: Worker,
    /// Looks at a remote where a delivery is only a hint.
    poller: Poller,
    /// The addresses that forges publish.
    ranges: Ranges,
    /// Deliveries that were not taken.
    pub rejections: Rejections,
}

/// A delivery as it came.
pub struct Arrival<'a> {
    /// The configuration in force.
    pub settings: &'a Settings,
    /// Who sent it.
    pub from: IpAddr,
    /// The repo that it was sent for, by name; none if the payload is to tell.
    pub repo: Option<&'a str>,
    /// Headers and body.
    pub delivery: Delivery<'a>,
    /// Called once the sender has shown that it holds a secret.
    pub authenticated: &'a (dyn Fn() + Sync),
}

/// What became of a delivery.
pub struct Taken {
    /// `accepted`, `ignored`, `pong` or `duplicate`.
    pub word: &'static str,
    /// The repo that it was taken for.
    pub repo: Arc<Repo>,
    /// Its id, the forge's or one made from the body.
    pub delivery: String,
    /// What is stored of it.
    pub accepted: Accepted,
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not shown to come from the forge. The reason is for the journal alone.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The same, of an address that failed too often; it may try again after so many seconds.
    #[error("too many failures from this address")]
    Blocked(u64),
    /// The repo does not allow its address.
    #[error("source address not allowed")]
    Forbidden,
    /// Nobody knows yet whether the repo allows its address.
    #[error("addresses of the forge not known yet")]
    AddressesUnknown,
    /// It is genuine, and no delivery.
    #[error("{0}")]
    Malformed(String),
    /// It could not be stored.
    #[error("a delivery could not be stored: {0}")]
    NotStored(#[from] StoreError),
}

impl Refusal {
    /// The reason's name in the metrics.
    pub fn counted(&self) -> &'static str {
        match self {
            Self::Unauthorized(reason) => reason,
            Self::Blocked(_) => "rate-limit",
            Self::Forbidden => "source address not allowed",
            Self::AddressesUnknown => "addresses of the forge not known yet",
            Self::Malformed(_) => "malformed",
            Self::NotStored(_) => "not-stored",
        }
    }
}

/// What a genuine delivery says, or why hookd can't tell.
struct Said {
    parsed: Parsed,
    not_understood: Option<String>,
}

impl Intake {
    /// An intake that keeps deliveries in `store`.
    pub fn new(store: Store, worker: Worker, poller: Poller, ranges: Ranges) -> Self {
        Self {
            store,
            worker,
            poller,
            ranges,
            rejections: Rejections::default(),
        }
    }

    /// Takes a delivery: on disk, with its jobs, when this returns.
    ///
    /// # Errors
    /// Why it was not taken; it is noted among the rejections.
    pub async fn take(&self, arrival: &Arrival<'_>) -> Result<Taken, Refusal> {
        let taken = async {
            let (repo, verified) = self.verify(arrival)?;
            let said = parse(&verified)?;
            let verdicts = rules::judge(&repo, &said.parsed);
            let taken = self.accept(arrival, repo, &verified, &said, verdicts).await?;
            self.follow_up(arrival, &said, &taken);
            Ok(taken)
        };
        taken.await.inspect_err(|refusal| self.note(arrival, refusal))
    }

    /// Whether the repo allows deliveries from that address.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] or [`Refusal::AddressesUnknown`].
    pub fn admit(&self, repo: &Repo, from: IpAddr) -> Result<(), Refusal> {
        let member = |allowed: &AllowFrom| match allowed {
            AllowFrom::Net(net) if net.contains(&from) => Member::Yes,
            AllowFrom::Net(_) => Member::No,
            AllowFrom::Published(published) => self.ranges.has(published, from),
        };
        let members: Vec<Member> = repo.allow_from.iter().map(member).collect();
        if members.is_empty() || members.contains(&Member::Yes) {
            Ok(())
        } else if members.contains(&Member::NotKnown) {
            Err(Refusal::AddressesUnknown)
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// The first repo whose secret the delivery was signed with, of those that it may be meant for.
    fn verify<'a>(&self, arrival: &Arrival<'a>) -> Result<(Arc<Repo>, Verified<'a>), Refusal> {
        let now = clock::now();
        let mut reason = "unknown repo";
        let candidates = arrival.candidates();
        for repo in &candidates {
            let secrets: &[Secret] = arrival
                .settings
                .secrets
                .webhook
                .get(&repo.name)
                .map_or(&[], Vec::as_slice);
            match forge::verify(&arrival.delivery, &Trust::of(repo, secrets, now)) {
                Ok(verified) => {
                    (arrival.authenticated)();
                    self.admit(repo, arrival.from)?;
                    return Ok((Arc::clone(repo), verified));
                }
                Err(rejection) => reason = rejection.reason(),
            }
        }
        if candidates.is_empty() {
            // The same work as for a repo that exists; nobody's secret never fits.
            if let Err(rejection) = forge::verify(&arrival.delivery, &Trust::nobody(now)) {
                tracing::debug!(reason = rejection.reason(), "unknown repo");
            }
        }
        // What an address signs rightly is taken even if it failed too often: an accepted push is worth more than the work saved.
        let limit = arrival.settings.config.limits.auth_failures;
        Err(match self.rejections.failed(arrival.from, limit) {
            Some(seconds) => Refusal::Blocked(seconds),
            None => Refusal::Unauthorized(reason),
        })
    }

    /// Stores the delivery with the jobs that the verdicts ask for.
    async fn accept(
        &self,
        arrival: &Arrival<'_>,
        repo: Arc<Repo>,
        verified: &Verified<'_>,
        said: &Said,
        verdicts: Vec<Verdict>,
    ) -> Result<Taken, StoreError> {
        let parsed = &said.parsed;
        let ping = parsed.events.iter().any(|event| event.kind == EventKind::Ping);
        let reason = match &said.not_understood {
            _ if ping => "ping".to_owned(),
            Some(why) => why.clone(),
            None => reason(&verdicts),
        };
        let body_sha256 = hex::encode(Sha256::digest(arrival.delivery.body));
        let delivery = match &parsed.delivery {
            Some(id) => id.clone(),
            None => format!("sha256-{}", &body_sha256[..32])
                .parse()
                .map_err(|e| StoreError::Refused(format!("no delivery id: {e}")))?,
        };
        let new = NewDelivery {
            repo: repo.name.to_string(),
            delivery: delivery.clone(),
            forge: forge::word(parsed.forge),
            event: parsed.event.clone(),
            received_at: clock::now(),
            remote_addr: arrival.from.to_string(),
            result: if ping { "pong" } else { "ignored" },
            reason,
            body_sha256,
            headers: serde_json::to_string(&forge::stored_headers(arrival.delivery.headers)).unwrap_or_default(),
            body: arrival.delivery.body.to_vec(),
            jobs: jobs::jobs(&repo, verdicts, Source::Webhook),
            checks: jobs::checks(&repo, rules::noted(&repo, parsed)),
            id_is_unsigned: verified.is_signed() && !matches!(parsed.forge, ForgeKind::Standard) && !ping,
        };
        let accepted = self.store.accept(new).await?;
        let word = match accepted.result {
            DeliveryResult::Accepted => "accepted",
            DeliveryResult::Duplicate => "duplicate",
            DeliveryResult::Ignored if ping => "pong",
            DeliveryResult::Ignored => "ignored",
        };
        Ok(Taken {
            word,
            repo,
            delivery: delivery.to_string(),
            accepted,
        })
    }

    /// What a stored delivery sets in motion. Only hints: the table and the remote are the truth.
    fn follow_up(&self, arrival: &Arrival<'_>, said: &Said, taken: &Taken) {
        let (repo, reason) = (&taken.repo, &taken.accepted.reason);
        About {
            repo: Some(repo.name.as_str()),
            delivery: Some(&taken.delivery),
            remote_addr: Some(&arrival.from.to_string()),
            reason: Some(reason),
            ..About::default()
        }
        .info(format!(
            "{} {} of {}: {reason}",
            taken.word,
            said.parsed.event,
            forge::word(said.parsed.forge),
        ));
        match taken.accepted.result {
            DeliveryResult::Accepted => self.worker.wake(),
            DeliveryResult::Ignored => {
                // It may say of a check what a job waits for.
                self.worker.wake();
                if hints_at_push(repo, &said.parsed) {
                    self.poller.look_soon(&repo.name);
                }
            }
            // The same push may rightly come twice, after one that undid it: the remote knows.
            DeliveryResult::Duplicate => self.poller.look_soon(&repo.name),
        }
    }

    /// Notes a delivery that was not taken.
    fn note(&self, arrival: &Arrival<'_>, refusal: &Refusal) {
        let reason = match refusal {
            Refusal::Blocked(_) => refusal.counted().to_owned(),
            _ => refusal.to_string(),
        };
        if let Refusal::NotStored(error) = refusal {
            About {
                repo: arrival.repo,
                remote_addr: Some(&arrival.from.to_string()),
                reason: Some(&error.to_string()),
                ..About::default()
            }
            .error(reason);
        } else {
            let claimed = match arrival.repo {
                Some(name) => Some(name.to_owned()),
                None => forge::full_name(arrival.delivery.headers, arrival.delivery.body).map(|(_, name)| name),
            };
            let refused = Refused::claiming(claimed.as_deref(), arrival.delivery.headers, &reason);
            self.rejections.note(arrival.from, &refused);
        }
    }
}

impl Arrival<'_> {
    /// The repos that the delivery may be meant for; the secret decides which of them it is.
    fn candidates(&self) -> Vec<Arc<Repo>> {
        let repos = &self.settings.config.repos;
        if let Some(name) = self.repo {
            let repo = name.parse().ok().and_then(|name| repos.get(&name));
            return repo.into_iter().cloned().collect();
        }
        let Some((kind, full_name)) = forge::full_name(self.delivery.headers, self.delivery.body) else {
            return Vec::new();
        };
        let is_meant = |repo: &&Arc<Repo>| rules::same_repo(repo.forge.unwrap_or(kind), &repo.full_name, &full_name);
        repos.values().filter(is_meant).cloned().collect()
    }
}

/// The events of a genuine delivery. One that hookd can't understand has none, and the reason: forges switch hooks off whose
/// genuine deliveries are refused.
fn parse(verified: &Verified<'_>) -> Result<Said, Refusal> {
    match forge::parse(verified) {
        Ok(parsed) => Ok(Said {
            parsed,
            not_understood: None,
        }),
        Err(error @ (ParseError::MalformedJson { .. } | ParseError::MissingEventHeader(_) | ParseError::Empty)) => {
            Err(Refusal::Malformed(error.to_string()))
        }
        Err(error) => Ok(Said {
            parsed: Parsed {
                forge: verified.forge().unwrap_or(ForgeKind::Generic),
                event: String::new(),
                delivery: None,
                events: Vec::new(),
            },
            not_understood: Some(error.to_string()),
        }),
    }
}

/// Each target's verdict in one line.
fn reason(verdicts: &[Verdict]) -> String {
    let told = |verdict: &Verdict| format!("{}: {}", verdict.target, verdict.reason);
    let reasons: Vec<String> = verdicts.iter().map(told).collect();
    if reasons.is_empty() {
        "no target is concerned".to_owned()
    } else {
        reasons.join("; ")
    }
}

/// True if a target follows what perhaps was pushed without the forge saying more: then the remote is asked.
fn hints_at_push(repo: &Repo, parsed: &Parsed) -> bool {
    let hints = parsed.events.iter().filter(|e| forge::may_stand_for_push(parsed, e));
    let refs = hints.filter_map(|event| event.git_ref.as_deref()?.parse().ok());
    let followed = |git_ref: GitRef| repo.targets.values().any(|t| t.refs.follows(&git_ref));
    refs.into_iter().any(followed)
}
