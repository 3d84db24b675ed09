//! The conversation: what each message of the phone does, and what it is answered.

use crate::link::{Link, Stop, Wait};
use crate::message::{self, EMPTY, Message, NOT_SUPPORTED};
use crate::text::sanitise;
use crate::writer::Writer;
use crate::{
    BackupKind, Deed, DeviceError, Limits, Outcome, Phase, Progress, Release, Request, Stats,
    Vault, VaultError, VaultErrorKind, encode, phases,
};
use ibak_core::BackupPath;
use plist::{Dictionary, Value};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// The state of one conversation.
pub(crate) struct Session<'a, S, V> {
    pub(crate) link: Link<S>,
    pub(crate) writer: Writer<V>,
    pub(crate) request: Request,
    pub(crate) progress: Arc<Progress>,
    pub(crate) limits: &'a Limits,
    pub(crate) stats: Stats,
    /// The first failure on this side; while it stands nothing is changed, and no success follows.
    pub(crate) poison: Option<VaultError>,
    /// Files begun by the phone, whole or not.
    pub(crate) files_begun: u64,
    /// Whether the phone has sent files.
    pub(crate) has_uploaded: bool,
}

/// The phone's final word.
struct Final {
    code: i64,
    description: String,
}

impl<'a, S, V> Session<'a, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    V: Vault,
{
    pub(crate) fn new(
        link: Link<S>,
        writer: Writer<V>,
        request: Request,
        progress: Arc<Progress>,
        limits: &'a Limits,
    ) -> Self {
        Self {
            link,
            writer,
            request,
            progress,
            limits,
            stats: Stats::default(),
            poison: None,
            files_begun: 0,
            has_uploaded: false,
        }
    }

    pub(crate) fn into_parts(mut self) -> (Link<S>, Writer<V>, Stats) {
        self.stats.passcode_asked = self.link.control.prompts > 0;
        (self.link, self.writer, self.stats)
    }

    /// Runs to the end and says how it was.
    pub(crate) async fn run(&mut self, hold: Option<impl Future<Output = Release>>) -> Outcome {
        let ended = self.converse(hold).await;
        let phase = self.progress.phase();
        match (ended, self.poison.take()) {
            (Err(Stop::Cancelled), _) => Outcome::Cancelled,
            (Err(Stop::CancelledOnDevice), _) => Outcome::CancelledOnDevice,
            (Err(Stop::NotLockedInTime), _) => Outcome::NotLockedInTime,
            // Whatever the phone says after a failure here, the failure is the reason.
            (_, Some(error)) => Outcome::HostFailed { error },
            (Err(Stop::Timeout(after)), None) => Outcome::Timeout { phase, after },
            (Err(Stop::Disconnected(how)), None) => Outcome::Disconnected { phase, how },
            (Err(Stop::Protocol(what)), None) => Outcome::Protocol { phase, what },
            (Err(Stop::Panicked), None) => {
                let error =
                    VaultError::poisoning(VaultErrorKind::Other, "the vault's thread panicked");
                Outcome::HostFailed { error }
            }
            (Ok(last), None) => match DeviceError::from_code(last.code) {
                None => Outcome::Finished,
                Some(DeviceError::NotConfirmed) => Outcome::NotConfirmed,
                Some(DeviceError::Cancelled) => Outcome::CancelledOnDevice,
                Some(error) => Outcome::Refused {
                    error,
                    description: last.description,
                },
            },
        }
    }

    async fn converse(
        &mut self,
        mut hold: Option<impl Future<Output = Release>>,
    ) -> Result<Final, Stop> {
        if let Some(refused) = self.greet().await? {
            return Ok(refused);
        }
        self.request().await?;
        self.progress.enter(Phase::WaitingForPhone);
        loop {
            let message = self.next().await?;
            tracing::trace!(?message, "the phone asks");
            let operation = match message {
                Message::Process(reply) => return final_word(&reply),
                Message::Disconnect => {
                    return Err(Stop::Disconnected(
                        "the phone said goodbye without a result".into(),
                    ));
                }
                Message::VersionExchange { .. } | Message::DeviceReady => {
                    return Err(Stop::Protocol(
                        "the phone began the conversation again".into(),
                    ));
                }
                operation @ (Message::Download { .. }
                | Message::Upload { .. }
                | Message::FreeSpace
                | Message::Purge { .. }
                | Message::Contents { .. }
                | Message::CreateDirectory { .. }
                | Message::Move { .. }
                | Message::Remove { .. }
                | Message::Copy { .. }
                | Message::Unknown(_)) => operation,
            };
            if let Some(hold) = hold.take() {
                self.progress.enter(Phase::Held);
                match self.link.hold(hold).await? {
                    Release::Run => {}
                    Release::GiveUp => return Err(Stop::NotLockedInTime),
                }
            }
            self.enter_phase_of(&operation);
            self.serve(operation).await?;
        }
    }

    async fn next(&mut self) -> Result<Message, Stop> {
        self.stats.messages += 1;
        if self.stats.messages > self.limits.messages_max {
            return Err(Stop::Protocol("the phone sent too many messages".into()));
        }
        self.link.message(self.limits).await
    }

