//! This computer itself, as other services tell of it: logind and NetworkManager, played by
//! python3-dbusmock on a bus of their own.

use ibak_core::{Host, HostNetwork, Wall};
use ibak_dbus::BusChoice;
use ibak_tests::mock::{LOGIND, Mock, NETWORK_MANAGER};
use ibak_tests::night::{Bus, PATIENCE};
use ibakd::clock::Clock;
use ibakd::sources::host::{HostNews, HostOptions, HostSource, NetworkRule, Wishes};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use zbus::Variant;

const MINUTE: Duration = Duration::from_secs(60);
const QUARTER: Duration = Duration::from_secs(900);
const NEVER: &str = "unix:path=/nowhere/at/all";

/// A computer that is looked after, and what it tells.
struct Computer {
    source: HostSource,
    news: mpsc::Receiver<HostNews>,
    clock: Clock,
    dir: tempfile::TempDir,
}

impl Computer {
    fn start(address: &str, networks: NetworkRule) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = HostOptions {
            bus: BusChoice::Address(address.to_owned()),
            supplies: dir.path().join("power"),
        };
        let clock = Clock::manual(Wall::from_secs(1_795_291_200)).in_zone(berlin());
        let (tx, news) = mpsc::channel(16);
        let source = HostSource::start(options, networks, clock.clone(), tx);
        Self {
            source,
            news,
            clock,
            dir,
        }
    }

    async fn next(&mut self) -> HostNews {
        tokio::time::timeout(PATIENCE, self.news.recv())
            .await
            .expect("no news")
            .unwrap()
    }

    /// Waits for the first look: how local time goes, and how the computer is.
    async fn begun(&mut self) -> Host {
        let zone = self.next().await;
        assert_eq!(zone, HostNews::Zone(self.clock.zone()));
        self.is().await
    }

    async fn is(&mut self) -> Host {
        match self.next().await {
            HostNews::Is(host) => host,
            news @ (HostNews::Zone(_) | HostNews::Sleeps | HostNews::Woke) => {
                panic!("{news:?}")
            }
        }
    }

    fn wish(&self, awake: bool, networks: &NetworkRule) {
        self.source.wish(Wishes {
            awake,
            attentive: awake,
            networks: networks.clone(),
        });
    }
}

fn berlin() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get("Europe/Berlin").unwrap()
}

fn supply(dir: &Path, name: &str, files: &[(&str, &str)]) {
    let dir = dir.join("power").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    for (file, value) in files {
        std::fs::write(dir.join(file), value).unwrap();
    }
}

fn bus() -> (tempfile::TempDir, Bus) {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path());
    (dir, bus)
}

#[tokio::test]
async fn a_computer_about_which_nobody_says_anything_is_fit() {
    let mut computer = Computer::start(NEVER, NetworkRule::new::<&str>(&[], true));
    assert_eq!(computer.begun().await, Host::default());
    // That it should stay awake cannot be asked of anybody.
    computer.wish(true, &NetworkRule::default());
    computer.clock.advance(QUARTER);
    supply(
        computer.dir.path(),
        "BAT0",
        &[("type", "Battery"), ("status", "Discharging")],
    );
    computer.clock.advance(QUARTER);
    let on_battery = computer.is().await;
    assert!(on_battery.is_on_battery(), "{on_battery:?}");
}

