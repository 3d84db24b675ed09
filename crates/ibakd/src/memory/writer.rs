//! The thread that writes the memory: the newest text wins, and whoever must can wait for it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use tokio::sync::watch;
use tracing::warn;

/// Leads to the thread; it ends, after what it was given, when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    desk: Arc<Desk>,
    done: watch::Receiver<u64>,
}

#[derive(Debug, Default)]
struct Desk {
    order: Mutex<Order>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Order {
    text: Option<Vec<u8>>,
    /// Counts the texts that were given.
    given: u64,
    closed: bool,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(path: PathBuf) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let (tell, done) = watch::channel(0);
        let theirs = Arc::clone(&desk);
        thread::Builder::new()
            .name("ibak-memory".into())
            .spawn(move || {
                while let Some((text, number)) = theirs.take() {
                    if let Err(error) = super::write_whole(&path, &text) {
                        warn!(%error, path = %path.display(), "what was learnt cannot be kept across a restart");
                    }
                    tell.send_replace(number);
                }
            })?;
        Ok(Self { desk, done })
    }

    /// Has this text written in place of any that waits.
    pub(super) fn write(&self, text: Vec<u8>) {
        self.desk.with(|order| {
            order.text = Some(text);
            order.given += 1;
        });
    }

    /// Returns a wait for what was given until here; `None` when all is written.
    pub(super) fn unwritten(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let given = self.desk.with(|order| order.given);
        let mut done = self.done.clone();
        if *done.borrow() >= given {
            return None;
        }
        Some(async move {
            if done.wait_for(|number| *number >= given).await.is_err() {
                warn!("the thread that keeps what was learnt has ended");
            }
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.desk.with(|order| order.closed = true);
    }
}

impl Desk {
    fn with<T>(&self, change: impl FnOnce(&mut Order) -> T) -> T {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let told = change(&mut order);
        self.changed.notify_all();
        told
    }

    /// Waits for a text; `None` when there will be no more.
    fn take(&self) -> Option<(Vec<u8>, u64)> {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(text) = order.text.take() {
                return Some((text, order.given));
            }
            if order.closed {
                return None;
            }
            order = self
                .changed
                .wait(order)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
