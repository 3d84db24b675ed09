//! One phone's directory on its way.

use super::Copying;
use super::content::Arrived;
use super::links::Links;
use super::tree::{Before, Expected, Tree, readable};
use crate::error::{Context, ErrorKind, StoreError, is_unreadable};
use crate::fs::util::{
    DEPTH_MAX, absent_ok, ensure_dir, hash_rest, read_small, remove_all, sync_dirs,
};
use crate::fs::{Errno, Fs, Kind, Open, Replace};
use crate::index::{IndexReader, hex};
use crate::lease::Lease;
use crate::marks::Findings;
use crate::phone::PhoneDir;
use crate::record::{CommitRecord, RECORD_MAX};
use crate::staging::Claim;
use ibak_core::{BackupId, Udid};

/// Where a backup lies at the target until it is durable.
pub(super) const COPYING: &str = "copying";

/// A phone's directory here and there.
pub(super) struct Both<'a, F: Fs, G: Fs> {
    pub(super) from: PhoneDir<'a, F>,
    pub(super) to: PhoneDir<'a, G>,
    /// `copying` at the target, opened before the first write (I6).
    pub(super) waiting: G::Handle,
    pub(super) links: Links,
}

impl<F: Fs, G: Fs> Copying<'_, F, G> {
    /// Copies what the target lacks of one phone; `first` is the round that counts what was
    /// there before.
    pub(super) fn phone(&mut self, udid: &Udid, first: bool) -> Result<(), StoreError> {
        let (from, to) = (self.from.clone(), self.to.clone());
        let Some(source) = PhoneDir::open(&from, udid)? else {
            return Ok(());
        };
        // Nobody writes there meanwhile.
        let _claim = Claim::take(&to, udid)?;
        let target = PhoneDir::ensure(&to, udid)?;
        let waiting = target.sub(COPYING)?;
        let mut both = Both {
            from: source,
            to: target,
            waiting,
            links: Links::default(),
        };
        let outcome = self.all_of(&mut both, first);
        if outcome == Err(StoreError::Cancelled) && to.trusts_sync_fs {
            // What the next call finds is on the disk, and not only in memory.
            to.fs.sync_fs(&both.waiting).at("sync", "the file system")?;
        }
        outcome?;
        drop(both.waiting);
        remove_all(&to.fs, &both.to.dir, COPYING).at("remove", both.to.at(COPYING))?;
        Ok(())
    }

    fn all_of(&mut self, both: &mut Both<'_, F, G>, first: bool) -> Result<(), StoreError> {
        self.notes(both)?;
        for id in both.from.ids("gens")? {
            self.generation(both, &id, first)?;
        }
        self.set_aside_ones(both)?;
        self.staging(both)?;
        // A call that failed may have left a rename that is not durable.
        let gens = both.to.sub("gens")?;
        self.to.fs.sync(&gens).at("sync", both.to.at("gens"))?;
        both.to.point_latest()
    }

    /// Brings one backup.
    fn generation(
        &mut self,
        both: &mut Both<'_, F, G>,
        id: &BackupId,
        first: bool,
    ) -> Result<(), StoreError> {
        let _lease = match Lease::take(self.from, id) {
            Err(StoreError::NoSuchBackup(_)) => return Ok(()),
            other => other?,
        };
        let (dir, record) = match both.from.generation(id) {
            Ok(found) => found,
            // No backup, as the next opening will see: it goes where that would put it.
            Err(StoreError::Damaged { .. }) => {
                return self.as_it_is(both, "gens", id.as_str(), "quarantine");
            }
            Err(StoreError::NoSuchBackup(_)) => return Ok(()),
            Err(error) if error.is_absent() => {
                return self.as_it_is(both, "gens", id.as_str(), "quarantine");
            }
            Err(error) if error.kind() == ErrorKind::Io => {
                tracing::error!(phone = %both.from.udid, backup = %id, %error, "a backup cannot be copied");
                let named = (both.from.udid.clone(), id.clone());
                if !self.copied.unreadable.contains(&named) {
                    self.copied.unreadable.push(named);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match self.from.fs.stat(&dir, &record.wire_udid) {
            Ok(stat) if stat.kind == Kind::Directory => {}
            Ok(_) | Err(Errno::NOENT) => {
                return self.as_it_is(both, "gens", id.as_str(), "quarantine");
            }
            Err(errno) => return Err(errno).at("look at", id),
        }
        both.links.enter(format!("gens/{id}/{}", record.wire_udid));
        let is_there = self.is_there(both, id)?;
        // One bad moment is over.
        let named = (both.from.udid.clone(), id.clone());
        self.copied.unreadable.retain(|other| *other != named);
        if is_there {
            if first {
                self.copied.already_there += 1;
                self.step(record.files, record.bytes)?;
            }
            return self.remember(both, &dir, &record);
        }
        let damaged = self.bring(both, id, &dir, &record)?;
        if !damaged.is_empty() {
            tracing::warn!(phone = %both.from.udid, backup = %id, "a backup was copied as damaged as it is");
            self.mark(both, id, &damaged)?;
            self.copied.damaged.push(named);
        }
        self.install(both, id.as_str(), "gens")?;
        self.copied.backups += 1;
        Ok(())
    }

    /// Says whether an earlier copy brought this very backup.
    fn is_there(&self, both: &Both<'_, F, G>, id: &BackupId) -> Result<bool, StoreError> {
        let path = format!("gens/{id}/commit.json");
        let there = match read_small(&self.to.fs, &both.to.dir, &path, RECORD_MAX) {
            Ok(there) => there,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno).at("read", both.to.at(&path)),
        };
        let here = read_small(&self.from.fs, &both.from.dir, &path, RECORD_MAX)
            .at("read", both.from.at(&path))?;
        if here == there {
            return Ok(true);
        }
        Err(StoreError::refused(
            both.to.at(&path),
            "another backup has this name in the new place",
        ))
    }

    /// Takes note of what shares inodes with backups that are still to come.
    fn remember(
        &mut self,
        both: &mut Both<'_, F, G>,
        dir: &F::Handle,
        record: &CommitRecord,
    ) -> Result<(), StoreError> {
        let tree = self.from.fs.open(dir, &record.wire_udid, Open::Directory);
        let Some(tree) = readable(tree).at("open", &record.id)? else {
            return Ok(());
        };
        let Both { to, links, .. } = both;
        Tree {
            copying: self,
            links,
            phone: &to.dir,
            before: Before::default(),
            expected: Expected::default(),
        }
        .remember(&tree, "", DEPTH_MAX)
    }

    /// Copies a backup beside its place; returns what of it is not what was received.
    fn bring(
        &mut self,
        both: &mut Both<'_, F, G>,
        id: &BackupId,
        dir: &F::Handle,
        record: &CommitRecord,
    ) -> Result<Findings, StoreError> {
        let (here, there) = (self.from.fs.clone(), self.to.fs.clone());
        let beside = ensure_dir(&there, &both.waiting, id.as_str()).at("create", id)?;
        let index = self.file(dir, &beside, "index.zst")?;
        if index.is_none() {
            self.empty_index(&beside)?;
        }
        let index = if index.as_deref() == Some(record.index_blake3.as_str()) {
            Some(IndexReader::open(&there, &beside)?)
        } else {
            None
        };
        let mut expected = Expected::by(index);
        if !expected.has_index() {
            expected.damaged.add("its index is damaged");
        }
        let from = here
            .open(dir, &record.wire_udid, Open::Directory)
            .at("open", id)?;
        let to = ensure_dir(&there, &beside, &record.wire_udid).at("create", id)?;
        let near = self.before(both, id, record)?;
        let (before, twins) = match near {
            Some((before, from, to)) => (before, Some((from, to))),
            None => (Before::default(), None),
        };
        let mut tree = Tree {
            copying: self,
            links: &mut both.links,
            phone: &both.to.dir,
            before,
            expected,
        };
        tree.all((&from, &to), twins.as_ref().map(|(from, to)| (from, to)))?;
        let damaged = tree.expected.damaged;
        self.file(dir, &beside, "commit.json")?
            .map(|_| damaged)
            .ok_or_else(|| StoreError::damaged(both.from.at(&format!("gens/{id}/commit.json"))))
    }

    /// Puts an empty index where one cannot be read: without any it would be no backup, with
    /// this one it is a damaged one.
    fn empty_index(&self, beside: &G::Handle) -> Result<(), StoreError> {
        const NAME: &str = "index.zst";
        let fs = &self.to.fs;
        absent_ok(fs.unlink(beside, NAME)).at("replace", NAME)?;
        let file = fs.open(beside, NAME, Open::CreateNew).at("create", NAME)?;
        fs.set_mode(&file, 0o400).at("protect", NAME)?;
        fs.sync(&file).at("sync", NAME)?;
        fs.close(file).at("close", NAME)
    }

    /// Copies a file of ours; returns its BLAKE3, `None` when it cannot be read.
    fn file(
        &mut self,
        from: &F::Handle,
        to: &G::Handle,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        let stat = match self.from.fs.stat(from, name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) if is_unreadable(errno) => return Ok(None),
            Err(errno) => return Err(errno).at("look at", name),
        };
        Ok(match self.content((from, &stat), to, name, name)? {
            Arrived::Whole { hash, .. } => Some(hex(&hash)),
            Arrived::Nothing => None,
        })
    }

    /// Opens the index of a backup at the target, if it is the one that was written.
    fn index(
        &self,
        both: &Both<'_, F, G>,
        id: &BackupId,
        record: &CommitRecord,
    ) -> Result<Option<IndexReader>, StoreError> {
        let fs = &self.to.fs;
        let dir = fs
            .open(&both.to.dir, &format!("gens/{id}"), Open::Directory)
            .at("open", id)?;
        let found = fs
            .open(&dir, "index.zst", Open::Read)
            .and_then(|file| hash_rest(fs, &file));
        match found {
            Ok((_, hash)) if hex(&hash) == record.index_blake3 => {
                IndexReader::open(fs, &dir).map(Some)
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) if is_unreadable(errno) => Ok(None),
            Err(errno) => Err(errno).at("read", "index.zst"),
        }
    }

    /// Opens the backup that this one shares most files with: its parent, or else the one before
    /// it, as far as it is at the target.
    #[expect(clippy::type_complexity, reason = "what is known, here and there")]
    fn before(
        &self,
        both: &Both<'_, F, G>,
        id: &BackupId,
        record: &CommitRecord,
    ) -> Result<Option<(Before, F::Handle, G::Handle)>, StoreError> {
        let there = both.to.ids("gens")?;
        let parent = record
            .parent
            .as_deref()
            .and_then(|parent| BackupId::parse(parent).ok())
            .filter(|parent| there.contains(parent));
        let Some(near) = parent.or_else(|| there.into_iter().rfind(|other| other < id)) else {
            return Ok(None);
        };
        let (from_dir, found) = match both.from.generation(&near) {
            Ok(found) => found,
            // Removed here since it went over.
            Err(StoreError::NoSuchBackup(_) | StoreError::Damaged { .. }) => return Ok(None),
            // Nothing is shared with it then.
            Err(error) if error.kind() == ErrorKind::Io => return Ok(None),
            Err(error) => return Err(error),
        };
        let wire = &found.wire_udid;
        let from = self.from.fs.open(&from_dir, wire, Open::Directory);
        let Some(from) = readable(from).at("open", &near)? else {
            return Ok(None);
        };
        let path = format!("gens/{near}/{wire}");
        let to = self.to.fs.open(&both.to.dir, &path, Open::Directory);
        let to = to.at("open", &near)?;
        let damaged = both
            .to
            .checks()?
            .checks
            .remove(near.as_str())
            .map(|check| check.damaged.into_iter().collect())
            .unwrap_or_default();
        let before = Before {
            damaged,
            index: self.index(both, &near, &found)?,
        };
        Ok(Some((before, from, to)))
    }

    /// Makes what lies in `copying` durable and gives it its place.
    pub(super) fn install(
        &self,
        both: &Both<'_, F, G>,
        name: &str,
        place: &str,
    ) -> Result<(), StoreError> {
        let fs = &self.to.fs;
        if self.to.trusts_sync_fs {
            fs.sync_fs(&both.waiting).at("sync", "the file system")?;
        } else {
            sync_dirs(fs, &both.waiting).at("sync", both.to.at(COPYING))?;
        }
        let into = both.to.sub(place)?;
        fs.rename(&both.waiting, name, &into, name, Replace::No)
            .at("install", both.to.at(&format!("{place}/{name}")))?;
        fs.sync(&into).at("sync", both.to.at(place))?;
        fs.sync(&both.waiting).at("sync", both.to.at(COPYING))
    }

    /// Brings what was set aside.
    fn set_aside_ones(&mut self, both: &mut Both<'_, F, G>) -> Result<(), StoreError> {
        let name = "quarantine";
        let fs = &self.from.fs;
        let dir = match fs.open(&both.from.dir, name, Open::Directory) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno).at("open", both.from.at(name)),
        };
        for entry in fs.read_dir(&dir).at("list", both.from.at(name))? {
            if entry.kind == Kind::Directory {
                self.as_it_is(both, name, &entry.name, name)?;
            }
        }
        Ok(())
    }

    /// Brings a directory without asking what it is, unless an earlier copy did.
    fn as_it_is(
        &mut self,
        both: &mut Both<'_, F, G>,
        sub: &str,
        name: &str,
        into: &str,
    ) -> Result<(), StoreError> {
        let (here, there) = (self.from.fs.clone(), self.to.fs.clone());
        let place = both.to.sub(into)?;
        match there.stat(&place, name) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).at("look at", both.to.at(into)),
        }
        let from = here
            .open(&both.from.dir, &format!("{sub}/{name}"), Open::Directory)
            .at("open", both.from.at(sub))?;
        remove_all(&there, &both.waiting, name).at("remove", name)?;
        let to = ensure_dir(&there, &both.waiting, name).at("create", name)?;
        both.links.enter(format!("{into}/{name}"));
        Tree {
            copying: self,
            links: &mut both.links,
            phone: &both.to.dir,
            before: Before::default(),
            expected: Expected::default(),
        }
        .all_as_it_is((&from, &to))?;
        self.install(both, name, into)
    }
}
