//! What stays and what goes: removing, pinning, forgetting, sweeping, and what all of it takes.

use crate::days::{day, days, phone, quota_of};
use crate::device::*;
use crate::fault::{Fault, FaultFs};
use ibak_core::BackupId;
use ibak_store::fs::Errno;
use ibak_store::{ErrorKind, Full, Remover, Store, StoreError, Swept};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Barrier;

/// What `du` would say; it is asked itself in a program of its own (tests/room), for a process
/// that is just being started holds on to the lock of a store.
pub fn du(path: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    let mut sum = 0;
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            paths.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|it| it.unwrap().path()),
            );
        }
        if seen.insert(meta.ino()) {
            sum += meta.blocks() * 512;
        }
    }
    sum
}

fn exact(used: u64, path: &Path, when: &str) {
    let du = du(path);
    assert!(
        used.abs_diff(du) * 1000 <= du,
        "{when}: {used} instead of {du}"
    );
}

fn latest(path: &Path) -> Option<String> {
    let link = std::fs::read_link(phone(path).join("latest")).ok()?;
    Some(link.file_name().unwrap().to_str().unwrap().to_owned())
}

fn names(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_removed_is_out_of_the_list_and_gone_with_the_next_sweep() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 3);
    let whole = fingerprint(&gens(dir.path()).join(made[0].id.as_str()));
    store.remove(&udid(), &made[0].id, Remover::Plan).unwrap();
    assert_eq!(store.list(&udid()).unwrap(), made[1..]);
    // Nothing is destroyed by it.
    let aside = phone(dir.path()).join("trash").join(made[0].id.as_str());
    let kept = fingerprint(&aside);
    assert_eq!(kept.len(), whole.len());
    assert!(whole.values().eq(kept.values()));
    assert_eq!(store.trash_waiting(), Ok(1));
    assert_eq!(latest(dir.path()).as_deref(), Some(made[2].id.as_str()));
    let gone = StoreError::NoSuchBackup(made[0].id.clone());
    let again = store.remove(&udid(), &made[0].id, Remover::Person);
    assert_eq!(again, Err(gone.clone()));
    assert_eq!(store.reader(&udid(), &made[0].id).err(), Some(gone.clone()));
    assert_eq!(store.pin(&udid(), &made[0].id, true), Err(gone));
    let swept = sweep(&store);
    assert!(swept.files > 300, "{swept:?}");
    assert!(!aside.exists());
    assert_eq!(store.trash_waiting(), Ok(0));
    assert_eq!(sweep(&store), Swept::default());
    for (made, number) in made[1..].iter().zip(1..) {
        assert_eq!(content(&store, made), day(number).backup());
    }
}

#[test]
fn latest_follows_to_the_newest_good_one_or_goes() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 3);
    let bad = gens(dir.path())
        .join(made[1].id.as_str())
        .join(UDID)
        .join("Status.plist");
    std::fs::remove_file(bad).unwrap();
    assert!(!verify(&store, &made[1]).is_good());
    let remove = |id: &BackupId| store.remove(&udid(), id, Remover::Person).unwrap();
    remove(&made[2].id);
    assert_eq!(latest(dir.path()).as_deref(), Some(made[0].id.as_str()));
    remove(&made[0].id);
    assert_eq!(latest(dir.path()), None, "the one that is left is damaged");
    remove(&made[1].id);
    assert_eq!(latest(dir.path()), None);
    assert_eq!(store.list(&udid()), Ok(Vec::new()));
    let next = days(&store, 1).remove(0);
    assert_eq!(latest(dir.path()).as_deref(), Some(next.id.as_str()));
}

#[test]
fn a_plan_removes_nothing_that_is_kept_and_a_person_may() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 3);
    assert_eq!(store.pin(&udid(), &made[0].id, true), Ok(true));
    assert_eq!(store.pin(&udid(), &made[0].id, true), Ok(false));
    assert!(store.list(&udid()).unwrap()[0].pinned);
    let refusal = |id: &BackupId| {
        let error = store.remove(&udid(), id, Remover::Plan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        error.to_string()
    };
    let pinned = refusal(&made[0].id);
    assert!(pinned.contains("it is pinned"), "{pinned}");
    let newest = refusal(&made[2].id);
    assert!(newest.contains("no later backup is good"), "{newest}");
    assert_eq!(store.list(&udid()).unwrap().len(), 3);
    // What cannot be read keeps everything until a person says what is to be kept.
    std::fs::write(phone(dir.path()).join("pins.json"), "{\"pinned\": [").unwrap();
    let guarded = refusal(&made[1].id);
    assert!(guarded.contains("until a person has looked"), "{guarded}");
    assert_eq!(store.pin(&udid(), &made[0].id, true), Ok(true));
    refusal(&made[1].id);
    assert_eq!(store.pin(&udid(), &made[1].id, false), Ok(true));
    assert_eq!(store.pin(&udid(), &made[1].id, false), Ok(false));
    store.remove(&udid(), &made[1].id, Remover::Plan).unwrap();
    // What is kept goes when a person insists, and so does the newest.
    for made in [&made[0], &made[2]] {
        store.remove(&udid(), &made.id, Remover::Person).unwrap();
    }
    assert_eq!(store.list(&udid()), Ok(Vec::new()));
    let stranger = BackupId::parse("01JD8Z3YQ9V6W2X4T5R7P8N0KM").unwrap();
    let none = Err(StoreError::NoSuchBackup(stranger.clone()));
    assert_eq!(store.remove(&udid(), &stranger, Remover::Person), none);
}

