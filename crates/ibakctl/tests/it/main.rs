//! Everything `ibakctl` shows, and the binary itself against a daemon of our own making.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "fixtures pick a few words out of many"
)]
#![allow(clippy::too_many_lines, reason = "tables of cases")]

mod adopting;
mod attacks;
mod encryption;
mod end_to_end;
mod files;
mod fixtures;
mod jobs;
mod keeping;
mod keeping_runs;
mod mock;
mod nights;
mod objects;
mod other;
mod pairing;
mod phone_object;
mod places;
mod policy;
mod reference;
mod restore;
mod status;
mod storing;
mod streams;
mod tarball;
mod telling;
mod tty;
mod why;
mod wording;
