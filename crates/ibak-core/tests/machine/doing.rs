//! How each step is done to the machine and to the second account.

use crate::house::{DAY, EVENING, MINUTE, backup_id, blank_backup, day_of, udid};
use crate::property::{Run, policies};
use crate::steps::Step;
use ibak_core::*;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(600);

impl Run {
    fn see(&mut self, n: u8, fact: Fact) {
        let (phone, source) = (udid(n), Source::Lockdown(Transport::Usb));
        let time_to_live = match &fact {
            Fact::Reachable { .. } | Fact::Trusted(_) | Fact::Identity { .. } => None,
            _ => Some(TTL),
        };
        let until = self.now.monotonic + TTL;
        let heard = self.heard.entry(phone.clone()).or_default();
        heard.met = true;
        let level = |it: &Option<bool>| it.map(|on| (on, until));
        match &fact {
            Fact::Reachable {
                transport,
                reachable,
            } => {
                let was = heard.usb || heard.wifi_link;
                if *transport == Transport::Usb && heard.usb && !reachable {
                    heard.power = None;
                }
                match transport {
                    Transport::Usb => heard.usb = *reachable,
                    Transport::Wifi => heard.wifi_link = *reachable,
                }
                if was != (heard.usb || heard.wifi_link) {
                    (heard.power, heard.locked, heard.edge) = (None, None, None);
                }
            }
            Fact::Trusted(it) => heard.trusted = *it == Some(true),
            Fact::ExternalPower(it) => heard.power = level(it),
            Fact::OnWifi(it) => heard.wifi = level(it),
            Fact::ScreenLocked(it) => heard.locked = level(it),
            Fact::LockSeen => heard.edge = Some(true),
            Fact::UnlockSeen => heard.edge = Some(false),
            Fact::Unheard => heard.edge = None,
            _ => {}
        }
        self.handle(Event::Observed(Observation {
            phone,
            fact,
            source,
            at: self.now,
            time_to_live,
        }));
    }

    fn request(&mut self, request: Request) {
        self.asked += 1;
        self.pending = Some(request.clone());
        self.handle(Event::Requested {
            id: RequestId(self.asked),
            request,
        });
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now {
            monotonic: self.now.monotonic + time,
            wall: self.now.wall + time,
        };
        self.handle(Event::Tick);
    }

    fn nth_open(&self, n: u8) -> Option<StartJob> {
        let count = self.open.len().max(1);
        self.open.values().nth(usize::from(n) % count).cloned()
    }

    fn end(&mut self, n: u8, how: u8) {
        let Some(start) = self.nth_open(n) else {
            return;
        };
        self.open.remove(&start.job);
        // A list that is under way since before the end may come after it.
        if let Some(phone) = start.phone.clone() {
            let heard = self.account(&phone);
            heard.late = Some(heard.stored.clone());
            heard.told &= !start.kind.uses_store();
            heard.sought = None;
        }
        let outcome = match (start.kind, how) {
            (JobKind::Pair, 0..=3) => Outcome::Paired,
            (JobKind::Pair, _) => Outcome::failed(Failure::TrustDenied, ""),
            (JobKind::Errand(_), 4) => Outcome::Interrupted(Interruption::ConnectionLost),
            (JobKind::Errand(_), 5) => Outcome::NotConfirmed,
            (JobKind::Errand(_), 6) => Outcome::failed(Failure::NotTrusted, ""),
            (JobKind::Errand(Errand::CheckPassword), 0..=3) => {
                Outcome::PasswordProved(backup_id(self.backups))
            }
            (JobKind::Errand(Errand::Adopt), 0..=3) => {
                let facts = self.make(400);
                let id = facts.id.clone();
                self.account(&start.phone.clone().unwrap())
                    .stored
                    .push(facts);
                Outcome::Adopted(id)
            }
            (JobKind::Errand(_) | JobKind::MoveStore, _) => Outcome::Done,
            (JobKind::Backup, 0..=2) => {
                let (facts, now) = (self.make(0), self.now);
                let heard = self.account(&start.phone.clone().unwrap());
                heard.succeeded = Some(now);
                heard.committed = Some(facts.id.clone());
                heard.may_go = true;
                heard.stored.push(facts.clone());
                Outcome::BackedUp(facts)
            }
            (JobKind::Backup, 3) => Outcome::failed(Failure::NoAnswer, "timeout"),
            (JobKind::Backup, 4) => Outcome::Interrupted(Interruption::ConnectionLost),
            (JobKind::Backup, 5) => Outcome::NotConfirmed,
            (JobKind::Backup, 6) => Outcome::failed(Failure::NotTrusted, ""),
            (JobKind::Backup, _) => Outcome::failed(Failure::SnapshotLeft, ""),
        };
        if let Some(phone) = &start.phone {
            let stopped = self.stopped.contains_key(&start.job);
            let heard = self.account(phone);
            match outcome.result() {
                JobResult::Succeeded if start.kind.takes_slot() => heard.trusted = true,
                JobResult::Failed(Failure::NotTrusted) if !stopped => heard.trusted = false,
                _ => {}
            }
        }
        if start.kind == JobKind::MoveStore && outcome.result() == JobResult::Succeeded {
            let until = self.now.monotonic + RELOAD_MAX;
            self.moved = Some((start.job, until));
        }
        if let (JobKind::Backup, Some(phone)) = (start.kind, &start.phone) {
            let unanswered = matches!(outcome, Outcome::NotConfirmed | Outcome::NotLockedInTime);
            if unanswered {
                self.question_is_put(&start);
            }
            let heard = self.account(phone);
            let unseen = heard.may_be_given_back.filter(|it| it.0 == start.job);
            if let Some((_, day)) = unseen {
                heard.days_asked.remove(&day);
                heard.may_be_given_back = None;
            }
            self.give_back_a_wasted_answer(&start, &outcome);
        }
        self.handle(Event::JobEnded(start.job, outcome));
        // Sometimes the store cannot be read afterwards.
        if let Some(phone) = start.phone.filter(|_| how != 2) {
            self.list(&phone);
        }
    }

