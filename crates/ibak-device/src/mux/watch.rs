//! Watches usbmuxd for ever: it may be absent, restart, leave with the last phone, or go mute.

use super::MuxAddress;
use super::client::{MuxClient, attachment};
use crate::{Deadlines, DeviceError};
use ibak_core::{Transport, Udid};
use plist::{Dictionary, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most phones remembered at once; what a muxer claims beyond them is left out.
const PHONES_MAX: usize = 64;

/// A phone as usbmuxd shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The phone, in canonical spelling.
    pub udid: Udid,
    /// The phone as this muxer spells it; pairing records are asked for by this.
    pub wire_udid: String,
    /// The muxer's number for this attachment; never the same again after a replug.
    pub device_id: u32,
    /// By cable, or over the network (netmuxd and the like).
    pub transport: Transport,
}

/// What became of usbmuxd or of a phone at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxEvent {
    /// usbmuxd answers.
    Up,
    /// usbmuxd does not run. Sent once; phones it showed were reported as detached before.
    Down {
        /// What the system said.
        reason: String,
    },
    /// usbmuxd takes connections and answers nothing. Sent once, as [`Self::Down`].
    Mute,
    /// A phone appeared.
    Attached(Attachment),
    /// A phone disappeared.
    Detached(Attachment),
}

/// How [`watch_with`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// For connecting and for each request.
    pub deadlines: Deadlines,
    /// First pause before connecting again; doubles up to [`Self::backoff_max`].
    pub backoff_min: Duration,
    /// Longest pause before connecting again.
    pub backoff_max: Duration,
    /// How often a silent usbmuxd is asked whether it still answers.
    pub probe_every: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
            probe_every: Duration::from_secs(30),
        }
    }
}

/// Watches usbmuxd until cancelled or until nobody listens to `tx` any more.
pub async fn watch(address: MuxAddress, tx: mpsc::Sender<MuxEvent>, cancel: CancellationToken) {
    watch_with(address, WatchOptions::default(), tx, cancel).await;
}

/// Is [`watch`] with other times.
pub async fn watch_with(
    address: MuxAddress,
    options: WatchOptions,
    tx: mpsc::Sender<MuxEvent>,
    cancel: CancellationToken,
) {
    let mut watcher = Watcher {
        address,
        options,
        tx,
        said: Said::Nothing,
        phones: BTreeMap::new(),
    };
    cancel.run_until_cancelled(watcher.run()).await;
}

/// The last word about usbmuxd itself, so that it is said once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Up,
    Down,
    Mute,
}

/// Nobody listens any more.
struct Deaf;

struct Watcher {
    address: MuxAddress,
    options: WatchOptions,
    tx: mpsc::Sender<MuxEvent>,
    said: Said,
    phones: BTreeMap<u32, Attachment>,
}

impl Watcher {
    async fn run(&mut self) {
        let mut pause = self.options.backoff_min;
        loop {
            let was_up = match self.listen_once().await {
                Ok(was_up) => was_up,
                Err(Deaf) => return,
            };
            pause = if was_up {
                self.options.backoff_min
            } else {
                (pause * 2).min(self.options.backoff_max)
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Listens until the connection ends, and says whether usbmuxd had answered at all.
    async fn listen_once(&mut self) -> Result<bool, Deaf> {
        let opened = async {
            let mut client = MuxClient::open(&self.address, &self.options.deadlines).await?;
            client.listen().await?;
            Ok(client)
        };
        let mut client = match opened.await {
            Ok(client) => client,
            Err(error) => {
                self.lost(&error).await?;
                return Ok(false);
            }
        };
        if self.said != Said::Up {
            self.said = Said::Up;
            self.send(MuxEvent::Up).await?;
        }
        // Messages are read in a task of their own, so that probing never cuts one in two.
        let (messages_tx, mut messages) = mpsc::channel::<Result<Dictionary, DeviceError>>(16);
        let reader = tokio::spawn(async move {
            loop {
                let message = client.next().await;
                let ended = message.is_err();
                if messages_tx.send(message).await.is_err() || ended {
                    return;
                }
            }
        });
        let reader = AbortOnDrop(reader);
        let mut probe = tokio::time::interval(self.options.probe_every);
        probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        probe.tick().await;
        let error = loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Ok(message)) => self.heard(&message).await?,
                    Some(Err(error)) => break error,
                    None => break DeviceError::Protocol { what: "usbmuxd", reason: "the listener ended".into() },
                },
                _ = probe.tick() => if let Err(error) = self.probe().await { break error },
            }
        };
        drop(reader);
        self.lost(&error).await?;
        Ok(true)
    }

    async fn heard(&mut self, message: &Dictionary) -> Result<(), Deaf> {
        match message.get("MessageType").and_then(Value::as_string) {
            Some("Attached") => match attachment(message) {
                Some(phone) => self.attached(phone).await,
                None => {
                    tracing::debug!("usbmuxd shows something that is no phone of ours");
                    Ok(())
                }
            },
            Some("Detached") => {
                let id = message.get("DeviceID").and_then(Value::as_unsigned_integer);
                match id
                    .and_then(|id| u32::try_from(id).ok())
                    .and_then(|id| self.phones.remove(&id))
                {
                    Some(phone) => self.send(MuxEvent::Detached(phone)).await,
                    None => Ok(()),
                }
            }
            // "Paired" and whatever newer ones send.
            Some(_) | None => Ok(()),
        }
    }

    async fn attached(&mut self, phone: Attachment) -> Result<(), Deaf> {
        if self.phones.get(&phone.device_id) == Some(&phone) {
            return Ok(());
        }
        if self.phones.len() >= PHONES_MAX {
            tracing::warn!(
                phones = PHONES_MAX,
                "usbmuxd shows more phones than are looked after"
            );
            return Ok(());
        }
        if let Some(before) = self.phones.insert(phone.device_id, phone.clone()) {
            self.send(MuxEvent::Detached(before)).await?;
        }
        self.send(MuxEvent::Attached(phone)).await
    }

    async fn probe(&self) -> Result<(), DeviceError> {
        MuxClient::open(&self.address, &self.options.deadlines)
            .await?
            .devices()
            .await
            .map(drop)
    }

    /// Reports the phones as gone, then what became of usbmuxd, unless that was said already.
    async fn lost(&mut self, error: &DeviceError) -> Result<(), Deaf> {
        for phone in std::mem::take(&mut self.phones).into_values() {
            self.send(MuxEvent::Detached(phone)).await?;
        }
        let mute = matches!(error, DeviceError::MuxMute { .. });
        let word = if mute { Said::Mute } else { Said::Down };
        if self.said == word {
            return Ok(());
        }
        self.said = word;
        self.send(if mute {
            MuxEvent::Mute
        } else {
            MuxEvent::Down {
                reason: error.to_string(),
            }
        })
        .await
    }

    async fn send(&self, event: MuxEvent) -> Result<(), Deaf> {
        self.tx.send(event).await.map_err(|_| Deaf)
    }
}

/// Ends a task with the scope that began it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
