//! hookd: run, then an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookd::cli::main()
}
