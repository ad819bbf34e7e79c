//! The composition root: builds everything, starts it, reloads it, stops it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::Logins;
use crate::api::RefusedConfiguration;
use crate::config::{self, Config, SecretSource};
use crate::deploy::{Spares, World};
use crate::forge_api::Tokens;
use crate::git::{Bounds, Git};
use crate::http::listener::{self, Face, Socket};
use crate::http::tls::Terminator;
use crate::http::{App, Budget, Changes, Health, Metrics, Streams};
use crate::intake::Intake;
use crate::logbook::LogBook;
use crate::model::Timestamp;
use crate::operate::Operator;
use crate::overview::Overview;
use crate::poll::Poller;
use crate::ranges::Ranges;
use crate::store::{Store, StoreError};
use crate::worker::{Settings, Worker};
use crate::{clock, memory, relay, report, signature, systemd};

mod error;
mod sockets;
mod state_dir;

pub use error::StartError;
use sockets::Sockets;
use state_dir::StateDir;

/// How often what is too old is removed from the history.
const TIDY_EVERY: Duration = Duration::from_hours(1);

/// A difference between wall clock and monotonic clock that counts as a clock that was set: slewing makes less of it.
const CLOCK_STEP: Duration = Duration::from_secs(5);

/// How often systemd's `status` is brought up to date if nothing seems to happen.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// How long systemd's `status` stays at least: deployments may come and go faster than anybody reads.
const STATUS_STAYS: Duration = Duration::from_millis(200);

/// How long store and worker may take to answer before we stop pinging the watchdog.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What stopping may take besides the deployments: answering the connections that are open.
const STOP_SPARE: Duration = Duration::from_secs(10);

/// Reads the configuration with its secrets. The error is ready to be shown; warnings are given back.
pub fn read_settings(file: &Path) -> Result<(Settings, Vec<String>), String> {
    let read_at = clock::now();
    let found = config::examine(file);
    let Some((config, secrets)) = found.usable else {
        let diagnostics = found.errors;
        return Err(config::Report { diagnostics }.to_string());
    };
    let settings = Settings {
        config: Arc::new(config),
        secrets: Arc::new(secrets),
        read_at,
    };
    Ok((settings, found.warnings.iter().map(ToString::to_string).collect()))
}

/// Runs the daemon until it is told to stop.
pub async fn run(file: &Path) -> Result<(), StartError> {
    let (settings, warnings) = read_settings(file).map_err(StartError::Config)?;
    let config = Arc::clone(&settings.config);
    warn_of(&settings, &warnings);
    let state = StateDir::own(&config.state_dir).await?;
    let world = open_world(&config, &state)?;
    let sockets = Sockets::open(&config).await?;
    let daemon = Daemon::build(file, settings, world);
    daemon.serve(sockets, &state).await
}

fn warn_of(settings: &Settings, warnings: &[String]) {
    // A log entry is one line; what stands above a caret is none of a stranger's words.
    for line in warnings.iter().flat_map(|warning| warning.lines()) {
        tracing::warn!("{line}");
    }
    for problem in signature::problems(&settings.config) {
        tracing::warn!("{problem}");
    }
    for repo in settings.config.repos.values() {
        if repo.secret.contains(&SecretSource::InsecureNone) {
            tracing::warn!(
                "repo {} has no secret: WHOEVER REACHES THE LISTENER CAN DEPLOY IT",
                repo.name
            );
        }
    }
}

fn open_world(config: &Config, state: &StateDir) -> Result<World, StartError> {
    let limits = &config.limits;
    let file = config.state_dir.join("hookd.db");
    let (store, _) =
        Store::open(&file, limits.queue).map_err(|e| StartError::new(format!("{}: {e}", file.display()), None))?;
    let logs = config.state_dir.join("logs");
    let logs = LogBook::open(logs.clone(), limits.output)
        .map_err(|e| StartError::new(format!("{}: {e}", logs.display()), None))?;
    let program = PathBuf::from("/proc/self/exe");
    let (lifeline, scratch) = (state.lifeline(), state.scratch());
    let git = Git::new(program.clone(), limits.fetch_idle, limits.fetch_total)
        .held_by(lifeline.clone(), scratch)
        .ahead();
    let git = git.within(Bounds {
        file_size: limits.file_size,
        files: limits.files,
    });
    Ok(World {
        store,
        git,
        logs,
        program,
        units: Arc::default(),
        lifeline,
        spares: Spares::default(),
        tokens: Tokens::default(),
    })
}

/// Everything that runs.
struct Daemon {
    file: PathBuf,
    app: Arc<App>,
    settings: watch::Sender<Settings>,
    reload_error: watch::Sender<Option<RefusedConfiguration>>,
}

