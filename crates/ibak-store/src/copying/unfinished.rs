//! The working copy that the next backup goes on in, on its way.

use super::Copying;
use super::phone::Both;
use super::tree::{Before, Expected, Tree};
use crate::error::{Context, StoreError};
use crate::fs::util::{ensure_dir, read_small, remove_all};
use crate::fs::{Errno, Fs, Open};
use crate::record::{Phase, RECORD_MAX};
use crate::recovery::read_state;
use crate::staging::Claim;
use ibak_core::BackupId;

impl<F: Fs, G: Fs> Copying<'_, F, G> {
    /// Brings the working copy that the next backup can go on in.
    pub(super) fn staging(&mut self, both: &mut Both<'_, F, G>) -> Result<(), StoreError> {
        let _claim = match Claim::take(self.from, &both.from.udid) {
            Ok(claim) => claim,
            Err(StoreError::Busy(udid) | StoreError::LayingOut(udid)) => {
                if !self.copied.left.contains(&udid) {
                    self.copied.left.push(udid);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut wanted = None;
        for id in both.from.ids("staging")?.into_iter().rev() {
            let state = read_state(&both.from, &id)?;
            if wanted.is_none() && state.is_some_and(|state| is_of_use(state.phase)) {
                wanted = Some(id);
            }
        }
        for id in both.to.ids("staging")? {
            if wanted.as_ref() == Some(&id) && self.is_as_far(both, &id)? {
                wanted = None;
            } else {
                both.to.set_aside("staging", &id, "trash")?;
            }
        }
        let Some(id) = wanted else {
            return Ok(());
        };
        let (here, there) = (self.from.fs.clone(), self.to.fs.clone());
        let from = here
            .open(&both.from.dir, &format!("staging/{id}"), Open::Directory)
            .at("open", &id)?;
        remove_all(&there, &both.waiting, id.as_str()).at("remove", &id)?;
        let to = ensure_dir(&there, &both.waiting, id.as_str()).at("create", &id)?;
        both.links.enter(format!("staging/{id}"));
        Tree {
            copying: self,
            links: &mut both.links,
            phone: &both.to.dir,
            before: Before::default(),
            expected: Expected::default(),
        }
        .all_as_it_is((&from, &to))?;
        self.install(both, id.as_str(), "staging")
    }

    /// Says whether the working copy at the target got as far as the one here.
    fn is_as_far(&self, both: &Both<'_, F, G>, id: &BackupId) -> Result<bool, StoreError> {
        for name in ["state.json", "received.log"] {
            let path = format!("staging/{id}/{name}");
            let here = absent(read_small(&self.from.fs, &both.from.dir, &path, RECORD_MAX));
            let there = absent(read_small(&self.to.fs, &both.to.dir, &path, RECORD_MAX));
            if here.at("read", both.from.at(&path))? != there.at("read", both.to.at(&path))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn absent(read: Result<Vec<u8>, Errno>) -> Result<Option<Vec<u8>>, Errno> {
    match read {
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    }
}

fn is_of_use(phase: Phase) -> bool {
    match phase {
        Phase::Uploading | Phase::Moving | Phase::Removing | Phase::Committing | Phase::Rekeyed => {
            true
        }
        Phase::Cloning | Phase::New | Phase::Finished | Phase::Dead => false,
    }
}
