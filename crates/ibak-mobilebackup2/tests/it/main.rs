//! The engine against a scripted phone, a directory as vault, and faults on both sides.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::too_many_lines
)]

mod cancel;
mod conversation;
mod corpus;
mod deeds;
mod faults;
mod frames;
mod fuzzed;
mod hostile;
mod no_vault;
mod paths;
mod phone;
mod restore;
mod speed;
mod time;
mod vault;