    /// Agrees on versions; returns the phone's refusal if it refuses.
    async fn greet(&mut self) -> Result<Option<Final>, Stop> {
        let Message::VersionExchange { major } = self.next().await? else {
            return Err(Stop::Protocol(
                "the phone did not begin with its version".into(),
            ));
        };
        self.stats.link_version = major;
        let agreed = vec![
            "DLMessageVersionExchange".into(),
            "DLVersionsOk".into(),
            major.into(),
        ];
        self.link.send(&Value::Array(agreed)).await?;
        if self.next().await? != Message::DeviceReady {
            return Err(Stop::Protocol(
                "the phone did not say that it is ready".into(),
            ));
        }
        let versions = Value::Array(PROTOCOL_VERSIONS.into_iter().map(Value::from).collect());
        let hello = message::process([
            ("MessageName", "Hello".into()),
            ("SupportedProtocolVersions", versions),
        ]);
        self.link.send(&hello).await?;
        let Message::Process(reply) = self.next().await? else {
            return Err(Stop::Protocol(
                "the phone did not answer the greeting".into(),
            ));
        };
        let last = final_word(&reply)?;
        if last.code != 0 {
            return Ok(Some(last));
        }
        self.stats.protocol_version = reply.get("ProtocolVersion").and_then(Value::as_real);
        match self.stats.protocol_version {
            Some(version) if PROTOCOL_VERSIONS.contains(&version) => Ok(None),
            Some(_) | None => Err(Stop::Protocol(
                "the phone chose a protocol version that was not offered".into(),
            )),
        }
    }

    /// Asks for the deed, and forgets its passwords.
    async fn request(&mut self) -> Result<(), Stop> {
        let frame = encode::frame(&self.request.message())
            .ok_or_else(|| Stop::Protocol("the request is too long".into()))?;
        self.link.write(&frame).await?;
        drop(frame);
        self.request.deed.forget();
        self.link.flush().await
    }

    fn enter_phase_of(&self, operation: &Message) {
        let (phase, percent) = phases::of_operation(
            &self.request.deed,
            self.progress.phase(),
            self.has_uploaded,
            operation,
        );
        self.progress.enter(phase);
        self.progress.set_percent(percent);
    }

    /// Does what the phone asks and answers.
    async fn serve(&mut self, operation: Message) -> Result<(), Stop> {
        let reply = match operation {
            Message::Download { paths, .. } => self.send_files(paths).await?,
            Message::Upload { bytes, .. } => self.receive_files(bytes).await?,
            Message::FreeSpace => {
                let free = self.writer.call(Vault::free_space).await?;
                self.reply(free.map(Value::from))
            }
            Message::Purge { amount, urgency } => self.purge(amount, urgency).await?,
            Message::Contents { path } => self.contents(&path).await?,
            Message::CreateDirectory { path } => self.create_dir(&path).await?,
            Message::Move { pairs, .. } => self.move_items(pairs).await?,
            Message::Remove { paths, .. } => self.remove_items(paths).await?,
            Message::Copy { from, to, .. } => self.copy_item(&from, &to).await?,
            Message::Unknown(name) => {
                tracing::warn!(name, "the phone asks for something that is not known");
                if self.stats.unknown_messages.len() < Stats::UNKNOWN_MESSAGES_MAX {
                    self.stats.unknown_messages.push(name);
                }
                message::status(NOT_SUPPORTED, "Operation not supported", EMPTY.into())
            }
            Message::VersionExchange { .. }
            | Message::DeviceReady
            | Message::Process(_)
            | Message::Disconnect => {
                return Err(Stop::Protocol(
                    "the phone sent a message out of turn".into(),
                ));
            }
        };
        self.link.send(&reply).await
    }

    async fn purge(&mut self, amount: u64, urgency: u64) -> Result<Value, Stop> {
        if let Some(error) = &self.poison {
            return Ok(message::status_error(error));
        }
        let freed = self
            .writer
            .call(move |vault| vault.purge(amount, urgency))
            .await?;
        Ok(self.reply(freed.map(Value::from)))
    }

    async fn contents(&mut self, path: &str) -> Result<Value, Stop> {
        let listed = match self.parse(path) {
            Ok(path) => self.writer.call(move |vault| vault.list(&path)).await?,
            Err(error) => Err(error),
        };
        Ok(self.reply(listed.map(message::listing)))
    }

    async fn create_dir(&mut self, path: &str) -> Result<Value, Stop> {
        let made = match self.parse_to_change(path) {
            Ok(path) => {
                self.writer
                    .call(move |vault| vault.create_dir(&path))
                    .await?
            }
            Err(error) => Err(error),
        };
        Ok(self.reply(made.map(|()| EMPTY.into())))
    }

