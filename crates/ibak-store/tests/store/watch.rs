//! A file system that counts what is read of each file, and fails for chosen ones.

use ibak_store::fs::{Errno, Fs, Name, Open, RealFs, Replace, RootError, Stat, Volume};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// Device and inode.
pub type Inode = (u64, u64);
type Handle = <RealFs as Fs>::Handle;

#[derive(Clone, Default)]
pub struct WatchFs {
    watch: Arc<Mutex<Watch>>,
}

#[derive(Default)]
struct Watch {
    read: BTreeMap<Inode, u64>,
    copied: u64,
    failing: BTreeMap<Inode, Errno>,
    barred: BTreeMap<Inode, Errno>,
}

impl WatchFs {
    /// Bytes read of each file since the last call.
    pub fn take_read(&self) -> BTreeMap<Inode, u64> {
        std::mem::take(&mut self.watch.lock().unwrap().read)
    }

    /// Bytes copied inside the kernel.
    pub fn copied(&self) -> u64 {
        self.watch.lock().unwrap().copied
    }

    /// Lets each reading of a file fail, or no longer.
    pub fn fail(&self, inode: Inode, errno: Option<Errno>) {
        let failing = &mut self.watch.lock().unwrap().failing;
        match errno {
            Some(errno) => failing.insert(inode, errno),
            None => failing.remove(&inode),
        };
    }

    /// Lets a file or directory not even be opened, or again.
    pub fn bar(&self, inode: Inode, errno: Option<Errno>) {
        let barred = &mut self.watch.lock().unwrap().barred;
        match errno {
            Some(errno) => barred.insert(inode, errno),
            None => barred.remove(&inode),
        };
    }

    fn of(&self, handle: &Handle) -> Result<Inode, Errno> {
        let stat = RealFs.stat_handle(handle)?;
        Ok((stat.device, stat.inode))
    }

    fn reads(&self, handle: &Handle, some: usize) -> Result<usize, Errno> {
        let inode = self.of(handle)?;
        let mut watch = self.watch.lock().unwrap();
        *watch.read.entry(inode).or_default() += some as u64;
        Ok(some)
    }

    fn check(&self, handle: &Handle) -> Result<(), Errno> {
        let inode = self.of(handle)?;
        match self.watch.lock().unwrap().failing.get(&inode) {
            Some(errno) => Err(*errno),
            None => Ok(()),
        }
    }
}

impl Fs for WatchFs {
    type Handle = Handle;
    fn open_root(&self, path: &Path, create: bool) -> Result<Handle, RootError> {
        RealFs.open_root(path, create)
    }
    fn root_device(&self) -> Result<u64, Errno> {
        RealFs.root_device()
    }
    fn user(&self) -> u32 {
        RealFs.user()
    }
    fn open(&self, dir: &Handle, path: &str, how: Open) -> Result<Handle, Errno> {
        let opened = RealFs.open(dir, path, how)?;
        let inode = self.of(&opened)?;
        match self.watch.lock().unwrap().barred.get(&inode) {
            Some(errno) => Err(*errno),
            None => Ok(opened),
        }
    }
    fn make_dir(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        RealFs.make_dir(dir, name)
    }
    fn link(&self, from: &Handle, name: &str, to: &Handle, new: &str) -> Result<(), Errno> {
        RealFs.link(from, name, to, new)
    }
    fn rename(
        &self,
        from: &Handle,
        name: &str,
        to: &Handle,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno> {
        RealFs.rename(from, name, to, new, replace)
    }
    fn symlink(&self, target: &str, dir: &Handle, name: &str) -> Result<(), Errno> {
        RealFs.symlink(target, dir, name)
    }
    fn read_link(&self, dir: &Handle, name: &str) -> Result<String, Errno> {
        RealFs.read_link(dir, name)
    }
    fn unlink(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        RealFs.unlink(dir, name)
    }
    fn remove_dir(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        RealFs.remove_dir(dir, name)
    }
    fn stat(&self, dir: &Handle, name: &str) -> Result<Stat, Errno> {
        RealFs.stat(dir, name)
    }
    fn stat_handle(&self, handle: &Handle) -> Result<Stat, Errno> {
        RealFs.stat_handle(handle)
    }
    fn read_dir(&self, dir: &Handle) -> Result<Vec<Name>, Errno> {
        self.check(dir)?;
        RealFs.read_dir(dir)
    }
    fn read(&self, file: &Handle, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.check(file)?;
        RealFs
            .read(file, buffer)
            .and_then(|some| self.reads(file, some))
    }
    fn read_at(&self, file: &Handle, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        self.check(file)?;
        RealFs
            .read_at(file, buffer, at)
            .and_then(|some| self.reads(file, some))
    }
    fn write(&self, file: &Handle, block: &[u8]) -> Result<usize, Errno> {
        RealFs.write(file, block)
    }
    fn copy_range(&self, from: &Handle, to: &Handle, length: usize) -> Result<usize, Errno> {
        self.check(from)?;
        let some = RealFs.copy_range(from, to, length)?;
        self.watch.lock().unwrap().copied += some as u64;
        Ok(some)
    }
    fn set_mode(&self, file: &Handle, mode: u32) -> Result<(), Errno> {
        RealFs.set_mode(file, mode)
    }
    fn set_modified(&self, file: &Handle, modified: SystemTime) -> Result<(), Errno> {
        RealFs.set_modified(file, modified)
    }
    fn sync(&self, handle: &Handle) -> Result<(), Errno> {
        RealFs.sync(handle)
    }
    fn sync_fs(&self, dir: &Handle) -> Result<(), Errno> {
        RealFs.sync_fs(dir)
    }
    fn close(&self, file: Handle) -> Result<(), Errno> {
        RealFs.close(file)
    }
    fn volume(&self, dir: &Handle) -> Result<Volume, Errno> {
        RealFs.volume(dir)
    }
    fn try_lock(&self, file: &Handle) -> Result<bool, Errno> {
        RealFs.try_lock(file)
    }
    fn path_of(&self, file: &Handle) -> Result<PathBuf, Errno> {
        RealFs.path_of(file)
    }
}
