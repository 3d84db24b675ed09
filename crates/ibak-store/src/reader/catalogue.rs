//! The list of files of a backup, by the names they have on the phone.
//!
//! Manifest.db came from a phone: it is opened with SQLite's defences up, its rows are taken one
//! by one, and a row that no phone makes is counted and passed over. An encrypted one is decrypted
//! into a file that has no name while it is used.

use super::content::{self, BLOCK, Content, Decrypting};
use super::{Held, Reader, manifest};
use crate::database::{self, ROWS_MAX};
use crate::error::{Context, StoreError};
use crate::fs::util::{CHUNK, Reading, absent_ok, write_all};
use crate::fs::{Errno, Fs, Open, RealFs};
use crate::index::hex;
use crate::keybag::{ClassKeys, KeybagError, Unlocking, WRAPPED_LEN};
use crate::mbfile::{KEY_LEN, MbFile};
use crate::paths;
use rusqlite::{Connection, Row};
use sha1::{Digest, Sha1};
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Steps of SQLite between two looks at whether to stop: well under a millisecond.
const STOP_EVERY: std::ffi::c_int = 4096;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Longest target of a symbolic link taken from a phone, in bytes.
const TARGET_MAX: usize = 4096;

/// What a file of a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link on the phone.
    Symlink {
        /// Where it leads there; it may be anything and is not for following here.
        target: String,
    },
}

/// One file of a backup, as the phone listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The SHA-1 of its name, 40 hex digits.
    pub file_id: String,
    /// Its domain: one component, which may hold any character but a slash and a zero.
    pub domain: String,
    /// Its path in the domain, empty for the domain itself: relative, without `..`; its
    /// components may hold any character but a slash and a zero.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes as the phone noted it; a live database may have another, which
    /// [`Content::size`] knows.
    pub size: u64,
    /// Last change of its content, in seconds since 1970.
    pub modified: Option<i64>,
    /// Its mode on the phone, `st_mode`.
    pub mode: Option<u32>,
    class: Option<u32>,
    wrapped: Option<[u8; KEY_LEN]>,
}

/// Which files are wanted; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this domain.
    pub domain: Option<String>,
    /// Only this path of a domain and all beneath.
    pub path: Option<String>,
}

/// How a listing ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Files that were given.
    pub given: u64,
    /// Rows that no phone makes, and that were passed over.
    pub refused: u64,
}

/// The list of files of one backup. It holds the backup's lease.
pub struct Catalogue<F: Fs = RealFs> {
    held: Arc<Held<F>>,
    keys: Option<ClassKeys>,
    database: Connection,
    /// What SQLite was opened on.
    _file: F::Handle,
}

impl<F: Fs> Reader<F> {
    /// Opens the list of files; an encrypted one needs the keys of its keybag, and as much room in
    /// the store as it is long, for as long as the catalogue lives.
    ///
    /// # Errors
    /// `PasswordNeeded`, `Keybag` with `WrongPassword` when the keys are another backup's,
    /// `Damaged`, or a system call's.
    pub fn catalogue(&self, keys: Option<&ClassKeys>) -> Result<Catalogue<F>, StoreError> {
        self.catalogue_watched(keys, &())
    }

    pub(super) fn catalogue_watched(
        &self,
        keys: Option<&ClassKeys>,
        watch: &dyn Unlocking,
    ) -> Result<Catalogue<F>, StoreError> {
        let held = &self.held;
        let fs = &held.inner.fs;
        let bytes = held.small("Manifest.plist")?;
        let manifest = manifest(&bytes)?;
        let source = match fs.open(&held.tree, "Manifest.db", Open::Read) {
            Err(Errno::NOENT) => {
                return Err(StoreError::refused(
                    "Manifest.db",
                    "the backup is of an iOS before 10, whose list of files is of another kind",
                ));
            }
            other => other.at("open", "Manifest.db")?,
        };
        if !manifest.flag(&["IsEncrypted"]).unwrap_or(false) {
            let database = opened(fs, &source)?;
            return Ok(Catalogue {
                held: Arc::clone(held),
                keys: None,
                database,
                _file: source,
            });
        }
        let keys = keys.ok_or(StoreError::PasswordNeeded)?;
        let key = manifest_key(manifest.data(&["ManifestKey"]), keys)?;
        let (database, file) = decrypted(held, source, &key, watch)?;
        Ok(Catalogue {
            held: Arc::clone(held),
            keys: Some(keys.again()),
            database,
            _file: file,
        })
    }
}

