//! Tests of the notes on the disk.

use super::*;
use crate::chronicle::What;
use ibak_core::Condition;
use std::path::Path;

const KEPT: Duration = Duration::from_secs(14 * 86_400);

fn udid(last: char) -> Udid {
    Udid::parse(&format!("00008030-001A2B3C4D5E6F7{last}")).unwrap()
}

fn at(hours: i64) -> Wall {
    Wall::from_secs(1_795_291_200 + hours * 3_600)
}

fn note(hours: i64, phone: char, what: What, word: &str) -> Note {
    Note {
        at: at(hours),
        phone: Some(udid(phone)),
        what,
        word: word.into(),
        more: "wifi,locked".into(),
        source: "mdns".into(),
        job: 7,
        since: None,
    }
}

const LOCKED: What = What::Condition(Condition::Locked);

fn open(dir: &Path) -> History {
    History::open(&dir.join("history.sqlite"))
}

#[test]
fn how_things_stood_comes_first_and_others_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let all = vec![
        Note::gap(Gap::Started, None, at(0)),
        note(0, '0', LOCKED, "unknown"),
        note(1, '0', LOCKED, "unmet"),
        note(1, '0', What::State, "waiting"),
        note(2, '1', LOCKED, "met"),
        note(3, '0', LOCKED, "met"),
        note(5, '0', What::State, "idle"),
    ];
    history.put_down(all.clone());
    drop(history.notes(&udid('0'), at(0), at(9), at(9), KEPT));
    drop(history);
    let history = open(dir.path());
    let seen = history.notes(&udid('0'), at(2), at(5), at(9), KEPT);
    let want: Vec<Note> = [0, 2, 3, 5].map(|n| all[n].clone()).into();
    assert_eq!(seen, want);
    history.put_down(vec![note(9, '0', What::State, "absent")]);
    history.forget(&udid('0'));
    let rest = history.notes(&udid('0'), at(0), at(99), at(9), KEPT);
    assert_eq!(rest, [all[0].clone()]);
    assert_eq!(
        history.notes(&udid('1'), at(0), at(9), at(9), KEPT).len(),
        2
    );
}

#[test]
fn what_is_old_goes_but_for_how_things_stood() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let days = |days: i64| days * 24;
    history.put_down(vec![
        note(days(0), '0', LOCKED, "unmet"),
        note(days(1), '0', LOCKED, "met"),
        note(days(16), '0', LOCKED, "unmet"),
    ]);
    history.write_notes(at(days(16)), KEPT);
    let now = at(days(17));
    history.write_notes(now, KEPT);
    let seen = history.notes(&udid('0'), at(0), now, now, KEPT);
    let moved = Note {
        at: at(days(3)),
        ..note(0, '0', LOCKED, "met")
    };
    assert_eq!(seen, [moved, note(days(16), '0', LOCKED, "unmet")]);
    // Removed, not only hidden.
    assert_eq!(rows(dir.path()), 2);
    // Whoever wants nothing kept finds nothing.
    let later = at(days(18));
    history.write_notes(later, Duration::ZERO);
    assert_eq!(history.notes(&udid('0'), at(0), later, later, KEPT), []);
}

fn rows(dir: &Path) -> i64 {
    let connection = Connection::open(dir.join("history.sqlite")).unwrap();
    let count = "SELECT COUNT(*) FROM notes";
    connection.query_row(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn whoever_keeps_less_has_it_removed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let put = |hours| history.put_down(vec![note(hours, '0', LOCKED, "met")]);
    put(0);
    history.write_notes(at(1), KEPT);
    put(70);
    history.write_notes(at(71), KEPT);
    put(71);
    history.write_notes(at(72), KEPT);
    assert_eq!(rows(dir.path()), 3);
    history.write_notes(at(72), DAY);
    let held = history.notes(&udid('0'), at(0), at(72), at(72), DAY);
    let dates: Vec<Wall> = held.iter().map(|it| it.at).collect();
    assert_eq!(dates, [at(48), at(70), at(71)]);
    history.write_notes(at(72), Duration::ZERO);
    assert_eq!(rows(dir.path()), 0);
}

#[test]
fn a_wrong_clock_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let put = |hours| history.put_down(vec![note(hours, '0', LOCKED, "met")]);
    for hours in [0, 1, 2] {
        put(hours);
    }
    history.write_notes(at(2), KEPT);
    drop(history);
    // The computer starts years later, or believes so.
    let history = open(dir.path());
    let put = |hours| history.put_down(vec![note(hours, '0', LOCKED, "unmet")]);
    let years = 24 * 3_650;
    put(years);
    history.write_notes(at(years), KEPT);
    assert_eq!(rows(dir.path()), 4);
    history.believe_date(false);
    put(years + 48);
    history.write_notes(at(years + 48), KEPT);
    assert_eq!(rows(dir.path()), 5);
    put(3);
    history.write_notes(at(3), KEPT);
    assert_eq!(rows(dir.path()), 6, "which of them is wrong is not known");
    history.believe_date(true);
    history.write_notes(at(4), KEPT);
    let held = history.notes(&udid('0'), at(0), at(99), at(4), KEPT);
    let dates: Vec<Wall> = held.iter().map(|it| it.at).collect();
    assert_eq!(dates, [at(0), at(1), at(2), at(3)]);
    assert_eq!(rows(dir.path()), 4);
}

