//! A store copied into another directory: everything comes along, whatever happens meanwhile.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::formats::unpack;
use crate::freeze::{DAY, OTHER, begin_other, plain, sealed};
use ibak_core::{Bytes, Udid};
use ibak_store::fs::{Errno, Fs};
use ibak_store::{
    Copied, CopyProgress, Full, Generation, OpenOptions, Phase, Reserve, Store, StoreError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub fn late() -> OpenOptions {
    options(3 * DAY + 3600)
}

fn go_on(_: CopyProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn copy<F: Fs, G: Fs>(from: &Store<F>, to: &Store<G>) -> Result<Copied, StoreError> {
    from.copy_to(to, &mut go_on)
}

/// Two directories, in the first of which lies a store of two phones: a chain of three with an
/// unfinished fourth, and an encrypted one whose password was changed; and a quarantined thing.
pub fn two_places() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = scratch_dir();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    unpack(1, &here);
    let odd = here
        .join(UDID)
        .join("quarantine/01JD8Z3YQ9V6W2X4T5R7P8N0KM");
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::write(odd.join("commit.json"), "{").unwrap();
    (dir, here, there)
}

/// Modes, times and bytes of all files, and which of them are one.
pub type Look = (
    BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>,
    BTreeSet<BTreeSet<PathBuf>>,
);

/// Looks at what has to come along.
pub fn look(home: &Path, udid: &str) -> Look {
    let mut files = BTreeMap::new();
    let mut inodes: BTreeMap<u64, BTreeSet<PathBuf>> = BTreeMap::new();
    for sub in ["gens", "staging", "quarantine", "pins.json"] {
        let top = home.join(udid).join(sub);
        let mut found = fingerprint(&top);
        if let (true, Ok(bytes)) = (top.is_file(), std::fs::read(&top)) {
            found.insert(top, (0, 0, 0, bytes));
        }
        for (path, facts) in found {
            let meta = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(home).unwrap().to_owned();
            if meta.is_file() {
                inodes.entry(meta.ino()).or_default().insert(name.clone());
                files.insert(name, facts);
            } else {
                files.insert(name, (0, 0, 0, Vec::new()));
            }
        }
    }
    (files, inodes.into_values().collect())
}

/// Says what differs between two looks.
pub fn same(found: &Look, want: &Look, what: &str) {
    let mut names: BTreeSet<&PathBuf> = found.0.keys().collect();
    names.extend(want.0.keys());
    for name in names {
        let facts = |look: &Look| look.0.get(name).map(|facts| (facts.0, facts.1, facts.2));
        assert_eq!(facts(found), facts(want), "{what}: {}", name.display());
        assert!(found.0[name] == want.0[name], "{what}: {}", name.display());
    }
    assert_eq!(found.1, want.1, "{what}");
}

fn lists<F: Fs>(store: &Store<F>) -> Vec<Vec<Generation>> {
    let phones = store.phones().unwrap();
    phones
        .iter()
        .map(|udid| store.list(udid).unwrap())
        .collect()
}

/// Everything is there, and the store there is the store that was here.
fn is_a_copy(here: &Path, there: &Path, what: &str) {
    for udid in [UDID, OTHER] {
        same(&look(there, udid), &look(here, udid), what);
        assert!(!there.join(udid).join("copying").exists(), "{what}");
    }
    let (from, _) = Store::open(here, late()).unwrap();
    let (to, recovery) = Store::open(there, late()).unwrap();
    assert_eq!(to.facts().uuid, from.facts().uuid, "{what}");
    assert!(!to.facts().half_copied, "{what}");
    assert_eq!(
        (recovery.resumable.len(), recovery.rekeyed.len()),
        (1, 1),
        "{what}"
    );
    assert_eq!(lists(&to), lists(&from), "{what}");
    assert!(lists(&to)[0][0].pinned, "{what}");
    for udid in to.phones().unwrap() {
        for made in to.list(&udid).unwrap() {
            let report = to.verify(&udid, &made.id, at(0).wall, &mut |_| {
                ControlFlow::Continue(())
            });
            assert!(report.unwrap().is_good(), "{what}");
        }
        let latest = |home: &Path| std::fs::read_link(home.join(udid.as_str()).join("latest"));
        assert_eq!(latest(there).unwrap(), latest(here).unwrap(), "{what}");
    }
}

#[test]
fn everything_comes_along_and_the_source_stays_as_it_is() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let before = (look(&here, UDID), look(&here, OTHER));
    let (to, _) = Store::open(&there, late()).unwrap();
    let made = to.facts().uuid.clone();
    assert_ne!(made, from.facts().uuid);
    let mut seen = Vec::new();
    let copied = from
        .copy_to(&to, &mut |progress| {
            seen.push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((copied.backups, copied.already_there), (4, 0));
    assert_eq!((copied.damaged, copied.left), (vec![], vec![]));
    let last = seen.last().unwrap();
    assert_eq!(
        (last.files, last.bytes),
        (last.files_total, last.bytes_total)
    );
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].files <= pair[1].files && pair[0].bytes <= pair[1].bytes)
    );
    assert_eq!((look(&here, UDID), look(&here, OTHER)), before);
    // Once more: nothing is written again.
    let again = copy(&from, &to).unwrap();
    assert_eq!(
        (again.backups, again.already_there, again.written),
        (0, 4, 0)
    );
    drop((from, to));
    is_a_copy(&here, &there, "copied");

    // And it is gone on with as if nothing had been.
    let (store, _) = Store::open(&there, late()).unwrap();
    let now = at(3 * DAY + 7200);
    let mut staging = begin(&store, Full::IfNeeded, now).unwrap();
    assert_eq!(
        (staging.resumed(), staging.phase()),
        (true, Phase::Uploading)
    );
    run(&mut staging, &plain(3), now).unwrap();
    let made = staging.commit(done(), now).unwrap();
    assert_eq!(content(&store, &made), plain(3).backup());
    assert_eq!((made.full, made.new_files), (false, 3));
    let mut staging = begin_other(&store, now);
    assert_eq!(staging.phase(), Phase::Rekeyed);
    let files = sealed(2).files();
    for (name, content) in &files {
        send(&mut staging, name, content, now).unwrap();
    }
    send(&mut staging, "Status.plist", &status("finished"), now).unwrap();
    staging.commit(done(), now).unwrap();
}

