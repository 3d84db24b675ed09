//! The poison guard: what a new backup has lost, or is encrypted otherwise, keeps the one before.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::scrubbing::flip;
use ibak_store::fs::Fs;
use ibak_store::{Full, Generation, Recovery, Remover, Store, StoreError};

fn many(files: usize) -> Device {
    let mut device = Device::default();
    for number in 0..files {
        device.put(&format!("Library/{number}"), "sixteen bytes ok");
    }
    device
}

fn guards<F: Fs>(store: &Store<F>) -> Vec<bool> {
    let list = store.list(&udid()).unwrap();
    list.iter().map(|found| found.guarded).collect()
}

/// Why, as pins.json says it.
fn reasons(dir: &std::path::Path) -> Vec<String> {
    let Ok(bytes) = std::fs::read(dir.join(UDID).join("pins.json")) else {
        return Vec::new();
    };
    let pins: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let guarded = pins["guarded"].as_array().cloned().unwrap_or_default();
    guarded
        .iter()
        .map(|guard| guard["why"].as_str().unwrap().to_owned())
        .collect()
}

fn next(store: &Store, device: &Device, full: Full, secs: u64) -> Generation {
    let mut staging = begin(store, full, at(secs)).unwrap();
    run(&mut staging, device, at(secs)).unwrap();
    staging.commit(done(), at(secs)).unwrap()
}

#[test]
fn what_follows_decides() {
    type Change = fn(&mut Device);
    let cases: [(&str, usize, Change, &[&str]); 9] = [
        ("the same", 40, |_| {}, &[]),
        ("more", 40, |device| *device = many(90), &[]),
        ("a few less", 40, |device| *device = many(30), &[]),
        ("half", 40, |device| *device = many(20), &["fewer-files"]),
        ("nothing", 40, |device| *device = many(0), &["fewer-files"]),
        ("an empty phone", 10, |device| *device = many(0), &[]),
        (
            "emptied files",
            40,
            |device| {
                for content in device.files.values_mut() {
                    content.clear();
                }
                device.files.insert("large".into(), vec![]);
            },
            &["fewer-bytes"],
        ),
        (
            "encrypted",
            40,
            |device| device.encrypted = true,
            &["encryption-on"],
        ),
        (
            "encrypted, small",
            1,
            |device| device.encrypted = true,
            &["encryption-on"],
        ),
    ];
    for (what, files, change, want) in cases {
        for full in [Full::IfNeeded, Full::Forced] {
            let dir = scratch_dir();
            let (store, _) = open(dir.path());
            let mut device = many(files);
            // So that the lists of the protocol are no great part of it.
            device.put("large", &"large".repeat(20_000));
            back_up(&store, &device, at(0)).unwrap();
            change(&mut device);
            if !want.contains(&"fewer-bytes") {
                device.put("large", &"large".repeat(20_000));
            }
            if device.encrypted {
                device.put("large", &"0123456789abcdef".repeat(6_250));
            }
            let made = next(&store, &device, full, 1);
            assert!(made.verified, "{what}: committed all the same");
            assert_eq!(reasons(dir.path()), want, "{what}");
            assert_eq!(guards(&store), [!want.is_empty(), false], "{what}");
        }
    }
}

#[test]
fn encryption_switched_off_is_guarded_too_and_a_person_ends_it() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = many(3);
    device.encrypted = true;
    let first = back_up(&store, &device, at(0)).unwrap();
    device.encrypted = false;
    let second = back_up(&store, &device, at(1)).unwrap();
    assert_eq!(reasons(dir.path()), ["encryption-off"]);
    assert_eq!(guards(&store), [true, false]);
    assert!(matches!(
        store.remove(&udid(), &first.id, Remover::Plan),
        Err(StoreError::Refused { .. })
    ));
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(guards(&store), [true, false], "it outlives the process");
    assert_eq!(store.pin(&udid(), &first.id, false), Ok(true));
    assert_eq!(guards(&store), [false, false]);
    // What follows the second has lost nothing against it.
    back_up(&store, &device, at(2)).unwrap();
    assert_eq!(guards(&store), [false; 3]);
    store.remove(&udid(), &second.id, Remover::Plan).unwrap();
}

