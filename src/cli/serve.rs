//! `hookd serve`: the daemon, in the foreground.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::{LogFormat, Serve};
use super::output::{Code, Failure};
use crate::daemon::{self, StartError};
use crate::logging::{self, Format};

/// Threads that do the daemon's work: none of it computes for long, and each costs memory.
const THREADS: usize = 2;

/// Threads for what blocks: reading the store, and moving files.
const BLOCKING_THREADS: usize = 8;

/// Settings of the C library's allocator, with which an idle daemon stays small: large bodies are mapped and unmapped
/// (its own threshold would grow with the first one, and keep all later ones), freed memory goes back to the system, and
/// few threads need few arenas. See mallopt(3).
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ("MALLOC_ARENA_MAX", "2"),
];

/// Starts this program again, in this same process, with the allocator's settings: they are read before `main`. If that
/// can't be done, the daemon runs all the same, and is larger after a flood.
fn with_lean_allocator() {
    if ALLOCATOR.iter().all(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let (Ok(program), mut arguments) = (std::env::current_exe(), std::env::args_os()) else {
        return;
    };
    let name = arguments.next().unwrap_or_else(|| "hookd".into());
    let error = std::process::Command::new(program)
        .arg0(name)
        .args(arguments)
        .envs(ALLOCATOR)
        .exec();
    eprintln!("hookd: the allocator keeps its own settings: {error}");
}

/// Runs the daemon until it is told to stop.
pub fn run(config: &Path, options: &Serve) -> Result<ExitCode, Failure> {
    with_lean_allocator();
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
