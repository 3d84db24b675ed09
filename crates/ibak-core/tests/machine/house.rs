//! A shell in miniature: it answers what the machine asks from a small model of the world.

use ibak_core::*;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// Wed 2025-11-19 21:00:00 UTC.
pub(crate) const EVENING: i64 = 1_763_586_000;

pub(crate) fn udid(n: u8) -> Udid {
    Udid::parse(&format!("00008030-{n:016X}")).unwrap()
}

pub(crate) fn backup_id(n: u64) -> BackupId {
    BackupId::parse(&format!("01JD8Z3YQ9V6W2X4{n:010}")).unwrap()
}

/// A good backup of nothing, for tables that look at something else.
pub(crate) fn blank_backup() -> BackupFacts {
    BackupFacts {
        id: backup_id(0),
        finished: Wall::from_secs(0),
        size: Bytes::ZERO,
        added: Bytes::ZERO,
        encrypted: false,
        day: Day(0),
        verified: true,
        pinned: false,
        adopted: false,
    }
}

/// The day of a moment in a house at Greenwich.
pub(crate) fn day_of(at: Wall) -> Day {
    Day(i32::try_from(at.as_secs().div_euclid(86_400)).unwrap())
}

/// A phone as it really is.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) usb: bool,
    pub(crate) trusted: bool,
    pub(crate) power: bool,
    pub(crate) wifi: bool,
    pub(crate) locked: bool,
    pub(crate) answers: bool,
    pub(crate) tells_wifi: bool,
    pub(crate) os: &'static str,
    pub(crate) battery: Option<u8>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            usb: false,
            trusted: true,
            power: false,
            wifi: false,
            locked: false,
            answers: true,
            tells_wifi: true,
            os: "15.6",
            battery: Some(80),
        }
    }
}

pub(crate) struct House {
    pub(crate) machine: Machine,
    pub(crate) now: Now,
    pub(crate) phones: BTreeMap<Udid, World>,
    pub(crate) store: StoreReport,
    pub(crate) running: BTreeMap<JobId, StartJob>,
    /// Everything the machine ever wanted, with when.
    pub(crate) log: Vec<(Now, Effect)>,
    pub(crate) memory: BTreeMap<Udid, PhoneMemory>,
    pub(crate) house_memory: HouseMemory,
    pub(crate) backups: BTreeMap<Udid, PhoneBackups>,
    /// Whether the shell gets to list a phone's backups after a job.
    pub(crate) lists: bool,
    /// Whether what is to go can be removed.
    pub(crate) removes: bool,
    pub(crate) policies: Policies,
    /// Whether the backups that succeed are under a password.
    pub(crate) encrypts: bool,
    next_backup: u64,
    next_request: u64,
}

impl House {
    pub(crate) fn new(policies: Policies) -> Self {
        let now = Now {
            monotonic: Monotonic::ZERO,
            wall: Wall::from_secs(EVENING),
        };
        let numbers = StoreNumbers {
            free: Bytes::from_gib(500),
            reserve: Bytes::from_gib(2),
            used: Bytes::ZERO,
            quota: None,
        };
        let mut house = Self {
            machine: Machine::new(policies.clone(), JobId::new(1), now),
            now,
            phones: BTreeMap::new(),
            store: StoreReport::Open(numbers),
            running: BTreeMap::new(),
            log: Vec::new(),
            memory: BTreeMap::new(),
            house_memory: HouseMemory::default(),
            backups: BTreeMap::new(),
            lists: true,
            removes: true,
            policies,
            encrypts: false,
            next_backup: 1,
            next_request: 1,
        };
        house.look_at_store();
        house.send(Event::StoreRecovered(Vec::new()));
        house
    }

    pub(crate) fn quiet() -> Self {
        Self::new(Policies::default())
    }

    /// The daemon ends and begins anew; `away` passes meanwhile, and the origin of the
    /// monotonic clock is another one.
    pub(crate) fn restart(&mut self, away: Duration) {
        let next = self
            .log
            .iter()
            .filter_map(|(_, it)| started(it))
            .map(|it| it.job.get())
            .max();
        self.now = Now {
            monotonic: Monotonic::new(MINUTE),
            wall: self.now.wall + away,
        };
        self.machine = Machine::new(
            self.policies.clone(),
            JobId::new(next.unwrap_or(0) + 1),
            self.now,
        );
        self.running.clear();
        self.send(Event::RecalledHouse(self.house_memory.clone()));
        for memory in self.memory.clone().into_values() {
            self.send(Event::Recalled(memory));
        }
        self.look_at_store();
        self.send(Event::StoreRecovered(
            self.backups.clone().into_iter().collect(),
        ));
        for (phone, world) in self.phones.clone() {
            if world.usb {
                self.see(
                    &phone,
                    Fact::Reachable {
                        transport: Transport::Usb,
                        reachable: true,
                    },
                );
            }
        }
    }

