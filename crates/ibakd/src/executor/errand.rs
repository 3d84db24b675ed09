//! What an errand needs beside its name: passwords and descriptors never pass through the core.

use ibak_core::{BackupId, Bytes, Secret, Udid};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// What a client handed in with its errand.
pub enum ErrandWork {
    /// Set, change or remove the password of a phone's backups.
    Encryption {
        /// The present password, if there is one.
        old: Option<Secret>,
        /// The new password; `None` removes it.
        new: Option<Secret>,
    },
    /// Prove a password against a backup.
    CheckPassword {
        /// Which backup.
        backup: BackupId,
        /// The password.
        password: Secret,
    },
    /// Give a backup back to a phone.
    Restore(RestoreWish),
    /// Read files out of a backup.
    Read(ReadWish),
    /// Copy what was bought in the stores.
    Purchases {
        /// Where to.
        out: OwnedFd,
        /// What is there already, with its size in bytes.
        have: BTreeMap<String, u64>,
    },
    /// Read a backup again.
    Verify {
        /// Which backup.
        backup: BackupId,
    },
    /// Take in a backup that another program made.
    Adopt {
        /// Its files as a tar stream.
        input: OwnedFd,
        /// How large it is in all, as far as the client says.
        size: Option<Bytes>,
    },
    /// Switch iCloud Backup on the phone.
    ICloud {
        /// On or off.
        on: bool,
    },
}

/// How a backup is to be given back.
pub struct RestoreWish {
    /// Whose backup it is.
    pub source: Udid,
    /// Which backup.
    pub backup: BackupId,
    /// Its password, for an encrypted one.
    pub password: Option<Secret>,
    /// Only check what can be checked.
    pub dry_run: bool,
    /// Leave the phone's own settings.
    pub keep_settings: bool,
    /// Remove what the backup does not hold.
    pub remove_others: bool,
    /// Restart the phone at the end.
    pub reboot: bool,
}

/// What is to be read out of a backup.
pub struct ReadWish {
    /// Which backup.
    pub backup: BackupId,
    /// Its password, for an encrypted one.
    pub password: Option<Secret>,
    /// What of it.
    pub what: ReadWhat,
    /// Where to.
    pub out: OwnedFd,
}

/// What of a backup is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadWhat {
    /// A list, one JSON object a line.
    List {
        /// Only this domain.
        domain: Option<String>,
        /// Only this path in it, and what lies beneath.
        path: Option<String>,
    },
    /// Files as a tar stream: each `DOMAIN` or `DOMAIN/PATH`; none is all.
    Files(Vec<String>),
    /// The stored files themselves as a tar stream.
    Raw,
}

/// Hides everything that may be secret.
impl std::fmt::Debug for ErrandWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Encryption { .. } => "Encryption",
            Self::CheckPassword { .. } => "CheckPassword",
            Self::Restore(_) => "Restore",
            Self::Read(_) => "Read",
            Self::Purchases { .. } => "Purchases",
            Self::ICloud { .. } => "ICloud",
            Self::Verify { .. } => "Verify",
            Self::Adopt { .. } => "Adopt",
        })
    }
}
