//! Opening a store: whose it is, whether it can hold backups, and that nobody else has it.

use crate::copying;
use crate::error::{Context, StoreError};
use crate::fs::util::{absent_ok, read_small, replace, write_all};
use crate::fs::{Errno, Fs, Open, RealFs, Replace, RootError};
use crate::record::{AbilitiesRecord, FORMAT, RECORD_MAX, StoreRecord, decode, encode};
use crate::recovery::{self, Recovery};
use crate::usage::Accounts;
use ibak_core::{BackupId, Bytes, Udid, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Room that backups never fill, so that listing, restoring and deleting go on working (I9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// The larger of 2 GiB and 1 % of the file system.
    Usual,
    /// Exactly this much; for tests, the demo and small disks.
    Fixed(Bytes),
}

/// Whether a directory without a store may become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Only open what is there: a disk that is not mounted is `Unavailable`.
    Never,
    /// Make a store in an absent or empty directory.
    IfEmpty,
}

/// How to open a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Whether a directory without a store may become one.
    pub create: Create,
    /// Room to leave free.
    pub reserve: Reserve,
    /// The present, for the age of what an earlier run left.
    pub now: Wall,
}

/// What is true of an open store and the daemon may want to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFacts {
    /// The path it was opened by.
    pub path: PathBuf,
    /// Made once, when the store was.
    pub uuid: String,
    /// Whether it fills the disk the system lives on (security.md).
    pub on_root_filesystem: bool,
    /// Whether this opening made it.
    pub created: bool,
    /// Whether its disk took no writes when it was opened: it is listed and read, nothing in it
    /// was put right, and it has to be opened again before anything is written.
    pub read_only: bool,
    /// Whether a copy of another store into it has not come to its end: what it holds is whole,
    /// but it is not all.
    pub half_copied: bool,
}

/// A store of backups, open and locked for this process.
pub struct Store<F: Fs = RealFs> {
    pub(crate) inner: Arc<Inner<F>>,
}

impl<F: Fs> Clone for Store<F> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

pub(crate) struct Inner<F: Fs> {
    pub(crate) fs: F,
    pub(crate) root: F::Handle,
    pub(crate) reserve: Reserve,
    pub(crate) trusts_sync_fs: bool,
    facts: StoreFacts,
    sessions: Mutex<Sessions>,
    records: Mutex<()>,
    pub(crate) accounts: Accounts,
    /// Keeps the lock as long as the store lives.
    _lock: F::Handle,
}

#[derive(Default)]
pub(crate) struct Sessions {
    /// Phones with a session.
    pub(crate) open: BTreeMap<Udid, Stage>,
    /// Phones for which another program's backup is being adopted.
    pub(crate) adopting: BTreeSet<Udid>,
    /// Working copies that met a failed write: what the page cache says of them proves nothing.
    pub(crate) poisoned: BTreeSet<BackupId>,
    /// A copy of another store into this one met a failed write, likewise.
    pub(crate) spoilt_copy: bool,
    /// How many read a backup (I8).
    pub(crate) leases: BTreeMap<BackupId, u64>,
    /// Backups that are about to be removed: nobody begins to read them.
    pub(crate) leaving: BTreeSet<BackupId>,
    /// Phones whose backups are being scrubbed.
    pub(crate) scrubs: BTreeSet<Udid>,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its working copy is being laid out.
    LayingOut,
    /// Its working copy is in somebody's hands.
    Open,
}

impl<F: Fs> Inner<F> {
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the path it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.facts.path
    }

    /// Says whether this opening may write: one that found a disk without writes put nothing
    /// right in the store, also when its disk takes them again.
    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        if self.facts.read_only {
            return Err(Errno::ROFS).at("write to", self.facts.path.display());
        }
        Ok(())
    }

    /// Says whether what is written here lands in the store: whether its path still leads to it
    /// and its disk takes writes.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        let path = &self.facts.path;
        let unavailable = |why| StoreError::Unavailable {
            path: path.clone(),
            why,
        };
        let there = open_root(&self.fs, path, Create::Never)?;
        if !self
            .fs
            .is_same(&there, &self.root)
            .at("look at", path.display())?
        {
            return Err(unavailable(
                "another disk or directory has come in its place; is its disk still mounted?",
            ));
        }
        self.writable()?;
        let volume = self.fs.volume(&self.root).at("look at", path.display())?;
        if volume.read_only {
            return Err(Errno::ROFS).at("write to", path.display());
        }
        Ok(())
    }

    /// Held while `checks.json` or `latest` is replaced: a commit and a verification may meet.
    pub(crate) fn records(&self) -> MutexGuard<'_, ()> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the store at an absolute path, takes its lock and repairs what a crash left.
    ///
    /// # Errors
    /// `Unavailable`, `UnsafePath`, `Locked`, `Unfit`, `NewerFormat`, `Damaged`, or a system
    /// call's; nothing was changed unless recovery itself failed midway, which the next opening
    /// resumes.
    pub fn open(path: &Path, options: OpenOptions) -> Result<(Self, Recovery), StoreError> {
        Self::open_on(RealFs, path, options)
    }
}

