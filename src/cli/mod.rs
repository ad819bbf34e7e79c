//! The command line: one file per command; the only place that prints.

use std::process::ExitCode;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == crate::exec::SUBCOMMAND)
    {
        return crate::exec::supervisor_main();
    }
    ExitCode::SUCCESS
}
