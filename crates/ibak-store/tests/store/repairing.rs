//! What a backup builds on when the newest is damaged, known or not, and how the next good one
//! comes about.

use crate::device::*;
use crate::scrubbing::{flip, home, whole};
use ibak_core::BackupId;
use ibak_store::{Full, Generation, Staging, Store, StoreError};
use std::path::Path;

fn device() -> Device {
    Device::new(&[
        ("a", "sixteen bytes ok"),
        ("b", "another sixteen."),
        ("c", "and the last one"),
    ])
}

fn sealed() -> Device {
    Device {
        encrypted: true,
        ..device()
    }
}

fn damaged(store: &Store) -> Vec<Vec<String>> {
    let list = store.list(&udid()).unwrap();
    list.into_iter().map(|found| found.damaged).collect()
}

/// A phone that takes the working copy for whole and sends nothing of what is left out.
fn short_session(staging: &mut Staging) {
    send(staging, "Status.plist", &status("uploading"), at(9)).unwrap();
    send(staging, "Status.plist", &status("finished"), at(9)).unwrap();
}

#[test]
fn the_phone_sends_again_what_is_damaged_and_the_next_one_is_good() {
    for device in [device(), sealed()] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let first = back_up(&store, &device, at(0)).unwrap();
        flip(&home(dir.path(), &first.id).join(place("b")), 7);
        whole(&store, 1);
        let staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
        assert_eq!(staging.parent(), Some(&first.id));
        assert_eq!(read(&staging, &place("b")), None);
        assert_eq!(read(&staging, &place("a")).as_ref(), device.files.get("a"));
        drop(staging);
        let second = back_up(&store, &device, at(3)).unwrap();
        assert!(second.verified && !second.full);
        assert_eq!(content(&store, &second), device.backup());
        assert_eq!(whole(&store, 4).damaged.len(), 0);
        assert_eq!(
            damaged(&store),
            [vec![place("b")], vec![]],
            "history stays as it is"
        );
        let third = back_up(&store, &device, at(5)).unwrap();
        assert_eq!(third.parent, Some(second.id));
    }
}

#[test]
fn a_file_that_is_not_sent_again_is_never_missing_from_a_backup() {
    for device in [device(), sealed()] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let first = back_up(&store, &device, at(0)).unwrap();
        flip(&home(dir.path(), &first.id).join(place("b")), 7);
        whole(&store, 1);
        let mut staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
        short_session(&mut staging);
        let error = staging.commit(done(), at(9)).unwrap_err();
        assert!(matches!(error, StoreError::Incomplete(_)), "{error}");
        assert!(error.to_string().contains(&file_id("b")), "{error}");
        // This phone would do the same again: it gets an empty copy, and sends everything.
        let staging = begin(&store, Full::IfNeeded, at(10)).unwrap();
        assert_eq!(staging.parent(), None);
        drop(staging);
        let second = back_up(&store, &device, at(11)).unwrap();
        assert!(second.full && second.verified);
        let third = back_up(&store, &device, at(12)).unwrap();
        assert_eq!(third.parent, Some(second.id));
    }
}

#[test]
fn a_damaged_file_that_the_phone_no_longer_has_or_cannot_read_is_no_obstacle() {
    type Session = fn(&mut Staging, &str);
    let sessions: [(&str, Session); 3] = [
        ("removed", |staging, path| {
            staging.remove(&tree(path)).unwrap()
        }),
        ("removed with its directory", |staging, path| {
            staging.remove(&tree(&path[..2])).unwrap();
        }),
        ("unreadable", |staging, path| {
            staging.create(&tree(path)).unwrap();
            staging.abandon(Some("Operation not permitted")).unwrap();
        }),
    ];
    for (what, session) in sessions {
        for is_interrupted in [false, true] {
            let dir = scratch_dir();
            let (store, _) = open(dir.path());
            let first = back_up(&store, &sealed(), at(0)).unwrap();
            flip(&home(dir.path(), &first.id).join(place("b")), 7);
            whole(&store, 1);
            let mut staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
            if is_interrupted {
                send(&mut staging, "Status.plist", &status("uploading"), at(2)).unwrap();
                assert_eq!(staging.keep(at(2)), Ok(true));
                staging = begin(&store, Full::IfNeeded, at(3)).unwrap();
                assert!(staging.resumed());
            }
            session(&mut staging, &place("b"));
            short_session(&mut staging);
            let second = staging.commit(done(), at(9)).unwrap();
            assert!(second.verified, "{what}");
            assert!(
                !content(&store, &second).contains_key(&place("b")),
                "{what}"
            );
        }
    }
}

