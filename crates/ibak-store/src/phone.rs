//! One phone's directory: its committed backups and what is known about them.

use crate::error::{Context, ErrorKind, StoreError, is_unreadable};
use crate::fs::util::{absent_ok, ensure_dir, read_small, replace};
use crate::fs::{Errno, Fs, Kind, Open, Replace};
use crate::record::{
    ChecksRecord, CommitRecord, FORMAT, Generation, GuardRecord, PinsRecord, RECORD_MAX, Seal,
    decode, decode_commit, encode_sealed, generation, seal_of,
};
use crate::store::{Inner, Store};
use ibak_core::{BackupId, Udid, Wall};

impl<F: Fs> Store<F> {
    /// Lists the phones that have a directory here, in order of their UDIDs.
    ///
    /// # Errors
    /// A system call's.
    pub fn phones(&self) -> Result<Vec<Udid>, StoreError> {
        phones(&self.inner)
    }

    /// Lists a phone's committed backups, oldest first; a phone never seen has none.
    ///
    /// # Errors
    /// A system call's; a backup whose record cannot be read is left out and logged, so that it
    /// does not hide the others.
    pub fn list(&self, udid: &Udid) -> Result<Vec<Generation>, StoreError> {
        match PhoneDir::open(&self.inner, udid)? {
            Some(phone) => phone.list(Unreadable::Skip),
            None => Ok(Vec::new()),
        }
    }
}

pub(crate) fn phones<F: Fs>(inner: &Inner<F>) -> Result<Vec<Udid>, StoreError> {
    let names = inner.fs.read_dir(&inner.root).at("list", "the store")?;
    let mut phones: Vec<Udid> = names
        .into_iter()
        .filter(|entry| entry.kind == Kind::Directory)
        .filter_map(|entry| {
            Udid::parse(&entry.name)
                .ok()
                .filter(|udid| udid.as_str() == entry.name)
        })
        .collect();
    phones.sort();
    Ok(phones)
}

/// Where readings and restores put what is thrown away after them.
pub(crate) const SCRATCH: &str = "scratch";

/// What to do about a backup whose record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Say so: whoever builds on the list must not take a bad moment for an absence.
    Fail,
    /// Leave it out.
    Skip,
}

impl Unreadable {
    fn skips(self, error: &StoreError) -> bool {
        match self {
            // Not a backup, whoever asks: the next opening sets it aside.
            Self::Fail | Self::Skip
                if error.is_absent() || matches!(error, StoreError::Damaged { .. }) =>
            {
                true
            }
            Self::Fail => false,
            Self::Skip => error.kind() == ErrorKind::Io,
        }
    }
}

pub(crate) struct PhoneDir<'a, F: Fs> {
    pub(crate) inner: &'a Inner<F>,
    pub(crate) udid: Udid,
    pub(crate) dir: F::Handle,
}

impl<'a, F: Fs> PhoneDir<'a, F> {
    pub(crate) fn open(inner: &'a Inner<F>, udid: &Udid) -> Result<Option<Self>, StoreError> {
        match inner.fs.open(&inner.root, udid.as_str(), Open::Directory) {
            Ok(dir) => Ok(Some(Self {
                inner,
                udid: udid.clone(),
                dir,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).at("open", udid),
        }
    }

    pub(crate) fn ensure(inner: &'a Inner<F>, udid: &Udid) -> Result<Self, StoreError> {
        let dir = ensure_dir(&inner.fs, &inner.root, udid.as_str()).at("create", udid)?;
        let phone = Self {
            inner,
            udid: udid.clone(),
            dir,
        };
        for name in ["gens", "staging", "trash"] {
            phone.sub(name)?;
        }
        inner.fs.sync(&phone.dir).at("sync", udid)?;
        inner.fs.sync(&inner.root).at("sync", "the store")?;
        Ok(phone)
    }

    /// Opens `gens`, `staging`, `trash`, `quarantine` or `scratch`, making it when absent.
    pub(crate) fn sub(&self, name: &str) -> Result<F::Handle, StoreError> {
        ensure_dir(&self.inner.fs, &self.dir, name).at("create", self.at(name))
    }

    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.udid)
    }

    /// Lists the directories of `gens` or `staging` that have a backup's name, oldest first.
    pub(crate) fn ids(&self, sub: &str) -> Result<Vec<BackupId>, StoreError> {
        let dir = match self.inner.fs.open(&self.dir, sub, Open::Directory) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(errno).at("open", self.at(sub)),
        };
        let names = self.inner.fs.read_dir(&dir).at("list", self.at(sub))?;
        let mut ids: Vec<BackupId> = names
            .into_iter()
            .filter(|entry| entry.kind == Kind::Directory)
            .filter_map(|entry| {
                BackupId::parse(&entry.name)
                    .ok()
                    .filter(|id| id.as_str() == entry.name)
            })
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Opens a committed backup and its record.
    pub(crate) fn generation(
        &self,
        id: &BackupId,
    ) -> Result<(F::Handle, CommitRecord), StoreError> {
        let at = self.at(&format!("gens/{id}"));
        let dir = match self
            .inner
            .fs
            .open(&self.dir, &format!("gens/{id}"), Open::Directory)
        {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Err(StoreError::NoSuchBackup(id.clone())),
            Err(errno) => return Err(errno).at("open", at),
        };
        let record = self.commit_record(&dir, id, &at)?;
        Ok((dir, record))
    }

