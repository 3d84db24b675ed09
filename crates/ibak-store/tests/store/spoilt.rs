//! A copy of a store of which something fails, and is tried again.

use crate::copying::{copy, late, look, same, two_places};
use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::freeze::{DAY, OTHER};
use ibak_store::{CopyProgress, Remover, Store, StoreError};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

fn is_whole(here: &Path, there: &Path, what: &str) {
    for udid in [UDID, OTHER] {
        same(&look(there, udid), &look(here, udid), what);
    }
    let (store, _) = Store::open(there, late()).unwrap();
    assert!(!store.facts().half_copied, "{what}");
    for made in store.list(&udid()).unwrap() {
        assert!(verify(&store, &made).is_good(), "{what}");
    }
}

fn stop_after(files: u64) -> impl FnMut(CopyProgress) -> ControlFlow<()> {
    move |progress| {
        if progress.files > files {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_taken_for_written() {
    for trusts_sync_fs in [true, false] {
        let (dir, here, there) = two_places();
        let (from, _) = Store::open(&here, late()).unwrap();
        let all = {
            let (to, _) = open(&dir.path().join("whole"));
            copy(&from, &to).unwrap().written
        };
        let mut failed = 0;
        for after in (3..24).step_by(if trusts_sync_fs { 1 } else { 3 }) {
            let what = format!("{trusts_sync_fs} {after}");
            let mut fs = FaultFs::new(Fault::None, 0);
            fs.trusts_sync_fs = trusts_sync_fs;
            let (to, _) = Store::open_on(fs.clone(), &there, late()).unwrap();
            fs.fail_a_sync(after);
            let outcome = copy(&from, &to);
            let waiting = there.join(UDID).join("copying");
            if outcome.is_err() {
                failed += 1;
                assert!(!waiting.exists(), "{what}");
            }
            // What has its place is durable; of the rest every byte is written again.
            let kept: u64 = to.phones().unwrap().iter().fold(0, |sum, udid| {
                let aside = there.join(udid.as_str());
                sum + bytes_of(&aside)
            });
            let copied = copy(&from, &to).unwrap();
            assert_eq!(copied.backups + copied.already_there, 4, "{what}");
            assert!(copied.written + kept >= all, "{what}");
            drop((to, fs));
            is_whole(&here, &there, &what);
            std::fs::remove_dir_all(&there).unwrap();
        }
        assert!(failed > 4, "{failed}");
    }
}

/// The bytes of what has its place, each file once.
fn bytes_of(phone: &Path) -> u64 {
    let mut inodes = BTreeMap::new();
    for sub in ["gens", "quarantine", "staging"] {
        for path in fingerprint(&phone.join(sub)).into_keys() {
            let meta = path.symlink_metadata().unwrap();
            if meta.is_file() {
                inodes.insert(std::os::unix::fs::MetadataExt::ino(&meta), meta.len());
            }
        }
    }
    inodes.into_values().sum()
}

#[test]
fn what_could_not_be_put_away_is_put_away_before_the_next() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let fs = FaultFs::new(Fault::None, 0);
    let (to, _) = Store::open_on(fs.clone(), &there, late()).unwrap();
    let waiting = there.join(UDID).join("copying");
    assert_eq!(
        from.copy_to(&to, &mut stop_after(1)),
        Err(StoreError::Cancelled)
    );
    let spoilt: Vec<_> = fingerprint(&waiting).into_keys().collect();
    assert!(spoilt.iter().any(|path| path.is_file()));
    // Neither the copy nor the trash can be got at.
    fs.spoil(Some("trash"));
    assert!(copy(&from, &to).is_err());
    assert!(waiting.exists());
    assert!(copy(&from, &to).is_err());
    let before: Vec<_> = fingerprint(&waiting).into_keys().collect();
    assert_eq!(before, spoilt, "nothing is built on it");
    fs.spoil(None);
    copy(&from, &to).unwrap();
    drop((to, fs));
    is_whole(&here, &there, "after all");
}

#[test]
fn as_long_as_a_backup_stays_behind_the_copy_is_unfinished() {
    let (_dir, here, there) = two_places();
    let fs = FaultFs::new(Fault::None, 0);
    let (from, _) = Store::open_on(fs.clone(), &here, late()).unwrap();
    let list = from.list(&udid()).unwrap();
    fs.spoil(Some(&format!("gens/{}", list[1].id)));
    let (to, _) = Store::open(&there, late()).unwrap();
    let copied = copy(&from, &to).unwrap();
    assert_eq!(copied.unreadable, [(udid(), list[1].id.clone())]);
    assert_eq!(copied.backups, 3);
    drop(to);
    let (to, _) = Store::open(&there, late()).unwrap();
    assert!(to.facts().half_copied);
    assert_ne!(to.facts().uuid, from.facts().uuid);
    fs.spoil(None);
    let copied = copy(&from, &to).unwrap();
    assert_eq!((copied.backups, copied.unreadable), (1, vec![]));
    drop((from, to));
    let (from, _) = Store::open(&here, late()).unwrap();
    let (to, _) = Store::open(&there, late()).unwrap();
    assert!(!to.facts().half_copied);
    assert_eq!(to.facts().uuid, from.facts().uuid);
    assert_eq!(to.list(&udid()).unwrap(), from.list(&udid()).unwrap());
}

#[test]
fn a_directory_that_cannot_be_read_is_damage_also_when_it_is_gone_on_with() {
    let (_dir, here, there) = two_places();
    let fs = FaultFs::new(Fault::None, 0);
    let (from, _) = Store::open_on(fs.clone(), &here, late()).unwrap();
    let list = from.list(&udid()).unwrap();
    let (to, _) = Store::open(&there, late()).unwrap();
    let stopped = from.copy_to(&to, &mut stop_after(list[0].files));
    assert_eq!(stopped, Err(StoreError::Cancelled));
    assert_eq!(to.list(&udid()).unwrap().len(), 1);
    let sick = place("Library/a");
    fs.spoil(Some(&sick[..2]));
    let copied = copy(&from, &to).unwrap();
    assert_eq!((copied.backups, copied.already_there), (3, 1));
    let found = to.list(&udid()).unwrap();
    let verified: Vec<bool> = found.iter().map(|made| made.verified).collect();
    assert_eq!(verified, [true, false, false]);
    assert!(found[1].damaged.contains(&sick), "{:?}", found[1].damaged);
}

#[test]
fn what_was_removed_meanwhile_does_not_come_back() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let list = from.list(&udid()).unwrap();
    let (to, _) = Store::open(&there, late()).unwrap();
    let stopped = from.copy_to(&to, &mut stop_after(list[0].files));
    assert_eq!(stopped, Err(StoreError::Cancelled));
    assert_eq!(to.list(&udid()).unwrap()[0].id, list[0].id);
    from.remove(&udid(), &list[0].id, Remover::Person).unwrap();
    copy(&from, &to).unwrap();
    let ids = |store: &Store| -> Vec<_> {
        let list = store.list(&udid()).unwrap();
        list.into_iter().map(|made| made.id).collect()
    };
    assert_eq!(ids(&to), ids(&from));
    assert_eq!(ids(&to).len(), 2);
    // A copy that has become a store of its own keeps what it has.
    drop(to);
    let (to, _) = Store::open(&there, late()).unwrap();
    let now = at(3 * DAY + 7200);
    let own = back_up(&to, &Device::new(&[("z", "26")]), now).unwrap();
    to.pin(&udid(), &own.id, true).unwrap();
    from.pin(&udid(), &list[2].id, true).unwrap();
    from.remove(&udid(), &list[1].id, Remover::Person).unwrap();
    copy(&from, &to).unwrap();
    let found = to.list(&udid()).unwrap();
    let pinned: Vec<bool> = found.iter().map(|made| made.pinned).collect();
    assert_eq!(pinned, [false, true, true]);
    assert_eq!(found[2].id, own.id);
}

#[test]
fn a_phone_that_was_forgotten_meanwhile_does_not_come_back() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let first = from.phones().unwrap()[0].clone();
    let files = from.list(&first).unwrap()[0].files;
    let (to, _) = Store::open(&there, late()).unwrap();
    let stopped = from.copy_to(&to, &mut stop_after(files));
    assert_eq!(stopped, Err(StoreError::Cancelled));
    from.forget(&first).unwrap();
    copy(&from, &to).unwrap();
    assert_eq!(to.phones().unwrap(), from.phones().unwrap());
    assert!(!to.phones().unwrap().contains(&first));
}

