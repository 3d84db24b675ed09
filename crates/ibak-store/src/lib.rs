//! The backup tree: stage, verify, commit, recover, list, read, serve.
//!
//! Promises, each held by a test named in docs/format.md: a name under `gens/` is complete and
//! durable, and nothing inside changes again; whatever a phone sends lands in a working copy
//! that only becomes a backup as a whole; what cannot be proved equal to what was received is
//! never committed. Refuses: a store others could bend, a file system without hard links, and
//! to guess. Synchronous: the caller owns the threads, and time is an argument.

mod bplist;
mod copying;
mod database;
mod error;
pub mod fs;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod index;
mod keep;
mod keybag;
mod lease;
mod marks;
mod mbfile;
mod paths;
mod phone;
mod reader;
mod record;
mod recovery;
mod scrub;
mod serving;
mod space;
mod staging;
mod store;
mod structure;
mod sweep;
mod totals;
mod usage;
mod verify;

pub use copying::{Copied, CopyProgress};
pub use error::{ErrorKind, Retry, StoreError};
pub use keep::Remover;
pub use keybag::{ClassKeys, Keybag, KeybagError, Unlocking};
pub use lease::Removal;
pub use reader::{
    Applications, Catalogue, Content, FileEntry, FileKind, Filter, Listed, RawFile, RawFiles,
    Reader,
};
pub use record::{Generation, Phase};
pub use recovery::Recovery;
pub use scrub::{ScrubProgress, ScrubReport};
pub use serving::Serving;
pub use space::{History, Space};
pub use staging::{Adopted, Adopting, Begin, DeviceDone, Entry, EntryKind, Full, Staging};
pub use store::{Create, OpenOptions, Reserve, Store, StoreFacts};
pub use sweep::Swept;
pub use totals::Totals;
pub use verify::{VerifyProgress, VerifyReport};
