//! The way of a delivery from bytes to stored jobs: verify, parse, judge, accept. Knows no HTTP status: the public listener and
//! `replay` call it, and whatever else may bring deliveries.

mod jobs;
mod rejections;
mod replay;
mod trouble;

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock;
use crate::config::{AllowFrom, ForgeKind, Repo};
use crate::forge::{self, Delivery, ParseError, Parsed, Trust, Verified};
use crate::logging::About;
use crate::model::{Event, EventKind, GitRef, RepoName, Secret};
use crate::poll::Poller;
use crate::ranges::{Member, Ranges};
use crate::rules::{self, Verdict};
use crate::store::{Accepted, DeliveryResult, NewDelivery, Source, Store, StoreError};
use crate::worker::{Settings, Worker};
use trouble::Troubles;

pub use rejections::{Refused, Rejections, counted_with};
pub use replay::{NotReplayed, Replayed};
pub use trouble::Trouble;

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
    troubles: Troubles,
}

/// A delivery as it came.
pub struct Arrival<'a> {
    /// The configuration in force.
    pub settings: &'a Settings,
    /// Who sent it.
    pub from: IpAddr,
    /// The repo that it was sent for, by name; `None` if the payload is to tell.
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

/// A delivery whose sender holds the secret of that repo.
type Genuine<'a> = (Arc<Repo>, Verified<'a>);

/// What a genuine delivery says.
struct Said {
    parsed: Parsed,
    /// Why it says nothing that hookd can act on: it is not understood, or is about no repo of the configuration.
    of_no_use: Option<String>,
    /// Whether it was sent for the repo, or names it.
    is_for_repo: bool,
    /// The name that the payload has for the repo, where the sender meant another name to be the repo's.
    mismatch: Option<String>,
    /// Remotes that the delivery may hint at although it asks for no job.
    hints: Vec<RepoName>,
}

impl Intake {
    /// What is wrong with the repo's webhook by today's configuration.
    pub fn troubles(&self, repo: &Repo) -> Vec<Trouble> {
        self.troubles.of(repo)
    }

    /// An intake that keeps deliveries in `store`.
    pub fn new(store: Store, worker: Worker, poller: Poller, ranges: Ranges) -> Self {
        Self {
            store,
            worker,
            poller,
            ranges,
            rejections: Rejections::default(),
            troubles: Troubles::default(),
        }
    }

    /// Takes a delivery: on disk, with its jobs, when this returns.
    ///
    /// # Errors
    /// Why it was not taken; it is noted among the rejections.
    pub async fn take(&self, arrival: &Arrival<'_>) -> Result<Taken, Refusal> {
        let taken = async {
            let genuine = self.verify(arrival)?;
            let ((repo, verified), said) = self.parse(arrival, genuine)?;
            let verdicts = said.judge(&repo);
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

    /// The repos with whose secret the delivery was signed: the one that it was sent for, or any. What is signed with none of
    /// them costs the same work, whatever it says.
    fn verify<'a>(&self, arrival: &Arrival<'a>) -> Result<Vec<Genuine<'a>>, Refusal> {
        let now = clock::now();
        let (delivery, secrets) = (&arrival.delivery, &arrival.settings.secrets.webhook);
        let mut reason = "unknown repo";
        let mut genuine = Vec::new();
        let candidates = arrival.candidates();
        for repo in &candidates {
            let secrets: &[Secret] = secrets.get(&repo.name).map_or(&[], Vec::as_slice);
            match forge::verify(delivery, &Trust::of(repo, secrets, now)) {
                Ok(verified) => genuine.push((Arc::clone(repo), verified)),
                Err(rejection) => reason = rejection.reason(),
            }
        }
        if candidates.is_empty() {
            // The same work as for a repo that exists; nobody's secret never fits.
            if let Err(rejection) = forge::verify(delivery, &Trust::nobody(now)) {
                tracing::debug!(reason = rejection.reason(), "unknown repo");
            }
        }
        if genuine.is_empty() {
            return Err(self.unauthorized(arrival, reason));
        }
        Ok(genuine)
    }

    /// What is answered to a sender that holds no secret.
    fn unauthorized(&self, arrival: &Arrival<'_>, reason: &'static str) -> Refusal {
        // What an address signs rightly is taken even if it failed too often: an accepted push is worth more than the work saved.
        let limit = arrival.settings.config.limits.auth_failures;
        match self.rejections.failed(arrival.from, limit) {
            Some(seconds) => Refusal::Blocked(seconds),
            None => Refusal::Unauthorized(reason),
        }
    }

