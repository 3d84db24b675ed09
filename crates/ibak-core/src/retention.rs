//! Which backups stay: the newest, one for each of the last days, weeks, months and years, what a
//! person pinned, and always a good one.
//!
//! Plans are values with their reasons; the store applies them. Counting is restic's: a rule takes
//! the newest backup of each of its latest periods that have one, so that a pause of months or a
//! clock that jumped ahead costs nothing by itself.

use crate::{BackupId, Bytes, Wall};
use std::collections::BTreeSet;

/// How many backups of each kind stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many. Default 3; at least 1.
    pub last: u16,
    /// One for each of so many days. Default 7.
    pub daily: u16,
    /// One for each of so many weeks, which begin on Monday. Default 5.
    pub weekly: u16,
    /// One for each of so many months. Default 12.
    pub monthly: u16,
    /// One for each of so many years. Default 0.
    pub yearly: u16,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            last: 3,
            daily: 7,
            weekly: 5,
            monthly: 12,
            yearly: 0,
        }
    }
}

/// Days since 1970-01-01 in the calendar of the house.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// Returns the number of its week, counted from the one of 1970-01-01.
    const fn week(self) -> i64 {
        // That was a Thursday.
        (self.0 as i64 + 3).div_euclid(7)
    }

    /// Tells whether it lies in the future wherever on earth the house is.
    fn is_after(self, now: Wall) -> bool {
        i64::from(self.0) > now.as_secs().div_euclid(86_400) + 1
    }

    /// Returns its year, and its month from 1 to 12, in the Gregorian calendar.
    pub fn month(self) -> (i64, i64) {
        // Years that begin in March, in cycles of 400 years.
        let days = i64::from(self.0) + 719_468;
        let cycle = days.div_euclid(146_097);
        let in_cycle = days.rem_euclid(146_097);
        let year =
            (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096).div_euclid(365);
        let in_year = in_cycle - (365 * year + year / 4 - year / 100);
        let from_march = (5 * in_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        (year + cycle * 400 + i64::from(month <= 2), month)
    }
}

/// One committed backup, as far as retention needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which backup; ids sort by time.
    pub id: BackupId,
    /// The day it was committed on.
    pub day: Day,
    /// Whether it is good as far as anybody knows.
    pub verified: bool,
    /// Whether a person, or the guard against backups that lost too much, holds it.
    pub pinned: bool,
}

/// Why a backup stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is pinned.
    Pinned,
    /// It is the newest that is known to be good.
    NewestVerified,
    /// It is one of the last.
    Last,
    /// It is the newest of its day.
    Daily,
    /// It is the newest of its week.
    Weekly,
    /// It is the newest of its month.
    Monthly,
    /// It is the newest of its year.
    Yearly,
    /// A newer one is not known to be good.
    NewerDamaged,
    /// The clock, or its date, cannot be trusted, so it does not go.
    ClockJumped,
}

impl Reason {
    /// Lists all reasons.
    pub const ALL: [Self; 9] = [
        Self::Pinned,
        Self::NewestVerified,
        Self::Last,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Yearly,
        Self::NewerDamaged,
        Self::ClockJumped,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::NewestVerified => "newest-verified",
            Self::Last => "last",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::NewerDamaged => "newer-damaged",
            Self::ClockJumped => "clock-jumped",
        }
    }
}

/// Whether dates can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClockTrust {
    /// They can.
    Steady,
    /// The wall clock jumped against the monotonic one.
    Jumped,
}

/// What becomes of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Which backup.
    pub id: BackupId,
    /// Why it stays; without a reason it goes.
    pub reasons: BTreeSet<Reason>,
}

/// Says what [`retain_at`] says, of backups whose dates are all believed.
fn retain(backups: &[Candidate], keep: Keep, clock: ClockTrust) -> Vec<Fate> {
    let mut newest: Vec<&Candidate> = backups.iter().collect();
    newest.sort_by(|a, b| b.id.cmp(&a.id));
    let good: Vec<&Candidate> = newest.iter().copied().filter(|it| it.verified).collect();
    let mut plan: Vec<Fate> = newest
        .iter()
        .map(|it| Fate {
            id: it.id.clone(),
            reasons: BTreeSet::new(),
        })
        .collect();
    // A damaged backup takes no good one's place: both lists are counted.
    for list in [&good, &newest] {
        for (reason, id) in by_rule(list, keep) {
            give(&mut plan, id, reason);
        }
    }
    if let Some(first) = good.first() {
        give(&mut plan, &first.id, Reason::NewestVerified);
    }
    let mut newer_damaged = false;
    for (fate, backup) in plan.iter_mut().zip(&newest) {
        if backup.pinned {
            fate.reasons.insert(Reason::Pinned);
        }
        if newer_damaged {
            fate.reasons.insert(Reason::NewerDamaged);
        }
        newer_damaged |= !backup.verified;
        if clock == ClockTrust::Jumped {
            fate.reasons.insert(Reason::ClockJumped);
        }
    }
    plan
}

