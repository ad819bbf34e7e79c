//! hookd as a service of a real systemd: on throw-away machines, each a container with its own systemd, journal and network.
//! `tests/run` runs these; they need root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[path = "lab/container.rs"]
mod container;

mod lab {
    mod boot;
    mod isolation;
    mod limits;
    mod site;
}
