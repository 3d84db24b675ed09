//! What a person asks of a phone or its backups, beside the nightly backup.

use crate::house::{DAY, House, MINUTE, backup_id, udid};
use ibak_core::*;

fn errand(phone: &Udid, errand: Errand) -> Request {
    Request::Errand {
        phone: phone.clone(),
        errand,
    }
}

fn begun(answer: Result<Answer, RequestError>) -> JobId {
    match answer {
        Ok(Answer::Job(job)) => job,
        other => panic!("no job: {other:?}"),
    }
}

/// A phone that had its backup tonight and lies there.
fn backed_up() -> (House, Udid) {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.pass(MINUTE);
    house.succeed(&ada);
    (house, ada)
}

#[test]
fn who_talks_to_the_phone_finds_it_there_trusting_and_free() {
    let (mut house, ada) = (House::quiet(), udid(1));
    // A backup that is taken in makes its phone known.
    for it in Errand::ALL.into_iter().filter(|it| *it != Errand::Adopt) {
        let refused = house.ask(errand(&ada, it));
        assert_eq!(refused, Err(RequestError::NoSuchPhone));
    }
    house.bed(&ada);
    house.pass(MINUTE);
    let job = house.job(&ada).expect("the backup runs");
    for it in Errand::ALL.into_iter().filter(|it| it.uses_phone()) {
        let refused = house.ask(errand(&ada, it));
        assert_eq!(refused, Err(RequestError::Busy { job }), "{it:?}");
    }
    house.succeed(&ada);
    house.set(&ada, |it| it.usb = false);
    for it in Errand::ALL.into_iter().filter(|it| it.uses_phone()) {
        let refused = house.ask(errand(&ada, it));
        assert_eq!(refused, Err(RequestError::NotConnected), "{it:?}");
    }
    house.set(&ada, |it| {
        it.usb = true;
        it.trusted = false;
    });
    let refused = house.ask(errand(&ada, Errand::Restore));
    assert_eq!(refused, Err(RequestError::NotTrusted));
}

#[test]
fn an_errand_begins_at_once_and_takes_no_slot() {
    let mut house = House::new(Policies {
        parallel_max: 1,
        ..Policies::default()
    });
    house.look_at_store();
    house.send(Event::StoreRecovered(Vec::new()));
    let (ada, bob) = (udid(1), udid(2));
    house.bed(&ada);
    house.pass(MINUTE);
    assert!(house.job(&ada).is_some(), "the only slot is taken");
    house.set(&bob, |it| it.usb = true);
    let job = begun(house.ask(errand(&bob, Errand::EncryptionOn)));
    let start = house.starts().pop().unwrap();
    let expected = StartJob {
        job,
        phone: Some(bob.clone()),
        kind: JobKind::Errand(Errand::EncryptionOn),
        trigger: Trigger::User,
        extent: Extent::Changes,
        transport: Some(Transport::Usb),
        hold_until_locked: None,
    };
    assert_eq!(start, expected);
    assert_eq!(house.machine.view().house.running, 1);
    house.send(Event::JobPhase(job, Phase::Asking));
    assert_eq!(house.phone(&bob).state, PhoneState::Asking);
    house.end(job, Outcome::NotConfirmed);
    let view = house.machine.view().jobs[&job].clone();
    assert_eq!(view.result, Some(JobResult::NotConfirmed));
    assert_eq!(house.phone(&bob).last_result, None, "that is about backups");
}

#[test]
fn reading_a_backup_needs_no_phone_and_hinders_no_backup() {
    let (mut house, ada) = backed_up();
    house.set(&ada, |it| it.usb = false);
    let reading = begun(house.ask(errand(&ada, Errand::Read)));
    assert_eq!(house.starts().pop().unwrap().transport, None);
    assert_eq!(house.phone(&ada).job, None, "the phone is free");
    for _ in 1..READERS_MAX {
        begun(house.ask(errand(&ada, Errand::Read)));
    }
    let refused = house.ask(errand(&ada, Errand::CheckPassword));
    assert_eq!(refused, Err(RequestError::TooManyReaders));
    house.pass(DAY);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(house.phone(&ada).state, PhoneState::BackingUp);
    house.end(reading, Outcome::Done);
    assert_eq!(house.phone(&ada).state, PhoneState::BackingUp);
    begun(house.ask(errand(&ada, Errand::CheckPassword)));
}

