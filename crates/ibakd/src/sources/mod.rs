//! Where facts come from.

pub mod cron;
pub mod host;
pub mod phone;
pub mod store;
