//! Whole-system tests, one program: one module per area.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod packaging;
mod systemd;
mod unit_probe;
