//! Backups of other programs, taken over: what becomes one of ours, and what is refused.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::sealed::Sealed;
use ibak_core::{BackupPath, Bytes, Wall};
use ibak_store::fs::{Errno, Fs};
use ibak_store::{Adopted, Full, Generation, Reserve, Store, StoreError};
use plist::{Date, Dictionary, Value};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

pub const DAY: u64 = 86_400;

pub fn list(entries: Vec<(&str, Value)>, xml: bool) -> Vec<u8> {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    let list = Value::from(entries.collect::<Dictionary>());
    let mut bytes = Vec::new();
    if xml {
        list.to_writer_xml(&mut bytes).unwrap();
    } else {
        list.to_writer_binary(&mut bytes).unwrap();
    }
    bytes
}

fn date(wall: Wall) -> Value {
    let since = Duration::from_secs(u64::try_from(wall.as_secs()).unwrap());
    Value::Date(Date::from(SystemTime::UNIX_EPOCH + since))
}

pub fn info(udid: &str, wall: Wall) -> Vec<u8> {
    list(
        vec![
            ("Target Identifier", udid.into()),
            ("Unique Identifier", udid.to_uppercase().into()),
            ("Last Backup Date", date(wall)),
            ("Build Version", "19G71".into()),
        ],
        true,
    )
}

pub fn finished(wall: Wall, uuid: &str) -> Vec<u8> {
    list(
        vec![
            ("SnapshotState", "finished".into()),
            ("UUID", uuid.into()),
            ("Date", date(wall)),
            ("Version", "3.3".into()),
        ],
        false,
    )
}

/// What another program made of a phone on a day.
pub fn theirs(mut files: Files, day: u64) -> Files {
    let wall = at(day * DAY).wall;
    files.insert("Info.plist".into(), info(UDID, wall));
    files.insert(
        "Status.plist".into(),
        finished(wall, &format!("UUID-{day}")),
    );
    files
}

pub fn phone() -> Device {
    let mut device = Device::default();
    for number in 0..20 {
        device.put(
            &format!("Library/{number}"),
            &format!("{number} ").repeat(900),
        );
    }
    device
}

pub fn offer<F: Fs>(store: &Store<F>, files: &Files, secs: u64) -> Result<Adopted, StoreError> {
    let mut adopting = store.adopt(&udid(), UDID, at(secs))?;
    let sent = files.iter().try_for_each(|(path, content)| {
        adopting.create(&tree(path))?;
        content
            .chunks(7000)
            .try_for_each(|block| adopting.write(block))?;
        adopting.finish()
    });
    match sent {
        Ok(()) => adopting.commit(at(secs)),
        Err(error) => {
            drop(adopting.discard());
            Err(error)
        }
    }
}

fn adopt<F: Fs>(store: &Store<F>, files: &Files, secs: u64) -> Generation {
    match offer(store, files, secs).unwrap() {
        Adopted::New(made) => made,
        Adopted::AlreadyThere(id) => panic!("it is {id}"),
    }
}

fn ids(store: &Store) -> Vec<String> {
    let list = store.list(&udid()).unwrap();
    list.iter().map(|found| found.id.to_string()).collect()
}

fn latest(home: &Path) -> String {
    let target = std::fs::read_link(home.join(UDID).join("latest")).unwrap();
    target.file_name().unwrap().to_str().unwrap().to_owned()
}

fn inode(home: &Path, made: &Generation, path: &str) -> u64 {
    let tree = gens(home).join(made.id.as_str()).join(UDID);
    tree.join(path).metadata().unwrap().ino()
}

/// Nothing of an adoption is left but in the trash.
pub fn nothing_is_left(home: &Path) {
    let dir = home.join(UDID).join("adopting");
    assert_eq!(dir.read_dir().map_or(0, Iterator::count), 0);
}

