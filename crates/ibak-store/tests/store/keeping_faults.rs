//! Removing, sweeping, forgetting, pinning and making room, with every operation failing once,
//! for ever, or being the last one: nothing goes that was not to go, and what was to go is there
//! whole or not listed.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::keeping::du;
use crate::scenarios::assert_kind;
use ibak_core::BackupId;
use ibak_store::fs::Errno;
use ibak_store::{Full, Generation, Remover, Store, StoreError};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const FAULTS: [Fault; 13] = [
    Fault::Once(Errno::IO),
    Fault::From(Errno::IO),
    Fault::Once(Errno::NOSPC),
    Fault::From(Errno::NOSPC),
    Fault::Once(Errno::DQUOT),
    Fault::Once(Errno::ROFS),
    Fault::From(Errno::ROFS),
    Fault::Once(Errno::MFILE),
    Fault::From(Errno::MFILE),
    Fault::Unchanging(Errno::NOSPC),
    Fault::Unchanging(Errno::ROFS),
    Fault::CrashBefore,
    Fault::CrashAfter,
];

fn stride() -> usize {
    if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        1
    } else {
        97
    }
}

fn small(number: u64) -> Device {
    let text = format!("of day {number}");
    Device::new(&[("same", "every day"), ("other", &text), (&text, &text)])
}

/// Five backups, of which the first is pinned and the second already in the trash; a working
/// copy of the last; something in quarantine, and in the store's own trash.
struct World {
    dir: tempfile::TempDir,
    made: Vec<(Generation, Files)>,
}

impl World {
    fn new() -> Self {
        let dir = scratch_dir();
        let (store, _) = open(&dir.path().join("store"));
        let mut made: Vec<(Generation, Files)> = (0..5)
            .map(|number| {
                let made = back_up(&store, &small(number), at(number)).unwrap();
                (made, small(number).backup())
            })
            .collect();
        store.pin(&udid(), &made[0].0.id, true).unwrap();
        made[0].0.pinned = true;
        let (removed, _) = made.remove(1);
        store.remove(&udid(), &removed.id, Remover::Plan).unwrap();
        let mut staging = begin(&store, Full::IfNeeded, at(9)).unwrap();
        upload(&mut staging, &small(9), at(9)).unwrap();
        staging.keep(at(9)).unwrap();
        let world = Self { dir, made };
        for sub in ["quarantine", "../trash"] {
            let odd = world.phone().join(sub).join("odd");
            std::fs::create_dir_all(&odd).unwrap();
            std::fs::write(odd.join("file"), "odd").unwrap();
        }
        world
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn phone(&self) -> PathBuf {
        self.path().join(UDID)
    }

    fn id(&self, at: usize) -> &BackupId {
        &self.made[at].0.id
    }
}

struct Scenario {
    name: &'static str,
    /// Which backups are to go; they are to be there or gone, whole.
    going: &'static [usize],
    /// Whether the phone is to go.
    forgets: bool,
    /// Which backup is pinned and unpinned.
    pins: Option<usize>,
    run: fn(&World, &Store<FaultFs>) -> Result<(), StoreError>,
}

const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "a removal",
        going: &[1],
        forgets: false,
        pins: None,
        run: |world, store| store.remove(&udid(), world.id(1), Remover::Plan),
    },
    Scenario {
        name: "a removal of the newest, and of the working copy with it",
        going: &[3],
        forgets: false,
        pins: None,
        run: |world, store| store.remove(&udid(), world.id(3), Remover::Person),
    },
    Scenario {
        name: "a sweep",
        going: &[],
        forgets: false,
        pins: None,
        run: |_, store| {
            store.used(&udid())?;
            store.sweep(&mut |_| ControlFlow::Continue(()))?;
            store.used(&udid()).map(drop)
        },
    },
    Scenario {
        name: "sweeps that stop",
        going: &[2],
        forgets: false,
        pins: None,
        run: |world, store| {
            store.remove(&udid(), world.id(2), Remover::Plan)?;
            for _ in 0..3 {
                store.sweep(&mut |swept| match swept.files {
                    3 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })?;
                store.totals()?;
            }
            Ok(())
        },
    },
    Scenario {
        name: "a phone that is forgotten",
        going: &[0, 1, 2, 3],
        forgets: true,
        pins: None,
        run: |_, store| {
            store.forget(&udid())?;
            store.totals().map(drop)
        },
    },
    Scenario {
        name: "pins",
        going: &[],
        forgets: false,
        pins: Some(2),
        run: |world, store| {
            store.pin(&udid(), world.id(2), true)?;
            store.pin(&udid(), world.id(2), false).map(drop)
        },
    },
    Scenario {
        name: "a session that makes room",
        going: &[1, 2],
        forgets: false,
        pins: None,
        run: |world, store| {
            let mut staging = begin(store, Full::IfNeeded, at(20))?;
            let ids: Vec<BackupId> = world.made.iter().map(|it| it.0.id.clone()).collect();
            staging.make_room(&ids)?;
            staging.free_space().map(drop)
        },
    },
    Scenario {
        name: "questions",
        going: &[],
        forgets: false,
        pins: None,
        run: |world, store| {
            store.gains(&udid(), &[world.id(1).clone(), world.id(2).clone()])?;
            store.space(&udid(), None)?;
            store.totals()?;
            store.trash_waiting().map(drop)
        },
    },
];

