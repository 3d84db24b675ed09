//! The directory that is written into, and the only way to write there.
//!
//! Every name is resolved by the kernel beneath the directory's handle
//! (`openat2(BENEATH|NO_SYMLINKS|NO_MAGICLINKS)`), so that neither the stream nor a link that
//! somebody planted leads elsewhere, not even when it is swapped in meanwhile. A file is written
//! under a name of our own and renamed when all of it is there.

use super::name::Name;
use super::tar::{Header, Reader, TarError};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps,
    futimens, mkdirat, openat2, renameat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Is what a half-written file is called, with a number behind.
pub const PART_PREFIX: &str = ".ibak-part-";
/// Is how many bytes are moved at once.
const BLOCK_BYTES: usize = 128 * 1024;
/// Is how many files that are there already are named to the daemon.
const HAVE_MAX: usize = 20_000;
/// Is the longest a symbolic link may be, as Linux has it.
const LINK_BYTES_MAX: usize = 4_095;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A file of so many bytes.
    File(u64),
    /// A directory is there.
    Directory,
    /// A symbolic link.
    Link,
    /// Something of that name was there already, and stays.
    Present,
}

/// Why it did not become what it was to be.
#[derive(Debug)]
pub enum Refusal {
    /// It is nothing a backup holds.
    Kind,
    /// On the way lies a link, or something that is no directory.
    Way,
    /// The file system does not let us.
    Denied,
    /// The stream ended or could not be read: nothing can follow.
    Stream(TarError),
    /// Writing failed, most likely for want of room: nothing can follow.
    Write(io::Error),
}

/// A directory to write into.
pub struct Target {
    root: OwnedFd,
    last: Option<(Vec<String>, OwnedFd)>,
    parts: u64,
    salt: u64,
    under: Option<Under>,
}

/// The one directory everything goes into, and what it is called while it is not whole.
struct Under {
    name: String,
    part: String,
}

impl Target {
    /// Opens a directory, and makes it, for its owner only, when it is not there. The way to it is
    /// the person's own choice and may lead through links.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let root = File::open(directory)?;
        if !root.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut salt = [0; 8];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self {
            root: root.into(),
            last: None,
            parts: 0,
            salt: u64::from_le_bytes(salt),
            under: None,
        })
    }

    /// Has everything go into a new directory that is called `part` until [`Self::leave`]; names
    /// that do not begin with `name` are refused from here on.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when something of either name is there.
    pub fn enter_new(&mut self, name: &str, part: &str) -> io::Result<()> {
        match rustix::fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(errno) => return Err(errno.into()),
        }
        mkdirat(&self.root, part, Mode::RWXU)?;
        self.under = Some(Under {
            name: name.to_owned(),
            part: part.to_owned(),
        });
        Ok(())
    }

    /// Gives what [`Self::enter_new`] made its own name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when something of that name is there.
    pub fn leave(&mut self) -> io::Result<()> {
        self.last = None;
        match self.under.take() {
            Some(under) => Ok(rename_new(&self.root, &under.part, &under.name)?),
            None => Ok(()),
        }
    }

    /// Lists the files beneath, with their sizes, by the names a stream would give them; links are
    /// not followed, and what is half written does not count.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn have(&self) -> io::Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        let mut todo = vec![String::new()];
        while let Some(here) = todo.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let path = if here.is_empty() { "." } else { &here };
            let directory = openat2(&self.root, path, flags, Mode::empty(), RESOLVE)?;
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().to_str() else {
                    continue;
                };
                if name == "." || name == ".." || name.starts_with(PART_PREFIX) {
                    continue;
                }
                let whole = if here.is_empty() {
                    name.to_owned()
                } else {
                    format!("{here}/{name}")
                };
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let kind = FileType::from_raw_mode(stat.st_mode);
                if kind == FileType::RegularFile && found.len() < HAVE_MAX {
                    found.insert(whole, u64::try_from(stat.st_size).unwrap_or(0));
                } else if kind == FileType::Directory && todo.len() < HAVE_MAX {
                    todo.push(whole);
                }
            }
        }
        Ok(found)
    }

    /// Makes a directory, and those on its way.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn directory(&mut self, name: &Name) -> Result<Made, Refusal> {
        self.way(name.parts())?;
        Ok(Made::Directory)
    }

    /// Writes a file with its time; of its mode only the owner's part stays.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the file is left then.
    pub fn file<R: Read>(
        &mut self,
        name: &Name,
        header: &Header,
        data: &mut Reader<R>,
        overwrite: bool,
    ) -> Result<Made, Refusal> {
        let (way, last) = name.split();
        let part = self.part_name();
        let directory = self.way(way)?;
        if !overwrite && is_there(directory, last)? {
            return Ok(Made::Present);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600 | (header.mode & 0o100));
        let mut file = File::from(beneath(directory, &part, flags, mode)?);
        let written = fill(&mut file, data, header)
            .and_then(|bytes| put(directory, &part, last, overwrite).map(|made| (made, bytes)));
        match written {
            Ok((true, bytes)) => Ok(Made::File(bytes)),
            Ok((false, _)) => remove(directory, &part).map(|()| Made::Present),
            Err(refusal) => {
                // The first cause is the one to tell; a part that stays is found by its name.
                match remove(directory, &part) {
                    Ok(()) | Err(_) => Err(refusal),
                }
            }
        }
    }

    /// Makes a symbolic link, wherever it points; nothing is ever written through it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn symlink(&mut self, name: &Name, to: &[u8], overwrite: bool) -> Result<Made, Refusal> {
        if to.is_empty() || to.len() > LINK_BYTES_MAX || to.contains(&0) {
            return Err(Refusal::Kind);
        }
        let (way, last) = name.split();
        let part = self.part_name();
        let directory = self.way(way)?;
        if !overwrite && is_there(directory, last)? {
            return Ok(Made::Present);
        }
        symlinkat(to, directory, &part).map_err(refusal)?;
        match put(directory, &part, last, overwrite) {
            Ok(true) => Ok(Made::Link),
            Ok(false) => remove(directory, &part).map(|()| Made::Present),
            Err(first) => match remove(directory, &part) {
                Ok(()) | Err(_) => Err(first),
            },
        }
    }

    fn part_name(&mut self) -> String {
        self.parts += 1;
        format!("{PART_PREFIX}{:016x}-{}", self.salt, self.parts)
    }

    /// Opens the directory of these parts, making what is missing; the last one stays open.
    fn way(&mut self, parts: &[String]) -> Result<&OwnedFd, Refusal> {
        let mut parts = parts.to_vec();
        if let Some(under) = &self.under {
            match parts.first_mut() {
                Some(first) if *first == under.name => first.clone_from(&under.part),
                Some(_) | None => return Err(Refusal::Way),
            }
        }
        if parts.is_empty() {
            return Ok(&self.root);
        }
        let known = self.last.as_ref().is_some_and(|(last, _)| *last == parts);
        if !known {
            let opened = self.open_way(&parts)?;
            self.last = Some((parts, opened));
        }
        match &self.last {
            Some((_, directory)) => Ok(directory),
            None => Err(Refusal::Way),
        }
    }

    fn open_way(&self, parts: &[String]) -> Result<OwnedFd, Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(&self.root, parts.join("/"), flags, Mode::empty(), RESOLVE) {
            Ok(directory) => return Ok(directory),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(refusal(errno)),
        }
        let mut here: Option<OwnedFd> = None;
        for part in parts {
            let parent = here.as_ref().unwrap_or(&self.root);
            match mkdirat(parent, part.as_str(), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(refusal(errno)),
            }
            let next = beneath(parent, part, flags, Mode::empty())?;
            here = Some(next);
        }
        here.ok_or(Refusal::Way)
    }
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

