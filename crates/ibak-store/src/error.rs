//! What can go wrong in the store, and what to do about it.

use crate::KeybagError;
use crate::fs::Errno;
use ibak_core::{BackupId, Udid};
use std::path::PathBuf;

/// Names a failure in the words of the phone's protocol (phone.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// ENOENT.
    NotFound,
    /// EEXIST.
    Exists,
    /// ENOTDIR.
    NotDirectory,
    /// EISDIR.
    IsDirectory,
    /// ELOOP: a symbolic link where none may be.
    Loop,
    /// EIO, or another word for what the disk cannot give.
    Io,
    /// ENOSPC or EDQUOT.
    NoSpace,
    /// Asked for something the store does not do.
    Refused,
    /// Anything else.
    Other,
}

/// Says whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// It may pass by itself.
    Later,
    /// A person has to change something first.
    UserMustAct,
}

/// Every failure of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A system call failed.
    #[error("cannot {action} {path}: {errno}")]
    System {
        /// What was tried, a verb.
        action: &'static str,
        /// On what, relative to the store; never a secret.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The path does not lead to a store: absent, not mounted, or not created yet.
    #[error("the backup store {} is not available: {why}", path.display())]
    Unavailable {
        /// The configured path.
        path: PathBuf,
        /// Why, as the rest of the sentence.
        why: &'static str,
    },
    /// Somebody else could change what the path leads to, or it is not ours.
    #[error("the backup store path {} is not safe: {why}", path.display())]
    UnsafePath {
        /// The offending directory or link.
        path: PathBuf,
        /// Why, as the rest of the sentence.
        why: &'static str,
    },
    /// Another process holds the store.
    #[error("the backup store {} is in use by process {}", path.display(), holder.map_or_else(|| "unknown".to_owned(), |p| p.to_string()))]
    Locked {
        /// The configured path.
        path: PathBuf,
        /// The process that holds it, if it said so.
        holder: Option<u32>,
    },
    /// The file system cannot hold a store.
    #[error(
        "the file system of the backup store cannot {missing}, which every backup needs; use ext4, xfs or btrfs"
    )]
    Unfit {
        /// What it cannot do.
        missing: &'static str,
    },
    /// Written by a newer ibak.
    #[error(
        "the backup store has format {found}, and this ibak knows formats up to {known}; install a newer ibak"
    )]
    NewerFormat {
        /// What store.json says.
        found: u64,
        /// The newest we read.
        known: u64,
    },
    /// A file of ours does not make sense.
    #[error("{what} of the backup store is damaged")]
    Damaged {
        /// Which file.
        what: String,
    },
    /// There is already a session for this phone.
    #[error("a backup of {0} is already being written")]
    Busy(Udid),
    /// An earlier call still lays out the working copy of this phone: it has not been told to
    /// stop, or has not noticed yet. It passes by itself.
    #[error("the working copy for {0} is still being laid out")]
    LayingOut(Udid),
    /// Somebody reads the backup, so that it cannot be removed (I8).
    #[error("the backup {0} is being read")]
    InUse(BackupId),
    /// The keybag does not open.
    #[error(transparent)]
    Keybag(KeybagError),
    /// The backup is encrypted, and no keys were given.
    #[error("the backup is encrypted and needs its password")]
    PasswordNeeded,
    /// A password was to be proved, and the backup has none.
    #[error("the backup is not encrypted and has no password")]
    NotEncrypted,
    /// An earlier error makes this session impossible to commit.
    #[error("this backup met a write error earlier and cannot be committed")]
    Poisoned,
    /// The phone asked for something no backup needs.
    #[error("{path}: {why}")]
    Refused {
        /// The path, relative to the backup.
        path: String,
        /// Why, as the rest of the sentence.
        why: &'static str,
    },
    /// What was received is not a whole backup.
    #[error("the backup is not complete: {0}")]
    Incomplete(String),
    /// Another program's backup that cannot become one of ours.
    #[error("it cannot be adopted: {0}")]
    Unadoptable(String),
    /// Another store's directory has not enough room for a copy of this one.
    #[error("there is room for {free} bytes, and the backups take {needed}")]
    NoRoom {
        /// Bytes to be written.
        needed: u64,
        /// Bytes that may be written there.
        free: u64,
    },
    /// There is no such backup.
    #[error("there is no backup {0}")]
    NoSuchBackup(BackupId),
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
}