#[test]
fn it_has_its_own_date_and_the_next_backup_is_incremental() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let files = theirs(phone().backup(), 3);
    let made = adopt(&store, &files, 9 * DAY);
    assert_eq!(
        (made.started, made.finished),
        (at(3 * DAY).wall, at(3 * DAY).wall)
    );
    let stamp = ulid::Ulid::from_string(made.id.as_str())
        .unwrap()
        .timestamp_ms();
    assert_eq!(
        i64::try_from(stamp).unwrap() * 1000,
        made.finished.as_micros()
    );
    assert!(made.adopted && made.full && made.verified && !made.encrypted);
    assert_eq!(made.parent, None);
    assert_eq!(made.device_name.as_deref(), Some("Ada"));
    assert_eq!((made.files, made.new_files), (24, 24));
    assert_eq!(store.list(&udid()).unwrap(), std::slice::from_ref(&made));
    assert!(verify(&store, &made).is_good());
    assert_eq!(content(&store, &made), files);
    assert_eq!(latest(dir.path()), made.id.as_str());
    for (path, (mode, ..)) in fingerprint(&gens(dir.path()).join(made.id.as_str()).join(UDID)) {
        assert!(path.is_dir() || mode & 0o777 == 0o400, "{}", path.display());
    }
    let mut device = phone();
    device.put("Library/7", "changed");
    let next = back_up(&store, &device, at(9 * DAY)).unwrap();
    assert_eq!((next.full, next.parent.as_ref()), (false, Some(&made.id)));
    // The changed one, and what is new in every backup.
    assert_eq!(next.new_files, 4);
    assert!(!next.adopted);
    drop(store);
    let (store, _) = open(dir.path());
    assert!(store.list(&udid()).unwrap()[0].adopted);
}

#[test]
fn an_older_one_sorts_before_and_changes_nothing_for_the_next() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let ninth = back_up(&store, &phone(), at(9 * DAY)).unwrap();
    let tenth = back_up(&store, &phone(), at(10 * DAY)).unwrap();
    let mut device = phone();
    device.put("Library/3", "as it was long ago");
    let files = theirs(device.backup(), 2);
    let old = adopt(&store, &files, 11 * DAY);
    assert_eq!(
        ids(&store),
        [&old.id, &ninth.id, &tenth.id].map(ToString::to_string)
    );
    assert_eq!(latest(dir.path()), tenth.id.as_str());
    let staging = begin(&store, Full::IfNeeded, at(11 * DAY)).unwrap();
    assert_eq!(staging.parent(), Some(&tenth.id));
    drop(staging);
    // What it has in common with the nearest is there once.
    assert_eq!(old.parent.as_ref(), Some(&ninth.id));
    assert!(old.full);
    for (path, shared) in [("Library/1", true), ("Library/3", false)] {
        let same = inode(dir.path(), &old, &place(path)) == inode(dir.path(), &ninth, &place(path));
        assert_eq!(same, shared, "{path}");
    }
    // Library/3, the list of files, Info and Status.
    assert_eq!(old.new_files, 4);
    assert!(old.unique_bytes < old.size_bytes);
    assert_eq!(content(&store, &old), files);
    for made in [&old, &ninth, &tenth] {
        assert!(verify(&store, made).is_good());
    }
}

#[test]
fn a_newer_one_is_what_the_next_backup_builds_on() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    back_up(&store, &phone(), at(0)).unwrap();
    let made = adopt(&store, &theirs(phone().backup(), 5), 6 * DAY);
    assert_eq!(latest(dir.path()), made.id.as_str());
    let next = back_up(&store, &phone(), at(6 * DAY)).unwrap();
    assert_eq!(next.parent, Some(made.id));
    assert_eq!(latest(dir.path()), next.id.as_str());
}

#[test]
fn encrypted_ones_share_too_and_are_opened_with_their_password() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let first = sealed.commit(&store, at(4 * DAY));
    let files = theirs(sealed.files(), 2);
    let old = adopt(&store, &files, 5 * DAY);
    assert_eq!(old.keybag_uuid, first.keybag_uuid);
    assert_eq!((old.encrypted, old.new_files), (true, 2));
    let reader = store.reader(&udid(), &old.id).unwrap();
    let keys = crate::sealed::keys(&reader);
    let catalogue = reader.catalogue(Some(&keys)).unwrap();
    assert!(
        catalogue
            .find("HomeDomain", "Library/short")
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_working_copy_is_neither_needed_nor_disturbed() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    back_up(&store, &phone(), at(5 * DAY)).unwrap();
    let now = at(6 * DAY);
    let mut staging = begin(&store, Full::IfNeeded, now).unwrap();
    let mut device = phone();
    device.put("Library/new", "new");
    upload(&mut staging, &device, now).unwrap();
    // While the phone is sending.
    adopt(&store, &theirs(phone().backup(), 1), 6 * DAY);
    let id = staging.id().clone();
    staging.keep(now).unwrap();
    // While it is not.
    adopt(&store, &theirs(phone().backup(), 2), 6 * DAY);
    drop(store);
    let (store, recovery) = Store::open(dir.path(), options(6 * DAY)).unwrap();
    assert_eq!(recovery.resumable, [(udid(), id.clone())]);
    let mut staging = begin(&store, Full::IfNeeded, now).unwrap();
    assert_eq!((staging.id(), staging.resumed()), (&id, true));
    settle(&mut staging, &device, now).unwrap();
    let made = staging.commit(done(), now).unwrap();
    assert_eq!(content(&store, &made), device.backup());
    assert_eq!(ids(&store).len(), 4);

    let mut staging = begin(&store, Full::IfNeeded, at(7 * DAY)).unwrap();
    send(
        &mut staging,
        "Manifest.plist",
        b"another password",
        at(7 * DAY),
    )
    .unwrap();
    let id = staging.id().clone();
    staging.keep_rekeyed(at(7 * DAY)).unwrap();
    adopt(&store, &theirs(phone().backup(), 3), 7 * DAY);
    let staging = begin(&store, Full::IfNeeded, at(7 * DAY)).unwrap();
    assert_eq!(staging.id(), &id);
}

