//! The event loop: everything that is noticed comes in here, one thing at a time; the core
//! decides; what it wants is done by somebody else. Nothing in here waits for a phone, a disk or
//! the bus.

mod attempts;
pub mod book;
mod calls;
mod chronicling;
mod diagnose;
mod effects;
mod errands;
mod host;
mod keeping;
mod network;
mod phones;
mod policy;
mod settings;
mod startup;
mod storage;
mod telling;
mod upkeep;

pub use startup::{Daemon, Options};

use crate::bus::wire::{Places, Wire};
use crate::bus::{Call, Publication, Publisher, Reply};
use crate::clock::Clock;
use crate::config::{Candidate, Config};
use crate::executor::{ErrandWork, Report, Stop};
use crate::executor::{Upkeep, UpkeepNews};
use crate::history::History;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::sources::host::{HostNews, HostSource};
use crate::sources::phone::PhoneNews;
use crate::sources::store::{Held, StoreLook};
use book::Book;
use errands::JobEnd;
use ibak_core::{
    Answer, Event, JobId, Machine, Monotonic, Policies, RequestError, RequestId, Udid, Wall,
};
use ibak_dbus::{Dict, Error};
use ibak_device::{
    Deadlines, MdnsEvent, MuxAddress, MuxEvent, PairStore,
    presence::{Place, PresenceEvent},
};
use ibak_mobilebackup2::Limits;
use ibak_store::Store;
use network::{Hearing, Listener, Network};
use phones::PhoneSlot;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Most things noticed that wait for the loop.
const INPUTS_MAX: usize = 256;
/// How long the first look at the store may hold back "the service is up".
const FIRST_LOOK_MAX: Duration = Duration::from_secs(10);
/// For how long running jobs may take to end when the daemon is asked to.
const STOP_MAX: Duration = Duration::from_secs(8);
/// For how long the last words may take to reach the disk and the bus.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// How soon a publication is tried again when the bus was slower than the loop.
const PUBLISH_AGAIN: Duration = Duration::from_millis(500);

/// Everything the loop can be told.
#[derive(Debug)]
enum Input {
    Mux(MuxEvent),
    Presence(PresenceEvent),
    Mdns(Listener, MdnsEvent),
    Hearing(Listener, Hearing),
    Phone(PhoneNews),
    Host(HostNews),
    /// The store is worth another look.
    LookAtStore,
    /// A look at the store, and at which one.
    Store(u64, StoreLook),
    /// What a look at a phone's backups saw, and which look.
    StoreContents(Udid, u64, Held),
    Report(Report),
    /// What upkeep of the store has done.
    Upkeep(UpkeepNews),
    /// Somebody changed what the store holds of a phone.
    StoreChanged(Udid),
    SchedulePlanned(Option<Wall>),
    ScheduleDue,
    Call(Call),
    /// Whether a pairing was ended.
    Unpaired(Udid, bool),
}

/// A job that runs.
struct Running {
    /// Whose; `None` for one about the whole store.
    phone: Option<Udid>,
    stop: Stop,
    started: Wall,
    trigger: &'static str,
    kind: ibak_core::JobKind,
}

type AnswerTo = oneshot::Sender<Result<Answer, RequestError>>;

