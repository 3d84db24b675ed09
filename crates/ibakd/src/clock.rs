//! The two clocks, behind one door so that tests may hold the hands, and the house's local time.
//!
//! The monotonic hand goes on while the computer sleeps (`CLOCK_BOOTTIME`): what was read before is
//! old afterwards. No timer of the runtime does, so whoever waits looks at the clock again when the
//! computer wakes or its clock is set, of which the kernel tells; and now and then all the same.

mod jumps;
mod local;

pub use local::local_day;

use ibak_core::{Monotonic, Now, Wall, Zone};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Longest sleep without a look at the clock.
const SLICE: Duration = Duration::from_secs(900);

/// Tells the time to the whole daemon.
#[derive(Clone, Debug)]
pub struct Clock {
    hands: Hands,
    /// Counts how often the computer woke or its clock was set.
    jumps: Arc<watch::Sender<u64>>,
    /// The rules of local time; `None` for the computer's own.
    zone: Option<jiff::tz::TimeZone>,
}

#[derive(Clone, Debug)]
enum Hands {
    System { origin: Duration },
    Manual(Arc<watch::Sender<Now>>),
}

impl Clock {
    /// Makes the computer's own clock.
    pub fn system() -> Self {
        Self::of(Hands::System {
            origin: since_boot(),
        })
    }

    /// Makes a clock that moves only by [`Clock::advance`], starting at `wall`.
    pub fn manual(wall: Wall) -> Self {
        let start = Now {
            monotonic: Monotonic::new(Duration::from_secs(1)),
            wall,
        };
        Self::of(Hands::Manual(Arc::new(watch::Sender::new(start))))
    }

    fn of(hands: Hands) -> Self {
        Self {
            hands,
            jumps: Arc::new(watch::Sender::new(0)),
            zone: None,
        }
    }

    /// Has local time follow these rules instead of the computer's.
    #[must_use]
    pub fn in_zone(self, zone: jiff::tz::TimeZone) -> Self {
        Self {
            zone: Some(zone),
            ..self
        }
    }

    /// Returns the present moment.
    pub fn now(&self) -> Now {
        match &self.hands {
            Hands::System { origin } => Now {
                monotonic: Monotonic::new(since_boot().saturating_sub(*origin)),
                wall: Wall::from_micros(wall_micros(SystemTime::now())),
            },
            Hands::Manual(sender) => *sender.borrow(),
        }
    }

    /// Returns how long this computer has slept since it was switched on.
    pub fn slept(&self) -> Duration {
        match &self.hands {
            Hands::System { .. } => {
                since_boot().saturating_sub(read(rustix::time::ClockId::Monotonic))
            }
            Hands::Manual(_) => Duration::ZERO,
        }
    }

    /// Reads how local time follows from UTC, for two years before and after the present.
    pub fn zone(&self) -> Zone {
        let around = self.now().wall;
        match &self.zone {
            Some(zone) => local::table(zone, around),
            None => local::table(&local::of_computer(), around),
        }
    }

    /// Moves a manual clock on by `step` on both hands; does nothing to the computer's own.
    pub fn advance(&self, step: Duration) {
        if let Hands::Manual(sender) = &self.hands {
            sender.send_modify(|now| {
                now.monotonic = now.monotonic + step;
                now.wall = now.wall + step;
            });
        }
    }

    /// Sets the wall hand of a manual clock, as a person or a time server does; does nothing to the
    /// computer's own.
    pub fn set(&self, wall: Wall) {
        if let Hands::Manual(sender) = &self.hands {
            sender.send_modify(|now| now.wall = wall);
            self.jumped();
        }
    }

    /// Returns what changes when the computer wakes or its clock is set.
    pub fn jumps(&self) -> watch::Receiver<u64> {
        self.jumps.subscribe()
    }

    /// Has everybody who waits look at the clock.
    pub fn jumped(&self) {
        self.jumps
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears from the kernel, for ever, when the computer wakes or its clock is set.
    pub async fn listen(&self) {
        match &self.hands {
            Hands::System { .. } => {
                let error = jumps::listen(|| self.jumped()).await;
                tracing::warn!(%error, "nobody tells when the clock is set; it is looked at every 15 minutes");
            }
            Hands::Manual(_) => {}
        }
        std::future::pending().await
    }

    /// Returns once the monotonic hand has reached `deadline`.
    pub async fn sleep_until(&self, deadline: Monotonic) {
        match &self.hands {
            Hands::System { .. } => {
                let mut jumps = self.jumps();
                loop {
                    let left = deadline.saturating_since(self.now().monotonic);
                    if left.is_zero() {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(left.min(SLICE)) => {}
                        // The sender lives in `self`.
                        _ = jumps.changed() => {}
                    }
                }
            }
            Hands::Manual(sender) => {
                let mut receiver = sender.subscribe();
                // The sender lives in `self`, so waiting ends only by reaching the deadline.
                if receiver
                    .wait_for(|now| now.monotonic >= deadline)
                    .await
                    .is_err()
                {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Returns once the wall hand has reached `at`, wherever it is set meanwhile.
    pub async fn sleep_until_wall(&self, at: Wall) {
        let mut jumps = self.jumps();
        loop {
            let now = self.now();
            let left = at.saturating_since(now.wall);
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = self.sleep_until(now.monotonic + left.min(SLICE)) => {}
                _ = jumps.changed() => {}
            }
        }
    }
}

fn since_boot() -> Duration {
    read(rustix::time::ClockId::Boottime)
}

fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Converts the system's time to microseconds since 1970, saturating.
pub fn wall_micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
        }
    }
}

/// Converts wall time to the system's time, 1970 at the earliest.
pub fn system_time(wall: Wall) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(wall.as_micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_computers_clock_reaches_a_deadline() {
        let clock = Clock::system();
        let start = clock.now().monotonic;
        let deadline = start + Duration::from_millis(20);
        clock.sleep_until(deadline).await;
        assert!(clock.now().monotonic >= deadline);
        clock.sleep_until(start).await;
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_and_only_then() {
        let clock = Clock::manual(Wall::from_secs(1_000));
        let deadline = clock.now().monotonic + Duration::from_secs(60);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(deadline).await }
        });
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(clock.now().wall, Wall::from_secs(1_060));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_time_of_day_sees_the_clock_being_set() {
        let clock = Clock::manual(Wall::from_secs(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until_wall(Wall::from_secs(90_000)).await }
        });
        clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.set(Wall::from_secs(90_000));
        sleeper.await.unwrap();
    }
}
