//! The conditions that a push must meet before it is deployed, from outside: signatures, source addresses, CI checks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

mod support;

mod conditions {
    mod api;
    mod checks;
    mod keys;
    mod openpgp;
    mod signed;
    mod sources;
    mod ssh;
}
