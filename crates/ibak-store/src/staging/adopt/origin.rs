//! What another program's backup says of itself: whose it is, of when, and whether it is whole.

use crate::bplist::{Document, LEN_MAX};
use crate::error::{Context, StoreError};
use crate::fs::util::read_small;
use crate::fs::{Errno, Fs, Open};
use crate::keybag::Keybag;
use crate::mbfile::KEY_LEN;
use crate::staging::commit::has_files;
use crate::structure;
use ibak_core::{Udid, Wall};
use std::time::Duration;

/// The first iPhones are of 2007; what is dated before has no date.
const FIRST_PHONES: Wall = Wall::from_secs(1_167_609_600);
/// How far the clocks of two computers may be apart.
const AHEAD_MAX: Duration = Duration::from_secs(48 * 3600);

/// The facts of another program's backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// When it was made.
    pub(super) date: Wall,
    /// The name the phone gave it in Status.plist.
    pub(super) name: Option<Name>,
    /// Which password opens it.
    pub(super) keybag_uuid: Option<String>,
}

/// What Status.plist tells backups apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    uuid: String,
    date: Wall,
}

/// Reads the name out of a Status.plist.
pub(super) fn name(status: &[u8]) -> Option<Name> {
    let status = Document::parse(status)?;
    Some(Name {
        uuid: status.text(&["UUID"])?,
        date: status.date(&["Date"])?,
    })
}

/// Reads what lies in a MobileSync directory and judges it.
pub(super) fn read<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    udid: &Udid,
    now: Wall,
) -> Result<Origin, StoreError> {
    let info = list(
        fs,
        tree,
        "Info.plist",
        "choose the folder of one backup, which has the phone's identifier as its name",
    )?;
    let manifest = list(
        fs,
        tree,
        "Manifest.plist",
        "make a new backup with the program that made this one",
    )?;
    is_of(
        &parsed("Info.plist", &info)?,
        &parsed("Manifest.plist", &manifest)?,
        udid,
    )?;
    is_of_a_known_format(fs, tree)?;
    let status = list(
        fs,
        tree,
        "Status.plist",
        "nobody can tell whether it is whole; make a new backup with the program that made this one",
    )?;
    let status_list = parsed("Status.plist", &status)?;
    is_finished(fs, tree, &status_list)?;
    let keybag_uuid = keybag_uuid(&parsed("Manifest.plist", &manifest)?)?;
    let date = status_list
        .date(&["Date"])
        .filter(|date| *date >= FIRST_PHONES)
        .or_else(|| parsed("Info.plist", &info).ok()?.date(&["Last Backup Date"]))
        .filter(|date| *date >= FIRST_PHONES)
        .ok_or_else(|| {
            refused("neither Status.plist nor Info.plist says of when it is; make a new backup with the program that made this one")
        })?;
    if date > now + AHEAD_MAX {
        return Err(refused(
            "it is dated in the future; set the clock of this computer right and begin again",
        ));
    }
    Ok(Origin {
        date,
        name: name(&status),
        keybag_uuid,
    })
}

fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Unadoptable(why.into())
}

fn list<F: Fs>(fs: &F, tree: &F::Handle, name: &str, advice: &str) -> Result<Vec<u8>, StoreError> {
    match read_small(fs, tree, name, LEN_MAX) {
        Err(Errno::NOENT) => Err(refused(format!("it has no {name}; {advice}"))),
        Err(Errno::FBIG) => Err(refused(format!(
            "its {name} is larger than any phone writes"
        ))),
        other => other.at("read", name),
    }
}

fn parsed<'a>(name: &str, bytes: &'a [u8]) -> Result<Document<'a>, StoreError> {
    Document::parse(bytes).ok_or_else(|| {
        refused(format!(
            "its {name} is damaged; make a new backup with the program that made this one"
        ))
    })
}

/// Every identifier it names has to be the phone's, and it has to name one.
fn is_of(info: &Document<'_>, manifest: &Document<'_>, udid: &Udid) -> Result<(), StoreError> {
    let named = [
        info.text(&["Target Identifier"]),
        info.text(&["Unique Identifier"]),
        manifest.text(&["Lockdown", "UniqueDeviceID"]),
    ];
    let mut named = named.into_iter().flatten().peekable();
    if named.peek().is_none() {
        return Err(refused(
            "it does not say which phone it is of; choose the folder that iTunes, Finder or idevicebackup2 made",
        ));
    }
    for other in named {
        if Udid::parse(&other).as_ref() != Ok(udid) {
            return Err(refused(format!(
                "it is a backup of another phone, not of {udid}; name the phone it is of"
            )));
        }
    }
    Ok(())
}

fn is_of_a_known_format<F: Fs>(fs: &F, tree: &F::Handle) -> Result<(), StoreError> {
    let is_there = |name: &str| match fs.stat(tree, name) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).at("look at", name),
    };
    if is_there("Manifest.db")? {
        Ok(())
    } else if is_there("Manifest.mbdb")? {
        Err(refused(
            "it is of an iOS before 10, whose format no phone goes on from; keep its folder as it is",
        ))
    } else {
        Err(refused(
            "it has no Manifest.db; make a new backup with the program that made this one",
        ))
    }
}

fn is_finished<F: Fs>(fs: &F, tree: &F::Handle, status: &Document<'_>) -> Result<(), StoreError> {
    let unfinished = |why: &str| {
        refused(format!(
            "{why}; let the program that made it back up once more, and then adopt it"
        ))
    };
    if status.text(&["SnapshotState"]).as_deref() != Some("finished") {
        return Err(unfinished("the backup in it was not finished"));
    }
    let waiting = match fs.open(tree, "Snapshot", Open::Directory) {
        Ok(dir) => has_files(fs, &dir).at("list", "Snapshot")?,
        Err(Errno::NOENT) => false,
        Err(errno) => return Err(errno).at("open", "Snapshot"),
    };
    if waiting {
        return Err(unfinished(
            "a backup into it was interrupted, and files wait in Snapshot",
        ));
    }
    Ok(())
}

/// An encrypted backup that no password can open is worth nothing to anybody.
fn keybag_uuid(manifest: &Document<'_>) -> Result<Option<String>, StoreError> {
    if !manifest.flag(&["IsEncrypted"]).unwrap_or(false) {
        return Ok(None);
    }
    let keybag = manifest.data(&["BackupKeyBag"]).unwrap_or_default();
    let has_key = manifest
        .data(&["ManifestKey"])
        .is_some_and(|key| key.len() == KEY_LEN);
    match structure::keybag_uuid(&keybag) {
        Some(uuid) if has_key && Keybag::parse(&keybag).is_ok() => Ok(Some(uuid)),
        Some(_) | None => Err(refused(
            "it is encrypted and its keybag is damaged, so that no password opens it; make a new backup",
        )),
    }
}
