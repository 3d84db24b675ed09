//! Counters of work on another thread, and telling how far it is.

use super::Reporter;
use ibak_core::{Bytes, Progress};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often progress is told.
const EVERY: Duration = Duration::from_millis(500);

/// Files and bytes that are done with, of so many.
#[derive(Debug, Default)]
pub(super) struct Counted {
    files: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
}

impl Counted {
    /// Says how many bytes there will be; 0 = nobody knows.
    pub(super) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts further ones.
    pub(super) fn add(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says how many there are by now.
    pub(super) fn set(&self, files: u64, bytes: u64) {
        self.files.store(files, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns the files and bytes.
    pub(super) fn read(&self) -> (u64, u64) {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (get(&self.files), get(&self.bytes))
    }

    fn progress(&self) -> Progress {
        let (files, bytes) = self.read();
        share(files, bytes, self.total.load(Ordering::Relaxed))
    }
}

/// Waits for the work and tells how far it is, until its end.
pub(super) async fn told<T>(
    work: impl Future<Output = T>,
    counted: &Counted,
    reporter: &Reporter,
) -> T {
    tokio::pin!(work);
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            done = &mut work => {
                reporter.progress(counted.progress()).await;
                return done;
            }
            // A paced look at counters that change by the file.
            _ = every.tick() => reporter.progress(counted.progress()).await,
        }
    }
}

/// Says how far a copy of known length is; 0 = nobody knows.
pub(super) fn share(files: u64, bytes: u64, total: u64) -> Progress {
    let permille = u128::from(bytes) * 1000 / u128::from(total.max(1));
    Progress {
        permille: (total > 0).then(|| u16::try_from(permille.min(1000)).unwrap_or(1000)),
        bytes_done: Bytes::new(bytes),
        bytes_total: (total > 0).then(|| Bytes::new(total)),
        files_done: files,
        ..Progress::default()
    }
}
