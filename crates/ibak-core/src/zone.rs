//! The house's local time, as far as deciding needs it: an offset from UTC and when it changes.
//!
//! The shell reads the time zone's rules and hands the core a table; the core only counts.

use crate::{Day, Wall};

/// Seconds of a day without a clock change.
pub(crate) const DAY_SECS: i64 = 86_400;
/// Most changes that are kept: ten years of a zone with summer time.
pub const CHANGES_MAX: usize = 20;

/// A local date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil {
    /// The day.
    pub day: Day,
    /// Seconds since its midnight as a clock on the wall shows them, 0 to 86 399.
    pub second: u32,
}

/// How local time follows from UTC around the present.
///
/// ```
/// use ibak_core::{Wall, Zone};
/// // Berlin in the autumn of 2026: summer time until 25 October, 01:00 UTC.
/// let berlin = Zone::new(7200, vec![(Wall::from_secs(1_792_890_000), 3600)]);
/// let before = berlin.civil(Wall::from_secs(1_792_889_999));
/// let after = berlin.civil(Wall::from_secs(1_792_890_000));
/// assert_eq!((before.second, after.second), (3 * 3600 - 1, 2 * 3600));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    first: i32,
    changes: Vec<(Wall, i32)>,
}

impl Zone {
    /// Makes a zone from the offset that holds before the first change, in seconds east of UTC,
    /// and the changes, each with the offset from there on. Offsets are held within a day, changes
    /// are put in order, and those beyond [`CHANGES_MAX`] are left out.
    pub fn new(first: i32, mut changes: Vec<(Wall, i32)>) -> Self {
        let day = 86_399;
        changes.sort_by_key(|(at, _)| *at);
        changes.truncate(CHANGES_MAX);
        for (_, offset) in &mut changes {
            *offset = (*offset).clamp(-day, day);
        }
        Self {
            first: first.clamp(-day, day),
            changes,
        }
    }

    /// Returns the offset that holds at this moment, in seconds east of UTC.
    pub fn offset_at(&self, at: Wall) -> i32 {
        let past = self.changes.iter().take_while(|(when, _)| *when <= at);
        past.last().map_or(self.first, |(_, offset)| *offset)
    }

    /// Returns what a clock on the wall shows at this moment.
    pub fn civil(&self, at: Wall) -> Civil {
        let local = at.as_secs().saturating_add(i64::from(self.offset_at(at)));
        let day = i32::try_from(local.div_euclid(DAY_SECS)).unwrap_or(i32::MAX);
        Civil {
            day: Day(day),
            second: u32::try_from(local.rem_euclid(DAY_SECS)).unwrap_or(0),
        }
    }

    /// Returns when the day after this moment's begins.
    pub(crate) fn day_after(&self, at: Wall) -> Wall {
        let today = self.civil(at).day;
        let midnight = Civil {
            day: Day(today.0.saturating_add(1)),
            second: 0,
        };
        let begins = self.moments(midnight).filter(|it| *it > at).min();
        begins.unwrap_or(at + std::time::Duration::from_secs(DAY_SECS.unsigned_abs()))
    }

    /// Lists the changes from now on that come within so many seconds.
    pub(crate) fn changes_within(&self, now: Wall, secs: i64) -> impl Iterator<Item = Wall> + '_ {
        let last = now.as_secs().saturating_add(secs);
        let all = self.changes.iter().map(|(at, _)| *at);
        all.filter(move |at| *at > now && at.as_secs() <= last)
    }

    /// Lists every moment at which a clock on the wall comes to show this, or jumps past it: one
    /// as a rule, two when the hour is shown twice.
    pub(crate) fn moments(&self, civil: Civil) -> impl Iterator<Item = Wall> + '_ {
        let local = i64::from(civil.day.0) * DAY_SECS + i64::from(civil.second);
        let offsets = std::iter::once(self.first).chain(self.changes.iter().map(|it| it.1));
        let shown = offsets
            .map(move |offset| Wall::from_secs(local - i64::from(offset)))
            .filter(move |at| self.civil(*at) == civil);
        let skipped = self.changes.iter().map(|(at, _)| *at).filter(move |at| {
            let before = Wall::from_micros(at.as_micros() - 1);
            self.civil(before) < civil && self.civil(*at) > civil
        });
        shown.chain(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 October 2026, 01:00 UTC.
    const AUTUMN: i64 = 1_792_890_000;
    /// 29 March 2026, 01:00 UTC.
    const SPRING: i64 = 1_774_746_000;

    fn berlin() -> Zone {
        Zone::new(
            3600,
            vec![
                (Wall::from_secs(SPRING), 7200),
                (Wall::from_secs(AUTUMN), 3600),
            ],
        )
    }

    #[test]
    fn an_hour_shown_twice_has_two_moments_and_one_skipped_has_one() {
        let zone = berlin();
        let day = zone.civil(Wall::from_secs(AUTUMN)).day;
        let at = |day, second| {
            let mut found: Vec<i64> = zone
                .moments(Civil { day, second })
                .map(Wall::as_secs)
                .collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        assert_eq!(at(day, 9000), [AUTUMN - 1800, AUTUMN + 1800]);
        assert_eq!(at(day, 4 * 3600), [AUTUMN + 2 * 3600]);
        let day = zone.civil(Wall::from_secs(SPRING)).day;
        assert_eq!(at(day, 9000), [SPRING], "half past two is jumped over");
        assert_eq!(at(day, 3 * 3600), [SPRING]);
        assert_eq!(at(day, 3600), [SPRING - 3600]);
    }

    #[test]
    fn what_a_shell_gives_is_put_in_order() {
        let zone = Zone::new(
            i32::MAX,
            vec![(Wall::from_secs(9), 2), (Wall::from_secs(5), 1)],
        );
        let offsets = [4, 5, 8, 9].map(|at| zone.offset_at(Wall::from_secs(at)));
        assert_eq!(offsets, [86_399, 1, 1, 2]);
    }
}
