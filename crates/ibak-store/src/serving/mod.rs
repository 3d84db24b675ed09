//! A committed backup as a phone is given it back (I4).
//!
//! The phone reads the backup; whatever it writes, moves, removes or copies happens in a
//! throw-away overlay beside it. Promises: nothing of the backup changes, its lease is held, the
//! same paths are refused as in a working copy, and the overlay goes when the serving does, or
//! with the next opening of the store.

mod overlay;

use crate::error::{Context, StoreError};
use crate::fs::util::{Reading, absent_ok, remove_all, write_all};
use crate::fs::{Errno, Fs, Kind, Open, RealFs};
use crate::paths::{checked, holds};
use crate::phone::{PhoneDir, SCRATCH};
use crate::reader::Held;
use crate::record::Generation;
use crate::space::space;
use crate::staging::Entry;
use crate::store::Store;
use ibak_core::{BackupId, BackupPath, Udid};
use overlay::Overlay;
use std::io::Read;
use std::sync::Arc;

/// A committed backup, served to a phone. Dropping it throws away what the phone wrote.
pub struct Serving<F: Fs = RealFs> {
    held: Arc<Held<F>>,
    name: String,
    tree: Overlay<F>,
    /// For what the phone keeps beside the backup; it begins empty.
    scratch: Overlay<F>,
    open: Option<Writing<F>>,
    /// Bytes the phone has written, kept or not.
    written: u64,
    removed: bool,
}

/// A file between its first and its last byte.
struct Writing<F: Fs> {
    path: BackupPath,
    dir: F::Handle,
    name: String,
    file: F::Handle,
}

impl<F: Fs> Store<F> {
    /// Opens a committed backup to be served to a phone, whichever phone that is; paths are below
    /// the MobileSync directory of `udid`.
    ///
    /// # Errors
    /// `NoSuchBackup`, `Damaged`, or a system call's.
    pub fn serve(&self, udid: &Udid, id: &BackupId) -> Result<Serving<F>, StoreError> {
        let held = Arc::new(Held::open(&self.inner, udid, id)?);
        let scratch = held.scratch()?;
        let name = ulid::Ulid::new().to_string();
        match lay_out(&held, &scratch, &name) {
            Ok((tree, beside)) => Ok(Serving {
                held,
                name,
                tree,
                scratch: beside,
                open: None,
                written: 0,
                removed: false,
            }),
            Err(error) => {
                if let Err(second) = remove_all(&self.inner.fs, &scratch, &name) {
                    tracing::warn!(phone = %udid, error = %second, "and its overlay stays");
                }
                Err(error)
            }
        }
    }
}

fn lay_out<F: Fs>(
    held: &Arc<Held<F>>,
    scratch: &F::Handle,
    name: &str,
) -> Result<(Overlay<F>, Overlay<F>), StoreError> {
    let fs = &held.inner.fs;
    fs.make_dir(scratch, name).at("create", name)?;
    let home = fs.open(scratch, name, Open::Directory).at("open", name)?;
    let sub = |name: &str| -> Result<F::Handle, StoreError> {
        fs.make_dir(&home, name).at("create", name)?;
        fs.open(&home, name, Open::Directory).at("open", name)
    };
    let tree = Overlay::new(fs, Some(Arc::clone(held)), sub("tree")?, sub("gone")?);
    let beside = Overlay::new(fs, None, sub("beside")?, sub("nothing")?);
    Ok((tree, beside))
}

impl<F: Fs> Serving<F> {
    /// Returns what the backup's record says of it.
    pub fn generation(&self) -> &Generation {
        &self.held.generation
    }

    /// Returns the name of the MobileSync directory: the UDID as it is spelt on the wire.
    pub fn wire_udid(&self) -> &str {
        &self.held.generation.wire_udid
    }

    /// Most bytes a phone writes while it takes a backup; a real one writes some small files.
    pub const WRITTEN_MAX: u64 = 256 << 20;