#[test]
fn what_is_there_already_is_not_kept_twice() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let files = theirs(phone().backup(), 3);
    let made = adopt(&store, &files, 4 * DAY);
    assert_eq!(
        offer(&store, &files, 5 * DAY),
        Ok(Adopted::AlreadyThere(made.id.clone()))
    );
    // The phone's own name for it counts, whatever a host wrote beside it.
    let mut renamed = files.clone();
    renamed.insert("Info.plist".into(), info(UDID, at(0).wall));
    assert_eq!(
        offer(&store, &renamed, 5 * DAY),
        Ok(Adopted::AlreadyThere(made.id.clone()))
    );
    // And so does equal content without any name.
    let mut nameless = theirs(phone().backup(), 1);
    nameless.insert("Status.plist".into(), status("finished"));
    let other = adopt(&store, &nameless, 5 * DAY);
    assert_eq!(
        offer(&store, &nameless, 5 * DAY),
        Ok(Adopted::AlreadyThere(other.id.clone()))
    );
    nothing_is_left(dir.path());
    assert_eq!(ids(&store).len(), 2);
    // One that is damaged is no reason to refuse a good one.
    let rotten = gens(dir.path())
        .join(made.id.as_str())
        .join(UDID)
        .join(place("Library/2"));
    rot(&rotten);
    assert!(!verify(&store, &made).is_good());
    let again = adopt(&store, &files, 6 * DAY);
    assert_eq!(again.finished, made.finished);
    assert_ne!(again.id, made.id);
    assert!(verify(&store, &again).is_good());
    assert!(!verify(&store, &made).is_good());
}

/// Changes a byte without anybody's knowledge.
fn rot(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    let mode =
        |mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    std::fs::write(path, bytes).unwrap();
    mode(0o400);
}

#[test]
fn a_good_file_is_not_given_up_for_a_rotten_one() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let there = back_up(&store, &phone(), at(5 * DAY)).unwrap();
    let path = place("Library/2");
    rot(&gens(dir.path())
        .join(there.id.as_str())
        .join(UDID)
        .join(&path));
    let made = adopt(&store, &theirs(phone().backup(), 3), 6 * DAY);
    assert_ne!(
        inode(dir.path(), &made, &path),
        inode(dir.path(), &there, &path)
    );
    assert!(verify(&store, &made).is_good());
    assert!(!verify(&store, &there).is_good());
}

#[test]
fn one_whose_index_is_damaged_is_no_obstacle() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let there = back_up(&store, &phone(), at(5 * DAY)).unwrap();
    let index = gens(dir.path()).join(there.id.as_str()).join("index.zst");
    rot(&index);
    let files = theirs(phone().backup(), 3);
    let made = adopt(&store, &files, 6 * DAY);
    assert_eq!((made.parent.as_ref(), made.new_files), (None, made.files));
    assert_eq!(content(&store, &made), files);
    assert!(verify(&store, &made).is_good());
}

