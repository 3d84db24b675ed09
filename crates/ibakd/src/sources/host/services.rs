//! What other services tell of this computer: logind of its sleep, NetworkManager of its network,
//! timedated of its time zone. Each may be missing, come and go; none is ever started by us.

use super::network::{Around, NetworkRule};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use ibak_dbus::BusChoice;
use std::time::Duration;
use tracing::{debug, warn};
use zbus::message::{Message, Type};
use zbus::names::BusName;
use zbus::wire::{ObjectPath, OwnedFd, OwnedObjectPath};
use zbus::{Connection, MatchRule, MessageStream};

const LOGIND: &str = "org.freedesktop.login1";
const LOGIND_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.NetworkManager";
const MANAGER_PATH: &str = "/org/freedesktop/NetworkManager";
const TIMEDATED: &str = "org.freedesktop.timedate1";
const TIMEDATED_PATH: &str = "/org/freedesktop/timedate1";
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How long a service may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Most connections of NetworkManager's that are looked at.
const CONNECTIONS_MAX: usize = 32;
/// What NetworkManager calls the way to this computer itself, which is no network.
const LOOPBACK: &str = "lo";
/// `NM_METERED_YES` and `NM_METERED_GUESS_YES`.
const METERED: [u32; 2] = [1, 3];
/// What people see in `systemd-inhibit --list`.
const REASON: &str = "A phone is being backed up";

/// What was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The computer is about to sleep.
    Sleep,
    /// It woke.
    Woke,
    /// logind came or went.
    Logind,
    /// The network, who looks after it, or the time zone is another.
    Changed,
    /// Nothing is told any more.
    Lost,
}

/// The services, by one connection.
pub(super) struct Services {
    connection: Connection,
    told: SelectAll<BoxStream<'static, Heard>>,
    hold: Option<OwnedFd>,
    /// Whether logind's refusal was said.
    refused: bool,
}

impl Services {
    /// Begins to listen; `None` without a bus.
    pub(super) async fn open(bus: &BusChoice) -> Option<Self> {
        let opened = async {
            let connection = bus.builder().method_timeout(ANSWER_MAX).build().await?;
            let told = listen(&connection).await?;
            Ok::<_, zbus::Error>(Self {
                connection,
                told,
                hold: None,
                refused: false,
            })
        };
        match tokio::time::timeout(ANSWER_MAX * 2, opened).await {
            Ok(Ok(services)) => Some(services),
            Ok(Err(error)) => {
                debug!(%error, "no bus tells of this computer");
                None
            }
            Err(_) => {
                debug!("the bus that could tell of this computer does not answer");
                None
            }
        }
    }

    /// Holds off sleep, if that is not done already. Where nobody can be asked nobody is.
    pub(super) async fn hold(&mut self) {
        if self.hold.is_some() || !is_there(&self.connection, LOGIND).await {
            return;
        }
        // Not the lid: whoever closes a laptop wants it to sleep, and it may be on its way into a
        // bag.
        let asked = ("sleep", "ibak", REASON, "block");
        let answer = self
            .connection
            .call_method(
                Some(LOGIND),
                LOGIND_PATH,
                Some("org.freedesktop.login1.Manager"),
                "Inhibit",
                &asked,
            )
            .await;
        match answer.and_then(|answer| answer.body().deserialize::<OwnedFd>()) {
            Ok(hold) => {
                debug!("the computer is held awake");
                self.hold = Some(hold);
                self.refused = false;
            }
            Err(error) if !self.refused => {
                self.refused = true;
                warn!(%error, "logind does not let us hold the computer awake: it may fall asleep in the middle of a backup");
            }
            Err(error) => debug!(%error, "logind still refuses"),
        }
    }

    /// Lets the computer sleep, at once.
    pub(super) fn let_go(&mut self) {
        if self.hold.take().is_some() {
            debug!("the computer may sleep");
        }
    }