    pub(crate) fn commit_record(
        &self,
        dir: &F::Handle,
        id: &BackupId,
        at: &str,
    ) -> Result<CommitRecord, StoreError> {
        let what = format!("{at}/commit.json");
        let bytes = read_small(&self.inner.fs, dir, "commit.json", RECORD_MAX).at("read", &what)?;
        let record = decode_commit(&what, &bytes)?;
        // A number that is not what was written says nothing.
        if record.format > FORMAT && seal_of(&bytes) == Seal::Broken {
            return Err(StoreError::damaged(what));
        }
        if record.format > FORMAT {
            return Err(StoreError::NewerFormat {
                found: record.format,
                known: FORMAT,
            });
        }
        let wire = Udid::parse(&record.wire_udid).is_ok_and(|udid| udid == self.udid);
        if record.id != id.as_str() || record.udid != self.udid.as_str() || !wire {
            return Err(StoreError::damaged(what));
        }
        Ok(record)
    }

    pub(crate) fn list(&self, unreadable: Unreadable) -> Result<Vec<Generation>, StoreError> {
        let skip = |error: &StoreError| unreadable.skips(error);
        let checks = match self.checks() {
            Err(error) if skip(&error) => ChecksRecord::unknown(),
            known => known?,
        };
        let pins = match self.pins() {
            Err(error) if skip(&error) => self.all_guarded()?,
            known => known?,
        };
        let mut list = Vec::new();
        for id in self.ids("gens")? {
            let mut found = match self
                .generation(&id)
                .and_then(|(_, record)| generation(record))
            {
                Ok(found) => found,
                // It went while the others were looked at.
                Err(StoreError::NoSuchBackup(_)) => continue,
                Err(error) if unreadable.skips(&error) => {
                    tracing::error!(phone = %self.udid, backup = %id, %error, "a backup cannot be listed");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(check) = checks.checks.get(id.as_str()) {
                found.verified &= check.damaged.is_empty();
                found.checked = check.checked_unix_us.map(Wall::from_micros);
                found.damaged.extend_from_slice(&check.damaged);
            }
            found.pinned = pins.pinned.iter().any(|pin| pin == id.as_str());
            // Without what readings found, nobody knows which backup is the good one.
            found.guarded = checks.lost || pins.guarded.iter().any(|guard| guard.id == id.as_str());
            list.push(found);
        }
        Ok(list)
    }

    /// Reads `checks.json`: one that is damaged keeps no backup from being listed.
    pub(crate) fn checks(&self) -> Result<ChecksRecord, StoreError> {
        Ok(self
            .small("checks.json")?
            .unwrap_or_else(ChecksRecord::unknown))
    }

    /// Reads `pins.json`: one that is damaged keeps no backup from being listed, and until a
    /// person has looked none may be removed for want of its pin.
    pub(crate) fn pins(&self) -> Result<PinsRecord, StoreError> {
        match self.small("pins.json")? {
            Some(pins) => Ok(pins),
            None => self.all_guarded(),
        }
    }

    fn all_guarded(&self) -> Result<PinsRecord, StoreError> {
        let guard = |id: BackupId| GuardRecord {
            id: id.as_str().to_owned(),
            why: "pins-lost".to_owned(),
        };
        Ok(PinsRecord {
            pinned: Vec::new(),
            guarded: self.ids("gens")?.into_iter().map(guard).collect(),
        })
    }

    /// Keeps a backup until a person has looked; `why` is one word.
    pub(crate) fn guard(&self, id: &BackupId, why: &str) -> Result<(), StoreError> {
        let _guard = self.inner.records();
        let mut pins = self.pins()?;
        if pins.guarded.iter().any(|guard| guard.id == id.as_str()) {
            return Ok(());
        }
        pins.guarded.push(GuardRecord {
            id: id.as_str().to_owned(),
            why: why.to_owned(),
        });
        self.write_small("pins.json", &pins)
    }

    /// Reads a small record beside `gens`; absent means that nothing is known, `None` that it is
    /// damaged.
    pub(crate) fn small<T: serde::de::DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        let read = || read_small(&self.inner.fs, &self.dir, name, RECORD_MAX);
        let bytes = match read() {
            // One bad moment of the disk.
            Err(errno) if is_unreadable(errno) => read(),
            once => once,
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(Errno::NOENT) => return Ok(Some(T::default())),
            // What the disk cannot give twice is lost, which keeps more than knowing it would.
            Err(errno)
                if is_unreadable(errno)
                    || matches!(
                        errno,
                        Errno::FBIG | Errno::INVAL | Errno::ISDIR | Errno::LOOP
                    ) =>
            {
                tracing::warn!(phone = %self.udid, name, %errno, "ignoring a record");
                return Ok(None);
            }
            Err(errno) => return Err(errno).at("read", self.at(name)),
        };
        let record = match seal_of(&bytes) {
            Seal::Broken => Err(StoreError::damaged(self.at(name))),
            Seal::Whole | Seal::Absent => decode(&self.at(name), &bytes),
        };
        Ok(record
            .inspect_err(|error| tracing::warn!(phone = %self.udid, %error, "ignoring a record"))
            .ok())
    }

    /// Replaces a small record beside `gens`, durably.
    pub(crate) fn write_small(
        &self,
        name: &str,
        record: &impl serde::Serialize,
    ) -> Result<(), StoreError> {
        self.inner.writable()?;
        let bytes = encode_sealed(name, record)?;
        replace(&self.inner.fs, &self.dir, name, &bytes).at("write", self.at(name))
    }

    /// Removes a small record beside `gens`; durable or not, for it may be lost.
    pub(crate) fn remove_small(&self, name: &str) -> Result<(), StoreError> {
        absent_ok(self.inner.fs.unlink(&self.dir, name)).at("remove", self.at(name))
    }

    /// Points `latest` at the newest verified backup, for other programs' eyes; without one there
    /// is no `latest`.
    pub(crate) fn point_latest(&self) -> Result<(), StoreError> {
        let _guard = self.inner.records();
        let newest = self
            .list(Unreadable::Skip)?
            .into_iter()
            .rfind(|found| found.verified);
        let target = newest.map(|newest| format!("gens/{}", newest.id));
        let fs = &self.inner.fs;
        match fs.read_link(&self.dir, "latest") {
            Ok(found) if Some(&found) == target.as_ref() => return Ok(()),
            Ok(_) => {}
            Err(Errno::NOENT) if target.is_none() => return Ok(()),
            Err(Errno::NOENT) => {}
            // Not a link: somebody's own file, not ours to replace.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno).at("read", self.at("latest")),
        }
        let Some(target) = target else {
            fs.unlink(&self.dir, "latest")
                .at("remove", self.at("latest"))?;
            return fs.sync(&self.dir).at("sync", &self.udid);
        };
        absent_ok(fs.unlink(&self.dir, "latest.tmp")).at("remove", self.at("latest.tmp"))?;
        fs.symlink(&target, &self.dir, "latest.tmp")
            .at("create", self.at("latest.tmp"))?;
        fs.rename(&self.dir, "latest.tmp", &self.dir, "latest", Replace::Yes)
            .at("rename", self.at("latest"))?;
        fs.sync(&self.dir).at("sync", &self.udid)
    }

    /// Moves `sub/<id>` out of sight so that a crash cannot leave half of it in place.
    pub(crate) fn set_aside(&self, sub: &str, id: &BackupId, into: &str) -> Result<(), StoreError> {
        let fs = &self.inner.fs;
        let from = self.sub(sub)?;
        let to = self.sub(into)?;
        let at = self.at(&format!("{sub}/{id}"));
        match fs.rename(&from, id.as_str(), &to, id.as_str(), Replace::No) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                let other = format!("{id}.{}", ulid::Ulid::new());
                fs.rename(&from, id.as_str(), &to, &other, Replace::No)
                    .at("set aside", at)?;
            }
            other => other.at("set aside", at)?,
        }
        fs.sync(&to).at("sync", self.at(into))?;
        fs.sync(&from).at("sync", self.at(sub))
    }

    /// Puts out of sight what readings and restores of an earlier process left; only before there
    /// are any in this one. Returns how many things that was.
    pub(crate) fn clear_scratch(&self) -> Result<u64, StoreError> {
        let fs = &self.inner.fs;
        let scratch = match fs.open(&self.dir, SCRATCH, Open::Directory) {
            Ok(scratch) => scratch,
            Err(Errno::NOENT) => return Ok(0),
            Err(errno) => return Err(errno).at("open", self.at(SCRATCH)),
        };
        let mut count = 0;
        for entry in fs.read_dir(&scratch).at("list", self.at(SCRATCH))? {
            let at = self.at(&format!("{SCRATCH}/{}", entry.name));
            if entry.kind == Kind::Directory {
                let trash = self.sub("trash")?;
                let name = ulid::Ulid::new().to_string();
                fs.rename(&scratch, &entry.name, &trash, &name, Replace::No)
                    .at("set aside", at)?;
            } else {
                // It may be a decrypted list of files: gone, not set aside.
                absent_ok(fs.unlink(&scratch, &entry.name)).at("remove", at)?;
            }
            count += 1;
        }
        Ok(count)
    }
}
