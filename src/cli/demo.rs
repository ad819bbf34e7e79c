//! `hookd demo` (to come)
use std::process::ExitCode;
use super::arguments::Demo;
use super::output::Failure;
/// Runs the command.
pub fn run(_options: &Demo) -> Result<ExitCode, Failure> {
    Err(Failure::failed("to come"))
}
