//! The way of a delivery from the socket to the disk: verify, parse, judge, store, answer.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer::{self, Answer};
use super::body::{self, BodyError};
use super::rejections::Refused;
use super::{App, peer};
use crate::clock;
use crate::config::{AllowFrom, ForgeKind, QueueMode, Repo};
use crate::forge::{self, Delivery, ParseError, Parsed, Trust, Verified};
use crate::logging::About;
use crate::model::{DeliveryId, EventKind, GitRef, RepoName, Secret, TargetId};
use crate::ranges::Member;
use crate::rules::{self, Decision, Note, Verdict};
use crate::schedule;
use crate::store::{Accepted, DeliveryResult, NewCheck, NewDelivery, NewJob, Source, StoreError};
use crate::worker::Settings;

/// Seconds after which a sender may try again when nothing can be stored.
const RETRY_STORE: u64 = 30;

/// Seconds after which a sender may try again whose forge's addresses are not known yet: by then they were asked for again.
const RETRY_RANGES: u64 = 60;

/// What came in, as far as it is known.
struct Arrival<'a> {
    app: &'a App,
    settings: Settings,
    from: IpAddr,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

/// Answers `POST /hook/{repo}` (with the repo's name) and `POST /hook` (without). `authenticated` is called once the
/// sender has shown that it holds a secret.
pub async fn receive(
    app: &App,
    request: Request<Incoming>,
    name: Option<String>,
    peer: Option<IpAddr>,
    authenticated: impl Fn(),
) -> Answer {
    if request.method() != Method::POST {
        return answer::wrong_method("POST");
    }
    let settings = app.settings();
    let from = peer::source(peer, request.headers(), &settings.config.http.trusted_proxies);
    let (head, incoming) = request.into_parts();
    let refused = |reason| app.refuse(from, name.as_deref(), &head.headers, reason);
    if !acceptable_type(&head.headers) {
        refused("neither JSON nor form");
        return answer::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/json or application/x-www-form-urlencoded",
        );
    }
    let repo = name
        .as_deref()
        .and_then(|n| n.parse::<RepoName>().ok())
        .and_then(|n| settings.config.repos.get(&n).cloned());
    if let Some((reason, answer)) = repo.as_ref().and_then(|repo| app.turned_away(repo, from)) {
        refused(reason);
        return answer;
    }
    let read = match body::read(incoming, &settings.config.limits, &app.bodies).await {
        Ok(read) => read,
        Err(error) => return body_error(error, &refused),
    };
    if read.bytes.is_empty() {
        refused("empty body");
        return answer::error(StatusCode::BAD_REQUEST, "empty body");
    }
    if forge::unsupported_algorithm(&head.headers).is_some() {
        refused("signature algorithm not supported");
        return answer::error(StatusCode::NOT_IMPLEMENTED, "signature algorithm not supported");
    }
    let incoming = Arrival {
        app,
        settings,
        from,
        headers: &head.headers,
        body: &read.bytes,
    };
    if forge::is_unsigned_ping(&Delivery {
        headers: &head.headers,
        body: &read.bytes,
    }) {
        let test = claimed(name.as_deref(), &head.headers, "connection test, which is not signed");
        app.rejections.note_test(from, &test);
        return answer::json(StatusCode::OK, &json!({ "status": "pong" }));
    }
    let (called, candidates) = match (name, repo) {
        (Some(name), repo) => (Some(name), repo.into_iter().collect()),
        (None, _) => incoming.by_full_name(),
    };
    let answer = incoming.verify_and_accept(&candidates, &authenticated).await;
    answer.unwrap_or_else(|reason| app.unauthorized(from, called.as_deref(), &head.headers, reason))
}

/// A delivery as its headers describe it, and what is said of it.
fn claimed<'a>(repo: Option<&'a str>, headers: &'a HeaderMap, reason: &'a str) -> Refused<'a> {
    let claims = forge::claims(headers);
    Refused {
        repo: repo.unwrap_or_default(),
        forge: claims.forge.map_or("", forge::word),
        delivery: claims.delivery.unwrap_or_default(),
        event: claims.event.unwrap_or_default(),
        reason,
    }
}

