//! What is fuzzed: for each kind of bytes that come from outside, a function that takes any and must not panic.
//!
//! The fuzz targets call these with what libFuzzer finds, and `tests/fuzzing.rs` with what it found and with inputs of its own.

pub mod configuration;
pub mod forms;
pub mod names;
pub mod payloads;
pub mod proxies;
pub mod remotes;
pub mod request;
pub mod signatures;
pub mod signers;

/// One of these.
pub type Entry = fn(&[u8]);

/// All of them, by the names of their targets.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("configuration", configuration::run),
    ("forms", forms::run),
    ("names", names::run),
    ("payloads", payloads::run),
    ("proxies", proxies::run),
    ("remotes", remotes::run),
    ("signatures", signatures::run),
    ("signers", signers::run),
];
