//! Anything may happen in any order: the laws hold after every step.
//!
//! The laws are checked against a second, naive account of the world that is kept beside the
//! machine and shares no code with it.

use crate::house::EVENING;
use crate::steps::step;
use ibak_core::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What one phone was last heard to be, and what was asked about it; `until` is where its
/// time-to-live ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) usb: bool,
    pub(crate) wifi_link: bool,
    pub(crate) trusted: bool,
    pub(crate) power: Option<(bool, Monotonic)>,
    pub(crate) wifi: Option<(bool, Monotonic)>,
    pub(crate) locked: Option<(bool, Monotonic)>,
    pub(crate) edge: Option<bool>,
    pub(crate) succeeded: Option<Now>,
    pub(crate) automatic: Option<Automatic>,
    pub(crate) retired: bool,
    pub(crate) quota: Option<Bytes>,
    /// What the store holds of it.
    pub(crate) stored: Vec<BackupFacts>,
    /// What the store told of that last.
    pub(crate) listed: Vec<BackupFacts>,
    /// A list that was begun before the last commit, and has not come yet.
    pub(crate) late: Option<Vec<BackupFacts>>,
    /// The last commit, which stays.
    pub(crate) committed: Option<BackupId>,
    /// Whether something may go: after a commit, other rules, or a start.
    pub(crate) may_go: bool,
    /// What went last for want of room, of which list.
    pub(crate) sought: Option<Vec<BackupFacts>>,
    /// Whether the store told of it since the last job that used it.
    pub(crate) told: bool,
    /// Whether it was ever heard of.
    pub(crate) met: bool,
    /// What happened to its backups since a person was last told of that.
    pub(crate) damaged: u32,
    pub(crate) made_room: u32,
    /// When it was last asked for its passcode.
    pub(crate) question: Option<Now>,
    /// The last job whose question came to the screen.
    pub(crate) put: Option<JobId>,
    /// On which days it was asked without anybody having asked for it.
    pub(crate) days_asked: BTreeSet<i64>,
    /// The last such question, as long as it never came to the screen.
    pub(crate) may_be_given_back: Option<(JobId, i64)>,
    /// The scheduled job whose question was put, its day, and whether it was answered since.
    pub(crate) counted: Option<(JobId, i64, bool)>,
}

impl Heard {
    pub(crate) const fn reached(&self) -> bool {
        self.usb || self.wifi_link
    }
}

pub(crate) struct Run {
    pub(crate) machine: Machine,
    pub(crate) now: Now,
    pub(crate) heard: BTreeMap<Udid, Heard>,
    pub(crate) store_until: Option<Monotonic>,
    pub(crate) store_open: bool,
    pub(crate) store_there: bool,
    pub(crate) moved: Option<(JobId, Monotonic)>,
    pub(crate) paused: bool,
    pub(crate) slots: usize,
    pub(crate) slots_were: usize,
    pub(crate) open: BTreeMap<JobId, StartJob>,
    pub(crate) started: BTreeSet<JobId>,
    pub(crate) stopped: BTreeMap<JobId, StopWhy>,
    pub(crate) asked: u64,
    pub(crate) pending: Option<Request>,
    pub(crate) told: BTreeMap<(Option<Udid>, Topic), Monotonic>,
    pub(crate) backups: u64,
    pub(crate) clock_jumped: Option<Monotonic>,
    pub(crate) trace: Vec<Vec<Effect>>,
    pub(crate) scheduled: usize,
    pub(crate) removed: usize,
    pub(crate) removed_for_room: usize,
    pub(crate) forgotten: usize,
    pub(crate) granted: BTreeMap<&'static str, usize>,
    /// The job of which a person was just told that it will ask.
    pub(crate) asking: Option<JobId>,
    pub(crate) questions: usize,
    pub(crate) on_battery: bool,
    pub(crate) abroad: bool,
}

