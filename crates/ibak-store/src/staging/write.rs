//! The one file being received, and the checkpoints between files.

use super::ledger::Received;
use super::room::NAME_COST;
use super::{Poison, Staging};
use crate::bplist::{Document, LEN_MAX};
use crate::error::{Context, StoreError};
use crate::fs::util::{absent_ok, read_small, write_all};
use crate::fs::{Errno, Fs, Open};
use crate::record::Phase;
use ibak_core::{BackupPath, Now};

/// A file between its first and its last byte.
pub(super) struct OpenFile<F: Fs> {
    path: BackupPath,
    parent: F::Handle,
    name: String,
    file: F::Handle,
    hasher: blake3::Hasher,
    size: u64,
}

impl<F: Fs> Staging<F> {
    /// Begins to receive a file; what had its name is removed, its directories are made.
    ///
    /// # Errors
    /// `Refused` for a second file at once or a name outside the backup, `Poisoned`, or a system
    /// call's.
    pub fn create(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        self.check_usable()?;
        if self.open.is_some() {
            return Err(StoreError::refused(
                path,
                "another file is still being received",
            ));
        }
        let outcome = self
            .take_room(NAME_COST)
            .and_then(|()| self.create_inner(path));
        self.note(outcome)
    }

    fn create_inner(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        let (parent, name) = self.parent_of(path, true)?;
        let fs = &self.inner.fs;
        absent_ok(fs.unlink(&parent, &name)).at("replace", path)?;
        self.ledger.forget(path, false);
        self.log.gone(path, false);
        let file = fs
            .open(&parent, &name, Open::CreateNew)
            .at("create", path)?;
        let stat = fs.stat_handle(&file).at("look at", path)?;
        if stat.links != 1 || stat.size != 0 {
            return Err(StoreError::damaged(path.to_string()));
        }
        self.open = Some(OpenFile {
            path: path.clone(),
            parent,
            name,
            file,
            hasher: blake3::Hasher::new(),
            size: 0,
        });
        Ok(())
    }

