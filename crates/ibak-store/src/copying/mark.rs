//! `copying.json`: a store that is being filled from another one says so.
//!
//! The identity goes over last, so that no two stores claim to be the same while one of them
//! lacks a part.

use crate::error::{Context, StoreError};
use crate::fs::util::{absent_ok, read_small, replace};
use crate::fs::{Errno, Fs};
use crate::phone::phones;
use crate::record::{FORMAT, RECORD_MAX, StoreRecord, decode, encode};
use crate::store::{Inner, read_record, write_record};
use serde::{Deserialize, Serialize};

const NAME: &str = "copying.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CopyingRecord {
    format: u64,
    /// The identity of the store it is filled from.
    from: String,
}

/// Says whether a store is being filled.
pub(crate) fn is_half_copied<F: Fs>(fs: &F, root: &F::Handle) -> Result<bool, StoreError> {
    match fs.stat(root, NAME) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).at("look at", NAME),
    }
}

/// Checks that a store is empty, or holds what an earlier copy of the same one brought.
pub(super) fn may_hold_a_copy<G: Fs>(uuid: &str, to: &Inner<G>) -> Result<(), StoreError> {
    let refused = |why| Err(StoreError::refused(NAME, why));
    match read_small(&to.fs, &to.root, NAME, RECORD_MAX) {
        Ok(bytes) => {
            let mark: CopyingRecord = decode(NAME, &bytes)?;
            if mark.from == uuid {
                return Ok(());
            }
            refused("the new place holds an unfinished copy of another store")
        }
        Err(Errno::NOENT) if own_record(to)?.uuid == uuid => Ok(()),
        Err(Errno::NOENT) if phones(to)?.is_empty() => Ok(()),
        Err(Errno::NOENT) => refused("the new place holds backups of its own"),
        Err(errno) => Err(errno).at("read", NAME),
    }
}

/// Marks a store as being filled.
pub(super) fn begin<G: Fs>(uuid: &str, to: &Inner<G>) -> Result<(), StoreError> {
    let mark = CopyingRecord {
        format: FORMAT,
        from: uuid.to_owned(),
    };
    replace(&to.fs, &to.root, NAME, &encode(NAME, &mark)?).at("write", NAME)
}

/// Gives the copy the identity of what it is a copy of, and takes the mark away.
pub(super) fn finish<G: Fs>(uuid: &str, to: &Inner<G>) -> Result<(), StoreError> {
    let own = own_record(to)?;
    if own.uuid != uuid {
        let record = StoreRecord {
            uuid: uuid.to_owned(),
            ..own
        };
        write_record(&to.fs, &to.root, &record)?;
    }
    absent_ok(to.fs.unlink(&to.root, NAME)).at("remove", NAME)?;
    to.fs.sync(&to.root).at("sync", "the store")
}

fn own_record<G: Fs>(to: &Inner<G>) -> Result<StoreRecord, StoreError> {
    read_record(&to.fs, &to.root)?.ok_or_else(|| StoreError::damaged("store.json"))
}
