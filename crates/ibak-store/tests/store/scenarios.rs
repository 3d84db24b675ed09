//! What the loops break off at every operation: each time a store in some state, and something
//! that is done to it. The same ones run on the kernel's file system and on the simulated one.

#![allow(dead_code, reason = "each program takes its own part")]

use crate::device::*;
use crate::fault::{FaultFs, Under};
use crate::sealed::{Sealed, items, secret};
use ibak_core::BackupPath;
use ibak_store::fs::{Errno, Fs, Open};
use ibak_store::{Full, Generation, Store, StoreError};
use std::io::Read;
use std::path::Path;

/// A backup somebody was told of.
#[derive(Clone)]
pub struct Promise<W> {
    pub made: Generation,
    pub files: Files,
    /// What the world was like when it was announced.
    pub when: W,
    /// What was done to it since.
    pub deeds: Vec<Deed<W>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Removed,
    Pinned,
    /// A file of it was found damaged.
    Marked,
}

#[derive(Clone)]
pub struct Deed<W> {
    pub what: What,
    pub begun: W,
    /// When somebody was told that it is done.
    pub done: Option<W>,
}

/// The backups somebody was told of; `W` is what is noted of the world at each event.
pub struct Announced<W> {
    pub promises: Vec<Promise<W>>,
    /// When somebody was told that the whole store is copied.
    pub copied: Option<W>,
    look: Box<dyn Fn() -> W>,
}

impl<W: Clone> Announced<W> {
    pub fn new(look: impl Fn() -> W + 'static) -> Self {
        Self {
            promises: Vec::new(),
            copied: None,
            look: Box::new(look),
        }
    }

    pub fn after(earlier: &Self, look: impl Fn() -> W + 'static) -> Self {
        Self {
            promises: earlier.promises.clone(),
            copied: earlier.copied.clone(),
            look: Box::new(look),
        }
    }

    pub fn made(&mut self, made: Generation, files: Files) {
        self.promises.push(Promise {
            made,
            files,
            when: (self.look)(),
            deeds: Vec::new(),
        });
    }

    /// Notes that something may happen to some of the backups from here on.
    pub fn attempt(&mut self, what: What, to: &[usize]) {
        for place in to {
            self.promises[*place].deeds.push(Deed {
                what,
                begun: (self.look)(),
                done: None,
            });
        }
    }

    /// Does something to some of the backups, and notes it; nothing is done when it fails.
    pub fn deed<T>(
        &mut self,
        what: What,
        to: &[usize],
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.attempt(what, to);
        let outcome = act()?;
        for place in to {
            let done = Some((self.look)());
            if let Some(deed) = self.promises[*place].deeds.last_mut() {
                deed.done = done;
            }
        }
        Ok(outcome)
    }

    /// Takes the backups for what they are after something happened to them behind their back.
    pub fn look_again(&mut self) {
        for promise in &mut self.promises {
            promise.when = (self.look)();
        }
    }

    pub fn copied(&mut self) {
        self.copied = Some((self.look)());
    }
}

pub type Outcome = Result<(), StoreError>;

pub struct Scenario<F: Under, W> {
    pub name: &'static str,
    /// Makes the state it begins in; nothing fails there.
    pub before: fn(&Path, &F, &mut Announced<W>),
    /// What fails, or is broken off.
    pub run: fn(&Path, &FaultFs<F>, &mut Announced<W>) -> Outcome,
}

impl<F: Under, W> Clone for Scenario<F, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Under, W> Copy for Scenario<F, W> {}

