//! The scrub: everything once, stopped and gone on with, and what it finds is told of every backup
//! that holds it.

use crate::device::*;
use crate::watch::{Inode, WatchFs};
use ibak_core::{BackupId, Wall};
use ibak_store::fs::{Errno, Fs};
use ibak_store::{Full, Generation, Remover, ScrubProgress, ScrubReport, Store, StoreError};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const DAY: u64 = 86_400;

pub fn whole<F: Fs>(store: &Store<F>, secs: u64) -> ScrubReport {
    let report = store
        .scrub(&udid(), at(secs).wall, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!(report.complete);
    report
}

/// Where a backup's MobileSync directory lies.
pub fn home(dir: &Path, id: &BackupId) -> PathBuf {
    gens(dir).join(id.as_str()).join(UDID)
}

pub fn inode(path: &Path) -> Inode {
    let meta = path.symlink_metadata().unwrap();
    (meta.dev(), meta.ino())
}

/// Changes one bit of a file, through whichever name.
pub fn flip(path: &Path, bit: usize) {
    let meta = std::fs::metadata(path).unwrap();
    let modified = meta.modified().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o400)).unwrap();
}

pub fn found(store: &Store<impl Fs>) -> Vec<Vec<String>> {
    let list = store.list(&udid()).unwrap();
    list.iter().for_each(|found| {
        assert_eq!(found.verified, found.damaged.is_empty(), "{found:?}");
    });
    list.into_iter().map(|found| found.damaged).collect()
}

pub fn dates(store: &Store<impl Fs>) -> Vec<Option<Wall>> {
    let list = store.list(&udid()).unwrap();
    list.into_iter().map(|found| found.checked).collect()
}

/// Everything that lies in MobileSync directories: inode, length.
fn blobs(dir: &Path) -> BTreeMap<Inode, u64> {
    let tree = |path: &PathBuf| path.ancestors().any(|above| above.ends_with(UDID));
    let below = |id: PathBuf| fingerprint(&id.join(UDID)).into_keys().filter(tree);
    std::fs::read_dir(gens(dir))
        .unwrap()
        .flat_map(|id| below(id.unwrap().path()))
        .filter(|path| path.is_file())
        .map(|path| (inode(&path), path.metadata().unwrap().len()))
        .collect()
}

/// Three backups that share most, the second of which nobody built on.
pub fn three<F: Fs>(store: &Store<F>) -> (Device, Vec<Generation>) {
    let mut device = Device::new(&[("a", "first"), ("b", "second"), ("c", "")]);
    device.put("large", &"0123456789abcdef".repeat(200_000));
    let first = back_up(store, &device, at(0)).unwrap();
    device.put("a", "changed");
    let mut staging = begin(store, Full::Forced, at(1)).unwrap();
    run(&mut staging, &device, at(1)).unwrap();
    let second = staging.commit(done(), at(1)).unwrap();
    device.put("b", "changed too");
    let third = back_up(store, &device, at(2)).unwrap();
    assert_eq!(third.parent.as_ref(), Some(&second.id));
    (device, vec![first, second, third])
}

pub fn watched(dir: &Path) -> (Store<WatchFs>, WatchFs) {
    let fs = WatchFs::default();
    let (store, _) = Store::open_on(fs.clone(), dir, options(0)).unwrap();
    (store, fs)
}

#[test]
fn every_distinct_file_is_read_once_and_every_backup_gets_its_date() {
    let dir = scratch_dir();
    let (store, fs) = watched(dir.path());
    assert_eq!(store.last_read(&udid()), Ok(None));
    assert!(whole(&store, 0).complete, "nothing to read");
    let (_, made) = three(&store);
    assert_eq!(store.last_read(&udid()), Ok(Some(made[0].finished)));
    for secs in [10, 20] {
        fs.take_read();
        let report = whole(&store, secs);
        let read = fs.take_read();
        let blobs = blobs(dir.path());
        for (inode, size) in &blobs {
            assert_eq!(read.get(inode).copied().unwrap_or_default(), *size);
        }
        let bytes: u64 = blobs.values().sum();
        let index = |made: &Generation| gens(dir.path()).join(made.id.as_str()).join("index.zst");
        let indexes: u64 = made
            .iter()
            .map(|made| index(made).metadata().unwrap().len())
            .sum();
        assert_eq!(report.bytes, bytes + indexes);
        assert_eq!((report.backups, report.files), (3, blobs.len() as u64));
        assert_eq!(report.damaged, BTreeMap::new());
        assert_eq!(dates(&store), [Some(at(secs).wall); 3]);
        assert_eq!(store.last_read(&udid()), Ok(Some(at(secs).wall)));
        assert!(!dir.path().join(UDID).join("scrub.json").exists());
    }
}