#[test]
fn an_errand_can_be_called_off() {
    let (mut house, ada) = backed_up();
    let job = begun(house.ask(errand(&ada, Errand::Restore)));
    assert_eq!(house.ask(Request::Cancel { job }), Ok(Answer::Done));
    assert_eq!(house.stops(), [StopWhy::ByUser]);
}

#[test]
fn a_phone_that_restarts_at_the_end_of_a_restore_stops_nothing() {
    let (mut house, ada) = backed_up();
    begun(house.ask(errand(&ada, Errand::Restore)));
    house.set(&ada, |it| it.usb = false);
    house.pass(MINUTE);
    assert_eq!(house.stops(), []);
}

#[test]
fn turning_encryption_on_needs_room_for_a_whole_backup_more() {
    let (mut house, ada) = backed_up();
    house.store = StoreReport::Open(StoreNumbers {
        free: Bytes::from_gib(15),
        ..StoreNumbers::default()
    });
    house.look_at_store();
    let refused = house.ask(errand(&ada, Errand::EncryptionOn));
    assert!(
        matches!(refused, Err(RequestError::NoSpace(room)) if room.estimate.needed > Bytes::from_gib(15)),
        "{refused:?}"
    );
    begun(house.ask(errand(&ada, Errand::ChangePassword)));
}

#[test]
fn a_password_of_another_computer_is_to_be_checked_after_the_first_backup() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.encrypts = true;
    let about = |house: &House| {
        let kind = (Some(udid(1)), AttentionKind::CheckPassword);
        house
            .messages()
            .into_iter()
            .filter(|it| *it == kind)
            .count()
    };
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(about(&house), 0);
    house.succeed(&ada);
    assert_eq!(about(&house), 1);
    assert!(house.phone(&ada).password_due);
    house.pass(DAY * 6);
    assert_eq!(about(&house), 1, "once a week is enough");
    house.pass(DAY * 2);
    assert_eq!(about(&house), 2);
    let newest = house.phone(&ada).backups[0].id.clone();
    let job = begun(house.ask(errand(&ada, Errand::CheckPassword)));
    house.end(job, Outcome::PasswordProved(backup_id(999)));
    assert_eq!(house.phone(&ada).password_proved, None, "an older one");
    let job = begun(house.ask(errand(&ada, Errand::CheckPassword)));
    house.end(job, Outcome::PasswordProved(newest));
    assert_eq!(house.phone(&ada).password_proved, Some(house.now.wall));
    assert!(!house.phone(&ada).password_due);
    let told = about(&house);
    house.restart(DAY * 80);
    house.pass(DAY);
    assert_eq!(about(&house), told, "it is known, also after a restart");
    house.pass(DAY * 10);
    assert_eq!(about(&house), told + 1, "and asked for again after 90 days");
}

#[test]
fn a_password_that_was_just_set_is_known() {
    let (mut house, ada) = backed_up();
    for (it, proved) in [
        (Errand::EncryptionOn, true),
        (Errand::EncryptionOff, false),
        (Errand::ChangePassword, true),
    ] {
        let job = begun(house.ask(errand(&ada, it)));
        house.end(job, Outcome::Done);
        assert_eq!(
            house.phone(&ada).password_proved.is_some(),
            proved,
            "{it:?}"
        );
    }
    let job = begun(house.ask(errand(&ada, Errand::EncryptionOff)));
    house.end(job, Outcome::failed(Failure::WrongPassword, ""));
    assert!(
        house.phone(&ada).password_proved.is_some(),
        "nothing changed"
    );
}