impl<F: Fs> Store<F> {
    /// Opens a store through any [`Fs`]; see [`Store::open`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        fs: F,
        path: &Path,
        options: OpenOptions,
    ) -> Result<(Self, Recovery), StoreError> {
        let root = open_root(&fs, path, options.create)?;
        let found = fs.stat_handle(&root).at("look at", path.display())?;
        if found.owner != fs.user() {
            return Err(StoreError::UnsafePath {
                path: path.to_owned(),
                why: "it belongs to somebody else",
            });
        }
        let record = read_record(&fs, &root)?;
        if record.is_none() {
            may_create(&fs, &root, path, options.create)?;
        }
        let created = record.is_none();
        let volume = fs.volume(&root).at("look at", "the file system")?;
        let read_only = volume.read_only && !created;
        let lock = take_lock(&fs, &root, path, read_only)?;
        let record = match record {
            Some(record) if read_only => record,
            known => make_ready(&fs, &root, path, known)?,
        };
        let facts = StoreFacts {
            path: path.to_owned(),
            on_root_filesystem: fs.root_device().at("look at", "/")? == found.device,
            created,
            read_only,
            half_copied: copying::is_half_copied(&fs, &root)?,
            uuid: record.uuid,
        };
        let store = Self {
            inner: Arc::new(Inner {
                fs,
                root,
                reserve: options.reserve,
                trusts_sync_fs: record.abilities.barrier == SYNCFS,
                facts,
                sessions: Mutex::default(),
                records: Mutex::default(),
                accounts: Accounts::default(),
                _lock: lock,
            }),
        };
        let recovery = if read_only {
            Recovery::default()
        } else {
            recovery::recover(&store.inner, options.now)?
        };
        Ok((store, recovery))
    }

    /// Returns what is true of this store.
    pub fn facts(&self) -> &StoreFacts {
        &self.inner.facts
    }
}

const SYNCFS: &str = "syncfs";

fn open_root<F: Fs>(fs: &F, path: &Path, create: Create) -> Result<F::Handle, StoreError> {
    fs.open_root(path, create == Create::IfEmpty)
        .map_err(|error| match error {
            RootError::Absent(_) => StoreError::Unavailable {
                path: path.to_owned(),
                why: "there is no such directory",
            },
            RootError::Unsafe(path, why) => StoreError::UnsafePath { path, why },
            RootError::Errno(at, Errno::NOTDIR) => StoreError::Unavailable {
                path: at,
                why: "it is not a directory",
            },
            RootError::Errno(at, errno) => StoreError::System {
                action: "open",
                path: at.display().to_string(),
                errno,
            },
        })
}

/// Makes a store, or one of an earlier format ours, and finds out what its file system can do.
fn make_ready<F: Fs>(
    fs: &F,
    root: &F::Handle,
    path: &Path,
    record: Option<StoreRecord>,
) -> Result<StoreRecord, StoreError> {
    let found = fs.stat_handle(root).at("look at", path.display())?;
    if found.mode & 0o077 != 0 {
        fs.set_mode(root, 0o700)
            .at("make private", path.display())?;
    }
    let abilities = probe(fs, root)?;
    let Some(record) = record else {
        return create(fs, root, abilities);
    };
    if record.format < FORMAT {
        // What an earlier ibak wrote is read as it lies there; only what it would misunderstand
        // may be written from here on, and so it has to refuse.
        let upgraded = StoreRecord {
            format: FORMAT,
            ..record.clone()
        };
        write_record(fs, root, &upgraded)?;
        tracing::info!(
            from = record.format,
            to = FORMAT,
            "the store has a newer format"
        );
    }
    Ok(StoreRecord {
        abilities,
        ..record
    })
}

/// Replaces store.json, durably.
pub(crate) fn write_record<F: Fs>(
    fs: &F,
    root: &F::Handle,
    record: &StoreRecord,
) -> Result<(), StoreError> {
    replace(fs, root, "store.json", &encode("store.json", record)?).at("write", "store.json")
}