/// On a disk that takes nothing more what is there can still be listed and restored.
fn is_readable(world: &World, store: &Store<FaultFs>, what: &str) {
    for made in store.list(&udid()).unwrap() {
        let reader = store.reader(&udid(), &made.id).unwrap();
        let mut found = Vec::new();
        let mut file = reader.open("Status.plist").unwrap();
        file.read_to_end(&mut found).unwrap();
        let known = world.made.iter().find(|it| it.0.id == made.id).unwrap();
        assert_eq!(found, known.1["Status.plist"], "{what}");
    }
}

fn check(world: &World, scenario: &Scenario, what: &str) {
    let (store, _) =
        Store::open(&world.path(), options(30)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let list = store.list(&udid()).unwrap();
    for (number, (made, files)) in world.made.iter().enumerate() {
        let found = list.iter().find(|found| found.id == made.id);
        match found {
            Some(found) => {
                let mut made = made.clone();
                // Pinned and unpinned again: either may be the last that came through.
                made.pinned |= scenario.pins == Some(number) && found.pinned;
                assert_eq!(found, &made, "{what}");
                let made = &made;
                assert_eq!(&content(&store, made), files, "{what}");
                assert!(verify(&store, made).is_good(), "{what}");
            }
            None => assert!(scenario.going.contains(&number), "{what}: {number} is gone"),
        }
    }
    let phones = store.phones().unwrap();
    assert!(
        phones == [udid()] || (phones.is_empty() && scenario.forgets),
        "{what}"
    );
    assert!(
        list.len() == world.made.len() || !scenario.going.is_empty(),
        "{what}"
    );
    let exact = |when: &str| {
        let used = store.used(&udid()).unwrap();
        let phone = world.phone();
        let du = if phone.exists() { du(&phone) } else { 0 };
        assert_eq!(used, du, "{what}: {when}");
    };
    exact("opened");
    let newest = list.iter().rfind(|found| found.verified);
    let latest = std::fs::read_link(world.phone().join("latest")).ok();
    let wanted = newest.map(|found| Path::new("gens").join(found.id.as_str()));
    assert_eq!(latest, wanted, "{what}");
    sweep(&store);
    assert_eq!(store.trash_waiting(), Ok(0), "{what}");
    exact("swept");
    if !phones.is_empty() {
        assert!(world.phone().join("quarantine/odd/file").exists(), "{what}");
    }
    let made = back_up(&store, &small(31), at(31)).unwrap();
    assert_eq!(content(&store, &made), small(31).backup(), "{what}");
    assert_eq!(store.list(&udid()).unwrap().len(), list.len() + 1, "{what}");
    exact("and backed up again");
}

fn attempt(scenario: &Scenario, fault: Fault, at: u64, what: &str) -> u64 {
    let world = World::new();
    let fs = FaultFs::new(fault, at);
    let outcome = Store::open_on(fs.clone(), &world.path(), options(10)).and_then(|(store, _)| {
        let outcome = (scenario.run)(&world, &store);
        if matches!(fault, Fault::Unchanging(_)) {
            is_readable(&world, &store, what);
        }
        outcome
    });
    match (&outcome, fault) {
        (Err(error), Fault::None) => panic!("{what}: {error}"),
        (Err(error), Fault::Once(errno) | Fault::From(errno) | Fault::Unchanging(errno)) => {
            assert_kind(error, errno, what);
        }
        (Ok(()), Fault::None) => {
            let (store, _) = Store::open(&world.path(), options(11)).unwrap();
            let left = store.list(&udid()).unwrap().len();
            assert_eq!(left, world.made.len() - scenario.going.len(), "{what}");
        }
        (Ok(()) | Err(_), _) => {}
    }
    check(&world, scenario, what);
    fs.operations()
}

#[test]
fn nothing_goes_that_was_not_to_go() {
    for scenario in &SCENARIOS {
        let name = scenario.name;
        let clean = attempt(scenario, Fault::None, 0, name);
        let mut runs = 0;
        for (offset, fault) in FAULTS.into_iter().enumerate() {
            for at in (0..clean).skip(offset * 11 % stride()).step_by(stride()) {
                attempt(
                    scenario,
                    fault,
                    at,
                    &format!("{name}, {fault:?} at {at} of {clean}"),
                );
                runs += 1;
            }
        }
        eprintln!("{name}: {clean} operations, {runs} runs");
    }
}

#[test]
fn what_goes_while_backups_are_listed_hides_no_other() {
    for number in 0.. {
        let world = World::new();
        let fs = FaultFs::new(Fault::None, 0);
        let path = world.dir.path().join("store");
        let (store, _) = Store::open_on(fs.clone(), &path, options(20)).unwrap();
        let (reached, go_on) = fs.stop_at(fs.operations() + number);
        let list = std::thread::spawn({
            let store = store.clone();
            move || store.list(&udid())
        });
        // A list that has come to its end never stops; its gate goes with the file system.
        let stops = loop {
            match reached.recv_timeout(std::time::Duration::from_millis(1)) {
                Ok(()) => break true,
                Err(_) if list.is_finished() => break false,
                Err(_) => {}
            }
        };
        if stops {
            store
                .remove(&udid(), &world.made[2].0.id, Remover::Plan)
                .unwrap();
            sweep(&store);
            go_on.send(()).unwrap();
        }
        let list = list.join().unwrap().unwrap();
        let others = world.made.iter().enumerate().filter(|(at, _)| *at != 2);
        for (at, (generation, _)) in others {
            let there = list.iter().any(|it| it.id == generation.id);
            assert!(there, "operation {number}: backup {at} is not listed");
        }
        if !stops {
            assert!(number > 5, "the list takes {number} operations");
            return;
        }
    }
}
