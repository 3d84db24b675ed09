//! For deeds that concern no files.

use crate::{Entry, Vault, VaultError, VaultErrorKind};
use ibak_core::BackupPath;
use std::io::Read;

/// A vault without files that refuses everything; the phone is told so and decides what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoVault;

fn refused<T>() -> Result<T, VaultError> {
    Err(VaultError::new(
        VaultErrorKind::Refused,
        "the phone asked for files where none are concerned",
    ))
}

impl Vault for NoVault {
    fn free_space(&mut self) -> Result<u64, VaultError> {
        refused()
    }

    fn purge(&mut self, _: u64, _: u64) -> Result<u64, VaultError> {
        refused()
    }

    fn list(&mut self, _: &BackupPath) -> Result<Vec<Entry>, VaultError> {
        refused()
    }

    fn create_dir(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        refused()
    }

    fn rename(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), VaultError> {
        refused()
    }

    fn remove(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        refused()
    }

    fn copy(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), VaultError> {
        refused()
    }

    fn open(&mut self, _: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError> {
        refused()
    }

    fn create(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        refused()
    }

    fn write(&mut self, _: &[u8]) -> Result<(), VaultError> {
        refused()
    }

    fn finish(&mut self) -> Result<(), VaultError> {
        refused()
    }

    fn abandon(&mut self, _: Option<&str>) -> Result<(), VaultError> {
        // There is nothing to keep, so nothing is kept.
        Ok(())
    }
}
