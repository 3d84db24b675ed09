//! A vault in a directory, with a switch for each failure.

use ibak_core::BackupPath;
use ibak_mobilebackup2::{Entry, EntryKind, Vault, VaultError, VaultErrorKind};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The verbs that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    FreeSpace,
    Purge,
    List,
    CreateDir,
    Rename,
    Remove,
    Copy,
    Open,
    Read,
    Create,
    Write,
    Finish,
    Abandon,
}

/// Fails a verb the `at`-th time (from 0) it is used, or always from then.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub verb: Verb,
    pub at: usize,
    pub kind: VaultErrorKind,
}

/// What the vault was asked, and its end.
#[derive(Debug, Default)]
pub struct Log {
    pub verbs: Vec<(Verb, String)>,
    pub remote_errors: Vec<String>,
    pub largest_block: usize,
    pub is_dropped: bool,
}

#[derive(Debug)]
pub struct DirVault {
    pub dir: Arc<TempDir>,
    pub log: Arc<Mutex<Log>>,
    pub fault: Option<Fault>,
    pub free: u64,
    pub purge: u64,
    open: Option<(File, PathBuf)>,
}

impl DirVault {
    pub fn new() -> Self {
        // Thousands of small trees: in memory where the system has it.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        fs::create_dir_all(dir.path().join("root/tree")).unwrap();
        fs::create_dir_all(dir.path().join("root/scratch")).unwrap();
        fs::write(dir.path().join("outside"), "untouched").unwrap();
        Self {
            dir: Arc::new(dir),
            log: Arc::default(),
            fault: None,
            free: 1 << 40,
            purge: 0,
            open: None,
        }
    }

    pub fn place(&self, path: &BackupPath) -> PathBuf {
        match path {
            BackupPath::Tree(inner) => self.dir.path().join("root/tree").join(inner),
            BackupPath::Scratch(inner) => self.dir.path().join("root/scratch").join(inner),
        }
    }

    pub fn put(&self, name: &str, content: &[u8]) {
        let place = self.dir.path().join("root/tree").join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    fn enter(&mut self, verb: Verb, what: &str) -> Result<(), VaultError> {
        let mut log = self.log.lock().unwrap();
        let before = log.verbs.iter().filter(|(other, _)| *other == verb).count();
        log.verbs.push((verb, what.to_owned()));
        match self.fault {
            Some(fault) if fault.verb == verb && before == fault.at => Err(VaultError::new(
                fault.kind,
                format!("injected into {verb:?}"),
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for DirVault {
    fn drop(&mut self) {
        self.log.lock().unwrap().is_dropped = true;
    }
}

/// Every file below a directory with its content.
pub fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

struct FaultyReader {
    file: File,
    kind: VaultErrorKind,
}

impl Read for FaultyReader {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let half = buf.len().min(100_000);
        match self.file.read(&mut buf[..half])? {
            0 if self.kind == VaultErrorKind::Io => Err(std::io::Error::from_raw_os_error(5)),
            0 => Err(std::io::Error::other("injected")),
            len => Ok(len),
        }
    }
}

impl Vault for DirVault {
    fn free_space(&mut self) -> Result<u64, VaultError> {
        self.enter(Verb::FreeSpace, "")?;
        Ok(self.free)
    }

    fn purge(&mut self, amount: u64, urgency: u64) -> Result<u64, VaultError> {
        self.enter(Verb::Purge, &format!("{amount} {urgency}"))?;
        Ok(self.purge)
    }

    fn list(&mut self, dir: &BackupPath) -> Result<Vec<Entry>, VaultError> {
        self.enter(Verb::List, dir.as_str())?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.place(dir))? {
            let entry = entry?;
            let facts = entry.metadata()?;
            entries.push(Entry {
                name: entry.file_name().into_string().unwrap(),
                kind: if facts.is_dir() {
                    EntryKind::Directory
                } else {
                    EntryKind::Regular
                },
                size: if facts.is_dir() { 0 } else { facts.len() },
                modified: facts.modified()?,
            });
        }
        Ok(entries)
    }

    fn create_dir(&mut self, dir: &BackupPath) -> Result<(), VaultError> {
        self.enter(Verb::CreateDir, dir.as_str())?;
        let place = self.place(dir);
        fs::create_dir_all(place.parent().unwrap())?;
        Ok(fs::create_dir(place)?)
    }

    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError> {
        self.enter(Verb::Rename, &format!("{from} {to}"))?;
        let (from, to) = (self.place(from), self.place(to));
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        }
        fs::create_dir_all(to.parent().unwrap())?;
        Ok(fs::rename(from, to)?)
    }

    fn remove(&mut self, path: &BackupPath) -> Result<(), VaultError> {
        self.enter(Verb::Remove, path.as_str())?;
        let place = self.place(path);
        let removed = if place.is_dir() {
            fs::remove_dir_all(place)
        } else {
            fs::remove_file(place)
        };
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    }

    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError> {
        self.enter(Verb::Copy, &format!("{from} {to}"))?;
        fs::copy(self.place(from), self.place(to))?;
        Ok(())
    }

    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError> {
        self.enter(Verb::Open, path.as_str())?;
        let file = File::open(self.place(path))?;
        match self.fault {
            Some(Fault {
                verb: Verb::Read,
                kind,
                ..
            }) => Ok(Box::new(FaultyReader { file, kind })),
            _ => Ok(Box::new(file)),
        }
    }

    fn create(&mut self, path: &BackupPath) -> Result<(), VaultError> {
        assert!(self.open.is_none(), "one file at a time");
        self.enter(Verb::Create, path.as_str())?;
        let place = self.place(path);
        fs::create_dir_all(place.parent().unwrap())?;
        let mut part = place.clone();
        part.as_mut_os_string().push(".part");
        self.open = Some((File::create(&part)?, place));
        Ok(())
    }

    fn write(&mut self, block: &[u8]) -> Result<(), VaultError> {
        self.enter(Verb::Write, "")?;
        let mut log = self.log.lock().unwrap();
        log.largest_block = log.largest_block.max(block.len());
        Ok(self.open.as_mut().unwrap().0.write_all(block)?)
    }

    fn finish(&mut self) -> Result<(), VaultError> {
        self.enter(Verb::Finish, "")?;
        let (_, place) = self.open.take().unwrap();
        let mut part = place.clone();
        part.as_mut_os_string().push(".part");
        Ok(fs::rename(part, place)?)
    }

    fn abandon(&mut self, remote_error: Option<&str>) -> Result<(), VaultError> {
        if let Some((_, mut place)) = self.open.take() {
            place.as_mut_os_string().push(".part");
            fs::remove_file(place)?;
        }
        self.enter(Verb::Abandon, remote_error.unwrap_or_default())?;
        self.log
            .lock()
            .unwrap()
            .remote_errors
            .extend(remote_error.map(str::to_owned));
        Ok(())
    }
}
