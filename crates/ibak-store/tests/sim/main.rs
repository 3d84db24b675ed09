//! The store on a simulated file system: what any failing operation and any power cut leaves.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_in_result,
    unreachable_pub
)]
#![allow(dead_code)]

mod agree;
mod chores;
mod crash;
#[path = "../store/device.rs"]
mod device;
#[path = "../store/fault.rs"]
mod fault;
mod faults;
mod fs;
mod full;
mod oracle;
#[path = "../store/scenarios.rs"]
mod scenarios;
#[path = "../store/sealed.rs"]
mod sealed;
mod teeth;
