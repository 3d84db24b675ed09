//! Keeps a phone on the network awake during a backup.

use crate::wire::{self, within};
use crate::{DeviceError, Escrow, Service, Session};
use ibak_core::plist_guard::Limits;
use plist::{Dictionary, Value};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The service's name.
pub(crate) const SERVICE: &str = "com.apple.mobile.assertion_agent";
/// How often the assertion is renewed (phone.md §3), and how long one holds, in seconds.
const RENEW_EVERY: Duration = Duration::from_secs(600);
const HOLD_SECS: f64 = 900.0;

/// Holds a power assertion until cancelled; it ends with the connection, so also with the future.
///
/// # Errors
/// When the phone does not give the service or stops answering. A backup can go on without.
pub async fn hold_awake(
    session: &mut Session,
    cancel: CancellationToken,
) -> Result<(), DeviceError> {
    let service = session.start_service(SERVICE, Escrow::No).await?;
    hold_over(service, session.deadlines().request, cancel).await
}

/// Is [`hold_awake`] over a service that is connected; `deadline` is that of an answer.
pub(crate) async fn hold_over(
    mut service: Service,
    deadline: Duration,
    cancel: CancellationToken,
) -> Result<(), DeviceError> {
    let mut message = Dictionary::new();
    message.insert("CommandKey".into(), "CommandCreateAssertion".into());
    message.insert(
        "AssertionTypeKey".into(),
        "AMDPowerAssertionTypeWirelessSync".into(),
    );
    message.insert("AssertionNameKey".into(), "ibak backup".into());
    message.insert("AssertionTimeoutKey".into(), Value::Real(HOLD_SECS));
    message.insert("AssertionDetailKey".into(), "backup".into());
    let message = Value::Dictionary(message);
    let hold = async {
        loop {
            within(SERVICE, deadline, async {
                wire::send(SERVICE, &mut service.stream, &message).await?;
                wire::receive(SERVICE, &mut service.stream, &Limits::MESSAGE).await
            })
            .await?;
            tokio::time::sleep(RENEW_EVERY).await;
        }
    };
    cancel.run_until_cancelled(hold).await.unwrap_or(Ok(()))
}
