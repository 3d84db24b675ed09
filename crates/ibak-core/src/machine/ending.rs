//! How a job's end changes what is known of its phone: what was learned, when to try again.

use super::Machine;
use super::job::{Job, Stage};
use super::keeping::RELOAD_MAX;
use super::phone::{KnownBackup, Phone};
use crate::{
    Asking, Attention, BackupFacts, Bytes, Effect, Failure, Interruption, JobId, JobKind,
    JobResult, LastResult, Now, Outcome, Policy, Retry, StoreComplaint, StoreTrouble, Trigger,
    Trust, Udid,
};
use std::time::Duration;

/// A failure count beyond which a wait no longer doubles.
const DOUBLINGS_MAX: u32 = 16;

impl Machine {
    /// Takes in that a running job ended; anything else is not news.
    pub(super) fn end_job(
        &mut self,
        id: JobId,
        outcome: Outcome,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if self.jobs.get(&id).is_some_and(Job::is_running) {
            self.finish(id, outcome, now, effects);
        }
    }

    pub(super) fn finish(
        &mut self,
        id: JobId,
        outcome: Outcome,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let outcome = for_the_reason_it_stopped(&job.stage, outcome);
        // A phone that was held was asked, whatever was missing then.
        self.question_ended(id, &outcome, now);
        let outcome = self.what_was_missing(id, outcome);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let (result, ran) = (outcome.result(), job.is_running());
        let (detail, backup) = match &outcome {
            Outcome::Failed { detail, .. } => (detail.clone(), None),
            Outcome::BackedUp(facts) => (String::new(), Some(facts.id.clone())),
            Outcome::PasswordProved(backup) | Outcome::Adopted(backup) => {
                (String::new(), Some(backup.clone()))
            }
            Outcome::Paired
            | Outcome::Done
            | Outcome::Cancelled
            | Outcome::CancelledOnDevice
            | Outcome::NotConfirmed
            | Outcome::NotLockedInTime
            | Outcome::NotReadyInTime
            | Outcome::Interrupted(_) => (String::new(), None),
        };
        job.stage = Stage::Ended {
            result,
            detail,
            backup,
            at: now,
        };
        let (kind, trigger, asked) = (job.kind, job.trigger(), job.was_asked());
        if kind == JobKind::MoveStore && result == JobResult::Succeeded {
            self.moved = Some((id, now.monotonic + RELOAD_MAX));
        }
        let Some(udid) = job.phone.clone() else {
            return;
        };
        if let Some(phone) = self.phones.get_mut(&udid).filter(|_| ran) {
            phone.backups_read &= !kind.uses_store();
            phone.room_sought = false;
        }
        match kind {
            // What it moved is looked at where it lies then.
            JobKind::MoveStore => {}
            JobKind::Pair => self.pairing_ended(&udid, &outcome),
            JobKind::Errand(errand) => self.errand_ended(&udid, errand, &outcome, now, effects),
            JobKind::Backup => {
                let policy = self.policies.of(&udid).clone();
                let gap = self.gap_closed_by(&udid, &outcome, now);
                if let Some(phone) = self.phones.get_mut(&udid) {
                    phone.last_result = Some(LastResult {
                        result,
                        at: now.wall,
                    });
                    learn(phone, &outcome, asked);
                    if let Outcome::BackedUp(facts) = outcome {
                        backed_up(phone, facts, now);
                    } else if ran {
                        back_off(phone, result, &policy, now);
                    }
                }
                self.tell_of_the_end(&udid, result, trigger, gap, now, effects);
            }
        }
    }

    fn pairing_ended(&mut self, udid: &Udid, outcome: &Outcome) {
        if let (Outcome::Paired, Some(phone)) = (outcome, self.phones.get_mut(udid)) {
            phone.trust = Trust::Trusted;
            phone.asked.appeared = true;
        }
    }

    /// Returns how long an overdue phone had been without a backup, if this outcome is one.
    fn gap_closed_by(&self, udid: &Udid, outcome: &Outcome, now: Now) -> Option<Duration> {
        let phone = self.phones.get(udid)?;
        let policy = self.policy(udid);
        let overdue_at = phone.overdue_at(policy, self.automatic(phone), now)?;
        let overdue = matches!(outcome, Outcome::BackedUp(_)) && overdue_at <= now.wall;
        overdue.then(|| now.wall.saturating_since(overdue_at) + policy.overdue_after)
    }

