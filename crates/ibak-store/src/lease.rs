//! Who reads a backup, and that nothing is removed while somebody does (I8).

use crate::error::StoreError;
use crate::fs::{Fs, RealFs};
use crate::store::{Inner, Store};
use ibak_core::BackupId;
use std::sync::Arc;

/// The right to read a backup; it lasts until it is dropped.
pub(crate) struct Lease<F: Fs> {
    inner: Arc<Inner<F>>,
    id: BackupId,
}

impl<F: Fs> Lease<F> {
    /// Takes a lease, before the backup is opened.
    pub(crate) fn take(inner: &Arc<Inner<F>>, id: &BackupId) -> Result<Self, StoreError> {
        let mut sessions = inner.sessions();
        if sessions.leaving.contains(id) {
            return Err(StoreError::NoSuchBackup(id.clone()));
        }
        let count = sessions.leases.entry(id.clone()).or_default();
        *count = count.saturating_add(1);
        Ok(Self {
            inner: Arc::clone(inner),
            id: id.clone(),
        })
    }
}

impl<F: Fs> Drop for Lease<F> {
    fn drop(&mut self) {
        let mut sessions = self.inner.sessions();
        if let Some(count) = sessions.leases.get_mut(&self.id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                sessions.leases.remove(&self.id);
            }
        }
    }
}

/// The right to remove a backup: while it lasts nobody begins to read it. Whatever removes one
/// has to hold this.
pub struct Removal<F: Fs = RealFs> {
    inner: Arc<Inner<F>>,
    id: BackupId,
}

impl<F: Fs> Removal<F> {
    /// Returns the backup that may be removed.
    pub fn id(&self) -> &BackupId {
        &self.id
    }
}

impl<F: Fs> Drop for Removal<F> {
    fn drop(&mut self) {
        self.inner.sessions().leaving.remove(&self.id);
    }
}

impl<F: Fs> Store<F> {
    /// Asks for the right to remove a backup.
    ///
    /// # Errors
    /// `InUse` while anybody reads it or builds on it, or another removal of it is under way.
    pub fn claim_removal(&self, id: &BackupId) -> Result<Removal<F>, StoreError> {
        let mut sessions = self.inner.sessions();
        if sessions.leases.contains_key(id) || !sessions.leaving.insert(id.clone()) {
            return Err(StoreError::InUse(id.clone()));
        }
        Ok(Removal {
            inner: Arc::clone(&self.inner),
            id: id.clone(),
        })
    }
}
