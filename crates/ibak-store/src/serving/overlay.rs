//! A directory that is never written to, with changes above it.
//!
//! Three directories: the base, what is `above` it, and what of the base is `gone`: an empty file
//! there hides its path in the base and all beneath. So nothing grows in memory, whatever a phone
//! asks for, and the kernel's own answers (ENOTDIR beneath a file) say what is hidden.

use crate::fs::util::{absent_ok, copy_rest, ensure_dir, remove_all};
use crate::fs::{Errno, Fs, Kind, Open, Stat};
use crate::paths::{COMPONENTS_MAX, join};
use crate::reader::Held;
use crate::staging::{Entry, EntryKind, entries};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A directory with changes above it.
pub(super) struct Overlay<F: Fs> {
    fs: F,
    base: Option<Arc<Held<F>>>,
    above: F::Handle,
    gone: F::Handle,
}

/// Where a name lies.
pub(super) struct Found<F: Fs> {
    pub(super) dir: F::Handle,
    pub(super) name: String,
    pub(super) stat: Stat,
}

impl<F: Fs> Overlay<F> {
    pub(super) fn new(
        fs: &F,
        base: Option<Arc<Held<F>>>,
        above: F::Handle,
        gone: F::Handle,
    ) -> Self {
        Self {
            fs: fs.clone(),
            base,
            above,
            gone,
        }
    }

    /// Finds a path; ENOTDIR when something above it is no directory.
    pub(super) fn find(&self, path: &str) -> Result<Option<Found<F>>, Errno> {
        if let Some(found) = self.look(&self.above, path)? {
            return Ok(Some(found));
        }
        match &self.base {
            Some(held) if !self.is_hidden(path)? => self.look(&held.tree, path),
            Some(_) | None => Ok(None),
        }
    }

    fn look(&self, root: &F::Handle, path: &str) -> Result<Option<Found<F>>, Errno> {
        let (above, name) = split(path);
        let dir = match self.fs.open(root, above, Open::Directory) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        match self.fs.stat(&dir, name) {
            Ok(stat) => Ok(Some(Found {
                dir,
                name: name.to_owned(),
                stat,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn is_hidden(&self, path: &str) -> Result<bool, Errno> {
        match self.look(&self.gone, path) {
            Ok(found) => Ok(found.is_some_and(|found| found.stat.kind == Kind::Regular)),
            // Something above it is hidden.
            Err(Errno::NOTDIR) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    /// Lists a directory in the order of its names, empty for the whole.
    pub(super) fn list(&self, dir: &str) -> Result<Vec<Entry>, Errno> {
        if !dir.is_empty() {
            let found = self.find(dir)?.ok_or(Errno::NOENT)?;
            if found.stat.kind != Kind::Directory {
                return Err(Errno::NOTDIR);
            }
        }
        let mut merged: BTreeMap<String, Entry> = BTreeMap::new();
        let own = |entry: Entry| (entry.name.clone(), entry);
        if let Some(base) = self.base_dir(dir)? {
            merged.extend(entries(&self.fs, &base)?.into_iter().map(own));
            if let Some(gone) = self.dir(&self.gone, dir)? {
                for hidden in entries(&self.fs, &gone)? {
                    if hidden.kind == EntryKind::Regular {
                        merged.remove(&hidden.name);
                    }
                }
            }
        }
        if let Some(above) = self.dir(&self.above, dir)? {
            merged.extend(entries(&self.fs, &above)?.into_iter().map(own));
        }
        Ok(merged.into_values().collect())
    }

    /// Opens a directory of the base unless it is hidden.
    fn base_dir(&self, dir: &str) -> Result<Option<F::Handle>, Errno> {
        match &self.base {
            Some(held) if dir.is_empty() || !self.is_hidden(dir)? => self.dir(&held.tree, dir),
            Some(_) | None => Ok(None),
        }
    }

    fn dir(&self, root: &F::Handle, dir: &str) -> Result<Option<F::Handle>, Errno> {
        let dir = if dir.is_empty() { "." } else { dir };
        match self.fs.open(root, dir, Open::Directory) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the directory above a path for writing, and makes what is missing of it.
    pub(super) fn room_for<'p>(&self, path: &'p str) -> Result<(F::Handle, &'p str), Errno> {
        let (above, name) = split(path);
        if let Some(dir) = self.dir(&self.above, above)? {
            return Ok((dir, name));
        }
        let mut at = String::new();
        let mut dir = self.fs.open(&self.above, ".", Open::Directory)?;
        for part in above.split('/') {
            at = join(&at, part);
            if let Some(found) = self.find(&at)?
                && found.stat.kind != Kind::Directory
            {
                return Err(Errno::NOTDIR);
            }
            dir = ensure_dir(&self.fs, &dir, part)?;
        }
        Ok((dir, name))
    }

    /// Removes a file or tree; absent is fine.
    pub(super) fn remove(&self, path: &str) -> Result<(), Errno> {
        if self.find(path)?.is_none() {
            return Ok(());
        }
        if let Some(found) = self.look(&self.above, path)? {
            remove_all(&self.fs, &found.dir, &found.name)?;
        }
        let Some(held) = &self.base else {
            return Ok(());
        };
        if self.is_hidden(path)? || self.look(&held.tree, path)?.is_none() {
            return Ok(());
        }
        self.hide(path)
    }

    fn hide(&self, path: &str) -> Result<(), Errno> {
        let (above, name) = split(path);
        let mut dir = self.fs.open(&self.gone, ".", Open::Directory)?;
        if above != "." {
            for part in above.split('/') {
                dir = ensure_dir(&self.fs, &dir, part)?;
            }
        }
        remove_all(&self.fs, &dir, name)?;
        let mark = self.fs.open(&dir, name, Open::CreateNew)?;
        self.fs.close(mark)
    }

    /// Gives a file or tree a second name in another overlay or this one, where there is none.
    /// Files are linked, for nothing is ever written into one that has a name.
    pub(super) fn graft(
        &self,
        from: &str,
        target: &Self,
        to: &str,
        depth: usize,
    ) -> Result<(), Errno> {
        let found = self.find(from)?.ok_or(Errno::NOENT)?;
        let (dir, name) = target.room_for(to)?;
        match found.stat.kind {
            Kind::Regular => self.second_name(&found, &dir, name),
            Kind::Directory if depth < COMPONENTS_MAX => {
                self.fs.make_dir(&dir, name)?;
                for entry in self.list(from)? {
                    let (from, to) = (join(from, &entry.name), join(to, &entry.name));
                    self.graft(&from, target, &to, depth + 1)?;
                }
                Ok(())
            }
            Kind::Directory | Kind::Symlink | Kind::Other => Err(Errno::INVAL),
        }
    }

    fn second_name(&self, found: &Found<F>, dir: &F::Handle, name: &str) -> Result<(), Errno> {
        match self.fs.link(&found.dir, &found.name, dir, name) {
            Err(Errno::MLINK) => {}
            other => return other,
        }
        let source = self.fs.open(&found.dir, &found.name, Open::Read)?;
        let copy = self.fs.open(dir, name, Open::CreateNew)?;
        match copy_rest(&self.fs, &source, &copy) {
            Ok(()) => self.fs.close(copy),
            Err(errno) => {
                absent_ok(self.fs.unlink(dir, name))?;
                Err(errno)
            }
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}
