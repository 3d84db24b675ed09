//! Who may be asked for a passcode, and when: rows of one table each.

use crate::decide::{now, snapshot};
use crate::house::{DAY, HOUR, MINUTE};
use ibak_core::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// 21:00, as everything here begins.
const NOW: u32 = 21 * 60;

/// A phone that asks, with all that a question needs: power, network, room, and an unlocked screen
/// that was read a moment ago.
fn in_hand() -> Snapshot {
    Snapshot {
        passcode: Passcode::Asks,
        ..snapshot([Status::Met, Status::Met, Status::Unmet, Status::Met])
    }
}

fn earlier(by: Duration) -> Now {
    Now {
        monotonic: Monotonic::new(now().monotonic.since_origin() - by),
        wall: now().wall - by,
    }
}

/// Minutes since midnight of this evening's day.
fn clock(minutes: i64) -> Wall {
    let midnight = now().wall.as_secs() - i64::from(NOW) * 60;
    Wall::from_secs(midnight + minutes * 60)
}

fn today() -> Day {
    Zone::default().civil(now().wall).day
}

fn asked(at: Wall, day: Day, count: u8) -> Option<Asked> {
    Some(Asked::recall(at, day, count, now()))
}

#[test]
fn somebody_is_there() {
    type Change = fn(&mut Snapshot);
    let rows: [(&str, Change, Decision); 11] = [
        ("unlocked since yesterday", |_| {}, Decision::Ask),
        (
            "locked",
            |it| it.conditions = snapshot([Status::Met; 4]).conditions,
            waits([Hold::Person]),
        ),
        (
            "nobody knows",
            |it| it.conditions.locked.verdict = Verdict::Unknown(Unknown::Stale),
            waits([Hold::Person]),
        ),
        (
            "no passcode that would say so",
            |it| it.conditions.locked.verdict = Verdict::Unknown(Unknown::NoPasscode),
            waits([Hold::Person]),
        ),
        (
            "a glance",
            |it| it.conditions.locked.since = earlier(9 * SECOND),
            waits([Hold::Person]),
        ),
        (
            "more than a glance",
            |it| it.conditions.locked.since = earlier(10 * SECOND),
            Decision::Ask,
        ),
        (
            "a glance, but just plugged in",
            |it| {
                it.conditions.locked.since = now();
                it.plugged_in_hand = Some(earlier(5 * MINUTE).monotonic);
            },
            Decision::Ask,
        ),
        (
            "a glance, and plugged in a while ago",
            |it| {
                it.conditions.locked.since = now();
                it.plugged_in_hand = Some(earlier(5 * MINUTE + SECOND).monotonic);
            },
            waits([Hold::Person]),
        ),
        (
            "read half a minute ago",
            |it| it.conditions.locked.observed = Some(earlier(30 * SECOND)),
            Decision::Ask,
        ),
        (
            "read longer ago",
            |it| it.conditions.locked.observed = Some(earlier(31 * SECOND)),
            waits([Hold::Person]),
        ),
        (
            "unlocked, and never read",
            |it| it.conditions.locked.observed = None,
            waits([Hold::Person]),
        ),
    ];
    for (what, change, want) in rows {
        for demand in [Demand::Schedule, Demand::WhenReady] {
            let mut phone = in_hand();
            change(&mut phone);
            let got = decide_for(demand, &phone, &Policy::default(), now());
            assert_eq!(got, want, "{what} {demand:?}");
        }
        let mut phone = in_hand();
        change(&mut phone);
        let at_once = decide_for(Demand::AtOnce, &phone, &Policy::default(), now());
        assert_eq!(at_once, Decision::Start, "{what}: who starts it is there");
    }
}

fn waits<const N: usize>(also: [Hold; N]) -> Decision {
    Decision::Wait {
        unmet: vec![],
        also: also.to_vec(),
    }
}

fn with_ask(change: fn(&mut AskPolicy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy.ask);
    policy
}

