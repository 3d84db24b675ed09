//! The guard against a clock that jumps: while dates cannot be believed, nothing old is removed.

use crate::{ClockTrust, Monotonic, Now, Wall};
use std::time::Duration;

/// How far the two clocks may drift apart.
const JUMP_MAX: Duration = Duration::from_secs(48 * 3600);
/// For how long the clocks must agree again, on the monotonic one.
const STEADY: Duration = Duration::from_secs(48 * 3600);

/// Compares the wall clock with the monotonic one, which counts sleep.
#[derive(Clone, Debug)]
pub(super) struct ClockGuard {
    /// When the clocks were first seen in step as they are.
    base: Now,
    /// Whether they are so since a jump, and not yet for long enough.
    jumped: bool,
}

impl ClockGuard {
    pub(super) const fn new(now: Now) -> Self {
        Self {
            base: now,
            jumped: false,
        }
    }

    /// Takes in the present. A clock that is far behind most of the `backups` was reset; one far
    /// behind a few may be right, for a backup that was taken in has the date its phone gave it.
    pub(super) fn look(&mut self, now: Now, backups: impl Iterator<Item = Wall>) {
        let passed = now.monotonic.saturating_since(self.base.monotonic);
        let expected = self.base.wall + passed;
        let apart = expected
            .saturating_since(now.wall)
            .max(now.wall.saturating_since(expected));
        let (mut future, mut all) = (0_usize, 0_usize);
        for backup in backups {
            all += 1;
            future += usize::from(backup.saturating_since(now.wall) > JUMP_MAX);
        }
        let behind = future * 2 > all;
        if apart > JUMP_MAX || behind {
            self.base = now;
            self.jumped = true;
        } else if passed >= STEADY {
            self.jumped = false;
        }
    }

    /// Returns when the clocks will have agreed for long enough, if they did not.
    pub(super) fn steady_at(&self) -> Option<Monotonic> {
        self.jumped.then(|| self.base.monotonic + STEADY)
    }

    pub(super) const fn trust(&self) -> ClockTrust {
        if self.jumped {
            ClockTrust::Jumped
        } else {
            ClockTrust::Steady
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn at(monotonic_hours: u64, wall_hours: i64) -> Now {
        Now {
            monotonic: Monotonic::new(Duration::from_secs(monotonic_hours * 3600)),
            wall: Wall::from_secs(wall_hours * HOUR),
        }
    }

    #[test]
    fn a_jump_is_noticed_and_forgiven_after_two_days() {
        let (jumped, steady) = (ClockTrust::Jumped, ClockTrust::Steady);
        for (what, backups, looks) in [
            (
                "in step",
                vec![],
                vec![(1, 1001, steady), (500, 1500, steady)],
            ),
            (
                "a summer hour",
                vec![],
                vec![(1, 1002, steady), (2, 1001, steady)],
            ),
            (
                "ahead",
                vec![],
                vec![
                    (1, 1060, jumped),
                    (2, 1061, jumped),
                    (48, 1107, jumped),
                    (49, 1108, steady),
                ],
            ),
            ("back", vec![], vec![(1, 900, jumped), (60, 959, steady)]),
            (
                "there and back again",
                vec![],
                vec![
                    (1, 1060, jumped),
                    (40, 1040, jumped),
                    (60, 1060, jumped),
                    (90, 1090, steady),
                ],
            ),
            (
                "reset before the start",
                vec![2000],
                vec![(1, 1001, jumped), (99, 1099, jumped)],
            ),
            (
                "set right then",
                vec![2000],
                vec![(1, 1001, jumped), (2, 2002, jumped), (51, 2051, steady)],
            ),
            (
                "a backup from tomorrow",
                vec![1030],
                vec![(1, 1001, steady)],
            ),
            (
                "a backup taken in with the date of a phone that was wrong",
                vec![900, 9000],
                vec![(1, 1001, steady), (2, 1002, steady)],
            ),
            (
                "most from the future",
                vec![900, 1100, 1200],
                vec![(1, 1001, jumped), (51, 1051, jumped), (99, 1099, steady)],
            ),
        ] {
            let mut guard = ClockGuard::new(at(0, 1000));
            for (monotonic, wall, want) in looks {
                let backups = backups.iter().map(|hours| Wall::from_secs(hours * HOUR));
                guard.look(at(monotonic, wall), backups);
                assert_eq!(guard.trust(), want, "{what} at {monotonic}");
            }
        }
    }
}
