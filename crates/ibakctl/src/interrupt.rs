//! Ctrl-C: one listener for the whole run, so that none is missed between two questions.
//!
//! Most commands just end. One that waits for a job says so, hears of Ctrl-C itself and may still
//! have something to do, such as calling the job off; a second Ctrl-C ends that too.

use crate::failure::{Exit, Failure};
use std::cell::Cell;
use std::rc::Rc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What was pressed, and who hears of it.
#[derive(Clone)]
pub(crate) struct Interrupts(Rc<Shared>);

struct Shared {
    count: watch::Sender<u32>,
    handled: Cell<bool>,
}

impl Default for Interrupts {
    fn default() -> Self {
        Self(Rc::new(Shared {
            count: watch::Sender::new(0),
            handled: Cell::new(false),
        }))
    }
}

impl Interrupts {
    /// Runs a command and ends it at Ctrl-C, unless it handles that itself.
    pub(crate) async fn end(
        &self,
        work: impl Future<Output = Result<Exit, Failure>>,
    ) -> Result<Exit, Failure> {
        let mut pressed = signal(SignalKind::interrupt()).map_err(|error| {
            Failure::new(Exit::Failed, "cannot wait for Ctrl-C").because(error.to_string())
        })?;
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                // The work comes first: what is done is done.
                biased;
                done = &mut work => return done,
                _pressed = pressed.recv() => {
                    let first = *self.0.count.borrow() == 0;
                    self.0.count.send_modify(|count| *count += 1);
                    if !(first && self.0.handled.get()) {
                        return Ok(Exit::Interrupted);
                    }
                }
            }
        }
    }

    /// Takes Ctrl-C over from here on.
    pub(crate) fn take_over(&self) -> Handling {
        self.0.handled.set(true);
        Handling {
            interrupts: self.clone(),
            count: self.0.count.subscribe(),
            kept: false,
        }
    }
}

/// A command that handles Ctrl-C, for as long as this lives.
pub(crate) struct Handling {
    interrupts: Interrupts,
    count: watch::Receiver<u32>,
    kept: bool,
}

impl Handling {
    /// Waits for Ctrl-C; what is done about it may then take as long as it takes.
    pub(crate) async fn pressed(&mut self) {
        let pressed = self.count.wait_for(|count| *count > 0).await.is_ok();
        self.kept = pressed;
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if !self.kept {
            self.interrupts.0.handled.set(false);
        }
    }
}
