//! Putting the daemon together, and taking it apart.

use super::book::Book;
use super::chronicling::Chronicling;
use super::network::{Hearing, Network};
use super::{Ends, Hand, House, INPUTS_MAX, Input, Looks, policy, settings};
use crate::bus::wire::{Places, Wire};
use crate::bus::{Call, serve};
use crate::clock::Clock;
use crate::config::Config;
use crate::executor::Upkeep;
use crate::history::History;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::sources::cron;
use crate::sources::host::{HostOptions, HostSource};
use anyhow::Context;
use ibak_core::{Event, JobId, Machine, Udid};
use ibak_dbus::BusChoice;
use ibak_device::{
    Deadlines, MdnsOptions, MuxAddress, PairStore, PhoneKeys, browse, presence, watch,
};
use ibak_mobilebackup2::Limits;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long the network is listened to before a silence means that a phone is not there.
const LISTEN_FIRST: Duration = Duration::from_secs(3);
/// How soon listening is tried again where it was not possible, unless the computer's addresses
/// change before.
const LISTEN_AGAIN: Duration = Duration::from_secs(600);

/// How a daemon is started.
#[derive(Debug)]
pub struct Options {
    /// What it shall do.
    pub config: Config,
    /// Where that was read; `None` for a daemon that cannot reload.
    pub config_path: Option<PathBuf>,
    /// Where it keeps what it remembers: pairings, history, settings.
    pub state_dir: PathBuf,
    /// Which bus it serves.
    pub bus: BusChoice,
    /// Where usbmuxd listens.
    pub mux: MuxAddress,
    /// Where this computer is asked how it is.
    pub host: HostOptions,
    /// Both clocks.
    pub clock: Clock,
    /// For each step with a phone.
    pub deadlines: Deadlines,
    /// Bounds of a backup's conversation.
    pub limits: Limits,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Daemon {
    /// Starts a daemon; it serves the bus when this returns.
    ///
    /// # Errors
    /// When its state cannot be kept, or the bus cannot be served.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (house, inputs, ends) = build(options, stop.clone()).await?;
        let task = tokio::spawn(house.run(inputs, ends));
        Ok(Self { task, stop })
    }

    /// Returns the token that asks it to end.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn wait(self) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let outcome = self.task.await.context("the event loop broke");
        stop.cancel();
        outcome?
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// As [`Daemon::wait`].
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.wait().await
    }
}

#[expect(clippy::too_many_lines, reason = "a line for each of its belongings")]
async fn build(
    options: Options,
    stop: CancellationToken,
) -> anyhow::Result<(House, mpsc::Receiver<Input>, Ends)> {
    let Options {
        config,
        state_dir,
        bus,
        clock,
        ..
    } = &options;
    let (memory, first_job) = open_memory(state_dir, clock)?;
    let history = Arc::new(History::open(&state_dir.join("history.sqlite")));
    let records =
        Arc::new(PairStore::open(&state_dir.join("pairing")).context("the pairing records")?);
    let keys = known_keys(&records);
    let machine = Machine::new(policy::policies(config), first_job, clock.now());
    let mut machine = recall(&memory, machine, clock);
    let phones = settings::candidates(&machine.view(), |phone| keys.contains_key(phone));
    let book = Book::new(config, &memory.settings(), &phones);
    let policies = book.policies(config);
    policies.check()?;
    drop(machine.handle(Event::PoliciesChanged(policies.clone()), clock.now()));
    let places = Places::of(config, options.config_path.as_deref());
    let view = machine.view();
    let first = Wire::of(&view, &policies, &places)
        .with_channels(|phone| super::telling::channels(&book, config, phone));
    let served = serve(bus, first.clone())
        .await
        .with_context(|| format!("cannot serve {bus} bus"))?;
    info!(%bus, version = env!("CARGO_PKG_VERSION"), "serving");
    let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
    let clock_now = clock.now();
    let (metrics, writing) = Metrics::new();
    let mut keeping = JoinSet::new();
    keeping.spawn(writing);
    let mut house = House {
        machine,
        policies,
        book: Book::default(),
        candidates: Vec::new(),
        config: options.config,
        config_path: options.config_path,
        clock: options.clock,
        memory,
        chronicling: Chronicling::begin(&history, clock_now),
        history,
        notifier: Notifier::default(),
        publisher: served.publisher,
        metrics,
        inputs,
        mux: options.mux,
        network: Network::new(keys),
        look_at_mux: Arc::default(),
        host: None,
        woke_at: None,
        records,
        deadlines: options.deadlines,
        limits: options.limits,
        phones: BTreeMap::new(),
        store: None,
        store_trouble: None,
        looks: Looks::default(),
        upkeep: Upkeep::default(),
        scrub_within: tokio::sync::watch::Sender::default(),
        schedule: None,
        running: BTreeMap::new(),
        asked: BTreeMap::new(),
        next_request: 0,
        hand: Hand::default(),
        unpairing: BTreeSet::new(),
        awaited: BTreeMap::new(),
        attention: Vec::new(),
        replies: Vec::new(),
        shown: Arc::new(first),
        locked: BTreeMap::new(),
        apple_devices: Vec::new(),
        keeping,
        reloading: Vec::new(),
        measuring: Arc::new(tokio::sync::Semaphore::new(1)),
        recorded: BTreeSet::new(),
        afresh: BTreeSet::new(),
    };
    house.candidates = phones;
    house.take_book(book);
    house.start_host(options.host);
    house.start_sources(served.calls, &stop);
    Ok((
        house,
        receiver,
        Ends {
            stop,
            bus_lost: served.lost,
        },
    ))
}