    /// Makes a backup of so many days ago.
    fn make(&mut self, days_ago: u32) -> BackupFacts {
        self.backups += 1;
        let finished = self.now.wall - DAY * days_ago;
        let seconds = u64::try_from(finished.as_secs() - EVENING / 2).unwrap();
        BackupFacts {
            id: backup_id(seconds * 10 + self.backups % 10),
            finished,
            size: Bytes::from_gib(20),
            added: Bytes::from_gib(1),
            day: day_of(finished),
            ..blank_backup()
        }
    }

    /// A phone with the prompt comes home at eight, in somebody's hand.
    fn evening(&mut self, n: u8) {
        let past = self.now.wall.as_secs().rem_euclid(86_400);
        let wait = (20 * 3600 - past).rem_euclid(86_400);
        self.pass(Duration::from_secs(u64::try_from(wait).unwrap()));
        self.apply(&Step::Version(n, 1));
        self.see(n, Fact::ScreenLocked(Some(true)));
        self.apply(&Step::Bed(n));
        self.see(n, Fact::ScreenLocked(Some(false)));
        self.pass(Duration::from_secs(12));
    }

    /// Whoever started it asked for the question, too.
    fn question_is_put(&mut self, start: &StartJob) {
        let now = self.now;
        let today = self.now.wall.as_secs().div_euclid(86_400);
        let heard = self.account(&start.phone.clone().unwrap());
        if heard.put.replace(start.job) == Some(start.job) {
            return;
        }
        let sought = heard.may_be_given_back.take();
        if start.trigger == Trigger::Schedule {
            let day = sought
                .filter(|it| it.0 == start.job)
                .map_or(today, |it| it.1);
            heard.counted = Some((start.job, day, false));
        }
        // A try that finds out that it asks is the day's question, too.
        if start.trigger == Trigger::Schedule && sought.is_none_or(|it| it.0 != start.job) {
            heard.days_asked.insert(today);
        }
        if sought.is_none_or(|it| it.0 != start.job) {
            heard.question = Some(now);
        }
    }

    /// What this computer broke off, and an answer that the connection lost, cost no day.
    fn give_back_a_wasted_answer(&mut self, start: &StartJob, outcome: &Outcome) {
        let broke_off = matches!(outcome, Outcome::Failed { .. } | Outcome::Interrupted(_));
        let why = match (self.stopped.get(&start.job), outcome) {
            (Some(StopWhy::Interrupted(why)), _) if broke_off => Some(*why),
            (Some(_), _) => None,
            (None, Outcome::Interrupted(why)) => Some(*why),
            (None, _) => None,
        };
        let heard = self.account(&start.phone.clone().unwrap());
        let counted = heard.counted.take_if(|it| it.0 == start.job);
        let wasted = |answered| match why {
            Some(Interruption::ConnectionLost) => answered,
            Some(why) => !matches!(why, Interruption::Lost(_)),
            None => false,
        };
        if let Some((_, day, _)) = counted.filter(|it| wasted(it.2)) {
            heard.days_asked.remove(&day);
        }
    }

    /// The shell removes a phone's backups before it is forgotten.
    fn forget(&mut self, phone: &Udid) {
        let mine = |it: &StartJob| it.phone.as_ref() == Some(phone);
        if !self.open.values().any(mine) && self.moving().is_none() {
            self.account(phone).stored.clear();
        }
        let phone = phone.clone();
        self.request(Request::Forget { phone });
    }

