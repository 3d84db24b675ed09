//! How this computer itself is: its power, its network, its sleep and its time zone.
//!
//! Nothing here is needed for a backup: a computer without logind, without NetworkManager or
//! without a bus is one that never sleeps and whose network is fit. What can be told is waited
//! for; what cannot is looked at every quarter of an hour, and power every minute while a phone is
//! there. A backup is held awake by one inhibitor of logind's, which lasts exactly as long as it is
//! wanted.

mod addresses;
mod network;
mod power;
mod services;

pub use network::NetworkRule;

use crate::clock::Clock;
use ibak_core::{Host, Monotonic, Zone};
use ibak_dbus::BusChoice;
use network::Around;
use power::Power;
use services::{Heard, Services};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info};

/// How often everything is looked at again: what no signal tells is found so late at most.
const LOOK_EVERY: Duration = Duration::from_secs(900);
/// How often the power of a computer with a battery is read while a phone is there: it has no
/// signal that every machine gives.
const POWER_EVERY: Duration = Duration::from_secs(60);
/// How far the clock must have been set for a line in the log.
const SET_WORTH_SAYING: Duration = Duration::from_secs(2);

/// Where this computer is asked how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// The bus on which logind, NetworkManager and timedated are, where there are any.
    pub bus: BusChoice,
    /// Where the kernel shows what powers the computer.
    pub supplies: PathBuf,
}

impl HostOptions {
    /// Asks on the bus that the daemon serves, so that a house with a bus of its own (a demo, a
    /// test) does not keep the machine it runs on awake; a daemon on a person's session bus asks on
    /// the system bus, where these services are. As always, `DBUS_SYSTEM_BUS_ADDRESS` says where
    /// that is.
    pub fn of(served: &BusChoice) -> Self {
        let bus = match served {
            BusChoice::System | BusChoice::Session => BusChoice::System,
            BusChoice::Address(address) => BusChoice::Address(address.clone()),
        };
        Self {
            bus,
            supplies: "/sys/class/power_supply".into(),
        }
    }
}

/// What became of the computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostNews {
    /// It is so.
    Is(Host),
    /// Its local time goes so.
    Zone(Zone),
    /// It is about to sleep.
    Sleeps,
    /// It woke, or its clock was set: what was read before may be old.
    Woke,
}

/// What the loop wishes of the computer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// That it stays awake: something runs that sleep would cut.
    pub awake: bool,
    /// That its power is read often, since something depends on it.
    pub attentive: bool,
    /// On which networks backups may run.
    pub networks: NetworkRule,
}

/// The running task; dropping it ends it and lets the computer sleep.
#[derive(Debug)]
pub struct HostSource {
    wishes: watch::Sender<Wishes>,
    addresses: watch::Receiver<u64>,
    _stop: DropGuard,
}

impl HostSource {
    /// Starts it.
    pub fn start(
        options: HostOptions,
        networks: NetworkRule,
        clock: Clock,
        news: mpsc::Sender<HostNews>,
    ) -> Self {
        let first = Wishes {
            networks,
            ..Wishes::default()
        };
        let wishes = watch::Sender::new(first);
        let (changes, addresses) = watch::channel(0);
        let watcher = Watcher {
            options,
            wishes: wishes.subscribe(),
            addresses: addresses.clone(),
            news,
            services: None,
            power: Power::default(),
            around: Around::default(),
            told: None,
            zone: None,
            clock: clock.clone(),
        };
        let stop = CancellationToken::new();
        let listen = async move {
            tokio::select! {
                () = clock.listen() => {}
                () = addresses::listen(changes) => {}
            }
        };
        let token = stop.clone();
        tokio::spawn(async move { token.run_until_cancelled(listen).await });
        let token = stop.clone();
        tokio::spawn(async move { token.run_until_cancelled(watcher.run()).await });
        Self {
            wishes,
            addresses,
            _stop: stop.drop_guard(),
        }
    }

    /// Says what is wished from here on.
    pub fn wish(&self, wishes: Wishes) {
        self.wishes
            .send_if_modified(|before| std::mem::replace(before, wishes.clone()) != wishes);
    }

    /// Returns what changes when the computer's addresses do.
    pub fn addresses(&self) -> watch::Receiver<u64> {
        self.addresses.clone()
    }
}

/// Says how the computer is as far as that can be told without asking anybody: its power, and its
/// network by its addresses.
pub fn at_once(options: &HostOptions, networks: &NetworkRule) -> Host {
    let power = power::read(&options.supplies);
    let around = Around {
        addresses: network::addresses(networks),
        ..Around::default()
    };
    is(power, networks, &around)
}

fn is(power: Power, networks: &NetworkRule, around: &Around) -> Host {
    Host {
        portable: power.portable,
        on_mains: power.on_mains,
        network: networks.judge(around),
    }
}

struct Watcher {
    options: HostOptions,
    clock: Clock,
    wishes: watch::Receiver<Wishes>,
    addresses: watch::Receiver<u64>,
    news: mpsc::Sender<HostNews>,
    services: Option<Services>,
    power: Power,
    around: Around,
    told: Option<Host>,
    zone: Option<Zone>,
}

