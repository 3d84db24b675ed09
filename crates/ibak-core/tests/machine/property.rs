//! Anything may happen in any order: the laws hold after every step.
//!
//! The laws are checked against a second, naive account of the world that is kept beside the
//! machine and shares no code with it.

use crate::house::{DAY, EVENING, MINUTE, backup_id, blank_backup, udid};
use crate::steps::{Step, step};
use ibak_core::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(600);

/// What one phone was last heard to be; `until` is where its time-to-live ends.
#[derive(Clone, Debug, Default)]
struct Heard {
    usb: bool,
    wifi_link: bool,
    trusted: bool,
    power: Option<(bool, Monotonic)>,
    wifi: Option<(bool, Monotonic)>,
    locked: Option<(bool, Monotonic)>,
    edge: Option<bool>,
    succeeded: Option<Now>,
}

struct Run {
    machine: Machine,
    now: Now,
    heard: BTreeMap<Udid, Heard>,
    store_until: Option<Monotonic>,
    store_open: bool,
    paused: bool,
    slots: usize,
    slots_were: usize,
    open: BTreeMap<JobId, StartJob>,
    started: BTreeSet<JobId>,
    stopped: BTreeSet<JobId>,
    asked: u64,
    told: BTreeMap<(Option<Udid>, AttentionKind), Monotonic>,
    backups: u64,
    trace: Vec<Vec<Effect>>,
    scheduled: usize,
}

fn policies(slots: usize) -> Policies {
    Policies {
        parallel_max: slots,
        ..Policies::default()
    }
}

impl Run {
    fn new() -> Self {
        let now = Now {
            monotonic: Monotonic::ZERO,
            wall: Wall::from_secs(EVENING),
        };
        let mut machine = Machine::new(policies(2), JobId::new(1), now);
        machine.handle(Event::StoreRecovered(vec![]), now);
        Self {
            machine,
            now,
            heard: BTreeMap::new(),
            store_until: None,
            store_open: false,
            paused: false,
            slots: 2,
            slots_were: 2,
            open: BTreeMap::new(),
            started: BTreeSet::new(),
            stopped: BTreeSet::new(),
            asked: 0,
            told: BTreeMap::new(),
            backups: 0,
            trace: Vec::new(),
            scheduled: 0,
        }
    }

    fn handle(&mut self, event: Event) {
        let request = matches!(event, Event::Requested { .. });
        let effects = self.machine.handle(event, self.now);
        self.machine.verify_invariants();
        let mut answers = 0;
        for effect in &effects {
            match effect {
                Effect::StartJob(start) => self.law_of_starts(start),
                Effect::StopJob { job, phone, .. } => {
                    assert_eq!(
                        self.open.get(job).map(|it| &it.phone),
                        Some(phone),
                        "only what runs is stopped"
                    );
                    assert!(self.stopped.insert(*job), "and once");
                }
                Effect::Attention { phone, attention } => {
                    let again = self
                        .told
                        .insert((phone.clone(), attention.kind()), self.now.monotonic);
                    let rested =
                        again.is_none_or(|at| self.now.monotonic.saturating_since(at) >= DAY);
                    assert!(rested, "one message a day for one cause");
                }
                Effect::RefreshSignals { which, .. } => assert!(!which.is_empty()),
                Effect::Answer { id, .. } => {
                    assert_eq!(
                        *id,
                        RequestId(self.asked),
                        "the request that was asked is answered"
                    );
                    answers += 1;
                }
                Effect::RefreshStore
                | Effect::RemoveBackups { .. }
                | Effect::Forget(_)
                | Effect::Remember(_)
                | Effect::RememberHouse(_) => {}
            }
        }
        assert_eq!(answers, usize::from(request), "one request, one answer");
        self.law_of_the_view();
        self.trace.push(effects);
    }

