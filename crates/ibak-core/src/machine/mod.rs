//! The machine: events in, effects out, one phone at most one thing at a time.
//!
//! Every call does the same: take in the event, evaluate all conditions afresh, stop what lost
//! its ground, start what may start, ask for what is missing, tell what must be told. Nothing
//! is remembered about *why* a state was entered, so no path through the events can leave it
//! wrong. It never acts, never waits and never reads a clock: the shell calls
//! [`Machine::handle`] with [`Event::Tick`] when [`Machine::next_deadline`] comes.
//!
//! ```
//! use ibak_core::*;
//! let start = Now { monotonic: Monotonic::ZERO, wall: Wall::from_secs(1_750_000_000) };
//! let mut machine = Machine::new(Policies::default(), JobId::new(1), start);
//! let effects = machine.handle(Event::StoreRecovered(vec![]), start);
//! assert!(!effects.iter().any(|it| matches!(it, Effect::StartJob(_))));
//! assert!(machine.view().phones.is_empty());
//! ```

mod apply;
mod asking;
mod attention;
mod clock;
mod deadline;
mod ending;
mod errand;
mod invariants;
mod job;
mod keeping;
mod phone;
mod refresh;
mod request;
mod running;
mod starting;
mod viewing;

use crate::{
    Calendar, Effect, Event, Host, HouseMemory, JobId, Monotonic, MuxerState, Now, Pause, Policies,
    Policy, StoreObservation, StoreReport, Udid, Unknown, Zone,
};
use job::Job;
use phone::{Phone, ToldTable};
use std::collections::BTreeMap;

pub use deadline::DEADLINE_MAX;
pub use errand::READERS_MAX;
pub use keeping::RELOAD_MAX;
pub use viewing::JOB_KEPT;

/// The most phones that are kept in mind. Further ones are not taken in.
pub const PHONES_MAX: usize = 256;

/// Everything that is known, and the only place where it changes.
///
/// What the shell promises in return:
/// - [`Event::RecalledHouse`] and [`Event::Recalled`] first, then an [`Event::Store`] and
///   [`Event::StoreRecovered`], then observations;
/// - exactly one [`Event::JobEnded`] for every [`Effect::StartJob`], also after a panic;
/// - [`Effect::RefreshSignals`] and [`Effect::RefreshStore`] are answered by events, a failed
///   reading by facts that are `None` or by nothing (it is asked for again, ever more seldom);
/// - [`Event::Tick`] at [`Machine::next_deadline`], and after a sleep or a jump of the wall clock;
///   `Now::monotonic` best counts sleep (`CLOCK_BOOTTIME`);
/// - that a phone accepts the pairing after all is told as [`crate::Fact::Trusted`] unasked;
/// - after each job that used the store, an [`Event::BackupsKnown`] that was read after its end;
///   until then nothing is removed. Of two such readings the one begun later comes last.
#[derive(Clone, Debug)]
pub struct Machine {
    policies: Policies,
    phones: BTreeMap<Udid, Phone>,
    jobs: BTreeMap<JobId, Job>,
    next_job: JobId,
    store: Option<StoreObservation>,
    store_asked: phone::Pace,
    recovered: bool,
    pause: Option<Pause>,
    calendar: Calendar,
    muxer: MuxerState,
    apple_on_usb: Option<u32>,
    host: Host,
    zone: Zone,
    told: ToldTable,
    clock: clock::ClockGuard,
    /// Who copied the store to another place, and until when that place is waited for.
    moved: Option<(JobId, Monotonic)>,
    remembered: HouseMemory,
    stopping: bool,
    /// The slots, or the jobs that still run from when there were more.
    running_max: usize,
    now: Now,
    deadline: Option<Monotonic>,
}

impl Machine {
    /// Makes a machine that knows nothing yet. `first_job` must be larger than any job id this
    /// computer ever used: ids count up from it and are never used again.
    pub fn new(policies: Policies, first_job: JobId, now: Now) -> Self {
        Self {
            running_max: policies.parallel_max,
            policies,
            phones: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next_job: first_job,
            store: None,
            store_asked: phone::Pace::default(),
            recovered: false,
            pause: None,
            calendar: Calendar::default(),
            muxer: MuxerState::Unknown,
            apple_on_usb: None,
            host: Host::default(),
            zone: Zone::default(),
            told: BTreeMap::new(),
            clock: clock::ClockGuard::new(now),
            moved: None,
            remembered: HouseMemory::default(),
            stopping: false,
            now,
            deadline: None,
        }
    }