    /// Moves one by one and stops at the first that fails; nothing moves when one name is bad.
    async fn move_items(&mut self, pairs: Vec<(String, String)>) -> Result<Value, Stop> {
        let parsed: Result<Vec<_>, _> = pairs
            .iter()
            .map(|(from, to)| Ok((self.parse_to_change(from)?, self.parse_to_change(to)?)))
            .collect();
        let moved = match parsed {
            Ok(pairs) => {
                let progress = Arc::clone(&self.progress);
                let verb = move |vault: &mut V| {
                    pairs.iter().try_for_each(|(from, to)| {
                        not_whole_tree(from)?;
                        not_whole_tree(to)?;
                        vault.rename(from, to)?;
                        progress.moved();
                        Ok(())
                    })
                };
                self.writer.call(verb).await?
            }
            Err(error) => Err(error),
        };
        self.stats.moved = self.progress.view().moved;
        Ok(self.reply(moved.map(|()| message::nothing())))
    }

    async fn remove_items(&mut self, paths: Vec<String>) -> Result<Value, Stop> {
        let parsed: Result<Vec<_>, _> = paths
            .iter()
            .map(|path| self.parse_to_change(path))
            .collect();
        let removed = match parsed {
            Ok(paths) => {
                let progress = Arc::clone(&self.progress);
                let verb = move |vault: &mut V| {
                    paths.iter().try_for_each(|path| {
                        vault.remove(path)?;
                        progress.removed();
                        Ok(())
                    })
                };
                self.writer.call(verb).await?
            }
            Err(error) => Err(error),
        };
        self.stats.removed = self.progress.view().removed;
        Ok(self.reply(removed.map(|()| message::nothing())))
    }

    async fn copy_item(&mut self, from: &str, to: &str) -> Result<Value, Stop> {
        let parsed = self
            .parse_to_change(from)
            .and_then(|from| Ok((from, self.parse_to_change(to)?)));
        let copied = match parsed {
            Ok((from, to)) => {
                let verb =
                    move |vault: &mut V| not_whole_tree(&to).and_then(|()| vault.copy(&from, &to));
                self.writer.call(verb).await?
            }
            Err(error) => Err(error),
        };
        Ok(self.reply(copied.map(|()| message::nothing())))
    }

    /// Turns a verb's result into an answer, and remembers a failure that poisons.
    pub(crate) fn reply(&mut self, result: Result<Value, VaultError>) -> Value {
        match result {
            Ok(value) => message::status_ok(value),
            Err(error) => {
                let answer = message::status_error(&error);
                self.note(error);
                answer
            }
        }
    }

    /// Remembers the first failure after which there is no success.
    pub(crate) fn note(&mut self, error: VaultError) {
        if error.poisons && self.poison.is_none() {
            tracing::warn!(%error, "the session cannot succeed any more");
            self.poison = Some(error);
        } else {
            tracing::debug!(%error, "the phone is told");
        }
    }

    /// Parses a path that is only read.
    pub(crate) fn parse(&self, wire: &str) -> Result<BackupPath, VaultError> {
        BackupPath::parse(wire, &self.request.udid).map_err(|error| {
            let words = format!("{error}: \"{}\"", sanitise(wire, 128));
            VaultError::poisoning(VaultErrorKind::Refused, words)
        })
    }

    /// Parses a path that is changed; after a failure nothing is.
    pub(crate) fn parse_to_change(&self, wire: &str) -> Result<BackupPath, VaultError> {
        match &self.poison {
            Some(error) => Err(error.clone()),
            None => self.parse(wire),
        }
    }

    /// Takes note that the phone read the earlier manifest.
    pub(crate) fn sent_file(&mut self, path: &BackupPath) {
        self.stats.files_sent += 1;
        self.progress.sent_file();
        let manifest = matches!(path.as_str(), "Manifest.db" | "Manifest.mbdb");
        let verifies = self.progress.phase() == Phase::Verifying;
        let may_build = self.request.deed == Deed::Backup { full: false };
        if manifest && !verifies && may_build {
            self.stats.kind = BackupKind::Incremental;
        }
    }

    pub(crate) async fn length(&mut self) -> Result<usize, Stop> {
        self.link.length(Wait::Transfer).await
    }
}

/// The versions of the backup protocol that are offered.
const PROTOCOL_VERSIONS: [f64; 2] = [2.0, 2.1];

/// Refuses to replace or move the phone's folder as a whole.
fn not_whole_tree(path: &BackupPath) -> Result<(), VaultError> {
    if matches!(path, BackupPath::Tree(inner) if inner.is_empty()) {
        let words = "the phone wanted its whole folder replaced";
        return Err(VaultError::poisoning(VaultErrorKind::Refused, words));
    }
    Ok(())
}

/// Reads a response; one without an integer code is no result.
fn final_word(reply: &Dictionary) -> Result<Final, Stop> {
    if reply.get("MessageName").and_then(Value::as_string) != Some("Response") {
        return Err(Stop::Protocol(
            "the phone sent a message that is no response".into(),
        ));
    }
    let Some(code) = reply.get("ErrorCode").and_then(Value::as_signed_integer) else {
        return Err(Stop::Protocol(
            "the phone's last word has no error code, so nothing says that it succeeded".into(),
        ));
    };
    let description = reply
        .get("ErrorDescription")
        .and_then(Value::as_string)
        .unwrap_or_default();
    Ok(Final {
        code,
        description: sanitise(description, 512),
    })
}
