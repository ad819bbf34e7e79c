//! hookd deploys a git repository to the machine it runs on.

pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod deploy;
pub mod exec;
pub mod explain;
pub mod forge;
pub mod git;
pub mod http;
pub mod logbook;
pub mod logging;
pub mod model;
pub mod notify;
pub mod poll;
pub mod probe;
pub mod relay;
pub mod release;
pub mod rules;
pub mod schedule;
pub mod signature;
pub mod store;
pub mod systemd;
pub mod worker;
