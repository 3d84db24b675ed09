//! The store against the real kernel, with a small phone that speaks in the store's verbs and a
//! file system that fails when told to.
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

mod adopted;
mod adopting;
mod commit;
mod copying;
mod damage;
mod days;
mod device;
mod doubts;
mod either;
mod fault;
mod faults;
mod flips;
mod formats;
mod freeze;
mod guarding;
mod harms;
mod hostile;
mod keeping;
mod keeping_faults;
mod model;
mod opening;
mod reading;
mod readings;
mod rekeyed;
mod repairing;
mod resume;
mod rotten;
mod scale;
mod scenarios;
mod scrubbing;
mod sealed;
mod serving;
mod spoilt;
mod unadoptable;
mod verbs;
mod watch;