/// JSON or a form; no type at all is taken for JSON, since some senders forget it.
fn acceptable_type(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(http::header::CONTENT_TYPE) else {
        return true;
    };
    let Ok(value) = value.to_str() else { return false };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json"
        || kind == "application/x-www-form-urlencoded"
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn body_error(error: BodyError, refused: &impl Fn(&'static str)) -> Answer {
    match error {
        BodyError::TooLarge => {
            refused("body too large");
            answer::error(StatusCode::PAYLOAD_TOO_LARGE, "body too large")
        }
        BodyError::NoMemory => {
            refused("too many large bodies at once");
            answer::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many large bodies at once",
                RETRY_STORE,
            )
        }
        BodyError::TooSlow | BodyError::Broken => {
            refused("body too slow");
            answer::later(StatusCode::REQUEST_TIMEOUT, "the body did not come in time", 1)
        }
    }
}

impl App {
    /// What is answered to an address that the repo does not allow, and why; none if it does.
    fn turned_away(&self, repo: &Repo, from: IpAddr) -> Option<(&'static str, Answer)> {
        let member = |allowed: &AllowFrom| match allowed {
            AllowFrom::Net(net) if net.contains(&from) => Member::Yes,
            AllowFrom::Net(_) => Member::No,
            AllowFrom::Published(published) => self.ranges.has(published, from),
        };
        let members: Vec<Member> = repo.allow_from.iter().map(member).collect();
        if members.is_empty() || members.contains(&Member::Yes) {
            return None;
        }
        if members.contains(&Member::NotKnown) {
            let reason = "addresses of the forge not known yet";
            return Some((
                reason,
                answer::later(StatusCode::SERVICE_UNAVAILABLE, reason, RETRY_RANGES),
            ));
        }
        let reason = "source address not allowed";
        Some((reason, answer::error(StatusCode::FORBIDDEN, reason)))
    }

    /// Counts and notes a delivery that is not taken.
    fn refuse(&self, from: IpAddr, repo: Option<&str>, headers: &HeaderMap, reason: &'static str) {
        self.refuse_for(from, repo, headers, reason, reason);
    }

    /// The same with a reason that has more to say than its name in the metrics.
    fn refuse_for(&self, from: IpAddr, repo: Option<&str>, headers: &HeaderMap, counted: &'static str, reason: &str) {
        self.metrics.rejected(counted);
        self.rejections.note(from, &claimed(repo, headers, reason));
    }

    /// One answer for every delivery that is not believed, whatever the reason. An address that fails too often is told
    /// to wait; what it signs rightly is taken even then, since an accepted push is worth more than the work saved.
    fn unauthorized(&self, from: IpAddr, repo: Option<&str>, headers: &HeaderMap, reason: &'static str) -> Answer {
        let blocked = self.rejections.blocked(from, self.limits().auth_failures);
        if let Some(seconds) = blocked {
            self.refuse(from, repo, headers, "rate-limit");
            return answer::later(
                StatusCode::TOO_MANY_REQUESTS,
                "too many failures from this address",
                seconds,
            );
        }
        self.rejections.failed(from);
        self.refuse(from, repo, headers, reason);
        answer::error(StatusCode::UNAUTHORIZED, "not authorized")
    }
}

impl Arrival<'_> {
    /// The payload's full name, and the repos that it fits, as their forge writes names; the secret decides which of them
    /// it is.
    fn by_full_name(&self) -> (Option<String>, Vec<Arc<Repo>>) {
        let Some((kind, full_name)) = forge::full_name(self.headers, self.body) else {
            return (None, Vec::new());
        };
        let is_meant = |repo: &&Arc<Repo>| rules::same_repo(repo.forge.unwrap_or(kind), &repo.full_name, &full_name);
        let repos = self.settings.config.repos.values().filter(is_meant).cloned().collect();
        (Some(full_name), repos)
    }

    /// Takes the delivery for the first repo whose secret it was signed with. The error is for the journal alone.
    async fn verify_and_accept(&self, repos: &[Arc<Repo>], authenticated: &impl Fn()) -> Result<Answer, &'static str> {
        let delivery = Delivery {
            headers: self.headers,
            body: self.body,
        };
        let now = clock::now();
        let mut reason = "unknown repo";
        for repo in repos {
            let secrets: &[Secret] = self.settings.secrets.webhook.get(&repo.name).map_or(&[], Vec::as_slice);
            match forge::verify(&delivery, &Trust::of(repo, secrets, now)) {
                Ok(verified) => {
                    authenticated();
                    // `POST /hook` does not name the repo, so this could not be asked before.
                    if let Some((reason, answer)) = self.app.turned_away(repo, self.from) {
                        self.app
                            .refuse(self.from, Some(repo.name.as_str()), self.headers, reason);
                        return Ok(answer);
                    }
                    return Ok(self.understand(repo, &verified).await);
                }
                Err(rejection) => reason = rejection.reason(),
            }
        }
        if repos.is_empty() {
            // The same work as for a repo that exists; nobody's secret never fits.
            if let Err(rejection) = forge::verify(&delivery, &Trust::nobody(now)) {
                tracing::debug!(reason = rejection.reason(), "unknown repo");
            }
        }
        Err(reason)
    }

    async fn understand(&self, repo: &Arc<Repo>, verified: &Verified<'_>) -> Answer {
        match forge::parse(verified) {
            Ok(parsed) => self.judge_and_store(repo, verified, parsed).await,
            Err(error @ (ParseError::MalformedJson { .. } | ParseError::MissingEventHeader(_) | ParseError::Empty)) => {
                let text = error.to_string();
                let name = Some(repo.name.as_str());
                self.app.refuse_for(self.from, name, self.headers, "malformed", &text);
                answer::error(StatusCode::BAD_REQUEST, &text)
            }
            // What is validly signed is never a 4xx: forges switch hooks off that answer so.
            Err(error) => {
                let kind = verified.forge().unwrap_or(ForgeKind::Generic);
                let parsed = Parsed {
                    forge: kind,
                    event: String::new(),
                    delivery: None,
                    events: Vec::new(),
                };
                self.store(repo, verified, parsed, Vec::new(), error.to_string()).await
            }
        }
    }

    async fn judge_and_store(&self, repo: &Arc<Repo>, verified: &Verified<'_>, parsed: Parsed) -> Answer {
        let verdicts = rules::judge(repo, &parsed);
        let reason = verdicts
            .iter()
            .map(|v| format!("{}: {}", v.target, v.reason))
            .collect::<Vec<_>>()
            .join("; ");
        let reason = if reason.is_empty() {
            "no target is concerned".to_owned()
        } else {
            reason
        };
        self.store(repo, verified, parsed, verdicts, reason).await
    }

    async fn store(
        &self,
        repo: &Arc<Repo>,
        verified: &Verified<'_>,
        parsed: Parsed,
        verdicts: Vec<Verdict>,
        reason: String,
    ) -> Answer {
        let ping = parsed.events.iter().any(|event| event.kind == EventKind::Ping);
        let body_sha256 = hex::encode(Sha256::digest(self.body));
        let delivery = parsed
            .delivery
            .clone()
            .or_else(|| format!("sha256-{}", &body_sha256[..32]).parse().ok());
        let Some(delivery) = delivery else {
            return answer::error(StatusCode::INTERNAL_SERVER_ERROR, "no delivery id");
        };
        let new = NewDelivery {
            repo: repo.name.to_string(),
            delivery: delivery.clone(),
            forge: forge::word(parsed.forge),
            event: parsed.event.clone(),
            received_at: clock::now(),
            remote_addr: self.from.to_string(),
            result: if ping { "pong" } else { "ignored" },
            reason: if ping { "ping".to_owned() } else { reason },
            body_sha256,
            headers: serde_json::to_string(&forge::stored_headers(self.headers)).unwrap_or_default(),
            body: self.body.to_vec(),
            jobs: jobs(repo, verdicts, Source::Webhook),
            checks: checks(repo, rules::noted(repo, &parsed)),
            id_is_unsigned: verified.is_signed() && !matches!(parsed.forge, ForgeKind::Standard) && !ping,
        };
        match self.app.world.store.accept(new).await {
            Ok(accepted) => self.answer(repo, &parsed, &delivery, &accepted, ping),
            Err(error) => self.not_stored(repo, &error),
        }
    }

    fn answer(&self, repo: &Repo, parsed: &Parsed, delivery: &DeliveryId, accepted: &Accepted, ping: bool) -> Answer {
        let (status, word) = match accepted.result {
            DeliveryResult::Accepted => (StatusCode::ACCEPTED, "accepted"),
            DeliveryResult::Duplicate => (StatusCode::OK, "duplicate"),
            DeliveryResult::Ignored if ping => (StatusCode::OK, "pong"),
            DeliveryResult::Ignored => (StatusCode::OK, "ignored"),
        };
        self.app.metrics.delivery(repo.name.as_str(), word);
        About {
            repo: Some(repo.name.as_str()),
            delivery: Some(delivery.as_str()),
            remote_addr: Some(&self.from.to_string()),
            reason: Some(&accepted.reason),
            ..About::default()
        }
        .info(format!(
            "{word} {} of {}: {}",
            parsed.event,
            forge::word(parsed.forge),
            accepted.reason
        ));
        match accepted.result {
            DeliveryResult::Accepted => self.app.worker.wake(),
            DeliveryResult::Ignored => {
                // It may say of a check what a job waits for.
                self.app.worker.wake();
                if hints_at_push(repo, parsed) {
                    self.app.poller.look_soon(&repo.name);
                }
            }
            // The same push may rightly come twice, after one that undid it: the remote knows.
            DeliveryResult::Duplicate => self.app.poller.look_soon(&repo.name),
        }
        let mut body = json!({ "status": word, "delivery": delivery.as_str() });
        match word {
            "accepted" => body["jobs"] = json!(accepted.jobs),
            "pong" => {}
            _ => body["reason"] = json!(accepted.reason),
        }
        answer::json(status, &body)
    }

    fn not_stored(&self, repo: &Repo, error: &StoreError) -> Answer {
        let reason = error.to_string();
        self.app.metrics.rejected("not-stored");
        About {
            repo: Some(repo.name.as_str()),
            remote_addr: Some(&self.from.to_string()),
            reason: Some(&reason),
            ..About::default()
        }
        .error(format!("a delivery could not be stored: {reason}"));
        answer::later(StatusCode::SERVICE_UNAVAILABLE, "can't store right now", RETRY_STORE)
    }
}

