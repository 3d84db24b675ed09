//! Whole-system tests, one program: one module per area.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod demo;
mod durability;
mod host;
mod house;
mod night;
mod packaging;
mod quirks;
mod strangers;
mod systemd;
mod trouble;
mod unit_daemon;
mod unit_probe;
