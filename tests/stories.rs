//! hookd from outside, as stories: a push, a delivery, and what is served in the end. Each story has a world of its own: a
//! repository made by the real git program, a daemon process, and a forge that signs with its own code. One program for all, since
//! linking takes longer than most of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

mod conditions;
mod delivery;
mod support;

mod stories {
    mod access;
    mod add;
    mod audit;
    mod bombs;
    mod budget;
    mod cases;
    mod chain;
    mod cli;
    mod commands;
    mod content;
    mod crash;
    mod demo;
    mod described;
    mod description;
    mod disk;
    mod dispatch;
    mod doctor;
    mod failure;
    mod flood;
    mod github;
    mod history;
    mod import;
    mod judged;
    mod leftovers;
    mod log_in;
    mod machine;
    mod mistakes;
    mod monitoring;
    mod pagure;
    mod person;
    mod push;
    mod queue;
    mod redelivery;
    mod refusals;
    mod remote;
    mod removed;
    mod replaced;
    mod requests;
    mod rest;
    mod restart;
    mod rotate;
    mod slow;
    mod spare;
    mod statuses;
    mod strangers;
    mod streams;
    mod taken;
    mod talk;
    mod terminal;
    mod tls;
    mod tokens;
    mod troubles;
}
