//! Which jobs start: the decision for every phone, and who goes first when slots are few.
//!
//! People who asked go first, in the order in which they asked; then the phone whose backup has
//! been due for longest, one that was never backed up before all.

use super::Machine;
use super::job::{Job, LockCounts, Stage};
use super::phone::Phone;
use crate::consent::asks;
use crate::decision::counts_at_start;
use crate::{
    Automatic, Basis, Bytes, Condition, Decision, Demand, Due, Effect, Estimate, Extent, Failure,
    JobId, JobKind, Met, Need, Now, Outcome, Passcode, Phase, PhoneBackups, PhoneShare, Policy,
    Refusal, Room, Slot, Snapshot, StartJob, StoreReport, StoreTrouble, Transport, Udid, Unknown,
    Unmet, Verdict, Wall, decide_for, estimate,
};
use std::time::Duration;

/// For how long a backup asked for "at once" waits for what is not known yet.
pub(super) const NOT_KNOWN_MAX: Duration = Duration::from_secs(30);

/// Who is next; smaller goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Asked(JobId),
    Due(Option<Wall>, Udid),
}

impl Machine {
    pub(super) fn automatic(&self, phone: &Phone) -> Automatic {
        if phone.retired {
            return Automatic::Off;
        }
        self.automatic_wish(phone)
    }

    /// Returns what is wished, retired or not.
    pub(super) fn automatic_wish(&self, phone: &Phone) -> Automatic {
        phone
            .automatic
            .unwrap_or(if self.policy(&phone.udid).automatic {
                Automatic::On
            } else {
                Automatic::Off
            })
    }

    /// Returns whether the phone's next backup fits, and when the store was looked at.
    pub(super) fn space(&self, udid: &Udid, now: Now) -> (Verdict, Option<Now>) {
        let extent = self.job_of(udid).map_or(Extent::Changes, |job| job.extent);
        self.space_for(udid, extent, now)
    }

    pub(super) fn space_for(
        &self,
        udid: &Udid,
        extent: Extent,
        now: Now,
    ) -> (Verdict, Option<Now>) {
        let observed = self.store.map(|seen| seen.at);
        let store = match self.store_report(now) {
            Err(unknown) => return (Verdict::Unknown(unknown), observed),
            Ok(StoreReport::Unavailable(trouble)) => {
                return (Verdict::Unmet(Unmet::Store(trouble)), observed);
            }
            Ok(StoreReport::Open(_)) if self.moving().is_some() => {
                return (Verdict::Unmet(Unmet::Store(StoreTrouble::Moving)), observed);
            }
            Ok(StoreReport::Open(numbers)) => numbers,
        };
        let runs = self
            .job_of(udid)
            .is_some_and(|job| job.is_running() && job.kind == JobKind::Backup);
        let estimate = if runs {
            Some(Estimate {
                needed: Bytes::ZERO,
                basis: Basis::Running,
            })
        } else {
            self.phones
                .get(udid)
                .and_then(|phone| estimate_for(phone, extent))
        };
        let Some(estimate) = estimate else {
            return (Verdict::Unknown(Unknown::SizeNotKnown), observed);
        };
        // A running job shares the store with the others; only an exhausted store stops it.
        let promised = if runs {
            Bytes::ZERO
        } else {
            self.promised_to_others(udid)
        };
        let room = Room {
            store,
            share: self
                .phones
                .get(udid)
                .map_or_else(PhoneShare::default, |phone| self.share_of(phone)),
            promised,
            estimate,
        };
        let verdict = if room.fits() {
            Verdict::Met(Met::Room(room))
        } else {
            Verdict::Unmet(Unmet::NoRoom(room))
        };
        (verdict, observed)
    }

    /// Returns all that is true of a phone. A job that only waits is not yet a job of it.
    pub(super) fn snapshot(&self, phone: &Phone, slot: Slot, now: Now) -> Snapshot {
        Snapshot {
            automatic: self.automatic(phone),
            reach: phone.reach,
            last_seen: phone.last_seen,
            trust: phone.trust,
            conditions: phone.conditions,
            asked: phone.prompted,
            plugged_in_hand: phone.plugged_in_hand,
            host: self.host,
            host_power: self.policies.host_power,
            zone: self.zone.clone(),
            battery_percent: phone.facts.battery_percent(now),
            due: phone.due(self.policy(&phone.udid), self.calendar, now),
            passcode: phone.passcode(),
            pause: self.pause,
            backing_off: phone.backing_off,
            job: self
                .job_of(&phone.udid)
                .filter(|job| job.is_running())
                .map(|job| job.id),
            slot,
        }
    }

