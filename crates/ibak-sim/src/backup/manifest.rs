//! Manifest.db: built in one go for a full backup, changed row by row for an incremental one.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, params};
use sha1::{Digest, Sha1};
use tempfile::NamedTempFile;

use super::sealing::Sealing;
use super::{BackupError, mbfile};
use crate::content::{FileId, FileKind, Tree};

const SCHEMA: &str = "
    CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
    CREATE INDEX FilesDomainIdx ON Files(domain);
    CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
    CREATE INDEX FilesFlagsIdx ON Files(flags);
    CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);
";
const INSERT: &str = "INSERT OR REPLACE INTO Files VALUES (?1, ?2, ?3, ?4, ?5)";

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Phone(format!("Manifest.db: {error}"))
    }
}

/// What is different between the host's Manifest.db and the phone.
#[derive(Clone, Debug, Default)]
pub(super) struct Difference {
    /// Rows of the tree that are new or changed, by their place.
    pub(super) changed: Vec<usize>,
    /// Rows that the phone has no longer.
    pub(super) gone: Vec<String>,
    /// A regular file of the manifest that the host does not hold.
    pub(super) missing_on_host: Option<FileId>,
}

/// Says that the host's Manifest.db cannot be read.
#[derive(Debug)]
pub(super) struct Damaged;

impl From<rusqlite::Error> for Damaged {
    fn from(error: rusqlite::Error) -> Self {
        tracing::debug!(%error, "the host's Manifest.db cannot be read");
        Self
    }
}

fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;",
    )?;
    Ok(connection)
}

/// Compares the host's Manifest.db with the phone and with the files the host holds.
pub(super) fn compare(
    database: &Path,
    tree: &Tree,
    on_host: &HashMap<FileId, u64>,
    sealing: &Sealing,
) -> Result<Difference, Damaged> {
    let places: HashMap<FileId, usize> = tree
        .rows
        .iter()
        .enumerate()
        .map(|(at, row)| (row.id, at))
        .collect();
    let mut unchanged = vec![false; tree.rows.len()];
    let mut difference = Difference::default();
    let connection = open(database)?;
    let mut statement = connection.prepare("SELECT fileID, flags, file FROM Files")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let hex: String = row.get(0)?;
        let flags: i64 = row.get(1)?;
        let id = FileId::parse(&hex);
        if flags == FileKind::Regular.flags()
            && let Some(id) = id
            && !on_host.contains_key(&id)
        {
            difference.missing_on_host = Some(id);
        }
        let place = id.and_then(|id| places.get(&id).copied());
        let current = place.and_then(|place| tree.rows.get(place));
        let (Some(place), Some(current)) = (place, current) else {
            difference.gone.push(hex);
            continue;
        };
        let blob = row
            .get_ref(2)?
            .as_blob_or_null()
            .ok()
            .flatten()
            .unwrap_or(&[]);
        let key = sealing.encryption_key(current);
        if blob == mbfile::blob(&tree.view(current), key.as_ref())
            && let Some(slot) = unchanged.get_mut(place)
        {
            *slot = true;
        }
    }
    difference.changed = unchanged
        .iter()
        .enumerate()
        .filter(|(_, same)| !**same)
        .map(|(at, _)| at)
        .collect();
    Ok(difference)
}

/// Builds Manifest.db anew, without the files that could not be sent.
pub(super) fn build(
    tree: &Tree,
    failed: &HashSet<FileId>,
    sealing: &Sealing,
) -> Result<NamedTempFile, BackupError> {
    let file = NamedTempFile::new()?;
    let mut connection = open(file.path())?;
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    insert(&transaction, tree, 0..tree.rows.len(), failed, sealing)?;
    transaction.commit()?;
    age(&connection, tree.rows.len())?;
    close(connection)?;
    Ok(file)
}

