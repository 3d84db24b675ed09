//! What the store takes and what it does when there is no room: against `du`, and on small disks.
//! A program of its own, for it starts others.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_in_result,
    unreachable_pub
)]
#![allow(dead_code)]

#[path = "../store/days.rs"]
mod days;
#[path = "../store/device.rs"]
mod device;
mod full;
mod usage;