impl Daemon {
    fn build(file: &Path, settings: Settings, world: World) -> Self {
        let (sender, receiver) = watch::channel(settings);
        let (reload_error, reload_errors) = watch::channel(None);
        let (ended, mut endings) = tokio::sync::mpsc::unbounded_channel::<crate::worker::Ended>();
        let worker = Worker::new(world.clone(), receiver.clone(), move |end| {
            // The daemon's other end is gone only when it stops.
            let _ = ended.send(end);
        });
        let poller = Poller::new(world.clone(), worker.clone());
        let ranges = Ranges::open(&receiver.borrow().config);
        let intake = Intake::new(world.store.clone(), worker.clone(), poller.clone(), ranges.clone());
        let intake = Arc::new(intake);
        let overview = Overview {
            intake: intake.clone(),
            world: world.clone(),
            worker: worker.clone(),
            poller: poller.clone(),
            ranges: ranges.clone(),
            settings: receiver.clone(),
            reload_error: reload_errors,
            started: clock::now(),
            listening: Arc::default(),
        };
        let operator = Operator {
            intake: intake.clone(),
            logins: Arc::new(Logins::new(world.store.clone())),
            world: world.clone(),
            worker: worker.clone(),
            poller: poller.clone(),
            settings: receiver.clone(),
        };
        let bodies = Budget::new(receiver.borrow().config.state_dir.clone());
        let app = Arc::new(App {
            overview,
            operator,
            world,
            worker,
            poller,
            ranges,
            settings: receiver,
            intake,
            metrics: Metrics::default(),
            bodies: Arc::new(bodies),
            health: Health::default(),
            streams: Streams::default(),
            changes: Changes::default(),
        });
        let watching = Arc::downgrade(&app);
        tokio::spawn(async move {
            while let Some(end) = endings.recv().await {
                let Some(app) = watching.upgrade() else { return };
                app.deployment_ended(&end).await;
            }
        });
        Self {
            file: file.to_owned(),
            app,
            settings: sender,
            reload_error,
        }
    }

