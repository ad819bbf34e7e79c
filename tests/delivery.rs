//! Deliveries of every forge over HTTP, signed and sent by somebody else's code: what deploys, what does not, and what is
//! answered to those that are wrong. The README's table of forges stands on these tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

mod support;

mod delivery {
    mod checks;
    mod events;
    mod hooks;
    mod live;
    mod printed;
    mod refused;
    mod sender;
}
