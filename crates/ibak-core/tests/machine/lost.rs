//! Conditions, connections and slots: what happens to a running backup, and to the next.

use crate::house::*;
use ibak_core::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn backing_up(policies: Policies) -> (House, Udid, JobId) {
    let (mut house, ada) = (House::new(policies), udid(1));
    house.bed(&ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    (house, ada, job)
}

fn with(change: impl FnOnce(&mut LossTable)) -> Policies {
    let mut policies = Policies::default();
    change(&mut policies.default.on_loss);
    policies
}

/// The table: what is lost, the policy's row, and after how long the job is told to stop.
#[test]
fn the_table_of_lost_conditions() {
    type Change = fn(&mut House, &Udid);
    let power: Change = |house, ada| house.set(ada, |it| it.power = false);
    let wifi: Change = |house, ada| house.set(ada, |it| it.wifi = false);
    let locked: Change = |house, ada| house.set(ada, |it| it.locked = false);
    let space: Change = |house, _| {
        house.store = StoreReport::Open(StoreNumbers {
            reserve: Bytes::from_gib(2),
            ..StoreNumbers::default()
        });
        house.look_at_store();
    };
    let store: Change = |house, _| {
        house.store = StoreReport::Unavailable(StoreTrouble::Failing);
        house.look_at_store();
    };
    let lost = |it| Some(StopWhy::Interrupted(Interruption::Lost(it)));
    type Row = (&'static str, Policies, Change, Option<StopWhy>, Duration);
    let rows: Vec<Row> = vec![
        (
            "power",
            Policies::default(),
            power,
            lost(Condition::Power),
            10 * MINUTE,
        ),
        (
            "power finishes",
            with(|it| it.power = OnLoss::Finish),
            power,
            None,
            DAY,
        ),
        (
            "power stops",
            with(|it| it.power = OnLoss::Stop),
            power,
            lost(Condition::Power),
            Duration::ZERO,
        ),
        ("wifi by cable", Policies::default(), wifi, None, DAY),
        (
            "wifi by cable, though it says stop",
            with(|it| it.wifi = OnLoss::Stop),
            wifi,
            None,
            DAY,
        ),
        ("locked", Policies::default(), locked, None, DAY),
        (
            "locked stops",
            with(|it| it.locked = OnLoss::Stop),
            locked,
            lost(Condition::Locked),
            Duration::ZERO,
        ),
        (
            "locked grace",
            with(|it| it.locked = OnLoss::Grace(MINUTE)),
            locked,
            lost(Condition::Locked),
            MINUTE,
        ),
        (
            "space",
            Policies::default(),
            space,
            lost(Condition::Space),
            Duration::ZERO,
        ),
        (
            "store",
            Policies::default(),
            store,
            lost(Condition::Space),
            Duration::ZERO,
        ),
        (
            "space finishes",
            with(|it| it.space = OnLoss::Finish),
            space,
            None,
            DAY,
        ),
    ];
    for (name, policies, change, want, after) in rows {
        let (mut house, ada, _) = backing_up(policies);
        change(&mut house, &ada);
        if after > Duration::ZERO && want.is_some() {
            house.pass(after - SECOND);
            assert_eq!(house.stops(), [], "{name}: too early");
            house.pass(SECOND);
        } else {
            house.pass(after);
        }
        assert_eq!(
            house.stops(),
            want.into_iter().collect::<Vec<_>>(),
            "{name}"
        );
        house.pass(HOUR);
        assert!(house.stops().len() <= 1, "{name}: told once");
    }
}

#[test]
fn power_that_comes_back_in_time_stops_nothing() {
    let (mut house, ada, _) = backing_up(Policies::default());
    for _ in 0..5 {
        house.set(&ada, |it| it.power = false);
        house.pass(9 * MINUTE);
        house.set(&ada, |it| it.power = true);
        house.pass(MINUTE);
    }
    assert_eq!(house.stops(), []);
}

#[test]
fn unknown_is_not_lost() {
    let (mut house, ada, _) = backing_up(with(|it| {
        it.power = OnLoss::Stop;
        it.locked = OnLoss::Stop;
    }));
    house.set(&ada, |it| it.answers = false);
    house.pass(DAY);
    assert_eq!(
        house.phone(&ada).conditions.power.verdict,
        Verdict::Unknown(Unknown::Stale)
    );
    assert_eq!(house.stops(), []);
}

#[test]
fn over_the_network_the_network_can_be_lost() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| {
        it.power = true;
        it.locked = true;
    });
    house.see_for(
        &ada,
        Fact::Reachable {
            transport: Transport::Wifi,
            reachable: true,
        },
        None,
    );
    house.pass(MINUTE);
    assert_eq!(house.starts()[0].transport, Some(Transport::Wifi));
    house.see_for(
        &ada,
        Fact::Reachable {
            transport: Transport::Wifi,
            reachable: false,
        },
        None,
    );
    assert_eq!(
        house.stops(),
        [StopWhy::Interrupted(Interruption::Lost(Condition::Wifi))]
    );
    let job = house.job(&ada).unwrap();
    house.end(
        job,
        Outcome::failed(Failure::NoAnswer, "the connection broke"),
    );
    let result = house.phone(&ada).last_result.unwrap().result;
    assert_eq!(
        result.word(),
        "lost-wifi",
        "it stopped for that, whatever it stumbled over"
    );
}