#[tokio::test]
async fn a_laptops_power_is_read_each_minute_while_something_depends_on_it() {
    let mut computer = Computer::start(NEVER, NetworkRule::default());
    let charger = |dir: &Path, online| supply(dir, "AC", &[("type", "Mains"), ("online", online)]);
    let dir = computer.dir.path().to_owned();
    computer.begun().await;
    computer.wish(true, &NetworkRule::default());
    charger(&dir, "1");
    supply(&dir, "BAT0", &[("type", "Battery"), ("status", "Full")]);
    computer.clock.advance(QUARTER);
    let fed = computer.is().await;
    assert_eq!((fed.portable, fed.on_mains), (true, Some(true)));
    for (online, on_battery) in [("0", true), ("1", false), ("0", true)] {
        charger(&dir, online);
        computer.clock.advance(MINUTE);
        assert_eq!(computer.is().await.is_on_battery(), on_battery);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_inhibitor_is_held_while_it_is_wished_whoever_logind_is() {
    let (_dir, bus) = bus();
    let rule = NetworkRule::default();
    let mut computer = Computer::start(&bus.address, rule.clone());
    computer.begun().await;
    // Wished before there is a logind: it is asked when it comes.
    computer.wish(true, &rule);
    let Some(logind) = Mock::start(&bus.address, "logind", LOGIND).await else {
        return;
    };
    logind.until_inhibitors(1).await;
    let ours = ("sleep", "ibak", "block");
    let (what, who, mode) = logind.inhibitors().await.remove(0);
    assert_eq!((what.as_str(), who.as_str(), mode.as_str()), ours);
    computer.wish(false, &rule);
    logind.until_inhibitors(0).await;
    computer.wish(true, &rule);
    logind.until_inhibitors(1).await;
    drop(logind);
    let Some(logind) = Mock::start(&bus.address, "logind", LOGIND).await else {
        return;
    };
    logind.until_inhibitors(1).await;
    drop(computer);
    logind.until_inhibitors(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logind_that_refuses_is_no_trouble() {
    let (_dir, bus) = bus();
    let Some(logind) = Mock::start(&bus.address, "logind", LOGIND).await else {
        return;
    };
    let refusal =
        "raise dbus.exceptions.DBusException('no', name='org.freedesktop.DBus.Error.AccessDenied')";
    let manager = "org.freedesktop.login1.Manager";
    logind
        .tell("AddMethod", &(manager, "Inhibit", "ssss", "h", refusal))
        .await;
    let rule = NetworkRule::default();
    let mut computer = Computer::start(&bus.address, rule.clone());
    computer.begun().await;
    computer.wish(true, &rule);
    logind
        .signal(manager, "PrepareForSleep", "b", Variant::from(true))
        .await;
    assert_eq!(computer.next().await, HostNews::Sleeps);
    logind
        .signal(manager, "PrepareForSleep", "b", Variant::from(false))
        .await;
    assert_eq!(computer.next().await, HostNews::Woke);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network_manager_says_which_network_it_is_and_who_pays() {
    let (_dir, bus) = bus();
    let rule = NetworkRule::new(&["Home"], true);
    let mut computer = Computer::start(&bus.address, rule.clone());
    let networks = |host: Host| host.network;
    assert_eq!(networks(computer.begun().await), HostNetwork::Foreign);
    let Some(manager) = Mock::start(&bus.address, "networkmanager", NETWORK_MANAGER).await else {
        return;
    };
    let (name, _) = NETWORK_MANAGER;
    let home = "/org/freedesktop/NetworkManager/ActiveConnection/1";
    let interface = "org.freedesktop.NetworkManager.Connection.Active";
    let properties = HashMap::from([("Id", Variant::from("Home"))]);
    let methods: Vec<(&str, &str, &str, &str)> = Vec::new();
    manager
        .tell("AddObject", &(home, interface, properties, methods))
        .await;
    let home = zbus::wire::ObjectPath::try_from(home).unwrap();
    let up = |paths: Vec<zbus::wire::ObjectPath<'static>>| {
        HashMap::from([("ActiveConnections", Variant::from(paths))])
    };
    manager
        .tell("UpdateProperties", &(name, up(vec![home.clone()])))
        .await;
    assert_eq!(networks(computer.is().await), HostNetwork::Fit);
    manager
        .tell("AddProperty", &(name, "Metered", Variant::from(0_u32)))
        .await;
    // 3 and 4 are NetworkManager's guesses.
    for (metered, wanted) in [
        (1_u32, HostNetwork::Metered),
        (2, HostNetwork::Fit),
        (3, HostNetwork::Metered),
        (4, HostNetwork::Fit),
    ] {
        let properties = HashMap::from([("Metered", Variant::from(metered))]);
        manager.tell("UpdateProperties", &(name, properties)).await;
        assert_eq!(networks(computer.is().await), wanted, "{metered}");
    }
    // Another rule is looked at with what it needs.
    computer.wish(false, &NetworkRule::new(&["Office"], false));
    assert_eq!(networks(computer.is().await), HostNetwork::Foreign);
    computer.wish(false, &rule);
    assert_eq!(networks(computer.is().await), HostNetwork::Fit);
    // That nobody names the network any more says nothing: it is the one before.
    drop(manager);
    computer.wish(false, &NetworkRule::new(&["Office"], false));
    assert_eq!(networks(computer.is().await), HostNetwork::Foreign);
}

#[tokio::test]
async fn a_clock_that_is_set_is_told() {
    let mut computer = Computer::start(NEVER, NetworkRule::default());
    computer.begun().await;
    // Half a year on the table of local time is another, and nobody is left with the old one.
    computer
        .clock
        .set(Wall::from_secs(1_795_291_200 + 400 * 86_400));
    assert_eq!(computer.next().await, HostNews::Woke);
    assert_eq!(computer.next().await, HostNews::Zone(computer.clock.zone()));
}
