//! The guard against a clock that jumps: while dates cannot be believed, nothing old is removed.

use crate::{ClockTrust, Now, Wall};
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

    /// Takes in the present; `newest` is the date of the newest backup: a clock that is far behind
    /// it was reset.
    pub(super) fn look(&mut self, now: Now, newest: Option<Wall>) {
        let passed = now.monotonic.saturating_since(self.base.monotonic);
        let expected = self.base.wall + passed;
        let apart = expected
            .saturating_since(now.wall)
            .max(now.wall.saturating_since(expected));
        let behind = newest.is_some_and(|newest| newest.saturating_since(now.wall) > JUMP_MAX);
        if apart > JUMP_MAX || behind {
            self.base = now;
            self.jumped = true;
        } else if passed >= STEADY {
            self.jumped = false;
        }
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
    use crate::Monotonic;

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
        for (what, newest, looks) in [
            (
                "in step",
                None,
                vec![(1, 1001, steady), (500, 1500, steady)],
            ),
            (
                "a summer hour",
                None,
                vec![(1, 1002, steady), (2, 1001, steady)],
            ),
            (
                "ahead",
                None,
                vec![
                    (1, 1060, jumped),
                    (2, 1061, jumped),
                    (48, 1107, jumped),
                    (49, 1108, steady),
                ],
            ),
            ("back", None, vec![(1, 900, jumped), (60, 959, steady)]),
            (
                "there and back again",
                None,
                vec![
                    (1, 1060, jumped),
                    (40, 1040, jumped),
                    (60, 1060, jumped),
                    (90, 1090, steady),
                ],
            ),
            (
                "reset before the start",
                Some(2000),
                vec![(1, 1001, jumped), (99, 1099, jumped)],
            ),
            (
                "set right then",
                Some(2000),
                vec![(1, 1001, jumped), (2, 2002, jumped), (51, 2051, steady)],
            ),
            (
                "a backup from tomorrow",
                Some(1030),
                vec![(1, 1001, steady)],
            ),
        ] {
            let mut guard = ClockGuard::new(at(0, 1000));
            for (monotonic, wall, want) in looks {
                let newest = newest.map(|hours| Wall::from_secs(hours * HOUR));
                guard.look(at(monotonic, wall), newest);
                assert_eq!(guard.trust(), want, "{what} at {monotonic}");
            }
        }
    }
}
