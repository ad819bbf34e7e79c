//! `hookd demo` (to come)
use super::arguments::Demo;
use super::output::Failure;
use std::process::ExitCode;
/// Runs the command.
pub fn run(_options: &Demo) -> Result<ExitCode, Failure> {
    Err(Failure::failed("to come"))
}
