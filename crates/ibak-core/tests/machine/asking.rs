//! Evenings of phones that ask for their passcode: plugged in, asked, answered or not.

mod rest;

use crate::house::*;
use ibak_core::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A phone with the prompt whose lock was seen, in a pocket.
fn new_phone(house: &mut House, phone: &Udid) {
    house.set(phone, |it| it.os = "17.0");
    house.bed(phone);
    house.pass(MINUTE);
    house.set(phone, |it| it.usb = false);
    assert_eq!(house.phone(phone).passcode, Passcode::Asks);
}

/// Its owner plugs it in and still has it in hand.
fn plug_in(house: &mut House, phone: &Udid) {
    house.set(phone, |it| {
        it.usb = true;
        it.power = true;
        it.wifi = true;
        it.locked = false;
    });
}

fn lock(house: &mut House, phone: &Udid) {
    house.set(phone, |it| it.locked = true);
}

fn questions(house: &House) -> Vec<(Udid, JobId)> {
    let question = |effect: &Effect| match effect {
        Effect::Attention {
            phone: Some(phone),
            attention: Attention::Asking { job },
        } => Some((phone.clone(), *job)),
        _ => None,
    };
    house
        .log
        .iter()
        .filter_map(|(_, it)| question(it))
        .collect()
}

fn may_move(house: &House, job: JobId) -> bool {
    house.machine.view().jobs[&job].may_move
}

#[test]
fn an_evening_with_a_question() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    plug_in(&mut house, &ada);
    assert_eq!(house.phone(&ada).state, PhoneState::Settling);
    house.pass(5 * SECOND);
    let job = house.job(&ada).expect("it is asked");
    let start = house.starts().pop().unwrap();
    assert_eq!(
        (start.trigger, start.hold_until_locked),
        (Trigger::Schedule, Some(5 * MINUTE))
    );
    let effects: Vec<&Effect> = house.log.iter().map(|(_, it)| it).collect();
    let told = |it: &&Effect| matches!(it, Effect::Attention { .. });
    let begun = |it: &&Effect| matches!(it, Effect::StartJob(_));
    let place = |is: &dyn Fn(&&Effect) -> bool| effects.iter().position(is);
    assert!(place(&told).unwrap() < place(&begun).unwrap(), "told first");
    assert_eq!(questions(&house), [(ada.clone(), job)]);

    house.send(Event::JobPhase(job, Phase::Asking));
    assert_eq!(house.phone(&ada).state, PhoneState::Asking);
    house.pass(MINUTE);
    house.send(Event::JobPhase(job, Phase::AwaitingLock));
    assert!(!may_move(&house, job), "no data before the lock");
    lock(&mut house, &ada);
    assert!(may_move(&house, job));
    house.send(Event::JobPhase(job, Phase::Receiving));
    house.pass(10 * MINUTE);
    house.succeed(&ada);
    house.pass(20 * HOUR);
    assert_eq!(house.starts().len(), 1);
    assert_eq!(house.stops(), []);
}

/// Asked at half past ten and done at half past one, it is asked the next evening at half past ten.
#[test]
fn a_long_backup_does_not_skip_an_evening() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    house.pass(89 * MINUTE);
    for evening in 1..=3 {
        plug_in(&mut house, &ada);
        house.pass(MINUTE);
        assert_eq!(questions(&house).len(), evening);
        let job = house.job(&ada).expect("asked every evening");
        house.send(Event::JobPhase(job, Phase::Asking));
        lock(&mut house, &ada);
        house.send(Event::JobPhase(job, Phase::Receiving));
        house.pass(3 * HOUR);
        house.succeed(&ada);
        house.restart(6 * HOUR);
        house.morning(&ada);
        house.pass(15 * HOUR - MINUTE);
    }
}

#[test]
fn two_parents_at_half_past_ten() {
    let (mut house, ada, bob) = (House::quiet(), udid(1), udid(2));
    for phone in [&ada, &bob] {
        new_phone(&mut house, phone);
    }
    house.pass(90 * MINUTE);
    for phone in [&ada, &bob] {
        plug_in(&mut house, phone);
    }
    house.pass(5 * SECOND);
    let asked: Vec<Udid> = questions(&house).into_iter().map(|it| it.0).collect();
    assert_eq!(
        asked,
        [ada.clone(), bob.clone()],
        "two slots, two questions"
    );
    for phone in [&ada, &bob] {
        let job = house.job(phone).unwrap();
        house.send(Event::JobPhase(job, Phase::Asking));
        lock(&mut house, phone);
        house.succeed(phone);
    }
    assert_eq!(house.starts().len(), 2);
}

