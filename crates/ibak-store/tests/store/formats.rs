//! Stores of every format there ever was, as the ibak of that time left them (freeze.rs): they
//! are opened, read, restored from and gone on with, for ever.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::freeze::{DAY, OTHER, begin_other, contents, fixtures, plain, sealed};
use crate::sealed::keys;
use ibak_core::{BackupPath, Udid};
use ibak_store::{Full, Generation, Phase, Store, StoreError};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const FORMATS: [u64; 2] = [1, 2];

/// Unpacks an archive with its hard links, modes and times; nothing is started for it, since a
/// child would hold the locks of the tests beside it.
pub fn unpack(format: u64, home: &Path) {
    let packed = std::fs::read(fixtures().join(format!("format-{format}.tar.zst"))).unwrap();
    let bytes = zstd::decode_all(packed.as_slice()).unwrap();
    std::fs::create_dir_all(home).unwrap();
    let mut rest = bytes.as_slice();
    let (mut long_name, mut long_link) = (None, None);
    while rest[0] != 0 {
        let (head, after) = rest.split_at(512);
        let text = |range: std::ops::Range<usize>| {
            let field = &head[range];
            let end = field.iter().position(|byte| *byte == 0);
            String::from_utf8(field[..end.unwrap_or(field.len())].to_vec()).unwrap()
        };
        let number = |range| i64::from_str_radix(text(range).trim(), 8).unwrap();
        let size = usize::try_from(number(124..136)).unwrap();
        let content = &after[..size];
        rest = &after[size.next_multiple_of(512)..];
        let long = || String::from_utf8(content[..size - 1].to_vec()).unwrap();
        match head[156] {
            b'L' => long_name = Some(long()),
            b'K' => long_link = Some(long()),
            kind => {
                let name = long_name.take().unwrap_or_else(|| text(0..100));
                let link = long_link.take().unwrap_or_else(|| text(157..257));
                let path = home.join(name);
                match kind {
                    b'5' => std::fs::create_dir_all(&path).unwrap(),
                    b'1' => std::fs::hard_link(home.join(link), &path).unwrap(),
                    b'2' => symlink(link, &path).unwrap(),
                    b'0' => {
                        std::fs::write(&path, content).unwrap();
                        let file = std::fs::File::open(&path).unwrap();
                        let seconds = u64::try_from(number(136..148)).unwrap();
                        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
                        file.set_modified(time).unwrap();
                    }
                    other => panic!("an entry of kind {other}"),
                }
                if kind == b'0' || kind == b'5' {
                    let mode = u32::try_from(number(100..108)).unwrap();
                    let mode = std::fs::Permissions::from_mode(mode);
                    std::fs::set_permissions(&path, mode).unwrap();
                }
            }
        }
    }
}

fn each(check: impl Fn(u64, &Path)) {
    for format in FORMATS {
        let dir = scratch_dir();
        let home = dir.path().join("store");
        unpack(format, &home);
        check(format, &home);
    }
}

fn reopened(home: &Path) -> Store {
    Store::open(home, options(3 * DAY + 3600)).unwrap().0
}

fn other() -> Udid {
    Udid::parse(OTHER).unwrap()
}

fn all(store: &Store) -> Vec<(Udid, Vec<Generation>)> {
    let phones = store.phones().unwrap();
    phones
        .into_iter()
        .map(|udid| (udid.clone(), store.list(&udid).unwrap()))
        .collect()
}

#[test]
fn every_format_is_listed_verified_and_read() {
    each(|format, home| {
        let want = std::fs::read_to_string(fixtures().join(format!("format-{format}.txt")));
        assert_eq!(
            contents(home),
            want.unwrap(),
            "the archive is what was frozen"
        );
        let (store, recovery) = Store::open(home, options(3 * DAY + 3600)).unwrap();
        assert_eq!(recovery.resumable.len(), 1);
        assert_eq!(recovery.rekeyed.len(), 1);
        assert_eq!((recovery.quarantined, recovery.removed), (vec![], vec![]));
        let list = all(&store);
        assert_eq!(list.len(), 2);
        let (first, sealed_one) = (&list[0].1, &list[1].1);
        assert_eq!((first.len(), sealed_one.len()), (3, 1));
        for (day, found) in first.iter().enumerate() {
            let day = u64::try_from(day).unwrap();
            assert_eq!(found.finished, at(day * DAY).wall);
            assert_eq!(found.parent.is_some(), day > 0);
            assert_eq!(
                (found.pinned, found.checked.is_some()),
                (day == 0, day == 0)
            );
            assert_eq!(found.device_name.as_deref(), Some("Ada"));
            assert!(found.verified && !found.encrypted && !found.adopted && !found.guarded);
        }
        assert_eq!(sealed_one[0].keybag_uuid, Some("01".repeat(16)));
        for (udid, list) in &list {
            for found in list {
                let go_on = &mut |_| std::ops::ControlFlow::Continue(());
                let report = store.verify(udid, &found.id, at(0).wall, go_on).unwrap();
                assert!(report.is_good(), "{report:?}");
                assert_eq!(report.files, found.files);
            }
        }
        assert_eq!(latest(home, UDID), first[2].id.as_str());
        // A file that never changed is one file.
        let tree = |found: &Generation| gens(home).join(found.id.as_str()).join(UDID);
        let shared = tree(&first[0]).join(place("Library/a"));
        assert_eq!(
            shared.metadata().unwrap().ino(),
            tree(&first[2])
                .join(place("Library/a"))
                .metadata()
                .unwrap()
                .ino()
        );
        assert_eq!(
            contents(home),
            std::fs::read_to_string(fixtures().join(format!("format-{format}.txt"))).unwrap()
        );
    });
}

