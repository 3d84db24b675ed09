//! Asking a person for the passcode: who is told before, and what counts as asked.
//!
//! A question counts for its day from when it is sought, so that nothing can make the phone ask
//! twice; one that never came to the phone's screen is given back, and one whose answer was wasted
//! because this computer broke off, or the connection. The time between two questions runs in any
//! case, and from those that a person asked for as well.

use super::Machine;
use super::job::{Job, LockCounts, Question};
use crate::consent::asks;
use crate::{
    Asked, Attention, Condition, Demand, Effect, Interruption, JobId, JobKind, Now, Outcome, Phase,
    Udid, Verdict,
};

impl Machine {
    /// Tells a person that the phone is about to ask for its passcode, if this job makes it ask.
    pub(super) fn ask_first(&mut self, id: JobId, now: Now, effects: &mut Vec<Effect>) {
        let Some((job, udid)) = self.asking_job(id) else {
            return;
        };
        let sought = job.demand;
        let phone = self.phones.get(&udid);
        if !phone.is_some_and(|phone| asks(sought, phone.passcode())) {
            return;
        }
        self.note_question(id, &udid, Question::Sought, now);
        self.tell(Some(&udid), Attention::Asking { job: id }, now, effects);
    }

    /// Notes that the phone asks.
    pub(super) fn question_is_put(&mut self, id: JobId, now: Now) {
        if let Some((_, udid)) = self.asking_job(id) {
            self.note_question(id, &udid, Question::Put, now);
        }
    }

    fn asking_job(&self, id: JobId) -> Option<(&Job, Udid)> {
        let job = self.jobs.get(&id)?;
        let udid = job.phone.clone()?;
        (job.kind == JobKind::Backup).then_some((job, udid))
    }

    fn note_question(&mut self, id: JobId, udid: &Udid, now_is: Question, now: Now) {
        let zone = &self.zone;
        let (Some(job), Some(phone)) = (self.jobs.get_mut(&id), self.phones.get_mut(udid)) else {
            return;
        };
        let before = std::mem::replace(&mut job.question, now_is);
        // Who wanted the backup at once asked for the question too; it costs the day nothing.
        let counts = job.demand == Demand::Schedule;
        if before == Question::Unnoted {
            phone.prompted = Some(Asked::again(phone.prompted, counts, zone, now));
        }
    }

    /// Takes in how a job ended: whether it asked, and whether that counts.
    pub(super) fn question_ended(&mut self, id: JobId, outcome: &Outcome, now: Now) {
        let Some((job, udid)) = self.asking_job(id) else {
            return;
        };
        let counted = job.demand == Demand::Schedule;
        let question = job.question;
        let give_back = match (outcome, question) {
            (Outcome::NotConfirmed | Outcome::NotLockedInTime, _) => {
                self.note_question(id, &udid, Question::Put, now);
                false
            }
            (_, Question::Sought) => true,
            (_, Question::Put) => was_wasted(outcome, job.phase != Phase::Asking),
            (_, Question::Unnoted) => false,
        };
        let phone = self.phones.get_mut(&udid).filter(|_| give_back && counted);
        if let Some(asked) = phone.and_then(|it| it.prompted.as_mut()) {
            asked.count = asked.count.saturating_sub(1);
        }
    }

    /// Notes how far a job is with its question: once the phone has asked, its screen is unlocked;
    /// when data moves, it is locked again.
    pub(super) fn lock_counts_in(&mut self, id: JobId, phase: Phase) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        match phase {
            Phase::Asking | Phase::AwaitingLock => {
                if job.holds {
                    job.lock = LockCounts::Later;
                }
            }
            Phase::Scanning
            | Phase::Receiving
            | Phase::Arranging
            | Phase::Verifying
            | Phase::Committing => {
                if job.lock == LockCounts::Later {
                    job.lock = LockCounts::Yes;
                }
            }
            Phase::Queued
            | Phase::Connecting
            | Phase::Preparing
            | Phase::Unlocking
            | Phase::Sending
            | Phase::Copying => {}
        }
    }

    /// Tells whether all that a backup counts on holds, the lock included.
    pub(super) fn may_move(&self, job: &Job) -> bool {
        let phone = job.phone.as_ref().and_then(|udid| self.phones.get(udid));
        phone.is_some_and(|phone| {
            let policy = self.policy(&phone.udid);
            let mut all = phone.conditions.iter();
            job.kind == JobKind::Backup
                && all.all(|(condition, state)| {
                    !crate::decision::counts(job.demand, condition, policy)
                        || state.verdict.is_met()
                })
        })
    }

    /// Says what a hold that came to its end was really held for: the lock, a condition that was lost
    /// meanwhile, or one that nobody could tell any more.
    pub(super) fn what_was_missing(&self, id: JobId, outcome: Outcome) -> Outcome {
        let phone = self
            .asking_job(id)
            .and_then(|(job, udid)| Some((job, self.phones.get(&udid)?)));
        let Some((job, phone)) = phone.filter(|_| outcome == Outcome::NotLockedInTime) else {
            return outcome;
        };
        if !phone.conditions.locked.verdict.is_met() {
            return outcome;
        }
        let policy = self.policy(&phone.udid);
        let counted = |it: &Condition| crate::decision::counts(job.demand, *it, policy);
        let verdicts: Vec<(Condition, Verdict)> = Condition::ALL
            .into_iter()
            .filter(counted)
            .map(|it| (it, phone.conditions.get(it).verdict))
            .collect();
        let lost = |it: &&(Condition, Verdict)| matches!(it.1, Verdict::Unmet(_));
        match verdicts.iter().find(lost) {
            Some((lost, _)) => Outcome::Interrupted(Interruption::Lost(*lost)),
            None if verdicts.iter().any(|(_, it)| !it.is_met()) => Outcome::NotReadyInTime,
            None => outcome,
        }
    }
}

/// Tells whether a question came to nothing through no fault of who was asked. Who takes the phone
/// away while it asks has answered, too.
fn was_wasted(outcome: &Outcome, answered: bool) -> bool {
    match outcome {
        Outcome::Interrupted(
            Interruption::Stopping | Interruption::HostNetwork | Interruption::HostPower,
        ) => true,
        Outcome::Interrupted(Interruption::ConnectionLost) => answered,
        Outcome::Interrupted(Interruption::Lost(_))
        | Outcome::BackedUp(_)
        | Outcome::Paired
        | Outcome::Done
        | Outcome::PasswordProved(_)
        | Outcome::Adopted(_)
        | Outcome::Cancelled
        | Outcome::CancelledOnDevice
        | Outcome::NotConfirmed
        | Outcome::NotLockedInTime
        | Outcome::NotReadyInTime
        | Outcome::Failed { .. } => false,
    }
}