    /// Returns what GetFreeDiskSpace answers, in bytes.
    ///
    /// # Errors
    /// A system call's.
    pub fn free_space(&self) -> Result<u64, StoreError> {
        Ok(space(&self.held.inner, &self.held.generation.udid, None)?.free())
    }

    /// Lists a directory in the order of its names.
    ///
    /// # Errors
    /// A system call's: an error is never an empty list.
    pub fn list(&self, dir: &BackupPath) -> Result<Vec<Entry>, StoreError> {
        if !dir.as_str().is_empty() {
            checked(dir)?;
        }
        self.layer(dir).list(dir.as_str()).at("list", dir)
    }

    /// Makes a directory, and those above it.
    ///
    /// # Errors
    /// EEXIST when the name is taken, else a system call's.
    pub fn create_dir(&mut self, dir: &BackupPath) -> Result<(), StoreError> {
        if dir.as_str().is_empty() {
            return Err(Errno::EXIST).at("create", dir);
        }
        checked(dir)?;
        let layer = self.layer(dir);
        let make = || {
            let (above, name) = layer.room_for(dir.as_str())?;
            match layer.find(dir.as_str())? {
                Some(_) => Err(Errno::EXIST),
                None => self.held.inner.fs.make_dir(&above, name),
            }
        };
        make().at("create", dir)
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// EISDIR for a directory, else a system call's.
    pub fn open(&self, path: &BackupPath) -> Result<Box<dyn Read + Send>, StoreError> {
        checked(path)?;
        let fs = &self.held.inner.fs;
        let open = || {
            let found = self.layer(path).find(path.as_str())?.ok_or(Errno::NOENT)?;
            if found.stat.kind == Kind::Directory {
                return Err(Errno::ISDIR);
            }
            let file = fs.open(&found.dir, &found.name, Open::Read)?;
            Ok((fs.stat_handle(&file)?.kind, file))
        };
        match open().at("open", path)? {
            (Kind::Regular, file) => Ok(Box::new(Reading {
                fs: fs.clone(),
                file,
            })),
            (Kind::Directory | Kind::Symlink | Kind::Other, _) => {
                Err(StoreError::refused(path, "it is not a file"))
            }
        }
    }

    /// Removes a file or tree; absent is fine. The backup's own directory is only emptied.
    ///
    /// # Errors
    /// A system call's.
    pub fn remove(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        let layer = self.layer(path);
        if !path.as_str().is_empty() {
            checked(path)?;
            return layer.remove(path.as_str()).at("remove", path);
        }
        for entry in layer.list("").at("list", path)? {
            layer.remove(&entry.name).at("remove", path)?;
        }
        Ok(())
    }

    /// Renames a file or tree; a file that has the new name is replaced, a directory removed
    /// first with all that is in it.
    ///
    /// # Errors
    /// ENOENT when there is nothing to rename, `Refused` for a move into itself or onto a
    /// directory above it, else a system call's.
    pub fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), StoreError> {
        if self.put(from, to, "rename")? {
            self.layer(from).remove(from.as_str()).at("rename", from)?;
        }
        Ok(())
    }