fn latest(home: &Path, udid: &str) -> String {
    let target = std::fs::read_link(home.join(udid).join("latest")).unwrap();
    target.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_format_is_read_by_name_and_restored_from() {
    each(|_, home| {
        let store = reopened(home);
        let first = &store.list(&udid()).unwrap()[0];
        let reader = store.reader(&udid(), &first.id).unwrap();
        let catalogue = reader.catalogue(None).unwrap();
        assert_eq!(read_named(&catalogue, "Library/a"), b"never changes");
        assert_eq!(read_named(&catalogue, "Library/b"), b"what it was on day 0");
        let mut serving = store.serve(&udid(), &first.id).unwrap();
        let path = BackupPath::Tree(place("Library/a"));
        let mut bytes = Vec::new();
        serving
            .open(&path)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        assert_eq!(bytes, b"never changes");
        serving.remove(&path).unwrap();
        serving.close().unwrap();

        let made = &store.list(&other()).unwrap()[0];
        let reader = store.reader(&other(), &made.id).unwrap();
        let keys = keys(&reader);
        let catalogue = reader.catalogue(Some(&keys)).unwrap();
        assert_eq!(read_named(&catalogue, "Library/short"), b"hello");
        assert_eq!(read_named(&catalogue, "Library/block"), [0x61; 16]);
    });
}

fn read_named(catalogue: &ibak_store::Catalogue, path: &str) -> Vec<u8> {
    let entry = catalogue.find("HomeDomain", path).unwrap().unwrap();
    let mut bytes = Vec::new();
    let mut content = catalogue.open(&entry).unwrap();
    content.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_format_is_gone_on_with() {
    each(|_, home| {
        let store = reopened(home);
        let before = all(&store);
        let committed = fingerprint(&home.join(UDID).join("gens"));
        let now = at(3 * DAY + 7200);
        let mut staging = begin(&store, Full::IfNeeded, now).unwrap();
        assert!(staging.resumed());
        assert_eq!(staging.phase(), Phase::Uploading);
        run(&mut staging, &plain(3), now).unwrap();
        let made = staging.commit(done(), now).unwrap();
        assert_eq!(made.parent.as_ref(), Some(&before[0].1[2].id));
        assert_eq!(content(&store, &made), plain(3).backup());

        let mut staging = begin_other(&store, now);
        assert!(staging.resumed());
        assert_eq!(staging.phase(), Phase::Rekeyed);
        let files = sealed(2).files();
        for name in ["Manifest.db", "Info.plist"] {
            send(&mut staging, name, &files[name], now).unwrap();
        }
        send(&mut staging, "Status.plist", &status("finished"), now).unwrap();
        let made = staging.commit(done(), now).unwrap();
        assert_eq!(made.keybag_uuid, Some("02".repeat(16)));
        assert_eq!(made.parent.as_ref(), Some(&before[1].1[0].id));

        let next = back_up(&store, &plain(4), at(4 * DAY)).unwrap();
        assert!(verify(&store, &next).is_good());
        for (path, was) in committed {
            if path.is_file() {
                assert_eq!(fingerprint(path.parent().unwrap())[&path], was);
            }
        }
        drop(store);
        let (store, recovery) = Store::open(home, options(4 * DAY)).unwrap();
        assert_eq!((recovery.resumable, recovery.rekeyed), (vec![], vec![]));
        assert_eq!((recovery.quarantined, recovery.removed), (vec![], vec![]));
        assert_eq!(store.list(&udid()).unwrap().len(), 5);
    });
}

fn format_of(home: &Path) -> u64 {
    let bytes = std::fs::read(home.join("store.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    record["format"].as_u64().unwrap()
}

#[test]
fn an_upgrade_that_was_broken_off_is_gone_on_with() {
    let dir = scratch_dir();
    let whole = dir.path().join("whole");
    drop(open(&whole));
    let newest = format_of(&whole);
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        let mut upgraded_by_the_broken_one = 0;
        for operation in 0.. {
            let home = dir.path().join(format!("{fault:?}-{operation}"));
            unpack(1, &home);
            let uuid = std::fs::read_to_string(home.join("store.json")).unwrap();
            let fs = FaultFs::new(fault, operation);
            let broken = Store::open_on(fs, &home, options(3 * DAY + 3600)).is_err();
            upgraded_by_the_broken_one += u32::from(broken && format_of(&home) == newest);
            let (store, recovery) = Store::open(&home, options(3 * DAY + 3600)).unwrap();
            assert_eq!(format_of(&home), newest, "{fault:?} {operation}");
            assert!(uuid.contains(&store.facts().uuid), "{fault:?} {operation}");
            assert_eq!((recovery.resumable.len(), recovery.rekeyed.len()), (1, 1));
            let found: Vec<usize> = all(&store).iter().map(|(_, list)| list.len()).collect();
            assert_eq!(found, [3, 1], "{fault:?} {operation}");
            std::fs::remove_dir_all(&home).unwrap();
            if !broken {
                break;
            }
        }
        assert!(upgraded_by_the_broken_one > 0);
    }
}

#[test]
fn a_format_of_tomorrow_is_left_as_it_is() {
    each(|format, home| {
        let bytes = std::fs::read_to_string(home.join("store.json")).unwrap();
        let tomorrow = bytes.replace(&format!("\"format\": {format}"), "\"format\": 99");
        std::fs::write(home.join("store.json"), tomorrow).unwrap();
        let before = fingerprint(home);
        let error = Store::open(home, options(0)).err().unwrap();
        assert!(
            matches!(error, StoreError::NewerFormat { found: 99, .. }),
            "{error}"
        );
        assert_eq!(fingerprint(home), before);
    });
}
