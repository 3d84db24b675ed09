//! The time between two questions.

use super::*;

/// While nobody may be asked, nothing is read from the phone.
#[test]
fn a_phone_that_may_not_be_asked_is_left_alone() {
    let (mut house, ada) = (House::quiet(), udid(1));
    new_phone(&mut house, &ada);
    house.pass(3 * HOUR);
    plug_in(&mut house, &ada);
    let reads = |house: &House| {
        let read = |it: &&(Now, Effect)| matches!(it.1, Effect::RefreshSignals { .. });
        house.log.iter().filter(read).count()
    };
    house.pass(10 * MINUTE);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["ask-window"]);
    let before = reads(&house);
    house.pass(18 * HOUR);
    assert_eq!(reads(&house), before);
    // At 19:00 it is looked at, and whoever uses it is asked.
    house.pass(HOUR);
    assert!(reads(&house) > before);
    assert_eq!(questions(&house).len(), 1);
}

/// A computer without a clock of its own begins each week in the past, until the network tells.
#[test]
fn a_clock_that_was_behind_does_not_begin_the_rest_anew() {
    let mut policies = Policies::default();
    policies.default.ask.every = 7 * DAY;
    policies.default.ask.window = Windows::default();
    let (mut house, ada) = (House::new(policies), udid(1));
    new_phone(&mut house, &ada);
    plug_in(&mut house, &ada);
    house.pass(MINUTE);
    let job = house.job(&ada).unwrap();
    house.send(Event::JobPhase(job, Phase::Asking));
    house.end(job, Outcome::NotConfirmed);
    house.morning(&ada);
    let right = house.now.wall + 6 * DAY;
    house.now.wall = Wall::from_secs(EVENING - 400 * 86_400);
    house.restart(Duration::ZERO);
    house.now.wall = right;
    house.send(Event::Tick);
    // Two days until the clock is believed; then a week and more has passed.
    house.pass(47 * HOUR);
    plug_in(&mut house, &ada);
    house.pass(MINUTE);
    assert_eq!(questions(&house).len(), 1, "it may be wrong");
    house.pass(2 * HOUR);
    assert_eq!(questions(&house).len(), 2);
}