impl<F: Under, W: Clone> Scenario<F, W> {
    pub const FULL: Self = Self {
        name: "full backup",
        before: |_, _, _| {},
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(1))?;
            backed_up(&store, &one(), 1, announced)
        },
    };

    pub const INCREMENTAL: Self = Self {
        name: "incremental backup",
        before: one_backup,
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
            backed_up(&store, &two(), 2, announced)
        },
    };

    /// An interrupted session, recovered and gone on with.
    pub const RESUMED: Self = Self {
        name: "resumed backup",
        before: |path, fs, announced| {
            one_backup(path, fs, announced);
            let (store, _) = Store::open_on(fs.clone(), path, options(2)).unwrap();
            let mut staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
            upload(&mut staging, &two(), at(2)).unwrap();
            staging.keep(at(2)).unwrap();
        },
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(3))?;
            backed_up(&store, &two(), 3, announced)
        },
    };

    /// Recovery of a store with something of everything in it.
    pub const RECOVERY: Self = Self {
        name: "recovery",
        before: |path, fs, announced| {
            two_backups(path, fs, announced);
            let (store, _) = Store::open_on(fs.clone(), path, options(3)).unwrap();
            let mut staging = begin(&store, Full::IfNeeded, at(3)).unwrap();
            upload(&mut staging, &one(), at(3)).unwrap();
            staging.keep(at(3)).unwrap();
            drop(store);
            litter(path, fs).unwrap();
        },
        run: |path, fs, _| Store::open_on(fs.clone(), path, options(4)).map(drop),
    };

    /// The phone changes its password in a working copy, and the next backup goes on in it.
    pub const REKEYED: Self = Self {
        name: "rekeyed working copy",
        before: one_backup,
        run: rekeyed,
    };

    /// A phone is given a backup back, and writes all over it.
    pub const SERVED: Self = Self {
        name: "served backup",
        before: one_backup,
        run: served,
    };

    /// An encrypted backup is read by its names: the right content or an error.
    pub const OPENED: Self = Self {
        name: "encrypted backup that is read",
        before: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(1)).unwrap();
            let made = Sealed::new().commit(&store, at(1));
            let files = content(&store, &made);
            announced.made(made, files);
        },
        run: opened,
    };
}

pub fn one() -> Device {
    Device::new(&[("a", "first"), ("b", "second"), ("c", "third")])
}

/// With a file of more than one block.
pub fn two() -> Device {
    let mut device = Device::new(&[("a", "changed"), ("b", "second")]);
    device.put("d", &"new".repeat(3000));
    device
}

pub fn backed_up<F: Fs, W: Clone>(
    store: &Store<F>,
    device: &Device,
    secs: u64,
    announced: &mut Announced<W>,
) -> Outcome {
    let made = back_up(store, device, at(secs))?;
    announced.made(made, device.backup());
    Ok(())
}

pub fn one_backup<F: Fs, W: Clone>(path: &Path, fs: &F, announced: &mut Announced<W>) {
    let (store, _) = Store::open_on(fs.clone(), path, options(1)).unwrap();
    backed_up(&store, &one(), 1, announced).unwrap();
}

pub fn two_backups<F: Fs, W: Clone>(path: &Path, fs: &F, announced: &mut Announced<W>) {
    one_backup(path, fs, announced);
    let (store, _) = Store::open_on(fs.clone(), path, options(2)).unwrap();
    backed_up(&store, &two(), 2, announced).unwrap();
}

/// Leaves what is no backup where backups are, and takes away what belongs there.
fn litter<F: Fs>(path: &Path, fs: &F) -> Result<(), Errno> {
    const NAME: &str = "01JD8Z3YQ9V6W2X4T5R7P8N0KM";
    let root = fs.open_root(path, false).unwrap();
    let phone = fs.open(&root, UDID, Open::Directory)?;
    for (sub, inner) in [("gens", UDID), ("trash", "deep"), ("staging", UDID)] {
        let sub = fs.open(&phone, sub, Open::Directory)?;
        fs.make_dir(&sub, NAME)?;
        fs.make_dir(&fs.open(&sub, NAME, Open::Directory)?, inner)?;
    }
    fs.unlink(&phone, "latest")
}

