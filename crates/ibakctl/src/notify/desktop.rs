//! Showing messages on a desktop (org.freedesktop.Notifications): one bubble for each cause,
//! replaced by the next one of its kind, and taken away when it is over.

use super::follow::News;
use super::{Key, Letter, host};
use crate::console::Console;
use crate::render::Urgency;
use crate::style::{Glyphs, Paint, Style};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::sync::mpsc;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::wire::Variant;
use zbus::{Connection, proxy};

/// Is the channel that `notify = [...]` names it by.
pub(crate) const CHANNEL: &str = "desktop";
const APPLICATION: &str = "ibak";
const ICON: &str = "phone";
const SERVICE: &str = "org.freedesktop.Notifications";
/// Is how long the desktop may take for one call.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Are the waits before it is tried again; at a login the desktop may take a moment to be there.
const AGAIN: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

#[proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications"
)]
trait Notifications {
    #[expect(clippy::too_many_arguments, reason = "as the specification has it")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Variant<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;
    fn close_notification(&self, id: u32) -> zbus::Result<()>;
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;
}

/// Carries messages to the desktop.
pub(crate) struct Desktop {
    console: Console,
    screen: Option<Screen>,
}

/// One desktop, for as long as the same program shows the bubbles.
struct Screen {
    connection: Connection,
    owner: String,
    has_markup: bool,
    /// What is shown for which cause.
    shown: BTreeMap<Key, u32>,
}

impl Desktop {
    pub(crate) fn new(console: Console) -> Self {
        Self {
            console,
            screen: None,
        }
    }

    /// Carries messages until there will be no more.
    pub(crate) async fn run(mut self, mut news: mpsc::Receiver<News>) {
        while let Some(news) = news.recv().await {
            match news {
                News::Tell(letter) => self.tell(&letter).await,
                News::Over(key) => self.take_away(&key).await,
            }
        }
    }

    async fn tell(&mut self, letter: &Letter) {
        let mut waits = AGAIN.iter();
        loop {
            let tried = tokio::time::timeout(CALL_MAX, self.show(letter)).await;
            let why = match tried {
                Ok(Ok(())) => {
                    let kind = letter.what.word();
                    self.console.say(&format!("{kind} is on the desktop\n"));
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", CALL_MAX.as_secs()),
            };
            self.screen = None;
            let Some(wait) = waits.next() else {
                self.console.say(&format!(
                    "The desktop does not show messages, and one is lost: {why}\n"
                ));
                return;
            };
            tokio::time::sleep(*wait).await;
        }
    }

    async fn show(&mut self, letter: &Letter) -> zbus::Result<()> {
        let mut screen = match self.screen.take() {
            Some(screen) if screen.is_same().await => screen,
            Some(_) | None => Screen::find().await?,
        };
        screen.show(letter, &self.console.err_style()).await?;
        self.screen = Some(screen);
        Ok(())
    }

    async fn take_away(&mut self, key: &Key) {
        let Some(screen) = &mut self.screen else {
            return;
        };
        let Some(id) = screen.shown.remove(key) else {
            return;
        };
        // A number counts for the program that gave it.
        if !screen.is_same().await {
            self.screen = None;
            return;
        }
        let taken = async {
            let desktop = NotificationsProxy::new(&screen.connection).await?;
            desktop.close_notification(id).await
        };
        match tokio::time::timeout(CALL_MAX, taken).await {
            // A person may have closed it before.
            Ok(Ok(()) | Err(_)) | Err(_) => {}
        }
    }
}

impl Screen {
    /// Connects to the session's bus and finds out who shows bubbles there.
    async fn find() -> zbus::Result<Self> {
        let connection = Connection::session().await?;
        // Asking wakes it when nobody has yet.
        let desktop = NotificationsProxy::new(&connection).await?;
        let capabilities = desktop.get_capabilities().await?;
        Ok(Self {
            owner: owner(&connection).await?,
            connection,
            has_markup: capabilities.iter().any(|it| it == "body-markup"),
            shown: BTreeMap::new(),
        })
    }

    /// Says whether it is still the same program: another one would replace somebody else's bubble.
    async fn is_same(&self) -> bool {
        matches!(owner(&self.connection).await, Ok(owner) if owner == self.owner)
    }

    async fn show(&mut self, letter: &Letter, style: &Style) -> zbus::Result<()> {
        let style = Style {
            glyphs: Glyphs::Unicode,
            paint: Paint::Plain,
            width: None,
            ..style.clone()
        };
        let message = letter.message(host(), &style);
        let body = if self.has_markup {
            without_markup(&message.text)
        } else {
            message.text
        };
        let degree: u8 = match message.urgency {
            Urgency::Low => 0,
            Urgency::Normal => 1,
            Urgency::Critical => 2,
        };
        let mut hints = HashMap::from([
            ("urgency", Variant::from(degree)),
            ("category", Variant::from("device")),
        ]);
        if message.urgency == Urgency::Critical {
            // It is worth nothing in the list of what was missed.
            hints.insert("transient", Variant::from(true));
        }
        let key = letter.key();
        let replaces = self.shown.get(&key).copied().unwrap_or(0);
        let desktop = NotificationsProxy::new(&self.connection).await?;
        let id = desktop
            .notify(
                APPLICATION,
                replaces,
                ICON,
                &message.subject,
                &body,
                &[],
                hints,
                -1,
            )
            .await?;
        self.shown.insert(key, id);
        Ok(())
    }
}

async fn owner(connection: &Connection) -> zbus::Result<String> {
    let bus = DBusProxy::new(connection).await?;
    let name = BusName::try_from(SERVICE)?;
    Ok(bus.get_name_owner(name).await?.to_string())
}

/// Escapes text for a desktop that reads the body as markup.
fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