#[test]
fn pulled_out_and_put_back() {
    let (mut house, ada, job) = backing_up(Policies::default());
    house.set(&ada, |it| it.usb = false);
    assert_eq!(
        house.stops(),
        [StopWhy::Interrupted(Interruption::ConnectionLost)]
    );
    house.end(job, Outcome::Interrupted(Interruption::ConnectionLost));
    assert_eq!(house.phone(&ada).state, PhoneState::Absent);
    house.pass(HOUR);
    assert_eq!(house.starts().len(), 1);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(
        house.starts().len(),
        2,
        "a cable put back after a while only settles"
    );
}

#[test]
fn a_bad_contact_backs_off() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    for _ in 0..120 {
        house.pass(2 * MINUTE);
        if let Some(job) = house.job(&ada) {
            house.set(&ada, |it| it.usb = false);
            house.end(job, Outcome::Interrupted(Interruption::ConnectionLost));
            house.pass(SECOND);
            house.set(&ada, |it| it.usb = true);
        }
    }
    assert!(
        (5..=9).contains(&house.starts().len()),
        "{} starts in four hours",
        house.starts().len()
    );
}

#[test]
fn what_has_arrived_is_committed_without_the_phone() {
    let (mut house, ada, job) = backing_up(with(|it| it.power = OnLoss::Stop));
    house.send(Event::JobPhase(job, Phase::Verifying));
    house.set(&ada, |it| it.power = false);
    house.set(&ada, |it| it.usb = false);
    assert_eq!(house.stops(), []);
    house.succeed(&ada);
    assert_eq!(
        house.phone(&ada).last_result.unwrap().result,
        JobResult::Succeeded
    );
}

/// A person's own backup needs power, network and lock neither to start nor to go on.
#[test]
fn a_backup_now_loses_only_space_and_the_cable() {
    let (mut house, ada) = (House::new(with(|it| it.power = OnLoss::Stop)), udid(1));
    house.bed(&ada);
    house.back_up(&ada, When::AtOnce).unwrap();
    house.set(&ada, |it| {
        it.power = false;
        it.wifi = false;
        it.locked = false;
    });
    house.pass(HOUR);
    assert_eq!(house.stops(), []);
    house.store = StoreReport::Open(StoreNumbers::default());
    house.look_at_store();
    assert_eq!(
        house.stops(),
        [StopWhy::Interrupted(Interruption::Lost(Condition::Space))]
    );
}

/// How it ended, and after how many minutes of an unchanged phone the next try starts.
#[test]
fn waits_after_each_end() {
    let fail = |it| Outcome::failed(it, "because");
    let rows: Vec<(Outcome, Vec<u64>)> = vec![
        (
            fail(Failure::NoAnswer),
            vec![10, 20, 40, 80, 160, 320, 360, 360],
        ),
        (
            Outcome::Interrupted(Interruption::ConnectionLost),
            vec![1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360],
        ),
        (fail(Failure::SnapshotLeft), vec![1440, 1440]),
        (fail(Failure::Version), vec![1440]),
        (Outcome::Cancelled, vec![360, 360]),
        (Outcome::CancelledOnDevice, vec![360]),
    ];
    for (outcome, waits) in rows {
        let (mut house, ada, _) = backing_up(Policies::default());
        for minutes in waits {
            let (job, before) = (house.job(&ada).unwrap(), house.starts().len());
            house.end(job, outcome.clone());
            let wait = Duration::from_secs(minutes * 60);
            let until = house.now.wall + wait;
            assert_eq!(
                house.phone(&ada).state,
                PhoneState::BackingOff,
                "{outcome:?}"
            );
            assert_eq!(house.phone(&ada).next_attempt, Some(until), "{outcome:?}");
            house.pass(wait - SECOND);
            assert_eq!(
                house.starts().len(),
                before,
                "{outcome:?} before {minutes} min"
            );
            // What was not read while nothing depended on it is read and settles first.
            house.pass(MINUTE + SECOND);
            assert_eq!(
                house.starts().len(),
                before + 1,
                "{outcome:?} after {minutes} min"
            );
        }
    }
}