/// Opens what is remembered, with the first job id of this start.
fn open_memory(state_dir: &Path, clock: &Clock) -> anyhow::Result<(Memory, JobId)> {
    private_dir(state_dir)?;
    let mut memory =
        Memory::load(state_dir.join("memory.json")).context("what the daemon remembers")?;
    let first_job = memory
        .reserve_job_ids(clock.now().wall)
        .context("the job counter")?;
    Ok((memory, first_job))
}

/// Gives the machine what was kept; nothing is asked for yet, as no phone is there.
fn recall(memory: &Memory, mut machine: Machine, clock: &Clock) -> Machine {
    for phone in memory.phones() {
        drop(machine.handle(Event::Recalled(phone), clock.now()));
    }
    drop(machine.handle(Event::RecalledHouse(memory.house()), clock.now()));
    machine
}

impl House {
    fn start_sources(&mut self, calls: mpsc::Receiver<Call>, stop: &CancellationToken) {
        self.forward(calls, Input::Call);
        let (tx, rx) = mpsc::channel(INPUTS_MAX);
        let look = Arc::clone(&self.look_at_mux);
        tokio::spawn(watch(self.mux.clone(), look, tx, stop.clone()));
        self.forward(rx, Input::Mux);
        let (tx, rx) = mpsc::channel(INPUTS_MAX);
        tokio::spawn(presence::watch(tx, stop.clone()));
        self.forward(rx, Input::Presence);
        if self.config.mdns {
            let interfaces = self.config.interfaces.clone();
            let wanted: Vec<Option<String>> = if interfaces.is_empty() {
                vec![None]
            } else {
                interfaces.into_iter().map(Some).collect()
            };
            for interface in wanted {
                self.browse_on(interface, stop);
            }
        }
        self.look_at_store();
        self.plan_schedule();
    }

    /// Listens on an interface, on all when `None`, and tries again when that is not possible.
    fn browse_on(&mut self, interface: Option<String>, stop: &CancellationToken) {
        let listener = self.network.add_listener();
        let (tx, rx) = mpsc::channel(INPUTS_MAX);
        self.forward(rx, move |event| Input::Mdns(listener, event));
        let (inputs, stop) = (self.inputs.clone(), stop.clone());
        let options = MdnsOptions {
            interface,
            addresses_changed: self.host.as_ref().map(HostSource::addresses),
        };
        let mut addresses = options.addresses_changed.clone();
        let listen = async move {
            loop {
                let browsing = browse(options.clone(), tx.clone(), CancellationToken::new());
                tokio::pin!(browsing);
                let ended = tokio::select! {
                    ended = &mut browsing => ended,
                    () = tokio::time::sleep(LISTEN_FIRST) => {
                        send(Input::Hearing(listener, Hearing::Listening), &inputs).await;
                        browsing.await
                    }
                };
                let Err(error) = ended else { return };
                let deaf = Hearing::Deaf(error.to_string());
                send(Input::Hearing(listener, deaf), &inputs).await;
                // Where nobody tells of addresses, only time helps.
                let changed = async {
                    if let Some(addresses) = &mut addresses
                        && addresses.changed().await.is_ok()
                    {
                        return;
                    }
                    std::future::pending().await
                };
                drop(tokio::time::timeout(LISTEN_AGAIN, changed).await);
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(listen).await });
    }

    /// Passes on what a source tells, until one of the two ends.
    pub(super) fn forward<T: Send + 'static>(
        &self,
        mut source: mpsc::Receiver<T>,
        wrap: impl Fn(T) -> Input + Send + 'static,
    ) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            while let Some(item) = source.recv().await {
                if inputs.send(wrap(item)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Asks the calculator when the cron expression is next due, and sleeps until then.
    pub(super) fn plan_schedule(&mut self) {
        if let Some(earlier) = self.schedule.take() {
            earlier.cancel();
        }
        let Some(expression) = self.config.cron.clone() else {
            return;
        };
        let token = CancellationToken::new();
        self.schedule = Some(token.clone());
        let (inputs, clock) = (self.inputs.clone(), self.clock.clone());
        let sleep = async move {
            match cron::next_due(&expression).await {
                Ok(Some(at)) => {
                    send(Input::SchedulePlanned(Some(at)), &inputs).await;
                    clock.sleep_until_wall(at).await;
                    send(Input::ScheduleDue, &inputs).await;
                }
                Ok(None) => {
                    info!(expression, "the schedule has no further time");
                    send(Input::SchedulePlanned(None), &inputs).await;
                }
                Err(error) => warn!(%error, expression, "the schedule cannot be read"),
            }
        };
        tokio::spawn(async move { token.run_until_cancelled(sleep).await });
    }

    pub(super) fn schedule_due(&mut self) {
        self.handle(Event::ScheduleFired);
        self.plan_schedule();
    }
}

/// Reads from our pairing records how announcements of these phones are recognised: a phone that
/// is on the network only must be found again after a restart.
fn known_keys(records: &PairStore) -> BTreeMap<Udid, PhoneKeys> {
    let phones = records.phones().unwrap_or_else(|error| {
        warn!(%error, "the pairing records cannot be listed");
        Vec::new()
    });
    let mut keys = BTreeMap::new();
    for phone in phones {
        match records.load(&phone) {
            Ok(Some(record)) => drop(keys.insert(phone, PhoneKeys::of(&record, None))),
            Ok(None) => {}
            Err(error) => warn!(%error, %phone, "the pairing record cannot be read"),
        }
    }
    keys
}

async fn send(input: Input, inputs: &mpsc::Sender<Input>) {
    if inputs.send(input).await.is_err() {
        debug!("the loop has ended before its source");
    }
}

/// Makes the directory of what is remembered, for this user alone.
fn private_dir(path: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}
