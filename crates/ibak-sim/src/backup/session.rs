//! One connection: version exchange, Hello, then requests until the host leaves.

use std::sync::{Arc, OnceLock};

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::link::{EMPTY, Link, Stop, dictionary};
use super::quirks::Quirk;
use super::refusal::Refusal;
use super::{
    BackupEnd, BackupError, BackupHost, Faults, FinalResponse, Interruption, Phase, cloud,
    passwords, queries, restore, run,
};

pub(super) struct Session<'h, S> {
    pub(super) link: Link<S>,
    pub(super) host: &'h dyn BackupHost,
    pub(super) end: BackupEnd,
    /// What stopped the running backup on the phone's side.
    pub(super) interrupted: Arc<OnceLock<Interruption>>,
    /// A block that is reused for every file.
    pub(super) block: Vec<u8>,
    /// The phase in which the connection breaks, and after how many bytes of it.
    pub(super) cut: Option<(Phase, u64)>,
    /// Files from the host come no faster than the link allows.
    pub(super) throttled: bool,
}

pub(super) async fn serve<S>(
    stream: S,
    host: &dyn BackupHost,
    cancel: CancellationToken,
) -> Result<BackupEnd, BackupError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut session = Session {
        link: Link::new(stream),
        host,
        end: BackupEnd::default(),
        interrupted: Arc::default(),
        block: Vec::new(),
        cut: None,
        throttled: false,
    };
    tokio::select! {
        ended = session.talk() => match ended {
            Err(BackupError::Io(_)) if session.link.cut.fired() => Err(BackupError::Dropped),
            ended => ended.map(|()| session.end),
        },
        () = cancel.cancelled() => Err(BackupError::Cancelled),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    /// Says that a phase begins; a cut on demand may begin to count.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.host.backup_phase(phase);
        if let Some((_, bytes)) = self.cut.take_if(|(at, _)| *at == phase) {
            self.link.cut.after(bytes);
        }
    }

    /// Takes what shall go wrong in the request that begins, and refuses it if that was asked for.
    pub(super) fn take_faults(&mut self) -> Result<Faults, Stop> {
        let faults = self.host.faults();
        self.cut = faults
            .drop_in
            .map(|phase| (phase, faults.drop_after_bytes.unwrap_or(0)));
        match faults.refuse_with {
            Some(code) => Err(Refusal::on_demand(code).into()),
            None => Ok(faults),
        }
    }

    async fn talk(&mut self) -> Result<(), BackupError> {
        self.exchange_versions().await?;
        let mut greeted = false;
        while let Some(message) = self.link.receive_or_end().await? {
            let name = message
                .first()
                .and_then(Value::as_string)
                .unwrap_or("")
                .to_owned();
            if name == "DLMessageDisconnect" {
                break;
            }
            let request = message.into_iter().nth(1).and_then(Value::into_dictionary);
            let (true, Some(request)) = (name == "DLMessageProcessMessage", request) else {
                return Err(BackupError::Protocol(format!(
                    "\"{name}\" instead of a request"
                )));
            };
            let request_name = request
                .get("MessageName")
                .and_then(Value::as_string)
                .unwrap_or("")
                .to_owned();
            if request_name == "Hello" {
                greeted = self.hello(&request).await?;
                continue;
            }
            if !greeted {
                return Err(BackupError::Protocol(format!(
                    "\"{request_name}\" before Hello"
                )));
            }
            self.answer(&request_name, &request).await?;
            if self.host.quirks().has(Quirk::DeviceDisconnects) {
                self.link
                    .send(vec!["DLMessageDisconnect".into(), EMPTY.into()])
                    .await?;
                self.link.shutdown().await?;
                break;
            }
        }
        Ok(())
    }

    /// The phone speaks first: 400 from iOS 14 on, 300 before (corpus 01, 02).
    ///
    /// A host may name a higher version than the phone did: libimobiledevice 1.3.0 always says 400,
    /// and backs iOS 13 up.
    async fn exchange_versions(&mut self) -> Result<(), BackupError> {
        let major: i64 = if self.host.identity().ios.major >= 14 {
            400
        } else {
            300
        };
        self.link
            .send(vec![
                "DLMessageVersionExchange".into(),
                major.into(),
                0.into(),
            ])
            .await?;
        let reply = self.link.receive().await?;
        let text = |at: usize| reply.get(at).and_then(Value::as_string);
        let agreed = text(0) == Some("DLMessageVersionExchange")
            && text(1) == Some("DLVersionsOk")
            && reply
                .get(2)
                .and_then(Value::as_signed_integer)
                .is_some_and(|version| version >= major);
        if !agreed {
            return Err(BackupError::Protocol(format!(
                "no agreement on DeviceLink {major}: {reply:?}"
            )));
        }
        self.link.send(vec!["DLMessageDeviceReady".into()]).await
    }

    /// Answers Hello; ProtocolVersion is a REAL (corpus 03).
    async fn hello(&mut self, request: &Dictionary) -> Result<bool, BackupError> {
        let offered = request
            .get("SupportedProtocolVersions")
            .and_then(Value::as_array);
        let version = offered
            .into_iter()
            .flatten()
            .filter_map(Value::as_real)
            .filter(|version| (2.0..=2.1).contains(version))
            .fold(None, |best: Option<f64>, version| {
                Some(best.map_or(version, |best| best.max(version)))
            });
        let response = match version {
            Some(version) => dictionary([
                ("ErrorCode", 0.into()),
                ("MessageName", "Response".into()),
                ("ProtocolVersion", Value::Real(version)),
            ]),
            // libimobiledevice reads 1 here as "no common version".
            None => dictionary([("ErrorCode", 1.into()), ("MessageName", "Response".into())]),
        };
        self.link
            .send(vec!["DLMessageProcessMessage".into(), response])
            .await?;
        Ok(version.is_some())
    }

    /// Does what the request asks for and sends the final response.
    async fn answer(&mut self, name: &str, request: &Dictionary) -> Result<(), BackupError> {
        let target = request.get("TargetIdentifier").and_then(Value::as_string);
        let ours = target == Some(self.host.identity().udid.as_str());
        let result = match name {
            _ if !ours => Err(Refusal::wrong_target().into()),
            "Backup" => run::backup(self, request).await.map(|()| None),
            "Restore" => restore::restore(self, request).await.map(|()| None),
            "ChangePassword" => passwords::change(self, request).await.map(|()| None),
            "EnableCloudBackup" => cloud::enable(self, request).map(|()| None),
            "Info" => queries::info(self, request).await.map(Some),
            "List" => queries::list(self, request).await.map(Some),
            other => Err(Refusal::unsupported(other).into()),
        };
        let (code, description, content) = match result {
            Ok(content) => (0, String::new(), content),
            Err(Stop::Refuse(refusal)) => (refusal.code, refusal.description, None),
            Err(Stop::Fatal(error)) => return Err(error),
        };
        let mut response = Dictionary::new();
        response.insert("ErrorCode".into(), code.into());
        response.insert("MessageName".into(), "Response".into());
        if code != 0 {
            response.insert("ErrorDescription".into(), description.clone().into());
        } else if self.host.quirks().has(Quirk::DescriptionOnSuccess) {
            response.insert("ErrorDescription".into(), "".into());
            response.insert("Content".into(), "".into());
        }
        if let Some(content) = content {
            response.insert("Content".into(), content.into());
        }
        self.link
            .send(vec![
                "DLMessageProcessMessage".into(),
                Value::Dictionary(response),
            ])
            .await?;
        self.end.responses.push(FinalResponse {
            request: name.to_owned(),
            code,
            description,
        });
        self.host.backup_phase(Phase::Ended);
        Ok(())
    }
}
