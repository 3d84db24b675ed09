//! What a commit owes to the backup before it: its guard, its damage, its missing files.

use super::basis::damaged_in;
use super::commit::install;
use super::{Place, Staging};
use crate::error::{Context, StoreError};
use crate::fs::{Fs, Open};
use crate::guard::{self, Shape};
use crate::marks::{Stats, TOO_MANY};
use crate::phone::{PhoneDir, Unreadable};
use crate::record::{CommitRecord, Generation};
use crate::verify::INDEX_DAMAGED;
use ibak_core::BackupId;

impl<F: Fs> Staging<F> {
    /// Sees to it that a damaged backup whose files the phone does not send again is not built on
    /// another time: the next session begins empty.
    pub(super) fn give_up_on_parent(&self) -> Result<(), StoreError> {
        let Some(parent) = &self.parent else {
            return Ok(());
        };
        if self.ledger.awaited().next().is_none() {
            return Ok(());
        }
        let what = "the phone did not send its damaged files again".to_owned();
        self.phone()?.add_findings(parent, [what])
    }

    /// Without a list of files nothing else says that one is missing which was left out of the
    /// clone.
    pub(super) fn check_awaited(&self) -> Result<(), StoreError> {
        match self.ledger.awaited().next() {
            None => Ok(()),
            Some(path) => Err(StoreError::Incomplete(format!(
                "the phone did not send {path} again, which is damaged in the backup before"
            ))),
        }
    }

    /// Guards the backup that this one follows if this one has lost too much (guard.rs). Before
    /// the rename, so that nothing can remove it in between; if the commit then fails, it is kept
    /// for nothing until a person says so.
    pub(super) fn guard_the_one_before(&self, record: &CommitRecord) -> Result<(), StoreError> {
        if self.place != Place::Staging {
            return Ok(());
        }
        let phone = self.phone()?;
        let list = phone.list(Unreadable::Skip)?;
        let is_parent = |found: &&Generation| Some(&found.id) == self.parent.as_ref();
        let before = list
            .iter()
            .find(is_parent)
            .or_else(|| list.iter().rfind(|found| found.verified))
            .or_else(|| list.last());
        let Some(before) = before else {
            return Ok(());
        };
        let old = Shape {
            files: before.files,
            bytes: before.size_bytes,
            encrypted: before.encrypted,
        };
        let new = Shape {
            files: record.files,
            bytes: record.bytes,
            encrypted: record.encrypted,
        };
        match guard::why(old, new) {
            Some(why) => {
                tracing::warn!(phone = %self.udid, backup = %before.id, why, "this backup is kept until a person has looked");
                phone.guard(&before.id, why)
            }
            None => Ok(()),
        }
    }

    /// As [`install_marked`]. Returns what is damaged.
    pub(super) fn install_marked(
        &self,
        phone: &PhoneDir<'_, F>,
        record: &CommitRecord,
    ) -> Result<Vec<String>, StoreError> {
        install_marked(phone, self.place, &self.id, &self.dir, record)
    }
}

/// Gives a whole and durable working copy its place, marked with what it shares of its parent's
/// damage: that may have been found while the phone was sending. Returns what is damaged.
pub(crate) fn install_marked<F: Fs>(
    phone: &PhoneDir<'_, F>,
    place: Place,
    id: &BackupId,
    dir: &F::Handle,
    record: &CommitRecord,
) -> Result<Vec<String>, StoreError> {
    // No mark is made meanwhile: whoever makes one later finds this backup in its place.
    let _guard = phone.inner.records();
    let damaged = shared_damage(phone, id, dir, record)?;
    if !damaged.is_empty() {
        phone.add_findings_locked(id, damaged.iter().cloned())?;
    }
    install(phone, place, id, dir, &record.wire_udid)?;
    Ok(damaged)
}

fn shared_damage<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
    dir: &F::Handle,
    record: &CommitRecord,
) -> Result<Vec<String>, StoreError> {
    let fs = &phone.inner.fs;
    let Some(Ok(parent)) = record.parent.as_deref().map(BackupId::parse) else {
        return Ok(Vec::new());
    };
    let known = damaged_in(phone, &parent)?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let (theirs, their_record) = match phone.generation(&parent) {
        Ok(found) => found,
        // Nothing of it can be compared; a reading tells.
        Err(error)
            if error.is_absent()
                || matches!(
                    error,
                    StoreError::NoSuchBackup(_) | StoreError::Damaged { .. }
                ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let theirs = fs
        .open(&theirs, &their_record.wire_udid, Open::Directory)
        .at("open", &parent)?;
    let ours = fs
        .open(dir, &record.wire_udid, Open::Directory)
        .at("open", id)?;
    let (mut ours, mut theirs) = (Stats::new(fs, ours), Stats::new(fs, theirs));
    let inherits = record.new_files < record.files;
    let mut is_shared = |what: &String| match (ours.stat(what), theirs.stat(what)) {
        (Ok(here), Ok(there)) => (here.device, here.inode) == (there.device, there.inode),
        // Which of its files are meant is not known any more, or what they should be.
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            inherits && matches!(what.as_str(), TOO_MANY | INDEX_DAMAGED)
        }
    };
    Ok(known.into_iter().filter(|what| is_shared(what)).collect())
}
