//! Counting blocks below a directory, each inode once.

use crate::error::{Context, StoreError, is_unreadable};
use crate::fs::util::DEPTH_MAX;
use crate::fs::{Errno, Fs, Kind, Open, Stat};
use std::collections::{HashMap, HashSet};

/// Which files count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Each, at its first name.
    Once,
    /// Those with one name.
    Sole,
    /// Those that have all their names here.
    Whole,
    /// Those that this walk lacked a name of; no directories.
    Closing,
}

/// What became of looking at a name.
pub(super) enum Seen<T> {
    There(T),
    Gone,
    /// The disk does not let it be read: it counts nothing.
    Lost,
}

type Inode = (u64, u64);

/// Counts blocks. What goes while it looks is not counted.
pub(super) struct Walk<'a, F: Fs> {
    fs: &'a F,
    pub(super) bytes: u64,
    once: HashSet<Inode>,
    /// Names still to be met.
    lacking: HashMap<Inode, u64>,
    /// Whether the disk did not let something be looked at.
    pub(super) skipped: bool,
}

impl<'a, F: Fs> Walk<'a, F> {
    pub(super) fn new(fs: &'a F) -> Self {
        Self {
            fs,
            bytes: 0,
            once: HashSet::new(),
            lacking: HashMap::new(),
            skipped: false,
        }
    }

    /// Says whether some file has names that were not met.
    pub(super) fn lacks_names(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// Counts what is in a directory, not itself; absent is nothing.
    pub(super) fn below(
        &mut self,
        dir: &F::Handle,
        name: &str,
        rule: Rule,
    ) -> Result<(), StoreError> {
        self.inside(dir, name, rule, 0).map(drop)
    }

    /// Counts a name and what is below it; returns false when it is not there.
    pub(super) fn entry(
        &mut self,
        dir: &F::Handle,
        name: &str,
        rule: Rule,
    ) -> Result<bool, StoreError> {
        self.entry_at(dir, name, rule, 0)
    }

    fn entry_at(
        &mut self,
        dir: &F::Handle,
        name: &str,
        rule: Rule,
        depth: u32,
    ) -> Result<bool, StoreError> {
        let stat = match self.look(dir, name)? {
            Seen::There(stat) => stat,
            Seen::Gone => return Ok(false),
            Seen::Lost => return Ok(true),
        };
        let there = stat.kind != Kind::Directory || self.inside(dir, name, rule, depth + 1)?;
        if there {
            self.add(&stat, rule);
        }
        Ok(there)
    }

    /// Returns false when the directory is not there.
    fn inside(
        &mut self,
        dir: &F::Handle,
        name: &str,
        rule: Rule,
        depth: u32,
    ) -> Result<bool, StoreError> {
        if depth > DEPTH_MAX {
            return Err(Errno::NAMETOOLONG).at("look into", name);
        }
        let opened = self.fs.open(dir, name, Open::Directory);
        let listed = opened.and_then(|inner| Ok((self.fs.read_dir(&inner)?, inner)));
        let (names, inner) = match self.seen(listed, "list", name)? {
            Seen::There(listed) => listed,
            Seen::Gone => return Ok(false),
            Seen::Lost => return Ok(true),
        };
        for entry in names {
            self.entry_at(&inner, &entry.name, rule, depth)?;
        }
        Ok(true)
    }

    pub(super) fn look(&mut self, dir: &F::Handle, name: &str) -> Result<Seen<Stat>, StoreError> {
        let stat = self.fs.stat(dir, name);
        self.seen(stat, "look at", name)
    }

    fn seen<T>(
        &mut self,
        found: Result<T, Errno>,
        action: &'static str,
        name: &str,
    ) -> Result<Seen<T>, StoreError> {
        match found {
            Ok(found) => Ok(Seen::There(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Seen::Gone),
            Err(errno) if is_unreadable(errno) => {
                tracing::warn!(name, action, "not counted, for it cannot be read");
                self.skipped = true;
                Ok(Seen::Lost)
            }
            Err(errno) => Err(errno).at(action, name),
        }
    }

    pub(super) fn add(&mut self, stat: &Stat, rule: Rule) {
        let inode = (stat.device, stat.inode);
        let counts = if stat.kind == Kind::Directory {
            rule != Rule::Closing
        } else {
            match rule {
                Rule::Once => stat.links <= 1 || self.once.insert(inode),
                Rule::Sole => stat.links <= 1,
                Rule::Whole if stat.links <= 1 => true,
                Rule::Whole => {
                    let lacking = self.lacking.entry(inode).or_insert(stat.links);
                    *lacking = lacking.saturating_sub(1);
                    *lacking == 0
                }
                Rule::Closing => self.lacking.get_mut(&inode).is_some_and(|lacking| {
                    *lacking = lacking.saturating_sub(1);
                    *lacking == 0
                }),
            }
        };
        if counts {
            self.lacking.remove(&inode);
            self.bytes = self.bytes.saturating_add(stat.allocated);
        }
    }
}
