//! What is true about a phone, and what to do about it.
//!
//! Pure: no IO, no async, no clock, no serde. Time comes in as [`Now`]; facts come in as
//! [`Observation`]s; what the shell shall do comes out as values. Every decision the daemon
//! will ever make can be read here, next to the table that tests it.

mod ids;
mod observation;
mod path;
pub mod plist_guard;
mod time;

pub use ids::{BackupId, Bytes, IdError, JobId, Udid};
pub use observation::{Fact, Observation, Source, Transport};
pub use path::{BackupPath, PathError};
pub use time::{Monotonic, Now, Wall};
