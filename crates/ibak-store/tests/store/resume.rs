//! What an interrupted session left: all that is proved stays, nothing that is not.

use crate::device::*;
use ibak_store::{Full, Phase, Store};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn device() -> Device {
    Device::new(&[("a", "first"), ("b", "second"), ("c", "third")])
}

fn waiting(home: &Path, id: &ibak_core::BackupId, path: &str) -> PathBuf {
    home.join(UDID)
        .join("staging")
        .join(id.as_str())
        .join(UDID)
        .join(path)
}

fn overwrite(path: &Path, content: &str) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A first backup, then a second that stops in its upload.
fn interrupted(home: &Path, kept: bool) -> (Device, ibak_core::BackupId) {
    let (store, _) = open(home);
    back_up(&store, &device(), at(0)).unwrap();
    let mut device = device();
    for name in ["a", "b", "d"] {
        device.put(name, &format!("new {name}"));
    }
    let mut staging = begin(&store, Full::IfNeeded, at(10)).unwrap();
    upload(&mut staging, &device, at(10)).unwrap();
    let id = staging.id().clone();
    if kept {
        assert_eq!(staging.keep(at(20)), Ok(true));
    }
    (device, id)
}

fn finishes(store: &Store, device: &Device) {
    let made = back_up(store, device, at(50)).unwrap();
    assert_eq!(content(store, &made), device.backup());
    assert!(verify(store, &made).is_good());
}

#[test]
fn what_was_made_durable_is_gone_on_with() {
    let dir = scratch_dir();
    let (device, id) = interrupted(dir.path(), true);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.resumable, [(udid(), id.clone())]);
    let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
    assert!(staging.resumed());
    assert_eq!((staging.id(), staging.phase()), (&id, Phase::Uploading));
    assert_eq!(
        read(&staging, &format!("Snapshot/{}", place("d"))).as_deref(),
        Some(b"new d".as_slice())
    );
    drop(staging);
    finishes(&store, &device);
}

#[test]
fn what_was_received_after_the_last_checkpoint_is_not_believed() {
    let dir = scratch_dir();
    let (device, id) = interrupted(dir.path(), false);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.resumable, [(udid(), id)]);
    let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
    assert!(staging.resumed());
    for name in ["a", "b", "d"] {
        assert_eq!(read(&staging, &format!("Snapshot/{}", place(name))), None);
    }
    assert_eq!(
        read(&staging, &place("c")).as_deref(),
        Some(b"third".as_slice()),
        "the parent's are believed"
    );
    drop(staging);
    finishes(&store, &device);
}

#[test]
fn a_logged_file_that_differs_is_not_believed() {
    let dir = scratch_dir();
    let (device, id) = interrupted(dir.path(), true);
    overwrite(
        &waiting(dir.path(), &id, &format!("Snapshot/{}", place("a"))),
        "nxw a",
    );
    overwrite(
        &waiting(dir.path(), &id, &format!("Snapshot/{}", place("b"))),
        "",
    );
    std::fs::write(waiting(dir.path(), &id, "Snapshot/stray"), "never received").unwrap();
    let (store, _) = open(dir.path());
    let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
    assert!(staging.resumed());
    for path in [
        format!("Snapshot/{}", place("a")),
        format!("Snapshot/{}", place("b")),
        "Snapshot/stray".into(),
    ] {
        assert_eq!(read(&staging, &path), None);
    }
    assert!(read(&staging, &format!("Snapshot/{}", place("d"))).is_some());
    drop(staging);
    finishes(&store, &device);
}

#[test]
fn a_log_that_was_altered_is_believed_up_to_there() {
    let dir = scratch_dir();
    let (device, id) = interrupted(dir.path(), true);
    let log = dir
        .path()
        .join(UDID)
        .join("staging")
        .join(id.as_str())
        .join("received.log");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines = text.lines().count();
    assert!(lines > 4);
    for cut in [0, 10, text.len() / 2, text.len() - 1] {
        let (store, _) = {
            std::fs::write(&log, &text[..cut]).unwrap();
            open(dir.path())
        };
        let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
        drop(staging);
        let left = std::fs::read_to_string(&log).unwrap().lines().count();
        assert!(left < lines, "{cut}: {left} of {lines}");
    }
    let (store, _) = open(dir.path());
    finishes(&store, &device);
}

#[test]
fn a_move_younger_than_the_log_is_believed_by_content() {
    let dir = scratch_dir();
    let (device, id) = interrupted(dir.path(), true);
    let to = waiting(dir.path(), &id, &place("d"));
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(
        waiting(dir.path(), &id, &format!("Snapshot/{}", place("d"))),
        &to,
    )
    .unwrap();
    let (store, _) = open(dir.path());
    let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
    assert_eq!(
        read(&staging, &place("d")).as_deref(),
        Some(b"new d".as_slice())
    );
    drop(staging);
    finishes(&store, &device);
}

#[test]
fn seven_days_and_not_longer() {
    const DAY: u64 = 86_400;
    for (age, resumed) in [(6 * DAY, true), (7 * DAY + 100, false)] {
        let dir = scratch_dir();
        let (device, _) = interrupted(dir.path(), true);
        let (store, recovery) = Store::open(dir.path(), options(age)).unwrap();
        assert_eq!(recovery.resumable.len(), usize::from(resumed));
        let staging = begin(&store, Full::IfNeeded, at(age)).unwrap();
        assert_eq!(staging.resumed(), resumed);
        drop(staging);
        finishes(&store, &device);
    }
}

#[test]
fn full_backups_discarded_copies_and_finished_ones_begin_anew() {
    let dir = scratch_dir();
    let (device, id) = interrupted(dir.path(), true);
    let (store, _) = open(dir.path());
    // The phone could not go on (205, 104): discard, and the last good one is cloned again.
    let staging = begin(&store, Full::IfNeeded, at(30)).unwrap();
    assert!(staging.resumed());
    staging.discard().unwrap();
    let mut staging = begin(&store, Full::IfNeeded, at(31)).unwrap();
    assert!(!staging.resumed());
    assert_ne!(staging.id(), &id);
    assert_eq!(
        read(&staging, &place("a")).as_deref(),
        Some(b"first".as_slice())
    );
    upload(&mut staging, &device, at(31)).unwrap();
    assert_eq!(staging.keep(at(31)), Ok(true));
    assert!(!begin(&store, Full::Forced, at(32)).unwrap().resumed());
    // A phone that was done and a commit that never began: nothing to go on with.
    let mut staging = begin(&store, Full::IfNeeded, at(33)).unwrap();
    run(&mut staging, &device, at(33)).unwrap();
    assert_eq!(staging.keep(at(33)), Ok(false));
    assert!(!begin(&store, Full::IfNeeded, at(34)).unwrap().resumed());
    finishes(&store, &device);
}

#[test]
fn a_remote_error_before_the_interruption_is_remembered() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = device();
    device.unreadable.push("b".into());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    upload(&mut staging, &device, at(0)).unwrap();
    assert_eq!(staging.keep(at(1)), Ok(true));
    let mut staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
    assert!(staging.resumed());
    settle(&mut staging, &device, at(2)).unwrap();
    assert_eq!(staging.commit(done(), at(2)).unwrap().warnings.len(), 1);
}