    /// What the delivery says, and which of the repos it is for: the one that it was sent for or that it names; or, since a hook
    /// of an organisation tells of much that is nobody's here, any.
    fn parse<'a>(&self, arrival: &Arrival<'a>, genuine: Vec<Genuine<'a>>) -> Result<(Genuine<'a>, Said), Refusal> {
        let (mut meant, mut any) = (None, None);
        let names: Vec<RepoName> = genuine.iter().map(|(repo, _)| repo.name.clone()).collect();
        for (repo, verified) in genuine {
            let said = parse(&verified);
            let names_it = said.as_ref().is_ok_and(|said| rules::concerns(&repo, &said.parsed));
            if names_it || arrival.repo.is_some() {
                meant = Some(((repo, verified), said, names_it));
                break;
            }
            // A service's own key, or none at all, vouches for nobody who has not named the repo.
            if any.is_none() && verified.proves_a_secret() {
                any = Some(((repo, verified), said));
            }
        }
        let is_meant = meant.is_some();
        let (genuine, said, names_it) = match (meant, any) {
            (Some(found), _) => found,
            (None, Some((genuine, said))) if !names_another(arrival, &said) => (genuine, said, false),
            (None, _) => return Err(self.unauthorized(arrival, "unknown repo")),
        };
        (arrival.authenticated)();
        self.admit(&genuine.0, arrival.from)?;
        let mut said = said.inspect_err(|_| self.poller.look_soon(&genuine.0.name))?;
        let claimed = said.parsed.repo.clone();
        said.is_for_repo = is_meant;
        if said.of_no_use.is_some() {
            said.hints = names;
        } else if !is_meant {
            said.of_no_use = Some(match claimed {
                Some(name) => format!("no repo of the configuration is {}", rules::shown(&name)),
                None => "it is about no repo of the configuration".to_owned(),
            });
        } else if !names_it {
            said.mismatch = claimed;
        }
        Ok((genuine, said))
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
        let reason = match &said.of_no_use {
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
            id_is_made: parsed.delivery.is_none(),
            forge: parsed.forge.as_str(),
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
            secret: verified.secret(),
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
            said.parsed.forge.as_str(),
        ));
        if let Some(claimed) = &said.mismatch {
            warn_of_mismatch(repo, claimed);
        }
        if said.is_for_repo {
            self.troubles.taken(&repo.name, &said.parsed, said.mismatch.as_deref());
        }
        said.hints.iter().for_each(|name| self.poller.look_soon(name));
        match taken.accepted.result {
            DeliveryResult::Accepted => self.worker.wake(),
            DeliveryResult::Ignored => {
                // It may say of a check what a job waits for.
                self.worker.wake();
                if said.mismatch.is_none() && hints_at_push(repo, &said.parsed) {
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
            .error(&reason);
        }
        let Delivery { headers, body } = arrival.delivery;
        let claimed = forge::claimed_repo(headers, body);
        let name = arrival
            .repo
            .or(claimed.as_ref().and_then(|claimed| claimed.name.as_deref()));
        self.rejections
            .note(arrival.from, &Refused::claiming(name, headers, &reason));
        if let (Refusal::Unauthorized(reason), Some(claimed)) = (refusal, claimed) {
            // Whoever does not know what the repo is called is a stranger, and no sign of a wrong secret.
            let names_it =
                |repo: &&Arc<Repo>| rules::is_about(repo, claimed.forge, claimed.name.as_deref(), &claimed.addresses);
            for repo in arrival.candidates().iter().filter(names_it) {
                self.troubles.refused(&repo.name, reason, arrival.from.to_string());
            }
        }
    }
}

impl Arrival<'_> {
    /// The repos that the delivery may be meant for.
    fn candidates(&self) -> Vec<Arc<Repo>> {
        let repos = &self.settings.config.repos;
        match self.repo {
            Some(name) => name
                .parse()
                .ok()
                .and_then(|name| repos.get(&name))
                .into_iter()
                .cloned()
                .collect(),
            None => repos.values().cloned().collect(),
        }
    }
}

impl Said {
    fn judge(&self, repo: &Repo) -> Vec<Verdict> {
        match self.of_no_use {
            Some(_) => Vec::new(),
            None => rules::judge(repo, &self.parsed),
        }
    }
}

/// The events of a genuine delivery. One that hookd can't understand has none, and the reason: forges switch hooks off whose
/// genuine deliveries are refused.
fn parse(verified: &Verified<'_>) -> Result<Said, Refusal> {
    let (parsed, of_no_use) = match forge::parse(verified) {
        Ok(parsed) => (parsed, None),
        Err(error @ (ParseError::MalformedJson { .. } | ParseError::MissingEventHeader(_) | ParseError::Empty)) => {
            return Err(Refusal::Malformed(error.to_string()));
        }
        Err(error) => (forge::not_understood(verified), Some(error.to_string())),
    };
    Ok(Said {
        parsed,
        of_no_use,
        is_for_repo: false,
        mismatch: None,
        hints: Vec::new(),
    })
}

/// Tells the line that makes signed deliveries of another name the repo's own.
fn warn_of_mismatch(repo: &Repo, claimed: &str) {
    let claimed = rules::shown(claimed);
    About {
        repo: Some(repo.name.as_str()),
        reason: Some("webhook-mismatch"),
        ..About::default()
    }
    .warn(format!(
        "a delivery signed with the secret of repo {} is about {claimed}, not about {}: if that is the same repository, write below [repo.{}]: full_name = \"{claimed}\"",
        repo.name, repo.full_name, repo.name
    ));
}

/// True if the delivery names a repo of the configuration: its secret would have had to sign it.
fn names_another(arrival: &Arrival<'_>, said: &Result<Said, Refusal>) -> bool {
    let repos = &arrival.settings.config.repos;
    said.as_ref()
        .is_ok_and(|said| repos.values().any(|repo| rules::concerns(repo, &said.parsed)))
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

/// True if the delivery perhaps tells of a push without saying all of it: then the remote is asked.
fn hints_at_push(repo: &Repo, parsed: &Parsed) -> bool {
    let is_followed = |git_ref: &str| {
        let git_ref = git_ref.parse::<GitRef>().ok();
        git_ref.is_some_and(|git_ref| repo.targets.values().any(|t| t.refs.follows(&git_ref)))
    };
    let hint = |event: &Event| match event.git_ref.as_deref() {
        Some(git_ref) => {
            let is_push = matches!(event.kind, EventKind::Branch | EventKind::Tag) && event.repo.is_none();
            (is_push || forge::may_stand_for_push(parsed, event)) && is_followed(git_ref)
        }
        None => forge::may_stand_for_push(parsed, event),
    };
    parsed.events.iter().any(hint)
}
