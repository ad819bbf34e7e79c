//! What the daemon shows of itself: one judgement for the API, the status pages, the metrics and the command line.

mod judge;
mod wire;

use judge::Unheard;
use wire::text;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;

use tokio::sync::watch;

use crate::access::Users;
use crate::api::{
    Act, Delivery, Deployment, DeploymentDetail, Job, Live, Problem, RefusedConfiguration, Release, Releases, Status,
    TargetStatus, Tip, Waiting,
};
use crate::clock;
use crate::config::{QueueMode, RefFilter, Repo, SecretSource, Target};
use crate::deploy::World;
use crate::explain::{Came, Explanation, explain_stored};
use crate::forge::restored_headers;
use crate::intake::{Intake, Trouble};
use crate::model::{Refusal, RefusalKind, Timestamp};
use crate::poll::{LastLook, Poller};
use crate::ranges::Ranges;
use crate::release::free_space;
use crate::store::{CommitText, DeliveryPage, DeploymentRow, Moment, Page, StoreError, Tip as Followed, WaitingJob};
use crate::worker::{Settings, Worker};

/// So many of a repo's newest deliveries tell where its forge sends from.
const SENDERS: usize = 100;

/// Addresses of one forge are of one network of this many bits, or of a few.
const NETWORK_V4: u8 = 16;
const NETWORK_V6: u8 = 32;

/// Refused deliveries of one kind that have a line of their own: enough to see how often somebody tries.
const SAME_SHOWN: usize = 5;

/// One of so many lines of the list of deliveries may be a refused one.
const REFUSED_PART: usize = 4;

/// A look at the daemon; clones share it.
#[derive(Clone)]
pub struct Overview {
    /// The doors to the outside.
    pub world: World,
    /// Runs the jobs.
    pub worker: Worker,
    /// Looks at the remotes.
    pub poller: Poller,
    /// The addresses that forges publish.
    pub ranges: Ranges,
    /// Takes deliveries in, and remembers the refused ones.
    pub intake: Arc<Intake>,
    /// The configuration in force.
    pub settings: watch::Receiver<Settings>,
    /// Why the newest file is not in force, if it isn't.
    pub reload_error: watch::Receiver<Option<RefusedConfiguration>>,
    /// When the daemon started.
    pub started: Timestamp,
    /// Where deliveries come in, once that is known: the configuration's addresses, or systemd's.
    pub listening: Arc<OnceLock<Vec<String>>>,
}

fn broken(refused: &RefusedConfiguration) -> String {
    let why = &refused.why;
    format!("the configuration file is broken, the previous one is in force: {why}")
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(RefusalKind::Unavailable, error.to_string())
    }
}

/// The tip that a deployment begun after the look found at the followed ref, whatever its outcome.
fn fetched_since(look: &LastLook, tip: &Followed, deployments: [Option<&DeploymentRow>; 2]) -> Option<String> {
    let is_newer =
        |row: &&DeploymentRow| look.at.is_some_and(|at| row.started_at >= at.0) && row.git_ref == tip.git_ref;
    let mut rows = deployments.into_iter().flatten().filter(is_newer);
    rows.find_map(|row| row.fetched.as_ref()).map(ToString::to_string)
}

impl Overview {
    fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// The configuration that was refused last, unless a later one is in force. Copied, so that nobody holds the lock of a value that
    /// the daemon wants to change: whoever then asked a second time would wait for the daemon, and it for them.
    pub fn refused(&self) -> Option<RefusedConfiguration> {
        self.reload_error.borrow().clone()
    }

    fn warnings(&self) -> Vec<String> {
        let settings = self.settings();
        let mut warnings: Vec<String> = Vec::new();
        if let Some(refused) = self.refused() {
            warnings.push(broken(&refused));
        }
        for repo in settings.config.repos.values() {
            if repo.secret.contains(&SecretSource::InsecureNone) {
                warnings.push(format!(
                    "repo {} has no secret: whoever reaches the listener can deploy",
                    repo.name
                ));
            }
        }
        let login = settings.config.http.login.as_ref();
        if let Some(Err(error)) = login
            .and_then(|login| login.users.as_ref())
            .map(|file| Users::read(file))
        {
            warnings.push(format!("nobody can log in: {error}"));
        }
        warnings.extend(self.ranges.warnings(&settings.config));
        warnings
    }