    /// A person who asked reads the result themselves; of the others somebody must be told.
    fn tell_of_the_end(
        &mut self,
        udid: &Udid,
        result: JobResult,
        trigger: Trigger,
        gap: Option<Duration>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(gap) = gap {
            self.tell(Some(udid), Attention::DoneAfterGap { gap }, now, effects);
        }
        let JobResult::Failed(failure) = result else {
            return;
        };
        if trigger == Trigger::User || failure.retry() == Retry::Later {
            return;
        }
        let room = self.phones.get(udid).and_then(|phone| phone.room);
        let attention = match (failure, room) {
            (Failure::NoSpace, Some(room)) => Attention::StoreTrouble(StoreComplaint::NoRoom(room)),
            (Failure::NoSpace, None) => Attention::StoreTrouble(StoreComplaint::Full),
            (Failure::StoreUnavailable, _) => {
                Attention::StoreTrouble(StoreComplaint::Unavailable(StoreTrouble::Failing))
            }
            _ => Attention::FailedNeedsYou { failure },
        };
        self.tell(Some(udid), attention, now, effects);
    }
}

/// A job that was told to stop broke off for that reason, whatever it stumbled over then.
fn for_the_reason_it_stopped(stage: &Stage, outcome: Outcome) -> Outcome {
    match (stage, &outcome) {
        (Stage::Stopping { why, .. }, Outcome::Failed { .. } | Outcome::Interrupted(_)) => {
            why.outcome()
        }
        _ => outcome,
    }
}

/// Who asked once asks, whatever came of it.
fn learn(phone: &mut Phone, outcome: &Outcome, asked: bool) {
    if asked {
        phone.learned = Some(Asking::Asks);
    }
    match outcome {
        Outcome::BackedUp(_) if !asked => phone.learned = Some(Asking::Never),
        Outcome::NotConfirmed | Outcome::NotLockedInTime => phone.learned = Some(Asking::Asks),
        Outcome::Failed {
            failure: Failure::NotTrusted,
            ..
        } => phone.trust = Trust::Untrusted,
        Outcome::BackedUp(_)
        | Outcome::Paired
        | Outcome::Done
        | Outcome::PasswordProved(_)
        | Outcome::Adopted(_)
        | Outcome::Cancelled
        | Outcome::CancelledOnDevice
        | Outcome::NotReadyInTime
        | Outcome::Interrupted(_)
        | Outcome::Failed { .. } => {}
    }
}

fn backed_up(phone: &mut Phone, facts: BackupFacts, now: Now) {
    let same = |it: &KnownBackup| it.facts.id == facts.id;
    let listed = phone.backups.iter().any(same);
    phone.backups.retain(|it| !same(it));
    phone.committed = Some(facts.id.clone());
    phone.retention_due = true;
    phone.backups.push(KnownBackup {
        facts,
        known_at: now.monotonic,
        made_here: true,
        listed,
    });
    phone.staged = Bytes::ZERO;
    phone.clear_back_off();
}

/// When to try again by oneself:
///
/// | how it ended | wait |
/// |---|---|
/// | failed, later may help | `first`, doubling, up to `max` |
/// | interrupted | `first_interruption`, doubling, up to `max` |
/// | failed, a person must act, or nothing helps | an interval, or until the cable comes back |
/// | cancelled | `max`, also when the cable comes back |
/// | not confirmed, not locked in time | none: the rules of asking say when |
/// | the daemon stopped, the conditions never held | none |
fn back_off(phone: &mut Phone, result: JobResult, policy: &Policy, now: Now) {
    let doubled = |first: Duration, failures: u32| {
        let factor = 1_u32 << failures.saturating_sub(1).min(DOUBLINGS_MAX);
        first.saturating_mul(factor).min(policy.backoff.max)
    };
    let wait = match result {
        JobResult::Succeeded
        | JobResult::NotReadyInTime
        | JobResult::NotConfirmed
        | JobResult::NotLockedInTime
        | JobResult::Interrupted(Interruption::Stopping) => return,
        JobResult::Cancelled | JobResult::CancelledOnDevice => policy.backoff.max,
        JobResult::Interrupted(
            Interruption::Lost(_)
            | Interruption::ConnectionLost
            | Interruption::HostPower
            | Interruption::HostNetwork,
        ) => {
            phone.failures = phone.failures.saturating_add(1);
            doubled(policy.backoff.first_interruption, phone.failures)
        }
        JobResult::Failed(failure) => {
            phone.failures = phone.failures.saturating_add(1);
            match failure.retry() {
                Retry::Later => doubled(policy.backoff.first, phone.failures),
                Retry::UserMustAct | Retry::Never => policy.interval,
            }
        }
    };
    phone.back_off(wait, result, now);
}
