//! The narrow door to the file system.
//!
//! Every byte the store reads or writes passes this trait, so that a simulated file system can
//! stand behind it and fail or stop at any operation. Promises: `open` never leaves the
//! directory it starts from and never follows a link; every other verb takes one name in an
//! open directory, so that there is no path to race with. Refuses: truncation, which would
//! write into a committed file through its other name.

mod real;
mod root;
pub(crate) mod util;

pub use real::RealFs;
pub use rustix::io::Errno;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How to open a path below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// A directory, for reading and as a starting point.
    Directory,
    /// A regular file, for reading.
    Read,
    /// A file that must not exist yet, mode 0600, for writing.
    CreateNew,
    /// A file for appending, made with mode 0600 when absent.
    Append,
    /// A file for reading and writing in place, made when absent; only the lock file.
    Lock,
}

/// Whether a rename may replace what has the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// It may.
    Yes,
    /// It fails with EEXIST.
    No,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A socket, pipe or device.
    Other,
}

/// The facts of a name, never of what a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes in the file.
    pub size: u64,
    /// Bytes on the disk.
    pub allocated: u64,
    /// Number of names.
    pub links: u64,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub owner: u32,
    /// Last change of the content.
    pub modified: SystemTime,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name; names that are not UTF-8 are not ours and are left out by `read_dir`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// The room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Bytes an unprivileged process may still write.
    pub available: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether `sync_fs` is known to make everything durable here (I6).
    pub trusts_sync_fs: bool,
    /// Whether nothing can be written here.
    pub read_only: bool,
}

/// Why a path cannot be the root of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootError {
    /// A component does not exist.
    Absent(PathBuf),
    /// A component could be changed by somebody else.
    Unsafe(PathBuf, &'static str),
    /// The kernel said no.
    Errno(PathBuf, Errno),
}

