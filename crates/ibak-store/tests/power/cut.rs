//! The barrier: what is synced, and what a power cut at the instant after a commit leaves on real
//! file systems.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use crate::image::{Image, Kind};
use ibak_store::{Generation, Store};
use std::io::Write;
use std::path::Path;

/// How many files the phone holds.
const FILES: usize = 600;

fn device() -> Device {
    let mut device = Device::default();
    for number in 0..FILES {
        device.put(
            &format!("Library/{number}"),
            &format!("{number} ").repeat(2000),
        );
    }
    device
}

#[test]
fn one_sync_of_all_or_one_of_each() {
    let files = u64::try_from(device().backup().len()).unwrap();
    for trusts_sync_fs in [true, false] {
        let dir = scratch_dir();
        let mut fs = FaultFs::new(Fault::None, 0);
        fs.trusts_sync_fs = trusts_sync_fs;
        let (store, _) = Store::open_on(fs.clone(), dir.path(), options(0)).unwrap();
        back_up(&store, &device(), at(0)).unwrap();
        let (whole, single) = fs.syncs();
        if trusts_sync_fs {
            assert!(whole >= 1 && single < files, "{whole} {single}");
        } else {
            assert!(whole == 0 && single > files, "{whole} {single}");
        }
    }
}

/// How the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The file system stops where it stands.
    Stopped,
    /// What the disk holds at this instant is what there is.
    Copied,
}

impl Cut {
    const fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Ext4 | Kind::Xfs => &[Self::Stopped, Self::Copied],
            Kind::Btrfs => &[Self::Copied],
        }
    }
}

/// Commits two backups on an image and cuts the power; returns what was announced.
fn cut(image: &Image, how: Cut, fs: &FaultFs) -> Vec<(Generation, Files)> {
    let home = image.mountpoint().join("store");
    let (store, _) = Store::open_on(fs.clone(), &home, options(0)).unwrap();
    let mut device = device();
    let mut announced = vec![(back_up(&store, &device, at(0)).unwrap(), device.backup())];
    for number in 0..FILES / 10 {
        device.put(&format!("Library/{number}"), "changed");
    }
    announced.push((back_up(&store, &device, at(1)).unwrap(), device.backup()));
    match how {
        Cut::Stopped => {
            image.stop();
            drop(store);
            image.again();
        }
        Cut::Copied => {
            image.copy_as_it_is();
            drop(store);
            image.back_to_the_copy();
        }
    }
    announced
}

/// What is left of what was announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    /// Backups that are not listed, or say themselves that they are damaged.
    backups_lost: usize,
    /// Files that are missing or have other content, and how many there should be.
    damaged: usize,
    files: usize,
}

fn left(home: &Path, announced: &[(Generation, Files)]) -> Left {
    let files = announced.iter().map(|(_, files)| files.len()).sum();
    let mut left = Left {
        files,
        ..Left::default()
    };
    let opened = Store::open(home, options(2));
    let listed = opened
        .as_ref()
        .map_or_else(|_| Vec::new(), |(store, _)| store.list(&udid()).unwrap());
    for (made, files) in announced {
        let Some((store, _)) = opened.as_ref().ok().filter(|_| listed.contains(made)) else {
            left.backups_lost += 1;
            left.damaged += files.len();
            continue;
        };
        left.backups_lost += usize::from(!verify(store, made).is_good());
        let found = content(store, made);
        let lost = files
            .iter()
            .filter(|(path, bytes)| found.get(*path) != Some(*bytes));
        left.damaged += lost.count();
        assert!(found.len() <= files.len(), "more than was sent");
    }
    left
}

#[test]
fn a_power_cut_right_after_a_commit_loses_nothing() {
    for kind in Kind::ALL {
        for how in Cut::of(kind) {
            for barrier in [true, false] {
                let image = match Image::new(kind, 0) {
                    Ok(image) => image,
                    Err(reason) => {
                        skipped(kind, &reason);
                        break;
                    }
                };
                let mut fs = FaultFs::new(Fault::None, 0);
                (fs.syncs_all, fs.syncs_each) = (barrier, barrier);
                let announced = cut(&image, *how, &fs);
                let left = left(&image.mountpoint().join("store"), &announced);
                let with = if barrier { "" } else { ", without the barrier" };
                say(&format!(
                    "FIGURE power cut right after a commit, {}, {how:?}{with}: {} of {} files damaged or lost, {} of 2 backups",
                    kind.name(),
                    left.damaged,
                    left.files,
                    left.backups_lost
                ));
                if barrier {
                    assert_eq!(
                        (left.damaged, left.backups_lost),
                        (0, 0),
                        "{kind:?} {how:?}"
                    );
                } else {
                    // The same harness does see a loss.
                    assert_ne!(left.damaged, 0, "{kind:?} {how:?}");
                }
            }
        }
    }
}

/// Says aloud that something did not run.
///
/// # Panics
/// In CI (`CI` is set) nothing may be skipped.
fn skipped(kind: Kind, reason: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "not skipped in CI: {reason}"
    );
    let name = kind.name();
    say(&format!("SKIPPED a power cut on {name}: {reason}"));
}

/// Says it past the capture of the test runner.
fn say(line: &str) {
    // Nothing is lost when nobody listens.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}
