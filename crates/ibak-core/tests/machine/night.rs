//! The plain case: four conditions, settled, once a day, across restarts and clocks that jump.

use crate::house::*;
use ibak_core::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_evening_passes() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.usb = true);
    assert_eq!(house.phone(&ada).state, PhoneState::Waiting);
    assert_eq!(
        house.phone(&ada).decision.waits_for(),
        ["power", "wifi", "locked"]
    );
    house.set(&ada, |it| it.power = true);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["wifi", "locked"]);
    house.set(&ada, |it| it.wifi = true);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["locked"]);
    house.pass(HOUR);
    assert_eq!(house.starts(), []);
    house.set(&ada, |it| it.locked = true);
    assert_eq!(house.phone(&ada).state, PhoneState::Settling);
    house.pass(MINUTE - SECOND);
    assert_eq!(house.starts(), []);
    house.pass(SECOND);
    let start = StartJob {
        job: JobId::new(1),
        phone: Some(ada.clone()),
        kind: JobKind::Backup,
        trigger: Trigger::Schedule,
        extent: Extent::Changes,
        transport: Some(Transport::Usb),
        hold_until_locked: None,
    };
    assert_eq!(house.starts(), [start]);
    assert_eq!(house.phone(&ada).state, PhoneState::BackingUp);
    house.send(Event::JobPhase(JobId::new(1), Phase::Committing));
    assert_eq!(house.phone(&ada).state, PhoneState::Committing);
    house.succeed(&ada);
    let view = house.phone(&ada);
    assert_eq!(
        (view.state, view.passcode),
        (PhoneState::Idle, Passcode::Never)
    );
    assert_eq!(view.last_backup, Some(house.now.wall));
    assert_eq!(view.next_attempt, Some(house.now.wall + 22 * HOUR));
    assert_eq!(
        house.machine.view().jobs[&JobId::new(1)].result,
        Some(JobResult::Succeeded)
    );
    house.pass(JOB_KEPT);
    assert!(
        house.machine.view().jobs.is_empty(),
        "an ended job is forgotten after a minute"
    );
}

#[test]
fn the_same_day_not_again_and_the_next_day_again() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.pass(2 * MINUTE);
    house.succeed(&ada);
    for _ in 0..4 {
        house.morning(&ada);
        house.pass(4 * HOUR);
        house.bed(&ada);
        house.pass(HOUR);
    }
    assert_eq!(house.starts().len(), 1, "20 h later it is not due");
    house.pass(3 * HOUR);
    assert_eq!(
        house.starts().len(),
        2,
        "22 h after the last one it is due, and the phone in bed"
    );
}

#[test]
fn a_daily_run_does_not_drift() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let mut begun = Vec::new();
    for _ in 0..30 {
        house.bed(&ada);
        house.pass(5 * MINUTE);
        begun.push(
            house
                .log
                .iter()
                .rev()
                .find_map(|(at, it)| started(it).map(|_| *at))
                .unwrap(),
        );
        house.pass(85 * MINUTE);
        house.succeed(&ada);
        house.pass(6 * HOUR);
        house.morning(&ada);
        house.pass(16 * HOUR + 30 * MINUTE);
    }
    assert_eq!(house.starts().len(), 30);
    let times: Vec<i64> = begun.iter().map(|at| at.wall.as_secs() % 86_400).collect();
    assert!(times.iter().all(|it| *it == times[0]), "{times:?}");
}

#[test]
fn due_across_a_restart() {
    for (away, want) in [(HOUR, 1), (21 * HOUR, 1), (23 * HOUR, 2)] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.bed(&ada);
        house.pass(2 * MINUTE);
        house.succeed(&ada);
        house.restart(away);
        house.pass(5 * MINUTE);
        assert_eq!(house.starts().len(), want, "{away:?}");
        let ids: Vec<u64> = house.starts().iter().map(|it| it.job.get()).collect();
        assert_eq!(
            ids,
            (1..=want as u64).collect::<Vec<_>>(),
            "a job id is never used again"
        );
    }
}

