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

/// What a conversation is for, as far as people see a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A backup: files come.
    Backup,
    /// A restore: files go.
    Restore,
    /// A few words and at most a small file.
    Word,
}

impl About {
    /// Tells what a deed is for.
    pub(super) const fn of(deed: &mb2::Deed) -> Self {
        match deed {
            mb2::Deed::Backup { .. } => Self::Backup,
            mb2::Deed::Restore(_) => Self::Restore,
            mb2::Deed::ChangePassword { .. } | mb2::Deed::EnableCloudBackup { .. } => Self::Word,
        }
    }

    /// Converts the conversation's phase.
    fn phase(self, phase: mb2::Phase) -> Phase {
        let asks = matches!(phase, mb2::Phase::WaitingForPasscode | mb2::Phase::Held);
        match (self, phase_of(phase)) {
            (Self::Restore, Phase::Scanning) => Phase::Preparing,
            (Self::Restore, Phase::Receiving | Phase::Arranging | Phase::Verifying) => {
                Phase::Sending
            }
            (Self::Word, _) if !asks => Phase::Preparing,
            (Self::Backup | Self::Restore | Self::Word, phase) => phase,
        }
    }
}

fn phase_of(phase: mb2::Phase) -> Phase {
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
    about: About,
    last: (Now, u64),
    rate: f64,
}

impl Meter {
    /// Starts measuring.
    pub(super) fn new(about: About, now: Now) -> Self {
        Self {
            about,
            last: (now, 0),
            rate: 0.0,
        }
    }

    /// Takes the counters and says what people may see.
    pub(super) fn read(&mut self, view: &mb2::ProgressView, now: Now) -> Progress {
        let (bytes, files) = match self.about {
            About::Backup => (view.bytes_received, view.files_received),
            About::Restore => (view.bytes_sent, view.files_sent),
            // What little moves says nothing about how far it is.
            About::Word => return Progress::default(),
        };
        let (before, bytes_before) = self.last;
        let elapsed = now
            .monotonic
            .saturating_since(before.monotonic)
            .as_secs_f64();
        if elapsed > 0.0 {
            let current = to_f64(bytes.saturating_sub(bytes_before)) / elapsed;
            let weight = if self.rate == 0.0 {
                1.0
            } else {
                (elapsed / RATE_OVER.as_secs_f64()).min(1.0)
            };
            self.rate += (current - self.rate) * weight;
            self.last = (now, bytes);
        }
        let total = (view.percent >= PERCENT_MIN).then(|| to_f64(bytes) * 100.0 / view.percent);
        let left_secs = total.map(|total| (total - to_f64(bytes)).max(0.0) / self.rate);
        Progress {
            permille: (view.percent > 0.0).then(|| to_u16(view.percent * 10.0)),
            bytes_done: Bytes::new(bytes),
            bytes_total: total.map(|total| Bytes::new(to_u64(total))),
            files_done: files,
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
    about: About,
    progress: Arc<mb2::Progress>,
    reporter: Reporter,
    clock: Clock,
) -> Infallible {
    let mut phases = progress.phases();
    let mut meter = Meter::new(about, clock.now());
    let mut told = None;
    let mut due = Instant::now();
    loop {
        let phase = about.phase(*phases.borrow_and_update());
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
        let mut meter = Meter::new(About::Backup, at(0));
        let early = meter.read(&view(0, 0.0), at(1));
        assert_eq!(
            (early.permille, early.bytes_total, early.expected_end),
            (None, None, None)
        );
        let mut meter = Meter::new(About::Backup, at(0));
        let half = meter.read(&view(1_000, 50.0), at(10));
        assert_eq!(half.permille, Some(500));
        assert_eq!(half.bytes_total, Some(Bytes::new(2_000)));
        assert_eq!(half.rate, Bytes::new(100));
        assert_eq!(half.expected_end, Some(Wall::from_secs(20)));
        assert_eq!(half.files_done, 3);
    }

    #[test]
    fn a_standstill_promises_no_end() {
        let mut meter = Meter::new(About::Backup, at(0));
        let stuck = meter.read(&view(0, 50.0), at(10));
        assert_eq!((stuck.rate, stuck.expected_end), (Bytes::ZERO, None));
    }

    #[test]
    fn a_restore_counts_what_goes_and_a_word_counts_nothing() {
        let view = mb2::ProgressView {
            bytes_sent: 500,
            files_sent: 2,
            ..view(1_000, 50.0)
        };
        let restore = Meter::new(About::Restore, at(0)).read(&view, at(10));
        assert_eq!(
            (restore.bytes_done, restore.files_done),
            (Bytes::new(500), 2)
        );
        assert_eq!(restore.bytes_total, Some(Bytes::new(1_000)));
        let word = Meter::new(About::Word, at(0)).read(&view, at(10));
        assert_eq!(word, Progress::default());
    }

    #[test]
    fn people_see_what_the_conversation_is_for() {
        use mb2::Phase as Talk;
        for (about, talk, phase) in [
            (About::Backup, Talk::Comparing, Phase::Scanning),
            (About::Backup, Talk::Ending, Phase::Verifying),
            (About::Restore, Talk::Comparing, Phase::Preparing),
            (About::Restore, Talk::Sending, Phase::Sending),
            (About::Restore, Talk::Ending, Phase::Sending),
            (About::Restore, Talk::WaitingForPasscode, Phase::Asking),
            (About::Word, Talk::Comparing, Phase::Preparing),
            (About::Word, Talk::Receiving, Phase::Preparing),
            (About::Word, Talk::WaitingForPasscode, Phase::Asking),
        ] {
            assert_eq!(about.phase(talk), phase, "{about:?} {talk:?}");
        }
    }
}
