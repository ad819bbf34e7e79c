//! The forges' dialects: whether a delivery is genuine, and what it says in hookd's own words.
//!
//! A delivery goes through this room one way: [`detect`] tells the forge from the headers, [`verify`] checks the
//! signature over the raw bytes and is the only maker of [`Verified`], and [`parse`] turns a `Verified` into events.
//! Pure: no I/O, no clock, no knowledge of rules or deployments.

mod azure;
mod bitbucket;
mod bitbucket_server;
mod body;
mod delivery;
mod detect;
mod fields;
mod forgejo;
mod full_name;
mod generic;
mod gitea;
mod gitee;
mod github;
mod gitlab;
mod gogs;
mod hub;
mod pages;
mod pagure;
mod parse;
mod repair;
mod sample;
mod scheme;
mod sign;
mod sourcehut;
mod standard;
mod trust;
mod verify;

pub use delivery::{Delivery, header, is_unsigned_ping, restored_headers, stored_headers};
pub use detect::{detect, detect_with_body, unsupported_algorithm, word};
pub use full_name::{ClaimedRepo, claimed_repo, full_name};
pub use pages::{commit_page, compare_page};
pub use parse::{Claims, ParseError, Parsed, claims, may_stand_for_push, not_understood, parse, parse_unverified};
pub use sample::{Sample, sample_push};
pub use sign::{CannotSign, Signing, sign};
pub use trust::Trust;
pub use verify::{Rejection, Verified, verify};
