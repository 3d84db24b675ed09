//! What goes and when, what never goes, and who may use how much.

use crate::going::{ids, keeps_last};
use crate::house::*;
use ibak_core::*;
use std::time::Duration;

fn held(house: &House, phone: &Udid) -> Vec<BackupId> {
    let mut held: Vec<_> = house
        .phone(phone)
        .backups
        .into_iter()
        .map(|it| it.id)
        .collect();
    held.reverse();
    held
}

/// Writes a day as year, month and day.
fn date(day: Day) -> String {
    let first = (0..).find(|n| Day(day.0 - n).month() != day.month());
    let (year, month) = day.month();
    format!("{year}-{month:02}-{:02}", first.unwrap())
}

#[test]
fn four_hundred_nights() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.nights(&ada, 400);
    assert_eq!(house.starts().len(), 400);
    let stays: Vec<String> = house
        .phone(&ada)
        .backups
        .iter()
        .map(|it| date(it.day))
        .collect();
    let want = [
        // The last seven days, with the last three backups and the newest of two weeks.
        "2026-12-23",
        "2026-12-22",
        "2026-12-21",
        "2026-12-20",
        "2026-12-19",
        "2026-12-18",
        "2026-12-17", // The Sundays of three more weeks, the last day of eleven more months.
        "2026-12-13",
        "2026-12-06",
        "2026-11-30",
        "2026-11-29",
        "2026-10-31",
        "2026-09-30",
        "2026-08-31",
        "2026-07-31",
        "2026-06-30",
        "2026-05-31",
        "2026-04-30",
        "2026-03-31",
        "2026-02-28",
        "2026-01-31",
    ];
    assert_eq!(stays, want);
    let removed: usize = house.removed().iter().map(Vec::len).sum();
    assert_eq!(removed, 400 - want.len());
    // What is foretold of the next night is what goes then.
    let tomorrow = day_of(house.now.wall + DAY);
    let fates = house.machine.fates(&ada, tomorrow);
    let goes = |it: &retention::Fate| it.reasons.is_empty().then(|| it.id.clone());
    let foretold: Vec<BackupId> = fates.iter().rev().filter_map(goes).collect();
    assert!(!foretold.is_empty());
    house.nights(&ada, 1);
    assert_eq!(house.removed().last(), Some(&foretold));
}

#[test]
fn what_goes_after_a_commit_and_what_never() {
    type Change = fn(&mut BackupFacts);
    let nothing: Change = |_| {};
    for (what, number, change, want) in [
        ("all good", 1, nothing, ids([3, 4])),
        ("pinned", 1, |it| it.pinned = true, ids([1, 3, 4])),
        ("damaged, and old", 1, |it| it.verified = false, ids([3, 4])),
        (
            "the newest damaged",
            4,
            |it| it.verified = false,
            ids([1, 2, 3, 4]),
        ),
    ] {
        let (mut house, ada) = (keeps_last(2), udid(1));
        house.lists = false;
        house.nights(&ada, 4);
        assert!(house.removed().is_empty(), "{what}: nothing is told yet");
        let stored = house.backups.get_mut(&ada).unwrap();
        let changed = stored
            .committed
            .iter_mut()
            .find(|it| it.id == backup_id(number));
        change(changed.unwrap());
        house.list(&ada);
        assert_eq!(held(&house, &ada), want, "{what}");
        house.list(&ada);
        assert!(house.removed().len() <= 1, "{what}: once for each commit");
    }
}

#[test]
fn nothing_goes_before_the_store_has_told_what_it_holds() {
    let (mut house, ada) = (keeps_last(2), udid(1));
    house.nights(&ada, 2);
    let before = house.backups[&ada].clone();
    house.lists = false;
    house.nights(&ada, 1);
    assert!(
        house.removed().is_empty(),
        "the guard may have pinned what would go"
    );
    // A list that was begun before the commit neither undoes it nor counts.
    house.send(Event::BackupsKnown(ada.clone(), before));
    assert_eq!(held(&house, &ada), ids([1, 2, 3]));
    assert!(house.removed().is_empty());
    assert_eq!(house.starts().len(), 3, "it is not due again");
    house.list(&ada);
    assert_eq!(house.removed(), [ids([1])]);
    // What the next list does not have either is gone.
    house.backups.get_mut(&ada).unwrap().committed.pop();
    house.list(&ada);
    assert_eq!(held(&house, &ada), ids([2]));
}

#[test]
fn a_store_that_comes_back_tells_all_it_holds() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.nights(&ada, 2);
    house.send(Event::StoreRecovered(Vec::new()));
    assert_eq!(held(&house, &ada), ids([]), "this is another store");
}

