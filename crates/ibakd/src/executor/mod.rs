//! Jobs: each a task of its own, stopped by a token, reporting to the loop, ending exactly once.

mod adopt;
mod archive;
mod backup;
mod counted;
mod encryption;
mod errand;
mod icloud;
mod moving;
mod outcome;
mod pairing;
mod pipe;
mod progress;
mod purchases;
mod read;
mod restore;
mod room;
mod unlock;
mod upkeep;
mod vault;
mod verify;
mod work;

pub use adopt::AdoptJob;
pub use backup::BackupJob;
pub(crate) use backup::{blocking, facts, is_untrusted};
pub use encryption::EncryptionJob;
pub use errand::{ErrandWork, ReadWhat, ReadWish, RestoreWish};
pub use icloud::ICloudJob;
pub use moving::MoveJob;
pub use pairing::PairJob;
pub(crate) use pipe::reopen;
pub use purchases::PurchasesJob;
pub use read::ReadJob;
pub use restore::RestoreJob;
pub use room::{Made, RoomMaker};
pub use unlock::CheckJob;
pub use upkeep::{Upkeep, UpkeepNews};
pub use vault::StagingVault;
pub use verify::VerifyJob;
pub use work::PhoneWork;

use ibak_core::{Failure, Interruption, JobId, Outcome, Phase, Progress, StopWhy};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What a job tells the loop.
#[derive(Debug)]
pub enum Report {
    /// It entered another phase.
    Phase(JobId, Phase),
    /// It moved on; at most twice a second.
    Progress(JobId, Progress),
    /// It ended; the last report of a job.
    Ended(JobId, Box<End>),
}

/// How a job ended, with what the history keeps of it.
#[derive(Debug)]
pub struct End {
    /// For the core.
    pub outcome: Outcome,
    /// The phone's own error code; 0 = none.
    pub device_code: i64,
    /// Bytes that arrived.
    pub bytes: u64,
    /// Files that arrived.
    pub files: u64,
    /// Whether the phone could not use a copy of its earlier backup (its error 205), and did not
    /// send everything instead.
    pub copy_unusable: bool,
    /// What was removed to make room for it.
    pub made_room: Option<Made>,
}

impl End {
    /// Makes an end before anything arrived.
    pub fn early(outcome: Outcome) -> Self {
        Self {
            outcome,
            device_code: 0,
            bytes: 0,
            files: 0,
            copy_unusable: false,
            made_room: None,
        }
    }
}

/// Stops a job and says why.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    why: Arc<OnceLock<StopWhy>>,
}

impl Stop {
    /// Asks the job to end; the first reason counts.
    pub fn ask(&self, why: StopWhy) {
        if self.why.set(why).is_err() {
            tracing::debug!("the job was already asked to stop");
        }
        self.token.cancel();
    }

    /// Returns why the job was asked to end, if it was.
    pub fn why(&self) -> Option<StopWhy> {
        self.why.get().copied()
    }

    /// Returns the outcome of a job that was asked to end.
    pub fn outcome(&self) -> Outcome {
        self.why()
            .unwrap_or(StopWhy::Interrupted(Interruption::Stopping))
            .outcome()
    }

    /// Returns the token that ends every wait of the job.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

/// Where a job's reports go.
#[derive(Clone, Debug)]
pub struct Reporter {
    job: JobId,
    reports: mpsc::Sender<Report>,
}

impl Reporter {
    /// Makes the reporter of `job`.
    pub fn new(job: JobId, reports: mpsc::Sender<Report>) -> Self {
        Self { job, reports }
    }

    async fn send(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            tracing::debug!("the loop has ended before the job");
        }
    }

    /// Tells a new phase.
    pub async fn phase(&self, phase: Phase) {
        self.send(Report::Phase(self.job, phase)).await;
    }

    /// Tells how far it is.
    pub async fn progress(&self, progress: Progress) {
        self.send(Report::Progress(self.job, progress)).await;
    }
}

/// Runs a job's work as a task and reports its end, also when it panics.
pub fn spawn(
    job: JobId,
    reports: mpsc::Sender<Report>,
    span: tracing::Span,
    work: impl Future<Output = End> + Send + 'static,
) {
    let task = async move {
        let end = match futures_util::FutureExt::catch_unwind(AssertUnwindSafe(work)).await {
            Ok(end) => end,
            Err(_) => {
                tracing::error!("the job panicked");
                End::early(Outcome::failed(Failure::Crashed, "the job panicked"))
            }
        };
        Reporter::new(job, reports.clone())
            .send(Report::Ended(job, Box::new(end)))
            .await;
    };
    tokio::spawn(task.instrument(span));
}
