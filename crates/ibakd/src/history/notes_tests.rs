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
    let now = at(days(17));
    history.write_notes(now, KEPT);
    let seen = history.notes(&udid('0'), at(0), now, now, KEPT);
    let moved = Note {
        at: at(days(3)),
        ..note(0, '0', LOCKED, "met")
    };
    assert_eq!(seen, [moved, note(days(16), '0', LOCKED, "unmet")]);
    // Removed, not only hidden.
    let rows: i64 = Connection::open(dir.path().join("history.sqlite"))
        .unwrap()
        .query_row("SELECT COUNT(*) FROM notes", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 2);
    // Whoever wants nothing kept finds nothing.
    let later = at(days(18));
    history.write_notes(later, Duration::ZERO);
    assert_eq!(history.notes(&udid('0'), at(0), later, later, KEPT), []);
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
