//! One file on its way: read once, hashed while it is read.

use super::Copying;
use crate::error::{Context, StoreError, is_unreadable};
use crate::fs::util::{CHUNK, absent_ok, hash_rest, write_all};
use crate::fs::{Errno, Fs, Open, Stat};

/// Bytes copied between two looks at whether to go on.
const LOOK_EVERY: u64 = 8 << 20;

/// What arrived of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// All of it.
    Whole { size: u64, hash: [u8; 32] },
    /// Nothing, for the source cannot be read.
    Nothing,
}

impl<F: Fs, G: Fs> Copying<'_, F, G> {
    /// Copies one file under its own name, with its mode and its time. What an earlier copy left
    /// under that name stays if it is whole.
    pub(super) fn content(
        &mut self,
        from: (&F::Handle, &Stat),
        to: &G::Handle,
        name: &str,
        at: &str,
    ) -> Result<Arrived, StoreError> {
        let (from, stat) = from;
        let source = match self.from.fs.open(from, name, Open::Read) {
            Ok(source) => source,
            Err(errno) if is_unreadable(errno) => return Ok(Arrived::Nothing),
            Err(errno) => return Err(errno).at("open", at),
        };
        let fs = self.to.fs.clone();
        absent_ok(fs.unlink(to, name)).at("replace", at)?;
        let copy = fs.open(to, name, Open::CreateNew).at("create", at)?;
        let Some((size, hash)) = self.pour(&source, &copy, at)? else {
            fs.close(copy).at("close", at)?;
            absent_ok(fs.unlink(to, name)).at("remove", at)?;
            return Ok(Arrived::Nothing);
        };
        fs.set_mode(&copy, stat.mode).at("protect", at)?;
        fs.set_modified(&copy, stat.modified).at("date", at)?;
        if !self.to.trusts_sync_fs {
            fs.sync(&copy).at("sync", at)?;
        }
        fs.close(copy).at("close", at)?;
        Ok(Arrived::Whole { size, hash })
    }

    /// Pours one file into another; `None` when the first cannot be read to its end.
    fn pour(
        &mut self,
        source: &F::Handle,
        copy: &G::Handle,
        at: &str,
    ) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHUNK];
        let mut size = 0_u64;
        let mut since_look = 0_u64;
        loop {
            let some = match self.from.fs.read(source, &mut buffer) {
                Ok(0) => return Ok(Some((size, *hasher.finalize().as_bytes()))),
                Ok(some) => some,
                Err(errno) if is_unreadable(errno) => return Ok(None),
                Err(errno) => return Err(errno).at("read", at),
            };
            let block = buffer.get(..some).unwrap_or_default();
            write_all(&self.to.fs, copy, block).at("write", at)?;
            hasher.update(block);
            let length = u64::try_from(some).unwrap_or(u64::MAX);
            size = size.saturating_add(length);
            self.copied.written = self.copied.written.saturating_add(length);
            since_look = since_look.saturating_add(length);
            if since_look >= LOOK_EVERY {
                since_look = 0;
                self.step(0, 0)?;
            }
        }
    }

    /// Hashes what an earlier copy left under a name at the target, if it finished it.
    pub(super) fn earlier(
        &self,
        to: &G::Handle,
        name: &str,
        source: &Stat,
        at: &str,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let fs = &self.to.fs;
        match fs.stat(to, name) {
            Ok(stat)
                if (stat.kind, stat.size, stat.mode, stat.modified)
                    == (source.kind, source.size, source.mode, source.modified) => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).at("look at", at),
        }
        let file = fs.open(to, name, Open::Read).at("open", at)?;
        match hash_rest(fs, &file) {
            Ok((_, hash)) => Ok(Some(hash)),
            Err(errno) if is_unreadable(errno) => Ok(None),
            Err(errno) => Err(errno).at("read", at),
        }
    }
}
