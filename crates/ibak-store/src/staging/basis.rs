//! What a new working copy begins as: second names of the files of the newest good backup.
//!
//! What is not what it should be never gets into one: a backup that turns out to be damaged while
//! it is cloned is marked and another is taken. When there is no good one left, the newest of the
//! damaged is cloned without its damaged files, so that the phone sends those again.

use super::Staging;
use super::inherited::is_same;
use crate::error::{Context, ErrorKind, StoreError, is_unreadable};
use crate::fs::util::{DEPTH_MAX, sorted};
use crate::fs::{Errno, Fs, Kind, Open};
use crate::index::{IndexEntry, IndexReader, walk_order};
use crate::marks::{Findings, Stats, is_damage};
use crate::phone::{PhoneDir, Unreadable};
use crate::verify::whole_tree;
use ibak_core::{BackupId, BackupPath};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The backup a working copy is cloned from, open.
pub(super) struct Basis<F: Fs> {
    pub(super) id: BackupId,
    dir: F::Handle,
    tree: F::Handle,
    /// Paths that are left out, for they are damaged.
    pub(super) damaged: BTreeSet<String>,
}

/// Chooses the newest verified backup, else the newest damaged one that can be built on.
pub(super) fn choose<F: Fs>(phone: &PhoneDir<'_, F>) -> Result<Option<Basis<F>>, StoreError> {
    let list = phone.list(Unreadable::Fail)?;
    for found in list.iter().rev().filter(|found| found.verified) {
        match open(phone, &found.id, &[])? {
            Ok(basis) => return Ok(Some(basis)),
            Err(what) => {
                tracing::error!(phone = %phone.udid, backup = %found.id, what, "a backup is damaged");
                phone.add_findings(&found.id, [what.to_owned()])?;
            }
        }
    }
    for found in list.iter().rev().filter(|found| !found.verified) {
        if let Ok(basis) = open(phone, &found.id, &found.damaged)?
            && is_buildable(phone, &basis)?
        {
            return Ok(Some(basis));
        }
    }
    Ok(None)
}

fn open<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
    damaged: &[String],
) -> Result<Result<Basis<F>, &'static str>, StoreError> {
    let (dir, record) = phone.generation(id)?;
    let go_on = &mut |_| ControlFlow::Continue(());
    let fs = &phone.inner.fs;
    // One bad moment of the disk costs no backup its good name; what it cannot give twice is not
    // built on.
    let whole = match whole_tree(fs, &dir, &record, |errno| !is_unreadable(errno), go_on) {
        Err(error) if error.kind() == ErrorKind::Io => {
            whole_tree(fs, &dir, &record, |_| true, go_on)?
        }
        whole => whole?,
    };
    Ok(whole.map(|tree| Basis {
        id: id.clone(),
        dir,
        tree,
        damaged: damaged.iter().cloned().collect(),
    }))
}

