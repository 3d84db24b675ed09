//! Emergency room: what goes when a phone says that its backup does not fit (phone.md §5).

use crate::clock::Clock;
use ibak_core::retention::{Candidate, make_room_at};
use ibak_core::{BackupId, Bytes, ClockTrust, Udid};
use ibak_store::{Staging, Store, StoreError};
use tracing::{info, warn};

/// What was removed to make room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// How many backups.
    pub removed: u32,
    /// What that freed.
    pub freed: Bytes,
}

/// What may be done about a full store, once for each job.
pub struct RoomMaker {
    /// Whose backup it is for.
    pub phone: Udid,
    /// Where backups lie.
    pub store: Store,
    /// What the phone holds at most, if it said so: it needs no more.
    pub capacity: Option<Bytes>,
    /// Whether dates can be believed.
    pub trust: ClockTrust,
    /// The present.
    pub clock: Clock,
    /// What was done, once it was.
    pub made: Option<Made>,
}

impl RoomMaker {
    /// Removes the oldest backups that may go until `amount` more bytes are free; answers what
    /// became free, 0 when that cannot be had: then nothing is removed.
    ///
    /// # Errors
    /// The store's, when something may have been removed already.
    pub(super) fn make(&mut self, staging: &mut Staging, amount: u64) -> Result<u64, StoreError> {
        if self.made.is_some() {
            info!(amount, "the phone asks for more room once more");
            return Ok(0);
        }
        self.made = Some(Made::default());
        let needed = Bytes::new(amount).min(self.capacity.unwrap_or(Bytes::new(amount)));
        let (udid, now) = (self.phone.clone(), self.clock.now().wall);
        // What was removed already and still takes room goes first.
        let free = staging.make_room(&[])?;
        let needed = Bytes::new(needed.get().saturating_sub(free));
        if needed == Bytes::ZERO {
            return Ok(free);
        }
        let parent = staging.parent().cloned();
        let candidates: Vec<Candidate> = self
            .store
            .list(&udid)?
            .iter()
            .map(|found| {
                let mut candidate = super::facts(found).candidate();
                // What is built on stays.
                candidate.pinned |= parent.as_ref() == Some(&found.id);
                candidate
            })
            .collect();
        let mut failed = None;
        let gain = |ids: &[BackupId]| match self.store.gains(&udid, ids) {
            Ok(bytes) => Bytes::new(bytes),
            Err(error) => {
                failed = Some(error);
                Bytes::ZERO
            }
        };
        let chosen = make_room_at(&candidates, needed, self.trust, now, gain);
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(ids) = chosen else {
            warn!(
                needed = needed.get(),
                "no old backups may go that would make room enough"
            );
            return Ok(free);
        };
        let freed = staging.make_room(&ids)?.saturating_add(free);
        let made = Made {
            removed: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            freed: Bytes::new(freed),
        };
        info!(
            removed = made.removed,
            freed, "old backups went to make room"
        );
        self.made = Some(made);
        Ok(freed)
    }
}