#[test]
fn an_interrupted_session_goes_on_without_what_is_damaged() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let first = back_up(&store, &device(), at(0)).unwrap();
    let mut device = device();
    device.put("a", "changed on phone");
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    upload(&mut staging, &device, at(1)).unwrap();
    assert_eq!(staging.keep(at(1)), Ok(true));
    // Found between the sessions.
    flip(&home(dir.path(), &first.id).join(place("b")), 7);
    whole(&store, 2);
    let staging = begin(&store, Full::IfNeeded, at(3)).unwrap();
    assert!(staging.resumed());
    assert_eq!(read(&staging, &place("b")), None);
    let waiting = format!("Snapshot/{}", place("a"));
    assert_eq!(read(&staging, &waiting), Some(b"changed on phone".to_vec()));
    drop(staging);
    // Stopped once more: it is still left out.
    let staging = begin(&store, Full::IfNeeded, at(4)).unwrap();
    assert!(staging.resumed());
    assert_eq!(read(&staging, &place("b")), None);
    drop(staging);
    let second = back_up(&store, &device, at(5)).unwrap();
    assert!(second.verified);
    assert_eq!(content(&store, &second), device.backup());
    assert_eq!(damaged(&store), [vec![place("b")], vec![]]);
}

#[test]
fn without_its_lists_a_damaged_backup_is_not_built_on() {
    for list in ["Manifest.db", "Manifest.plist", "Status.plist"] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let first = back_up(&store, &device(), at(0)).unwrap();
        flip(&home(dir.path(), &first.id).join(list), 77);
        whole(&store, 1);
        assert_eq!(damaged(&store), [vec![list]]);
        let second = back_up(&store, &device(), at(2)).unwrap();
        assert!(second.full && second.verified, "{list}");
    }
    // The host writes it anyway.
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let first = back_up(&store, &device(), at(0)).unwrap();
    flip(&home(dir.path(), &first.id).join("Info.plist"), 77);
    whole(&store, 1);
    let second = back_up(&store, &device(), at(2)).unwrap();
    assert_eq!((second.parent, second.verified), (Some(first.id), true));
}

#[test]
fn the_newest_damaged_is_built_on_only_when_none_is_good() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made: Vec<Generation> = (0..3)
        .map(|secs| {
            let mut device = device();
            device.put("a", &format!("version {secs} of a."));
            let mut staging = begin(&store, Full::Forced, at(secs)).unwrap();
            run(&mut staging, &device, at(secs)).unwrap();
            staging.commit(done(), at(secs)).unwrap()
        })
        .collect();
    let parent = |secs| {
        let staging = begin(&store, Full::IfNeeded, at(secs)).unwrap();
        let parent = staging.parent().cloned();
        staging.discard().unwrap();
        parent
    };
    let harm = |number: usize| {
        flip(&home(dir.path(), &made[number].id).join(place("a")), 1);
        whole(&store, 9);
    };
    assert_eq!(parent(10), Some(made[2].id.clone()));
    harm(2);
    assert_eq!(parent(11), Some(made[1].id.clone()));
    harm(1);
    assert_eq!(parent(12), Some(made[0].id.clone()));
    harm(0);
    assert_eq!(parent(13), Some(made[2].id.clone()));
    // With an index that is no index, nobody knows what is good in it.
    std::fs::write(
        gens(dir.path())
            .join(made[2].id.as_str())
            .join("index.zst.tmp"),
        "x",
    )
    .unwrap();
    std::fs::remove_file(gens(dir.path()).join(made[2].id.as_str()).join("index.zst")).unwrap();
    assert_eq!(parent(14), Some(made[1].id.clone()));
    whole(&store, 15);
    assert_eq!(parent(16), Some(made[1].id.clone()));
}

