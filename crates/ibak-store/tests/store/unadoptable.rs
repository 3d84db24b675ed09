//! Backups of other programs that are refused, and what a person is told.

use crate::adopting::{DAY, finished, info, list, nothing_is_left, offer, phone, theirs};
use crate::device::*;
use crate::sealed::{Bag, PASSWORD, Sealed};
use ibak_core::Wall;
use ibak_store::StoreError;
use plist::{Dictionary, Value};

#[test]
fn what_is_not_whole_or_not_this_phone_s_is_refused_with_a_sentence() {
    type Spoil = fn(&mut Files);
    let plain: [(Spoil, &str); 15] = [
        (
            |f| drop(f.remove("Info.plist")),
            "has no Info.plist; choose the folder of one backup",
        ),
        (
            |f| drop(f.insert("Info.plist".into(), b"x".to_vec())),
            "its Info.plist is damaged",
        ),
        (
            |f| drop(f.insert("Info.plist".into(), INFO.to_vec())),
            "does not say which phone",
        ),
        (
            |f| {
                drop(f.insert(
                    "Info.plist".into(),
                    info("abcdef0123456789abcdef0123456789abcdef01", at(0).wall),
                ))
            },
            "of another phone",
        ),
        (
            |f| drop(f.remove("Manifest.plist")),
            "has no Manifest.plist",
        ),
        (
            |f| drop(f.remove("Status.plist")),
            "has no Status.plist; nobody can tell",
        ),
        (
            |f| drop(f.insert("Status.plist".into(), status("uploading"))),
            "was not finished; let the program that made it",
        ),
        (
            |f| drop(f.insert(format!("Snapshot/{}", place("Library/1")), b"1".to_vec())),
            "files wait in Snapshot; let the program",
        ),
        (|f| drop(f.remove("Manifest.db")), "has no Manifest.db"),
        (
            |f| {
                f.remove("Manifest.db");
                f.insert("Manifest.mbdb".into(), b"mbdb\x05\0".to_vec());
            },
            "an iOS before 10",
        ),
        (
            |f| drop(f.insert("Manifest.db".into(), b"SQLite?".to_vec())),
            "Manifest.db is damaged",
        ),
        (
            |f| drop(f.remove(&place("Library/4"))),
            "was not received; make a new backup",
        ),
        (
            |f| drop(f.insert("Status.plist".into(), finished(at(9 * DAY).wall, "u"))),
            "in the future; set the clock",
        ),
        (
            |f| {
                f.insert("Status.plist".into(), status("finished"));
                f.insert("Info.plist".into(), info(UDID, Wall::from_secs(0)));
            },
            "of when it is",
        ),
        (
            |f| {
                drop(f.insert(
                    "Manifest.plist".into(),
                    list(
                        vec![(
                                "Lockdown",
                                Value::from(
                                    [(
                                        "UniqueDeviceID".to_owned(),
                                        Value::from("00008110-000A11112222801E"),
                                    )]
                                    .into_iter()
                                    .collect::<Dictionary>(),
                                ),
                            )],
                        false,
                    ),
                ))
            },
            "of another phone",
        ),
    ];
    let garbled = |bag: Option<Bag>| {
        Sealed {
            bag,
            ..Sealed::new()
        }
        .files()
    };
    let bag = || Bag::new(PASSWORD, 2, 2, 1);
    let mut cut = bag();
    cut.fields.truncate(3);
    let mut cases: Vec<(Files, &str)> = plain
        .into_iter()
        .map(|(spoil, why)| {
            let mut files = theirs(phone().backup(), 3);
            spoil(&mut files);
            (files, why)
        })
        .collect();
    for bag in [cut, bag().without(b"UUID"), bag().without(b"SALT")] {
        cases.push((
            theirs(garbled(Some(bag)), 3),
            "keybag is damaged, so that no password opens it",
        ));
    }
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let good = back_up(&store, &phone(), at(5 * DAY)).unwrap();
    let before = fingerprint(&gens(dir.path()));
    for (files, why) in cases {
        let error = offer(&store, &files, 6 * DAY).unwrap_err();
        assert!(
            matches!(error, StoreError::Unadoptable(_)),
            "{why}: {error}"
        );
        assert!(
            error.to_string().contains(why),
            "{error} does not say: {why}"
        );
        assert!(
            error.to_string().starts_with("it cannot be adopted: "),
            "{error}"
        );
        nothing_is_left(dir.path());
        assert_eq!(store.list(&udid()).unwrap(), std::slice::from_ref(&good));
        assert_eq!(fingerprint(&gens(dir.path())), before);
    }
    assert!(matches!(
        store
            .adopt(&udid(), "00008110-000A11112222801E", at(0))
            .err(),
        Some(StoreError::Refused { .. })
    ));
}
