//! Where facts come from.

pub mod cron;
