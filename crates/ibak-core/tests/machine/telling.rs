//! Messages to people: which, to whom, and no more than one a day.

use crate::house::*;
use ibak_core::*;

#[test]
fn overdue_once_a_day_and_done_after_the_gap() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.pass(MINUTE);
    house.succeed(&ada);
    house.set(&ada, |it| it.usb = false);
    house.pass(3 * DAY - MINUTE);
    assert_eq!(
        (house.messages(), house.phone(&ada).overdue),
        (vec![], false)
    );
    house.pass(MINUTE);
    assert!(house.phone(&ada).overdue);
    assert_eq!(
        house.messages(),
        [(Some(ada.clone()), AttentionKind::Overdue)]
    );
    house.restart(HOUR);
    house.pass(22 * HOUR);
    assert_eq!(house.messages().len(), 1, "a restart repeats nothing");
    house.pass(2 * HOUR);
    assert_eq!(house.messages().len(), 2);
    house.bed(&ada);
    house.pass(2 * MINUTE);
    house.succeed(&ada);
    assert_eq!(
        house.messages()[2],
        (Some(ada.clone()), AttentionKind::DoneAfterGap)
    );
    assert!(!house.phone(&ada).overdue);
    house.pass(HOUR);
    assert_eq!(house.messages().len(), 3);
}

#[test]
fn a_visitors_phone_is_never_overdue() {
    let (mut house, guest) = (House::quiet(), udid(9));
    house.set(&guest, |it| {
        it.usb = true;
        it.trusted = false;
    });
    house.pass(10 * DAY);
    assert_eq!(house.messages(), []);
}

#[test]
fn a_failure_that_needs_a_person() {
    for (failure, want) in [
        (Failure::SnapshotLeft, Some(AttentionKind::FailedNeedsYou)),
        (Failure::Version, Some(AttentionKind::FailedNeedsYou)),
        (Failure::NoSpace, Some(AttentionKind::StoreTrouble)),
        (Failure::NoAnswer, None),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.bed(&ada);
        house.pass(MINUTE);
        let job = house.job(&ada).unwrap();
        house.end(job, Outcome::failed(failure, ""));
        let want: Vec<_> = want
            .into_iter()
            .map(|kind| (Some(ada.clone()), kind))
            .collect();
        assert_eq!(house.messages(), want, "{failure:?}");
    }
}

#[test]
fn store_trouble_is_told_once_a_day() {
    let mut house = House::quiet();
    house.bed(&udid(1));
    house.store = StoreReport::Unavailable(StoreTrouble::Missing);
    house.look_at_store();
    house.pass(23 * HOUR);
    assert_eq!(house.messages(), [(None, AttentionKind::StoreTrouble)]);
    house.pass(2 * HOUR);
    assert_eq!(house.messages().len(), 2);
    assert_eq!(
        house.machine.view().house.storage,
        StorageState::Unavailable
    );
    assert_eq!(house.starts(), []);
}

#[test]
fn a_backup_that_does_not_fit_is_told() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let free = Bytes::from_gib(10);
    house.store = StoreReport::Open(StoreNumbers {
        free,
        reserve: Bytes::from_gib(2),
        ..StoreNumbers::default()
    });
    house.look_at_store();
    house.bed(&ada);
    house.pass(HOUR);
    assert_eq!(house.messages(), [(Some(ada), AttentionKind::StoreTrouble)]);
}

/// One that asks for its passcode hardly ever waits for room alone.
#[test]
fn want_of_room_is_told_whatever_moment_is_waited_for() {
    for (hours, locked, waits_for) in [
        (0, true, vec!["space", "person"]),
        (3, false, vec!["space", "ask-window"]),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.set(&ada, |it| it.os = "17.0");
        house.bed(&ada);
        house.set(&ada, |it| it.usb = false);
        house.pass(HOUR * hours);
        house.store = StoreReport::Open(StoreNumbers {
            free: Bytes::from_gib(10),
            reserve: Bytes::from_gib(2),
            ..StoreNumbers::default()
        });
        house.look_at_store();
        house.bed(&ada);
        house.set(&ada, |it| it.locked = locked);
        house.pass(MINUTE);
        assert_eq!(house.phone(&ada).decision.waits_for(), waits_for);
        assert_eq!(house.messages(), [(Some(ada), AttentionKind::StoreTrouble)]);
    }
    let (mut house, ada) = (House::quiet(), udid(1));
    house.store = StoreReport::Open(StoreNumbers::default());
    house.ask(Request::Pause { until: None }).unwrap();
    house.bed(&ada);
    house.pass(HOUR);
    let told = house.messages();
    let of_room = |it: &&(Option<Udid>, AttentionKind)| it.0.is_some();
    assert_eq!(told.iter().filter(of_room).count(), 0, "nothing is wanted");
}

#[test]
fn a_phone_that_has_left_is_not_said_to_keep_silent() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.usb = true);
    house.set(&ada, |it| it.answers = false);
    house.see(&ada, Fact::ExternalPower(None));
    let power = |house: &House| house.phone(&ada).conditions.get(Condition::Power).verdict;
    assert_eq!(power(&house), Verdict::Unknown(Unknown::NotTold));
    house.set(&ada, |it| it.usb = false);
    house.see(&ada, Fact::ExternalPower(None));
    assert_eq!(power(&house), Verdict::Unknown(Unknown::NotReachable));
}
