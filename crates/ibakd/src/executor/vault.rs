//! The one place where the conversation meets the disk: a working copy, and a committed backup
//! that is served to a phone, each as a [`Vault`].

use super::RoomMaker;
use crate::clock::Clock;
use ibak_core::BackupPath;
use ibak_mobilebackup2::{Entry, EntryKind, Vault, VaultError, VaultErrorKind};
use ibak_store::{ErrorKind, Serving, Staging, StoreError};
use std::io::Read;

/// A working copy, written by the phone.
pub struct StagingVault {
    /// The working copy.
    pub staging: Staging,
    /// For the dates of its log.
    pub clock: Clock,
    /// What may be done when the phone says that it does not fit; `None` for nothing.
    pub room: Option<RoomMaker>,
}

/// A committed backup, read by the phone; what the phone writes is thrown away.
pub(super) struct ServingVault {
    /// The backup and what lies over it.
    pub(super) serving: Serving,
}

fn vault_error(error: StoreError) -> VaultError {
    let kind = match error.kind() {
        ErrorKind::NotFound => VaultErrorKind::NotFound,
        ErrorKind::Exists => VaultErrorKind::Exists,
        ErrorKind::NotDirectory => VaultErrorKind::NotDirectory,
        ErrorKind::IsDirectory => VaultErrorKind::IsDirectory,
        ErrorKind::Loop => VaultErrorKind::Loop,
        ErrorKind::Io => VaultErrorKind::Io,
        ErrorKind::NoSpace => VaultErrorKind::NoSpace,
        ErrorKind::Refused => VaultErrorKind::Refused,
        ErrorKind::Other => VaultErrorKind::Other,
    };
    VaultError {
        kind,
        message: error.to_string(),
        poisons: error.poisons(),
    }
}

/// Makes a [`Vault`] of a tree with the store's verbs; `finish` and `purge` are those that differ.
macro_rules! vault {
    (
        $vault:ident, $tree:ident,
        finish($self:ident) => $finish:expr,
        purge($purger:ident, $amount:ident) => $purge:expr
    ) => {
        impl Vault for $vault {
            fn free_space(&mut self) -> Result<u64, VaultError> {
                self.$tree.free_space().map_err(vault_error)
            }

            fn purge(&mut self, amount: u64, _urgency: u64) -> Result<u64, VaultError> {
                let ($purger, $amount) = (self, amount);
                $purge.map_err(vault_error)
            }

            fn list(&mut self, dir: &BackupPath) -> Result<Vec<Entry>, VaultError> {
                let entries = self.$tree.list(dir).map_err(vault_error)?;
                let convert = |entry: ibak_store::Entry| Entry {
                    name: entry.name,
                    kind: match entry.kind {
                        ibak_store::EntryKind::Directory => EntryKind::Directory,
                        ibak_store::EntryKind::Regular => EntryKind::Regular,
                        ibak_store::EntryKind::Unknown => EntryKind::Unknown,
                    },
                    size: entry.size,
                    modified: entry.modified,
                };
                Ok(entries.into_iter().map(convert).collect())
            }

            fn create_dir(&mut self, dir: &BackupPath) -> Result<(), VaultError> {
                self.$tree.create_dir(dir).map_err(vault_error)
            }

            fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError> {
                self.$tree.rename(from, to).map_err(vault_error)
            }

            fn remove(&mut self, path: &BackupPath) -> Result<(), VaultError> {
                self.$tree.remove(path).map_err(vault_error)
            }

            fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError> {
                self.$tree.copy(from, to).map_err(vault_error)
            }

            fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError> {
                self.$tree.open(path).map_err(vault_error)
            }

            fn create(&mut self, path: &BackupPath) -> Result<(), VaultError> {
                self.$tree.create(path).map_err(vault_error)
            }

            fn write(&mut self, block: &[u8]) -> Result<(), VaultError> {
                self.$tree.write(block).map_err(vault_error)
            }

            fn finish(&mut self) -> Result<(), VaultError> {
                let $self = self;
                $finish.map_err(vault_error)
            }

            fn abandon(&mut self, remote_error: Option<&str>) -> Result<(), VaultError> {
                self.$tree.abandon(remote_error).map_err(vault_error)
            }
        }
    };
}

vault!(
    StagingVault, staging,
    finish(it) => it.staging.finish(it.clock.now()),
    purge(it, amount) => match &mut it.room {
        Some(room) => room.make(&mut it.staging, amount),
        None => Ok(0),
    }
);
vault!(
    ServingVault, serving,
    finish(it) => it.serving.finish(),
    // What is thrown away afterwards is no reason to remove a backup.
    purge(_it, _amount) => Ok(0)
);
