//! Asking for signals: only what something depends on, shortly before it grows stale.
//!
//! An answer that does not come is asked for again after 10 s, then after twice as long, up to
//! five minutes; a phone that sleeps is not worn out.

use super::Machine;
use super::job::LockCounts;
use super::phone::{Asked, Pace, Phone};
use crate::consent::asks;
use crate::{
    Condition, Decision, Demand, Effect, Hold, JobKind, Monotonic, Now, OnLoss, RefreshWhy, Signal,
    Trust, Udid,
};
use std::collections::BTreeMap;
use std::time::Duration;

const ASK_AGAIN_MIN: Duration = Duration::from_secs(10);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(300);
/// What grows stale within this time of another is read together with it.
const TOGETHER: Duration = Duration::from_secs(5);

impl Pace {
    /// Notes that it is asked now.
    fn ask(&mut self, now: Now) {
        let wait = ASK_AGAIN_MIN
            .saturating_mul(1 << self.tries.min(5))
            .min(ASK_AGAIN_MAX);
        self.not_before = now.monotonic + wait;
        self.tries = self.tries.saturating_add(1);
    }
}

impl Asked {
    /// Returns when this signal may be asked for again.
    fn not_before(&self, signal: Signal) -> Monotonic {
        self.paces
            .get(&signal)
            .map_or(Monotonic::ZERO, |pace| pace.not_before)
    }

    /// Notes that these signals are asked for now.
    fn ask(&mut self, which: &[Signal], now: Now) {
        for signal in which {
            self.paces.entry(*signal).or_default().ask(now);
        }
    }
}

impl Machine {
    pub(super) fn ask_for_signals(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let all: Vec<Udid> = self.phones.keys().cloned().collect();
        for udid in all {
            self.ask_phone(&udid, now, effects);
        }
        self.ask_store(now, effects);
    }

    fn ask_phone(&mut self, udid: &Udid, now: Now, effects: &mut Vec<Effect>) {
        let plan = self.reread_plan(udid, now);
        let Some(phone) = self.phones.get_mut(udid) else {
            return;
        };
        if phone.reach.best().is_none() {
            phone.asked = Asked {
                looked_at_until: phone.asked.looked_at_until,
                ..Asked::default()
            };
            return;
        }
        if std::mem::take(&mut phone.asked.appeared) {
            phone.asked.edge = false;
            let which = match phone.trust {
                Trust::Untrusted => vec![Signal::Trust],
                Trust::Trusted | Trust::Unknown => Signal::ALL.to_vec(),
            };
            phone.asked.paces.clear();
            phone.asked.ask(&which, now);
            effects.push(Effect::RefreshSignals {
                phone: udid.clone(),
                which,
                why: RefreshWhy::Appeared,
            });
            return;
        }
        if std::mem::take(&mut phone.asked.edge) && phone.trust == Trust::Trusted {
            let which = vec![Signal::Locked];
            effects.push(Effect::RefreshSignals {
                phone: udid.clone(),
                which,
                why: RefreshWhy::Edge,
            });
            return;
        }
        // What is known and fresh was answered; asking for it may begin quickly again.
        phone
            .asked
            .paces
            .retain(|signal, _| plan.get(signal).is_some_and(|(at, _)| *at <= now.monotonic));
        let may_ask = |signal: &Signal| phone.asked.not_before(*signal) <= now.monotonic;
        let is_due = |(signal, (at, _)): (&Signal, &(Monotonic, RefreshWhy))| {
            *at <= now.monotonic && may_ask(signal)
        };
        if !plan.iter().any(is_due) {
            return;
        }
        let soon = now.monotonic + TOGETHER;
        let read: BTreeMap<Signal, RefreshWhy> = plan
            .iter()
            .filter(|(signal, (at, _))| *at <= soon && may_ask(signal))
            .map(|(signal, (_, why))| (*signal, *why))
            .collect();
        let why = read.values().min().copied().unwrap_or(RefreshWhy::Due);
        let which: Vec<Signal> = read.into_keys().collect();
        phone.asked.ask(&which, now);
        effects.push(Effect::RefreshSignals {
            phone: udid.clone(),
            which,
            why,
        });
    }

    /// Returns when this phone's signals are next to be asked for.
    pub(super) fn next_reread(&self, phone: &Phone, now: Now) -> Option<Monotonic> {
        self.reread_plan(&phone.udid, now)
            .iter()
            .map(|(signal, (at, _))| (*at).max(phone.asked.not_before(*signal)))
            .min()
    }

