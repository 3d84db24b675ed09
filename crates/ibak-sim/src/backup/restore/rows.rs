//! Reads the rows of a host's Manifest.db for a restore.

use std::path::Path;

use plist::{Dictionary, Value};

use super::super::BackupError;
use super::content::RestoredFile;
use crate::content::{FileId, FileKind};

/// The most rows a restore takes.
const ROWS_MAX: usize = 5_000_000;

/// One row with what its file needs to be read.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) file: RestoredFile,
    /// `EncryptionKey`: the class, little-endian, and the wrapped key.
    pub(super) key: Option<Vec<u8>>,
}

/// Reads every row.
///
/// # Errors
/// [`BackupError::Protocol`] when it is no Manifest.db.
pub(super) fn read(database: &Path) -> Result<Vec<Row>, BackupError> {
    let damaged = |error: rusqlite::Error| BackupError::Protocol(format!("Manifest.db: {error}"));
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(database, flags).map_err(damaged)?;
    let mut statement = connection
        .prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")
        .map_err(damaged)?;
    let mut found = statement.query([]).map_err(damaged)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(damaged)? {
        let id: String = row.get(0).map_err(damaged)?;
        let (domain, path) = (row.get(1).map_err(damaged)?, row.get(2).map_err(damaged)?);
        let flags: i64 = row.get(3).map_err(damaged)?;
        let blob: Vec<u8> = row.get(4).map_err(damaged)?;
        let Some(row) = row_of(&id, domain, path, flags, &blob) else {
            return Err(BackupError::Protocol(format!("row {id} of Manifest.db")));
        };
        rows.push(row);
        if rows.len() > ROWS_MAX {
            return Err(BackupError::Protocol("a Manifest.db without end".into()));
        }
    }
    Ok(rows)
}

fn row_of(id: &str, domain: String, path: String, flags: i64, blob: &[u8]) -> Option<Row> {
    let kind = [FileKind::Regular, FileKind::Directory, FileKind::Symlink]
        .into_iter()
        .find(|kind| kind.flags() == flags)?;
    let archive = Value::from_reader(std::io::Cursor::new(blob))
        .ok()?
        .into_dictionary()?;
    let objects = archive.get("$objects")?.as_array()?;
    let object = |value: &Value| {
        let at = usize::try_from(value.as_uid()?.get()).ok()?;
        objects.get(at)
    };
    let root = object(archive.get("$top")?.as_dictionary()?.get("root")?)?.as_dictionary()?;
    let number = |key: &str| root.get(key).and_then(Value::as_signed_integer);
    let key = root
        .get("EncryptionKey")
        .and_then(object)
        .and_then(|object| object.as_dictionary().map_or(object.as_data(), data_of))
        .map(<[u8]>::to_vec);
    Some(Row {
        file: RestoredFile {
            id: FileId::parse(id)?,
            domain,
            path,
            kind,
            size: number("Size").and_then(|size| u64::try_from(size).ok())?,
            sha1: None,
            target: root
                .get("Target")
                .and_then(object)
                .and_then(Value::as_string)
                .map(ToOwned::to_owned),
            mode: number("Mode").and_then(|mode| u32::try_from(mode).ok())?,
            modified: number("LastModified")?,
        },
        key,
    })
}

fn data_of(data: &Dictionary) -> Option<&[u8]> {
    data.get("NS.data").and_then(Value::as_data)
}