pub(crate) fn read_record<F: Fs>(
    fs: &F,
    root: &F::Handle,
) -> Result<Option<StoreRecord>, StoreError> {
    let bytes = match read_small(fs, root, "store.json", RECORD_MAX) {
        Ok(bytes) => bytes,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno).at("read", "store.json"),
    };
    // The version is read alone first: a newer format may have other fields.
    #[derive(serde::Deserialize)]
    struct Version {
        format: u64,
    }
    let version: Version = decode("store.json", &bytes)?;
    if version.format > FORMAT {
        return Err(StoreError::NewerFormat {
            found: version.format,
            known: FORMAT,
        });
    }
    decode("store.json", &bytes).map(Some)
}

/// Names that an empty directory may hold: what mkfs leaves, and what an opening that was cut
/// short before store.json leaves.
fn is_harmless(name: &str) -> bool {
    matches!(name, "lost+found" | "lock" | "store.json.tmp") || name.starts_with(PROBE)
}

fn may_create<F: Fs>(
    fs: &F,
    root: &F::Handle,
    path: &Path,
    create: Create,
) -> Result<(), StoreError> {
    let unavailable = |why| {
        Err(StoreError::Unavailable {
            path: path.to_owned(),
            why,
        })
    };
    match create {
        Create::Never => unavailable("there is no backup store in it; is its disk mounted?"),
        Create::IfEmpty => {
            let names = fs.read_dir(root).at("list", path.display())?;
            if names.iter().all(|entry| is_harmless(&entry.name)) {
                Ok(())
            } else {
                unavailable("it holds other files and no backup store")
            }
        }
    }
}

fn take_lock<F: Fs>(
    fs: &F,
    root: &F::Handle,
    path: &Path,
    read_only: bool,
) -> Result<F::Handle, StoreError> {
    let how = if read_only { Open::Read } else { Open::Lock };
    let lock = fs.open(root, "lock", how).at("open", "lock")?;
    if fs.try_lock(&lock).at("lock", "lock")? {
        if read_only {
            return Ok(lock);
        }
        // One fixed width, for a file is never truncated here.
        write_all(
            fs,
            &lock,
            format!("{:<10}\n", std::process::id()).as_bytes(),
        )
        .at("write", "lock")?;
        return Ok(lock);
    }
    let text = read_small(fs, root, "lock", 64).unwrap_or_default();
    let holder = String::from_utf8_lossy(&text).trim().parse().ok();
    Err(StoreError::Locked {
        path: path.to_owned(),
        holder,
    })
}

const PROBE: &str = ".probe-";

/// Finds out what the file system can do, by doing it.
fn probe<F: Fs>(fs: &F, root: &F::Handle) -> Result<AbilitiesRecord, StoreError> {
    let one = format!("{PROBE}1");
    let two = format!("{PROBE}2");
    absent_ok(fs.unlink(root, &one)).at("remove", &one)?;
    absent_ok(fs.unlink(root, &two)).at("remove", &two)?;
    let file = fs.open(root, &one, Open::CreateNew).at("create", &one)?;
    fs.close(file).at("close", &one)?;
    let linked = fs.link(root, &one, root, &two);
    let replaced = if linked.is_ok() {
        fs.rename(root, &one, root, &two, Replace::No)
    } else {
        Err(Errno::EXIST)
    };
    absent_ok(fs.unlink(root, &one)).at("remove", &one)?;
    absent_ok(fs.unlink(root, &two)).at("remove", &two)?;
    match linked {
        Ok(()) => {}
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            return Err(StoreError::Unfit {
                missing: "give one file two names (hard links)",
            });
        }
        Err(errno) => return Err(errno).at("link", &two),
    }
    match replaced {
        Err(Errno::EXIST) => {}
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return Err(StoreError::Unfit {
                missing: "rename without replacing",
            });
        }
        Err(errno) => return Err(errno).at("rename", &one),
    }
    let barrier = if fs
        .volume(root)
        .at("look at", "the file system")?
        .trusts_sync_fs
    {
        SYNCFS
    } else {
        "fsync"
    };
    Ok(AbilitiesRecord {
        hard_links: true,
        rename_noreplace: true,
        barrier: barrier.to_owned(),
    })
}

fn create<F: Fs>(
    fs: &F,
    root: &F::Handle,
    abilities: AbilitiesRecord,
) -> Result<StoreRecord, StoreError> {
    let uuid = ulid::Ulid::new();
    let record = StoreRecord {
        format: FORMAT,
        uuid: hyphenated(u128::from(uuid)),
        abilities,
    };
    write_record(fs, root, &record)?;
    Ok(record)
}

fn hyphenated(number: u128) -> String {
    let hex = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}
