//! The notes behind `timeline` and `why --night`: a table of the history, bounded in time.
//!
//! Notes are put down in memory at once and written together a little later, by whoever next
//! writes or reads; so what is read is always whole, and the order is the order of putting down.

use super::{History, clamp};
use crate::chronicle::{Gap, Note, What};
use ibak_core::{Udid, Wall};
use rusqlite::{Connection, Row, params};
use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;
use tracing::warn;

/// Newest notes that one question may return.
pub const NOTES_MAX: u32 = 10_000;
/// Most notes that wait to be written; older ones are lost when the disk takes no more.
const WAITING_MAX: usize = 4_096;
/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// The table.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS notes (
        id INTEGER PRIMARY KEY, phone TEXT NOT NULL, at INTEGER NOT NULL, what TEXT NOT NULL,
        word TEXT NOT NULL, more TEXT NOT NULL, source TEXT NOT NULL, job INTEGER NOT NULL,
        since INTEGER);
    CREATE INDEX IF NOT EXISTS notes_by_phone ON notes (phone, at);";

const COLUMNS: &str = "at, phone, what, word, more, source, job, since";

/// Notes that wait to be written, and how old ones were last removed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    notes: VecDeque<Note>,
    pruned: Option<Pruned>,
    /// Whether the date is not believed: then nothing is old.
    date_in_doubt: bool,
}

/// When old notes were last removed, and for how long they were kept then.
#[derive(Clone, Copy, Debug)]
struct Pruned {
    at: Wall,
    kept: Duration,
}

impl Waiting {
    /// Says whether old notes are to be removed now.
    fn is_prune_due(&self, now: Wall, kept: Duration) -> bool {
        let Some(last) = self.pruned else {
            return kept.is_zero() || !self.date_in_doubt;
        };
        let a_day_ago = now < last.at || now.saturating_since(last.at) >= DAY;
        kept.is_zero() || (!self.date_in_doubt && (a_day_ago || kept != last.kept))
    }

    /// Forgets the oldest of too many.
    fn bound(&mut self) {
        let over = self.notes.len().saturating_sub(WAITING_MAX);
        drop(self.notes.drain(..over));
    }
}

/// How the history stands when the daemon begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// The note that the daemon has begun.
    pub note: Option<Note>,
    /// How many notes each phone has since the given moment.
    pub counts: BTreeMap<Udid, u32>,
}

impl History {
    /// Says how the last daemon ended, and how many notes there are since `hour`.
    pub fn begin(&self, now: Wall, hour: Wall) -> Beginning {
        let guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = guard.as_ref() else {
            return Beginning::default();
        };
        match beginning(connection, now, hour) {
            Ok(beginning) => beginning,
            Err(error) => {
                warn!(%error, "the history cannot be read");
                Beginning::default()
            }
        }
    }

    /// Puts notes down, without the disk.
    pub fn put_down(&self, notes: Vec<Note>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.notes.extend(notes);
        waiting.bound();
    }

    /// Says whether the date is believed; while it is not, no note is removed for its age.
    pub fn believe_date(&self, believed: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.date_in_doubt = !believed;
    }

    /// Leaves out what was put down about a phone that is forgotten.
    pub(super) fn forget_waiting(&self, phone: &Udid) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .notes
            .retain(|note| note.phone.as_ref() != Some(phone));
    }

    /// Writes what was put down, and once a day removes what is older than `kept`.
    pub fn write_notes(&self, now: Wall, kept: Duration) {
        let mut guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = guard.as_mut() {
            self.write_down(connection, now, kept);
        }
    }

    fn write_down(&self, connection: &mut Connection, now: Wall, kept: Duration) {
        // Taken while the connection is held: whoever writes later writes later notes.
        let (notes, prune, before) = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let prune = waiting.is_prune_due(now, kept);
            let before = waiting.pruned;
            if prune {
                waiting.pruned = Some(Pruned { at: now, kept });
            }
            (std::mem::take(&mut waiting.notes), prune, before)
        };
        if notes.is_empty() && !prune {
            return;
        }
        let written = connection.transaction().and_then(|transaction| {
            if prune {
                prune_before(&transaction, now, kept)?;
            }
            if !kept.is_zero() {
                for note in &notes {
                    insert(&transaction, note)?;
                }
            }
            transaction.commit()
        });
        if let Err(error) = written {
            warn!(%error, notes = notes.len(), "the night could not be noted; it is tried again");
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut waiting.notes, notes);
            waiting.notes.extend(newer);
            waiting.bound();
            waiting.pruned = before;
        }
    }

    /// Returns what was noted of a phone from `since` to before `until`, oldest first, and before
    /// that how things stood at `since`; nothing is older than `kept`. What was put down is
    /// written first.
    pub fn notes(
        &self,
        phone: &Udid,
        since: Wall,
        until: Wall,
        now: Wall,
        kept: Duration,
    ) -> Vec<Note> {
        let mut guard = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = guard.as_mut() else {
            return Vec::new();
        };
        self.write_down(connection, now, kept);
        if kept.is_zero() {
            return Vec::new();
        }
        let since = since.max(now - kept);
        match read(connection, phone, since, until) {
            Ok(mut notes) => {
                for note in &mut notes {
                    note.at = note.at.max(now - kept);
                }
                notes
            }
            Err(error) => {
                warn!(%error, "the history cannot be read");
                Vec::new()
            }
        }
    }
}

