//! The verbs of [`Fs`], with the kernel's answers in the kernel's order.

use super::disk::{BLOCK, Body, Bytes, Ino, ROOT};
use super::journal::{Op, Record};
use super::{Access, Handle, SimFs, State};
use ibak_store::fs::{Errno, Fs, Kind, Name, Open, Replace, RootError, Stat, Volume};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const DEVICE: u64 = 0x51;

fn one(name: &str) -> Result<&str, Errno> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(Errno::INVAL);
    }
    Ok(name)
}

fn short(name: &str) -> Result<(), Errno> {
    if name.len() > 255 {
        Err(Errno::NAMETOOLONG)
    } else {
        Ok(())
    }
}

/// What the last component of a path is.
enum Last<'p> {
    /// The directory itself.
    Itself(Ino),
    Name(Ino, &'p str),
}

impl State {
    fn walk<'p>(&self, dir: Ino, path: &'p str) -> Result<Last<'p>, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.starts_with('/') {
            return Err(Errno::XDEV);
        }
        let mut above = vec![dir];
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let at = *above.last().unwrap_or(&dir);
            self.disk.node(at).entries()?;
            self.permits(at, 0o100)?;
            let last = parts.peek().is_none();
            match part {
                "." if last => return Ok(Last::Itself(at)),
                ".." if last => {
                    above.pop();
                    return above.last().map(|at| Last::Itself(*at)).ok_or(Errno::XDEV);
                }
                "." | "" => {}
                ".." => {
                    above.pop();
                    if above.is_empty() {
                        return Err(Errno::XDEV);
                    }
                }
                name if last => return Ok(Last::Name(at, name)),
                name => {
                    short(name)?;
                    let next = self.disk.entry(at, name).ok_or(Errno::NOENT)?;
                    if self.disk.node(next).kind() == Kind::Symlink {
                        return Err(Errno::LOOP);
                    }
                    above.push(next);
                }
            }
        }
        Ok(Last::Itself(*above.last().unwrap_or(&dir)))
    }

    fn found(&self, dir: Ino, name: &str) -> Result<Ino, Errno> {
        self.disk.node(dir).entries()?;
        self.permits(dir, 0o100)?;
        if self.disk.node(dir).names == 0 {
            return Err(Errno::NOENT);
        }
        short(name)?;
        self.disk.entry(dir, name).ok_or(Errno::NOENT)
    }

    fn stat(&self, ino: Ino) -> Stat {
        let node = self.disk.node(ino);
        Stat {
            kind: node.kind(),
            size: if node.is_directory() {
                BLOCK
            } else {
                node.size
            } as u64,
            allocated: node.blocks() * BLOCK as u64,
            links: if node.is_directory() {
                self.disk.directory_links(node)
            } else {
                node.names
            },
            inode: ino as u64,
            device: DEVICE,
            mode: node.mode,
            owner: self.rules.user,
            modified: SystemTime::UNIX_EPOCH + Duration::from_nanos(node.modified),
        }
    }

    fn open_found(&self, ino: Ino, how: Open) -> Result<Access, Errno> {
        let node = self.disk.node(ino);
        let kind = node.kind();
        let access = match how {
            Open::CreateNew => return Err(Errno::EXIST),
            Open::Directory if kind != Kind::Directory => return Err(Errno::NOTDIR),
            Open::Append | Open::Lock if kind == Kind::Directory => return Err(Errno::ISDIR),
            Open::Directory | Open::Read => Access::Read,
            Open::Append => Access::Append,
            Open::Lock => Access::ReadWrite,
        };
        if kind == Kind::Symlink {
            return Err(Errno::LOOP);
        }
        self.permits(
            ino,
            match access {
                Access::Read => 0o400,
                Access::Write | Access::Append => 0o200,
                Access::ReadWrite => 0o600,
            },
        )?;
        if access != Access::Read {
            self.may_change()?;
        }
        Ok(access)
    }

    fn create(&mut self, dir: Ino, name: &str, how: Open) -> Result<(Ino, Access), Errno> {
        let access = match how {
            Open::Directory | Open::Read => return Err(Errno::NOENT),
            Open::CreateNew => Access::Write,
            Open::Append => Access::Append,
            Open::Lock => Access::ReadWrite,
        };
        self.may_enter(dir)?;
        let ino = self.born(Body::File(Arc::default()), 0o600)?;
        self.perform(Op::Enter {
            dir,
            name: name.into(),
            ino,
        });
        Ok((ino, access))
    }

    /// Whether `name` may be taken away from a directory.
    fn may_leave(&self, dir: Ino) -> Result<(), Errno> {
        self.permits(dir, 0o300)?;
        self.may_change()
    }

    fn rename(
        &mut self,
        from: Ino,
        name: &str,
        to: Ino,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno> {
        self.disk.node(from).entries()?;
        self.disk.node(to).entries()?;
        self.permits(from, 0o100)?;
        self.permits(to, 0o100)?;
        self.may_change()?;
        let ino = self.disk.entry(from, name).ok_or(Errno::NOENT)?;
        let target = self.disk.entry(to, new);
        if replace == Replace::No && target.is_some() {
            return Err(Errno::EXIST);
        }
        let moves_directory = self.disk.node(ino).is_directory();
        if moves_directory && self.disk.is_below(to, ino) {
            return Err(Errno::INVAL);
        }
        if let Some(target) = target
            && from != to
            && self.disk.node(target).is_directory()
            && self.disk.is_below(from, target)
        {
            return Err(Errno::NOTEMPTY);
        }
        if target == Some(ino) {
            return Ok(());
        }
        self.may_leave(from)?;
        match target {
            None => self.may_enter(to)?,
            Some(target) => {
                self.may_leave(to)?;
                match (moves_directory, self.disk.node(target).is_directory()) {
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    (true, true) if !self.disk.node(target).is_empty_directory() => {
                        return Err(Errno::NOTEMPTY);
                    }
                    (true, true) | (false, false) => {}
                }
            }
        }
        if moves_directory && from != to {
            // Its `..` changes.
            self.permits(ino, 0o200)?;
        }
        self.perform(Op::Move {
            from,
            name: name.into(),
            to,
            new: new.into(),
            ino,
            replaced: target,
        });
        if let Some(target) = target {
            self.forget_if_unused(target);
        }
        Ok(())
    }
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
                    let made = make_dir(&mut state, at, name).map_err(errno)?;
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
        make_dir(&mut self.state(), dir.ino, one(name)?).map(drop)
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

fn make_dir(state: &mut State, dir: Ino, name: &str) -> Result<Ino, Errno> {
    if state.found(dir, name).map(drop) != Err(Errno::NOENT) {
        return state.found(dir, name).and(Err(Errno::EXIST));
    }
    state.may_enter(dir)?;
    let ino = state.born(Body::Directory(Default::default()), 0o700)?;
    state.perform(Op::Enter {
        dir,
        name: name.into(),
        ino,
    });
    Ok(ino)
}