/// Says whether all that is damaged are single files, and none without which the phone takes the
/// rest for nothing.
fn is_buildable<F: Fs>(phone: &PhoneDir<'_, F>, basis: &Basis<F>) -> Result<bool, StoreError> {
    const NEEDED: [&str; 3] = ["Manifest.db", "Manifest.plist", "Status.plist"];
    if NEEDED.iter().any(|name| basis.damaged.contains(*name)) {
        return Ok(false);
    }
    let fs = &phone.inner.fs;
    let mut damaged: Vec<&String> = basis.damaged.iter().collect();
    damaged.sort_by(|a, b| walk_order(a, b));
    let mut index = IndexReader::open(fs, &basis.dir)?;
    let tree = fs.open(&basis.tree, ".", Open::Directory);
    let mut stats = Stats::new(fs, tree.at("open", &basis.id)?);
    for path in damaged {
        if index.seek(path)?.is_none() && stats.stat(path).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns what is known to be damaged in a backup.
pub(super) fn damaged_in<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
) -> Result<BTreeSet<String>, StoreError> {
    let mut checks = phone.checks()?;
    let check = checks.checks.remove(id.as_str());
    Ok(check.into_iter().flat_map(|check| check.damaged).collect())
}

impl<F: Fs> Staging<F> {
    /// Fills the tree with second names of a committed backup's files, but for those that are
    /// known to be damaged; returns what else is.
    pub(super) fn clone_tree(&mut self, basis: &Basis<F>) -> Result<Findings, StoreError> {
        let mut cloning = Cloning {
            fs: &self.inner.fs,
            index: IndexReader::open(&self.inner.fs, &basis.dir)?,
            damaged: &basis.damaged,
            found: Findings::default(),
            full: Vec::new(),
        };
        cloning.dir(&basis.tree, &self.tree, "", 0)?;
        let Cloning {
            mut found, full, ..
        } = cloning.finish()?;
        // A file with as many names as its file system gives gets a copy of its own.
        for entry in full {
            let path = BackupPath::Tree(entry.path.clone());
            let fs = self.inner.fs.clone();
            let received = match path.as_str().rsplit_once('/') {
                Some((above, name)) => {
                    let dir = fs
                        .open(&basis.tree, above, Open::Directory)
                        .at("open", &path)?;
                    self.copy_file(&dir, name, &path)?
                }
                None => self.copy_file(&basis.tree, path.as_str(), &path)?,
            };
            // What it was is known; what lies there now is no better for being copied.
            if !is_same(&entry, &received) {
                found.add(entry.path);
            }
        }
        let missing = basis.damaged.iter().cloned().map(BackupPath::Tree);
        self.ledger.await_again(missing);
        Ok(found)
    }
}

struct Cloning<'a, F: Fs> {
    fs: &'a F,
    index: IndexReader,
    damaged: &'a BTreeSet<String>,
    found: Findings,
    /// Files that can have no more names.
    full: Vec<IndexEntry>,
}

impl<F: Fs> Cloning<'_, F> {
    fn dir(
        &mut self,
        from: &F::Handle,
        to: &F::Handle,
        at: &str,
        depth: u32,
    ) -> Result<(), StoreError> {
        for entry in sorted(self.fs, from).at("list", at)? {
            let path = if at.is_empty() {
                entry.name.clone()
            } else {
                format!("{at}/{}", entry.name)
            };
            match entry.kind {
                Kind::Regular => {
                    if let Some(wanted) = self.wanted(from, &entry.name, &path)? {
                        match self.fs.link(from, &entry.name, to, &entry.name) {
                            Ok(()) => {}
                            Err(Errno::MLINK) => self.full.push(wanted),
                            Err(errno) => return Err(errno).at("link", path),
                        }
                    }
                }
                Kind::Directory if depth < DEPTH_MAX => {
                    let inner_from = match self.fs.open(from, &entry.name, Open::Directory) {
                        Ok(inner) => inner,
                        // What should be in it is missed.
                        Err(errno) if is_damage(errno) && !is_unreadable(errno) => continue,
                        Err(errno) => return Err(errno).at("open", &path),
                    };
                    self.fs.make_dir(to, &entry.name).at("create", &path)?;
                    let inner_to = self
                        .fs
                        .open(to, &entry.name, Open::Directory)
                        .at("open", &path)?;
                    self.dir(&inner_from, &inner_to, &path, depth + 1)?;
                }
                Kind::Directory | Kind::Symlink | Kind::Other => self.note(path),
            }
        }
        Ok(())
    }

    fn note(&mut self, path: String) {
        if !self.damaged.contains(&path) {
            self.found.add(path);
        }
    }

    /// Returns what a file should be if it belongs to the backup and has its length; notes what
    /// should have come before it.
    fn wanted(
        &mut self,
        dir: &F::Handle,
        name: &str,
        path: &str,
    ) -> Result<Option<IndexEntry>, StoreError> {
        while let Some(entry) = self.index.take()? {
            match walk_order(&entry.path, path) {
                Ordering::Less => self.note(entry.path),
                Ordering::Equal if self.damaged.contains(path) => return Ok(None),
                Ordering::Equal => {
                    if self.fs.stat(dir, name).at("look at", path)?.size == entry.size {
                        return Ok(Some(entry));
                    }
                    break;
                }
                Ordering::Greater => {
                    self.index.put_back(entry);
                    break;
                }
            }
        }
        self.note(path.to_owned());
        Ok(None)
    }

    fn finish(mut self) -> Result<Self, StoreError> {
        while let Some(entry) = self.index.take()? {
            self.note(entry.path);
        }
        Ok(self)
    }
}
