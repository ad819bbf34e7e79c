//! hookd deploys a git repository to the machine it runs on, when the forge says that it was pushed. This is the map.
//!
//! # Floors
//!
//! A room imports only rooms on the floors below its own, never a neighbour; `tests/tidy.rs` holds it to that.
//!
//! | floor | rooms | what is there |
//! |---|---|---|
//! | words | [`model`] | checked values: names, refs, commits, outcomes, secrets |
//! | wire | [`api`], [`dialects`] | what the control socket takes and gives; what each forge sends, a file for each |
//! | ground | [`config`], [`clock`], [`web`], [`manifest`], [`terminal`] | the valid configuration; the time; one outgoing HTTP request; what the files of a release looked like; what a terminal shows of what programs print |
//! | doors | [`forge`], [`forge_api`], [`signature`], [`store`], [`git`], [`exec`], [`release`], [`probe`], [`logbook`], [`logging`], [`memory`] | one outside thing each: deliveries of forges, their APIs, signatures of commits, the only SQL, the only libgit2, the only commands, the only mover of `current`, URLs that are asked, logs of deployments, the journal, the pages of the program |
//! | judgement | [`rules`], [`access`], [`schedule`], [`checks`], [`notify`] | what a delivery means; what a token may; which job starts; whether CI is green; who is told what |
//! | story | [`deploy`], [`explain`] | a deployment on one page; the same questions without doing anything |
//! | hands | [`worker`] | claims a job, has it run, records its end |
//! | loops | [`poll`], [`ranges`], [`relay`], [`report`] | look at the remotes; keep the addresses of forges; drain the outbox; tell the forge |
//! | intake | [`intake`] | a delivery from bytes to stored jobs, on one page |
//! | eyes | [`overview`] | what the daemon shows of itself: one judgement for page, API, metrics and command line |
//! | acts | [`operate`] | what a person or a program can have done, wherever they ask |
//! | faces | [`http`] | the public listener for forges, the control listener for people |
//! | service | [`systemd`] | the sockets from systemd, and notifications to it |
//! | root | [`daemon`] | builds all of this, reloads it, stops it |
//! | place | [`machine`] | who the daemon is here, and what its unit allows |
//! | set-up | [`setup`] | a new repo in one go |
//! | care | [`doctor`] | everything that can be wrong on this machine, each with its fix |
//! | people | [`cli`] | one file per command; the only place that prints |
//!
//! # The way of a delivery: each step eats the last one's value
//!
//! ```text
//!  1  http::listener   a place before accept, then deadlines and limits          bytes
//!  2  http::hook       the path names the repo, so the secret is known           Arrival
//!  3  forge::verify    constant time, over the raw bytes                         Verified, or 401
//!  4  forge::parse     only what is Verified can be parsed                       events, or 400
//!  5  rules::judge     pure                                                      Verdicts
//!  6  store::accept    one durable transaction: dedupe, delivery, jobs           Accepted
//!  7  http::hook       202; to wake the worker is a hint, the table is the truth
//! ---- the sender is gone; nothing below reaches back up ----
//!  8  worker           schedule::next, store::claim                              Claim
//!  9  deploy::run      fetch, build, activate, reload, check; one way back       End
//! 10  store::finish    outcome, what is live and the outbox, one transaction
//! 11  relay            notifications, retried until delivered
//! ```
//!
//! Steps 3 to 6 stand as one function, `Intake::take` in [`intake`]. `hookd deploy`, `retry` and `rollback` and the poll enter at 6, `replay` at 4: there is one way to deploy.
//!
//! # Processes
//!
//! The daemon starts nothing but itself: `hookd git-worker` for each call of [`git`], and for each command of [`exec`] a
//! supervisor that adopts and kills whatever the command leaves behind. Both end when the daemon does. Where systemd and root let
//! it, the supervisor has the command run in a unit of its own, and is then in two halves, one of them inside.

pub mod access;
pub mod api;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod deploy;
pub mod dialects;
pub mod doctor;
pub mod exec;
pub mod explain;
pub mod forge;
pub mod forge_api;
pub mod git;
pub mod http;
pub mod intake;
pub mod logbook;
pub mod logging;
pub mod machine;
pub mod manifest;
pub mod memory;
pub mod model;
pub mod notify;
pub mod operate;
pub mod overview;
pub mod poll;
pub mod probe;
pub mod ranges;
pub mod relay;
pub mod release;
pub mod report;
pub mod rules;
pub mod schedule;
pub mod setup;
pub mod signature;
pub mod store;
pub mod systemd;
pub mod terminal;
pub mod web;
pub mod worker;
