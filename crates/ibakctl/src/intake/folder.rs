//! The folder of one backup, and what lies in it.

use super::Trouble;
use super::origin::{INFO, Origin};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Is how every name in the folder is resolved.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// Is how deep a backup's folders lie in each other at most.
const DEPTH_MAX: usize = 8;
/// Is how many files a folder may hold.
const FILES_MAX: usize = 4_000_000;
/// Is how many backups an error names.
const LISTED_MAX: usize = 6;
/// Is what computers leave in folders that they show.
const LEFT_BY_COMPUTERS: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];
/// Is what the files begin with that a Mac leaves on other disks.
const LEFT_BY_MACS: &str = "._";

/// The folder of one backup.
#[derive(Debug)]
pub struct Folder {
    root: OwnedFd,
    path: PathBuf,
}

/// A file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name, relative to the folder.
    pub name: String,
    /// Bytes, when it was looked at.
    pub size: u64,
}

/// What lies in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The files, those at the top first.
    pub items: Vec<Item>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// How many files are left out.
    pub skipped: u64,
}

impl Folder {
    /// Opens the folder of a backup, or the one such that lies in this folder. The way to it is
    /// the person's own choice and may lead through links.
    ///
    /// # Errors
    /// When it is neither, or holds several.
    pub fn find(path: &Path) -> Result<Self, Trouble> {
        let this = Self::open(path)?;
        if this.has(INFO)? {
            return Ok(this);
        }
        let mut inside = Vec::new();
        for name in this.names(Path::new("."))? {
            let Ok(sub) = this.sub(Path::new(&name)) else {
                continue;
            };
            let sub = Self {
                root: sub,
                path: path.join(&name),
            };
            if sub.has(INFO)? {
                inside.push(sub);
            }
        }
        match inside.len() {
            1 => inside.pop().ok_or_else(|| none(path)),
            0 => Err(none(path)),
            many => {
                let mut listed: Vec<String> = inside
                    .iter()
                    .take(LISTED_MAX)
                    .map(|folder| folder.path.display().to_string())
                    .collect();
                if many > LISTED_MAX {
                    listed.push(format!("{} more", many - LISTED_MAX));
                }
                Err(
                    Trouble::new(format!("{} holds {many} backups", path.display()))
                        .hint(format!("name one of: {}", listed.join(", "))),
                )
            }
        }
    }

