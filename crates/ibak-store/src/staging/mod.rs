//! A working copy: what a phone writes before it is a backup.
//!
//! It begins as hard links to the last good backup, as what an interrupted session left, or
//! empty, and ends as a backup or in the trash. Promises: no verb reaches outside `<udid>/` and
//! the scratch directory (I4), and none writes into a file that has another name (I2, I3).

mod adopt;
mod basis;
mod before;
mod begin;
mod commit;
mod inherited;
mod ledger;
mod log;
mod room;
mod trust;
mod verbs;
mod write;

pub use adopt::{Adopted, Adopting};
pub(crate) use before::install_marked;
pub(crate) use begin::RESUME_AGE_MAX;
pub use begin::{Begin, Full};
pub(crate) use verbs::entries;
pub use verbs::{Entry, EntryKind};

use crate::error::{Context, StoreError};
use crate::fs::util::replace;
use crate::fs::{Fs, RealFs};
use crate::lease::Lease;
use crate::phone::PhoneDir;
use crate::record::{FORMAT, Phase, StateRecord, encode};
use crate::store::{Inner, Stage};
use crate::usage::Account;
use ibak_core::{BackupId, Bytes, Now, Udid, Wall};
pub(crate) use ledger::Key;
use ledger::Ledger;
use log::ReceivedLog;
pub(crate) use log::logged_bytes;
use room::Room;
use std::collections::btree_map::Entry as Slot;
use std::sync::Arc;
use write::OpenFile;

/// The phone's own word that the session ended well: ErrorCode 0 in its last response (I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceDone(());

impl DeviceDone {
    /// Takes the ErrorCode of the phone's last response; only 0 is an end to commit on.
    pub fn from_error_code(code: i64) -> Option<Self> {
        (code == 0).then_some(Self(()))
    }
}

/// Where a working copy lies below its phone's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The phone writes it.
    Staging,
    /// Another program's backup is being taken over, and the phone's own copy is left alone.
    Adopting,
}

impl Place {
    pub(crate) const fn dir(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Adopting => "adopting",
        }
    }
}

/// Why a session cannot be committed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poison {
    /// The disk was full; what is durable may be resumed.
    Full,
    /// A write failed, so the page cache proves nothing; the working copy is lost.
    Broken,
}

/// A working copy of one phone's backup. Dropping it leaves it on the disk for the next session.
pub struct Staging<F: Fs = RealFs> {
    inner: Arc<Inner<F>>,
    udid: Udid,
    id: BackupId,
    place: Place,
    /// `staging/<id>`
    dir: F::Handle,
    /// `staging/<id>/<udid>`
    tree: F::Handle,
    /// `staging/<id>/scratch`
    scratch: F::Handle,
    /// Opened before the first write, so that `sync_fs` reports every failure since (I6).
    barrier: F::Handle,
    parent: Option<BackupId>,
    /// Its parent stays as long as files are shared with it or looked up in it.
    _lease: Option<Lease<F>>,
    wire: String,
    started: Wall,
    phase: Phase,
    resumed: bool,
    ledger: Ledger,
    log: ReceivedLog,
    open: Option<OpenFile<F>>,
    poison: Option<Poison>,
    quota: Option<Bytes>,
    /// What the phone's directory takes on the disk.
    account: Arc<Account>,
    room: Room,
    received: u64,
    _claim: Claim<F>,
}

impl<F: Fs> Staging<F> {
    /// Returns the name the backup will have.
    pub fn id(&self) -> &BackupId {
        &self.id
    }

    /// Returns the backup this one shares files with.
    pub fn parent(&self) -> Option<&BackupId> {
        self.parent.as_ref()
    }

    /// Says whether an earlier session's work goes on here. If the phone cannot go on from it
    /// (errors 205 and 104), discard it and begin again.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Returns how far the phone got.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the bytes written in this session.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Says whether an earlier error makes a commit impossible.
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    /// Says how far the phone got, for a caller that knows it from elsewhere than Status.plist.
    ///
    /// # Errors
    /// A system call's; the session is poisoned by it.
    pub fn set_phase(&mut self, phase: Phase, now: Now) -> Result<(), StoreError> {
        let outcome = self.enter(phase, now);
        self.note(outcome)
    }

    /// Leaves the working copy for a later session, with everything received made durable.
    /// Returns whether a later session can go on from it.
    ///
    /// # Errors
    /// A system call's; the working copy is then not resumed in this process.
    pub fn keep(mut self, now: Now) -> Result<bool, StoreError> {
        if self.open.is_some() {
            self.drop_partial()?;
        }
        if self.poison == Some(Poison::Broken) {
            self.bury(now)?;
            return Ok(false);
        }
        let outcome = self.checkpoint(now).and_then(|()| self.write_state(now));
        self.note(outcome)?;
        Ok(matches!(
            self.phase,
            Phase::Uploading | Phase::Moving | Phase::Removing | Phase::Rekeyed
        ))
    }