fn manifest_key(
    field: Option<Vec<u8>>,
    keys: &ClassKeys,
) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let field: [u8; KEY_LEN] = field
        .and_then(|field| field.try_into().ok())
        .ok_or_else(|| StoreError::damaged("the ManifestKey"))?;
    let (class, wrapped) = parts(&field);
    keys.unwrap(class, &wrapped)
        .ok_or(StoreError::Keybag(KeybagError::WrongPassword))
}

/// Splits a key into its class, little-endian, and what is wrapped.
fn parts(field: &[u8; KEY_LEN]) -> (u32, [u8; WRAPPED_LEN]) {
    let mut class = [0; 4];
    let mut wrapped = [0; WRAPPED_LEN];
    let (head, tail) = field.split_at(class.len());
    class.copy_from_slice(head);
    wrapped.copy_from_slice(tail);
    (u32::from_le_bytes(class), wrapped)
}

fn opened<F: Fs>(fs: &F, file: &F::Handle) -> Result<Connection, StoreError> {
    let path = fs.path_of(file).at("open", "Manifest.db")?;
    let plain = database::open(&path).and_then(|database| {
        let plain = database::is_plain(&database)?;
        Ok((database, plain))
    });
    match plain {
        Ok((database, true)) => Ok(database),
        Ok((_, false)) => Err(StoreError::damaged("the list of files in Manifest.db")),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &rusqlite::Error) -> StoreError {
    database::trouble(error).unwrap_or_else(|| StoreError::damaged("Manifest.db"))
}

/// Decrypts Manifest.db into the store's scratch; its name is gone before anything is read.
fn decrypted<F: Fs>(
    held: &Arc<Held<F>>,
    source: F::Handle,
    key: &Zeroizing<[u8; 32]>,
    watch: &dyn Unlocking,
) -> Result<(Connection, F::Handle), StoreError> {
    let fs = &held.inner.fs;
    let length = fs.stat_handle(&source).at("look at", "Manifest.db")?.size;
    if length == 0 || length % BLOCK != 0 {
        return Err(StoreError::damaged("Manifest.db"));
    }
    let reading = Reading {
        fs: fs.clone(),
        file: source,
    };
    let mut plain = Decrypting::new(reading, key, length);
    let scratch = held.scratch()?;
    let name = format!("{}.db", ulid::Ulid::new());
    let copy = fs
        .open(&scratch, &name, Open::CreateNew)
        .at("create", &name)?;
    let outcome = pour(fs, &mut plain, &copy, watch).and_then(|()| {
        let file = fs.open(&scratch, &name, Open::Read).at("open", &name)?;
        Ok((opened(fs, &file)?, file))
    });
    // SQLite has it open; nobody else shall.
    let removed = absent_ok(fs.unlink(&scratch, &name)).at("remove", &name);
    let opened = outcome?;
    removed?;
    Ok(opened)
}

fn pour<F: Fs>(
    fs: &F,
    plain: &mut impl Read,
    copy: &F::Handle,
    watch: &dyn Unlocking,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; CHUNK];
    let mut first = true;
    loop {
        if watch.cancelled() {
            return Err(StoreError::Cancelled);
        }
        let some = plain.read(&mut buffer).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            StoreError::System {
                action: "read",
                path: "Manifest.db".to_owned(),
                errno,
            }
        })?;
        let block = buffer.get(..some).unwrap_or_default();
        if block.is_empty() {
            return Ok(());
        }
        if first && !block.starts_with(MAGIC) {
            return Err(StoreError::damaged("Manifest.db"));
        }
        first = false;
        write_all(fs, copy, block).at("write", "the list of files")?;
    }
}

