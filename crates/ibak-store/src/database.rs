//! SQLite on a database that somebody else made.
//!
//! Read-only, immutable, defensive; no views, no triggers, no virtual tables, no computed columns;
//! and every limit as low as a Manifest.db allows (security.md).

use crate::error::{Context, StoreError};
use crate::fs::Errno;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;

/// Rows of a Manifest.db at most.
pub(crate) const ROWS_MAX: u64 = 10_000_000;
/// The columns of `Files` that are read.
const COLUMNS: [&str; 5] = ["fileID", "domain", "relativePath", "flags", "file"];

/// Opens a file nobody writes to, read-only and with SQLite's defences up.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database =
        Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 64),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 32),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 4),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 8),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        database.set_limit(limit, value)?;
    }
    database.pragma_update(None, "query_only", true)?;
    database.pragma_update(None, "cell_size_check", true)?;
    database.pragma_update(None, "mmap_size", 0)?;
    Ok(database)
}

/// Says whether `Files` is an ordinary table whose columns are stored, not computed.
pub(crate) fn is_plain(database: &Connection) -> rusqlite::Result<bool> {
    let mut query = database
        .prepare("SELECT type, rootpage FROM sqlite_schema WHERE name = 'Files' COLLATE NOCASE")?;
    let mut rows = query.query([])?;
    let mut tables = 0;
    while let Some(row) = rows.next()? {
        // A virtual table has no page of its own.
        if row.get_ref(0)?.as_str_or_null()? != Some("table")
            || row
                .get_ref(1)?
                .as_i64_or_null()?
                .is_none_or(|page| page < 1)
        {
            return Ok(false);
        }
        tables += 1;
    }
    let mut query = database.prepare("PRAGMA table_xinfo('Files')")?;
    let mut rows = query.query([])?;
    let mut stored = 0;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(1)?;
        let hidden = row.get_ref(6)?.as_i64_or_null()?.unwrap_or(1);
        if hidden != 0 {
            return Ok(false);
        }
        if name
            .as_str_or_null()?
            .is_some_and(|name| COLUMNS.contains(&name))
        {
            stored += 1;
        }
    }
    Ok(tables == 1 && stored == COLUMNS.len())
}

/// Tells an error of the disk or of this machine from one of the database's content.
pub(crate) fn trouble(error: &rusqlite::Error) -> Option<StoreError> {
    let code = error.sqlite_error_code()?;
    if code == ErrorCode::OperationInterrupted {
        return Some(StoreError::Cancelled);
    }
    let (_, action, errno) = [
        (ErrorCode::CannotOpen, "open", Errno::MFILE),
        (ErrorCode::SystemIoFailure, "read", Errno::IO),
        (ErrorCode::OutOfMemory, "read", Errno::NOMEM),
        (ErrorCode::DiskFull, "read", Errno::NOSPC),
    ]
    .into_iter()
    .find(|(known, ..)| *known == code)?;
    Err::<(), _>(errno).at(action, "Manifest.db").err()
}
