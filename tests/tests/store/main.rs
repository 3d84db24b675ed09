//! The store in full, against the real daemon: killed anywhere, cut from its power, full, moved,
//! damaged, and asked for everything a person can ask of it. What is true is told by the tree.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing
)]

mod damage;
mod ear;
mod home;
#[path = "../../../crates/ibak-store/tests/power/image.rs"]
mod image;
mod keeping;
mod kills;
mod moving;
mod power;
mod room;
mod trap;
mod tree;