#[test]
fn a_wait_outlives_a_restart_and_ends_when_the_cable_comes_back() {
    let (mut house, ada, job) = backing_up(Policies::default());
    house.end(job, Outcome::failed(Failure::SnapshotLeft, ""));
    house.restart(HOUR);
    house.pass(HOUR);
    assert_eq!(house.starts().len(), 1);
    assert_eq!(house.phone(&ada).state, PhoneState::BackingOff);
    house.set(&ada, |it| it.usb = false);
    house.pass(MINUTE);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(
        house.starts().len(),
        2,
        "somebody did something about the phone"
    );
}

#[test]
fn four_slots_for_six_phones_and_the_most_overdue_first() {
    let mut house = House::quiet();
    for n in 1..=6_u8 {
        let age = DAY * u32::from(n) + DAY;
        let facts = BackupFacts {
            id: backup_id(u64::from(100 - n)),
            finished: house.now.wall - age,
            size: Bytes::from_gib(20),
            added: Bytes::from_gib(20),
            ..blank_backup()
        };
        let committed = if n == 2 { vec![] } else { vec![facts] };
        house.backups.insert(
            udid(n),
            PhoneBackups {
                committed,
                ..PhoneBackups::default()
            },
        );
    }
    house.restart(Duration::ZERO);
    for n in 1..=6 {
        house.bed(&udid(n));
    }
    house.pass(MINUTE);
    let order: Vec<Udid> = house
        .starts()
        .into_iter()
        .filter_map(|it| it.phone)
        .collect();
    assert_eq!(
        order,
        [udid(2), udid(6), udid(5), udid(4)],
        "never first, then the longest due"
    );
    let slot = |house: &House, n| house.phone(&udid(n)).decision;
    let taken = |ahead| Decision::Wait {
        unmet: vec![],
        also: vec![Hold::Slot {
            running: 4,
            ahead,
            max: 4,
        }],
    };
    assert_eq!((slot(&house, 3), slot(&house, 1)), (taken(0), taken(1)));
    house.succeed(&udid(4));
    assert_eq!(house.starts().last().unwrap().phone, Some(udid(3)));
    assert_eq!(slot(&house, 1), taken(0));
    // Room is promised to those that run: nobody starts into what is spoken for.
    assert_eq!(house.machine.view().house.running, 4);
}

#[test]
fn running_backups_are_promised_their_room() {
    let mut house = House::quiet();
    let free = Bytes::from_gib(32);
    house.store = StoreReport::Open(StoreNumbers {
        free,
        reserve: Bytes::from_gib(2),
        ..StoreNumbers::default()
    });
    house.look_at_store();
    house.bed(&udid(1));
    house.bed(&udid(2));
    house.pass(HOUR);
    assert_eq!(
        house.starts().len(),
        1,
        "each needs 20 GiB, and there are 30"
    );
    assert_eq!(house.phone(&udid(2)).decision.waits_for(), ["space"]);
    let room = house.phone(&udid(2)).room.unwrap();
    assert!(room.promised >= Bytes::from_gib(20) && !room.fits());
    let job = house.job(&udid(1)).unwrap();
    let progress = Progress {
        bytes_done: Bytes::from_gib(15),
        ..Progress::default()
    };
    house.send(Event::JobProgress(job, progress));
    house.pass(2 * MINUTE);
    assert_eq!(
        house.starts().len(),
        2,
        "what has arrived is in the store's own numbers"
    );
}

#[test]
fn a_success_forgives_earlier_failures() {
    let (mut house, ada, job) = backing_up(Policies::default());
    house.end(job, Outcome::failed(Failure::NoAnswer, ""));
    house.pass(12 * MINUTE);
    house.succeed(&ada);
    house.pass(23 * HOUR);
    let job = house.job(&ada).unwrap();
    house.end(job, Outcome::failed(Failure::NoAnswer, ""));
    let next = house.phone(&ada).next_attempt;
    assert_eq!(
        next,
        Some(house.now.wall + 10 * MINUTE),
        "the first failure again"
    );
}

/// With `wifi = "or-usb"` and no multicast nobody ever tells whether the phone is on the network.
#[test]
fn a_signal_that_is_never_told_does_not_let_the_others_grow_stale() {
    let mut policies = Policies::default();
    policies.default.wifi = WifiNeed::OrUsb;
    let (mut house, ada, job) = backing_up(policies);
    house.set(&ada, |it| it.tells_wifi = false);
    house.see_for(&ada, Fact::OnWifi(None), None);
    house.set(&ada, |it| it.power = false);
    for _ in 0..HOUR.as_secs() {
        house.pass(SECOND);
        let power = house.phone(&ada).conditions.power.verdict;
        assert!(!matches!(power, Verdict::Unknown(_)), "{power:?}");
        if !house.stops().is_empty() {
            break;
        }
    }
    assert_eq!(
        house.stops(),
        [StopWhy::Interrupted(Interruption::Lost(Condition::Power))]
    );
    assert!(house.job(&ada) == Some(job));
}
