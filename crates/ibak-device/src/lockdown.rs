//! The phone's front door: who are you, what is so about you, open this service.
//!
//! Nothing secret is sent before the other end has proved the key it was paired with. What goes
//! before that is the protocol's own opening: our host id and system id, which name the pairing
//! and open nothing.

mod code;

pub use code::LockdownCode;

use crate::record::wipe;
use crate::tls::Encryption;
use crate::wire::{self, Stream, within};
use crate::{Deadlines, DeviceError, Link, PairRecord, version};
use ibak_core::plist_guard::Limits;
use ibak_core::{Transport, Udid};
use plist::{Dictionary, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A phone closes a lockdown connection that is silent for 60 s; we leave it before.
const IDLE_MAX: Duration = Duration::from_secs(45);
const LABEL: &str = "ibak";

/// Whether a service is asked for with the escrow bag, which opens what a locked phone keeps shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escrow {
    /// With it; without it when the record has none.
    Yes,
    /// Without.
    No,
}

/// A service of the phone, connected, encrypted where the phone says so.
#[derive(Debug)]
pub struct Service {
    /// The bytes to and from it.
    pub stream: Box<dyn Stream>,
    /// Whether they are encrypted; over the network always.
    pub encrypted: bool,
}

/// A lockdown session whose other end has proved to be the paired phone.
///
/// It reconnects by itself when the phone has closed it for being idle, or when a request was
/// cancelled in the middle.
#[derive(Debug)]
pub struct Session {
    link: Link,
    record: Arc<PairRecord>,
    encryption: Encryption,
    udid: Udid,
    deadlines: Deadlines,
    open: Open,
}

#[derive(Debug)]
struct Open {
    stream: Box<dyn Stream>,
    session_id: Option<String>,
    used: Instant,
    /// A request went out and its answer was not read: the stream is out of step.
    unfinished: bool,
}

impl Session {
    /// Opens a session with exactly this phone.
    ///
    /// # Errors
    /// [`DeviceError::WrongKey`], [`DeviceError::NoTls`] and [`DeviceError::WrongPhone`] when it is
    /// not the paired phone; [`DeviceError::TooOld`]; [`DeviceError::Lockdown`] when the phone
    /// declines.
    pub async fn open(
        link: &Link,
        record: Arc<PairRecord>,
        udid: &Udid,
        deadlines: &Deadlines,
    ) -> Result<Self, DeviceError> {
        let encryption = Encryption::new(&record)?;
        let open = match Self::connect(link, &record, &encryption, udid, deadlines).await {
            Ok(open) => open,
            Err(error) => return Err(version::explain(error, link, deadlines).await),
        };
        let mut session = Self {
            link: link.clone(),
            record,
            encryption,
            udid: udid.clone(),
            deadlines: *deadlines,
            open,
        };
        version::check(session.get_value(None, Some(version::KEY)).await)?;
        Ok(session)
    }

    /// Returns the phone.
    pub const fn udid(&self) -> &Udid {
        &self.udid
    }

    /// Returns the way it is reached by.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Returns the deadlines of its requests.
    pub const fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    async fn connect(
        link: &Link,
        record: &PairRecord,
        encryption: &Encryption,
        udid: &Udid,
        deadlines: &Deadlines,
    ) -> Result<Open, DeviceError> {
        let mut plain = Plain::open(link, deadlines).await?;
        let mut request = request("StartSession");
        request.insert("HostID".into(), record.host_id.as_str().into());
        request.insert("SystemBUID".into(), record.system_buid.as_str().into());
        let answer = plain.ask("StartSession", request).await?;
        if answer.get("EnableSessionSSL").and_then(Value::as_boolean) != Some(true) {
            return Err(DeviceError::NoTls {
                what: "StartSession",
            });
        }
        let session_id = answer
            .get("SessionID")
            .and_then(Value::as_string)
            .map(str::to_owned);
        let stream = encryption
            .wrap("StartSession", plain.stream, deadlines)
            .await?;
        let mut open = Open {
            stream,
            session_id,
            used: Instant::now(),
            unfinished: false,
        };
        let found = open.get(None, Some("UniqueDeviceID"), deadlines).await?;
        let found = found
            .as_ref()
            .and_then(Value::as_string)
            .unwrap_or_default();
        if Udid::parse(found).as_ref() != Ok(udid) {
            return Err(DeviceError::WrongPhone {
                expected: udid.clone(),
                found: found.chars().take(64).collect(),
            });
        }
        Ok(open)
    }