/// How often, and at which hours: the memory, the policy, what holds.
#[test]
fn the_rules_of_asking() {
    let tomorrow = clock(24 * 60 + 19 * 60);
    let yesterday = Day(today().0 - 1);
    let default: fn(&mut AskPolicy) = |_| {};
    type Row = (
        &'static str,
        Option<Asked>,
        fn(&mut AskPolicy),
        Option<Hold>,
    );
    let rows: Vec<Row> = vec![
        ("never asked", None, default, None),
        (
            "asked yesterday",
            asked(clock(-60), yesterday, 1),
            default,
            None,
        ),
        (
            "asked today",
            asked(clock(19 * 60), today(), 1),
            default,
            Some(Hold::Asked { next: tomorrow }),
        ),
        (
            "asked today, and once more is allowed",
            asked(clock(20 * 60), today(), 1),
            |it| it.per_day = 2,
            None,
        ),
        (
            "but not so soon",
            asked(clock(20 * 60 + 1), today(), 1),
            |it| it.per_day = 2,
            Some(Hold::Asked {
                next: clock(21 * 60 + 1),
            }),
        ),
        (
            "somebody started one half an hour ago, which counts for no day",
            asked(clock(20 * 60 + 30), today(), 0),
            default,
            Some(Hold::Asked {
                next: clock(21 * 60 + 30),
            }),
        ),
        (
            "rested only when it is too late for today",
            asked(clock(20 * 60), today(), 0),
            |it| it.every = 4 * HOUR,
            Some(Hold::Asked { next: tomorrow }),
        ),
        (
            "it is too early",
            None,
            |it| it.window = Windows::parse(&["22:00-23:00"]).unwrap(),
            Some(Hold::AskWindow {
                opens: Some(clock(22 * 60)),
            }),
        ),
        (
            "it is too late",
            None,
            |it| it.window = Windows::parse(&["19:00-21:00"]).unwrap(),
            Some(Hold::AskWindow {
                opens: Some(tomorrow),
            }),
        ),
        (
            "at all hours",
            None,
            |it| it.window = Windows::default(),
            None,
        ),
        (
            "never unbidden",
            None,
            |it| it.per_day = 0,
            Some(Hold::Passcode),
        ),
        (
            "a clock that was years ahead when it asked",
            asked(clock(900 * 24 * 60), Day(today().0 + 900), 1),
            default,
            Some(Hold::Asked { next: tomorrow }),
        ),
    ];
    for (what, asked, change, want) in rows {
        let phone = Snapshot { asked, ..in_hand() };
        let policy = with_ask(change);
        let want_or_ask = want.map_or(Decision::Ask, |hold| waits([hold]));
        assert_eq!(decide(&phone, &policy, now()), want_or_ask, "{what}");
        if let Some(hold) = want {
            assert_eq!(
                decide(&phone, &policy, now()).next_attempt(),
                hold.ends(),
                "{what}"
            );
        }
        let asked_for = decide_for(Demand::WhenReady, &phone, &policy, now());
        assert_eq!(
            asked_for,
            Decision::Ask,
            "{what}: who asked for it has no hours"
        );
        let quiet = Snapshot {
            passcode: Passcode::Never,
            ..phone
        };
        let quiet = Snapshot {
            conditions: snapshot([Status::Met; 4]).conditions,
            ..quiet
        };
        let starts = decide(&quiet, &policy, now());
        assert_eq!(
            starts,
            Decision::Start,
            "{what}: who never asks is not asked"
        );
    }
}

/// The wall clock is set while the phone rests from a question: only time that passes counts.
#[test]
fn a_clock_that_is_set_makes_nobody_ask_sooner() {
    let asked = Asked::again(None, false, &Zone::default(), now());
    let at = |passed: Duration, jump: i64| Now {
        monotonic: now().monotonic + passed,
        wall: Wall::from_secs((now().wall + passed).as_secs() + jump),
    };
    let always = with_ask(|it| it.window = Windows::default());
    for jump in [0, 3 * 3600, 400 * 86_400, -3 * 3600, -400 * 86_400] {
        for (passed, want) in [(59 * MINUTE, "asked"), (60 * MINUTE, "")] {
            let now = at(passed, jump);
            let mut phone = Snapshot {
                asked: Some(asked),
                ..in_hand()
            };
            phone.conditions.locked.observed = Some(now);
            let got = decide(&phone, &always, now);
            assert_eq!(got.waits_for().join(" "), want, "{jump} {passed:?}");
            if let Some(next) = got.next_attempt() {
                assert!(next > now.wall, "{jump}: it is still to come");
            }
        }
    }
}

