//! Reading a committed backup again, all of it.

use crate::error::{Context, StoreError, is_unreadable};
use crate::fs::util::{DEPTH_MAX, sorted};
use crate::fs::{Errno, Fs, Kind, Open};
use crate::index::{IndexEntry, IndexReader, hex};
use crate::lease::Lease;
use crate::marks::{Bad, Findings, Found, Stats, Tell, hash_told, is_damage, look};
use crate::phone::PhoneDir;
use crate::record::{CommitRecord, RECORD_DAMAGED};
use crate::store::Store;
use crate::structure;
use ibak_core::{BackupId, Udid, Wall};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Files read.
    pub files: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files read and found equal to what was received.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths that are not there.
    pub missing: Vec<String>,
    /// Paths whose content is not what was received.
    pub damaged: Vec<String>,
    /// Paths nobody received.
    pub extra: Vec<String>,
    /// What is wrong with the whole, if anything.
    pub structure: Option<String>,
}

impl VerifyReport {
    /// Says whether the backup is exactly what was received.
    pub fn is_good(&self) -> bool {
        self.missing.is_empty()
            && self.damaged.is_empty()
            && self.extra.is_empty()
            && self.structure.is_none()
    }

    fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        findings.extend(self.structure.clone());
        for paths in [&self.missing, &self.damaged, &self.extra] {
            findings.extend(paths.iter().cloned());
        }
        findings
    }
}

/// What is said of a backup whose list of files is not what was written.
pub(crate) const INDEX_DAMAGED: &str = "its index is damaged";
/// What is said of a backup without its MobileSync directory.
pub(crate) const TREE_GONE: &str = "its files are gone";

impl<F: Fs> Store<F> {
    /// Reads a whole backup again and compares every file with its BLAKE3; the outcome is
    /// remembered and shown by [`Store::list`], also for every other backup that holds a file
    /// found bad. `progress` is called before each file and at least once a MiB, and may stop the
    /// reading.
    ///
    /// # Errors
    /// `NoSuchBackup`, `Damaged` when its record makes no sense, `Cancelled`, or a system call's
    /// other than EIO, which is damage.
    pub fn verify(
        &self,
        udid: &Udid,
        id: &BackupId,
        now: Wall,
        progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
    ) -> Result<VerifyReport, StoreError> {
        let _lease = Lease::take(&self.inner, id)?;
        let phone = PhoneDir::open(&self.inner, udid)?
            .ok_or_else(|| StoreError::NoSuchBackup(id.clone()))?;
        let mut reading = Reading {
            phone: &phone,
            id,
            report: VerifyReport::default(),
            bad: Vec::new(),
        };
        let outcome = reading.all(progress);
        let Reading { report, bad, .. } = reading;
        let noted = note(&phone, id, now, &report, &bad, outcome.is_ok());
        match noted {
            // What was found is true all the same.
            Err(error) if error.is_read_only() => {
                tracing::warn!(phone = %phone.udid, backup = %id, "what a reading found cannot be written down");
            }
            other => other?,
        }
        outcome.map(|()| report)
    }
}

/// Writes down what a reading found, also before it was stopped.
fn note<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
    now: Wall,
    report: &VerifyReport,
    bad: &[Bad],
    whole: bool,
) -> Result<(), StoreError> {
    let go_on = &mut |_| ControlFlow::Continue(());
    phone.mark(id, bad, go_on)?;
    if whole {
        let again = &mut |doubtful| look_again(phone, id, doubtful, go_on);
        phone.record_reading(id, now, report.findings(), again)?;
    }
    if whole || !bad.is_empty() {
        phone.point_latest()?;
    }
    Ok(())
}

struct Reading<'a, 'p, F: Fs> {
    phone: &'a PhoneDir<'p, F>,
    id: &'a BackupId,
    report: VerifyReport,
    bad: Vec<Bad>,
}

impl<F: Fs> Reading<'_, '_, F> {
    fn all(
        &mut self,
        progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let fs = &self.phone.inner.fs;
        let (dir, record) = self.phone.generation(self.id)?;
        let mut seen = VerifyProgress {
            files: 0,
            files_total: record.files,
            bytes: 0,
            bytes_total: record.bytes,
        };
        let whole = whole_tree(fs, &dir, &record, |_| true, &mut |_| {
            ControlFlow::Continue(())
        })?;
        let tree = match whole {
            Ok(tree) => tree,
            Err(what) => {
                self.report.structure = Some(what.to_owned());
                return Ok(());
            }
        };
        let mut stats = Stats::new(fs, tree);
        let mut index = IndexReader::open(fs, &dir)?;
        while let Some(entry) = index.take()? {
            if progress(seen).is_break() {
                return Err(StoreError::Cancelled);
            }
            let before = seen.bytes;
            let tell = &mut |some: u64| {
                seen.bytes = seen.bytes.saturating_add(some);
                // At its end the next file speaks.
                if seen.bytes.saturating_sub(before) < entry.size {
                    progress(seen)
                } else {
                    ControlFlow::Continue(())
                }
            };
            let found = look(fs, stats.tree(), &entry, tell)?;
            seen.files += 1;
            seen.bytes = before.saturating_add(entry.size);
            self.note(entry, found, &mut stats);
        }
        let mut index = IndexReader::open(fs, &dir)?;
        extra(fs, stats.tree(), "", 0, &mut index, &mut self.report.extra)?;
        if !record.verified {
            self.report.structure = Some(RECORD_DAMAGED.to_owned());
        }
        if self.report.is_good() {
            self.check_structure(stats.tree(), record)?;
        }
        Ok(())
    }

