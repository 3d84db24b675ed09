use super::*;
use proptest::prelude::*;

/// Thursday, 2026-11-19 00:00 UTC.
const THURSDAY: i64 = 1_795_046_400;

fn hours(hours: i64) -> Wall {
    Wall::from_secs(THURSDAY + hours * 3600)
}

fn windows(texts: &[&str]) -> Windows {
    Windows::parse(texts).unwrap()
}

#[test]
fn a_night_crosses_midnight() {
    let night = windows(&["22:00-08:00"]);
    let zone = Zone::default();
    for (at, want) in [
        (
            21,
            Opening::Closed {
                opens: Some(hours(22)),
            },
        ),
        (
            22,
            Opening::Open {
                until: Some(hours(32)),
            },
        ),
        (
            31,
            Opening::Open {
                until: Some(hours(32)),
            },
        ),
        (
            32,
            Opening::Closed {
                opens: Some(hours(46)),
            },
        ),
    ] {
        assert_eq!(night.at(&zone, hours(at)), want, "{at}:00");
    }
}

#[test]
fn a_day_of_the_week_is_the_day_it_begins_on() {
    let friday = windows(&["Fri 22:00-08:00"]);
    let zone = Zone::default();
    // Thursday night is closed, Friday night is open until Saturday morning.
    for (at, open) in [
        (23, false),
        (31, false),
        (46, true),
        (55, true),
        (56, false),
        (70, false),
    ] {
        assert_eq!(friday.contain(&zone, hours(at)), open, "{at}");
    }
    assert_eq!(
        friday.at(&zone, hours(56)),
        Opening::Closed {
            opens: Some(hours(46 + 168))
        }
    );
}

#[test]
fn several_windows_that_touch_are_one() {
    let split = windows(&["20:00-24:00", "00:00-06:00", "Sat,Sun 06:00-09:00"]);
    let zone = Zone::default();
    assert_eq!(
        split.at(&zone, hours(21)),
        Opening::Open {
            until: Some(hours(30))
        }
    );
    // Friday night goes on until nine on Saturday.
    assert_eq!(
        split.at(&zone, hours(45)),
        Opening::Open {
            until: Some(hours(57))
        }
    );
}

#[test]
fn a_whole_week_never_closes() {
    let zone = Zone::default();
    assert_eq!(
        windows(&["00:00-24:00"]).at(&zone, hours(5)),
        Opening::Open { until: None }
    );
    assert_eq!(
        windows(&["07:00-07:00"]).at(&zone, hours(5)),
        Opening::Open { until: None }
    );
    assert_eq!(
        Windows::default().at(&zone, hours(5)),
        Opening::Open { until: None }
    );
}

#[test]
fn windows_that_never_meet() {
    for (one, other, meet) in [
        (&["22:00-08:00"][..], &["19:00-23:30"][..], true),
        (&["00:00-06:00"], &["19:00-23:30"], false),
        (&["Fri 22:00-08:00"], &["Sat 07:59-09:00"], true),
        (&["Fri 22:00-08:00"], &["Sat 08:00-09:00"], false),
        (&[], &["Sat 08:00-08:01"], true),
    ] {
        let (one, other) = (windows(one), windows(other));
        assert_eq!(
            (one.meets(&other), other.meets(&one)),
            (meet, meet),
            "{one} {other}"
        );
    }
}

