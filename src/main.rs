//! hookd: run, then an exit code.

use std::process::ExitCode;

/// Gives memory back to the system soon after a flood; the C library's allocator keeps what lies between what is in use.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hookd::cli::main()
}
