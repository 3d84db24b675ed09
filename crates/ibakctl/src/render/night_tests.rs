//! Snapshots of nights: in a sentence, as stretches, as a picture, as a table.

use crate::night::script::{at, record};
use crate::night::{Night, account};
use crate::render::{self, HistoryView, NightView, TimelineView};
use crate::style::{Glyphs, Paint, Style};
use crate::text;
use ibak_dbus::views::{AttemptView, PhoneView};
use ibak_dbus::words::{JobKind, Outcome, Trigger, WaitsFor};
use ibak_dbus::{Bytes, Wall};
use jiff::tz::TimeZone;
use std::time::Duration;

/// An unlock at 23:10, a stop of the daemon, a backup in the morning hours.
const SCRIPT: &str = "power 21:40-; wifi 18:20-; locked 22:30-23:10 00:25-06:40; due -02:20; \
                      stopped 02:30-03:20";

fn style() -> Style {
    Style {
        width: Some(80),
        ..Style::plain("2026-11-22T13:00:00Z".parse().unwrap())
    }
}

fn phone() -> PhoneView {
    let path = "/org/ibak/Ibak1/phones/00008110_000A1B2C3D4E5F60";
    let mut phone = PhoneView::from_properties(path, &Default::default()).unwrap();
    phone.name = "Ada's iPhone".into();
    phone
}

fn attempt(result: Outcome, from: &str, until: &str) -> AttemptView {
    AttemptView {
        kind: JobKind::Backup,
        started: Some(at(from)),
        ended: Some(at(until)),
        trigger: Trigger::Schedule,
        bytes: if result == Outcome::Succeeded {
            Bytes::from_mib(1_200)
        } else {
            Bytes::ZERO
        },
        result: Some(result),
        job: None,
        backup: None,
        files: 212,
        device_code: None,
        detail: String::new(),
        waits_for: Vec::new(),
    }
}

fn timeline(script: &str, attempts: Vec<AttemptView>, from: &str, until: &str) -> TimelineView {
    let mut record = record(script);
    (record.from, record.until) = (at(from), at(until));
    if record.until <= record.from {
        record.until = record.until + Duration::from_secs(86_400);
    }
    TimelineView {
        phone: phone(),
        from: record.from,
        until: record.until,
        record,
        attempts,
    }
}

fn picture() -> TimelineView {
    timeline(
        SCRIPT,
        vec![attempt(Outcome::Succeeded, "00:26", "02:20")],
        "20:00",
        "08:00",
    )
}

