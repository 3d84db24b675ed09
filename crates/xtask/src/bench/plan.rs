//! Which phones are backed up, by whom, in which order.

use std::path::PathBuf;

use serde::Serialize;

use super::PEER;
use crate::demo::stage::Stage;

/// The mean size of a small file, in bytes.
const SMALL_BYTES: u64 = 4 << 10;
/// How many small files change between two backups.
const TOUCHED: u64 = 30;
/// What a phone holds beside its large file: a few databases, in files and bytes.
const BESIDE: (u64, u64) = (20, 16 << 20);

/// One kind of phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    files: u64,
    bytes: u64,
    largest: Option<u64>,
    /// How many files change before a second backup, if there is one.
    pub(super) touched: Option<u64>,
}

impl Plan {
    /// A phone that is one large file.
    pub(super) const fn large(bytes: u64) -> Self {
        Self {
            files: BESIDE.0,
            bytes: bytes + BESIDE.1,
            largest: Some(bytes),
            touched: None,
        }
    }

    /// A phone with many small files.
    pub(super) const fn small(files: u64) -> Self {
        Self {
            files,
            bytes: files * SMALL_BYTES,
            largest: None,
            touched: Some(TOUCHED),
        }
    }

    pub(super) fn title(&self) -> String {
        match self.largest {
            Some(bytes) => format!("One file of {} MiB", bytes >> 20),
            None => format!("{} small files", self.files),
        }
    }

    /// Returns the phone's file: of an iOS that the peer speaks to, on a cable, unlocked.
    pub(super) fn phone(&self) -> String {
        let largest = self
            .largest
            .map_or_else(String::new, |bytes| format!("largest_file = {bytes}\n"));
        format!(
            "ios = \"13.3.1\"\nproduct = \"iPhone9,1\"\nname = \"Ada's iPhone\"\nfiles = {}\nbytes = {}\napps = 12\n\
             {largest}paired = true\nattached = \"usb\"\npower = \"on\"\nwifi = \"off\"\nlocked = \"no\"\n",
            self.files, self.bytes
        )
    }
}

/// Who makes the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Who {
    /// The daemon, asked by `ibakctl`.
    #[serde(rename = "ibak")]
    Ours,
    /// The other program.
    #[serde(rename = "idevicebackup2")]
    Peer,
}

/// How much of the phone is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything.
    Full,
    /// What changed.
    Changes,
}

impl Who {
    /// Returns who goes first and who second in a round.
    pub(super) const fn order(round: u32) -> [Self; 2] {
        if round.is_multiple_of(2) {
            [Self::Peer, Self::Ours]
        } else {
            [Self::Ours, Self::Peer]
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ibak",
            Self::Peer => PEER,
        }
    }

    /// Returns the program and its words.
    pub(super) fn words(self, stage: &Stage, extent: Extent) -> (&'static str, Vec<String>) {
        let udid = stage.udid().to_owned();
        let word = str::to_owned;
        match self {
            Self::Ours => {
                let mut words = vec![word("backup"), udid, word("--wait"), word("--json")];
                words.extend((extent == Extent::Full).then(|| word("--full")));
                ("ibakctl", words)
            }
            Self::Peer => {
                let mut words = vec![word("-u"), udid, word("backup")];
                words.extend((extent == Extent::Full).then(|| word("--full")));
                words.push(peer_directory(stage).display().to_string());
                (PEER, words)
            }
        }
    }

    /// Returns where its newest backup lies.
    pub(super) fn newest(self, stage: &Stage) -> PathBuf {
        let udid = stage.udid();
        match self {
            Self::Ours => stage.store().join(udid).join("latest").join(udid),
            Self::Peer => peer_directory(stage).join(udid),
        }
    }
}

pub(super) fn peer_directory(stage: &Stage) -> PathBuf {
    stage.path().join("peer")
}