impl StoreError {
    /// Returns the failure in the words of the phone's protocol.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::System { errno, .. } => kind_of(*errno),
            Self::Unavailable { .. } | Self::NoSuchBackup(_) => ErrorKind::NotFound,
            Self::Damaged { .. }
            | Self::Poisoned
            | Self::Keybag(KeybagError::Malformed(_) | KeybagError::TooCostly { .. }) => {
                ErrorKind::Io
            }
            Self::UnsafePath { .. }
            | Self::Locked { .. }
            | Self::Unfit { .. }
            | Self::NewerFormat { .. }
            | Self::Busy(_)
            | Self::LayingOut(_)
            | Self::InUse(_)
            | Self::Keybag(KeybagError::WrongPassword)
            | Self::PasswordNeeded
            | Self::NotEncrypted
            | Self::Refused { .. }
            | Self::Unadoptable(_)
            | Self::Incomplete(_) => ErrorKind::Refused,
            Self::NoRoom { .. } => ErrorKind::NoSpace,
            Self::Cancelled | Self::Keybag(KeybagError::Cancelled) => ErrorKind::Other,
        }
    }

    /// Says whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::System { errno, .. } => match kind_of(*errno) {
                ErrorKind::NoSpace => Retry::UserMustAct,
                ErrorKind::NotFound
                | ErrorKind::Exists
                | ErrorKind::NotDirectory
                | ErrorKind::IsDirectory
                | ErrorKind::Loop
                | ErrorKind::Refused => Retry::Never,
                ErrorKind::Io | ErrorKind::Other => Retry::Later,
            },
            Self::Unavailable { .. }
            | Self::UnsafePath { .. }
            | Self::Locked { .. }
            | Self::Unfit { .. }
            | Self::NewerFormat { .. }
            | Self::Damaged { .. }
            | Self::Unadoptable(_)
            | Self::NoRoom { .. }
            | Self::Keybag(KeybagError::WrongPassword)
            | Self::PasswordNeeded => Retry::UserMustAct,
            Self::Busy(_)
            | Self::LayingOut(_)
            | Self::InUse(_)
            | Self::Poisoned
            | Self::Incomplete(_)
            | Self::Cancelled
            | Self::Keybag(KeybagError::Cancelled) => Retry::Later,
            Self::Refused { .. }
            | Self::NoSuchBackup(_)
            | Self::NotEncrypted
            | Self::Keybag(KeybagError::Malformed(_) | KeybagError::TooCostly { .. }) => {
                Retry::Never
            }
        }
    }

    /// Says whether data may have been lost, so that nothing received can be committed.
    pub fn poisons(&self) -> bool {
        *self != Self::Cancelled
            && matches!(
                self.kind(),
                ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Other
            )
    }

    pub(crate) fn refused(path: impl ToString, why: &'static str) -> Self {
        Self::Refused {
            path: path.to_string(),
            why,
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    /// Says whether the disk takes no writes.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::System { errno, .. } if *errno == Errno::ROFS)
    }

    /// Says whether this is the kernel's word that the name does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::System { errno, .. } if *errno == Errno::NOENT)
    }
}

impl From<KeybagError> for StoreError {
    fn from(error: KeybagError) -> Self {
        match error {
            KeybagError::Cancelled => Self::Cancelled,
            KeybagError::WrongPassword
            | KeybagError::Malformed(_)
            | KeybagError::TooCostly { .. } => Self::Keybag(error),
        }
    }
}

/// Says whether the kernel's answer means that the disk cannot give what lies there.
pub(crate) fn is_unreadable(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA | Errno::ILSEQ | Errno::REMOTEIO
    )
}

fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        errno if is_unreadable(errno) => ErrorKind::Io,
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST | Errno::NOTEMPTY => ErrorKind::Exists,
        Errno::NOTDIR => ErrorKind::NotDirectory,
        Errno::ISDIR => ErrorKind::IsDirectory,
        Errno::LOOP => ErrorKind::Loop,
        Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
        Errno::XDEV => ErrorKind::Refused,
        _ => ErrorKind::Other,
    }
}

/// Adds to a kernel error what was tried and on what.
pub(crate) trait Context<T> {
    fn at(self, action: &'static str, path: impl ToString) -> Result<T, StoreError>;
}

impl<T> Context<T> for Result<T, Errno> {
    fn at(self, action: &'static str, path: impl ToString) -> Result<T, StoreError> {
        self.map_err(|errno| StoreError::System {
            action,
            path: path.to_string(),
            errno,
        })
    }
}
