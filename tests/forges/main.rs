//! The forges' dialects from outside: recorded payloads, published signature vectors, rules, and hostile input.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod bits;
mod claims;
mod dialects;
mod explain;
mod hostile;
mod payloads;
mod rules;
mod sending;
mod signatures;
mod support;
