//! What reading backups again has found, and that every backup that holds a bad file says so.

use crate::error::{Context, ErrorKind, StoreError, is_unreadable};
use crate::fs::{Errno, Fs, Kind, Open, Stat};
use crate::index::{IndexEntry, IndexReader};
use crate::phone::PhoneDir;
use ibak_core::{BackupId, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Damaged paths kept of one backup at most: with more of them it is no use as a whole.
pub(crate) const DAMAGED_MAX: usize = 1000;
/// What is said of a backup with more of them than are kept.
pub(crate) const TOO_MANY: &str = "more than 1000 of its files are damaged";
/// Bytes read between two calls at most.
const STRIDE: usize = 1 << 20;

/// Told of the bytes read since the last call; may stop the reading.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// What was received.
    Good,
    /// Anything else, or not to be read.
    Bad,
    /// Nothing.
    Missing,
}

/// Says whether the kernel's answer is about the one file, and a restore would hear it too.
pub(crate) fn is_damage(errno: Errno) -> bool {
    is_unreadable(errno)
        || matches!(
            errno,
            Errno::ISDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::NXIO
        )
}

/// Reads a file and compares it with what its backup's index says.
///
/// # Errors
/// `Cancelled`, or a system call's that is not about this file.
pub(crate) fn look<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    entry: &IndexEntry,
    tell: Tell<'_>,
) -> Result<Found, StoreError> {
    let read = |file: F::Handle, tell: Tell<'_>| -> Result<Result<bool, Errno>, StoreError> {
        match fs.stat_handle(&file) {
            Ok(stat) if stat.kind == Kind::Regular && stat.size == entry.size => {}
            Ok(_) => return Ok(Ok(false)),
            Err(errno) => return Ok(Err(errno)),
        }
        let found = hash_told(fs, &file, tell)?;
        Ok(found.map(|(size, hash)| size == entry.size && hash == entry.hash))
    };
    let outcome = match fs.open(tree, &entry.path, Open::Read) {
        Ok(file) => read(file, tell)?,
        Err(errno) => Err(errno),
    };
    match outcome {
        Ok(true) => Ok(Found::Good),
        Ok(false) => Ok(Found::Bad),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(Found::Missing),
        Err(errno) if is_damage(errno) => Ok(Found::Bad),
        Err(errno) => Err(errno).at("read", &entry.path),
    }
}

/// Hashes the rest of a file, telling of every MiB; the inner error is the kernel's.
pub(crate) fn hash_told<F: Fs>(
    fs: &F,
    file: &F::Handle,
    tell: Tell<'_>,
) -> Result<Result<(u64, [u8; 32]), Errno>, StoreError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; crate::fs::util::CHUNK];
    let (mut size, mut untold) = (0_u64, 0_usize);
    loop {
        let some = match fs.read(file, &mut buffer) {
            Ok(some) => some,
            Err(errno) => return Ok(Err(errno)),
        };
        untold += some;
        let is_end = some == 0;
        let due = untold + buffer.len() > STRIDE || (is_end && untold > 0);
        if due && tell(std::mem::take(&mut untold) as u64).is_break() {
            return Err(StoreError::Cancelled);
        }
        if is_end {
            return Ok(Ok((size, *hasher.finalize().as_bytes())));
        }
        hasher.update(buffer.get(..some).unwrap_or_default());
        size = size.saturating_add(some as u64);
    }
}

/// Looks at paths below a directory, quickly when they come in the order of a walk.
pub(crate) struct Stats<'a, F: Fs> {
    fs: &'a F,
    tree: F::Handle,
    last: Option<(String, Result<F::Handle, Errno>)>,
}

impl<'a, F: Fs> Stats<'a, F> {
    pub(crate) fn new(fs: &'a F, tree: F::Handle) -> Self {
        Self {
            fs,
            tree,
            last: None,
        }
    }

    pub(crate) fn tree(&self) -> &F::Handle {
        &self.tree
    }