    /// Copies a file or tree; what had the new name is replaced.
    ///
    /// # Errors
    /// ENOENT when there is nothing to copy, `Refused` for a copy into itself, else a system
    /// call's.
    pub fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), StoreError> {
        self.put(from, to, "copy").map(drop)
    }

    /// Gives a file or tree a second name; returns false when it has that name.
    fn put(
        &self,
        from: &BackupPath,
        to: &BackupPath,
        action: &'static str,
    ) -> Result<bool, StoreError> {
        checked(from)?;
        let source = self.layer(from);
        source
            .find(from.as_str())
            .and_then(|found| found.ok_or(Errno::NOENT))
            .at(action, from)?;
        if from == to {
            return Ok(false);
        }
        if holds(from, to) || holds(to, from) {
            return Err(StoreError::refused(
                to,
                "a directory cannot be put into or onto itself",
            ));
        }
        checked(to)?;
        let target = self.layer(to);
        target.remove(to.as_str()).at("replace", to)?;
        source
            .graft(from.as_str(), target, to.as_str(), 0)
            .at(action, from)?;
        Ok(true)
    }

    /// Begins to receive a file; what had its name is removed, its directories are made.
    ///
    /// # Errors
    /// `Refused` for a second file at once or a name outside the backup, or a system call's.
    pub fn create(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        checked(path)?;
        if self.open.is_some() {
            return Err(StoreError::refused(
                path,
                "another file is still being received",
            ));
        }
        let layer = self.layer(path);
        let fs = &self.held.inner.fs;
        let create = || {
            let (dir, name) = layer.room_for(path.as_str())?;
            if let Some(found) = layer.find(path.as_str())? {
                if found.stat.kind == Kind::Directory {
                    return Err(Errno::ISDIR);
                }
                layer.remove(path.as_str())?;
            }
            let file = fs.open(&dir, name, Open::CreateNew)?;
            Ok((fs.stat_handle(&file)?, dir, name.to_owned(), file))
        };
        let (stat, dir, name, file) = create().at("create", path)?;
        if stat.links != 1 || stat.size != 0 {
            return Err(StoreError::damaged(path.to_string()));
        }
        self.open = Some(Writing {
            path: path.clone(),
            dir,
            name,
            file,
        });
        Ok(())
    }

    /// Writes the next bytes of the file being received.
    ///
    /// # Errors
    /// `Refused` when no file was begun, ENOSPC beyond [`Serving::WRITTEN_MAX`], or a system call's.
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let Some(open) = &self.open else {
            return Err(StoreError::refused("a block", "no file is being received"));
        };
        let length = u64::try_from(block.len()).unwrap_or(u64::MAX);
        self.written = self.written.saturating_add(length);
        if self.written > Self::WRITTEN_MAX {
            return Err(Errno::NOSPC).at("write", &open.path);
        }
        write_all(&self.held.inner.fs, &open.file, block).at("write", &open.path)
    }

    /// Says that the file being received is whole.
    ///
    /// # Errors
    /// `Refused` when no file was begun, or a system call's.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        let Some(open) = self.open.take() else {
            return Err(StoreError::refused(
                "the end of a file",
                "no file is being received",
            ));
        };
        self.held.inner.fs.close(open.file).at("close", &open.path)
    }

    /// Keeps nothing of the file being received; `remote_error` is the phone's reason.
    ///
    /// # Errors
    /// A system call's.
    pub fn abandon(&mut self, remote_error: Option<&str>) -> Result<(), StoreError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        tracing::debug!(path = %open.path, reason = remote_error, "a file of a restore was not whole");
        let fs = &self.held.inner.fs;
        absent_ok(fs.unlink(&open.dir, &open.name)).at("remove", &open.path)?;
        fs.close(open.file).at("close", &open.path)
    }

    /// Throws away what the phone wrote.
    ///
    /// # Errors
    /// A system call's; what is left is removed at the next opening of the store.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.throw_away()
    }

    fn throw_away(&mut self) -> Result<(), StoreError> {
        if self.removed {
            return Ok(());
        }
        self.removed = true;
        let inner = &self.held.inner;
        let Some(phone) = PhoneDir::open(inner, &self.held.generation.udid)? else {
            return Ok(());
        };
        let scratch = phone.sub(SCRATCH)?;
        remove_all(&inner.fs, &scratch, &self.name)
            .at("remove", phone.at(SCRATCH))
            .map(drop)
    }

    fn layer(&self, path: &BackupPath) -> &Overlay<F> {
        match path {
            BackupPath::Tree(_) => &self.tree,
            BackupPath::Scratch(_) => &self.scratch,
        }
    }
}

impl<F: Fs> Drop for Serving<F> {
    fn drop(&mut self) {
        if let Err(error) = self.throw_away() {
            tracing::warn!(phone = %self.held.generation.udid, %error, "what a restore wrote stays until the store is opened again");
        }
    }
}
