//! How the files of one backup go over the wire: as they are, or encrypted.

use std::io::{self, Read};
use std::sync::Arc;

use plist::Value;
use tempfile::NamedTempFile;

use super::crypto::{
    BackupLock, Encrypting, FileKey, Keybag, PREFIXED_KEY_BYTES, Padding, decrypt_database,
    encrypt_database, encrypted_bytes,
};
use super::quirks::{Quirk, Quirks};
use super::{BackupError, BackupHost, locked};
use crate::content::{ContentReader, FileKind, Row, Tree};

/// How the files of one backup are written.
#[derive(Clone, Debug)]
pub(super) enum Sealing {
    /// As they are.
    Plain,
    /// Encrypted with keys of the phone's keybag.
    Sealed(Seal),
}

/// What encrypts a backup.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    lock: BackupLock,
    /// An empty file has a key and a block of padding.
    empty_too: bool,
    database_padding: Padding,
}

impl Sealing {
    /// Decides it for a backup that begins: a phone with a password encrypts.
    pub(super) fn of(host: &dyn BackupHost) -> Self {
        match locked(&host.memory()).lock.clone() {
            None => Self::Plain,
            Some(lock) => Self::sealed(lock, host.quirks()),
        }
    }

    pub(super) fn sealed(lock: BackupLock, quirks: &Quirks) -> Self {
        Self::Sealed(Seal {
            lock,
            empty_too: quirks.has(Quirk::EmptyFilesEncrypted),
            database_padding: if quirks.has(Quirk::ManifestUnpadded) {
                Padding::None
            } else {
                Padding::Pkcs7
            },
        })
    }

    /// Returns the keybag of an encrypted backup.
    pub(super) const fn keybag(&self) -> Option<&Keybag> {
        match self {
            Self::Plain => None,
            Self::Sealed(seal) => Some(seal.lock.keybag()),
        }
    }

    /// Returns the data of the phone that go into the backup.
    pub(super) fn tree(&self, host: &dyn BackupHost) -> Arc<Tree> {
        let content = host.content();
        let content = locked(&content);
        match self {
            Self::Plain => content.snapshot(),
            Self::Sealed(_) => content.snapshot_with_secrets(),
        }
    }

    /// Returns the bytes a regular file has on the host.
    pub(super) fn host_bytes(&self, row: &Row) -> u64 {
        if self.key(row).is_some() {
            encrypted_bytes(row.size)
        } else {
            row.size
        }
    }

    /// Returns the key of a row with its protection class, if it has one: regular files only, and
    /// no empty ones (the readers of real backups expect that).
    fn key(&self, row: &Row) -> Option<(u32, FileKey)> {
        let Self::Sealed(seal) = self else {
            return None;
        };
        if row.kind() != FileKind::Regular || (row.size == 0 && !seal.empty_too) {
            return None;
        }
        let class = u32::from(row.protection_class());
        let key = seal.lock.keys().key_of_file(class, &row.id, row.version)?;
        Some((class, key))
    }

    /// Returns a row's `EncryptionKey`.
    pub(super) fn encryption_key(&self, row: &Row) -> Option<[u8; PREFIXED_KEY_BYTES]> {
        let (Self::Sealed(seal), (class, key)) = (self, self.key(row)?) else {
            return None;
        };
        seal.lock.keys().wrap_prefixed(class, &key)
    }

    /// Opens a regular file as the host shall get it.
    pub(super) fn open(&self, tree: &Tree, row: &Row) -> Reader {
        let plain = tree.open(row);
        match self.key(row) {
            None => Reader::Plain(plain),
            Some((_, key)) => Reader::Encrypting(Box::new(Encrypting::new(plain, &key))),
        }
    }

    /// Encrypts Manifest.db for the host, if the backup is: the file to send and its `ManifestKey`.
    pub(super) fn seal_database(
        &self,
        plain: &NamedTempFile,
    ) -> Result<SealedDatabase, BackupError> {
        let Self::Sealed(seal) = self else {
            return Ok(None);
        };
        let drawn = seal.lock.draw_manifest_key(&mut rand::rng());
        let (key, prefixed) = drawn.ok_or_else(|| BackupError::Phone("its keybag".into()))?;
        let sealed = NamedTempFile::new()?;
        let mut to = io::BufWriter::new(sealed.reopen()?);
        encrypt_database(&mut plain.reopen()?, &mut to, &key, seal.database_padding)?;
        io::Write::flush(&mut to)?;
        Ok(Some((sealed, prefixed)))
    }

    /// Decrypts a host's Manifest.db in its place; one that is not of whole blocks stays as it is,
    /// and is found damaged.
    pub(super) fn open_database(key: &FileKey, file: NamedTempFile) -> io::Result<NamedTempFile> {
        let plain = NamedTempFile::new()?;
        let mut to = io::BufWriter::new(plain.reopen()?);
        match decrypt_database(&mut file.reopen()?, &mut to, key) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(file),
            other => other?,
        }
        io::Write::flush(&mut to)?;
        Ok(plain)
    }

    /// Unwraps the `ManifestKey` of a host's Manifest.plist.
    pub(super) fn manifest_key(&self, manifest: &plist::Dictionary) -> Option<FileKey> {
        let Self::Sealed(seal) = self else {
            return None;
        };
        let prefixed = manifest.get("ManifestKey").and_then(Value::as_data)?;
        seal.lock.keys().unwrap_prefixed(prefixed)
    }
}

/// Manifest.db as the host gets it, and its `ManifestKey`; `None` for a plain one.
pub(super) type SealedDatabase = Option<(NamedTempFile, [u8; PREFIXED_KEY_BYTES])>;

/// Reads a file as the host shall get it.
pub(super) enum Reader {
    Plain(ContentReader),
    Encrypting(Box<Encrypting<ContentReader>>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Encrypting(reader) => reader.read(buffer),
        }
    }
}
