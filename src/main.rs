//! hookd: run, then an exit code.

use std::process::ExitCode;

/// Gives memory back to the system soon after a large body or a flood; the C library's allocator keeps it for ever.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookd::cli::main()
}