fn rekeyed<F: Under, W: Clone>(
    path: &Path,
    fs: &FaultFs<F>,
    announced: &mut Announced<W>,
) -> Outcome {
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    let mut staging = begin(&store, Full::IfNeeded, at(2))?;
    let id = staging.id().clone();
    let new = [two().manifest_plist(), vec![0; 9]].concat();
    send(&mut staging, "Manifest.plist", &new, at(2))?;
    if !staging.keep_rekeyed(at(2))? {
        return Err(StoreError::Poisoned);
    }
    drop(store);
    let (store, recovery) = Store::open_on(fs.clone(), path, options(3))?;
    // What the disk would not give is left where it is.
    assert!(recovery.rekeyed.is_empty() || recovery.rekeyed == [(udid(), id.clone())]);
    assert_eq!(recovery.removed, []);
    let staging = begin(&store, Full::IfNeeded, at(3))?;
    // What cannot be read any more is begun anew, and never gone on with in part.
    if staging.resumed() {
        assert_eq!(staging.id(), &id);
        let mut found = Vec::new();
        let mut list = staging.open(&tree("Manifest.plist"))?;
        list.read_to_end(&mut found).map_err(os)?;
        assert_eq!(found, new);
    }
    drop(staging);
    backed_up(&store, &two(), 3, announced)
}

fn served<F: Under, W: Clone>(
    path: &Path,
    fs: &FaultFs<F>,
    announced: &mut Announced<W>,
) -> Outcome {
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    let mut serving = store.serve(&udid(), &announced.promises[0].made.id)?;
    for (path, content) in &one().backup() {
        let mut found = Vec::new();
        serving
            .open(&tree(path))?
            .read_to_end(&mut found)
            .map_err(os)?;
        assert_eq!(&found, content);
    }
    serving.create(&tree(&place("a")))?;
    serving.write(b"written over")?;
    serving.finish()?;
    serving.rename(&tree(&place("b")), &tree("moved/b"))?;
    serving.copy(&tree(&place("c")), &tree("copied"))?;
    serving.remove(&tree("Manifest.db"))?;
    serving.create(&BackupPath::Scratch(".b/1".into()))?;
    serving.write(b"beside")?;
    serving.abandon(Some("no"))?;
    assert!(serving.list(&tree(""))?.len() > 3);
    serving.close()
}

fn opened<F: Under, W: Clone>(
    path: &Path,
    fs: &FaultFs<F>,
    announced: &mut Announced<W>,
) -> Outcome {
    let (store, _) = Store::open_on(fs.clone(), path, options(2))?;
    let reader = store.reader(&udid(), &announced.promises[0].made.id)?;
    let keys = reader.check_password(&secret(), &())?;
    let catalogue = reader.catalogue(Some(&keys))?;
    for item in items().iter().filter(|item| item.flags == 1) {
        let entry = catalogue.find(item.domain, item.path)?.unwrap();
        let mut found = Vec::new();
        catalogue
            .open(&entry)?
            .read_to_end(&mut found)
            .map_err(os)?;
        assert_eq!(found, item.content);
    }
    for raw in reader.raw_files()? {
        let raw = raw?;
        assert_eq!(reader.open(&raw.path)?.size(), raw.size);
    }
    Ok(())
}

fn os(error: std::io::Error) -> StoreError {
    StoreError::System {
        action: "read",
        path: "a file".to_owned(),
        errno: Errno::from_io_error(&error).unwrap(),
    }
}

/// The phone hears the right code: the errno itself, or that the session is lost by it.
pub fn assert_kind(error: &StoreError, errno: Errno, what: &str) {
    let known = match error {
        StoreError::System { errno: said, .. } => *said == errno,
        StoreError::Poisoned => true,
        // A record of ours that was not to be read.
        StoreError::Damaged { .. } => errno == Errno::IO,
        _ => false,
    };
    assert!(known, "{what}: {error}");
}
