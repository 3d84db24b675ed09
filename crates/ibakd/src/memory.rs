//! What the daemon remembers beside the backups themselves: a small JSON file, written whole or not at all.
//!
//! Losing it loses no backup: settings fall back to their defaults and are learnt again.

use ibak_core::{JobId, Udid, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tracing::warn;

/// How many job ids are set aside with one write to disk.
const JOB_ID_BLOCK: u64 = 1_000;
/// Largest file taken for a memory, in bytes.
const LEN_MAX: u64 = 4 << 20;

/// One phone's settings and what was learnt about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhoneMemory {
    /// The name its owner gave it.
    pub name: String,
    /// For example `iPhone14,5`.
    pub product_type: String,
    /// For example `16.3.1`.
    pub os_version: String,
    /// The spelling of its UDID on the wire.
    pub wire_udid: String,
    /// Whether automatic backup is on.
    pub automatic: bool,
    /// `asks`, `never` or `unknown`.
    pub passcode: String,
    /// When a backup last ended well, in microseconds since 1970; 0 = never.
    pub last_backup_micros: i64,
    /// The word of the last attempt's result; empty = none.
    pub last_result: String,
}

impl Default for PhoneMemory {
    fn default() -> Self {
        Self {
            name: String::new(),
            product_type: String::new(),
            os_version: String::new(),
            wire_udid: String::new(),
            automatic: true,
            passcode: "unknown".to_owned(),
            last_backup_micros: 0,
            last_result: String::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Contents {
    next_job: u64,
    paused: bool,
    paused_until_micros: Option<i64>,
    store_uuids: BTreeMap<PathBuf, String>,
    phones: BTreeMap<String, PhoneMemory>,
}

/// The file and what is in it.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    contents: Contents,
}

impl Memory {
    /// Reads the memory at `path`; an absent one is empty, an unreadable one is set aside and said.
    ///
    /// # Errors
    /// When the file exists and can neither be read nor be set aside.
    pub fn load(path: PathBuf, now: Wall) -> io::Result<Self> {
        let contents = match read_bounded(&path) {
            Ok(text) => match serde_json::from_str(&text) {
                Ok(contents) => contents,
                Err(error) => {
                    let aside = path.with_extension("damaged");
                    warn!(%error, path = %path.display(), aside = %aside.display(), "the daemon's memory is damaged: set aside, settings start afresh");
                    std::fs::rename(&path, &aside)?;
                    Contents { next_job: fresh_job_id(now), ..Contents::default() }
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Contents { next_job: fresh_job_id(now), ..Contents::default() }
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path, contents })
    }

    /// Sets a block of job ids aside and returns the first; a later start begins behind the block.
    ///
    /// # Errors
    /// When the new counter cannot be written: then no id may be given out.
    pub fn reserve_job_ids(&mut self) -> io::Result<JobId> {
        let first = self.contents.next_job.max(1);
        self.contents.next_job = first.saturating_add(JOB_ID_BLOCK);
        self.save()?;
        Ok(JobId::new(first))
    }

    /// Returns what is known of `phone`.
    pub fn phone(&self, phone: &Udid) -> Option<&PhoneMemory> {
        self.contents.phones.get(phone.as_str())
    }

    /// Returns every phone that was ever trusted.
    pub fn phones(&self) -> impl Iterator<Item = (Udid, &PhoneMemory)> {
        self.contents.phones.iter().filter_map(|(text, memory)| Some((Udid::parse(text).ok()?, memory)))
    }

    /// Changes what is known of `phone` and writes the file if anything differs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn update(&mut self, phone: &Udid, change: impl FnOnce(&mut PhoneMemory)) -> io::Result<()> {
        let before = self.contents.phones.get(phone.as_str()).cloned();
        let mut after = before.clone().unwrap_or_default();
        change(&mut after);
        if before.as_ref() == Some(&after) {
            return Ok(());
        }
        self.contents.phones.insert(phone.as_str().to_owned(), after);
        self.save()
    }

    /// Returns whether automatic backups are paused, and until when (`None` = until resumed).
    pub fn pause(&self) -> Option<Option<Wall>> {
        self.contents.paused.then(|| self.contents.paused_until_micros.map(Wall::from_micros))
    }

    /// Remembers a pause, or its end.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_pause(&mut self, pause: Option<Option<Wall>>) -> io::Result<()> {
        self.contents.paused = pause.is_some();
        self.contents.paused_until_micros = pause.flatten().map(Wall::as_micros);
        self.save()
    }

    /// Returns the uuid of the store once seen at `path`: an empty folder there is an unmounted disk.
    pub fn store_uuid(&self, path: &Path) -> Option<&str> {
        self.contents.store_uuids.get(path).map(String::as_str)
    }

    /// Remembers the uuid of the store at `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_store_uuid(&mut self, path: &Path, uuid: &str) -> io::Result<()> {
        if self.store_uuid(path) == Some(uuid) {
            return Ok(());
        }
        self.contents.store_uuids.insert(path.to_owned(), uuid.to_owned());
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let fresh = self.path.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        serde_json::to_writer_pretty(&mut file, &self.contents)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        std::fs::File::open(parent)?.sync_all()
    }
}

/// Starts a new counter behind anything an earlier, lost one can have given out: one id a second since 1970.
fn fresh_job_id(now: Wall) -> u64 {
    u64::try_from(now.as_secs()).unwrap_or(1).max(1)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large for a memory"));
    }
    io::Read::read_to_string(&mut io::Read::take(file, LEN_MAX), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udid() -> Udid {
        Udid::parse("00008030-001A2B3C4D5E6F70").unwrap()
    }

    #[test]
    fn what_was_said_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let mut memory = Memory::load(path.clone(), Wall::from_secs(50)).unwrap();
        assert_eq!(memory.pause(), None);
        memory.update(&udid(), |phone| phone.automatic = false).unwrap();
        memory.set_pause(Some(Some(Wall::from_secs(99)))).unwrap();
        memory.set_store_uuid(Path::new("/srv"), "u1").unwrap();
        let again = Memory::load(path, Wall::from_secs(60)).unwrap();
        assert!(!again.phone(&udid()).unwrap().automatic);
        assert_eq!(again.pause(), Some(Some(Wall::from_secs(99))));
        assert_eq!(again.store_uuid(Path::new("/srv")), Some("u1"));
        assert_eq!(again.phones().count(), 1);
    }

    #[test]
    fn job_ids_are_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let first = Memory::load(path.clone(), Wall::from_secs(50)).unwrap().reserve_job_ids().unwrap();
        let second = Memory::load(path.clone(), Wall::from_secs(50)).unwrap().reserve_job_ids().unwrap();
        assert_eq!(first, JobId::new(50));
        assert_eq!(second, JobId::new(50 + JOB_ID_BLOCK));
        std::fs::remove_file(&path).unwrap();
        // A lost memory starts behind what a second's worth of jobs can have used.
        let third = Memory::load(path, Wall::from_secs(9_000)).unwrap().reserve_job_ids().unwrap();
        assert_eq!(third, JobId::new(9_000));
    }

    #[test]
    fn a_damaged_memory_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        std::fs::write(&path, "{ not json").unwrap();
        let memory = Memory::load(path.clone(), Wall::from_secs(50)).unwrap();
        assert_eq!(memory.phones().count(), 0);
        assert_eq!(std::fs::read_to_string(path.with_extension("damaged")).unwrap(), "{ not json");
    }
}