#[test]
fn while_a_job_of_it_runs_nothing_goes() {
    let (mut house, ada) = (keeps_last(2), udid(1));
    house.nights(&ada, 2);
    for (errand, want) in [(Errand::Read, ids([1])), (Errand::Verify, ids([2]))] {
        let request = Request::Errand {
            phone: ada.clone(),
            errand,
        };
        let Ok(Answer::Job(job)) = house.ask(request) else {
            panic!("{errand:?} is refused");
        };
        let before = house.removed().len();
        house.nights(&ada, 1);
        assert_eq!(house.removed().len(), before, "{errand:?} runs");
        house.end(job, Outcome::Done);
        assert_eq!(house.removed()[before..], [want]);
    }
}

#[test]
fn while_the_clock_is_not_trusted_nothing_goes() {
    let (mut house, ada) = (keeps_last(2), udid(1));
    house.nights(&ada, 3);
    assert_eq!(house.removed(), [ids([1])]);
    house.now.wall = house.now.wall + 60 * DAY;
    house.nights(&ada, 1);
    assert_eq!(house.machine.view().house.clock, ClockTrust::Jumped);
    house.nights(&ada, 1);
    assert_eq!(house.starts().len(), 5, "backups are made");
    assert_eq!(house.removed().len(), 1, "and none is removed");
    let jumped = house.now;
    let told = |house: &House| {
        let fates = house.machine.fates(&ada, day_of(house.now.wall));
        fates.last().unwrap().reasons.clone()
    };
    assert_eq!(
        house.machine.view().house.clock,
        ClockTrust::Steady,
        "after two days"
    );
    assert!(told(&house).is_empty());
    assert_eq!(house.removed().len(), 1, "at the next commit");
    house.nights(&ada, 1);
    assert_eq!(house.removed()[1..], [ids([2, 3, 4])]);
    // Set right again: what was made meanwhile has dates in the future, and takes nobody's place.
    house.now.wall = jumped.wall - 58 * DAY;
    house.send(Event::Tick);
    assert!(told(&house).contains(&retention::Reason::ClockJumped));
    house.nights(&ada, 5);
    assert_eq!(house.starts().len(), 11);
    assert_eq!(held(&house, &ada), ids([5, 6, 10, 11]));
}

#[test]
fn that_the_clock_is_steady_again_is_seen_without_an_event() {
    let mut house = House::quiet();
    house.now.wall = house.now.wall - 60 * DAY;
    house.send(Event::Tick);
    house.pass(2 * DAY - Duration::from_secs(1));
    assert_eq!(house.machine.view().house.clock, ClockTrust::Jumped);
    let at = house.machine.next_deadline();
    assert_eq!(at, Some(house.now.monotonic + Duration::from_secs(1)));
    house.pass(Duration::from_secs(1));
    assert_eq!(house.machine.view().house.clock, ClockTrust::Steady);
}

#[test]
fn a_backup_that_was_taken_in_changes_no_other_date() {
    for (what, years) in [("old", -2_i64), ("from the future", 8)] {
        let (mut house, ada) = (keeps_last(1), udid(1));
        house.nights(&ada, 1);
        let finished = Wall::from_secs(house.now.wall.as_secs() + years * 365 * 86_400);
        let number = if years < 0 { 0 } else { 900_000 };
        let stored = house.backups.entry(ada.clone()).or_default();
        stored.committed.push(BackupFacts {
            id: backup_id(number),
            finished,
            day: day_of(finished),
            adopted: true,
            ..blank_backup()
        });
        house.list(&ada);
        assert_eq!(
            house.machine.view().house.clock,
            ClockTrust::Steady,
            "{what}"
        );
        house.pass(2 * HOUR);
        house.nights(&ada, 2);
        assert_eq!(house.starts().len(), 3, "{what}");
        let want = if years < 0 {
            ids([3])
        } else {
            ids([3, 900_000])
        };
        assert_eq!(held(&house, &ada), want, "{what}: what was just made stays");
        assert!(!house.phone(&ada).overdue, "{what}");
        house.pass(3 * DAY);
        assert!(house.phone(&ada).overdue, "{what}");
    }
}

#[test]
fn a_phone_that_was_only_taken_in_is_missed_once_it_is_ours() {
    for (what, adopted, comes, missed) in [
        ("made here by an earlier house", [false, false], false, true),
        ("one of them was made here", [true, false], false, true),
        (
            "all were taken in, and it never came",
            [true, true],
            false,
            false,
        ),
        ("it came, and trusts us", [true, true], true, true),
    ] {
        let (mut house, bob) = (House::quiet(), udid(2));
        let stored = house.backups.entry(bob.clone()).or_default();
        stored.committed = (0..)
            .zip(adopted)
            .map(|(n, adopted)| BackupFacts {
                id: backup_id(n),
                adopted,
                ..blank_backup()
            })
            .collect();
        house.list(&bob);
        if comes {
            house.set(&bob, |it| it.usb = true);
        }
        house.pass(3 * DAY - MINUTE);
        assert_eq!(house.messages(), [], "{what}: not on the same day");
        house.pass(MINUTE);
        let want = missed.then(|| (Some(bob.clone()), AttentionKind::Overdue));
        assert_eq!(house.messages(), Vec::from_iter(want), "{what}");
        assert_eq!(house.phone(&bob).overdue, missed, "{what}");
    }
}

