//! The store and the power: in a program of its own, since it starts others, and a child of a test
//! holds the locks of all tests beside it until it has become the other program.
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

mod cut;
#[path = "../store/device.rs"]
mod device;
#[path = "../store/fault.rs"]
mod fault;
mod image;