#[test]
fn what_is_read_or_built_on_is_not_removed() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 2);
    let remove = |id: &BackupId| store.remove(&udid(), id, Remover::Person);
    let in_use = |id: &BackupId| Err(StoreError::InUse(id.clone()));
    let reader = store.reader(&udid(), &made[0].id).unwrap();
    assert_eq!(remove(&made[0].id), in_use(&made[0].id));
    assert_eq!(store.forget(&udid()), in_use(&made[0].id));
    drop(reader);
    let staging = begin(&store, Full::IfNeeded, at(9)).unwrap();
    assert_eq!(remove(&made[1].id), in_use(&made[1].id));
    assert_eq!(store.forget(&udid()), Err(StoreError::Busy(udid())));
    drop(staging);
    remove(&made[0].id).unwrap();
    remove(&made[1].id).unwrap();
    store.forget(&udid()).unwrap();
}

#[test]
fn a_working_copy_goes_with_what_it_was_cloned_from() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 2);
    let mut staging = begin(&store, Full::IfNeeded, at(9)).unwrap();
    upload(&mut staging, &day(9), at(9)).unwrap();
    assert_eq!(staging.keep(at(9)), Ok(true));
    store.remove(&udid(), &made[0].id, Remover::Plan).unwrap();
    assert_eq!(names(&phone(dir.path()).join("staging")).len(), 1);
    store.remove(&udid(), &made[1].id, Remover::Person).unwrap();
    assert_eq!(names(&phone(dir.path()).join("staging")).len(), 0);
    exact(store.used(&udid()).unwrap(), &phone(dir.path()), "removed");
    sweep(&store);
    exact(store.used(&udid()).unwrap(), &phone(dir.path()), "swept");
    let next = back_up(&store, &day(9), at(10)).unwrap();
    assert_eq!((next.full, content(&store, &next)), (true, day(9).backup()));
}

#[test]
fn a_phone_is_forgotten_as_a_whole_and_comes_back_as_a_stranger() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    store.forget(&udid()).unwrap();
    days(&store, 2);
    let before = du(dir.path());
    store.forget(&udid()).unwrap();
    store.forget(&udid()).unwrap();
    assert_eq!(store.phones(), Ok(Vec::new()));
    assert_eq!(store.list(&udid()), Ok(Vec::new()));
    assert_eq!(store.used(&udid()), Ok(0));
    assert!(!phone(dir.path()).exists());
    let totals = store.totals().unwrap();
    assert_eq!(totals.used, 0);
    assert!(totals.trash.abs_diff(before) * 100 < before, "{totals:?}");
    let made = days(&store, 1);
    assert_eq!((made[0].full, &made[0].parent), (true, &None));
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.waiting, 1);
    let swept = sweep(&store);
    assert!(swept.files > 300 && swept.bytes > before / 2, "{swept:?}");
    assert_eq!(store.totals().unwrap().trash, 0);
    assert_eq!(names(&dir.path().join("trash")), Vec::<String>::new());
    assert_eq!(store.list(&udid()).unwrap(), made);
}

#[test]
fn a_sweep_goes_at_the_pace_it_is_given_and_on_from_where_it_stopped() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 3);
    let id = made[0].id.clone();
    store.remove(&udid(), &id, Remover::Plan).unwrap();
    let aside = phone(dir.path()).join("trash").join(id.as_str());
    let count = |path: &Path| fingerprint(path).iter().filter(|it| it.0.is_file()).count();
    let all = count(&aside);
    let (mut sweeps, mut files) = (0, 0);
    while store.trash_waiting() == Ok(1) {
        let swept = store
            .sweep(&mut |swept| match swept.files {
                ..50 => ControlFlow::Continue(()),
                50.. => ControlFlow::Break(()),
            })
            .unwrap();
        assert!(swept.files <= 50);
        files += usize::try_from(swept.files).unwrap();
        sweeps += 1;
        assert_eq!(count(&aside), all - files, "each is heard of once");
        exact(store.used(&udid()).unwrap(), &phone(dir.path()), "stopped");
    }
    assert_eq!(files, all);
    assert_eq!(sweeps, all / 50 + 1);
}

