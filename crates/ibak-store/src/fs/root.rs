//! The walk to the store's root, which nobody else may be able to bend.
//!
//! Every directory on the way is opened from the one before and checked on the open handle, so
//! that nothing can be swapped between the check and the use. A link is followed by hand, and
//! only if root or we made it.

use super::RootError;
use rustix::fd::OwnedFd;
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel itself follows.
const LINKS_MAX: u32 = 40;

pub(super) fn open(path: &Path, create: bool) -> Result<OwnedFd, RootError> {
    if !path.is_absolute() {
        return Err(RootError::Unsafe(path.to_owned(), "it is not absolute"));
    }
    let uid = rustix::process::geteuid().as_raw();
    let mut todo = names(path);
    let mut links = 0;
    let mut at = PathBuf::from("/");
    let mut dir = open_dir(fs::CWD, "/".as_ref(), &at)?;
    check(&dir, &at, uid)?;
    while let Some(name) = todo.pop_front() {
        let next = at.join(&name);
        let found = match fs::statat(&dir, &name, fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) if create && todo.is_empty() => {
                // Its name is as dear as what will lie in it.
                fs::mkdirat(&dir, &name, Mode::RWXU)
                    .and_then(|()| sync_names(&dir))
                    .map_err(|errno| RootError::Errno(next.clone(), errno))?;
                continue_at(&dir, &name, &next)?
            }
            Err(Errno::NOENT) => return Err(RootError::Absent(next)),
            Err(errno) => return Err(RootError::Errno(next, errno)),
        };
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            links += 1;
            if links > LINKS_MAX {
                return Err(RootError::Errno(next, Errno::LOOP));
            }
            if found.st_uid != 0 && found.st_uid != uid {
                return Err(RootError::Unsafe(
                    next,
                    "it is a link that belongs to somebody else",
                ));
            }
            let target = fs::readlinkat(&dir, &name, Vec::new())
                .map_err(|errno| RootError::Errno(next, errno))?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                at = PathBuf::from("/");
                dir = open_dir(fs::CWD, "/".as_ref(), &at)?;
            }
            for part in names(&target).into_iter().rev() {
                todo.push_front(part);
            }
            continue;
        }
        dir = open_dir(&dir, &name, &next)?;
        at = if name == ".." {
            at.parent().unwrap_or(&at).to_owned()
        } else {
            next
        };
        check(&dir, &at, uid)?;
    }
    Ok(dir)
}

/// Makes the names in a directory durable; one that can only be passed is opened for it.
fn sync_names(dir: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    match fs::openat(dir, ".", flags, Mode::empty()) {
        Ok(readable) => fs::fsync(readable),
        // Ours to write into and not to read: the barrier of the first backup has to do.
        Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn continue_at(dir: &OwnedFd, name: &OsString, next: &Path) -> Result<Stat, RootError> {
    fs::statat(dir, name, fs::AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| RootError::Errno(next.to_owned(), errno))
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn open_dir(
    dir: impl rustix::fd::AsFd,
    name: &std::ffi::OsStr,
    at: &Path,
) -> Result<OwnedFd, RootError> {
    // RDONLY where we may read, for the last one is the store; PATH where we may only pass.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match fs::openat(&dir, name, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => fs::openat(&dir, name, flags | OFlags::PATH, Mode::empty()),
        other => other,
    };
    opened.map_err(|errno| RootError::Errno(at.to_owned(), errno))
}

fn check(dir: &OwnedFd, at: &Path, uid: u32) -> Result<(), RootError> {
    let found = fs::fstat(dir).map_err(|errno| RootError::Errno(at.to_owned(), errno))?;
    let mode = found.st_mode & 0o7777;
    let unsafe_because = |why| Err(RootError::Unsafe(at.to_owned(), why));
    if found.st_uid != 0 && found.st_uid != uid {
        return unsafe_because("it belongs to somebody else");
    }
    let sticky = mode & 0o1000 != 0;
    if mode & 0o002 != 0 && !sticky {
        return unsafe_because("everybody may write to it");
    }
    // A group with the number of the owner is the owner's private group.
    if mode & 0o020 != 0 && !sticky && found.st_gid != found.st_uid {
        return unsafe_because("a group may write to it");
    }
    Ok(())
}
