//! One connection to lockdownd: plain, then TLS while a session lasts, then plain again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};
use rustls::server::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::values::{self, Access};
use crate::hostile::{Attack, Impostor, Place, Record, Script};
use crate::network;
use crate::pairing::{Pairing, escrow_bag};
use crate::phone::{Phone, Transport};
use crate::ports::Waiting;
use crate::services;
use crate::state::{PasscodeAnswer, PhoneState, Trust};
use crate::wire::{self, BoxIo, KeepOpen};

/// lockdownd closes a connection that is idle for so long (corpus timings: 60 s).
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A connection, encrypted or not.
enum Channel {
    Plain(BoxIo),
    Tls(Box<TlsStream<KeepOpen<BoxIo>>>),
}

impl Channel {
    async fn read(&mut self) -> io::Result<Option<Dictionary>> {
        match self {
            Self::Plain(stream) => wire::read_dict(stream).await,
            Self::Tls(stream) => wire::read_dict(stream).await,
        }
    }

    async fn write(&mut self, reply: Dictionary) -> io::Result<()> {
        let reply = Value::Dictionary(reply);
        match self {
            Self::Plain(stream) => wire::write(stream, &reply).await,
            Self::Tls(stream) => wire::write(stream, &reply).await,
        }
    }

    async fn encrypt(self, config: Arc<ServerConfig>, record: &Record) -> io::Result<Self> {
        let stream = match self {
            Self::Plain(stream) => record.of(stream),
            Self::Tls(stream) => return Ok(Self::Tls(stream)),
        };
        let stream = TlsAcceptor::from(config).accept(KeepOpen(stream)).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Says what an attacker says, until the host leaves or it took long enough.
    async fn act(self, script: &Script) {
        match self {
            Self::Plain(stream) => script.act(stream).await,
            Self::Tls(stream) => script.act(stream).await,
        }
    }

    /// Waits for the host's close_notify and goes on in plain text.
    async fn decrypt(self) -> io::Result<Option<Self>> {
        match self {
            Self::Plain(stream) => Ok(Some(Self::Plain(stream))),
            Self::Tls(mut stream) => match wire::read_dict(&mut stream).await {
                Ok(None) => Ok(Some(Self::Plain(stream.into_inner().0.0))),
                Ok(Some(_)) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

struct Session {
    id: String,
    pairing: Pairing,
    /// How its services do TLS; `None` for an impostor that does not.
    tls: Option<Arc<ServerConfig>>,
}

/// What to do after a request.
enum Next {
    Reply(Dictionary),
    ReplyThenEncrypt(Dictionary, Arc<ServerConfig>),
    ReplyThenDecrypt(Dictionary),
    /// An attack.
    Act(Script),
    ReplyThenAct(Dictionary, Script),
    Close,
}

struct Conversation {
    phone: Arc<Phone>,
    transport: Transport,
    session: Option<Session>,
}

/// Serves one connection until the host leaves or is idle too long.
///
/// # Errors
/// When the stream fails or the host speaks something else.
pub(crate) async fn serve(
    stream: BoxIo,
    phone: Arc<Phone>,
    transport: Transport,
) -> io::Result<()> {
    let mut channel = Channel::Plain(stream);
    let mut conversation = Conversation {
        phone,
        transport,
        session: None,
    };
    loop {
        let Ok(request) = timeout(IDLE_MAX, channel.read()).await else {
            return Ok(());
        };
        let Some(request) = request? else {
            return Ok(());
        };
        match conversation.answer(&request).await? {
            Next::Reply(reply) => channel.write(reply).await?,
            Next::ReplyThenEncrypt(reply, config) => {
                channel.write(reply).await?;
                let record = &conversation.phone.record;
                channel = timeout(IDLE_MAX, channel.encrypt(config, record))
                    .await
                    .map_err(io::Error::from)??;
            }
            Next::ReplyThenDecrypt(reply) => {
                channel.write(reply).await?;
                let Ok(plain) = timeout(IDLE_MAX, channel.decrypt()).await else {
                    return Ok(());
                };
                let Some(plain) = plain? else { return Ok(()) };
                channel = plain;
            }
            Next::Act(script) => {
                channel.act(&script).await;
                return Ok(());
            }
            Next::ReplyThenAct(reply, script) => {
                channel.write(reply).await?;
                channel.act(&script).await;
                return Ok(());
            }
            Next::Close => return Ok(()),
        }
    }
}

fn text<'a>(request: &'a Dictionary, key: &str) -> Option<&'a str> {
    request.get(key).and_then(Value::as_string)
}

/// A reply begins with the request's name; there is no `Result` key (corpus, replies.json).
fn reply<const N: usize>(request: &str, pairs: [(&str, Value); N]) -> Dictionary {
    let mut reply: Dictionary = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    reply.insert("Request".to_owned(), request.into());
    reply
}

fn refuse(request: &str, error: &str) -> Dictionary {
    reply(request, [("Error", error.into())])
}

impl Conversation {
    async fn answer(&mut self, request: &Dictionary) -> io::Result<Next> {
        let Some(name) = text(request, "Request") else {
            return Ok(Next::Close);
        };
        tracing::debug!(udid = self.phone.identity().udid, name, "lockdown");
        if let Some(attack) = self.phone.attack()
            && let Some(script) = self.strike(attack, name, request)
        {
            return Ok(Next::Act(script));
        }
        Ok(match name {
            "QueryType" => Next::Reply(reply(name, [("Type", "com.apple.mobile.lockdown".into())])),
            "GetValue" => Next::Reply(self.get_value(request)),
            "SetValue" => Next::Reply(self.set_value(request)),
            "RemoveValue" => Next::Reply(self.remove_value(request)),
            "Pair" => Next::Reply(self.pair(request)),
            "ValidatePair" => Next::Reply(self.validate_pair(request)),
            "Unpair" => Next::Reply(self.unpair(request)),
            "StartSession" => self.start_session(request),
            "StopSession" => self.stop_session(request),
            "StartService" => Next::Reply(self.start_service(request).await?),
            "Goodbye" => Next::Reply(reply(name, [])),
            _ => Next::Close,
        })
    }

    /// Returns what an attack says in the place of an answer; an impostor notes what it hears.
    fn strike(&self, attack: Attack, name: &str, request: &Dictionary) -> Option<Script> {
        if attack.impostor().is_some() && self.session.is_some() {
            let bag = if request.contains_key("EscrowBag") {
                " and EscrowBag"
            } else {
                ""
            };
            self.phone
                .take_loot(|loot| loot.heard.push(format!("{name}{bag}")));
        }
        match (name, &self.session) {
            ("QueryType", _) => attack.script(Place::LockdownEarly),
            ("GetValue", Some(_)) => attack.script(Place::Lockdown),
            (_, Some(_) | None) => None,
        }
    }

    fn get_value(&self, request: &Dictionary) -> Dictionary {
        let (domain, key) = (text(request, "Domain"), text(request, "Key"));
        let access = if self.session.is_some() {
            Access::Session
        } else {
            Access::Anyone
        };
        let mut answer = match values::get(&self.phone, self.transport, access, domain, key) {
            Ok(value) => reply("GetValue", [("Value", value)]),
            Err(error) => refuse("GetValue", error),
        };
        name_value(&mut answer, domain, key);
        answer
    }

    fn set_value(&self, request: &Dictionary) -> Dictionary {
        let (domain, key) = (text(request, "Domain"), text(request, "Key"));
        let mut answer = match (&self.session, key, request.get("Value")) {
            (None, _, _) => refuse("SetValue", "SetProhibited"),
            (Some(_), None, _) => refuse("SetValue", "MissingKey"),
            (Some(_), Some(_), None) => refuse("SetValue", "MissingValue"),
            (Some(_), Some(key), Some(value)) => {
                self.phone.write_value(domain, key, Some(value.clone()));
                if domain.is_none() && key == "DeviceName" {
                    self.phone
                        .post("com.apple.mobile.lockdown.device_name_changed");
                }
                reply("SetValue", [("Value", value.clone())])
            }
        };
        name_value(&mut answer, domain, key);
        answer
    }

    fn remove_value(&self, request: &Dictionary) -> Dictionary {
        let (domain, key) = (text(request, "Domain"), text(request, "Key"));
        let mut answer = match (&self.session, key) {
            (None, _) => refuse("RemoveValue", "RemoveProhibited"),
            (Some(_), None) => refuse("RemoveValue", "MissingKey"),
            (Some(_), Some(key)) => {
                self.phone.write_value(domain, key, None);
                reply("RemoveValue", [])
            }
        };
        name_value(&mut answer, domain, key);
        answer
    }

    /// The person is asked once; what they answer is `trust=`.
    fn pair(&self, request: &Dictionary) -> Dictionary {
        match self.try_pair(request) {
            Ok(bag) => reply("Pair", [("EscrowBag", Value::Data(bag))]),
            Err(error) => refuse("Pair", error),
        }
    }

    fn try_pair(&self, request: &Dictionary) -> Result<Vec<u8>, &'static str> {
        if self.transport != Transport::Usb {
            return Err("PairingProhibitedOverThisConnection");
        }
        let record = request
            .get("PairRecord")
            .and_then(Value::as_dictionary)
            .ok_or("MissingPairRecord")?;
        let host_id = text(record, "HostID").ok_or("MissingHostID")?;
        let known = self
            .phone
            .pairing(host_id)
            .map(|pairing| pairing.escrow_bag);
        let bag = known.clone().unwrap_or_else(|| escrow_bag(rand::random()));
        let state = self.phone.state();
        if state.is_protected() {
            return Err("PasswordProtected");
        }
        let pairing = Pairing::from_record(record, self.phone.key(), bag.clone())
            .map_err(|_| "InvalidPairRecord")?;
        if known.is_none() {
            match state.trust {
                Trust::Accept => {}
                Trust::Deny => return Err("UserDeniedPairing"),
                Trust::Ask => return Err("PairingDialogResponsePending"),
            }
            self.passcode_for_pairing(&state)?;
        }
        self.phone.trust_host(pairing);
        Ok(bag)
    }

    /// After Trust, a phone with a passcode asks for it (iOS 11 and newer).
    fn passcode_for_pairing(&self, state: &PhoneState) -> Result<(), &'static str> {
        if !state.passcode.is_on() || self.phone.identity().ios.major < 11 {
            return Ok(());
        }
        self.phone.ask_pairing_passcode();
        match state.passcode_answer {
            PasscodeAnswer::Give => Ok(()),
            PasscodeAnswer::Dismiss => Err("UserDeniedPairing"),
            PasscodeAnswer::Ignore => Err("PairingDialogResponsePending"),
        }
    }

    /// A locked phone says PasswordProtected to any host, paired or not (corpus, replies.json).
    fn validate_pair(&self, request: &Dictionary) -> Dictionary {
        let host_id = request
            .get("PairRecord")
            .and_then(Value::as_dictionary)
            .and_then(|record| text(record, "HostID"));
        match host_id {
            None => refuse("ValidatePair", "MissingPairRecord"),
            Some(_) if self.phone.state().is_protected() => {
                refuse("ValidatePair", "PasswordProtected")
            }
            Some(host_id) if self.phone.pairing(host_id).is_none() => {
                refuse("ValidatePair", "InvalidHostID")
            }
            Some(_) => reply("ValidatePair", []),
        }
    }

    fn unpair(&self, request: &Dictionary) -> Dictionary {
        let host_id = request
            .get("PairRecord")
            .and_then(Value::as_dictionary)
            .and_then(|record| text(record, "HostID"));
        match host_id {
            None => refuse("Unpair", "MissingPairRecord"),
            Some(host_id) if self.phone.forget_host(host_id) => reply("Unpair", []),
            Some(_) => refuse("Unpair", "InvalidHostID"),
        }
    }

    fn start_session(&mut self, request: &Dictionary) -> Next {
        if self.session.is_some() {
            return Next::Reply(refuse("StartSession", "SessionActive"));
        }
        let Some(host_id) = text(request, "HostID") else {
            return Next::Reply(refuse("StartSession", "MissingHostID"));
        };
        let Some(pairing) = self.phone.pairing(host_id) else {
            return Next::Reply(refuse("StartSession", "InvalidHostID"));
        };
        let id = uuid::Uuid::new_v4().to_string().to_uppercase();
        let answer = reply(
            "StartSession",
            [
                ("EnableSessionSSL", true.into()),
                ("SessionID", id.clone().into()),
            ],
        );
        self.phone.note(|activity| activity.sessions += 1);
        let honest = pairing.tls();
        let Some(impostor) = self.phone.attack().and_then(Attack::impostor) else {
            self.session = Some(Session {
                id,
                pairing,
                tls: Some(Arc::clone(&honest)),
            });
            return Next::ReplyThenEncrypt(answer, honest);
        };
        self.impersonate(
            impostor,
            Session {
                id,
                pairing,
                tls: Some(honest),
            },
            answer,
        )
    }

    /// Starts a session in the phone's place.
    fn impersonate(
        &mut self,
        impostor: Impostor,
        session: Session,
        mut answer: Dictionary,
    ) -> Next {
        let honest = session.pairing.tls();
        let config = match impostor.config(session.pairing.device(), &honest) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(%error, "an impostor has no key");
                return Next::Close;
            }
        };
        let plain_services = matches!(impostor, Impostor::Plain | Impostor::PlainService);
        let tls = config.clone().filter(|_| !plain_services);
        self.session = Some(Session { tls, ..session });
        match (config, impostor) {
            (Some(config), _) => Next::ReplyThenEncrypt(answer, config),
            (None, Impostor::Plain) => {
                answer.insert("EnableSessionSSL".to_owned(), false.into());
                Next::Reply(answer)
            }
            (None, _) => Next::ReplyThenAct(answer, impostor.script(self.phone.record.bytes())),
        }
    }

    fn stop_session(&mut self, request: &Dictionary) -> Next {
        let error = match (&self.session, text(request, "SessionID")) {
            (None, _) => "SessionInactive",
            (Some(_), None) => "MissingSessionID",
            (Some(session), Some(id)) if session.id != id => "InvalidSessionID",
            (Some(_), Some(_)) => {
                self.session = None;
                return Next::ReplyThenDecrypt(reply("StopSession", []));
            }
        };
        Next::Reply(refuse("StopSession", error))
    }

    async fn start_service(&self, request: &Dictionary) -> io::Result<Dictionary> {
        let Some(service) = text(request, "Service") else {
            return Ok(refuse("StartService", "MissingService"));
        };
        let mut answer = match self.permit(service, request.get("EscrowBag")) {
            Ok(session) => self.open(service, session).await?,
            Err(error) => refuse("StartService", error),
        };
        answer.insert("Service".to_owned(), service.into());
        Ok(answer)
    }

    fn permit(&self, service: &str, escrow: Option<&Value>) -> Result<&Session, &'static str> {
        let session = self.session.as_ref().ok_or("SessionInactive")?;
        if !services::exists(service) {
            return Err("InvalidService");
        }
        match escrow.map(|bag| bag.as_data() == Some(session.pairing.escrow_bag.as_slice())) {
            Some(true) => Ok(session),
            // corpus, replies.json: an EscrowBag the phone does not accept gives MissingValue
            Some(false) => Err("MissingValue"),
            None if services::is_protected(service) && self.phone.state().is_protected() => {
                Err("PasswordProtected")
            }
            None => Ok(session),
        }
    }

    /// Each start opens a new port; over the network every service does TLS.
    async fn open(&self, service: &str, session: &Session) -> io::Result<Dictionary> {
        let wanted = services::does_tls(service, self.transport);
        let tls = session.tls.clone().filter(|_| wanted);
        let encrypted = tls.is_some();
        let waiting = Waiting::new(service, tls);
        let port = match self.transport {
            Transport::Usb => self.phone.ports.open(waiting),
            Transport::Network(address) => {
                network::open_service(&self.phone, address, waiting).await?
            }
        };
        let mut answer = reply("StartService", [("Port", u64::from(port).into())]);
        if encrypted {
            answer.insert("EnableServiceSSL".to_owned(), true.into());
        }
        Ok(answer)
    }
}

/// A reply names the key and the domain only when they were asked.
fn name_value(answer: &mut Dictionary, domain: Option<&str>, key: Option<&str>) {
    for (name, value) in [("Domain", domain), ("Key", key)] {
        if let Some(value) = value {
            answer.insert(name.to_owned(), value.into());
        }
    }
}
