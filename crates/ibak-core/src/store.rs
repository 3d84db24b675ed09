//! What the core needs to know of the store: how much room there is, and for how much.
//!
//! The store reports numbers; whether they are enough for one phone is decided here, so that
//! the fourth condition is as pure as the other three.

use crate::retention::{Candidate, Day};
use crate::{BackupId, Bytes, Now, Wall};
use std::time::Duration;

/// Bytes a phone wants free beyond what changed (phone.md §5), added to every estimate.
pub const MARGIN: Bytes = Bytes::new(128 * 1024 * 1024);

/// How many of the newest backups an estimate looks at.
const ESTIMATE_BACKUPS_MAX: usize = 5;

/// Why the store cannot take a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreTrouble {
    /// Its directory does not exist.
    Missing,
    /// It lies on the root file system, and the config does not say that it may.
    OnRoot,
    /// Its file system is mounted read-only.
    ReadOnly,
    /// The daemon may not write there.
    NoRights,
    /// Its file system lacks hard links or another ability the store needs.
    Unsupported,
    /// Another daemon holds its lock.
    Locked,
    /// It holds what no store of ours holds.
    Damaged,
    /// Reading or writing it failed.
    Failing,
    /// It is being moved.
    Moving,
    /// A newer ibak wrote it.
    Newer,
}

impl StoreTrouble {
    /// Lists all troubles.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::OnRoot,
        Self::ReadOnly,
        Self::NoRights,
        Self::Unsupported,
        Self::Locked,
        Self::Damaged,
        Self::Failing,
        Self::Moving,
        Self::Newer,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "store-missing",
            Self::OnRoot => "store-on-root",
            Self::ReadOnly => "store-read-only",
            Self::NoRights => "store-no-rights",
            Self::Unsupported => "store-unsupported",
            Self::Locked => "store-locked",
            Self::Damaged => "store-damaged",
            Self::Failing => "store-failing",
            Self::Moving => "store-moving",
            Self::Newer => "store-newer",
        }
    }
}

/// The store's numbers, as its file system and its own accounts tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreNumbers {
    /// Free on its file system.
    pub free: Bytes,
    /// Kept free whatever happens.
    pub reserve: Bytes,
    /// Used by the store.
    pub used: Bytes,
    /// The most the store may use; `None` without a quota.
    pub quota: Option<Bytes>,
}

impl StoreNumbers {
    /// Returns the most that one phone's backups may take on the disk: its own quota, or what the
    /// quota of all leaves it beside what is `promised` to others, whichever is less; `None` without
    /// either. The quota of all takes nothing away that it has.
    pub fn quota_of(&self, share: PhoneShare, promised: Bytes) -> Option<Bytes> {
        let of_all = self.quota.map(|quota| {
            let left = quota.get().saturating_sub(self.used.get());
            let left = left.saturating_sub(promised.get());
            Bytes::new(left.saturating_add(share.used.get()))
        });
        match (of_all, share.quota) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        }
    }

    /// Returns `min(free − reserve, quota − used)`, never below zero: what may still be written.
    pub fn available(&self) -> Bytes {
        let by_disk = self.free.get().saturating_sub(self.reserve.get());
        let by_quota = self.quota.map_or(u64::MAX, |quota| {
            quota.get().saturating_sub(self.used.get())
        });
        Bytes::new(by_disk.min(by_quota))
    }
}

/// What was seen of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreReport {
    /// It can take backups within these numbers.
    Open(StoreNumbers),
    /// It cannot take backups.
    Unavailable(StoreTrouble),
}

/// A [`StoreReport`] with its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreObservation {
    /// What was seen.
    pub report: StoreReport,
    /// When it was seen.
    pub at: Now,
    /// For how long it may be believed; `None` until the next report.
    pub time_to_live: Option<Duration>,
}

/// The store's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StorageState {
    /// There is room.
    Ok,
    /// What is left is less than the reserve itself.
    Low,
    /// Nothing is left above the reserve or under the quota.
    Full,
    /// It cannot take backups.
    Unavailable,
    /// It has not been looked at, or too long ago.
    Unknown,
}

impl StorageState {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Low => "low",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }

    /// Names the state of a store.
    pub fn of(report: Option<&StoreReport>) -> Self {
        match report {
            None => Self::Unknown,
            // It is about to be looked at where it lies then.
            Some(StoreReport::Unavailable(StoreTrouble::Moving)) => Self::Unknown,
            Some(StoreReport::Unavailable(_)) => Self::Unavailable,
            Some(StoreReport::Open(numbers)) => match numbers.available() {
                Bytes::ZERO => Self::Full,
                left if left < numbers.reserve => Self::Low,
                _ => Self::Ok,
            },
        }
    }
}

/// One committed backup, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// Which backup.
    pub id: BackupId,
    /// When it was committed.
    pub finished: Wall,
    /// All it holds, shared or not.
    pub size: Bytes,
    /// What it added to the store when it was made.
    pub added: Bytes,
    /// Whether it is under a password.
    pub encrypted: bool,
    /// The day it was committed on, in the calendar of the house.
    pub day: Day,
    /// Whether it is good as far as anybody knows.
    pub verified: bool,
    /// Whether a person, or the guard against backups that lost too much, holds it.
    pub pinned: bool,
    /// Whether another program made it, and it was taken in.
    pub adopted: bool,
}

