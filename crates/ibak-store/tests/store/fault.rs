//! Any file system, but one that fails, or dies, at a chosen operation.

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
    /// From operation N on reading works and changing does not, as on a disk that the kernel made
    /// read-only; where it is only full, removing works too.
    Unchanging(Errno),
}

/// A file system that may stand beneath.
pub trait Under: Fs {
    /// Hears that a sync of a file, or of everything, failed: what waited to be written is lost,
    /// and no later sync writes it.
    fn lose(&self, _: Option<&Self::Handle>) {}
}

impl Under for RealFs {}

#[derive(Clone)]
pub struct FaultFs<F: Under = RealFs> {
    under: F,
    fault: Fault,
    at: u64,
    count: Arc<AtomicU64>,
    gate: Arc<Mutex<Option<Gate>>>,
    syncs: Arc<Syncs>,
    sick: Arc<Mutex<Sick>>,
    /// Whether `sync_fs` is said to suffice.
    pub trusts_sync_fs: bool,
    /// Whether syncing everything does anything.
    pub syncs_all: bool,
    /// Whether syncing a file or directory does anything.
    pub syncs_each: bool,
}

/// Where an operation waits until it is told to go on.
struct Gate {
    at: u64,
    reached: Sender<()>,
    go_on: Receiver<()>,
}

/// What fails for as long as it is said to.
#[derive(Default)]
struct Sick {
    /// The path or name that cannot be opened or looked at.
    path: Option<String>,
    /// How many syncs succeed before one fails.
    syncs: Option<u64>,
}

/// How often what was synced.
#[derive(Debug, Default)]
pub struct Syncs {
    pub whole: AtomicU64,
    pub single: AtomicU64,
}

impl FaultFs {
    pub fn new(fault: Fault, at: u64) -> Self {
        Self::on(RealFs, fault, at)
    }
}

