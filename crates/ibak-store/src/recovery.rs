//! What a crash left, put right before anything else happens.
//!
//! Never deletes a backup: what lies under `gens/` and cannot be one is set aside in
//! `quarantine/`. Asking twice is safe: every step leaves a state the next opening understands.

use crate::error::{Context, ErrorKind, StoreError};
use crate::fs::util::{ensure_dir, read_small};
use crate::fs::{Errno, Fs, Kind, Open};
use crate::phone::{PhoneDir, Unreadable, phones};
use crate::record::{CommitRecord, FORMAT, Generation, Phase, RECORD_MAX, StateRecord, decode};
use crate::staging::{Place, RESUME_AGE_MAX, install_marked};
use crate::store::Inner;
use crate::sweep::waiting;
use crate::usage::TRASH;
use ibak_core::{BackupId, Udid, Wall};

/// What an opening of the store put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Interrupted sessions the phone can go on with.
    pub resumable: Vec<(Udid, BackupId)>,
    /// Working copies in which the phone changed its password: the next backup goes on in them.
    pub rekeyed: Vec<(Udid, BackupId)>,
    /// Backups whose commit was cut short after its barrier, and is finished.
    pub completed: Vec<(Udid, BackupId)>,
    /// Working copies that were of no use, in the trash.
    pub removed: Vec<(Udid, BackupId)>,
    /// Directories under `gens/` that are no backup, set aside.
    pub quarantined: Vec<(Udid, BackupId)>,
    /// Backups left where they are, for the disk would not let them be looked at.
    pub unreadable: Vec<(Udid, BackupId)>,
    /// Things of earlier readings and restores, put out of sight.
    pub cleared: u64,
    /// Things in the trashes: they wait for a sweep.
    pub waiting: u64,
}

pub(crate) fn recover<F: Fs>(inner: &Inner<F>, now: Wall) -> Result<Recovery, StoreError> {
    let mut report = Recovery::default();
    // Made while there is room: a phone can then be forgotten when there is none.
    match ensure_dir(&inner.fs, &inner.root, TRASH) {
        Ok(_) | Err(Errno::NOSPC | Errno::DQUOT) => {}
        Err(errno) => return Err(errno).at("create", TRASH),
    }
    for udid in phones(inner)? {
        match one(inner, &udid, now, &mut report) {
            // Whatever the disk cannot give of one phone, the others have their backups.
            Err(error) if error.kind() == ErrorKind::Io => {
                tracing::error!(phone = %udid, %error, "a phone's directory cannot be put right");
            }
            other => other?,
        }
    }
    report.waiting = waiting(inner)?;
    Ok(report)
}

fn one<F: Fs>(
    inner: &Inner<F>,
    udid: &Udid,
    now: Wall,
    report: &mut Recovery,
) -> Result<(), StoreError> {
    let Some(phone) = PhoneDir::open(inner, udid)? else {
        return Ok(());
    };
    // First what is kept: the rest may meet what the disk cannot give.
    generations(&phone, report)?;
    report.cleared += phone.clear_scratch()?;
    staging(&phone, now, report)?;
    adopting(&phone, report)?;
    phone.point_latest()
}

fn staging<F: Fs>(
    phone: &PhoneDir<'_, F>,
    now: Wall,
    report: &mut Recovery,
) -> Result<(), StoreError> {
    let mut kept = false;
    for id in phone.ids("staging")?.into_iter().rev() {
        let named = (phone.udid.clone(), id.clone());
        let state = match state_of(phone, &id) {
            Err(error) if error.kind() == ErrorKind::Io => {
                tracing::error!(phone = %phone.udid, backup = %id, %error, "a working copy cannot be looked at");
                report.unreadable.push(named);
                continue;
            }
            other => other?,
        };
        match state {
            State::Absent if complete(phone, &id)? => report.completed.push(named),
            State::Known(state) if !kept && is_resumable(&state, now) => {
                kept = true;
                report.resumable.push(named);
            }
            State::Known(state) if !kept && stays_rekeyed(phone, &state)? => {
                kept = true;
                report.rekeyed.push(named);
            }
            State::Absent | State::Garbled | State::Known(_) => {
                phone.set_aside("staging", &id, "trash")?;
                report.removed.push(named);
            }
        }
    }
    Ok(())
}

/// Throws away what was being adopted: whoever wanted it has it still.
fn adopting<F: Fs>(phone: &PhoneDir<'_, F>, report: &mut Recovery) -> Result<(), StoreError> {
    let place = Place::Adopting.dir();
    for id in phone.ids(place)? {
        phone.set_aside(place, &id, "trash")?;
        report.removed.push((phone.udid.clone(), id));
    }
    Ok(())
}

/// Finishes a commit that was cut short between its barrier and its rename: the state file goes
/// only after the barrier, so a record without a state is a whole backup. Returns whether it was.
pub(crate) fn complete<F: Fs>(phone: &PhoneDir<'_, F>, id: &BackupId) -> Result<bool, StoreError> {
    let at = phone.at(&format!("staging/{id}"));
    let dir = phone
        .inner
        .fs
        .open(&phone.dir, &format!("staging/{id}"), Open::Directory)
        .at("open", &at)?;
    let Some(record) = valid(phone, &dir, id, &at)? else {
        return Ok(false);
    };
    install_marked(phone, Place::Staging, id, &dir, &record)?;
    Ok(true)
}

