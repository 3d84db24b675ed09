//! Pairing: the one moment when phone and computer learn each other's keys.
//!
//! By cable only. The question on the phone is asked once: the same certificates are sent on
//! every try, until the person has answered or our deadline has passed.

use crate::certs::{self, Certificates};
use crate::lockdown::{LockdownCode, Plain, request};
use crate::mux::{Attachment, MuxAddress, MuxClient};
use crate::record::Parts;
use crate::signals::enable_wifi_connections;
use crate::{Deadlines, DeviceError, Link, PairRecord, PairStore, Session, version};
use ibak_core::{Transport, Udid};
use plist::{Dictionary, Value};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// What the person at the phone should do now. Sent when it changes.
///
/// The phone gives the same answer from the trust question to the end of its passcode prompt, so
/// the two are one event; leaving either comes back as [`LockdownCode::UserDeniedPairing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairEvent {
    /// The phone is locked and cannot ask: unlock it.
    UnlockPhone,
    /// The phone asks: tap Trust and enter the passcode.
    TapTrust,
    /// The phone trusts this computer; the record is stored.
    Trusted,
}

/// What a pairing came to.
#[derive(Clone, Debug)]
pub struct Paired {
    /// The record, as it is stored.
    pub record: Arc<PairRecord>,
    /// Whether the phone answers over the network from here on; `None` when that was not asked for.
    pub wifi: Option<bool>,
}

/// How to pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOptions {
    /// This computer's name, as newer phones show it.
    pub host_name: String,
    /// For how long the person may take.
    pub patience: Duration,
    /// How often the phone is asked for its answer.
    pub ask_every: Duration,
    /// Whether usbmuxd gets a copy of the record, so that other programs can use the pairing.
    /// Its socket lets every local user read it.
    pub share_with_usbmuxd: bool,
    /// Whether the phone shall answer over the network from here on.
    pub wifi: bool,
    /// For the single steps.
    pub deadlines: Deadlines,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            host_name: "ibak".into(),
            patience: Duration::from_secs(120),
            ask_every: Duration::from_secs(1),
            share_with_usbmuxd: false,
            wifi: true,
            deadlines: Deadlines::default(),
        }
    }
}

/// Pairs with a phone on the cable, stores the record, proves that it opens a session, and lets the
/// phone answer over the network.
///
/// # Errors
/// [`DeviceError::PairingNeedsCable`]; [`LockdownCode::UserDeniedPairing`] when the person said
/// no; [`DeviceError::TrustNotAnswered`] when nobody answered; [`DeviceError::TooOld`]; [`LockdownCode::MCProtected`] when
/// a profile forbids it. A record that was stored stays stored when a later step fails.
pub async fn pair(
    address: &MuxAddress,
    phone: &Attachment,
    store: &PairStore,
    options: &PairOptions,
    events: &mpsc::Sender<PairEvent>,
) -> Result<Paired, DeviceError> {
    if phone.transport != Transport::Usb {
        return Err(DeviceError::PairingNeedsCable);
    }
    let link = Link::through(address, phone);
    let mut front = Plain::open(&link, &options.deadlines).await?;
    version::check(front.get_value(version::KEY).await)?;
    let facts = Facts::read(&mut front, &phone.udid).await?;
    let public_key = facts.public_key.clone();
    let made =
        tokio::task::spawn_blocking(move || certs::make(&public_key, SystemTime::now())).await;
    let made = made.map_err(|error| DeviceError::Keys(error.to_string()))??;
    let host_id = uuid::Uuid::new_v4().to_string().to_uppercase();
    let system_buid = store.system_buid()?;
    let question = question(&host_id, &system_buid, &facts, &made, options);
    let escrow_bag = Asking {
        link: &link,
        options,
        events,
        told: None,
    }
    .ask(front, &question)
    .await?;
    let record = PairRecord::assemble(Parts {
        host_id,
        system_buid,
        device_certificate: made.device,
        host_certificate: made.host,
        root_certificate: made.root,
        host_private_key: made.host_key,
        escrow_bag,
        wifi_mac: facts.wifi_mac,
    })?;
    store.save(&phone.udid, &record)?;
    let record = Arc::new(record);
    if options.share_with_usbmuxd {
        let bytes = record.to_plist()?.to_vec();
        MuxClient::open(address, &options.deadlines)
            .await?
            .save_pair_record(phone, bytes)
            .await?;
    }
    let mut session =
        Session::open(&link, Arc::clone(&record), &phone.udid, &options.deadlines).await?;
    let wifi = if options.wifi {
        Some(reached_over_wifi(&mut session).await)
    } else {
        None
    };
    if let Err(error) = session.stop().await {
        tracing::debug!(%error, "the phone did not say good-bye");
    }
    tell(events, PairEvent::Trusted).await;
    Ok(Paired { record, wifi })
}

