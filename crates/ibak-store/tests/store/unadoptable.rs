//! Backups of other programs that are refused, and what a person is told.

use crate::adopting::{DAY, finished, info, list, nothing_is_left, offer, phone, theirs};
use crate::device::*;
use crate::sealed::{Bag, PASSWORD, Sealed};
use ibak_core::Wall;
use ibak_store::StoreError;
use plist::{Dictionary, Value};

fn whole() -> Files {
    theirs(phone().backup(), 3)
}

fn without(name: &str) -> Files {
    let mut files = whole();
    files.remove(name).unwrap();
    files
}

fn with(name: &str, content: Vec<u8>) -> Files {
    let mut files = whole();
    files.insert(name.to_owned(), content);
    files
}

fn undated() -> Files {
    let mut files = with("Status.plist", status("finished"));
    files.insert("Info.plist".to_owned(), info(UDID, Wall::from_secs(0)));
    files
}

fn of_an_old_ios() -> Files {
    let mut files = without("Manifest.db");
    files.insert("Manifest.mbdb".to_owned(), b"mbdb\x05\0".to_vec());
    files
}

/// A Manifest.plist of a phone with this identifier.
fn manifest_of(udid: &str) -> Vec<u8> {
    let lockdown: Dictionary = [("UniqueDeviceID".to_owned(), Value::from(udid))]
        .into_iter()
        .collect();
    list(vec![("Lockdown", Value::from(lockdown))], false)
}

fn locked_with(bag: Bag) -> Files {
    let bag = Some(bag);
    theirs(
        Sealed {
            bag,
            ..Sealed::new()
        }
        .files(),
        3,
    )
}

fn cases() -> Vec<(Files, &'static str)> {
    let odd = || b"SQLite?".to_vec();
    let other = "abcdef0123456789abcdef0123456789abcdef01";
    let bag = || Bag::new(PASSWORD, 2, 2, 1);
    let mut cut = bag();
    cut.fields.truncate(3);
    let no_password = "keybag is damaged, so that no password opens it";
    let waiting = format!("Snapshot/{}", place("Library/1"));
    vec![
        (
            without("Info.plist"),
            "has no Info.plist; choose the folder",
        ),
        (with("Info.plist", odd()), "its Info.plist is damaged"),
        (
            with("Info.plist", INFO.to_vec()),
            "does not say which phone",
        ),
        (
            with("Info.plist", info(other, at(0).wall)),
            "of another phone",
        ),
        (
            with("Manifest.plist", manifest_of(other)),
            "of another phone",
        ),
        (without("Manifest.plist"), "has no Manifest.plist"),
        (
            without("Status.plist"),
            "has no Status.plist; nobody can tell",
        ),
        (
            with("Status.plist", status("uploading")),
            "was not finished; let the program that made it",
        ),
        (
            with(&waiting, odd()),
            "files wait in Snapshot; let the program",
        ),
        (without("Manifest.db"), "has no Manifest.db"),
        (of_an_old_ios(), "an iOS before 10"),
        (with("Manifest.db", odd()), "Manifest.db is damaged"),
        (
            without(&place("Library/4")),
            "was not received; make a new backup",
        ),
        (
            with("Status.plist", finished(at(9 * DAY).wall, "u")),
            "in the future; set the clock",
        ),
        (undated(), "of when it is"),
        (locked_with(cut), no_password),
        (locked_with(bag().without(b"UUID")), no_password),
        (locked_with(bag().without(b"SALT")), no_password),
    ]
}

#[test]
fn what_is_not_whole_or_not_this_phone_s_is_refused_with_a_sentence() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let good = back_up(&store, &phone(), at(5 * DAY)).unwrap();
    let before = fingerprint(&gens(dir.path()));
    for (files, why) in cases() {
        let error = offer(&store, &files, 6 * DAY).unwrap_err();
        assert!(
            matches!(error, StoreError::Unadoptable(_)),
            "{why}: {error}"
        );
        let said = error.to_string();
        assert!(said.contains(why), "{said} does not say: {why}");
        assert!(said.starts_with("it cannot be adopted: "), "{said}");
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
