//! The heartbeat of a phone on the network: it asks, we answer, or its services are dropped.

use crate::guard::{Framing, PlistGuard};
use crate::wire::within;
use crate::{DeviceError, Escrow, Service, Session};
use ibak_core::plist_guard::Limits;
use idevice::heartbeat::HeartbeatClient;
use idevice::{HeartbeatError, Idevice, IdeviceError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The service's name.
pub(crate) const SERVICE: &str = "com.apple.mobile.heartbeat";
/// What is waited for the first question, and added to every later interval, in seconds.
const GRACE_SECS: u64 = 20;
/// Longest interval a phone may ask for, in seconds; 10 was seen.
const INTERVAL_MAX_SECS: u64 = 120;

/// What the heartbeat tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The phone asked and was answered; it will ask again within the interval.
    Alive {
        /// What the phone announced.
        interval: Duration,
    },
    /// The phone is going to sleep: a transfer will freeze without any error.
    Sleepy,
}

/// Answers a phone's heartbeat until cancelled.
///
/// # Errors
/// When the service cannot be had, and when the phone stops asking: it has gone.
pub async fn heartbeat(
    session: &mut Session,
    tx: mpsc::Sender<Beat>,
    cancel: CancellationToken,
) -> Result<(), DeviceError> {
    let service = session.start_service(SERVICE, Escrow::No).await?;
    beat_over(service, session.deadlines().request, tx, cancel).await
}

/// Is [`heartbeat`] over a service that is connected; `request` is the deadline of an answer.
pub(crate) async fn beat_over(
    service: Service,
    request: Duration,
    tx: mpsc::Sender<Beat>,
    cancel: CancellationToken,
) -> Result<(), DeviceError> {
    let guarded = PlistGuard::new(service.stream, Framing::Plist, Limits::MESSAGE);
    let mut client = HeartbeatClient::new(Idevice::new(Box::new(guarded), "ibak"));
    let answer = async {
        let mut wait = GRACE_SECS;
        loop {
            let beat = match client.get_marco(wait).await {
                Ok(secs) => {
                    let secs = secs.min(INTERVAL_MAX_SECS);
                    within(SERVICE, request, async {
                        client
                            .send_polo()
                            .await
                            .map_err(DeviceError::service(SERVICE))
                    })
                    .await?;
                    wait = secs + GRACE_SECS;
                    Beat::Alive {
                        interval: Duration::from_secs(secs),
                    }
                }
                Err(IdeviceError::Heartbeat(HeartbeatError::SleepyTime)) => Beat::Sleepy,
                Err(IdeviceError::Heartbeat(HeartbeatError::Timeout)) => {
                    return Err(DeviceError::TimedOut {
                        what: SERVICE,
                        after: Duration::from_secs(wait),
                    });
                }
                Err(error) => return Err(DeviceError::service(SERVICE)(error)),
            };
            if tx.send(beat).await.is_err() {
                return Ok(());
            }
        }
    };
    cancel.run_until_cancelled(answer).await.unwrap_or(Ok(()))
}
