//! What the tests from outside share.
// Each test file is a program of its own and uses its part of this; a test that can't go on panics.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod faults;
pub mod git_server;
