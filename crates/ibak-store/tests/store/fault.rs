//! A file system that fails, or dies, at a chosen operation.

use ibak_store::fs::{Errno, Fs, Name, Open, RealFs, Replace, RootError, Stat, Volume};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Only count.
    None,
    /// Operation N fails.
    Once(Errno),
    /// Operation N and all after it fail.
    From(Errno),
    /// The process dies before operation N.
    CrashBefore,
    /// The process dies after operation N.
    CrashAfter,
}

#[derive(Clone)]
pub struct FaultFs {
    real: RealFs,
    fault: Fault,
    at: u64,
    count: Arc<AtomicU64>,
    gate: Arc<Mutex<Option<Gate>>>,
    syncs: Arc<Syncs>,
    /// Whether `sync_fs` is said to suffice.
    pub trusts_sync_fs: bool,
    /// Whether syncing does anything.
    pub syncs_for_real: bool,
}

/// Where an operation waits until it is told to go on.
struct Gate {
    at: u64,
    reached: Sender<()>,
    go_on: Receiver<()>,
}

/// How often what was synced.
#[derive(Debug, Default)]
pub struct Syncs {
    pub whole: AtomicU64,
    pub single: AtomicU64,
}

impl FaultFs {
    pub fn new(fault: Fault, at: u64) -> Self {
        Self {
            real: RealFs,
            fault,
            at,
            count: Arc::default(),
            gate: Arc::default(),
            syncs: Arc::default(),
            trusts_sync_fs: true,
            syncs_for_real: true,
        }
    }

    pub fn operations(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// How often the whole file system and single files or directories were synced.
    #[allow(
        dead_code,
        reason = "the power tests, a program of their own, ask for it"
    )]
    pub fn syncs(&self) -> (u64, u64) {
        (
            self.syncs.whole.load(Ordering::SeqCst),
            self.syncs.single.load(Ordering::SeqCst),
        )
    }

    /// Lets one operation wait: it is heard of by the first, and goes on with the second.
    #[allow(
        dead_code,
        reason = "the power tests, a program of their own, need it not"
    )]
    pub fn stop_at(&self, at: u64) -> (Receiver<()>, Sender<()>) {
        let (reached, hear) = channel();
        let (tell, go_on) = channel();
        *self.gate.lock().unwrap() = Some(Gate { at, reached, go_on });
        (hear, tell)
    }

    fn step<T>(&self, run: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap().take_if(|gate| gate.at == number);
        if let Some(gate) = gate {
            gate.reached.send(()).unwrap();
            gate.go_on.recv().unwrap();
        }
        let dead = Err(Errno::IO);
        match self.fault {
            Fault::None => run(),
            Fault::Once(errno) if number == self.at => Err(errno),
            Fault::From(errno) if number >= self.at => Err(errno),
            Fault::CrashBefore if number >= self.at => dead,
            Fault::CrashAfter if number == self.at => {
                drop(run());
                dead
            }
            Fault::CrashAfter if number > self.at => dead,
            Fault::Once(_) | Fault::From(_) | Fault::CrashBefore | Fault::CrashAfter => run(),
        }
    }
}

type Handle = <RealFs as Fs>::Handle;

impl Fs for FaultFs {
    type Handle = Handle;
    fn open_root(&self, path: &Path, create: bool) -> Result<Handle, RootError> {
        self.step(|| Ok(()))
            .map_err(|errno| RootError::Errno(path.to_owned(), errno))
            .and_then(|()| self.real.open_root(path, create))
    }
    fn root_device(&self) -> Result<u64, Errno> {
        self.step(|| self.real.root_device())
    }
    fn user(&self) -> u32 {
        self.real.user()
    }
    fn open(&self, dir: &Handle, path: &str, how: Open) -> Result<Handle, Errno> {
        self.step(|| self.real.open(dir, path, how))
    }
    fn make_dir(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        self.step(|| self.real.make_dir(dir, name))
    }
    fn link(&self, from: &Handle, name: &str, to: &Handle, new: &str) -> Result<(), Errno> {
        self.step(|| self.real.link(from, name, to, new))
    }
    fn rename(
        &self,
        from: &Handle,
        name: &str,
        to: &Handle,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno> {
        self.step(|| self.real.rename(from, name, to, new, replace))
    }
    fn symlink(&self, target: &str, dir: &Handle, name: &str) -> Result<(), Errno> {
        self.step(|| self.real.symlink(target, dir, name))
    }
    fn read_link(&self, dir: &Handle, name: &str) -> Result<String, Errno> {
        self.step(|| self.real.read_link(dir, name))
    }
    fn unlink(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        self.step(|| self.real.unlink(dir, name))
    }
    fn remove_dir(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        self.step(|| self.real.remove_dir(dir, name))
    }
    fn stat(&self, dir: &Handle, name: &str) -> Result<Stat, Errno> {
        self.step(|| self.real.stat(dir, name))
    }
    fn stat_handle(&self, handle: &Handle) -> Result<Stat, Errno> {
        self.step(|| self.real.stat_handle(handle))
    }
    fn read_dir(&self, dir: &Handle) -> Result<Vec<Name>, Errno> {
        self.step(|| self.real.read_dir(dir))
    }
    fn read(&self, file: &Handle, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.step(|| self.real.read(file, buffer))
    }
    fn read_at(&self, file: &Handle, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        // Short, as a signal would make it.
        let half = buffer.len().div_ceil(2);
        self.step(|| self.real.read_at(file, &mut buffer[..half], at))
    }
    fn write(&self, file: &Handle, block: &[u8]) -> Result<usize, Errno> {
        // Always short: nobody may take one call for the whole.
        let half = block.len().div_ceil(2);
        self.step(|| self.real.write(file, &block[..half]))
    }
    fn copy_range(&self, from: &Handle, to: &Handle, length: usize) -> Result<usize, Errno> {
        self.step(|| self.real.copy_range(from, to, length))
    }
    fn set_mode(&self, file: &Handle, mode: u32) -> Result<(), Errno> {
        self.step(|| self.real.set_mode(file, mode))
    }
    fn set_modified(&self, file: &Handle, modified: SystemTime) -> Result<(), Errno> {
        self.step(|| self.real.set_modified(file, modified))
    }
    fn sync(&self, handle: &Handle) -> Result<(), Errno> {
        self.syncs.single.fetch_add(1, Ordering::SeqCst);
        self.step(|| {
            if self.syncs_for_real {
                self.real.sync(handle)
            } else {
                Ok(())
            }
        })
    }
    fn sync_fs(&self, dir: &Handle) -> Result<(), Errno> {
        self.syncs.whole.fetch_add(1, Ordering::SeqCst);
        self.step(|| {
            if self.syncs_for_real {
                self.real.sync_fs(dir)
            } else {
                Ok(())
            }
        })
    }
    fn close(&self, file: Handle) -> Result<(), Errno> {
        self.step(|| self.real.close(file))
    }
    fn volume(&self, dir: &Handle) -> Result<Volume, Errno> {
        let known = self.step(|| self.real.volume(dir))?;
        Ok(Volume {
            trusts_sync_fs: self.trusts_sync_fs,
            ..known
        })
    }
    fn try_lock(&self, file: &Handle) -> Result<bool, Errno> {
        self.step(|| self.real.try_lock(file))
    }
    fn path_of(&self, file: &Handle) -> Result<PathBuf, Errno> {
        self.step(|| self.real.path_of(file))
    }
}