    fn note(&mut self, entry: IndexEntry, found: Found, stats: &mut Stats<'_, F>) {
        match found {
            Found::Good => {
                self.report.files += 1;
                self.report.bytes = self.report.bytes.saturating_add(entry.size);
            }
            Found::Missing => self.report.missing.push(entry.path),
            Found::Bad => {
                self.report.damaged.push(entry.path.clone());
                self.bad.push(Bad::at(entry, stats));
            }
        }
    }

    fn check_structure(
        &mut self,
        tree: &F::Handle,
        record: CommitRecord,
    ) -> Result<(), StoreError> {
        let fs = &self.phone.inner.fs;
        let excused = record.missing.into_iter().collect();
        match structure::check(fs, tree, &excused) {
            Ok(_) => Ok(()),
            Err(error @ (StoreError::Incomplete(_) | StoreError::Damaged { .. })) => {
                self.report.structure = Some(error.to_string());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Opens the MobileSync directory of a backup whose index is what was written, or says what is
/// wrong with the whole; of the answers that may be damage, `judged` says which are.
pub(crate) fn whole_tree<F: Fs>(
    fs: &F,
    dir: &F::Handle,
    record: &CommitRecord,
    judged: fn(Errno) -> bool,
    tell: Tell<'_>,
) -> Result<Result<F::Handle, &'static str>, StoreError> {
    let index = match fs.open(dir, "index.zst", Open::Read) {
        Ok(file) => hash_told(fs, &file, tell)?,
        Err(errno) => Err(errno),
    };
    match index {
        Ok((_, hash)) if hex(&hash) == record.index_blake3 => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(Err(INDEX_DAMAGED)),
        Err(errno) if is_damage(errno) && judged(errno) => return Ok(Err(INDEX_DAMAGED)),
        Err(errno) => return Err(errno).at("read", "index.zst"),
    }
    match fs.open(dir, &record.wire_udid, Open::Directory) {
        Ok(tree) => Ok(Ok(tree)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(Err(TREE_GONE)),
        Err(errno) if is_damage(errno) && judged(errno) => Ok(Err(TREE_GONE)),
        Err(errno) => Err(errno).at("open", &record.wire_udid),
    }
}

/// Finds what lies there and is in no index; a directory that cannot be listed is named itself.
pub(crate) fn extra<F: Fs>(
    fs: &F,
    dir: &F::Handle,
    at: &str,
    depth: u32,
    index: &mut IndexReader,
    found: &mut impl Extend<String>,
) -> Result<(), StoreError> {
    let entries = match sorted(fs, dir) {
        Ok(entries) => entries,
        Err(errno) if is_unreadable(errno) => {
            let what = if at.is_empty() { TREE_GONE } else { at };
            found.extend([what.to_owned()]);
            return Ok(());
        }
        Err(errno) => return Err(errno).at("list", at),
    };
    for entry in entries {
        let path = if at.is_empty() {
            entry.name.clone()
        } else {
            format!("{at}/{}", entry.name)
        };
        if entry.kind != Kind::Directory {
            if index.seek(&path)?.is_none() {
                found.extend([path]);
            }
            continue;
        }
        let opened = if depth < DEPTH_MAX {
            fs.open(dir, &entry.name, Open::Directory)
        } else {
            Err(Errno::LOOP)
        };
        match opened {
            Ok(inner) => extra(fs, &inner, &path, depth + 1, index, found)?,
            Err(errno) if is_damage(errno) => found.extend([path]),
            Err(errno) => return Err(errno).at("open", &path),
        }
    }
    Ok(())
}

/// Returns which of these a backup still has bad: files of its index, and what nobody received.
pub(crate) fn look_again<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
    mut doubtful: Vec<String>,
    tell: Tell<'_>,
) -> Result<Vec<String>, StoreError> {
    let fs = &phone.inner.fs;
    let (dir, record) = phone.generation(id)?;
    let Ok(tree) = whole_tree(fs, &dir, &record, |_| true, tell)? else {
        return Ok(Vec::new());
    };
    doubtful.sort_by(|a, b| crate::index::walk_order(a, b));
    let mut stats = Stats::new(fs, tree);
    let mut index = IndexReader::open(fs, &dir)?;
    let mut bad = BTreeSet::new();
    for path in doubtful {
        let is_bad = match index.seek(&path)? {
            Some(entry) => look(fs, stats.tree(), &entry, tell)? != Found::Good,
            None => stats
                .stat(&path)
                .is_ok_and(|stat| stat.kind != Kind::Directory),
        };
        if is_bad {
            bad.insert(path);
        }
    }
    Ok(bad.into_iter().collect())
}
