//! What happened to a disk, in order, and what of it a crash leaves.
//!
//! An operation is durable once its file or directory, or the whole file system, was synced, and
//! not before; whatever is not durable may persist or not, each on its own. `sync` of a file
//! makes its bytes, size and mode durable, none of its names; `sync` of a directory makes the
//! names in it durable, neither the directories above it nor what the names lead to. That is
//! less than ext4, xfs and btrfs do (their journals commit in order, so that a crash there leaves
//! a prefix, and an fsync there takes more with it), and is all that POSIX promises.
//!
//! Three things are taken from them, for nothing could be built without: a rename is one
//! operation, so that a crash leaves the old or the new name and never none or both; what an
//! operation builds on is durable no later than it (a name in a directory that has not been
//! made, a rename of a name that has not been given); and a block of 4 KiB is written whole or
//! not at all. A size that persists without its blocks shows zeroes or what lay there before.

use super::disk::{BLOCK, Disk, Ino, Node};
use std::sync::Arc;

/// One thing that a crash leaves done or not done.
#[derive(Clone, Debug)]
pub enum Op {
    Enter {
        dir: Ino,
        name: Arc<str>,
        ino: Ino,
    },
    Leave {
        dir: Ino,
        name: Arc<str>,
        ino: Ino,
    },
    Move {
        from: Ino,
        name: Arc<str>,
        to: Ino,
        new: Arc<str>,
        ino: Ino,
        replaced: Option<Ino>,
    },
    /// Bytes within one block.
    Write {
        ino: Ino,
        at: usize,
        bytes: Block,
    },
    Size {
        ino: Ino,
        size: usize,
        modified: u64,
    },
    Mode {
        ino: Ino,
        mode: u32,
    },
    Time {
        ino: Ino,
        modified: u64,
    },
}

/// Bytes that nobody wants to see in a report.
#[derive(Clone)]
pub struct Block(Arc<[u8]>);

impl std::fmt::Debug for Block {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

#[derive(Clone, Debug)]
pub enum Record {
    /// An inode that no name leads to yet.
    Born(Ino, Node),
    Op(Op),
    Sync(Ino),
    SyncAll,
    /// A sync failed: the kernel takes these bytes for written, and they are not.
    Lost(Ino),
    LostAll,
}

/// Everything since a moment at which all was durable.
#[derive(Clone, Debug)]
pub struct Journal {
    pub base: Disk,
    pub records: Vec<Record>,
}

impl Journal {
    pub fn write(&mut self, ino: Ino, at: usize, bytes: &[u8]) {
        let mut from = 0;
        while from < bytes.len() {
            let room = BLOCK - (at + from) % BLOCK;
            let part = &bytes[from..bytes.len().min(from + room)];
            self.records.push(Record::Op(Op::Write {
                ino,
                at: at + from,
                bytes: Block(part.into()),
            }));
            from += part.len();
        }
    }
}

impl Op {
    pub fn is_name(&self) -> bool {
        matches!(
            self,
            Self::Enter { .. } | Self::Leave { .. } | Self::Move { .. }
        )
    }

    pub fn is_write(&self) -> bool {
        matches!(self, Self::Write { .. })
    }

    /// The names it changes.
    fn names(&self) -> Vec<(Ino, &Arc<str>)> {
        match self {
            Self::Enter { dir, name, .. } | Self::Leave { dir, name, .. } => vec![(*dir, name)],
            Self::Move {
                from,
                name,
                to,
                new,
                ..
            } => vec![(*from, name), (*to, new)],
            Self::Write { .. } | Self::Size { .. } | Self::Mode { .. } | Self::Time { .. } => {
                Vec::new()
            }
        }
    }

    /// The directory that has to be empty for it, if it is one.
    fn emptied(&self) -> Option<Ino> {
        match self {
            Self::Leave { ino, .. } => Some(*ino),
            Self::Move { replaced, .. } => *replaced,
            Self::Enter { .. }
            | Self::Write { .. }
            | Self::Size { .. }
            | Self::Mode { .. }
            | Self::Time { .. } => None,
        }
    }

    fn is_of(&self, inode: Ino) -> bool {
        match self {
            Self::Write { ino, .. }
            | Self::Size { ino, .. }
            | Self::Mode { ino, .. }
            | Self::Time { ino, .. } => *ino == inode,
            Self::Enter { .. } | Self::Leave { .. } | Self::Move { .. } => {
                self.names().iter().any(|(dir, _)| *dir == inode)
            }
        }
    }

