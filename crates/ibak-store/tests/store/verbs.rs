//! Each verb of a working copy, and what none of them may do.

use crate::device::*;
use crate::either::Verbs;
use ibak_core::{BackupPath, Bytes};
use ibak_store::{Begin, EntryKind, ErrorKind, Full, Phase, Staging, StoreError};
use std::os::unix::fs::{MetadataExt, symlink};

pub fn kind<T>(outcome: Result<T, StoreError>) -> Result<(), ErrorKind> {
    outcome.map(drop).map_err(|error| error.kind())
}

fn names(staging: &Staging, dir: &str) -> Vec<String> {
    staging
        .list(&tree(dir))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

#[test]
fn a_session_runs_on_its_own_thread_and_a_store_on_several() {
    fn moves<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    moves::<Staging>();
    shared::<ibak_store::Store>();
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (store, made) = (store.clone(), made.clone());
            std::thread::spawn(move || verify(&store, &made).is_good())
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn one_session_for_a_phone_and_its_own_udid_only() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let first = begin(&store, Full::IfNeeded, at(0)).unwrap();
    assert_eq!(
        begin(&store, Full::IfNeeded, at(0)).err(),
        Some(StoreError::Busy(udid()))
    );
    drop(first);
    assert!(begin(&store, Full::IfNeeded, at(0)).is_ok());
    for wire in [
        "00008030-001A2B3C4D5E6F71",
        "..",
        "",
        "../00008030-001A2B3C4D5E6F70",
    ] {
        let begin = Begin {
            udid: &udid(),
            wire_udid: wire,
            full: Full::IfNeeded,
            quota: None,
            now: at(0),
        };
        assert_eq!(kind(store.begin(begin)), Err(ErrorKind::Refused), "{wire}");
    }
}

#[test]
fn a_working_copy_that_is_still_being_laid_out_says_so() {
    let dir = scratch_dir();
    let fs = crate::fault::FaultFs::new(crate::fault::Fault::None, 0);
    let (store, _) = ibak_store::Store::open_on(fs.clone(), dir.path(), options(0)).unwrap();
    back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    // Somewhere among the links.
    let (reached, go_on) = fs.stop_at(fs.operations() + 30);
    let slow = {
        let store = store.clone();
        std::thread::spawn(move || begin(&store, Full::IfNeeded, at(1)))
    };
    reached.recv().unwrap();
    let error = begin(&store, Full::IfNeeded, at(1)).err().unwrap();
    assert_eq!(error, StoreError::LayingOut(udid()));
    assert_eq!(error.retry(), ibak_store::Retry::Later);
    go_on.send(()).unwrap();
    let slow = slow.join().unwrap().unwrap();
    assert_eq!(
        begin(&store, Full::IfNeeded, at(1)).err(),
        Some(StoreError::Busy(udid()))
    );
    drop(slow);
    assert!(begin(&store, Full::IfNeeded, at(1)).is_ok());
}

#[test]
fn the_directory_inside_has_the_spelling_of_the_wire() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let wire = "00008030001A2B3C4D5E6F70";
    let request = Begin {
        udid: &udid(),
        wire_udid: wire,
        full: Full::IfNeeded,
        quota: None,
        now: at(0),
    };
    let mut staging = store.begin(request).unwrap();
    run(&mut staging, &Device::new(&[("a", "1")]), at(1)).unwrap();
    let made = staging.commit(done(), at(1)).unwrap();
    assert!(
        gens(dir.path())
            .join(made.id.as_str())
            .join(wire)
            .join("Manifest.db")
            .is_file()
    );
    assert_eq!(made.wire_udid, wire);
}

#[test]
fn create_write_finish_abandon() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    assert_eq!(kind(staging.write(b"x")), Err(ErrorKind::Refused));
    assert_eq!(kind(staging.finish(at(0))), Err(ErrorKind::Refused));
    assert_eq!(kind(staging.abandon(None)), Ok(()));
    staging.create(&tree("Manifest.db")).unwrap();
    assert_eq!(
        kind(staging.create(&tree("Manifest.plist"))),
        Err(ErrorKind::Refused)
    );
    staging.write(b"one").unwrap();
    staging.finish(at(0)).unwrap();
    assert_eq!(
        read(&staging, "Manifest.db").as_deref(),
        Some(b"one".as_slice())
    );
    send(&mut staging, "Manifest.db", b"two", at(0)).unwrap();
    assert_eq!(
        read(&staging, "Manifest.db").as_deref(),
        Some(b"two".as_slice())
    );
    staging.create(&tree("Manifest.db")).unwrap();
    staging.write(b"thr").unwrap();
    staging.abandon(Some("no")).unwrap();
    assert_eq!(names(&staging, ""), Vec::<String>::new());
    staging.create_dir(&tree("ab")).unwrap();
    assert_eq!(
        kind(staging.create(&tree("ab"))),
        Err(ErrorKind::IsDirectory)
    );
    assert_eq!(kind(staging.create(&tree("ab/x/y"))), Ok(()));
    assert!(!staging.is_poisoned());
    assert_eq!(staging.received_bytes(), 9);
}

