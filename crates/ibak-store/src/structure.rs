//! Whether what lies in a MobileSync directory is a whole backup.
//!
//! Everything read here came from a phone or a disk and may be hostile: property lists are
//! looked up in place, the database is opened read-only, immutable and with SQLite's defences up.

use crate::bplist::{Document, LEN_MAX};
use crate::database::{self, ROWS_MAX};
use crate::error::{Context, StoreError};
use crate::fs::util::read_small;
use crate::fs::{Errno, Fs, Kind, Open};
use crate::index::{hex, unhex};
use crate::keybag::Keybag;
use crate::mbfile::{KEY_LEN, MbFile};
use rusqlite::Connection;
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;

/// Names of files given in one warning at most.
const NAMED_MAX: usize = 3;

/// What the check learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure {
    pub(crate) device_name: Option<String>,
    pub(crate) product_type: Option<String>,
    pub(crate) os_version: Option<String>,
    pub(crate) build: Option<String>,
    pub(crate) encrypted: bool,
    pub(crate) keybag_uuid: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) missing: Vec<String>,
}

/// Checks a tree that nobody writes to; ids in `excused` may be missing.
pub(crate) fn check<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    excused: &BTreeSet<String>,
) -> Result<Structure, StoreError> {
    let mut structure = Structure::default();
    read_manifest(fs, tree, &mut structure)?;
    let bytes = required(fs, tree, "Info.plist")?;
    let info = parsed("Info.plist", &bytes)?;
    structure.device_name = structure
        .device_name
        .or_else(|| info.text(&["Device Name"]));
    structure.product_type = structure
        .product_type
        .or_else(|| info.text(&["Product Type"]));
    structure.os_version = structure
        .os_version
        .or_else(|| info.text(&["Product Version"]));
    structure.build = structure.build.or_else(|| info.text(&["Build Version"]));
    let manifest = match fs.stat(tree, "Manifest.db") {
        Ok(stat) => stat,
        Err(Errno::NOENT) => {
            old_format(fs, tree)?;
            structure
                .warnings
                .push("made by an iOS before 10: its list of files is not checked".to_owned());
            return Ok(structure);
        }
        Err(errno) => return Err(errno).at("look at", "Manifest.db"),
    };
    if structure.encrypted {
        if manifest.size == 0 || manifest.size % 16 != 0 {
            return incomplete("the encrypted Manifest.db has an impossible size");
        }
        check_encrypted(fs, tree, &mut structure)?;
        note_what_never_came(fs, tree, excused, &mut structure)?;
    } else {
        let file = fs
            .open(tree, "Manifest.db", Open::Read)
            .at("open", "Manifest.db")?;
        check_database(fs, tree, &file, excused, &mut structure)?;
    }
    Ok(structure)
}

fn incomplete<T>(why: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Incomplete(why.into()))
}

fn required<F: Fs>(fs: &F, tree: &F::Handle, name: &str) -> Result<Vec<u8>, StoreError> {
    match read_small(fs, tree, name, LEN_MAX) {
        Err(Errno::NOENT) => incomplete(format!("{name} is missing")),
        Err(Errno::FBIG) => incomplete(format!("{name} is larger than any phone writes")),
        other => other.at("read", name),
    }
}

fn parsed<'a>(name: &str, bytes: &'a [u8]) -> Result<Document<'a>, StoreError> {
    Document::parse(bytes)
        .ok_or_else(|| StoreError::Incomplete(format!("{name} is not a property list")))
}

