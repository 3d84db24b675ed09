//! The core as its shell sees it: facts in, effects out, on a clock that only tests move.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm
)]

mod asking;
mod bounds;
mod calendar;
mod consent;
mod decide;
mod doing;
mod errands;
mod going;
mod hours;
mod house;
mod keeping;
mod laws;
mod lost;
mod moving;
mod night;
mod people;
mod property;
mod steps;
mod telling;
