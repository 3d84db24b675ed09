//! Watches usbmuxd for ever: it may be absent, restart, leave with the last phone, or go mute.

use super::MuxAddress;
use super::appearance::{Appearance, appeared};
use super::client::{MuxClient, attachment};
use crate::{Deadlines, DeviceError};
use ibak_core::{Transport, Udid};
use plist::{Dictionary, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
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
    /// Longest pause before connecting again where the system does not tell of its socket, or to
    /// one that is mute.
    pub backoff_max: Duration,
    /// Longest pause before connecting again where the system tells when its socket appears.
    pub backoff_told_max: Duration,
    /// How often a silent usbmuxd that has phones, or should soon have, is asked whether it still
    /// answers.
    pub probe_every: Duration,
    /// How often one is asked that has none.
    pub probe_idle_every: Duration,
    /// For how long after [`watch`] was told to look it should soon have a phone.
    pub expectant: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            backoff_told_max: Duration::from_secs(600),
            probe_every: Duration::from_secs(30),
            probe_idle_every: Duration::from_secs(1_800),
            expectant: Duration::from_secs(300),
        }
    }
}

/// Watches usbmuxd until cancelled or until nobody listens to `tx` any more.
///
/// Sleeps while nothing happens: the system tells when its socket appears, and one without phones
/// is hardly ever asked. Whoever knows better, since a phone was just plugged in, says so by `look`.
pub async fn watch(
    address: MuxAddress,
    look: Arc<Notify>,
    tx: mpsc::Sender<MuxEvent>,
    cancel: CancellationToken,
) {
    watch_with(address, WatchOptions::default(), look, tx, cancel).await;
}

/// Is [`watch`] with other times.
pub async fn watch_with(
    address: MuxAddress,
    options: WatchOptions,
    look: Arc<Notify>,
    tx: mpsc::Sender<MuxEvent>,
    cancel: CancellationToken,
) {
    let mut watcher = Watcher {
        address,
        options,
        look,
        expectant_until: None,
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
    look: Arc<Notify>,
    expectant_until: Option<Instant>,
    tx: mpsc::Sender<MuxEvent>,
    said: Said,
    phones: BTreeMap<u32, Attachment>,
}

impl Watcher {
    async fn run(&mut self) {
        let mut pause = self.options.backoff_min;
        let mut socket: Option<Appearance> = None;
        loop {
            // Before connecting, so that what appears meanwhile is not missed.
            if socket.as_ref().is_none_or(Appearance::is_over) {
                socket = Appearance::of(&self.address);
            }
            let was_up = match self.listen_once().await {
                Ok(was_up) => was_up,
                Err(Deaf) => return,
            };
            if was_up {
                pause = self.options.backoff_min;
            }
            let told = socket.is_some() && self.said != Said::Mute;
            let longest = if told {
                self.options.backoff_told_max
            } else {
                self.options.backoff_max
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
                () = appeared(&mut socket) => pause = self.options.backoff_min,
                () = self.look.notified() => {
                    self.expect_a_phone();
                    pause = self.options.backoff_min;
                }
            }
        }
    }

    fn expect_a_phone(&mut self) {
        self.expectant_until = Some(Instant::now() + self.options.expectant);
    }

    /// Returns how long a silence may last before it is asked whether it still answers.
    fn patience(&self) -> Duration {
        let expectant = self.expectant_until.is_some_and(|at| Instant::now() < at);
        if self.phones.is_empty() && !expectant {
            self.options.probe_idle_every
        } else {
            self.options.probe_every
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
        let look = Arc::clone(&self.look);
        let mut asked = Instant::now();
        let error = loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Ok(message)) => self.heard(&message).await?,
                    Some(Err(error)) => break error,
                    None => break DeviceError::Protocol { what: "usbmuxd", reason: "the listener ended".into() },
                },
                () = look.notified() => self.expect_a_phone(),
                () = tokio::time::sleep_until(asked + self.patience()) => {
                    if let Err(error) = self.probe().await { break error }
                    asked = Instant::now();
                }
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