fn generations<F: Fs>(phone: &PhoneDir<'_, F>, report: &mut Recovery) -> Result<(), StoreError> {
    for id in phone.ids("gens")? {
        let at = phone.at(&format!("gens/{id}"));
        let dir = phone
            .inner
            .fs
            .open(&phone.dir, &format!("gens/{id}"), Open::Directory)
            .at("open", &at);
        match dir.and_then(|dir| valid(phone, &dir, &id, &at)) {
            Ok(Some(_)) => {}
            Ok(None) => {
                phone.set_aside("gens", &id, "quarantine")?;
                report.quarantined.push((phone.udid.clone(), id));
            }
            Err(error) if error.kind() == ErrorKind::Io => {
                tracing::error!(phone = %phone.udid, backup = %id, %error, "a backup cannot be looked at");
                report.unreadable.push((phone.udid.clone(), id));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the record when it, index and tree are there; an error that is not about
/// their content stays an error, for a bad moment must not cost a backup.
fn valid<F: Fs>(
    phone: &PhoneDir<'_, F>,
    dir: &F::Handle,
    id: &BackupId,
    at: &str,
) -> Result<Option<CommitRecord>, StoreError> {
    let record = match phone.commit_record(dir, id, at) {
        Ok(record) => record,
        Err(StoreError::Damaged { .. }) => return Ok(None),
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error),
    };
    for (name, kind) in [
        ("index.zst", Kind::Regular),
        (record.wire_udid.as_str(), Kind::Directory),
    ] {
        match phone.inner.fs.stat(dir, name) {
            Ok(stat) if stat.kind == kind => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).at("look at", at),
        }
    }
    Ok(Some(record))
}

/// What a working copy says of itself.
pub(crate) enum State {
    /// Nothing: its barrier has passed, or it was never begun.
    Absent,
    /// Something that makes no sense, or that a newer ibak said.
    Garbled,
    /// How far the phone got.
    Known(StateRecord),
}

pub(crate) fn state_of<F: Fs>(phone: &PhoneDir<'_, F>, id: &BackupId) -> Result<State, StoreError> {
    let path = format!("staging/{id}/state.json");
    match read_small(&phone.inner.fs, &phone.dir, &path, RECORD_MAX) {
        Ok(bytes) => Ok(match decode::<StateRecord>(&path, &bytes) {
            Ok(state) if state.format <= FORMAT => State::Known(state),
            Ok(_) | Err(_) => State::Garbled,
        }),
        Err(Errno::NOENT) => Ok(State::Absent),
        Err(Errno::FBIG | Errno::INVAL | Errno::ISDIR | Errno::LOOP) => Ok(State::Garbled),
        Err(errno) => Err(errno).at("read", phone.at(&path)),
    }
}

pub(crate) fn read_state<F: Fs>(
    phone: &PhoneDir<'_, F>,
    id: &BackupId,
) -> Result<Option<StateRecord>, StoreError> {
    Ok(match state_of(phone, id)? {
        State::Known(state) => Some(state),
        State::Absent | State::Garbled => None,
    })
}

/// Says whether the phone can go on from there. A clock that went back makes nothing old.
pub(crate) fn is_resumable(state: &StateRecord, now: Wall) -> bool {
    let young = now.saturating_since(Wall::from_micros(state.progress_unix_us)) < RESUME_AGE_MAX;
    match state.phase {
        Phase::Uploading | Phase::Moving | Phase::Removing | Phase::Committing => young,
        Phase::Cloning | Phase::New | Phase::Finished | Phase::Rekeyed | Phase::Dead => false,
    }
}

/// As [`is_rekeyed`]; a bad moment of the disk is no reason to give one up.
fn stays_rekeyed<F: Fs>(phone: &PhoneDir<'_, F>, state: &StateRecord) -> Result<bool, StoreError> {
    if state.phase != Phase::Rekeyed {
        return Ok(false);
    }
    match phone.list(Unreadable::Fail) {
        Ok(list) => Ok(is_rekeyed(state, &list)),
        Err(error) if error.kind() == ErrorKind::Io => Ok(true),
        Err(error) => Err(error),
    }
}

/// Says whether the next backup goes on in a working copy whose password was changed: as long as
/// what it was cloned from is the newest verified of these, oldest first.
pub(crate) fn is_rekeyed(state: &StateRecord, list: &[Generation]) -> bool {
    let newest = list.iter().rfind(|found| found.verified);
    match state.phase {
        Phase::Rekeyed => state.parent.as_deref() == newest.map(|found| found.id.as_str()),
        Phase::Cloning
        | Phase::New
        | Phase::Uploading
        | Phase::Moving
        | Phase::Removing
        | Phase::Finished
        | Phase::Committing
        | Phase::Dead => false,
    }
}