/// Few backups stay, so that some go; and there are hours for them.
pub(crate) fn policies(slots: usize) -> Policies {
    let mut policies = Policies {
        parallel_max: slots,
        ..Policies::default()
    };
    policies.default.window = Windows::parse(&["18:00-12:00"]).unwrap();
    policies.default.keep = Keep {
        last: u16::try_from(slots).unwrap(),
        daily: 0,
        weekly: 0,
        monthly: 1,
        yearly: 0,
    };
    policies
}

impl Run {
    pub(crate) fn new() -> Self {
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
            store_there: true,
            moved: None,
            paused: false,
            slots: 2,
            slots_were: 2,
            open: BTreeMap::new(),
            started: BTreeSet::new(),
            stopped: BTreeMap::new(),
            asked: 0,
            pending: None,
            told: BTreeMap::new(),
            backups: 0,
            clock_jumped: None,
            trace: Vec::new(),
            scheduled: 0,
            removed: 0,
            removed_for_room: 0,
            forgotten: 0,
            granted: BTreeMap::new(),
            asking: None,
            questions: 0,
            on_battery: false,
            abroad: false,
        }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let request = matches!(event, Event::Requested { .. });
        let effects = self.machine.handle(event, self.now);
        self.machine.verify_invariants();
        let mut answers = 0;
        for effect in &effects {
            match effect {
                Effect::StartJob(start) => self.law_of_starts(start),
                Effect::StopJob { job, phone, why } => {
                    assert_eq!(
                        self.open.get(job).map(|it| &it.phone),
                        Some(phone),
                        "only what runs is stopped"
                    );
                    assert_eq!(self.stopped.insert(*job, *why), None, "and once");
                }
                Effect::Attention { phone, attention } => {
                    self.law_of_messages(phone.as_ref(), attention);
                }
                Effect::RefreshSignals { which, .. } => assert!(!which.is_empty()),
                Effect::Answer { id, answer } => {
                    assert_eq!(
                        *id,
                        RequestId(self.asked),
                        "the request that was asked is answered"
                    );
                    answers += 1;
                    self.note_answer(answer);
                }
                Effect::RemoveBackups { phone, backups } => self.law_of_removal(phone, backups),
                Effect::Forget(phone) => self.law_of_forgetting(phone),
                Effect::RefreshStore | Effect::Remember(_) | Effect::RememberHouse(_) => {}
            }
        }
        assert_eq!(answers, usize::from(request), "one request, one answer");
        self.law_of_the_view();
        let removals = effects.iter().filter_map(|effect| match effect {
            Effect::RemoveBackups { phone, .. } => Some(phone.clone()),
            _ => None,
        });
        let removals: Vec<Udid> = removals.collect();
        self.trace.push(effects);
        // As the shell does: what is left is told.
        for phone in removals {
            self.list(&phone);
        }
    }

    /// Tells what the store holds of a phone.
    pub(crate) fn list(&mut self, phone: &Udid) {
        let heard = self.account(phone);
        heard.late = None;
        let stored = heard.stored.clone();
        self.tell_list(phone, stored);
    }

    pub(crate) fn tell_list(&mut self, phone: &Udid, committed: Vec<BackupFacts>) {
        let heard = self.account(phone);
        heard.told = true;
        heard.listed.clone_from(&committed);
        let backups = PhoneBackups {
            used: Bytes::from_gib(u64::try_from(committed.len()).unwrap()),
            committed,
            staged: Bytes::ZERO,
        };
        self.handle(Event::BackupsKnown(phone.clone(), backups));
    }

    /// Begins anew with all that the store holds.
    pub(crate) fn recover(&mut self) {
        self.moved = None;
        let mut all = Vec::new();
        for (phone, heard) in &mut self.heard {
            heard.late = None;
            heard.listed.clone_from(&heard.stored);
            heard.told = true;
            heard.may_go |= !heard.stored.is_empty();
            if !heard.stored.is_empty() {
                let backups = PhoneBackups {
                    committed: heard.stored.clone(),
                    ..PhoneBackups::default()
                };
                all.push((phone.clone(), backups));
            }
        }
        self.handle(Event::StoreRecovered(all));
    }

    /// Returns who moves the store, or moved it so that the copy is waited for.
    pub(crate) fn moving(&self) -> Option<JobId> {
        let moves = |it: &&StartJob| it.kind == JobKind::MoveStore;
        let waited = self.moved.filter(|(_, until)| self.now.monotonic < *until);
        let job = self.open.values().find(moves).map(|it| it.job);
        job.or(waited.map(|(job, _)| job))
    }

    pub(crate) fn account(&mut self, phone: &Udid) -> &mut Heard {
        self.heard.entry(phone.clone()).or_default()
    }

    /// Takes in what a request that was granted means.
    fn note_answer(&mut self, answer: &Result<Answer, RequestError>) {
        let request = self.pending.take().unwrap();
        let moving = self.moving();
        match answer {
            Ok(_) => self.note_granted(request),
            Err(RequestError::StoreMoving { job }) => {
                assert_eq!(moving, Some(*job), "the store does move");
            }
            Err(RequestError::StoreInUse { job }) => {
                let holds = self.open.get(job).is_some_and(|it| it.kind.uses_store());
                assert!(holds, "somebody does hold the store");
            }
            Err(_) => {}
        }
    }

    fn note_granted(&mut self, request: Request) {
        let what = match request {
            Request::SetQuota { phone, quota } => {
                self.account(&phone).quota = quota;
                "quota"
            }
            Request::SetRetired { phone, retired } => {
                self.account(&phone).retired = retired;
                "retire"
            }
            Request::SetAutomatic { phone, automatic } => {
                let heard = self.account(&phone);
                heard.automatic = Some(automatic);
                heard.retired &= automatic == Automatic::Off;
                "automatic"
            }
            Request::UnsetAutomatic { phone } => {
                self.account(&phone).automatic = None;
                "automatic"
            }
            Request::Replace { old, new } => {
                let before = self.account(&old);
                before.retired = true;
                let (quota, automatic) = (before.quota, before.automatic);
                let next = self.account(&new);
                (next.quota, next.automatic, next.retired) = (quota, automatic, false);
                "replace"
            }
            Request::MoveStore => "move",
            Request::Forget { .. } => "forget",
            Request::BackUp { .. }
            | Request::Pair { .. }
            | Request::Errand { .. }
            | Request::Cancel { .. }
            | Request::Pause { .. }
            | Request::Resume => return,
        };
        *self.granted.entry(what).or_default() += 1;
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

/// The laws would hold of a machine that never does anything, too.
#[test]
fn the_random_steps_do_start_jobs() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut scheduled, mut all, mut removed) = (0, 0, 0);
    let (mut for_room, mut forgotten, mut questions) = (0, 0, 0);
    let mut granted: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..50 {
        let steps = prop::collection::vec(step(), 100..150)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut run = Run::new();
        steps.iter().for_each(|it| run.apply(it));
        scheduled += run.scheduled;
        all += run.started.len();
        removed += run.removed;
        for_room += run.removed_for_room;
        forgotten += run.forgotten;
        questions += run.questions;
        for (what, times) in run.granted {
            *granted.entry(what).or_default() += times;
        }
    }
    assert!(
        scheduled >= 50 && all > scheduled,
        "{scheduled} of {all} by schedule in 50 runs"
    );
    assert!(removed >= 25, "{removed} backups removed in 50 runs");
    assert!(questions >= 25, "{questions} questions in 50 runs");
    let rare = (for_room, forgotten);
    assert!(for_room >= 5 && forgotten >= 5, "{rare:?} in 50 runs");
    let enough = granted.values().filter(|times| **times >= 5).count();
    assert_eq!(enough, 6, "{granted:?} granted in 50 runs");
}
