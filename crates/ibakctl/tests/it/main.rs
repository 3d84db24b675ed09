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

mod end_to_end;
mod fixtures;
mod jobs;
mod mock;
mod objects;
mod other;
mod reference;
mod status;
mod streams;
mod why;