    /// Returns the connection, for [`look_around`].
    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

/// Looks at the networks as far as the rule needs it.
pub(super) async fn look_around(connection: &Connection, rule: &NetworkRule, around: &mut Around) {
    let needed = rule.needs_names() || rule.needs_metered();
    if !needed || !is_there(connection, MANAGER).await {
        return;
    }
    if rule.needs_metered() {
        let metered = property::<u32>(connection, MANAGER_PATH, MANAGER, "Metered").await;
        around.metered = metered.is_some_and(|it| METERED.contains(&it));
    }
    if !rule.needs_names() {
        return;
    }
    around.names = names(connection).await.filter(|names| !names.is_empty());
}

/// Lists what NetworkManager calls the networks that are up; `None` when it does not say.
async fn names(connection: &Connection) -> Option<Vec<String>> {
    let active: Vec<OwnedObjectPath> =
        property(connection, MANAGER_PATH, MANAGER, "ActiveConnections").await?;
    let interface = "org.freedesktop.NetworkManager.Connection.Active";
    let (mut names, mut silent) = (Vec::new(), false);
    for path in active.into_iter().take(CONNECTIONS_MAX) {
        match property::<String>(connection, path.as_str(), interface, "Id").await {
            Some(name) if name == LOOPBACK => {}
            Some(name) => names.push(name),
            None => silent = true,
        }
    }
    // The one that went meanwhile is missed by nobody when others are there.
    (!silent || !names.is_empty()).then_some(names)
}

async fn is_there(connection: &Connection, name: &'static str) -> bool {
    let owned = async {
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        bus.name_has_owner(BusName::try_from(name)?).await
    };
    owned.await.unwrap_or_else(|error| {
        debug!(%error, name, "the bus does not say who is on it");
        false
    })
}

/// Reads a property of NetworkManager's.
async fn property<T>(connection: &Connection, path: &str, interface: &str, name: &str) -> Option<T>
where
    T: TryFrom<zbus::OwnedVariant>,
    T::Error: std::fmt::Display,
{
    let answer = async {
        let path = ObjectPath::try_from(path)?;
        let asked = (interface, name);
        let answer = connection
            .call_method(Some(MANAGER), path, Some(PROPERTIES), "Get", &asked)
            .await?;
        answer.body().deserialize::<zbus::OwnedVariant>()
    };
    let value = match answer.await {
        Ok(value) => T::try_from(value).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    value
        .map_err(|error| debug!(error, name, "NetworkManager does not say"))
        .ok()
}

/// Returns what is told next; never without services.
pub(super) async fn next(services: &mut Option<Services>) -> Heard {
    match services {
        Some(services) => services.told.next().await.unwrap_or(Heard::Lost),
        None => std::future::pending().await,
    }
}

async fn listen(connection: &Connection) -> zbus::Result<SelectAll<BoxStream<'static, Heard>>> {
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let owner = |name: &'static str| -> zbus::Result<MatchRule<'static>> {
        let rule = signal().sender(BUS).interface(BUS);
        rule.member("NameOwnerChanged").arg(0, name).build()
    };
    let changes = |sender: &'static str, path: &'static str| -> zbus::Result<MatchRule<'static>> {
        let rule = signal().sender(sender).path(path).interface(PROPERTIES);
        rule.member("PropertiesChanged").build()
    };
    let sleep = signal()
        .sender(LOGIND)
        .path(LOGIND_PATH)
        .interface("org.freedesktop.login1.Manager")
        .member("PrepareForSleep")
        .build()?;
    let always = |heard: Heard| move |_: &Message| Some(heard);
    let mut all = SelectAll::new();
    all.push(stream(connection, sleep, sleeping).await?);
    all.push(stream(connection, owner(LOGIND)?, always(Heard::Logind)).await?);
    for rule in [
        owner(MANAGER)?,
        changes(MANAGER, MANAGER_PATH)?,
        changes(TIMEDATED, TIMEDATED_PATH)?,
    ] {
        all.push(stream(connection, rule, always(Heard::Changed)).await?);
    }
    debug!("listening to what this computer's services tell");
    Ok(all)
}

fn sleeping(message: &Message) -> Option<Heard> {
    match message.body().deserialize::<bool>() {
        Ok(true) => Some(Heard::Sleep),
        Ok(false) => Some(Heard::Woke),
        Err(error) => {
            debug!(%error, "logind says something about sleep that is not understood");
            None
        }
    }
}

/// Turns what matches into what was told; its end is [`Heard::Lost`].
async fn stream(
    connection: &Connection,
    rule: MatchRule<'static>,
    read: impl Fn(&Message) -> Option<Heard> + Send + 'static,
) -> zbus::Result<BoxStream<'static, Heard>> {
    let messages = MessageStream::for_match_rule(rule, connection, None).await?;
    let heard = messages.filter_map(move |message| {
        let heard = match message {
            Ok(message) => read(&message),
            Err(_) => Some(Heard::Lost),
        };
        std::future::ready(heard)
    });
    let end = futures_util::stream::once(std::future::ready(Heard::Lost));
    Ok(heard.chain(end).boxed())
}