    pub(crate) fn send(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.machine.handle(event, self.now);
        self.machine.verify_invariants();
        for effect in &effects {
            self.log.push((self.now, effect.clone()));
            match effect {
                Effect::StartJob(start) => {
                    assert!(
                        self.running.insert(start.job, start.clone()).is_none(),
                        "started once"
                    );
                }
                Effect::StopJob { job, .. } => {
                    assert!(self.running.contains_key(job), "stopped while it runs")
                }
                Effect::Remember(memory) => {
                    self.memory.insert(memory.phone.clone(), memory.clone());
                }
                Effect::RememberHouse(memory) => self.house_memory = memory.clone(),
                Effect::Forget(phone) => {
                    self.memory.remove(phone);
                }
                Effect::RemoveBackups { phone, backups } => {
                    let stored = self.backups.get_mut(phone);
                    let stored = &mut stored.expect("only what there is goes").committed;
                    stored.retain(|it| !self.removes || !backups.contains(&it.id));
                }
                Effect::RefreshSignals { .. }
                | Effect::RefreshStore
                | Effect::Attention { .. }
                | Effect::Answer { .. } => {}
            }
        }
        for effect in effects.clone() {
            match effect {
                Effect::RefreshSignals { phone, which, .. } => self.read(&phone, &which),
                Effect::RefreshStore => self.look_at_store(),
                Effect::RemoveBackups { phone, .. } => self.list(&phone),
                Effect::StartJob(_)
                | Effect::Forget(_)
                | Effect::StopJob { .. }
                | Effect::Attention { .. }
                | Effect::Answer { .. }
                | Effect::Remember(_)
                | Effect::RememberHouse(_) => {}
            }
        }
        effects
    }

    pub(crate) fn see(&mut self, phone: &Udid, fact: Fact) -> Vec<Effect> {
        self.see_for(phone, fact, Some(5 * MINUTE))
    }

    pub(crate) fn see_for(
        &mut self,
        phone: &Udid,
        fact: Fact,
        time_to_live: Option<Duration>,
    ) -> Vec<Effect> {
        let source = Source::Lockdown(Transport::Usb);
        self.send(Event::Observed(Observation {
            phone: phone.clone(),
            fact,
            source,
            at: self.now,
            time_to_live,
        }))
    }

    pub(crate) fn look_at_store(&mut self) {
        let seen = StoreObservation {
            report: self.store,
            at: self.now,
            time_to_live: Some(10 * MINUTE),
        };
        self.send(Event::Store(seen));
    }

    /// Tells what the store holds of a phone.
    pub(crate) fn list(&mut self, phone: &Udid) {
        let mut backups = self.backups.get(phone).cloned().unwrap_or_default();
        let added = backups.committed.iter().map(|it| it.added.get());
        backups.used = Bytes::new(added.sum::<u64>() + backups.staged.get());
        self.send(Event::BackupsKnown(phone.clone(), backups));
    }

    fn read(&mut self, phone: &Udid, which: &[Signal]) {
        let world = self.phones.get(phone).cloned().unwrap_or_default();
        if !world.answers {
            return;
        }
        for signal in which {
            match signal {
                Signal::Trust => {
                    self.see_for(phone, Fact::Trusted(Some(world.trusted)), None);
                }
                Signal::Identity if world.trusted => {
                    let (name, product_type) = ("Ada's iPhone".to_owned(), "iPhone14,5".to_owned());
                    self.see_for(
                        phone,
                        Fact::Identity {
                            name,
                            product_type,
                            os_version: world.os.to_owned(),
                        },
                        None,
                    );
                }
                Signal::Power if world.trusted => {
                    self.see(phone, Fact::ExternalPower(Some(world.power)));
                    self.see(phone, Fact::BatteryPercent(world.battery));
                }
                Signal::Wifi if world.trusted => {
                    self.see(phone, Fact::OnWifi(world.tells_wifi.then_some(world.wifi)));
                }
                Signal::Locked if world.trusted => {
                    self.see(phone, Fact::ScreenLocked(Some(world.locked)));
                }
                Signal::DataUsed if world.trusted => {
                    self.see(phone, Fact::DataUsed(Some(Bytes::from_gib(20))));
                }
                Signal::Identity
                | Signal::Power
                | Signal::Wifi
                | Signal::Locked
                | Signal::DataUsed => {}
            }
        }
    }

    /// Changes a phone and lets the machine notice, as edges would.
    pub(crate) fn set(&mut self, phone: &Udid, change: impl FnOnce(&mut World)) {
        let world = self.phones.entry(phone.clone()).or_default();
        let before = world.usb;
        change(world);
        let after = world.clone();
        if after.usb != before {
            self.see_for(
                phone,
                Fact::Reachable {
                    transport: Transport::Usb,
                    reachable: after.usb,
                },
                None,
            );
        }
        if after.usb {
            self.read(
                phone,
                &[Signal::Trust, Signal::Power, Signal::Wifi, Signal::Locked],
            );
        }
    }

