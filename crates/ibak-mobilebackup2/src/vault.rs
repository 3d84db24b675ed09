//! What the conversation needs of storage.

use ibak_core::BackupPath;
use std::io::{self, Read};
use std::time::SystemTime;

/// Keeps the files of one session; called from one dedicated blocking thread only.
pub trait Vault: Send + 'static {
    /// Returns the free bytes the phone may believe in: `min(free − reserve, quota left)`.
    ///
    /// # Errors
    /// When the file system does not answer.
    fn free_space(&mut self) -> Result<u64, VaultError>;

    /// Frees up to `amount` bytes and returns how many; 0 when nothing could be.
    ///
    /// # Errors
    /// When something broke on the way.
    fn purge(&mut self, amount: u64, urgency: u64) -> Result<u64, VaultError>;

    /// Lists a directory; an IO error is an error, never an empty listing.
    ///
    /// # Errors
    /// Not there, not a directory, or IO.
    fn list(&mut self, dir: &BackupPath) -> Result<Vec<Entry>, VaultError>;

    /// Makes a directory.
    ///
    /// # Errors
    /// [`VaultErrorKind::Exists`] when something is there.
    fn create_dir(&mut self, dir: &BackupPath) -> Result<(), VaultError>;

    /// Moves a file or tree; a file at `to` is replaced, a directory removed first.
    ///
    /// # Errors
    /// Not there, or IO.
    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError>;

    /// Removes a file or tree; absent is fine.
    ///
    /// # Errors
    /// IO.
    fn remove(&mut self, path: &BackupPath) -> Result<(), VaultError>;

    /// Copies a file or tree.
    ///
    /// # Errors
    /// Not there, no space, or IO.
    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError>;

    /// Opens a file for the phone to read.
    ///
    /// # Errors
    /// Not there, a directory, or IO.
    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError>;

    /// Begins the one file that is being received; its parents exist or are made.
    ///
    /// # Errors
    /// No space or IO; then nothing is open.
    fn create(&mut self, path: &BackupPath) -> Result<(), VaultError>;

    /// Appends a block to the file being received.
    ///
    /// # Errors
    /// No space or IO; `abandon` follows.
    fn write(&mut self, block: &[u8]) -> Result<(), VaultError>;

    /// Says that the file arrived whole.
    ///
    /// # Errors
    /// IO; `abandon` follows.
    fn finish(&mut self) -> Result<(), VaultError>;

    /// Keeps nothing of the file being received; `remote_error` is the phone's reason, if it was
    /// the phone's.
    ///
    /// # Errors
    /// IO.
    fn abandon(&mut self, remote_error: Option<&str>) -> Result<(), VaultError>;
}

/// One line of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, one path component.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes; 0 for directories.
    pub size: u64,
    /// When its content was last changed.
    pub modified: SystemTime,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// Anything else.
    Unknown,
}

/// What kind of failure the vault met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VaultErrorKind {
    /// Nothing is there (ENOENT).
    NotFound,
    /// Something is there already (EEXIST).
    Exists,
    /// A directory was needed (ENOTDIR).
    NotDirectory,
    /// A file was needed (EISDIR).
    IsDirectory,
    /// A link is in the way (ELOOP).
    Loop,
    /// The medium failed (EIO).
    Io,
    /// The file system or a quota is full (ENOSPC, EDQUOT).
    NoSpace,
    /// The request is outside what a phone may ask.
    Refused,
    /// Anything else.
    Other,
}

impl VaultErrorKind {
    /// Returns DeviceLink's code for it (phone.md §5).
    pub const fn code(self) -> i64 {
        match self {
            Self::NotFound => -6,
            Self::Exists => -7,
            Self::NotDirectory => -8,
            Self::IsDirectory => -9,
            Self::Loop => -10,
            Self::Io => -11,
            Self::NoSpace => -15,
            Self::Refused | Self::Other => -1,
        }
    }

    /// Returns what the phone is told; it holds nothing of this computer.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotFound => "No such file or directory",
            Self::Exists => "File exists",
            Self::NotDirectory => "Not a directory",
            Self::IsDirectory => "Is a directory",
            Self::Loop => "Too many levels of symbolic links",
            Self::Io => "Input/output error",
            Self::NoSpace => "No space left on device",
            Self::Refused => "Operation not permitted",
            Self::Other => "Operation failed",
        }
    }
}

/// A failure of the vault, for the phone as a code and for the owner as a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VaultError {
    /// Decides the code the phone gets.
    pub kind: VaultErrorKind,
    /// For the owner; no secrets.
    pub message: String,
    /// Whether the session can no longer end in success.
    pub poisons: bool,
}

impl VaultError {
    /// Makes an error the session survives: the phone gets the code and decides.
    pub fn new(kind: VaultErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            poisons: false,
        }
    }

    /// Makes an error after which the session never ends in success.
    pub fn poisoning(kind: VaultErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            poisons: true,
        }
    }
}

impl From<io::Error> for VaultError {
    fn from(error: io::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the standard library's enum is open"
        )]
        let kind = match error.kind() {
            io::ErrorKind::NotFound => VaultErrorKind::NotFound,
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                VaultErrorKind::Exists
            }
            io::ErrorKind::NotADirectory => VaultErrorKind::NotDirectory,
            io::ErrorKind::IsADirectory => VaultErrorKind::IsDirectory,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => VaultErrorKind::NoSpace,
            _ => match error.raw_os_error() {
                Some(40) => VaultErrorKind::Loop,
                Some(5) => VaultErrorKind::Io,
                Some(_) | None => VaultErrorKind::Other,
            },
        };
        let poisons = matches!(kind, VaultErrorKind::Io | VaultErrorKind::NoSpace);
        Self {
            kind,
            message: error.to_string(),
            poisons,
        }
    }
}
