//! From a working copy to a backup (I5).
//!
//! Proof that the phone is done, structural check, index and record, barrier, one rename, both
//! parents synced. Until the rename nothing under `gens/` changes; `state.json` goes after the
//! barrier and before the rename, so that a working copy with a record and without a state is
//! known to be whole, and recovery finishes its rename.

use super::ledger::Ledger;
use super::{DeviceDone, Place, Staging};
use crate::error::{Context, StoreError};
use crate::fs::util::{absent_ok, hash_rest, remove_all, sorted, write_all};
use crate::fs::{Errno, Fs, Kind, Name, Open, Replace};
use crate::index::{IndexReader, IndexWriter};
use crate::phone::PhoneDir;
use crate::record::{CommitRecord, FORMAT, Generation, Phase, encode_sealed, generation};
use crate::structure::{self, Structure};
use ibak_core::{BackupPath, Now};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    files: u64,
    bytes: u64,
    new_files: u64,
    allocated: u64,
}

impl<F: Fs> Staging<F> {
    /// Makes the working copy a backup.
    ///
    /// # Errors
    /// `Incomplete` when what was received is not a whole backup; the working copy is then never
    /// resumed. `Poisoned`, or a system call's; the earlier backups are untouched. An error of
    /// the last sync alone leaves a whole backup whose rename may not be durable; the next
    /// opening makes it so.
    pub fn commit(mut self, done: DeviceDone, now: Now) -> Result<Generation, StoreError> {
        let DeviceDone(()) = done;
        self.check_usable()?;
        if let Err(error) = self.room_to_check() {
            // Nothing was touched, and the transfer shall not have been for nothing.
            if self.phase == Phase::Finished {
                let kept = self.enter(Phase::Committing, now);
                self.note(kept)?;
            }
            return Err(error);
        }
        let outcome = self.commit_inner(now);
        let outcome = self.note(outcome);
        if let Err(error) = &outcome
            && (error.poisons()
                || matches!(
                    error,
                    StoreError::Incomplete(_) | StoreError::Damaged { .. }
                ))
            && let Err(second) = self.bury_if_there(now)
        {
            tracing::warn!(phone = %self.udid, error = %second, "and the working copy could not be marked");
        }
        if matches!(&outcome, Err(StoreError::Incomplete(_)))
            && let Err(second) = self.give_up_on_parent()
        {
            tracing::warn!(phone = %self.udid, error = %second, "and what it was cloned from could not be marked");
        }
        outcome
    }

