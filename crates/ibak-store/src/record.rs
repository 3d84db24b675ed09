//! The small files of ours on the disk (docs/format.md), and nothing else's types.

use crate::StoreError;
use crate::index::{hex, unhex};
use ibak_core::{BackupId, Udid, Wall};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The newest layout we write and read.
pub(crate) const FORMAT: u64 = 2;
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
    /// Whether another program made it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) adopted: bool,
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
    /// An earlier file could not be read: what it said is found again by a whole pass.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) lost: bool,
}

impl ChecksRecord {
    /// Returns what is known when an earlier file cannot be read.
    pub(crate) fn unknown() -> Self {
        Self {
            lost: true,
            ..Self::default()
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckRecord {
    /// When all of it was read, at the earliest; absent when damage was found in what it shares
    /// with another backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checked_unix_us: Option<i64>,
    /// Paths, or a sentence about the whole.
    pub(crate) damaged: Vec<String>,
}

/// Where the scrub keeps how far it is.
pub(crate) const SCRUB: &str = "scrub.json";

/// `<udid>/scrub.json`: a pass that was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScrubRecord {
    pub(crate) began_unix_us: i64,
    /// Whether what earlier readings had found was lost before it began.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) after_loss: bool,
    pub(crate) bytes: u64,
    /// Backups that are done.
    pub(crate) done: BTreeMap<String, ScrubDone>,
    /// The backup being read.
    pub(crate) here: Option<ScrubHere>,
}

impl ScrubRecord {
    /// Returns the files that are done with.
    pub(crate) fn files(&self) -> u64 {
        let here = self.here.as_ref().map_or(0, |here| here.files);
        let done = self.done.values().map(|done| done.files);
        done.fold(here, u64::saturating_add)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScrubDone {
    /// Nothing of it was read before this in this pass.
    pub(crate) since_unix_us: i64,
    /// Whether all its files were looked at.
    pub(crate) is_whole: bool,
    pub(crate) files: u64,
    pub(crate) parent: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScrubHere {
    pub(crate) id: String,
    pub(crate) since_unix_us: i64,
    /// The last path that was read.
    pub(crate) after: Option<String>,
    pub(crate) files: u64,
    pub(crate) damaged: Vec<String>,
}

/// `<udid>/pins.json`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinsRecord {
    /// Backups a person asked to keep.
    pub(crate) pinned: Vec<String>,
    /// Backups kept until a person has looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) guarded: Vec<GuardRecord>,
}

/// `<udid>/usage.json`: a sum of blocks, and what it is the sum of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageRecord {
    /// Bytes on the disk of everything below these, each inode once.
    pub(crate) bytes: u64,
    /// Names in `gens`, `trash` and `quarantine`.
    pub(crate) names: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardRecord {
    pub(crate) id: String,
    /// One word.
    pub(crate) why: String,
}

pub(crate) fn encode(what: &str, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|_| StoreError::damaged(what))?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::damaged(what))
}

/// What stands around the hash that a sealed record ends with.
const SEAL: (&[u8], &[u8]) = (b",\n  \"blake3\": \"", b"\"\n}\n");
const END: &[u8] = b"\n}\n";

/// Whether a record is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Its hash says so.
    Whole,
    /// Its hash says that it is not.
    Broken,
    /// It has none.
    Absent,
}

/// As [`encode`], with the BLAKE3 of all that stands before it as the last field.
pub(crate) fn encode_sealed(what: &str, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let bytes = encode(what, record)?;
    let body = bytes
        .strip_suffix(END)
        .ok_or_else(|| StoreError::damaged(what))?;
    let hash = hex(blake3::hash(body).as_bytes());
    Ok([body, SEAL.0, hash.as_bytes(), SEAL.1].concat())
}

/// Returns what a record's own hash says of it.
pub(crate) fn seal_of(bytes: &[u8]) -> Seal {
    let found = bytes.strip_suffix(SEAL.1).and_then(|rest| {
        let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        let hash: [u8; 32] = unhex(std::str::from_utf8(hash).ok()?)?;
        Some((rest.strip_suffix(SEAL.0)?, hash))
    });
    match found {
        None => Seal::Absent,
        Some((body, hash)) if *blake3::hash(body).as_bytes() == hash => Seal::Whole,
        Some(_) => Seal::Broken,
    }
}

/// Reads a commit.json. One that is not what was written is still taken for what it says, as
/// long as that makes sense, for its files may be whole; it is not verified then.
pub(crate) fn decode_commit(what: &str, bytes: &[u8]) -> Result<CommitRecord, StoreError> {
    let mut record: CommitRecord = decode(what, bytes)?;
    let whole = match seal_of(bytes) {
        Seal::Whole => true,
        Seal::Broken => false,
        // Written before there were seals, to the letter, or a seal that was hit itself.
        Seal::Absent => encode(what, &record)? == bytes,
    };
    record.verified &= whole;
    Ok(record)
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
    /// What a later reading found bad: paths below the MobileSync directory, or a sentence about
    /// the whole; the backup is not verified then.
    pub damaged: Vec<String>,
    /// Whether a person asked to keep it.
    pub pinned: bool,
    /// Whether it is kept because the next one had lost much, or was encrypted otherwise, until a
    /// person has looked.
    pub guarded: bool,
    /// The backup it was cloned from.
    pub parent: Option<BackupId>,
    /// Whether the phone sent everything.
    pub full: bool,
    /// Whether another program made it, and it was taken over with its own date.
    pub adopted: bool,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// What is said of a backup whose commit.json is not what was written.
pub(crate) const RECORD_DAMAGED: &str = "its record commit.json is damaged";

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
        damaged: if record.verified {
            Vec::new()
        } else {
            vec![RECORD_DAMAGED.to_owned()]
        },
        pinned: false,
        guarded: false,
        full: record.full,
        adopted: record.adopted,
        warnings: record.warnings,
    })
}