#[test]
fn what_a_full_disk_refuses_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    history.put_down(vec![note(0, '0', LOCKED, "met")]);
    history.write_notes(at(0), KEPT);
    let refuse = |refuses: bool| {
        let guard = history.connection.lock().unwrap();
        let pragma = guard.as_ref().unwrap();
        pragma.pragma_update(None, "query_only", refuses).unwrap();
    };
    refuse(true);
    history.put_down(vec![note(1, '0', LOCKED, "unmet")]);
    history.write_notes(at(1), KEPT);
    // A day later it would remove what is old as well.
    history.put_down(vec![note(30, '0', LOCKED, "met")]);
    history.write_notes(at(30), KEPT);
    assert_eq!(rows(dir.path()), 1);
    let waiting = history.waiting.lock().unwrap().pruned.unwrap();
    assert_eq!(waiting.at, at(0));
    history.put_down(vec![note(1, '0', LOCKED, "met"); WAITING_MAX + 9]);
    history.write_notes(at(31), KEPT);
    let waiting = history.waiting.lock().unwrap().notes.len();
    assert_eq!(waiting, WAITING_MAX);
    refuse(false);
    history.write_notes(at(32), KEPT);
    assert_eq!(rows(dir.path()), 1 + WAITING_MAX as i64);
}

#[test]
fn nothing_is_written_while_nothing_is_put_down() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    history.put_down(vec![note(0, '0', LOCKED, "met")]);
    history.write_notes(at(1), KEPT);
    let wal = dir.path().join("history.sqlite-wal");
    let before = std::fs::metadata(&wal).unwrap();
    for hours in 2..14 {
        history.write_notes(at(hours), KEPT);
        history.write_notes(at(hours * 24), KEPT);
    }
    let after = std::fs::metadata(&wal).unwrap();
    assert_eq!(
        (before.len(), before.modified().unwrap()),
        (after.len(), after.modified().unwrap())
    );
    history.put_down(vec![note(21, '0', LOCKED, "unmet")]);
    history.write_notes(at(21), KEPT);
    assert_ne!(std::fs::metadata(&wal).unwrap().len(), before.len());
}

#[test]
fn a_start_says_how_the_last_daemon_ended() {
    let dir = tempfile::tempdir().unwrap();
    let begin = |now: i64| {
        let history = open(dir.path());
        let beginning = history.begin(at(now), at(now - 1));
        (history, beginning)
    };
    let (history, first) = begin(1);
    assert_eq!(first.note, Some(Note::gap(Gap::Started, None, at(1))));
    history.put_down(first.note.into_iter().collect());
    history.put_down(vec![
        note(2, '0', LOCKED, "met"),
        note(2, '0', What::State, "idle"),
    ]);
    history.put_down(vec![Note::gap(Gap::Stopped, None, at(3))]);
    history.write_notes(at(3), KEPT);

    let (history, second) = begin(4);
    assert_eq!(
        second.note,
        Some(Note::gap(Gap::Started, Some(at(3)), at(4))),
        "it was stopped"
    );
    assert_eq!(second.counts, BTreeMap::new());
    history.put_down(second.note.into_iter().collect());
    history.put_down(vec![note(6, '0', LOCKED, "unmet")]);
    history.write_notes(at(6), KEPT);

    let (_, third) = begin(7);
    assert_eq!(
        third.note,
        Some(Note::gap(Gap::Restarted, Some(at(6)), at(7))),
        "nobody saw it end"
    );
    assert_eq!(third.counts, BTreeMap::from([(udid('0'), 1)]));
}

#[test]
fn without_a_place_to_write_nothing_breaks() {
    let history = History::open(Path::new("/proc/none/history.sqlite"));
    history.put_down(vec![note(0, '0', LOCKED, "met"); WAITING_MAX + 9]);
    history.write_notes(at(0), KEPT);
    assert_eq!(history.notes(&udid('0'), at(0), at(9), at(9), KEPT), []);
    assert_eq!(history.begin(at(0), at(0)), Beginning::default());
    let waiting = history.waiting.lock().unwrap().notes.len();
    assert_eq!(waiting, WAITING_MAX);
}
