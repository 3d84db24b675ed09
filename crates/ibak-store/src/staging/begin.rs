//! Where a working copy comes from: the last session's, the last good backup, or nothing.

use super::basis::{self, Basis};
use super::ledger::Ledger;
use super::log::ReceivedLog;
use super::room::Room;
use super::{Claim, Place, Staging, write_state};
use crate::error::{Context, StoreError};
use crate::fs::util::ensure_dir;
use crate::fs::{Fs, Open};
use crate::lease::Lease;
use crate::phone::{PhoneDir, Unreadable};
use crate::record::{FORMAT, Generation, Phase, StateRecord};
use crate::recovery::{State, complete, is_rekeyed, is_resumable, read_state, state_of};
use crate::store::Store;
use ibak_core::{BackupId, Bytes, Now, Udid};
use std::sync::Arc;
use std::time::Duration;

/// Whether the phone will send everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Only if there is nothing to build on.
    IfNeeded,
    /// Yes (ForceFullBackup): the working copy begins empty.
    Forced,
}

/// What a session is for.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// Whose backup it will be.
    pub udid: &'a Udid,
    /// The spelling of the UDID on the wire, which names the MobileSync directory.
    pub wire_udid: &'a str,
    /// Whether the phone will send everything.
    pub full: Full,
    /// Most bytes this phone's backups may take on the disk.
    pub quota: Option<Bytes>,
    /// The present.
    pub now: Now,
}

impl<F: Fs> Store<F> {
    /// Opens a working copy: what an interrupted session of the last seven days left, else
    /// hard links to the newest verified backup, else to the newest damaged one without what is
    /// damaged in it, else an empty one.
    ///
    /// # Errors
    /// `LayingOut` while an earlier call has not come back, `Busy` while there is another session
    /// for the phone, `Refused` for a wire spelling of another UDID, or a system call's.
    pub fn begin(&self, begin: Begin<'_>) -> Result<Staging<F>, StoreError> {
        let staging = self.lay_out(begin)?;
        staging._claim.laid_out();
        Ok(staging)
    }

    fn lay_out(&self, begin: Begin<'_>) -> Result<Staging<F>, StoreError> {
        let wire = begin.wire_udid;
        if Udid::parse(wire).as_ref() != Ok(begin.udid) {
            return Err(StoreError::refused(wire, "it is another phone's UDID"));
        }
        self.inner.usable()?;
        let mut claim = Some(Claim::take(&self.inner, begin.udid)?);
        let phone = PhoneDir::ensure(&self.inner, begin.udid)?;
        for id in phone.ids("staging")? {
            // Its commit had passed its barrier.
            if matches!(state_of(&phone, &id)?, State::Absent) && complete(&phone, &id)? {
                tracing::info!(phone = %phone.udid, backup = %id, "a commit is finished");
                phone.point_latest()?;
            }
        }
        let list = phone.list(Unreadable::Fail)?;
        for id in phone.ids("staging")?.into_iter().rev() {
            if let Some(state) = self.resumable(&phone, &id, begin, &list)?
                && let Some(free) = claim.take()
            {
                let opened = self.open_staging(&phone, &id, begin, &state, free)?;
                match opened.trust()? {
                    Ok(staging) => return Ok(staging),
                    Err(free) => claim = Some(free),
                }
            }
            phone.set_aside("staging", &id, "trash")?;
        }
        match claim {
            Some(claim) => self.fresh(&phone, begin, claim),
            None => Err(StoreError::Busy(begin.udid.clone())),
        }
    }

    fn resumable(
        &self,
        phone: &PhoneDir<'_, F>,
        id: &BackupId,
        begin: Begin<'_>,
        list: &[Generation],
    ) -> Result<Option<StateRecord>, StoreError> {
        if begin.full == Full::Forced || self.inner.sessions().poisoned.contains(id) {
            return Ok(None);
        }
        let Some(state) = read_state(phone, id)? else {
            return Ok(None);
        };
        if state.wire_udid != begin.wire_udid {
            return Ok(None);
        }
        let usable = is_rekeyed(&state, list)
            || (is_resumable(&state, begin.now.wall) && is_based(phone, &state, list)?);
        Ok(usable.then_some(state))
    }

    fn fresh(
        &self,
        phone: &PhoneDir<'_, F>,
        begin: Begin<'_>,
        mut claim: Claim<F>,
    ) -> Result<Staging<F>, StoreError> {
        loop {
            let basis = match begin.full {
                Full::Forced => None,
                Full::IfNeeded => basis::choose(phone)?,
            };
            let mut opened = self.lay_down(phone, begin, basis.as_ref(), claim)?;
            if let Some(basis) = &basis {
                let found = opened.clone_tree(basis)?;
                if !found.is_empty() {
                    tracing::error!(phone = %phone.udid, backup = %basis.id, "a backup is damaged");
                    phone.add_findings(&basis.id, found.to_vec())?;
                    phone.set_aside("staging", &opened.id, "trash")?;
                    claim = opened._claim;
                    continue;
                }
            }
            opened.phase = Phase::New;
            opened.write_state(begin.now)?;
            return Ok(opened);
        }
    }