    /// Lists what is to be read again, when, and for what.
    fn reread_plan(&self, udid: &Udid, now: Now) -> BTreeMap<Signal, (Monotonic, RefreshWhy)> {
        let mut plan = BTreeMap::new();
        let Some(phone) = self
            .phones
            .get(udid)
            .filter(|phone| phone.reach.best().is_some())
        else {
            return plan;
        };
        match phone.trust {
            Trust::Untrusted => return plan,
            Trust::Unknown => {
                plan.insert(Signal::Trust, (now.monotonic, RefreshWhy::Appeared));
                return plan;
            }
            Trust::Trusted => {}
        }
        for (signal, why) in self.wanted(phone) {
            if let Some(at) = phone.facts.reread_at(signal, now) {
                plan.entry(signal).or_insert((at, why));
            }
        }
        plan
    }

    /// Lists the signals on which something depends.
    fn wanted(&self, phone: &Phone) -> Vec<(Signal, RefreshWhy)> {
        let policy = self.policy(&phone.udid);
        let mut wanted = Vec::new();
        let mut want = |conditions: &[Condition], why| {
            wanted.extend(
                conditions
                    .iter()
                    .flat_map(|it| it.signals())
                    .map(|signal| (*signal, why)),
            );
        };
        let required: Vec<Condition> = Condition::ALL
            .into_iter()
            .filter(|it| policy.requires(*it))
            .collect();
        // Who is asked must be there, whether or not the lock counts.
        let asks = asks(self.demand(&phone.udid), phone.passcode());
        let looked_for: Vec<Condition> = Condition::ALL
            .into_iter()
            .filter(|it| policy.requires(*it) || (asks && *it == Condition::Locked))
            .collect();
        match self.job_of(&phone.udid) {
            Some(job) if job.kind != JobKind::Backup => {}
            Some(job) if job.is_queued() => match job.demand {
                Demand::AtOnce => want(&[Condition::Space], RefreshWhy::Due),
                Demand::Schedule | Demand::WhenReady => want(&looked_for, RefreshWhy::Due),
            },
            Some(job) if job.demand == Demand::AtOnce || job.has_arrived() => {}
            Some(job) => {
                let stops = |it: &Condition| {
                    *it != Condition::Space && policy.on_loss.get(*it) != OnLoss::Finish
                };
                // A phone that was asked is held until all holds.
                let held = job.lock == LockCounts::Later;
                let watched = |it: &Condition| stops(it) || (held && *it != Condition::Space);
                let watched: Vec<Condition> = required.into_iter().filter(watched).collect();
                want(&watched, RefreshWhy::JobRuns);
            }
            None if only_the_world_is_waited_for(&phone.decision) => {
                want(&looked_for, RefreshWhy::Due)
            }
            None => {}
        }
        if policy.battery_min.is_some() && wanted.iter().any(|(_, why)| *why == RefreshWhy::Due) {
            wanted.push((Signal::Power, RefreshWhy::Due));
        }
        if phone.asked.looked_at_until.is_some() {
            wanted.extend(Signal::ALL.map(|signal| (signal, RefreshWhy::LookedAt)));
        }
        wanted
    }

    /// Tells whether anything depends on how the store is.
    fn store_matters(&self) -> bool {
        self.store_is_told()
            && self.phones.values().any(|phone| {
                phone.asked.looked_at_until.is_some()
                    || self
                        .job_of(&phone.udid)
                        .is_some_and(|job| job.kind == JobKind::Backup)
                    || (phone.reach.best().is_some()
                        && only_the_world_is_waited_for(&phone.decision))
            })
    }

    pub(super) fn next_store_reread(&self, now: Now) -> Option<Monotonic> {
        if !self.store_matters() {
            return None;
        }
        let at = match &self.store {
            None => now.monotonic,
            Some(seen) => seen.at.monotonic + seen.time_to_live? / 4 * 3,
        };
        Some(at.max(self.store_asked.not_before))
    }

    fn ask_store(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.store_report(now).is_ok() {
            self.store_asked.tries = 0;
        }
        if self
            .next_store_reread(now)
            .is_some_and(|at| at <= now.monotonic)
        {
            self.store_asked.ask(now);
            effects.push(Effect::RefreshStore);
        }
    }
}

/// Tells whether a fresh look at the phone could lead to a start.
fn only_the_world_is_waited_for(decision: &Decision) -> bool {
    match decision {
        Decision::Start | Decision::Ask => true,
        Decision::NotDue { .. } | Decision::Refuse(_) => false,
        Decision::Wait { also, .. } => also.iter().all(Hold::looking_may_end),
    }
}
