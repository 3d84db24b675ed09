//! In the spirit of SQLite's loops: operation N fails or is the last one, for every N.
//!
//! `RUN_SLOW_TESTS=1` takes every N; otherwise a stride, another offset for each fault.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::sealed::{Sealed, secret};
use ibak_store::fs::Errno;
use ibak_store::{Generation, Store, StoreError};
use std::path::Path;

const FAULTS: [Fault; 10] = [
    Fault::Once(Errno::IO),
    Fault::From(Errno::IO),
    Fault::Once(Errno::NOSPC),
    Fault::From(Errno::NOSPC),
    Fault::Once(Errno::ROFS),
    Fault::From(Errno::ROFS),
    Fault::Once(Errno::MFILE),
    Fault::From(Errno::MFILE),
    Fault::CrashBefore,
    Fault::CrashAfter,
];

fn stride() -> usize {
    if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        1
    } else {
        23
    }
}

fn one() -> Device {
    Device::new(&[("a", "first"), ("b", "second"), ("c", "third")])
}

fn two() -> Device {
    Device::new(&[("a", "changed"), ("b", "second"), ("d", "new")])
}

/// What a phase of the test leaves behind: the backups it announced, with their content.
type Announced = Vec<(Generation, Files)>;

/// Runs on the given file system; returns what it announced before the first error.
type Scenario = fn(&Path, &FaultFs, &mut Announced) -> Result<(), StoreError>;

fn note(announced: &mut Announced, device: &Device, made: Generation) {
    announced.push((made, device.backup()));
}

fn full(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    let (store, _) = Store::open_on(fs.clone(), path, options(0))?;
    note(announced, &one(), back_up(&store, &one(), at(1))?);
    Ok(())
}

fn incremental(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    let (store, _) = open(path);
    note(announced, &one(), back_up(&store, &one(), at(1)).unwrap());
    drop(store);
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    note(announced, &two(), back_up(&store, &two(), at(2))?);
    Ok(())
}

/// An interrupted session, recovered and gone on with under faults.
fn resumed(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    let (store, _) = open(path);
    note(announced, &one(), back_up(&store, &one(), at(1)).unwrap());
    let mut staging = begin(&store, ibak_store::Full::IfNeeded, at(2)).unwrap();
    upload(&mut staging, &two(), at(2)).unwrap();
    staging.keep(at(2)).unwrap();
    drop(store);
    let (store, _) = Store::open_on(fs.clone(), path, options(3))?;
    note(announced, &two(), back_up(&store, &two(), at(3))?);
    Ok(())
}

/// Recovery of a store with something of everything in it.
fn recovery(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    resumed_setup(path, announced);
    let phone = path.join(UDID);
    let fake = "01JD8Z3YQ9V6W2X4T5R7P8N0KM";
    std::fs::create_dir_all(phone.join("gens").join(fake).join(UDID)).unwrap();
    std::fs::create_dir_all(phone.join("trash").join(fake).join("deep")).unwrap();
    std::fs::create_dir_all(phone.join("staging").join(fake).join(UDID)).unwrap();
    std::fs::remove_file(phone.join("latest")).unwrap();
    Store::open_on(fs.clone(), path, options(3)).map(drop)
}

fn resumed_setup(path: &Path, announced: &mut Announced) {
    let (store, _) = open(path);
    note(announced, &one(), back_up(&store, &one(), at(1)).unwrap());
    note(announced, &two(), back_up(&store, &two(), at(2)).unwrap());
    let mut staging = begin(&store, ibak_store::Full::IfNeeded, at(3)).unwrap();
    upload(&mut staging, &one(), at(3)).unwrap();
    staging.keep(at(3)).unwrap();
}

/// The phone changes its password in a working copy, and the next backup goes on in it.
fn rekeyed(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    let (store, _) = open(path);
    note(announced, &one(), back_up(&store, &one(), at(1)).unwrap());
    drop(store);
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    let mut staging = begin(&store, ibak_store::Full::IfNeeded, at(2))?;
    let id = staging.id().clone();
    let new = [two().manifest_plist(), vec![0; 9]].concat();
    send(&mut staging, "Manifest.plist", &new, at(2))?;
    if !staging.keep_rekeyed(at(2))? {
        return Err(StoreError::Poisoned);
    }
    drop(store);
    let (store, recovery) = Store::open_on(fs.clone(), path, options(3))?;
    assert_eq!(recovery.rekeyed, [(udid(), id.clone())]);
    let staging = begin(&store, ibak_store::Full::IfNeeded, at(3))?;
    // What cannot be read any more is begun anew, and never gone on with in part.
    if staging.resumed() {
        assert_eq!(staging.id(), &id);
        let mut found = Vec::new();
        let mut list = staging.open(&tree("Manifest.plist"))?;
        std::io::Read::read_to_end(&mut list, &mut found).map_err(os)?;
        assert_eq!(found, new);
    }
    drop(staging);
    note(announced, &two(), back_up(&store, &two(), at(3))?);
    Ok(())
}

/// A phone is given a backup back, and writes all over it.
fn served(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    let (store, _) = open(path);
    let made = back_up(&store, &one(), at(1)).unwrap();
    note(announced, &one(), made.clone());
    drop(store);
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    let mut serving = store.serve(&udid(), &made.id)?;
    let files = one().backup();
    for (path, content) in &files {
        let mut found = Vec::new();
        std::io::Read::read_to_end(&mut serving.open(&tree(path))?, &mut found).map_err(os)?;
        assert_eq!(&found, content);
    }
    serving.create(&tree(&place("a")))?;
    serving.write(b"written over")?;
    serving.finish()?;
    serving.rename(&tree(&place("b")), &tree("moved/b"))?;
    serving.copy(&tree(&place("c")), &tree("copied"))?;
    serving.remove(&tree("Manifest.db"))?;
    serving.create(&ibak_core::BackupPath::Scratch(".b/1".into()))?;
    serving.write(b"beside")?;
    serving.abandon(Some("no"))?;
    assert!(serving.list(&tree(""))?.len() > 3);
    serving.close()
}

