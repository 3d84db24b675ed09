//! Real SQLite databases of the shape iOS apps leave in a backup.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::rng::Rng;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    Messages,
    Contacts,
    Calls,
    Notes,
    Calendar,
    Photos,
    AppStore,
    Health,
    History,
}

impl Schema {
    const fn tables(self) -> &'static str {
        match self {
            Self::Messages => {
                "CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT NOT NULL, service TEXT);
                 CREATE TABLE message (ROWID INTEGER PRIMARY KEY, guid TEXT UNIQUE NOT NULL, text TEXT, \
                   handle_id INTEGER, date INTEGER, is_from_me INTEGER);
                 CREATE INDEX message_idx_date ON message(date);"
            }
            Self::Contacts => {
                "CREATE TABLE ABPerson (ROWID INTEGER PRIMARY KEY, First TEXT, Last TEXT, CreationDate INTEGER);
                 CREATE TABLE ABMultiValue (UID INTEGER PRIMARY KEY, record_id INTEGER, property INTEGER, value TEXT);"
            }
            Self::Calls => {
                "CREATE TABLE ZCALLRECORD (Z_PK INTEGER PRIMARY KEY, ZDATE TIMESTAMP, ZDURATION FLOAT, ZADDRESS VARCHAR);"
            }
            Self::Notes => {
                "CREATE TABLE ZICCLOUDSYNCINGOBJECT (Z_PK INTEGER PRIMARY KEY, ZIDENTIFIER VARCHAR, ZTITLE1 VARCHAR, \
                   ZMODIFICATIONDATE TIMESTAMP);"
            }
            Self::Calendar => {
                "CREATE TABLE CalendarItem (ROWID INTEGER PRIMARY KEY, summary TEXT, start_date REAL, UUID TEXT);"
            }
            Self::Photos => {
                "CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, ZFILENAME VARCHAR, ZDATECREATED TIMESTAMP, ZUUID VARCHAR);"
            }
            Self::Health => {
                "CREATE TABLE samples (data_id INTEGER PRIMARY KEY, start_date REAL, end_date REAL, data_type INTEGER);
                 CREATE TABLE quantity_samples (data_id INTEGER PRIMARY KEY, quantity REAL, original_unit TEXT);"
            }
            Self::History => {
                "CREATE TABLE history_items (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, visit_count INTEGER NOT NULL);
                 CREATE TABLE history_visits (id INTEGER PRIMARY KEY, history_item INTEGER NOT NULL, visit_time REAL, title TEXT);"
            }
            Self::AppStore => {
                "CREATE TABLE item (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, body TEXT, changed REAL);"
            }
        }
    }
}

/// Builds a database with so many rows; the same arguments give the same bytes.
///
/// # Errors
/// When the temporary directory cannot hold it.
pub(crate) fn build(schema: Schema, key: u64, rows: u64) -> Result<Arc<[u8]>, DatabaseError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("content.sqlite");
    let mut connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;",
    )?;
    connection.execute_batch(schema.tables())?;
    let transaction = connection.transaction()?;
    let mut rng = Rng::new(key);
    for row in 1..=rows {
        insert(&transaction, schema, &mut rng, row)?;
    }
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(std::fs::read(&path)?.into())
}

