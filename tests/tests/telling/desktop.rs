//! `ibakctl notify desktop` against dbusmock's notification daemon, on a bus that is the session's too.

use super::{Carrier, WAIT_MAX};
use std::collections::HashMap;
use std::fs;

use futures_util::StreamExt;
use ibak_dbus::{BusChoice, Dict, Lookup};
use ibak_tests::trouble::{House, phone, udid_of};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::BusName;
use zbus::wire::OwnedVariant;
use zbus::{Connection, MatchRule, MessageStream};

const SERVICE: &str = "org.freedesktop.Notifications";
const LISTENING: &str = "Listening; messages come to this desktop.";

/// A desktop that shows nothing, and what it is asked to.
struct Screen {
    mock: Child,
    connection: Connection,
    asked: MessageStream,
    owned: MessageStream,
}

/// One call of `Notify`.
#[derive(Clone, Debug, PartialEq)]
struct Bubble {
    replaces: u64,
    title: String,
    body: String,
    urgency: u64,
    transient: bool,
}

impl Screen {
    async fn open(house: &House) -> Option<Self> {
        let module = std::path::Path::new("/usr/lib/python3/dist-packages/dbusmock/__main__.py");
        let reason = "python3-dbusmock is not installed (`cargo xtask test` as root installs it)";
        ibak_tests::skip_unless(module.exists().then_some(()), reason)?;
        let connection = BusChoice::Address(house.bus_address())
            .connect()
            .await
            .unwrap();
        let mocks = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface("org.freedesktop.DBus.Mock")
            .member("MethodCalled")
            .build()
            .unwrap();
        let owners = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .add_arg(SERVICE)
            .build()
            .unwrap();
        let stream = async |rule| {
            MessageStream::for_match_rule(rule, &connection, std::num::NonZero::new(1_000)).await
        };
        let (asked, owned) = (stream(mocks).await.unwrap(), stream(owners).await.unwrap());
        let mut screen = Self {
            mock: start(house),
            connection,
            asked,
            owned,
        };
        screen.until_owned(true).await;
        Some(screen)
    }

    async fn until_owned(&mut self, wanted: bool) {
        let bus = DBusProxy::new(&self.connection).await.unwrap();
        let name = || BusName::try_from(SERVICE).unwrap();
        while bus.name_has_owner(name()).await.unwrap() != wanted {
            timeout(WAIT_MAX, self.owned.next())
                .await
                .expect("the desktop's name")
                .unwrap()
                .unwrap();
        }
    }

    async fn restart(&mut self, house: &House) {
        self.mock.kill().await.unwrap();
        self.until_owned(false).await;
        self.mock = start(house);
        self.until_owned(true).await;
    }

    /// Waits for the next call of one of these two.
    async fn next(&mut self) -> Result<Bubble, u64> {
        loop {
            let message = timeout(WAIT_MAX, self.asked.next()).await;
            let message = message
                .expect("the desktop is asked nothing")
                .unwrap()
                .unwrap();
            let (method, arguments): (String, Vec<OwnedVariant>) =
                message.body().deserialize().unwrap();
            let arguments: Dict = (0..)
                .map(|at: usize| at.to_string())
                .zip(arguments)
                .collect();
            let text = |at: &str| arguments.text(at).unwrap().to_owned();
            match method.as_str() {
                "Notify" => {
                    assert_eq!(text("0"), "ibak");
                    let hints = arguments.dict("6");
                    return Ok(Bubble {
                        replaces: arguments.number("1").unwrap(),
                        title: text("3"),
                        body: text("4"),
                        urgency: hints.number("urgency").unwrap(),
                        transient: hints.flag("transient").unwrap_or(false),
                    });
                }
                "CloseNotification" => return Err(arguments.number("0").unwrap()),
                _ => {}
            }
        }
    }
}

