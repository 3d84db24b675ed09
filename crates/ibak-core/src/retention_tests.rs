//! Tables for retention, and laws that hold for any list.

use super::*;
use proptest::prelude::*;

/// After every date of these tables.
const LATER: Wall = Wall::from_secs(50_000 * 86_400);

fn id(n: usize) -> BackupId {
    BackupId::parse(&format!("01JD8Z3YQ9V6W2X4T5R7P{n:05}")).unwrap()
}

fn good(n: usize, day: i32) -> Candidate {
    Candidate {
        id: id(n),
        day: Day(day),
        verified: true,
        pinned: false,
    }
}

fn keep(last: u16, daily: u16, weekly: u16, monthly: u16, yearly: u16) -> Keep {
    Keep {
        last,
        daily,
        weekly,
        monthly,
        yearly,
    }
}

/// Lists what stays, oldest first, by number.
fn stays(backups: &[Candidate], keep: Keep, clock: ClockTrust) -> Vec<usize> {
    let plan = retain_at(backups, keep, clock, LATER);
    let mut left: Vec<usize> = (0..backups.len())
        .filter(|n| {
            plan.iter()
                .any(|it| it.id == backups[*n].id && !it.reasons.is_empty())
        })
        .collect();
    left.sort_unstable();
    left
}

#[test]
fn months_and_years_are_the_calendars() {
    for (day, want) in [
        (0, (1970, 1)),
        (30, (1970, 1)),
        (31, (1970, 2)),
        (-1, (1969, 12)),
        (789, (1972, 2)), // the 29th
        (790, (1972, 3)),
        (11_016, (2000, 2)), // the 29th
        (11_017, (2000, 3)),
        (20_779, (2026, 11)), // the 22nd
        (47_540, (2100, 2)),  // the 28th, no leap year
        (47_541, (2100, 3)),
        (-719_468, (0, 3)),
    ] {
        assert_eq!(Day(day).month(), want, "day {day}");
    }
    // 2026-11-22 is a Sunday, the next day begins a week.
    assert_eq!(Day(20_779).week(), Day(20_773).week());
    assert_eq!(Day(20_780).week(), Day(20_779).week() + 1);
}

#[test]
fn rules_one_by_one() {
    // One a day for ten days from Thu 2024-09-26, two on the last of them.
    let days: Vec<Candidate> = (0..10)
        .map(|n| good(n, 19_992 + i32::try_from(n).unwrap()))
        .chain([good(10, 20_001)])
        .collect();
    let steady = ClockTrust::Steady;
    for (rules, want) in [
        (keep(3, 0, 0, 0, 0), vec![8, 9, 10]),
        (keep(0, 0, 0, 0, 0), vec![10]),
        (keep(1, 3, 0, 0, 0), vec![7, 8, 10]),
        (keep(1, 99, 0, 0, 0), vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 10]),
        (keep(1, 0, 1, 0, 0), vec![10]),
        (keep(1, 0, 2, 0, 0), vec![3, 10]),
        (keep(1, 0, 0, 9, 0), vec![4, 10]),
        (keep(1, 0, 0, 0, 9), vec![10]),
    ] {
        assert_eq!(stays(&days, rules, steady), want, "{rules:?}");
    }
    assert_eq!(
        stays(&days, keep(1, 0, 0, 0, 0), ClockTrust::Jumped).len(),
        11,
        "a clock that jumped suspends deletion"
    );
}

#[test]
fn what_is_damaged_or_pinned() {
    let rules = keep(2, 0, 0, 0, 0);
    let steady = ClockTrust::Steady;
    let five = |change: &dyn Fn(&mut Vec<Candidate>)| {
        let mut list: Vec<_> = (0..5).map(|n| good(n, 20_000)).collect();
        change(&mut list);
        list
    };
    for (what, list, want) in [
        ("all good", five(&|_| {}), vec![3, 4]),
        ("one pinned", five(&|it| it[1].pinned = true), vec![1, 3, 4]),
        (
            "the newest damaged",
            five(&|it| it[4].verified = false),
            vec![0, 1, 2, 3, 4],
        ),
        (
            "one in the middle",
            five(&|it| it[2].verified = false),
            vec![0, 1, 3, 4],
        ),
        ("the oldest", five(&|it| it[0].verified = false), vec![3, 4]),
        (
            "all damaged",
            five(&|it| it.iter_mut().for_each(|it| it.verified = false)),
            vec![0, 1, 2, 3, 4],
        ),
    ] {
        assert_eq!(stays(&list, rules, steady), want, "{what}");
    }
}