impl<F: Fs> Catalogue<F> {
    /// Gives every file that is wanted, in the order the phone listed them, until told to stop.
    ///
    /// # Errors
    /// `Damaged`, or a system call's.
    pub fn for_each(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(FileEntry) -> ControlFlow<()>,
    ) -> Result<Listed, StoreError> {
        rows(&self.database, filter, each, ROWS_MAX)
            .map_err(|error| unreadable(&error))?
            .ok_or_else(|| StoreError::damaged("the number of rows of Manifest.db"))
    }

    /// Has every reading of the list end with `Cancelled` once this says so, also one that finds
    /// nothing for long.
    ///
    /// # Errors
    /// `Damaged` when SQLite refuses, which it does not.
    pub fn stop_when(
        &mut self,
        stop: impl FnMut() -> bool + Send + 'static,
    ) -> Result<(), StoreError> {
        self.database
            .progress_handler(STOP_EVERY, Some(stop))
            .map_err(|error| unreadable(&error))
    }

    /// Says whether the phone could not send this file when the backup was made.
    pub fn never_came(&self, entry: &FileEntry) -> bool {
        self.held.missing.contains(&entry.file_id)
    }

    /// Returns one file by its name, if the phone listed it.
    ///
    /// # Errors
    /// `Damaged`, or a system call's.
    pub fn find(&self, domain: &str, path: &str) -> Result<Option<FileEntry>, StoreError> {
        let found = || -> rusqlite::Result<Option<FileEntry>> {
            let mut query = self.database.prepare(
                "SELECT fileID, domain, relativePath, flags, file FROM Files WHERE fileID = ?1",
            )?;
            let mut rows = query.query([file_id(domain, path)])?;
            Ok(rows
                .next()?
                .and_then(entry)
                .filter(|entry| entry.domain == domain && entry.path == path))
        };
        found().map_err(|error| unreadable(&error))
    }

    /// Opens the content of a file, decrypted where it is encrypted.
    ///
    /// # Errors
    /// EISDIR for what is no file; `Damaged` when its key does not unwrap or its length cannot be
    /// that of an encrypted file; ENOENT when the phone could not send it; or a system call's.
    pub fn open(&self, entry: &FileEntry) -> Result<Content, StoreError> {
        if entry.kind != FileKind::File {
            return Err(Errno::ISDIR).at("open", &entry.file_id);
        }
        let prefix = entry.file_id.get(..2).unwrap_or_default();
        let path = format!("{prefix}/{}", entry.file_id);
        match &self.keys {
            None => content::plain(&self.held, &path),
            // An empty file may come without a key.
            Some(_) if entry.size == 0 && entry.wrapped.is_none() => {
                let content = content::plain(&self.held, &path)?;
                if content.size() == 0 {
                    Ok(content)
                } else {
                    Err(no_key(entry))
                }
            }
            Some(keys) => {
                let key = file_key(keys, entry)?;
                content::encrypted(&self.held, &path, &key, entry.size)
            }
        }
    }

    /// Says whether the key of a file unwraps; `None` for a plain backup.
    pub(super) fn proves(&self, entry: &FileEntry) -> Option<bool> {
        Some(file_key(self.keys.as_ref()?, entry).is_ok())
    }
}

fn file_key(keys: &ClassKeys, entry: &FileEntry) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let (class, wrapped) = parts(&entry.wrapped.ok_or_else(|| no_key(entry))?);
    keys.unwrap(entry.class.unwrap_or(class), &wrapped)
        .ok_or_else(|| no_key(entry))
}

