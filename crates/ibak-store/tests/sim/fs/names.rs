//! Names: how a path leads to an inode, and which changes of names the kernel allows.

use super::disk::{BLOCK, Body, Ino};
use super::journal::Op;
use super::{Access, State};
use ibak_store::fs::{Errno, Kind, Open, Replace, Stat};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const DEVICE: u64 = 0x51;

pub(super) fn short(name: &str) -> Result<(), Errno> {
    if name.len() > 255 {
        Err(Errno::NAMETOOLONG)
    } else {
        Ok(())
    }
}

/// What the last component of a path is.
pub(super) enum Last<'p> {
    /// The directory itself.
    Itself(Ino),
    Name(Ino, &'p str),
}

impl State {
    pub(super) fn walk<'p>(&self, dir: Ino, path: &'p str) -> Result<Last<'p>, Errno> {
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

    pub(super) fn found(&self, dir: Ino, name: &str) -> Result<Ino, Errno> {
        self.disk.node(dir).entries()?;
        self.permits(dir, 0o100)?;
        if self.disk.node(dir).names == 0 {
            return Err(Errno::NOENT);
        }
        short(name)?;
        self.disk.entry(dir, name).ok_or(Errno::NOENT)
    }

    pub(super) fn stat(&self, ino: Ino) -> Stat {
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

    pub(super) fn open_found(&self, ino: Ino, how: Open) -> Result<Access, Errno> {
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

    pub(super) fn create(
        &mut self,
        dir: Ino,
        name: &str,
        how: Open,
    ) -> Result<(Ino, Access), Errno> {
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
    pub(super) fn may_leave(&self, dir: Ino) -> Result<(), Errno> {
        self.permits(dir, 0o300)?;
        self.may_change()
    }

    pub(super) fn rename(
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

    pub(super) fn make_dir(&mut self, dir: Ino, name: &str) -> Result<Ino, Errno> {
        if self.found(dir, name).map(drop) != Err(Errno::NOENT) {
            return self.found(dir, name).and(Err(Errno::EXIST));
        }
        self.may_enter(dir)?;
        let ino = self.born(Body::Directory(Default::default()), 0o700)?;
        self.perform(Op::Enter {
            dir,
            name: name.into(),
            ino,
        });
        Ok(ino)
    }
}