#[test]
fn what_was_copied_of_a_chain_takes_the_room_of_a_chain() {
    let dir = scratch_dir();
    let (from, _) = open(&dir.path().join("here"));
    let mut device = Device::default();
    for number in 0..50 {
        device.put(&format!("{number}"), &"x".repeat(10_000));
    }
    back_up(&from, &device, at(0)).unwrap();
    // A file that takes another's place, and its inode with it.
    let mut staging = begin(&from, Full::IfNeeded, at(1)).unwrap();
    device.put("1", &"x".repeat(10_000));
    device.files.remove("2");
    upload(&mut staging, &device, at(1)).unwrap();
    staging
        .rename(&tree(&place("2")), &tree(&place("1")))
        .unwrap();
    settle(&mut staging, &device, at(1)).unwrap();
    staging.commit(done(), at(1)).unwrap();
    back_up(&from, &device, at(2)).unwrap();
    let (to, _) = open(&dir.path().join("there"));
    copy(&from, &to).unwrap();
    let (want, found) = (
        look(&dir.path().join("here"), UDID),
        look(&dir.path().join("there"), UDID),
    );
    assert!(
        want.1
            .iter()
            .any(|names| names.len() == 3 && names.iter().any(|name| name.ends_with(place("1"))))
    );
    assert_eq!(found.1, want.1);
    assert!(found.0 == want.0);
    let used = |store: &Store| store.space(&udid(), None).unwrap().used;
    assert_eq!(used(&to), used(&from));
}

