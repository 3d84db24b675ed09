//! Kills a process at a chosen place: after so many bytes of the phone, or at one of the deeds that
//! make a working copy a backup, as the kernel tells them.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ibak_sim::Phone;
use ibak_sim::backup::Phase;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::process::{Pid, Signal};

/// How often a trap looks when nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Once the phone has sent so many bytes more.
    Bytes(u64),
    /// So long after the phone has come to this phase, or beyond it.
    Phase(Phase, Duration),
    /// So many deeds in the phone's directory after the index was begun, and a little later.
    Commit { deeds: u64, later: Duration },
    /// After so long.
    Time(Duration),
}

/// A trap that is set; it springs at most once.
pub struct Trap {
    thread: JoinHandle<bool>,
    off: Arc<AtomicBool>,
}

impl Trap {
    /// Sets it; what is to be counted counts from here on.
    pub fn set(pid: u32, spot: Spot, phone: &Arc<Phone>, place: &Path) -> Result<Self> {
        let off = Arc::new(AtomicBool::new(false));
        let target = Pid::from_raw(i32::try_from(pid)?).context("no process")?;
        let mut due: Box<dyn FnMut() -> bool + Send> = match spot {
            Spot::Bytes(bytes) => {
                let phone = Arc::clone(phone);
                let until = phone.bytes_sent() + bytes;
                Box::new(move || phone.bytes_sent() >= until)
            }
            Spot::Phase(phase, later) => {
                let phone = Arc::clone(phone);
                let begun = phone.activity().backups_begun;
                after(later, move || {
                    let activity = phone.activity();
                    let reached = activity.phase.is_some_and(|now| rank(now) >= rank(phase));
                    activity.backups_begun > begun && reached
                })
            }
            Spot::Commit { deeds, later } => {
                let mut deeds = Deeds::watch(place, deeds)?;
                after(later, move || deeds.are_done())
            }
            Spot::Time(time) => {
                let until = Instant::now() + time;
                Box::new(move || Instant::now() >= until)
            }
        };
        let seen = Arc::clone(&off);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                if due() {
                    return rustix::process::kill_process(target, Signal::KILL).is_ok();
                }
                std::thread::sleep(LOOK_EVERY);
            }
            false
        });
        Ok(Self { thread, off })
    }

    /// Takes it away; says whether it sprang.
    pub fn take(self) -> bool {
        self.off.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

/// Waits for something, then a little longer.
fn after(
    later: Duration,
    mut happened: impl FnMut() -> bool + Send + 'static,
) -> Box<dyn FnMut() -> bool + Send> {
    let mut over: Option<Instant> = None;
    Box::new(move || {
        if over.is_none() && happened() {
            over = Some(Instant::now() + later);
        }
        over.is_some_and(|at| Instant::now() >= at)
    })
}

/// The phases in the order in which a backup comes to them.
fn rank(phase: Phase) -> usize {
    match phase {
        Phase::Asked => 0,
        Phase::Scanning => 1,
        Phase::Uploading => 2,
        Phase::Moving => 3,
        Phase::Removing => 4,
        Phase::Verifying => 5,
        Phase::Sending | Phase::Ended => 6,
    }
}

/// Counts what happens to the names in a phone's directory.
struct Deeds {
    queue: OwnedFd,
    staging: PathBuf,
    begun: bool,
    left: u64,
}

const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);

impl Deeds {
    fn watch(place: &Path, deeds: u64) -> Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let this = Self {
            queue,
            staging: place.join("staging"),
            begun: false,
            left: deeds,
        };
        for name in ["", "gens", "staging", "trash"] {
            this.add(&place.join(name));
        }
        if let Ok(entries) = std::fs::read_dir(&this.staging) {
            entries
                .filter_map(Result::ok)
                .for_each(|entry| this.add(&entry.path()));
        }
        Ok(this)
    }

    /// Watches a directory; one that is not there is none to watch.
    fn add(&self, directory: &Path) {
        inotify::add_watch(&self.queue, directory, NAMES).ok();
    }

    fn are_done(&mut self) -> bool {
        let (mut fresh, mut counted) = (Vec::new(), 0);
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.queue, &mut buffer);
        // It ends with EAGAIN.
        while let Ok(event) = reader.next() {
            let name = event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if event
                .events()
                .contains(ReadFlags::CREATE | ReadFlags::ISDIR)
            {
                fresh.push(name.clone());
            }
            self.begun |= OsStr::new(&name) == "index.zst";
            counted += u64::from(self.begun);
        }
        for name in fresh {
            self.add(&self.staging.join(name));
        }
        self.left = self.left.saturating_sub(counted);
        self.begun && self.left == 0
    }
}
