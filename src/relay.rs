//! Drains the outbox: sends notifications of deployments, and retries with growing pauses until they are delivered.

mod dispatch;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::api::LogLine;
use crate::clock;
use crate::config::{Config, Target};
use crate::deploy::{self, World};
use crate::forge_api::Refusal;
use crate::model::words;
use crate::model::{Happening, TargetId, Timestamp};
use crate::notify::{self, Change, Details, Heard, Notice, OUTPUT_LINES, SendError, Sending};
use crate::store::{DeploymentRow, Message, StoreError};
use crate::worker::Settings;

/// Pause between two looks at the outbox.
const PAUSE: Duration = Duration::from_secs(2);

/// The same where nobody is told of anything: an idle daemon leaves the store alone.
const LONG_PAUSE: Duration = Duration::from_mins(1);

/// A message is given up at this age: who learns of a deployment later than that has learnt it otherwise.
const AGE_MAX: Duration = Duration::from_hours(36);

/// First pause before a message is sent again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Longest pause between two tries.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A channel is in trouble after so many tries of one message.
const TROUBLE_AFTER: u32 = 2;

/// How often a target that keeps failing is told of.
const REMIND_EVERY: Duration = Duration::from_hours(1);

/// Most commits that are looked up for a message.
const CHANGES: usize = 10;

/// Most of a line of output that a message shows, characters.
const LINE_MAX: usize = 300;

/// Bytes at the end of a log in which the last lines of output are looked for.
const TAIL: u64 = 16 * 1024;

/// Sends what waits, for ever.
pub async fn run(world: World, mut settings: watch::Receiver<Settings>) {
    let mut relay = Relay {
        world,
        reminded: HashMap::new(),
        sending: JoinSet::new(),
        busy: HashMap::new(),
    };
    loop {
        let now = settings.borrow_and_update().clone();
        if let Err(error) = relay.round(&now).await {
            tracing::warn!(%error, "could not read the outbox");
        }
        let pause = if tells_anybody(&now.config) { PAUSE } else { LONG_PAUSE };
        tokio::select! {
            // What was sent may have held up others of its channel.
            () = relay.one_sent() => {}
            () = tokio::time::sleep(pause) => {}
            Ok(()) = settings.changed() => {}
        }
    }
}

/// When somebody was told last that a target keeps failing.
type Reminded = HashMap<(String, TargetId), Timestamp>;

struct Relay {
    world: World,
    reminded: Reminded,
    /// A task for each channel that is being sent a message; it gives whether that was taken.
    sending: JoinSet<Result<bool, StoreError>>,
    busy: HashMap<String, AbortHandle>,
}

impl Relay {
    /// Starts to send the next message of each channel. One that does not answer holds up no other.
    async fn round(&mut self, settings: &Settings) -> Result<(), StoreError> {
        let store = self.world.store.clone();
        remind(&self.world, &settings.config, &mut self.reminded).await?;
        self.busy.retain(|_, task| !task.is_finished());
        let in_trouble = store.channels_in_trouble().await?.into_keys();
        for channel in store.outbox_pending().await?.into_keys().chain(in_trouble) {
            // What is being sent would note its trouble behind it.
            if !is_configured(&settings.config, &channel) && !self.busy.contains_key(&channel) {
                store.drop_channel(channel).await?;
            }
        }
        for message in store.outbox(clock::now()).await? {
            let channel = message.channel.clone();
            if !self.busy.contains_key(&channel) {
                let (world, settings) = (self.world.clone(), settings.clone());
                let task = self
                    .sending
                    .spawn(async move { deliver(&world, &settings, message).await });
                self.busy.insert(channel, task);
            }
        }
        Ok(())
    }

    /// Waits until a message was taken; for ever, if none is being sent.
    async fn one_sent(&mut self) {
        loop {
            match self.sending.join_next().await {
                Some(Ok(Ok(true))) => return,
                Some(Ok(Ok(false))) => {}
                Some(Ok(Err(error))) => tracing::warn!(%error, "the outbox could not be changed"),
                Some(Err(error)) => tracing::warn!(%error, "a message could not be sent"),
                None => return std::future::pending().await,
            }
        }
    }
}

/// Whether the configuration has any channel.
fn tells_anybody(config: &Config) -> bool {
    !config.notify.is_empty() || config.repos.values().any(|repo| repo.dispatch.is_some())
}

