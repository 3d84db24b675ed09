//! A small phone: its files, and a session as phone.md §5 has it, in the store's verbs.

use ibak_core::{BackupPath, Bytes, Monotonic, Now, Udid, Wall};
use ibak_store::fs::{Fs, Kind};
use ibak_store::{
    Begin, Create, DeviceDone, Full, Generation, OpenOptions, Recovery, Reserve, Staging, Store,
    StoreError,
};
use plist::{Dictionary, Uid, Value};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

pub const UDID: &str = "00008030-001A2B3C4D5E6F70";
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn udid() -> Udid {
    Udid::parse(UDID).unwrap()
}

pub fn at(secs: u64) -> Now {
    let wall = Wall::from_secs(1_790_000_000 + i64::try_from(secs).unwrap());
    Now {
        monotonic: Monotonic::new(Duration::from_secs(secs)),
        wall,
    }
}

/// A directory for a store, in memory where there is such a thing: syncfs on a busy disk waits
/// for everybody.
pub fn scratch_dir() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A file with this content, where the directory for a store would be.
#[allow(dead_code, reason = "only the simulated file system needs it")]
pub fn scratch_file(content: &[u8]) -> tempfile::NamedTempFile {
    let builder = tempfile::Builder::new();
    let shm = Path::new("/dev/shm");
    let mut file = if shm.is_dir() {
        builder.tempfile_in(shm).unwrap()
    } else {
        builder.tempfile().unwrap()
    };
    std::io::Write::write_all(&mut file, content).unwrap();
    file
}

pub fn options(secs: u64) -> OpenOptions {
    OpenOptions {
        create: Create::IfEmpty,
        reserve: Reserve::Fixed(Bytes::ZERO),
        now: at(secs).wall,
    }
}

pub fn open(path: &Path) -> (Store, Recovery) {
    Store::open(path, options(0)).unwrap()
}

pub fn tree(path: &str) -> BackupPath {
    BackupPath::Tree(path.to_owned())
}

pub fn begin<F: Fs>(store: &Store<F>, full: Full, now: Now) -> Result<Staging<F>, StoreError> {
    store.begin(Begin {
        udid: &udid(),
        wire_udid: UDID,
        full,
        quota: None,
        now,
    })
}