    /// Takes in what happened and says what to do about it.
    ///
    /// A `now` whose monotonic part lies before that of an earlier call counts as that call's.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let monotonic = now.monotonic.max(self.now.monotonic);
        let now = Now {
            monotonic,
            wall: now.wall,
        };
        self.now = now;
        let mut effects = Vec::new();
        self.apply(event, now, &mut effects);
        let backups = self.phones.values().flat_map(|phone| &phone.backups);
        let dates = backups.map(|it| it.facts.finished);
        self.clock.look(now, dates);
        self.forget_what_passed(now);
        self.running_max = self.running().max(self.policies.parallel_max);
        self.evaluate(now);
        self.stop_what_lost_its_ground(now, &mut effects);
        self.end_what_cannot_start(now, &mut effects);
        self.start_what_may_start(now, &mut effects);
        self.remove_what_is_not_kept(now, &mut effects);
        self.ask_for_signals(now, &mut effects);
        self.call_for_attention(now, &mut effects);
        self.remember(&mut effects);
        self.deadline = self.find_deadline(now);
        if cfg!(debug_assertions) {
            self.verify_invariants();
        }
        effects
    }

    /// Returns when to call [`Machine::handle`] with [`Event::Tick`], if nothing happens before:
    /// after the last call's `now`, and at most [`DEADLINE_MAX`] later.
    pub const fn next_deadline(&self) -> Option<Monotonic> {
        self.deadline
    }

    fn policy(&self, phone: &Udid) -> &Policy {
        self.policies.of(phone)
    }

    /// Returns the phone's record, made if there is room for it.
    fn phone_mut(&mut self, udid: &Udid, now: Now) -> Option<&mut Phone> {
        if !self.phones.contains_key(udid) && self.phones.len() >= PHONES_MAX {
            return None;
        }
        Some(
            self.phones
                .entry(udid.clone())
                .or_insert_with(|| Phone::new(udid.clone(), now)),
        )
    }

    /// Returns the job that has the phone or waits for it.
    fn job_of(&self, phone: &Udid) -> Option<&Job> {
        self.jobs.values().find(|job| {
            job.phone.as_ref() == Some(phone) && job.kind.uses_phone() && !job.has_ended()
        })
    }

    /// Returns how many slots are taken.
    fn running(&self) -> usize {
        let takes_slot = |job: &&Job| job.is_running() && job.kind.takes_slot();
        self.jobs.values().filter(takes_slot).count()
    }

    /// Returns whether the newest report says anything: an open store only once it is recovered,
    /// trouble at once, for a store that is in trouble may never be recovered.
    fn store_is_told(&self) -> bool {
        self.recovered
            || self.store.is_some_and(|seen| match seen.report {
                StoreReport::Unavailable(_) => true,
                StoreReport::Open(_) => false,
            })
    }

    /// Returns the newest report on the store while it may be believed.
    fn store_report(&self, now: Now) -> Result<StoreReport, Unknown> {
        let Some(seen) = self.store.filter(|_| self.store_is_told()) else {
            return Err(Unknown::StoreNotRead);
        };
        let end = seen.time_to_live.map(|time| seen.at.monotonic + time);
        if end.is_none_or(|end| now.monotonic < end) {
            Ok(seen.report)
        } else {
            Err(Unknown::Stale)
        }
    }

    /// Keeps on disk what changed since it was last kept.
    fn remember(&mut self, effects: &mut Vec<Effect>) {
        for phone in self.phones.values_mut() {
            let memory = phone.memory();
            if phone.remembered.as_ref() != Some(&memory) {
                phone.remembered = Some(memory.clone());
                effects.push(Effect::Remember(memory));
            }
        }
        let house = HouseMemory {
            pause: self.pause,
            told: phone::told_list(&self.told),
            calendar: self.calendar,
        };
        if self.remembered != house {
            self.remembered = house.clone();
            effects.push(Effect::RememberHouse(house));
        }
    }
}
