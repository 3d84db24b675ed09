//! What people ask for, and what they are answered.

use crate::house::*;
use ibak_core::*;

fn answer_job(answer: Result<Answer, RequestError>) -> JobId {
    match answer {
        Ok(Answer::Job(job)) => job,
        other => panic!("{other:?}"),
    }
}

fn full_store() -> StoreReport {
    let free = Bytes::from_gib(10);
    StoreReport::Open(StoreNumbers {
        free,
        reserve: Bytes::from_gib(2),
        ..StoreNumbers::default()
    })
}

#[test]
fn back_up_now_needs_reach_trust_and_space_only() {
    let (mut house, ada) = (House::quiet(), udid(1));
    assert_eq!(
        house.back_up(&ada, When::AtOnce),
        Err(RequestError::NoSuchPhone)
    );
    house.ask(Request::Pause { until: None }).unwrap();
    house.set(&ada, |it| it.usb = true);
    house
        .ask(Request::SetAutomatic {
            phone: ada.clone(),
            automatic: Automatic::Off,
        })
        .unwrap();
    let job = answer_job(house.back_up(&ada, When::AtOnce));
    let start = house.starts()[0].clone();
    assert_eq!(
        (start.job, start.trigger, start.hold_until_locked),
        (job, Trigger::User, None)
    );
    assert_eq!(
        house.back_up(&ada, When::AtOnce),
        Err(RequestError::Busy { job })
    );
    assert_eq!(
        house.back_up(&ada, When::Ready),
        Err(RequestError::Busy { job })
    );
    house.succeed(&ada);
    house.set(&ada, |it| it.usb = false);
    assert_eq!(
        house.back_up(&ada, When::AtOnce),
        Err(RequestError::NotConnected)
    );
    house.set(&ada, |it| {
        it.usb = true;
        it.trusted = false;
    });
    assert_eq!(
        house.back_up(&ada, When::AtOnce),
        Err(RequestError::NotTrusted)
    );
    assert_eq!(
        house.back_up(&ada, When::Ready),
        Err(RequestError::NotTrusted)
    );
}

#[test]
fn space_is_never_overridden() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.store = full_store();
    house.look_at_store();
    let refused = house.back_up(&ada, When::AtOnce);
    assert!(
        matches!(refused, Err(RequestError::NoSpace(room)) if !room.fits()),
        "{refused:?}"
    );
    house.store = StoreReport::Unavailable(StoreTrouble::ReadOnly);
    house.look_at_store();
    assert_eq!(
        house.back_up(&ada, When::AtOnce),
        Err(RequestError::StoreUnavailable(StoreTrouble::ReadOnly))
    );
    assert_eq!(house.starts(), []);
}

#[test]
fn what_is_not_known_yet_is_waited_for_a_moment() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| {
        it.usb = true;
        it.answers = false;
    });
    house.see_for(&ada, Fact::Trusted(Some(true)), None);
    let job = answer_job(house.back_up(&ada, When::AtOnce));
    assert_eq!(house.starts(), []);
    let view = house.machine.view().jobs[&job].clone();
    assert_eq!(
        (view.phase, view.state, view.waits_for),
        (Phase::Queued, JobState::Running, vec!["space"])
    );
    house.see(&ada, Fact::DataUsed(Some(Bytes::from_gib(3))));
    assert_eq!(house.starts().len(), 1, "it starts as soon as it is known");

    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| {
        it.usb = true;
        it.answers = false;
    });
    house.see_for(&ada, Fact::Trusted(Some(true)), None);
    let job = answer_job(house.back_up(&ada, When::AtOnce));
    house.pass(MINUTE / 2);
    let view = house.machine.view().jobs[&job].clone();
    assert_eq!(view.result, Some(JobResult::Failed(Failure::SpaceUnknown)));
    assert_eq!(house.starts(), []);
}

#[test]
fn when_ready_waits_for_all_four() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    house.pass(MINUTE);
    house.succeed(&ada);
    house.set(&ada, |it| it.locked = false);
    let job = answer_job(house.back_up(&ada, When::Ready));
    house.pass(HOUR);
    assert_eq!(house.starts().len(), 1);
    assert_eq!(house.machine.view().jobs[&job].waits_for, ["locked"]);
    house.set(&ada, |it| it.locked = true);
    house.pass(MINUTE);
    let start = house.starts()[1].clone();
    assert_eq!(
        (start.job, start.trigger),
        (job, Trigger::User),
        "though it is not due"
    );
}

#[test]
fn when_ready_has_an_end() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.usb = true);
    let job = answer_job(house.back_up(&ada, When::Ready));
    house.pass(7 * DAY);
    assert_eq!(
        house.machine.view().jobs[&job].result,
        Some(JobResult::NotReadyInTime)
    );
    assert_eq!(
        house.phone(&ada).last_result.unwrap().result.word(),
        "not-ready-in-time"
    );
}

