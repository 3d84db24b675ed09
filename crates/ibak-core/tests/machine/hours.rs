//! Hours, local time, and this computer itself.

use crate::house::*;
use ibak_core::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn with(change: impl FnOnce(&mut Policy)) -> House {
    let mut policies = Policies::default();
    change(&mut policies.default);
    House::new(policies)
}

fn windows(texts: &[&str]) -> Windows {
    Windows::parse(texts).unwrap()
}

/// The house begins at 21:00 on a Wednesday.
#[test]
fn an_automatic_backup_keeps_to_its_hours() {
    for (texts, opens_in, first) in [
        (&["22:00-08:00"][..], HOUR, None),
        (&["20:00-21:30"], Duration::ZERO, None),
        (&["Thu 02:00-03:00"], 5 * HOUR, None),
        (&["Mon 02:00-03:00", "Fri 01:00-04:00"], 28 * HOUR, None),
        (&["20:00-21:00"], 23 * HOUR, Some(23 * HOUR)),
    ] {
        let mut house = with(|it| it.window = windows(texts));
        let ada = udid(1);
        house.bed(&ada);
        if opens_in.is_zero() {
            house.pass(MINUTE);
            assert_eq!(house.starts().len(), 1, "{texts:?}");
            continue;
        }
        let opens = Some(Wall::from_secs(EVENING) + opens_in);
        let view = house.phone(&ada);
        let waits = Decision::Wait {
            unmet: vec![],
            also: vec![Hold::Window { opens }],
        };
        assert_eq!(
            (view.next_attempt, view.decision),
            (opens, waits),
            "{texts:?}"
        );
        house.pass(opens_in - SECOND);
        assert_eq!(house.starts(), [], "{texts:?}");
        // What was not read meanwhile is read then, and settles.
        house.pass(SECOND + MINUTE);
        assert_eq!(house.starts().len(), 1, "{texts:?} {first:?}");
    }
}

#[test]
fn a_window_that_closes_stops_nothing_and_a_person_has_no_hours() {
    let mut house = with(|it| it.window = windows(&["20:00-21:30"]));
    let (ada, bob) = (udid(1), udid(2));
    house.bed(&ada);
    house.pass(HOUR);
    assert_eq!((house.starts().len(), house.stops()), (1, vec![]));
    house.bed(&bob);
    assert_eq!(house.phone(&bob).decision.waits_for(), ["window"]);
    house.back_up(&bob, When::Ready).unwrap();
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 2);
}

/// While it is waited for hours, nothing is read; when they are over, nothing is read either.
#[test]
fn outside_its_hours_a_phone_is_left_alone() {
    let mut house = with(|it| it.window = windows(&["20:00-22:00"]));
    let ada = udid(1);
    house.bed(&ada);
    house.set(&ada, |it| it.power = false);
    house.pass(HOUR);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["power", "window"]);
    let before = house.log.len();
    let calls = house.pass(21 * HOUR);
    let asks =
        |it: &&(Now, Effect)| matches!(it.1, Effect::RefreshSignals { .. } | Effect::RefreshStore);
    assert_eq!(house.log[before..].iter().filter(asks).count(), 0);
    assert!(calls <= 21 * 4 + 10, "{calls} calls in 21 idle hours");
}

#[test]
fn a_house_that_moves_to_another_zone_keeps_other_hours() {
    let mut house = with(|it| it.window = windows(&["22:00-08:00"]));
    let ada = udid(1);
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(house.starts(), []);
    // One hour east it is 22:01.
    house.send(Event::Zone(Zone::new(3600, vec![])));
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
}

#[test]
fn a_laptop_on_its_battery_starts_nothing_and_stops_after_a_while() {
    let battery = |on_mains| {
        Event::Host(Host {
            portable: true,
            on_mains,
            network: HostNetwork::Fit,
        })
    };
    let (mut house, ada) = (House::quiet(), udid(1));
    house.send(battery(Some(false)));
    house.bed(&ada);
    house.pass(HOUR);
    assert_eq!(house.phone(&ada).decision.waits_for(), ["host-power"]);
    // Nobody can say: then it is not held against the phone.
    house.send(battery(None));
    house.bed(&ada);
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
    house.send(battery(Some(false)));
    house.pass(10 * MINUTE - SECOND);
    house.send(battery(Some(true)));
    house.pass(HOUR);
    assert_eq!(house.stops(), [], "the plug was back in time");
    house.send(battery(Some(false)));
    house.pass(10 * MINUTE - SECOND);
    assert_eq!(house.stops(), []);
    house.pass(SECOND);
    let why = StopWhy::Interrupted(Interruption::HostPower);
    assert_eq!(house.stops(), [why]);
    let job = house.job(&ada).unwrap();
    house.end(job, why.outcome());
    house.pass(DAY);
    assert_eq!(house.starts().len(), 1);
    // A person decides for themselves.
    house.back_up(&ada, When::AtOnce).unwrap();
    house.pass(HOUR);
    assert_eq!((house.starts().len(), house.stops().len()), (2, 1));
}

