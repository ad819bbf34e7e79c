//! What the tests from outside share.
// Each test file is a program of its own and uses its part of this.
#![allow(dead_code)]

pub mod daemon;
pub mod forge;
pub mod gate;
pub mod http;
pub mod repo;
pub mod world;