/// True if a target follows what perhaps was pushed without the forge saying more: then the remote is asked.
fn hints_at_push(repo: &Repo, parsed: &Parsed) -> bool {
    let hints = parsed.events.iter().filter(|e| forge::may_stand_for_push(parsed, e));
    let refs = hints.filter_map(|event| event.git_ref.as_deref()?.parse().ok());
    let followed = |git_ref: GitRef| repo.targets.values().any(|t| schedule::follows(&t.refs, &git_ref));
    refs.into_iter().any(followed)
}

/// The jobs that the verdicts ask for. Of several events for one target the last one counts, unless each is to run.
pub fn jobs(repo: &Repo, verdicts: Vec<Verdict>, source: Source) -> Vec<NewJob> {
    let mut jobs: Vec<NewJob> = Vec::new();
    for verdict in verdicts {
        let Decision::Deploy {
            git_ref,
            commit,
            pusher,
        } = verdict.decision
        else {
            continue;
        };
        let keep_all = queue_of(repo, &verdict.target) == QueueMode::All;
        if !keep_all {
            jobs.retain(|job| job.target != verdict.target);
        }
        jobs.push(NewJob {
            target: verdict.target,
            git_ref,
            wanted: commit,
            source,
            pusher,
            release: None,
            keep_all,
        });
    }
    jobs
}

/// What CI said, for the store.
fn checks(repo: &Repo, notes: Vec<Note>) -> Vec<NewCheck> {
    let with_queue = |target: TargetId| {
        let keep_all = queue_of(repo, &target) == QueueMode::All;
        (target, keep_all)
    };
    let stored = |note: Note| NewCheck {
        commit: note.commit,
        name: note.check,
        state: note.state,
        git_ref: note.git_ref,
        targets: note.targets.into_iter().map(with_queue).collect(),
    };
    notes.into_iter().map(stored).collect()
}

fn queue_of(repo: &Repo, target: &TargetId) -> QueueMode {
    repo.targets
        .get(&target.target)
        .map_or(QueueMode::Latest, |target| target.queue)
}
