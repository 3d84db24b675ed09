//! Changes of a phone that its notifications tell of.

use ibak_core::{Fact, Source};
use std::time::Duration;
use tokio::time::Instant;

/// How long after one of them the other of `lockcomplete` and `lockstate` belongs to it.
const PAIR_WITHIN: Duration = Duration::from_secs(1);

const LOCK_COMPLETE: &str = "com.apple.springboard.lockcomplete";
const LOCK_STATE: &str = "com.apple.springboard.lockstate";
const BLANKED: &str = "com.apple.springboard.hasBlankedScreen";
const PLUGGED_IN: &str = "com.apple.springboard.pluggedin";
const DISK_USAGE: &str = "com.apple.mobile.lockdown.disk_usage_changed";

/// The notifications to observe for [`EdgeReader`] (phone.md §2).
pub const EDGE_NOTIFICATIONS: [&str; 5] =
    [LOCK_COMPLETE, LOCK_STATE, BLANKED, PLUGGED_IN, DISK_USAGE];

/// Something changed on the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The screen was locked.
    Locked,
    /// The screen was unlocked.
    Unlocked,
    /// The screen went dark or lit up: which, it does not say. Worth asking.
    Blanked,
    /// Power from outside came or went: which, it does not say. Worth asking.
    Power,
    /// The use of the disk changed. Worth asking.
    DiskUsage,
}

impl Edge {
    /// Returns the fact the edge itself proves, if it proves one.
    pub const fn fact(self) -> Option<(Fact, Source)> {
        match self {
            Self::Locked => Some((Fact::LockSeen, Source::Notification)),
            Self::Unlocked => Some((Fact::UnlockSeen, Source::Notification)),
            Self::Blanked | Self::Power | Self::DiskUsage => None,
        }
    }
}

/// Tells a lock from an unlock: `lockcomplete` with `lockstate` within 1 s, in either order, is
/// a lock; a lone `lockstate` is an unlock.
///
/// So an unlock is known only after a second of silence: ask [`Self::deadline`], and call
/// [`Self::expire`] when it has passed.
#[derive(Debug, Default)]
pub struct EdgeReader {
    /// A `lockstate` that waits for its `lockcomplete`.
    state_at: Option<Instant>,
    /// A `lockcomplete` that was reported as a lock; a `lockstate` soon after belongs to it.
    complete_at: Option<Instant>,
}

impl EdgeReader {
    /// Takes a notification that arrived at `now`; several edges when it ends a wait as well.
    pub fn notified(&mut self, name: &str, now: Instant) -> Vec<Edge> {
        let mut edges = Vec::from_iter(self.expire(now));
        match name {
            LOCK_COMPLETE => {
                self.state_at = None;
                self.complete_at = Some(now);
                edges.push(Edge::Locked);
            }
            LOCK_STATE => {
                let belongs = self
                    .complete_at
                    .take()
                    .is_some_and(|at| now.duration_since(at) <= PAIR_WITHIN);
                if !belongs {
                    self.state_at = self.state_at.or(Some(now));
                }
            }
            BLANKED => edges.push(Edge::Blanked),
            PLUGGED_IN => edges.push(Edge::Power),
            DISK_USAGE => edges.push(Edge::DiskUsage),
            _ => {}
        }
        edges
    }

    /// Returns when a waiting `lockstate` becomes an unlock.
    pub fn deadline(&self) -> Option<Instant> {
        self.state_at.map(|at| at + PAIR_WITHIN)
    }

    /// Reports the unlock whose wait is over.
    pub fn expire(&mut self, now: Instant) -> Option<Edge> {
        let at = self.state_at?;
        if now.duration_since(at) > PAIR_WITHIN {
            self.state_at = None;
            return Some(Edge::Unlocked);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs notifications at milliseconds and lists the edges, with a last look at 60 s.
    fn run(script: &[(u64, &str)]) -> Vec<Edge> {
        let start = Instant::now();
        let mut reader = EdgeReader::default();
        let mut edges = Vec::new();
        for (at, name) in script {
            edges.extend(reader.notified(name, start + Duration::from_millis(*at)));
        }
        edges.extend(reader.expire(start + Duration::from_secs(60)));
        edges
    }

    #[test]
    fn locks_and_unlocks() {
        use Edge::{Blanked, DiskUsage, Locked, Power, Unlocked};
        type Script<'a> = &'a [(u64, &'a str)];
        let cases: [(Script<'_>, &[Edge]); 9] = [
            (&[(0, LOCK_STATE)], &[Unlocked]),
            (&[(0, LOCK_COMPLETE), (10, LOCK_STATE)], &[Locked]),
            (&[(0, LOCK_STATE), (10, LOCK_COMPLETE)], &[Locked]),
            (&[(0, LOCK_STATE), (1000, LOCK_COMPLETE)], &[Locked]),
            (
                &[(0, LOCK_STATE), (1001, LOCK_COMPLETE)],
                &[Unlocked, Locked],
            ),
            (
                &[(0, LOCK_COMPLETE), (10, LOCK_STATE), (5000, LOCK_STATE)],
                &[Locked, Unlocked],
            ),
            (
                &[(0, LOCK_COMPLETE), (3000, LOCK_STATE)],
                &[Locked, Unlocked],
            ),
            (
                &[(0, BLANKED), (1, PLUGGED_IN), (2, DISK_USAGE)],
                &[Blanked, Power, DiskUsage],
            ),
            (&[(0, "com.apple.springboard.something")], &[]),
        ];
        for (script, want) in cases {
            assert_eq!(run(script), want, "{script:?}");
        }
    }
}
