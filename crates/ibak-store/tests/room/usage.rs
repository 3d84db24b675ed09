//! The disk use, as `du` has it.

use crate::days::{day, days, phone};
use crate::device::*;
use crate::full::Disk;
use ibak_core::BackupId;
use ibak_store::{Full, Remover, Store, StoreError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A process that is just being started holds what this one has open, and so a store's lock.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disk of its own, or else a directory on some disk: in memory a directory takes no room.
struct Place {
    disk: Option<Disk>,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            disk: Disk::new("ext4", 64 << 20),
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        let dir = || self.dir.path().join("store");
        self.disk.as_ref().map_or_else(dir, Disk::store)
    }
}

fn du(path: &Path) -> u64 {
    let said = Command::new("du")
        .args(["-s", "--block-size=1"])
        .arg(path)
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn exact(used: u64, path: &Path, when: &str) {
    let du = du(path);
    assert!(
        used.abs_diff(du) * 1000 <= du,
        "{when}: {used} instead of {du}"
    );
}

#[test]
fn used_is_what_du_says_whatever_has_happened() {
    let _one = one_at_a_time();
    let place = Place::new();
    let path = &place.path();
    let home = phone(path);
    let check = |store: &Store, when: &str| {
        exact(store.used(&udid()).unwrap(), &home, when);
        // And so does a process that knows nothing of it, or only what the ledger says.
        exact(store.used(&udid()).unwrap(), &home, when);
    };
    let (store, _) = open(path);
    assert_eq!(store.used(&udid()), Ok(0));
    for number in 0..4 {
        back_up(&store, &day(number), at(1 + u64::try_from(number).unwrap())).unwrap();
        check(&store, "committed");
    }
    let made = store.list(&udid()).unwrap();
    // A backup that was committed while nobody knew, and one whose ledger was lost.
    drop(store);
    for lose in [false, true] {
        if lose {
            std::fs::remove_file(home.join("usage.json")).unwrap();
        }
        let (store, _) = open(path);
        back_up(&store, &day(20), at(20)).unwrap();
        check(&store, "committed by another process");
    }
    let (store, _) = open(path);
    let mut staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
    check(&store, "cloned");
    upload(&mut staging, &day(30), at(30)).unwrap();
    check(&store, "uploaded");
    settle(&mut staging, &day(30), at(30)).unwrap();
    check(&store, "settled");
    staging
        .set_phase(ibak_store::Phase::Uploading, at(30))
        .unwrap();
    staging.keep(at(30)).unwrap();
    check(&store, "kept");
    store.remove(&udid(), &made[1].id, Remover::Plan).unwrap();
    check(&store, "removed");
    store.remove(&udid(), &made[2].id, Remover::Plan).unwrap();
    let mut left = 100;
    let stop = &mut |_| {
        left -= 1;
        match left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    store.sweep(stop).unwrap();
    check(&store, "swept in part");
    drop(store);
    let (store, _) = open(path);
    check(&store, "opened again");
    sweep(&store);
    check(&store, "swept");
    let staging = begin(&store, Full::Forced, at(40)).unwrap();
    check(&store, "a full one, and the old working copy in the trash");
    staging.discard().unwrap();
    check(&store, "discarded");
    let fake = "01JD8Z3YQ9V6W2X4T5R7P8N0KM";
    std::fs::rename(gens(path).join(made[3].id.as_str()), gens(path).join(fake)).unwrap();
    drop(store);
    let (store, recovery) = open(path);
    assert_eq!(recovery.quarantined.len(), 1);
    check(&store, "quarantined");
    sweep(&store);
    check(&store, "all swept");
}

#[test]
fn gains_is_what_a_removal_gives() {
    let _one = one_at_a_time();
    for pick in [
        vec![0],
        vec![1],
        vec![3],
        vec![0, 1],
        vec![1, 2, 3],
        vec![0, 1, 2, 3],
    ] {
        let place = Place::new();
        let dir = &place.path();
        let (store, _) = open(dir);
        let made = days(&store, 4);
        let ids: Vec<BackupId> = pick.iter().map(|at| made[*at].id.clone()).collect();
        let before = du(&phone(dir));
        let gains = store.gains(&udid(), &ids).unwrap();
        let together = [ids.clone(), ids.clone()].concat();
        assert_eq!(store.gains(&udid(), &together), Ok(gains), "each once");
        for id in &ids {
            store.remove(&udid(), id, Remover::Person).unwrap();
        }
        let space = store.space(&udid(), None).unwrap();
        assert_eq!((space.trash, space.free()), (gains, space.available));
        let swept = sweep(&store);
        let after = du(&phone(dir));
        let freed = before - after;
        assert!(
            gains.abs_diff(freed) * 1000 <= before,
            "{pick:?}: {gains} instead of {freed}"
        );
        assert_eq!(swept.bytes, gains, "{pick:?}");
        assert_eq!(store.space(&udid(), None).unwrap().trash, 0);
    }
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    assert_eq!(store.gains(&udid(), &[]), Ok(0));
    let id = days(&store, 1).remove(0).id;
    store.remove(&udid(), &id, Remover::Person).unwrap();
    let gone = Err(StoreError::NoSuchBackup(id.clone()));
    assert_eq!(store.gains(&udid(), &[id]), gone);
}
