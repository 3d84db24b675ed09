//! The fourth condition: how much room there is for a phone's next backup.

use crate::error::{Context, StoreError};
use crate::fs::Fs;
use crate::phone::PhoneDir;
use crate::store::{Inner, Reserve, Store};
use crate::usage::{self, Usage};
use ibak_core::{Bytes, Udid};

/// The room for one phone, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What the file system still takes.
    pub available: u64,
    /// What backups never fill.
    pub reserve: u64,
    /// What this phone's directory takes on the disk, as `du` counts: working copies and trash
    /// too, shared blocks once.
    pub used: u64,
    /// What of that goes when its trash is swept; no part of `free`.
    pub trash: u64,
    /// What the quota leaves, if there is one.
    pub quota_left: Option<u64>,
}

impl Space {
    /// Returns `max(0, min(available - reserve, quota left))`: what may still be written, and
    /// what the phone hears to GetFreeDiskSpace.
    pub fn free(&self) -> u64 {
        let room = self.available.saturating_sub(self.reserve);
        self.quota_left.map_or(room, |left| room.min(left))
    }
}

/// What earlier backups say about the next one's size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Committed backups of this phone.
    pub backups: u64,
    /// Size of the newest, all files counted.
    pub last_size: Option<u64>,
    /// What the newest that was not full added on the disk.
    pub last_growth: Option<u64>,
    /// The most that one of the last seven that were not full added.
    pub growth_max: Option<u64>,
}

impl<F: Fs> Store<F> {
    /// Returns the room for a phone's backups under a quota.
    ///
    /// # Errors
    /// A system call's.
    pub fn space(&self, udid: &Udid, quota: Option<Bytes>) -> Result<Space, StoreError> {
        space(&self.inner, udid, quota)
    }

    /// Returns what earlier backups say about the next one's size.
    ///
    /// # Errors
    /// A system call's.
    pub fn history(&self, udid: &Udid) -> Result<History, StoreError> {
        let list = self.list(udid)?;
        let growth = |found: &&crate::Generation| !found.full;
        Ok(History {
            backups: u64::try_from(list.len()).unwrap_or(u64::MAX),
            last_size: list.last().map(|found| found.size_bytes),
            last_growth: list.iter().rfind(growth).map(|found| found.unique_bytes),
            growth_max: list
                .iter()
                .rev()
                .filter(growth)
                .take(7)
                .map(|found| found.unique_bytes)
                .max(),
        })
    }
}

pub(crate) fn space<F: Fs>(
    inner: &Inner<F>,
    udid: &Udid,
    quota: Option<Bytes>,
) -> Result<Space, StoreError> {
    let (available, reserve) = volume(inner)?;
    let Usage { used, trash } = match PhoneDir::open(inner, udid)? {
        Some(phone) => usage::usage(&phone)?,
        None => Usage::default(),
    };
    let quota_left = quota.map(|quota| quota.get().saturating_sub(used));
    Ok(Space {
        available,
        reserve,
        used,
        trash,
        quota_left,
    })
}

/// Returns what the file system still takes and what backups never fill.
pub(crate) fn volume<F: Fs>(inner: &Inner<F>) -> Result<(u64, u64), StoreError> {
    let volume = inner
        .fs
        .volume(&inner.root)
        .at("look at", "the file system")?;
    let reserve = match inner.reserve {
        Reserve::Usual => Bytes::from_gib(2).get().max(volume.total / 100),
        Reserve::Fixed(bytes) => bytes.get(),
    };
    Ok((volume.available, reserve))
}