#[test]
fn a_call_comes_before_each_file_and_once_a_mib_and_says_how_far_it_is() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    three(&store);
    let mut calls: Vec<ScrubProgress> = Vec::new();
    let report = store
        .scrub(&udid(), at(9).wall, &mut |told| {
            calls.push(told);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(calls.iter().all(|told| told.read <= 1 << 20));
    assert_eq!(
        calls.iter().map(|told| told.read).sum::<u64>(),
        report.bytes
    );
    assert!(calls.is_sorted_by_key(|told| (told.bytes, told.files)));
    let last = calls.last().unwrap();
    assert_eq!((last.files_total, last.bytes), (24, report.bytes));
    // Each of the two large files is read in four pieces.
    assert!(calls.len() >= 24 + 8, "{}", calls.len());
    let files: Vec<u64> = calls.iter().map(|told| told.files).collect();
    assert!((0..24).all(|number| files.contains(&number)), "{files:?}");
}

#[test]
fn it_can_be_stopped_anywhere_and_goes_on() {
    for every in [1, 2, 3, 7, 20] {
        let dir = scratch_dir();
        let (store, fs) = watched(dir.path());
        let (_, made) = three(&store);
        let large = inode(&home(dir.path(), &made[2].id).join(place("large")));
        flip(&home(dir.path(), &made[0].id).join(place("b")), 3);
        drop(store);
        fs.take_read();
        let mut rounds = 0;
        loop {
            // Each time by another process.
            let (store, _) = Store::open_on(fs.clone(), dir.path(), options(0)).unwrap();
            let mut calls = 0;
            let report = store
                .scrub(&udid(), at(rounds).wall, &mut |told| {
                    // Inside a file or an index there is nothing to go on from.
                    calls += u64::from(told.read == 0);
                    if calls > every {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .unwrap();
            rounds += 1;
            if report.complete {
                assert_eq!(found(&store), [vec![place("b")], vec![], vec![]]);
                let dates = dates(&store);
                assert!(
                    dates.iter().all(|date| *date >= Some(at(0).wall)),
                    "{dates:?}"
                );
                break;
            }
            assert!(dir.path().join(UDID).join("scrub.json").exists());
        }
        assert!(rounds > 20 / every, "{rounds}");
        let read = fs.take_read();
        for (inode, size) in blobs(dir.path()) {
            // Damage found before a stop is looked at again; all else is read once.
            let want = if inode == large {
                size..=size
            } else {
                size..=2 * size
            };
            assert!(want.contains(&read.get(&inode).copied().unwrap_or_default()));
        }
    }
}

#[test]
fn a_large_file_that_was_stopped_in_the_middle_begins_anew() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    three(&store);
    let mut stops = 0;
    loop {
        let mut told_large = 0;
        let report = store
            .scrub(&udid(), at(9).wall, &mut |told| {
                told_large += u64::from(told.read > 1 << 19);
                if stops < 5 && told_large == 2 {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        if report.complete {
            break;
        }
        stops += 1;
    }
    assert_eq!(stops, 5);
    assert_eq!(found(&store), [vec![], vec![], Vec::<String>::new()]);
}

#[test]
fn damage_marks_every_backup_that_holds_it() {
    type Reading = fn(&Store, &[Generation]) -> usize;
    let readings: [(&str, Reading); 4] = [
        ("scrub", |store, _| whole(store, 9).damaged.len()),
        ("newest", |store, made| {
            verify(store, &made[2]).damaged.len()
        }),
        ("middle", |store, made| {
            verify(store, &made[1]).damaged.len()
        }),
        ("oldest", |store, made| {
            verify(store, &made[0]).damaged.len()
        }),
    ];
    for (what, reading) in readings {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let mut device = Device::new(&[("a", "first"), ("b", "second"), ("c", "third")]);
        let mut made = Vec::new();
        for number in 0..3 {
            device.put("a", &format!("{number}"));
            if number == 2 {
                device.put("b", "only in the last");
            }
            made.push(back_up(&store, &device, at(number)).unwrap());
        }
        let latest = || std::fs::read_link(dir.path().join(UDID).join("latest")).unwrap();
        // Held by the first two, and by all three.
        flip(&home(dir.path(), &made[0].id).join(place("b")), 1);
        let expected = if what == "newest" { 0 } else { 1 };
        assert!(reading(&store, &made) >= expected, "{what}");
        let b = vec![place("b")];
        let want = if what == "newest" {
            [vec![], vec![], vec![]]
        } else {
            [b.clone(), b.clone(), vec![]]
        };
        assert_eq!(found(&store), want, "{what}");
        assert!(latest().ends_with(made[2].id.as_str()), "{what}");
        flip(&home(dir.path(), &made[1].id).join(place("c")), 1);
        assert!(reading(&store, &made) >= 1, "{what}");
        let c = place("c");
        assert!(
            found(&store).iter().all(|paths| paths.contains(&c)),
            "{what}"
        );
        // Nothing but the name: the others have theirs.
        let gone = home(dir.path(), &made[2].id).join(place("a"));
        std::fs::remove_file(gone).unwrap();
        whole(&store, 20);
        let holders: Vec<bool> = found(&store)
            .iter()
            .map(|paths| paths.contains(&place("a")))
            .collect();
        assert_eq!(holders, [false, false, true], "{what}");
    }
}

#[test]
fn latest_shows_the_newest_that_is_whole() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = Device::new(&[("a", "first"), ("b", "second")]);
    let first = back_up(&store, &device, at(0)).unwrap();
    device.put("a", "changed");
    let second = back_up(&store, &device, at(1)).unwrap();
    flip(&home(dir.path(), &second.id).join(place("a")), 1);
    let report = whole(&store, 2);
    assert_eq!(
        report.damaged,
        BTreeMap::from([(second.id, vec![place("a")])])
    );
    let latest = std::fs::read_link(dir.path().join(UDID).join("latest")).unwrap();
    assert!(latest.ends_with(first.id.as_str()));
    assert_eq!(whole(&store, 3).damaged, BTreeMap::new(), "known already");
}

#[test]
fn a_copy_of_a_bad_file_is_marked_and_another_version_is_not() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = Device::new(&[("a", "the same"), ("b", "12345")]);
    let first = back_up(&store, &device, at(0)).unwrap();
    device.put("b", "54321");
    let second = back_up(&store, &device, at(1)).unwrap();
    for name in ["a", "b"] {
        flip(&home(dir.path(), &first.id).join(place(name)), 5);
    }
    // As it is after a file had all the names it can have: a copy of its own, of the bad content.
    let twin = home(dir.path(), &second.id).join(place("a"));
    let bytes = std::fs::read(&twin).unwrap();
    std::fs::remove_file(&twin).unwrap();
    std::fs::write(&twin, bytes).unwrap();
    assert_eq!(verify(&store, &first).damaged.len(), 2);
    let mut both = vec![place("a"), place("b")];
    both.sort();
    assert_eq!(found(&store), [both, vec![place("a")]]);
}

#[test]
fn what_the_disk_cannot_read_is_damage_and_other_trouble_is_not() {
    let dir = scratch_dir();
    let (store, fs) = watched(dir.path());
    let (_, made) = three(&store);
    let shared = inode(&home(dir.path(), &made[2].id).join(place("a")));
    fs.fail(shared, Some(Errno::MFILE));
    let go_on = &mut |_| ControlFlow::Continue(());
    let error = store.scrub(&udid(), at(5).wall, go_on).unwrap_err();
    assert!(matches!(
        error,
        StoreError::System {
            errno: Errno::MFILE,
            ..
        }
    ));
    assert_eq!(found(&store), [vec![], vec![], Vec::<String>::new()]);
    fs.fail(shared, Some(Errno::IO));
    whole(&store, 6);
    assert_eq!(found(&store), [vec![], vec![place("a")], vec![place("a")]]);
    // It was a cable.
    fs.fail(shared, None);
    whole(&store, 7);
    assert_eq!(found(&store), [vec![], vec![], Vec::<String>::new()]);
}

#[test]
fn backups_that_come_and_go_meanwhile_are_no_error() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (mut device, made) = three(&store);
    device.put("d", "new");
    let mut calls = 0;
    let report = store
        .scrub(&udid(), at(9).wall, &mut |_| {
            calls += 1;
            if calls == 4 {
                let newest = store.remove(&udid(), &made[2].id, Remover::Person);
                assert_eq!(newest, Err(StoreError::InUse(made[2].id.clone())));
                store.remove(&udid(), &made[1].id, Remover::Person).unwrap();
                back_up(&store, &device, at(9)).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(report.complete);
    assert_eq!(
        (report.backups, dates(&store)),
        (3, vec![Some(at(9).wall); 3])
    );
    assert_eq!(found(&store), [vec![], vec![], Vec::<String>::new()]);
    // And what was read first goes while the last is read.
    let ids: Vec<BackupId> = store
        .list(&udid())
        .unwrap()
        .into_iter()
        .map(|f| f.id)
        .collect();
    let mut gone = 0;
    let report = store
        .scrub(&udid(), at(10).wall, &mut |told| {
            if told.files >= 9 && gone == 0 {
                gone += 1;
                store.remove(&udid(), &ids[2], Remover::Person).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(report.complete && gone == 1);
    assert_eq!(dates(&store), [Some(at(10).wall); 2]);
}

#[test]
fn a_date_is_never_younger_than_what_was_read() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    let stop_after = |files: u64, secs| {
        store
            .scrub(&udid(), at(secs).wall, &mut |told| {
                if told.files >= files {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .unwrap()
            .complete
    };
    assert!(
        !stop_after(9, DAY),
        "the newest, and one file of the second"
    );
    assert_eq!(dates(&store), [None, None, Some(at(DAY).wall)]);
    assert!(stop_after(99, 5 * DAY));
    // The second shares with the third; the first shares with none.
    let want = [5 * DAY, DAY, DAY].map(|secs| Some(at(secs).wall));
    assert_eq!(dates(&store), want);
    assert_eq!(store.last_read(&udid()), Ok(Some(at(DAY).wall)));
    // A person's own reading is younger than what a pass knows, and stays.
    assert!(!stop_after(9, 6 * DAY));
    let go_on = &mut |_| ControlFlow::Continue(());
    store
        .verify(&udid(), &made[1].id, at(7 * DAY).wall, go_on)
        .unwrap();
    assert!(stop_after(99, 8 * DAY));
    let want = [8 * DAY, 7 * DAY, 6 * DAY].map(|secs| Some(at(secs).wall));
    assert_eq!(dates(&store), want);
    // However old, a pass is gone on with and says so; one from a time to come is begun anew.
    assert!(!stop_after(9, 10 * DAY));
    assert!(stop_after(99, 41 * DAY));
    let want = [41 * DAY, 10 * DAY, 10 * DAY].map(|secs| Some(at(secs).wall));
    assert_eq!(dates(&store), want);
    assert!(!stop_after(9, 50 * DAY));
    assert!(stop_after(99, 45 * DAY));
    let want = [45 * DAY, 45 * DAY, 50 * DAY].map(|secs| Some(at(secs).wall));
    assert_eq!(dates(&store), want, "the clock went back");
}

#[test]
fn what_others_find_during_a_pass_is_not_forgotten() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    let a = home(dir.path(), &made[2].id).join(place("a"));
    let mut calls = 0;
    store
        .scrub(&udid(), at(9).wall, &mut |told| {
            // All of the newest is read, and nothing of the second.
            calls += u64::from(told.files == 8);
            if calls == 1 && told.files == 8 {
                flip(&a, 2);
                assert_eq!(verify(&store, &made[1]).damaged, [place("a")]);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(calls > 0);
    assert_eq!(found(&store), [vec![], vec![place("a")], vec![place("a")]]);
    // Healed by hand: the next reading says so.
    flip(&a, 2);
    assert!(verify(&store, &made[1]).is_good());
    assert_eq!(found(&store), [vec![], vec![], vec![place("a")]]);
    whole(&store, 20);
    assert_eq!(found(&store), [vec![], vec![], Vec::<String>::new()]);
}

#[test]
fn one_scrub_of_a_phone_at_a_time() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    three(&store);
    let mut inner = None;
    let mut go_on = |_: ScrubProgress| ControlFlow::Continue(());
    store
        .scrub(&udid(), at(9).wall, &mut |_| {
            inner = Some(store.scrub(&udid(), at(9).wall, &mut go_on));
            ControlFlow::Break(())
        })
        .unwrap();
    let error = inner.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("are being read already"),
        "{error}"
    );
    whole(&store, 10);
}
