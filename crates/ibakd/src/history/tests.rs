//! Tests of the history.

use super::*;

fn attempt(started: i64) -> Attempt {
    Attempt {
        phone: Udid::parse("00008030-001A2B3C4D5E6F70").unwrap(),
        kind: "backup".into(),
        job: 7,
        started: Wall::from_secs(started),
        ended: Wall::from_secs(started + 5),
        trigger: "schedule".into(),
        result: "succeeded".into(),
        device_code: 0,
        detail: String::new(),
        backup: Some("01JD8Z3YQ9V6W2X4T5R7P8N0KM".into()),
        bytes: 12,
        files: 3,
        waits_for: "power,locked".into(),
    }
}

#[test]
fn attempts_come_back_in_order_and_only_the_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.sqlite");
    let history = History::open(&path);
    for started in [30, 10, 20] {
        history.record(&attempt(started));
    }
    drop(history);
    let history = History::open(&path);
    assert_eq!(
        history.attempts(&attempt(0).phone, Wall::from_secs(20), true),
        [attempt(20), attempt(30)]
    );
    let other = Udid::parse("00008030-001A2B3C4D5E6F71").unwrap();
    assert_eq!(history.attempts(&other, Wall::default(), true), []);
}

#[test]
fn a_file_of_the_first_version_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.sqlite");
    // As version 0.1 made it.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE attempts (
                id INTEGER PRIMARY KEY, phone TEXT NOT NULL, job INTEGER NOT NULL, started INTEGER NOT NULL,
                ended INTEGER NOT NULL, trigger TEXT NOT NULL, result TEXT NOT NULL, device_code INTEGER NOT NULL,
                detail TEXT NOT NULL, backup TEXT, bytes INTEGER NOT NULL, files INTEGER NOT NULL);
            INSERT INTO attempts (phone, job, started, ended, trigger, result, device_code, detail, backup, bytes, files)
            VALUES ('00008030-001A2B3C4D5E6F70', 7, 10000000, 15000000, 'schedule', 'succeeded', 0, '',
                    '01JD8Z3YQ9V6W2X4T5R7P8N0KM', 12, 3);
            PRAGMA user_version = 1;",
        )
        .unwrap();
    let history = History::open(&path);
    let old = Attempt {
        waits_for: String::new(),
        ..attempt(10)
    };
    assert_eq!(
        history.attempts(&attempt(0).phone, Wall::default(), true),
        [old.clone()]
    );
    let verified = Attempt {
        kind: "verify".into(),
        ..attempt(20)
    };
    history.record(&verified);
    drop(history);
    let history = History::open(&path);
    assert_eq!(
        history.attempts(&attempt(0).phone, Wall::default(), true),
        [old, verified]
    );
    history.forget(&attempt(0).phone);
    assert_eq!(
        history.attempts(&attempt(0).phone, Wall::default(), true),
        []
    );
}

#[test]
fn what_was_used_day_by_day() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(&dir.path().join("history.sqlite"));
    let (ada, bob) = ("00008030-001A2B3C4D5E6F70", "00008030-001A2B3C4D5E6F71");
    let at = |hours: i64| Wall::from_secs(hours * 3600);
    for (phone, hours, used) in [
        (ada, 1, 10),
        (ada, 2, 11),
        (bob, 3, 100),
        (ada, 49, 20),
        (bob, 80, 90),
    ] {
        history.note_use(&Use {
            phone: Udid::parse(phone).unwrap(),
            at: at(hours),
            used: Bytes::new(used),
        });
    }
    let plain = |samples: Vec<(Wall, Bytes)>| -> Vec<(i64, u64)> {
        let plain = |(at, used): (Wall, Bytes)| (at.as_secs() / 3600, used.get());
        samples.into_iter().map(plain).collect()
    };
    let ada = Udid::parse(ada).unwrap();
    assert_eq!(plain(history.uses(&ada, at(0))), [(2, 11), (49, 20)]);
    assert_eq!(plain(history.uses(&ada, at(3))), [(49, 20)]);
    assert_eq!(
        plain(history.uses_of_all(at(0))),
        [(3, 111), (49, 120), (80, 110)]
    );
    history.forget(&ada);
    assert_eq!(plain(history.uses_of_all(at(0))), [(3, 100), (80, 90)]);
}

#[test]
fn a_damaged_file_is_set_aside_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.sqlite");
    std::fs::write(&path, vec![0x5a; 8192]).unwrap();
    let history = History::open(&path);
    history.record(&attempt(10));
    assert_eq!(
        history.attempts(&attempt(0).phone, Wall::default(), true),
        [attempt(10)]
    );
    assert_eq!(
        std::fs::read(path.with_extension("damaged")).unwrap(),
        vec![0x5a; 8192]
    );
}

#[test]
fn without_a_place_to_write_nothing_breaks() {
    let history = History::open(Path::new("/proc/none/history.sqlite"));
    history.record(&attempt(10));
    assert_eq!(
        history.attempts(&attempt(0).phone, Wall::default(), true),
        []
    );
}
