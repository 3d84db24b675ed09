//! The kernel's file system.

use super::root;
use super::{Errno, Fs, Kind, Name, Open, Replace, RootError, Stat, Volume};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{
    self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Goes to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

/// File systems on which `syncfs` writes everything and reports what failed (I6); tmpfs has
/// nothing to write.
const TRUSTS_SYNC_FS: [u32; 6] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x2FC1_2FC1,
    0xF2F5_2010,
    0x0102_1994,
];

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

impl Fs for RealFs {
    type Handle = OwnedFd;

    fn open_root(&self, path: &Path, create: bool) -> Result<OwnedFd, RootError> {
        root::open(path, create)
    }

    fn root_device(&self) -> Result<u64, Errno> {
        let found = fs::statx(fs::CWD, "/", AtFlags::empty(), StatxFlags::BASIC_STATS)?;
        Ok(fs::makedev(found.stx_dev_major, found.stx_dev_minor))
    }

    fn user(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn open(&self, dir: &OwnedFd, path: &str, how: Open) -> Result<OwnedFd, Errno> {
        let common = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
        let (flags, mode) = match how {
            Open::Directory => (OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()),
            // A pipe that was planted would wait for its writer for ever.
            Open::Read => (OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()),
            Open::CreateNew => (
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
                Mode::RUSR | Mode::WUSR,
            ),
            Open::Append => (
                OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND,
                Mode::RUSR | Mode::WUSR,
            ),
            Open::Lock => (OFlags::RDWR | OFlags::CREATE, Mode::RUSR | Mode::WUSR),
        };
        // EAGAIN: a rename elsewhere raced with the resolution; the kernel asks to try again.
        for _ in 0..64 {
            match fs::openat2(dir, path, flags | common, mode, BENEATH) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn make_dir(&self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        fs::mkdirat(dir, one(name)?, Mode::RWXU)
    }

    fn link(&self, from: &OwnedFd, name: &str, to: &OwnedFd, new: &str) -> Result<(), Errno> {
        fs::linkat(from, one(name)?, to, one(new)?, AtFlags::empty())
    }

    fn rename(
        &self,
        from: &OwnedFd,
        name: &str,
        to: &OwnedFd,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno> {
        let flags = match replace {
            Replace::Yes => RenameFlags::empty(),
            Replace::No => RenameFlags::NOREPLACE,
        };
        fs::renameat_with(from, one(name)?, to, one(new)?, flags)
    }

    fn symlink(&self, target: &str, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        fs::symlinkat(target, dir, one(name)?)
    }

    fn read_link(&self, dir: &OwnedFd, name: &str) -> Result<String, Errno> {
        let target = fs::readlinkat(dir, one(name)?, Vec::new())?;
        target.into_string().map_err(|_| Errno::ILSEQ)
    }

    fn unlink(&self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        fs::unlinkat(dir, one(name)?, AtFlags::empty())
    }

    fn remove_dir(&self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        fs::unlinkat(dir, one(name)?, AtFlags::REMOVEDIR)
    }

    fn stat(&self, dir: &OwnedFd, name: &str) -> Result<Stat, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(stat_of(&fs::statx(
            dir,
            one(name)?,
            flags,
            StatxFlags::BASIC_STATS,
        )?))
    }

    fn stat_handle(&self, handle: &OwnedFd) -> Result<Stat, Errno> {
        Ok(stat_of(&fs::statx(
            handle,
            "",
            AtFlags::EMPTY_PATH,
            StatxFlags::BASIC_STATS,
        )?))
    }

    fn is_same(&self, one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let look = |handle| {
            let found = fs::statx(handle, "", AtFlags::EMPTY_PATH, mask)?;
            let stat = stat_of(&found);
            Ok::<_, Errno>((stat.device, stat.inode, found.stx_mnt_id))
        };
        Ok(look(one)? == look(other)?)
    }

    fn above(&self, dir: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = fs::openat(dir, "..", flags, Mode::empty())?;
        Ok((!self.is_same(dir, &above)?).then_some(above))
    }

    fn read_dir(&self, dir: &OwnedFd) -> Result<Vec<Name>, Errno> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = if entry.file_type() == FileType::Unknown {
                self.stat(dir, name)?.kind
            } else {
                kind_of(entry.file_type())
            };
            names.push(Name {
                name: name.to_owned(),
                kind,
            });
        }
        Ok(names)
    }

    fn read(&self, file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *buffer))
    }

    fn read_at(&self, file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *buffer, at))
    }

    fn write(&self, file: &OwnedFd, block: &[u8]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| rustix::io::write(file, block))
    }

    fn copy_range(&self, from: &OwnedFd, to: &OwnedFd, length: usize) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| fs::copy_file_range(from, None, to, None, length))
    }

    fn set_mode(&self, file: &OwnedFd, mode: u32) -> Result<(), Errno> {
        fs::fchmod(file, Mode::from_raw_mode(mode))
    }

    fn set_modified(&self, file: &OwnedFd, modified: SystemTime) -> Result<(), Errno> {
        let keep = fs::Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        };
        let times = fs::Timestamps {
            last_access: keep,
            last_modification: timespec(modified)?,
        };
        fs::futimens(file, &times)
    }

    fn sync(&self, handle: &OwnedFd) -> Result<(), Errno> {
        fs::fsync(handle)
    }

    fn sync_fs(&self, dir: &OwnedFd) -> Result<(), Errno> {
        fs::syncfs(dir)
    }

    fn close(&self, file: OwnedFd) -> Result<(), Errno> {
        drop(file);
        Ok(())
    }

    fn volume(&self, dir: &OwnedFd) -> Result<Volume, Errno> {
        let room = fs::fstatvfs(dir)?;
        // The magic numbers have 32 bits; the field's width and sign depend on the machine.
        let kind = fs::fstatfs(dir)?.f_type as u32;
        Ok(Volume {
            available: room.f_bavail.saturating_mul(room.f_frsize),
            total: room.f_blocks.saturating_mul(room.f_frsize),
            trusts_sync_fs: TRUSTS_SYNC_FS.contains(&kind),
            read_only: room.f_flag.contains(fs::StatVfsMountFlags::RDONLY),
        })
    }

    fn try_lock(&self, file: &OwnedFd) -> Result<bool, Errno> {
        match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn path_of(&self, file: &OwnedFd) -> Result<PathBuf, Errno> {
        Ok(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))
    }
}

