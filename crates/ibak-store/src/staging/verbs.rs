//! What the phone may ask for: list, make, rename, remove, copy and read.

use super::Staging;
use super::ledger::Received;
use super::room::NAME_COST;
use crate::error::{Context, StoreError};
use crate::fs::util::{Reading, absent_ok, copy_rest, ensure_dir, hash_rest, remove_all};
use crate::fs::{Errno, Fs, Kind, Open, Replace};
use crate::paths::{COMPONENTS_MAX, checked, child, holds};
use ibak_core::BackupPath;
use std::io::Read;
use std::time::SystemTime;

/// What an entry of a directory is, in the phone's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A file.
    Regular,
    /// Neither.
    Unknown,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes.
    pub size: u64,
    /// Last change of its content.
    pub modified: SystemTime,
}

/// Lists an open directory in the order of its names.
pub(crate) fn entries<F: Fs>(fs: &F, dir: &F::Handle) -> Result<Vec<Entry>, Errno> {
    let names = crate::fs::util::sorted(fs, dir)?;
    names
        .into_iter()
        .map(|name| {
            let stat = fs.stat(dir, &name.name)?;
            Ok(Entry {
                name: name.name,
                kind: match stat.kind {
                    Kind::Directory => EntryKind::Directory,
                    Kind::Regular => EntryKind::Regular,
                    Kind::Symlink | Kind::Other => EntryKind::Unknown,
                },
                size: stat.size,
                modified: stat.modified,
            })
        })
        .collect()
}

impl<F: Fs> Staging<F> {
    /// Lists a directory in the order of its names.
    ///
    /// # Errors
    /// A system call's: an error is never an empty list.
    pub fn list(&self, dir: &BackupPath) -> Result<Vec<Entry>, StoreError> {
        let fs = &self.inner.fs;
        let handle;
        let opened = if dir.as_str().is_empty() {
            self.root(dir)
        } else {
            checked(dir)?;
            handle = fs
                .open(self.root(dir), dir.as_str(), Open::Directory)
                .at("list", dir)?;
            &handle
        };
        entries(fs, opened).at("list", dir)
    }

    /// Makes a directory, and those above it.
    ///
    /// # Errors
    /// EEXIST when the name is taken, else a system call's.
    pub fn create_dir(&mut self, dir: &BackupPath) -> Result<(), StoreError> {
        self.check_usable()?;
        if dir.as_str().is_empty() {
            return Err(Errno::EXIST).at("create", dir);
        }
        let outcome = self
            .take_room(NAME_COST)
            .and_then(|()| self.parent_of(dir, true))
            .and_then(|(parent, name)| self.inner.fs.make_dir(&parent, &name).at("create", dir));
        self.note(outcome)
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// EISDIR for a directory, else a system call's.
    pub fn open(&self, path: &BackupPath) -> Result<Box<dyn Read + Send>, StoreError> {
        checked(path)?;
        let fs = &self.inner.fs;
        let file = fs
            .open(self.root(path), path.as_str(), Open::Read)
            .at("open", path)?;
        match fs.stat_handle(&file).at("look at", path)?.kind {
            Kind::Regular => Ok(Box::new(Reading {
                fs: fs.clone(),
                file,
            })),
            Kind::Directory => Err(Errno::ISDIR).at("open", path),
            Kind::Symlink | Kind::Other => Err(StoreError::refused(path, "it is not a file")),
        }
    }

    /// Removes a file or tree; absent is fine. The backup's own directory is only emptied.
    ///
    /// # Errors
    /// A system call's.
    pub fn remove(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        self.check_usable()?;
        self.account.churn_unknown();
        let outcome = self.remove_inner(path);
        self.note(outcome)
    }

    fn remove_inner(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        let is_dir = if path.as_str().is_empty() {
            let fs = &self.inner.fs;
            let root = self.root(path);
            for entry in fs.read_dir(root).at("list", path)? {
                remove_all(fs, root, &entry.name).at("remove", path)?;
            }
            true
        } else {
            let (parent, name) = match self.parent_of(path, false) {
                Err(error) if error.is_absent() => return Ok(()),
                other => other?,
            };
            remove_all(&self.inner.fs, &parent, &name).at("remove", path)?
        };
        self.ledger.forget(path, is_dir);
        self.log.gone(path, is_dir);
        Ok(())
    }

    /// Renames a file or tree; a file that has the new name is replaced, a directory removed
    /// first with all that is in it.
    ///
    /// # Errors
    /// ENOENT when there is nothing to rename, `Refused` for a move into itself or onto a
    /// directory above it, else a system call's.
    pub fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), StoreError> {
        self.check_usable()?;
        let outcome = self.rename_inner(from, to);
        self.note(outcome)
    }

