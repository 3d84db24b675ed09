//! Another program's backup, taken over as one of ours with its own date.
//!
//! It is received file by file into a directory of its own, so that the phone's working copy is
//! neither needed nor disturbed, and then goes the one way every backup goes (commit.rs). What is
//! not whole, of another phone, or of a format nobody restores is refused with a sentence that
//! says what to do. What a crash leaves of it goes with the next opening: its owner has it still.

mod keeping;
mod origin;
mod sharing;

use super::ledger::Ledger;
use super::log::ReceivedLog;
use super::room::Room;
use super::{Claim, Place, Staging};
use crate::error::{Context, StoreError};
use crate::fs::util::ensure_dir;
use crate::fs::{Errno, Fs, Open, RealFs};
use crate::lease::Lease;
use crate::phone::{PhoneDir, Unreadable};
use crate::record::{Generation, Phase};
use crate::space;
use crate::store::Store;
use ibak_core::{BackupId, BackupPath, Now, Udid, Wall};
use origin::Origin;
use std::sync::Arc;

/// Bytes written between two looks at the room that is left.
const LOOK_EVERY: u64 = 16 << 20;

/// What became of a backup that was to be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Adopted {
    /// It is a backup of ours.
    New(Generation),
    /// It was one already, and nothing of it was kept.
    AlreadyThere(BackupId),
}

/// A backup of another program that is being received. Dropping it leaves nothing that is used:
/// the next adoption or opening throws it away.
pub struct Adopting<F: Fs = RealFs> {
    staging: Staging<F>,
    began: Now,
    since_look: u64,
}

impl<F: Fs> Store<F> {
    /// Begins to take over another program's backup of a phone; `wire_udid` is the phone's
    /// identifier as the folder's name spells it.
    ///
    /// # Errors
    /// `Busy` while another one is being adopted for the phone, `Refused` for the spelling of
    /// another UDID, `Unavailable`, or a system call's.
    pub fn adopt(&self, udid: &Udid, wire_udid: &str, now: Now) -> Result<Adopting<F>, StoreError> {
        if Udid::parse(wire_udid).as_ref() != Ok(udid) {
            return Err(StoreError::refused(wire_udid, "it is another phone's UDID"));
        }
        self.inner.usable()?;
        let claim = Claim::take_adopting(&self.inner, udid)?;
        let phone = PhoneDir::ensure(&self.inner, udid)?;
        let place = Place::Adopting.dir();
        for left in phone.ids(place)? {
            phone.set_aside(place, &left, "trash")?;
        }
        let id = some_id(now.wall)?;
        let fs = &self.inner.fs;
        let barrier = phone.sub(place)?;
        fs.make_dir(&barrier, id.as_str()).at("create", &id)?;
        let dir = fs
            .open(&barrier, id.as_str(), Open::Directory)
            .at("open", &id)?;
        let tree = ensure_dir(fs, &dir, wire_udid).at("create", &id)?;
        let scratch = ensure_dir(fs, &dir, "scratch").at("create", &id)?;
        let staging = Staging {
            inner: Arc::clone(&self.inner),
            udid: udid.clone(),
            id,
            place: Place::Adopting,
            dir,
            tree,
            scratch,
            barrier,
            parent: None,
            _lease: None,
            wire: wire_udid.to_owned(),
            started: now.wall,
            phase: Phase::New,
            resumed: false,
            ledger: Ledger::default(),
            log: ReceivedLog::default(),
            open: None,
            poison: None,
            quota: None,
            account: self.inner.accounts.of(udid),
            room: Room::default(),
            received: 0,
            _claim: claim,
        };
        Ok(Adopting {
            staging,
            began: now,
            since_look: 0,
        })
    }
}

/// Makes a name with a date and a random rest.
fn some_id(date: Wall) -> Result<BackupId, StoreError> {
    let millis = u64::try_from(date.as_micros() / 1000).unwrap_or(0);
    let id = ulid::Ulid::from_parts(millis, ulid::Ulid::new().random());
    BackupId::parse(&id.to_string()).map_err(|_| StoreError::damaged("the name of a backup"))
}

impl<F: Fs> Adopting<F> {
    /// Begins to receive a file; its directories are made.
    ///
    /// # Errors
    /// `Refused` for a second file at once or a name outside the backup, a full disk's before
    /// the reserve is touched, or a system call's.
    pub fn create(&mut self, path: &BackupPath) -> Result<(), StoreError> {
        if matches!(path, BackupPath::Scratch(_)) {
            return Err(StoreError::refused(path, "no backup has such a file"));
        }
        self.look_at_the_room()?;
        self.staging.create(path)
    }

