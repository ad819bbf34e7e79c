//! The faces that speak HTTP: the public listener for forges, the control listener for people and their tools.

mod answer;
pub mod api;
mod body;
mod control;
mod hook;
pub mod listener;
mod metrics;
mod page;
pub mod peer;
mod stream;
pub mod tls;
mod view;

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Limits;
use crate::deploy::World;
use crate::intake::Intake;
use crate::poll::Poller;
use crate::ranges::Ranges;
use crate::worker::{Settings, Worker};

pub use metrics::Metrics;

/// What the listeners need to answer.
pub struct App {
    /// The doors to the outside.
    pub world: World,
    /// Runs the jobs.
    pub worker: Worker,
    /// Looks at the remotes.
    pub poller: Poller,
    /// The addresses that forges publish.
    pub ranges: Ranges,
    /// The configuration in force.
    pub settings: watch::Receiver<Settings>,
    /// Why the newest file is not in force, if it isn't.
    pub reload_error: watch::Receiver<Option<String>>,
    /// Takes deliveries in.
    pub intake: Intake,
    /// Counters.
    pub metrics: Metrics,
    /// When the daemon started.
    pub started: crate::model::Timestamp,
    /// Where deliveries come in, once that is known: the configuration's addresses, or systemd's.
    pub listening: std::sync::OnceLock<Vec<String>>,
    /// Memory for large bodies.
    pub bodies: Arc<body::Budget>,
}

impl App {
    fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    fn limits(&self) -> Limits {
        self.settings.borrow().config.limits.clone()
    }
}

pub use body::Budget;