    /// Returns what the phone's next backup is wanted for.
    pub(super) fn demand(&self, udid: &Udid) -> Demand {
        let queued = self
            .job_of(udid)
            .filter(|job| job.is_queued() && job.kind == JobKind::Backup);
        queued.map_or(Demand::Schedule, |job| job.demand)
    }

    fn decision(&self, phone: &Phone, slot: Slot, now: Now) -> Decision {
        let snapshot = self.snapshot(phone, slot, now);
        decide_for(
            self.demand(&phone.udid),
            &snapshot,
            self.policy(&phone.udid),
            now,
        )
    }

    /// Lists who could start if there were slots enough, first come first.
    fn claims(&self, now: Now) -> Vec<(Claim, Udid)> {
        let mut claims = Vec::new();
        for phone in self.phones.values() {
            let udid = &phone.udid;
            match self.job_of(udid) {
                Some(job) if job.is_queued() => {
                    let ready = match job.kind {
                        JobKind::Backup => may_start(&self.decision(phone, Slot::Free, now)),
                        JobKind::Pair => phone.reach.usb,
                        // An errand never waits.
                        JobKind::Errand(_) | JobKind::MoveStore => false,
                    };
                    if ready {
                        claims.push((Claim::Asked(job.id), udid.clone()));
                    }
                }
                Some(_) => {}
                None if may_start(&self.decision(phone, Slot::Free, now)) => {
                    let since = match phone.due(self.policy(udid), self.calendar, now) {
                        Due::Since(since) => since,
                        Due::NotUntil(_) => None,
                    };
                    claims.push((Claim::Due(since, udid.clone()), udid.clone()));
                }
                None => {}
            }
        }
        claims.sort();
        claims
    }

    pub(super) fn start_what_may_start(&mut self, now: Now, effects: &mut Vec<Effect>) {
        // Each start takes a slot and promises room, so the next is chosen afresh.
        while !self.stopping && self.running() < self.policies.parallel_max {
            let Some((claim, udid)) = self.claims(now).into_iter().next() else {
                break;
            };
            let id = match claim {
                Claim::Asked(id) => id,
                Claim::Due(..) => self.accept(
                    Some(&udid),
                    JobKind::Backup,
                    Demand::Schedule,
                    Extent::Changes,
                    now,
                ),
            };
            self.ask_first(id, now, effects);
            self.start(id, effects);
            self.evaluate(now);
        }
        self.note_decisions(now);
    }

    /// Keeps each phone's decision for the view, with its place in the queue for a slot.
    fn note_decisions(&mut self, now: Now) {
        let queue: Vec<Udid> = self.claims(now).into_iter().map(|(_, udid)| udid).collect();
        let (running, max) = (self.running(), self.policies.parallel_max);
        let mut decisions = Vec::new();
        for phone in self.phones.values() {
            let slot = match queue.iter().position(|udid| udid == &phone.udid) {
                Some(ahead) if running >= max => Slot::Taken {
                    running,
                    ahead,
                    max,
                },
                Some(_) | None => Slot::Free,
            };
            decisions.push((phone.udid.clone(), self.decision(phone, slot, now)));
        }
        for (udid, decision) in decisions {
            if let Some(phone) = self.phones.get_mut(&udid) {
                phone.decision = decision;
            }
        }
    }