/// A file system below a root directory.
///
/// `name` arguments are one component: a slash, an empty name, `.` and `..` give EINVAL.
pub trait Fs: Clone + Send + Sync + 'static {
    /// An open file or directory; closed on drop.
    type Handle: Send + Sync + 'static;

    /// Opens the directory at an absolute path after checking every directory and link on the
    /// way: owned by root or us, not writable by others unless sticky. With `create` a missing
    /// last component is made with mode 0700, and its name is durable.
    ///
    /// # Errors
    /// See [`RootError`].
    fn open_root(&self, path: &Path, create: bool) -> Result<Self::Handle, RootError>;
    /// Returns the device number of `/`.
    ///
    /// # Errors
    /// What the kernel says.
    fn root_device(&self) -> Result<u64, Errno>;
    /// Returns our effective user id.
    fn user(&self) -> u32;
    /// Opens a path of one or more components below `dir`, or `.` for `dir` itself again; no
    /// component may be a link.
    ///
    /// # Errors
    /// ELOOP for a link, EXDEV for an escape, else what the kernel says.
    fn open(&self, dir: &Self::Handle, path: &str, how: Open) -> Result<Self::Handle, Errno>;
    /// Makes a directory with mode 0700.
    ///
    /// # Errors
    /// What the kernel says.
    fn make_dir(&self, dir: &Self::Handle, name: &str) -> Result<(), Errno>;
    /// Gives a file a second name.
    ///
    /// # Errors
    /// EMLINK when the file has as many names as it can, else what the kernel says.
    fn link(
        &self,
        from: &Self::Handle,
        name: &str,
        to: &Self::Handle,
        new: &str,
    ) -> Result<(), Errno>;
    /// Renames.
    ///
    /// # Errors
    /// What the kernel says.
    fn rename(
        &self,
        from: &Self::Handle,
        name: &str,
        to: &Self::Handle,
        new: &str,
        replace: Replace,
    ) -> Result<(), Errno>;
    /// Makes a symbolic link.
    ///
    /// # Errors
    /// What the kernel says.
    fn symlink(&self, target: &str, dir: &Self::Handle, name: &str) -> Result<(), Errno>;
    /// Reads a symbolic link.
    ///
    /// # Errors
    /// EINVAL when it is none, else what the kernel says.
    fn read_link(&self, dir: &Self::Handle, name: &str) -> Result<String, Errno>;
    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// What the kernel says.
    fn unlink(&self, dir: &Self::Handle, name: &str) -> Result<(), Errno>;
    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the kernel says.
    fn remove_dir(&self, dir: &Self::Handle, name: &str) -> Result<(), Errno>;
    /// Returns the facts of a name.
    ///
    /// # Errors
    /// What the kernel says.
    fn stat(&self, dir: &Self::Handle, name: &str) -> Result<Stat, Errno>;
    /// Returns the facts of an open file or directory.
    ///
    /// # Errors
    /// What the kernel says.
    fn stat_handle(&self, handle: &Self::Handle) -> Result<Stat, Errno>;
    /// Says whether two open directories are one and the same, reached through the same mount: a
    /// directory whose mount has gone has no path any more, also when it is mounted again.
    ///
    /// # Errors
    /// What the kernel says.
    fn is_same(&self, one: &Self::Handle, other: &Self::Handle) -> Result<bool, Errno> {
        let (one, other) = (self.stat_handle(one)?, self.stat_handle(other)?);
        Ok((one.device, one.inode) == (other.device, other.inode))
    }
    /// Opens the directory above one, only to ask whether it is another; `None` above a root.
    ///
    /// # Errors
    /// What the kernel says.
    fn above(&self, _dir: &Self::Handle) -> Result<Option<Self::Handle>, Errno> {
        Ok(None)
    }
    /// Lists a directory, without `.` and `..`, in no order.
    ///
    /// # Errors
    /// What the kernel says; a list cut short is an error, never a short list.
    fn read_dir(&self, dir: &Self::Handle) -> Result<Vec<Name>, Errno>;
    /// Reads from the file's position; zero at the end.
    ///
    /// # Errors
    /// What the kernel says.
    fn read(&self, file: &Self::Handle, buffer: &mut [u8]) -> Result<usize, Errno>;
    /// Reads from a place of the file, leaving its position; zero at the end.
    ///
    /// # Errors
    /// What the kernel says.
    fn read_at(&self, file: &Self::Handle, buffer: &mut [u8], at: u64) -> Result<usize, Errno>;
    /// Writes at the file's position, perhaps less than asked.
    ///
    /// # Errors
    /// What the kernel says.
    fn write(&self, file: &Self::Handle, block: &[u8]) -> Result<usize, Errno>;
    /// Copies between positions inside the kernel, sharing blocks where it can; zero at the end.
    ///
    /// # Errors
    /// What the kernel says.
    fn copy_range(
        &self,
        from: &Self::Handle,
        to: &Self::Handle,
        length: usize,
    ) -> Result<usize, Errno>;
    /// Sets the permission bits of an open file.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_mode(&self, file: &Self::Handle, mode: u32) -> Result<(), Errno>;
    /// Sets when the content of an open file last changed, for a copy of it.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_modified(&self, file: &Self::Handle, modified: SystemTime) -> Result<(), Errno>;
    /// Makes one file or directory durable.
    ///
    /// # Errors
    /// What the kernel says; the same handle must not be trusted again.
    fn sync(&self, handle: &Self::Handle) -> Result<(), Errno>;
    /// Makes the whole file system durable; `dir` must have been opened before the first write
    /// whose failure it shall report.
    ///
    /// # Errors
    /// What the kernel says.
    fn sync_fs(&self, dir: &Self::Handle) -> Result<(), Errno>;
    /// Closes and reports what a close can report.
    ///
    /// # Errors
    /// What the kernel says.
    fn close(&self, file: Self::Handle) -> Result<(), Errno>;
    /// Returns the room on the file system.
    ///
    /// # Errors
    /// What the kernel says.
    fn volume(&self, dir: &Self::Handle) -> Result<Volume, Errno>;
    /// Takes the exclusive lock of an open file; false when somebody else has it.
    ///
    /// # Errors
    /// What the kernel says.
    fn try_lock(&self, file: &Self::Handle) -> Result<bool, Errno>;
    /// Returns a path through which a library that insists on a path (SQLite) can read this
    /// open file while the handle lives.
    ///
    /// # Errors
    /// What the kernel says.
    fn path_of(&self, file: &Self::Handle) -> Result<PathBuf, Errno>;
}