impl BackupFacts {
    /// Returns what retention needs of it.
    pub fn candidate(&self) -> Candidate {
        Candidate {
            id: self.id.clone(),
            day: self.day,
            verified: self.verified,
            pinned: self.pinned,
        }
    }
}

/// All that the store holds of one phone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneBackups {
    /// Its committed backups, in any order.
    pub committed: Vec<BackupFacts>,
    /// Bytes of an unfinished backup which the next one resumes, and which need not come again.
    pub staged: Bytes,
    /// What all of it takes on the disk.
    pub used: Bytes,
}

/// What one phone's backups may use, and do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhoneShare {
    /// What they take on the disk.
    pub used: Bytes,
    /// The most they may take; `None` without a quota of their own.
    pub quota: Option<Bytes>,
}

impl PhoneShare {
    /// Returns what its quota leaves; `None` without one.
    pub fn left(&self) -> Option<Bytes> {
        self.quota
            .map(|quota| Bytes::new(quota.get().saturating_sub(self.used.get())))
    }
}

/// From what the need of a backup was estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// From the bytes in use on the phone: a first backup is not larger.
    DataUsed,
    /// From the sizes of earlier backups and how they grew.
    EarlierBackups,
    /// From the larger of both, because everything will be sent again.
    Full,
    /// A backup is running; how much of it is left is between the phone and the store.
    Running,
}

impl Basis {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DataUsed => "data-used",
            Self::EarlierBackups => "earlier-backups",
            Self::Full => "full",
            Self::Running => "running",
        }
    }
}

/// How much the next backup of a phone will write, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// How much, the margin included.
    pub needed: Bytes,
    /// From what.
    pub basis: Basis,
}

/// The room in the store, and what one backup needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The store's numbers.
    pub store: StoreNumbers,
    /// The phone's own share of it.
    pub share: PhoneShare,
    /// What the running backups of other phones are still expected to write.
    pub promised: Bytes,
    /// What the next backup of this phone is expected to write.
    pub estimate: Estimate,
}

impl Room {
    /// Returns what is left for this phone.
    pub fn available(&self) -> Bytes {
        let left = self.store.available().get();
        let left = Bytes::new(left.saturating_sub(self.promised.get()));
        self.share.left().map_or(left, |share| share.min(left))
    }

    /// Tells whether the backup fits. Nothing fits into a store that has nothing left.
    pub fn fits(&self) -> bool {
        let available = self.available();
        available > Bytes::ZERO && self.estimate.needed <= available
    }
}

/// Estimates what the next backup writes; `None` when it is the first and `data_used` is not
/// known.
///
/// A first backup writes at most what the phone has in use. A later one writes about as much
/// as the most that one of the last five added, at least a tenth of the last size, and at
/// least the last growth in size. The phone begins anew from the newest good one, so what damaged
/// ones after it added comes once more. What is staged already need not come again.
///
/// ```
/// use ibak_core::{estimate, Bytes, PhoneBackups};
/// let first = estimate(&PhoneBackups::default(), Some(Bytes::new(40 << 30)), false);
/// assert!(first.is_some_and(|it| it.needed > Bytes::new(40 << 30)));
/// assert_eq!(estimate(&PhoneBackups::default(), None, false), None);
/// ```
pub fn estimate(backups: &PhoneBackups, data_used: Option<Bytes>, full: bool) -> Option<Estimate> {
    let mut newest: Vec<&BackupFacts> = backups.committed.iter().collect();
    newest.sort_by(|a, b| b.id.cmp(&a.id));
    let damaged = again_for_damage(&newest);
    newest.truncate(ESTIMATE_BACKUPS_MAX);
    let (changed, basis) = match (newest.first(), data_used) {
        (None, None) => return None,
        (None, Some(used)) => (used.get(), Basis::DataUsed),
        (Some(last), used) if full => {
            (last.size.get().max(used.map_or(0, Bytes::get)), Basis::Full)
        }
        (Some(last), _) => {
            // The first backup added all of itself and says nothing about a later one.
            let incrementals = newest.iter().filter(|it| it.added < it.size);
            let added = incrementals.map(|it| it.added.get()).max().unwrap_or(0);
            let before = newest.get(1).map_or(last.size, |it| it.size);
            let grown = last.size.get().saturating_sub(before.get());
            (
                added
                    .max(grown)
                    .max(last.size.get() / 10)
                    .saturating_add(damaged),
                Basis::EarlierBackups,
            )
        }
    };
    let missing = changed.saturating_sub(backups.staged.get());
    Some(Estimate {
        needed: Bytes::new(missing.saturating_add(MARGIN.get())),
        basis,
    })
}

/// Returns what the damaged backups after the newest good one added.
fn again_for_damage(newest: &[&BackupFacts]) -> u64 {
    let good = newest.iter().position(|it| it.verified).unwrap_or(0);
    let damaged = newest.iter().take(good).map(|it| it.added.get());
    damaged.fold(0, u64::saturating_add)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
