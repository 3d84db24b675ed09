//! One tree on its way: what shares an inode with something that went over is linked to it.

use super::Copying;
use super::content::Arrived;
use super::links::Links;
use crate::error::{Context, StoreError, is_unreadable};
use crate::fs::util::{DEPTH_MAX, absent_ok, ensure_dir, hash_rest, sorted};
use crate::fs::{Errno, Fs, Kind, Open, Stat};
use crate::index::{IndexEntry, IndexReader, walk_order};
use crate::marks::Findings;
use crate::paths::join;
use std::cmp::Ordering;

/// What a tree is compared with while it is copied.
#[derive(Default)]
pub(super) struct Expected {
    index: Option<IndexReader>,
    next: Option<IndexEntry>,
    /// Paths that are not what the index says.
    pub(super) damaged: Findings,
}

impl Expected {
    pub(super) fn by(index: Option<IndexReader>) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// Returns what the index says of a path; what it has before that is not there.
    fn of(&mut self, path: &str) -> Result<Option<IndexEntry>, StoreError> {
        let Some(index) = &mut self.index else {
            return Ok(None);
        };
        while let Some(entry) = match self.next.take() {
            Some(entry) => Some(entry),
            None => index.take()?,
        } {
            match walk_order(&entry.path, path) {
                Ordering::Less => self.damaged.add(entry.path),
                Ordering::Equal => return Ok(Some(entry)),
                Ordering::Greater => {
                    self.next = Some(entry);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    pub(super) fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// Counts what is left over as lost.
    fn end(&mut self) -> Result<(), StoreError> {
        self.damaged
            .extend(self.next.take().map(|entry| entry.path));
        if let Some(index) = &mut self.index {
            while let Some(entry) = index.take()? {
                self.damaged.add(entry.path);
            }
        }
        Ok(())
    }
}

/// What is known of the backup before, whose files most of the next are.
#[derive(Default)]
pub(super) struct Before {
    /// Its paths that arrived damaged.
    pub(super) damaged: Findings,
    /// What it received.
    pub(super) index: Option<IndexReader>,
}

/// A tree that is being copied.
pub(super) struct Tree<'a, 'b, F: Fs, G: Fs> {
    pub(super) copying: &'a mut Copying<'b, F, G>,
    pub(super) links: &'a mut Links,
    /// The phone's directory at the target.
    pub(super) phone: &'a G::Handle,
    pub(super) before: Before,
    pub(super) expected: Expected,
}

/// A directory here and there.
type Pair<'h, F, G> = (&'h <F as Fs>::Handle, &'h <G as Fs>::Handle);
type OwnPair<F, G> = (<F as Fs>::Handle, <G as Fs>::Handle);

impl<F: Fs, G: Fs> Tree<'_, '_, F, G> {
    /// Copies everything below a directory; `twins` is the same directory of the backup before.
    pub(super) fn all(
        &mut self,
        dirs: Pair<'_, F, G>,
        twins: Option<Pair<'_, F, G>>,
    ) -> Result<(), StoreError> {
        self.dir(dirs, twins, "", DEPTH_MAX)?;
        self.expected.end()
    }

    /// Copies everything below a directory that nothing vouches for.
    pub(super) fn all_as_it_is(&mut self, dirs: Pair<'_, F, G>) -> Result<(), StoreError> {
        self.all(dirs, None)?;
        if !self.expected.damaged.is_empty() {
            tracing::warn!("what was set aside or unfinished did not come along whole");
        }
        Ok(())
    }

    fn dir(
        &mut self,
        dirs: Pair<'_, F, G>,
        twins: Option<Pair<'_, F, G>>,
        at: &str,
        depth: u32,
    ) -> Result<(), StoreError> {
        let (here, there) = (self.copying.from.fs.clone(), self.copying.to.fs.clone());
        if depth == 0 {
            return Err(StoreError::damaged(at));
        }
        // What a bad block hides is lost, and the rest goes on.
        let Some(entries) = readable(sorted(&here, dirs.0)).at("list", at)? else {
            self.expected.damaged.add(at);
            return Ok(());
        };
        for entry in entries {
            let path = join(at, &entry.name);
            match entry.kind {
                Kind::Regular => self.file(dirs, twins, &entry.name, &path)?,
                Kind::Directory => {
                    let opened = here.open(dirs.0, &entry.name, Open::Directory);
                    let Some(from) = readable(opened).at("open", &path)? else {
                        self.expected.damaged.add(path);
                        continue;
                    };
                    let to = ensure_dir(&there, dirs.1, &entry.name).at("create", &path)?;
                    let near = match twins {
                        Some(twins) => inner(&here, &there, twins, &entry.name, &path)?,
                        None => None,
                    };
                    let twins = near.as_ref().map(|(from, to)| (from, to));
                    self.dir((&from, &to), twins, &path, depth - 1)?;
                }
                // Nothing of ours; a backup that has one is damaged, and stays so.
                Kind::Symlink | Kind::Other => self.expected.damaged.add(path),
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        dirs: Pair<'_, F, G>,
        twins: Option<Pair<'_, F, G>>,
        name: &str,
        path: &str,
    ) -> Result<(), StoreError> {
        let expected = self.expected.of(path)?;
        let stat = self.copying.from.fs.stat(dirs.0, name);
        let Some(stat) = readable(stat).at("look at", path)? else {
            self.expected.damaged.add(path);
            return Ok(());
        };
        self.copying.step(0, 0)?;
        let good = match self.link(dirs.1, twins, name, path, &stat, expected.as_ref())? {
            Some(good) => good,
            None => self.copy(dirs, name, path, &stat, expected.as_ref())?,
        };
        // Without an index nothing is known to be bad; with one, what it does not name is.
        let is_extra = self.expected.has_index() && expected.is_none();
        if !good || is_extra {
            self.expected.damaged.add(path);
        }
        self.links.met(stat.inode, stat.links, path);
        self.copying.step(1, stat.size)
    }

    /// Links to what went over already; `None` when there is nothing to link to, else whether
    /// that is what was received.
    fn link(
        &mut self,
        to: &G::Handle,
        twins: Option<Pair<'_, F, G>>,
        name: &str,
        path: &str,
        stat: &Stat,
        expected: Option<&IndexEntry>,
    ) -> Result<Option<bool>, StoreError> {
        if stat.links < 2 {
            return Ok(None);
        }
        if let Some((from, near)) = twins {
            let same = match self.copying.from.fs.stat(from, name) {
                Ok(twin) => (twin.inode, twin.device) == (stat.inode, stat.device),
                Err(Errno::NOENT) => false,
                Err(errno) if is_unreadable(errno) => false,
                Err(errno) => return Err(errno).at("look at", path),
            };
            if same && link_over(&self.copying.to.fs, near, name, to, name).at("link", path)? {
                let (Some(index), Some(expected)) = (&mut self.before.index, expected) else {
                    return self.read_again(to, name, path, expected).map(Some);
                };
                let known = index.seek(path)?.map(|known| (known.size, known.hash));
                let equal = known == Some((expected.size, expected.hash));
                return Ok(Some(equal && !self.before.damaged.contains(path)));
            }
        }
        let Some(earlier) = self.links.find(stat.inode) else {
            return Ok(None);
        };
        self.link_earlier(&earlier, to, name, path, expected)
    }

    /// Links to a file that went over under another path, and reads it, for its index is not at
    /// hand.
    fn link_earlier(
        &mut self,
        earlier: &str,
        to: &G::Handle,
        name: &str,
        path: &str,
        expected: Option<&IndexEntry>,
    ) -> Result<Option<bool>, StoreError> {
        let fs = &self.copying.to.fs;
        let Some((above, last)) = earlier.rsplit_once('/') else {
            return Ok(None);
        };
        let dir = match fs.open(self.phone, above, Open::Directory) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).at("open", earlier),
        };
        if !link_over(fs, &dir, last, to, name).at("link", path)? {
            return Ok(None);
        }
        self.read_again(to, name, path, expected).map(Some)
    }

    /// Says whether what was linked to is what was received, where no index tells.
    fn read_again(
        &self,
        to: &G::Handle,
        name: &str,
        path: &str,
        expected: Option<&IndexEntry>,
    ) -> Result<bool, StoreError> {
        let Some(expected) = expected else {
            return Ok(true);
        };
        let fs = &self.copying.to.fs;
        let file = fs.open(to, name, Open::Read).at("open", path)?;
        let found = hash_rest(fs, &file).at("read", path)?;
        Ok(found == (expected.size, expected.hash))
    }

    /// Copies, and says whether what arrived is what was received.
    fn copy(
        &mut self,
        dirs: Pair<'_, F, G>,
        name: &str,
        path: &str,
        stat: &Stat,
        expected: Option<&IndexEntry>,
    ) -> Result<bool, StoreError> {
        if let Some(expected) = expected
            && self.copying.earlier(dirs.1, name, stat, path)? == Some(expected.hash)
        {
            return Ok(true);
        }
        Ok(
            match self.copying.content((dirs.0, stat), dirs.1, name, path)? {
                Arrived::Whole { size, hash } => {
                    expected.is_none_or(|expected| (size, hash) == (expected.size, expected.hash))
                }
                Arrived::Nothing => false,
            },
        )
    }

    /// Takes note of the files of a tree that went over earlier.
    pub(super) fn remember(
        &mut self,
        from: &F::Handle,
        at: &str,
        depth: u32,
    ) -> Result<(), StoreError> {
        let fs = self.copying.from.fs.clone();
        if depth == 0 {
            return Ok(());
        }
        // What cannot be read is not shared with, and nothing else.
        for entry in readable(sorted(&fs, from))
            .at("list", at)?
            .unwrap_or_default()
        {
            let path = join(at, &entry.name);
            match entry.kind {
                Kind::Regular => {
                    let stat = readable(fs.stat(from, &entry.name)).at("look at", &path)?;
                    if let Some(stat) = stat {
                        self.links.met(stat.inode, stat.links, &path);
                    }
                }
                Kind::Directory => {
                    let dir = readable(fs.open(from, &entry.name, Open::Directory));
                    if let Some(dir) = dir.at("open", &path)? {
                        self.remember(&dir, &path, depth - 1)?;
                    }
                }
                Kind::Symlink | Kind::Other => {}
            }
        }
        Ok(())
    }
}

/// Takes a block that cannot be read for nothing.
pub(super) fn readable<T>(outcome: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match outcome {
        Err(errno) if is_unreadable(errno) => Ok(None),
        other => other.map(Some),
    }
}

/// Opens a directory of the backup before, here and there, where both have it.
fn inner<F: Fs, G: Fs>(
    here: &F,
    there: &G,
    twins: Pair<'_, F, G>,
    name: &str,
    at: &str,
) -> Result<Option<OwnPair<F, G>>, StoreError> {
    let from = match here.open(twins.0, name, Open::Directory) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) if is_unreadable(errno) => return Ok(None),
        Err(errno) => return Err(errno).at("open", at),
    };
    match there.open(twins.1, name, Open::Directory) {
        Ok(to) => Ok(Some((from, to))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).at("open", at),
    }
}

/// Links, whatever an earlier copy left under the new name; false when there is nothing to link
/// to or no further name to be had.
fn link_over<G: Fs>(
    fs: &G,
    from: &G::Handle,
    name: &str,
    to: &G::Handle,
    new: &str,
) -> Result<bool, Errno> {
    absent_ok(fs.unlink(to, new))?;
    match fs.link(from, name, to, new) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::MLINK) => Ok(false),
        Err(errno) => Err(errno),
    }
}
