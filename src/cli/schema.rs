//! `hookd schema`: the JSON Schema of the configuration, for editors; or the example that shows every key.

use std::process::ExitCode;

use super::arguments::Schema;
use super::output::{self, Failure};
use crate::config;

/// Runs the command.
pub fn run(options: &Schema) -> Result<ExitCode, Failure> {
    if options.example {
        output::line(config::example().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    output::json(&config::schema())
}