#[test]
fn directories_and_lists() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    assert_eq!(kind(staging.create_dir(&tree(""))), Err(ErrorKind::Exists));
    assert_eq!(kind(staging.create_dir(&tree("Snapshot/ab"))), Ok(()));
    assert_eq!(
        kind(staging.create_dir(&tree("Snapshot/ab"))),
        Err(ErrorKind::Exists)
    );
    send(&mut staging, "Snapshot/ab/f", b"12345", at(0)).unwrap();
    assert_eq!(
        kind(staging.create_dir(&tree("Snapshot/ab/f/g"))),
        Err(ErrorKind::NotDirectory)
    );
    assert_eq!(
        kind(staging.list(&tree("nowhere"))),
        Err(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(staging.list(&tree("Snapshot/ab/f"))),
        Err(ErrorKind::NotDirectory)
    );
    let listed = staging.list(&tree("Snapshot/ab")).unwrap();
    assert_eq!(
        (listed[0].name.as_str(), listed[0].kind, listed[0].size),
        ("f", EntryKind::Regular, 5)
    );
    assert_eq!(
        staging.list(&tree("")).unwrap()[0].kind,
        EntryKind::Directory
    );
    assert_eq!(
        kind(staging.open(&tree("nowhere"))),
        Err(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(staging.open(&tree("Snapshot"))),
        Err(ErrorKind::IsDirectory)
    );
    assert!(!staging.is_poisoned());
}

#[test]
fn renames() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    let scratch = BackupPath::Scratch(".b/1/file".into());
    for (path, content) in [
        ("a/1", "one"),
        ("a/2", "two"),
        ("b/1", "three"),
        ("b/c/1", "four"),
    ] {
        send(&mut staging, path, content.as_bytes(), at(0)).unwrap();
    }
    staging.create(&scratch).unwrap();
    staging.write(b"scratch").unwrap();
    staging.finish(at(0)).unwrap();
    let cases = [
        ("nothing", "x", Err(ErrorKind::NotFound)),
        ("a/1", "a/1", Ok(())),
        ("b/c", "b", Err(ErrorKind::Refused)),
        ("b", "b/c/d", Err(ErrorKind::Refused)),
        ("", "x", Err(ErrorKind::Refused)),
        ("a/1", "", Err(ErrorKind::Refused)),
        ("a/1", "a/2", Ok(())),
        ("a/2", "b", Ok(())),
        ("b", "new/deep/f", Ok(())),
    ];
    for (from, to, want) in cases {
        assert_eq!(
            kind(staging.rename(&tree(from), &tree(to))),
            want,
            "{from} -> {to}"
        );
    }
    staging.rename(&scratch, &tree("a/9")).unwrap();
    assert_eq!(
        read(&staging, "new/deep/f").as_deref(),
        Some(b"one".as_slice())
    );
    assert_eq!(
        read(&staging, "a/9").as_deref(),
        Some(b"scratch".as_slice())
    );
    assert_eq!(names(&staging, ""), ["a", "new"]);
}

#[test]
fn two_names_of_one_file_and_a_committed_one_beneath() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let device = Device::new(&[("a", "1"), ("b", "2")]);
    back_up(&store, &device, at(0)).unwrap();
    let before = fingerprint(&gens(dir.path()));
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    let home = dir
        .path()
        .join(UDID)
        .join("staging")
        .join(staging.id().as_str())
        .join(UDID);
    // A second name of a committed file, as a clone makes them.
    std::fs::hard_link(home.join(place("a")), home.join("twin")).unwrap();
    staging.rename(&tree("twin"), &tree(&place("a"))).unwrap();
    assert!(!home.join("twin").exists());
    assert_eq!(
        read(&staging, &place("a")).as_deref(),
        Some(b"1".as_slice())
    );
    send(&mut staging, &place("b"), b"changed", at(1)).unwrap();
    assert_eq!(std::fs::metadata(home.join(place("b"))).unwrap().nlink(), 1);
    assert_eq!(fingerprint(&gens(dir.path())), before);
}

#[test]
fn removals_and_copies() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    for path in ["a/1", "a/b/2"] {
        send(&mut staging, path, path.as_bytes(), at(0)).unwrap();
    }
    assert_eq!(
        kind(staging.copy(&tree("nothing"), &tree("x"))),
        Err(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(staging.copy(&tree("a"), &tree("a/b/c"))),
        Err(ErrorKind::Refused)
    );
    staging.copy(&tree("a"), &tree("c")).unwrap();
    staging.copy(&tree("a/1"), &tree("c/b")).unwrap();
    assert_eq!(names(&staging, "c"), ["1", "b"]);
    assert_eq!(read(&staging, "c/b").as_deref(), Some(b"a/1".as_slice()));
    assert_eq!(kind(staging.remove(&tree("nothing/at/all"))), Ok(()));
    staging.remove(&tree("a")).unwrap();
    assert_eq!(names(&staging, ""), ["c"]);
    staging.remove(&tree("")).unwrap();
    assert_eq!(names(&staging, ""), Vec::<String>::new());
}

