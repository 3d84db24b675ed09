//! What an interrupted session left, and how much of it may be believed.
//!
//! A crash may leave a file half written, empty, or as it was before. So every file is either
//! the very inode the parent has under that path, or its content hashes to what `received.log`
//! says, or it is unlinked and the phone sends it again.

use super::basis::damaged_in;
use super::ledger::{Ledger, Received};
use super::log::{ReceivedLog, replay};
use super::{Claim, Staging};
use crate::error::{Context, StoreError, is_unreadable};
use crate::fs::util::{absent_ok, hash_rest, remove_all, sorted};
use crate::fs::{Errno, Fs, Kind, Open};
use crate::phone::PhoneDir;
use crate::record::Phase;
use ibak_core::BackupPath;
use std::collections::BTreeSet;

/// What a walk has found so far.
struct Sifting<'a, F: Fs> {
    fs: &'a F,
    logged: &'a Ledger,
    /// What is damaged in the parent.
    damaged: &'a BTreeSet<String>,
    kept: Ledger,
    dropped: u64,
    /// Of these, what the phone does not send another time once it has moved what it sent.
    lost: u64,
}

impl<F: Fs> Staging<F> {
    /// Keeps what can be believed. Gives the claim back when nothing can be built on it: the
    /// phone said it was done, or that the password is changed, and what that counts on is gone.
    pub(super) fn trust(mut self) -> Result<Result<Self, Claim<F>>, StoreError> {
        let fs = self.inner.fs.clone();
        for name in ["commit.json", "index.zst", "verify.db"] {
            absent_ok(fs.unlink(&self.dir, name)).at("remove", name)?;
        }
        let logged = replay(&fs, &self.dir)?;
        let damaged = match &self.parent {
            Some(parent) => damaged_in(&self.phone()?, parent)?,
            None => BTreeSet::new(),
        };
        let mut sifting = Sifting {
            fs: &fs,
            logged: &logged,
            damaged: &damaged,
            kept: Ledger::default(),
            dropped: 0,
            lost: 0,
        };
        let parent = self.parent_tree()?;
        sifting.dir(
            &self.tree,
            parent.as_ref(),
            &BackupPath::Tree(String::new()),
        )?;
        sifting.dir(&self.scratch, None, &BackupPath::Scratch(String::new()))?;
        let Sifting {
            mut kept,
            dropped,
            lost,
            ..
        } = sifting;
        if dropped > 0 && self.phase == Phase::Committing {
            tracing::info!(phone = %self.udid, backup = %self.id, dropped, "an interrupted commit cannot go on");
            return Ok(Err(self._claim));
        }
        if lost > 0 && is_past_sending(self.phase) {
            tracing::info!(phone = %self.udid, backup = %self.id, lost, "what the phone has sent and moved is lost");
            return Ok(Err(self._claim));
        }
        // The one file that a change of the password is about.
        if self.phase == Phase::Rekeyed
            && let Err(errno) = fs.stat(&self.tree, "Manifest.plist")
        {
            if errno != Errno::NOENT {
                return Err(errno).at("look at", "Manifest.plist");
            }
            tracing::info!(phone = %self.udid, backup = %self.id, "the working copy with the new password has lost it");
            return Ok(Err(self._claim));
        }
        for path in damaged {
            let path = BackupPath::Tree(path);
            if kept.get(&path).is_none() {
                kept.await_again([path]);
            }
        }
        for path in logged.failed() {
            kept.fail(path);
        }
        tracing::info!(phone = %self.udid, backup = %self.id, dropped, "going on with an interrupted backup");
        self.log = ReceivedLog::restart(&fs, &self.dir, &kept)?;
        self.received = kept
            .iter()
            .fold(0u64, |sum, (_, received)| sum.saturating_add(received.size));
        self.ledger = kept;
        self.resumed = true;
        Ok(Ok(self))
    }

    /// Opens the MobileSync directory of the parent.
    pub(super) fn parent_tree(&self) -> Result<Option<F::Handle>, StoreError> {
        let Some(id) = &self.parent else {
            return Ok(None);
        };
        let phone = PhoneDir::open(&self.inner, &self.udid)?
            .ok_or_else(|| StoreError::NoSuchBackup(id.clone()))?;
        let (dir, record) = phone.generation(id)?;
        self.inner
            .fs
            .open(&dir, &record.wire_udid, Open::Directory)
            .at("open", id)
            .map(Some)
    }
}

