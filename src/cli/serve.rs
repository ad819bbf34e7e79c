//! `hookd serve`: the daemon, in the foreground.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::output::{Code, Failure};
use crate::daemon::{self, StartError};
use crate::logging::{self, Format};

/// `hookd serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Format of log lines; default: journal under systemd, else text.
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// One readable line each, on stderr.
    Text,
    /// One JSON object each, on stderr.
    Json,
    /// To systemd's journal.
    Journal,
}

/// Threads that do the daemon's work: none of it computes for long, and each costs memory.
const THREADS: usize = 2;

/// Threads for what blocks: reading the store, and moving files.
const BLOCKING_THREADS: usize = 8;

/// Runs the daemon until it is told to stop.
pub fn run(config: &Path, options: &Serve) -> Result<ExitCode, Failure> {
    let format = options.log_format.map(|format| match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
        LogFormat::Journal => Format::Journal,
    });
    logging::start(format).map_err(Failure::failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("no runtime: {e}")))?;
    let file = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    match runtime.block_on(daemon::run(&file)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(StartError::Config(text)) => {
            eprintln!("{text}\n");
            Err(Failure::new(
                Code::Config,
                format!("{} is not a usable configuration", file.display()),
            ))
        }
        Err(StartError::Other { what, hint }) => Err(Failure::failed(what).hint(hint)),
    }
}
