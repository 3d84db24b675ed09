//! Tests of rows that become stretches.

use super::script::{at, record, rows};
use super::*;

/// Writes stretches as `from-until value`, in minutes of the day.
fn lines<T>(stretches: &[Stretch<T>], word: impl Fn(&T) -> String) -> Vec<String> {
    let clock = |at: Wall| {
        let minutes = at.as_secs().rem_euclid(86_400) / 60;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    stretches
        .iter()
        .map(|it| format!("{}-{} {}", clock(it.from), clock(it.until), word(&it.value)))
        .collect()
}

fn of(record: &Record, name: &ConditionName) -> Vec<String> {
    lines(record.condition(name), |seen| seen.status.to_string())
}

#[test]
fn a_night_with_an_unlock_and_a_gap() {
    let record = record("power 22:00-; wifi *; locked 12:00-23:10 23:40-; stopped 01:00-02:00");
    assert_eq!(
        of(&record, &ConditionName::Locked),
        [
            "12:00-23:10 met",
            "23:10-23:40 unmet",
            "23:40-01:00 met",
            "02:00-12:00 met"
        ]
    );
    assert_eq!(
        of(&record, &ConditionName::Power),
        ["12:00-22:00 unmet", "22:00-01:00 met", "02:00-12:00 met"]
    );
    assert_eq!(
        lines(&record.gaps, |gap| format!("{gap:?}")),
        ["01:00-02:00 Stopped"]
    );
    let last = record.last_of(&ConditionName::Locked).unwrap();
    assert_eq!(
        (last.began, last.value.source.clone()),
        (at("02:00"), Some(EvidenceSource::Notification))
    );
}

#[test]
fn an_end_that_nobody_saw_is_unknown_from_the_last_note_on() {
    let record = record("power *; wifi *; locked *; unseen 23:00-02:00");
    assert_eq!(
        of(&record, &ConditionName::Power),
        ["12:00-23:00 met", "02:00-12:00 met"]
    );
    assert_eq!(
        lines(&record.gaps, |gap| format!("{gap:?}")),
        ["23:00-02:00 Unseen"]
    );
}

#[test]
fn sleep_cuts_a_piece_out_and_the_value_goes_on() {
    let record = record("power *; wifi *; locked 12:00-05:00; asleep 01:00-04:00");
    assert_eq!(
        of(&record, &ConditionName::Locked),
        ["12:00-01:00 met", "04:00-05:00 met", "05:00-12:00 unmet"]
    );
}

#[test]
fn what_is_not_known_yet_is_a_gap_and_so_is_all_of_nothing() {
    let rows: Vec<ObservationView> = rows("power *; wifi *; locked *")
        .into_iter()
        .map(|row| ObservationView {
            at: row.at.max(at("20:00")),
            ..row
        })
        .collect();
    let late = reconstruct(&rows, at("12:00"), at("11:00"));
    assert_eq!(
        lines(&late.gaps, |gap| format!("{gap:?}")),
        ["12:00-20:00 Nothing"]
    );
    assert_eq!(of(&late, &ConditionName::Power), ["20:00-11:00 met"]);
    let nothing = reconstruct(&[], at("12:00"), at("11:00"));
    assert_eq!(
        lines(&nothing.gaps, |gap| format!("{gap:?}")),
        ["12:00-11:00 Nothing"]
    );
    // How things stood before counts from the beginning, and really began earlier.
    let part = reconstruct(&rows, at("23:00"), at("01:00"));
    assert_eq!(of(&part, &ConditionName::Power), ["23:00-01:00 met"]);
    assert_eq!(part.condition(&ConditionName::Power)[0].began, at("20:00"));
    assert_eq!(part.gaps, []);
}

#[test]
fn what_flaps_is_unknown_until_it_is_noted_again() {
    let mut rows = rows("power *; wifi *; locked *");
    let full = ObservationView::new(at("22:10"), ObservationKind::Daemon, "too-many");
    rows.push(full);
    let mut again = rows[0].clone();
    again.at = at("23:00");
    rows.push(again);
    let record = reconstruct(&rows, at("12:00"), at("11:00"));
    assert_eq!(
        of(&record, &ConditionName::Power),
        ["12:00-22:10 met", "23:00-11:00 met"]
    );
    assert_eq!(of(&record, &ConditionName::Locked), ["12:00-22:10 met"]);
    assert_eq!(
        lines(&record.gaps, |gap| format!("{gap:?}")),
        ["22:10-23:00 TooMany"]
    );
}

#[test]
fn words_of_a_newer_daemon_are_left_out() {
    let mut rows = rows("power *");
    rows.push(ObservationView::new(
        at("13:00"),
        ObservationKind::Other("moon".into()),
        "full",
    ));
    rows.push(ObservationView::new(
        at("13:00"),
        ObservationKind::Computer,
        "flooded",
    ));
    let record = reconstruct(&rows, at("12:00"), at("14:00"));
    assert_eq!(of(&record, &ConditionName::Power), ["12:00-14:00 met"]);
}