impl<F: Under> FaultFs<F> {
    pub fn on(under: F, fault: Fault, at: u64) -> Self {
        Self {
            under,
            fault,
            at,
            count: Arc::default(),
            gate: Arc::default(),
            syncs: Arc::default(),
            sick: Arc::default(),
            trusts_sync_fs: true,
            syncs_all: true,
            syncs_each: true,
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

    /// Lets a path be where a bad block is, for as long as it is said to be.
    #[allow(dead_code, reason = "the other programs need it not")]
    pub fn spoil(&self, path: Option<&str>) {
        self.sick.lock().unwrap().path = path.map(str::to_owned);
    }

    /// Lets one sync fail, after so many that do not.
    #[allow(dead_code, reason = "the other programs need it not")]
    pub fn fail_a_sync(&self, after: u64) {
        self.sick.lock().unwrap().syncs = Some(after);
    }

    fn is_sick(&self, path: &str) -> bool {
        self.sick.lock().unwrap().path.as_deref() == Some(path)
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
        self.step_of(Does::Looks, run)
    }

    /// As `step`, for what changes something.
    fn change<T>(&self, run: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        self.step_of(Does::Grows, run)
    }

    /// As `step`, for what takes something away.
    fn shrink<T>(&self, run: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        self.step_of(Does::Shrinks, run)
    }

    fn step_of<T>(&self, does: Does, run: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
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
            Fault::Unchanging(errno) if number >= self.at && does.is_stopped_by(errno) => {
                Err(errno)
            }
            Fault::CrashBefore if number >= self.at => dead,
            Fault::CrashAfter if number == self.at => {
                drop(run());
                dead
            }
            Fault::CrashAfter if number > self.at => dead,
            Fault::Once(_)
            | Fault::From(_)
            | Fault::Unchanging(_)
            | Fault::CrashBefore
            | Fault::CrashAfter => run(),
        }
    }

    /// Does or leaves a sync; one that failed has lost what it should have written.
    fn synced(
        &self,
        handle: Option<&F::Handle>,
        run: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let fails = {
            let mut sick = self.sick.lock().unwrap();
            let fails = sick.syncs == Some(0);
            sick.syncs = sick.syncs.and_then(|left| left.checked_sub(1));
            fails
        };
        let outcome = if fails {
            Err(Errno::IO)
        } else {
            self.step(run)
        };
        if outcome.is_err() {
            self.under.lose(handle);
        }
        outcome
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Looks,
    Grows,
    Shrinks,
}

impl Does {
    fn is_stopped_by(self, errno: Errno) -> bool {
        match self {
            Self::Looks => false,
            Self::Grows => true,
            Self::Shrinks => errno == Errno::ROFS,
        }
    }
}

impl<F: Under> Fs for FaultFs<F> {
    type Handle = F::Handle;
    fn open_root(&self, path: &Path, create: bool) -> Result<F::Handle, RootError> {
        self.step(|| Ok(()))
            .map_err(|errno| RootError::Errno(path.to_owned(), errno))
            .and_then(|()| self.under.open_root(path, create))
    }
    fn root_device(&self) -> Result<u64, Errno> {
        self.step(|| self.under.root_device())
    }
    fn user(&self) -> u32 {
        self.under.user()
    }
    fn open(&self, dir: &F::Handle, path: &str, how: Open) -> Result<F::Handle, Errno> {
        let does = match how {
            Open::Directory | Open::Read => Does::Looks,
            Open::CreateNew | Open::Append | Open::Lock => Does::Grows,
        };
        if self.is_sick(path) {
            return Err(Errno::IO);
        }
        self.step_of(does, || self.under.open(dir, path, how))
    }
    fn make_dir(&self, dir: &F::Handle, name: &str) -> Result<(), Errno> {
        self.change(|| self.under.make_dir(dir, name))
    }
    fn link(&self, from: &F::Handle, name: &str, to: &F::Handle, new: &str) -> Result<(), Errno> {
        self.change(|| self.under.link(from, name, to, new))
    }
    fn rename(
        &self,
        from: &F::Handle,
        name: &str,
        to: &F::Handle,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno> {
        self.change(|| self.under.rename(from, name, to, new, replace))
    }
    fn symlink(&self, target: &str, dir: &F::Handle, name: &str) -> Result<(), Errno> {
        self.change(|| self.under.symlink(target, dir, name))
    }
    fn read_link(&self, dir: &F::Handle, name: &str) -> Result<String, Errno> {
        self.step(|| self.under.read_link(dir, name))
    }
    fn unlink(&self, dir: &F::Handle, name: &str) -> Result<(), Errno> {
        self.shrink(|| self.under.unlink(dir, name))
    }
    fn remove_dir(&self, dir: &F::Handle, name: &str) -> Result<(), Errno> {
        self.shrink(|| self.under.remove_dir(dir, name))
    }
    fn stat(&self, dir: &F::Handle, name: &str) -> Result<Stat, Errno> {
        self.step(|| self.under.stat(dir, name))
    }
    fn stat_handle(&self, handle: &F::Handle) -> Result<Stat, Errno> {
        self.step(|| self.under.stat_handle(handle))
    }
    fn read_dir(&self, dir: &F::Handle) -> Result<Vec<Name>, Errno> {
        self.step(|| self.under.read_dir(dir))
    }
    fn read(&self, file: &F::Handle, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.step(|| self.under.read(file, buffer))
    }
    fn read_at(&self, file: &F::Handle, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        // Short, as a signal would make it.
        let half = buffer.len().div_ceil(2);
        self.step(|| self.under.read_at(file, &mut buffer[..half], at))
    }
    fn write(&self, file: &F::Handle, block: &[u8]) -> Result<usize, Errno> {
        // Always short: nobody may take one call for the whole.
        let half = block.len().div_ceil(2);
        self.change(|| self.under.write(file, &block[..half]))
    }
    fn copy_range(&self, from: &F::Handle, to: &F::Handle, length: usize) -> Result<usize, Errno> {
        // Short here too, for whatever has more than a page.
        self.change(|| self.under.copy_range(from, to, length.min(5000)))
    }
    fn set_mode(&self, file: &F::Handle, mode: u32) -> Result<(), Errno> {
        self.change(|| self.under.set_mode(file, mode))
    }
    fn set_modified(&self, file: &F::Handle, modified: SystemTime) -> Result<(), Errno> {
        self.change(|| self.under.set_modified(file, modified))
    }
    fn sync(&self, handle: &F::Handle) -> Result<(), Errno> {
        self.syncs.single.fetch_add(1, Ordering::SeqCst);
        self.synced(Some(handle), || {
            if self.syncs_each {
                self.under.sync(handle)
            } else {
                Ok(())
            }
        })
    }
    fn sync_fs(&self, dir: &F::Handle) -> Result<(), Errno> {
        self.syncs.whole.fetch_add(1, Ordering::SeqCst);
        self.synced(None, || {
            if self.syncs_all {
                self.under.sync_fs(dir)
            } else {
                Ok(())
            }
        })
    }
    fn close(&self, file: F::Handle) -> Result<(), Errno> {
        self.step(|| self.under.close(file))
    }
    fn volume(&self, dir: &F::Handle) -> Result<Volume, Errno> {
        let known = self.step(|| self.under.volume(dir))?;
        Ok(Volume {
            trusts_sync_fs: known.trusts_sync_fs && self.trusts_sync_fs,
            ..known
        })
    }
    fn try_lock(&self, file: &F::Handle) -> Result<bool, Errno> {
        self.step(|| self.under.try_lock(file))
    }
    fn path_of(&self, file: &F::Handle) -> Result<PathBuf, Errno> {
        self.step(|| self.under.path_of(file))
    }
}
