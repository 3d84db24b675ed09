//! The Manager and a Job.

use crate::dict::{Lookup, Properties};
use crate::names;
use crate::words::{
    JobKind, JobState, ManagerMode, Outcome, Phase, StorageState, Trigger, WaitsFor,
};
use ibak_core::{Bytes, JobId, Udid, Wall};

/// The Manager's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerView {
    /// `Version`.
    pub version: String,
    /// `Mode`.
    pub mode: ManagerMode,
    /// `PausedUntil`; `None` while paused means until resumed.
    pub paused_until: Option<Wall>,
    /// `StorageState`.
    pub storage_state: StorageState,
    /// `StorageFreeBytes`.
    pub storage_free: Bytes,
    /// `StorageUsedBytes`: what the backups take.
    pub storage_used: Bytes,
    /// `QuotaBytes`; `None` when there is none.
    pub quota: Option<Bytes>,
    /// `StorePath`: the directory that the backups lie in.
    pub store_path: String,
    /// `ConfigPath`: the configuration file; empty when there is none.
    pub config_path: String,
    /// `NotifyChannels`: where messages about the whole go; empty = everywhere.
    pub notify: Vec<String>,
}

impl ManagerView {
    /// Reads the properties; absent ones read as unknown or zero.
    pub fn from_properties(properties: &Properties) -> Self {
        let bytes = |key| Bytes::new(properties.number(key).unwrap_or(0));
        Self {
            version: properties.text("Version").unwrap_or_default().to_owned(),
            mode: ManagerMode::parse(properties.text("Mode").unwrap_or("automatic")),
            paused_until: properties.time("PausedUntil"),
            storage_state: StorageState::parse(
                properties.text("StorageState").unwrap_or("unknown"),
            ),
            storage_free: bytes("StorageFreeBytes"),
            storage_used: bytes("StorageUsedBytes"),
            quota: properties
                .number("QuotaBytes")
                .filter(|bytes| *bytes != 0)
                .map(Bytes::new),
            store_path: properties.text("StorePath").unwrap_or_default().to_owned(),
            config_path: properties.text("ConfigPath").unwrap_or_default().to_owned(),
            notify: properties.texts("NotifyChannels"),
        }
    }
}

/// A Job's properties.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The number in its path.
    pub id: JobId,
    /// `Kind`.
    pub kind: JobKind,
    /// `Phone`, when it is one.
    pub phone: Option<Udid>,
    /// `Trigger`.
    pub trigger: Trigger,
    /// `StartTime`.
    pub started: Option<Wall>,
    /// `State`.
    pub state: JobState,
    /// `Phase`.
    pub phase: Phase,
    /// `Progress` from 0 to 1, when `ProgressValid`.
    pub progress: Option<f64>,
    /// `BytesDone`.
    pub bytes_done: Bytes,
    /// `BytesTotal`; `None` while not known.
    pub bytes_total: Option<Bytes>,
    /// `FilesDone`.
    pub files_done: u64,
    /// `Rate` in bytes a second; `None` while not known.
    pub rate: Option<Bytes>,
    /// `ExpectedEndTime`; `None` while not known.
    pub expected_end: Option<Wall>,
    /// `WaitsFor`: what a queued job waits for.
    pub waits_for: Vec<WaitsFor>,
    /// `Result`; `None` while it runs.
    pub result: Option<Outcome>,
}

impl JobView {
    /// Reads the properties; `None` when `path` is not a job's.
    pub fn from_properties(path: &str, properties: &Properties) -> Option<Self> {
        let some = |key| properties.number(key).filter(|n| *n != 0);
        let word = |key| properties.text(key).unwrap_or_default();
        Some(Self {
            id: names::job_of(path)?,
            kind: JobKind::parse(word("Kind")),
            phone: properties.text("Phone").and_then(names::phone_of),
            trigger: Trigger::parse(word("Trigger")),
            started: properties.time("StartTime"),
            state: JobState::parse(properties.text("State").unwrap_or("running")),
            phase: Phase::parse(word("Phase")),
            progress: match properties.flag("ProgressValid") {
                Some(true) => properties
                    .real("Progress")
                    .filter(|p| p.is_finite())
                    .map(|p| p.clamp(0.0, 1.0)),
                Some(false) | None => None,
            },
            bytes_done: Bytes::new(properties.number("BytesDone").unwrap_or(0)),
            bytes_total: some("BytesTotal").map(Bytes::new),
            files_done: properties.number("FilesDone").unwrap_or(0),
            rate: some("Rate").map(Bytes::new),
            expected_end: properties.time("ExpectedEndTime"),
            waits_for: properties
                .texts("WaitsFor")
                .iter()
                .map(|word| WaitsFor::parse(word))
                .collect(),
            result: properties
                .text("Result")
                .filter(|word| !word.is_empty())
                .map(Outcome::parse),
        })
    }

    /// Says whether it is over. A word this build does not know reads as running.
    pub fn ended(&self) -> bool {
        match self.state {
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => true,
            JobState::Running | JobState::Other(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::wire::OwnedVariant;

    #[test]
    fn nothing_reads_as_unknown() {
        let view = ManagerView::from_properties(&Properties::new());
        assert_eq!(view.mode, ManagerMode::Automatic);
        assert_eq!(view.storage_state, StorageState::Unknown);
        assert_eq!((view.paused_until, view.quota), (None, None));
        let job = JobView::from_properties("/org/ibak/Ibak1/jobs/7", &Properties::new()).unwrap();
        assert!(!job.ended());
        assert_eq!((job.progress, job.result), (None, None));
        assert_eq!(
            JobView::from_properties("/org/ibak/Ibak1/Manager", &Properties::new()),
            None
        );
    }

    #[test]
    fn progress_counts_only_when_valid_and_finite() {
        let job = |valid: bool, progress: f64| {
            let properties = [
                ("ProgressValid", OwnedVariant::from(valid)),
                ("Progress", OwnedVariant::from(progress)),
            ]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect();
            JobView::from_properties("/org/ibak/Ibak1/jobs/7", &properties)
                .unwrap()
                .progress
        };
        assert_eq!(job(true, 0.5), Some(0.5));
        assert_eq!(job(true, 7.0), Some(1.0));
        assert_eq!(job(true, f64::NAN), None);
        assert_eq!(job(false, 0.5), None);
    }
}