    fn rename_inner(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), StoreError> {
        let (from_dir, from_name) = self.parent_of(from, false)?;
        let source = self
            .inner
            .fs
            .stat(&from_dir, &from_name)
            .at("rename", from)?;
        if from == to {
            return Ok(());
        }
        if holds(from, to) || holds(to, from) {
            return Err(StoreError::refused(
                to,
                "a directory cannot be moved into or onto itself",
            ));
        }
        let is_dir = source.kind == Kind::Directory;
        self.know(from, source.kind, &from_dir, &from_name)?;
        let (to_dir, to_name) = self.parent_of(to, true)?;
        let fs = &self.inner.fs;
        let mut dirs = is_dir;
        match fs.stat(&to_dir, &to_name) {
            // Two names of one file: the kernel would say yes and do nothing (I3).
            Ok(found)
                if !is_dir && found.inode == source.inode && found.device == source.device =>
            {
                fs.unlink(&from_dir, &from_name).at("rename", from)?;
            }
            Ok(found) => {
                self.account.churn(found.allocated);
                if found.kind == Kind::Directory || is_dir {
                    self.account.churn_unknown();
                    dirs |= remove_all(fs, &to_dir, &to_name).at("replace", to)?;
                }
                fs.rename(&from_dir, &from_name, &to_dir, &to_name, Replace::Yes)
                    .at("rename", from)?;
            }
            Err(Errno::NOENT) => {
                fs.rename(&from_dir, &from_name, &to_dir, &to_name, Replace::Yes)
                    .at("rename", from)?;
            }
            Err(errno) => return Err(errno).at("rename", to),
        }
        self.ledger.rename(from, to, dirs);
        self.log.renamed(from, to, dirs);
        Ok(())
    }

    /// Hashes what came from the parent before it takes another name, for the parent's index
    /// knows it by the old one.
    fn know(
        &mut self,
        path: &BackupPath,
        kind: Kind,
        dir: &F::Handle,
        name: &str,
    ) -> Result<(), StoreError> {
        match kind {
            Kind::Regular if self.ledger.get(path).is_none() => {
                let file = self.inner.fs.open(dir, name, Open::Read).at("open", path)?;
                let (size, hash) = hash_rest(&self.inner.fs, &file).at("read", path)?;
                let received = Received { size, hash };
                self.check_inherited(path, dir, name, &received)?;
                self.ledger.set(path, received);
                self.log.received(path, &received);
                Ok(())
            }
            Kind::Directory => {
                let inner = self
                    .inner
                    .fs
                    .open(dir, name, Open::Directory)
                    .at("open", path)?;
                for entry in self.inner.fs.read_dir(&inner).at("list", path)? {
                    self.know(&child(path, &entry.name), entry.kind, &inner, &entry.name)?;
                }
                Ok(())
            }
            Kind::Regular | Kind::Symlink | Kind::Other => Ok(()),
        }
    }