impl<F: Fs> Sifting<'_, F> {
    fn dir(
        &mut self,
        dir: &F::Handle,
        parent: Option<&F::Handle>,
        at: &BackupPath,
    ) -> Result<(), StoreError> {
        for entry in sorted(self.fs, dir).at("list", at)? {
            let path = below(at, &entry.name);
            match entry.kind {
                Kind::Directory => {
                    let inner = self
                        .fs
                        .open(dir, &entry.name, Open::Directory)
                        .at("open", &path)?;
                    let twin = match parent
                        .map(|parent| self.fs.open(parent, &entry.name, Open::Directory))
                    {
                        None | Some(Err(Errno::NOENT | Errno::NOTDIR)) => None,
                        Some(opened) => Some(opened.at("open", &path)?),
                    };
                    self.dir(&inner, twin.as_ref(), &path)?;
                }
                Kind::Regular => {
                    if !self.is_inherited(dir, parent, &entry.name, &path)?
                        && !self.is_logged(dir, &entry.name, &path)?
                    {
                        self.drop(dir, &entry.name, &path)?;
                    }
                }
                Kind::Symlink | Kind::Other => self.drop(dir, &entry.name, &path)?,
            }
        }
        Ok(())
    }

    fn drop(&mut self, dir: &F::Handle, name: &str, path: &BackupPath) -> Result<(), StoreError> {
        tracing::debug!(%path, "not believed after an interruption");
        self.dropped += 1;
        let is_sent_always = |path: &str| {
            matches!(path, "Info.plist" | "Status.plist") || path.starts_with("Snapshot/")
        };
        match path {
            BackupPath::Tree(path) if !is_sent_always(path) => self.lost += 1,
            BackupPath::Tree(_) | BackupPath::Scratch(_) => {}
        }
        remove_all(self.fs, dir, name)
            .at("remove", path)
            .map(std::mem::drop)
    }

    fn is_inherited(
        &self,
        dir: &F::Handle,
        parent: Option<&F::Handle>,
        name: &str,
        path: &BackupPath,
    ) -> Result<bool, StoreError> {
        let Some(parent) = parent else {
            return Ok(false);
        };
        if self.damaged.contains(path.as_str()) {
            return Ok(false);
        }
        let twin = match self.fs.stat(parent, name) {
            Ok(twin) => twin,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno).at("look at", path),
        };
        let stat = self.fs.stat(dir, name).at("look at", path)?;
        Ok(stat.inode == twin.inode && stat.device == twin.device)
    }

    fn is_logged(
        &mut self,
        dir: &F::Handle,
        name: &str,
        path: &BackupPath,
    ) -> Result<bool, StoreError> {
        let candidates: Vec<Received> = [Some(path.clone()), before_the_move(path)]
            .into_iter()
            .flatten()
            .filter_map(|path| self.logged.get(&path))
            .collect();
        if candidates.is_empty() {
            return Ok(false);
        }
        let file = self.fs.open(dir, name, Open::Read).at("open", path)?;
        let (size, hash) = match hash_rest(self.fs, &file) {
            Ok(found) => found,
            // A block that cannot be read is as good as one that is wrong.
            Err(errno) if is_unreadable(errno) => return Ok(false),
            Err(errno) => return Err(errno).at("read", path),
        };
        let found = Received { size, hash };
        if candidates.contains(&found) {
            self.kept.set(path, found);
            return Ok(true);
        }
        Ok(false)
    }
}

/// Says whether the phone sends nothing more of what it has sent already.
fn is_past_sending(phase: Phase) -> bool {
    match phase {
        Phase::Moving | Phase::Removing | Phase::Finished | Phase::Committing | Phase::Rekeyed => {
            true
        }
        Phase::Cloning | Phase::New | Phase::Uploading | Phase::Dead => false,
    }
}

/// Where a file lay before the phone moved it to its place: the move may be younger than the
/// last line of the log.
fn before_the_move(path: &BackupPath) -> Option<BackupPath> {
    match path {
        BackupPath::Tree(text) if !text.starts_with("Snapshot/") => {
            Some(BackupPath::Tree(format!("Snapshot/{text}")))
        }
        BackupPath::Tree(_) | BackupPath::Scratch(_) => None,
    }
}

fn below(at: &BackupPath, name: &str) -> BackupPath {
    let join = |text: &str| {
        if text.is_empty() {
            name.to_owned()
        } else {
            format!("{text}/{name}")
        }
    };
    match at {
        BackupPath::Tree(text) => BackupPath::Tree(join(text)),
        BackupPath::Scratch(text) => BackupPath::Scratch(join(text)),
    }
}