#[test]
fn a_sweep_follows_no_link_and_minds_no_mode() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = scratch_dir();
    let outside = scratch_dir();
    std::fs::write(outside.path().join("thesis.tex"), "mine").unwrap();
    let (store, _) = open(dir.path());
    let made = days(&store, 1);
    let trash = phone(dir.path()).join("trash");
    let odd = trash.join("odd");
    std::fs::create_dir_all(odd.join("deep/deeper")).unwrap();
    for name in ["file", "deep/file", "deep/deeper/file"] {
        let path = odd.join(name);
        std::fs::write(&path, "going").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    }
    for (target, name) in [
        (outside.path(), "deep/out"),
        (&outside.path().join("thesis.tex"), "file link"),
        (Path::new("../gens"), "gens"),
        (Path::new("nowhere"), "dangling"),
    ] {
        symlink(target, odd.join(name)).unwrap();
    }
    symlink(outside.path(), trash.join("out")).unwrap();
    for sub in ["deep/deeper", "deep"] {
        std::fs::set_permissions(odd.join(sub), PermissionsExt::from_mode(0o500)).unwrap();
    }
    std::fs::write(trash.join("a file"), "going").unwrap();
    let before = fingerprint(&gens(dir.path()));
    assert_eq!(sweep(&store).files, 9);
    assert_eq!(names(&trash), Vec::<String>::new());
    assert_eq!(fingerprint(&gens(dir.path())), before);
    assert_eq!(names(outside.path()), ["thesis.tex"]);
    assert!(verify(&store, &made[0]).is_good());
}

#[test]
fn a_session_stays_within_its_quota_at_every_byte() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 2);
    let used = store.used(&udid()).unwrap();
    let before = fingerprint(&gens(dir.path()));
    for (step, room) in [0, 4096, 100_000, 150_000, 200_000, 400_000]
        .into_iter()
        .enumerate()
    {
        let quota = used + room;
        let now = 10 + u64::try_from(step).unwrap();
        let mut staging = quota_of(&store, quota, now).unwrap();
        let mut device = day(now.try_into().unwrap());
        device.put("big", &"y".repeat(1 << 20));
        let error = upload(&mut staging, &device, at(now)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{room}: {error}");
        let errno = matches!(
            error,
            StoreError::System {
                errno: Errno::DQUOT,
                ..
            }
        );
        assert!(errno, "{room}: {error}");
        assert_eq!(fingerprint(&gens(dir.path())), before);
        // What is left is not more than a directory's growth and our own records.
        let taken = du(&phone(dir.path()));
        assert!(taken <= quota + 65_536, "{room}: {taken}");
        drop(staging.keep(at(now)));
    }
    let staging = quota_of(&store, used + (4 << 20), 90).unwrap();
    drop(staging);
    let mut device = day(91);
    device.put("big", &"y".repeat(1 << 20));
    let mut staging = quota_of(&store, used + (4 << 20), 91).unwrap();
    run(&mut staging, &device, at(91)).unwrap();
    let next = staging.commit(done(), at(91)).unwrap();
    assert_eq!(content(&store, &next), device.backup());
    assert_eq!(store.list(&udid()).unwrap()[..2], made);
}

#[test]
fn a_session_makes_room_and_says_what_it_gained() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 5);
    let ids: Vec<BackupId> = made.iter().map(|made| made.id.clone()).collect();
    store.pin(&udid(), &ids[1], true).unwrap();
    let reader = store.reader(&udid(), &ids[2]).unwrap();
    store.remove(&udid(), &ids[3], Remover::Plan).unwrap();
    let used = store.used(&udid()).unwrap();
    let mut staging = quota_of(&store, used + (1 << 20), 10).unwrap();
    let before = staging.free_space().unwrap();
    let trash = store.space(&udid(), None).unwrap().trash;
    assert!(trash > 0);
    let gained = staging.make_room(&[]).unwrap();
    assert!(gained >= trash, "the trash goes first: {gained} of {trash}");
    assert_eq!(staging.free_space(), Ok(before + gained));
    let wanted = store.gains(&udid(), &ids[..1]).unwrap();
    let gained = staging.make_room(&ids).unwrap();
    assert!(gained >= wanted, "{gained} of {wanted}");
    let left: Vec<BackupId> = store
        .list(&udid())
        .unwrap()
        .into_iter()
        .map(|it| it.id)
        .collect();
    // Pinned, read, and its own parent.
    assert_eq!(left, [ids[1].clone(), ids[2].clone(), ids[4].clone()]);
    assert_eq!(staging.make_room(&ids), Ok(0));
    drop(reader);
    run(&mut staging, &day(10), at(10)).unwrap();
    let next = staging.commit(done(), at(10)).unwrap();
    assert_eq!(content(&store, &next), day(10).backup());
    assert_eq!(store.trash_waiting(), Ok(0));
    exact(
        store.used(&udid()).unwrap(),
        &phone(dir.path()),
        "made room",
    );
}

