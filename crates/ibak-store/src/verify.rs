//! Reading a committed backup again, all of it.

use crate::error::{Context, StoreError};
use crate::fs::util::{hash_rest, sorted};
use crate::fs::{Errno, Fs, Kind, Open};
use crate::index::{IndexReader, hex};
use crate::lease::Lease;
use crate::phone::PhoneDir;
use crate::record::CheckRecord;
use crate::store::Store;
use crate::structure::{self, Database};
use ibak_core::{BackupId, Udid, Wall};
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
}

impl<F: Fs> Store<F> {
    /// Reads a whole backup again and compares every file with its BLAKE3; the outcome is
    /// remembered and shown by [`Store::list`]. `progress` is called before each file and may
    /// stop the reading.
    ///
    /// # Errors
    /// `NoSuchBackup`, `Cancelled`, or a system call's other than EIO, which is damage.
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
        let report = read_again(&phone, id, progress)?;
        let mut damaged: Vec<String> = [&report.missing, &report.damaged, &report.extra]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        damaged.extend(report.structure.clone());
        phone.record_check(
            id,
            CheckRecord {
                checked_unix_us: now.as_micros(),
                damaged,
            },
        )?;
        phone.point_latest()?;
        Ok(report)
    }
}

fn read_again<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
    progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
) -> Result<VerifyReport, StoreError> {
    let fs = &phone.inner.fs;
    let (dir, record) = phone.generation(id)?;
    let mut report = VerifyReport::default();
    let index = fs
        .open(&dir, "index.zst", Open::Read)
        .and_then(|file| hash_rest(fs, &file));
    match index {
        Ok((_, hash)) if hex(&hash) == record.index_blake3 => {}
        Ok(_) | Err(Errno::IO | Errno::NOENT) => {
            report.structure = Some("its index is damaged".to_owned());
            return Ok(report);
        }
        Err(errno) => return Err(errno).at("read", "index.zst"),
    }
    let tree = match fs.open(&dir, &record.wire_udid, Open::Directory) {
        Ok(tree) => tree,
        Err(Errno::NOENT) => {
            report.structure = Some("its files are gone".to_owned());
            return Ok(report);
        }
        Err(errno) => return Err(errno).at("open", &record.wire_udid),
    };
    let mut seen = VerifyProgress {
        files: 0,
        files_total: record.files,
        bytes: 0,
        bytes_total: record.bytes,
    };
    let mut index = IndexReader::open(fs, &dir)?;
    while let Some(entry) = index.take()? {
        if progress(seen).is_break() {
            return Err(StoreError::Cancelled);
        }
        let found = fs
            .open(&tree, &entry.path, Open::Read)
            .and_then(|file| hash_rest(fs, &file));
        match found {
            Ok((size, hash)) if size == entry.size && hash == entry.hash => {
                report.files += 1;
                report.bytes = report.bytes.saturating_add(size);
            }
            Ok(_) | Err(Errno::IO | Errno::ISDIR | Errno::LOOP) => report.damaged.push(entry.path),
            Err(Errno::NOENT | Errno::NOTDIR) => report.missing.push(entry.path),
            Err(errno) => return Err(errno).at("read", entry.path),
        }
        seen.files += 1;
        seen.bytes = seen.bytes.saturating_add(entry.size);
    }
    extra(
        fs,
        &tree,
        "",
        &mut IndexReader::open(fs, &dir)?,
        &mut report.extra,
    )?;
    if report.is_good() {
        let excused = record.missing.into_iter().collect();
        match structure::check(fs, &tree, Database::InPlace, &excused) {
            Ok(_) => {}
            Err(error @ (StoreError::Incomplete(_) | StoreError::Damaged { .. })) => {
                report.structure = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

fn extra<F: Fs>(
    fs: &F,
    dir: &F::Handle,
    at: &str,
    index: &mut IndexReader,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    for entry in sorted(fs, dir).at("list", at)? {
        let path = if at.is_empty() {
            entry.name.clone()
        } else {
            format!("{at}/{}", entry.name)
        };
        if entry.kind == Kind::Directory {
            let inner = fs
                .open(dir, &entry.name, Open::Directory)
                .at("open", &path)?;
            extra(fs, &inner, &path, index, found)?;
        } else if index.seek(&path)?.is_none() {
            found.push(path);
        }
    }
    Ok(())
}
