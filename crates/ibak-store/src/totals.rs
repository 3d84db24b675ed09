//! The store as a whole: how much room there is, and what waits to be resumed.

use crate::error::{Context, StoreError};
use crate::fs::{Errno, Fs, Open};
use crate::phone::PhoneDir;
use crate::recovery::{is_resumable, read_state};
use crate::space;
use crate::staging::logged_bytes;
use crate::store::Store;
use crate::usage;
use ibak_core::{Udid, Wall};

/// The room of the whole store, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// What the file system still takes.
    pub available: u64,
    /// What backups never fill.
    pub reserve: u64,
    /// What all backups take on the disk, shared blocks once.
    pub used: u64,
    /// What goes when the trashes are swept; forgotten phones are only in here.
    pub trash: u64,
}

impl<F: Fs> Store<F> {
    /// Returns the room of the whole store.
    ///
    /// # Errors
    /// `Unavailable` when its path leads elsewhere by now, EROFS when its disk takes no writes,
    /// or a system call's.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        self.inner.usable()?;
        let (available, reserve) = space::volume(&self.inner)?;
        let mut used = 0_u64;
        let mut trash = usage::forgotten(&self.inner)?;
        for udid in self.phones()? {
            if let Some(phone) = PhoneDir::open(&self.inner, &udid)? {
                let usage = usage::usage(&phone)?;
                used = used.saturating_add(usage.used);
                trash = trash.saturating_add(usage.trash);
            }
        }
        Ok(Totals {
            available,
            reserve,
            used,
            trash,
        })
    }

    /// Returns the bytes that an interrupted session left for the next one to go on from, as far
    /// as they are known to be durable.
    ///
    /// # Errors
    /// A system call's.
    pub fn staged_bytes(&self, udid: &Udid, now: Wall) -> Result<u64, StoreError> {
        let Some(phone) = PhoneDir::open(&self.inner, udid)? else {
            return Ok(0);
        };
        let fs = &self.inner.fs;
        for id in phone.ids("staging")?.into_iter().rev() {
            let resumable = read_state(&phone, &id)?.is_some_and(|state| is_resumable(&state, now));
            if !resumable {
                continue;
            }
            let staging = phone.sub("staging")?;
            let dir = match fs.open(&staging, id.as_str(), Open::Directory) {
                Ok(dir) => dir,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno).at("open", phone.at("staging")),
            };
            return logged_bytes(fs, &dir);
        }
        Ok(0)
    }
}