    async fn serve(&self, sockets: Sockets, state: &StateDir) -> Result<(), StartError> {
        let failed = |e: std::io::Error| StartError::new(format!("signals can't be received: {e}"), None);
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let (accept, work) = (CancellationToken::new(), CancellationToken::new());
        let tls = self
            .settings
            .borrow()
            .config
            .http
            .tls
            .as_ref()
            .map(Terminator::new)
            .transpose();
        let tls = tls.map_err(|e| StartError::new(e, None))?.map(Arc::new);
        // Said before the first answer goes out; the sockets are bound, so nobody is turned away meanwhile.
        tracing::info!("hookd {} is ready", env!("CARGO_PKG_VERSION"));
        let listening = sockets.public.iter().filter_map(Socket::address).collect();
        self.app.overview.listening.get_or_init(|| listening);
        let mut listeners = tokio::task::JoinSet::new();
        for socket in sockets.public {
            listeners.spawn(listener::serve(
                socket,
                Face::Public,
                tls.clone(),
                Arc::clone(&self.app),
                accept.clone(),
            ));
        }
        let control = CancellationToken::new();
        let mut controls = tokio::task::JoinSet::new();
        for socket in sockets.control {
            controls.spawn(listener::serve(
                socket,
                Face::Control,
                None,
                Arc::clone(&self.app),
                control.clone(),
            ));
        }
        for socket in sockets.status {
            // What stays on this machine is in the clear: its readers, such as Prometheus, know no certificate.
            let tls = tls.clone().filter(|_| !socket.is_local());
            controls.spawn(listener::serve(
                socket,
                Face::Status,
                tls,
                Arc::clone(&self.app),
                control.clone(),
            ));
        }
        // Deliveries are taken from here on. What looks for processes of a killed daemon or reads a long history begins later.
        systemd::ready(&status_line(&self.app).await);
        state.settle().await?;
        let mut watch = CancellationToken::new();
        let settings = self.settings.borrow().clone();
        self.app.poller.watch(&settings, &watch);
        let worker = self.app.worker.clone();
        let working = tokio::spawn({
            let work = work.clone();
            async move { worker.run(work).await }
        });
        let chores = tokio::spawn(chores(Arc::clone(&self.app)));
        let saving = tokio::spawn(save_memory());
        let ranges = tokio::spawn(self.app.ranges.clone().run(self.app.settings.clone()));
        let relaying = tokio::spawn(relay::run(self.app.world.clone(), self.app.settings.clone()));
        let reporting = tokio::spawn(report::run(self.app.world.clone(), self.app.settings.clone()));
        let trial = {
            let world = self.app.world.clone();
            tokio::spawn(async move { world.units.tell(&world.program).await })
        };
        let guard = tokio::spawn(keep_watchdog(Arc::clone(&self.app)));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => watch = self.reload(watch).await,
            }
        }
        let grace = self.settings.borrow().config.limits.stop_grace;
        tracing::info!("stopping");
        // Its next line would take the place of what is said here.
        chores.abort();
        systemd::stopping(&stopping_line(&self.app), grace * 2 + STOP_SPARE);
        watch.cancel();
        work.cancel();
        // What comes in meanwhile is stored and answered; the next start deploys it.
        self.app.worker.finish(grace).await;
        accept.cancel();
        listeners.join_all().await;
        control.cancel();
        controls.join_all().await;
        for task in [working, ranges, relaying, reporting, trial, guard, saving] {
            task.abort();
        }
        for path in sockets.made {
            // A socket that is gone already is what is wanted.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// All or nothing: a broken file changes nothing, and says so.
    async fn reload(&self, watch: CancellationToken) -> CancellationToken {
        systemd::reloading();
        let (file, at) = (self.file.clone(), clock::now().0);
        let read = tokio::task::spawn_blocking(move || read_settings(&file)).await;
        let read = read.unwrap_or_else(|e| Err(e.to_string()));
        let watch =
            match read.and_then(|(settings, warnings)| self.unchangeable(&settings).map(|()| (settings, warnings))) {
                Ok((settings, warnings)) => {
                    warn_of(&settings, &warnings);
                    let known = settings
                        .config
                        .repos
                        .values()
                        .flat_map(|r| r.targets.values())
                        .map(|t| t.id.clone())
                        .collect();
                    if let Err(error) = self.app.world.store.drop_unknown(known, clock::now()).await {
                        tracing::warn!(%error, "jobs of removed targets are still queued");
                    }
                    watch.cancel();
                    let watch = CancellationToken::new();
                    self.app.poller.watch(&settings, &watch);
                    self.settings.send_replace(settings);
                    self.reload_error.send_replace(None);
                    self.app.worker.wake();
                    tracing::info!("the configuration was read again");
                    watch
                }
                Err(error) => {
                    tracing::error!("the configuration was not reloaded; the previous one stays in force:");
                    let lines = error.lines().filter(|line| !line.is_empty());
                    lines.for_each(|line| tracing::error!("{line}"));
                    self.reload_error
                        .send_replace(Some(RefusedConfiguration { at, why: error }));
                    watch
                }
            };
        systemd::ready(&status_line(&self.app).await);
        watch
    }

    /// What only a restart can change.
    fn unchangeable(&self, new: &Settings) -> Result<(), String> {
        let old = self.settings.borrow().config.clone();
        let changed = [
            ("state_dir", old.state_dir != new.config.state_dir),
            ("listen", old.listen != new.config.listen),
            ("control", old.control != new.config.control),
            ("http.status", old.http.status != new.config.http.status),
            ("http.tls", old.http.tls != new.config.http.tls),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("`{key}` was changed; that requires a restart (systemctl restart hookd)");
        }
        if changed[0].1 {
            return Err("`state_dir` can't be changed while hookd runs".to_owned());
        }
        Ok(())
    }
}

impl App {
    /// What follows a deployment: counters, and a look whether somebody pushed meanwhile.
    async fn deployment_ended(&self, end: &crate::worker::Ended) {
        let name = end.target.to_string();
        self.metrics.deployment(&name, end.outcome);
        if let Ok(Some((_, phases))) = self.world.store.deployment(end.deployment).await {
            for phase in phases {
                let took = phase.finished_at.unwrap_or(phase.started_at) - phase.started_at;
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "milliseconds of a deployment are far below 2^52"
                )]
                self.metrics.phase(&name, phase.phase.as_str(), took as f64 / 1000.0);
            }
        }
        self.poller.look_soon(&end.target.repo);
    }
}

/// `2 running, 1 waiting; blog/production live at 3fae91c`, and what a person has to mend.
async fn status_line(app: &App) -> String {
    let store = &app.world.store;
    let (waiting, targets) = match (store.waiting().await, store.targets().await) {
        (Ok(waiting), Ok(targets)) => (waiting.len(), targets),
        (Err(error), _) | (_, Err(error)) => return format!("{} running; {error}", app.worker.running().len()),
    };
    let mut line = format!("{} running, {waiting} waiting", app.worker.running().len());
    let newest = targets.into_iter().max_by_key(|(_, row)| row.live_since);
    if let Some((target, commit)) = newest.and_then(|(name, row)| Some((name, row.live_commit?))) {
        line = format!("{line}; {target} live at {}", commit.short());
    }
    if app.overview.refused().is_some() {
        line += "; the configuration file is broken, the previous one stays in force";
    }
    line
}

