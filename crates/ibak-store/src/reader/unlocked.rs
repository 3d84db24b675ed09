//! Whether a password opens a backup, without the phone.

use super::{FileKind, Filter, Reader};
use crate::error::StoreError;
use crate::fs::Fs;
use crate::keybag::{ClassKeys, Unlocking};
use ibak_core::Secret;
use std::ops::ControlFlow;

impl<F: Fs> Reader<F> {
    /// Proves a password along the whole chain: it opens the keybag, that opens the list of files,
    /// which is one, and that has a file whose key opens. Returns the keys that were proved.
    ///
    /// # Errors
    /// `Keybag` with `WrongPassword`, `NotEncrypted`, `Cancelled`, `Damaged`, or a system call's.
    pub fn check_password(
        &self,
        password: &Secret,
        watch: &dyn Unlocking,
    ) -> Result<ClassKeys, StoreError> {
        let keybag = self.keybag()?.ok_or(StoreError::NotEncrypted)?;
        let keys = keybag.unlock(password, watch)?;
        let catalogue = self.catalogue_watched(Some(&keys), watch)?;
        let mut proved = None;
        catalogue.for_each(&Filter::default(), &mut |entry| {
            if watch.cancelled() {
                return ControlFlow::Break(());
            }
            // An empty file may come without a key.
            if entry.kind == FileKind::File && entry.size > 0 {
                proved = catalogue.proves(&entry);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        match proved {
            Some(false) => Err(StoreError::damaged("the key of its first file")),
            // A backup without a single file proves no more than that.
            None if watch.cancelled() => Err(StoreError::Cancelled),
            Some(true) | None => Ok(keys),
        }
    }
}
