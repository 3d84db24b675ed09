//! Upkeep of the store: the trash emptied, everything read again, slowly and only while nothing else
//! needs the disk.
//!
//! A task for each open store. It is told when it may work; what it found comes back as news.

use super::blocking;
use crate::clock::Clock;
use ibak_core::{BackupId, Udid, scrub_is_due};
use ibak_store::{Store, StoreError, Swept};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

/// Bytes read again in a second, at most (store.md).
const RATE: u64 = 20_000_000;
/// What removing one file counts as.
const FILE_COUNTS_AS: u64 = 64 << 10;
/// Shorter waits are saved up.
const WAIT_MIN: Duration = Duration::from_millis(250);
/// How often it is asked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// What upkeep has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpkeepNews {
    /// Room was freed.
    Swept(Swept),
    /// A phone's backups were read again to their end, or damage was found on the way there.
    Read {
        /// Whose.
        phone: Udid,
        /// How many of them are damaged and were not known to be.
        damaged: u32,
    },
}

/// Switches upkeep on and off from the loop; without a store there is none.
#[derive(Debug, Default)]
pub struct Upkeep {
    work: Option<Work>,
    ending: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Work {
    gate: Arc<Gate>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Upkeep {
    /// Begins upkeep of a store that was just opened; it rests until it may work.
    pub fn begin(
        &mut self,
        store: Store,
        within: watch::Receiver<Duration>,
        clock: Clock,
        news: mpsc::Sender<UpkeepNews>,
    ) {
        self.end();
        let (gate, wake) = (Arc::new(Gate::default()), Arc::new(Notify::new()));
        let caretaker = Caretaker {
            store,
            gate: Arc::clone(&gate),
            wake: Arc::clone(&wake),
            within,
            clock,
            news,
        };
        let task = tokio::spawn(caretaker.run());
        self.work = Some(Work { gate, wake, task });
    }

    /// Says whether it may work; it stops within one piece of its work.
    pub fn may(&self, may: bool) {
        if let Some(work) = &self.work {
            work.gate.set(if may { State::Open } else { State::Shut });
        }
    }

    /// Says that there is something to do.
    pub fn wake(&self) {
        if let Some(work) = &self.work {
            work.wake.notify_one();
        }
    }

    /// Ends upkeep: the store is let go of, in a moment.
    pub fn end(&mut self) {
        if let Some(work) = self.work.take() {
            work.gate.set(State::Ended);
            self.ending.push(work.task);
        }
    }

    /// Returns a wait for those that have been ended to be gone.
    pub fn gone(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let ending = std::mem::take(&mut self.ending);
        async move {
            for task in ending {
                if let Err(error) = task.await {
                    warn!(%error, "upkeep broke");
                }
            }
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Shut,
    Open,
    Ended,
}

/// Lets the work through, or not.
#[derive(Debug)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    told: watch::Sender<State>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            told: watch::Sender::new(State::default()),
        }
    }
}

impl Gate {
    fn set(&self, to: State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != State::Ended && *state != to {
            *state = to;
            self.changed.notify_all();
            self.told.send_replace(to);
        }
    }

    /// Waits until it is open; false when it never will be.
    async fn opened(&self) -> bool {
        let mut told = self.told.subscribe();
        let opened = told.wait_for(|state| *state != State::Shut).await;
        opened.is_ok_and(|state| *state == State::Open)
    }

    /// Waits so long, or until it is no longer open, which it says.
    fn pass(&self, wait: Duration) -> ControlFlow<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, wait, |state| *state == State::Open)
            .unwrap_or_else(PoisonError::into_inner);
        if *state == State::Open {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

/// A token bucket: what was taken too fast is waited for.
struct Throttle {
    since: Instant,
    taken: u64,
}

impl Throttle {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            taken: 0,
        }
    }

    fn take(&mut self, bytes: u64, gate: &Gate) -> ControlFlow<()> {
        self.taken = self.taken.saturating_add(bytes);
        let wait = self.owed(self.since.elapsed());
        // A disk slower than the rate earns no more than a second's burst.
        if wait.is_zero() && self.taken < RATE {
            return gate.pass(Duration::ZERO);
        }
        let flow = gate.pass(wait);
        *self = Self::new();
        flow
    }

    /// Returns how long to wait after so much was taken in so long.
    fn owed(&self, passed: Duration) -> Duration {
        let millis = self.taken.saturating_mul(1000) / RATE;
        let owed = Duration::from_millis(millis).saturating_sub(passed);
        if owed > WAIT_MIN {
            owed
        } else {
            Duration::ZERO
        }
    }
}

struct Caretaker {
    store: Store,
    gate: Arc<Gate>,
    wake: Arc<Notify>,
    within: watch::Receiver<Duration>,
    clock: Clock,
    news: mpsc::Sender<UpkeepNews>,
}

/// How a round of work ended.
enum Round {
    /// Nothing is left to do.
    Done,
    /// It has to rest.
    Stopped,
}