#[test]
fn without_a_slot_nobody_is_asked_and_the_most_overdue_goes_first() {
    let mut house = House::new(Policies {
        parallel_max: 1,
        ..Policies::default()
    });
    let (ada, bob) = (udid(1), udid(2));
    for phone in [&ada, &bob] {
        new_phone(&mut house, phone);
    }
    // Ada's is a day old, Bob's a day and an hour.
    for phone in [&bob, &ada] {
        plug_in(&mut house, phone);
        house.pass(6 * SECOND);
        house.send(Event::JobPhase(house.job(phone).unwrap(), Phase::Asking));
        house.succeed(phone);
        house.set(phone, |it| it.usb = false);
        house.pass(HOUR);
    }
    house.pass(22 * HOUR);
    let before = questions(&house).len();
    for phone in [&ada, &bob] {
        plug_in(&mut house, phone);
    }
    house.pass(11 * SECOND);
    let asked: Vec<Udid> = questions(&house)
        .split_off(before)
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(asked, std::slice::from_ref(&bob));
    assert_eq!(house.phone(&ada).decision.waits_for(), ["slot"]);
    lock(&mut house, &bob);
    house.succeed(&bob);
    house.pass(MINUTE);
    assert_eq!(
        questions(&house).len(),
        before + 2,
        "then Ada, who is still there"
    );
}

#[test]
fn an_unanswered_question_is_the_days_and_no_failure() {
    for (outcome, phase) in [
        (Outcome::NotConfirmed, Phase::Asking),
        (Outcome::NotLockedInTime, Phase::AwaitingLock),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        new_phone(&mut house, &ada);
        plug_in(&mut house, &ada);
        house.pass(MINUTE);
        let job = house.job(&ada).unwrap();
        house.send(Event::JobPhase(job, phase));
        house.end(job, outcome.clone());
        let view = house.phone(&ada);
        let tomorrow = Wall::from_secs(EVENING) + 22 * HOUR;
        let asked = Hold::Asked { next: tomorrow };
        assert_eq!(
            (view.state, view.decision),
            (
                PhoneState::Waiting,
                Decision::Wait {
                    unmet: vec![],
                    also: vec![asked]
                }
            )
        );
        house.restart(MINUTE);
        plug_in(&mut house, &ada);
        house.pass(3 * HOUR);
        assert_eq!(questions(&house).len(), 1, "{outcome:?}: not twice a day");
        // The next evening it is still in use.
        house.pass(19 * HOUR);
        assert_eq!(questions(&house).len(), 2, "{outcome:?}");
        let failed = |it: &(Option<Udid>, AttentionKind)| it.1 != AttentionKind::Asking;
        assert_eq!(house.messages().into_iter().filter(failed).count(), 0);
        assert_eq!(house.memory[&ada].failures, 0);
    }
}

#[test]
fn a_question_that_never_came_to_the_screen_is_given_back() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    plug_in(&mut house, &ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    house.end(job, Outcome::Interrupted(Interruption::ConnectionLost));
    house.pass(58 * MINUTE);
    assert_eq!(questions(&house).len(), 1, "the hour runs all the same");
    house.pass(3 * MINUTE);
    assert_eq!(questions(&house).len(), 2);
    // This one is put, and then the phone leaves: it is the day's.
    let job = house.job(&ada).unwrap();
    house.send(Event::JobPhase(job, Phase::Asking));
    house.end(job, Outcome::Interrupted(Interruption::ConnectionLost));
    house.pass(4 * HOUR);
    assert_eq!(questions(&house).len(), 2);
}