    /// Writes the next bytes of the file being received.
    ///
    /// # Errors
    /// `Refused` when no file was begun, or a system call's; the session is poisoned by it.
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        if self.open.is_none() {
            return Err(StoreError::refused("a block", "no file is being received"));
        }
        let outcome = self.write_inner(block);
        self.note(outcome)
    }

    fn write_inner(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let length = u64::try_from(block.len()).unwrap_or(u64::MAX);
        self.take_room(length)?;
        if let Some(open) = &mut self.open {
            write_all(&self.inner.fs, &open.file, block).at("write", &open.path)?;
            open.hasher.update(block);
            open.size = open.size.saturating_add(length);
            self.received = self.received.saturating_add(length);
        }
        Ok(())
    }

    /// Says that the file being received is whole.
    ///
    /// # Errors
    /// `Refused` when no file was begun, or a system call's; the session is poisoned by it.
    pub fn finish(&mut self, now: Now) -> Result<(), StoreError> {
        let Some(open) = self.open.take() else {
            return Err(StoreError::refused(
                "the end of a file",
                "no file is being received",
            ));
        };
        if let Some(poison) = self.poison {
            self.open = Some(open);
            self.drop_partial()?;
            return Err(self.poisoned(poison));
        }
        let outcome = self.finish_inner(open, now);
        self.note(outcome)
    }

    fn finish_inner(&mut self, open: OpenFile<F>, now: Now) -> Result<(), StoreError> {
        let fs = &self.inner.fs;
        let path = open.path;
        fs.set_mode(&open.file, 0o400).at("protect", &path)?;
        if !self.inner.trusts_sync_fs {
            fs.sync(&open.file).at("sync", &path)?;
        }
        fs.close(open.file).at("close", &path)?;
        let received = Received {
            size: open.size,
            hash: *open.hasher.finalize().as_bytes(),
        };
        self.ledger.set(&path, received);
        self.log.received(&path, &received);
        if path == BackupPath::Tree("Status.plist".to_owned()) {
            if let Some(phase) = self.status_phase()? {
                self.enter(phase, now)?;
            }
        } else if self.log.is_due(now.monotonic) {
            self.checkpoint(now)?;
            self.write_state(now)?;
        }
        Ok(())
    }

    /// Keeps nothing of the file being received; `remote_error` is the phone's reason, when it
    /// was the phone that could not send it.
    ///
    /// # Errors
    /// A system call's; the session is poisoned by it.
    pub fn abandon(&mut self, remote_error: Option<&str>) -> Result<(), StoreError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        if let Some(reason) = remote_error {
            tracing::debug!(phone = %self.udid, path = %open.path, reason, "the phone could not send a file");
            let path = open.path.clone();
            self.ledger.fail(&path);
            self.log.failed(&path);
        }
        let outcome = self.drop_partial();
        self.note(outcome)
    }

    pub(super) fn drop_partial(&mut self) -> Result<(), StoreError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let fs = &self.inner.fs;
        absent_ok(fs.unlink(&open.parent, &open.name)).at("remove", &open.path)?;
        fs.close(open.file).at("close", &open.path)
    }

    /// Writes the Info.plist, which is the host's own to write.
    ///
    /// # Errors
    /// As `create`, `write` and `finish`.
    pub fn write_info_plist(&mut self, bytes: &[u8], now: Now) -> Result<(), StoreError> {
        self.create(&BackupPath::Tree("Info.plist".to_owned()))?;
        match self.write(bytes) {
            Ok(()) => self.finish(now),
            Err(error) => {
                // The first cause is the one to tell.
                if let Err(second) = self.abandon(None) {
                    tracing::warn!(phone = %self.udid, error = %second, "and the partial file stays");
                }
                Err(error)
            }
        }
    }

    /// Makes everything received durable and then says so in `received.log`.
    pub(super) fn checkpoint(&mut self, now: Now) -> Result<(), StoreError> {
        self.make_durable()?;
        self.account.churn(self.log.pending_bytes());
        self.log.flush(&self.inner.fs, &self.dir, now.monotonic)
    }

    /// The barrier (I6): one `syncfs`, or where that is not known to suffice, every directory;
    /// each file was synced before it was closed.
    pub(super) fn make_durable(&self) -> Result<(), StoreError> {
        if self.inner.trusts_sync_fs {
            return self
                .inner
                .fs
                .sync_fs(&self.barrier)
                .at("sync", "the file system");
        }
        crate::fs::util::sync_dirs(&self.inner.fs, &self.dir).at("sync", &self.id)?;
        self.inner.fs.sync(&self.barrier).at("sync", &self.id)
    }

    pub(super) fn status_phase(&self) -> Result<Option<Phase>, StoreError> {
        let bytes = match read_small(&self.inner.fs, &self.tree, "Status.plist", LEN_MAX) {
            Ok(bytes) => bytes,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).at("read", "Status.plist"),
        };
        let state = Document::parse(&bytes).and_then(|list| list.text(&["SnapshotState"]));
        Ok(match state.as_deref() {
            Some("uploading") => Some(Phase::Uploading),
            Some("moving") => Some(Phase::Moving),
            Some("removing") => Some(Phase::Removing),
            Some("finished") => Some(Phase::Finished),
            Some(_) | None => None,
        })
    }

    pub(super) fn check_usable(&self) -> Result<(), StoreError> {
        match self.poison {
            None => Ok(()),
            Some(poison) => Err(self.poisoned(poison)),
        }
    }

    fn poisoned(&self, poison: Poison) -> StoreError {
        match poison {
            Poison::Full => StoreError::System {
                action: "write",
                path: self.id.to_string(),
                errno: Errno::NOSPC,
            },
            Poison::Broken => StoreError::Poisoned,
        }
    }
}
