//! What came from the parent and takes another name, where nothing knows what it should be.

use super::Staging;
use super::ledger::Received;
use crate::error::{Context, StoreError};
use crate::fs::{Errno, Fs, Open};
use crate::index::{IndexEntry, IndexReader};
use crate::marks::{Bad, Stats};
use ibak_core::BackupPath;
use std::ops::ControlFlow;

impl<F: Fs> Staging<F> {
    /// Says that a file of ours is what the parent's index says, if it is the parent's; if it is
    /// not, every backup that has it is marked.
    ///
    /// # Errors
    /// EIO when it is not, else a system call's.
    pub(super) fn check_inherited(
        &self,
        path: &BackupPath,
        dir: &F::Handle,
        name: &str,
        found: &Received,
    ) -> Result<(), StoreError> {
        let (BackupPath::Tree(path), Some(parent)) = (path, &self.parent) else {
            return Ok(());
        };
        let fs = &self.inner.fs;
        let phone = self.phone()?;
        let (theirs, record) = phone.generation(parent)?;
        let tree = fs
            .open(&theirs, &record.wire_udid, Open::Directory)
            .at("open", parent)?;
        let twin = match Stats::new(fs, tree).stat(path) {
            Ok(twin) => (twin.device, twin.inode),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(errno).at("look at", path),
        };
        let stat = fs.stat(dir, name).at("look at", path)?;
        if (stat.device, stat.inode) != twin {
            return Ok(());
        }
        match IndexReader::open(fs, &theirs)?.seek(path)? {
            Some(entry) if !is_same(&entry, found) => {
                let bad = Bad {
                    entry,
                    inode: Some(twin),
                };
                phone.mark(parent, &[bad], &mut |_| ControlFlow::Continue(()))?;
                Err(Errno::IO).at("read", path)
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Says whether what was read is what an index says.
pub(super) fn is_same(entry: &IndexEntry, found: &Received) -> bool {
    (entry.size, entry.hash) == (found.size, found.hash)
}