#[test]
fn one_at_a_time_and_what_is_left_behind_goes() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut one = store.adopt(&udid(), UDID, at(0)).unwrap();
    assert_eq!(
        store.adopt(&udid(), UDID, at(0)).err(),
        Some(StoreError::Busy(udid()))
    );
    one.create(&tree("Info.plist")).unwrap();
    assert!(matches!(
        one.create(&tree("Status.plist")),
        Err(StoreError::Refused { .. })
    ));
    one.write(b"half").unwrap();
    let error = one.commit(at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Unadoptable(_)), "{error}");
    nothing_is_left(dir.path());
    let mut one = store.adopt(&udid(), UDID, at(0)).unwrap();
    for path in [".b/1", "_unback_/1"] {
        let path = BackupPath::Scratch(path.to_owned());
        assert!(matches!(one.create(&path), Err(StoreError::Refused { .. })));
    }
    assert!(one.create(&tree("../x")).is_err());
    one.create(&tree("Manifest.db")).unwrap();
    // Dropped in the middle: the next one clears it away, and so does an opening.
    drop(one);
    let two = store.adopt(&udid(), UDID, at(0)).unwrap();
    drop(two);
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.removed.len(), 1);
    nothing_is_left(dir.path());
    store
        .adopt(&udid(), UDID, at(0))
        .unwrap()
        .discard()
        .unwrap();
    nothing_is_left(dir.path());
    assert_eq!(store.phones().unwrap(), [udid()]);
    assert_eq!(store.list(&udid()).unwrap(), []);
}

#[test]
fn the_reserve_is_not_touched() {
    let dir = scratch_dir();
    drop(open(dir.path()));
    let mut tight = options(0);
    tight.reserve = Reserve::Fixed(Bytes::new(u64::MAX / 2));
    let (store, _) = Store::open(dir.path(), tight).unwrap();
    let error = offer(&store, &theirs(phone().backup(), 3), 4 * DAY).unwrap_err();
    assert_eq!(error.kind(), ibak_store::ErrorKind::NoSpace);
    nothing_is_left(dir.path());
}

#[test]
fn a_wire_spelling_without_its_dash_names_the_directory() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let wire = UDID.replace('-', "").to_lowercase();
    let mut adopting = store.adopt(&udid(), &wire, at(DAY)).unwrap();
    for (path, content) in theirs(phone().backup(), 0) {
        adopting.create(&tree(&path)).unwrap();
        adopting.write(&content).unwrap();
        adopting.finish().unwrap();
    }
    let Adopted::New(made) = adopting.commit(at(DAY)).unwrap() else {
        panic!("it is not there yet");
    };
    assert_eq!((made.wire_udid, made.udid), (wire, udid()));
}

#[test]
fn whatever_fails_the_others_stay_and_it_is_whole_or_not_there() {
    let small = Device::new(&[("a", "1"), ("b", "2")]);
    let files = theirs(small.backup(), 1);
    // An opening that fails is another test's.
    let opened = {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        back_up(&store, &small, at(3 * DAY)).unwrap();
        drop(store);
        let fs = FaultFs::new(Fault::None, 0);
        Store::open_on(fs.clone(), dir.path(), options(4 * DAY)).unwrap();
        fs.operations()
    };
    for fault in [
        Fault::Once(Errno::IO),
        Fault::From(Errno::NOSPC),
        Fault::CrashBefore,
        Fault::CrashAfter,
    ] {
        let mut kinds = BTreeSet::new();
        for operation in opened.. {
            let what = format!("{fault:?} {operation}");
            let dir = scratch_dir();
            let good = {
                let (store, _) = open(dir.path());
                back_up(&store, &small, at(3 * DAY)).unwrap()
            };
            let before = fingerprint(&gens(dir.path()).join(good.id.as_str()));
            let fs = FaultFs::new(fault, operation);
            let outcome = Store::open_on(fs.clone(), dir.path(), options(4 * DAY))
                .and_then(|(store, _)| offer(&store, &files, 4 * DAY));
            let over = fs.operations() <= operation;
            let (store, _) = Store::open(dir.path(), options(4 * DAY)).unwrap();
            let list = store.list(&udid()).unwrap();
            assert!(list.contains(&good), "{what}");
            assert_eq!(
                fingerprint(&gens(dir.path()).join(good.id.as_str())),
                before,
                "{what}"
            );
            for made in &list {
                assert!(verify(&store, made).is_good(), "{what}");
            }
            match &outcome {
                Ok(Adopted::New(made)) => assert!(list.contains(made), "{what}"),
                other => assert!(list.len() <= 2, "{what}: {other:?}"),
            }
            kinds.insert((outcome.is_ok(), list.len()));
            nothing_is_left(dir.path());
            if let [old, _] = list.as_slice() {
                assert_eq!(content(&store, old), files, "{what}");
            } else {
                adopt(&store, &files, 5 * DAY);
            }
            if over {
                assert!(outcome.is_ok(), "{what}");
                break;
            }
        }
        assert!(
            kinds.contains(&(false, 1)) && kinds.contains(&(true, 2)),
            "{fault:?}: {kinds:?}"
        );
    }
}