#[test]
fn a_waiting_job_ends_when_its_ground_goes() {
    let policies = Policies {
        parallel_max: 1,
        ..Policies::default()
    };
    type Change = fn(&mut House, &Udid);
    let rows: [(Change, Failure); 3] = [
        (
            |house, ada| house.set(ada, |it| it.usb = false),
            Failure::NotConnected,
        ),
        (
            |house, ada| house.set(ada, |it| it.trusted = false),
            Failure::NotTrusted,
        ),
        (
            |house, _| {
                house.store = full_store();
                house.look_at_store();
            },
            Failure::NoSpace,
        ),
    ];
    for (change, failure) in rows {
        let (mut house, ada, bob) = (House::new(policies.clone()), udid(1), udid(2));
        house.bed(&bob);
        house.pass(MINUTE);
        house.set(&ada, |it| it.usb = true);
        let job = answer_job(house.back_up(&ada, When::AtOnce));
        assert_eq!(house.machine.view().jobs[&job].waits_for, ["slot"]);
        house.pass(HOUR);
        change(&mut house, &ada);
        assert_eq!(
            house.machine.view().jobs[&job].result,
            Some(JobResult::Failed(failure))
        );
        assert_eq!(house.starts().len(), 1);
    }
}

#[test]
fn who_asks_goes_first_and_waits_for_a_slot() {
    let mut house = House::new(Policies {
        parallel_max: 1,
        ..Policies::default()
    });
    for n in 1..=3 {
        house.bed(&udid(n));
    }
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
    let job = answer_job(house.back_up(&udid(3), When::AtOnce));
    house.succeed(&udid(1));
    assert_eq!(house.starts()[1].job, job);
    house.succeed(&udid(3));
    assert_eq!(house.starts()[2].phone, Some(udid(2)));
}

#[test]
fn cancel() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.usb = true);
    let waiting = answer_job(house.back_up(&ada, When::Ready));
    assert_eq!(
        house.ask(Request::Cancel { job: waiting }),
        Ok(Answer::Done)
    );
    assert_eq!(house.stops(), [], "what has not started needs no stopping");
    assert_eq!(
        house.machine.view().jobs[&waiting].state,
        JobState::Cancelled
    );
    assert_eq!(
        house.ask(Request::Cancel { job: waiting }),
        Err(RequestError::NoSuchJob)
    );
    house.bed(&ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    assert_eq!(house.ask(Request::Cancel { job }), Ok(Answer::Done));
    assert_eq!(house.ask(Request::Cancel { job }), Ok(Answer::AlreadyThere));
    assert_eq!(house.stops(), [StopWhy::ByUser]);
    house.end(job, Outcome::failed(Failure::Protocol, "broke off"));
    assert_eq!(
        house.phone(&ada).last_result.unwrap().result,
        JobResult::Cancelled
    );
    house.pass(HOUR);
    assert_eq!(
        house.starts().len(),
        1,
        "what a person cancelled does not come back at once"
    );
}

#[test]
fn pause_and_resume() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    let past = Some(house.now.wall);
    assert_eq!(
        house.ask(Request::Pause { until: past }),
        Err(RequestError::PauseInThePast)
    );
    let until = Some(house.now.wall + 8 * HOUR);
    assert_eq!(house.ask(Request::Pause { until }), Ok(Answer::Done));
    assert_eq!(
        house.ask(Request::Pause { until }),
        Ok(Answer::AlreadyThere)
    );
    house.pass(HOUR);
    assert_eq!(
        (house.phone(&ada).state, house.phone(&ada).next_attempt),
        (PhoneState::Paused, until)
    );
    house.restart(HOUR);
    house.pass(5 * HOUR);
    assert_eq!(house.starts().len(), 0, "a pause outlives a restart");
    house.pass(HOUR + 2 * MINUTE);
    assert_eq!(house.starts().len(), 1, "and ends by itself");
    assert_eq!(house.machine.view().house.pause, None);
    house.succeed(&ada);
    house.ask(Request::Pause { until: None }).unwrap();
    house.pass(2 * DAY);
    assert_eq!(house.starts().len(), 1);
    assert_eq!(house.ask(Request::Resume), Ok(Answer::Done));
    assert_eq!(house.ask(Request::Resume), Ok(Answer::AlreadyThere));
    house.pass(2 * MINUTE);
    assert_eq!(house.starts().len(), 2);
}