/// The loop's belongings.
struct House {
    machine: Machine,
    policies: Policies,
    config: Config,
    /// What holds for each phone.
    book: Book,
    /// The phones that its tables may be about.
    candidates: Vec<Candidate>,
    config_path: Option<PathBuf>,
    clock: Clock,
    memory: Memory,
    history: Arc<History>,
    notifier: Notifier,
    publisher: Publisher,
    metrics: Metrics,
    inputs: mpsc::Sender<Input>,
    mux: MuxAddress,
    /// Has usbmuxd looked at: a phone was plugged in.
    look_at_mux: Arc<Notify>,
    /// The computer itself; `None` before anybody looks after it.
    host: Option<HostSource>,
    /// When everything was last looked at because the computer woke.
    woke_at: Option<Monotonic>,
    records: Arc<PairStore>,
    deadlines: Deadlines,
    limits: Limits,
    phones: BTreeMap<Udid, PhoneSlot>,
    network: Network,
    store: Option<Store>,
    store_trouble: Option<String>,
    looks: Looks,
    /// Reads everything again and empties the trash, while nothing else needs the store.
    upkeep: Upkeep,
    /// Within which time everything is read again.
    scrub_within: watch::Sender<Duration>,
    schedule: Option<CancellationToken>,
    running: BTreeMap<JobId, Running>,
    asked: BTreeMap<RequestId, AnswerTo>,
    next_request: u64,
    hand: Hand,
    /// Phones whose pairing is just being ended.
    unpairing: BTreeSet<Udid>,
    /// Who waits for a job to end.
    awaited: BTreeMap<JobId, Vec<JobEnd>>,
    attention: Vec<(Option<Udid>, &'static str, Dict)>,
    replies: Vec<Reply>,
    shown: Arc<Wire>,
    locked: BTreeMap<Udid, watch::Sender<bool>>,
    apple_devices: Vec<Place>,
    /// What is being written to the history.
    keeping: JoinSet<()>,
    /// Lets one at a time measure what removing backups would free.
    measuring: Arc<Semaphore>,
    /// Jobs whose end is in the history.
    recorded: BTreeSet<JobId>,
    /// What is noted for the morning after.
    chronicling: chronicling::Chronicling,
    /// Phones that could not use a copy of an earlier backup: the next one begins from nothing.
    afresh: BTreeSet<Udid>,
    /// Who asked for another store, and is told once it was looked at.
    reloading: Vec<oneshot::Sender<Result<(), Error>>>,
}

/// Looks at the store that are under way or done.
#[derive(Default)]
struct Looks {
    /// Whether the store is being looked at.
    busy: bool,
    /// Counts the stores that were looked at.
    store: u64,
    /// Counts the looks at phones' backups.
    asked: u64,
    /// The newest of them that was seen, for each phone.
    seen: BTreeMap<Udid, u64>,
}

/// What a client gave with what is being decided on in this very step.
#[derive(Default)]
struct Hand {
    /// For an errand.
    work: Option<ErrandWork>,
    /// Where the store is to be moved to.
    target: Option<PathBuf>,
    /// Which phone takes the place of which.
    heir: Option<(Udid, Udid)>,
}

/// What may end the loop.
struct Ends {
    /// Somebody asks the daemon to end.
    stop: CancellationToken,
    /// The bus is gone.
    bus_lost: oneshot::Receiver<()>,
}

impl House {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>, ends: Ends) -> anyhow::Result<()> {
        let Ends { stop, mut bus_lost } = ends;
        let pulse_every = Notifier::pulse_interval();
        let pulse_after = |now: Monotonic| pulse_every.map(|every| now + every);
        let mut pulse = pulse_after(self.clock.now().monotonic);
        self.publish();
        let sentence = status_sentence(&self.machine.view());
        self.notifier.status(&sentence);
        // Whoever is told that the service is up finds its backups; a disk that takes long to
        // answer must not keep it down.
        let mut up = false;
        let up_at_the_latest = tokio::time::sleep(FIRST_LOOK_MAX);
        tokio::pin!(up_at_the_latest);
        let mut stopping: Option<Monotonic> = None;
        loop {
            let deadline = stopping.or(self.next_deadline());
            tokio::select! {
                input = inputs.recv() => if let Some(input) = input { self.take(input) },
                () = sleep_until(&self.clock, deadline) => {
                    if stopping.is_some() {
                        warn!(jobs = self.running.len(), "jobs did not end in time; what arrived is resumed the next time");
                        break;
                    }
                    self.handle(Event::Tick);
                }
                () = sleep_until(&self.clock, pulse), if pulse.is_some() => {
                    self.notifier.pulse();
                    pulse = pulse_after(self.clock.now().monotonic);
                }
                () = stop.cancelled(), if stopping.is_none() => {
                    info!("asked to stop");
                    self.notifier.stopping();
                    self.handle(Event::Stopping);
                    stopping = Some(self.clock.now().monotonic + STOP_MAX);
                }
                lost = &mut bus_lost => {
                    drop(lost);
                    anyhow::bail!("the connection to the bus is lost");
                }
                () = tokio::time::sleep(PUBLISH_AGAIN), if self.publisher.behind() => {}
                () = &mut up_at_the_latest, if !up => {
                    warn!("the store's disk does not answer yet; up without it");
                    up = true;
                    self.notifier.ready();
                }
            }
            self.publish();
            if !up && self.store_was_looked_at() {
                up = true;
                self.notifier.ready();
            }
            if stopping.is_some() && self.running.is_empty() {
                break;
            }
        }
        self.publish();
        self.end_chronicle();
        self.leave(bus_lost).await;
        info!("stopped");
        Ok(())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Mux(event) => self.muxer(event),
            Input::Presence(event) => self.presence(event),
            Input::Mdns(listener, event) => self.announced(listener, event),
            Input::Hearing(listener, hearing) => self.hearing(listener, hearing),
            Input::Phone(news) => self.phone_news(news),
            Input::Host(news) => self.host_news(news),
            Input::LookAtStore => self.look_at_store(),
            Input::Store(number, look) => self.store_seen(number, look),
            Input::StoreContents(udid, number, held) => self.contents_seen(udid, number, held),
            Input::Report(report) => self.report(report),
            Input::Upkeep(news) => self.upkeep_news(news),
            Input::StoreChanged(udid) => self.store_changed(udid),
            Input::SchedulePlanned(next) => self.handle(Event::SchedulePlanned(next)),
            Input::ScheduleDue => self.schedule_due(),
            Input::Call(call) => self.call(call),
            Input::Unpaired(udid, done) => self.unpaired(&udid, done),
        }
    }

    /// Gives the core an event and does what it asks for.
    fn handle(&mut self, event: Event) {
        let effects = self.machine.handle(event, self.clock.now());
        for effect in effects {
            self.perform(effect);
        }
    }

    /// Shows the bus and the service manager what has become of it all.
    fn publish(&mut self) {
        self.renew_book();
        let view = self.machine.view();
        self.tell_locks(&view);
        self.keep_what_never_ran(&view);
        self.keep_chronicle(&view);
        self.wish(&view);
        self.upkeep.may(view.house.upkeep == ibak_core::Upkeep::May);
        let places = Places::of(&self.config, self.config_path.as_deref());
        let wire = Wire::of(&view, &self.policies, &places)
            .with_channels(|phone| telling::channels(&self.book, &self.config, phone));
        let changed = wire != *self.shown;
        let figures = self.config.metrics_textfile.as_deref();
        if changed || !self.metrics.is_at(figures) {
            self.metrics.show(figures, &view);
        }
        if !changed
            && self.attention.is_empty()
            && self.replies.is_empty()
            && !self.publisher.behind()
        {
            return;
        }
        if changed {
            self.shown = Arc::new(wire);
            self.notifier.status(&status_sentence(&view));
        }
        let answers = self.answers();
        self.publisher.publish(Publication {
            wire: Arc::clone(&self.shown),
            attention: std::mem::take(&mut self.attention),
            answers,
        });
    }

    /// Takes the answers that are ready; they go out when what they promise is on the disk.
    fn answers(&mut self) -> Vec<Reply> {
        let replies = std::mem::take(&mut self.replies);
        let when_written = |reply: Reply| match self.memory.unwritten() {
            None => reply,
            Some(written) => Box::new(move || {
                drop(tokio::spawn(async move {
                    written.await;
                    reply();
                }));
            }),
        };
        replies.into_iter().map(when_written).collect()
    }

    /// Waits a moment for what is still on its way to the disk and to the bus.
    async fn leave(self, bus_lost: oneshot::Receiver<()>) {
        let Self {
            memory,
            publisher,
            metrics,
            mut keeping,
            ..
        } = self;
        drop((publisher, metrics));
        let written = memory.unwritten();
        let rest = async {
            if let Some(written) = written {
                written.await;
            }
            while keeping.join_next().await.is_some() {}
            // The publisher ends, and with it this, once everything is told.
            drop(bus_lost.await);
        };
        if tokio::time::timeout(LEAVE_MAX, rest).await.is_err() {
            warn!("the disk or the bus is too slow for a whole good-bye");
        }
    }
}