fn one(name: &str) -> Result<&str, Errno> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        Err(Errno::INVAL)
    } else {
        Ok(name)
    }
}

fn timespec(time: SystemTime) -> Result<fs::Timespec, Errno> {
    let (seconds, nanos) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()), after.subsec_nanos()),
        // Whole seconds suffice for what was before 1970.
        Err(before) => (
            i64::try_from(before.duration().as_secs()).map(std::ops::Neg::neg),
            0,
        ),
    };
    Ok(fs::Timespec {
        tv_sec: seconds.map_err(|_| Errno::INVAL)?,
        tv_nsec: nanos.into(),
    })
}

pub(super) fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::Regular,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Kind::Other,
    }
}

fn stat_of(found: &fs::Statx) -> Stat {
    let whole = Duration::from_secs(found.stx_mtime.tv_sec.unsigned_abs());
    let modified = if found.stx_mtime.tv_sec < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH
            .checked_add(whole + Duration::from_nanos(found.stx_mtime.tv_nsec.into()))
    };
    Stat {
        kind: kind_of(FileType::from_raw_mode(found.stx_mode.into())),
        size: found.stx_size,
        allocated: found.stx_blocks.saturating_mul(512),
        links: found.stx_nlink.into(),
        inode: found.stx_ino,
        device: fs::makedev(found.stx_dev_major, found.stx_dev_minor),
        mode: u32::from(found.stx_mode) & 0o7777,
        owner: found.stx_uid,
        modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
    }
}