    /// Writes the next bytes of the file being received.
    ///
    /// # Errors
    /// As [`Adopting::create`]; after an error of the disk it can only be discarded.
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let length = u64::try_from(block.len()).unwrap_or(u64::MAX);
        self.since_look = self.since_look.saturating_add(length);
        if self.since_look >= LOOK_EVERY {
            self.look_at_the_room()?;
        }
        self.staging.write(block)
    }

    /// Says that the file being received is whole.
    ///
    /// # Errors
    /// `Refused` when no file was begun, or a system call's; it can then only be discarded.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.staging.finish(self.began)
    }

    /// Returns the bytes received so far.
    pub fn received_bytes(&self) -> u64 {
        self.staging.received_bytes()
    }

    /// A backup that is only wanted must not take the room that listing and removing need (I9).
    fn look_at_the_room(&mut self) -> Result<(), StoreError> {
        self.since_look = 0;
        let (available, reserve) = space::volume(&self.staging.inner)?;
        if available.saturating_sub(reserve) < LOOK_EVERY {
            return Err(Errno::NOSPC).at("write", &self.staging.id);
        }
        Ok(())
    }

    /// Makes it a backup with its own date, which shares the files it has in common with the
    /// backup nearest to that date. It is pinned: by its date a plan might remove it at once.
    ///
    /// # Errors
    /// `Unadoptable` with a sentence for a person, or a system call's; nothing of it is kept and
    /// the other backups are untouched. An error of the last sync alone leaves a whole backup.
    pub fn commit(mut self, now: Now) -> Result<Adopted, StoreError> {
        let outcome = self.settle(now);
        if !matches!(outcome, Ok(Adopted::New(_)))
            && let Err(second) = self.throw_away().and_then(|()| self.let_go())
        {
            // The first cause is the one to tell; the next opening throws it away.
            tracing::warn!(phone = %self.staging.udid, error = %second, "and what was adopted of it stays for now");
        }
        outcome
    }

    /// Throws away what was received.
    ///
    /// # Errors
    /// A system call's; the next opening throws it away.
    pub fn discard(self) -> Result<(), StoreError> {
        self.throw_away()
    }

    fn throw_away(&self) -> Result<(), StoreError> {
        let phone = self.staging.phone()?;
        match phone.set_aside(Place::Adopting.dir(), &self.staging.id, "trash") {
            // Renamed into its place before the error came.
            Err(error) if error.is_absent() => Ok(()),
            other => other,
        }
    }

    fn settle(&mut self, now: Now) -> Result<Adopted, StoreError> {
        self.staging.check_usable()?;
        if self.staging.open.is_some() {
            return Err(StoreError::Unadoptable(
                "a file of it was not sent to its end; begin again".to_owned(),
            ));
        }
        let fs = self.staging.inner.fs.clone();
        let origin = origin::read(&fs, &self.staging.tree, &self.staging.udid, now.wall)?;
        let committed = self.staging.phone()?.list(Unreadable::Fail)?;
        for found in committed.iter().filter(|found| found.verified) {
            if self.is_the_same(found, &origin)? {
                return Ok(Adopted::AlreadyThere(found.id.clone()));
            }
        }
        self.take_its_name(&origin)?;
        let nearest = committed
            .iter()
            .filter(|found| found.verified)
            .min_by_key(|found| found.finished.as_micros().abs_diff(origin.date.as_micros()));
        if let Some(nearest) = nearest {
            self.share(&nearest.id)?;
        }
        self.staging.started = origin.date;
        let dated = Now {
            wall: origin.date,
            ..now
        };
        self.guard_the_one_before(&committed, &origin)?;
        self.keep()?;
        let outcome = self.staging.commit_inner(dated);
        if let Err(StoreError::Incomplete(why)) = &outcome {
            return Err(StoreError::Unadoptable(format!(
                "{why}; make a new backup with the program that made this one, or with ibak"
            )));
        }
        outcome.map(|made| {
            Adopted::New(Generation {
                pinned: true,
                ..made
            })
        })
    }

    /// Makes one of what it has in common with a backup. One whose index is damaged has nothing
    /// in common with anything.
    fn share(&mut self, nearest: &BackupId) -> Result<(), StoreError> {
        self.staging._lease = Some(Lease::take(&self.staging.inner, nearest)?);
        match self.staging.share_with(nearest) {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.staging.parent = Some(nearest.clone());
                Ok(())
            }
            Err(StoreError::Damaged { what }) => {
                tracing::warn!(phone = %self.staging.udid, backup = %nearest, what, "a damaged backup is not shared with");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the working copy the name it will have under `gens/`.
    fn take_its_name(&mut self, origin: &Origin) -> Result<(), StoreError> {
        let staging = &mut self.staging;
        let phone = staging.phone()?;
        let mut taken = Vec::new();
        for sub in ["gens", "staging", "quarantine"] {
            taken.extend(phone.ids(sub)?);
        }
        let id = loop {
            let id = some_id(origin.date)?;
            if !taken.contains(&id) {
                break id;
            }
        };
        drop(phone);
        staging
            .inner
            .fs
            .rename(
                &staging.barrier,
                staging.id.as_str(),
                &staging.barrier,
                id.as_str(),
                crate::fs::Replace::No,
            )
            .at("rename", &id)?;
        staging.id = id;
        Ok(())
    }
}
