//! A phone with many small files.

use crate::device::*;
use ibak_store::Full;
use std::time::Instant;

#[test]
fn a_hundred_thousand_files() {
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let count = if slow { 100_000 } else { 10_000 };
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = Device::default();
    for number in 0..count {
        device.put(
            &format!("Library/{number}"),
            &format!("content of {number}"),
        );
    }
    let clock = Instant::now();
    let first = back_up(&store, &device, at(0)).unwrap();
    eprintln!("{count} files: full backup {:?}", clock.elapsed());
    for number in 0..30 {
        device.put(&format!("Library/{number}"), "changed");
    }
    let clock = Instant::now();
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    eprintln!("{count} files: clone {:?}", clock.elapsed());
    let clock = Instant::now();
    staging.write_info_plist(INFO, at(1)).unwrap();
    for number in 0..30 {
        send(
            &mut staging,
            &place(&format!("Library/{number}")),
            b"changed",
            at(1),
        )
        .unwrap();
    }
    send(&mut staging, "Manifest.db", &device.manifest_db(), at(1)).unwrap();
    send(&mut staging, "Status.plist", &status("finished"), at(1)).unwrap();
    eprintln!("{count} files: 30 changed {:?}", clock.elapsed());
    let clock = Instant::now();
    let second = staging.commit(done(), at(1)).unwrap();
    eprintln!("{count} files: commit {:?}", clock.elapsed());
    assert_eq!((second.files, second.new_files), (first.files, 33));
    let clock = Instant::now();
    assert!(verify(&store, &second).is_good());
    eprintln!("{count} files: verify {:?}", clock.elapsed());
}
