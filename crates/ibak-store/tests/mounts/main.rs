//! Disks that come, go and take no writes. Needs root, and says so when it has to skip; in a
//! program of its own, since it starts others, and a child of a test holds the locks of all tests
//! beside it until it has become the other program.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_in_result,
    unreachable_pub
)]
#![allow(dead_code)]

#[path = "../store/device.rs"]
mod device;

use device::*;
use ibak_store::fs::Errno;
use ibak_store::{Create, Full, Generation, Remover, Store, StoreError};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The tests here start others, and so hold each other's locks: one after the other.
static ONE: Mutex<()> = Mutex::new(());

fn run(command: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(command).args(args).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{command}: {error}")),
    }
}

/// Mount points, all let go of in the end.
struct Mounts {
    dir: tempfile::TempDir,
}

impl Mounts {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Says whether it worked; a test that cannot mount says so and is over.
    fn mount(&self, args: &[&str], at: &Path) -> bool {
        let mut words = args.to_vec();
        words.push(at.to_str().unwrap());
        match run("mount", &words) {
            Ok(()) => true,
            Err(why) => {
                eprintln!("skipped: {why}");
                false
            }
        }
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            while path.is_dir() && run("umount", &["-l", path.to_str().unwrap()]).is_ok() {}
        }
    }
}

fn never(path: &Path) -> Result<Store, StoreError> {
    let mut options = options(0);
    options.create = Create::Never;
    Store::open(path, options).map(|(store, _)| store)
}

fn phone() -> Device {
    Device::new(&[("a", "1"), ("b", "2")])
}

/// It is listed and its files are read as they lie there.
fn is_there(store: &Store, made: &Generation) {
    assert_eq!(&store.list(&udid()).unwrap()[0].id, &made.id);
    assert_eq!(content(store, made), phone().backup());
}

/// It is also read by name, for which SQLite wants a path that leads there.
fn is_read(store: &Store, made: &Generation) {
    is_there(store, made);
    let reader = store.reader(&udid(), &made.id).unwrap();
    let catalogue = reader.catalogue(None).unwrap();
    assert!(catalogue.find("HomeDomain", "a").unwrap().is_some());
    assert!(verify(store, made).is_good());
}

fn is_read_only(error: Option<StoreError>) {
    assert!(
        matches!(
            error,
            Some(StoreError::System {
                errno: Errno::ROFS,
                ..
            })
        ),
        "{error:?}"
    );
    assert!(error.unwrap().to_string().contains("Read-only file system"));
}

#[test]
fn a_disk_that_is_not_mounted_gets_no_backup_before_or_after() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mounts = Mounts::new();
    let (disk, home) = (mounts.at("disk"), mounts.at("home"));
    if !mounts.mount(&["-t", "tmpfs", "none"], &disk) {
        return;
    }
    assert!(matches!(never(&home), Err(StoreError::Unavailable { .. })));
    let bind = ["--bind", disk.to_str().unwrap()];
    assert!(mounts.mount(&bind, &home));
    let (store, _) = open(&home);
    let made = back_up(&store, &phone(), at(0)).unwrap();
    // It goes between two operations of an open store.
    run("umount", &["-l", home.to_str().unwrap()]).unwrap();
    for error in [
        begin(&store, Full::IfNeeded, at(1)).err(),
        store.adopt(&udid(), UDID, at(1)).err(),
        store.totals().err(),
    ] {
        let error = error.unwrap();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("mounted?"), "{error}");
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    is_there(&store, &made);
    // And comes back: the same directory, to which the open one has no path any more.
    assert!(mounts.mount(&bind, &home));
    let error = store.totals().err().unwrap();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    drop(store);
    let store = never(&home).unwrap();
    back_up(&store, &phone(), at(2)).unwrap();
    assert_eq!(store.list(&udid()).unwrap().len(), 2);
}

