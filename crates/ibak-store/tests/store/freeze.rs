//! Freezes a store of the present format, so that every later ibak can be held to reading it:
//! `IBAK_FREEZE=1 cargo test -p ibak-store --test store freeze` writes `tests/fixtures/format-N.*`.
//!
//! Only what every format has is used here, so that this file also runs in an old checkout.

use crate::device::*;
use crate::sealed::{Bag, PASSWORD, Sealed, file, link, receive};
use ibak_core::{Now, Udid};
use ibak_store::{Begin, Full, Staging, Store};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A phone whose wire spelling is not its canonical one.
pub const OTHER: &str = "00008110-000A11112222801E";
pub const OTHER_WIRE: &str = "00008110000A11112222801E";
pub const DAY: u64 = 86_400;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The plain phone on a day.
pub fn plain(day: u64) -> Device {
    let mut device = Device::new(&[("Library/a", "never changes"), ("Library/empty", "")]);
    device.put("Library/b", &format!("what it was on day {day}"));
    if day > 0 {
        device.put("Library/c", "since day 1");
    }
    device
}

/// The phone with the other spelling, under its first or its second password.
pub fn sealed(uuid: u8) -> Sealed {
    Sealed {
        items: vec![
            file("HomeDomain", "Library/short", b"hello"),
            file("HomeDomain", "Library/block", &[0x61; 16]),
            link("HomeDomain", "Library/link", "../elsewhere"),
        ],
        bag: Some(Bag::new(PASSWORD, 2, 2, uuid)),
        ..Sealed::new()
    }
}

pub fn begin_other(store: &Store, now: Now) -> Staging {
    store
        .begin(Begin {
            udid: &Udid::parse(OTHER).unwrap(),
            wire_udid: OTHER_WIRE,
            full: Full::IfNeeded,
            quota: None,
            now,
        })
        .unwrap()
}

fn write_store(home: &Path) {
    let (store, _) = open(home);
    for day in 0..3 {
        let made = back_up(&store, &plain(day), at(day * DAY)).unwrap();
        if day == 0 {
            assert!(verify(&store, &made).is_good());
            let pins = format!("{{\"pinned\": [\"{}\"]}}\n", made.id);
            std::fs::write(home.join(UDID).join("pins.json"), pins).unwrap();
        }
    }
    let now = at(3 * DAY);
    let mut staging = begin(&store, Full::IfNeeded, now).unwrap();
    upload(&mut staging, &plain(3), now).unwrap();
    assert_eq!(staging.keep(now), Ok(true));

    let mut staging = begin_other(&store, at(0));
    receive(&mut staging, &sealed(1).files(), at(0)).unwrap();
    staging.commit(done(), at(0)).unwrap();
    let mut staging = begin_other(&store, at(DAY));
    let manifest = sealed(2).files()["Manifest.plist"].clone();
    send(&mut staging, "Manifest.plist", &manifest, at(DAY)).unwrap();
    assert_eq!(staging.keep_rekeyed(at(DAY)), Ok(true));
}

/// What lies in the MobileSync directories, read without the store.
pub fn contents(home: &Path) -> String {
    let mut text = String::new();
    for (path, (_, _, _, bytes)) in fingerprint(home) {
        let path = path.strip_prefix(home).unwrap().to_str().unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        if let [_, "gens", _, wire, _, ..] = parts.as_slice()
            && Udid::parse(wire).is_ok()
            && home.join(path).is_file()
        {
            writeln!(text, "{} {path}", blake3::hash(&bytes).to_hex()).unwrap();
        }
    }
    text
}

#[test]
fn the_present_format_is_frozen() {
    let dir = scratch_dir();
    let home = dir.path().join("store");
    write_store(&home);
    let record = std::fs::read_to_string(home.join("store.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let name = format!("format-{}", record["format"]);
    if std::env::var_os("IBAK_FREEZE").is_none() {
        let frozen = fixtures().join(format!("{name}.tar.zst"));
        assert!(
            frozen.is_file(),
            "once it is final: IBAK_FREEZE=1 cargo test -p ibak-store --test store freeze"
        );
        return;
    }
    let output = Command::new("tar")
        .args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--exclude=./lock", "-C"])
        .arg(&home)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let packed = zstd::encode_all(output.stdout.as_slice(), 19).unwrap();
    std::fs::create_dir_all(fixtures()).unwrap();
    std::fs::write(fixtures().join(format!("{name}.tar.zst")), packed).unwrap();
    std::fs::write(fixtures().join(format!("{name}.txt")), contents(&home)).unwrap();
}