/// Why the computer is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// At everything.
    Everything,
    /// At its power alone.
    Power,
    /// At nothing: only what is wished has changed.
    Nothing,
}

impl Watcher {
    async fn run(mut self) {
        let mut jumps = self.clock.jumps();
        let mut look = Look::Everything;
        loop {
            if look == Look::Everything && self.services.is_none() {
                self.services = Services::open(&self.options.bus).await;
            }
            // What happens while it is looked at counts from here.
            let at = self.clock.now();
            self.keep_awake().await;
            self.look(look).await;
            let next = self.next_look(at.monotonic);
            look = tokio::select! {
                heard = services::next(&mut self.services) => self.heard(heard).await,
                wished = self.wishes.changed() => match wished {
                    Ok(()) => self.wished(),
                    Err(_) => return,
                },
                Ok(()) = self.addresses.changed() => Look::Everything,
                Ok(()) = jumps.changed() => {
                    self.say_if_set(at);
                    self.tell(HostNews::Woke).await;
                    Look::Everything
                }
                () = self.clock.sleep_until(next) => self.due(at.monotonic),
            };
        }
    }

    /// Returns when the computer is looked at again if nothing happens.
    fn next_look(&self, now: Monotonic) -> Monotonic {
        let watched = self.power.portable && self.wishes.borrow().attentive;
        now + if watched { POWER_EVERY } else { LOOK_EVERY }
    }

    /// Says what to look at, now that it is time to: everything when a quarter of an hour is over.
    fn due(&mut self, since: Monotonic) -> Look {
        let quarter = LOOK_EVERY.as_secs();
        let before = since.since_origin().as_secs() / quarter;
        let now = self.clock.now().monotonic.since_origin().as_secs() / quarter;
        if before == now {
            Look::Power
        } else {
            Look::Everything
        }
    }

    fn wished(&mut self) -> Look {
        let wishes = self.wishes.borrow_and_update().clone();
        // What was not looked at while nothing depended on it may be old, and another rule may need
        // what the one before did not.
        if wishes.attentive || self.around.rule != wishes.networks {
            Look::Everything
        } else {
            Look::Nothing
        }
    }

    async fn heard(&mut self, heard: Heard) -> Look {
        match heard {
            Heard::Sleep => {
                info!("the computer goes to sleep");
                self.tell(HostNews::Sleeps).await;
                Look::Nothing
            }
            Heard::Woke => {
                info!("the computer woke up");
                self.tell(HostNews::Woke).await;
                Look::Everything
            }
            // Another logind knows nothing of what the one before was asked.
            Heard::Logind => {
                if let Some(services) = &mut self.services {
                    services.let_go();
                }
                Look::Nothing
            }
            Heard::Changed => Look::Everything,
            Heard::Lost => {
                debug!("the machine's bus is gone");
                self.services = None;
                // Found again with the next look at everything.
                Look::Power
            }
        }
    }

    /// Has exactly one inhibitor held while it is wished.
    async fn keep_awake(&mut self) {
        let wished = self.wishes.borrow().awake;
        if let Some(services) = &mut self.services {
            if wished {
                services.hold().await;
            } else {
                services.let_go();
            }
        }
    }

    async fn look(&mut self, look: Look) {
        let networks = self.wishes.borrow().networks.clone();
        match look {
            Look::Nothing => return,
            Look::Power => self.power = power::read(&self.options.supplies),
            Look::Everything => {
                self.power = power::read(&self.options.supplies);
                let mut around = Around {
                    rule: networks.clone(),
                    addresses: network::addresses(&networks),
                    ..Around::default()
                };
                if let Some(bus) = self.services.as_ref().map(Services::connection) {
                    services::look_around(&bus, &networks, &mut around).await;
                }
                self.around = around.or_names_of(&self.around);
                let zone = self.clock.zone();
                if self.zone.as_ref() != Some(&zone) {
                    self.zone = Some(zone.clone());
                    self.tell(HostNews::Zone(zone)).await;
                }
            }
        }
        let host = is(self.power, &networks, &self.around);
        if self.told != Some(host) {
            self.told = Some(host);
            self.tell(HostNews::Is(host)).await;
        }
    }

    fn say_if_set(&self, before: ibak_core::Now) {
        let now = self.clock.now();
        let passed = now.monotonic.saturating_since(before.monotonic);
        let wanted = before.wall + passed;
        let ahead = now.wall.saturating_since(wanted);
        let behind = wanted.saturating_since(now.wall);
        if ahead.max(behind) >= SET_WORTH_SAYING {
            info!(
                ahead_secs = ahead.as_secs(),
                behind_secs = behind.as_secs(),
                "the clock was set"
            );
        }
    }

    async fn tell(&mut self, news: HostNews) {
        if self.news.send(news).await.is_err() {
            debug!("the loop has ended before its computer");
        }
    }
}
