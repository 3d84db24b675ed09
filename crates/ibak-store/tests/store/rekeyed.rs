//! A working copy in which the phone changed its password.

use crate::device::*;
use crate::sealed::{Bag, PASSWORD, Sealed, receive, try_commit};
use ibak_store::{Full, Generation, Phase, Store};

const DAY: u64 = 86_400;

fn sealed(uuid: u8) -> Sealed {
    Sealed {
        bag: Some(Bag::new(PASSWORD, 2, 2, uuid)),
        ..Sealed::new()
    }
}

/// A backup under one password; then the phone changes it in a working copy.
fn changed(store: &Store) -> (Generation, ibak_core::BackupId) {
    let first = sealed(1).commit(store, at(0));
    let mut staging = begin(store, Full::IfNeeded, at(10)).unwrap();
    let manifest = sealed(2).files()["Manifest.plist"].clone();
    send(&mut staging, "Manifest.plist", &manifest, at(10)).unwrap();
    let id = staging.id().clone();
    assert_eq!(staging.keep_rekeyed(at(10)), Ok(true));
    (first, id)
}

#[test]
fn the_next_backup_goes_on_in_it_however_late_and_is_incremental() {
    for reopened in [false, true] {
        let dir = scratch_dir();
        let (mut store, _) = open(dir.path());
        let (first, id) = changed(&store);
        if reopened {
            drop(store);
            let (again, recovery) = Store::open(dir.path(), options(40 * DAY)).unwrap();
            assert_eq!(recovery.rekeyed, [(udid(), id.clone())]);
            assert_eq!((recovery.resumable, recovery.removed), (vec![], vec![]));
            store = again;
        }
        // It is no unfinished backup.
        assert_eq!(store.staged_bytes(&udid(), at(11).wall), Ok(0));
        let mut staging = begin(&store, Full::IfNeeded, at(41 * DAY)).unwrap();
        assert_eq!((staging.id(), staging.resumed()), (&id, true));
        assert_eq!(staging.phase(), Phase::Rekeyed);
        assert_eq!(staging.parent(), Some(&first.id));
        let want = sealed(2).files();
        assert_eq!(
            read(&staging, "Manifest.plist"),
            Some(want["Manifest.plist"].clone())
        );
        // A session that comes to nothing leaves it as it is.
        assert_eq!(staging.keep(at(42 * DAY)), Ok(true));
        staging = begin(&store, Full::IfNeeded, at(80 * DAY)).unwrap();
        assert_eq!((staging.id(), staging.phase()), (&id, Phase::Rekeyed));
        send(
            &mut staging,
            "Manifest.db",
            &want["Manifest.db"],
            at(81 * DAY),
        )
        .unwrap();
        send(
            &mut staging,
            "Status.plist",
            &status("finished"),
            at(81 * DAY),
        )
        .unwrap();
        let second = staging.commit(done(), at(81 * DAY)).unwrap();
        assert_eq!(
            (second.full, second.parent.as_ref()),
            (false, Some(&first.id))
        );
        assert_eq!(second.new_files, 3);
        let uuids: Vec<_> = store
            .list(&udid())
            .unwrap()
            .into_iter()
            .map(|found| found.keybag_uuid.unwrap())
            .collect();
        assert_eq!(uuids, ["01".repeat(16), "02".repeat(16)]);
    }
}

#[test]
fn the_first_password_before_the_first_backup() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    send(&mut staging, "Manifest.plist", b"new", at(0)).unwrap();
    let id = staging.id().clone();
    assert_eq!(staging.keep_rekeyed(at(0)), Ok(true));
    let mut staging = begin(&store, Full::IfNeeded, at(30 * DAY)).unwrap();
    assert_eq!(staging.id(), &id);
    receive(&mut staging, &sealed(2).files(), at(1)).unwrap();
    assert!(staging.commit(done(), at(1)).is_ok());
}

#[test]
fn it_goes_when_its_parent_is_no_longer_the_newest_good_one() {
    type Spoil = fn(&Store, &Generation, &std::path::Path);
    let cases: [(&str, Spoil); 3] = [
        ("a full backup was made instead", |store, _, _| {
            try_commit(store, &sealed(3).files(), at(20)).unwrap();
        }),
        ("its parent was found damaged", |store, first, home| {
            let tree = gens(home).join(first.id.as_str()).join(UDID);
            std::fs::write(tree.join("zz"), "x").unwrap();
            assert!(!verify(store, first).is_good());
        }),
        ("its parent is gone", |_, first, home| {
            let from = gens(home).join(first.id.as_str());
            std::fs::rename(&from, home.join("elsewhere")).unwrap();
        }),
    ];
    for (what, spoil) in cases {
        for reopened in [false, true] {
            let dir = scratch_dir();
            let (mut store, _) = open(dir.path());
            let (first, id) = changed(&store);
            spoil(&store, &first, dir.path());
            if reopened {
                drop(store);
                store = open(dir.path()).0;
            }
            let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
            assert_ne!(staging.id(), &id, "{what}");
            assert!(!staging.resumed(), "{what}");
            drop(staging);
            let left = std::fs::read_dir(dir.path().join(UDID).join("staging")).unwrap();
            assert_eq!(left.count(), 1, "{what}");
        }
    }
}

#[test]
fn one_that_met_a_write_error_is_not_kept() {
    use crate::fault::{Fault, FaultFs};
    use ibak_store::fs::Errno;
    let run = |fault, operation| {
        let dir = scratch_dir();
        let fs = FaultFs::new(fault, operation);
        let (store, _) = Store::open_on(fs.clone(), dir.path(), options(0)).unwrap();
        let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
        staging.create(&tree("Manifest.plist")).unwrap();
        let before = fs.operations();
        let written = staging.write(b"new");
        let kept = staging.keep_rekeyed(at(0));
        let resumed = begin(&store, Full::IfNeeded, at(1)).unwrap().resumed();
        (before, written.is_ok(), kept, resumed)
    };
    let (operation, written, kept, resumed) = run(Fault::None, 0);
    assert_eq!((written, kept), (true, Ok(true)));
    // What was begun and not finished is not there, and so there is nothing to go on with.
    assert!(!resumed);
    for errno in [Errno::IO, Errno::NOSPC] {
        let (_, written, kept, resumed) = run(Fault::Once(errno), operation);
        assert_eq!(
            (written, kept, resumed),
            (false, Ok(false), false),
            "{errno}"
        );
    }
}
