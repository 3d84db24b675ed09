//! How a night begins: its phones, its configuration, its daemon.

use super::{Bus, Night};
use ibak_dbus::BusChoice;
use ibak_device::{Deadlines, MuxAddress};
use ibak_mobilebackup2::Limits;
use ibak_sim::PhoneSpec;
use ibak_sim::backup::{Quirk, Quirks};
use ibak_sim::state::{PhoneState as SimState, Switch};
use ibakd::clock::Clock;
use ibakd::config::Config;
use ibakd::house::{Daemon, Options};
use ibakd::sources::host::HostOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a night begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The phones; see [`phone`].
    pub phones: Vec<PhoneSpec>,
    /// Configuration before the first table.
    pub keys: String,
    /// Configuration tables, not `[network]`.
    pub tables: String,
    /// Whether phones announce themselves on the loopback interface, and the daemon listens there.
    pub network: bool,
    /// For each step of the daemon with a phone.
    pub deadlines: Deadlines,
    /// What is not known of real phones and done all the same.
    pub quirks: Quirks,
    /// The house's time zone; the machine's own when `None`.
    pub zone: Option<&'static str>,
}

impl Setup {
    /// Takes these phones and the configuration as it is by itself.
    pub fn of(phones: Vec<PhoneSpec>) -> Self {
        Self {
            phones,
            keys: String::new(),
            tables: String::new(),
            network: true,
            deadlines: Deadlines::default(),
            quirks: Quirks::default(),
            zone: None,
        }
    }

    /// Puts the house into a time zone, such as `Europe/Berlin`.
    #[must_use]
    pub fn zone(self, zone: &'static str) -> Self {
        Self {
            zone: Some(zone),
            ..self
        }
    }

    /// Has the phones do these.
    #[must_use]
    pub fn quirks(self, quirks: &[Quirk]) -> Self {
        Self {
            quirks: quirks.iter().copied().collect(),
            ..self
        }
    }

    /// Has a cable count as Wi-Fi, which needs no multicast.
    #[must_use]
    pub fn by_cable(self) -> Self {
        Self {
            network: false,
            tables: format!("[conditions]\nwifi = \"or-usb\"\n{}", self.tables),
            ..self
        }
    }

    /// Adds configuration before the first table.
    #[must_use]
    pub fn keys(self, keys: &str) -> Self {
        Self {
            keys: format!("{}{keys}\n", self.keys),
            ..self
        }
    }

    /// Adds configuration tables.
    #[must_use]
    pub fn tables(self, tables: &str) -> Self {
        Self {
            tables: format!("{}{tables}\n", self.tables),
            ..self
        }
    }

    /// Begins the night.
    pub async fn begin(self) -> Night {
        Night::begin(self).await
    }
}

/// Makes a small paired phone on its cable, awake, unlocked, on battery, away from the network:
/// iOS 15.6 with a passcode, which never asks for it.
///
/// Seed and address are its own in this and other processes, so that nights may run side by side
/// on one loopback interface.
pub fn phone(name: &str) -> PhoneSpec {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let (number, pid) = (MADE.fetch_add(1, Ordering::Relaxed), std::process::id());
    let [.., high, low] = pid.to_be_bytes();
    let [.., last] = number.to_be_bytes();
    let address = Ipv4Addr::new(127, 64 + high % 64, low, last.wrapping_add(1));
    PhoneSpec {
        name: name.to_owned(),
        seed: (u64::from(pid) << 20) + u64::from(number) + 1,
        files: 40,
        bytes: 1 << 20,
        apps: 2,
        paired: true,
        wifi_address: Some(SocketAddr::from((
            address,
            ibak_sim::profile::LOCKDOWN_PORT,
        ))),
        state: SimState {
            passcode: Switch::On,
            ..SimState::default()
        },
        ..PhoneSpec::default()
    }
}

pub(super) fn write_config(dir: &Path, setup: &Setup) {
    let network = if setup.network {
        "interfaces = [\"lo\"]"
    } else {
        "mdns = false"
    };
    let text = format!(
        "store = {:?}\nreserve = \"1MiB\"\n{}\n[network]\n{network}\n{}\n",
        dir.join("store"),
        setup.keys,
        setup.tables
    );
    std::fs::write(dir.join("ibakd.toml"), text).unwrap();
}

pub(super) async fn start_daemon(
    dir: &Path,
    bus: &Bus,
    clock: &Clock,
    setup: &Setup,
) -> anyhow::Result<Daemon> {
    let path = dir.join("ibakd.toml");
    Daemon::start(Options {
        config: Config::load(&path)?,
        config_path: Some(path),
        state_dir: dir.join("state"),
        bus: BusChoice::Address(bus.address.clone()),
        mux: MuxAddress::Unix(dir.join("usbmuxd")),
        host: HostOptions {
            bus: BusChoice::Address(bus.address.clone()),
            supplies: dir.join("power"),
        },
        clock: clock.clone(),
        deadlines: setup.deadlines,
        limits: Limits::default(),
    })
    .await
}