/// The owner confirmed, and then it was this computer that broke off, or the connection.
#[test]
fn an_answer_that_was_wasted_costs_the_day_nothing() {
    for (why, wasted) in [
        (Interruption::Stopping, true),
        (Interruption::HostNetwork, true),
        (Interruption::HostPower, true),
        (Interruption::ConnectionLost, true),
        (Interruption::Lost(Condition::Power), false),
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        new_phone(&mut house, &ada);
        plug_in(&mut house, &ada);
        house.pass(MINUTE);
        let job = house.job(&ada).unwrap();
        for phase in [Phase::Asking, Phase::AwaitingLock, Phase::Receiving] {
            house.send(Event::JobPhase(job, phase));
        }
        if why == Interruption::Stopping {
            house.send(Event::Stopping);
        }
        let effects = house.end(job, Outcome::Interrupted(why));
        let kept = effects.iter().find_map(|effect| match effect {
            Effect::Remember(memory) => memory.asked.map(|it| it.count),
            _ => None,
        });
        assert_eq!(kept, Some(u8::from(!wasted)), "{why:?}: kept at once");
        house.set(&ada, |it| it.usb = false);
        house.restart(10 * MINUTE);
        plug_in(&mut house, &ada);
        house.pass(30 * MINUTE);
        assert_eq!(questions(&house).len(), 1, "{why:?}: the hour runs");
        house.pass(25 * MINUTE);
        assert_eq!(questions(&house).len(), 1 + usize::from(wasted), "{why:?}");
    }
}

#[test]
fn a_try_that_found_out_that_it_asks_was_the_days_question() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.set(&ada, |it| it.os = "17.0");
    plug_in(&mut house, &ada);
    house.pass(HOUR);
    assert_eq!(house.phone(&ada).passcode, Passcode::Unknown);
    assert_eq!(
        house.starts(),
        [],
        "not known: it starts under all four, or not at all"
    );
    house.see_for(&ada, Fact::LockSeen, None);
    house.see(&ada, Fact::ScreenLocked(None));
    house.see_for(&ada, Fact::LockSeen, None);
    house.pass(59 * SECOND);
    house.see_for(&ada, Fact::LockSeen, None);
    house.pass(SECOND);
    let job = house.job(&ada).expect("one try finds out");
    house.send(Event::JobPhase(job, Phase::Asking));
    house.end(job, Outcome::NotConfirmed);
    assert_eq!(house.phone(&ada).passcode, Passcode::Asks);
    house.set(&ada, |it| it.locked = false);
    house.pass(HOUR + MINUTE);
    assert_eq!(house.starts().len(), 1);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["asked"]);
}

/// However the first try ends: who asked asks, and is not asked again that night.
#[test]
fn a_phone_that_asked_once_asks() {
    for outcome in [
        Outcome::Interrupted(Interruption::Lost(Condition::Power)),
        Outcome::failed(Failure::NoAnswer, ""),
        Outcome::CancelledOnDevice,
        Outcome::Cancelled,
    ] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.set(&ada, |it| it.os = "unreadable");
        house.pass(5 * HOUR);
        house.bed(&ada);
        house.pass(MINUTE);
        let job = house.job(&ada).expect("one try finds out");
        house.send(Event::JobPhase(job, Phase::Asking));
        house.end(job, outcome.clone());
        assert_eq!(house.phone(&ada).passcode, Passcode::Asks, "{outcome:?}");
        house.pass(6 * HOUR);
        house.set(&ada, |it| it.locked = false);
        house.pass(HOUR);
        assert_eq!(house.starts().len(), 1, "{outcome:?}");
    }
}

#[test]
fn who_asked_for_it_when_ready_is_asked_when_there() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    // After the hours for asking.
    house.pass(5 * HOUR);
    house.bed(&ada);
    house.back_up(&ada, When::Ready).unwrap();
    house.pass(HOUR);
    assert_eq!(house.starts(), [], "nobody is there");
    house.set(&ada, |it| it.locked = false);
    house.pass(10 * SECOND);
    let start = house.starts().pop().expect("asked");
    assert_eq!(
        (start.trigger, start.hold_until_locked),
        (Trigger::User, Some(5 * MINUTE))
    );
    house.send(Event::JobPhase(start.job, Phase::Asking));
    house.end(start.job, Outcome::NotConfirmed);
    let asked = house.memory[&ada].asked.unwrap();
    assert_eq!(
        (asked.at, asked.count),
        (house.now.wall, 0),
        "it costs the day nothing"
    );
}

