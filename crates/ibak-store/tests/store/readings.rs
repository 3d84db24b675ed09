//! What is known of readings: lost, garbled, too much of it; and what is never read twice.

use crate::device::*;
use crate::scrubbing::{dates, flip, found, home, inode, three, watched, whole};
use ibak_core::Wall;
use ibak_store::Full;
use std::ops::ControlFlow;

#[test]
fn losing_how_far_it_was_costs_a_new_pass_and_nothing_else() {
    for garbage in [b"".as_slice(), b"{", b"[]", b"\0\0\0\0"] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        three(&store);
        let report = store
            .scrub(&udid(), at(9).wall, &mut |told| {
                if told.files == 10 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .unwrap();
        assert!(!report.complete);
        std::fs::write(dir.path().join(UDID).join("scrub.json"), garbage).unwrap();
        assert_eq!(whole(&store, 20).backups, 3);
        assert_eq!(dates(&store), [Some(at(20).wall); 3]);
    }
}

#[test]
fn a_lost_record_of_readings_is_made_again() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    flip(&home(dir.path(), &made[0].id).join(place("b")), 1);
    whole(&store, 5);
    assert_eq!(store.last_read(&udid()), Ok(Some(at(5).wall)));
    let checks = dir.path().join(UDID).join("checks.json");
    // One bit of a path: still a list, and not what was written.
    let bytes = std::fs::read(&checks).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    flip(&checks, text.find(&place("b")).unwrap() * 8);
    assert_eq!(
        store.last_read(&udid()),
        Ok(Some(Wall::from_micros(0))),
        "due at once"
    );
    let list = store.list(&udid()).unwrap();
    assert!(
        list.iter().all(|found| found.guarded),
        "nobody knows which is good"
    );
    // A single reading does not say what the others had found.
    verify(&store, &made[2]);
    assert_eq!(store.last_read(&udid()), Ok(Some(Wall::from_micros(0))));
    whole(&store, 6);
    assert_eq!(store.last_read(&udid()), Ok(Some(at(6).wall)));
    assert_eq!(found(&store), [vec![place("b")], vec![], vec![]]);
    assert!(
        store
            .list(&udid())
            .unwrap()
            .iter()
            .all(|found| !found.guarded)
    );
}

#[test]
fn a_backup_with_too_much_damage_says_so_in_one_sentence() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = Device::default();
    for number in 0..1001 {
        device.put(&format!("{number}"), &format!("content of {number}"));
    }
    let made = back_up(&store, &device, at(0)).unwrap();
    for number in 0..1001 {
        flip(
            &home(dir.path(), &made.id).join(place(&format!("{number}"))),
            9,
        );
    }
    whole(&store, 1);
    assert_eq!(found(&store), [["more than 1000 of its files are damaged"]]);
    assert_eq!(verify(&store, &made).damaged.len(), 1001);
    assert_eq!(begin(&store, Full::IfNeeded, at(2)).unwrap().parent(), None);
}

#[test]
fn a_commit_reads_no_content_again() {
    let dir = scratch_dir();
    let (store, fs) = watched(dir.path());
    let mut device = Device::default();
    for number in 0..50 {
        device.put(&format!("{number}"), &"content ".repeat(1000));
    }
    for round in 0..2 {
        let mut staging = begin(&store, Full::IfNeeded, at(round)).unwrap();
        run(&mut staging, &device, at(round)).unwrap();
        fs.take_read();
        let copied = fs.copied();
        let made = staging.commit(done(), at(round)).unwrap();
        let read = fs.take_read();
        assert_eq!(fs.copied(), copied);
        for (path, _) in device.backup() {
            let inode = inode(&home(dir.path(), &made.id).join(&path));
            // SQLite looks at the list of files by itself.
            let is_list = path.ends_with(".plist");
            assert_eq!(
                read.contains_key(&inode),
                is_list,
                "{path} in round {round}"
            );
        }
        device.put("7", "another");
    }
}
