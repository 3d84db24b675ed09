//! What lies in a store: where, whether it equals the phone, and whether it has changed.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ibak_core::Udid;
use ibak_sim::Phone;
use ibak_sim::content::{FileKind, Tree};
use sha1::{Digest, Sha1};

/// Returns the UDID of a simulated phone.
///
/// # Panics
/// When the simulator made one that is none.
pub fn udid_of(phone: &Phone) -> Udid {
    match Udid::parse(&phone.identity().udid) {
        Ok(udid) => udid,
        Err(error) => panic!("{error}"),
    }
}

/// Returns where the newest backup of a phone lies, as any tool would open it.
pub fn newest(store: &Path, phone: &Phone) -> PathBuf {
    store
        .join(udid_of(phone).as_str())
        .join("latest")
        .join(&phone.identity().udid)
}

/// Fails unless a backup holds the phone's files, all of them and nothing else, with their content.
///
/// # Errors
/// The first difference.
pub fn ensure_equal(backup: &Path, content: &Tree) -> Result<()> {
    let mut wanted = 0_u64;
    for view in content
        .files()
        .filter(|view| view.kind == FileKind::Regular)
    {
        let hex = view.id.hex();
        let path = backup.join(hex.get(..2).unwrap_or_default()).join(&hex);
        let mut hash = Sha1::new();
        let mut file = File::open(&path)
            .with_context(|| format!("{}-{} is missing: {hex}", view.domain, view.path))?;
        std::io::copy(&mut file, &mut hash)?;
        ensure!(
            <[u8; 20]>::from(hash.finalize()) == content.sha1_of(&view)?,
            "{}-{} has other content: {hex}",
            view.domain,
            view.path
        );
        wanted += 1;
    }
    let mut found = 0_u64;
    for entry in fs::read_dir(backup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found += fs::read_dir(entry.path())?.count() as u64;
        }
    }
    ensure!(found == wanted, "{found} files instead of {wanted}");
    let database = rusqlite::Connection::open_with_flags(
        backup.join("Manifest.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?;
    let rows: i64 = database.query_row("SELECT count(*) FROM Files", [], |row| row.get(0))?;
    ensure!(
        rows == i64::try_from(content.len())?,
        "{rows} rows instead of {}",
        content.len()
    );
    Ok(())
}

/// Returns one hash over everything below a directory: names, kinds, modes, times and content.
///
/// # Errors
/// The tree cannot be read.
pub fn fingerprint(directory: &Path) -> Result<String> {
    let mut hash = Sha1::new();
    add_to(&mut hash, directory, directory)?;
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn add_to(hash: &mut Sha1, root: &Path, at: &Path) -> Result<()> {
    let mut names: Vec<PathBuf> = fs::read_dir(at)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    names.sort();
    for path in names {
        let meta = fs::symlink_metadata(&path)?;
        let name = path.strip_prefix(root)?.to_string_lossy();
        hash.update(format!(
            "{name}\0{:o}\0{}.{}\0",
            meta.mode(),
            meta.mtime(),
            meta.mtime_nsec()
        ));
        if meta.is_dir() {
            add_to(hash, root, &path)?;
        } else if meta.is_symlink() {
            hash.update(fs::read_link(&path)?.to_string_lossy().as_bytes());
        } else {
            std::io::copy(&mut File::open(&path)?, hash)?;
        }
    }
    Ok(())
}