fn beginning(connection: &Connection, now: Wall, hour: Wall) -> rusqlite::Result<Beginning> {
    let last: Option<i64> = connection.query_row(
        "SELECT MAX(at) FROM (SELECT MAX(at) AS at FROM notes UNION ALL SELECT MAX(ended) FROM attempts)",
        [],
        |row| row.get(0),
    )?;
    let word: Option<String> = connection.query_row(
        "SELECT (SELECT word FROM notes WHERE what = 'daemon' AND phone = '' ORDER BY id DESC LIMIT 1)",
        [],
        |row| row.get(0),
    )?;
    let gap = match word.as_deref() {
        None => Gap::Started,
        Some(word) if word == Gap::Stopped.word() => Gap::Started,
        Some(_) => Gap::Restarted,
    };
    let since = word.and(last).map(|at| Wall::from_micros(at).min(now));
    let mut statement = connection.prepare(
        "SELECT phone, COUNT(*) FROM notes WHERE at >= ?1 AND phone <> '' GROUP BY phone",
    )?;
    let rows = statement.query_map(params![hour.as_micros()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
    })?;
    let mut counts = BTreeMap::new();
    for row in rows {
        let (phone, count) = row?;
        if let Ok(udid) = Udid::parse(&phone) {
            counts.insert(udid, count);
        }
    }
    Ok(Beginning {
        note: Some(Note::gap(gap, since, now)),
        counts,
    })
}

fn insert(connection: &Connection, note: &Note) -> rusqlite::Result<()> {
    let sql = format!("INSERT INTO notes ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    let mut statement = connection.prepare(&sql)?;
    statement.execute(params![
        note.at.as_micros(),
        note.phone.as_ref().map_or("", Udid::as_str),
        note.what.word(),
        note.word,
        note.more,
        note.source,
        clamp(note.job),
        note.since.map(Wall::as_micros),
    ])?;
    Ok(())
}

/// Removes what is older than `kept`, but for how things stood then, and what is of tomorrow or
/// later: a clock was wrong.
///
/// What would leave nothing is put off: it is rather the clock that is wrong, and if not, the next
/// day has notes of its own.
fn prune_before(connection: &Connection, now: Wall, kept: Duration) -> rusqlite::Result<()> {
    if kept.is_zero() {
        connection.execute("DELETE FROM notes", [])?;
        return Ok(());
    }
    let (cutoff, tomorrow) = ((now - kept).as_micros(), (now + DAY).as_micros());
    let stays: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM notes WHERE at >= ?1 AND at <= ?2)",
        params![cutoff, tomorrow],
        |row| row.get(0),
    )?;
    if !stays {
        return Ok(());
    }
    connection.execute("DELETE FROM notes WHERE at > ?1", params![tomorrow])?;
    let cutoff = params![cutoff];
    connection.execute(
        "DELETE FROM notes WHERE at < ?1 AND id NOT IN
            (SELECT MAX(id) FROM notes WHERE at < ?1 GROUP BY phone, what)",
        cutoff,
    )?;
    // When it came to be so is too old to be kept; that it was so is not.
    connection.execute("UPDATE notes SET at = ?1 WHERE at < ?1", cutoff)?;
    connection.execute("UPDATE notes SET since = ?1 WHERE since < ?1", cutoff)?;
    Ok(())
}

fn read(
    connection: &Connection,
    phone: &Udid,
    since: Wall,
    until: Wall,
) -> rusqlite::Result<Vec<Note>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM notes WHERE phone IN (?1, '') AND ((at >= ?2 AND at < ?3) OR id IN
            (SELECT MAX(id) FROM notes WHERE phone IN (?1, '') AND at < ?2 GROUP BY phone, what))
         ORDER BY id DESC LIMIT ?4"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(
        params![
            phone.as_str(),
            since.as_micros(),
            until.as_micros(),
            NOTES_MAX
        ],
        note_of,
    )?;
    let mut notes = Vec::new();
    for row in rows {
        // A word of a newer daemon is left out.
        notes.extend(row?);
    }
    notes.reverse();
    Ok(notes)
}

fn note_of(row: &Row<'_>) -> rusqlite::Result<Option<Note>> {
    let (phone, what): (String, String) = (row.get(1)?, row.get(2)?);
    let Some(what) = What::ALL.into_iter().find(|it| it.word() == what) else {
        return Ok(None);
    };
    Ok(Some(Note {
        at: Wall::from_micros(row.get(0)?),
        phone: Udid::parse(&phone).ok(),
        what,
        word: row.get(3)?,
        more: row.get(4)?,
        source: row.get(5)?,
        job: row.get::<_, i64>(6)?.unsigned_abs(),
        since: row.get::<_, Option<i64>>(7)?.map(Wall::from_micros),
    }))
}

#[cfg(test)]
#[path = "notes_tests.rs"]
mod tests;