/// `stopping; blog/production may finish`
fn stopping_line(app: &App) -> String {
    let running: Vec<String> = app.worker.running().iter().map(|r| r.target.to_string()).collect();
    if running.is_empty() {
        "stopping".to_owned()
    } else {
        format!("stopping; {} may finish", running.join(", "))
    }
}

/// What is done now and then: systemd's status line, and the end of old history.
async fn chores(app: Arc<App>) {
    let mut tidied: Option<std::time::Instant> = None;
    let mut told = String::new();
    let mut clock = WallClock::start(&app).await;
    let mut seen = None;
    loop {
        clock.follow(&app).await;
        let config = Arc::clone(&app.settings.borrow().config);
        let is_broken = app.overview.refused().is_some();
        // As long as all this is the same, nothing below would say or do anything else: an idle daemon leaves the store alone.
        let now = (
            app.world.store.writes(),
            app.worker.running().len(),
            Arc::as_ptr(&config).addr(),
            is_broken,
        );
        if seen != Some(now) {
            let line = status_line(&app).await;
            if line == told || systemd::status(&line) {
                (told, seen) = (line, Some(now));
            }
            if let Err(error) = app.world.store.prune_deliveries(config.limits.deliveries).await {
                tracing::warn!(%error, "the payloads of old deliveries could not be removed");
            }
        }
        if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
            tidied = Some(std::time::Instant::now());
            if let Err(error) = tidy_history(&app).await {
                tracing::warn!(%error, "old history could not be removed");
            }
        }
        tokio::time::sleep(STATUS_STAYS).await;
        tokio::select! {
            () = app.worker.looked() => {}
            () = tokio::time::sleep(STATUS_EVERY) => {}
        }
    }
}

/// Removes what is too old or too much from the history.
async fn tidy_history(app: &App) -> Result<(), StoreError> {
    let (limits, store) = (app.settings.borrow().config.limits.clone(), &app.world.store);
    let before = store.judge_age(clock::now()).await?.before(limits.history_age);
    loop {
        let old = store.old_deployments(before, limits.history_count).await?;
        if old.is_empty() {
            break;
        }
        store.forget_deployments(old.clone()).await?;
        app.world.logs.remove(&old);
    }
    store.prune_history(before).await?;
    store.tidy_access(before, clock::now()).await
}

/// Compares the wall clock, by which waits are stored, with one that nobody sets.
struct WallClock {
    wall: Timestamp,
    steady: std::time::Instant,
}

impl WallClock {
    async fn start(app: &App) -> Self {
        let clock = Self {
            wall: clock::now(),
            steady: std::time::Instant::now(),
        };
        clock.tell(app, 0).await;
        clock
    }

    /// Tells the store if the clock was set since the last call.
    async fn follow(&mut self, app: &App) {
        let (wall, steady) = (clock::now(), std::time::Instant::now());
        let passed = i64::try_from(steady.duration_since(self.steady).as_millis()).unwrap_or(i64::MAX);
        let by = wall.0 - self.wall.0 - passed;
        (self.wall, self.steady) = (wall, steady);
        if by.unsigned_abs() >= u64::try_from(CLOCK_STEP.as_millis()).unwrap_or(u64::MAX) {
            tracing::warn!("the clock was set by {} s", by / 1000);
            self.tell(app, by).await;
        }
    }

    async fn tell(&self, app: &App, by: i64) {
        if let Err(error) = app.world.store.clock_was_set(by, self.wall).await {
            tracing::warn!(%error, "could not adjust timers to the new time");
        }
        app.worker.wake();
    }
}

/// Keeps the daemon small while it has nothing to do.
async fn save_memory() {
    let mut program = memory::Program::new();
    loop {
        tokio::time::sleep(memory::LOOK_EVERY).await;
        program.look();
    }
}

/// Tells systemd that the daemon lives, as long as the store's thread and the worker answer.
async fn keep_watchdog(app: Arc<App>) {
    let Some(interval) = systemd::watchdog_interval() else {
        return;
    };
    loop {
        let alive = async {
            app.worker.answers().await;
            app.world.store.answers().await
        };
        match tokio::time::timeout(ANSWER_TIME, alive).await {
            Ok(Ok(())) => systemd::watchdog(),
            Ok(Err(error)) => tracing::error!(%error, "the store is unhealthy; not pinging the watchdog"),
            Err(_) => tracing::error!("store or worker do not answer; not pinging the watchdog"),
        }
        tokio::time::sleep(interval / 3).await;
    }
}
