//! The log of every attempt, in SQLite. Losing or corrupting it loses no backup and does not stop the daemon.

mod notes;

pub use notes::{Beginning, NOTES_MAX};

use ibak_core::{Bytes, Udid, Wall};
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tracing::warn;

/// Newest rows that one question may return.
pub const ROWS_MAX: u32 = 1_000;

/// One try at a backup and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whose backup.
    pub phone: Udid,
    /// What it was, as in `Job.Kind`.
    pub kind: String,
    /// The job that made it.
    pub job: u64,
    /// When it began.
    pub started: Wall,
    /// When it ended.
    pub ended: Wall,
    /// `schedule` or `user`.
    pub trigger: String,
    /// The result's word, as in `LastResult`.
    pub result: String,
    /// The phone's error code (MBErrorDomain), 0 = none.
    pub device_code: i64,
    /// A further word or a bounded piece of text for the log, never a sentence for people.
    pub detail: String,
    /// The backup it made, if it did.
    pub backup: Option<String>,
    /// Bytes that arrived.
    pub bytes: u64,
    /// Files that arrived.
    pub files: u64,
    /// What was missing, for one that was never ready: words with commas between.
    pub waits_for: String,
}

/// The open log; without a usable file it keeps nothing and says so once.
#[derive(Debug)]
pub struct History {
    connection: Mutex<Option<Connection>>,
    waiting: Mutex<notes::Waiting>,
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS attempts (
        id INTEGER PRIMARY KEY, phone TEXT NOT NULL, job INTEGER NOT NULL, started INTEGER NOT NULL,
        ended INTEGER NOT NULL, trigger TEXT NOT NULL, result TEXT NOT NULL, device_code INTEGER NOT NULL,
        detail TEXT NOT NULL, backup TEXT, bytes INTEGER NOT NULL, files INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS attempts_by_phone ON attempts (phone, started);
    CREATE TABLE IF NOT EXISTS uses (phone TEXT NOT NULL, day INTEGER NOT NULL, at INTEGER NOT NULL,
        used INTEGER NOT NULL, PRIMARY KEY (phone, day)) WITHOUT ROWID;";
/// What a file of version 1 lacks.
const FROM_1: &str = "BEGIN; ALTER TABLE attempts ADD COLUMN kind TEXT NOT NULL DEFAULT 'backup';
    PRAGMA user_version = 2; COMMIT;";
/// What a file of version 2 lacks, beside the table of notes.
const FROM_2: &str = "BEGIN; ALTER TABLE attempts ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 3; COMMIT;";
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What a phone's backups took on the disk at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Whose backups.
    pub phone: Udid,
    /// When.
    pub at: Wall,
    /// How much.
    pub used: Bytes,
}

impl History {
    /// Opens the log; a damaged file is set aside and a new one begun.
    pub fn open(path: &Path) -> Self {
        let connection = match try_open(path) {
            Ok(connection) => Some(connection),
            Err(error) if !is_damage(&error) => {
                warn!(%error, path = %path.display(), "the history cannot be opened; none is kept until the next start");
                None
            }
            Err(error) => {
                let aside = path.with_extension("damaged");
                warn!(%error, path = %path.display(), aside = %aside.display(), "the history cannot be used and is set aside; no backup is touched");
                match std::fs::rename(path, &aside)
                    .map_err(|e| e.to_string())
                    .and_then(|()| try_open(path).map_err(|e| e.to_string()))
                {
                    Ok(connection) => Some(connection),
                    Err(error) => {
                        warn!(%error, "no history is kept");
                        None
                    }
                }
            }
        };
        Self {
            connection: Mutex::new(connection),
            waiting: Mutex::default(),
        }
    }

    /// Adds an attempt; a failure is logged and otherwise without effect.
    pub fn record(&self, attempt: &Attempt) {
        let guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = guard.as_ref() else {
            return;
        };
        let done = connection.execute(
            "INSERT INTO attempts (kind, phone, job, started, ended, trigger, result, device_code, detail, backup, bytes, files, waits_for)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                attempt.kind,
                attempt.phone.as_str(),
                clamp(attempt.job),
                attempt.started.as_micros(),
                attempt.ended.as_micros(),
                attempt.trigger,
                attempt.result,
                attempt.device_code,
                attempt.detail,
                attempt.backup,
                clamp(attempt.bytes),
                clamp(attempt.files),
                attempt.waits_for,
            ],
        );
        if let Err(error) = done {
            warn!(%error, "an attempt could not be written to the history");
        }
    }

    /// Notes what a phone's backups take; the last note of a day counts.
    pub fn note_use(&self, noted: &Use) {
        let at = noted.at.as_micros();
        self.write(
            "INSERT OR REPLACE INTO uses (phone, day, at, used) VALUES (?1, ?2, ?3, ?4)",
            params![
                noted.phone.as_str(),
                at.div_euclid(DAY),
                at,
                clamp(noted.used.get())
            ],
        );
    }