fn read_manifest<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    structure: &mut Structure,
) -> Result<(), StoreError> {
    let bytes = required(fs, tree, "Status.plist")?;
    if parsed("Status.plist", &bytes)?
        .text(&["SnapshotState"])
        .as_deref()
        != Some("finished")
    {
        return incomplete("Status.plist does not say finished");
    }
    let bytes = required(fs, tree, "Manifest.plist")?;
    let manifest = parsed("Manifest.plist", &bytes)?;
    structure.device_name = manifest.text(&["Lockdown", "DeviceName"]);
    structure.product_type = manifest.text(&["Lockdown", "ProductType"]);
    structure.os_version = manifest.text(&["Lockdown", "ProductVersion"]);
    structure.build = manifest.text(&["Lockdown", "BuildVersion"]);
    structure.encrypted = manifest.flag(&["IsEncrypted"]).unwrap_or(false);
    if structure.encrypted {
        let Some(keybag) = manifest.data(&["BackupKeyBag"]) else {
            return incomplete("it is encrypted and has no keybag");
        };
        let Some(uuid) = keybag_uuid(&keybag) else {
            return incomplete("its keybag cannot be read");
        };
        structure.keybag_uuid = Some(uuid);
        // Kept all the same: what this ibak cannot open, a later one may.
        if let Err(error) = Keybag::parse(&keybag) {
            structure.warnings.push(format!(
                "its files cannot be listed or extracted here: {error}"
            ));
        }
        if manifest
            .data(&["ManifestKey"])
            .is_none_or(|key| key.len() != KEY_LEN)
        {
            structure.warnings.push(
                "its files cannot be listed or extracted here: it has no key for its list of files"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Returns the keybag's own UUID: the first of its tags of that name (phone.md §6).
pub(crate) fn keybag_uuid(mut bytes: &[u8]) -> Option<String> {
    loop {
        let tag = bytes.get(..4)?;
        let length = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
        let end = usize::try_from(length).ok()?.checked_add(8)?;
        let value = bytes.get(8..end)?;
        if tag == b"UUID" {
            return (value.len() == 16).then(|| hex(value));
        }
        bytes = bytes.get(end..)?;
    }
}

fn old_format<F: Fs>(fs: &F, tree: &F::Handle) -> Result<(), StoreError> {
    let file = match fs.open(tree, "Manifest.mbdb", Open::Read) {
        Ok(file) => file,
        Err(Errno::NOENT) => return incomplete("Manifest.db is missing"),
        Err(errno) => return Err(errno).at("open", "Manifest.mbdb"),
    };
    let mut head = [0; 4];
    let some = fs.read(&file, &mut head).at("read", "Manifest.mbdb")?;
    if some == 4 && head == *b"mbdb" {
        Ok(())
    } else {
        incomplete("Manifest.mbdb is not one")
    }
}

/// Without the password only the shape can be seen: files of whole cipher blocks.
fn check_encrypted<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    structure: &mut Structure,
) -> Result<(), StoreError> {
    let mut odd = Named::default();
    for entry in fs.read_dir(tree).at("list", "the backup")? {
        if entry.kind != Kind::Directory {
            continue;
        }
        let dir = fs
            .open(tree, &entry.name, Open::Directory)
            .at("open", &entry.name)?;
        for file in fs.read_dir(&dir).at("list", &entry.name)? {
            if fs.stat(&dir, &file.name).at("look at", &file.name)?.size % 16 != 0 {
                odd.add(&file.name);
            }
        }
    }
    odd.warn("a size that no encrypted file has", structure);
    Ok(())
}

/// Notes which of the files that ended in an error of the phone are not there: later on, a file
/// that is missing and not noted is lost.
fn note_what_never_came<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    excused: &BTreeSet<String>,
    structure: &mut Structure,
) -> Result<(), StoreError> {
    for id in excused {
        // Property lists and databases have no place by an id.
        let Some(prefix) = id.get(..2).filter(|_| unhex::<20>(id).is_some()) else {
            continue;
        };
        let found = fs
            .open(tree, prefix, Open::Directory)
            .and_then(|dir| fs.stat(&dir, id));
        match found {
            Ok(_) => {}
            Err(Errno::NOENT) => structure.missing.push(id.clone()),
            Err(errno) => return Err(errno).at("look at", id),
        }
    }
    Ok(())
}

fn check_database<F: Fs>(
    fs: &F,
    tree: &F::Handle,
    file: &F::Handle,
    excused: &BTreeSet<String>,
    structure: &mut Structure,
) -> Result<(), StoreError> {
    let path = fs.path_of(file).at("open", "Manifest.db")?;
    let mut rows = Rows {
        fs,
        tree,
        excused,
        prefix: None,
        lost: Named::default(),
        stale: Named::default(),
        structure,
    };
    match database::open(&path).and_then(|database| rows.all(&database)) {
        Ok(outcome) => outcome?,
        Err(error) => {
            return Err(match database::trouble(&error) {
                Some(trouble) => trouble,
                None => StoreError::Incomplete(format!("Manifest.db is damaged: {error}")),
            });
        }
    }
    let Rows {
        lost,
        stale,
        structure,
        ..
    } = rows;
    lost.warn("no content, for the phone could not send it", structure);
    stale.warn(
        "another size than the phone noted, as live databases have",
        structure,
    );
    Ok(())
}

/// A few names out of many.
#[derive(Default)]
struct Named {
    count: u64,
    names: Vec<String>,
}

impl Named {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAMED_MAX {
            self.names.push(
                name.chars()
                    .flat_map(char::escape_debug)
                    .take(200)
                    .collect(),
            );
        }
    }

    fn warn(&self, what: &str, structure: &mut Structure) {
        if self.count > 0 {
            let (noun, verb) = if self.count == 1 {
                ("file", "has")
            } else {
                ("files", "have")
            };
            let names = self.names.join(", ");
            structure
                .warnings
                .push(format!("{} {noun} {verb} {what} ({names})", self.count));
        }
    }
}

struct Rows<'a, F: Fs> {
    fs: &'a F,
    tree: &'a F::Handle,
    excused: &'a BTreeSet<String>,
    /// The directory of the last row, for rows come in the order of their ids.
    prefix: Option<(String, Option<F::Handle>)>,
    lost: Named,
    stale: Named,
    structure: &'a mut Structure,
}

