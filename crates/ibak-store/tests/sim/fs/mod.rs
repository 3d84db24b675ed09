//! SimFs: a file system in memory that keeps apart what programs see and what a disk has.
//!
//! Programs see [`Disk`] as it is; what a power cut leaves of it is made up from the journal of
//! every operation since [`SimFs::record`], see [`journal`]. Whether it answers as the kernel
//! does is not taken on trust: `agree.rs` does the same to both. It has a capacity, a quota, a
//! limit of names per file, can turn read-only, and asks for permission as the kernel does of an
//! ordinary user. Errors are injected above it, by `FaultFs`.

pub mod disk;
pub mod journal;
mod names;
mod verbs;

use crate::fault::Under;
use disk::{BLOCK, Body, Bytes, Disk, Ino, Node, ROOT};
use ibak_store::fs::Errno;
use journal::{Journal, Moment, Op, Record};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What may be done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Append,
    ReadWrite,
}

/// The rules of a simulated file system.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub capacity_blocks: u64,
    /// EDQUOT above this.
    pub quota_blocks: u64,
    pub read_only: bool,
    /// Most names of a file.
    pub names_max: u64,
    pub user: u32,
    pub trusts_sync_fs: bool,
}

impl Rules {
    pub const USUAL: Self = Self {
        capacity_blocks: 1 << 20,
        quota_blocks: u64::MAX,
        read_only: false,
        names_max: 65_000,
        // Whoever is asked for permission, which root is not.
        user: 1000,
        trusts_sync_fs: true,
    };
}

#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

struct State {
    disk: Disk,
    used_blocks: u64,
    rules: Rules,
    /// How many handles each inode has.
    open: HashMap<Ino, u64>,
    /// Which handle holds the lock of an inode.
    locks: HashMap<Ino, u64>,
    handles: u64,
    clock: u64,
    journal: Option<Journal>,
}

pub struct Handle {
    state: Arc<Mutex<State>>,
    ino: Ino,
    number: u64,
    access: Access,
    position: AtomicU64,
    /// Where its content was put for a library that insists on a path.
    spilled: Mutex<Option<tempfile::NamedTempFile>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap();
        if state.locks.get(&self.ino) == Some(&self.number) {
            state.locks.remove(&self.ino);
        }
        if let Some(count) = state.open.get_mut(&self.ino) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.ino);
            }
        }
        state.forget_if_unused(self.ino);
    }
}