    /// Makes an empty working copy.
    fn lay_down(
        &self,
        phone: &PhoneDir<'_, F>,
        begin: Begin<'_>,
        basis: Option<&Basis<F>>,
        claim: Claim<F>,
    ) -> Result<Staging<F>, StoreError> {
        let fs = &self.inner.fs;
        let id = self.new_id(phone, begin.now)?;
        let staging = phone.sub("staging")?;
        fs.make_dir(&staging, id.as_str()).at("create", &id)?;
        let dir = fs
            .open(&staging, id.as_str(), Open::Directory)
            .at("open", &id)?;
        let state = StateRecord {
            format: FORMAT,
            phase: Phase::Cloning,
            parent: basis.map(|basis| basis.id.as_str().to_owned()),
            wire_udid: begin.wire_udid.to_owned(),
            started_unix_us: begin.now.wall.as_micros(),
            progress_unix_us: begin.now.wall.as_micros(),
        };
        write_state(fs, &dir, &state)?;
        self.open_staging(phone, &id, begin, &state, claim)
    }

    fn open_staging(
        &self,
        phone: &PhoneDir<'_, F>,
        id: &BackupId,
        begin: Begin<'_>,
        state: &StateRecord,
        claim: Claim<F>,
    ) -> Result<Staging<F>, StoreError> {
        let fs = &self.inner.fs;
        let barrier = phone.sub("staging")?;
        let dir = fs
            .open(&barrier, id.as_str(), Open::Directory)
            .at("open", id)?;
        let bad = |_| StoreError::damaged(format!("staging/{id}/state.json"));
        let parent = state
            .parent
            .as_deref()
            .map(BackupId::parse)
            .transpose()
            .map_err(bad)?;
        // It cannot go from here on, and may have gone since it was chosen.
        let lease = parent
            .as_ref()
            .map(|parent| Lease::take(&self.inner, parent))
            .transpose()?;
        if let Some(parent) = &parent {
            phone.has(parent)?;
        }
        let tree = ensure_dir(fs, &dir, &state.wire_udid).at("create", id)?;
        let scratch = ensure_dir(fs, &dir, "scratch").at("create", id)?;
        Ok(Staging {
            inner: Arc::clone(&self.inner),
            udid: begin.udid.clone(),
            id: id.clone(),
            place: Place::Staging,
            dir,
            tree,
            scratch,
            barrier,
            parent,
            _lease: lease,
            wire: state.wire_udid.clone(),
            started: ibak_core::Wall::from_micros(state.started_unix_us),
            phase: state.phase,
            resumed: false,
            ledger: Ledger::default(),
            log: ReceivedLog::default(),
            open: None,
            poison: None,
            quota: begin.quota,
            account: self.inner.accounts.of(begin.udid),
            room: Room::default(),
            received: 0,
            _claim: claim,
        })
    }

    /// Makes a name that sorts after every earlier one, even if the clock went back.
    fn new_id(&self, phone: &PhoneDir<'_, F>, now: Now) -> Result<BackupId, StoreError> {
        let mut newest = 0;
        for sub in ["gens", "staging", "quarantine"] {
            let last = phone
                .ids(sub)?
                .pop()
                .and_then(|id| ulid::Ulid::from_string(id.as_str()).ok());
            newest = newest.max(last.map_or(0, |id| id.timestamp_ms()));
        }
        let present = u64::try_from(now.wall.as_micros() / 1000).unwrap_or(0);
        let random = ulid::Ulid::new().random();
        let id = ulid::Ulid::from_parts(present.max(newest.saturating_add(1)), random);
        BackupId::parse(&id.to_string())
            .map_err(|_| StoreError::damaged("the name of a new backup"))
    }
}

/// Says whether a working copy's files may still be shared with what it was cloned from.
fn is_based<F: Fs>(
    phone: &PhoneDir<'_, F>,
    state: &StateRecord,
    list: &[Generation],
) -> Result<bool, StoreError> {
    let Some(parent) = state.parent.as_deref() else {
        return Ok(true);
    };
    if list.iter().any(|found| found.verified) {
        let is_parent = |found: &Generation| found.verified && found.id.as_str() == parent;
        return Ok(list.iter().any(is_parent));
    }
    Ok(basis::choose(phone)?.is_some_and(|basis| basis.id.as_str() == parent))
}

/// Age at which an interrupted session's work is not gone on with.
pub(crate) const RESUME_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
