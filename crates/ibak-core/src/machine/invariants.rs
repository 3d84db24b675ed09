//! What must hold after every call, whatever was handed in.

use super::deadline::DEADLINE_MAX;
use super::job::{Job, Stage};
use super::{Machine, PHONES_MAX};
use crate::{Condition, Decision, JobKind, Monotonic, Phase, Status, Trust};
use std::collections::BTreeSet;

impl Machine {
    /// Checks every invariant; each is a bug of ours when it breaks.
    ///
    /// # Panics
    /// When one is broken, with its words. Debug builds call this after every event.
    pub fn verify_invariants(&self) {
        let mut busy = BTreeSet::new();
        for job in self.jobs.values().filter(|job| !job.has_ended()) {
            assert!(
                !job.kind.uses_phone()
                    || job.phone.as_ref().is_some_and(|phone| busy.insert(phone)),
                "a phone does one thing at a time: {:?}",
                job.phone
            );
            self.verify_job(job);
        }
        let holds = |job: &&Job| job.is_running() && job.kind.uses_store();
        let moves = |job: &&Job| job.is_running() && job.kind == JobKind::MoveStore;
        let (holding, moving) = (
            self.jobs.values().filter(holds),
            self.jobs.values().filter(moves),
        );
        assert!(
            self.moving().is_none() || holding.count() == moving.count(),
            "who moves the store has it alone"
        );
        let used = self.jobs.values().all(|job| job.id < self.next_job);
        assert!(used, "ids count up and are never used again");
        assert!(
            self.running() <= self.running_max,
            "at most as many jobs as there are slots"
        );
        assert!(
            self.phones.len() <= PHONES_MAX,
            "at most {PHONES_MAX} phones are kept in mind"
        );
        if let Some(deadline) = self.deadline {
            let latest: Monotonic = self.now.monotonic + DEADLINE_MAX;
            assert!(
                deadline > self.now.monotonic,
                "a deadline in the past would make the shell spin"
            );
            assert!(deadline <= latest, "a deadline is bounded");
        }
        for phone in self.phones.values() {
            if let Decision::Wait { unmet, also } = &phone.decision {
                assert!(
                    !unmet.is_empty() || !also.is_empty(),
                    "who waits knows for what"
                );
                assert!(
                    unmet.iter().all(|(_, it)| !it.is_met()),
                    "what is met is not waited for"
                );
            }
            let may = matches!(phone.decision, Decision::Start | Decision::Ask);
            let started = !may || self.stopping;
            assert!(started, "what may start has started");
            for (condition, state) in phone.conditions.iter() {
                let past = state.since.monotonic <= self.now.monotonic;
                assert!(past, "{condition:?} holds since before now");
            }
        }
    }

    fn verify_job(&self, job: &Job) {
        let phone = job.phone.as_ref().and_then(|udid| self.phones.get(udid));
        let of_the_house = job.kind == JobKind::MoveStore;
        assert_eq!(phone.is_none(), of_the_house, "a job has a phone");
        match &job.stage {
            Stage::Queued => assert_eq!(job.phase, Phase::Queued, "who waits has no other phase"),
            Stage::Running { transport } => {
                assert_ne!(job.phase, Phase::Queued, "who runs waits no more");
                let reach = phone
                    .zip(*transport)
                    .is_some_and(|(phone, transport)| phone.reach.by(transport));
                let errand = matches!(job.kind, JobKind::Errand(_) | JobKind::MoveStore);
                let excused =
                    errand || job.has_arrived() || job.losing.contains_key(&Condition::Wifi);
                assert!(reach || excused, "a running job has its way to the phone");
            }
            Stage::Stopping { .. } => {
                assert_ne!(job.phase, Phase::Queued, "who runs waits no more");
            }
            Stage::Ended { .. } => {}
        }
        let met = job.ground.iter().all(|(_, status)| *status == Status::Met);
        assert!(
            met,
            "a job starts only when all it counts on is met: {:?}",
            job.ground
        );
        let untrusted = phone.is_some_and(|phone| phone.trust == Trust::Untrusted);
        let going = matches!(job.stage, Stage::Queued | Stage::Running { .. });
        let backup = going && !job.has_arrived() && job.kind == JobKind::Backup;
        assert!(!(untrusted && backup), "no backup of an untrusted phone");
    }
}
