//! One phone's directory: its committed backups and what is known about them.

use crate::error::{Context, ErrorKind, StoreError};
use crate::fs::util::{absent_ok, ensure_dir, read_small, remove_all, replace};
use crate::fs::{Errno, Fs, Kind, Open, Replace};
use crate::record::{
    CheckRecord, ChecksRecord, CommitRecord, FORMAT, Generation, PinsRecord, RECORD_MAX, decode,
    encode, generation,
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
        let record: CommitRecord = decode(&what, &bytes)?;
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
        let checks: ChecksRecord = self.small("checks.json")?;
        let pins: PinsRecord = self.small("pins.json")?;
        let mut list = Vec::new();
        for id in self.ids("gens")? {
            let mut found = match self
                .generation(&id)
                .and_then(|(_, record)| generation(record))
            {
                Ok(found) => found,
                Err(error) if unreadable.skips(&error) => {
                    tracing::error!(phone = %self.udid, backup = %id, %error, "a backup cannot be listed");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(check) = checks.checks.get(id.as_str()) {
                found.verified &= check.damaged.is_empty();
                found.checked = Some(Wall::from_micros(check.checked_unix_us));
            }
            found.pinned = pins.pinned.iter().any(|pin| pin == id.as_str());
            list.push(found);
        }
        Ok(list)
    }

    /// Reads `checks.json` or `pins.json`: absent or damaged means that nothing is known, for
    /// neither may keep a backup from being listed.
    fn small<T: serde::de::DeserializeOwned + Default>(&self, name: &str) -> Result<T, StoreError> {
        match read_small(&self.inner.fs, &self.dir, name, RECORD_MAX) {
            Ok(bytes) => Ok(decode(name, &bytes).unwrap_or_else(|error| {
                tracing::warn!(phone = %self.udid, %error, "ignoring a record");
                T::default()
            })),
            Err(Errno::NOENT) => Ok(T::default()),
            Err(errno) => Err(errno).at("read", self.at(name)),
        }
    }

    pub(crate) fn record_check(&self, id: &BackupId, check: CheckRecord) -> Result<(), StoreError> {
        let _guard = self.inner.records();
        let mut checks: ChecksRecord = self.small("checks.json")?;
        checks.checks.insert(id.as_str().to_owned(), check);
        let bytes = encode("checks.json", &checks)?;
        replace(&self.inner.fs, &self.dir, "checks.json", &bytes)
            .at("write", self.at("checks.json"))
    }

    /// Points `latest` at the newest verified backup, for other programs' eyes.
    pub(crate) fn point_latest(&self) -> Result<(), StoreError> {
        let _guard = self.inner.records();
        let Some(newest) = self
            .list(Unreadable::Skip)?
            .into_iter()
            .rfind(|found| found.verified)
        else {
            return Ok(());
        };
        let target = format!("gens/{}", newest.id);
        let fs = &self.inner.fs;
        match fs.read_link(&self.dir, "latest") {
            Ok(found) if found == target => return Ok(()),
            Ok(_) | Err(Errno::NOENT) => {}
            // Not a link: somebody's own file, not ours to replace.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno).at("read", self.at("latest")),
        }
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

    /// Removes whatever lies in `trash`; returns how many things that was.
    pub(crate) fn empty_trash(&self) -> Result<u64, StoreError> {
        self.empty("trash")
    }

    /// Removes what readings and restores of an earlier process left; only before there are any
    /// in this one.
    pub(crate) fn empty_scratch(&self) -> Result<u64, StoreError> {
        match self.inner.fs.stat(&self.dir, SCRATCH) {
            Ok(_) => self.empty(SCRATCH),
            Err(Errno::NOENT) => Ok(0),
            Err(errno) => Err(errno).at("look at", self.at(SCRATCH)),
        }
    }

    fn empty(&self, sub: &str) -> Result<u64, StoreError> {
        let fs = &self.inner.fs;
        let dir = self.sub(sub)?;
        let mut count = 0;
        for entry in fs.read_dir(&dir).at("list", self.at(sub))? {
            remove_all(fs, &dir, &entry.name).at("remove", self.at(sub))?;
            count += 1;
        }
        Ok(count)
    }
}
