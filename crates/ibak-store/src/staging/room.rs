//! How much a session may still write: the reserve and the quota are kept at every byte (I9).

use super::Staging;
use crate::error::{Context, StoreError};
use crate::fs::{Errno, Fs};
use crate::keep::Remover;
use crate::phone::PhoneDir;
use crate::space::{Space, space, volume};
use crate::store::Store;
use crate::sweep::Broom;
use crate::usage::used;
use ibak_core::BackupId;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes written before the disk is asked again: others write to it too.
const ASK_DISK_EVERY: u64 = 64 << 20;
/// What a name costs beside its content: the rest of its last block, its directory's part.
pub(super) const NAME_COST: u64 = 4096;

/// What a commit writes beside its index, about.
const RECORDS_ROOM: u64 = 1 << 20;

/// What may be written before somebody has to be asked, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    disk: u64,
    quota: u64,
}

impl<F: Fs> Staging<F> {
    /// Returns the room left for this session; what it has written is part of what is used.
    ///
    /// # Errors
    /// A system call's.
    pub fn space(&self) -> Result<Space, StoreError> {
        space(&self.inner, &self.udid, self.quota)
    }

    /// Returns what GetFreeDiskSpace answers, in bytes.
    ///
    /// # Errors
    /// A system call's.
    pub fn free_space(&self) -> Result<u64, StoreError> {
        Ok(self.space()?.free())
    }

    /// Makes room for this session: empties the phone's trash and removes these backups of the
    /// phone, at once and not at a sweep's pace. Returns the bytes by which `free_space` grew. A
    /// backup that is kept, read or built on stays, and so does this session's own parent.
    ///
    /// # Errors
    /// A system call's, when nothing was gained.
    pub fn make_room(&mut self, ids: &[BackupId]) -> Result<u64, StoreError> {
        let before = self.free_space()?;
        let outcome = self.remove_at_once(ids);
        if self.inner.trusts_sync_fs {
            // Some file systems say only then what is free.
            let synced = self.inner.fs.sync_fs(&self.barrier);
            let synced = synced.at("sync", "the file system");
            self.note(synced)?;
        }
        self.room = Room::default();
        let gained = self.free_space()?.saturating_sub(before);
        tracing::info!(phone = %self.udid, gained, "made room");
        match outcome {
            Err(error) if gained == 0 => Err(error),
            Err(error) => {
                tracing::warn!(phone = %self.udid, %error, "not all that was to go is gone");
                Ok(gained)
            }
            Ok(()) => Ok(gained),
        }
    }

    fn remove_at_once(&self, ids: &[BackupId]) -> Result<(), StoreError> {
        let store = Store {
            inner: Arc::clone(&self.inner),
        };
        let mut first = Ok(());
        for id in ids {
            match store.remove(&self.udid, id, Remover::Plan) {
                Ok(()) => {}
                Err(
                    error @ (StoreError::InUse(_)
                    | StoreError::NoSuchBackup(_)
                    | StoreError::Refused { .. }),
                ) => tracing::info!(phone = %self.udid, backup = %id, %error, "not removed"),
                Err(error) => first = first.and(Err(error)),
            }
        }
        let phone: PhoneDir<'_, F> = self.phone()?;
        let go_on = &mut |_| ControlFlow::Continue(());
        let swept = Broom::new(&self.inner, go_on).phone(&phone);
        first.and(swept.map(drop))
    }

    /// Takes what is about to be written from the room that is left.
    ///
    /// # Errors
    /// ENOSPC when it would reach into the reserve, EDQUOT when it would exceed the quota.
    pub(super) fn take_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        if self.room.disk < bytes {
            let (available, reserve) = volume(&self.inner)?;
            let room = available.saturating_sub(reserve);
            if room < bytes {
                return Err(Errno::NOSPC).at("write", &self.id);
            }
            self.room.disk = room.min(bytes.max(ASK_DISK_EVERY));
        }
        if let Some(quota) = self.quota
            && self.room.quota < bytes
        {
            let left = quota.get().saturating_sub(used(&self.phone()?)?);
            if left < bytes {
                return Err(Errno::DQUOT).at("write", &self.id);
            }
            // Half, for names cost more or less than they are said to: the nearer the quota,
            // the oftener it is looked at.
            self.room.quota = left.div_ceil(2).max(bytes);
        }
        self.room.disk -= bytes;
        if self.quota.is_some() {
            self.room.quota -= bytes;
        }
        self.account.churn(bytes);
        Ok(())
    }

    /// Says that what a commit writes finds room, before it begins: records that grow with the
    /// list of files.
    ///
    /// # Errors
    /// ENOSPC; nothing was touched.
    pub(super) fn room_to_check(&self) -> Result<(), StoreError> {
        let list = match self.inner.fs.stat(&self.tree, "Manifest.db") {
            Ok(stat) => stat.size,
            Err(Errno::NOENT) => 0,
            Err(errno) => return Err(errno).at("look at", "Manifest.db"),
        };
        let (available, _) = volume(&self.inner)?;
        if available < list.saturating_add(RECORDS_ROOM) {
            return Err(Errno::NOSPC).at("write", "index.zst");
        }
        Ok(())
    }

    /// Adds what was committed to what is known of the disk use: the tree was walked already.
    pub(super) fn account_for(&self, phone: &PhoneDir<'_, F>, tree: u64) {
        let fs = &self.inner.fs;
        let records = ["commit.json", "index.zst"]
            .map(|name| fs.stat(&self.dir, name))
            .into_iter()
            .chain([fs.stat_handle(&self.dir)])
            .try_fold(tree, |sum, stat| Ok(sum.saturating_add(stat?.allocated)));
        match records {
            Ok(bytes) => self.account.committed(phone, &self.id, bytes),
            // It is then counted when somebody asks.
            Err(errno) => {
                let errno: Errno = errno;
                tracing::debug!(phone = %self.udid, %errno, "its disk use is not known yet");
            }
        }
    }
}