/// Says why a database could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("the temporary directory cannot hold a database")]
    Io(#[from] std::io::Error),
    #[error("SQLite refused")]
    Sqlite(#[from] rusqlite::Error),
}

const WORDS: &[&str] = &[
    "see you",
    "at six",
    "the train",
    "is late",
    "bring bread",
    "thank you",
    "grüezi",
    "ça va",
    "🌲",
    "tomorrow",
    "on the pier",
    "call me",
    "no rush",
    "happy birthday",
    "the keys",
];
const FIRST: &[&str] = &[
    "Ada", "Blaise", "Chiara", "Dmitri", "Eun-ji", "Fatima", "Grace", "Håkon",
];
const LAST: &[&str] = &[
    "Lovelace", "Müller", "Okafor", "Rossi", "Sato", "Turing", "Vega", "Zuse",
];

fn sentence(rng: &mut Rng) -> String {
    let count = 2 + rng.below(7);
    (0..count)
        .map(|_| rng.pick(WORDS))
        .collect::<Vec<_>>()
        .join(" ")
}

fn number(rng: &mut Rng) -> String {
    format!("+1202555{:04}", 100 + rng.below(100))
}

/// Seconds since 2001, as Core Data writes them.
fn moment(rng: &mut Rng) -> i64 {
    i64::try_from(700_000_000 + rng.below(80_000_000)).unwrap_or(0)
}

fn insert(
    connection: &Connection,
    schema: Schema,
    rng: &mut Rng,
    row: u64,
) -> Result<(), rusqlite::Error> {
    let row = i64::try_from(row).unwrap_or(i64::MAX);
    match schema {
        Schema::Messages => {
            connection
                .prepare("INSERT OR IGNORE INTO handle VALUES (?1, ?2, 'iMessage')")?
                .execute(params![row % 12 + 1, number(rng)])?;
            connection
                .prepare("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![
                    row,
                    rng.uuid(),
                    sentence(rng),
                    row % 12 + 1,
                    moment(rng) * 1_000_000_000,
                    row % 2
                ])?;
        }
        Schema::Contacts => {
            connection
                .prepare("INSERT INTO ABPerson VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![row, rng.pick(FIRST), rng.pick(LAST), moment(rng)])?;
            connection
                .prepare("INSERT INTO ABMultiValue VALUES (?1, ?1, 3, ?2)")?
                .execute(params![row, number(rng)])?;
        }
        Schema::Calls => {
            connection
                .prepare("INSERT INTO ZCALLRECORD VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![row, moment(rng), 30 + row % 600, number(rng)])?;
        }
        Schema::Notes => {
            connection
                .prepare("INSERT INTO ZICCLOUDSYNCINGOBJECT VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![row, rng.uuid(), sentence(rng), moment(rng)])?;
        }
        Schema::Calendar => {
            connection
                .prepare("INSERT INTO CalendarItem VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![row, sentence(rng), moment(rng), rng.uuid()])?;
        }
        Schema::Photos => {
            connection
                .prepare("INSERT INTO ZASSET VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    row,
                    format!("IMG_{row:04}.HEIC"),
                    moment(rng),
                    rng.uuid()
                ])?;
        }
        Schema::Health | Schema::History => insert_secret(connection, schema, rng, row)?,
        Schema::AppStore => {
            connection
                .prepare("INSERT INTO item VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![row, rng.uuid(), sentence(rng), moment(rng)])?;
        }
    }
    Ok(())
}

/// Inserts a row into one of the databases that only encrypted backups hold.
fn insert_secret(
    connection: &Connection,
    schema: Schema,
    rng: &mut Rng,
    row: i64,
) -> Result<(), rusqlite::Error> {
    let when = moment(rng);
    if schema == Schema::Health {
        connection
            .prepare("INSERT INTO samples VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![row, when, when + 60, 5 + row % 3])?;
        let quantity = i64::try_from(40 + rng.below(120)).unwrap_or(0);
        connection
            .prepare("INSERT INTO quantity_samples VALUES (?1, ?2, 'count/min')")?
            .execute(params![row, quantity])?;
    } else {
        let url = format!("https://{}.example/{row}", rng.uuid().to_lowercase());
        connection
            .prepare("INSERT INTO history_items VALUES (?1, ?2, 1)")?
            .execute(params![row, url])?;
        connection
            .prepare("INSERT INTO history_visits VALUES (?1, ?1, ?2, ?3)")?
            .execute(params![row, when, sentence(rng)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_the_same_each_time_and_opens() {
        for schema in [
            Schema::Messages,
            Schema::Contacts,
            Schema::Calls,
            Schema::Notes,
            Schema::Calendar,
            Schema::Photos,
            Schema::AppStore,
            Schema::Health,
            Schema::History,
        ] {
            let bytes = build(schema, 5, 30).unwrap();
            assert_eq!(bytes, build(schema, 5, 30).unwrap(), "{schema:?}");
            assert_ne!(bytes, build(schema, 6, 30).unwrap(), "{schema:?}");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            std::fs::write(&path, &bytes).unwrap();
            let connection = Connection::open(&path).unwrap();
            let verdict: String = connection
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(verdict, "ok");
        }
    }
}