    pub(super) fn phone(&self) -> Result<PhoneDir<'_, F>, StoreError> {
        match PhoneDir::open(&self.inner, &self.udid)? {
            Some(phone) => Ok(phone),
            None => Err(Errno::NOENT).at("open", &self.udid),
        }
    }

    /// Marks the working copy dead unless its rename has happened.
    fn bury_if_there(&mut self, now: Now) -> Result<(), StoreError> {
        self.inner.sessions().poisoned.insert(self.id.clone());
        match self.inner.fs.stat(&self.barrier, self.id.as_str()) {
            // A full disk says nothing against what is there already.
            Ok(_) if self.poison == Some(super::Poison::Full) => Ok(()),
            Ok(_) => match self.inner.fs.stat(&self.dir, "state.json") {
                Ok(_) => self.bury(now),
                // Past the barrier: recovery finishes the rename.
                Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno).at("look at", "state.json"),
            },
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).at("look at", &self.id),
        }
    }

    /// Everything from the check to the rename, with `now` as the date of the backup.
    pub(super) fn commit_inner(&mut self, now: Now) -> Result<Generation, StoreError> {
        if self.open.is_some() {
            return Err(StoreError::Incomplete(
                "a file is still being received".to_owned(),
            ));
        }
        if self.status_phase()? != Some(Phase::Finished) {
            return Err(StoreError::Incomplete(
                "the phone has not marked it as finished".to_owned(),
            ));
        }
        self.clear_snapshot()?;
        // Durable, logged and marked: a crash from here on does not cost the transfer.
        self.enter(Phase::Committing, now)?;
        let structure = self.check_structure()?;
        if structure.encrypted {
            self.check_awaited()?;
        }
        let (record, allocated) = self.write_records(&structure, now)?;
        self.guard_the_one_before(&record)?;
        let fs = &self.inner.fs;
        for entry in fs.read_dir(&self.dir).at("list", &self.id)? {
            if !stays(&entry.name, &self.wire)
                && !matches!(entry.name.as_str(), "state.json" | "received.log")
            {
                remove_all(fs, &self.dir, &entry.name).at("remove", &entry.name)?;
            }
        }
        self.make_durable()?;
        fs.unlink(&self.dir, "state.json")
            .at("remove", "state.json")?;
        let phone = self.phone()?;
        let damaged = self.install_marked(&phone, &record)?;
        self.account_for(&phone, allocated);
        if let Err(error) = phone.point_latest() {
            // For other programs' eyes only; the next opening points it.
            tracing::warn!(phone = %self.udid, %error, "latest still shows an older backup");
        }
        let mut made = generation(record)?;
        made.verified &= damaged.is_empty();
        made.damaged = damaged;
        Ok(made)
    }

    /// Removes `Snapshot/` when nothing is left in it.
    fn clear_snapshot(&self) -> Result<(), StoreError> {
        let fs = &self.inner.fs;
        match fs.open(&self.tree, "Snapshot", Open::Directory) {
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno).at("open", "Snapshot"),
            Ok(dir) => {
                if has_files(fs, &dir).at("list", "Snapshot")? {
                    return Err(StoreError::Incomplete(
                        "the phone left files in Snapshot".to_owned(),
                    ));
                }
            }
        }
        remove_all(fs, &self.tree, "Snapshot")
            .at("remove", "Snapshot")
            .map(drop)
    }

    fn check_structure(&self) -> Result<Structure, StoreError> {
        let mut excused: BTreeSet<String> = self
            .ledger
            .failed()
            .filter_map(|path| path.as_str().rsplit('/').next().map(str::to_owned))
            .collect();
        if let (Place::Staging, Some(parent)) = (self.place, &self.parent) {
            // What the phone could not send then, it does not send again unless it changed.
            let phone = self.phone()?;
            excused.extend(phone.generation(parent)?.1.missing);
        }
        structure::check(&self.inner.fs, &self.tree, &excused)
    }

    /// Returns the record, and what the tree takes on the disk that no other name keeps.
    fn write_records(
        &self,
        structure: &Structure,
        now: Now,
    ) -> Result<(CommitRecord, u64), StoreError> {
        let fs = &self.inner.fs;
        for name in ["index.zst", "commit.json"] {
            absent_ok(fs.unlink(&self.dir, name)).at("remove", name)?;
        }
        let parent_tree = self.parent_tree()?;
        let parent_index = match &self.parent {
            Some(parent) => {
                let phone = self.phone()?;
                Some(IndexReader::open(fs, &phone.generation(parent)?.0)?)
            }
            None => None,
        };
        let mut indexing = Indexing {
            fs,
            writer: IndexWriter::create(fs, &self.dir, "index.zst")?,
            parent_index,
            ledger: &self.ledger,
            encrypted: structure.encrypted,
            totals: Totals::default(),
        };
        indexing.dir(&self.tree, parent_tree.as_ref(), "")?;
        let Indexing { writer, totals, .. } = indexing;
        let (index_blake3, index_length) = writer.finish()?;
        let record = CommitRecord {
            format: FORMAT,
            id: self.id.as_str().to_owned(),
            udid: self.udid.as_str().to_owned(),
            wire_udid: self.wire.clone(),
            parent: self.parent.as_ref().map(|id| id.as_str().to_owned()),
            started_unix_us: self.started.as_micros(),
            finished_unix_us: now.wall.as_micros(),
            device_name: structure.device_name.clone(),
            product_type: structure.product_type.clone(),
            os_version: structure.os_version.clone(),
            build: structure.build.clone(),
            encrypted: structure.encrypted,
            keybag_uuid: structure.keybag_uuid.clone(),
            full: self.parent.is_none() || self.place == Place::Adopting,
            files: totals.files,
            bytes: totals.bytes,
            new_files: totals.new_files,
            // The record itself takes one block, the index whole ones.
            unique_bytes: totals
                .allocated
                .saturating_add(4096)
                .saturating_add(index_length.next_multiple_of(4096)),
            index_blake3,
            verified: true,
            warnings: structure.warnings.clone(),
            missing: structure.missing.clone(),
            adopted: self.place == Place::Adopting,
            tool: concat!("ibak ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let file = fs
            .open(&self.dir, "commit.json", Open::CreateNew)
            .at("create", "commit.json")?;
        write_all(fs, &file, &encode_sealed("commit.json", &record)?).at("write", "commit.json")?;
        fs.set_mode(&file, 0o400).at("protect", "commit.json")?;
        fs.sync(&file).at("sync", "commit.json")?;
        fs.close(file).at("close", "commit.json")?;
        Ok((record, totals.allocated))
    }
}

fn stays(name: &str, wire: &str) -> bool {
    name == wire || matches!(name, "commit.json" | "index.zst")
}

/// Gives a whole and durable working copy its place under `gens/`.
pub(super) fn install<F: Fs>(
    phone: &PhoneDir<'_, F>,
    place: Place,
    id: &ibak_core::BackupId,
    dir: &F::Handle,
    wire: &str,
) -> Result<(), StoreError> {
    let fs = &phone.inner.fs;
    for entry in fs.read_dir(dir).at("list", id)? {
        if !stays(&entry.name, wire) {
            remove_all(fs, dir, &entry.name).at("remove", &entry.name)?;
        }
    }
    fs.sync(dir).at("sync", id)?;
    let from = phone.sub(place.dir())?;
    let gens = phone.sub("gens")?;
    fs.rename(&from, id.as_str(), &gens, id.as_str(), Replace::No)
        .at("commit", id)?;
    fs.sync(&gens).at("sync", phone.at("gens"))?;
    fs.sync(&from).at("sync", phone.at(place.dir()))
}

pub(super) fn has_files<F: Fs>(fs: &F, dir: &F::Handle) -> Result<bool, Errno> {
    for entry in fs.read_dir(dir)? {
        if entry.kind != Kind::Directory
            || has_files(fs, &fs.open(dir, &entry.name, Open::Directory)?)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Indexing<'a, F: Fs> {
    fs: &'a F,
    writer: IndexWriter<F>,
    parent_index: Option<IndexReader>,
    ledger: &'a Ledger,
    /// No list of files says what belongs here: only what was sent or inherited does.
    encrypted: bool,
    totals: Totals,
}

impl<F: Fs> Indexing<'_, F> {
    fn dir(
        &mut self,
        dir: &F::Handle,
        twin: Option<&F::Handle>,
        at: &str,
    ) -> Result<(), StoreError> {
        let own = self.fs.stat_handle(dir).at("look at", at)?;
        self.totals.allocated = self.totals.allocated.saturating_add(own.allocated);
        for entry in sorted(self.fs, dir).at("list", at)? {
            let path = if at.is_empty() {
                entry.name.clone()
            } else {
                format!("{at}/{}", entry.name)
            };
            match entry.kind {
                Kind::Directory => {
                    let inner = self
                        .fs
                        .open(dir, &entry.name, Open::Directory)
                        .at("open", &path)?;
                    let twin =
                        match twin.map(|twin| self.fs.open(twin, &entry.name, Open::Directory)) {
                            None | Some(Err(Errno::NOENT | Errno::NOTDIR)) => None,
                            Some(opened) => Some(opened.at("open", &path)?),
                        };
                    self.dir(&inner, twin.as_ref(), &path)?;
                }
                Kind::Regular => self.file(dir, twin, &entry, &path)?,
                Kind::Symlink | Kind::Other => {
                    return Err(StoreError::Incomplete(format!(
                        "{path} is neither a file nor a directory"
                    )));
                }
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        dir: &F::Handle,
        twin: Option<&F::Handle>,
        entry: &Name,
        path: &str,
    ) -> Result<(), StoreError> {
        let stat = self.fs.stat(dir, &entry.name).at("look at", path)?;
        let inherited = match twin.map(|twin| self.fs.stat(twin, &entry.name)) {
            None | Some(Err(Errno::NOENT)) => false,
            Some(found) => {
                let found = found.at("look at", path)?;
                found.inode == stat.inode && found.device == stat.device
            }
        };
        let known = if inherited {
            let entry = match &mut self.parent_index {
                Some(index) => index.seek(path)?,
                None => None,
            };
            entry.map(|entry| (entry.size, entry.hash))
        } else {
            self.ledger
                .get(&BackupPath::Tree(path.to_owned()))
                .map(|received| (received.size, received.hash))
        };
        let (size, hash) = match known {
            Some((size, _)) if size != stat.size => {
                return Err(StoreError::damaged(format!(
                    "{path}, which has {} bytes instead of {size}, in the working copy",
                    stat.size
                )));
            }
            Some(known) => known,
            None if self.encrypted => {
                return Err(StoreError::Incomplete(format!(
                    "{path} was neither sent nor inherited"
                )));
            }
            None => {
                let file = self
                    .fs
                    .open(dir, &entry.name, Open::Read)
                    .at("open", path)?;
                hash_rest(self.fs, &file).at("read", path)?
            }
        };
        if !inherited {
            if stat.mode != 0o400 {
                let file = self
                    .fs
                    .open(dir, &entry.name, Open::Read)
                    .at("open", path)?;
                self.fs.set_mode(&file, 0o400).at("protect", path)?;
            }
            self.totals.new_files += 1;
            if stat.links == 1 {
                self.totals.allocated = self.totals.allocated.saturating_add(stat.allocated);
            }
        }
        self.totals.files += 1;
        self.totals.bytes = self.totals.bytes.saturating_add(size);
        self.writer.add(path, size, &hash)
    }
}
