//! The ibak daemon: event loop, sources, executor, bus server.

pub mod clock;
pub mod history;
pub mod logging;
pub mod memory;
pub mod notify;
pub mod sources;
pub mod units;
