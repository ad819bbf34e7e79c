//! What the tests from outside share.
// Each test file is a program of its own and uses its part of this; a test that can't go on panics.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod daemon;
pub mod faults;
pub mod forge;
pub mod forge_api;
pub mod gate;
pub mod git_server;
pub mod http;
pub mod openapi;
pub mod receiver;
pub mod repo;
pub mod tap;
pub mod terminal;
pub mod world;