fn beneath(directory: &OwnedFd, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Refusal> {
    openat2(directory, name, flags, mode, RESOLVE).map_err(refusal)
}

/// Says whether the name is taken, by whatever it is.
fn is_there(directory: &OwnedFd, name: &str) -> Result<bool, Refusal> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(refusal(errno)),
    }
}

fn fill<R: Read>(file: &mut File, data: &mut Reader<R>, header: &Header) -> Result<u64, Refusal> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut written = 0;
    loop {
        let read = data
            .read(&mut block)
            .map_err(|error| Refusal::Stream(error.into()))?;
        if read == 0 {
            break;
        }
        file.write_all(block.get(..read).unwrap_or_default())
            .map_err(Refusal::Write)?;
        written += u64::try_from(read).unwrap_or(0);
    }
    let time = Timespec {
        tv_sec: header.modified,
        tv_nsec: 0,
    };
    match futimens(
        &*file,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    ) {
        // A time this file system cannot hold is no reason to lose the file.
        Ok(()) | Err(_) => Ok(written),
    }
}

/// Gives a part its name; `false` when the name is taken and is not to be replaced.
fn put(directory: &OwnedFd, part: &str, name: &str, overwrite: bool) -> Result<bool, Refusal> {
    let put = if overwrite {
        renameat(directory, part, directory, name)
    } else {
        rename_new(directory, part, name)
    };
    match put {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(refusal(errno)),
    }
}

/// Renames to a name that must be free, also where the file system cannot do both at once.
fn rename_new(directory: &OwnedFd, part: &str, name: &str) -> Result<(), Errno> {
    match renameat_with(directory, part, directory, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => renameat(directory, part, directory, name),
                Ok(_) => Err(Errno::EXIST),
                Err(errno) => Err(errno),
            }
        }
        done => done,
    }
}

fn remove(directory: &OwnedFd, part: &str) -> Result<(), Refusal> {
    unlinkat(directory, part, AtFlags::empty()).map_err(refusal)
}

/// Sorts what the kernel said: what concerns one name, and what concerns all.
fn refusal(errno: Errno) -> Refusal {
    match errno {
        Errno::LOOP
        | Errno::NOTDIR
        | Errno::XDEV
        | Errno::ISDIR
        | Errno::NOTEMPTY
        | Errno::NAMETOOLONG
        | Errno::INVAL => Refusal::Way,
        Errno::ACCESS | Errno::PERM => Refusal::Denied,
        errno => Refusal::Write(errno.into()),
    }
}
