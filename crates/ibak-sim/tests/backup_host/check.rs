//! Reads what a backup left on the host and holds it against the phone.

use std::collections::BTreeMap;
use std::path::Path;

use ibak_sim::content::{Content, FileKind};
use plist::{Dictionary, Value};
use sha1::{Digest, Sha1};

use super::TestPhone;

/// Reads Status.plist of a backup.
pub fn status(dir: &Path) -> Option<Dictionary> {
    Value::from_reader(std::io::Cursor::new(
        std::fs::read(dir.join("Status.plist")).ok()?,
    ))
    .ok()?
    .into_dictionary()
}

/// One row of Manifest.db.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestRow {
    pub domain: String,
    pub path: String,
    pub flags: i64,
    pub blob: Vec<u8>,
}

/// Reads Manifest.db after SQLite has found it sound.
pub fn manifest_rows(dir: &Path) -> BTreeMap<String, ManifestRow> {
    let connection = rusqlite::Connection::open(dir.join("Manifest.db")).unwrap();
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = connection
        .prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")
        .unwrap();
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            ManifestRow {
                domain: row.get(1)?,
                path: row.get(2)?,
                flags: row.get(3)?,
                blob: row.get(4)?,
            },
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Holds a committed backup against the phone: every row, every byte, and nothing else.
pub fn assert_equal(root: &Path, phone: &TestPhone) {
    assert_equal_but(root, phone, &[]);
}

/// The same, where the files with these ids could not be sent.
pub fn assert_equal_but(root: &Path, phone: &TestPhone, failed: &[String]) {
    let content = phone.content.lock().unwrap();
    assert_backup(&root.join(&phone.identity.udid), &content, failed);
}

/// The same for the directory of any backup.
pub fn assert_backup(dir: &Path, content: &Content, failed: &[String]) {
    let rows = manifest_rows(dir);
    let mut expected = 0;
    let mut payloads = std::collections::BTreeSet::new();
    for file in content.files() {
        let id = file.id.hex();
        if failed.contains(&id) {
            assert!(
                !rows.contains_key(&id),
                "a file that never came is in Manifest.db: {}",
                file.path
            );
            continue;
        }
        expected += 1;
        let row = rows
            .get(&id)
            .unwrap_or_else(|| panic!("no row for {} {}", file.domain, file.path));
        assert_eq!(
            (row.domain.as_str(), row.path.as_str(), row.flags),
            (file.domain, file.path, file.kind.flags())
        );
        let hash: [u8; 20] = Sha1::digest(format!("{}-{}", file.domain, file.path)).into();
        assert_eq!(hash, file.id.0);
        if file.kind == FileKind::Regular {
            let payload = std::fs::read(dir.join(&id[..2]).join(&id))
                .unwrap_or_else(|error| panic!("{}: {error}", file.path));
            assert_eq!(payload.len() as u64, file.size, "{}", file.path);
            let sha1: [u8; 20] = Sha1::digest(&payload).into();
            assert_eq!(sha1, content.sha1_of(&file).unwrap(), "{}", file.path);
            payloads.insert(id);
        }
    }
    assert_eq!(rows.len(), expected, "Manifest.db has rows of its own");
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match name.as_str() {
            "Info.plist" | "Status.plist" | "Manifest.plist" | "Manifest.db" => {
                assert!(entry.path().is_file())
            }
            prefix if prefix.len() == 2 => {
                for payload in std::fs::read_dir(entry.path()).unwrap() {
                    let payload = payload.unwrap().file_name().into_string().unwrap();
                    assert!(payloads.contains(&payload), "{payload} belongs to nothing");
                }
            }
            other => panic!("{other} was left behind"),
        }
    }
    let status = status(dir).unwrap();
    assert_eq!(status["SnapshotState"].as_string(), Some("finished"));
}