#[test]
fn a_night_at_many_widths() {
    let mut shown = String::new();
    for width in [40, 60, 80, 120] {
        let style = Style {
            width: Some(width),
            ..style()
        };
        let text = render::timeline(&picture(), &style);
        assert!(
            text.lines().all(|line| text::columns(line) <= width),
            "at most {width} columns:\n{text}"
        );
        shown.push_str(&format!("== {width}\n{text}\n"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_night_without_unicode_and_without_a_terminal() {
    let style = Style {
        glyphs: Glyphs::Ascii,
        width: None,
        ..style()
    };
    let text = render::timeline(&picture(), &style);
    assert!(text.is_ascii());
    insta::assert_snapshot!(text);
}

#[test]
fn a_night_in_colour() {
    let style = Style {
        paint: Paint::Color,
        ..style()
    };
    let text = render::timeline(&picture(), &style);
    insta::assert_snapshot!(text.replace('\u{1b}', "ESC"));
    // The same signs, whether or not in colour.
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, render::timeline(&picture(), &self::style()));
}

#[test]
fn a_whole_night_and_a_missed_one() {
    let missed = timeline(
        "power 22:00-03:02; wifi *; locked 03:10-07:00",
        vec![attempt(Outcome::NotConfirmed, "22:31", "22:36")],
        "12:00",
        "12:00",
    );
    insta::assert_snapshot!(render::timeline(&missed, &style()));
}

#[test]
fn nothing_is_drawn_of_a_time_without_notes() {
    let mut view = picture();
    view.record = crate::night::reconstruct(&[], view.from, view.until);
    view.attempts.clear();
    insta::assert_snapshot!(render::timeline(&view, &style()));
}

#[test]
fn an_hour_that_is_shown_twice_is_drawn_twice() {
    // 25 October 2026 in Berlin: 02:00 to 03:00 comes twice; 29 March 2026: never.
    let mut shown = String::new();
    for (now, from) in [
        ("2026-10-25T12:00:00Z", "2026-10-24T20:00:00Z"),
        ("2026-03-29T12:00:00Z", "2026-03-28T20:00:00Z"),
    ] {
        let from: jiff::Timestamp = from.parse().unwrap();
        let from = Wall::from_micros(from.as_microsecond());
        let style = Style {
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            now: now.parse().unwrap(),
            ..style()
        };
        let view = TimelineView {
            from,
            until: from + Duration::from_secs(9 * 3_600),
            record: crate::night::reconstruct(&[], from, from + Duration::from_secs(60)),
            ..picture()
        };
        let text = render::timeline(
            &TimelineView {
                attempts: vec![],
                ..view
            },
            &style,
        );
        shown.push_str(&text.lines().take(3).collect::<Vec<_>>().join("\n"));
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn many_hours_have_days_above_them() {
    let until = at("12:00") + Duration::from_secs(3_600);
    let from = until - Duration::from_secs(168 * 3_600);
    let view = TimelineView {
        from,
        until,
        record: crate::night::reconstruct(&[], from, until),
        attempts: vec![],
        ..picture()
    };
    insta::assert_snapshot!(render::timeline(&view, &style()));
}

fn night(script: &str, attempts: Vec<AttemptView>) -> NightView {
    let record = record(script);
    NightView {
        phone: phone(),
        night: Night::parse("2026-11-21", &style()).unwrap(),
        account: account(&record, &attempts),
        record: Some(record),
        attempts,
        me: " ada".into(),
    }
}

#[test]
fn a_night_in_words() {
    let flicker: Vec<String> = (0..12)
        .map(|n| {
            format!(
                "{:02}:{:02}-{:02}:30",
                13 + n / 2,
                10 + n % 2 * 15,
                13 + n / 2
            )
        })
        .collect();
    let nights = [
        night("power 22:00-03:02; wifi *; locked 03:10-07:00", vec![]),
        night(SCRIPT, vec![attempt(Outcome::Succeeded, "00:26", "02:20")]),
        night(
            &format!("wifi *; locked {}", flicker.join(" ")),
            vec![attempt(Outcome::NotConfirmed, "22:31", "22:36")],
        ),
    ];
    let mut shown = String::new();
    for night in nights {
        let text = render::night(&night, &style());
        shown.push_str(&format!("{text}\n"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_table_of_nights() {
    let of = |evening: &str, view: NightView| NightView {
        night: Night::parse(evening, &style()).unwrap(),
        ..view
    };
    let waited = AttemptView {
        waits_for: vec![WaitsFor::Power, WaitsFor::Locked],
        ..attempt(Outcome::NotReadyInTime, "20:00", "08:00")
    };
    let unread = NightView {
        record: None,
        ..night("due", vec![])
    };
    let nights = vec![
        of(
            "2026-11-21",
            night("power 22:00-03:02; wifi *; locked 03:10-07:00", vec![]),
        ),
        of(
            "2026-11-20",
            night(
                "",
                vec![
                    attempt(Outcome::LostPower, "01:00", "01:20"),
                    attempt(Outcome::Succeeded, "02:14", "02:20"),
                ],
            ),
        ),
        of("2026-11-19", night("due", vec![])),
        of("2026-11-18", night("here", vec![])),
        of("2026-11-17", night("", vec![waited])),
        of("2026-11-16", night("stopped 13:00-11:00", vec![])),
        of(
            "2026-11-15",
            NightView {
                account: account(&Default::default(), &[]),
                ..unread
            },
        ),
        of(
            "2026-11-14",
            night("", vec![attempt(Outcome::Cancelled, "02:00", "02:01")]),
        ),
        of("2026-11-13", night("unseen 13:00-11:00", vec![])),
    ];
    let view = HistoryView { nights };
    let wide = Style {
        width: None,
        ..style()
    };
    let shown = format!(
        "{}\n{}",
        render::history(&view, &style()),
        render::history(&view, &wide)
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn of_many_gaps_the_longest_are_listed() {
    // Two hundred sleeps of four minutes, and nine longer ones at the end, the last the shortest.
    let clock = |minute: u32| format!("{:02}:{:02}", (12 + minute / 60) % 24, minute % 60);
    let short = (0..200).map(|n| (5 + n * 5, 9 + n * 5));
    let long = (0..9).map(|n| (1_010 + n * 40, 1_010 + n * 40 + 30 - n));
    let sleeps: Vec<String> = short
        .chain(long)
        .map(|(from, until)| format!("{}-{}", clock(from), clock(until)))
        .collect();
    let script = format!("wifi *; locked *; asleep {}", sleeps.join(" "));
    let words = render::night(&night(&script, vec![]), &style());
    let picture = render::timeline(&timeline(&script, vec![], "12:00", "12:00"), &style());
    for text in [words, picture] {
        // The sentence breaks between its own times and this word.
        let asleep: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" to ") && line.contains("asleep"))
            .collect();
        assert_eq!(asleep.len(), 8, "{text}");
        assert!(text.contains("and 201 shorter times\n"), "{text}");
        assert!(asleep[7].contains("09:30 to 09:53"), "{text}");
    }
}

#[test]
fn a_missed_night_is_told_in_the_day_after_and_only_then() {
    let missed = night("wifi *; locked *", vec![]);
    let told = |view: &NightView, now: &str| {
        let style = Style {
            now: now.parse().unwrap(),
            ..style()
        };
        render::missed(view, &style)
    };
    let want = Some("Last night: it was never on power, so nothing could run.".to_owned());
    assert_eq!(told(&missed, "2026-11-22T07:00:00Z"), want);
    assert_eq!(told(&missed, "2026-11-22T19:59:00Z"), want);
    for late in [
        "2026-11-22T20:00:00Z",
        "2026-11-22T03:59:00Z",
        "2026-11-23T07:00:00Z",
    ] {
        assert_eq!(told(&missed, late), None, "{late}");
    }
    let morning = "2026-11-22T07:00:00Z";
    let mut since = missed.clone();
    since.phone.last_backup = Some(at("09:00"));
    let mut retired = missed.clone();
    retired.phone.retired = true;
    let secret = NightView {
        record: None,
        ..missed.clone()
    };
    let fine = night("due", vec![]);
    for quiet in [since, retired, secret, fine] {
        assert_eq!(told(&quiet, morning), None, "{:?}", quiet.account);
    }
    let two = [missed, night("pause *", vec![])];
    assert_eq!(
        render::nights(&two, &style()),
        "Nights, newest first:\n  Last night: it was never on power, so nothing could run.\n  Last night: automatic backups were paused.\n"
    );
}