/// Lets the phone answer over the network; the pairing is good without.
async fn reached_over_wifi(session: &mut Session) -> bool {
    match enable_wifi_connections(session).await {
        Ok(enabled) => enabled,
        Err(error) => {
            tracing::debug!(%error, "the phone was not told to answer over the network");
            false
        }
    }
}

/// What the phone says before it trusts.
struct Facts {
    public_key: Vec<u8>,
    wifi_mac: Option<String>,
}

impl Facts {
    async fn read(front: &mut Plain, expected: &Udid) -> Result<Self, DeviceError> {
        let found = front
            .get_value("UniqueDeviceID")
            .await?
            .and_then(Value::into_string)
            .unwrap_or_default();
        if Udid::parse(&found).as_ref() != Ok(expected) {
            let found = found.chars().take(64).collect();
            return Err(DeviceError::WrongPhone {
                expected: expected.clone(),
                found,
            });
        }
        let public_key = front
            .get_value("DevicePublicKey")
            .await?
            .and_then(Value::into_data);
        let public_key = public_key.ok_or_else(|| DeviceError::Protocol {
            what: "Pair",
            reason: "the phone shows no public key".into(),
        })?;
        let wifi_mac = front
            .get_value("WiFiAddress")
            .await?
            .and_then(Value::into_string);
        Ok(Self {
            public_key,
            wifi_mac,
        })
    }
}

/// Makes the request; no private key is in it.
fn question(
    host_id: &str,
    system_buid: &str,
    facts: &Facts,
    made: &Certificates,
    options: &PairOptions,
) -> Dictionary {
    let mut record = Dictionary::new();
    record.insert("DeviceCertificate".into(), Value::Data(made.device.clone()));
    record.insert(
        "DevicePublicKey".into(),
        Value::Data(facts.public_key.clone()),
    );
    record.insert("HostCertificate".into(), Value::Data(made.host.clone()));
    record.insert("HostID".into(), host_id.into());
    record.insert("RootCertificate".into(), Value::Data(made.root.clone()));
    record.insert("SystemBUID".into(), system_buid.into());
    let mut extended = Dictionary::new();
    extended.insert("ExtendedPairingErrors".into(), true.into());
    let mut message = request("Pair");
    message.insert("HostName".into(), options.host_name.as_str().into());
    message.insert("PairRecord".into(), Value::Dictionary(record));
    message.insert("PairingOptions".into(), Value::Dictionary(extended));
    message.insert("ProtocolVersion".into(), "2".into());
    message
}

/// The wait for the person.
struct Asking<'a> {
    link: &'a Link,
    options: &'a PairOptions,
    events: &'a mpsc::Sender<PairEvent>,
    told: Option<PairEvent>,
}

impl Asking<'_> {
    /// Asks until there is an answer, and returns the escrow bag that comes with a yes.
    async fn ask(
        &mut self,
        mut front: Plain,
        question: &Dictionary,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, DeviceError> {
        let until = Instant::now() + self.options.patience;
        loop {
            match front.ask("Pair", question.clone()).await {
                Ok(mut answer) => {
                    return Ok(answer
                        .remove("EscrowBag")
                        .and_then(Value::into_data)
                        .map(Zeroizing::new));
                }
                Err(DeviceError::Lockdown {
                    code: LockdownCode::PairingDialogResponsePending,
                    ..
                }) => {
                    self.tell(PairEvent::TapTrust).await;
                }
                Err(DeviceError::Lockdown {
                    code: LockdownCode::PasswordProtected,
                    ..
                }) => {
                    self.tell(PairEvent::UnlockPhone).await;
                }
                // Some phones close the connection while they ask.
                Err(DeviceError::Io { .. }) => {
                    front = Plain::open(self.link, &self.options.deadlines).await?
                }
                Err(error) => return Err(error),
            }
            if Instant::now() + self.options.ask_every > until {
                let locked = self.told == Some(PairEvent::UnlockPhone);
                return Err(DeviceError::TrustNotAnswered {
                    after: self.options.patience,
                    locked,
                });
            }
            tokio::time::sleep(self.options.ask_every).await;
        }
    }

    async fn tell(&mut self, event: PairEvent) {
        if self.told != Some(event) {
            self.told = Some(event);
            tell(self.events, event).await;
        }
    }
}

/// Sends an event; pairing goes on when nobody listens.
async fn tell(events: &mpsc::Sender<PairEvent>, event: PairEvent) {
    if events.send(event).await.is_err() {
        tracing::trace!(?event, "nobody listens to the pairing");
    }
}
