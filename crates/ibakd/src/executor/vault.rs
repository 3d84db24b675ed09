//! The one place where the conversation meets the disk: [`Staging`] as a [`Vault`].

use crate::clock::Clock;
use ibak_core::BackupPath;
use ibak_mobilebackup2::{Entry, EntryKind, Vault, VaultError, VaultErrorKind};
use ibak_store::{ErrorKind, Staging, StoreError};
use std::io::Read;

/// A working copy, written by the phone.
pub struct StagingVault {
    /// The working copy.
    pub staging: Staging,
    /// For the dates of its log.
    pub clock: Clock,
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

impl Vault for StagingVault {
    fn free_space(&mut self) -> Result<u64, VaultError> {
        self.staging.free_space().map_err(vault_error)
    }

    /// Frees nothing: there is no retention yet that could say what may go.
    fn purge(&mut self, _amount: u64, _urgency: u64) -> Result<u64, VaultError> {
        Ok(0)
    }

    fn list(&mut self, dir: &BackupPath) -> Result<Vec<Entry>, VaultError> {
        let entries = self.staging.list(dir).map_err(vault_error)?;
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
        self.staging.create_dir(dir).map_err(vault_error)
    }

    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError> {
        self.staging.rename(from, to).map_err(vault_error)
    }

    fn remove(&mut self, path: &BackupPath) -> Result<(), VaultError> {
        self.staging.remove(path).map_err(vault_error)
    }

    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), VaultError> {
        self.staging.copy(from, to).map_err(vault_error)
    }

    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError> {
        self.staging.open(path).map_err(vault_error)
    }

    fn create(&mut self, path: &BackupPath) -> Result<(), VaultError> {
        self.staging.create(path).map_err(vault_error)
    }

    fn write(&mut self, block: &[u8]) -> Result<(), VaultError> {
        self.staging.write(block).map_err(vault_error)
    }

    fn finish(&mut self) -> Result<(), VaultError> {
        self.staging.finish(self.clock.now()).map_err(vault_error)
    }

    fn abandon(&mut self, remote_error: Option<&str>) -> Result<(), VaultError> {
        self.staging.abandon(remote_error).map_err(vault_error)
    }
}
