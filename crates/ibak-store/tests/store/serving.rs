//! A backup as a phone is given it back: what it may ask for, and that nothing of it stays.

use crate::device::*;
use crate::either::Verbs;
use crate::verbs::{WAYS_OUT, attempts, kind};
use ibak_core::BackupPath;
use ibak_store::fs::RealFs;
use ibak_store::{EntryKind, ErrorKind, Serving};
use std::os::unix::fs::symlink;

fn scratch(path: &str) -> BackupPath {
    BackupPath::Scratch(path.to_owned())
}

fn names(serving: &Serving, dir: &str) -> Vec<String> {
    let entries = serving.list(&tree(dir)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_phone_reads_the_backup_and_sees_what_it_wrote_over_it() {
    fn moves<T: Send + 'static>() {}
    moves::<Serving>();
    moves::<ibak_store::Catalogue>();
    moves::<ibak_store::Reader>();
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let device = Device::new(&[("a", "first"), ("b", "second")]);
    let made = back_up(&store, &device, at(0)).unwrap();
    let before = fingerprint(&gens(dir.path()));
    let mut serving = store.serve(&udid(), &made.id).unwrap();
    assert_eq!(serving.generation(), &made);
    assert_eq!(serving.wire_udid(), UDID);
    // Others write to this disk between the two looks.
    let free = store.space(&udid(), None).unwrap().free();
    let said = serving.free_space().unwrap();
    assert!(said.abs_diff(free) < 8 << 30, "{said} {free}");
    for (path, content) in content(&store, &made) {
        assert_eq!(serving.content(&tree(&path)), Some(content));
    }
    serving.send(&tree(&place("a")), b"changed").unwrap();
    serving.send(&scratch(".b/1"), b"beside").unwrap();
    serving
        .rename(&scratch(".b/1"), &tree("from beside"))
        .unwrap();
    serving
        .rename(&tree("Manifest.db"), &scratch("_unback_/db"))
        .unwrap();
    serving.remove(&tree(&place("b")[..2])).unwrap();
    serving.create_dir(&tree(&place("b")[..2])).unwrap();
    assert_eq!(names(&serving, &place("b")[..2]), [""; 0]);
    assert_eq!(
        serving.content(&tree(&place("a"))).as_deref(),
        Some(b"changed".as_slice())
    );
    assert_eq!(
        serving.content(&scratch("_unback_/db")),
        Some(device.manifest_db())
    );
    assert!(serving.content(&tree("Manifest.db")).is_none());
    let listed = serving.list(&tree("")).unwrap();
    let own = listed
        .iter()
        .find(|entry| entry.name == "from beside")
        .unwrap();
    assert_eq!((own.kind, own.size), (EntryKind::Regular, 6));
    // The whole of it may be asked away, and nothing happens to it.
    serving.remove(&tree("")).unwrap();
    assert_eq!(names(&serving, ""), [""; 0]);
    serving.send(&tree("Info.plist"), b"new").unwrap();
    assert_eq!(names(&serving, ""), ["Info.plist"]);
    assert_eq!(fingerprint(&gens(dir.path())), before);
    // Another one begins with the backup as it is.
    let other = store.serve(&udid(), &made.id).unwrap();
    assert_eq!(
        other.content(&tree(&place("a"))).as_deref(),
        Some(b"first".as_slice())
    );
    drop((serving, other));
    let left = std::fs::read_dir(dir.path().join(UDID).join("scratch")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn one_file_at_a_time_and_nothing_of_one_that_was_not_whole() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &Device::new(&[("a", "first")]), at(0)).unwrap();
    let mut serving = store.serve(&udid(), &made.id).unwrap();
    assert_eq!(kind(serving.write(b"x")), Err(ErrorKind::Refused));
    assert_eq!(kind(serving.finish()), Err(ErrorKind::Refused));
    assert_eq!(kind(serving.abandon(None)), Ok(()));
    serving.create(&tree(&place("a"))).unwrap();
    assert_eq!(kind(serving.create(&tree("x"))), Err(ErrorKind::Refused));
    serving.write(b"half").unwrap();
    serving.abandon(Some("no")).unwrap();
    assert!(serving.content(&tree(&place("a"))).is_none());
    assert_eq!(
        kind(serving.create(&tree(&place("a")[..2]))),
        Err(ErrorKind::IsDirectory)
    );
    assert_eq!(kind(serving.create_dir(&tree(""))), Err(ErrorKind::Exists));
    assert_eq!(
        kind(serving.list(&tree("Info.plist"))),
        Err(ErrorKind::NotDirectory)
    );
    assert_eq!(kind(serving.list(&tree("none"))), Err(ErrorKind::NotFound));
}

#[test]
fn nothing_outside_can_be_named_or_reached() {
    let dir = scratch_dir();
    let outside = dir.path().join("outside");
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    std::fs::write(outside.join("file"), "precious").unwrap();
    let home = dir.path().join("store");
    let (store, _) = open(&home);
    let made = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let mut serving = store.serve(&udid(), &made.id).unwrap();
    // Links planted both in the overlay and in the backup.
    let overlay = std::fs::read_dir(home.join(UDID).join("scratch"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let inside = gens(&home).join(made.id.as_str()).join(UDID);
    for (place, link, flink) in [
        (overlay.join("tree"), "link", "flink"),
        (inside, "baselink", "baseflink"),
    ] {
        symlink(&outside, place.join(link)).unwrap();
        symlink(outside.join("file"), place.join(flink)).unwrap();
    }
    let before = (fingerprint(&outside), fingerprint(&gens(&home)));
    let absolute = outside.join("file").display().to_string();
    let more = [
        "baselink/file",
        "baselink/sub/new",
        "baselink/sub",
        "baseflink/x",
    ];
    for text in WAYS_OUT.into_iter().chain(more).chain([absolute.as_str()]) {
        for path in [tree(text), scratch(text)] {
            if matches!(path, BackupPath::Scratch(_)) && text.contains("link/") {
                // In the scratch directory that name is free and harmless.
                continue;
            }
            for outcome in attempts(&mut serving, &path) {
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
            assert!(
                matches!(
                    kind(serving.remove(&path)),
                    Err(ErrorKind::Refused | ErrorKind::Loop | ErrorKind::NotDirectory)
                ),
                "{path:?}"
            );
        }
    }
    for link in ["flink", "baseflink"] {
        assert_eq!(kind(serving.open(&tree(link))), Err(ErrorKind::Loop));
        serving.send(&tree(link), b"replaced").unwrap();
        assert_eq!(
            serving.content(&tree(link)).as_deref(),
            Some(b"replaced".as_slice())
        );
    }
    serving.remove(&tree("baselink")).unwrap();
    serving.remove(&tree("link")).unwrap();
    drop(serving);
    assert_eq!((fingerprint(&outside), fingerprint(&gens(&home))), before);
}

#[test]
fn what_a_crash_leaves_of_a_restore_goes_with_the_next_opening() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &Device::new(&[("a", "first")]), at(0)).unwrap();
    let mut serving = store.serve(&udid(), &made.id).unwrap();
    serving.rename(&tree(&place("a")), &tree("b")).unwrap();
    // As if the process had ended here.
    let overlay = dir.path().join(UDID).join("scratch");
    let left = std::fs::read_dir(&overlay)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let copy = left.path().with_file_name("01JD8Z3YQ9V6W2X4T5R7P8N0KM");
    std::fs::create_dir(&copy).unwrap();
    std::fs::hard_link(left.path().join("tree/b"), copy.join("b")).unwrap();
    drop((serving, store));
    let (store, recovery) = open(dir.path());
    assert_eq!((recovery.cleared, recovery.waiting), (1, 1));
    assert_eq!(std::fs::read_dir(&overlay).unwrap().count(), 0);
    assert_eq!(sweep(&store).files, 1);
    assert!(verify(&store, &made).is_good());
}

#[test]
fn a_phone_cannot_fill_the_disk_while_it_takes_a_backup() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &Device::new(&[("a", "first")]), at(0)).unwrap();
    let mut serving = store.serve(&udid(), &made.id).unwrap();
    let block = vec![0; 1 << 20];
    let mut sent = 0;
    let refused = loop {
        serving.create(&scratch(".b/endless")).unwrap();
        let mut refused = None;
        for _ in 0..16 {
            match serving.write(&block) {
                Ok(()) => sent += block.len(),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        // Thrown away or not, what was written counts.
        serving.abandon(None).unwrap();
        if let Some(error) = refused {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    assert_eq!(u64::try_from(sent).unwrap(), Serving::<RealFs>::WRITTEN_MAX);
    assert!(
        serving.content(&tree("Info.plist")).is_some(),
        "reading goes on"
    );
}