#[test]
fn automatic_off_is_kept() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let off = Request::SetAutomatic {
        phone: ada.clone(),
        automatic: Automatic::Off,
    };
    assert_eq!(house.ask(off.clone()), Err(RequestError::NoSuchPhone));
    house.bed(&ada);
    assert_eq!(house.ask(off.clone()), Ok(Answer::Done));
    assert_eq!(house.ask(off), Ok(Answer::AlreadyThere));
    house.restart(DAY);
    house.pass(DAY);
    assert_eq!(
        (house.starts().len(), house.phone(&ada).state),
        (0, PhoneState::Idle)
    );
    house
        .ask(Request::SetAutomatic {
            phone: ada.clone(),
            automatic: Automatic::On,
        })
        .unwrap();
    house.pass(2 * MINUTE);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn a_switch_goes_before_the_policy_until_it_is_taken_back() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.bed(&ada);
    let mut policies = Policies::default();
    policies.default.automatic = false;
    house.send(Event::PoliciesChanged(policies));
    let switched = |house: &House| (house.machine.switched(&ada), house.phone(&ada).automatic);
    assert_eq!(switched(&house), (None, Automatic::Off));
    let on = Request::SetAutomatic {
        phone: ada.clone(),
        automatic: Automatic::On,
    };
    house.ask(on).unwrap();
    assert_eq!(switched(&house), (Some(Automatic::On), Automatic::On));
    let unset = Request::UnsetAutomatic { phone: ada.clone() };
    assert_eq!(house.ask(unset.clone()), Ok(Answer::Done));
    assert_eq!(house.ask(unset), Ok(Answer::AlreadyThere));
    assert_eq!(switched(&house), (None, Automatic::Off));
    house.restart(DAY);
    assert_eq!(house.machine.switched(&ada), None);
    let stranger = Request::UnsetAutomatic { phone: udid(9) };
    assert_eq!(house.ask(stranger), Err(RequestError::NoSuchPhone));
}

#[test]
fn a_phone_that_asks_is_left_to_its_person() {
    let mut policies = Policies::default();
    policies.default.ask.per_day = 0;
    let (mut house, ada) = (House::new(policies), udid(1));
    house.set(&ada, |it| it.os = "17.0");
    house.bed(&ada);
    house.set(&ada, |it| it.locked = false);
    house.pass(DAY);
    assert_eq!(house.starts(), []);
    // Nothing would come of asking it, so nobody does, until somebody looks.
    house.send(Event::LookedAt(ada.clone()));
    let view = house.phone(&ada);
    assert_eq!(
        (view.passcode, view.decision.waits_for()),
        (Passcode::Asks, vec!["passcode"])
    );
    house.back_up(&ada, When::AtOnce).unwrap();
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn what_may_ask_is_tried_once_and_learned() {
    for (outcome, want) in [
        (Outcome::NotConfirmed, Passcode::Asks),
        (Outcome::NotLockedInTime, Passcode::Asks),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.set(&ada, |it| it.os = "unreadable");
        house.bed(&ada);
        house.pass(MINUTE);
        let job = house.job(&ada).unwrap();
        house.send(Event::JobPhase(job, Phase::Asking));
        assert_eq!(house.phone(&ada).state, PhoneState::Asking);
        house.end(job, outcome);
        house.restart(HOUR);
        house.pass(3 * DAY);
        assert_eq!(
            (house.starts().len(), house.phone(&ada).passcode),
            (1, want)
        );
        assert!(
            house
                .messages()
                .iter()
                .all(|(_, it)| *it != AttentionKind::FailedNeedsYou),
            "no failure"
        );
    }
}

#[test]
fn pairing() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let pair = Request::Pair { phone: ada.clone() };
    assert_eq!(house.ask(pair.clone()), Err(RequestError::NoSuchPhone));
    house.set(&ada, |it| {
        it.usb = true;
        it.trusted = false;
    });
    assert_eq!(house.phone(&ada).state, PhoneState::Untrusted);
    let job = answer_job(house.ask(pair.clone()));
    assert_eq!(house.starts()[0].kind, JobKind::Pair);
    house.send(Event::JobPhase(job, Phase::Asking));
    assert_eq!(house.phone(&ada).state, PhoneState::Asking);
    house.end(
        job,
        Outcome::failed(Failure::TrustDenied, "the phone's owner declined"),
    );
    assert_eq!(house.phone(&ada).last_result, None, "that is about backups");
    assert_eq!(
        house.machine.view().jobs[&job].detail,
        "the phone's owner declined"
    );
    let job = answer_job(house.ask(pair.clone()));
    house.phones.get_mut(&ada).unwrap().trusted = true;
    house.end(job, Outcome::Paired);
    assert_eq!(house.phone(&ada).trust, Trust::Trusted);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(house.starts().last().unwrap().kind, JobKind::Backup);
    let job = house.job(&ada).unwrap();
    assert_eq!(house.ask(pair), Err(RequestError::Busy { job }));
}

#[test]
fn a_stop_stops_everything() {
    let mut house = House::new(Policies {
        parallel_max: 1,
        ..Policies::default()
    });
    house.bed(&udid(1));
    house.bed(&udid(2));
    house.pass(MINUTE);
    let waiting = answer_job(house.back_up(&udid(2), When::AtOnce));
    house.send(Event::Stopping);
    assert_eq!(
        house.stops(),
        [StopWhy::Interrupted(Interruption::Stopping)]
    );
    assert_eq!(
        house.machine.view().jobs[&waiting].result.unwrap().word(),
        "daemon-stopped"
    );
    let job = house.job(&udid(1)).unwrap();
    house.end(job, Outcome::Interrupted(Interruption::Stopping));
    house.pass(DAY);
    assert_eq!(house.starts().len(), 1);
    assert_eq!(
        house.back_up(&udid(1), When::AtOnce),
        Err(RequestError::Stopping)
    );
    house.restart(MINUTE);
    house.pass(2 * MINUTE);
    assert_eq!(
        house.starts().len(),
        2,
        "an ordinary stop is held against nobody"
    );
}