async fn sleep_until(clock: &Clock, deadline: Option<Monotonic>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Says in one sentence how things are, for `systemctl status`.
fn status_sentence(view: &ibak_core::View) -> String {
    use ibak_core::PhoneState;
    if view.house.storage == ibak_core::StorageState::Unavailable {
        return "The backup store cannot be used: see `ibakctl doctor`.".to_owned();
    }
    let count = |wanted: &[PhoneState]| {
        view.phones
            .values()
            .filter(|phone| wanted.contains(&phone.state))
            .count()
    };
    let busy = count(&[
        PhoneState::BackingUp,
        PhoneState::Committing,
        PhoneState::Asking,
    ]);
    let waiting = count(&[
        PhoneState::Waiting,
        PhoneState::Settling,
        PhoneState::BackingOff,
    ]);
    let overdue = view.phones.values().filter(|phone| phone.overdue).count();
    let phones = |n: usize| {
        if n == 1 {
            "1 phone".to_owned()
        } else {
            format!("{n} phones")
        }
    };
    let mut parts = Vec::new();
    if busy > 0 {
        parts.push(format!("backing up {}", phones(busy)));
    }
    if waiting > 0 {
        parts.push(format!("{} waiting for the conditions", phones(waiting)));
    }
    if overdue > 0 {
        parts.push(format!("{} overdue", phones(overdue)));
    }
    if view.house.pause.is_some() {
        parts.push("automatic backups paused".to_owned());
    }
    match (parts.is_empty(), view.phones.len()) {
        (true, 0) => "No phone yet: connect one and run `ibakctl pair`.".to_owned(),
        (true, known) => format!("{} known, nothing to do.", phones(known)),
        (false, _) => {
            let mut sentence = parts.join(", ");
            if let Some(first) = sentence.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            sentence.push('.');
            sentence
        }
    }
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        debug!("the asker has left");
    }
}
