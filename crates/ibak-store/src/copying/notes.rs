//! What is known of a phone's backups, on its way.

use super::Copying;
use super::phone::Both;
use crate::error::{Context, StoreError};
use crate::fs::util::{read_small, replace};
use crate::fs::{Errno, Fs};
use crate::marks::Findings;
use crate::record::RECORD_MAX;
use ibak_core::BackupId;

impl<F: Fs, G: Fs> Copying<'_, F, G> {
    /// Brings pins and the findings of readings, before the backups they speak of.
    pub(super) fn notes(&self, both: &Both<'_, F, G>) -> Result<(), StoreError> {
        if self.is_new {
            self.pins(both)?;
        } else {
            self.more_pins(both)?;
        }
        let known = both.from.checks()?;
        let mut there = both.to.checks()?;
        let before = there.clone();
        there.lost |= known.lost;
        for (id, check) in known.checks {
            let own = there.checks.entry(id).or_default();
            own.checked_unix_us = check.checked_unix_us;
            own.damaged = with(&own.damaged, check.damaged);
        }
        if there != before {
            both.to.write_small("checks.json", &there)?;
        }
        Ok(())
    }

    fn pins(&self, both: &Both<'_, F, G>) -> Result<(), StoreError> {
        let name = "pins.json";
        match read_small(&self.from.fs, &both.from.dir, name, RECORD_MAX) {
            Ok(bytes) => {
                replace(&self.to.fs, &both.to.dir, name, &bytes).at("write", both.to.at(name))
            }
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).at("read", both.from.at(name)),
        }
    }

    /// Adds the pins to those of a copy that has been a store of its own since.
    fn more_pins(&self, both: &Both<'_, F, G>) -> Result<(), StoreError> {
        let known = both.from.pins()?;
        let _guard = self.to.records();
        let mut there = both.to.pins()?;
        let before = there.clone();
        for id in known.pinned {
            if !there.pinned.contains(&id) {
                there.pinned.push(id);
            }
        }
        there.pinned.sort();
        for guard in known.guarded {
            if there.guarded.iter().all(|other| other.id != guard.id) {
                there.guarded.push(guard);
            }
        }
        if there == before {
            return Ok(());
        }
        both.to.write_small("pins.json", &there)
    }

    /// Notes at the target what a backup arrives with, before it is seen there.
    pub(super) fn mark(
        &self,
        both: &Both<'_, F, G>,
        id: &BackupId,
        damaged: &Findings,
    ) -> Result<(), StoreError> {
        both.to.add_findings(id, damaged.to_vec())
    }
}

/// Adds what is not there yet, up to the bound of what is kept.
fn with(known: &[String], more: Vec<String>) -> Vec<String> {
    let mut all: Findings = known.iter().cloned().collect();
    let is_new = more.iter().any(|what| !all.contains(what));
    if !is_new {
        return known.to_vec();
    }
    all.extend(more);
    all.to_vec()
}
