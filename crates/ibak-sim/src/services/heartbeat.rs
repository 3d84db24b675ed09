//! com.apple.mobile.heartbeat: Marco and Polo.
//!
//! Source: corpus `mux/heartbeat.json`. The phone sends first; a host on the network that does
//! not answer loses its connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plist::Value;
use tokio::time::timeout;

use crate::phone::{Phone, Transport};
use crate::wire::{self, BoxIo, dict};

/// How often the phone calls, in seconds (corpus: 10).
const INTERVAL_SECS: u64 = 10;
const INTERVAL: Duration = Duration::from_secs(INTERVAL_SECS);
/// How long it waits for the answer.
const ANSWER_MAX: Duration = INTERVAL;

pub(super) async fn serve(
    mut stream: BoxIo,
    phone: Arc<Phone>,
    transport: Transport,
) -> io::Result<()> {
    let marco = dict([
        ("Command", "Marco".into()),
        ("Interval", INTERVAL_SECS.into()),
        ("SupportsSleepyTime", true.into()),
    ]);
    let mut state = phone.watch_state();
    loop {
        wire::write(&mut stream, &marco).await?;
        match timeout(ANSWER_MAX, wire::read_dict(&mut stream)).await {
            Ok(answer) => match answer? {
                None => return Ok(()),
                Some(answer)
                    if answer.get("Command").and_then(Value::as_string) == Some("Polo") => {}
                Some(_) => return Ok(()),
            },
            Err(_) => {
                if transport != Transport::Usb {
                    tracing::info!(
                        udid = phone.identity().udid,
                        "no Polo, so the host is dropped"
                    );
                    phone.drop_network_hosts();
                }
                return Ok(());
            }
        }
        let falls_asleep = async { state.wait_for(|state| !state.awake.is_on()).await.is_ok() };
        if timeout(INTERVAL, falls_asleep).await.is_ok() {
            return wire::write(&mut stream, &dict([("Command", "SleepyTime".into())])).await;
        }
    }
}
