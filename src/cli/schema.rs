//! `hookd schema`: the JSON Schema of the configuration, for editors; or the example that shows every key.

use std::process::ExitCode;

use clap::Args;

use super::output::{self, Failure};
use crate::config;

/// `hookd schema`
#[derive(Debug, Args)]
pub struct Schema {
    /// Print a configuration with every key and its default instead.
    #[arg(long)]
    pub example: bool,
}

/// Runs the command.
pub fn run(options: &Schema) -> Result<ExitCode, Failure> {
    if options.example {
        output::line(config::example().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    output::json(&config::schema())
}
