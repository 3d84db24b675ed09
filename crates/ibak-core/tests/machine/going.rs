//! What goes without a commit: when the rules change, after a start, and for want of room.

use crate::house::*;
use ibak_core::*;
use std::time::Duration;

/// Policies that keep the last so many backups.
fn last(last: u16) -> Policies {
    let mut policies = Policies::default();
    policies.default.keep = Keep {
        last,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };
    policies
}

/// A house that keeps the last so many backups.
pub(crate) fn keeps_last(count: u16) -> House {
    House::new(last(count))
}

/// Gives the house other policies.
fn reload(house: &mut House, policies: &Policies) {
    house.policies = policies.clone();
    house.send(Event::PoliciesChanged(policies.clone()));
}

/// Lets the store have so much room left.
fn free(house: &mut House, gib: u64) {
    house.store = StoreReport::Open(StoreNumbers {
        free: Bytes::from_gib(gib),
        ..StoreNumbers::default()
    });
    house.look_at_store();
}

pub(crate) fn ids<const N: usize>(numbers: [u64; N]) -> Vec<BackupId> {
    numbers.map(backup_id).to_vec()
}

#[test]
fn rules_that_change_are_kept_at_once() {
    let mut others = last(2);
    others.default.interval = 2 * DAY;
    let (mut of_ada, mut of_bob) = (last(3), last(3));
    of_ada.phones.insert(udid(1), last(2).default);
    of_bob.phones.insert(udid(2), last(2).default);
    for (what, policies, want) in [
        ("fewer of everybody", last(2), vec![ids([1])]),
        ("and another interval", others, vec![ids([1])]),
        ("fewer of this one", of_ada, vec![ids([1])]),
        ("fewer of another", of_bob, vec![]),
        ("more", last(4), vec![]),
    ] {
        let (mut house, ada) = (keeps_last(3), udid(1));
        house.nights(&ada, 3);
        reload(&mut house, &policies);
        assert_eq!(house.removed(), want, "{what}");
        reload(&mut house, &policies);
        house.list(&ada);
        house.pass(HOUR);
        assert_eq!(house.removed(), want, "{what}: once");
    }
}

#[test]
fn rules_that_change_wait_for_what_guards_backups() {
    type Hinder = fn(&mut House);
    fn verify(house: &mut House) -> JobId {
        let (phone, errand) = (udid(1), Errand::Verify);
        match house.ask(Request::Errand { phone, errand }) {
            Ok(Answer::Job(job)) => job,
            other => panic!("no job: {other:?}"),
        }
    }
    for (what, begin, end) in [
        (
            "a store that is away",
            (|house| {
                house.store = StoreReport::Unavailable(StoreTrouble::Moving);
                house.look_at_store();
            }) as Hinder,
            (|house| free(house, 500)) as Hinder,
        ),
        (
            "contents that were changed",
            |house| {
                let job = verify(house);
                house.lists = false;
                house.end(job, Outcome::Done);
            },
            |house| house.list(&udid(1)),
        ),
        (
            "a job of that phone",
            |house| {
                verify(house);
            },
            |house| {
                let job = *house.running.keys().next().unwrap();
                house.end(job, Outcome::Done);
            },
        ),
    ] {
        let (mut house, ada) = (keeps_last(3), udid(1));
        house.nights(&ada, 3);
        begin(&mut house);
        reload(&mut house, &last(2));
        assert!(house.removed().is_empty(), "{what}");
        end(&mut house);
        assert_eq!(house.removed(), [ids([1])], "{what}");
    }
    let (mut house, ada) = (keeps_last(3), udid(1));
    house.nights(&ada, 3);
    let phone = ada.clone();
    let retired = true;
    house.ask(Request::SetRetired { phone, retired }).unwrap();
    reload(&mut house, &last(2));
    house.restart(HOUR);
    free(&mut house, 0);
    assert!(
        house.removed().is_empty(),
        "a retired phone's backups are kept"
    );
}

#[test]
fn a_start_does_what_the_last_end_left_undone() {
    let (mut house, ada) = (keeps_last(2), udid(1));
    house.lists = false;
    house.nights(&ada, 3);
    house.restart(Duration::ZERO);
    assert_eq!(house.removed(), [ids([1])]);
    house.backups.get_mut(&ada).unwrap().committed[0].pinned = true;
    house.restart(Duration::ZERO);
    house.list(&ada);
    assert_eq!(house.removed().len(), 1, "nothing is left to do");
}

#[test]
fn who_has_no_room_is_looked_at_once() {
    let (mut house, ada) = (keeps_last(2), udid(1));
    house.removes = false;
    house.nights(&ada, 3);
    assert_eq!(house.removed(), [ids([1])]);
    for (what, gib, times) in [("room", 100, 1), ("no room", 1, 1)] {
        free(&mut house, gib);
        house.pass(HOUR);
        assert_eq!(house.removed().len(), times, "{what}: it was tried");
    }
    // Other contents are looked at, each once.
    for times in 2..5 {
        let stored = house.backups.get_mut(&ada).unwrap();
        stored.committed[2].pinned ^= true;
        free(&mut house, 1);
        for _ in 0..3 {
            house.list(&ada);
            house.pass(MINUTE);
        }
        assert_eq!(house.removed().len(), times);
        assert_eq!(house.removed().pop(), Some(ids([1])));
    }
    let stored = house.backups.get_mut(&ada).unwrap();
    stored.committed[2].pinned ^= true;
    free(&mut house, 100);
    house.list(&ada);
    assert_eq!(house.removed().len(), 4, "nobody who has room is looked at");
    free(&mut house, 1);
    assert_eq!(house.removed().len(), 5);
}

#[test]
fn who_has_no_room_waits_for_a_clock_that_is_trusted() {
    let (mut house, ada) = (keeps_last(3), udid(1));
    house.nights(&ada, 3);
    house.now.wall = house.now.wall + 60 * DAY;
    reload(&mut house, &last(2));
    free(&mut house, 1);
    house.pass(2 * DAY - MINUTE);
    house.look_at_store();
    assert!(house.removed().is_empty());
    house.pass(MINUTE);
    house.look_at_store();
    assert_eq!(house.removed(), [ids([1])]);
}
