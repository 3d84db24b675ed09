//! `decide` as a table: every combination of the four conditions, due or not, for each wish.

use crate::house::{DAY, EVENING, HOUR, MINUTE};
use ibak_core::*;
use std::time::Duration;

pub(crate) fn now() -> Now {
    Now {
        monotonic: Monotonic::new(10 * DAY),
        wall: Wall::from_secs(EVENING),
    }
}

pub(crate) fn room(free: u64) -> Room {
    let store = StoreNumbers {
        free: Bytes::from_gib(free),
        ..StoreNumbers::default()
    };
    let estimate = Estimate {
        needed: Bytes::from_gib(9),
        basis: Basis::EarlierBackups,
    };
    Room {
        store,
        share: PhoneShare::default(),
        promised: Bytes::ZERO,
        estimate,
    }
}

fn verdict(condition: Condition, status: Status) -> Verdict {
    match (status, condition) {
        (Status::Met, Condition::Power) => Verdict::Met(Met::ExternalPower),
        (Status::Met, Condition::Wifi) => Verdict::Met(Met::OnNetwork),
        (Status::Met, Condition::Locked) => Verdict::Met(Met::ScreenLocked),
        (Status::Met, Condition::Space) => Verdict::Met(Met::Room(room(212))),
        (Status::Unmet, Condition::Power) => Verdict::Unmet(Unmet::OnBattery),
        (Status::Unmet, Condition::Wifi) => Verdict::Unmet(Unmet::NotOnNetwork),
        (Status::Unmet, Condition::Locked) => Verdict::Unmet(Unmet::Unlocked {
            lock_ever_seen: true,
        }),
        (Status::Unmet, Condition::Space) => Verdict::Unmet(Unmet::NoRoom(room(3))),
        (Status::Unknown, Condition::Space) => Verdict::Unknown(Unknown::StoreNotRead),
        (Status::Unknown, Condition::Power | Condition::Wifi | Condition::Locked) => {
            Verdict::Unknown(Unknown::Stale)
        }
    }
}

pub(crate) fn state(condition: Condition, status: Status) -> ConditionState {
    let since = Now {
        monotonic: Monotonic::new(9 * DAY),
        wall: Wall::from_secs(EVENING) - DAY,
    };
    ConditionState {
        verdict: verdict(condition, status),
        since,
        source: None,
        // Read a moment ago.
        observed: Some(now()),
    }
}

pub(crate) fn snapshot(statuses: [Status; 4]) -> Snapshot {
    let [power, wifi, locked, space] = statuses;
    Snapshot {
        automatic: Automatic::On,
        reach: Reach {
            usb: true,
            wifi: false,
        },
        last_seen: None,
        trust: Trust::Trusted,
        conditions: Conditions {
            power: state(Condition::Power, power),
            wifi: state(Condition::Wifi, wifi),
            locked: state(Condition::Locked, locked),
            space: state(Condition::Space, space),
        },
        battery_percent: None,
        due: Due::Since(None),
        passcode: Passcode::Never,
        pause: None,
        backing_off: None,
        job: None,
        asked: None,
        plugged_in_hand: None,
        slot: Slot::Free,
        host: Host::default(),
        host_power: HostPower::Ac,
        zone: Zone::default(),
    }
}

fn all_81() -> impl Iterator<Item = [Status; 4]> {
    let values = [Status::Met, Status::Unmet, Status::Unknown];
    (0..81_usize).map(move |n| {
        [
            values[n / 27],
            values[n / 9 % 3],
            values[n / 3 % 3],
            values[n % 3],
        ]
    })
}

/// Power, wifi and locked may be ignored; space never.
fn policies() -> impl Iterator<Item = (Policy, [bool; 4])> {
    (0..8_u8).map(|bits| {
        let counts = [bits & 1 == 0, bits & 2 == 0, bits & 4 == 0, true];
        let need = |counts| {
            if counts {
                Need::Required
            } else {
                Need::Ignored
            }
        };
        let wifi = if counts[1] {
            WifiNeed::Required
        } else {
            WifiNeed::Ignored
        };
        let policy = Policy {
            power: need(counts[0]),
            wifi,
            locked: need(counts[2]),
            ..Policy::default()
        };
        (policy, counts)
    })
}

