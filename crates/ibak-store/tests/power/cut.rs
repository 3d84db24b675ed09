//! The barrier: what is synced, and what a power cut at the instant after a commit leaves on ext4.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use ibak_store::{Generation, Store};
use std::path::{Path, PathBuf};
use std::process::Command;

fn device() -> Device {
    let mut device = Device::default();
    for number in 0..300 {
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

/// A small ext4 image, mounted while this lives.
struct Image {
    dir: tempfile::TempDir,
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

impl Image {
    fn new() -> Option<Self> {
        let image = Self {
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        std::fs::create_dir(image.mountpoint()).unwrap();
        std::fs::File::create(image.file())
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let made = run(Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(image.file()));
        (made && image.mount()).then_some(image)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn mount(&self) -> bool {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.file())
            .arg(self.mountpoint()))
    }

    /// Stops the file system without writing anything more, and mounts what the disk has.
    fn cut_the_power(&self) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let program = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        assert!(run(Command::new("python3")
            .args(["-c", program])
            .arg(self.mountpoint())));
        assert!(run(Command::new("umount").arg(self.mountpoint())));
        assert!(self.mount());
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.mountpoint()));
    }
}

/// Commits two backups on an image and cuts the power; returns what was announced.
fn cut(image: &Image, fs: &FaultFs) -> Vec<(Generation, Files)> {
    let home = image.mountpoint().join("store");
    let (store, _) = Store::open_on(fs.clone(), &home, options(0)).unwrap();
    let mut device = device();
    let mut announced = vec![(back_up(&store, &device, at(0)).unwrap(), device.backup())];
    device.put("Library/7", "changed");
    announced.push((back_up(&store, &device, at(1)).unwrap(), device.backup()));
    drop(store);
    image.cut_the_power();
    announced
}

fn is_whole(home: &Path, announced: &[(Generation, Files)]) -> bool {
    let Ok((store, _)) = Store::open(home, options(2)) else {
        return false;
    };
    let list = store.list(&udid()).unwrap();
    announced.iter().all(|(made, files)| {
        list.contains(made) && verify(&store, made).is_good() && &content(&store, made) == files
    })
}

#[test]
fn a_power_cut_right_after_a_commit_loses_nothing() {
    for (syncs_for_real, whole) in [(true, true), (false, false)] {
        let Some(image) = Image::new() else {
            eprintln!("skipped: needs root, mkfs.ext4 and loop devices");
            return;
        };
        let mut fs = FaultFs::new(Fault::None, 0);
        (fs.syncs_all, fs.syncs_each) = (syncs_for_real, syncs_for_real);
        let announced = cut(&image, &fs);
        // Without the barrier the same harness does see the loss.
        assert_eq!(
            is_whole(&image.mountpoint().join("store"), &announced),
            whole,
            "barrier: {syncs_for_real}"
        );
    }
}
