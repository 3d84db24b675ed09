//! Reading a committed backup: its files as they lie there, or by the names they have on the phone.
//!
//! A reader holds a lease, so that nothing is removed under it (I8), and reads through the
//! directory it opened, so that it stays readable whatever happens to its name. What lies there
//! came from a phone: it is looked up in place, under caps, and a content is never silently short.

mod applications;
mod catalogue;
mod content;
mod unlocked;

pub use applications::Applications;
pub use catalogue::{Catalogue, FileEntry, FileKind, Filter, Listed};
pub use content::Content;

use crate::bplist::{Document, LEN_MAX};
use crate::error::{Context, StoreError};
use crate::fs::util::read_small;
use crate::fs::{Fs, Name, Open, RealFs};
use crate::index::IndexReader;
use crate::keybag::Keybag;
use crate::lease::Lease;
use crate::paths;
use crate::phone::PhoneDir;
use crate::record::{Generation, generation};
use crate::store::{Inner, Store};
use ibak_core::{BackupId, Udid};
use std::collections::BTreeSet;
use std::sync::Arc;

impl<F: Fs> Store<F> {
    /// Opens a committed backup for reading; until the reader and all that came from it are
    /// dropped, it is not removed.
    ///
    /// # Errors
    /// `NoSuchBackup`, `Damaged`, or a system call's.
    pub fn reader(&self, udid: &Udid, id: &BackupId) -> Result<Reader<F>, StoreError> {
        Ok(Reader {
            held: Arc::new(Held::open(&self.inner, udid, id)?),
        })
    }
}

/// A committed backup, held open and leased.
pub(crate) struct Held<F: Fs> {
    pub(crate) inner: Arc<Inner<F>>,
    pub(crate) generation: Generation,
    /// Ids of files that the phone could not send.
    pub(crate) missing: BTreeSet<String>,
    /// `gens/<id>`
    pub(crate) dir: F::Handle,
    /// `gens/<id>/<udid>`
    pub(crate) tree: F::Handle,
    _lease: Lease<F>,
}

impl<F: Fs> Held<F> {
    pub(crate) fn open(
        inner: &Arc<Inner<F>>,
        udid: &Udid,
        id: &BackupId,
    ) -> Result<Self, StoreError> {
        let lease = Lease::take(inner, id)?;
        let phone =
            PhoneDir::open(inner, udid)?.ok_or_else(|| StoreError::NoSuchBackup(id.clone()))?;
        let (dir, mut record) = phone.generation(id)?;
        let missing = std::mem::take(&mut record.missing).into_iter().collect();
        let at = format!("{udid}/gens/{id}/{}", record.wire_udid);
        let tree = inner
            .fs
            .open(&dir, &record.wire_udid, Open::Directory)
            .at("open", at)?;
        Ok(Self {
            inner: Arc::clone(inner),
            generation: generation(record)?,
            missing,
            dir,
            tree,
            _lease: lease,
        })
    }

    /// Returns the directory where a reading may put what is thrown away after it.
    pub(crate) fn scratch(&self) -> Result<F::Handle, StoreError> {
        let phone = PhoneDir::open(&self.inner, &self.generation.udid)?
            .ok_or_else(|| StoreError::NoSuchBackup(self.generation.id.clone()))?;
        phone.sub(crate::phone::SCRATCH)
    }

    /// Reads a small file at the top of the MobileSync directory.
    pub(crate) fn small(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        read_small(&self.inner.fs, &self.tree, name, LEN_MAX).at("read", name)
    }
}

/// A committed backup's MobileSync directory, held open and leased (I8).
pub struct Reader<F: Fs = RealFs> {
    held: Arc<Held<F>>,
}

impl<F: Fs> Reader<F> {
    /// Returns what the backup's record says of it; whether a later reading found damage, and
    /// whether it is pinned, only a list knows.
    pub fn generation(&self) -> &Generation {
        &self.held.generation
    }

    /// Returns the name of the MobileSync directory: the UDID as it is spelt on the wire.
    pub fn wire_udid(&self) -> &str {
        &self.held.generation.wire_udid
    }

    /// Opens one file by its path below the MobileSync directory, as it lies there.
    ///
    /// # Errors
    /// A system call's; ELOOP or EXDEV for a path that leads outside, EISDIR for a directory.
    pub fn open(&self, path: &str) -> Result<Content, StoreError> {
        content::plain(&self.held, path)
    }

    /// Lists one directory by its path below the MobileSync directory, empty for itself.
    ///
    /// # Errors
    /// A system call's.
    pub fn list(&self, path: &str) -> Result<Vec<Name>, StoreError> {
        let fs = &self.held.inner.fs;
        let names = if path.is_empty() {
            fs.read_dir(&self.held.tree)
        } else {
            fs.open(&self.held.tree, path, Open::Directory)
                .and_then(|dir| fs.read_dir(&dir))
        };
        names.at("list", path)
    }

    /// Returns every file of the backup as it lies there, for an export, in constant memory and
    /// in the order of a walk that sorts each directory's names.
    ///
    /// # Errors
    /// `Damaged`, or a system call's.
    pub fn raw_files(&self) -> Result<RawFiles, StoreError> {
        Ok(RawFiles {
            index: IndexReader::open(&self.held.inner.fs, &self.held.dir)?,
        })
    }

    /// Reads the keybag; `None` for a plain backup. It opens nothing.
    ///
    /// # Errors
    /// `Keybag`, `Damaged`, or a system call's.
    pub fn keybag(&self) -> Result<Option<Keybag>, StoreError> {
        let bytes = self.held.small("Manifest.plist")?;
        let manifest = manifest(&bytes)?;
        if !manifest.flag(&["IsEncrypted"]).unwrap_or(false) {
            return Ok(None);
        }
        let keybag = manifest
            .data(&["BackupKeyBag"])
            .ok_or_else(|| StoreError::damaged("the keybag"))?;
        Ok(Some(Keybag::parse(&keybag)?))
    }
}

fn manifest(bytes: &[u8]) -> Result<Document<'_>, StoreError> {
    Document::parse(bytes).ok_or_else(|| StoreError::damaged("Manifest.plist"))
}

/// A file of a backup as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFile {
    /// Its path below the MobileSync directory.
    pub path: String,
    /// Its length in bytes, as it was received.
    pub size: u64,
}

/// Every file of a backup as it lies there; see [`Reader::raw_files`].
pub struct RawFiles {
    index: IndexReader,
}

impl Iterator for RawFiles {
    type Item = Result<RawFile, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.index.take() {
            Ok(None) => None,
            Ok(Some(entry)) if !paths::is_relative(&entry.path) => {
                Some(Err(StoreError::damaged("index.zst")))
            }
            Ok(Some(entry)) => Some(Ok(RawFile {
                path: entry.path,
                size: entry.size,
            })),
            Err(error) => Some(Err(error)),
        }
    }
}