#[test]
fn what_is_lost_while_the_phone_is_held_is_waited_for_and_told() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    plug_in(&mut house, &ada);
    house.set(&ada, |it| it.wifi = true);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    house.send(Event::JobPhase(job, Phase::AwaitingLock));
    // It is taken off the charger with its cable in a hub, and locked.
    house.set(&ada, |it| {
        it.power = false;
        it.locked = true;
    });
    assert!(!may_move(&house, job), "four conditions, not one");
    house.set(&ada, |it| it.power = true);
    assert!(may_move(&house, job));
    house.set(&ada, |it| it.power = false);
    house.end(job, Outcome::NotLockedInTime);
    let result = house.phone(&ada).last_result.unwrap().result;
    assert_eq!(
        result,
        JobResult::Interrupted(Interruption::Lost(Condition::Power)),
        "it was locked; power was missing"
    );
}

/// It was locked, and then nobody could tell whether it had power: neither lost nor not locked.
#[test]
fn what_nobody_could_tell_while_the_phone_was_held() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    plug_in(&mut house, &ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    house.send(Event::JobPhase(job, Phase::AwaitingLock));
    lock(&mut house, &ada);
    house.phones.get_mut(&ada).unwrap().answers = false;
    house.see(&ada, Fact::ExternalPower(None));
    assert!(!may_move(&house, job));
    house.end(job, Outcome::NotLockedInTime);
    let result = house.phone(&ada).last_result.unwrap().result;
    assert_eq!(result, JobResult::NotReadyInTime);
    let memory = &house.memory[&ada];
    assert_eq!(memory.asked.unwrap().count, 1, "it was asked all the same");
    assert_eq!(memory.passcode_learned, Some(Asking::Asks));
}

/// A screen that stops a backup by policy stops it only once it was locked.
#[test]
fn the_lock_counts_from_when_data_moves() {
    let mut policies = Policies::default();
    policies.default.on_loss.locked = OnLoss::Stop;
    let (mut house, ada) = (House::new(policies), udid(1));
    new_phone(&mut house, &ada);
    plug_in(&mut house, &ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    for phase in [Phase::Asking, Phase::AwaitingLock] {
        house.send(Event::JobPhase(job, phase));
        house.pass(MINUTE);
        assert_eq!(house.stops(), []);
    }
    lock(&mut house, &ada);
    house.send(Event::JobPhase(job, Phase::Scanning));
    house.pass(MINUTE);
    assert_eq!(house.stops(), []);
    house.set(&ada, |it| it.locked = false);
    let why = StopWhy::Interrupted(Interruption::Lost(Condition::Locked));
    assert_eq!(house.stops(), [why]);
}

#[test]
fn a_lock_that_does_not_count_holds_nobody() {
    type Change = fn(&mut Policy);
    for change in [(|it| it.locked = Need::Ignored) as Change, |it| {
        it.hold_until_locked_max = Duration::ZERO
    }] {
        let mut policies = Policies::default();
        change(&mut policies.default);
        let (mut house, ada) = (House::new(policies), udid(1));
        new_phone(&mut house, &ada);
        house.bed(&ada);
        house.pass(HOUR);
        assert_eq!(house.starts(), [], "somebody must be there all the same");
        house.set(&ada, |it| it.locked = false);
        house.pass(10 * SECOND);
        let start = house.starts().pop().expect("asked");
        assert_eq!(start.hold_until_locked, None);
    }
}

/// Of a phone that hung there before, or was only read again, nobody knows when it was plugged in.
#[test]
fn only_who_is_seen_plugging_in_is_there_at_a_glance() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    house.bed(&ada);
    house.restart(MINUTE);
    house.set(&ada, |it| it.locked = false);
    house.pass(9 * SECOND);
    assert_eq!(house.starts(), [], "found after a start");
    lock(&mut house, &ada);
    house.phones.get_mut(&ada).unwrap().answers = false;
    house.pass(HOUR);
    house.phones.get_mut(&ada).unwrap().answers = true;
    house.set(&ada, |it| it.locked = false);
    house.pass(9 * SECOND);
    assert_eq!(house.starts(), [], "read again after an hour of silence");
    house.pass(SECOND);
    assert_eq!(house.starts().len(), 1);
}
