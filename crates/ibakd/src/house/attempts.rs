//! What goes into the history: the end of every job of a phone, also of one that never ran.

use super::{House, Running};
use crate::executor::{End, blocking};
use crate::history::Attempt;
use ibak_core::{JobId, JobResult, Outcome, Udid, View};
use std::sync::Arc;

impl House {
    pub(super) fn keep_history(
        &mut self,
        job: JobId,
        running: &Running,
        phone: Udid,
        end: &End,
        result: &str,
        detail: String,
    ) {
        let attempt = Attempt {
            phone,
            kind: running.kind.word().to_owned(),
            job: job.get(),
            started: running.started,
            ended: self.clock.now().wall,
            trigger: running.trigger.to_owned(),
            result: result.to_owned(),
            device_code: end.device_code,
            detail,
            backup: made(&end.outcome).map(|id| id.as_str().to_owned()),
            bytes: end.bytes,
            files: end.files,
            waits_for: String::new(),
        };
        self.record(attempt);
    }

    /// Keeps the ends of those that never came to their turn.
    pub(super) fn keep_what_never_ran(&mut self, view: &View) {
        self.recorded.retain(|job| view.jobs.contains_key(job));
        let ended = view.jobs.values().filter_map(|job| {
            let (phone, result) = (job.phone.clone()?, job.result?);
            (!self.recorded.contains(&job.id)).then_some((job, phone, result))
        });
        let ended: Vec<_> = ended.collect();
        for (job, phone, result) in ended {
            self.recorded.insert(job.id);
            self.record(Attempt {
                phone,
                kind: job.kind.word().to_owned(),
                job: job.id.get(),
                started: job.started,
                ended: job.ended.unwrap_or(job.started),
                trigger: job.trigger.word().to_owned(),
                result: result.word().to_owned(),
                device_code: 0,
                detail: job.detail.clone(),
                backup: None,
                bytes: 0,
                files: 0,
                waits_for: self.was_missing(job.id, result),
            });
        }
    }

    /// Says what a job waited for that was never ready: an ended one waits for nothing, so it is
    /// what was last shown of it.
    fn was_missing(&self, job: JobId, result: JobResult) -> String {
        let shown = self.shown.jobs.get(&job);
        match (result, shown) {
            (JobResult::NotReadyInTime, Some(shown)) => shown.waits_for.join(","),
            (_, _) => String::new(),
        }
    }

    fn record(&mut self, attempt: Attempt) {
        let history = Arc::clone(&self.history);
        while self.keeping.try_join_next().is_some() {}
        self.keeping
            .spawn(blocking(move || history.record(&attempt)));
    }
}

/// Returns the backup that a job made.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no other outcome makes a backup"
)]
fn made(outcome: &Outcome) -> Option<&ibak_core::BackupId> {
    match outcome {
        Outcome::BackedUp(facts) => Some(&facts.id),
        Outcome::Adopted(id) => Some(id),
        _ => None,
    }
}
