//! The verbs of [`Fs`], with the kernel's answers in the kernel's order.

use super::disk::{BLOCK, Body, Bytes, Ino, ROOT};
use super::journal::{Op, Record};
use super::names::{Last, short};
use super::{Access, Handle, SimFs};
use ibak_store::fs::{Errno, Fs, Name, Open, Replace, RootError, Stat, Volume};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

fn one(name: &str) -> Result<&str, Errno> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(Errno::INVAL);
    }
    Ok(name)
}

impl Fs for SimFs {
    type Handle = Handle;

    fn open_root(&self, path: &Path, create: bool) -> Result<Handle, RootError> {
        let mut state = self.state();
        let mut at = ROOT;
        let mut seen = PathBuf::from("/");
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let Component::Normal(name) = part else {
                continue;
            };
            seen.push(name);
            let name = name.to_str().unwrap();
            let errno = |errno| RootError::Errno(seen.clone(), errno);
            at = match state.found(at, name) {
                Ok(ino) => ino,
                Err(Errno::NOENT) if create && parts.peek().is_none() => {
                    let made = state.make_dir(at, name).map_err(errno)?;
                    state.note(Record::Sync(at));
                    made
                }
                Err(Errno::NOENT) => return Err(RootError::Absent(seen)),
                Err(other) => return Err(errno(other)),
            };
            state.disk.node(at).entries().map_err(errno)?;
        }
        Ok(self.handle(&mut state, at, Access::Read))
    }

    fn root_device(&self) -> Result<u64, Errno> {
        Ok(1)
    }

    fn user(&self) -> u32 {
        self.state().rules.user
    }

    fn open(&self, dir: &Handle, path: &str, how: Open) -> Result<Handle, Errno> {
        let mut state = self.state();
        let (ino, access) = match state.walk(dir.ino, path)? {
            Last::Itself(ino) => (ino, state.open_found(ino, how)?),
            Last::Name(at, name) => match state.disk.entry(at, name) {
                Some(ino) => (ino, state.open_found(ino, how)?),
                None => {
                    short(name)?;
                    state.create(at, name, how)?
                }
            },
        };
        Ok(self.handle(&mut state, ino, access))
    }

    fn make_dir(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        self.state().make_dir(dir.ino, one(name)?).map(drop)
    }

    fn link(&self, from: &Handle, name: &str, to: &Handle, new: &str) -> Result<(), Errno> {
        let mut state = self.state();
        let ino = state.found(from.ino, one(name)?)?;
        let new = one(new)?;
        if state.found(to.ino, new).map(drop) != Err(Errno::NOENT) {
            return state.found(to.ino, new).and(Err(Errno::EXIST));
        }
        state.may_enter(to.ino)?;
        if state.disk.node(ino).is_directory() {
            return Err(Errno::PERM);
        }
        if state.disk.node(ino).names >= state.rules.names_max {
            return Err(Errno::MLINK);
        }
        state.perform(Op::Enter {
            dir: to.ino,
            name: new.into(),
            ino,
        });
        Ok(())
    }

    fn rename(
        &self,
        from: &Handle,
        name: &str,
        to: &Handle,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno> {
        let (name, new) = (one(name)?, one(new)?);
        self.state().rename(from.ino, name, to.ino, new, replace)
    }

    fn symlink(&self, target: &str, dir: &Handle, name: &str) -> Result<(), Errno> {
        let mut state = self.state();
        let name = one(name)?;
        if state.found(dir.ino, name).map(drop) != Err(Errno::NOENT) {
            return state.found(dir.ino, name).and(Err(Errno::EXIST));
        }
        state.may_enter(dir.ino)?;
        let ino = state.born(Body::Symlink(target.into()), 0o777)?;
        state.perform(Op::Enter {
            dir: dir.ino,
            name: name.into(),
            ino,
        });
        Ok(())
    }

    fn read_link(&self, dir: &Handle, name: &str) -> Result<String, Errno> {
        let state = self.state();
        let ino = state.found(dir.ino, one(name)?)?;
        match &state.disk.node(ino).body {
            Body::Symlink(target) => Ok((**target).to_owned()),
            Body::File(_) | Body::Directory(_) => Err(Errno::INVAL),
        }
    }

    fn unlink(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        let mut state = self.state();
        let ino = state.found(dir.ino, one(name)?)?;
        state.may_leave(dir.ino)?;
        if state.disk.node(ino).is_directory() {
            return Err(Errno::ISDIR);
        }
        state.perform(Op::Leave {
            dir: dir.ino,
            name: name.into(),
            ino,
        });
        state.forget_if_unused(ino);
        Ok(())
    }

    fn remove_dir(&self, dir: &Handle, name: &str) -> Result<(), Errno> {
        let mut state = self.state();
        let ino = state.found(dir.ino, one(name)?)?;
        state.may_leave(dir.ino)?;
        if !state.disk.node(ino).is_directory() {
            return Err(Errno::NOTDIR);
        }
        if !state.disk.node(ino).is_empty_directory() {
            return Err(Errno::NOTEMPTY);
        }
        state.perform(Op::Leave {
            dir: dir.ino,
            name: name.into(),
            ino,
        });
        state.forget_if_unused(ino);
        Ok(())
    }

    fn stat(&self, dir: &Handle, name: &str) -> Result<Stat, Errno> {
        let state = self.state();
        let ino = state.found(dir.ino, one(name)?)?;
        Ok(state.stat(ino))
    }

    fn stat_handle(&self, handle: &Handle) -> Result<Stat, Errno> {
        Ok(self.state().stat(handle.ino))
    }

    fn read_dir(&self, dir: &Handle) -> Result<Vec<Name>, Errno> {
        let state = self.state();
        let entries = state.disk.node(dir.ino).entries()?;
        state.permits(dir.ino, 0o500)?;
        let named = |(name, ino): (&Arc<str>, &Ino)| Name {
            name: (**name).to_owned(),
            kind: state.disk.node(*ino).kind(),
        };
        Ok(entries.iter().map(named).collect())
    }

    fn read(&self, file: &Handle, buffer: &mut [u8]) -> Result<usize, Errno> {
        let some = self.read_at(file, buffer, file.position() as u64)?;
        file.set_position(file.position() + some);
        Ok(some)
    }

    fn read_at(&self, file: &Handle, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        file.may_read()?;
        let state = self.state();
        let bytes = &state.content(file.ino)?.bytes;
        let rest = usize::try_from(at)
            .ok()
            .and_then(|at| bytes.get(at..))
            .unwrap_or_default();
        let some = rest.len().min(buffer.len());
        buffer[..some].copy_from_slice(&rest[..some]);
        Ok(some)
    }

    fn write(&self, file: &Handle, block: &[u8]) -> Result<usize, Errno> {
        file.may_write()?;
        let mut state = self.state();
        let at = if file.access == Access::Append {
            state.disk.node(file.ino).size
        } else {
            file.position()
        };
        let some = state.write(file.ino, at, block)?;
        file.set_position(at + some);
        Ok(some)
    }

    fn copy_range(&self, from: &Handle, to: &Handle, length: usize) -> Result<usize, Errno> {
        let mut state = self.state();
        let source: Arc<Bytes> = Arc::clone(state.content(from.ino)?);
        state.content(to.ino)?;
        from.may_read()?;
        to.may_write()?;
        if to.access == Access::Append {
            return Err(Errno::BADF);
        }
        let (start, at) = (from.position(), to.position());
        let rest = source.bytes.get(start..).unwrap_or_default();
        let block = &rest[..rest.len().min(length)];
        if from.ino == to.ino && start < at + block.len() && at < start + block.len() {
            return Err(Errno::INVAL);
        }
        let some = state.write(to.ino, at, block)?;
        from.set_position(start + some);
        to.set_position(at + some);
        Ok(some)
    }

    fn set_mode(&self, file: &Handle, mode: u32) -> Result<(), Errno> {
        let mut state = self.state();
        state.may_change()?;
        state.perform(Op::Mode {
            ino: file.ino,
            mode,
        });
        Ok(())
    }

    fn set_modified(&self, file: &Handle, modified: SystemTime) -> Result<(), Errno> {
        let since = modified.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.map_err(|_| Errno::INVAL)?.as_nanos();
        let modified = u64::try_from(since).map_err(|_| Errno::INVAL)?;
        let mut state = self.state();
        state.may_change()?;
        state.perform(Op::Time {
            ino: file.ino,
            modified,
        });
        Ok(())
    }

    fn sync(&self, handle: &Handle) -> Result<(), Errno> {
        self.state().note(Record::Sync(handle.ino));
        Ok(())
    }

    fn sync_fs(&self, _: &Handle) -> Result<(), Errno> {
        let mut state = self.state();
        if state.rules.trusts_sync_fs {
            state.note(Record::SyncAll);
        }
        Ok(())
    }

    fn close(&self, file: Handle) -> Result<(), Errno> {
        drop(file);
        Ok(())
    }

    fn volume(&self, _: &Handle) -> Result<Volume, Errno> {
        let state = self.state();
        let left = state
            .rules
            .capacity_blocks
            .saturating_sub(state.used_blocks);
        Ok(Volume {
            available: left * BLOCK as u64,
            total: state.rules.capacity_blocks * BLOCK as u64,
            trusts_sync_fs: state.rules.trusts_sync_fs,
            read_only: state.rules.read_only,
        })
    }

    fn try_lock(&self, file: &Handle) -> Result<bool, Errno> {
        let mut state = self.state();
        let holder = *state.locks.entry(file.ino).or_insert(file.number);
        Ok(holder == file.number)
    }

    fn path_of(&self, file: &Handle) -> Result<PathBuf, Errno> {
        let content = Arc::clone(self.state().content(file.ino)?);
        file.spill(&content.bytes)
    }
}
