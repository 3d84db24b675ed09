//! Whether a backup holds what the simulated phone holds.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ibak_sim::PhoneSpec;
use ibak_sim::content::{Content, ContentSpec, FileKind};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

/// Checks every row, and of every file that it is there with its size.
pub(crate) fn check(phone: &Path, touched: u64, backup: &Path) -> Result<Value> {
    let content = content(phone, touched)?;
    let mut rows = rows(&backup.join("Manifest.db"))?;
    let (mut count, mut files, mut bytes) = (0_u64, 0_u64, 0_u64);
    for file in content.files() {
        let id = file.id.hex();
        let what = || format!("{} {}", file.domain, file.path);
        let flags = rows
            .remove(&id)
            .with_context(|| format!("no row for {}", what()))?;
        ensure!(flags == file.kind.flags(), "the wrong kind: {}", what());
        count += 1;
        if file.kind != FileKind::Regular {
            continue;
        }
        let folder = id.get(..2).context("a short id")?;
        let stat = fs::metadata(backup.join(folder).join(&id))
            .with_context(|| format!("no file for {}", what()))?;
        ensure!(
            stat.is_file() && stat.len() == file.size,
            "{} bytes instead of {}: {}",
            stat.len(),
            file.size,
            what()
        );
        files += 1;
        bytes += file.size;
    }
    ensure!(rows.is_empty(), "{} rows too many", rows.len());
    Ok(json!({ "rows": count, "files": files, "bytes": bytes }))
}

fn content(phone: &Path, touched: u64) -> Result<Content> {
    let spec = PhoneSpec::load(phone)?;
    let mut content = Content::generate(
        &ContentSpec {
            seed: spec.seed,
            files: spec.files,
            bytes: spec.bytes,
            apps: spec.apps,
            largest_file: spec.largest_file,
        },
        &spec.identity(),
    );
    if touched > 0 {
        content.change(touched, 0, 0);
    }
    Ok(content)
}

/// Reads the ids and flags of Manifest.db.
fn rows(database: &Path) -> Result<HashMap<String, i64>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)
        .with_context(|| format!("cannot open {}", database.display()))?;
    let mut statement = connection.prepare("SELECT fileID, flags FROM Files")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