/// Three questions in an evening, and what is left of them on the same and on the next day.
#[test]
fn questions_are_counted_by_the_day_of_the_house() {
    // Ten hours east of Greenwich it is Thursday 07:00.
    let east = Zone::new(36_000, vec![]);
    let mut asked = None;
    for count in 1..=3 {
        asked = Some(Asked::again(asked, true, &east, now()));
        assert_eq!(asked.unwrap().count, count);
    }
    let policy = with_ask(|it| {
        it.per_day = 3;
        it.window = Windows::default();
    });
    for (hours, want) in [(2, "asked"), (16, "asked"), (17, "")] {
        let now = Now {
            monotonic: now().monotonic + HOUR * hours,
            wall: now().wall + HOUR * hours,
        };
        let mut phone = Snapshot {
            asked,
            zone: east.clone(),
            ..in_hand()
        };
        phone.conditions.locked.observed = Some(now);
        let got = decide(&phone, &policy, now).waits_for().join(" ");
        assert_eq!(got, want, "{hours} hours later");
    }
}

/// Before a question the conditions hold for five seconds, or for less if that is the policy's.
#[test]
fn who_plugs_in_is_asked_soon() {
    for (settle, power_for, want) in [
        (60, 4, "settling"),
        (60, 5, ""),
        (3600, 5, ""),
        (2, 1, "settling"),
        (2, 2, ""),
        (0, 0, ""),
    ] {
        let mut phone = in_hand();
        phone.conditions.power.since = earlier(SECOND * power_for);
        let policy = Policy {
            settle: SECOND * settle,
            ..Policy::default()
        };
        let got = decide(&phone, &policy, now()).waits_for().join(" ");
        assert_eq!(got, want, "{settle} {power_for}");
    }
}

/// What holds back any automatic backup holds back a question, and comes before it.
#[test]
fn nobody_is_asked_for_a_backup_that_could_not_begin() {
    const TAKEN: Slot = Slot::Taken {
        running: 4,
        ahead: 0,
        max: 4,
    };
    type Change = fn(&mut Snapshot);
    let rows: [(&str, Change, &str); 7] = [
        ("no slot", |it| it.slot = TAKEN, "slot"),
        (
            "paused",
            |it| it.pause = Some(Pause { until: None }),
            "pause",
        ),
        ("not there", |it| it.reach = Reach::default(), "phone"),
        (
            "no power, and locked",
            |it| {
                it.conditions =
                    snapshot([Status::Unmet, Status::Met, Status::Met, Status::Met]).conditions;
            },
            "power person",
        ),
        (
            "no room",
            |it| {
                it.conditions =
                    snapshot([Status::Met, Status::Met, Status::Unmet, Status::Unmet]).conditions;
            },
            "space",
        ),
        ("busy", |it| it.job = Some(JobId::new(7)), "job"),
        (
            "this computer on its battery",
            |it| {
                it.host = Host {
                    portable: true,
                    on_mains: Some(false),
                    ..Host::default()
                };
            },
            "host-power",
        ),
    ];
    for (what, change, want) in rows {
        let mut phone = in_hand();
        change(&mut phone);
        let got = decide(&phone, &Policy::default(), now());
        assert_eq!(got.waits_for().join(" "), want, "{what}");
    }
    let wait = BackingOff {
        until: now().monotonic + DAY,
        until_wall: now().wall + DAY,
        after: JobResult::Cancelled,
        failures: 0,
    };
    let phone = Snapshot {
        backing_off: Some(wait),
        ..in_hand()
    };
    assert_eq!(
        decide(&phone, &Policy::default(), now()).waits_for(),
        ["backoff"]
    );
}
