//! A forge's delivery: whether it is genuine, and what it says in hookd's own words.
//!
//! A delivery goes through this room one way: [`detect`] tells the forge from the headers, [`verify`] checks the
//! signature over the raw bytes and is the only maker of [`Verified`], and [`parse`] turns a `Verified` into events. What differs
//! from forge to forge is in [`crate::dialects`]. Pure: no I/O, no clock, no knowledge of rules or deployments.

mod body;
mod delivery;
mod detect;
mod full_name;
mod pages;
mod parse;
mod repair;
mod sample;
mod sign;
mod trust;
mod verify;

pub use crate::dialects::{CannotSign, ParseError, Rejection, Sample, Signing, header};
pub use delivery::{Delivery, is_unsigned_ping, restored_headers, stored_headers};
pub use detect::{detect, detect_with_body, unsupported_algorithm};
pub use full_name::{ClaimedRepo, claimed_repo, full_name};
pub use pages::{commit_page, compare_page};
pub use parse::{Claims, Parsed, claims, may_stand_for_push, not_understood, parse, parse_unverified};
pub use sample::sample_push;
pub use sign::sign;
pub use trust::Trust;
pub use verify::{Verified, verify};
