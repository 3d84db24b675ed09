//! A client's copy of the daemon's objects, kept true by its signals.
//!
//! [`MirrorState::apply`] is the whole of what a change does; [`Mirror`] is the shell that
//! subscribes first, then takes the snapshot, then applies everything that came since it
//! subscribed. Values are whole in every signal, so applying one that the snapshot already holds
//! changes nothing in the end: a mirror built late equals one built early, also when the snapshot
//! was taken while things changed.

mod shell;
mod state;

pub use shell::{Mirror, MirrorError, MirrorEvent, SNAPSHOT_TIMEOUT, change_of};
pub use state::{Change, Effect, MirrorState};