fn is_configured(config: &Config, channel: &str) -> bool {
    let dispatches = |name| config.repos.get(&name).is_some_and(|repo| repo.dispatch.is_some());
    config.notify.contains_key(channel) || notify::dispatching(channel).is_some_and(dispatches)
}

async fn deliver(world: &World, settings: &Settings, message: Message) -> Result<bool, StoreError> {
    let (store, now) = (&world.store, clock::now());
    let Ok(notice) = serde_json::from_str::<Notice>(&message.body) else {
        // Written by an earlier version.
        store.sent(message).await?;
        return Ok(true);
    };
    let channel = message.channel.clone();
    let Err(error) = send(world, settings, &channel, &notice, &format!("hookd-{}", message.id)).await else {
        store.sent(message).await?;
        return Ok(true);
    };
    let age = now.since(Timestamp(notice.at));
    let wait = match error.refusal {
        Refusal::Permanent => None,
        Refusal::Passing if age > AGE_MAX => None,
        Refusal::Passing => Some(
            FIRST_WAIT
                .saturating_mul(2_u32.saturating_pow(message.attempt))
                .min(LONGEST_WAIT),
        ),
        Refusal::Limited(pause) => Some(pause),
    };
    let Some(wait) = wait else {
        tracing::error!("notify {channel}: given up: {error}");
        store.give_up(message, error.reason, now).await?;
        return Ok(false);
    };
    tracing::warn!("notify {channel}: {error}; retrying in {} s", wait.as_secs());
    let trouble = (message.attempt + 1 >= TROUBLE_AFTER).then_some(error.reason);
    store.send_later(message, now.after(wait), trouble, now).await?;
    Ok(false)
}

/// Sends one message now, to a channel of the configuration.
pub async fn send(
    world: &World,
    settings: &Settings,
    channel: &str,
    notice: &Notice,
    id: &str,
) -> Result<Heard, SendError> {
    if let Some(name) = notify::dispatching(channel) {
        let (notice, details) = look_up(world, settings, notice.clone()).await;
        return dispatch::send(world, settings, &name, &notice, &details).await;
    }
    let Some(notify) = settings.config.notify.get(channel) else {
        let reason = format!("there is no [notify.{channel}]");
        let refusal = Refusal::Permanent;
        return Err(SendError { reason, refusal });
    };
    let (notice, details) = look_up(world, settings, notice.clone()).await;
    let sending = Sending {
        name: channel,
        channel: notify,
        secrets: &settings.secrets,
        notice: &notice,
        details: &details,
        id: id.to_owned(),
        time: settings.config.limits.message_time,
    };
    notify::send(&world.program, &sending).await
}

/// The details of a deployment, as far as the store, the mirror and the log have them.
async fn look_up(world: &World, settings: &Settings, mut notice: Notice) -> (Notice, Details) {
    let mut details = Details::default();
    let id = notice.target.parse::<TargetId>().ok();
    let Some((repo, target)) = id.and_then(|id| settings.config.target(&id)) else {
        return (notice, details);
    };
    details.full_name.clone_from(&repo.full_name);
    details.site = site(target);
    let row = world.store.deployment(notice.deployment).await.ok().flatten();
    let Some((row, _)) = row else {
        return (notice, details);
    };
    details.duration = row.finished_at.map(|end| end - row.started_at);
    details.link = settings.config.deployment_url(row.id);
    notice.git_ref = row.git_ref.to_string();
    notice.commit = row.commit.as_ref().map(ToString::to_string).or(notice.commit);
    notice.previous_commit = row.previous_commit.as_ref().map(ToString::to_string);
    if let Some(to) = notice.commit.as_deref().and_then(|commit| commit.parse().ok()) {
        let mirror = deploy::mirror(&settings.config, repo);
        let never = CancellationToken::new();
        let found = world
            .git
            .since(&mirror, row.previous_commit.as_ref(), &to, CHANGES, &never)
            .await;
        let (commits, count) = found.unwrap_or_default();
        details.count = count;
        let change = |c: crate::git::Fetched| Change {
            commit: c.commit.to_string(),
            subject: c.subject,
            author: c.author,
        };
        details.changes = commits.into_iter().map(change).collect();
    }
    if !notice.is_good() {
        details.output = last_output(world, settings, &row);
    }
    (notice, details)
}

