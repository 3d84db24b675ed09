//! A house for one night: a private bus, simulated phones, the real daemon on a clock that only
//! the test moves, and a client that watches.
//!
//! Nothing here sleeps. [`Night::until`] waits for what the daemon tells on the bus and gives up
//! after [`PATIENCE`] of real time with the whole picture; [`Night::settle`] is the other half: once
//! it returns, the daemon has considered everything it was told at the clock's present moment, so
//! what has not begun by then does not begin by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fixture of tests fails by panicking"
)]

mod asking;
mod bus;
pub mod errands;
mod setup;
mod telling;
mod tree;

pub use bus::Bus;
pub use setup::{Setup, phone};
pub use tree::{Print, fingerprint};

use crate::words::unknown_words;
use ibak_core::{BackupId, JobId, Udid, Wall};
use ibak_dbus::views::{JobView, ManagerView, PhoneView};
use ibak_dbus::words::{ConditionName, ConditionStatus, Outcome, Phase, PhoneState};
use ibak_dbus::{BusChoice, Dict, Error, Mirror, MirrorError, MirrorEvent, MirrorState};
use ibak_sim::{Phone, Setting, SimOptions, Simulator};
use ibakd::clock::Clock;
use ibakd::house::Daemon;
use setup::{start_daemon, write_config};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use zbus::Connection;

/// For how long of real time something is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// When every night begins: 2026-11-21 20:00 UTC.
pub const EVENING: Wall = Wall::from_secs(1_795_291_200);
/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
/// How long the conditions must hold, as the configuration has it by itself.
pub const SETTLE: Duration = Duration::from_secs(60);
/// How far time passes at a time in [`Night::pass`].
const STEP: Duration = Duration::from_secs(60);
/// By when the daemon reads a phone's power again: three quarters of 300 s.
const POWER_READ_WITHIN: Duration = Duration::from_secs(225);
/// So slow that a megabyte takes half a minute: a backup that is stopped meanwhile.
pub const SLOW: &str = "upload-rate=40000";
/// A phone that no simulator has.
pub const STRANGER: &str = "00008110-00000000DEADBEEF";

/// The four conditions in the contract's order.
pub const FOUR: [ConditionName; 4] = [
    ConditionName::Power,
    ConditionName::Wifi,
    ConditionName::Locked,
    ConditionName::Space,
];

/// A house with everything in it.
pub struct Night {
    /// The phones.
    pub sim: Simulator,
    /// Both hands of the daemon's clock.
    pub clock: Clock,
    /// The bus.
    pub bus: Bus,
    /// The client's connection.
    pub connection: Connection,
    /// What the daemon told, oldest first.
    pub events: Vec<MirrorEvent>,
    daemon: Option<Daemon>,
    mirror: Mirror,
    setup: Setup,
    dir: tempfile::TempDir,
}

impl Night {
    /// Starts bus, phones, daemon and client.
    pub async fn begin(setup: Setup) -> Self {
        if let Ok(level) = std::env::var("IBAK_TEST_LOG") {
            // Only the first night of a process can start it.
            drop(ibakd::logging::start(&level));
        }
        let dir = tempfile::tempdir().unwrap();
        // Other users must reach the bus; what is the daemon's own is closed by itself.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let bus = Bus::start(dir.path());
        let sim = Simulator::start(SimOptions {
            mdns: setup.network.then(|| "lo".to_owned()),
            quirks: setup.quirks.clone(),
            ..SimOptions::in_dir(dir.path(), setup.phones.clone())
        })
        .await
        .unwrap();
        let zone = setup
            .zone
            .map(|name| jiff::tz::TimeZone::get(name).unwrap());
        let clock = Clock::manual(EVENING);
        let clock = match zone {
            Some(zone) => clock.in_zone(zone),
            None => clock,
        };
        write_config(dir.path(), &setup);
        let daemon = start_daemon(dir.path(), &bus, &clock, &setup)
            .await
            .unwrap();
        let choice = BusChoice::Address(bus.address.clone());
        let connection = choice.connect().await.unwrap();
        let mirror = Mirror::open(&connection).await.unwrap();
        let mut night = Self {
            sim,
            clock,
            bus,
            connection,
            events: Vec::new(),
            daemon: Some(daemon),
            mirror,
            setup,
            dir,
        };
        night.check();
        night
    }