#[test]
fn a_disk_that_takes_no_writes_is_read() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mounts = Mounts::new();
    let home = mounts.at("home");
    if !mounts.mount(&["-t", "tmpfs", "none"], &home) {
        return;
    }
    let (store, _) = open(&home);
    let made = back_up(&store, &phone(), at(0)).unwrap();
    assert!(!store.facts().read_only);
    drop(store);
    assert!(mounts.mount(&["-o", "remount,ro"], &home));
    let before = fingerprint(&home);
    let (store, recovery) = open(&home);
    assert!(store.facts().read_only);
    assert_eq!(recovery, ibak_store::Recovery::default());
    assert!(matches!(never(&home), Err(StoreError::Locked { .. })));
    is_read(&store, &made);
    is_read_only(begin(&store, Full::IfNeeded, at(1)).err());
    is_read_only(store.adopt(&udid(), UDID, at(1)).err());
    is_read_only(store.totals().err());
    // Nothing in it was put right: it has to be opened again when its disk takes writes.
    assert!(mounts.mount(&["-o", "remount,rw"], &home));
    is_read_only(begin(&store, Full::IfNeeded, at(1)).err());
    is_read_only(store.adopt(&udid(), UDID, at(1)).err());
    is_read_only(store.pin(&udid(), &made.id, true).err());
    is_read_only(store.sweep(&mut |_| ControlFlow::Continue(())).err());
    is_read_only(store.forget(&udid()).err());
    is_read_only(store.remove(&udid(), &made.id, Remover::Person).err());
    assert_eq!(fingerprint(&home), before);
    drop(store);
    back_up(&never(&home).unwrap(), &phone(), at(2)).unwrap();
    // A directory without a store does not become one.
    let empty = mounts.at("empty");
    assert!(mounts.mount(&["-t", "tmpfs", "-o", "ro", "none"], &empty));
    is_read_only(Store::open(&empty, options(0)).err());
}

#[test]
fn a_file_system_that_gives_up_under_an_open_store_is_still_read() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mounts = Mounts::new();
    let home = mounts.at("home");
    let image = mounts.dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let file = image.to_str().unwrap();
    if let Err(why) = run("mkfs.ext4", &["-q", "-F", file]) {
        eprintln!("skipped: {why}");
        return;
    }
    if !mounts.mount(&["-o", "loop,errors=remount-ro", file], &home) {
        return;
    }
    let (store, _) = open(&home.join("store"));
    let made = back_up(&store, &phone(), at(0)).unwrap();
    let source = Command::new("findmnt")
        .args(["-n", "-o", "SOURCE"])
        .arg(&home)
        .output();
    let source = String::from_utf8(source.unwrap().stdout).unwrap();
    let device = source.trim().rsplit('/').next().unwrap();
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    if let Err(error) = fs::write(&trigger, "1") {
        eprintln!("skipped: {trigger}: {error}");
        return;
    }
    is_read(&store, &made);
    let error = begin(&store, Full::IfNeeded, at(1)).err();
    is_read_only(error);
    is_read(&store, &made);
    drop(store);
    // What was announced is there when the disk is well again.
    run("umount", &[home.to_str().unwrap()]).unwrap();
    drop(run("fsck.ext4", &["-y", file]));
    assert!(mounts.mount(&["-o", "loop", file], &home));
    let (store, _) = open(&home.join("store"));
    is_read(&store, &made);
    back_up(&store, &phone(), at(2)).unwrap();
}

#[test]
fn a_file_system_without_hard_links_is_refused_and_left_empty() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mounts = Mounts::new();
    let home = mounts.at("home");
    let image = mounts.dir.path().join("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let file = image.to_str().unwrap();
    if let Err(why) = run("mkfs.vfat", &[file]) {
        eprintln!("skipped: {why}");
        return;
    }
    if !mounts.mount(&["-t", "vfat", "-o", "loop,umask=077", file], &home) {
        return;
    }
    let error = Store::open(&home, options(0)).err().unwrap();
    assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("(hard links)"), "{error}");
    assert!(!home.join("store.json").exists());
}

#[test]
fn another_process_is_kept_out_and_keeps_out() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let lock = dir.path().join("lock");
    let lock = lock.to_str().unwrap();
    if let Err(why) = run("flock", &["--version"]) {
        eprintln!("skipped: {why}");
        return;
    }
    assert!(run("flock", &["--nonblock", lock, "true"]).is_err());
    drop(store);
    let mut other = Command::new("flock")
        .args([lock, "sh", "-c", "echo held; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut told).unwrap();
    let error = never(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(other.stdin.take());
    other.wait().unwrap();
    assert!(never(dir.path()).is_ok());
}