/// The last lines that a command of the failed phase printed, without secrets.
fn last_output(world: &World, settings: &Settings, row: &DeploymentRow) -> Vec<String> {
    let (lines, _) = world.logs.tail(row.id, TAIL).unwrap_or_default();
    let phase = row.came_to().as_str();
    let is_printed = |line: &LogLine| matches!(line.stream.as_str(), "stdout" | "stderr");
    let of_phase = lines
        .into_iter()
        .filter(|line| line.phase == phase)
        .skip_while(|line| !is_printed(line));
    // What hookd says ends it: what the same phase prints on the way back is not why it failed.
    let printed = of_phase.take_while(is_printed);
    let texts: Vec<String> = printed
        .map(|line| settings.secrets.mask(&plain(&line.text)))
        .filter(|text| !text.trim().is_empty())
        .collect();
    texts[texts.len().saturating_sub(OUTPUT_LINES)..].to_vec()
}

/// A line without colours and other marks of terminals, and of bearable length.
fn plain(line: &str) -> String {
    words::shown(&anstream::adapter::strip_str(line).to_string(), LINE_MAX)
}

/// Where people see the site.
fn site(target: &Target) -> Option<String> {
    target.url.as_ref().map(ToString::to_string)
}

/// Tells who wants to know, once an hour, that a target still fails.
async fn remind(world: &World, config: &Config, reminded: &mut Reminded) -> Result<(), StoreError> {
    let now = clock::now();
    for target in config.repos.values().flat_map(|repo| repo.targets.values()) {
        let wants = |name: &&String| {
            config
                .notify
                .get(*name)
                .is_some_and(|n| n.on.contains(&Happening::StillFailing))
        };
        let channels: Vec<&String> = target.notify.iter().filter(wants).collect();
        if channels.is_empty() {
            continue;
        }
        let standing = world.store.standing(&target.id, 0).await?;
        for channel in channels {
            let key = (channel.clone(), target.id.clone());
            let (Some(since), Some(deployment)) = (standing.failing_since, standing.failing) else {
                reminded.remove(&key);
                continue;
            };
            let (last, is_due) = reminder(reminded.get(&key).copied(), since, now);
            reminded.insert(key, last);
            if is_due {
                let notice = still_failing(world, target, deployment, now).await?;
                world.store.tell(channel.clone(), notice.to_json()).await?;
            }
        }
    }
    Ok(())
}

async fn still_failing(world: &World, target: &Target, deployment: i64, now: Timestamp) -> Result<Notice, StoreError> {
    let row = world.store.deployment(deployment).await?.map(|(row, _)| row);
    let mut notice = Notice::sample(&target.id.to_string(), now.0);
    notice.happening = Happening::StillFailing.to_string();
    notice.deployment = deployment;
    if let Some(row) = row {
        notice.outcome = row.outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
        notice.reason = row.reason.unwrap_or_default();
        notice.git_ref = row.git_ref.to_string();
        notice.commit = row.commit.map(|commit| commit.to_string());
    }
    Ok(notice)
}

/// When a channel was told last of a target that fails since then, and whether it is to be told now. What it was told before a start is
/// not known: the first time is half an hour after it.
fn reminder(last: Option<Timestamp>, since: Timestamp, now: Timestamp) -> (Timestamp, bool) {
    let last = last.unwrap_or_else(|| since.max(now.before(REMIND_EVERY / 2)));
    let is_due = now.since(last) >= REMIND_EVERY;
    (if is_due { now } else { last }, is_due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_is_told_of_once_an_hour() {
        let start = Timestamp(1_795_000_000_000);
        let minutes = |minutes| start.after(Duration::from_mins(minutes));
        let told = |since: Timestamp| {
            let (mut last, mut told) = (None, Vec::new());
            for minute in 0..200 {
                let (then, is_due) = reminder(last, since, minutes(minute));
                last = Some(then);
                told.extend(is_due.then_some(minute));
            }
            told
        };
        assert_eq!(told(start), [60, 120, 180], "from the failure on");
        assert_eq!(
            told(start.before(Duration::from_hours(9))),
            [30, 90, 150],
            "from a start on"
        );
    }
}
