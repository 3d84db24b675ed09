//! The small files of ours on the disk (docs/format.md), and nothing else's types.

use crate::StoreError;
use ibak_core::{BackupId, Udid, Wall};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The newest layout we write and read.
pub(crate) const FORMAT: u64 = 1;
/// Longest file of ours that is read whole, in bytes.
pub(crate) const RECORD_MAX: u64 = 64 << 20;

/// `store.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreRecord {
    pub(crate) format: u64,
    pub(crate) uuid: String,
    pub(crate) abilities: AbilitiesRecord,
}

/// What the file system could do when the store was made; probed again at each opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AbilitiesRecord {
    pub(crate) hard_links: bool,
    pub(crate) rename_noreplace: bool,
    /// `syncfs` or `fsync`
    pub(crate) barrier: String,
}

/// `commit.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitRecord {
    pub(crate) format: u64,
    pub(crate) id: String,
    pub(crate) udid: String,
    /// The name of the directory beside this file.
    pub(crate) wire_udid: String,
    pub(crate) parent: Option<String>,
    pub(crate) started_unix_us: i64,
    pub(crate) finished_unix_us: i64,
    pub(crate) device_name: Option<String>,
    pub(crate) product_type: Option<String>,
    pub(crate) os_version: Option<String>,
    pub(crate) build: Option<String>,
    pub(crate) encrypted: bool,
    pub(crate) keybag_uuid: Option<String>,
    pub(crate) full: bool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) new_files: u64,
    /// Disk blocks that no earlier backup has.
    pub(crate) unique_bytes: u64,
    pub(crate) index_blake3: String,
    pub(crate) verified: bool,
    pub(crate) warnings: Vec<String>,
    /// File ids whose content the phone could not send.
    pub(crate) missing: Vec<String>,
    pub(crate) tool: String,
}

/// How far the phone got, as its Status.plist and we say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Hard links to the last good backup are being made.
    Cloning,
    /// The phone has written no status yet.
    New,
    /// The phone is sending files into `Snapshot/`.
    Uploading,
    /// The phone is moving them to their places.
    Moving,
    /// The phone is removing what it no longer has.
    Removing,
    /// The phone says it is done.
    Finished,
    /// Everything received is durable and hashed; the commit is under way.
    Committing,
    /// Its password was changed; the next backup goes on in it.
    Rekeyed,
    /// Not to be used again.
    Dead,
}

/// `staging/<id>/state.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) format: u64,
    pub(crate) phase: Phase,
    pub(crate) parent: Option<String>,
    pub(crate) wire_udid: String,
    pub(crate) started_unix_us: i64,
    pub(crate) progress_unix_us: i64,
}

/// `<udid>/checks.json`: what reading everything again has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChecksRecord {
    pub(crate) checks: BTreeMap<String, CheckRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckRecord {
    pub(crate) checked_unix_us: i64,
    pub(crate) damaged: Vec<String>,
}

/// `<udid>/pins.json`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinsRecord {
    pub(crate) pinned: Vec<String>,
}

pub(crate) fn encode(what: &str, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|_| StoreError::damaged(what))?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::damaged(what))
}

/// One committed, restorable backup of a phone, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its name.
    pub id: BackupId,
    /// Whose it is.
    pub udid: Udid,
    /// The spelling of the UDID that names the MobileSync directory inside.
    pub wire_udid: String,
    /// When the session began.
    pub started: Wall,
    /// When it was committed.
    pub finished: Wall,
    /// Bytes of all its files.
    pub size_bytes: u64,
    /// Bytes on the disk that its parent does not share.
    pub unique_bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// Number of files its parent does not share.
    pub new_files: u64,
    /// The iOS version, as the phone said.
    pub os_version: Option<String>,
    /// The model identifier, as the phone said.
    pub product_type: Option<String>,
    /// The phone's name at that time.
    pub device_name: Option<String>,
    /// Whether the phone encrypted it.
    pub encrypted: bool,
    /// Which password opens it: the UUID of its keybag, 32 hex digits; `None` for a plain one.
    pub keybag_uuid: Option<String>,
    /// Whether it passed the structural check and no later reading found damage.
    pub verified: bool,
    /// When everything was last read again, if ever.
    pub checked: Option<Wall>,
    /// Whether a person asked to keep it.
    pub pinned: bool,
    /// The backup it was cloned from.
    pub parent: Option<BackupId>,
    /// Whether the phone sent everything.
    pub full: bool,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Takes a commit record for what it says, or says that it is none.
pub(crate) fn generation(record: CommitRecord) -> Result<Generation, StoreError> {
    let bad = |_| StoreError::damaged(format!("gens/{}/commit.json", record.id));
    Ok(Generation {
        id: BackupId::parse(&record.id).map_err(bad)?,
        udid: Udid::parse(&record.udid).map_err(bad)?,
        parent: record
            .parent
            .as_deref()
            .map(BackupId::parse)
            .transpose()
            .map_err(bad)?,
        wire_udid: record.wire_udid,
        started: Wall::from_micros(record.started_unix_us),
        finished: Wall::from_micros(record.finished_unix_us),
        size_bytes: record.bytes,
        unique_bytes: record.unique_bytes,
        files: record.files,
        new_files: record.new_files,
        os_version: record.os_version,
        product_type: record.product_type,
        device_name: record.device_name,
        encrypted: record.encrypted,
        keybag_uuid: record.keybag_uuid,
        verified: record.verified,
        checked: None,
        pinned: false,
        full: record.full,
        warnings: record.warnings,
    })
}