#[test]
fn readers_removals_and_sweeps_meet_at_any_moment() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = days(&store, 6);
    let start = Barrier::new(5);
    let whole = |id: &BackupId, number: usize, wanted: &Files| -> bool {
        // Either it is not there, or it stays there until it is read.
        let reader = match store.reader(&udid(), id) {
            Ok(reader) => reader,
            Err(StoreError::NoSuchBackup(_)) => return false,
            Err(error) => panic!("{number}: {error}"),
        };
        for (path, content) in wanted {
            let mut found = Vec::new();
            std::io::Read::read_to_end(&mut reader.open(path).unwrap(), &mut found).unwrap();
            assert_eq!(&found, content, "{number}: {path}");
        }
        true
    };
    let wanted: Vec<Files> = (0..5).map(|number| day(number).backup()).collect();
    let read: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|first: usize| {
                let (start, made, wanted, whole) = (&start, &made, &wanted, &whole);
                scope.spawn(move || {
                    start.wait();
                    (0..5)
                        .map(|step| (first + step) % 5)
                        .filter(|number| whole(&made[*number].id, *number, &wanted[*number]))
                        .count()
                })
            })
            .collect();
        let remover = scope.spawn(|| {
            start.wait();
            let mut waiting: Vec<&BackupId> = made[..5].iter().map(|made| &made.id).collect();
            while !waiting.is_empty() {
                waiting.retain(|id| match store.remove(&udid(), id, Remover::Plan) {
                    Ok(()) => false,
                    Err(StoreError::InUse(_)) => true,
                    Err(error) => panic!("{error}"),
                });
                std::thread::yield_now();
            }
        });
        let (store, start) = (&store, &start);
        let sweeper = scope.spawn(move || {
            start.wait();
            while !remover.is_finished() {
                sweep(store);
                store.totals().unwrap();
            }
            remover.join().unwrap();
        });
        sweeper.join().unwrap();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum()
    });
    eprintln!("{read} of 15 readings came before their removal");
    sweep(&store);
    assert_eq!(store.list(&udid()).unwrap(), made[5..]);
    assert_eq!(store.trash_waiting(), Ok(0));
    exact(
        store.used(&udid()).unwrap(),
        &phone(dir.path()),
        "in the end",
    );
    assert_eq!(content(&store, &made[5]), day(5).backup());
}

#[test]
fn asking_what_a_phone_takes_walks_over_nothing_that_is_known() {
    let dir = scratch_dir();
    let ledger = phone(dir.path()).join("usage.json");
    let opened = || {
        let fs = FaultFs::new(Fault::None, 0);
        let (store, _) = Store::open_on(fs.clone(), dir.path(), options(0)).unwrap();
        (store, fs)
    };
    let cost = |(store, fs): &(Store<FaultFs>, FaultFs)| {
        let before = fs.operations();
        exact(store.used(&udid()).unwrap(), &phone(dir.path()), "asked");
        fs.operations() - before
    };
    let (walked, known) = (600.., ..60);
    let store = opened();
    let made = days(&store.0, 3);
    assert!(walked.contains(&cost(&store)));
    assert!(known.contains(&cost(&store)));
    back_up(&store.0, &day(7), at(7)).unwrap();
    assert!(known.contains(&cost(&store)), "the commit knew");
    store.0.remove(&udid(), &made[0].id, Remover::Plan).unwrap();
    assert!(known.contains(&cost(&store)));
    sweep(&store.0);
    assert!(known.contains(&cost(&store)));
    drop(store);
    let store = opened();
    assert!(known.contains(&cost(&store)), "the ledger knew");
    drop(store);
    // A digit that is another is no sum.
    let text = std::fs::read_to_string(&ledger).unwrap();
    let at = text.find(|letter: char| letter.is_ascii_digit()).unwrap();
    let other = if text[at..].starts_with('9') {
        "8"
    } else {
        "9"
    };
    std::fs::write(&ledger, [&text[..at], other, &text[at + 1..]].concat()).unwrap();
    let store = opened();
    assert!(walked.contains(&cost(&store)), "the ledger was damaged");
    drop(store);
    std::fs::remove_file(&ledger).unwrap();
    let store = opened();
    assert!(walked.contains(&cost(&store)), "the ledger was lost");
    assert!(known.contains(&cost(&store)));
}