#[test]
fn the_nights_on_which_clocks_are_set() {
    // Berlin: 25 October 2026 03:00 becomes 02:00; 28 March 2027 02:00 becomes 03:00.
    let (autumn, spring) = (1_792_890_000, 1_806_195_600);
    let zone = Zone::new(
        7200,
        vec![
            (Wall::from_secs(autumn), 3600),
            (Wall::from_secs(spring), 7200),
        ],
    );
    let at = |secs: i64| Wall::from_secs(secs);
    let night = windows(&["01:00-02:30"]);
    // 01:00 to 02:30, and once more from 02:00 to 02:30.
    assert_eq!(
        night.at(&zone, at(autumn - 7200)),
        Opening::Open {
            until: Some(at(autumn - 1800))
        }
    );
    assert_eq!(
        night.at(&zone, at(autumn - 1800)),
        Opening::Closed {
            opens: Some(at(autumn))
        }
    );
    assert_eq!(
        night.at(&zone, at(autumn)),
        Opening::Open {
            until: Some(at(autumn + 1800))
        }
    );
    let skipped = windows(&["02:15-02:45"]);
    let next_night = spring + 86_400 - 3600 + 900;
    assert_eq!(
        skipped.at(&zone, at(spring - 60)),
        Opening::Closed {
            opens: Some(at(next_night))
        }
    );
    let late = windows(&["02:30-05:00"]);
    assert_eq!(
        late.at(&zone, at(spring - 60)),
        Opening::Closed {
            opens: Some(at(spring))
        }
    );
    assert_eq!(
        late.at(&zone, at(spring)),
        Opening::Open {
            until: Some(at(spring + 7200))
        }
    );
}

#[test]
fn what_is_no_window_is_refused() {
    for text in [
        "",
        "22:00",
        "22-08",
        "25:00-08:00",
        "22:60-08:00",
        "22:00-08:0",
        "24:00-08:00",
        "Mo 22:00-08:00",
        "Mon- 22:00-08:00",
        "22:00 - 08:00",
        "Mon Tue 22:00-08:00",
        "+2:00-08:00",
        "22:00-24:01",
    ] {
        assert_eq!(Window::parse(text), Err(WindowError::Text), "{text}");
    }
    assert_eq!(
        Windows::parse(&vec!["1:00-2:00"; WINDOWS_MAX + 1]),
        Err(WindowError::TooMany)
    );
}

#[test]
fn days_are_read_and_written() {
    for (text, shown) in [
        ("22:00-08:00", "22:00-08:00"),
        ("mon-fri 7:05-9:00", "Mon-Fri 07:05-09:00"),
        ("Sat-Mon 00:00-24:00", "Mon,Sat,Sun 00:00-00:00"),
        ("Mon-Sun 01:00-02:00", "01:00-02:00"),
        ("Wed,Wed,Fri 01:00-02:00", "Wed,Fri 01:00-02:00"),
    ] {
        let window = Window::parse(text).unwrap();
        assert_eq!(window.to_string(), shown);
        assert_eq!(Window::parse(shown), Ok(window));
    }
    assert_eq!(
        windows(&["1:00-2:00", "3:00-4:00"]).to_string(),
        "01:00-02:00; 03:00-04:00"
    );
}

proptest! {
    /// What is said about the next turn agrees with a clock that is looked at every minute.
    #[test]
    fn the_next_turn_is_where_a_clock_would_see_it(
        list in prop::collection::vec((1_u8..128, 0_u16..1440, 0_u16..1440), 1..4),
        start in 0_i64..(400 * 1440),
        offset in -48_i32..57,
        change in 0_i64..(400 * 1440),
        shift in prop_oneof![Just(-3600), Just(3600), Just(1800), Just(0)],
    ) {
        let list = list.into_iter().map(|(days, from, to)| Window { days, from, to });
        let windows = Windows(list.collect());
        let minute = |it: i64| Wall::from_secs(THURSDAY + it * 60);
        let zone = Zone::new(offset * 900, vec![(minute(change), offset * 900 + shift)]);
        let open = windows.contain(&zone, minute(start));
        let turn = (start + 1..start + 8 * 1440)
            .map(minute)
            .find(|at| windows.contain(&zone, *at) != open);
        let said = match windows.at(&zone, minute(start)) {
            Opening::Open { until } => {
                prop_assert!(open);
                until
            }
            Opening::Closed { opens } => {
                prop_assert!(!open);
                opens
            }
        };
        prop_assert!(turn.is_none() || said == turn, "{said:?} {turn:?}");
    }
}
