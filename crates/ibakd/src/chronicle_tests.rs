//! Tests of what is noted.

use super::*;
use ibak_core::{
    Event, Hold, JobId, Machine, Monotonic, PhoneMemory, PhoneState, Policies, Source, Unmet,
    Verdict,
};

const PHONE: &str = "00008030-001A2B3C4D5E6F70";
/// 2026-11-21 20:00 UTC.
const EVENING: i64 = 1_795_291_200;

fn now(secs: i64) -> Now {
    Now {
        monotonic: Monotonic::new(Duration::from_secs(u64::try_from(secs).unwrap())),
        wall: Wall::from_secs(EVENING + secs),
    }
}

fn udid() -> Udid {
    Udid::parse(PHONE).unwrap()
}

/// A house with one phone that is away.
fn view() -> View {
    let mut machine = Machine::new(Policies::default(), JobId::new(1), now(0));
    let memory = PhoneMemory {
        phone: udid(),
        identity: None,
        automatic: None,
        quota: None,
        retired: false,
        passcode_learned: None,
        lock_ever_seen: true,
        last_result: None,
        password_proved: None,
        failures: 0,
        not_before: None,
        first_seen: Wall::from_secs(1),
        last_seen: None,
        data_used: None,
        told: Vec::new(),
        asked: None,
    };
    drop(machine.handle(Event::Recalled(memory), now(0)));
    machine.view()
}

fn phone(view: &mut View) -> &mut PhoneView {
    view.phones.get_mut(&udid()).unwrap()
}

fn unlock(view: &mut View) {
    let locked = &mut phone(view).conditions.locked;
    locked.verdict = Verdict::Unmet(Unmet::Unlocked {
        lock_ever_seen: true,
    });
    locked.source = Some(Source::Notification);
}

fn lock(view: &mut View) {
    let locked = &mut phone(view).conditions.locked;
    locked.verdict = Verdict::Met(ibak_core::Met::ScreenLocked);
}

/// Writes notes as lines.
fn lines(notes: &[Note]) -> Vec<String> {
    let line = |note: &Note| {
        let since = note
            .since
            .map_or(String::new(), |at| format!(" <{}", at.as_secs() - EVENING));
        let line = format!(
            "{} {} {} {} {}",
            note.at.as_secs() - EVENING,
            note.what.word(),
            note.word,
            note.more,
            note.source
        );
        format!("{}{since}", line.trim_end())
    };
    notes.iter().map(line).collect()
}

#[test]
fn all_is_noted_once_and_then_only_what_changes() {
    let mut view = view();
    let mut chronicle = Chronicle::default();
    let first = chronicle.observe(&view, now(0), Duration::ZERO);
    assert_eq!(
        lines(&first),
        [
            "0 power unknown not-reachable",
            "0 wifi unknown not-reachable",
            "0 locked unknown not-reachable",
            "0 space unknown store-not-read",
            "0 decision wait power,wifi,locked,space,phone",
            "0 state absent",
        ]
    );
    assert_eq!(chronicle.observe(&view, now(1), Duration::ZERO), []);
    unlock(&mut view);
    let unlocked = chronicle.observe(&view, now(2), Duration::ZERO);
    assert_eq!(lines(&unlocked), ["2 locked unmet unlocked notification"]);
    // The same seen otherwise, later, is the same.
    let locked = &mut phone(&mut view).conditions.locked;
    locked.source = Some(Source::Mdns);
    locked.observed = Some(now(3));
    assert_eq!(chronicle.observe(&view, now(3), Duration::ZERO), []);
    // The words of a decision count, not its times.
    phone(&mut view).decision = Decision::NotDue {
        until: Wall::from_secs(9),
    };
    let decided = chronicle.observe(&view, now(4), Duration::ZERO);
    assert_eq!(lines(&decided), ["4 decision not-due"]);
    phone(&mut view).decision = Decision::NotDue {
        until: Wall::from_secs(99),
    };
    assert_eq!(chronicle.observe(&view, now(5), Duration::ZERO), []);
    phone(&mut view).decision = Decision::Wait {
        unmet: Vec::new(),
        also: vec![Hold::Passcode, Hold::TrustUnknown],
    };
    phone(&mut view).state = PhoneState::Waiting;
    let both = chronicle.observe(&view, now(6), Duration::ZERO);
    assert_eq!(
        lines(&both),
        ["6 decision wait passcode,trust", "6 state waiting"]
    );
}

#[test]
fn a_phone_that_flaps_is_noted_so_often_and_afresh_in_the_next_hour() {
    let mut view = view();
    let mut chronicle = Chronicle::default();
    let mut notes = Vec::new();
    for second in 0..3_599 {
        match second % 2 {
            0 => unlock(&mut view),
            _ => lock(&mut view),
        }
        notes.extend(chronicle.observe(&view, now(second), Duration::ZERO));
    }
    assert_eq!(notes.len(), usize::try_from(NOTES_PER_HOUR_MAX).unwrap());
    let last = notes.last().unwrap();
    assert_eq!((last.word.as_str(), last.what), ("too-many", What::Daemon));
    assert_eq!(last.phone, Some(udid()), "of this phone only");
    let fresh = chronicle.observe(&view, now(3_600), Duration::ZERO);
    assert_eq!(fresh.len(), 6, "{:?}", lines(&fresh));
    // What a daemon before noted in this hour counts.
    let counts = BTreeMap::from([(udid(), NOTES_PER_HOUR_MAX - 1)]);
    let mut again = Chronicle::new(now(0).wall, counts);
    let notes = again.observe(&view, now(10), Duration::ZERO);
    assert_eq!(lines(&notes), ["10 daemon too-many"]);
}

#[test]
fn sleep_and_a_clock_set_forward_are_gaps() {
    let view = view();
    let mut chronicle = Chronicle::default();
    let mut look = |monotonic: u64, wall: i64, slept: u64| {
        let now = Now {
            monotonic: Monotonic::new(Duration::from_secs(monotonic)),
            wall: Wall::from_secs(EVENING + wall),
        };
        lines(&chronicle.observe(&view, now, Duration::from_secs(slept)))
    };
    drop(look(0, 0, 500));
    assert_eq!(look(1_000, 1_000, 500), Vec::<String>::new());
    assert_eq!(
        look(9_000, 9_000, 7_500),
        ["9000 computer asleep <2000"],
        "it slept for 7000 s"
    );
    assert_eq!(look(9_100, 9_159, 7_559), Vec::<String>::new(), "too short");
    assert_eq!(
        look(9_200, 12_859, 7_559),
        ["12859 computer clock-set <9259"]
    );
    assert_eq!(look(9_300, 500, 7_559), Vec::<String>::new(), "set back");
}

#[test]
fn one_that_is_forgotten_is_noted_afresh_when_it_comes_back() {
    let whole = view();
    let mut none = whole.clone();
    none.phones.clear();
    let mut chronicle = Chronicle::default();
    let mut count = |view, at| chronicle.observe(view, now(at), Duration::ZERO).len();
    let counts = [
        (&whole, 0),
        (&none, 1),
        (&whole, 2),
        (&none, 3),
        (&whole, 4_000),
    ]
    .map(|(view, at)| count(view, at));
    assert_eq!(counts, [6, 0, 6, 0, 6]);
}
