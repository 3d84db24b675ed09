//! What keeps an adopted backup, and the one it follows, from being removed by a plan.

use super::Adopting;
use super::origin::Origin;
use crate::error::{Context, StoreError};
use crate::fs::util::read_small;
use crate::fs::{Errno, Fs};
use crate::guard::{self, Shape};
use crate::phone::PhoneDir;
use crate::record::{Generation, PinsRecord, RECORD_MAX, Seal, decode, seal_of};

impl<F: Fs> Adopting<F> {
    /// Pins it, before it is there: it is old, and no plan shall remove what somebody was just
    /// told is taken in. What a crash leaves of it speaks of nothing.
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        let phone = self.staging.phone()?;
        let _guard = self.staging.inner.records();
        let mut pins = pins_of(&phone)?;
        pins.pinned.push(self.staging.id.as_str().to_owned());
        pins.pinned.sort();
        phone.write_small("pins.json", &pins)
    }

    /// Takes back the pin of one that did not become a backup.
    pub(super) fn let_go(&self) -> Result<(), StoreError> {
        let id = &self.staging.id;
        let phone = self.staging.phone()?;
        let _guard = self.staging.inner.records();
        let mut pins = pins_of(&phone)?;
        let is_pinned = pins.pinned.iter().any(|pin| pin == id.as_str());
        if !is_pinned || phone.ids("gens")?.contains(id) {
            return Ok(());
        }
        pins.pinned.retain(|pin| pin != id.as_str());
        phone.write_small("pins.json", &pins)
    }

    /// Guards the backup it follows, as a commit does, if it becomes the newest and has lost too
    /// much (guard.rs).
    pub(super) fn guard_the_one_before(
        &self,
        committed: &[Generation],
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let before = committed.iter().rfind(|found| found.verified);
        let Some(before) = before.or(committed.last()) else {
            return Ok(());
        };
        if committed.iter().any(|found| found.id > self.staging.id) {
            return Ok(());
        }
        let old = Shape {
            files: before.files,
            bytes: before.size_bytes,
            encrypted: before.encrypted,
        };
        let (mut files, mut bytes) = (0_u64, 0_u64);
        for (_, received) in self.staging.ledger.iter() {
            files += 1;
            bytes = bytes.saturating_add(received.size);
        }
        let new = Shape {
            files,
            bytes,
            encrypted: origin.keybag_uuid.is_some(),
        };
        let Some(why) = guard::why(old, new) else {
            return Ok(());
        };
        tracing::warn!(phone = %self.staging.udid, backup = %before.id, why, "this backup is kept until a person has looked");
        self.staging.phone()?.guard(&before.id, why)
    }
}

/// Reads the pins to write them again: a bad moment of the disk must not cost them.
fn pins_of<F: Fs>(phone: &PhoneDir<'_, F>) -> Result<PinsRecord, StoreError> {
    const NAME: &str = "pins.json";
    let bytes = match read_small(&phone.inner.fs, &phone.dir, NAME, RECORD_MAX) {
        Ok(bytes) => bytes,
        Err(Errno::NOENT) => return Ok(PinsRecord::default()),
        Err(errno) => return Err(errno).at("read", phone.at(NAME)),
    };
    match decode(NAME, &bytes) {
        Ok(pins) if seal_of(&bytes) != Seal::Broken => Ok(pins),
        Ok(_) | Err(_) => phone.pins(),
    }
}