/// Leaves free pages in the file, up to the 1,160 to 1,190 bytes a row of real ones.
///
/// Text and blobs are as heavy as real ones (about 630 bytes a row); where the rest of a real
/// database goes is not known, and a database that lived for years has free pages.
fn age(connection: &Connection, rows: usize) -> Result<(), rusqlite::Error> {
    const ROW_BYTES: i64 = 1_170;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = pragma("page_count")? * pragma("page_size")?;
    let missing = (i64::try_from(rows).unwrap_or(0) * ROW_BYTES - bytes).max(0);
    connection.execute_batch(&format!(
        "CREATE TABLE Aging (filler BLOB); INSERT INTO Aging VALUES (zeroblob({missing})); DROP TABLE Aging;"
    ))
}

/// Brings the host's Manifest.db up to date.
pub(super) fn update(
    file: NamedTempFile,
    tree: &Tree,
    difference: &Difference,
    failed: &HashSet<FileId>,
    sealing: &Sealing,
) -> Result<NamedTempFile, BackupError> {
    let mut connection = open(file.path())?;
    let transaction = connection.transaction()?;
    {
        let mut delete = transaction.prepare("DELETE FROM Files WHERE fileID = ?1")?;
        for hex in &difference.gone {
            delete.execute([hex])?;
        }
        for id in failed {
            delete.execute([id.hex()])?;
        }
    }
    insert(
        &transaction,
        tree,
        difference.changed.iter().copied(),
        failed,
        sealing,
    )?;
    transaction.commit()?;
    close(connection)?;
    Ok(file)
}

fn insert(
    connection: &Connection,
    tree: &Tree,
    places: impl Iterator<Item = usize>,
    failed: &HashSet<FileId>,
    sealing: &Sealing,
) -> Result<(), BackupError> {
    let mut statement = connection.prepare(INSERT)?;
    for row in places.filter_map(|place| tree.rows.get(place)) {
        if failed.contains(&row.id) {
            continue;
        }
        let view = tree.view(row);
        let flags = view.kind.flags();
        statement.execute(params![
            row.id.hex(),
            view.domain,
            view.path,
            flags,
            mbfile::blob(&view, sealing.encryption_key(row).as_ref())
        ])?;
    }
    Ok(())
}

fn close(connection: Connection) -> Result<(), BackupError> {
    connection.close().map_err(|(_, error)| error.into())
}

/// Reads the ids of all regular files of a Manifest.db.
pub(super) fn regular_files(database: &Path) -> Result<Vec<FileId>, Damaged> {
    let connection = open(database)?;
    let mut statement = connection.prepare("SELECT fileID FROM Files WHERE flags = 1")?;
    let mut rows = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.extend(FileId::parse(&row.get::<_, String>(0)?));
    }
    Ok(ids)
}

/// Tells whether a file begins as a database does; an encrypted one does not.
pub(super) fn is_database(path: &Path) -> std::io::Result<bool> {
    let mut magic = Vec::new();
    std::fs::File::open(path)?
        .take(16)
        .read_to_end(&mut magic)?;
    Ok(magic == b"SQLite format 3\0")
}

/// Lists a Manifest.db as comma-separated values: domain, path, flags.
pub(super) fn listing(database: &Path) -> Result<String, Damaged> {
    let connection = open(database)?;
    let mut statement = connection
        .prepare("SELECT domain, relativePath, flags FROM Files ORDER BY domain, relativePath")?;
    let mut rows = statement.query([])?;
    let mut text = String::from("Domain,Path,Flags\n");
    while let Some(row) = rows.next()? {
        let (domain, path): (String, String) = (row.get(0)?, row.get(1)?);
        let flags: i64 = row.get(2)?;
        let quoted = path.replace('"', "\"\"");
        text.push_str(&format!("{domain},\"{quoted}\",{flags}\n"));
    }
    Ok(text)
}

/// Returns SHA-1 and size, in bytes, of a file.
pub(super) fn digest(path: &Path) -> Result<([u8; 20], u64), BackupError> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha1::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..n).filter(|part| !part.is_empty()) else {
            break;
        };
        hash.update(part);
        size += n as u64;
    }
    Ok((hash.finalize().into(), size))
}