    /// Copies a file or tree; what had the new name is replaced.
    ///
    /// # Errors
    /// ENOENT when there is nothing to copy, `Refused` for a copy into itself, else a system
    /// call's.
    pub fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), StoreError> {
        self.check_usable()?;
        let outcome = self.copy_inner(from, to);
        self.note(outcome)
    }

    fn copy_inner(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), StoreError> {
        let (from_dir, from_name) = self.parent_of(from, false)?;
        let source = self.inner.fs.stat(&from_dir, &from_name).at("copy", from)?;
        if from == to {
            return Ok(());
        }
        if holds(from, to) || holds(to, from) {
            return Err(StoreError::refused(
                to,
                "a directory cannot be copied into or onto itself",
            ));
        }
        self.remove_inner(to)?;
        self.copy_one(from, &from_dir, &from_name, source.kind, to, 0)
    }

    fn copy_one(
        &mut self,
        from: &BackupPath,
        from_dir: &F::Handle,
        from_name: &str,
        kind: Kind,
        to: &BackupPath,
        depth: usize,
    ) -> Result<(), StoreError> {
        match kind {
            Kind::Regular => {
                let received = self.copy_file(from_dir, from_name, to)?;
                if self.ledger.get(from).is_none() {
                    self.check_inherited(from, from_dir, from_name, &received)?;
                }
                Ok(())
            }
            Kind::Directory if depth < COMPONENTS_MAX => {
                let (to_dir, to_name) = self.parent_of(to, true)?;
                self.inner.fs.make_dir(&to_dir, &to_name).at("create", to)?;
                let inner = self
                    .inner
                    .fs
                    .open(from_dir, from_name, Open::Directory)
                    .at("open", from)?;
                for entry in crate::fs::util::sorted(&self.inner.fs, &inner).at("list", from)? {
                    let below = |path: &BackupPath| child(path, &entry.name);
                    self.copy_one(
                        &below(from),
                        &inner,
                        &entry.name,
                        entry.kind,
                        &below(to),
                        depth + 1,
                    )?;
                }
                Ok(())
            }
            Kind::Directory | Kind::Symlink | Kind::Other => Err(StoreError::refused(
                from,
                "it is neither a file nor a directory",
            )),
        }
    }

    /// Makes a copy of its own of a file and hashes it.
    pub(super) fn copy_file(
        &mut self,
        from_dir: &F::Handle,
        from_name: &str,
        to: &BackupPath,
    ) -> Result<Received, StoreError> {
        let (to_dir, to_name) = self.parent_of(to, true)?;
        let fs = &self.inner.fs;
        let source = fs
            .open(from_dir, from_name, Open::Read)
            .at("open", from_name)?;
        let size = fs.stat_handle(&source).at("look at", to)?.size;
        self.take_room(size.saturating_add(NAME_COST))?;
        let fs = &self.inner.fs;
        absent_ok(fs.unlink(&to_dir, &to_name)).at("replace", to)?;
        let copy = fs
            .open(&to_dir, &to_name, Open::CreateNew)
            .at("create", to)?;
        copy_rest(fs, &source, &copy).at("copy to", to)?;
        fs.set_mode(&copy, 0o400).at("protect", to)?;
        if !self.inner.trusts_sync_fs {
            fs.sync(&copy).at("sync", to)?;
        }
        fs.close(copy).at("close", to)?;
        let written = fs.open(&to_dir, &to_name, Open::Read).at("open", to)?;
        let (size, hash) = hash_rest(fs, &written).at("read", to)?;
        let received = Received { size, hash };
        self.received = self.received.saturating_add(size);
        self.ledger.set(to, received);
        self.log.received(to, &received);
        Ok(received)
    }

    pub(super) fn root(&self, path: &BackupPath) -> &F::Handle {
        match path {
            BackupPath::Tree(_) => &self.tree,
            BackupPath::Scratch(_) => &self.scratch,
        }
    }

    /// Opens the directory that holds a path's last component, making it if asked.
    pub(super) fn parent_of(
        &self,
        path: &BackupPath,
        make: bool,
    ) -> Result<(F::Handle, String), StoreError> {
        checked(path)?;
        let fs = &self.inner.fs;
        let (above, name) = match path.as_str().rsplit_once('/') {
            Some((above, name)) => (above, name),
            None => (".", path.as_str()),
        };
        match fs.open(self.root(path), above, Open::Directory) {
            Ok(dir) => return Ok((dir, name.to_owned())),
            Err(Errno::NOENT) if make => {}
            Err(errno) => return Err(errno).at("open", path),
        }
        let mut dir = None;
        for part in above.split('/') {
            let next =
                ensure_dir(fs, dir.as_ref().unwrap_or(self.root(path)), part).at("create", path)?;
            dir = Some(next);
        }
        match dir {
            Some(dir) => Ok((dir, name.to_owned())),
            None => Err(StoreError::refused(path, "it names nothing")),
        }
    }
}