    /// Forgets everything about a phone.
    pub fn forget(&self, phone: &Udid) {
        self.write(
            "DELETE FROM attempts WHERE phone = ?1",
            params![phone.as_str()],
        );
        self.write("DELETE FROM uses WHERE phone = ?1", params![phone.as_str()]);
        self.forget_waiting(phone);
        self.write(
            "DELETE FROM notes WHERE phone = ?1",
            params![phone.as_str()],
        );
        // A writing that failed meanwhile has put some back.
        self.forget_waiting(phone);
    }

    fn write(&self, sql: &str, values: impl rusqlite::Params) {
        let guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = guard.as_ref() else {
            return;
        };
        if let Err(error) = connection.execute(sql, values) {
            warn!(%error, "the history could not be written");
        }
    }

    /// Returns what a phone's backups took since then, oldest first.
    pub fn uses(&self, phone: &Udid, since: Wall) -> Vec<(Wall, Bytes)> {
        self.samples(
            "SELECT at, used FROM uses WHERE phone = ?1 AND at >= ?2 ORDER BY at",
            params![phone.as_str(), since.as_micros()],
        )
    }

    /// Returns what all backups together took since then, oldest first: on each day that something
    /// was noted, each phone's last note until then.
    pub fn uses_of_all(&self, since: Wall) -> Vec<(Wall, Bytes)> {
        self.samples(
            "SELECT days.at, (SELECT SUM(used) FROM uses AS last WHERE last.day =
                (SELECT MAX(day) FROM uses WHERE phone = last.phone AND day <= days.day))
             FROM (SELECT day, MAX(at) AS at FROM uses WHERE at >= ?1 GROUP BY day) AS days
             ORDER BY days.day",
            params![since.as_micros()],
        )
    }

    fn samples(&self, sql: &str, values: impl rusqlite::Params) -> Vec<(Wall, Bytes)> {
        let guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let read = |connection: &Connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map(values, |row| {
                let used = row.get::<_, i64>(1)?.unsigned_abs();
                Ok((Wall::from_micros(row.get(0)?), Bytes::new(used)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        match guard.as_ref().map(read) {
            Some(Ok(samples)) => samples,
            None => Vec::new(),
            Some(Err(error)) => {
                warn!(%error, "the history cannot be read");
                Vec::new()
            }
        }
    }

    /// Returns the attempts of `phone` at backups, or at anything, that began at or after `since`,
    /// oldest first, at most [`ROWS_MAX`] of the newest.
    pub fn attempts(&self, phone: &Udid, since: Wall, all: bool) -> Vec<Attempt> {
        let guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = guard.as_ref() else {
            return Vec::new();
        };
        match read(connection, phone, since, all) {
            Ok(mut rows) => {
                rows.reverse();
                rows
            }
            Err(error) => {
                warn!(%error, "the history cannot be read");
                Vec::new()
            }
        }
    }
}

/// Says whether the file itself is bad, rather than the disk full or the folder closed.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let damaged = matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    );
    damaged || matches!(error, rusqlite::Error::InvalidPath(_))
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn try_open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(notes::SCHEMA)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (least, batch) in [(2, FROM_1), (3, FROM_2)] {
        if version < least {
            connection.execute_batch(batch)?;
        }
    }
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound == "ok" {
        Ok(connection)
    } else {
        Err(rusqlite::Error::InvalidPath(path.to_owned()))
    }
}

fn read(
    connection: &Connection,
    phone: &Udid,
    since: Wall,
    all: bool,
) -> rusqlite::Result<Vec<Attempt>> {
    let mut statement = connection.prepare(
        "SELECT job, started, ended, trigger, result, device_code, detail, backup, bytes, files, kind,
            waits_for FROM attempts
         WHERE phone = ?1 AND started >= ?2 AND (?4 OR kind = 'backup')
         ORDER BY started DESC, id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(
        params![phone.as_str(), since.as_micros(), ROWS_MAX, all],
        |row| {
            Ok(Attempt {
                phone: phone.clone(),
                kind: row.get(10)?,
                job: row.get::<_, i64>(0)?.unsigned_abs(),
                started: Wall::from_micros(row.get(1)?),
                ended: Wall::from_micros(row.get(2)?),
                trigger: row.get(3)?,
                result: row.get(4)?,
                device_code: row.get(5)?,
                detail: row.get(6)?,
                backup: row.get(7)?,
                bytes: row.get::<_, i64>(8)?.unsigned_abs(),
                files: row.get::<_, i64>(9)?.unsigned_abs(),
                waits_for: row.get(11)?,
            })
        },
    )?;
    rows.collect()
}

#[cfg(test)]
mod tests;