    fn law_of_starts(&mut self, start: &StartJob) {
        assert!(
            self.started.insert(start.job),
            "a job starts once, and its number is never used again"
        );
        let has_the_phone = |it: &StartJob| it.phone == start.phone && it.kind.uses_phone();
        let free = !start.kind.uses_phone() || !self.open.values().any(has_the_phone);
        assert!(free, "a phone does one thing at a time");
        let slot = self.slots_taken() < self.slots;
        assert!(slot || !start.kind.takes_slot(), "no start without a slot");
        let heard = start
            .phone
            .as_ref()
            .and_then(|it| self.heard.get(it))
            .cloned()
            .unwrap_or_default();
        let reached = match start.transport {
            Some(Transport::Usb) => heard.usb,
            Some(Transport::Wifi) => heard.wifi_link && !heard.usb,
            None => !start.kind.uses_phone(),
        };
        assert!(reached, "no start without a way");
        self.open.insert(start.job, start.clone());
        match start.kind {
            JobKind::Backup => {}
            JobKind::Pair => return,
            JobKind::Errand(_) | JobKind::MoveStore => {
                assert_eq!(start.trigger, Trigger::User, "an errand is never automatic");
                return;
            }
        }
        assert!(heard.trusted, "no backup of a phone that does not trust us");
        let space = self.store_open && self.store_until.is_some_and(|end| self.now.monotonic < end);
        assert!(space, "space is never overridden");
        if start.trigger == Trigger::User {
            return;
        }
        let fresh = |it: Option<(bool, Monotonic)>| {
            it.is_some_and(|(on, end)| on && self.now.monotonic < end)
        };
        assert!(fresh(heard.power), "power, heard and fresh: {heard:?}");
        assert!(
            heard.wifi_link || fresh(heard.wifi),
            "wifi, heard and fresh: {heard:?}"
        );
        assert!(
            fresh(heard.locked) || heard.edge == Some(true),
            "locked, heard and fresh: {heard:?}"
        );
        assert!(!self.paused, "a pause is kept");
        if let Some(then) = heard.succeeded {
            let monotonic = self.now.monotonic.saturating_since(then.monotonic);
            let wall = self.now.wall.saturating_since(then.wall);
            let rested = monotonic.max(wall) >= 22 * 60 * MINUTE;
            assert!(rested, "not again within the interval");
        }
        self.scheduled += 1;
    }

    fn slots_taken(&self) -> usize {
        self.open.values().filter(|it| it.kind.takes_slot()).count()
    }

    fn law_of_the_view(&self) {
        let view = self.machine.view();
        let running: BTreeSet<JobId> = view
            .jobs
            .values()
            .filter(|it| it.state == JobState::Running && it.phase != Phase::Queued)
            .map(|it| it.id)
            .collect();
        assert_eq!(
            running,
            self.open.keys().copied().collect(),
            "the view shows the jobs that run"
        );
        assert_eq!(view.house.running, self.slots_taken());
        assert!(self.slots_taken() <= self.slots.max(self.slots_were));
        for (udid, phone) in &view.phones {
            let job = phone.job.and_then(|id| view.jobs.get(&id));
            assert_eq!(
                phone.job.is_some(),
                job.is_some_and(|it| it.phone.as_ref() == Some(udid) && it.result.is_none())
            );
            if matches!(phone.state, PhoneState::BackingUp | PhoneState::Committing) {
                assert!(
                    job.is_some_and(|it| self.open.contains_key(&it.id)),
                    "who backs up has a job"
                );
            }
        }
    }

