//! One job, from the wish to its end.

use crate::{
    BackupId, Bytes, Condition, Demand, Extent, JobId, JobKind, JobResult, Monotonic, Now, Phase,
    Progress, Status, StopWhy, Transport, Trigger, Udid,
};
use std::collections::BTreeMap;

/// How far a job has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Accepted, and waiting for what it needs.
    Queued,
    /// The shell was told to start it.
    Running { transport: Option<Transport> },
    /// The shell was told to stop it.
    Stopping {
        transport: Option<Transport>,
        why: StopWhy,
    },
    /// Over.
    Ended {
        result: JobResult,
        detail: String,
        backup: Option<BackupId>,
        at: Now,
    },
}

/// How the screen lock counts for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockCounts {
    /// As any other condition.
    Yes,
    /// Not before the screen is locked again after the passcode was given.
    Later,
    /// Not at all.
    No,
}

/// What was noted of the question that a job leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Nothing yet.
    Unnoted,
    /// It was asked for, and counts for this day if it is put.
    Sought,
    /// It was put.
    Put,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    /// Whose it is; `None` for one about the whole store.
    pub(super) phone: Option<Udid>,
    pub(super) kind: JobKind,
    pub(super) demand: Demand,
    pub(super) extent: Extent,
    pub(super) accepted: Now,
    pub(super) stage: Stage,
    pub(super) phase: Phase,
    pub(super) progress: Progress,
    /// Whether the phone asked for its passcode.
    pub(super) asked: bool,
    /// What was noted of that.
    pub(super) question: Question,
    /// How the screen lock counts.
    pub(super) lock: LockCounts,
    /// Whether the first answer is held back.
    pub(super) holds: bool,
    /// What it was expected to write when it started.
    pub(super) promised: Bytes,
    /// The conditions it counted on when it started, and how they were.
    pub(super) ground: Vec<(Condition, Status)>,
    /// Since when which condition is lost, for the grace in the policy's table.
    pub(super) losing: BTreeMap<Condition, Monotonic>,
    /// Since when this computer runs from its own battery, for the grace.
    pub(super) host_fell: Option<Monotonic>,
    /// Since when this computer's network is not fit for it, for the grace.
    pub(super) network_fell: Option<Monotonic>,
}

impl Job {
    pub(super) fn new(
        id: JobId,
        phone: Option<Udid>,
        kind: JobKind,
        demand: Demand,
        extent: Extent,
        now: Now,
    ) -> Self {
        Self {
            id,
            phone,
            kind,
            demand,
            extent,
            accepted: now,
            stage: Stage::Queued,
            phase: Phase::Queued,
            progress: Progress::default(),
            asked: false,
            question: Question::Unnoted,
            lock: LockCounts::Yes,
            holds: false,
            promised: Bytes::ZERO,
            ground: Vec::new(),
            losing: BTreeMap::new(),
            host_fell: None,
            network_fell: None,
        }
    }

    pub(super) const fn trigger(&self) -> Trigger {
        match self.demand {
            Demand::Schedule => Trigger::Schedule,
            Demand::WhenReady | Demand::AtOnce => Trigger::User,
        }
    }

    pub(super) const fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued)
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running { .. } | Stage::Stopping { .. })
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. })
    }

    pub(super) const fn transport(&self) -> Option<Transport> {
        match self.stage {
            Stage::Running { transport } | Stage::Stopping { transport, .. } => transport,
            Stage::Queued | Stage::Ended { .. } => None,
        }
    }

    /// Tells whether the phone has sent all it has, so that losing it loses nothing.
    pub(super) const fn has_arrived(&self) -> bool {
        matches!(self.phase, Phase::Verifying | Phase::Committing)
    }

    /// Tells whether the phone asked for its passcode, seen or concluded.
    pub(super) fn was_asked(&self) -> bool {
        self.asked || self.question == Question::Put
    }

    /// Returns what it is still expected to write.
    pub(super) fn still_promised(&self) -> u64 {
        if self.is_running() {
            self.promised
                .get()
                .saturating_sub(self.progress.bytes_done.get())
        } else {
            0
        }
    }
}