fn no_key(entry: &FileEntry) -> StoreError {
    StoreError::damaged(format!("the key of {}", entry.file_id))
}

impl Filter {
    fn wants(&self, entry: &FileEntry) -> bool {
        let domain = self
            .domain
            .as_ref()
            .is_none_or(|domain| *domain == entry.domain);
        let below = |path: &String| {
            path.is_empty()
                || entry
                    .path
                    .strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        domain && self.path.as_ref().is_none_or(below)
    }
}

fn file_id(domain: &str, path: &str) -> String {
    let mut hasher = Sha1::new();
    hasher.update(domain);
    hasher.update(b"-");
    hasher.update(path);
    hex(&hasher.finalize())
}

/// Takes a row for what it says; `None` for one that no phone makes.
fn entry(row: &Row<'_>) -> Option<FileEntry> {
    let text = |column| row.get_ref(column).ok()?.as_str().ok();
    let id = text(0)?;
    let domain = text(1)?;
    let path = row.get_ref(2).ok()?.as_str_or_null().ok()?.unwrap_or("");
    let flags = row.get_ref(3).ok()?.as_i64().ok()?;
    let blob = row.get_ref(4).ok()?.as_blob_or_null().ok()?;
    let named = !domain.contains('/')
        && paths::is_relative(domain)
        && (path.is_empty() || paths::is_relative(path));
    if !named || file_id(domain, path) != id {
        return None;
    }
    let noted = blob.and_then(MbFile::parse).unwrap_or_default();
    let kind = match flags {
        1 if !path.is_empty() => FileKind::File,
        2 => FileKind::Directory,
        4 => FileKind::Symlink {
            target: noted.target.filter(|target| target.len() <= TARGET_MAX)?,
        },
        _ => return None,
    };
    Some(FileEntry {
        file_id: id.to_owned(),
        domain: domain.to_owned(),
        path: path.to_owned(),
        kind,
        size: noted.size.unwrap_or(0),
        modified: noted.modified,
        mode: noted.mode,
        class: noted.class,
        wrapped: noted.key,
    })
}

/// Gives the rows that are wanted; `None` when there are more than `rows_max`.
fn rows(
    database: &Connection,
    filter: &Filter,
    each: &mut dyn FnMut(FileEntry) -> ControlFlow<()>,
    rows_max: u64,
) -> rusqlite::Result<Option<Listed>> {
    let mut query = match &filter.domain {
        // Looked up by its index.
        Some(_) => database.prepare(
            "SELECT fileID, domain, relativePath, flags, file FROM Files WHERE domain = ?1",
        )?,
        None => database.prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")?,
    };
    let mut rows = query.query(rusqlite::params_from_iter(&filter.domain))?;
    let mut listed = Listed::default();
    let mut count = 0u64;
    while let Some(row) = rows.next()? {
        count += 1;
        if count > rows_max {
            return Ok(None);
        }
        match entry(row) {
            None => listed.refused += 1,
            Some(entry) if !filter.wants(&entry) => {}
            Some(entry) => {
                listed.given += 1;
                if each(entry).is_break() {
                    break;
                }
            }
        }
    }
    Ok(Some(listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_bound_whatever_is_in_them() {
        let database = Connection::open_in_memory().unwrap();
        database
            .execute_batch(
                "CREATE TABLE Files (fileID, domain, relativePath, flags, file);
                 WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000)
                 INSERT INTO Files SELECT x, x, x, x, x FROM n;",
            )
            .unwrap();
        let listed = |most| {
            rows(
                &database,
                &Filter::default(),
                &mut |_| ControlFlow::Continue(()),
                most,
            )
            .unwrap()
        };
        assert_eq!(listed(999), None);
        let all = Listed {
            given: 0,
            refused: 1000,
        };
        assert_eq!(listed(1000), Some(all));
    }
}
