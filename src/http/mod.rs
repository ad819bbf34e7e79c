//! The faces that speak HTTP: the public listener for forges, the control listener for people and their tools.

mod answer;
mod api;
mod badge;
mod body;
mod control;
mod etag;
mod hook;
pub mod listener;
mod metrics;
mod page;
pub mod peer;
mod stream;
pub mod tls;
mod visitor;
mod wait;

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Limits;
use crate::deploy::World;
use crate::intake::Intake;
use crate::operate::Operator;
use crate::overview::Overview;
use crate::poll::Poller;
use crate::ranges::Ranges;
use crate::worker::{Settings, Worker};

pub use metrics::Metrics;
pub use page::Changes;

/// What the listeners need to answer.
pub struct App {
    /// What the daemon shows of itself.
    pub overview: Overview,
    /// What people may have done.
    pub operator: Operator,
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
    /// Takes deliveries in.
    pub intake: Arc<Intake>,
    /// Counters.
    pub metrics: Metrics,
    /// Space and memory for large bodies.
    pub bodies: Arc<body::Budget>,
    /// Whether deliveries can be stored.
    pub health: control::Health,
    /// Logs that are followed or read.
    pub streams: stream::Streams,
    /// What deployments brought, as git tells.
    pub changes: page::Changes,
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
pub use control::Health;
pub use stream::Streams;
