//! Taking in what happened, before anything is decided.

use super::job::{Job, Stage};
use super::phone::{KnownBackup, Phone, recall_told};
use super::{Machine, viewing::JOB_KEPT};
use crate::{
    BackupFacts, BackupId, Bytes, Calendar, ClockTrust, Effect, Event, Fact, Identity,
    Interruption, JobId, MuxerState, Now, Observation, Phase, PhoneBackups, PhoneMemory, Progress,
    Reach, StopWhy, Transport, Trust, Udid,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// For how long a look at a phone keeps its signals fresh.
const LOOKED_AT_FOR: Duration = Duration::from_secs(60);

/// For how long after a start the phones that are there are still being found.
pub(super) const FINDING: Duration = Duration::from_secs(60);

impl Machine {
    pub(super) fn apply(&mut self, event: Event, now: Now, effects: &mut Vec<Effect>) {
        match event {
            Event::Tick => {}
            Event::Observed(seen) => self.observe(&seen, now),
            Event::LookedAt(udid) => {
                if let Some(phone) = self.phones.get_mut(&udid) {
                    phone.asked.looked_at_until = Some(now.monotonic + LOOKED_AT_FOR);
                }
            }
            Event::Store(seen) => self.store = Some(seen),
            Event::StoreRecovered(all) => self.store_recovered(all, now),
            Event::BackupsKnown(udid, backups) => self.know_backups(&udid, backups, now),
            Event::Recalled(memory) => self.recall(memory, now),
            Event::RecalledHouse(memory) => {
                self.pause = memory.pause;
                self.calendar = memory.calendar;
                self.count_what_nobody_fired(now);
                self.told = recall_told(&memory.told, now);
                self.remembered = memory;
            }
            Event::MadeRoom {
                phone,
                removed,
                freed,
            } => self.note_made_room(&phone, removed, freed),
            Event::DamageFound(udid, backups) => self.note_damage(&udid, backups),
            Event::PoliciesChanged(policies) => self.set_policies(policies),
            Event::Muxer(state) => self.set_muxer(state, now),
            Event::AppleOnUsb(count) => self.apple_on_usb = count,
            Event::Host(host) => self.host = host,
            Event::Zone(zone) => self.zone = zone,
            Event::Requested { id, request } => {
                let answer = self.request(request, now, effects);
                effects.push(Effect::Answer { id, answer });
            }
            Event::JobPhase(job, phase) => self.set_phase(job, phase, now),
            Event::JobProgress(job, progress) => self.set_progress(job, progress),
            Event::JobEnded(job, outcome) => self.end_job(job, outcome, now, effects),
            Event::SchedulePlanned(next) => {
                self.count_what_nobody_fired(now);
                self.calendar.next = next;
            }
            Event::ScheduleFired => {
                self.calendar = Calendar {
                    fired: Some(now.wall),
                    next: None,
                };
            }
            Event::Stopping => self.stop_everything(now, effects),
        }
    }

    /// A time of the calendar that came while nothing ran, or this computer slept, counts all the same.
    fn count_what_nobody_fired(&mut self, now: Now) {
        if let Some(missed) = self.calendar.next.filter(|next| *next <= now.wall) {
            self.calendar = Calendar {
                fired: Some(missed),
                next: None,
            };
        }
    }

    fn observe(&mut self, seen: &Observation, now: Now) {
        let finding = now.monotonic < self.made + FINDING;
        let Some(phone) = self.phone_mut(&seen.phone, now) else {
            return;
        };
        phone.seen = true;
        match &seen.fact {
            Fact::Reachable {
                transport,
                reachable,
            } => {
                let reach = match transport {
                    Transport::Usb => Reach {
                        usb: *reachable,
                        ..phone.reach
                    },
                    Transport::Wifi => Reach {
                        wifi: *reachable,
                        ..phone.reach
                    },
                };
                phone.set_reach(reach, now);
                // Nobody knows when this one was plugged in.
                phone.plugged_at = phone.plugged_at.filter(|_| !finding);
            }
            Fact::Trusted(told) => set_trust(phone, *told),
            Fact::Identity {
                name,
                product_type,
                os_version,
            } => {
                phone.identity = Some(Identity {
                    name: name.clone(),
                    product_type: product_type.clone(),
                    os_version: os_version.clone(),
                });
            }
            Fact::LockSeen | Fact::UnlockSeen => {
                phone.facts.observe(seen, now);
                phone.asked.edge = true;
            }
            Fact::Unheard
            | Fact::ExternalPower(_)
            | Fact::BatteryPercent(_)
            | Fact::OnWifi(_)
            | Fact::ScreenLocked(_)
            | Fact::DataUsed(_)
            | Fact::EncryptsBackups(_)
            | Fact::EncryptionRequired(_)
            | Fact::ICloudBackup(_)
            | Fact::ICloudBackupDate(_)
            | Fact::HasPasscode(_) => phone.facts.observe(seen, now),
        }
    }

    /// Takes in all that the store holds.
    fn store_recovered(&mut self, all: Vec<(Udid, PhoneBackups)>, now: Now) {
        self.recovered = true;
        self.moved = None;
        let held: BTreeSet<&Udid> = all.iter().map(|(udid, _)| udid).collect();
        let others = self.phones.keys().filter(|udid| !held.contains(udid));
        let others: Vec<Udid> = others.cloned().collect();
        for udid in others {
            self.know_backups(&udid, PhoneBackups::default(), now);
        }
        for (udid, backups) in all {
            self.know_backups(&udid, backups, now);
            // The end of the last process may have come between a commit and what goes for it.
            self.look_at_what_is_kept(&udid);
        }
    }

    fn know_backups(&mut self, udid: &Udid, backups: PhoneBackups, now: Now) {
        // Of a phone that was forgotten meanwhile there is nothing to know.
        if backups == PhoneBackups::default() && !self.phones.contains_key(udid) {
            return;
        }
        let Some(phone) = self.phone_mut(udid, now) else {
            return;
        };
        let before = std::mem::take(&mut phone.backups);
        let same = |one: &BackupFacts| before.iter().any(|it| it.facts == *one);
        let as_before = before.len() == backups.committed.len();
        phone.room_sought &= as_before && backups.committed.iter().all(same);
        phone.staged = backups.staged;
        phone.used = backups.used;
        let known = |facts: BackupFacts| {
            let same = before.iter().find(|it| it.facts.id == facts.id);
            KnownBackup {
                known_at: same.map_or(now.monotonic, |it| it.known_at),
                made_here: same.is_some_and(|it| it.made_here),
                listed: true,
                facts,
            }
        };
        phone.backups = backups.committed.into_iter().map(known).collect();
        // A list that was begun before a commit does not undo it; the next one will have it.
        let there: BTreeSet<BackupId> =
            phone.backups.iter().map(|it| it.facts.id.clone()).collect();
        let newer = |it: &KnownBackup| !it.listed && !there.contains(&it.facts.id);
        let newer: Vec<KnownBackup> = before.into_iter().filter(newer).collect();
        phone.backups_read = newer.is_empty();
        let listed = true;
        phone
            .backups
            .extend(newer.into_iter().map(|it| KnownBackup { listed, ..it }));
    }

    fn recall(&mut self, memory: PhoneMemory, now: Now) {
        let policy = self.policy(&memory.phone).clone();
        if let Some(phone) = self.phone_mut(&memory.phone.clone(), now) {
            phone.recall(memory, &policy, now);
        }
    }

    /// Without usbmuxd nothing is reached by cable, whatever was said before.
    fn set_muxer(&mut self, state: MuxerState, now: Now) {
        self.muxer = state;
        match state {
            MuxerState::Absent => {
                for phone in self.phones.values_mut() {
                    phone.set_reach(
                        Reach {
                            usb: false,
                            ..phone.reach
                        },
                        now,
                    );
                }
            }
            MuxerState::Unknown | MuxerState::Mute | MuxerState::Up => {}
        }
    }

    fn set_phase(&mut self, id: JobId, phase: Phase, now: Now) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_running()) else {
            return;
        };
        job.asked |= phase == Phase::Asking;
        job.phase = phase;
        self.lock_counts_in(id, phase);
        if phase == Phase::Asking {
            self.question_is_put(id, now);
        }
    }

    fn set_progress(&mut self, id: JobId, progress: Progress) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_running()) {
            let permille = progress.permille.map(|it| it.min(1000));
            job.progress = Progress {
                permille,
                ..progress
            };
        }
    }

    fn stop_everything(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.stopping = true;
        let why = StopWhy::Interrupted(Interruption::Stopping);
        let (queued, running): (Vec<&Job>, Vec<&Job>) = self
            .jobs
            .values()
            .filter(|job| !job.has_ended())
            .partition(|job| job.is_queued());
        let queued: Vec<JobId> = queued.into_iter().map(|job| job.id).collect();
        let running: Vec<JobId> = running.into_iter().map(|job| job.id).collect();
        for id in queued {
            self.finish(id, why.outcome(), now, effects);
        }
        for id in running {
            self.stop(id, why, effects);
        }
    }

    /// Drops what time has made meaningless.
    pub(super) fn forget_what_passed(&mut self, now: Now) {
        if self
            .pause
            .is_some_and(|pause| pause.until.is_some_and(|until| until <= now.wall))
        {
            self.pause = None;
        }
        self.moved = self.moved.filter(|(_, until)| *until > now.monotonic);
        let steady = self.clock.trust() == ClockTrust::Steady;
        for phone in self.phones.values_mut() {
            let asked = phone.prompted.filter(|_| steady);
            if let Some(asked) = asked {
                phone.prompted = Some(asked.seen_by_a_steady_clock(now));
            }
            phone.backing_off = phone.backing_off.filter(|wait| wait.until > now.monotonic);
            phone.asked.looked_at_until = phone
                .asked
                .looked_at_until
                .filter(|end| *end > now.monotonic);
        }
        self.jobs.retain(|_, job| match &job.stage {
            Stage::Ended { at, .. } => at.monotonic + JOB_KEPT > now.monotonic,
            Stage::Queued | Stage::Running { .. } | Stage::Stopping { .. } => true,
        });
    }

    /// Evaluates the conditions of every phone.
    pub(super) fn evaluate(&mut self, now: Now) {
        let all: Vec<Udid> = self.phones.keys().cloned().collect();
        for udid in all {
            self.evaluate_one(&udid, now);
        }
    }

    pub(super) fn evaluate_one(&mut self, udid: &Udid, now: Now) {
        let space = self.space(udid, now);
        let policy = self.policies.of(udid);
        if let Some(phone) = self.phones.get_mut(udid) {
            phone.evaluate(policy, space, now);
        }
    }

    /// Returns what the running jobs of other phones are still expected to write.
    pub fn promised_to_others(&self, udid: &Udid) -> Bytes {
        let others = self
            .jobs
            .values()
            .filter(|job| job.phone.as_ref() != Some(udid));
        Bytes::new(others.fold(0_u64, |sum, job| sum.saturating_add(job.still_promised())))
    }
}

fn set_trust(phone: &mut Phone, told: Option<bool>) {
    let trust = match told {
        Some(true) => Trust::Trusted,
        Some(false) => Trust::Untrusted,
        None => Trust::Unknown,
    };
    if trust == Trust::Trusted && phone.trust != Trust::Trusted {
        phone.asked.appeared = true;
    }
    phone.trust = trust;
}