pub const WAYS_OUT: [&str; 16] = [
    "../../../../outside/file",
    "..",
    ".",
    "/",
    "//",
    "a/../../x",
    "link/file",
    "link/sub/new",
    "link/sub",
    "flink/x",
    "../../gens/x",
    "../scratch/x",
    "./x",
    "a//b",
    "a\0b",
    "a\nb",
];

/// Every verb that takes a path, with this one in every place.
pub fn attempts(staging: &mut impl Verbs, path: &BackupPath) -> Vec<Result<(), ErrorKind>> {
    let real = tree("Info.plist");
    vec![
        kind(staging.list(path)),
        kind(staging.open(path)),
        kind(staging.create_dir(path)),
        kind(staging.create(path)),
        kind(staging.rename(path, &tree("x"))),
        kind(staging.copy(&real, path)),
        kind(staging.copy(path, &tree("x"))),
        kind(staging.rename(&real, path)),
    ]
}

#[test]
fn nothing_outside_can_be_named_or_reached() {
    let dir = scratch_dir();
    let outside = dir.path().join("outside");
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    std::fs::write(outside.join("file"), "precious").unwrap();
    let home = dir.path().join("store");
    let (store, _) = open(&home);
    back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let before = (fingerprint(&outside), fingerprint(&gens(&home)));
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    let inside = home
        .join(UDID)
        .join("staging")
        .join(staging.id().as_str())
        .join(UDID);
    symlink(&outside, inside.join("link")).unwrap();
    symlink(outside.join("file"), inside.join("flink")).unwrap();
    let absolute = outside.join("file").display().to_string();
    for text in WAYS_OUT.into_iter().chain([absolute.as_str()]) {
        for path in [tree(text), BackupPath::Scratch(text.to_owned())] {
            let outcomes = attempts(&mut staging, &path);
            if let (BackupPath::Scratch(_), true) = (&path, text.contains("link/")) {
                // In the scratch directory that name is free and harmless.
                staging.abandon(None).unwrap();
                continue;
            }
            for outcome in outcomes {
                assert!(
                    matches!(
                        outcome,
                        Err(ErrorKind::Refused
                            | ErrorKind::Loop
                            | ErrorKind::NotFound
                            | ErrorKind::NotDirectory)
                    ),
                    "{path:?}: {outcome:?}"
                );
            }
            // Absent is fine for a removal, a way out is not.
            assert!(
                matches!(
                    kind(staging.remove(&path)),
                    Err(ErrorKind::Refused | ErrorKind::Loop | ErrorKind::NotDirectory)
                ),
                "{path:?}"
            );
        }
    }
    assert_eq!(
        kind(staging.list(&tree("link"))),
        Err(ErrorKind::NotDirectory)
    );
    assert_eq!(kind(staging.open(&tree("flink"))), Err(ErrorKind::Loop));
    staging.remove(&tree("link")).unwrap();
    send(&mut staging, "flink", b"replaced", at(1)).unwrap();
    assert_eq!((fingerprint(&outside), fingerprint(&gens(&home))), before);
}

#[test]
fn the_phase_follows_the_phones_status() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    assert_eq!(staging.phase(), Phase::New);
    let cases = [
        (status("uploading"), Phase::Uploading),
        (b"garbage".to_vec(), Phase::Uploading),
        (status("moving"), Phase::Moving),
        (status("removing"), Phase::Removing),
        (status("finished"), Phase::Finished),
    ];
    for (bytes, want) in cases {
        send(&mut staging, "Status.plist", &bytes, at(0)).unwrap();
        assert_eq!(staging.phase(), want);
    }
    staging.set_phase(Phase::Uploading, at(0)).unwrap();
    assert_eq!(staging.phase(), Phase::Uploading);
}

#[test]
fn free_space_is_the_least_of_room_and_quota() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let used = store.used(&udid()).unwrap();
    assert!(used > made.unique_bytes);
    let quota = Bytes::new(used + 40_960);
    let space = store.space(&udid(), Some(quota)).unwrap();
    assert_eq!(
        (space.used, space.quota_left, space.free()),
        (used, Some(40_960), 40_960)
    );
    let request = Begin {
        udid: &udid(),
        wire_udid: UDID,
        full: Full::IfNeeded,
        quota: Some(quota),
        now: at(1),
    };
    let mut staging = store.begin(request).unwrap();
    let begun = staging.free_space().unwrap();
    assert!(begun < 40_960);
    send(&mut staging, "Manifest.db", &[0; 4000], at(1)).unwrap();
    assert_eq!(staging.free_space(), Ok(begun - 4096));
    send(&mut staging, "Manifest.db", &[0; 9000], at(1)).unwrap();
    assert_eq!(
        staging.free_space(),
        Ok(begun - 12288),
        "replaced, not added"
    );
    drop((staging, store));
    let mut all = options(0);
    all.reserve = ibak_store::Reserve::Fixed(Bytes::new(u64::MAX));
    let (store, _) = ibak_store::Store::open(dir.path(), all).unwrap();
    assert_eq!(store.space(&udid(), None).unwrap().free(), 0);
}
