//! What systemd is told: ready, reloading, stopping, one human sentence, and a pulse.

use sd_notify::NotifyState;
use std::time::Duration;
use tracing::warn;

/// Speaks to the service manager, or to nobody when there is none.
#[derive(Debug, Default)]
pub struct Notifier {
    last_status: String,
}

impl Notifier {
    /// Says that the daemon serves its clients.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// Says that the daemon is on its way out.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// Sets the sentence that `systemctl status` shows; the same sentence twice is sent once.
    pub fn status(&mut self, sentence: &str) {
        if self.last_status != sentence {
            send(&[NotifyState::Status(sentence)]);
            sentence.clone_into(&mut self.last_status);
        }
    }

    /// Gives the sign of life that `WatchdogSec=` waits for; called from the event loop alone.
    pub fn pulse(&self) {
        send(&[NotifyState::Watchdog]);
    }

    /// Returns how often [`Notifier::pulse`] is due: half of what systemd allows; `None` when it does not watch.
    pub fn pulse_interval() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|limit| limit / 2)
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot reach the service manager");
    }
}
