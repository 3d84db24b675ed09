//! The async part: subscribing, the snapshot, the daemon's coming and going.

use super::{Change, Effect, MirrorState};
use crate::dict::{Dict, Properties};
use crate::names;
use crate::views::CompletedView;
use crate::words::{AttentionKind, Outcome};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use ibak_core::{JobId, Udid};
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::time::Duration;
use zbus::fdo::{DBusProxy, ManagedObjects, ObjectManagerProxy};
use zbus::message::Type;
use zbus::names::BusName;
use zbus::wire::{OwnedObjectPath, OwnedVariant};
use zbus::{Connection, MatchRule, Message, MessageStream};

/// Is how long the daemon may take for one snapshot.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(25);
/// Is how many messages may arrive while one snapshot is taken.
const PENDING_MAX: usize = 65_536;
/// Is how often a snapshot is tried again when the daemon restarts under it.
const SNAPSHOT_TRIES_MAX: u32 = 5;

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Nobody owns the daemon's name.
    #[error("the daemon is not running on this bus")]
    NoDaemon,
    /// The bus closed the connection.
    #[error("the bus closed the connection")]
    BusClosed,
    /// The daemon owns its name and does not answer.
    #[error("the daemon did not answer within {} s", SNAPSHOT_TIMEOUT.as_secs())]
    Mute,
    /// More than it can hold arrived while a snapshot was taken.
    #[error("more than {PENDING_MAX} messages arrived while a snapshot was taken")]
    Flooded,
    /// Anything else the bus says.
    #[error("the bus refused")]
    Bus(#[source] zbus::Error),
}

/// What a mirror tells.
#[derive(Clone, Debug, PartialEq)]
pub enum MirrorEvent {
    /// The state changed; read it anew.
    Changed,
    /// `Manager.Attention`.
    Attention {
        /// The phone, if one is meant.
        phone: Option<Udid>,
        /// What about.
        kind: AttentionKind,
        /// Its details.
        details: Dict,
    },
    /// `Job.Completed`.
    Completed {
        /// The job.
        job: JobId,
        /// How it ended.
        result: Outcome,
        /// Its details.
        details: CompletedView,
    },
    /// The daemon went away; the state is empty until [`MirrorEvent::Back`].
    Lost,
    /// The daemon is back, and the state is whole.
    Back,
}

/// A live copy of the daemon's objects.
#[derive(Debug)]
pub struct Mirror {
    connection: Connection,
    stream: MessageStream,
    pending: VecDeque<Message>,
    owner: Option<String>,
    state: MirrorState,
}

impl Mirror {
    /// Subscribes, takes the snapshot, and applies what came meanwhile.
    ///
    /// # Errors
    /// [`MirrorError`]; [`MirrorError::NoDaemon`] when nobody owns the name.
    pub async fn open(connection: &Connection) -> Result<Self, MirrorError> {
        let mirror = Self::follow(connection).await?;
        if mirror.is_live() {
            Ok(mirror)
        } else {
            Err(MirrorError::NoDaemon)
        }
    }

    /// As [`Mirror::open`], also while there is no daemon: the state is empty then, and
    /// [`MirrorEvent::Back`] says that it came.
    ///
    /// # Errors
    /// [`MirrorError`], never [`MirrorError::NoDaemon`].
    pub async fn follow(connection: &Connection) -> Result<Self, MirrorError> {
        let stream = MessageStream::from(connection);
        let bus = DBusProxy::new(connection).await.map_err(MirrorError::Bus)?;
        for rule in rules().map_err(MirrorError::Bus)? {
            bus.add_match_rule(rule)
                .await
                .map_err(|error| MirrorError::Bus(error.into()))?;
        }
        let mut mirror = Self {
            connection: connection.clone(),
            stream,
            pending: VecDeque::new(),
            owner: None,
            state: MirrorState::default(),
        };
        mirror.resync().await?;
        Ok(mirror)
    }

    /// Says whether there is a daemon to mirror.
    pub fn is_live(&self) -> bool {
        self.owner.is_some()
    }