#[test]
fn damage_that_nobody_knew_of_is_found_while_cloning() {
    type Harm = fn(&Path);
    let cases: [(&str, Harm, Option<&str>); 6] = [
        (
            "index gone",
            |tree| std::fs::remove_file(tree.join("../index.zst")).unwrap(),
            None,
        ),
        (
            "index other",
            |tree| flip(&tree.join("../index.zst"), 100),
            None,
        ),
        (
            "a file gone",
            |tree| std::fs::remove_file(tree.join(place("b"))).unwrap(),
            Some("b"),
        ),
        (
            "a directory gone",
            |tree| std::fs::remove_dir_all(tree.join(&place("b")[..2])).unwrap(),
            Some("b"),
        ),
        (
            "a link in its place",
            |tree| {
                std::fs::remove_file(tree.join(place("b"))).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", tree.join(place("b"))).unwrap();
            },
            Some("b"),
        ),
        (
            "files gone",
            |tree| std::fs::remove_dir_all(tree).unwrap(),
            None,
        ),
    ];
    for (what, harm, left_out) in cases {
        for has_good_one in [true, false] {
            let dir = scratch_dir();
            let (store, _) = open(dir.path());
            let good: Option<BackupId> =
                has_good_one.then(|| back_up(&store, &device(), at(0)).unwrap().id);
            let mut staging = begin(&store, Full::Forced, at(1)).unwrap();
            run(&mut staging, &device(), at(1)).unwrap();
            let made = staging.commit(done(), at(1)).unwrap();
            harm(&home(dir.path(), &made.id));
            let want = match (&good, left_out) {
                (Some(good), _) => Some(good.clone()),
                (None, Some(_)) => Some(made.id.clone()),
                (None, None) => None,
            };
            let next = back_up(&store, &device(), at(2)).unwrap();
            assert_eq!(next.parent, want, "{what}");
            assert!(next.verified, "{what}");
            assert_eq!(content(&store, &next), device().backup(), "{what}");
            assert!(verify(&store, &next).is_good(), "{what}");
            let list = store.list(&udid()).unwrap();
            let harmed = list.iter().find(|found| found.id == made.id).unwrap();
            assert!(!harmed.verified && !harmed.damaged.is_empty(), "{what}");
            assert_eq!(
                std::fs::read_dir(dir.path().join(UDID).join("staging"))
                    .unwrap()
                    .count(),
                0
            );
        }
    }
}

#[test]
fn what_is_foreign_stays_behind() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &device(), at(0)).unwrap();
    std::fs::write(home(dir.path(), &made.id).join("foreign"), "x").unwrap();
    let next = back_up(&store, &device(), at(1)).unwrap();
    assert_eq!(content(&store, &next), device().backup());
    assert_eq!(damaged(&store), [vec!["foreign".to_owned()], vec![]]);
}

#[test]
fn damage_found_while_the_phone_sends_is_found_in_the_new_backup_too() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let first = back_up(&store, &device(), at(0)).unwrap();
    let mut changed = device();
    changed.put("a", "changed on phone");
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    run(&mut staging, &changed, at(1)).unwrap();
    for name in ["a", "b"] {
        flip(&home(dir.path(), &first.id).join(place(name)), 7);
    }
    assert_eq!(verify(&store, &first).damaged.len(), 2);
    let second = staging.commit(done(), at(2)).unwrap();
    assert_eq!(
        (second.verified, &second.damaged),
        (false, &vec![place("b")])
    );
    let list = store.list(&udid()).unwrap();
    assert_eq!(
        (&list[1].damaged, list[1].verified),
        (&vec![place("b")], false)
    );
    assert_eq!(content(&store, &second)[&place("a")], b"changed on phone");
    let third = back_up(&store, &changed, at(3)).unwrap();
    assert_eq!(
        (third.parent.as_ref(), third.verified),
        (Some(&second.id), true)
    );
    assert!(verify(&store, &third).is_good());
}

#[test]
fn a_store_from_before_records_had_seals_is_read_and_goes_on() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let first = back_up(&store, &device(), at(0)).unwrap();
    whole(&store, 1);
    store.pin(&udid(), &first.id, true).unwrap();
    drop(store);
    let records = [
        gens(dir.path()).join(first.id.as_str()).join("commit.json"),
        dir.path().join(UDID).join("checks.json"),
        dir.path().join(UDID).join("pins.json"),
    ];
    let unsealed = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let (body, _) = text.split_once(",\n  \"blake3\": \"").unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, format!("{body}\n}}\n")).unwrap();
    };
    for record in &records {
        unsealed(record);
    }
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.quarantined, []);
    let list = store.list(&udid()).unwrap();
    assert!(list[0].verified && list[0].pinned && !list[0].guarded);
    assert_eq!(list[0].checked, Some(at(1).wall));
    assert!(verify(&store, &first).is_good());
    let second = back_up(&store, &device(), at(2)).unwrap();
    assert_eq!(second.parent.as_ref(), Some(&first.id));
    // Other words than were written are seen there too, if the seal itself is what was hit.
    let record = gens(dir.path())
        .join(second.id.as_str())
        .join("commit.json");
    let text = std::fs::read_to_string(&record).unwrap();
    flip(&record, text.find("\"blake3\"").unwrap() * 8 + 9);
    assert_eq!(damaged(&store)[1], ["its record commit.json is damaged"]);
}