impl<F: Fs> Rows<'_, F> {
    fn all(&mut self, database: &Connection) -> rusqlite::Result<Result<(), StoreError>> {
        let verdict: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Ok(incomplete("Manifest.db is damaged"));
        }
        if !database::is_plain(database)? {
            return Ok(incomplete("Manifest.db has no plain list of files"));
        }
        let mut query = database.prepare(
            "SELECT fileID, domain, relativePath, flags, file FROM Files ORDER BY fileID",
        )?;
        let mut rows = query.query([])?;
        let mut count = 0u64;
        while let Some(row) = rows.next()? {
            count += 1;
            if count > ROWS_MAX {
                return Ok(incomplete(
                    "Manifest.db lists more files than any phone has",
                ));
            }
            let id: String = row.get(0)?;
            let domain: String = row.get(1)?;
            let path: Option<String> = row.get(2)?;
            let flags: i64 = row.get(3)?;
            let blob = row.get_ref(4)?.as_blob_or_null()?;
            if let Err(error) = self.one(
                &id,
                &domain,
                path.as_deref().unwrap_or_default(),
                flags,
                blob,
            ) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn one(
        &mut self,
        id: &str,
        domain: &str,
        path: &str,
        flags: i64,
        blob: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let mut hasher = Sha1::new();
        hasher.update(domain);
        hasher.update(b"-");
        hasher.update(path);
        if hex(&hasher.finalize()) != id {
            return incomplete("Manifest.db has a row whose id is not that of its name");
        }
        // 1 file, 2 directory, 4 symbolic link: only files have content.
        if flags != 1 {
            return Ok(());
        }
        match self.size_of(id)? {
            Some(size) => {
                if blob
                    .and_then(|blob| MbFile::parse(blob)?.size)
                    .is_some_and(|noted| noted != size)
                {
                    self.stale.add(&format!("{domain} {path}"));
                }
                Ok(())
            }
            None if self.excused.contains(id) => {
                self.lost.add(&format!("{domain} {path}"));
                self.structure.missing.push(id.to_owned());
                Ok(())
            }
            None => incomplete(format!("the content of {id} was not received")),
        }
    }

    fn size_of(&mut self, id: &str) -> Result<Option<u64>, StoreError> {
        let name = id.get(..2).unwrap_or_default();
        if self
            .prefix
            .as_ref()
            .is_none_or(|(prefix, _)| prefix != name)
        {
            let dir = match self.fs.open(self.tree, name, Open::Directory) {
                Ok(dir) => Some(dir),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(errno).at("open", name),
            };
            self.prefix = Some((name.to_owned(), dir));
        }
        let Some((_, Some(dir))) = &self.prefix else {
            return Ok(None);
        };
        match self.fs.stat(dir, id) {
            Ok(stat) if stat.kind == Kind::Regular => Ok(Some(stat.size)),
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).at("look at", id),
        }
    }
}
