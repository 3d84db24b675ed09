//! Counters a caller may read at any time, from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;

/// Where in the conversation a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Versions and greetings.
    Handshake,
    /// The deed is requested, and the phone has not asked for anything yet.
    WaitingForPhone,
    /// The phone shows its passcode prompt.
    WaitingForPasscode,
    /// The phone has consented, and the caller holds the first reply.
    Held,
    /// The phone looks at the backup here and compares itself with it.
    Comparing,
    /// Files arrive.
    Receiving,
    /// The phone takes files from here, to restore them.
    Sending,
    /// The phone has its files moved into place.
    Moving,
    /// The phone has old files removed.
    Removing,
    /// The phone reads back what it sent.
    Verifying,
    /// The outcome is known.
    Ending,
}

impl Phase {
    /// Returns its word, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::WaitingForPhone => "waiting-for-phone",
            Self::WaitingForPasscode => "waiting-for-passcode",
            Self::Held => "held",
            Self::Comparing => "comparing",
            Self::Receiving => "receiving",
            Self::Sending => "sending",
            Self::Moving => "moving",
            Self::Removing => "removing",
            Self::Verifying => "verifying",
            Self::Ending => "ending",
        }
    }
}

/// The counters of one session.
#[derive(Debug)]
pub struct Progress {
    phase: watch::Sender<Phase>,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    files_received: AtomicU64,
    files_sent: AtomicU64,
    moved: AtomicU64,
    removed: AtomicU64,
    batch_bytes: AtomicU64,
    batch_received: AtomicU64,
    /// Percentages as bits of an f64; positive floats order like their bits.
    percent: AtomicU64,
    percent_high: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Handshake),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            files_received: AtomicU64::new(0),
            files_sent: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            batch_bytes: AtomicU64::new(0),
            batch_received: AtomicU64::new(0),
            percent: AtomicU64::new(0),
            percent_high: AtomicU64::new(0),
        }
    }
}

/// What the counters said at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressView {
    /// Where the session is.
    pub phase: Phase,
    /// Bytes of content received, whole files or not.
    pub bytes_received: u64,
    /// Bytes of content sent to the phone.
    pub bytes_sent: u64,
    /// Files received whole.
    pub files_received: u64,
    /// Files sent whole.
    pub files_sent: u64,
    /// Files and trees moved.
    pub moved: u64,
    /// Files and trees removed.
    pub removed: u64,
    /// What the phone announced for the batch under way, in bytes; a hint, often inexact.
    pub batch_bytes: u64,
    /// What arrived of that batch, in bytes.
    pub batch_received: u64,
    /// The phone's own percentage, 0 to 100; it may go backwards.
    pub percent_raw: f64,
    /// The highest percentage so far, 0 to 100.
    pub percent: f64,
}

impl Progress {
    /// Returns what the counters say.
    pub fn view(&self) -> ProgressView {
        ProgressView {
            phase: *self.phase.borrow(),
            bytes_received: self.bytes_received.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            files_received: self.files_received.load(Relaxed),
            files_sent: self.files_sent.load(Relaxed),
            moved: self.moved.load(Relaxed),
            removed: self.removed.load(Relaxed),
            batch_bytes: self.batch_bytes.load(Relaxed),
            batch_received: self.batch_received.load(Relaxed),
            percent_raw: f64::from_bits(self.percent.load(Relaxed)),
            percent: f64::from_bits(self.percent_high.load(Relaxed)),
        }
    }

    /// Returns a receiver that wakes when the phase changes.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase
            .send_if_modified(|current| std::mem::replace(current, phase) != phase);
    }

    /// Takes the phone's percentage; zero and nonsense say nothing.
    pub(crate) fn set_percent(&self, percent: f64) {
        if percent.is_finite() && percent > 0.0 {
            let bits = percent.min(100.0).to_bits();
            self.percent.store(bits, Relaxed);
            self.percent_high.fetch_max(bits, Relaxed);
        }
    }

    pub(crate) fn begin_batch(&self, bytes: u64) {
        self.batch_bytes.store(bytes, Relaxed);
        self.batch_received.store(0, Relaxed);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.bytes_received.fetch_add(bytes, Relaxed);
        self.batch_received.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn received_file(&self) {
        self.files_received.fetch_add(1, Relaxed);
    }

    pub(crate) fn sent_file(&self) {
        self.files_sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.bytes_sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn moved(&self) {
        self.moved.fetch_add(1, Relaxed);
    }

    pub(crate) fn removed(&self) {
        self.removed.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, Progress};

    #[test]
    fn the_shown_percentage_never_falls() {
        let progress = Progress::default();
        let seen: Vec<(f64, f64)> = [0.97, 85.0, 65.0, f64::NAN, -3.0, 0.0, 900.0, f64::INFINITY]
            .into_iter()
            .map(|percent| {
                progress.set_percent(percent);
                (progress.view().percent_raw, progress.view().percent)
            })
            .collect();
        let high = (100.0, 100.0);
        assert_eq!(
            seen,
            [
                (0.97, 0.97),
                (85.0, 85.0),
                (65.0, 85.0),
                (65.0, 85.0),
                (65.0, 85.0),
                (65.0, 85.0),
                high,
                high
            ]
        );
    }

    #[test]
    fn a_phase_wakes_its_watchers_once() {
        let progress = Progress::default();
        let mut phases = progress.phases();
        progress.enter(Phase::Handshake);
        assert!(!phases.has_changed().unwrap());
        progress.enter(Phase::Receiving);
        assert!(phases.has_changed().unwrap());
        assert_eq!(*phases.borrow_and_update(), Phase::Receiving);
    }
}
