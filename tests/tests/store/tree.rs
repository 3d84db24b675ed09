//! A store read by the letter of docs/format.md, by none of the code that wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What a directory under `gens/` was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name, a ULID.
    pub id: String,
    /// Its record, as it lies there.
    pub record: Vec<u8>,
    /// How many files its index lists, each of which was read.
    pub files: usize,
}

/// The directory of a phone, whose UDID is spelt the same on the wire.
#[derive(Clone, Debug)]
pub struct Place {
    /// `<store>/<udid>`.
    pub phone: PathBuf,
}

impl Place {
    pub fn new(store: &Path, udid: &str) -> Self {
        Self {
            phone: store.join(udid),
        }
    }

    /// The names under `gens/`, oldest first.
    pub fn generations(&self) -> Vec<String> {
        names(&self.phone.join("gens"))
    }

    pub fn generation(&self, id: &str) -> PathBuf {
        self.phone.join("gens").join(id)
    }

    /// The MobileSync directory of a backup.
    pub fn backup(&self, id: &str) -> PathBuf {
        let udid = self.phone.file_name().unwrap();
        self.generation(id).join(udid)
    }

    /// What waits in the trash.
    pub fn trash(&self) -> Vec<String> {
        names(&self.phone.join("trash"))
    }

    /// The working copy, if there is one.
    pub fn working_copy(&self) -> Option<PathBuf> {
        let staging = self.phone.join("staging");
        names(&staging).pop().map(|name| staging.join(name))
    }

    /// Reads every backup whole and holds it against its index.
    pub fn read_all(&self) -> Result<Vec<Found>> {
        self.generations()
            .iter()
            .map(|id| self.read(id).with_context(|| format!("backup {id}")))
            .collect()
    }

    /// Reads one backup whole and holds it against its index.
    pub fn read(&self, id: &str) -> Result<Found> {
        let home = self.generation(id);
        let record = fs::read(home.join("commit.json")).context("no record")?;
        let facts: Value = serde_json::from_slice(&record)?;
        let index = fs::read(home.join("index.zst")).context("no index")?;
        ensure!(
            facts["index_blake3"] == blake3::hash(&index).to_hex().as_str(),
            "the index is another"
        );
        let listed = entries(&index)?;
        let tree = self.backup(id);
        for (path, (size, hash)) in &listed {
            let (length, found) = hash_of(&tree.join(path)).context(path.clone())?;
            ensure!(
                (length, &found) == (*size, hash),
                "{path} is not what was received"
            );
        }
        let lying = files_below(&tree)?;
        let expected: BTreeSet<String> = listed.keys().cloned().collect();
        ensure!(
            lying == expected,
            "not in the index, or the other way round: {:?}",
            lying.symmetric_difference(&expected).collect::<Vec<_>>()
        );
        Ok(Found {
            id: id.to_owned(),
            record,
            files: listed.len(),
        })
    }

    /// Counts, of the files that a backup's index lists, those that are missing or other.
    pub fn damaged(&self, id: &str) -> Result<usize> {
        let index = fs::read(self.generation(id).join("index.zst"))?;
        let tree = self.backup(id);
        Ok(entries(&index)?
            .iter()
            .filter(|(path, (size, hash))| {
                !hash_of(&tree.join(path))
                    .is_ok_and(|(length, found)| (length, &found) == (*size, hash))
            })
            .count())
    }
}

/// Path to size and BLAKE3, of the lines `size TAB blake3 TAB path`.
fn entries(index: &[u8]) -> Result<BTreeMap<String, (u64, String)>> {
    let mut entries = BTreeMap::new();
    for line in BufReader::new(zstd::Decoder::new(index)?).lines() {
        let line = line?;
        let mut parts = line.splitn(3, '\t');
        let mut part = || parts.next().context("a short line in the index");
        let (size, hash) = (part()?.parse()?, part()?.to_owned());
        entries.insert(part()?.to_owned(), (size, hash));
    }
    Ok(entries)
}

/// A file's length and BLAKE3.
pub fn hash_of(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut block, mut length) = (blake3::Hasher::new(), vec![0; 64 << 10], 0);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok((length, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(&block[..read]);
        length += read as u64;
    }
}

/// Every file below a directory, by its path from there.
pub fn files_below(root: &Path) -> Result<BTreeSet<String>> {
    let (mut files, mut left) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else {
                let path = entry.path();
                files.insert(path.strip_prefix(root)?.to_string_lossy().into_owned());
            }
        }
    }
    Ok(files)
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