    fn knows(&self, phone: &Udid) -> bool {
        self.machine.view().phones.contains_key(phone)
    }

    fn make_room(&mut self, phone: &Udid, removed: u32) {
        if self.knows(phone) {
            self.account(phone).made_room += removed;
        }
        let (phone, freed) = (phone.clone(), Bytes::from_gib(1));
        self.handle(Event::MadeRoom {
            phone,
            removed,
            freed,
        });
    }

    /// The store turns out to hold old backups of a phone, and is nearly full.
    fn crowd(&mut self, phone: &Udid) {
        self.apply(&Step::Store(Some(3)));
        for _ in 0..4 {
            let facts = self.make(400);
            self.account(phone).stored.push(facts);
        }
        self.list(phone);
    }

    fn damage(&mut self, phone: &Udid) {
        let known = self.knows(phone);
        let heard = self.account(phone);
        heard.damaged += u32::from(known);
        if let Some(newest) = heard.stored.last_mut() {
            newest.verified = false;
        }
        self.handle(Event::DamageFound(phone.clone(), 1));
        self.list(phone);
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.slots_were = self.slots_were.max(self.slots_taken());
        match step.clone() {
            Step::Pass(secs) => self.pass(Duration::from_secs(u64::from(secs))),
            Step::Jump(secs) => {
                self.now.wall = Wall::from_secs(self.now.wall.as_secs() + i64::from(secs));
                if secs.unsigned_abs() > 4 * 86_400 {
                    self.clock_jumped = Some(self.now.monotonic);
                }
                // The two clocks of an earlier success can no longer be compared.
                for heard in self.heard.values_mut() {
                    heard.succeeded = None;
                    // Nor are the days those that they were.
                    heard.days_asked.clear();
                }
                self.handle(Event::Tick);
            }
            Step::Deadline => {
                if let Some(at) = self.machine.next_deadline() {
                    self.pass(at.saturating_since(self.now.monotonic));
                }
            }
            Step::Plug(n, transport, reachable) => self.see(
                n,
                Fact::Reachable {
                    transport,
                    reachable,
                },
            ),
            Step::Trust(n, it) => self.see(n, Fact::Trusted(it)),
            Step::Power(n, it) => self.see(n, Fact::ExternalPower(it)),
            Step::Wifi(n, it) => self.see(n, Fact::OnWifi(it)),
            Step::Locked(n, it) => self.see(n, Fact::ScreenLocked(it)),
            Step::Edge(n, Some(true)) => self.see(n, Fact::LockSeen),
            Step::Edge(n, Some(false)) => self.see(n, Fact::UnlockSeen),
            Step::Edge(n, None) => self.see(n, Fact::Unheard),
            Step::Bed(n) => {
                self.see(
                    n,
                    Fact::Reachable {
                        transport: Transport::Usb,
                        reachable: true,
                    },
                );
                self.see(n, Fact::Trusted(Some(true)));
                self.see(n, Fact::DataUsed(Some(Bytes::from_gib(10))));
                self.see(n, Fact::ExternalPower(Some(true)));
                self.see(n, Fact::OnWifi(Some(true)));
                self.see(n, Fact::ScreenLocked(Some(true)));
                self.apply(&Step::Store(Some(180)));
                self.pass(MINUTE);
            }
            Step::Night(n) => {
                self.pass(DAY);
                self.apply(&Step::Bed(n));
                let phone = Some(udid(n));
                let mine = |it: &StartJob| it.phone == phone && it.kind == JobKind::Backup;
                if let Some(which) = self.open.values().position(mine) {
                    self.end(u8::try_from(which).unwrap(), 0);
                }
            }
            Step::Evening(n) => self.evening(n),
            Step::Host(on_battery, abroad) => {
                (self.on_battery, self.abroad) = (on_battery, abroad);
                let network = if abroad {
                    HostNetwork::Foreign
                } else {
                    HostNetwork::Fit
                };
                self.handle(Event::Host(Host {
                    portable: true,
                    on_mains: Some(!on_battery),
                    network,
                }));
            }
            Step::DataUsed(n, gib) => {
                self.see(n, Fact::DataUsed(Some(Bytes::from_gib(u64::from(gib)))))
            }
            Step::Version(n, which) => {
                let os_version = ["15.6", "17.0", "?"][usize::from(which)].to_owned();
                let (name, product_type) = ("Ada".to_owned(), "iPhone14,5".to_owned());
                self.see(
                    n,
                    Fact::Identity {
                        name,
                        product_type,
                        os_version,
                    },
                );
            }
            Step::Store(free) => {
                let report = match free {
                    Some(gib) => StoreReport::Open(StoreNumbers {
                        free: Bytes::from_gib(u64::from(gib)),
                        reserve: Bytes::from_gib(2),
                        ..StoreNumbers::default()
                    }),
                    None => StoreReport::Unavailable(StoreTrouble::Failing),
                };
                self.store_there = free.is_some();
                self.store_open = free.is_some_and(|gib| gib > 2);
                self.store_until = Some(self.now.monotonic + TTL);
                self.handle(Event::Store(StoreObservation {
                    report,
                    at: self.now,
                    time_to_live: Some(TTL),
                }));
            }
            Step::Muxer(state) => {
                if state == MuxerState::Absent {
                    for heard in self.heard.values_mut().filter(|it| it.usb) {
                        heard.usb = false;
                        heard.power = None;
                        if !heard.wifi_link {
                            (heard.power, heard.locked, heard.edge) = (None, None, None);
                        }
                    }
                }
                self.handle(Event::Muxer(state));
            }
            Step::BackUp(n, when) => self.request(Request::BackUp {
                phone: udid(n),
                when,
                full: Extent::Changes,
            }),
            Step::Pair(n) => self.request(Request::Pair { phone: udid(n) }),
            Step::Errand(n, errand) => self.request(Request::Errand {
                phone: udid(n),
                errand,
            }),
            Step::Cancel(n) => {
                let jobs: Vec<JobId> = self.machine.view().jobs.keys().copied().collect();
                let job = jobs
                    .get(usize::from(n) % jobs.len().max(1))
                    .copied()
                    .unwrap_or(JobId::new(999));
                self.request(Request::Cancel { job });
            }
            Step::Pause(minutes) => {
                let until = minutes.map(|it| self.now.wall + MINUTE * u32::from(it));
                // Only an open end is surely still in force later.
                self.paused = until.is_none();
                self.request(Request::Pause { until });
            }
            Step::Resume => {
                self.paused = false;
                self.request(Request::Resume);
            }
            Step::Automatic(n, automatic) => self.request(Request::SetAutomatic {
                phone: udid(n),
                automatic,
            }),
            Step::Quota(n, gib) => {
                let quota = gib.map(|gib| Bytes::from_gib(u64::from(gib)));
                self.request(Request::SetQuota {
                    phone: udid(n),
                    quota,
                });
            }
            Step::Retire(n, retired) => self.request(Request::SetRetired {
                phone: udid(n),
                retired,
            }),
            Step::Forget(n) => self.forget(&udid(n)),
            Step::Replace(old, new) => self.request(Request::Replace {
                old: udid(old),
                new: udid(new),
            }),
            Step::MoveStore => self.request(Request::MoveStore),
            Step::Recover => self.recover(),
            Step::Crowd(n) => self.crowd(&udid(n)),
            Step::MadeRoom(n, removed) => self.make_room(&udid(n), u32::from(removed)),
            Step::Damage(n) => self.damage(&udid(n)),
            Step::Pin(n, which) => {
                let stored = &mut self.account(&udid(n)).stored;
                let which = usize::from(which) % stored.len().max(1);
                if let Some(it) = stored.get_mut(which) {
                    it.pinned ^= true;
                }
                self.list(&udid(n));
            }
            Step::List(n, late) => {
                let late = self.account(&udid(n)).late.take().filter(|_| late);
                match late {
                    Some(list) => self.tell_list(&udid(n), list),
                    None => self.list(&udid(n)),
                }
            }
            Step::Phase(n, phase) => {
                if let Some(start) = self.nth_open(n) {
                    if phase == Phase::Asking && start.kind == JobKind::Backup {
                        self.question_is_put(&start);
                    }
                    if let Some(phone) = &start.phone {
                        let counted = &mut self.account(phone).counted;
                        if let Some(counted) = counted.as_mut().filter(|it| it.0 == start.job) {
                            counted.2 = phase != Phase::Asking;
                        }
                    }
                    self.handle(Event::JobPhase(start.job, phase));
                }
            }
            Step::End(n, how) => self.end(n, how),
            Step::EndUnknown(n) => self.handle(Event::JobEnded(
                JobId::new(1_000_000 + u64::from(n)),
                Outcome::Cancelled,
            )),
            Step::Look(n) => self.handle(Event::LookedAt(udid(n))),
            Step::Slots(slots) => {
                let changed = usize::from(slots) != self.slots;
                self.slots = usize::from(slots);
                // Also of a phone that was only named so far, by an errand about its backups.
                for udid in self.machine.view().phones.into_keys() {
                    let heard = self.account(&udid);
                    heard.may_go |= changed && !heard.retired;
                }
                self.handle(Event::PoliciesChanged(policies(self.slots)));
            }
        }
    }
}
