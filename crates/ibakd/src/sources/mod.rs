//! Where facts come from.

pub mod cron;
pub mod phone;
pub mod store;