    /// All that is live, runs and waits.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let settings = self.settings();
        let repos = || settings.config.repos.values();
        let ids = repos().flat_map(|repo| repo.targets.values().map(|target| target.id.clone()));
        let moment = self.world.store.moment(ids.collect()).await?;
        let unheard = self.unheard().await?;
        let mut targets = Vec::new();
        for repo in repos() {
            let look = self.poller.last(&repo.name);
            for target in repo.targets.values() {
                targets.push(self.target_status(repo, target, &moment, &look, &unheard).await?);
            }
        }
        targets.sort_by_cached_key(|target| (judge::rank(target), target.target.clone()));
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started.0,
            configured_at: settings.read_at.0,
            refused: self.refused(),
            config: settings.config.file.display().to_string(),
            listen: self.listening.get().cloned().unwrap_or_default(),
            warnings: self.warnings(),
            problems: self.problems(&unheard),
            isolation: self.world.units.to_string(),
            waiting: moment.waiting.len(),
            running: self.worker.running().len(),
            targets,
        })
    }

    /// What is wrong with no target in particular.
    fn problems(&self, unheard: &Unheard) -> Vec<Problem> {
        let settings = self.settings();
        let mut problems = Vec::new();
        if let Some(refused) = self.refused() {
            problems.push(judge::problem(
                "configuration-broken",
                broken(&refused),
                "hookd check",
                None,
            ));
        }
        let state_dir = &settings.config.state_dir;
        let least = settings.config.limits.free_space;
        if let Ok((free, _)) = free_space(state_dir)
            && free < least
        {
            let place = state_dir.display();
            let text = format!(
                "{} MiB are free at {place}, and hookd requires {} MiB",
                free >> 20,
                least >> 20
            );
            problems.push(judge::problem(
                "disk-low",
                text,
                "make room, or lower `limits.free_space`",
                None,
            ));
        }
        let targets = settings.config.repos.values().flat_map(|repo| repo.targets.values());
        for (name, trouble) in &unheard.channels {
            // A target that uses it says so itself.
            if settings.config.notify.contains_key(name) && !targets.clone().any(|target| target.notify.contains(name))
            {
                problems.push(judge::notify_failing(name, trouble));
            }
        }
        problems
    }

    /// One target of it.
    pub async fn status_of(&self, target: &Target) -> Result<Option<TargetStatus>, StoreError> {
        let moment = self.world.store.moment(vec![target.id.clone()]).await?;
        let settings = self.settings();
        let Some(repo) = settings.config.repos.get(&target.id.repo) else {
            return Ok(None);
        };
        let look = self.poller.last(&target.id.repo);
        self.target_status(repo, target, &moment, &look, &self.unheard().await?)
            .await
            .map(Some)
    }

    /// What is wrong with the repo's webhook. Wrong signatures count until the forge has sent a right one, and later from where
    /// right ones came from: others are strangers'.
    async fn webhook(&self, repo: &Repo) -> Result<Vec<Trouble>, StoreError> {
        let mut troubles = self.intake.troubles(repo);
        let refused = troubles.iter().find_map(|trouble| match trouble {
            Trouble::Refused { from, .. } => Some(from.clone()),
            Trouble::Mismatch { .. } => None,
        });
        if let Some(from) = refused {
            let name = Some(repo.name.to_string());
            let page = DeliveryPage {
                repo: name,
                limit: SENDERS,
                ..DeliveryPage::default()
            };
            let taken = self.world.store.deliveries(page).await?;
            if !may_be_of_forge(&from, taken.iter().map(|row| row.remote_addr.as_str())) {
                troubles.retain(|trouble| matches!(trouble, Trouble::Mismatch { .. }));
            }
        }
        Ok(troubles)
    }

    /// What hookd says, and nobody hears.
    async fn unheard(&self) -> Result<Unheard, StoreError> {
        Ok(Unheard {
            channels: self.world.store.channels_in_trouble().await?,
            reports: self.world.store.reports_in_trouble().await?,
        })
    }

    /// The texts of a commit.
    async fn text_of(&self, target: &Target, commit: Option<&String>) -> Result<CommitText, StoreError> {
        match commit {
            Some(commit) => self.world.store.commit_text(&target.id, commit.clone()).await,
            None => Ok(CommitText::default()),
        }
    }

    async fn target_status(
        &self,
        repo: &Repo,
        target: &Target,
        moment: &Moment,
        look: &LastLook,
        unheard: &Unheard,
    ) -> Result<TargetStatus, StoreError> {
        let name = target.id.to_string();
        let store = &self.world.store;
        let of_target = moment.targets.get(&target.id).cloned().unwrap_or_default();
        let (row, last, running) = (of_target.live, of_target.last, of_target.running);
        let jobs: Vec<_> = moment.waiting.iter().filter(|job| job.target == target.id).collect();
        let held = row.held();
        let commit = text(row.live_commit);
        let release = text(row.live_release);
        let git_ref = text(row.live_ref);
        let told = self.text_of(target, commit.as_ref()).await?;
        let tip = look.tips.get(&name).filter(|_| !look.missing.contains_key(&name));
        // A deployment since the look has fetched the tip itself.
        let is_newer = !held && row.live_since.zip(look.at).is_some_and(|(live, look)| live >= look.0);
        let of_live = |tip: &&crate::store::Tip| is_newer && git_ref.as_deref() == Some(tip.git_ref.as_str());
        let fetched = tip.filter(|_| target.queue == QueueMode::Latest);
        let fetched = fetched.and_then(|tip| fetched_since(look, tip, [running.as_ref(), last.as_ref()]));
        let tip_commit = match (fetched, tip.filter(of_live), &commit) {
            (Some(fetched), _, _) => Some(fetched),
            (None, Some(_), Some(live)) => Some(live.clone()),
            _ => tip.map(|tip| tip.commit.to_string()),
        };
        let tip_text = self.text_of(target, tip_commit.as_ref()).await?;
        let mut status = TargetStatus {
            follows: follows(&target.refs),
            path: target.path.display().to_string(),
            url: target.url.as_ref().map(ToString::to_string),
            environment: target.environment.clone(),
            state: String::new(),
            problems: Vec::new(),
            live: commit.clone().map(|commit| Live {
                commit,
                subject: told.subject,
                author: told.author,
                git_ref: git_ref.clone(),
                release: release.clone(),
                since: row.live_since,
            }),
            tip: tip.map(|tip| Tip {
                commit: tip_commit.clone().unwrap_or_default(),
                subject: tip_text.subject,
                git_ref: tip.git_ref.to_string(),
            }),
            behind: tip_commit.map(|tip| commit.as_ref() != Some(&tip)),
            commit,
            git_ref,
            release,
            live_since: row.live_since,
            pinned: text(row.pinned),
            paused: row.paused,
            remote_error: look.error.clone(),
            running: running.map(Deployment::from),
            last: last.map(Deployment::from),
            waits_for: jobs.iter().find_map(|job| Some(job.checks.as_ref()?.reason.clone())),
            next_try: jobs.iter().filter_map(|job| next_try(job)).min(),
            waiting: jobs.into_iter().map(waits).collect(),
            usual_duration: store.usual_duration(&target.id).await?,
            target: name,
        };
        let space = free_space(&target.path).ok();
        let webhook = self.webhook(repo).await?;
        let failures = store.failures(&target.id).await?;
        let required = self.settings.borrow().config.limits.free_space;
        judge::judge(
            &mut status,
            &judge::Signs {
                repo,
                target,
                look,
                webhook,
                unheard,
                failures: &failures,
                space: space.map(|(free, _)| (free, required)),
            },
        );
        Ok(status)
    }

    /// Deployments, newest first.
    pub async fn history(&self, page: Page) -> Result<Vec<Deployment>, StoreError> {
        let rows = self.world.store.history(page).await?;
        Ok(rows.into_iter().map(Deployment::from).collect())
    }

    /// A deployment with its phases.
    pub async fn deployment(&self, id: i64) -> Result<DeploymentDetail, Refusal> {
        let found = self.world.store.deployment(id).await?;
        let (row, phases) = found.ok_or_else(|| {
            Refusal::not_found(format!("there is no deployment {id}")).hint("hookd history lists them")
        })?;
        Ok(DeploymentDetail {
            row: row.into(),
            phases: phases.into_iter().map(Into::into).collect(),
        })
    }

    /// A job.
    pub async fn job(&self, id: i64) -> Result<Job, Refusal> {
        let job = self.world.store.job(id).await?;
        job.map(Job::from)
            .ok_or_else(|| Refusal::not_found(format!("there is no job {id}")))
    }

    /// The newest deliveries, with the refused ones among them; only those of a repo or of a result, if one is given. What one
    /// address had refused for one reason is one line, and refused ones take at most a quarter of the list unless they are asked
    /// for: strangers push nothing out of it. With `before`, stored ones with a lower number. Also the number before which the
    /// list goes on, if it does.
    pub async fn deliveries(
        &self,
        repo: Option<String>,
        result: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Delivery>, Option<i64>), StoreError> {
        let page = DeliveryPage {
            repo: repo.clone(),
            result: result.map(ToOwned::to_owned),
            before,
            limit,
        };
        let rows = self.world.store.deliveries(page).await?;
        let mut older = rows.last().filter(|_| rows.len() == limit).and_then(|row| row.number);
        let is_asked = |row: &Delivery| result.is_none_or(|result| row.result == result);
        let mut shown: Vec<Delivery> = rows.into_iter().map(Delivery::from).collect();
        if before.is_none() {
            let refused = self
                .intake
                .rejections
                .newest(usize::MAX)
                .into_iter()
                .map(Delivery::from);
            let refused = refused.filter(|row| repo.as_ref().is_none_or(|repo| row.repo == *repo));
            let mut refused = collapsed(refused.filter(is_asked));
            if result.is_none() {
                let room = limit.saturating_sub(shown.len());
                refused.truncate(limit.div_ceil(REFUSED_PART).max(room));
            }
            shown.extend(refused);
        }
        shown.sort_by_key(|row| std::cmp::Reverse(row.received_at));
        if shown.len() > limit {
            let left_out = |rows: &[Delivery]| rows.iter().any(|row| row.number.is_some());
            let numbers = shown.iter().take(limit).filter_map(|row| row.number);
            if left_out(&shown[limit..]) {
                older = Some(numbers.min().unwrap_or(i64::MAX));
            }
            shown.truncate(limit);
        }
        Ok((shown, older))
    }

    /// Who did what, newest first.
    pub async fn audit(&self, before: Option<i64>, limit: usize) -> Result<Vec<Act>, StoreError> {
        let rows = self.world.store.acts(before, limit).await?;
        let names = wire::names(rows.iter().map(|row| row.who.clone()).collect()).await;
        Ok(rows.into_iter().map(|row| wire::act(row, &names)).collect())
    }

    /// Who asked for a deployment, as people say it; none for a webhook or a poll.
    pub async fn asker(&self, row: &Deployment) -> Option<String> {
        let who = row.asked_by.as_ref()?;
        wire::names([who.clone()].into()).await.remove(who)
    }

    /// The releases of a target that are kept.
    pub async fn releases(&self, target: &Target) -> Result<Releases, StoreError> {
        let row = self.world.store.target(&target.id).await?;
        let mut releases = Vec::new();
        for release in self.world.store.releases(&target.id).await? {
            let mut release = Release::from(release);
            let text = self.text_of(target, Some(&release.commit)).await?;
            (release.subject, release.author) = (text.subject, text.author);
            releases.push(release);
        }
        Ok(Releases {
            current: text(row.live_release),
            releases,
        })
    }

    /// A stored delivery, and the verdict of today's configuration on it.
    pub async fn explanation(&self, id: &str) -> Result<(Delivery, Explanation), Refusal> {
        let stored = self.world.store.delivery(id.to_owned()).await?;
        let (row, headers, body) = stored.ok_or_else(|| no_delivery(id))?;
        if body.is_empty() {
            let text = format!(
                "the payload of delivery {id} is no longer kept: {}: {}",
                row.result, row.reason
            );
            return Err(Refusal::not_found(text).hint("`limits.deliveries` says how much is kept"));
        }
        let settings = self.settings();
        let repo = row.repo.parse().ok().and_then(|name| settings.config.repos.get(&name));
        let came = Came {
            received_at: row.received_at,
            remote_addr: row.remote_addr.clone(),
            result: row.result.clone(),
            reason: row.reason.clone(),
        };
        let forge = row.forge.parse().ok();
        let explanation = explain_stored(
            &restored_headers(&headers),
            &body,
            forge,
            repo.map(|repo| &**repo),
            came,
        );
        Ok((row.into(), explanation))
    }
}