    fn see(&mut self, n: u8, fact: Fact) {
        let (phone, source) = (udid(n), Source::Lockdown(Transport::Usb));
        let time_to_live = match &fact {
            Fact::Reachable { .. } | Fact::Trusted(_) | Fact::Identity { .. } => None,
            _ => Some(TTL),
        };
        let until = self.now.monotonic + TTL;
        let heard = self.heard.entry(phone.clone()).or_default();
        let level = |it: &Option<bool>| it.map(|on| (on, until));
        match &fact {
            Fact::Reachable {
                transport,
                reachable,
            } => {
                let was = heard.usb || heard.wifi_link;
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
        let outcome = match (start.kind, how) {
            (JobKind::Pair, 0..=3) => Outcome::Paired,
            (JobKind::Pair, _) => Outcome::failed(Failure::TrustDenied, ""),
            (JobKind::Errand(_), 4) => Outcome::Interrupted(Interruption::ConnectionLost),
            (JobKind::Errand(_), 5) => Outcome::NotConfirmed,
            (JobKind::Errand(_), 6) => Outcome::failed(Failure::NotTrusted, ""),
            (JobKind::Errand(Errand::CheckPassword), 0..=3) => {
                Outcome::PasswordProved(backup_id(self.backups))
            }
            (JobKind::Errand(_) | JobKind::MoveStore, _) => Outcome::Done,
            (JobKind::Backup, 0..=2) => {
                self.backups += 1;
                let heard = self.heard.entry(start.phone.clone().unwrap()).or_default();
                heard.succeeded = Some(self.now);
                let (size, added) = (Bytes::from_gib(20), Bytes::from_gib(1));
                Outcome::BackedUp(BackupFacts {
                    id: backup_id(self.backups),
                    finished: self.now.wall,
                    size,
                    added,
                    ..blank_backup()
                })
            }
            (JobKind::Backup, 3) => Outcome::failed(Failure::NoAnswer, "timeout"),
            (JobKind::Backup, 4) => Outcome::Interrupted(Interruption::ConnectionLost),
            (JobKind::Backup, 5) => Outcome::NotConfirmed,
            (JobKind::Backup, 6) => Outcome::failed(Failure::NotTrusted, ""),
            (JobKind::Backup, _) => Outcome::failed(Failure::SnapshotLeft, ""),
        };
        let heard = self.heard.entry(start.phone.clone().unwrap()).or_default();
        match outcome.result() {
            JobResult::Succeeded if start.kind.takes_slot() => heard.trusted = true,
            JobResult::Failed(Failure::NotTrusted) if !self.stopped.contains(&start.job) => {
                heard.trusted = false
            }
            _ => {}
        }
        self.handle(Event::JobEnded(start.job, outcome));
    }

    fn apply(&mut self, step: &Step) {
        self.slots_were = self.slots_were.max(self.slots_taken());
        match step.clone() {
            Step::Pass(secs) => self.pass(Duration::from_secs(u64::from(secs))),
            Step::Jump(secs) => {
                self.now.wall = Wall::from_secs(self.now.wall.as_secs() + i64::from(secs));
                // The two clocks of an earlier success can no longer be compared.
                self.heard.values_mut().for_each(|it| it.succeeded = None);
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
            Step::Edge(n, locked) => self.see(
                n,
                if locked {
                    Fact::LockSeen
                } else {
                    Fact::UnlockSeen
                },
            ),
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
            Step::Phase(n, phase) => {
                if let Some(start) = self.nth_open(n) {
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
                self.slots = usize::from(slots);
                self.handle(Event::PoliciesChanged(policies(self.slots)));
            }
        }
    }
}

proptest! {
    // 256 runs; the environment's PROPTEST_CASES asks for more.
    #[test]
    fn the_laws_hold_whatever_happens(steps in prop::collection::vec(step(), 1..100)) {
        let mut run = Run::new();
        for step in &steps {
            run.apply(step);
        }
        let mut again = Run::new();
        for step in &steps {
            again.apply(step);
        }
        prop_assert_eq!(run.trace, again.trace, "the same events give the same effects");
    }
}

/// The laws would hold of a machine that never starts anything, too.
#[test]
fn the_random_steps_do_start_jobs() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut scheduled, mut all) = (0, 0);
    for _ in 0..50 {
        let steps = prop::collection::vec(step(), 100..150)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut run = Run::new();
        steps.iter().for_each(|it| run.apply(it));
        scheduled += run.scheduled;
        all += run.started.len();
    }
    assert!(
        scheduled >= 50 && all > scheduled,
        "{scheduled} of {all} by schedule in 50 runs"
    );
}