    pub(crate) fn stat(&mut self, path: &str) -> Result<Stat, Errno> {
        let Some((above, name)) = path.rsplit_once('/') else {
            return self.fs.stat(&self.tree, path);
        };
        if self.last.as_ref().is_none_or(|(known, _)| known != above) {
            let dir = self.fs.open(&self.tree, above, Open::Directory);
            self.last = Some((above.to_owned(), dir));
        }
        match &self.last {
            Some((_, Ok(dir))) => self.fs.stat(dir, name),
            Some((_, Err(errno))) => Err(*errno),
            None => Err(Errno::NOENT),
        }
    }
}

/// A file that is not what its backup's index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) entry: IndexEntry,
    /// Device and inode, if there is anything.
    pub(crate) inode: Option<(u64, u64)>,
}

impl Bad {
    pub(crate) fn at<F: Fs>(entry: IndexEntry, stats: &mut Stats<'_, F>) -> Self {
        let found = stats.stat(&entry.path).ok();
        Self {
            entry,
            inode: found.map(|stat| (stat.device, stat.inode)),
        }
    }
}

/// What was found bad in one backup, with a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    entries: BTreeSet<String>,
    is_over: bool,
}

impl Findings {
    pub(crate) fn add(&mut self, what: impl Into<String>) {
        if self.is_over {
            return;
        }
        self.entries.insert(what.into());
        if self.entries.len() > DAMAGED_MAX {
            self.entries = BTreeSet::from([TOO_MANY.to_owned()]);
            self.is_over = true;
        }
    }

    pub(crate) fn contains(&self, what: &str) -> bool {
        self.is_over || self.entries.contains(what)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn to_vec(&self) -> Vec<String> {
        self.entries.iter().cloned().collect()
    }
}

impl<S: Into<String>> Extend<S> for Findings {
    fn extend<I: IntoIterator<Item = S>>(&mut self, all: I) {
        for what in all {
            self.add(what);
        }
    }
}

impl<S: Into<String>> FromIterator<S> for Findings {
    fn from_iter<I: IntoIterator<Item = S>>(all: I) -> Self {
        let is_over = |what: &String| what == TOO_MANY;
        let mut findings = Self::default();
        for what in all {
            let what = what.into();
            findings.is_over |= is_over(&what);
            findings.entries.insert(what);
        }
        findings
    }
}

impl<F: Fs> PhoneDir<'_, F> {
    /// Marks every backup that holds one of these files of `of`, and `of` itself: by its inode, or
    /// a copy that has the same content to be and is as bad. Returns what was found in the others
    /// and was not known.
    pub(crate) fn mark(
        &self,
        of: &BackupId,
        bad: &[Bad],
        tell: Tell<'_>,
    ) -> Result<BTreeMap<BackupId, Vec<String>>, StoreError> {
        if bad.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut hits = BTreeMap::from([(of.clone(), paths(bad))]);
        let mut looked = BTreeSet::from([of.clone()]);
        for id in self.ids("gens")? {
            if looked.insert(id.clone()) {
                hits.insert(id.clone(), self.held_by(&id, bad, Some(&mut *tell))?);
            }
        }
        let _guard = self.inner.records();
        // What was committed meanwhile can only share the very inode.
        for id in self.ids("gens")? {
            if looked.insert(id.clone()) {
                hits.insert(id.clone(), self.held_by(&id, bad, None)?);
            }
        }
        let mut checks = self.checks()?;
        let mut news = BTreeMap::new();
        for (id, paths) in hits.into_iter().filter(|(_, paths)| !paths.is_empty()) {
            let entry = checks.checks.entry(id.as_str().to_owned()).or_default();
            let mut known: Findings = entry.damaged.iter().cloned().collect();
            let fresh: Vec<String> = paths.into_iter().filter(|p| !known.contains(p)).collect();
            known.extend(fresh.iter().cloned());
            entry.damaged = known.to_vec();
            if !fresh.is_empty() {
                tracing::error!(phone = %self.udid, backup = %id, files = fresh.len(), "a backup is damaged");
                news.insert(id, fresh);
            }
        }
        if !news.is_empty() {
            self.write_small("checks.json", &checks)?;
        }
        Ok(news)
    }

    /// Remembers what was found in a backup without reading all of it.
    pub(crate) fn add_findings(
        &self,
        id: &BackupId,
        found: impl IntoIterator<Item = String>,
    ) -> Result<(), StoreError> {
        let _guard = self.inner.records();
        self.add_findings_locked(id, found)
    }

