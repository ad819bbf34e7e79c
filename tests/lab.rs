//! hookd as a service of a real systemd: on throw-away machines, each a container with its own systemd, journal and network.
//! `tests/run` runs these; they need root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[path = "lab/bench.rs"]
mod bench;
#[path = "lab/container.rs"]
mod container;
#[path = "lab/deb.rs"]
mod deb;
#[path = "lab/site.rs"]
mod site;
mod support;

mod lab {
    mod attacks;
    mod boot;
    mod builds;
    mod doctor;
    mod install;
    mod isolation;
    mod journal;
    mod life;
    mod limits;
    mod others;
    mod pagure;
    mod phases;
    mod proxies;
    mod restart;
    mod secrets;
}