pub fn file_id(name: &str) -> String {
    let digest = Sha1::digest(format!("HomeDomain-{name}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a file's content lies in a backup.
pub fn place(name: &str) -> String {
    let id = file_id(name);
    format!("{}/{id}", &id[..2])
}

fn bplist(entries: Vec<(&str, Value)>) -> Vec<u8> {
    let dict: Dictionary = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let mut bytes = Vec::new();
    Value::from(dict).to_writer_binary(&mut bytes).unwrap();
    bytes
}

pub fn status(state: &str) -> Vec<u8> {
    bplist(vec![
        ("SnapshotState", state.into()),
        ("Version", "3.3".into()),
        ("IsFullBackup", false.into()),
    ])
}

fn mbfile(size: usize) -> Vec<u8> {
    let dict = |entries: Vec<(&str, Value)>| -> Value {
        Value::from(
            entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<Dictionary>(),
        )
    };
    let top = dict(vec![("root", Value::Uid(Uid::new(1)))]);
    let file = dict(vec![
        ("Size", u64::try_from(size).unwrap().into()),
        ("Mode", 0o100_600_u64.into()),
    ]);
    bplist(vec![
        ("$top", top),
        ("$objects", Value::Array(vec!["$null".into(), file])),
    ])
}

#[derive(Clone, Default)]
pub struct Device {
    pub files: Files,
    pub encrypted: bool,
    /// Names whose content the phone cannot read.
    pub unreadable: Vec<String>,
}

impl Device {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec()))
            .collect();
        Self {
            files,
            ..Self::default()
        }
    }

    pub fn put(&mut self, name: &str, content: &str) {
        self.files
            .insert(name.to_owned(), content.as_bytes().to_vec());
    }

    pub fn manifest_plist(&self) -> Vec<u8> {
        let lockdown: Dictionary = [
            ("DeviceName", "Ada"),
            ("ProductType", "iPhone14,5"),
            ("ProductVersion", "15.6"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect();
        let mut entries = vec![
            ("IsEncrypted", self.encrypted.into()),
            ("Lockdown", lockdown.into()),
        ];
        if self.encrypted {
            let mut keybag = b"VERS\0\0\0\x04\0\0\0\x05UUID\0\0\0\x10".to_vec();
            keybag.extend([0xab; 16]);
            entries.push(("BackupKeyBag", Value::Data(keybag)));
        }
        bplist(entries)
    }

    pub fn manifest_db(&self) -> Vec<u8> {
        if self.encrypted {
            return vec![0x5a; 4096];
        }
        // Loops ask for the same ones over and over.
        static MADE: Mutex<BTreeMap<Files, Vec<u8>>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap();
        if made.len() > 64 {
            made.clear();
        }
        let list = made.entry(self.files.clone());
        list.or_insert_with(|| self.list_of_files()).clone()
    }

    fn list_of_files(&self) -> Vec<u8> {
        let dir = scratch_dir();
        let path = dir.path().join("m.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
                 CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
                 BEGIN;",
            )
            .unwrap();
        let mut insert = database
            .prepare("INSERT INTO Files VALUES (?1, 'HomeDomain', ?2, ?3, ?4)")
            .unwrap();
        insert.execute((file_id(""), "", 2, mbfile(0))).unwrap();
        for (name, content) in &self.files {
            insert
                .execute((file_id(name), name, 1, mbfile(content.len())))
                .unwrap();
        }
        drop(insert);
        database.execute_batch("COMMIT").unwrap();
        drop(database);
        std::fs::read(path).unwrap()
    }

    /// What a backup of this phone has in its MobileSync directory.
    pub fn backup(&self) -> Files {
        let mut files: Files = self
            .files
            .iter()
            .filter(|(name, _)| !self.unreadable.contains(name))
            .map(|(name, content)| (place(name), content.clone()))
            .collect();
        files.insert("Info.plist".into(), INFO.to_vec());
        files.insert("Status.plist".into(), status("finished"));
        files.insert("Manifest.plist".into(), self.manifest_plist());
        files.insert("Manifest.db".into(), self.manifest_db());
        files
    }
}

pub const INFO: &[u8] = b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>Build Version</key><string>19G71</string></dict></plist>";

pub fn send<F: Fs>(
    staging: &mut Staging<F>,
    path: &str,
    content: &[u8],
    now: Now,
) -> Result<(), StoreError> {
    staging.create(&tree(path))?;
    for block in content.chunks(7000) {
        staging.write(block)?;
    }
    staging.finish(now)
}

pub fn read<F: Fs>(staging: &Staging<F>, path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut staging.open(&tree(path)).ok()?, &mut bytes).ok()?;
    Some(bytes)
}

/// Uploads what the working copy lacks.
pub fn upload<F: Fs>(
    staging: &mut Staging<F>,
    device: &Device,
    now: Now,
) -> Result<(), StoreError> {
    staging.write_info_plist(INFO, now)?;
    send(staging, "Status.plist", &status("uploading"), now)?;
    for (path, content) in device.backup() {
        if path == "Info.plist" || path == "Status.plist" {
            continue;
        }
        let waiting = format!("Snapshot/{path}");
        // What waits in Snapshot replaces what is there.
        let has = read(staging, &waiting).or_else(|| read(staging, &path));
        if has.as_ref() != Some(&content) {
            send(staging, &waiting, &content, now)?;
        }
    }
    for name in &device.unreadable {
        staging.create(&tree(&format!("Snapshot/{}", place(name))))?;
        staging.write(b"half of it")?;
        staging.abandon(Some("Operation not permitted"))?;
    }
    Ok(())
}

/// Moves what was uploaded to its place and removes what the phone no longer has.
pub fn settle<F: Fs>(
    staging: &mut Staging<F>,
    device: &Device,
    now: Now,
) -> Result<(), StoreError> {
    let wanted = device.backup();
    send(staging, "Status.plist", &status("moving"), now)?;
    for path in wanted.keys() {
        match staging.rename(&tree(&format!("Snapshot/{path}")), &tree(path)) {
            Err(error) if error.kind() == ibak_store::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    send(staging, "Status.plist", &status("removing"), now)?;
    staging.remove(&tree("Snapshot"))?;
    for dir in staging.list(&tree(""))? {
        if dir.name.len() == 2 {
            for file in staging.list(&tree(&dir.name))? {
                let path = format!("{}/{}", dir.name, file.name);
                if !wanted.contains_key(&path) {
                    staging.remove(&tree(&path))?;
                }
            }
        }
    }
    send(staging, "Status.plist", &status("finished"), now)
}

pub fn run<F: Fs>(staging: &mut Staging<F>, device: &Device, now: Now) -> Result<(), StoreError> {
    upload(staging, device, now)?;
    settle(staging, device, now)
}

pub fn done() -> DeviceDone {
    DeviceDone::from_error_code(0).unwrap()
}

/// A whole backup; what fails is kept for the next session, as the daemon does.
pub fn back_up<F: Fs>(
    store: &Store<F>,
    device: &Device,
    now: Now,
) -> Result<Generation, StoreError> {
    let mut staging = begin(store, Full::IfNeeded, now)?;
    match run(&mut staging, device, now) {
        Ok(()) => staging.commit(done(), now),
        Err(error) => {
            drop(staging.keep(now));
            Err(error)
        }
    }
}

/// Reads a committed backup whole.
pub fn content<F: Fs>(store: &Store<F>, generation: &Generation) -> Files {
    let reader = store.reader(&udid(), &generation.id).unwrap();
    let mut files = Files::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for entry in reader.list(&dir).unwrap() {
            let path = if dir.is_empty() {
                entry.name
            } else {
                format!("{dir}/{}", entry.name)
            };
            match entry.kind {
                Kind::Directory => dirs.push(path),
                _ => {
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(&mut reader.open(&path).unwrap(), &mut bytes)
                        .unwrap();
                    files.insert(path, bytes);
                }
            }
        }
    }
    files
}

/// Everything below a directory that a writer could change: bytes, modes, times of change.
pub fn fingerprint(dir: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let bytes = if meta.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            if meta.is_dir() {
                dirs.push(path.clone());
            }
            found.insert(path, (meta.mode(), meta.mtime(), meta.mtime_nsec(), bytes));
        }
    }
    found
}

pub fn gens(store: &Path) -> PathBuf {
    store.join(UDID).join("gens")
}

pub fn sweep<F: Fs>(store: &Store<F>) -> ibak_store::Swept {
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    store.sweep(go_on).unwrap()
}

pub fn verify<F: Fs>(store: &Store<F>, generation: &Generation) -> ibak_store::VerifyReport {
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    store
        .verify(&udid(), &generation.id, at(0).wall, go_on)
        .unwrap()
}