/// An encrypted backup is read by its names: the right content or an error.
fn opened(path: &Path, fs: &FaultFs, announced: &mut Announced) -> Result<(), StoreError> {
    let (store, _) = open(path);
    let sealed = Sealed::new();
    let made = sealed.commit(&store, at(1));
    let files = content(&store, &made);
    announced.push((made.clone(), files));
    drop(store);
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    let reader = store.reader(&udid(), &made.id)?;
    let keys = reader.check_password(&secret(), &())?;
    let catalogue = reader.catalogue(Some(&keys))?;
    for item in sealed.items.iter().filter(|item| item.flags == 1) {
        let entry = catalogue.find(item.domain, item.path)?.unwrap();
        let mut found = Vec::new();
        std::io::Read::read_to_end(&mut catalogue.open(&entry)?, &mut found).map_err(os)?;
        assert_eq!(found, item.content);
    }
    for raw in reader.raw_files()? {
        let raw = raw?;
        assert_eq!(reader.open(&raw.path)?.size(), raw.size);
    }
    Ok(())
}

fn os(error: std::io::Error) -> StoreError {
    StoreError::System {
        action: "read",
        path: "a file".to_owned(),
        errno: Errno::from_io_error(&error).unwrap(),
    }
}

/// I1 to I6 as an observer sees them: everything announced is there and equal, whatever is
/// listed is whole, and the next backup works.
fn check(path: &Path, announced: &Announced, what: &str) {
    let (store, recovery) =
        Store::open(path, options(5)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let list = store.list(&udid()).unwrap();
    for (made, files) in announced {
        assert!(list.contains(made), "{what}: an announced backup is gone");
        assert_eq!(&content(&store, made), files, "{what}");
    }
    assert!(list.len() <= announced.len() + 1, "{what}");
    for generation in &list {
        assert!(
            verify(&store, generation).is_good(),
            "{what}: {:?}",
            verify(&store, generation)
        );
    }
    assert!(
        recovery.resumable.len() + recovery.rekeyed.len() <= 1,
        "{what}"
    );
    let scratch = path.join(UDID).join("scratch");
    assert!(
        !scratch.exists() || std::fs::read_dir(scratch).unwrap().next().is_none(),
        "{what}: something of a reading or a restore stays"
    );
    let before = fingerprint(&gens(path));
    let made =
        back_up(&store, &two(), at(6)).unwrap_or_else(|error| panic!("{what}: and then {error}"));
    assert_eq!(content(&store, &made), two().backup(), "{what}");
    for (name, was) in before {
        let now = fingerprint_one(&name);
        assert!(
            name.is_dir() || now == Some(was),
            "{what}: {} changed",
            name.display()
        );
    }
    let staging = path.join(UDID).join("staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0, "{what}");
}

fn fingerprint_one(path: &Path) -> Option<(u32, i64, i64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let meta = path.symlink_metadata().ok()?;
    Some((
        meta.mode(),
        meta.mtime(),
        meta.mtime_nsec(),
        std::fs::read(path).unwrap_or_default(),
    ))
}

fn run_loop(name: &str, scenario: Scenario) {
    let mut runs = 0;
    let clean = {
        let dir = scratch_dir();
        let fs = FaultFs::new(Fault::None, 0);
        let mut announced = Announced::new();
        scenario(&dir.path().join("store"), &fs, &mut announced).unwrap();
        check(&dir.path().join("store"), &announced, name);
        fs.operations()
    };
    assert!(clean > 30, "{name}: {clean} operations");
    for (offset, fault) in FAULTS.into_iter().enumerate() {
        for at in (0..clean).skip(offset % stride()).step_by(stride()) {
            let what = format!("{name}, {fault:?} at {at} of {clean}");
            let dir = scratch_dir();
            let path = dir.path().join("store");
            let fs = FaultFs::new(fault, at);
            let mut announced = Announced::new();
            let outcome = scenario(&path, &fs, &mut announced);
            if let (Err(error), Fault::Once(errno) | Fault::From(errno)) = (&outcome, fault) {
                assert_kind(error, errno, &what);
            }
            check(&path, &announced, &what);
            runs += 1;
        }
    }
    eprintln!("{name}: {clean} operations, {runs} runs");
}

/// The phone hears the right code: the errno itself, or that the session is lost by it.
fn assert_kind(error: &StoreError, errno: Errno, what: &str) {
    let known = match error {
        StoreError::System { errno: said, .. } => *said == errno,
        StoreError::Poisoned => true,
        _ => false,
    };
    assert!(known, "{what}: {error}");
}

#[test]
fn a_full_backup() {
    run_loop("full backup", full);
}

#[test]
fn an_incremental_backup() {
    run_loop("incremental backup", incremental);
}

#[test]
fn a_resumed_backup() {
    run_loop("resumed backup", resumed);
}

#[test]
fn a_recovery() {
    run_loop("recovery", recovery);
}

#[test]
fn a_rekeyed_working_copy() {
    run_loop("rekeyed working copy", rekeyed);
}

#[test]
fn a_served_backup() {
    run_loop("served backup", served);
}

#[test]
fn an_encrypted_backup_that_is_read() {
    run_loop("encrypted backup", opened);
}
