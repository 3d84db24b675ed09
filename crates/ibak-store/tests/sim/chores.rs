//! More for the loops to break off: what is done to backups that are there.

use crate::device::*;
use crate::fault::{FaultFs, Under};
use crate::scenarios::two_backups;
use crate::scenarios::{Announced, Outcome, Scenario, What, backed_up, one, two};
use ibak_store::fs::{Fs, Open};
use ibak_store::{Adopted, Copied, Full, Remover, Store, StoreError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

impl<F: Under, W: Clone> Scenario<F, W> {
    /// A store is opened after a crash, and somebody begins a backup.
    pub const REOPENED: Self = Self {
        name: "reopened store",
        before: |_, _, _| {},
        run: |path, fs, _| {
            let (store, _) = Store::open_on(fs.clone(), path, options(4))?;
            begin(&store, Full::IfNeeded, at(4)).map(drop)
        },
    };

    /// A retention run: one backup is pinned, two go, and the trash is emptied.
    pub const RETENTION: Self = Self {
        name: "retention run",
        before: |path, fs, announced| {
            two_backups(path, fs, announced);
            let (store, _) = Store::open_on(fs.clone(), path, options(3)).unwrap();
            backed_up(&store, &one(), 3, announced).unwrap();
            backed_up(&store, &two(), 4, announced).unwrap();
        },
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
            let ids = ids(announced);
            announced.deed(What::Pinned, &[1], || store.pin(&udid(), &ids[1], true))?;
            for place in [0, 2] {
                let remove = || store.remove(&udid(), &ids[place], Remover::Plan);
                announced.deed(What::Removed, &[place], remove)?;
            }
            let mut files = 3;
            store.sweep(&mut |_| {
                files -= 1;
                if files == 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            store.used(&udid())?;
            store.sweep(&mut |_| ControlFlow::Continue(())).map(drop)
        },
    };

    /// A backup that shares files with two.
    pub const THIRD: Self = Self {
        name: "third backup",
        before: two_backups,
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
            backed_up(&store, &one(), 5, announced)
        },
    };

    /// Older backups make room for the one that is being received.
    pub const MADE_ROOM: Self = Self {
        name: "room made for a backup",
        before: |path, fs, announced| {
            two_backups(path, fs, announced);
            let (store, _) = Store::open_on(fs.clone(), path, options(3)).unwrap();
            backed_up(&store, &one(), 3, announced).unwrap();
        },
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
            let mut staging = begin(&store, Full::IfNeeded, at(5))?;
            upload(&mut staging, &two(), at(5))?;
            announced.attempt(What::Removed, &[0, 1]);
            let older = &ids(announced)[..2];
            staging.make_room(older)?;
            settle(&mut staging, &two(), at(5))?;
            let made = staging.commit(done(), at(5))?;
            announced.made(made, two().backup());
            Ok(())
        },
    };

    /// A phone goes, with a working copy.
    pub const FORGOTTEN: Self = Self {
        name: "forgotten phone",
        before: interrupted,
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
            announced.deed(What::Removed, &[0, 1], || store.forget(&udid()))?;
            store.sweep(&mut |_| ControlFlow::Continue(())).map(drop)
        },
    };

    /// Another program's backup comes, beside a working copy that waits.
    pub const ADOPTED: Self = Self {
        name: "adopted backup",
        before: interrupted,
        run: adopted,
    };

    /// The whole store goes into another directory.
    pub const COPIED: Self = Self {
        name: "copied store",
        before: interrupted,
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
            let copied = copy(&store, fs, path)?;
            // What could not be read stayed behind, and whoever asked was told.
            if copied.unreadable.is_empty() && copied.left.is_empty() {
                announced.copied();
            }
            Ok(())
        },
    };

    /// Everything is read again, and a file that two backups share is found damaged.
    pub const SCRUBBED: Self = Self {
        name: "scrub",
        before: |path, fs, announced| {
            two_backups(path, fs, announced);
            let home = fs.open_root(path, false).unwrap();
            let id = &announced.promises[0].made.id;
            spoil(
                fs,
                &home,
                &format!("{UDID}/gens/{id}/{UDID}/{}", place("b")),
            );
            for promise in &mut announced.promises {
                promise.files.insert(place("b"), b"?econd".to_vec());
            }
            announced.look_again();
        },
        run: |path, fs, announced| {
            let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
            let scrub = || {
                let go_on = &mut |_| ControlFlow::Continue(());
                store.scrub(&udid(), at(5).wall, go_on)
            };
            announced.deed(What::Marked, &[0, 1], scrub).map(drop)
        },
    };
}

fn ids<W>(announced: &Announced<W>) -> Vec<ibak_core::BackupId> {
    let promises = announced.promises.iter();
    promises.map(|promise| promise.made.id.clone()).collect()
}

/// Two backups, and a third that stopped in its upload.
pub fn interrupted<F: Under, W: Clone>(path: &Path, fs: &F, announced: &mut Announced<W>) {
    two_backups(path, fs, announced);
    let (store, _) = Store::open_on(fs.clone(), path, options(3)).unwrap();
    let mut staging = begin(&store, Full::IfNeeded, at(3)).unwrap();
    upload(&mut staging, &one(), at(3)).unwrap();
    staging.keep(at(3)).unwrap();
}

fn adopted<F: Under, W: Clone>(
    path: &Path,
    fs: &FaultFs<F>,
    announced: &mut Announced<W>,
) -> Outcome {
    let (store, _) = Store::open_on(fs.clone(), path, options(5))?;
    let mut adopting = store.adopt(&udid(), UDID, at(5))?;
    for (path, content) in theirs() {
        adopting.create(&tree(&path))?;
        adopting.write(&content)?;
        adopting.finish()?;
    }
    match adopting.commit(at(5))? {
        Adopted::New(made) => announced.made(made, theirs()),
        Adopted::AlreadyThere(id) => panic!("there was no such backup: {id}"),
    }
    Ok(())
}

/// What another program made of the phone, between the first and the second of ours.
pub fn theirs() -> Files {
    let mut files = one().backup();
    let info = format!(
        "<plist version=\"1.0\"><dict><key>Target Identifier</key><string>{UDID}</string>\
         <key>Last Backup Date</key><date>2026-09-21T14:13:21Z</date></dict></plist>"
    );
    files.insert("Info.plist".to_owned(), info.into_bytes());
    files.insert(place("c"), b"third and other".to_vec());
    files
}

/// Where a store is copied to.
pub fn beside(path: &Path) -> PathBuf {
    path.with_file_name("beside")
}

pub fn copy<F: Fs>(store: &Store<F>, fs: &F, path: &Path) -> Result<Copied, StoreError> {
    let (other, _) = Store::open_on(fs.clone(), &beside(path), options(5))?;
    store.copy_to(&other, &mut |_| ControlFlow::Continue(()))
}

/// Writes other bytes of the same length into a committed file, as a bad disk does.
fn spoil<F: Fs>(fs: &F, tree: &F::Handle, path: &str) {
    let file = fs.open(tree, path, Open::Read).unwrap();
    fs.set_mode(&file, 0o600).unwrap();
    let writing = fs.open(tree, path, Open::Lock).unwrap();
    assert_eq!(fs.write(&writing, b"?"), Ok(1));
    fs.set_mode(&file, 0o400).unwrap();
}