#[test]
fn nothing_starts_before_the_store_is_recovered_or_while_it_is_unknown() {
    let ada = udid(1);
    let start = Now {
        monotonic: Monotonic::ZERO,
        wall: Wall::from_secs(EVENING),
    };
    let mut house = House::quiet();
    house.machine = Machine::new(Policies::default(), JobId::new(1), start);
    house.bed(&ada);
    house.look_at_store();
    house.pass(HOUR);
    assert_eq!(house.starts(), []);
    let space = house.phone(&ada).conditions.space.verdict;
    assert_eq!(space, Verdict::Unknown(Unknown::StoreNotRead));
    house.send(Event::StoreRecovered(vec![]));
    house.pass(2 * MINUTE);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn a_store_in_trouble_from_the_start_is_told_and_looked_at_again_until_it_is_there() {
    let ada = udid(1);
    let start = Now {
        monotonic: Monotonic::ZERO,
        wall: Wall::from_secs(EVENING),
    };
    let mut house = House::quiet();
    house.machine = Machine::new(Policies::default(), JobId::new(1), start);
    house.store = StoreReport::Unavailable(StoreTrouble::Missing);
    house.look_at_store();
    house.bed(&ada);
    let space = house.phone(&ada).conditions.space.verdict;
    assert_eq!(space, Verdict::Unmet(Unmet::Store(StoreTrouble::Missing)));
    assert_eq!(
        house.machine.view().house.storage,
        StorageState::Unavailable
    );
    assert_eq!(house.messages(), [(None, AttentionKind::StoreTrouble)]);
    // Its disk is mounted an hour later, and nobody says so: only looking finds it.
    house.pass(HOUR);
    assert_eq!(house.starts(), []);
    house.store = StoreReport::Open(StoreNumbers {
        free: Bytes::from_gib(500),
        ..StoreNumbers::default()
    });
    house.send(Event::StoreRecovered(vec![]));
    house.pass(HOUR);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn the_wall_clock_jumps() {
    for (name, hours, within, want) in [
        ("back, and the phone stays in bed", -72_i64, HOUR, 1),
        ("back, and a day passes", -72, 23 * HOUR, 2),
        ("a little back", -2, 21 * HOUR, 1),
        ("forward", 72, HOUR, 2),
        ("summer time", 1, 20 * HOUR, 1),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.bed(&ada);
        house.pass(2 * MINUTE);
        house.succeed(&ada);
        house.now.wall = Wall::from_secs(house.now.wall.as_secs() + hours * 3600);
        house.send(Event::Tick);
        house.pass(within);
        assert_eq!(house.starts().len(), want, "{name}");
    }
}

#[test]
fn a_date_in_the_future_does_not_block_for_ever() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let facts = BackupFacts {
        id: backup_id(900),
        finished: house.now.wall + 400 * DAY,
        size: Bytes::from_gib(20),
        added: Bytes::from_gib(20),
        ..blank_backup()
    };
    house.backups.insert(
        ada.clone(),
        PhoneBackups {
            committed: vec![facts],
            ..PhoneBackups::default()
        },
    );
    house.restart(Duration::ZERO);
    house.bed(&ada);
    house.pass(55 * MINUTE);
    assert_eq!(
        house.starts().len(),
        0,
        "the clock may be set within the hour"
    );
    house.pass(10 * MINUTE);
    assert_eq!(house.starts().len(), 1);
    house.succeed(&ada);
    house.pass(21 * HOUR);
    assert_eq!(house.starts().len(), 1, "the good date counts from here on");
}

#[test]
fn any_one_condition_missing_or_unknown_starts_nothing() {
    for (name, change) in [
        (
            "power",
            (|it: &mut World| it.power = false) as fn(&mut World),
        ),
        ("wifi", |it| it.wifi = false),
        ("locked", |it| it.locked = false),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.bed(&ada);
        house.set(&ada, change);
        house.pass(12 * HOUR);
        assert_eq!(
            (house.starts().len(), house.phone(&ada).decision.waits_for()),
            (0, vec![name])
        );
    }
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.set(&ada, |it| it.answers = false);
    house.see(&ada, Fact::ExternalPower(None));
    house.pass(4 * MINUTE);
    assert_eq!(house.starts(), []);
    let power = house.phone(&ada).conditions.power.verdict;
    assert_eq!(power, Verdict::Unknown(Unknown::NotTold));
    house.pass(2 * MINUTE);
    let stale = house.phone(&ada).conditions.locked.verdict;
    assert_eq!(
        stale,
        Verdict::Unknown(Unknown::Stale),
        "what is not read again is not believed"
    );
    house.pass(DAY);
    assert_eq!(house.starts(), []);
}

#[test]
fn a_condition_that_flickers_settles_anew() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    for _ in 0..10 {
        house.pass(40 * SECOND);
        house.set(&ada, |it| it.wifi = false);
        house.set(&ada, |it| it.wifi = true);
    }
    assert_eq!(house.starts(), []);
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn wifi_or_a_cable() {
    let mut policies = Policies::default();
    policies.phones.insert(
        udid(1),
        Policy {
            wifi: WifiNeed::OrUsb,
            ..Policy::default()
        },
    );
    let mut house = House::new(policies);
    for n in [1, 2] {
        house.bed(&udid(n));
        house.set(&udid(n), |it| it.wifi = false);
    }
    house.pass(HOUR);
    let phones: Vec<Udid> = house
        .starts()
        .into_iter()
        .filter_map(|it| it.phone)
        .collect();
    assert_eq!(phones, [udid(1)]);
    assert_eq!(
        house.phone(&udid(1)).conditions.wifi.verdict,
        Verdict::Met(Met::ByCable)
    );
}

#[test]
fn a_minimum_of_battery() {
    let default = Policy {
        battery_min: Some(50),
        ..Policy::default()
    };
    let mut house = House::new(Policies {
        default,
        ..Policies::default()
    });
    let ada = udid(1);
    house.set(&ada, |it| it.battery = Some(30));
    house.bed(&ada);
    house.pass(HOUR);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["battery"]);
    house.set(&ada, |it| it.battery = Some(50));
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn a_phone_without_a_passcode_counts_as_locked_when_a_lock_was_seen() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.os = "17.0");
    house.bed(&ada);
    house.set(&ada, |it| it.locked = false);
    let never = |house: &House| house.phone(&ada).conditions.locked.verdict;
    house.see_for(&ada, Fact::HasPasscode(Some(false)), None);
    assert_eq!(never(&house), Verdict::Unknown(Unknown::NoPasscode));
    house.see_for(&ada, Fact::LockSeen, None);
    assert_eq!(never(&house), Verdict::Met(Met::LockSeen));
    // An unlock may have been missed.
    house.see_for(&ada, Fact::Unheard, None);
    assert_eq!(never(&house), Verdict::Unknown(Unknown::NoPasscode));
    house.pass(2 * MINUTE);
    assert_eq!(house.starts(), []);
    house.see_for(&ada, Fact::LockSeen, None);
    house.pass(2 * MINUTE);
    let start = house.starts()[0].clone();
    assert_eq!(
        start.hold_until_locked,
        Some(5 * MINUTE),
        "it may ask; one try finds out"
    );
    house.see_for(&ada, Fact::UnlockSeen, None);
    assert_eq!(
        never(&house),
        Verdict::Unmet(Unmet::Unlocked {
            lock_ever_seen: false
        })
    );
}

