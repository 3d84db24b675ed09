//! What was lost, or cannot be read, is never taken for good.

use crate::device::*;
use crate::scrubbing::{flip, found, home, inode, three, watched, whole};
use crate::watch::WatchFs;
use ibak_store::fs::Errno;
use ibak_store::{ErrorKind, Full, Generation, Phase, Remover, Store};
use std::ops::ControlFlow;
use std::path::Path;

#[test]
fn a_pass_from_before_the_loss_does_not_make_up_for_it() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    flip(&home(dir.path(), &made[2].id).join(place("b")), 1);
    let report = store
        .scrub(&udid(), at(5).wall, &mut |told| {
            // The newest, which has the damage, is done.
            if told.files > made[2].files {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert!(!report.complete && report.backups == 1);
    assert_eq!(found(&store)[2], [place("b")]);
    std::fs::write(dir.path().join(UDID).join("checks.json"), "{").unwrap();
    whole(&store, 6);
    assert_eq!(found(&store), [vec![], vec![], vec![place("b")]]);
}

#[test]
fn a_loss_during_a_pass_is_not_made_up_for_by_that_pass() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    let checks = dir.path().join(UDID).join("checks.json");
    let mut lost = false;
    store
        .scrub(&udid(), at(5).wall, &mut |told| {
            if told.files > made[2].files && !lost {
                std::fs::write(&checks, "{").unwrap();
                lost = true;
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let guarded = || {
        let list = store.list(&udid()).unwrap();
        list.iter().filter(|found| found.guarded).count()
    };
    assert_eq!(guarded(), 3, "nobody knows what the newest was found to be");
    whole(&store, 6);
    assert_eq!(guarded(), 0);
}

/// Two backups, the second made while damage was found in the first, as a crash after the barrier
/// of the second leaves it.
fn cut_short(store: &Store, dir: &Path, device: &Device, bad: &[&str]) -> [Generation; 2] {
    let first = back_up(store, device, at(0)).unwrap();
    let mut staging = begin(store, Full::IfNeeded, at(1)).unwrap();
    run(&mut staging, device, at(1)).unwrap();
    for name in bad {
        flip(&home(dir, &first.id).join(place(name)), 7);
    }
    assert_eq!(verify(store, &first).damaged.len(), bad.len());
    let checks = dir.join(UDID).join("checks.json");
    let before = std::fs::read(&checks).unwrap();
    let second = staging.commit(done(), at(2)).unwrap();
    std::fs::write(&checks, before).unwrap();
    let staged = dir.join(UDID).join("staging").join(second.id.as_str());
    std::fs::rename(gens(dir).join(second.id.as_str()), staged).unwrap();
    [first, second]
}

#[test]
fn a_commit_that_is_finished_later_is_marked_with_what_it_shares() {
    let device = Device::new(&[("a", "sixteen bytes ok"), ("b", "another sixteen.")]);
    for by_begin in [false, true] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let [_, second] = cut_short(&store, dir.path(), &device, &["b"]);
        let store = if by_begin {
            drop(begin(&store, Full::Forced, at(3)).unwrap());
            store
        } else {
            drop(store);
            let (store, recovery) = open(dir.path());
            assert_eq!(recovery.completed, [(udid(), second.id.clone())]);
            store
        };
        assert_eq!(found(&store), [[place("b")], [place("b")]], "{by_begin}");
    }
}

#[test]
fn a_working_copy_whose_state_makes_no_sense_is_no_backup() {
    let device = Device::new(&[("a", "sixteen bytes ok"), ("b", "another sixteen.")]);
    for garbage in ["{", "", "{\"format\": 99}"] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let [first, second] = cut_short(&store, dir.path(), &device, &["b"]);
        drop(store);
        let staged = dir.path().join(UDID).join("staging");
        let state = staged.join(second.id.as_str()).join("state.json");
        std::fs::write(state, garbage).unwrap();
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery.removed, [(udid(), second.id)]);
        assert_eq!(store.list(&udid()).unwrap().len(), 1);
        assert_eq!(store.list(&udid()).unwrap()[0].id, first.id);
    }
}

#[test]
fn more_damage_than_is_remembered_is_handed_on_as_such() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let names: Vec<String> = (0..1001).map(|number| format!("file {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    cut_short(&store, dir.path(), &Device::new(&files), &names);
    drop(store);
    let (store, _) = open(dir.path());
    let found = found(&store);
    assert_eq!(found[0].len(), 1);
    assert_eq!(found[1], found[0]);
    whole(&store, 9);
    assert!(
        store
            .list(&udid())
            .unwrap()
            .iter()
            .all(|found| !found.verified)
    );
}

#[test]
fn what_was_moved_and_is_lost_ends_the_working_copy() {
    for (lost, resumed) in [(place("d"), false), ("Status.plist".to_owned(), true)] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let mut device = Device::new(&[("a", "first"), ("b", "second")]);
        device.encrypted = true;
        back_up(&store, &device, at(0)).unwrap();
        device.put("d", "new d");
        let mut staging = begin(&store, Full::IfNeeded, at(10)).unwrap();
        upload(&mut staging, &device, at(10)).unwrap();
        send(&mut staging, "Status.plist", &status("moving"), at(10)).unwrap();
        let waits = tree(&format!("Snapshot/{}", place("d")));
        staging.rename(&waits, &tree(&place("d"))).unwrap();
        staging.set_phase(Phase::Moving, at(11)).unwrap();
        let id = staging.id().clone();
        assert_eq!(staging.keep(at(20)), Ok(true));
        let staged = dir.path().join(UDID).join("staging").join(id.as_str());
        flip(&staged.join(UDID).join(&lost), 1);
        let (store, _) = {
            drop(store);
            open(dir.path())
        };
        let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
        assert_eq!(staging.resumed(), resumed, "{lost}");
        drop(staging);
        if !resumed {
            let made = back_up(&store, &device, at(50)).unwrap();
            assert_eq!(content(&store, &made), device.backup());
        }
    }
}

#[test]
fn what_takes_another_name_is_still_what_it_should_be() {
    for copies in [false, true] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let device = Device::new(&[("a", "sixteen bytes ok"), ("b", "another sixteen.")]);
        let first = back_up(&store, &device, at(0)).unwrap();
        flip(&home(dir.path(), &first.id).join(place("b")), 7);
        let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
        let mut take = |from: &str, to: &str| {
            let (from, to) = (tree(&place(from)), tree(to));
            if copies {
                staging.copy(&from, &to)
            } else {
                staging.rename(&from, &to)
            }
        };
        assert_eq!(take("a", "fine"), Ok(()));
        let error = take("b", "worse").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(found(&store), [[place("b")]]);
        drop(staging);
        let next = back_up(&store, &device, at(2)).unwrap();
        assert_eq!(content(&store, &next), device.backup());
    }
}

