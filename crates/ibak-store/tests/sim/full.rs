//! The disk is full at every block of a backup: what is there stays, can be listed, read,
//! served and removed, and the backup comes through once there is room (I9).

use crate::device::*;
use crate::fs::disk::{Disk, difference};
use crate::fs::{Rules, SimFs};
use crate::oracle::{is_slow, path};
use crate::scenarios::{one, two};
use ibak_store::{ErrorKind, Generation, Remover, Store, StoreError};
use std::ops::ControlFlow;

/// Blocks between two sizes of the disk: 64 KiB, or every one.
fn step() -> usize {
    if is_slow() { 1 } else { 16 }
}

fn phone() -> Device {
    let mut device = two();
    for number in 0..24_u8 {
        device.put(&format!("Library/{number}"), &"new ".repeat(10_000));
    }
    device
}

/// A disk with two backups, the second of them not whole where everything shall stay.
fn base() -> (Disk, Vec<Generation>) {
    let sim = SimFs::new(Disk::new(), Rules::USUAL);
    let (store, _) = Store::open_on(sim.clone(), path(), options(0)).unwrap();
    let made = vec![
        back_up(&store, &one(), at(1)).unwrap(),
        back_up(&store, &two(), at(2)).unwrap(),
    ];
    store.used(&udid()).unwrap();
    drop(store);
    (sim.disk(), made)
}

/// What goes on working on a disk that takes nothing more.
fn still_works(sim: &SimFs, store: &Store<SimFs>, made: &[Generation], what: &str) {
    assert_eq!(store.list(&udid()).unwrap(), made, "{what}");
    assert_eq!(content(store, &made[0]), one().backup(), "{what}");
    assert_eq!(content(store, &made[1]), two().backup(), "{what}");
    let generations = format!("/store/{UDID}/gens");
    let before = sim.disk().tree(&generations);
    let reopened = store.staged_bytes(&udid(), at(4).wall);
    assert!(reopened.is_ok(), "{what}: {reopened:?}");
    let after = sim.disk().tree(&generations);
    assert_eq!(difference(&before, &after, &[]), None, "{what}");
}

fn refused(error: &StoreError, what: &str) {
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
}

fn fill(rules: impl Fn(u64) -> Rules) {
    let (base, made) = base();
    let used = SimFs::new(base.clone(), Rules::USUAL).used_blocks();
    let generations = format!("/store/{UDID}/gens");
    let before = base.tree(&generations);
    let mut sizes = 0;
    for more in (0..).step_by(step()) {
        let what = format!("{more} blocks more than {used}");
        let sim = SimFs::new(base.clone(), rules(used + more as u64));
        let (store, _) = Store::open_on(sim.clone(), path(), options(3)).unwrap();
        match back_up(&store, &phone(), at(3)) {
            Ok(next) => {
                assert!(more > 100, "{what}: it found room");
                assert_eq!(content(&store, &next), phone().backup(), "{what}");
                break;
            }
            Err(error) => refused(&error, &what),
        }
        sizes += 1;
        still_works(&sim, &store, &made, &what);
        let after = sim.disk().tree(&generations);
        assert_eq!(difference(&before, &after, &[]), None, "{what}");
        // Another process, too, and the disk as full as it was left.
        drop(store);
        let (store, _) = Store::open_on(sim.clone(), path(), options(4)).unwrap();
        still_works(&sim, &store, &made, &what);
        store.remove(&udid(), &made[0].id, Remover::Person).unwrap();
        store.sweep(&mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(store.list(&udid()).unwrap(), &made[1..], "{what}");
        sim.rule(|rules| *rules = Rules::USUAL);
        let next = back_up(&store, &phone(), at(5)).unwrap();
        assert_eq!(content(&store, &next), phone().backup(), "{what}");
    }
    eprintln!("full at {sizes} sizes");
}

#[test]
fn the_disk_is_full_at_every_boundary() {
    fill(|capacity_blocks| Rules {
        capacity_blocks,
        ..Rules::USUAL
    });
}

#[test]
fn the_quota_of_the_file_system_is_used_up_at_every_boundary() {
    fill(|quota_blocks| Rules {
        quota_blocks,
        ..Rules::USUAL
    });
}