    /// As [`Self::add_findings`], for whoever holds the lock of the records.
    pub(crate) fn add_findings_locked(
        &self,
        id: &BackupId,
        found: impl IntoIterator<Item = String>,
    ) -> Result<(), StoreError> {
        let mut checks = self.checks()?;
        let entry = checks.checks.entry(id.as_str().to_owned()).or_default();
        let mut known: Findings = entry.damaged.iter().cloned().collect();
        known.extend(found);
        entry.damaged = known.to_vec();
        self.write_small("checks.json", &checks)
    }

    /// Returns which of the bad files a backup holds; copies are read only when told of.
    fn held_by(
        &self,
        id: &BackupId,
        bad: &[Bad],
        tell: Option<Tell<'_>>,
    ) -> Result<Vec<String>, StoreError> {
        let fs = &self.inner.fs;
        let found = self.generation(id).and_then(|(dir, record)| {
            let tree = fs.open(&dir, &record.wire_udid, Open::Directory);
            Ok((tree.at("open", &record.wire_udid)?, dir))
        });
        let (tree, dir) = match found {
            // Gone, or damaged as a whole, which its own reading says.
            Err(StoreError::NoSuchBackup(_) | StoreError::Damaged { .. }) => return Ok(Vec::new()),
            Err(error) if error.is_absent() || error.kind() == ErrorKind::Io => {
                return Ok(Vec::new());
            }
            found => found?,
        };
        let mut stats = Stats::new(fs, tree);
        let mut held = Vec::new();
        let mut copies = Vec::new();
        for bad in bad {
            match stats.stat(&bad.entry.path) {
                Ok(stat) if Some((stat.device, stat.inode)) == bad.inode => {
                    held.push(bad.entry.path.clone());
                }
                Ok(stat) if stat.size == bad.entry.size => copies.push(&bad.entry),
                Ok(_) | Err(_) => {}
            }
        }
        if let Some(tell) = tell
            && !copies.is_empty()
        {
            copies.sort_by(|a, b| crate::index::walk_order(&a.path, &b.path));
            let mut index = match IndexReader::open(fs, &dir) {
                Ok(index) => index,
                Err(_) => return Ok(held),
            };
            for entry in copies {
                let same = matches!(index.seek(&entry.path), Ok(Some(found)) if found == *entry);
                if same && look(fs, stats.tree(), entry, tell)? == Found::Bad {
                    held.push(entry.path.clone());
                }
            }
        }
        Ok(held)
    }

    /// Remembers that all of a backup was read, at `date` or after it, and what that found. What
    /// others had found in it and this reading had not is given to `again`, which returns what of
    /// it is bad. Returns what is damaged.
    pub(crate) fn record_reading(
        &self,
        id: &BackupId,
        date: Wall,
        mut damaged: Findings,
        again: &mut dyn FnMut(Vec<String>) -> Result<Vec<String>, StoreError>,
    ) -> Result<Vec<String>, StoreError> {
        let mut settled = BTreeSet::new();
        loop {
            let doubtful: Vec<String> = {
                let _guard = self.inner.records();
                let mut checks = self.checks()?;
                let entry = checks.checks.entry(id.as_str().to_owned()).or_default();
                let unsettled =
                    |what: &&String| !damaged.contains(what) && !settled.contains(*what);
                let doubtful: Vec<String> =
                    entry.damaged.iter().filter(unsettled).cloned().collect();
                if doubtful.is_empty() {
                    let known = entry.checked_unix_us.unwrap_or(i64::MIN);
                    entry.checked_unix_us = Some(known.max(date.as_micros()));
                    entry.damaged = damaged.to_vec();
                    self.write_small("checks.json", &checks)?;
                    return Ok(damaged.to_vec());
                }
                doubtful
            };
            settled.extend(doubtful.iter().cloned());
            damaged.extend(again(doubtful)?);
        }
    }
}

fn paths(bad: &[Bad]) -> Vec<String> {
    bad.iter().map(|bad| bad.entry.path.clone()).collect()
}
