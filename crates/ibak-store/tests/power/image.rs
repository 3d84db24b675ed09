//! File systems in a file, and what a power cut leaves of them.
//!
//! Two ways to cut: the file system is stopped where it stands, its log not written (ext4 and xfs
//! can do that); or the image is copied while the file system is mounted and in use, which is what
//! a disk would hold at that instant, and the copy is mounted in its place. Needs root. Used by the
//! store's own tests and by the whole-system tests.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The words of mkfs that make it quietly, whatever lay there.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-F", "-m", "0"],
            Self::Xfs | Self::Btrfs => &["-q", "-f"],
        }
    }

    /// The smallest that mkfs makes, in MiB, with some room.
    const fn least_mib(self) -> u64 {
        match self {
            Self::Ext4 => 64,
            Self::Xfs | Self::Btrfs => 320,
        }
    }
}

/// How many times an image is copied until nothing was written to it meanwhile.
const COPIES_MAX: usize = 50;

/// A small file system in a file, mounted while this lives.
pub struct Image {
    pub kind: Kind,
    dir: tempfile::TempDir,
}

impl Image {
    /// Makes one of so many MiB and mounts it; the reason if this machine cannot.
    pub fn new(kind: Kind, mib: u64) -> Result<Self, String> {
        Self::in_dir(kind, mib, tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")))
    }

    fn in_dir(
        kind: Kind,
        mib: u64,
        dir: std::io::Result<tempfile::TempDir>,
    ) -> Result<Self, String> {
        let dir = dir.unwrap();
        let image = Self { kind, dir };
        fs::create_dir(image.mountpoint()).unwrap();
        let file = File::create(image.file()).unwrap();
        file.set_len(mib.max(kind.least_mib()) << 20).unwrap();
        let program = format!("mkfs.{}", kind.name());
        if !run(Command::new(&program).args(kind.words()).arg(image.file())) {
            return Err(format!("there is no {program}"));
        }
        if !image.mount() {
            let name = kind.name();
            return Err(format!(
                "no {name} can be mounted: needs root and loop devices"
            ));
        }
        Ok(image)
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub fn mount(&self) -> bool {
        run(Command::new("mount")
            .args(["-t", self.kind.name(), "-o", "loop"])
            .arg(self.file())
            .arg(self.mountpoint()))
    }

    pub fn unmount(&self) -> bool {
        run(Command::new("umount").arg(self.mountpoint()))
    }

    /// Stops the file system where it stands: nothing more is written.
    pub fn stop(&self) {
        assert!(self.kind != Kind::Btrfs, "btrfs cannot be stopped");
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH; xfs has the same call.
        let program = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        assert!(run(Command::new("python3")
            .args(["-c", program])
            .arg(self.mountpoint())));
    }

    /// Mounts what the disk has, after [`Image::stop`].
    pub fn again(&self) {
        assert!(self.unmount());
        assert!(self.mount(), "what is left cannot be mounted");
    }

    /// Copies what the disk holds at this instant; the file system stays mounted and in use.
    pub fn copy_as_it_is(&self) {
        let device = self.device();
        let before = self.dir.path().join("copy");
        for _ in 0..COPIES_MAX {
            let writes = writes_to(&device);
            copy_sparse(&self.file(), &before);
            // A copy of a disk that was written to meanwhile is one of no instant.
            if writes_to(&device) == writes {
                return;
            }
        }
        panic!("{device} is written to all the time");
    }

    /// Mounts the copy in its place, as after a power cut: its log is replayed.
    pub fn back_to_the_copy(&self) {
        assert!(self.unmount());
        fs::rename(self.dir.path().join("copy"), self.file()).unwrap();
        if self.kind == Kind::Btrfs {
            // It remembers that this disk was newer once.
            run(Command::new("btrfs").args(["device", "scan", "--forget"]));
        }
        assert!(self.mount(), "the copy cannot be mounted");
    }

    /// The name of the loop device.
    fn device(&self) -> String {
        let output = Command::new("losetup")
            .args(["--noheadings", "--output", "NAME", "--associated"])
            .arg(self.file())
            .output()
            .unwrap();
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(!name.is_empty(), "no loop device of {:?}", self.file());
        name.trim_start_matches("/dev/").to_owned()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if !self.unmount() {
            // Somebody may still hold it; lazily, so that nothing stays behind.
            run(Command::new("umount").arg("--lazy").arg(self.mountpoint()));
        }
    }
}

/// How many sectors were written to a block device, and how many requests are under way.
fn writes_to(device: &str) -> (String, String) {
    let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
    let field = |at| stat.split_whitespace().nth(at).unwrap().to_owned();
    (field(6), field(8))
}

/// Copies a file and leaves its holes.
fn copy_sparse(from: &Path, to: &Path) {
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    to.set_len(from.metadata().unwrap().len()).unwrap();
    let mut block = vec![0; 1 << 20];
    let mut at = 0;
    while let Ok(data) = rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(at)) {
        let hole = rustix::fs::seek(&from, rustix::fs::SeekFrom::Hole(data)).unwrap();
        from.seek(SeekFrom::Start(data)).unwrap();
        to.seek(SeekFrom::Start(data)).unwrap();
        let mut left = usize::try_from(hole - data).unwrap();
        while left > 0 {
            let part = left.min(block.len());
            from.read_exact(&mut block[..part]).unwrap();
            to.write_all(&block[..part]).unwrap();
            left -= part;
        }
        at = hole;
    }
}

pub fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