    fn open(path: &Path) -> Result<Self, Trouble> {
        let root = File::open(path)
            .map_err(|error| Trouble::new(format!("{}: {error}", path.display())))?;
        match root.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Self {
                root: root.into(),
                path: path.to_owned(),
            }),
            Ok(_) => Err(Trouble::new(format!("{} is no directory", path.display()))),
            Err(error) => Err(Trouble::new(format!("{}: {error}", path.display()))),
        }
    }

    /// Returns where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn trouble(&self, name: &Path, errno: Errno) -> Trouble {
        let path = self.path.join(name);
        match errno {
            Errno::LOOP | Errno::XDEV => Trouble::new(format!(
                "{} is a link, and a backup holds only files",
                path.display()
            )),
            Errno::ACCESS | Errno::PERM => Trouble::new(format!(
                "{}: {}",
                path.display(),
                std::io::Error::from(errno)
            ))
            .hint("run it with `sudo`, or as whoever owns it"),
            other => Trouble::new(format!(
                "{}: {}",
                path.display(),
                std::io::Error::from(other)
            )),
        }
    }

    fn has(&self, name: &str) -> Result<bool, Trouble> {
        match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.trouble(Path::new(name), errno)),
        }
    }

    fn sub(&self, name: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.root, name, flags, Mode::empty(), RESOLVE)
    }

    /// Opens a file to read it, with its size and the seconds since 1970 of its last change.
    pub(super) fn file(&self, name: &str) -> Result<(File, u64, u64), Trouble> {
        let trouble = |errno| self.trouble(Path::new(name), errno);
        // Not waiting for anybody: it may have become a pipe meanwhile.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat2(&self.root, name, flags, Mode::empty(), RESOLVE).map_err(trouble)?;
        let stat = fstat(&fd).map_err(trouble)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.odd(Path::new(name), stat.st_mode));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Ok((fd.into(), size, u64::try_from(stat.st_mtime).unwrap_or(0)))
    }

    fn odd(&self, name: &Path, mode: u32) -> Trouble {
        let what = match FileType::from_raw_mode(mode) {
            FileType::Symlink => "a symbolic link",
            FileType::Socket => "a socket",
            FileType::Fifo => "a pipe",
            FileType::BlockDevice | FileType::CharacterDevice => "a device",
            FileType::Directory => "a directory",
            FileType::RegularFile | FileType::Unknown => "no file",
        };
        Trouble::new(format!(
            "{} is {what}, and a backup holds only files",
            self.path.join(name).display()
        ))
    }

    /// Reads a small file; `None` when it is not there.
    pub(super) fn small(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Trouble> {
        if !self.has(name)? {
            return Ok(None);
        }
        let (file, _, _) = self.file(name)?;
        let mut bytes = Vec::new();
        file.take(
            u64::try_from(bytes_max)
                .unwrap_or(u64::MAX)
                .saturating_add(1),
        )
        .read_to_end(&mut bytes)
        .map_err(|error| Trouble::new(format!("{}: {error}", self.path.join(name).display())))?;
        if bytes.len() > bytes_max {
            return Err(Trouble::new(format!(
                "{} is larger than any phone writes",
                self.path.join(name).display()
            )));
        }
        Ok(Some(bytes))
    }

    /// Reads what the backup says of itself.
    ///
    /// # Errors
    /// When it does not say which phone it is of.
    pub fn origin(&self) -> Result<Origin, Trouble> {
        Origin::read(self)
    }

    fn names(&self, directory: &Path) -> Result<Vec<String>, Trouble> {
        let trouble = |errno| self.trouble(directory, errno);
        let fd = self.sub(directory).map_err(trouble)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).map_err(trouble)? {
            let entry = entry.map_err(trouble)?;
            let name = entry.file_name();
            match name.to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => {
                    return Err(Trouble::new(format!(
                        "{} has a name that no phone gives",
                        self.path
                            .join(directory)
                            .join(name.to_string_lossy().as_ref())
                            .display()
                    )));
                }
            }
            if names.len() > FILES_MAX {
                return Err(self.too_much());
            }
        }
        Ok(names)
    }

    fn too_much(&self) -> Trouble {
        Trouble::new(format!(
            "{} holds more, or deeper, than any backup",
            self.path.display()
        ))
    }

    /// Lists everything in it.
    ///
    /// # Errors
    /// When something in it is no file, or cannot be read.
    pub fn contents(&self) -> Result<Contents, Trouble> {
        let mut contents = Contents::default();
        let mut open = vec![(PathBuf::new(), 0)];
        while let Some((directory, depth)) = open.pop() {
            if depth > DEPTH_MAX {
                return Err(self.too_much());
            }
            let here = if depth == 0 {
                Path::new(".")
            } else {
                directory.as_path()
            };
            let handle = self.sub(here).map_err(|errno| self.trouble(here, errno))?;
            for name in self.names(here)? {
                let path = directory.join(&name);
                if LEFT_BY_COMPUTERS.contains(&name.as_str()) || name.starts_with(LEFT_BY_MACS) {
                    contents.skipped += 1;
                    continue;
                }
                let stat = statat(&handle, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| self.trouble(&path, errno))?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => open.push((path, depth + 1)),
                    FileType::RegularFile => {
                        let size = u64::try_from(stat.st_size).unwrap_or(0);
                        contents.bytes = contents.bytes.saturating_add(size);
                        contents.items.push(Item {
                            name: path.to_string_lossy().into_owned(),
                            size,
                        });
                    }
                    FileType::Symlink
                    | FileType::Fifo
                    | FileType::Socket
                    | FileType::BlockDevice
                    | FileType::CharacterDevice
                    | FileType::Unknown => return Err(self.odd(&path, stat.st_mode)),
                }
            }
            if contents.items.len() > FILES_MAX {
                return Err(self.too_much());
            }
        }
        // What says whether it can be taken in comes before what takes long.
        contents
            .items
            .sort_by(|a, b| (a.name.contains('/'), &a.name).cmp(&(b.name.contains('/'), &b.name)));
        Ok(contents)
    }
}

fn none(path: &Path) -> Trouble {
    Trouble::new(format!("there is no backup in {}", path.display())).hint(
        "name the folder that has Info.plist and Manifest.db in it: .../MobileSync/Backup/UDID",
    )
}