    /// Returns the directory of this night.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns where the backups lie.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Returns the configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("ibakd.toml")
    }

    // The phones

    /// Returns a phone's UDID by its place in the setup.
    pub fn udid(&self, phone: usize) -> Udid {
        Udid::parse(&self.simulated(phone).identity().udid).unwrap()
    }

    /// Returns the simulator's side of a phone.
    pub fn simulated(&self, phone: usize) -> &Arc<Phone> {
        self.sim.phones().get(phone).expect("a phone of the setup")
    }

    /// Changes how a phone stands, in the words of `ibak-sim set`.
    pub async fn set(&self, phone: usize, settings: &[&str]) {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
        let udid = self.simulated(phone).identity().udid.clone();
        self.sim.set(&udid, &settings).await.unwrap();
    }

    /// Returns how many bytes a phone's backup service has sent.
    pub fn bytes_sent(&self, phone: usize) -> u64 {
        self.simulated(phone).bytes_sent()
    }

    /// Says whether a working copy of this phone lies in the store.
    pub fn is_staged(&self, phone: usize) -> bool {
        let staging = self.store().join(self.udid(phone).as_str()).join("staging");
        std::fs::read_dir(staging).is_ok_and(|mut entries| entries.next().is_some())
    }

    // The daemon

    /// Ends the daemon and waits until it has ended and the client has seen it.
    pub async fn stop_daemon(&mut self) {
        let daemon = self.daemon.take().expect("the daemon runs");
        self.drive(daemon.stop()).await.unwrap();
        self.until("the daemon has left the bus", |state| {
            state.manager().is_none()
        })
        .await;
    }

    /// Starts it again, and waits until the client sees it.
    pub async fn start_daemon(&mut self) {
        let daemon = start_daemon(self.dir.path(), &self.bus, &self.clock, &self.setup).await;
        self.daemon = Some(daemon.unwrap());
        self.until("the daemon is back", |state| state.manager().is_some())
            .await;
    }

    /// Ends the daemon and starts it again at the same moment of its clock.
    pub async fn restart_daemon(&mut self) {
        self.stop_daemon().await;
        self.start_daemon().await;
    }

    /// Writes another configuration, without telling the daemon.
    pub fn configure(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(self.setup.clone());
        write_config(self.dir.path(), &self.setup);
    }

    /// Has the daemon read its configuration again.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn reload(&mut self) -> Result<(), Error> {
        let manager = self.manager().await;
        self.drive(async move { manager.reload(Dict::new()).await })
            .await
    }

    /// Moves both hands of the clock, and waits until the daemon has considered the new moment.
    pub async fn advance(&mut self, step: Duration) {
        self.clock.advance(step);
        self.settle().await;
    }

    /// Returns once the daemon has considered the present moment and the client has seen it all.
    ///
    /// A request that changes nothing goes the way of all others: through the one queue into the
    /// core, which decides anew about everything, and back behind whatever changed.
    pub async fn settle(&mut self) {
        let manager = self.manager().await;
        let answer = self
            .drive(async move { manager.pair(STRANGER, Dict::new()).await })
            .await;
        assert!(answer.is_err(), "nobody has this phone: {answer:?}");
    }

    // The client

    /// Returns the client's picture.
    pub fn state(&self) -> &MirrorState {
        self.mirror.state()
    }

    /// Returns the Manager as the client sees it.
    pub fn manager_view(&self) -> ManagerView {
        self.state().manager().expect("the daemon is on the bus")
    }

    /// Returns a phone as the client sees it.
    pub fn phone(&self, phone: usize) -> PhoneView {
        self.state()
            .phone(&self.udid(phone))
            .unwrap_or_else(|| panic!("the daemon shows the phone{}", self.picture()))
    }

    /// Returns a job as the client sees it.
    pub fn job(&self, job: JobId) -> JobView {
        self.state()
            .job(job)
            .unwrap_or_else(|| panic!("the daemon shows job {job}{}", self.picture()))
    }

    /// Waits until the picture is as wanted, for [`PATIENCE`] at most.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&MirrorState) -> bool) {
        self.until_some(what, |state| holds(state).then_some(()))
            .await;
    }

    /// As [`Night::until`], and returns what was found.
    pub async fn until_some<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(&MirrorState) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(self.mirror.state()) {
                return found;
            }
            match timeout_at(deadline, self.mirror.next()).await {
                Ok(event) => self.take(event),
                Err(_) => panic!("within {PATIENCE:?} not so: {what}{}", self.picture()),
            }
        }
    }

    /// Waits until this is true of a phone.
    pub async fn until_phone(
        &mut self,
        phone: usize,
        what: &str,
        mut holds: impl FnMut(&PhoneView) -> bool,
    ) -> PhoneView {
        let udid = self.udid(phone);
        self.until_some(what, |state| state.phone(&udid).filter(|view| holds(view)))
            .await
    }

    /// Waits until a phone is in this state.
    pub async fn until_state(&mut self, phone: usize, state: PhoneState) -> PhoneView {
        let what = format!("phone {phone} is {state}");
        self.until_phone(phone, &what, |view| view.state == state)
            .await
    }

    /// Waits until the four conditions are so, in the contract's order.
    pub async fn until_conditions(
        &mut self,
        phone: usize,
        wanted: &[ConditionStatus; 4],
    ) -> PhoneView {
        let what = format!("the conditions of phone {phone} are {wanted:?}");
        self.until_phone(phone, &what, |view| statuses(view) == *wanted)
            .await
    }

    /// Puts a phone on power, on the network and to sleep, and waits until the daemon knows.
    pub async fn tuck_in(&mut self, phone: usize) -> PhoneView {
        self.set(phone, &["power=on", "wifi=on", "locked=yes"])
            .await;
        self.until_conditions(phone, &ALL_MET).await
    }

    /// Waits for the beginning of an automatic backup of a phone that settles, and returns its job.
    pub async fn let_start(&mut self, phone: usize) -> JobId {
        let settling = self.until_state(phone, PhoneState::Settling).await;
        let at = settling
            .next_attempt
            .expect("settling ends at a known moment");
        let left = at.saturating_since(self.clock.now().wall);
        self.advance(left).await;
        let what = format!("the backup of phone {phone} begins");
        self.until_phone(phone, &what, |view| view.current_job.is_some())
            .await
            .current_job
            .expect("just seen")
    }

    /// Waits for the end of a job, and for all that the daemon tells with it.
    pub async fn ended(&mut self, job: JobId) -> Outcome {
        let what = format!("job {job} ends");
        let outcome = self
            .until_some(&what, |state| state.job(job).filter(JobView::ended)?.result)
            .await;
        self.settle().await;
        outcome
    }

    /// Has a phone backed up under the four conditions and waits for the good end.
    pub async fn night_of(&mut self, phone: usize) -> BackupId {
        self.tuck_in(phone).await;
        self.finish_automatic(phone).await
    }

    /// Goes on to the moment at which a phone that is not due becomes due, has it backed up and
    /// waits for the good end.
    pub async fn next_night_of(&mut self, phone: usize) -> BackupId {
        let idle = self.until_state(phone, PhoneState::Idle).await;
        let due = idle.next_attempt.expect("what is not due says until when");
        let left = due.saturating_since(self.clock.now().wall);
        self.advance(left).await;
        self.until_conditions(phone, &ALL_MET).await;
        self.finish_automatic(phone).await
    }

    async fn finish_automatic(&mut self, phone: usize) -> BackupId {
        let before = self.backups(phone).await.len();
        let job = self.let_start(phone).await;
        let outcome = self.ended(job).await;
        assert_eq!(outcome, Outcome::Succeeded, "{}", self.picture());
        let backups = self.backups(phone).await;
        assert_eq!(backups.len(), before + 1);
        backups.last().expect("one more").id.clone()
    }

    /// Lets time pass in steps so small that everything which is read again is read in time.
    pub async fn pass(&mut self, phone: usize, time: Duration) {
        let until = self.clock.now().wall + time;
        loop {
            let left = until.saturating_since(self.clock.now().wall);
            if left.is_zero() {
                return;
            }
            self.advance(left.min(STEP)).await;
            let now = self.clock.now().wall;
            let what = format!("power of phone {phone} is read in time");
            self.until_phone(phone, &what, |view| {
                let observed = view.condition(&ConditionName::Power).observed;
                observed.is_some_and(|at| now.saturating_since(at) < POWER_READ_WITHIN)
            })
            .await;
        }
    }

    /// Has a phone send slowly, and waits until some of a job's bytes have arrived.
    pub async fn until_receiving(&mut self, job: JobId) -> JobView {
        let what = format!("bytes of job {job} arrive");
        self.until_some(&what, |state| {
            state.job(job).filter(|view| {
                assert!(!view.ended(), "it ended: {view:?}");
                view.phase == Phase::Receiving && view.bytes_done.get() > 0
            })
        })
        .await
    }

    // Inside

    fn take(&mut self, event: Result<MirrorEvent, MirrorError>) {
        let event = event.unwrap();
        if event != MirrorEvent::Changed {
            self.events.push(event);
        }
        self.check();
    }

    /// Every word that the daemon says is in the contract.
    fn check(&mut self) {
        let unknown = unknown_words(self.mirror.state(), self.events.last());
        assert!(
            unknown.is_empty(),
            "words that are not in the contract: {unknown:?}{}",
            self.picture()
        );
    }

    /// Returns everything there is to see, for the message of a failure.
    pub fn picture(&self) -> String {
        format!(
            "\nclock: {:?}\nManager: {:#?}\nPhones: {:#?}\nJobs: {:#?}\nEvents: {:#?}\nSimulator: {:#?}",
            self.clock.now(),
            self.state().manager(),
            self.state().phones(),
            self.state().jobs(),
            self.events,
            self.sim.status(),
        )
    }
}

/// All four conditions hold.
pub const ALL_MET: [ConditionStatus; 4] = [
    ConditionStatus::Met,
    ConditionStatus::Met,
    ConditionStatus::Met,
    ConditionStatus::Met,
];

/// Lists the status of the four conditions.
pub fn statuses(phone: &PhoneView) -> [ConditionStatus; 4] {
    FOUR.map(|name| phone.condition(&name).status)
}
