//! From the conversation's counters to what people see: phase, share, rate, time left.

use super::Reporter;
use crate::clock::Clock;
use ibak_core::{Bytes, Now, Phase, Progress};
use ibak_mobilebackup2 as mb2;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often progress is told at most.
const EVERY: Duration = Duration::from_millis(500);
/// Over how long the rate is smoothed.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Below this share nothing is said about the whole.
const PERCENT_MIN: f64 = 2.0;

/// Converts the conversation's phase.
pub(super) fn phase_of(phase: mb2::Phase) -> Phase {
    match phase {
        mb2::Phase::Handshake => Phase::Preparing,
        mb2::Phase::WaitingForPhone | mb2::Phase::Comparing => Phase::Scanning,
        mb2::Phase::WaitingForPasscode => Phase::Asking,
        mb2::Phase::Held => Phase::AwaitingLock,
        mb2::Phase::Receiving => Phase::Receiving,
        mb2::Phase::Sending => Phase::Sending,
        mb2::Phase::Moving | mb2::Phase::Removing => Phase::Arranging,
        mb2::Phase::Verifying | mb2::Phase::Ending => Phase::Verifying,
    }
}

/// Smooths a byte count into a rate and an end.
#[derive(Debug)]
pub(super) struct Meter {
    last: (Now, u64),
    rate: f64,
}

impl Meter {
    /// Starts measuring.
    pub(super) fn new(now: Now) -> Self {
        Self {
            last: (now, 0),
            rate: 0.0,
        }
    }

    /// Takes the counters and says what people may see.
    pub(super) fn read(&mut self, view: &mb2::ProgressView, now: Now) -> Progress {
        let (before, bytes_before) = self.last;
        let elapsed = now
            .monotonic
            .saturating_since(before.monotonic)
            .as_secs_f64();
        if elapsed > 0.0 {
            let current = to_f64(view.bytes_received.saturating_sub(bytes_before)) / elapsed;
            let weight = if self.rate == 0.0 {
                1.0
            } else {
                (elapsed / RATE_OVER.as_secs_f64()).min(1.0)
            };
            self.rate += (current - self.rate) * weight;
            self.last = (now, view.bytes_received);
        }
        let total = (view.percent >= PERCENT_MIN)
            .then(|| to_f64(view.bytes_received) * 100.0 / view.percent);
        let left_secs =
            total.map(|total| (total - to_f64(view.bytes_received)).max(0.0) / self.rate);
        Progress {
            permille: (view.percent > 0.0).then(|| to_u16(view.percent * 10.0)),
            bytes_done: Bytes::new(view.bytes_received),
            bytes_total: total.map(|total| Bytes::new(to_u64(total))),
            files_done: view.files_received,
            rate: Bytes::new(to_u64(self.rate)),
            expected_end: left_secs
                .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
                .map(|left| now.wall + left),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a byte count for a progress bar"
)]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, for a progress bar"
)]
fn to_u64(number: f64) -> u64 {
    number as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, for a progress bar"
)]
fn to_u16(number: f64) -> u16 {
    number as u16
}

/// Tells phases as they change and progress at most twice a second, until dropped.
pub(super) async fn report(
    progress: Arc<mb2::Progress>,
    reporter: Reporter,
    clock: Clock,
) -> Infallible {
    let mut phases = progress.phases();
    let mut meter = Meter::new(clock.now());
    let mut told = None;
    let mut due = Instant::now();
    loop {
        let phase = phase_of(*phases.borrow_and_update());
        if told != Some(phase) {
            told = Some(phase);
            reporter.phase(phase).await;
        }
        if Instant::now() >= due {
            let view = progress.view();
            reporter.progress(meter.read(&view, clock.now())).await;
            due = Instant::now() + EVERY;
        }
        // A paced look at counters that change by the block: not a wait for an event.
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            changed = phases.changed() => if changed.is_err() { std::future::pending::<()>().await },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibak_core::{Monotonic, Wall};

    fn at(secs: u64) -> Now {
        Now {
            monotonic: Monotonic::new(Duration::from_secs(secs)),
            wall: Wall::from_secs(i64::try_from(secs).unwrap()),
        }
    }

    fn view(bytes: u64, percent: f64) -> mb2::ProgressView {
        mb2::ProgressView {
            bytes_received: bytes,
            percent,
            files_received: 3,
            ..mb2::Progress::default().view()
        }
    }

    #[test]
    fn the_whole_is_estimated_from_the_phones_share() {
        let mut meter = Meter::new(at(0));
        let early = meter.read(&view(0, 0.0), at(1));
        assert_eq!(
            (early.permille, early.bytes_total, early.expected_end),
            (None, None, None)
        );
        let mut meter = Meter::new(at(0));
        let half = meter.read(&view(1_000, 50.0), at(10));
        assert_eq!(half.permille, Some(500));
        assert_eq!(half.bytes_total, Some(Bytes::new(2_000)));
        assert_eq!(half.rate, Bytes::new(100));
        assert_eq!(half.expected_end, Some(Wall::from_secs(20)));
        assert_eq!(half.files_done, 3);
    }

    #[test]
    fn a_standstill_promises_no_end() {
        let mut meter = Meter::new(at(0));
        let stuck = meter.read(&view(0, 50.0), at(10));
        assert_eq!((stuck.rate, stuck.expected_end), (Bytes::ZERO, None));
    }
}
