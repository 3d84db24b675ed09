//! A cron expression in place of the interval: due when a time of the calendar came.

use crate::house::*;
use ibak_core::*;

fn nightly() -> Policies {
    let policy = Policy {
        cadence: Cadence::Calendar,
        ..Policy::default()
    };
    Policies {
        default: policy,
        ..Policies::default()
    }
}

fn in_bed(house: &mut House, phone: &Udid) {
    house.set(phone, |it| {
        it.usb = true;
        it.power = true;
        it.wifi = true;
        it.locked = true;
    });
}

#[test]
fn nothing_is_due_before_the_time_and_once_after_it() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.send(Event::PoliciesChanged(nightly()));
    let two = house.now.wall + 3 * HOUR;
    house.send(Event::SchedulePlanned(Some(two)));
    in_bed(&mut house, &ada);
    house.pass(2 * HOUR);
    assert_eq!(house.starts(), []);
    assert_eq!(house.phone(&ada).decision, Decision::NotDue { until: two });
    house.pass(HOUR);
    house.send(Event::ScheduleFired);
    house.send(Event::SchedulePlanned(Some(two + 24 * HOUR)));
    in_bed(&mut house, &ada);
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
    house.succeed(&ada);
    house.pass(20 * HOUR);
    assert_eq!(house.starts().len(), 1, "once is enough");
    assert_eq!(house.phone(&ada).next_attempt, Some(two + 24 * HOUR));
}

#[test]
fn a_time_that_came_while_nothing_ran_counts() {
    let now = House::quiet().now;
    let missed = now.wall - HOUR;
    let memory = |next| HouseMemory {
        calendar: Calendar {
            fired: None,
            next: Some(next),
        },
        ..HouseMemory::default()
    };
    for (next, want) in [(missed, Some(missed)), (now.wall + HOUR, None)] {
        let mut machine = Machine::new(nightly(), JobId::new(1), now);
        machine.handle(Event::RecalledHouse(memory(next)), now);
        machine.handle(Event::StoreRecovered(vec![]), now);
        let reachable = Observation {
            phone: udid(1),
            fact: Fact::Reachable {
                transport: Transport::Usb,
                reachable: true,
            },
            source: Source::Usbmuxd,
            at: now,
            time_to_live: None,
        };
        machine.handle(Event::Observed(reachable), now);
        let due = match &machine.view().phones[&udid(1)].decision {
            Decision::NotDue { .. } => None,
            Decision::Start | Decision::Ask | Decision::Wait { .. } | Decision::Refuse(_) => {
                Some(missed)
            }
        };
        assert_eq!(due, want);
    }
}

/// This computer slept over the time, and plans the next one before anything fired.
#[test]
fn a_time_that_came_while_this_computer_slept_counts() {
    let (mut house, ada) = (House::quiet(), udid(1));
    house.send(Event::PoliciesChanged(nightly()));
    let two = house.now.wall + 3 * HOUR;
    house.send(Event::SchedulePlanned(Some(two)));
    house.pass(4 * HOUR);
    house.send(Event::SchedulePlanned(Some(two + 24 * HOUR)));
    in_bed(&mut house, &ada);
    house.pass(MINUTE);
    assert_eq!(house.starts().len(), 1);
    house.succeed(&ada);
    assert_eq!(house.phone(&ada).next_attempt, Some(two + 24 * HOUR));
}