#[test]
fn a_date_in_the_future_serves_no_time_of_the_calendar() {
    let mut policies = Policies::default();
    policies.default.cadence = Cadence::Calendar;
    let (mut house, ada) = (House::new(policies), udid(1));
    let finished = house.now.wall + 400 * DAY;
    let stored = house.backups.entry(ada.clone()).or_default();
    stored.committed.push(BackupFacts {
        finished,
        ..blank_backup()
    });
    house.list(&ada);
    house.pass(2 * HOUR);
    house.send(Event::ScheduleFired);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn a_phones_own_quota() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let set = |house: &mut House, gib: Option<u64>| {
        let (phone, quota) = (udid(1), gib.map(Bytes::from_gib));
        house.ask(Request::SetQuota { phone, quota })
    };
    assert_eq!(set(&mut house, Some(22)), Err(RequestError::NoSuchPhone));
    house.nights(&ada, 1);
    assert_eq!(set(&mut house, Some(22)), Ok(Answer::Done));
    assert_eq!(set(&mut house, Some(22)), Ok(Answer::AlreadyThere));
    house.restart(Duration::ZERO);
    house.list(&ada);
    let share = PhoneShare {
        used: Bytes::from_gib(20),
        quota: Some(Bytes::from_gib(22)),
    };
    assert_eq!(house.phone(&ada).share, share);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(
        house.starts().len(),
        1,
        "a tenth of 20 GiB and a margin is more than 2 GiB"
    );
    assert_eq!(house.phone(&ada).decision.waits_for(), ["space"]);
    let room = house.phone(&ada).room.unwrap();
    assert_eq!((room.share, room.available()), (share, Bytes::from_gib(2)));
    assert_eq!(
        house.messages(),
        [(Some(ada.clone()), AttentionKind::StoreTrouble)]
    );
    let refused = house.back_up(&ada, When::AtOnce);
    assert_eq!(refused, Err(RequestError::NoSpace(room)));
    assert_eq!(
        house.machine.view().house.storage,
        StorageState::Ok,
        "the disk has room"
    );
    assert_eq!(set(&mut house, Some(23)), Ok(Answer::Done));
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 2);
    assert_eq!(set(&mut house, None), Ok(Answer::Done));
}

#[test]
fn what_befell_backups_is_told_once_a_day_and_nothing_is_left_out() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.nights(&ada, 1);
    let told = |house: &House| -> Vec<Attention> {
        let message = |effect: &Effect| match effect {
            Effect::Attention { attention, .. } => Some(attention.clone()),
            _ => None,
        };
        house
            .log
            .iter()
            .filter_map(|(_, effect)| message(effect))
            .collect()
    };
    let made = |removed, gib| Attention::MadeRoom {
        removed,
        freed: Bytes::from_gib(gib),
    };
    let damage = |backups| Attention::StoreTrouble(StoreComplaint::Damage(backups));
    let happens = |house: &mut House, removed, gib, damaged| {
        let (phone, freed) = (udid(1), Bytes::from_gib(gib));
        house.send(Event::MadeRoom {
            phone: phone.clone(),
            removed,
            freed,
        });
        house.send(Event::DamageFound(phone, damaged));
    };
    happens(&mut house, 3, 7, 2);
    assert_eq!(told(&house), [made(3, 7), damage(2)]);
    happens(&mut house, 1, 2, 1);
    happens(&mut house, 1, 3, 4);
    house.pass(DAY - Duration::from_secs(1));
    assert_eq!(told(&house).len(), 2, "once a day");
    house.pass(Duration::from_secs(1));
    assert_eq!(told(&house)[2..], [damage(5), made(2, 5)], "and all of it");
    // Of a retired phone too: its backups are all there is.
    let retired = Request::SetRetired {
        phone: ada,
        retired: true,
    };
    assert_eq!(house.ask(retired), Ok(Answer::Done));
    happens(&mut house, 0, 0, 1);
    house.pass(DAY);
    assert_eq!(told(&house)[4], damage(1));
    house.send(Event::DamageFound(udid(9), 1));
    assert!(!house.machine.view().phones.contains_key(&udid(9)));
}
