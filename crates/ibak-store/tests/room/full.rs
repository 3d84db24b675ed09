//! Small disks that are full (I9): nothing committed changes, and list, restore, remove work on.

use crate::days::{day, phone};
use crate::device::*;
use crate::usage::one_at_a_time;
use ibak_core::Bytes;
use ibak_store::fs::Errno;
use ibak_store::{ErrorKind, Full, Generation, Remover, Reserve, Staging, Store, StoreError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, mounted while this lives.
pub struct Disk {
    dir: tempfile::TempDir,
}

fn ran(command: &mut Command) -> bool {
    command.output().is_ok_and(|said| said.status.success())
}

impl Disk {
    pub fn new(kind: &str, size: u64) -> Option<Self> {
        let disk = Self {
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        std::fs::create_dir(disk.path()).unwrap();
        let mut mount = Command::new("mount");
        let mounted = if kind == "tmpfs" {
            mount.args([
                "-t",
                "tmpfs",
                "-o",
                &format!("mode=0700,size={size}"),
                "tmpfs",
            ]);
            ran(mount.arg(disk.path()))
        } else {
            let image = disk.dir.path().join("image");
            std::fs::File::create(&image)
                .unwrap()
                .set_len(size)
                .unwrap();
            let mut make = Command::new(format!("mkfs.{kind}"));
            ran(make.args(["-q", "-m", "0"]).arg(&image))
                && ran(mount.args(["-o", "loop"]).arg(&image).arg(disk.path()))
        };
        if !mounted {
            eprintln!("skipped on {kind}: needs root, and mounts");
        }
        mounted.then_some(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves about so many bytes to everybody.
    fn leave(&self, store: &Store, bytes: u64) {
        drop(std::fs::remove_file(self.filler()));
        sync(&self.path());
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        let left = || store.totals().unwrap().available;
        let mut wanted = left().saturating_sub(bytes);
        // The file takes blocks for its own map too, so what is too much is found by trying.
        while wanted > 0 {
            let block = vec![1; usize::try_from(wanted.clamp(4096, 1 << 20)).unwrap()];
            match filler.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
            wanted = left().saturating_sub(bytes);
        }
        filler.sync_all().unwrap();
    }

    fn unfill(&self) {
        std::fs::remove_file(self.filler()).unwrap();
        sync(&self.path());
    }
}

fn sync(path: &Path) {
    assert!(ran(Command::new("sync").arg("-f").arg(path)));
}

impl Drop for Disk {
    fn drop(&mut self) {
        ran(Command::new("umount").arg(self.path()));
    }
}

fn small(number: usize) -> Device {
    let mut device = Device::default();
    for file in 0..40 {
        let text = format!("{file} on day {number} ").repeat(700);
        device.put(&format!("Library/{file}"), &text);
    }
    device
}

type Before = (Vec<Generation>, Vec<Files>);

fn state(store: &Store) -> Before {
    let list = store.list(&udid()).unwrap();
    let files = list.iter().map(|made| content(store, made)).collect();
    (list, files)
}

fn whole(staging: &mut Staging, device: &Device, secs: u64) -> Result<(), StoreError> {
    run(staging, device, at(secs))
}

fn no_space(error: &StoreError, what: &str) {
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
}

/// A whole backup under less and less shortage, until there is none.
fn at_every_boundary(disk: &Disk, step: u64) {
    let (store, _) = open(&disk.store());
    back_up(&store, &small(0), at(0)).unwrap();
    back_up(&store, &small(1), at(1)).unwrap();
    let before = state(&store);
    let fingerprints = fingerprint(&gens(&disk.store()));
    let mut refused = 0;
    loop {
        let room = refused * step;
        let what = format!("{room} bytes left");
        disk.leave(&store, room);
        let secs = 10 + refused;
        // All of it, so that nothing is there from the time before.
        let made = begin(&store, Full::Forced, at(secs)).and_then(|mut staging| {
            let sent = whole(&mut staging, &small(2), secs);
            match sent {
                Ok(()) => staging.commit(done(), at(secs)),
                Err(error) => {
                    drop(staging.keep(at(secs)));
                    Err(error)
                }
            }
        });
        if let Ok(made) = made {
            assert_eq!(content(&store, &made), small(2).backup());
            assert!(refused > 5, "{what}");
            break;
        }
        no_space(&made.unwrap_err(), &what);
        assert!(state(&store) == before, "{what}");
        assert!(fingerprint(&gens(&disk.store())) == fingerprints, "{what}");
        disk.unfill();
        sweep(&store);
        refused += 1;
    }
    eprintln!("{refused} boundaries of {step} bytes");
    disk.unfill();
    drop(store);
    let (store, _) = open(&disk.store());
    assert_eq!(store.list(&udid()).unwrap()[..2], before.0);
}

/// Nothing is left at all, not even of the reserve.
fn brimful(disk: &Disk) {
    let (store, _) = open(&disk.store());
    for number in 0..3_u8 {
        back_up(&store, &small(number.into()), at(number.into())).unwrap();
    }
    let (list, files) = state(&store);
    let mut staging = begin(&store, Full::IfNeeded, at(9)).unwrap();
    whole(&mut staging, &small(9), 9).unwrap();
    disk.leave(&store, 0);
    no_space(&staging.commit(done(), at(9)).unwrap_err(), "commit");
    assert!(state(&store) == (list.clone(), files.clone()));
    let reader = store.reader(&udid(), &list[2].id).unwrap();
    assert!(reader.list("").unwrap().len() > 20);
    store.remove(&udid(), &list[0].id, Remover::Plan).unwrap();
    assert_eq!(store.list(&udid()).unwrap(), list[1..]);
    let swept = sweep(&store);
    assert!(swept.files > 40 && swept.bytes > 0, "{swept:?}");
    drop((reader, store));
    // It can also be opened so.
    disk.leave(&open(&disk.store()).0, 0);
    let (store, _) = open(&disk.store());
    assert!(state(&store) == (list[1..].to_vec(), files[1..].to_vec()));
    store.remove(&udid(), &list[1].id, Remover::Person).unwrap();
    store.forget(&udid()).unwrap();
    assert_eq!(store.phones(), Ok(Vec::new()));
    assert!(!phone(&disk.store()).exists());
    sweep(&store);
    disk.unfill();
    let made = back_up(&store, &small(4), at(20)).unwrap();
    assert_eq!(content(&store, &made), small(4).backup());
}

/// What is kept for the small files of ours is never given to a phone.
fn reserve(disk: &Disk) {
    let mut keep = options(0);
    keep.reserve = Reserve::Fixed(Bytes::new(2 << 20));
    let (store, _) = Store::open(&disk.store(), keep).unwrap();
    back_up(&store, &day(0), at(0)).unwrap();
    let before = state(&store);
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    staging.create(&tree("endless")).unwrap();
    let block = vec![3; 32 << 10];
    let error = loop {
        if let Err(error) = staging.write(&block) {
            break error;
        }
    };
    let said = matches!(
        error,
        StoreError::System {
            errno: Errno::NOSPC,
            ..
        }
    );
    assert!(said, "{error}");
    // One last block and a directory may have been counted differently.
    let left = store.space(&udid(), None).unwrap();
    assert!(left.available + (64 << 10) >= 2 << 20, "{left:?}");
    assert!(left.free() < 128 << 10, "{left:?}");
    staging.abandon(None).unwrap();
    drop(staging);
    assert!(state(&store) == before);
}

fn on_each(size: u64, run: impl Fn(&Disk)) {
    let _one = one_at_a_time();
    for kind in ["tmpfs", "ext4"] {
        if let Some(disk) = Disk::new(kind, size) {
            run(&disk);
        }
    }
}

#[test]
fn a_disk_that_is_full_at_every_64_kib_of_a_backup() {
    on_each(24 << 20, |disk| at_every_boundary(disk, 64 << 10));
}

#[test]
fn a_disk_that_is_full_to_the_brim_lists_restores_and_removes() {
    on_each(24 << 20, brimful);
}

#[test]
fn a_phone_never_writes_into_the_reserve() {
    on_each(24 << 20, reserve);
}

#[test]
fn a_commit_that_finds_no_room_for_its_records_costs_no_transfer() {
    on_each(24 << 20, |disk| {
        let (store, _) = open(&disk.store());
        back_up(&store, &small(0), at(0)).unwrap();
        let before = state(&store);
        let mut device = small(1);
        for number in 0..4000 {
            device.put(
                &format!("Library/empty/{number}/{}", "long ".repeat(30)),
                "",
            );
        }
        let list = u64::try_from(device.manifest_db().len()).unwrap();
        let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
        whole(&mut staging, &device, 1).unwrap();
        disk.leave(&store, list - 8192);
        no_space(
            &staging.commit(done(), at(1)).unwrap_err(),
            "no room for the records",
        );
        assert!(state(&store) == before);
        disk.unfill();
        // The transfer was not for nothing.
        let staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
        assert!(staging.resumed());
        let made = staging.commit(done(), at(2)).unwrap();
        assert_eq!(content(&store, &made), device.backup());
    });
}