fn start(house: &House) -> Child {
    Command::new("/usr/bin/python3")
        .args([
            "-m",
            "dbusmock",
            "--session",
            "--template",
            "notification_daemon",
        ])
        .env("DBUS_SESSION_BUS_ADDRESS", house.bus_address())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn settings(house: &House) -> [(&'static str, String); 1] {
    [("DBUS_SESSION_BUS_ADDRESS", house.bus_address())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bubble_for_each_cause_and_no_markup_of_a_stranger() {
    let spec = ibak_sim::PhoneSpec {
        name: "<b>Ada</b> & \"co\"".to_owned(),
        ..phone(75, 10, 1 << 20)
    };
    let house = House::build(vec![spec]).await.unwrap();
    let Some(mut screen) = Screen::open(&house).await else {
        return;
    };
    let daemon = house.daemon(&house.config("")).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    let udid = udid_of(&house.phone(0));
    let named = watcher.phone(&udid, "its name", |view| view.name.starts_with('<'));
    named.await.unwrap();
    let words = ["notify", "desktop"];
    let mut carrier = Carrier::start(&house, &words, &settings(&house), LISTENING).await;
    let bubble = |replaces| {
        Bubble {
        replaces,
        title: "A test message of ibak".to_owned(),
        body: "Messages about &lt;b&gt;Ada&lt;/b&gt; &amp; \"co\" arrive here; nothing needs to be done."
            .to_owned(),
        urgency: 1,
        transient: false,
    }
    };
    // The second takes the place of the first; after a restart of the desktop there is none.
    for replaces in [0, 1, 1] {
        house.ctl(&["notify", "test"]).await.unwrap();
        carrier.says("test is on the desktop").await;
        assert_eq!(screen.next().await, Ok(bubble(replaces)));
    }
    screen.restart(&house).await;
    house.ctl(&["notify", "test"]).await.unwrap();
    assert_eq!(screen.next().await, Ok(bubble(0)));

    // The daemon goes and comes; nothing is shown for that.
    daemon.kill().await.unwrap();
    carrier.says("The daemon went away").await;
    let config = house.config("notify = [\"mail\"]");
    let daemon = house.daemon(&config).await.unwrap();
    carrier.says("The daemon is back.").await;
    let mut watcher = house.watch().await.unwrap();
    let other = watcher.phone(&udid, "its channels", |view| view.notify == ["mail"]);
    other.await.unwrap();
    house.ctl(&["notify", "test"]).await.unwrap();
    fs::write(
        daemon.configuration(),
        house.config("notify = [\"desktop\"]"),
    )
    .unwrap();
    house.ctl(&["reload"]).await.unwrap();
    let own = watcher.phone(&udid, "its channels", |view| view.notify == ["desktop"]);
    own.await.unwrap();
    house.ctl(&["notify", "test"]).await.unwrap();
    assert_eq!(
        screen.next().await,
        Ok(bubble(1)),
        "what went to mail came here too"
    );
    carrier.end().await;
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_is_shown_once_and_taken_away_when_it_is_over() {
    let house = House::build(vec![phone(76, 10, 1 << 20)]).await.unwrap();
    let Some(mut screen) = Screen::open(&house).await else {
        return;
    };
    let file = house.path("file");
    fs::write(&file, "no directory").unwrap();
    let config = house.config_at(&file.join("store"), "");
    let daemon = house.daemon(&config).await.unwrap();
    let words = ["notify", "desktop"];
    let mut carrier = Carrier::start(&house, &words, &settings(&house), LISTENING).await;
    let shown = screen.next().await.unwrap();
    assert_eq!(
        (shown.title.as_str(), shown.urgency),
        ("The backups need you", 1)
    );
    assert!(shown.body.contains("`ibakctl doctor`"), "{shown:?}");
    carrier.says("store-trouble is on the desktop").await;
    fs::write(daemon.configuration(), house.config("")).unwrap();
    house.ctl(&["reload"]).await.unwrap();
    assert_eq!(screen.next().await, Err(1), "it is over");
    carrier.end().await;
    // A new login shows only what is new.
    let carrier = Carrier::start(&house, &words, &settings(&house), LISTENING).await;
    house.ctl(&["notify", "test"]).await.unwrap();
    let shown = screen.next().await.unwrap();
    assert_eq!(shown.title, "A test message of ibak");
    carrier.end().await;
    daemon.stop().await.unwrap();
}

/// What the daemon tells before a phone asks, told by a daemon of our own making.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_is_announced_pressingly() {
    let house = House::without_usbmuxd().await.unwrap();
    let Some(mut screen) = Screen::open(&house).await else {
        return;
    };
    let daemon = house.daemon(&house.config("")).await.unwrap();
    let words = ["notify", "desktop"];
    let [bus] = settings(&house);
    let evening = ("IBAK_TIMESTAMP", "2026-11-22T21:04:00Z".to_owned());
    let settings = [bus, evening, ("TZ", "UTC".to_owned())];
    let carrier = Carrier::start(&house, &words, &settings, LISTENING).await;
    daemon.stop().await.unwrap();
    // Any name on this bus is free: somebody else is the daemon.
    let other = BusChoice::Address(house.bus_address())
        .connect()
        .await
        .unwrap();
    let server = other.object_server();
    server
        .at(ibak_dbus::names::ROOT_PATH, zbus::fdo::ObjectManager)
        .await
        .unwrap();
    other
        .request_name(ibak_dbus::names::BUS_NAME)
        .await
        .unwrap();
    let mut carrier = carrier;
    carrier.says("The daemon is back.").await;
    let path =
        ibak_dbus::names::phone_path(&ibak_core::Udid::parse("00008110-000A1B2C3D4E5F60").unwrap());
    let name = zbus::wire::Str::from("Ada's iPhone".to_owned());
    let details: HashMap<&str, OwnedVariant> = [
        ("name", OwnedVariant::from(name)),
        ("job", OwnedVariant::from(7_u64)),
    ]
    .into();
    let attention = async |kind: &str| {
        other
            .emit_signal(
                None::<BusName<'_>>,
                ibak_dbus::names::MANAGER_PATH,
                ibak_dbus::names::MANAGER_INTERFACE,
                "Attention",
                &(path.clone(), kind, details.clone()),
            )
            .await
            .unwrap();
    };
    attention("asking").await;
    attention("asking").await;
    let shown = screen.next().await.unwrap();
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let wanted = Bubble {
        replaces: 0,
        title: "Ada's iPhone asks for its passcode".to_owned(),
        body: format!(
            "Your phone will now ask for its passcode: tonight's backup to {host}. Enter it, lock it, leave it on the charger."
        ),
        urgency: 2,
        transient: true,
    };
    assert_eq!(shown, wanted);
    attention("test").await;
    let shown = screen.next().await.unwrap();
    assert_eq!(
        shown.title, "A test message of ibak",
        "the prompt is told once"
    );
    carrier.end().await;
}