    /// Reads one value, or with no `key` a whole domain; `None` when the phone says there is none.
    ///
    /// # Errors
    /// When the phone declines for any other reason, or the connection fails.
    pub async fn get_value(
        &mut self,
        domain: Option<&str>,
        key: Option<&str>,
    ) -> Result<Option<Value>, DeviceError> {
        let mut answer = match self.ask("GetValue", get_request(domain, key)).await {
            Err(error) => return absent(error),
            Ok(answer) => answer,
        };
        Ok(answer.remove("Value"))
    }

    /// Reads a whole domain; `None` when the phone has no such domain.
    ///
    /// # Errors
    /// As [`Self::get_value`].
    pub async fn get_domain(
        &mut self,
        domain: Option<&str>,
    ) -> Result<Option<Dictionary>, DeviceError> {
        Ok(self
            .get_value(domain, None)
            .await?
            .and_then(Value::into_dictionary))
    }

    /// Writes one value.
    ///
    /// # Errors
    /// When the phone declines or the connection fails.
    pub async fn set_value(
        &mut self,
        domain: Option<&str>,
        key: &str,
        value: Value,
    ) -> Result<(), DeviceError> {
        let mut message = get_request(domain, Some(key));
        message.insert("Request".into(), "SetValue".into());
        message.insert("Value".into(), value);
        self.ask("SetValue", message).await.map(drop)
    }

    /// Starts a service and connects to it.
    ///
    /// # Errors
    /// When the phone declines, or offers the service unencrypted over the network.
    pub async fn start_service(
        &mut self,
        name: &'static str,
        escrow: Escrow,
    ) -> Result<Service, DeviceError> {
        let mut message = request("StartService");
        message.insert("Service".into(), name.into());
        if let (Escrow::Yes, Some(bag)) = (escrow, &self.record.escrow_bag) {
            message.insert("EscrowBag".into(), Value::Data(bag.to_vec()));
        }
        let answer = self.ask(name, message).await?;
        let port = answer
            .get("Port")
            .and_then(Value::as_unsigned_integer)
            .and_then(|port| u16::try_from(port).ok());
        let port = port
            .filter(|port| *port != 0)
            .ok_or_else(|| DeviceError::Protocol {
                what: name,
                reason: "no port".into(),
            })?;
        // Over USB the key is absent for plain services (corpus, lockdown/replies.json).
        let encrypted = answer
            .get("EnableServiceSSL")
            .and_then(Value::as_boolean)
            .unwrap_or(false);
        if !encrypted && self.link.transport() == Transport::Wifi {
            return Err(DeviceError::NoTls { what: name });
        }
        let stream = self.link.connect(port, &self.deadlines).await?;
        let stream = if encrypted {
            self.encryption.wrap(name, stream, &self.deadlines).await?
        } else {
            stream
        };
        Ok(Service { stream, encrypted })
    }

    /// Asks the phone to forget this computer. It sends nothing secret: the certificates and names
    /// of the pairing, as when it was made.
    pub(crate) async fn unpair(&mut self) -> Result<(), DeviceError> {
        let mut message = request("Unpair");
        message.insert("PairRecord".into(), self.record.public_part().into());
        message.insert("ProtocolVersion".into(), "2".into());
        self.ask("Unpair", message).await.map(drop)
    }

    /// Takes leave within [`Deadlines::goodbye`]. Never fails: the phone may be gone.
    pub async fn goodbye(self) {
        let goodbye = self.deadlines.goodbye;
        match tokio::time::timeout(goodbye, self.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the phone did not say good-bye"),
            Err(_elapsed) => tracing::debug!("the phone did not say good-bye in time"),
        }
    }

    /// Says good-bye. Dropping the session closes it as well, less politely.
    ///
    /// # Errors
    /// When the phone does not answer; the session is closed all the same.
    pub async fn stop(mut self) -> Result<(), DeviceError> {
        let mut message = request("StopSession");
        if let Some(id) = &self.open.session_id {
            message.insert("SessionID".into(), id.as_str().into());
        }
        let deadlines = self.deadlines;
        self.open
            .ask("StopSession", message, &deadlines)
            .await
            .map(drop)
    }

    /// Asks, in a new session when the old one is too old, out of step or found to be closed.
    async fn ask(
        &mut self,
        what: &'static str,
        message: Dictionary,
    ) -> Result<Dictionary, DeviceError> {
        let mut message = Value::Dictionary(message);
        let fresh = self.open.unfinished || self.open.used.elapsed() >= IDLE_MAX;
        let deadlines = self.deadlines;
        if fresh {
            self.reconnect().await?;
        }
        let first = self.open.ask_value(what, &message, &deadlines).await;
        let result = match first {
            // All requests that pass here may be asked twice.
            Err(
                DeviceError::Io { .. }
                | DeviceError::Lockdown {
                    code: LockdownCode::SessionInactive,
                    ..
                },
            ) if !fresh => {
                self.reconnect().await?;
                self.open.ask_value(what, &message, &deadlines).await
            }
            other => other,
        };
        wipe(&mut message, &["EscrowBag"]);
        result
    }