#[test]
fn a_network_that_is_not_fit() {
    let network = |network| {
        Event::Host(Host {
            network,
            ..Host::default()
        })
    };
    let by_wifi = |house: &mut House, ada: &Udid| {
        let fact = Fact::Reachable {
            transport: Transport::Wifi,
            reachable: true,
        };
        house.phones.entry(ada.clone()).or_default().power = true;
        house.phones.entry(ada.clone()).or_default().locked = true;
        house.see_for(ada, fact, None);
    };
    for unfit in [HostNetwork::Foreign, HostNetwork::Metered] {
        let (mut house, ada) = (House::quiet(), udid(1));
        house.send(network(unfit));
        by_wifi(&mut house, &ada);
        house.pass(HOUR);
        assert_eq!(house.phone(&ada).decision.waits_for(), ["network"]);
        house.send(network(HostNetwork::Fit));
        house.pass(2 * MINUTE);
        assert_eq!(house.starts().len(), 1);
        house.send(network(unfit));
        house.pass(MINUTE - SECOND);
        house.send(network(HostNetwork::Fit));
        house.pass(MINUTE);
        house.send(network(unfit));
        house.pass(MINUTE - SECOND);
        assert_eq!(house.stops(), [], "it may only connect anew");
        house.pass(SECOND);
        let why = StopWhy::Interrupted(Interruption::HostNetwork);
        assert_eq!(house.stops(), [why]);

        let (mut house, ada) = (House::quiet(), udid(1));
        house.send(network(unfit));
        house.bed(&ada);
        house.pass(MINUTE);
        assert_eq!(house.starts().len(), 1, "by cable it does not matter");
    }
}

/// Sixty nights with a backup of ninety minutes, over the night the clocks are set back.
#[test]
fn a_daily_run_does_not_drift() {
    let change = Wall::from_secs(EVENING) + 30 * DAY;
    let mut house = with(|it| it.window = windows(&["20:30-06:00"]));
    house.send(Event::Zone(Zone::new(3600, vec![(change, 0)])));
    let ada = udid(1);
    let mut begun = Vec::new();
    for night in 1..=60 {
        house.bed(&ada);
        house.pass(5 * MINUTE);
        assert_eq!(house.starts().len(), night, "every night");
        begun.push(house.now.wall.as_secs().rem_euclid(86_400));
        house.pass(85 * MINUTE);
        house.succeed(&ada);
        house.pass(6 * HOUR);
        house.morning(&ada);
        house.pass(16 * HOUR + 30 * MINUTE);
    }
    assert!(begun.iter().all(|at| *at == begun[0]), "{begun:?}");
}

/// What was read while the phone hung on its cable says nothing of its power afterwards.
#[test]
fn a_phone_that_leaves_its_cable_and_stays_on_the_network_is_read_again() {
    let (mut house, ada) = (House::quiet(), udid(1));
    let by_wifi = Fact::Reachable {
        transport: Transport::Wifi,
        reachable: true,
    };
    house.see_for(&ada, by_wifi, None);
    house.bed(&ada);
    house.pass(30 * SECOND);
    assert!(house.phone(&ada).conditions.power.verdict.is_met());
    house.phones.get_mut(&ada).unwrap().power = false;
    house.phones.get_mut(&ada).unwrap().usb = false;
    let gone = Fact::Reachable {
        transport: Transport::Usb,
        reachable: false,
    };
    house.see_for(&ada, gone, None);
    let power = house.phone(&ada).conditions.power.verdict;
    assert_eq!(power, Verdict::Unmet(Unmet::OnBattery), "read at once");
    house.pass(MINUTE);
    assert_eq!(house.starts(), []);
}