    /// Does it to a disk; false when what it builds on is not there.
    pub fn apply(&self, disk: &mut Disk) -> bool {
        let gone = |disk: &Disk, ino: Ino| {
            let node = disk.node(ino);
            !node.is_directory() || node.is_empty_directory()
        };
        match self {
            Self::Enter { dir, name, ino } => {
                let node = disk.node(*ino);
                let fits =
                    disk.entry(*dir, name).is_none() && !(node.is_directory() && node.names > 0);
                if fits {
                    disk.enter(*dir, name, *ino);
                }
                fits
            }
            Self::Leave { dir, name, ino } => {
                let fits = disk.entry(*dir, name) == Some(*ino) && gone(disk, *ino);
                if fits {
                    disk.leave(*dir, name);
                }
                fits
            }
            Self::Move {
                from,
                name,
                to,
                new,
                ino,
                replaced,
            } => {
                let fits = disk.entry(*from, name) == Some(*ino)
                    && disk.entry(*to, new) == *replaced
                    && replaced.is_none_or(|replaced| gone(disk, replaced))
                    && !(disk.node(*ino).is_directory() && disk.is_below(*to, *ino));
                if fits {
                    disk.leave(*from, name);
                    disk.leave(*to, new);
                    disk.enter(*to, new, *ino);
                }
                fits
            }
            Self::Write { ino, at, bytes } => {
                disk.write(*ino, *at, &bytes.0);
                true
            }
            Self::Size {
                ino,
                size,
                modified,
            } => {
                let node = disk.node_mut(*ino);
                (node.size, node.modified) = (*size, *modified);
                true
            }
            Self::Time { ino, modified } => {
                disk.node_mut(*ino).modified = *modified;
                true
            }
            Self::Mode { ino, mode } => {
                disk.node_mut(*ino).mode = *mode;
                true
            }
        }
    }
}

/// What is durable and what is not, at one moment of a journal.
pub struct Moment<'a> {
    pub at: usize,
    records: &'a [Record],
    pub durable: Disk,
    pub pending: Vec<&'a Op>,
}

impl<'a> Moment<'a> {
    pub fn first(journal: &'a Journal) -> Self {
        Self {
            at: 0,
            records: &journal.records,
            durable: journal.base.clone(),
            pending: Vec::new(),
        }
    }

    pub fn last(journal: &'a Journal) -> Self {
        let mut moment = Self::first(journal);
        while moment.advance() {}
        moment
    }

    /// Goes on by one record; false at the end.
    pub fn advance(&mut self) -> bool {
        let Some(record) = self.records.get(self.at) else {
            return false;
        };
        self.at += 1;
        match record {
            Record::Born(ino, node) => self.durable.put(*ino, node.clone()),
            Record::Op(op) => self.pending.push(op),
            Record::SyncAll => {
                for op in std::mem::take(&mut self.pending) {
                    assert!(op.apply(&mut self.durable), "{op:?}");
                }
                self.durable.settle(0);
            }
            Record::Sync(ino) => {
                let mine = self.closure(*ino);
                let pending = std::mem::take(&mut self.pending);
                for (op, mine) in pending.into_iter().zip(mine) {
                    if mine {
                        assert!(op.apply(&mut self.durable), "{op:?}");
                    } else {
                        self.pending.push(op);
                    }
                }
                self.durable.settle(0);
            }
            Record::Lost(ino) => self.pending.retain(|op| !op.is_write() || !op.is_of(*ino)),
            Record::LostAll => self.pending.retain(|op| !op.is_write()),
        }
        true
    }

    /// Which operations a sync makes durable: those of the inode, and what they build on.
    fn closure(&self, inode: Ino) -> Vec<bool> {
        let mut names: Vec<(Ino, &Arc<str>)> = Vec::new();
        let mut emptied: Vec<Ino> = Vec::new();
        let mut mine = vec![false; self.pending.len()];
        for (place, op) in self.pending.iter().enumerate().rev() {
            let own = op.names();
            mine[place] = op.is_of(inode)
                || own
                    .iter()
                    .any(|name| names.contains(name) || emptied.contains(&name.0));
            if mine[place] {
                names.extend(own);
                emptied.extend(op.emptied());
            }
        }
        mine
    }

    /// Returns the disk after a crash that left just the operations that `keeps` chooses.
    pub fn crash(&self, fill: u8, mut keeps: impl FnMut(usize, &Op) -> bool) -> Disk {
        let mut disk = self.durable.clone();
        for (place, op) in self.pending.iter().enumerate() {
            if keeps(place, op) {
                op.apply(&mut disk);
            }
        }
        disk.settle(fill);
        disk
    }
}
