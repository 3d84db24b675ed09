//! When the room will be used up, from how it was used up until now.

use crate::{Bytes, Wall};
use std::time::Duration;

/// How far back samples count.
const BACK_MAX: Duration = Duration::from_secs(90 * 86_400);
/// The least time that samples must span.
const SPAN_MIN: Duration = Duration::from_secs(3 * 86_400);
/// Nothing is foreseen further away.
const AHEAD_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Foresees when `left` is used up: the straight line through the last 90 days of samples, fitted
/// by least squares. `None` while they span less than three days, when use does not grow, and for
/// more than ten years.
///
/// ```
/// use ibak_core::{Bytes, Wall, forecast};
/// let day = |n: i64| Wall::from_secs(n * 86_400);
/// let samples: Vec<_> = (0..10).map(|n| (day(n), Bytes::from_gib(100 + n as u64))).collect();
/// assert_eq!(forecast(&samples, Bytes::from_gib(41), day(9)), Some(day(50)));
/// ```
pub fn forecast(samples: &[(Wall, Bytes)], left: Bytes, now: Wall) -> Option<Wall> {
    let recent: Vec<(f64, f64)> = samples
        .iter()
        .filter(|(at, _)| *at <= now && now.saturating_since(*at) <= BACK_MAX)
        .map(|(at, used)| {
            let before = now.saturating_since(*at).as_secs_f64();
            (-before, as_f64(*used))
        })
        .collect();
    let first = recent.iter().map(|it| it.0).fold(0.0, f64::min);
    let last = recent
        .iter()
        .map(|it| it.0)
        .fold(f64::NEG_INFINITY, f64::max);
    if recent.len() < 2 || last - first < SPAN_MIN.as_secs_f64() {
        return None;
    }
    let count = as_f64(Bytes::new(u64::try_from(recent.len()).ok()?));
    let mean = |of: fn(&(f64, f64)) -> f64| recent.iter().map(of).sum::<f64>() / count;
    let (at, used) = (mean(|it| it.0), mean(|it| it.1));
    let together: f64 = recent.iter().map(|it| (it.0 - at) * (it.1 - used)).sum();
    let alone: f64 = recent.iter().map(|it| (it.0 - at).powi(2)).sum();
    let per_second = together / alone;
    if !per_second.is_finite() || per_second <= 0.0 {
        return None;
    }
    let ahead = Duration::try_from_secs_f64(as_f64(left) / per_second).ok()?;
    (ahead <= AHEAD_MAX).then(|| now + ahead)
}

/// Loses nothing that a forecast would notice.
#[expect(
    clippy::cast_precision_loss,
    reason = "a forecast has no 53 bits of truth"
)]
fn as_f64(bytes: Bytes) -> f64 {
    bytes.get() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Wall {
        Wall::from_secs(n * 86_400)
    }

    fn of(days: &[(i64, u64)], left: u64, now: i64) -> Option<i64> {
        let samples: Vec<_> = days
            .iter()
            .map(|(n, gib)| (day(*n), Bytes::from_gib(*gib)))
            .collect();
        forecast(&samples, Bytes::from_gib(left), day(now)).map(|at| at.as_secs() / 86_400 - now)
    }

    #[test]
    fn only_what_can_be_foreseen() {
        for (what, days, left, now, want) in [
            ("nothing known", vec![], 9, 5, None),
            ("one sample", vec![(1, 9)], 9, 5, None),
            ("too short", vec![(1, 9), (3, 11)], 9, 3, None),
            ("a line", vec![(0, 10), (4, 14)], 20, 4, Some(20)),
            (
                "since then a pause",
                vec![(0, 10), (4, 14)],
                20,
                10,
                Some(20),
            ),
            ("it shrinks", vec![(0, 14), (4, 10)], 20, 4, None),
            ("it stays", vec![(0, 14), (4, 14)], 20, 4, None),
            ("ten years are enough", vec![(0, 0), (80, 1)], 99, 80, None),
            (
                "long ago does not count",
                vec![(0, 0), (200, 10), (210, 20)],
                30,
                210,
                Some(30),
            ),
            (
                "nor does the future",
                vec![(0, 10), (4, 14), (9, 99)],
                20,
                4,
                Some(20),
            ),
            ("full already", vec![(0, 10), (4, 14)], 0, 4, Some(0)),
            ("many on one day", vec![(1, 1), (1, 2), (1, 3)], 9, 1, None),
        ] {
            assert_eq!(of(&days, left, now), want, "{what}");
        }
    }
}
