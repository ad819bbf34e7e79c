//! Fuzzes `entries/proxies.rs`, which says what holds.

#![no_main]

#[allow(dead_code, reason = "each target calls one entry")]
#[path = "../entries/mod.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::proxies::run(data));