#[test]
fn dates_from_the_future_take_nobodys_place() {
    let now = Wall::from_secs(20_000 * 86_400);
    // Two of a clock that was ahead for a while, and five since then.
    let with = |damaged: bool| {
        let mut list: Vec<_> = (0..5)
            .map(|n| good(n, 19_996 + i32::try_from(n).unwrap()))
            .collect();
        list.extend([good(5, 20_060), good(6, 20_061)]);
        list[5].verified = !damaged;
        list
    };
    let stays = |list: &[Candidate], rules| {
        let plan = retain_at(list, rules, ClockTrust::Steady, now);
        let stay = plan.into_iter().filter(|it| !it.reasons.is_empty());
        let mut stay: Vec<_> = stay.map(|it| it.id).collect();
        stay.sort();
        stay
    };
    let last_two = keep(2, 0, 0, 0, 0);
    assert_eq!(stays(&with(false), last_two), [3, 4, 5, 6].map(id));
    assert_eq!(stays(&with(true), last_two), [0, 1, 2, 3, 4, 5, 6].map(id));
    // In need they stay beside the last three, and nothing goes below a damaged one.
    let each = |ids: &[BackupId]| Bytes::new(u64::try_from(ids.len()).unwrap());
    let room = |damaged, needed| {
        let list = with(damaged);
        make_room_at(&list, Bytes::new(needed), ClockTrust::Steady, now, each)
    };
    assert_eq!(room(false, 2), Some(vec![id(0), id(1)]));
    assert_eq!(room(false, 3), None);
    assert_eq!(room(true, 1), None);
    // Tomorrow is today somewhere on earth.
    let east = [good(0, 19_999), good(1, 20_000), good(2, 20_001)];
    assert_eq!(stays(&east, keep(1, 0, 0, 0, 0)), [id(2)]);
    assert_eq!(
        stays(&[good(7, 20_002), good(8, 20_003)], last_two),
        [id(7), id(8)]
    );
}

#[test]
fn reasons_are_told() {
    let mut list: Vec<_> = (0..3).map(|n| good(n, 20_000)).collect();
    list[0].pinned = true;
    let plan = retain_at(&list, keep(1, 1, 0, 0, 0), ClockTrust::Steady, LATER);
    let told: Vec<Vec<&str>> = plan
        .iter()
        .map(|it| it.reasons.iter().map(|reason| reason.word()).collect())
        .collect();
    assert_eq!(
        told,
        [
            vec!["newest-verified", "last", "daily"],
            vec![],
            vec!["pinned"]
        ]
    );
}

#[test]
fn emergency_room() {
    let list: Vec<_> = (0..8)
        .map(|n| good(n, 20_000 + i32::try_from(n).unwrap()))
        .collect();
    // Each frees 10, and the first two share 5 more.
    let gain = |ids: &[BackupId]| {
        let both = ids.contains(&id(0)) && ids.contains(&id(1));
        let each = u64::try_from(ids.len()).unwrap() * 10;
        Bytes::new(each + if both { 5 } else { 0 })
    };
    let room = |list: &[Candidate], needed, clock| {
        make_room_at(list, Bytes::new(needed), clock, LATER, gain).map(|ids| ids.len())
    };
    let steady = ClockTrust::Steady;
    for (needed, want) in [
        (0, None),
        (1, Some(1)),
        (10, Some(1)),
        (11, Some(2)),
        (25, Some(2)),
        (26, Some(3)),
        (55, Some(5)),
        (56, None),
    ] {
        assert_eq!(room(&list, needed, steady), want, "{needed}");
    }
    assert_eq!(room(&list, 1, ClockTrust::Jumped), None);
    assert_eq!(room(&list[..3], 1, steady), None, "the last three stay");
    let mut pinned = list.clone();
    pinned[0].pinned = true;
    let gone = make_room_at(&pinned, Bytes::new(5), steady, LATER, gain);
    assert_eq!(gone, Some(vec![id(1)]));
    let mut damaged = list;
    damaged[7].verified = false;
    assert_eq!(room(&damaged, 1, steady), None, "a newer one is damaged");
}

proptest! {
    #[test]
    fn laws(
        spec in prop::collection::vec((0..60_i32, prop::bool::weighted(0.9), prop::bool::weighted(0.1)), 0..40),
        last in 0..5_u16, daily in 0..5_u16, weekly in 0..5_u16, monthly in 0..5_u16,
    ) {
        let mut days: Vec<i32> = spec.iter().map(|it| it.0).collect();
        days.sort_unstable();
        let list: Vec<Candidate> = spec.iter().zip(days).enumerate().map(|(n, (it, day))| Candidate {
            id: id(n), day: Day(20_000 + day), verified: it.1, pinned: it.2,
        }).collect();
        let rules = keep(last, daily, weekly, monthly, 0);
        let left = stays(&list, rules, ClockTrust::Steady);
        // I7, said once more in other words.
        let newest_good = list.iter().rposition(|it| it.verified);
        prop_assert!(newest_good.is_none_or(|n| left.contains(&n)));
        for n in 0..list.len() {
            let gone = !left.contains(&n);
            prop_assert!(!gone || !list[n].pinned);
            prop_assert!(!gone || list[n + 1..].iter().all(|it| it.verified));
        }
        // A second run finds nothing more to do.
        let rest: Vec<Candidate> = left.iter().map(|n| list[*n].clone()).collect();
        let again = stays(&rest, rules, ClockTrust::Steady);
        let damaged = list.iter().any(|it| !it.verified);
        prop_assert!(damaged || again.len() == rest.len());
        // More to keep keeps more.
        let more = stays(&list, keep(last + 1, daily + 1, weekly + 1, monthly + 1, 1), ClockTrust::Steady);
        prop_assert!(left.iter().all(|n| more.contains(n)));
    }
}
