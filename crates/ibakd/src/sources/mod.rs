//! Where facts come from.

pub mod cron;
mod heard;
pub mod host;
pub mod phone;
pub mod store;
