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

/// Directories on the way up that are looked at; a path has no more of them.
const ABOVE_MAX: u32 = 2048;

/// Checks that neither of two stores lies in the other: who removes the one he has copied would
/// remove the copy.
pub(super) fn are_apart<F: Fs, G: Fs>(from: &Inner<F>, to: &Inner<G>) -> Result<(), StoreError> {
    let why = if lies_in(to, from)? {
        "the new place lies in the store that is to be copied"
    } else if lies_in(from, to)? {
        "the store that is to be copied lies in the new place"
    } else {
        return Ok(());
    };
    Err(StoreError::refused(to.path().display(), why))
}

fn lies_in<F: Fs, G: Fs>(inner: &Inner<F>, outer: &Inner<G>) -> Result<bool, StoreError> {
    let at = inner.path().display();
    let whole = outer.fs.stat_handle(&outer.root).at("look at", &at)?;
    let mut above = inner.fs.above(&inner.root).at("look above", &at)?;
    for _ in 0..ABOVE_MAX {
        let Some(dir) = above else {
            return Ok(false);
        };
        let found = inner.fs.stat_handle(&dir).at("look above", &at)?;
        if (found.device, found.inode) == (whole.device, whole.inode) {
            return Ok(true);
        }
        above = match inner.fs.above(&dir) {
            // What nobody may pass through from here is not the other store, which is ours.
            Err(Errno::ACCESS) => None,
            other => other.at("look above", &at)?,
        };
    }
    Ok(false)
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

/// Says whether a store has never been what it is to become: until its end a copy keeps the
/// identity it was made with.
pub(super) fn is_new<G: Fs>(uuid: &str, to: &Inner<G>) -> Result<bool, StoreError> {
    Ok(own_record(to)?.uuid != uuid)
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