#[test]
fn a_lock_that_is_only_heard_of_is_read_again() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.set(&ada, |it| {
        it.locked = false;
        it.answers = false;
    });
    // The world changed unread; then the phone says it locked, and no reading confirms it.
    house.see(&ada, Fact::ScreenLocked(Some(false)));
    house.pass(SECOND);
    let effects = house.see_for(&ada, Fact::LockSeen, None);
    let reread = Effect::RefreshSignals {
        phone: ada.clone(),
        which: vec![Signal::Locked],
        why: RefreshWhy::Edge,
    };
    assert!(effects.contains(&reread), "{effects:?}");
    assert_eq!(
        house.phone(&ada).conditions.locked.verdict,
        Verdict::Met(Met::ScreenLocked)
    );
    house.pass(MINUTE);
    assert!(
        !house.phone(&ada).conditions.locked.verdict.is_met(),
        "for a minute, not for ever"
    );
    assert_eq!(house.starts(), []);
}

#[test]
fn nothing_is_asked_of_a_phone_on_which_nothing_depends() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.pass(2 * MINUTE);
    house.succeed(&ada);
    house.pass(10 * MINUTE);
    let (before, asked) = (house.log.len(), |it: &Effect| {
        matches!(
            it,
            Effect::RefreshSignals { .. } | Effect::RefreshStore | Effect::Remember(_)
        )
    });
    let calls = house.pass(20 * HOUR);
    assert_eq!(
        house.log[before..]
            .iter()
            .filter(|(_, it)| asked(it))
            .count(),
        0
    );
    assert!(calls <= 20 * 4 + 10, "{calls} calls in 20 idle hours");
    assert_eq!(
        house.phone(&ada).conditions.power.verdict,
        Verdict::Unknown(Unknown::Stale)
    );
    house.send(Event::LookedAt(ada.clone()));
    assert_eq!(
        house.phone(&ada).conditions.power.verdict,
        Verdict::Met(Met::ExternalPower)
    );
}

#[test]
fn a_phone_that_does_not_answer_is_asked_ever_more_seldom() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.answers = false);
    house.bed(&ada);
    house.see_for(&ada, Fact::Trusted(Some(true)), None);
    let before = house.log.len();
    // Other things happen every second, and make nobody ask more often.
    for _ in 0..1500 {
        house.pass(SECOND);
    }
    let asked = house.log[before..]
        .iter()
        .filter(|(_, it)| matches!(it, Effect::RefreshSignals { .. }));
    let times: Vec<u64> = asked
        .map(|(at, _)| at.monotonic.since_origin().as_secs())
        .collect();
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn usbmuxd_goes_away() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.send(Event::AppleOnUsb(Some(1)));
    assert_eq!(house.machine.view().house.unseen_by_muxer, 0);
    house.send(Event::Muxer(MuxerState::Absent));
    let view = house.machine.view();
    assert_eq!(
        (view.house.unseen_by_muxer, view.house.muxer),
        (1, MuxerState::Absent)
    );
    assert_eq!(house.phone(&ada).state, PhoneState::Absent);
    assert_eq!(house.phone(&ada).last_seen, Some(house.now.wall));
    house.pass(HOUR);
    assert_eq!(house.starts(), []);
}

#[test]
fn a_view_does_not_tremble_with_the_clocks() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.pass(30 * SECOND);
    let settling = house.phone(&ada);
    house.now.monotonic = house.now.monotonic + Duration::from_micros(7);
    house.send(Event::Tick);
    assert_eq!(house.phone(&ada), settling);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    house.end(job, Outcome::failed(Failure::NoAnswer, ""));
    let backing_off = house.phone(&ada);
    assert_eq!(backing_off.state, PhoneState::BackingOff);
    house.now.wall = house.now.wall + Duration::from_micros(7);
    house.send(Event::Tick);
    assert_eq!(house.phone(&ada), backing_off);
}
