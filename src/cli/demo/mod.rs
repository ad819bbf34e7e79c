//! `hookd demo`: the main job on this machine, from the push to the page, in a temporary directory and on loopback.

mod daemon;
mod forge;
mod git;
mod narrate;
mod peer;
mod serve;
mod show;
mod site;
mod stage;
mod story;

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::output::Failure;

use show::Show;
use stage::Stage;

/// `hookd demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Exit after everything was shown once.
    #[arg(long)]
    pub once: bool,
}

/// How a demo ended.
enum Ending {
    /// All was seen, and with `--once` that is all.
    Told,
    /// It was stopped.
    Stopped,
    /// Something was not as it should be.
    Wrong(Failure),
}

/// Runs the command.
pub fn run(options: &Demo) -> Result<ExitCode, Failure> {
    block_on(async {
        let (stop, closed) = (CancellationToken::new(), CancellationToken::new());
        stop_on_signals(&stop)?;
        let show = Show::new(closed.clone());
        let mut stage = Stage::new()?;
        let ending = tokio::select! {
            told = story::play(&mut stage, &show, options.once) => match told {
                Ok(()) => Ending::Told,
                Err(failure) => Ending::Wrong(failure),
            },
            () = stop.cancelled() => Ending::Stopped,
            () = closed.cancelled() => Ending::Stopped,
        };
        end(stage, &show, ending).await
    })
}

/// Takes everything away again; only a daemon's log that may say what went wrong is left.
async fn end(mut stage: Stage, show: &Show, ending: Ending) -> Result<ExitCode, Failure> {
    stage.close().await;
    let told = stage.told;
    let log = stage.log_tail();
    match ending {
        Ending::Wrong(failure) => {
            let failure = failure.within(&format!("the demo failed at “{}”", show.current()));
            let Some(log) = log else {
                stage.remove().await?;
                return Err(failure);
            };
            let at = stage.keep().display().to_string();
            let hint = format!("all of it is left in {at} (the log: {at}/hookd.log); remove it with rm -r");
            Err(failure.cause(format!("the daemon's log ends with\n{log}")).hint(hint))
        }
        Ending::Told | Ending::Stopped => {
            stage.remove().await?;
            if matches!(ending, Ending::Stopped) && !told && !show.is_closed() {
                return Err(Failure::failed("the demo was interrupted"));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Ctrl-C, `kill`, and the end of the terminal.
fn stop_on_signals(stop: &CancellationToken) -> Result<(), Failure> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).map_err(|e| Failure::failed(format!("cannot receive signals: {e}")))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}
