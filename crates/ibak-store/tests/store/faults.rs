//! The loops of `tests/sim/faults.rs` on the kernel's own file system, with few steps: operation
//! N fails, or is the last one. Reading an encrypted backup is done here alone.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::scenarios::{Announced, Scenario, assert_kind, two};
use ibak_store::Store;
use ibak_store::fs::{Errno, RealFs};
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

type Told = Announced<()>;
type RealScenario = Scenario<RealFs, ()>;

fn stride() -> usize {
    if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        1
    } else {
        97
    }
}

/// I1 to I6 as an observer sees them: everything announced is there and equal, whatever is
/// listed is whole, and the next backup works.
fn check(path: &Path, told: &Told, what: &str) {
    let (store, recovery) =
        Store::open(path, options(5)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let list = store.list(&udid()).unwrap();
    for promise in &told.promises {
        let (made, files) = (&promise.made, &promise.files);
        assert!(list.contains(made), "{what}: an announced backup is gone");
        assert_eq!(&content(&store, made), files, "{what}");
    }
    assert!(list.len() <= told.promises.len() + 1, "{what}");
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

fn run_loop(scenario: RealScenario, stride: usize) {
    let name = scenario.name;
    let attempt = |fault, at, what: &str| {
        let dir = scratch_dir();
        let path = dir.path().join("store");
        let mut told = Told::new(|| ());
        (scenario.before)(&path, &RealFs, &mut told);
        let fs = FaultFs::new(fault, at);
        let outcome = (scenario.run)(&path, &fs, &mut told);
        check(&path, &told, what);
        (fs.operations(), outcome)
    };
    let (clean, outcome) = attempt(Fault::None, 0, name);
    outcome.unwrap();
    assert!(clean > 30, "{name}: {clean} operations");
    let mut runs = 0;
    for (offset, fault) in FAULTS.into_iter().enumerate() {
        for at in (0..clean).skip(offset * 11 % stride).step_by(stride) {
            let what = format!("{name}, {fault:?} at {at} of {clean}");
            let (_, outcome) = attempt(fault, at, &what);
            if let (Err(error), Fault::Once(errno) | Fault::From(errno)) = (&outcome, fault) {
                assert_kind(error, errno, &what);
            }
            runs += 1;
        }
    }
    eprintln!("{name}: {clean} operations, {runs} runs");
}

#[test]
fn on_the_kernel_s_file_system_too() {
    for scenario in [
        RealScenario::FULL,
        RealScenario::INCREMENTAL,
        RealScenario::RESUMED,
        RealScenario::RECOVERY,
        RealScenario::REKEYED,
        RealScenario::SERVED,
    ] {
        run_loop(scenario, stride());
    }
}

#[test]
fn an_encrypted_backup_that_is_read() {
    run_loop(RealScenario::OPENED, stride().min(23));
}
