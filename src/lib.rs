//! hookd deploys a git repository to the machine it runs on.

pub mod cli;
pub mod config;
pub mod deploy;
pub mod exec;
pub mod explain;
pub mod forge;
pub mod git;
pub mod http;
pub mod model;
pub mod release;
pub mod rules;
pub mod store;