#[test]
fn the_last_one_from_before_stays_guarded_whatever_follows() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    back_up(&store, &many(60), at(0)).unwrap();
    for secs in 1..5 {
        back_up(&store, &many(10), at(secs)).unwrap();
    }
    assert_eq!(guards(&store), [true, false, false, false, false]);
    back_up(&store, &many(80), at(5)).unwrap();
    back_up(&store, &many(10), at(6)).unwrap();
    assert_eq!(reasons(dir.path()).len(), 2);
    assert!(guards(&store)[5]);
}

#[test]
fn wherever_a_commit_ends_nothing_poisoned_is_listed_without_the_guard() {
    let mut listed = 0;
    let mut guarded_for_nothing = 0;
    let mut number = 0;
    loop {
        let mut reached = false;
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let dir = scratch_dir();
            let (store, _) = open(dir.path());
            back_up(&store, &many(25), at(0)).unwrap();
            drop(store);
            // Only the commit is of interest: operations before it are counted and left alone.
            let count = |fs: &FaultFs| {
                let (store, _) = Store::open_on(fs.clone(), dir.path(), options(1)).unwrap();
                let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
                run(&mut staging, &many(5), at(1)).unwrap();
                (fs.operations(), staging.keep(at(1)))
            };
            let fs = FaultFs::new(Fault::None, 0);
            let (before, kept) = count(&fs);
            assert_eq!(kept, Ok(false));
            let fs = FaultFs::new(fault, before + number);
            let crashed = {
                let opened = Store::open_on(fs.clone(), dir.path(), options(2));
                let outcome = opened.and_then(|(store, _)| {
                    let mut staging = begin(&store, Full::IfNeeded, at(2))?;
                    run(&mut staging, &many(5), at(2))?;
                    staging.commit(done(), at(2))
                });
                reached |= fs.operations() > before + number;
                outcome.is_err()
            };
            let (store, _): (_, Recovery) = open(dir.path());
            let list = store.list(&udid()).unwrap();
            let guards = guards(&store);
            assert!(list.len() > 1 || crashed);
            if list.len() > 1 {
                listed += 1;
                assert_eq!(guards, [true, false], "{fault:?} at {number}");
            } else {
                guarded_for_nothing += usize::from(guards[0]);
            }
        }
        if !reached {
            break;
        }
        number += 1;
    }
    assert!(
        listed > 10 && guarded_for_nothing > 10 && number > 30,
        "{listed} {guarded_for_nothing} {number}"
    );
}

#[test]
fn pins_that_cannot_be_read_keep_everything() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made: Vec<Generation> = (0..3)
        .map(|secs| back_up(&store, &many(3), at(secs)).unwrap())
        .collect();
    store.pin(&udid(), &made[1].id, true).unwrap();
    let pins = dir.path().join(UDID).join("pins.json");
    // One bit of the id: still a list, and not what was written.
    let text = std::fs::read_to_string(&pins).unwrap();
    flip(&pins, text.find(made[1].id.as_str()).unwrap() * 8 + 25 * 8);
    for id in made.iter().map(|made| &made.id) {
        assert!(matches!(
            store.remove(&udid(), id, Remover::Plan),
            Err(StoreError::Refused { .. })
        ));
    }
    assert_eq!(guards(&store), [true; 3]);
    // A person sorts it out, one by one.
    store.pin(&udid(), &made[1].id, true).unwrap();
    store.pin(&udid(), &made[0].id, false).unwrap();
    let list = store.list(&udid()).unwrap();
    let kept: Vec<(bool, bool)> = list
        .iter()
        .map(|found| (found.pinned, found.guarded))
        .collect();
    assert_eq!(kept[0], (false, false));
    assert!(kept[1].0);
    assert_eq!(kept[2], (false, true));
}