/// The rule of the table in `decision.rs`, said once more: which conditions a wish counts on, who
/// must be there, and what that makes of it.
fn expected(demand: Demand, phone: &Snapshot, statuses: [Status; 4], needs: [bool; 4]) -> Decision {
    if let (Demand::Schedule, Due::NotUntil(until)) = (demand, phone.due) {
        return Decision::NotDue { until };
    }
    let asks = demand != Demand::AtOnce && phone.passcode == Passcode::Asks;
    let [power, wifi, locked, space] = needs;
    let counts = match demand {
        Demand::AtOnce => [false, false, false, true],
        // Whoever has the phone in hand has it unlocked.
        Demand::Schedule | Demand::WhenReady => [power, wifi, locked && !asks, space],
    };
    let unmet: Vec<_> = (0..4)
        .filter(|i| counts[*i] && statuses[*i] != Status::Met)
        .map(|i| (Condition::ALL[i], verdict(Condition::ALL[i], statuses[i])))
        .collect();
    let unlocked = statuses[2] == Status::Unmet;
    let also = if asks && !unlocked {
        vec![Hold::Person]
    } else {
        vec![]
    };
    match (unmet.is_empty() && also.is_empty(), asks) {
        (true, true) => Decision::Ask,
        (true, false) => Decision::Start,
        (false, _) => Decision::Wait { unmet, also },
    }
}

const DEMANDS: [Demand; 3] = [Demand::Schedule, Demand::WhenReady, Demand::AtOnce];

/// All of it: four conditions with three values each, due or not, whether it asks, what is wished, and
/// which conditions count.
#[test]
fn eighty_one_combinations_by_due_by_consent_by_wish_by_policy() {
    let until = Wall::from_secs(EVENING) + HOUR;
    let dues = [
        Due::Since(None),
        Due::Since(Some(Wall::from_secs(5))),
        Due::NotUntil(until),
    ];
    let passcodes = [Passcode::Never, Passcode::Unknown, Passcode::Asks];
    let (mut looked, mut starts, mut asks) = (0, 0, 0);
    for statuses in all_81() {
        for (policy, needs) in policies() {
            for (due, passcode) in dues.iter().flat_map(|due| passcodes.map(|it| (*due, it))) {
                let phone = Snapshot {
                    due,
                    passcode,
                    ..snapshot(statuses)
                };
                for demand in DEMANDS {
                    let got = decide_for(demand, &phone, &policy, now());
                    let want = expected(demand, &phone, statuses, needs);
                    let what = (statuses, needs, due, passcode, demand);
                    assert_eq!(got, want, "{what:?}");
                    looked += 1;
                    starts += usize::from(got == Decision::Start);
                    asks += usize::from(got == Decision::Ask);
                }
            }
        }
    }
    assert_eq!(looked, 81 * 8 * 3 * 3 * 3);
    // Of a phone that does not ask (2 of 3): schedule when due (2 of 3) and when-ready (3 of 3) start in
    // 1 + 3·3 + 3·9 + 27 = 64 combinations of conditions and policy. At once: the 27 with space met,
    // under each of 8 policies, due or not, whether it asks or not.
    assert_eq!(starts, 2 * 5 * 64 + 3 * 3 * 8 * 27);
    // Of one that asks: unlocked, space met, and of power and wifi what counts, which is 16 of 4·9
    // (policy, power, wifi), whether or not the lock counts.
    assert_eq!(asks, 5 * 2 * 16);
}

#[test]
fn with_the_default_policy_exactly_one_of_81_starts() {
    let start = |statuses: &[Status; 4]| {
        decide(&snapshot(*statuses), &Policy::default(), now()) == Decision::Start
    };
    assert_eq!(
        all_81().filter(start).collect::<Vec<_>>(),
        vec![[Status::Met; 4]]
    );
}

