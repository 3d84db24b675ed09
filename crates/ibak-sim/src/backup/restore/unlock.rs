//! Opens an encrypted backup with the password of the request.

use plist::{Dictionary, Value};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::crypto::{BackupLock, ClassKeys, FileKey, Keybag, decrypt_database};
use super::super::link::Stop;
use super::super::refusal::Refusal;
use super::super::run::blocking;
use super::Restore;
use super::rows::Row;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Restore<'_, '_, S> {
    /// Opens the keybag of Manifest.plist; `None` for a plain backup.
    pub(super) async fn unlock(&self, manifest: &Dictionary) -> Result<Option<BackupLock>, Stop> {
        if manifest.get("IsEncrypted").and_then(Value::as_boolean) != Some(true) {
            return Ok(None);
        }
        let damaged = || Refusal::manifest_damaged(&self.path("Manifest.plist"));
        let Some(password) = self.password.clone() else {
            return Err(Refusal::password().into());
        };
        let bytes = manifest
            .get("BackupKeyBag")
            .and_then(Value::as_data)
            .ok_or_else(damaged)?;
        let keybag = Keybag::parse(bytes).map_err(|_| damaged())?;
        match blocking(move || BackupLock::adopt(keybag, &password)).await? {
            Some(lock) => Ok(Some(lock)),
            None => Err(Refusal::password().into()),
        }
    }

    /// Decrypts Manifest.db with the key of Manifest.plist.
    pub(super) async fn open_database(
        &self,
        manifest: &Dictionary,
        keys: &ClassKeys,
        encrypted: NamedTempFile,
    ) -> Result<NamedTempFile, Stop> {
        let key = manifest
            .get("ManifestKey")
            .and_then(Value::as_data)
            .and_then(|key| keys.unwrap_prefixed(key))
            .ok_or_else(|| Refusal::manifest_damaged(&self.path("Manifest.plist")))?;
        let plain = NamedTempFile::new()?;
        let (mut from, mut to) = (encrypted.reopen()?, plain.reopen()?);
        let work = move || decrypt_database(&mut from, &mut to, &key);
        match blocking(work).await? {
            Ok(_) => Ok(plain),
            Err(_) => Err(Refusal::manifest_damaged(&self.path("Manifest.db")).into()),
        }
    }
}

/// Returns the key of a file, which an empty one need not have; refuses a row whose key is not this
/// keybag's.
pub(super) fn key_of(keys: Option<&ClassKeys>, row: &Row) -> Result<Option<FileKey>, Refusal> {
    match (keys, row.key.as_deref()) {
        (None, _) => Ok(None),
        (Some(_), None) if row.file.size == 0 => Ok(None),
        (Some(keys), key) => key
            .and_then(|key| keys.unwrap_prefixed(key))
            .map(Some)
            .ok_or_else(Refusal::downloading),
    }
}
