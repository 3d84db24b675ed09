//! The host side of Apple's backup conversation (DeviceLink, mobilebackup2).
//!
//! The phone drives: after the request for a [`Deed`] it asks the host to send, take, list, move
//! and remove files, and ends with one `Response`. [`converse`] answers it over any byte stream and
//! keeps the files in any [`Vault`]. It promises: every wait has a bound and can be cancelled;
//! memory does not depend on what the phone claims; no path reaches the vault that
//! [`ibak_core::BackupPath`] does not know; a file that ended in an error is not kept; after a
//! failure on this side the session never ends in success; a password is forgotten once it is sent;
//! the vault comes back in every case, and a dropped future leaves it recoverable.
//! It refuses: to touch files itself, and to believe a session that has no final error code.
//!
//! Protocol facts are from phone.md §5 and `tests/corpus/messages`.

mod batch;
mod converse;
mod device_error;
mod encode;
#[doc(hidden)]
pub mod fuzz;
mod limits;
mod link;
mod message;
mod no_vault;
mod outcome;
mod phases;
mod progress;
mod receive;
mod request;
mod send;
mod session;
mod text;
mod vault;
mod writer;

pub use converse::{Ended, Hooks, Notice, Release, converse};
pub use device_error::DeviceError;
pub use limits::{Limits, Timeouts};
pub use no_vault::NoVault;
pub use outcome::{BackupKind, CopyDoubt, Outcome, RemoteError, Stats};
pub use progress::{Phase, Progress, ProgressView};
pub use request::{Deed, Request, RestoreOptions};
pub use vault::{Entry, EntryKind, Vault, VaultError, VaultErrorKind};
