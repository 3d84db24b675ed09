//! Work on the store that nobody waits for: reading everything again, emptying the trash.
//!
//! It yields to every job, and what it found is told as events.

use crate::Wall;
use std::time::Duration;

/// Whether upkeep may work for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upkeep {
    /// Nothing else needs the disk.
    May,
    /// A job runs, or the store is not there.
    Rests,
}

/// Says whether a phone's backups are to be read again: begun when three quarters of the time are
/// over, so that a pass that yields to jobs is through when all of it is. `last_read` is when the
/// oldest reading of any of them was; `None` without backups.
///
/// A date in the future cannot be believed, and counts as never.
pub fn scrub_is_due(last_read: Option<Wall>, within: Duration, now: Wall) -> bool {
    last_read
        .is_some_and(|read| read > now + FUTURE_MAX || now.saturating_since(read) >= within * 3 / 4)
}

/// How far ahead a date may lie and still be believed.
const FUTURE_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_everything_is_read_again() {
        const DAY: i64 = 86_400;
        let within = Duration::from_secs(30 * 86_400);
        let now = Wall::from_secs(1_000 * DAY);
        for (days_ago, want) in [
            (0, false),
            (22, false),
            (23, true),
            (400, true),
            (-1, true), // from the future
        ] {
            let read = Wall::from_secs((1_000 - days_ago) * DAY);
            assert_eq!(scrub_is_due(Some(read), within, now), want, "{days_ago}");
        }
        assert!(!scrub_is_due(None, within, now), "nothing to read");
    }
}