    /// Plugs a phone in, on the network and locked.
    pub(crate) fn bed(&mut self, phone: &Udid) {
        self.set(phone, |it| {
            it.usb = true;
            it.power = true;
            it.wifi = true;
            it.locked = true;
        });
    }

    pub(crate) fn morning(&mut self, phone: &Udid) {
        self.set(phone, |it| {
            *it = World {
                os: it.os,
                ..World::default()
            }
        });
    }

    /// Lets time pass, from deadline to deadline; tells how often the machine was called.
    pub(crate) fn pass(&mut self, time: Duration) -> usize {
        let end = self.now.monotonic + time;
        let mut calls = 0;
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.move_to(at);
            self.send(Event::Tick);
            calls += 1;
            assert!(calls < 1_000_000, "the machine spins");
        }
        self.move_to(end);
        self.send(Event::Tick);
        calls + 1
    }

    fn move_to(&mut self, at: Monotonic) {
        let step = at.saturating_since(self.now.monotonic);
        self.now = Now {
            monotonic: at,
            wall: self.now.wall + step,
        };
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<Answer, RequestError> {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let effects = self.send(Event::Requested { id, request });
        let mut answers = effects.into_iter().filter_map(|effect| match effect {
            Effect::Answer { id: of, answer } if of == id => Some(answer),
            _ => None,
        });
        let answer = answers.next().expect("a request is answered at once");
        assert!(answers.next().is_none(), "a request is answered once");
        answer
    }

    pub(crate) fn back_up(&mut self, phone: &Udid, when: When) -> Result<Answer, RequestError> {
        self.ask(Request::BackUp {
            phone: phone.clone(),
            when,
            full: Extent::Changes,
        })
    }

    /// The only running job that talks to this phone.
    pub(crate) fn job(&self, phone: &Udid) -> Option<JobId> {
        self.running
            .values()
            .find(|it| it.phone.as_ref() == Some(phone) && it.kind.uses_phone())
            .map(|it| it.job)
    }

    pub(crate) fn end(&mut self, job: JobId, outcome: Outcome) -> Vec<Effect> {
        let start = self.running.remove(&job).expect("only what runs ends");
        let effects = self.send(Event::JobEnded(job, outcome));
        if let Some(phone) = start.phone.filter(|_| self.lists) {
            self.list(&phone);
        }
        effects
    }

    pub(crate) fn succeed(&mut self, phone: &Udid) -> Vec<Effect> {
        let job = self.job(phone).expect("a job runs");
        let facts = BackupFacts {
            id: backup_id(self.next_backup),
            finished: self.now.wall,
            size: Bytes::from_gib(20),
            added: Bytes::from_gib(if self.backups.contains_key(phone) {
                1
            } else {
                20
            }),
            encrypted: self.encrypts,
            day: day_of(self.now.wall),
            verified: true,
            pinned: false,
            adopted: false,
        };
        self.next_backup += 1;
        self.backups
            .entry(phone.clone())
            .or_default()
            .committed
            .push(facts.clone());
        self.end(job, Outcome::BackedUp(facts))
    }

    /// Lets so many nights pass, in each of which the phone is backed up if it starts; ends in an
    /// evening.
    pub(crate) fn nights(&mut self, phone: &Udid, count: u32) {
        for _ in 0..count {
            self.bed(phone);
            self.pass(MINUTE);
            if self.job(phone).is_some() {
                self.succeed(phone);
            }
            self.morning(phone);
            self.pass(DAY - MINUTE);
        }
    }

    /// Lists what was removed, one list for each time.
    pub(crate) fn removed(&self) -> Vec<Vec<BackupId>> {
        let removal = |effect: &Effect| match effect {
            Effect::RemoveBackups { backups, .. } => Some(backups.clone()),
            _ => None,
        };
        let effects = self.log.iter().map(|(_, effect)| effect);
        effects.filter_map(removal).collect()
    }

    pub(crate) fn phone(&self, phone: &Udid) -> PhoneView {
        self.machine.view().phones[phone].clone()
    }

    pub(crate) fn starts(&self) -> Vec<StartJob> {
        self.log
            .iter()
            .filter_map(|(_, effect)| started(effect))
            .cloned()
            .collect()
    }

    pub(crate) fn stops(&self) -> Vec<StopWhy> {
        let stop = |effect: &Effect| match effect {
            Effect::StopJob { why, .. } => Some(*why),
            _ => None,
        };
        self.log
            .iter()
            .filter_map(|(_, effect)| stop(effect))
            .collect()
    }

    pub(crate) fn messages(&self) -> Vec<(Option<Udid>, AttentionKind)> {
        let message = |effect: &Effect| match effect {
            Effect::Attention { phone, attention } => Some((phone.clone(), attention.kind())),
            _ => None,
        };
        self.log
            .iter()
            .filter_map(|(_, effect)| message(effect))
            .collect()
    }
}

pub(crate) fn started(effect: &Effect) -> Option<&StartJob> {
    match effect {
        Effect::StartJob(start) => Some(start),
        _ => None,
    }
}