    /// Returns the copy.
    pub fn state(&self) -> &MirrorState {
        &self.state
    }

    /// Waits for the next thing that happened. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`MirrorError`]; after one, the mirror is of no more use.
    pub async fn next(&mut self) -> Result<MirrorEvent, MirrorError> {
        loop {
            if self.pending.is_empty() {
                let message = self
                    .stream
                    .next()
                    .await
                    .ok_or(MirrorError::BusClosed)?
                    .map_err(MirrorError::Bus)?;
                self.pending.push_back(message);
            }
            let Some(message) = self.pending.front().cloned() else {
                continue;
            };
            let event = self.digest(&message).await?;
            self.pending.pop_front();
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// Applies one message. What it does before it waits can be done twice, so that being dropped
    /// while waiting and called again with the same message is harmless.
    async fn digest(&mut self, message: &Message) -> Result<Option<MirrorEvent>, MirrorError> {
        if message.message_type() != Type::Signal {
            return Ok(None);
        }
        if let Some(owner) = owner_of(message) {
            return self.owner_changed(owner).await;
        }
        let from_daemon = message
            .header()
            .sender()
            .is_some_and(|sender| Some(sender.as_str()) == self.owner.as_deref());
        if !from_daemon {
            return Ok(None);
        }
        if let Some(change) = change_of(message) {
            if self.state.apply(change) == Effect::Resync && !self.resync().await? {
                return Ok(Some(MirrorEvent::Lost));
            }
            return Ok(Some(MirrorEvent::Changed));
        }
        Ok(event_of(message))
    }

    async fn owner_changed(
        &mut self,
        owner: Option<String>,
    ) -> Result<Option<MirrorEvent>, MirrorError> {
        if owner == self.owner {
            return Ok(None);
        }
        if owner.is_none() {
            self.owner = None;
            self.state.clear();
            return Ok(Some(MirrorEvent::Lost));
        }
        Ok(if self.resync().await? {
            Some(MirrorEvent::Back)
        } else {
            None
        })
    }

    /// Takes a snapshot and applies what had arrived by then; false when there is no daemon.
    async fn resync(&mut self) -> Result<bool, MirrorError> {
        for _ in 0..SNAPSHOT_TRIES_MAX {
            let connection = self.connection.clone();
            let taken = {
                let mut call = pin!(tokio::time::timeout(
                    SNAPSHOT_TIMEOUT,
                    snapshot(&connection)
                ));
                loop {
                    // The stream must be drained meanwhile: a full queue would hold the reply back.
                    match select(&mut call, self.stream.next()).await {
                        Either::Left((taken, _)) => break taken,
                        Either::Right((None, _)) => return Err(MirrorError::BusClosed),
                        Either::Right((Some(message), _)) => {
                            if self.pending.len() >= PENDING_MAX {
                                return Err(MirrorError::Flooded);
                            }
                            self.pending.push_back(message.map_err(MirrorError::Bus)?);
                        }
                    }
                }
            };
            match taken.map_err(|_| MirrorError::Mute)?? {
                Snapshot::NoDaemon => {
                    self.owner = None;
                    self.state.clear();
                    return Ok(false);
                }
                Snapshot::Restarted => {}
                Snapshot::Taken { owner, state } => {
                    self.state = state;
                    self.owner = Some(owner);
                    return Ok(true);
                }
            }
        }
        Err(MirrorError::Mute)
    }
}

enum Snapshot {
    NoDaemon,
    Restarted,
    Taken { owner: String, state: MirrorState },
}

/// Asks the daemon for everything, and makes sure that one and the same daemon answered.
async fn snapshot(connection: &Connection) -> Result<Snapshot, MirrorError> {
    let bus = DBusProxy::new(connection).await.map_err(MirrorError::Bus)?;
    let name = BusName::try_from(names::BUS_NAME).map_err(MirrorError::Bus)?;
    let owner = match bus.get_name_owner(name.clone()).await {
        Ok(owner) => owner,
        Err(zbus::fdo::Error::NameHasNoOwner(_)) => return Ok(Snapshot::NoDaemon),
        Err(error) => return Err(MirrorError::Bus(error.into())),
    };
    let manager = ObjectManagerProxy::builder(connection)
        .destination(owner.to_owned())
        .path(names::ROOT_PATH)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(MirrorError::Bus)?;
    match manager.get_managed_objects().await {
        Ok(objects) => Ok(Snapshot::Taken {
            owner: owner.to_string(),
            state: state_of(objects),
        }),
        Err(
            zbus::fdo::Error::ServiceUnknown(_)
            | zbus::fdo::Error::NameHasNoOwner(_)
            | zbus::fdo::Error::NoReply(_),
        ) => Ok(Snapshot::Restarted),
        Err(error) => Err(MirrorError::Bus(error.into())),
    }
}

fn rules() -> zbus::Result<[MatchRule<'static>; 2]> {
    Ok([
        MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(names::BUS_NAME)
            .path_namespace(names::ROOT_PATH)
            .build()?,
        MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(names::BUS_NAME)
            .build()?,
    ])
}

fn state_of(objects: ManagedObjects) -> MirrorState {
    MirrorState::from_snapshot(
        objects
            .into_iter()
            .map(|(path, interfaces)| {
                let interfaces = interfaces
                    .into_iter()
                    .map(|(name, properties)| (name.to_string(), properties.into_iter().collect()))
                    .collect();
                (path.to_string(), interfaces)
            })
            .collect(),
    )
}

/// Reads a signal as a change of the tree; `None` for any other message.
pub fn change_of(message: &Message) -> Option<Change> {
    let header = message.header();
    let (interface, member) = (header.interface()?, header.member()?);
    match (interface.as_str(), member.as_str()) {
        ("org.freedesktop.DBus.ObjectManager", "InterfacesAdded") => {
            let (path, interfaces): (
                OwnedObjectPath,
                BTreeMap<String, BTreeMap<String, OwnedVariant>>,
            ) = message.body().deserialize().ok()?;
            Some(Change::Added {
                path: path.to_string(),
                interfaces,
            })
        }
        ("org.freedesktop.DBus.ObjectManager", "InterfacesRemoved") => {
            let (path, interfaces): (OwnedObjectPath, Vec<String>) =
                message.body().deserialize().ok()?;
            Some(Change::Removed {
                path: path.to_string(),
                interfaces,
            })
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            let (interface, changed, invalidated): (String, Properties, Vec<String>) =
                message.body().deserialize().ok()?;
            Some(Change::Properties {
                path: header.path()?.to_string(),
                interface,
                changed,
                invalidated,
            })
        }
        _ => None,
    }
}

/// Reads `NameOwnerChanged` of our name, sent by the bus itself: the new owner, if any.
fn owner_of(message: &Message) -> Option<Option<String>> {
    let header = message.header();
    if header.sender()?.as_str() != "org.freedesktop.DBus"
        || header.member()?.as_str() != "NameOwnerChanged"
    {
        return None;
    }
    let (name, _, owner): (String, String, String) = message.body().deserialize().ok()?;
    (name == names::BUS_NAME).then(|| Some(owner).filter(|owner| !owner.is_empty()))
}

/// Reads the two signals of ours.
fn event_of(message: &Message) -> Option<MirrorEvent> {
    let header = message.header();
    match (header.interface()?.as_str(), header.member()?.as_str()) {
        (names::MANAGER_INTERFACE, "Attention") => {
            let (phone, kind, details): (OwnedObjectPath, String, Dict) =
                message.body().deserialize().ok()?;
            Some(MirrorEvent::Attention {
                phone: names::phone_of(phone.as_str()),
                kind: AttentionKind::parse(&kind),
                details,
            })
        }
        (names::JOB_INTERFACE, "Completed") => {
            let (result, details): (String, Dict) = message.body().deserialize().ok()?;
            Some(MirrorEvent::Completed {
                job: names::job_of(header.path()?.as_str())?,
                result: Outcome::parse(&result),
                details: CompletedView::from_dict(&details),
            })
        }
        _ => None,
    }
}
