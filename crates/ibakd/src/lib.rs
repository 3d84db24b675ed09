//! The ibak daemon: event loop, sources, executor, bus server.

pub mod bus;
pub mod chronicle;
pub mod clock;
pub mod config;
pub mod executor;
pub mod history;
pub mod house;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod notify;
pub mod sources;
pub mod units;