#[test]
fn neither_lies_in_the_other() {
    let dir = scratch_dir();
    let outer_path = dir.path().join("outer");
    let (outer, _) = open(&outer_path);
    back_up(&outer, &Device::new(&[("a", "1")]), at(0)).unwrap();
    std::fs::create_dir(outer_path.join("between")).unwrap();
    let (inner, _) = open(&outer_path.join("between/inner"));
    let before = fingerprint(&outer_path);
    let error = copy(&outer, &inner).unwrap_err();
    assert!(
        error.to_string().contains("the new place lies in"),
        "{error}"
    );
    let error = copy(&inner, &outer).unwrap_err();
    assert!(
        error.to_string().contains("lies in the new place"),
        "{error}"
    );
    assert_eq!(fingerprint(&outer_path), before);
}

#[test]
fn of_very_much_damage_only_the_much_is_told() {
    let dir = scratch_dir();
    let (from, _) = open(&dir.path().join("here"));
    let mut device = Device::default();
    for number in 0..1100 {
        device.put(&format!("{number}"), "x");
    }
    let made = back_up(&from, &device, at(0)).unwrap();
    let tree = gens(&dir.path().join("here"))
        .join(made.id.as_str())
        .join(UDID);
    for number in 0..1100 {
        std::fs::remove_file(tree.join(place(&number.to_string()))).unwrap();
    }
    let (to, _) = open(&dir.path().join("there"));
    copy(&from, &to).unwrap();
    let found = &to.list(&udid()).unwrap()[0];
    assert_eq!(
        found.damaged,
        ["more than 1000 of its files are damaged".to_owned()]
    );
}
