//! What an adopted backup has in common with those that are there.

use super::Adopting;
use super::origin::{self, Origin};
use crate::bplist::LEN_MAX;
use crate::error::{Context, StoreError, is_unreadable};
use crate::fs::util::{absent_ok, hash_rest, read_small, sorted};
use crate::fs::{Errno, Fs, Kind, Open, Replace};
use crate::index::IndexReader;
use crate::record::Generation;
use crate::staging::Staging;
use crate::staging::ledger::Received;
use ibak_core::{BackupId, BackupPath};

/// The name of a link on its way to its place.
const LINK: &str = "shared";

impl<F: Fs> Adopting<F> {
    /// Says whether a backup of ours is this one: the phone named it the same and the same
    /// password opens it, or every file is equal.
    pub(super) fn is_the_same(
        &self,
        found: &Generation,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let fs = &self.staging.inner.fs;
        let phone = self.staging.phone()?;
        let (dir, record) = phone.generation(&found.id)?;
        if origin.name.is_some() {
            let tree = fs
                .open(&dir, &record.wire_udid, Open::Directory)
                .at("open", &found.id)?;
            let status = match read_small(fs, &tree, "Status.plist", LEN_MAX) {
                Ok(status) => status,
                Err(Errno::NOENT) => Vec::new(),
                Err(errno) => return Err(errno).at("read", "Status.plist"),
            };
            if origin::name(&status) == origin.name && found.keybag_uuid == origin.keybag_uuid {
                return Ok(true);
            }
        }
        let ledger = &self.staging.ledger;
        if u64::try_from(ledger.iter().count()).unwrap_or(u64::MAX) != record.files {
            return Ok(false);
        }
        let mut index = IndexReader::open(fs, &dir)?;
        loop {
            let entry = match index.take() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(true),
                Err(StoreError::Damaged { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            let here = ledger.get(&BackupPath::Tree(entry.path));
            if here.map(|here| (here.size, here.hash)) != Some((entry.size, entry.hash)) {
                return Ok(false);
            }
        }
    }
}

impl<F: Fs> Staging<F> {
    /// Replaces what a committed backup has too, under the same path, by a second name of it;
    /// returns how many files those are.
    pub(super) fn share_with(&mut self, id: &BackupId) -> Result<u64, StoreError> {
        let fs = self.inner.fs.clone();
        let phone = self.phone()?;
        let (dir, record) = phone.generation(id)?;
        let tree = fs
            .open(&dir, &record.wire_udid, Open::Directory)
            .at("open", id)?;
        let mut sharing = Sharing {
            fs: &fs,
            staging: self,
            index: IndexReader::open(&fs, &dir)?,
            shared: 0,
        };
        sharing.dir(&self.tree, &tree, "")?;
        Ok(sharing.shared)
    }
}

struct Sharing<'a, F: Fs> {
    fs: &'a F,
    staging: &'a Staging<F>,
    index: IndexReader,
    shared: u64,
}

impl<F: Fs> Sharing<'_, F> {
    fn dir(&mut self, dir: &F::Handle, twin: &F::Handle, at: &str) -> Result<(), StoreError> {
        for entry in sorted(self.fs, dir).at("list", at)? {
            let path = crate::paths::join(at, &entry.name);
            match entry.kind {
                Kind::Regular => self.file(dir, twin, &entry.name, &path)?,
                Kind::Directory => {
                    let inner = self
                        .fs
                        .open(dir, &entry.name, Open::Directory)
                        .at("open", &path)?;
                    match self.fs.open(twin, &entry.name, Open::Directory) {
                        Ok(twin) => self.dir(&inner, &twin, &path)?,
                        Err(Errno::NOENT | Errno::NOTDIR) => {}
                        Err(errno) => return Err(errno).at("open", &path),
                    }
                }
                Kind::Symlink | Kind::Other => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        dir: &F::Handle,
        twin: &F::Handle,
        name: &str,
        path: &str,
    ) -> Result<(), StoreError> {
        let Some(entry) = self.index.seek(path)? else {
            return Ok(());
        };
        let there = Received {
            size: entry.size,
            hash: entry.hash,
        };
        if self.staging.ledger.get(&BackupPath::Tree(entry.path)) != Some(there) {
            return Ok(());
        }
        // The index says what was received long ago; what lies there may have suffered since,
        // and what came just now is good.
        let found = self
            .fs
            .open(twin, name, Open::Read)
            .and_then(|file| hash_rest(self.fs, &file));
        match found {
            Ok((size, hash)) if (Received { size, hash }) == there => {}
            Ok(_) | Err(Errno::NOENT | Errno::ISDIR | Errno::LOOP) => return Ok(()),
            Err(errno) if is_unreadable(errno) => return Ok(()),
            Err(errno) => return Err(errno).at("read", path),
        }
        let scratch = &self.staging.scratch;
        absent_ok(self.fs.unlink(scratch, LINK)).at("remove", LINK)?;
        match self.fs.link(twin, name, scratch, LINK) {
            Ok(()) => {}
            Err(Errno::MLINK) => return Ok(()),
            Err(errno) => return Err(errno).at("link", path),
        }
        self.fs
            .rename(scratch, LINK, dir, name, Replace::Yes)
            .at("replace", path)?;
        self.shared += 1;
        Ok(())
    }
}