/// Whether the forge may have sent what came from there, and was refused: nothing was ever taken but this machine's own, or
/// something from the same network was.
fn may_be_of_forge<'a>(from: &str, taken: impl Iterator<Item = &'a str>) -> bool {
    let network = from.parse().ok().and_then(|from: IpAddr| {
        let bits = if from.is_ipv4() { NETWORK_V4 } else { NETWORK_V6 };
        IpNet::new(from, bits).ok()
    });
    let taken: Vec<IpAddr> = taken.filter_map(|address| address.parse().ok()).collect();
    taken.iter().all(IpAddr::is_loopback)
        || network.is_some_and(|network| taken.iter().any(|address| network.contains(address)))
}

/// Of rows that differ only by when they came the newest [`SAME_SHOWN`]; the last of them stands for all older ones.
fn collapsed(rows: impl Iterator<Item = Delivery>) -> Vec<Delivery> {
    let mut kinds: Vec<Delivery> = Vec::new();
    for row in rows {
        let is_same = |kind: &&mut Delivery| {
            (&kind.repo, &kind.remote_addr, &kind.result, &kind.reason)
                == (&row.repo, &row.remote_addr, &row.result, &row.reason)
        };
        let same = kinds.iter_mut().filter(is_same).nth(SAME_SHOWN - 1);
        match same {
            Some(last) => last.count += 1,
            None => kinds.push(row),
        }
    }
    kinds
}

/// When a job is tried that waits for a time.
fn next_try(job: &WaitingJob) -> Option<i64> {
    Some(job.not_before.0).filter(|at| *at > 0)
}

/// A queued job, and what it waits for.
fn waits(job: &WaitingJob) -> Waiting {
    let reason = match &job.checks {
        Some(checks) => checks.reason.clone(),
        None if job.held => "the target is paused or pinned".to_owned(),
        None if job.not_before > clock::now() => "the next try".to_owned(),
        None => "its turn".to_owned(),
    };
    Waiting {
        job: job.id,
        requested_at: job.requested_at.0,
        next_try: next_try(job),
        reason,
    }
}

/// The refusal for a delivery that is not stored.
pub fn no_delivery(id: &str) -> Refusal {
    Refusal::not_found(format!("there is no stored delivery {id}")).hint("hookd deliveries lists them")
}

/// What a target follows, in words.
pub fn follows(refs: &RefFilter) -> String {
    let kind = match refs {
        RefFilter::Branches(_) => "branch",
        RefFilter::Tags(_) => "tag",
    };
    let texts: Vec<&str> = refs.patterns().iter().map(|p| p.text.as_str()).collect();
    format!("{kind} {}", texts.join(", "))
}
