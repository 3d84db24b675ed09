//! What was measured, as the JSON shows it.

use serde::{Deserialize, Serialize};

use anyhow::Result;

use super::meter;
use super::plan::Who;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// How the programs were built, or where they lay ready built.
    pub(super) build: String,
    pub(super) begin: Machine,
    pub(super) end: Machine,
    pub(super) large: Workload,
    pub(super) small: Workload,
}

impl Figures {
    pub(super) fn new(build: String, begin: Machine) -> Self {
        Self {
            build,
            begin,
            end: begin,
            large: Workload::default(),
            small: Workload::default(),
        }
    }
}

/// How busy the machine is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) load_1min: f64,
}

impl Machine {
    pub(super) fn now() -> Result<Self> {
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            load_1min: meter::load()?,
        })
    }
}

/// One phone's rounds.
#[derive(Debug, Default, Serialize)]
pub(super) struct Workload {
    /// What the phone holds, and each of its backups too.
    pub(super) holds: Checked,
    pub(super) rounds: Vec<Round>,
}

/// What a backup was found to hold, equal to the phone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checked {
    /// Rows of Manifest.db: files, directories and links.
    pub(super) rows: u64,
    /// Regular files.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// One round with one phone.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    order: [Who; 2],
    pub(super) full: Pair,
    pub(super) changed: Pair,
    pub(super) store: Option<StoreAlone>,
}

impl Round {
    pub(super) const fn new(order: [Who; 2]) -> Self {
        Self {
            order,
            full: Pair::NONE,
            changed: Pair::NONE,
            store: None,
        }
    }
}

/// The same backup by both.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Pair {
    ibak: Option<Run>,
    idevicebackup2: Option<Run>,
}

impl Pair {
    const NONE: Self = Self {
        ibak: None,
        idevicebackup2: None,
    };

    pub(super) const fn of(&mut self, who: Who) -> &mut Option<Run> {
        match who {
            Who::Ours => &mut self.ibak,
            Who::Peer => &mut self.idevicebackup2,
        }
    }

    pub(super) const fn by(&self, who: Who) -> Option<Run> {
        match who {
            Who::Ours => self.ibak,
            Who::Peer => self.idevicebackup2,
        }
    }
}

/// One backup.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Run {
    /// From the start of the program that asks for it to its end.
    pub(super) seconds: f64,
    /// Until all of it was on the disk.
    pub(super) durable_seconds: f64,
    pub(super) host_cpu_seconds: f64,
    pub(super) phone_cpu_seconds: f64,
    pub(super) peak_rss_bytes: u64,
    /// Whether the peak is of this backup alone, not of all since the daemon's start.
    pub(super) peak_is_of_this_run: bool,
    pub(super) load_1min: f64,
}

/// The store without a phone, next to `cp -al` of the same tree.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct StoreAlone {
    /// Files in the tree.
    pub(super) files: u64,
    pub(super) clone_seconds: f64,
    pub(super) commit_seconds: f64,
    pub(super) cp_seconds: f64,
    /// `cp -al` and the sync that the store's commit has in it.
    pub(super) cp_durable_seconds: f64,
}
