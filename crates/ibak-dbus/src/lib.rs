//! The wire contract of ibak on D-Bus, for the daemon that serves it and every client that reads it.
//!
//! Names, words, errors and dictionary keys are spelled here once. The daemon turns its view into
//! them by hand, clients read them leniently: a missing key, an odd type or a word of a newer
//! daemon never fails a whole snapshot. [`Mirror`] keeps a client's copy of the object tree;
//! everything it does with a change is [`MirrorState::apply`], which is pure.
//!
//! docs/dbus.md is the same contract for people; its tables are generated from [`words`].

mod address;
mod dict;
mod error;
mod mirror;
pub mod names;
mod options;
mod proxies;
pub mod views;
pub mod words;

pub use address::{BUS_VARIABLE, BusChoice, CALL_TIMEOUT};
/// The core's names, so that a client needs no other room.
pub use ibak_core::{BackupId, Bytes, JobId, Udid, Wall, plist_guard};

pub use dict::{Dict, Dicts, Lookup, Properties};
pub use error::Error;
pub use mirror::{
    Change, Effect, Mirror, MirrorError, MirrorEvent, MirrorState, SNAPSHOT_TIMEOUT, change_of,
};
pub use options::{NO_USER_INTERACTION, Options, check_options};
pub use proxies::{JobProxy, ManagerProxy, PhoneProxy};