#[test]
fn what_the_disk_cannot_give_of_one_keeps_no_store_from_opening() {
    let dir = scratch_dir();
    let (store, fs) = watched(dir.path());
    let (_, made) = three(&store);
    let mut staging = begin(&store, Full::IfNeeded, at(5)).unwrap();
    send(&mut staging, "Status.plist", &status("uploading"), at(5)).unwrap();
    let staged = staging.id().clone();
    assert_eq!(staging.keep(at(6)), Ok(true));
    drop(store);
    let phone = dir.path().join(UDID);
    let state = phone
        .join("staging")
        .join(staged.as_str())
        .join("state.json");
    let record = gens(dir.path())
        .join(made[1].id.as_str())
        .join("commit.json");
    let errnos = [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::NODATA];
    let again = || Store::open_on(fs.clone(), dir.path(), options(0)).unwrap();
    for errno in errnos.into_iter().chain([Errno::ILSEQ, Errno::REMOTEIO]) {
        for (path, unreadable) in [
            (
                gens(dir.path()).join(made[0].id.as_str()),
                Some(&made[0].id),
            ),
            (record.clone(), Some(&made[1].id)),
            (state.clone(), Some(&staged)),
            (phone.clone(), None),
            (phone.join("trash"), None),
            (phone.join("staging"), None),
        ] {
            fs.bar(inode(&path), Some(errno));
            let (_, recovery) = again();
            let unreadable: Vec<_> = unreadable
                .map(|id| (udid(), id.clone()))
                .into_iter()
                .collect();
            assert_eq!(recovery.unreadable, unreadable, "{path:?}");
            assert_eq!((recovery.removed.len(), recovery.quarantined.len()), (0, 0));
            fs.bar(inode(&path), None);
        }
    }
    assert_eq!(again().1.resumable, [(udid(), staged)]);
    assert_eq!(again().0.list(&udid()), Ok(made));
}

