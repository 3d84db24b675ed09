//! What lies in the store, against what the phone holds.

use super::Night;
use ibak_core::BackupId;
use ibak_sim::content::FileKind;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

impl Night {
    /// Returns the MobileSync directory of a committed backup.
    pub fn backup_dir(&self, phone: usize, backup: &BackupId) -> PathBuf {
        let udid = self.udid(phone);
        self.store()
            .join(udid.as_str())
            .join("gens")
            .join(backup.as_str())
            .join(&self.simulated(phone).identity().udid)
    }

    /// Compares a committed backup with what the phone holds now: each file is there with the
    /// same content, and nothing else.
    pub fn assert_equals_phone(&self, phone: usize, backup: &BackupId) {
        let dir = self.backup_dir(phone, backup);
        let content = self.simulated(phone).content();
        let content = content.lock().unwrap();
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        for file in content.files().filter(|it| it.kind == FileKind::Regular) {
            let name = file.id.hex();
            let folder = name.get(..2).unwrap().to_owned();
            wanted.insert(
                format!("{folder}/{name}"),
                hex(&content.sha1_of(&file).unwrap()),
            );
        }
        let payload: BTreeMap<String, String> = fingerprint(&dir)
            .into_iter()
            .filter(|(path, _)| path.as_bytes().get(2) == Some(&b'/'))
            .map(|(path, print)| (path, print.content))
            .collect();
        assert_eq!(payload, wanted, "backup {backup} against the phone");
    }
}

/// What is true of one file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    /// SHA-1 of a file's content; empty for a directory, the target of a link.
    pub content: String,
    /// Kind and permissions.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub modified: i128,
}

fn there<T>(found: std::io::Result<T>) -> Option<T> {
    match found {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        found => Some(found.unwrap()),
    }
}

/// Describes every file and directory below `root`, by path from there.
pub fn fingerprint(root: &Path) -> BTreeMap<String, Print> {
    let mut prints = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        // What is removed meanwhile is not there.
        let Some(entries) = there(std::fs::read_dir(&dir)) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let Some(meta) = there(path.symlink_metadata()) else {
                continue;
            };
            let content = if meta.is_dir() {
                left.push(path.clone());
                String::new()
            } else if meta.is_symlink() {
                path.read_link().unwrap().display().to_string()
            } else {
                match there(std::fs::File::open(&path)) {
                    Some(file) => sha1_of(file),
                    None => continue,
                }
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
            prints.insert(
                name,
                Print {
                    content,
                    mode: meta.mode(),
                    modified,
                },
            );
        }
    }
    prints
}

fn sha1_of(mut file: std::fs::File) -> String {
    let (mut hash, mut block) = (Sha1::new(), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut block).unwrap();
        if read == 0 {
            return hex(&hash.finalize());
        }
        hash.update(block.get(..read).unwrap());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