impl SimFs {
    pub fn new(disk: Disk, rules: Rules) -> Self {
        let state = State {
            used_blocks: disk.blocks(),
            disk,
            rules,
            open: HashMap::new(),
            locks: HashMap::new(),
            handles: 0,
            clock: 1_790_000_000_000_000_000,
            journal: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn rule(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
    }

    pub fn used_blocks(&self) -> u64 {
        self.state().used_blocks
    }

    /// What programs see; a process that dies leaves just this.
    pub fn disk(&self) -> Disk {
        self.state().disk.clone()
    }

    /// From here on everything is noted; all that is there is durable.
    pub fn record(&self) {
        let mut state = self.state();
        state.journal = Some(Journal {
            base: state.disk.clone(),
            records: Vec::new(),
        });
    }

    /// How much was noted so far.
    pub fn noted(&self) -> usize {
        let state = self.state();
        state
            .journal
            .as_ref()
            .map_or(0, |journal| journal.records.len())
    }

    pub fn journal(&self) -> Journal {
        self.state().journal.clone().unwrap()
    }

    /// What a power cut leaves at the least: only what was synced.
    pub fn durable(&self) -> Disk {
        let journal = self.journal();
        Moment::last(&journal).durable
    }

    fn handle(&self, state: &mut State, ino: Ino, access: Access) -> Handle {
        state.handles += 1;
        *state.open.entry(ino).or_default() += 1;
        Handle {
            state: Arc::clone(&self.state),
            ino,
            number: state.handles,
            access,
            position: AtomicU64::new(0),
            spilled: Mutex::new(None),
        }
    }
}

impl Under for SimFs {
    fn lose(&self, handle: Option<&Handle>) {
        self.state().note(match handle {
            Some(handle) => Record::Lost(handle.ino),
            None => Record::LostAll,
        });
    }
}

impl Handle {
    fn position(&self) -> usize {
        usize::try_from(self.position.load(Ordering::SeqCst)).unwrap()
    }

    fn set_position(&self, position: usize) {
        self.position.store(position as u64, Ordering::SeqCst);
    }

    fn may_read(&self) -> Result<(), Errno> {
        match self.access {
            Access::Read | Access::ReadWrite => Ok(()),
            Access::Write | Access::Append => Err(Errno::BADF),
        }
    }

    fn may_write(&self) -> Result<(), Errno> {
        match self.access {
            Access::Write | Access::Append | Access::ReadWrite => Ok(()),
            Access::Read => Err(Errno::BADF),
        }
    }

    fn spill(&self, bytes: &[u8]) -> Result<PathBuf, Errno> {
        let file = crate::device::scratch_file(bytes);
        let path = file.path().to_owned();
        *self.spilled.lock().unwrap() = Some(file);
        Ok(path)
    }
}

impl State {
    fn note(&mut self, record: Record) {
        if let Some(journal) = &mut self.journal {
            journal.records.push(record);
        }
    }

    /// Does an operation and notes it.
    fn perform(&mut self, op: Op) {
        assert!(op.apply(&mut self.disk), "{op:?}");
        self.note(Record::Op(op));
    }

    fn now(&mut self) -> u64 {
        self.clock += 1_000_000;
        self.clock
    }

    fn born(&mut self, body: Body, mode: u32) -> Result<Ino, Errno> {
        let now = self.now();
        let node = Node::new(body, mode, now);
        self.take_room(node.blocks())?;
        let reuse = self.journal.is_none();
        let ino = self.disk.add(node.clone(), reuse);
        self.note(Record::Born(ino, node));
        Ok(ino)
    }

    fn forget_if_unused(&mut self, ino: Ino) {
        if ino != ROOT && self.disk.node(ino).names == 0 && !self.open.contains_key(&ino) {
            self.used_blocks -= self.disk.node(ino).blocks();
            self.disk.remove(ino);
        }
    }

    fn room(&self) -> Result<u64, Errno> {
        let disk = self.rules.capacity_blocks.saturating_sub(self.used_blocks);
        let quota = self.rules.quota_blocks.saturating_sub(self.used_blocks);
        match (disk, quota) {
            (0, _) => Err(Errno::NOSPC),
            (_, 0) => Err(Errno::DQUOT),
            (disk, quota) => Ok(disk.min(quota)),
        }
    }

    fn take_room(&mut self, blocks: u64) -> Result<(), Errno> {
        if blocks > 0 {
            self.room()?;
            self.used_blocks += blocks;
        }
        Ok(())
    }

    fn may_change(&self) -> Result<(), Errno> {
        if self.rules.read_only {
            Err(Errno::ROFS)
        } else {
            Ok(())
        }
    }

    fn permits(&self, ino: Ino, bits: u32) -> Result<(), Errno> {
        let mode = self.disk.node(ino).mode;
        if self.rules.user == 0 || mode & bits == bits {
            Ok(())
        } else {
            Err(Errno::ACCESS)
        }
    }

    /// Names in a directory can be changed: it is one, is not removed, and is ours.
    fn may_enter(&self, dir: Ino) -> Result<(), Errno> {
        self.disk.node(dir).entries()?;
        if self.disk.node(dir).names == 0 {
            return Err(Errno::NOENT);
        }
        self.permits(dir, 0o300)?;
        self.may_change()
    }

    /// Writes as much as there is room for, as one call does.
    fn write(&mut self, ino: Ino, at: usize, bytes: &[u8]) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.may_change()?;
        let size = self.disk.node(ino).size;
        let have = size.div_ceil(BLOCK);
        let wanted = (at + bytes.len()).div_ceil(BLOCK);
        let mut end = at + bytes.len();
        if wanted > have {
            let room = match self.room() {
                Ok(room) => usize::try_from(room).unwrap_or(usize::MAX),
                Err(errno) if at >= have * BLOCK => return Err(errno),
                Err(_) => 0,
            };
            end = end.min(have.saturating_add(room).saturating_mul(BLOCK));
        }
        let bytes = &bytes[..end - at];
        let blocks = end.div_ceil(BLOCK).saturating_sub(have) as u64;
        self.used_blocks += blocks;
        self.disk.write(ino, at, bytes);
        let now = self.now();
        let node = self.disk.node_mut(ino);
        node.size = size.max(end);
        node.modified = now;
        if let Some(journal) = &mut self.journal {
            journal.write(ino, at, bytes);
        }
        self.note(Record::Op(Op::Size {
            ino,
            size: size.max(end),
            modified: now,
        }));
        Ok(bytes.len())
    }

    fn content(&self, ino: Ino) -> Result<&Arc<Bytes>, Errno> {
        match &self.disk.node(ino).body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Errno::ISDIR),
            Body::Symlink(_) => Err(Errno::INVAL),
        }
    }
}
