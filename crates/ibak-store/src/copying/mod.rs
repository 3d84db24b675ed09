//! A whole store copied into another directory, so that it can be moved there.
//!
//! Backups go over oldest first, files that share an inode share one again, every file is
//! compared with its index while it is read, and what is damaged arrives as damaged as it is. A
//! backup is copied beside its place and renamed into it when it is durable, so that a copy that
//! was stopped or died is gone on with. The source is only read.

mod aside;
mod content;
mod links;
mod mark;
mod notes;
mod phone;
mod tree;
mod unfinished;

pub(crate) use mark::is_half_copied;

use crate::error::StoreError;
use crate::fs::Fs;
use crate::phone::PhoneDir;
use crate::space;
use crate::store::{Inner, Store};
use ibak_core::{BackupId, Udid};
use std::ops::ControlFlow;
use std::sync::Arc;

/// How far a copy is; what is there already counts as copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Files copied or linked.
    pub files: u64,
    /// Files in all.
    pub files_total: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// What a copy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Backups that went over.
    pub backups: u64,
    /// Backups an earlier copy had brought there.
    pub already_there: u64,
    /// Bytes written.
    pub written: u64,
    /// Backups that arrived with files that are not what was once received, and are marked so.
    pub damaged: Vec<(Udid, BackupId)>,
    /// Backups that stayed behind, for their records cannot be read; the copy is unfinished as
    /// long as there are any.
    pub unreadable: Vec<(Udid, BackupId)>,
    /// Phones whose unfinished backup stayed behind, for it is being written.
    pub left: Vec<Udid>,
}

/// What the copying of everything shares.
pub(super) struct Copying<'a, F: Fs, G: Fs> {
    pub(super) from: &'a Arc<Inner<F>>,
    pub(super) to: &'a Arc<Inner<G>>,
    progress: &'a mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    seen: CopyProgress,
    /// Whether the target has never been a store of its own.
    pub(super) is_new: bool,
    pub(super) copied: Copied,
}

impl<F: Fs> Store<F> {
    /// Copies everything into another open store that is empty or holds an unfinished copy of
    /// this one. Afterwards it is this store: it has its identity, which it knows itself when it
    /// is opened again, and the one copied from may be removed. `progress` is called before each
    /// file and every few megabytes and may stop the copy, which the next call goes on with. A
    /// backup in `unreadable` stayed behind: the other is then marked as unfinished still and is
    /// not this store, and another call may bring it. What was removed here since an earlier call
    /// brought it is removed there.
    ///
    /// # Errors
    /// `Refused` when the other is this one, lies in it or around it or holds something else, `NoRoom`, `Unavailable`,
    /// `Busy` for a session in the other, `Cancelled`, or a system call's; a block of the source
    /// that cannot be read is damage, not an error.
    pub fn copy_to<G: Fs>(
        &self,
        other: &Store<G>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, StoreError> {
        other.inner.usable()?;
        if Arc::as_ptr(&self.inner).cast::<()>() == Arc::as_ptr(&other.inner).cast::<()>() {
            return Err(StoreError::refused(
                other.facts().path.display(),
                "it is the store that is to be copied",
            ));
        }
        mark::are_apart(&self.inner, &other.inner)?;
        mark::may_hold_a_copy(&self.facts().uuid, &other.inner)?;
        if other.inner.sessions().spoilt_copy {
            aside::begin_anew(&other.inner)?;
        }
        self.fits(other)?;
        let outcome = self.copy_all(other, progress);
        if let Err(error) = &outcome
            && error.poisons()
        {
            other.inner.sessions().spoilt_copy = true;
            if let Err(second) = aside::begin_anew(&other.inner) {
                // The first cause is the one to tell; the next call tries again.
                tracing::warn!(error = %second, "and what was half copied could not be put away");
            }
        }
        outcome
    }

    fn copy_all<G: Fs>(
        &self,
        other: &Store<G>,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, StoreError> {
        let is_new = mark::is_new(&self.facts().uuid, &other.inner)?;
        mark::begin(&self.facts().uuid, &other.inner)?;
        let mut copying = Copying {
            from: &self.inner,
            to: &other.inner,
            progress,
            seen: self.all()?,
            is_new,
            copied: Copied::default(),
        };
        // A backup that was committed meanwhile goes over in the next round.
        let mut round = 0;
        loop {
            let before = copying.copied.backups;
            for udid in self.phones()? {
                copying.phone(&udid, round == 0)?;
            }
            if copying.copied.backups == before {
                break;
            }
            round += 1;
        }
        let copied = copying.copied;
        if is_new {
            self.remove_what_went(other)?;
        }
        // Whoever takes it for this store may remove the only whole copy of what stayed behind.
        if copied.unreadable.is_empty() {
            mark::finish(&self.facts().uuid, &other.inner)?;
        }
        Ok(copied)
    }

    /// Says whether there is room for what is not there yet.
    fn fits<G: Fs>(&self, other: &Store<G>) -> Result<(), StoreError> {
        let mut needed = 0_u64;
        for udid in self.phones()? {
            // What is in a trash stays behind.
            let kept = |space: space::Space| space.used.saturating_sub(space.trash);
            let here = kept(self.space(&udid, None)?);
            let there = kept(other.space(&udid, None)?);
            needed = needed.saturating_add(here.saturating_sub(there));
        }
        let (available, reserve) = space::volume(&other.inner)?;
        let free = available.saturating_sub(reserve);
        if needed > free {
            return Err(StoreError::NoRoom { needed, free });
        }
        Ok(())
    }

    /// Counts what there is to copy.
    fn all(&self) -> Result<CopyProgress, StoreError> {
        let mut all = CopyProgress::default();
        for udid in self.phones()? {
            let Some(phone) = PhoneDir::open(&self.inner, &udid)? else {
                continue;
            };
            for found in phone.list(crate::phone::Unreadable::Skip)? {
                all.files_total = all.files_total.saturating_add(found.files);
                all.bytes_total = all.bytes_total.saturating_add(found.size_bytes);
            }
        }
        Ok(all)
    }
}

impl<F: Fs, G: Fs> Copying<'_, F, G> {
    /// Counts what went over, and asks whether to go on.
    pub(super) fn step(&mut self, files: u64, bytes: u64) -> Result<(), StoreError> {
        let seen = &mut self.seen;
        seen.files = seen.files.saturating_add(files).min(seen.files_total);
        seen.bytes = seen.bytes.saturating_add(bytes).min(seen.bytes_total);
        match (self.progress)(*seen) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(StoreError::Cancelled),
        }
    }
}