#[test]
fn every_word_for_what_cannot_be_read_is_damage() {
    for errno in [
        Errno::UCLEAN,
        Errno::BADMSG,
        Errno::NODATA,
        Errno::ILSEQ,
        Errno::REMOTEIO,
    ] {
        let dir = scratch_dir();
        let (store, fs): (_, WatchFs) = watched(dir.path());
        let (_, made) = three(&store);
        fs.fail(
            inode(&home(dir.path(), &made[0].id).join(place("a"))),
            Some(errno),
        );
        whole(&store, 5);
        assert_eq!(
            found(&store),
            [vec![place("a")], vec![], vec![]],
            "{errno:?}"
        );
    }
}

#[test]
fn a_pass_goes_on_past_what_cannot_even_be_listed() {
    let dir = scratch_dir();
    let (store, fs) = watched(dir.path());
    let (_, made) = three(&store);
    let record = gens(dir.path())
        .join(made[1].id.as_str())
        .join("commit.json");
    let below = place("a").split_once('/').unwrap().0.to_owned();
    let harmed = [
        inode(&record),
        inode(&home(dir.path(), &made[0].id).join(&below)),
    ];
    fs.bar(harmed[0], Some(Errno::IO));
    fs.fail(harmed[1], Some(Errno::IO));
    whole(&store, 5);
    fs.bar(harmed[0], None);
    let list = store.list(&udid()).unwrap();
    let verified: Vec<bool> = list.iter().map(|found| found.verified).collect();
    assert_eq!(verified, [false, false, true]);
    assert_eq!(list[0].damaged, [below]);
    fs.fail(harmed[1], None);
    whole(&store, 6);
    let all = found(&store);
    assert!(
        all.iter().all(Vec::is_empty),
        "it was a bad moment: {all:?}"
    );
}

#[test]
fn records_that_the_disk_cannot_give_block_nothing() {
    for name in ["checks.json", "pins.json", "scrub.json"] {
        let dir = scratch_dir();
        let (store, fs) = watched(dir.path());
        let (device, made) = three(&store);
        store.pin(&udid(), &made[0].id, true).unwrap();
        whole(&store, 5);
        let path = dir.path().join(UDID).join(name);
        if name == "scrub.json" {
            std::fs::write(&path, "{}").unwrap();
        }
        fs.bar(inode(&path), Some(Errno::IO));
        assert_eq!(
            back_up(&store, &device, at(6)).unwrap().parent.as_ref(),
            Some(&made[2].id)
        );
        let plan = store.remove(&udid(), &made[0].id, Remover::Plan);
        assert_eq!(
            plan.unwrap_err().kind(),
            ErrorKind::Refused,
            "{name}: it is kept"
        );
        assert_eq!(store.pin(&udid(), &made[1].id, true), Ok(true));
        whole(&store, 7);
        store.remove(&udid(), &made[0].id, Remover::Person).unwrap();
    }
}

#[test]
fn an_index_that_cannot_be_read_is_not_built_on() {
    let dir = scratch_dir();
    let (store, fs) = watched(dir.path());
    let (device, made) = three(&store);
    let index = gens(dir.path()).join(made[2].id.as_str()).join("index.zst");
    fs.fail(inode(&index), Some(Errno::IO));
    let next = back_up(&store, &device, at(6)).unwrap();
    assert_eq!(next.parent.as_ref(), Some(&made[1].id));
    assert!(next.verified && !store.list(&udid()).unwrap()[2].verified);
}