    pub(super) fn start(&mut self, id: JobId, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let Some(udid) = job.phone.clone() else {
            self.start_for_the_house(id, effects);
            return;
        };
        let Some(phone) = self.phones.get(&udid) else {
            return;
        };
        let transport = match job.kind {
            JobKind::MoveStore => None,
            JobKind::Pair => Some(Transport::Usb),
            JobKind::Backup => phone.reach.best(),
            JobKind::Errand(errand) => phone.reach.best().filter(|_| errand.uses_phone()),
        };
        if transport.is_none() && job.kind.uses_phone() {
            return;
        }
        let policy = self.policy(&udid);
        let asks = job.kind == JobKind::Backup && asks(job.demand, phone.passcode());
        let hold_until_locked = hold_until_locked(job, phone, policy);
        let lock = match (asks, hold_until_locked) {
            (false, _) => LockCounts::Yes,
            (true, Some(_)) => LockCounts::Later,
            (true, None) => LockCounts::No,
        };
        let promised = match job.kind {
            JobKind::Backup => phone.room.map_or(Bytes::ZERO, |room| room.estimate.needed),
            JobKind::Pair | JobKind::Errand(_) | JobKind::MoveStore => Bytes::ZERO,
        };
        let counted = phone
            .conditions
            .iter()
            .filter(|_| job.kind == JobKind::Backup)
            .filter(|(it, _)| counts_at_start(job.demand, asks, *it, policy));
        let ground = counted
            .map(|(condition, state)| (condition, state.verdict.status()))
            .collect();
        let started = StartJob {
            job: id,
            phone: Some(udid),
            kind: job.kind,
            trigger: job.trigger(),
            extent: job.extent,
            transport,
            hold_until_locked,
        };
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stage = Stage::Running { transport };
            job.phase = Phase::Connecting;
            job.promised = promised;
            job.ground = ground;
            job.lock = lock;
            job.holds = hold_until_locked.is_some();
            effects.push(Effect::StartJob(started));
        }
    }

    /// Starts a job that is about no single phone.
    fn start_for_the_house(&mut self, id: JobId, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.stage = Stage::Running { transport: None };
        job.phase = Phase::Preparing;
        effects.push(Effect::StartJob(StartJob {
            job: id,
            phone: None,
            kind: job.kind,
            trigger: job.trigger(),
            extent: job.extent,
            transport: None,
            hold_until_locked: None,
        }));
    }

    /// Ends those waiting jobs that can no longer come to their turn.
    pub(super) fn end_what_cannot_start(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let waiting: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.is_queued())
            .map(|job| job.id)
            .collect();
        for id in waiting {
            if let Some(outcome) = self.hopeless(id, now) {
                self.finish(id, outcome, now, effects);
            }
        }
    }

    fn hopeless(&self, id: JobId, now: Now) -> Option<Outcome> {
        let job = self.jobs.get(&id)?;
        let phone = self.phones.get(job.phone.as_ref()?)?;
        let fail = |failure| Some(Outcome::failed(failure, ""));
        let waited = now.monotonic.saturating_since(job.accepted.monotonic);
        if job.kind == JobKind::Pair {
            return if phone.reach.usb {
                None
            } else {
                fail(Failure::NotConnected)
            };
        }
        let decision = self.decision(phone, Slot::Free, now);
        if decision == Decision::Refuse(Refusal::NotTrusted) {
            return fail(Failure::NotTrusted);
        }
        if waited >= self.policy(&phone.udid).when_ready_max {
            return Some(Outcome::NotReadyInTime);
        }
        if job.demand != Demand::AtOnce || may_start(&decision) {
            return None;
        }
        if phone.reach.best().is_none() {
            return fail(Failure::NotConnected);
        }
        match phone.conditions.get(Condition::Space).verdict {
            Verdict::Unmet(Unmet::Store(_)) => fail(Failure::StoreUnavailable),
            Verdict::Unmet(_) => fail(Failure::NoSpace),
            Verdict::Unknown(_) if waited >= NOT_KNOWN_MAX => fail(Failure::SpaceUnknown),
            Verdict::Met(_) if waited >= NOT_KNOWN_MAX => fail(Failure::NotTrusted),
            Verdict::Met(_) | Verdict::Unknown(_) => None,
        }
    }
}

/// Tells whether nothing is waited for any more.
fn may_start(decision: &Decision) -> bool {
    match decision {
        Decision::Start | Decision::Ask => true,
        Decision::Wait { .. } | Decision::NotDue { .. } | Decision::Refuse(_) => false,
    }
}

/// Returns for how long the phone is held after its passcode was given; a person who wants a backup
/// at once does not wait for the lock.
fn hold_until_locked(job: &Job, phone: &Phone, policy: &Policy) -> Option<Duration> {
    let hold = policy.hold_until_locked_max;
    let may_ask = phone.passcode() != Passcode::Never && policy.locked == Need::Required;
    (job.demand != Demand::AtOnce && may_ask && !hold.is_zero()).then_some(hold)
}

fn estimate_for(phone: &Phone, extent: Extent) -> Option<Estimate> {
    let committed = phone.backups.iter().map(|it| it.facts.clone()).collect();
    let backups = PhoneBackups {
        committed,
        staged: phone.staged,
        used: phone.used,
    };
    estimate(&backups, phone.facts.data_used_kept, extent == Extent::Full)
}