    async fn reconnect(&mut self) -> Result<(), DeviceError> {
        self.open = Self::connect(
            &self.link,
            &self.record,
            &self.encryption,
            &self.udid,
            &self.deadlines,
        )
        .await?;
        Ok(())
    }
}

impl Open {
    async fn get(
        &mut self,
        domain: Option<&str>,
        key: Option<&str>,
        deadlines: &Deadlines,
    ) -> Result<Option<Value>, DeviceError> {
        Ok(self
            .ask("GetValue", get_request(domain, key), deadlines)
            .await?
            .remove("Value"))
    }

    async fn ask(
        &mut self,
        what: &'static str,
        message: Dictionary,
        deadlines: &Deadlines,
    ) -> Result<Dictionary, DeviceError> {
        self.ask_value(what, &Value::Dictionary(message), deadlines)
            .await
    }

    async fn ask_value(
        &mut self,
        what: &'static str,
        message: &Value,
        deadlines: &Deadlines,
    ) -> Result<Dictionary, DeviceError> {
        self.unfinished = true;
        let answer = exchange(what, &mut self.stream, message, deadlines).await?;
        self.unfinished = false;
        self.used = Instant::now();
        accepted(what, answer)
    }
}

/// A lockdown connection without a session, for the questions that need none.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: Box<dyn Stream>,
    deadlines: Deadlines,
}

impl Plain {
    /// Connects and makes sure that lockdown answers.
    pub(crate) async fn open(link: &Link, deadlines: &Deadlines) -> Result<Self, DeviceError> {
        let stream = link.connect_lockdown(deadlines).await?;
        let mut plain = Self::over(stream, *deadlines);
        let answer = plain.ask("QueryType", request("QueryType")).await?;
        match answer.get("Type").and_then(Value::as_string) {
            Some("com.apple.mobile.lockdown") => Ok(plain),
            Some(_) | None => Err(DeviceError::Protocol {
                what: "QueryType",
                reason: "this is no lockdown service".into(),
            }),
        }
    }

    /// Speaks over a stream that leads to lockdown.
    pub(crate) const fn over(stream: Box<dyn Stream>, deadlines: Deadlines) -> Self {
        Self { stream, deadlines }
    }

    pub(crate) async fn ask(
        &mut self,
        what: &'static str,
        message: Dictionary,
    ) -> Result<Dictionary, DeviceError> {
        let answer = exchange(
            what,
            &mut self.stream,
            &Value::Dictionary(message),
            &self.deadlines,
        )
        .await?;
        accepted(what, answer)
    }

    pub(crate) async fn get_value(&mut self, key: &str) -> Result<Option<Value>, DeviceError> {
        match self.ask("GetValue", get_request(None, Some(key))).await {
            Ok(mut answer) => Ok(answer.remove("Value")),
            Err(error) => absent(error),
        }
    }
}

/// Makes a request with our label.
pub(crate) fn request(name: &str) -> Dictionary {
    let mut message = Dictionary::new();
    message.insert("Label".into(), LABEL.into());
    message.insert("Request".into(), name.into());
    message
}

fn get_request(domain: Option<&str>, key: Option<&str>) -> Dictionary {
    let mut message = request("GetValue");
    for (name, value) in [("Domain", domain), ("Key", key)] {
        if let Some(value) = value {
            message.insert(name.into(), value.into());
        }
    }
    message
}

async fn exchange(
    what: &'static str,
    stream: &mut Box<dyn Stream>,
    message: &Value,
    deadlines: &Deadlines,
) -> Result<Dictionary, DeviceError> {
    within(what, deadlines.request, async {
        wire::send(what, stream, message).await?;
        wire::receive(what, stream, &Limits::MESSAGE).await
    })
    .await
}

/// An answer is good when it carries no error; newer phones send no `Result` (corpus, replies.json).
fn accepted(what: &'static str, answer: Dictionary) -> Result<Dictionary, DeviceError> {
    match answer.get("Error") {
        None => Ok(answer),
        Some(error) => {
            let code = LockdownCode::parse(error.as_string().unwrap_or("an error without a name"));
            Err(DeviceError::Lockdown { what, code })
        }
    }
}

/// Tells "there is no such value" from every other refusal.
fn absent<T>(error: DeviceError) -> Result<Option<T>, DeviceError> {
    let missing =
        matches!(&error, DeviceError::Lockdown { code, .. } if *code == LockdownCode::MissingValue);
    if missing { Ok(None) } else { Err(error) }
}
