//! Which backups stay: removing, pinning, forgetting a phone.
//!
//! What goes is renamed into a trash and the rename made durable; nothing is destroyed here (the
//! sweep does that). Refuses: what somebody reads or builds on, and what is kept, unless a person
//! insists. Which backup is to go is ibak-core's to decide.

use crate::error::{Context, StoreError};
use crate::fs::util::ensure_dir;
use crate::fs::{Errno, Fs, Replace};
use crate::phone::{PhoneDir, Unreadable};
use crate::recovery::read_state;
use crate::staging::{Claim, Place};
use crate::store::Store;
use crate::usage::{self, TRASH};
use ibak_core::{BackupId, Udid};

/// Who wants a backup gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remover {
    /// A plan, which never removes what is kept.
    Plan,
    /// A person, who was told what it is.
    Person,
}

impl<F: Fs> Store<F> {
    /// Takes a backup out of the list and into the trash, durably; `latest` and what else
    /// depended on it follow. Its room is free after the next sweep.
    ///
    /// # Errors
    /// `NoSuchBackup`; `InUse` while anybody reads it or builds on it; `Refused` when a plan
    /// wants a pinned or guarded backup or the newest verified one (I7); or a system call's, and
    /// the backup is then either still listed or in the trash, whole.
    pub fn remove(&self, udid: &Udid, id: &BackupId, remover: Remover) -> Result<(), StoreError> {
        self.inner.writable()?;
        let _removal = self.claim_removal(id)?;
        let phone = self.phone_of(udid, id)?;
        {
            // Nobody pins it between the question and the answer.
            let _guard = self.inner.records();
            if remover == Remover::Plan {
                may_go(&phone, id)?;
            }
            // A working copy shares its files with it, and is of no use without it.
            for staged in phone.ids("staging")? {
                let parent = read_state(&phone, &staged)?.and_then(|state| state.parent);
                if parent.as_deref() == Some(id.as_str()) {
                    phone.set_aside("staging", &staged, TRASH)?;
                }
            }
            phone.set_aside("gens", id, TRASH)?;
        }
        tracing::info!(phone = %udid, backup = %id, ?remover, "removed");
        if let Err(error) = phone.point_latest() {
            // For other programs' eyes only; the next opening points it.
            tracing::warn!(phone = %udid, %error, "latest still shows a removed backup");
        }
        Ok(())
    }

    /// Keeps a backup until it is unpinned, or releases it, for whatever reason it was kept; returns
    /// whether that is a change.
    ///
    /// # Errors
    /// `NoSuchBackup`, or a system call's.
    pub fn pin(&self, udid: &Udid, id: &BackupId, pinned: bool) -> Result<bool, StoreError> {
        let phone = self.phone_of(udid, id)?;
        let _guard = self.inner.records();
        phone.has(id)?;
        let mut pins = phone.pins()?;
        let before = pins.clone();
        pins.pinned.retain(|pin| pin != id.as_str());
        if pinned {
            pins.pinned.push(id.as_str().to_owned());
        } else {
            // A person has looked.
            pins.guarded.retain(|guard| guard.id != id.as_str());
        }
        pins.pinned.sort();
        if pins == before {
            return Ok(false);
        }
        // What was removed meanwhile is not spoken of for ever.
        // One that is being adopted is spoken of before it is there.
        let mut there = phone.ids(Place::Adopting.dir())?;
        there.extend(phone.ids("gens")?);
        let is_there = |name: &String| there.iter().any(|found| found.as_str() == name);
        pins.pinned.retain(is_there);
        pins.guarded.retain(|guard| is_there(&guard.id));
        phone.write_small("pins.json", &pins)?;
        Ok(true)
    }

    /// Takes a phone with all its backups out of the store and into its trash, durably.
    ///
    /// # Errors
    /// `Busy` or `LayingOut` while it has a session, `InUse` while one of its backups is read or
    /// being removed, or a system call's; the phone is then either still there or gone, whole. A
    /// phone that is not there is forgotten already.
    pub fn forget(&self, udid: &Udid) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner.writable()?;
        let _session = Claim::take(inner, udid)?;
        let _adoption = Claim::take_adopting(inner, udid)?;
        let Some(phone) = PhoneDir::open(inner, udid)? else {
            return Ok(());
        };
        let mut removals = Vec::new();
        for id in phone.ids("gens")? {
            removals.push(self.claim_removal(&id)?);
        }
        let used = usage::used(&phone);
        let fs = &inner.fs;
        let trash = ensure_dir(fs, &inner.root, TRASH).at("create", TRASH)?;
        let name = ulid::Ulid::new().to_string();
        let account = inner.accounts.of(udid);
        let mut known = account.lock();
        fs.rename(&inner.root, udid.as_str(), &trash, &name, Replace::No)
            .at("forget", udid)?;
        known.end();
        drop(known);
        inner.accounts.forget(udid);
        if let Ok(used) = used {
            let mut forgotten = inner.accounts.forgotten.lock();
            forgotten.expect_in_trash(&name, used);
        }
        fs.sync(&trash).at("sync", TRASH)?;
        fs.sync(&inner.root).at("sync", "the store")?;
        tracing::info!(phone = %udid, backups = removals.len(), "forgotten");
        Ok(())
    }

    /// Opens the directory of the phone that has a backup.
    fn phone_of(&self, udid: &Udid, id: &BackupId) -> Result<PhoneDir<'_, F>, StoreError> {
        let phone = PhoneDir::open(&self.inner, udid)?
            .ok_or_else(|| StoreError::NoSuchBackup(id.clone()))?;
        phone.has(id)?;
        Ok(phone)
    }
}

impl<F: Fs> PhoneDir<'_, F> {
    /// Says that there is such a backup.
    pub(crate) fn has(&self, id: &BackupId) -> Result<(), StoreError> {
        let gens = self.sub("gens")?;
        match self.inner.fs.stat(&gens, id.as_str()) {
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => Err(StoreError::NoSuchBackup(id.clone())),
            Err(errno) => Err(errno).at("look at", self.at(&format!("gens/{id}"))),
        }
    }
}

/// Refuses what no plan may remove (I7): what is kept, and the newest that is good.
fn may_go<F: Fs>(phone: &PhoneDir<'_, F>, id: &BackupId) -> Result<(), StoreError> {
    let list = phone.list(Unreadable::Fail)?;
    let refuse = |why| Err(StoreError::refused(id, why));
    let Some(found) = list.iter().find(|found| found.id == *id) else {
        return refuse("its record cannot be read: it is removed only if that is insisted on");
    };
    if found.pinned {
        return refuse("it is pinned: unpin it first, or insist");
    }
    if found.guarded {
        return refuse("it is kept until a person has looked at what came after it, or insists");
    }
    match list.iter().rfind(|found| found.verified) {
        Some(newest) if newest.id > *id => Ok(()),
        Some(_) | None => {
            refuse("no later backup is good: it is removed only if that is insisted on")
        }
    }
}
