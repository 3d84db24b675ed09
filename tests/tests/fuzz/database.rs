//! A store with one backup, whose list of files is replaced by whatever the fuzzer makes.

use ibak_core::{BackupId, Udid};
use ibak_sim::IosVersion;
use ibak_sim::content::ContentSpec;
use ibak_store::{Filter, Store};
use ibak_tests::headless::{PhoneAlone, Wish, back_up, directory, open_store};
use ibakd::clock::Clock;
use rusqlite::Connection;
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Files whose content is read, too.
const OPENED_MAX: usize = 4;
/// Bytes of each.
const READ_MAX: u64 = 1 << 20;

/// A backup as the simulator makes it.
pub struct Bench {
    store: Store,
    udid: Udid,
    id: BackupId,
    tree: PathBuf,
    _directory: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let directory = directory().unwrap();
        let clock = Clock::system();
        let store = open_store(directory.path(), &clock).unwrap();
        let spec = ContentSpec {
            seed: 9,
            files: 12,
            bytes: 100_000,
            apps: 1,
            largest_file: Some(20_000),
        };
        let phone = PhoneAlone::new(IosVersion::new(15, 6, 0), &spec, Default::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let came = runtime
            .block_on(back_up(&phone, &store, &clock, Wish::default()))
            .unwrap();
        let made = came.committed.unwrap().unwrap();
        let wire = phone.wire_udid();
        let tree = directory
            .path()
            .join(wire)
            .join("gens")
            .join(made.id.as_str())
            .join(wire);
        open_up(&tree);
        Self {
            store,
            udid: Udid::parse(wire).unwrap(),
            id: made.id,
            tree,
            _directory: directory,
        }
    }

    /// Reads the backup with this list of files; returns how many were listed.
    pub fn read(&self, database: &[u8]) -> u64 {
        let path = self.tree.join("Manifest.db");
        fs::remove_file(&path).unwrap();
        fs::write(&path, database).unwrap();
        let reader = self.store.reader(&self.udid, &self.id).unwrap();
        let Ok(catalogue) = reader.catalogue(None) else {
            return 0;
        };
        let mut some = Vec::new();
        let listed = catalogue.for_each(&Filter::default(), &mut |entry| {
            assert!(!entry.domain.contains('/') && !entry.path.starts_with('/'));
            assert!(entry.path.split('/').all(|name| name != ".."));
            if some.len() < OPENED_MAX {
                some.push(entry);
            }
            ControlFlow::Continue(())
        });
        for entry in some {
            // Whether it is there is another matter.
            if let Ok(Some(found)) = catalogue.find(&entry.domain, &entry.path) {
                assert_eq!(found.file_id, entry.file_id);
            }
            if let Ok(content) = catalogue.open(&entry) {
                content
                    .take(READ_MAX)
                    .read_to_end(&mut Vec::new())
                    .unwrap_or_default();
            }
        }
        listed.map_or(0, |listed| listed.given)
    }
}

/// What is committed is not for writing.
fn open_up(tree: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(tree, fs::Permissions::from_mode(0o700)).unwrap();
}

/// The simulator's list of files.
pub fn honest() -> Vec<u8> {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| fs::read(Bench::new().tree.join("Manifest.db")).unwrap())
        .clone()
}

/// The property lists of a backup as the simulator makes them.
pub fn lists() -> Vec<Vec<u8>> {
    let bench = Bench::new();
    ["Info.plist", "Manifest.plist", "Status.plist"]
        .map(|name| fs::read(bench.tree.join(name)).unwrap())
        .to_vec()
}

/// What the simulator notes of its files.
pub fn blobs() -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("Manifest.db");
    fs::write(&path, honest()).unwrap();
    let database = Connection::open(path).unwrap();
    let mut query = database.prepare("SELECT file FROM Files").unwrap();
    query
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Lists of files: the honest one, and some that are no list or do something when they are read.
pub fn databases() -> Vec<Vec<u8>> {
    const SCHEMAS: [&str; 6] = [
        "CREATE VIEW Files AS SELECT 1 AS fileID, 'D' AS domain, 'p' AS relativePath, 1 AS flags, x'00' AS file",
        "CREATE TABLE Files(fileID, domain, relativePath, flags, file AS (zeroblob(100000000)))",
        "CREATE TABLE Files(fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
         WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500)
         INSERT INTO Files SELECT x, '../x', '../../y', 1, zeroblob(1000) FROM n",
        "CREATE TABLE Other(a); CREATE TRIGGER t AFTER INSERT ON Other BEGIN DELETE FROM Other; END",
        "CREATE TABLE Files(fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
         CREATE INDEX i ON Files(domain, abs(flags)); INSERT INTO Files VALUES('x', 'D', 'p', 4, x'6270')",
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE Files(fileID, domain, relativePath, flags, file);
         INSERT INTO Files VALUES('x', 'D', 'p', 1, NULL)",
    ];
    let directory = tempfile::tempdir().unwrap();
    let made = SCHEMAS.iter().enumerate().map(|(number, schema)| {
        let path = directory.path().join(number.to_string());
        Connection::open(&path)
            .unwrap()
            .execute_batch(schema)
            .unwrap();
        fs::read(path).unwrap()
    });
    std::iter::once(honest()).chain(made).collect()
}