/// Says of each backup why it stays, newest first; one without a reason goes.
///
/// A backup with a date after `now` stays, and takes the place of none that came since. Such dates
/// are left by a clock that was ahead for a while; beside them every new backup would look like the
/// oldest.
///
/// ```
/// use ibak_core::retention::{Candidate, ClockTrust, Day, Keep, retain_at};
/// use ibak_core::{BackupId, Wall};
/// let one = |n: u8, day| Candidate {
///     id: BackupId::parse(&format!("01JD8Z3YQ9V6W2X4T5R7P8N0{n:02}")).unwrap(),
///     day: Day(day),
///     verified: true,
///     pinned: false,
/// };
/// let keep = Keep { last: 1, daily: 2, weekly: 0, monthly: 0, yearly: 0 };
/// let now = Wall::from_secs(12 * 86_400);
/// let backups = [one(1, 10), one(2, 11), one(3, 11), one(4, 12)];
/// let plan = retain_at(&backups, keep, ClockTrust::Steady, now);
/// let gone: Vec<bool> = plan.iter().map(|it| it.reasons.is_empty()).collect();
/// assert_eq!(gone, [false, false, true, true]);
/// ```
pub fn retain_at(backups: &[Candidate], keep: Keep, clock: ClockTrust, now: Wall) -> Vec<Fate> {
    let (believed, future): (Vec<Candidate>, Vec<Candidate>) = backups
        .iter()
        .cloned()
        .partition(|it| !it.day.is_after(now));
    let mut plan = retain(&future, keep, ClockTrust::Jumped);
    let first = plan.len();
    plan.extend(retain(&believed, keep, clock));
    if future.iter().any(|it| !it.verified) {
        for fate in plan.iter_mut().skip(first) {
            fate.reasons.insert(Reason::NewerDamaged);
        }
    }
    plan
}

fn give(plan: &mut [Fate], id: &BackupId, reason: Reason) {
    if let Some(fate) = plan.iter_mut().find(|it| &it.id == id) {
        fate.reasons.insert(reason);
    }
}

/// Lists what the counting rules keep of a list, newest first.
fn by_rule<'a>(newest: &[&'a Candidate], keep: Keep) -> Vec<(Reason, &'a BackupId)> {
    let last = newest.iter().take(usize::from(keep.last.max(1)));
    let mut kept: Vec<_> = last.map(|it| (Reason::Last, &it.id)).collect();
    type Period = fn(Day) -> (i64, i64);
    let rules: [(Reason, u16, Period); 4] = [
        (Reason::Daily, keep.daily, |day| (i64::from(day.0), 0)),
        (Reason::Weekly, keep.weekly, |day| (day.week(), 0)),
        (Reason::Monthly, keep.monthly, Day::month),
        (Reason::Yearly, keep.yearly, |day| (day.month().0, 0)),
    ];
    for (reason, count, period) in rules {
        let mut seen = BTreeSet::new();
        for backup in newest {
            if seen.len() >= usize::from(count) {
                break;
            }
            if seen.insert(period(backup.day)) {
                kept.push((reason, &backup.id));
            }
        }
    }
    kept
}

/// Backups that emergency retention always leaves, the newest ones (phone.md §5).
pub const EMERGENCY_LEAVES: u16 = 3;

/// Chooses backups to remove so that `needed` becomes free: the oldest first, and no more than it
/// takes. `None` when all that may go would not be enough: then nothing goes.
///
/// Never a pinned one, never the newest good one, never one of the newest three, none with a date
/// in the future, none while a newer one is damaged, and none while the clock cannot be trusted.
/// `gain` tells what removing these together frees.
pub fn make_room_at(
    backups: &[Candidate],
    needed: Bytes,
    clock: ClockTrust,
    now: Wall,
    gain: impl FnMut(&[BackupId]) -> Bytes,
) -> Option<Vec<BackupId>> {
    shortest(retain_at(backups, EMERGENCY, clock, now), needed, gain)
}

/// What stays in need.
const EMERGENCY: Keep = Keep {
    last: EMERGENCY_LEAVES,
    daily: 0,
    weekly: 0,
    monthly: 0,
    yearly: 0,
};

/// Returns the shortest list of the oldest that frees enough.
fn shortest(
    plan: Vec<Fate>,
    needed: Bytes,
    mut gain: impl FnMut(&[BackupId]) -> Bytes,
) -> Option<Vec<BackupId>> {
    let mut may_go: Vec<BackupId> = plan
        .into_iter()
        .filter(|fate| fate.reasons.is_empty())
        .map(|fate| fate.id)
        .collect();
    may_go.reverse();
    // What a longer prefix frees is never less, so the shortest that suffices is searched for.
    // Should `gain` err meanwhile, more may go than must, and never what may not.
    if needed == Bytes::ZERO || gain(&may_go) < needed {
        return None;
    }
    let (mut short, mut enough) = (0, may_go.len());
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        let frees = may_go.get(..middle).map_or(Bytes::ZERO, &mut gain);
        if frees >= needed {
            enough = middle;
        } else {
            short = middle;
        }
    }
    may_go.truncate(enough);
    Some(may_go)
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
