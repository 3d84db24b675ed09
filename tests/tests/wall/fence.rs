//! What happens around a phone's folder, as the kernel tells it.

use ibak_tests::night::{Print, fingerprint};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Everything that a reader or a writer does, closing aside.
const ALL: WatchFlags = WatchFlags::ACCESS
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::OPEN);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Relative to the fence; a directory's own events have its own path.
    pub path: PathBuf,
    pub what: String,
    pub directory: bool,
}

impl Event {
    /// Says whether it is no more than a directory being opened or listed.
    pub fn only_looks_at_a_directory(&self) -> bool {
        self.directory && matches!(self.what.as_str(), "OPEN" | "ACCESS")
    }
}

/// A directory in which only one place is somebody's to touch.
pub struct Fence {
    root: PathBuf,
    inside: PathBuf,
    before: BTreeMap<String, Print>,
    queue: OwnedFd,
    places: BTreeMap<i32, PathBuf>,
}

impl Fence {
    /// Looks at everything below `root` except below `inside`, from here on.
    pub fn around(root: &Path, inside: &Path) -> Self {
        let before = prints(root, inside);
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let mut fence = Self {
            root: root.to_owned(),
            inside: inside.to_owned(),
            before,
            queue,
            places: BTreeMap::new(),
        };
        fence.watch(root);
        // What the looking itself did.
        fence.take();
        fence
    }

    fn watch(&mut self, at: &Path) {
        let place = inotify::add_watch(&self.queue, at, ALL).unwrap();
        self.places
            .insert(place, at.strip_prefix(&self.root).unwrap().to_owned());
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() && path != self.inside {
                self.watch(&path);
            }
        }
    }

    /// Returns what happened since it was asked last.
    pub fn take(&mut self) -> Vec<Event> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 16 << 10];
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.queue, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(error) => panic!("{error}"),
            };
            let flags = event.events();
            assert!(
                !flags.contains(ReadFlags::QUEUE_OVERFLOW),
                "the kernel lost events"
            );
            let Some(place) = self.places.get(&event.wd()) else {
                continue;
            };
            let path = match event.file_name() {
                Some(name) => place.join(name.to_str().unwrap()),
                None => place.clone(),
            };
            let what: Vec<String> = (flags - ReadFlags::ISDIR)
                .iter_names()
                .map(|(name, _)| name.to_owned())
                .collect();
            events.push(Event {
                directory: flags.contains(ReadFlags::ISDIR),
                what: what.join(" "),
                path,
            });
        }
        // Its own folder is its own business, also as its parent sees it.
        let inside = self.inside.strip_prefix(&self.root).unwrap().to_owned();
        events.retain(|event| event.path != inside);
        events
    }

    /// Fails unless everything outside is as it was: names, kinds, modes, times, content.
    pub fn assert_untouched(&self) {
        let after = prints(&self.root, &self.inside);
        let changed: Vec<&String> = self
            .before
            .keys()
            .chain(after.keys())
            .filter(|path| self.before.get(*path) != after.get(*path))
            .collect();
        assert!(changed.is_empty(), "{changed:?}");
    }
}

fn prints(root: &Path, inside: &Path) -> BTreeMap<String, Print> {
    let own = inside
        .strip_prefix(root)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let below = format!("{own}/");
    let mut all = fingerprint(root);
    all.retain(|path, _| *path != own && !path.starts_with(&below));
    // The store notes beside each phone's backups what they take.
    let sum = |path: &str| path.ends_with("/usage.json") || path.ends_with("/usage.json.tmp");
    all.retain(|path, _| !sum(path));
    for (path, print) in &mut all {
        let name = path.rsplit('/').next().unwrap_or_default();
        if ibak_core::Udid::parse(name).is_ok() {
            print.modified = 0;
        }
    }
    all
}

#[test]
fn the_fence_sees_a_look_and_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("yard/own");
    fs::create_dir_all(&own).unwrap();
    let canary = dir.path().join("yard/canary");
    fs::write(&canary, "x").unwrap();
    let mut fence = Fence::around(dir.path(), &own);
    fs::write(own.join("fine"), "x").unwrap();
    assert_eq!(fence.take(), []);
    fence.assert_untouched();
    fs::read(&canary).unwrap();
    let seen = fence.take();
    let named = |what: &str| {
        seen.iter()
            .any(|event| event.path == Path::new("yard/canary") && event.what == what)
    };
    assert!(named("OPEN") && named("ACCESS"), "{seen:?}");
    fs::write(dir.path().join("yard/new"), "x").unwrap();
    assert!(fence.take().iter().any(|event| event.what == "CREATE"));
    let changed = std::panic::catch_unwind(|| fence.assert_untouched());
    assert!(changed.is_err());
}
