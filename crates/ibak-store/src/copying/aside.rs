//! What an earlier call left at the target and nobody may build on.

use super::phone::COPYING;
use crate::error::{Context, StoreError};
use crate::fs::util::remove_all;
use crate::fs::{Errno, Fs, Replace};
use crate::keep::Remover;
use crate::phone::{PhoneDir, phones};
use crate::store::{Inner, Store};
use crate::usage::TRASH;

/// Puts away what was being copied when a write or a sync failed: the kernel tells of that once,
/// and what a reading finds in its memory then need not be on the disk.
pub(super) fn begin_anew<G: Fs>(to: &Inner<G>) -> Result<(), StoreError> {
    for udid in phones(to)? {
        let Some(phone) = PhoneDir::open(to, &udid)? else {
            continue;
        };
        let trash = phone.sub(TRASH)?;
        let name = ulid::Ulid::new().to_string();
        match to
            .fs
            .rename(&phone.dir, COPYING, &trash, &name, Replace::No)
        {
            Ok(()) => {}
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno).at("set aside", phone.at(COPYING)),
        }
        to.fs.sync(&trash).at("sync", phone.at(TRASH))?;
        to.fs.sync(&phone.dir).at("sync", &udid)?;
        // Its room is needed for what comes in its place; a sweep takes what stays.
        if let Err(errno) = remove_all(&to.fs, &trash, &name) {
            tracing::warn!(phone = %udid, %errno, "what was half copied stays in the trash for now");
        }
    }
    to.sessions().spoilt_copy = false;
    Ok(())
}

impl<F: Fs> Store<F> {
    /// Takes out of an unfinished copy what was removed here since it went over, into the trash.
    /// What was only set aside here stays whole there.
    pub(super) fn remove_what_went<G: Fs>(&self, other: &Store<G>) -> Result<(), StoreError> {
        for udid in other.phones()? {
            let Some(from) = PhoneDir::open(&self.inner, &udid)? else {
                other.forget(&udid)?;
                continue;
            };
            let mut kept = from.ids("gens")?;
            kept.extend(from.ids("quarantine")?);
            let Some(to) = PhoneDir::open(&other.inner, &udid)? else {
                continue;
            };
            for id in to.ids("gens")? {
                if !kept.contains(&id) {
                    other.remove(&udid, &id, Remover::Person)?;
                }
            }
        }
        Ok(())
    }
}