impl Caretaker {
    async fn run(self) {
        while self.gate.opened().await {
            let round = match self.round().await {
                Ok(round) => round,
                Err(error) => {
                    warn!(%error, "upkeep of the store met an error");
                    Round::Done
                }
            };
            if matches!(round, Round::Stopped) {
                continue;
            }
            let next = self.clock.now().monotonic + LOOK_EVERY;
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.clock.sleep_until(next) => {}
                () = self.ended() => return,
            }
        }
    }

    async fn ended(&self) {
        let mut told = self.gate.told.subscribe();
        drop(told.wait_for(|state| *state == State::Ended).await);
    }

    async fn tell(&self, news: UpkeepNews) {
        if self.news.send(news).await.is_err() {
            debug!("the loop has ended before upkeep");
        }
    }

    async fn round(&self) -> Result<Round, StoreError> {
        let (store, gate) = (self.store.clone(), Arc::clone(&self.gate));
        // What cannot be removed keeps nothing else from being read.
        match blocking(move || sweep(&store, &gate)).await {
            Ok(swept) if swept.files == 0 => {}
            Ok(swept) => {
                info!(files = swept.files, bytes = swept.bytes, "removed for good");
                self.tell(UpkeepNews::Swept(swept)).await;
            }
            Err(error) => warn!(%error, "the trash cannot be emptied"),
        }
        let store = self.store.clone();
        for udid in blocking(move || store.phones()).await? {
            let (store, gate) = (self.store.clone(), Arc::clone(&self.gate));
            let (within, clock) = (*self.within.borrow(), self.clock.clone());
            let phone = udid.clone();
            let read = blocking(move || scrub(&store, &phone, within, &clock, &gate)).await;
            match read {
                Ok(None) => {}
                Ok(Some(read)) => {
                    if read.complete || read.damaged > 0 {
                        let damaged = read.damaged;
                        self.tell(UpkeepNews::Read {
                            phone: udid,
                            damaged,
                        })
                        .await;
                    }
                    if !read.complete && !read.failed {
                        return Ok(Round::Stopped);
                    }
                }
                Err(error) => warn!(phone = %udid, %error, "its backups cannot be read again"),
            }
        }
        let left = self.gate.pass(Duration::ZERO);
        Ok(match left {
            ControlFlow::Continue(()) => Round::Done,
            ControlFlow::Break(()) => Round::Stopped,
        })
    }
}

fn sweep(store: &Store, gate: &Gate) -> Result<Swept, StoreError> {
    if store.trash_waiting()? == 0 {
        return Ok(Swept::default());
    }
    let mut throttle = Throttle::new();
    store.sweep(&mut |_| throttle.take(FILE_COUNTS_AS, gate))
}

/// What a scrub of one phone's backups came to.
struct Scrubbed {
    complete: bool,
    failed: bool,
    /// Backups that are damaged and were not known to be.
    damaged: u32,
}

/// Reads a phone's backups again if they are due; `None` if not.
fn scrub(
    store: &Store,
    udid: &Udid,
    within: Duration,
    clock: &Clock,
    gate: &Gate,
) -> Result<Option<Scrubbed>, StoreError> {
    let now = clock.now().wall;
    if !scrub_is_due(store.last_read(udid)?, within, now) {
        return Ok(None);
    }
    let before = damaged(store, udid)?;
    let mut throttle = Throttle::new();
    let report = store.scrub(udid, now, &mut |seen| throttle.take(seen.read, gate));
    let mut new = damaged(store, udid)?;
    // Also what was found before it failed.
    new.retain(|backup| !before.contains(backup));
    for backup in &new {
        warn!(phone = %udid, %backup, "reading again found damage");
    }
    let damaged = u32::try_from(new.len()).unwrap_or(u32::MAX);
    let (complete, failed) = match report {
        Ok(report) => {
            if report.complete {
                info!(phone = %udid, files = report.files, bytes = report.bytes, damaged, "its backups were read again");
            }
            (report.complete, false)
        }
        Err(error) => {
            warn!(phone = %udid, %error, "its backups cannot be read again to their end");
            (false, true)
        }
    };
    Ok(Some(Scrubbed {
        complete,
        failed,
        damaged,
    }))
}

fn damaged(store: &Store, udid: &Udid) -> Result<BTreeSet<BackupId>, StoreError> {
    let list = store.list(udid)?;
    let bad = list.into_iter().filter(|found| !found.verified);
    Ok(bad.map(|found| found.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_too_fast_is_waited_for() {
        let throttle = |taken| Throttle {
            since: Instant::now(),
            taken,
        };
        let secs = Duration::from_secs;
        for (taken, passed, owed) in [
            (0, 0, 0),
            (RATE * 10, 0, 10),
            (RATE * 10, 4, 6),
            (RATE * 10, 10, 0),
            (RATE * 10, 99, 0),
            (RATE / 10, 0, 0), // a fifth of a second is not worth a wait
        ] {
            assert_eq!(throttle(taken).owed(secs(passed)), secs(owed), "{taken}");
        }
    }

    #[test]
    fn whoever_waits_at_the_gate_is_told_at_once() {
        let gate = Arc::new(Gate::default());
        assert!(gate.pass(Duration::ZERO).is_break(), "it is shut at first");
        gate.set(State::Open);
        assert!(gate.pass(Duration::ZERO).is_continue());
        let waiting = Arc::clone(&gate);
        let waiter = std::thread::spawn(move || waiting.pass(Duration::from_secs(3_600)));
        gate.set(State::Shut);
        assert!(waiter.join().unwrap().is_break());
        gate.set(State::Ended);
        gate.set(State::Open);
        assert!(gate.pass(Duration::ZERO).is_break(), "an end is an end");
    }
}