    /// Leaves the working copy for the next backup after the phone changed the password in it,
    /// so that the chain stays incremental: it is gone on with, however late, as long as the
    /// backup it was cloned from is the newest verified one. Returns whether that will be so.
    ///
    /// # Errors
    /// A system call's; the working copy is then not gone on with in this process.
    pub fn keep_rekeyed(mut self, now: Now) -> Result<bool, StoreError> {
        if self.open.is_some() {
            self.drop_partial()?;
        }
        if self.poison.is_some() {
            self.bury(now)?;
            return Ok(false);
        }
        let outcome = self.checkpoint(now).and_then(|()| {
            self.phase = Phase::Rekeyed;
            self.write_state(now)
        });
        self.note(outcome)?;
        Ok(true)
    }

    /// Puts the working copy into the trash.
    ///
    /// # Errors
    /// A system call's; it is then put there by the next opening.
    pub fn discard(mut self) -> Result<(), StoreError> {
        self.open = None;
        let phone = PhoneDir::ensure(&self.inner, &self.udid)?;
        self.inner.sessions().poisoned.insert(self.id.clone());
        phone.set_aside(self.place.dir(), &self.id, "trash")
    }

    /// Marks the working copy as not to be used again.
    fn bury(&mut self, now: Now) -> Result<(), StoreError> {
        self.inner.sessions().poisoned.insert(self.id.clone());
        self.phase = Phase::Dead;
        self.write_state(now)
    }

    /// Poisons the session when an outcome says that data may be lost.
    fn note<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &outcome
            && error.poisons()
        {
            let poison = match error.kind() {
                crate::ErrorKind::NoSpace => Poison::Full,
                crate::ErrorKind::NotFound
                | crate::ErrorKind::Exists
                | crate::ErrorKind::NotDirectory
                | crate::ErrorKind::IsDirectory
                | crate::ErrorKind::Loop
                | crate::ErrorKind::Io
                | crate::ErrorKind::Refused
                | crate::ErrorKind::Other => Poison::Broken,
            };
            if self.poison != Some(Poison::Broken) {
                self.poison = Some(poison);
            }
            if poison == Poison::Broken {
                self.inner.sessions().poisoned.insert(self.id.clone());
            }
            tracing::warn!(phone = %self.udid, backup = %self.id, %error, "this session cannot be committed");
        }
        outcome
    }

    fn enter(&mut self, phase: Phase, now: Now) -> Result<(), StoreError> {
        if self.phase == phase {
            return Ok(());
        }
        // What the phase says about the tree has to be durable before the phase is.
        self.checkpoint(now)?;
        self.phase = phase;
        self.write_state(now)
    }

    fn write_state(&self, now: Now) -> Result<(), StoreError> {
        let record = StateRecord {
            format: FORMAT,
            phase: self.phase,
            parent: self.parent.as_ref().map(|id| id.as_str().to_owned()),
            wire_udid: self.wire.clone(),
            started_unix_us: self.started.as_micros(),
            progress_unix_us: now.wall.as_micros(),
        };
        write_state(&self.inner.fs, &self.dir, &record)
    }
}

fn write_state<F: Fs>(fs: &F, dir: &F::Handle, record: &StateRecord) -> Result<(), StoreError> {
    replace(fs, dir, "state.json", &encode("state.json", record)?).at("write", "state.json")
}

/// The right to be a phone's only session, or the only adoption for it.
pub(crate) struct Claim<F: Fs> {
    inner: Arc<Inner<F>>,
    udid: Udid,
    place: Place,
}

impl<F: Fs> Claim<F> {
    pub(crate) fn take(inner: &Arc<Inner<F>>, udid: &Udid) -> Result<Self, StoreError> {
        match inner.sessions().open.entry(udid.clone()) {
            Slot::Occupied(entry) => {
                return Err(match entry.get() {
                    Stage::LayingOut => StoreError::LayingOut(udid.clone()),
                    Stage::Open => StoreError::Busy(udid.clone()),
                });
            }
            Slot::Vacant(place) => place.insert(Stage::LayingOut),
        };
        Ok(Self {
            inner: Arc::clone(inner),
            udid: udid.clone(),
            place: Place::Staging,
        })
    }

    /// Takes the right to be the only adoption for a phone; its session is another matter.
    pub(crate) fn take_adopting(inner: &Arc<Inner<F>>, udid: &Udid) -> Result<Self, StoreError> {
        if !inner.sessions().adopting.insert(udid.clone()) {
            return Err(StoreError::Busy(udid.clone()));
        }
        Ok(Self {
            inner: Arc::clone(inner),
            udid: udid.clone(),
            place: Place::Adopting,
        })
    }
}

impl<F: Fs> Claim<F> {
    /// Says that the working copy is in somebody's hands.
    fn laid_out(&self) {
        self.inner.accounts.of(&self.udid).churn_unknown();
        self.inner
            .sessions()
            .open
            .insert(self.udid.clone(), Stage::Open);
    }
}

impl<F: Fs> Drop for Claim<F> {
    fn drop(&mut self) {
        let mut sessions = self.inner.sessions();
        match self.place {
            Place::Staging => drop(sessions.open.remove(&self.udid)),
            Place::Adopting => drop(sessions.adopting.remove(&self.udid)),
        }
    }
}