#[test]
fn stopped_anywhere_it_is_gone_on_with() {
    let (dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let mut steps = 0_u64;
    for stop in 0.. {
        let (to, _) = Store::open(&there, late()).unwrap();
        // Each time a little further.
        let mut left = stop;
        let outcome = from.copy_to(&to, &mut |_| {
            steps += 1;
            left -= 1;
            if left < 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        drop(to);
        match outcome {
            Ok(copied) => {
                assert!(stop > 3 && copied.already_there > 0);
                break;
            }
            Err(error) => assert_eq!(error, StoreError::Cancelled),
        }
        let (to, _) = Store::open(&there, late()).unwrap();
        assert!(to.facts().half_copied);
        assert_ne!(to.facts().uuid, from.facts().uuid);
        for made in lists(&to).concat() {
            assert!(lists(&from).concat().contains(&made));
        }
    }
    drop(from);
    is_a_copy(&here, &there, "after many stops");
    drop(dir);
}

#[test]
fn what_is_whole_already_is_read_again_and_not_written_again() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let (to, _) = Store::open(&there, late()).unwrap();
    let all = from.list(&udid()).unwrap()[0].files;
    // Before the last file of the first backup.
    let stop = from.copy_to(&to, &mut |progress| {
        if progress.files + 1 == all {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(stop, Err(StoreError::Cancelled));
    let waiting = there.join(UDID).join("copying");
    let inodes = || -> BTreeSet<(PathBuf, u64)> {
        fingerprint(&waiting)
            .into_keys()
            .chain(fingerprint(&gens(&there)).into_keys())
            .filter(|path| path.is_file() && path.parent().unwrap().file_name().unwrap().len() == 2)
            .map(|path| {
                (
                    PathBuf::from(path.file_name().unwrap()),
                    path.metadata().unwrap().ino(),
                )
            })
            .collect()
    };
    let before = inodes();
    assert!(!before.is_empty());
    // One that a crash left empty is made anew.
    let (spoilt, _) = before.first().unwrap().clone();
    let path = fingerprint(&waiting)
        .into_keys()
        .find(|path| path.ends_with(&spoilt))
        .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let time = path.metadata().unwrap().modified().unwrap();
    let length = std::fs::read(&path).unwrap().len();
    std::fs::write(&path, vec![0; length]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    file.set_modified(time).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    copy(&from, &to).unwrap();
    let after = inodes();
    for (name, inode) in before {
        assert!(
            name == spoilt || after.contains(&(name.clone(), inode)),
            "{}",
            name.display()
        );
    }
    drop((from, to));
    is_a_copy(&here, &there, "gone on with");
}

#[test]
fn wherever_it_dies_it_is_gone_on_with() {
    let (dir, here, _) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let opened = {
        let fs = FaultFs::new(Fault::None, 0);
        Store::open_on(fs.clone(), &dir.path().join("new"), late()).unwrap();
        fs.operations()
    };
    let mut completed = 0;
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let pace = if slow { 1 } else { 13 };
    for (fault, first) in [
        (Fault::CrashBefore, 0),
        (Fault::CrashAfter, 1),
        (Fault::Once(Errno::NOSPC), 2),
    ] {
        for operation in (opened + first..).step_by(pace) {
            let what = format!("{fault:?} {operation}");
            let there = dir.path().join(format!("there {what}"));
            let fs = FaultFs::new(fault, operation);
            let (to, _) = Store::open_on(fs.clone(), &there, late()).unwrap();
            let outcome = copy(&from, &to);
            let over = fs.operations() <= operation;
            drop(to);
            let (to, _) = Store::open(&there, late()).unwrap();
            let known = lists(&to).concat();
            assert!(known.iter().all(|made| made.verified), "{what}");
            assert!(!lists(&from).is_empty());
            completed += u32::from(!known.is_empty() && outcome.is_err());
            let copied = copy(&from, &to).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(copied.backups + copied.already_there, 4, "{what}");
            assert!(
                copied.already_there >= u64::try_from(known.len()).unwrap(),
                "{what}"
            );
            drop(to);
            if operation % 3 == first || over {
                same(&look(&there, UDID), &look(&here, UDID), &what);
                same(&look(&there, OTHER), &look(&here, OTHER), &what);
            }
            std::fs::remove_dir_all(&there).unwrap();
            if over {
                assert!(outcome.is_ok(), "{what}");
                break;
            }
        }
    }
    assert!(completed > 3);
}

#[test]
fn what_is_no_place_for_it_is_refused() {
    let (dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let refused = |outcome: Result<Copied, StoreError>, why: &str| {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(
        copy(&from, &from.clone()),
        "it is the store that is to be copied",
    );
    let elsewhere = dir.path().join("elsewhere");
    let (busy, _) = open(&elsewhere);
    back_up(&busy, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let before = fingerprint(&elsewhere);
    refused(copy(&from, &busy), "holds backups of its own");
    assert_eq!(fingerprint(&elsewhere), before);
    // A copy of another store that was begun.
    let (third, _) = open(&dir.path().join("third"));
    let stopped = busy.copy_to(&third, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped, Err(StoreError::Cancelled));
    refused(copy(&from, &third), "an unfinished copy of another store");
    // Not enough room: nothing is begun.
    let mut tight = late();
    tight.reserve = Reserve::Fixed(Bytes::new(u64::MAX / 2));
    let (to, _) = Store::open(&there, tight).unwrap();
    let error = copy(&from, &to).unwrap_err();
    assert!(
        matches!(error, StoreError::NoRoom { needed, free: 0 } if needed > 100_000),
        "{error}"
    );
    assert_eq!(error.kind(), ibak_store::ErrorKind::NoSpace);
    assert!(to.phones().unwrap().is_empty() && !to.facts().half_copied);
    assert!(!there.join("copying.json").exists());
}

#[test]
fn what_is_in_use_goes_on_meanwhile() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let now = at(3 * DAY + 7200);
    let mut staging = begin(&from, Full::IfNeeded, now).unwrap();
    run(&mut staging, &plain(3), now).unwrap();
    let (to, _) = Store::open(&there, late()).unwrap();
    let list = from.list(&udid()).unwrap();
    let mut session = Some(staging);
    let mut made = None;
    let mut in_use = false;
    let copied = from
        .copy_to(&to, &mut |progress| {
            if progress.files == 2 {
                in_use |= from.claim_removal(&list[0].id).is_err();
                // It is committed in the middle of the copy, and comes along.
                made = made
                    .take()
                    .or_else(|| Some(session.take()?.commit(done(), now).unwrap()));
                // Nobody backs up into the half of a store.
                assert!(begin(&to, Full::IfNeeded, now).is_err());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(in_use);
    assert_eq!((copied.backups, copied.left), (5, vec![]));
    assert_eq!(lists(&to), lists(&from));
    assert!(to.list(&udid()).unwrap().contains(&made.unwrap()));
    // A session that goes on is left behind, and told.
    let other = Udid::parse(OTHER).unwrap();
    let staging = begin_other(&from, now);
    let again = copy(&from, &to).unwrap();
    assert_eq!(again.left, std::slice::from_ref(&other));
    drop(staging);
    assert_eq!(copy(&from, &to).unwrap().left, []);
}