/// What else holds back: the change, then the words for schedule, when-ready and at-once.
#[test]
fn everything_else_that_holds_back() {
    let met = || snapshot([Status::Met; 4]);
    let policy = Policy {
        battery_min: Some(50),
        ..Policy::default()
    };
    let charged = Snapshot {
        battery_percent: Some(80),
        ..met()
    };
    let until = now().wall + MINUTE;
    let wait = BackingOff {
        until: now().monotonic + MINUTE,
        until_wall: now().wall + MINUTE,
        after: JobResult::Failed(Failure::NoAnswer),
        failures: 1,
    };
    let fresh = |mut it: Snapshot| {
        it.conditions.power.since = Now {
            monotonic: Monotonic::new(10 * DAY - Duration::from_secs(20)),
            ..now()
        };
        it
    };
    let on_battery = Host {
        portable: true,
        on_mains: Some(false),
        ..Host::default()
    };
    let abroad = Host {
        network: HostNetwork::Foreign,
        ..Host::default()
    };
    let by_wifi = Reach {
        usb: false,
        wifi: true,
    };
    type Row = (&'static str, Snapshot, [&'static [&'static str]; 3]);
    let rows: Vec<Row> = vec![
        ("nothing", charged.clone(), [&[], &[], &[]]),
        (
            "absent",
            Snapshot {
                reach: Reach::default(),
                ..charged.clone()
            },
            [&["phone"], &["phone"], &["phone"]],
        ),
        (
            "trust unknown",
            Snapshot {
                trust: Trust::Unknown,
                ..charged.clone()
            },
            [&["trust"], &["trust"], &["trust"]],
        ),
        (
            "untrusted",
            Snapshot {
                trust: Trust::Untrusted,
                ..charged.clone()
            },
            [&["not-trusted"], &["not-trusted"], &["not-trusted"]],
        ),
        (
            "off",
            Snapshot {
                automatic: Automatic::Off,
                ..charged.clone()
            },
            [&["automatic-off"], &[], &[]],
        ),
        (
            "has a job",
            Snapshot {
                job: Some(JobId::new(7)),
                due: Due::NotUntil(until),
                ..charged.clone()
            },
            [&["job"], &["job"], &["job"]],
        ),
        (
            "paused",
            Snapshot {
                pause: Some(Pause { until: None }),
                ..charged.clone()
            },
            [&["pause"], &[], &[]],
        ),
        (
            "backing off",
            Snapshot {
                backing_off: Some(wait),
                ..charged.clone()
            },
            [&["backoff"], &[], &[]],
        ),
        (
            "asks, and is locked",
            Snapshot {
                passcode: Passcode::Asks,
                ..charged.clone()
            },
            [&["person"], &["person"], &[]],
        ),
        (
            "this computer on its battery",
            Snapshot {
                host: on_battery,
                ..charged.clone()
            },
            [&["host-power"], &[], &[]],
        ),
        (
            "which does not matter",
            Snapshot {
                host: on_battery,
                host_power: HostPower::Any,
                ..charged.clone()
            },
            [&[], &[], &[]],
        ),
        (
            "a foreign network, and a cable",
            Snapshot {
                host: abroad,
                ..charged.clone()
            },
            [&[], &[], &[]],
        ),
        (
            "a foreign network, and no cable",
            Snapshot {
                host: abroad,
                reach: by_wifi,
                ..charged.clone()
            },
            [&["network"], &[], &[]],
        ),
        (
            "may ask",
            Snapshot {
                passcode: Passcode::Unknown,
                ..charged.clone()
            },
            [&[], &[], &[]],
        ),
        (
            "low battery",
            Snapshot {
                battery_percent: Some(49),
                ..charged.clone()
            },
            [&["battery"], &["battery"], &[]],
        ),
        ("no battery told", met(), [&["battery"], &["battery"], &[]]),
        (
            "settling",
            fresh(charged.clone()),
            [&["settling"], &["settling"], &[]],
        ),
        (
            "no slot",
            Snapshot {
                slot: Slot::Taken {
                    running: 4,
                    ahead: 1,
                    max: 4,
                },
                ..charged.clone()
            },
            [&["slot"], &["slot"], &["slot"]],
        ),
        (
            "settling, so no slot is wanted yet",
            fresh(Snapshot {
                slot: Slot::Taken {
                    running: 4,
                    ahead: 1,
                    max: 4,
                },
                ..charged
            }),
            [&["settling"], &["settling"], &["slot"]],
        ),
    ];
    for (name, phone, want) in rows {
        for (demand, words) in [Demand::Schedule, Demand::WhenReady, Demand::AtOnce]
            .into_iter()
            .zip(want)
        {
            let got = decide_for(demand, &phone, &policy, now());
            assert_eq!(got.waits_for(), words, "{name} {demand:?}");
            assert_eq!(
                got == Decision::Start,
                words.is_empty(),
                "{name} {demand:?}"
            );
        }
    }
}

#[test]
fn the_next_attempt_is_the_last_clock_that_holds_back() {
    let policy = Policy::default();
    let late = now().wall + 2 * HOUR;
    let wait = BackingOff {
        until: now().monotonic + HOUR,
        until_wall: now().wall + HOUR,
        after: JobResult::Cancelled,
        failures: 0,
    };
    let phone = Snapshot {
        pause: Some(Pause { until: Some(late) }),
        backing_off: Some(wait),
        ..snapshot([Status::Met; 4])
    };
    assert_eq!(decide(&phone, &policy, now()).next_attempt(), Some(late));
    let phone = Snapshot {
        pause: None,
        ..phone
    };
    assert_eq!(
        decide(&phone, &policy, now()).next_attempt(),
        Some(now().wall + HOUR)
    );
    let phone = Snapshot {
        backing_off: None,
        ..phone
    };
    assert_eq!(decide(&phone, &policy, now()).next_attempt(), None);
}
