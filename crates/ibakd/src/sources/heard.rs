//! What a phone tells by itself while its task reads.

use crate::clock::Clock;
use ibak_core::Now;
use ibak_device::NotificationProxy;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, debug};

/// Most notifications that wait for the end of a reading; more wait in the connection.
const HEARD_MAX: usize = 32;

/// A notification, and when it came.
#[derive(Debug)]
pub(super) struct Notification {
    pub(super) name: String,
    pub(super) instant: Instant,
    pub(super) at: Now,
}

/// The notifications of one connection. They are dated as they come, also during a reading: what
/// came before a reading must not pass for newer than it.
#[derive(Debug)]
pub(super) struct Heard {
    news: mpsc::Receiver<Notification>,
    _stop: DropGuard,
}

impl Heard {
    pub(super) fn of(mut proxy: NotificationProxy, clock: Clock) -> Self {
        let (sender, news) = mpsc::channel(HEARD_MAX);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let run = async move {
            loop {
                let name = match proxy.next().await {
                    Ok(Some(name)) => name,
                    Ok(None) => return,
                    Err(error) => {
                        debug!(%error, "the phone's notifications ended");
                        return;
                    }
                };
                let (instant, at) = (Instant::now(), clock.now());
                if sender
                    .send(Notification { name, instant, at })
                    .await
                    .is_err()
                {
                    return;
                }
            }
        };
        let run = async move {
            token.run_until_cancelled(run).await;
        };
        tokio::spawn(run.in_current_span());
        let _stop = stop.drop_guard();
        Self { news, _stop }
    }
}

/// Waits for a notification, `None` at their end; for ever without a connection.
pub(super) async fn next_notification(heard: &mut Option<Heard>) -> Option<Notification> {
    match heard {
        Some(heard) => heard.news.recv().await,
        None => std::future::pending().await,
    }
}
