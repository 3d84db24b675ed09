//! The two clocks, behind one door so that tests may hold the hands.
//!
//! The monotonic hand goes on while the computer sleeps (`CLOCK_BOOTTIME`): what was read before is
//! old afterwards. No timer of the runtime does, so a long wait looks at the clock now and then.

use ibak_core::{Day, Monotonic, Now, Wall};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Longest sleep without a look at the clock.
const SLICE: Duration = Duration::from_secs(60);

/// Tells the time to the whole daemon.
#[derive(Clone, Debug)]
pub struct Clock(Hands);

#[derive(Clone, Debug)]
enum Hands {
    System { origin: Duration },
    Manual(Arc<watch::Sender<Now>>),
}

impl Clock {
    /// Makes the computer's own clock.
    pub fn system() -> Self {
        Self(Hands::System {
            origin: since_boot(),
        })
    }

    /// Makes a clock that moves only by [`Clock::advance`], starting at `wall`.
    pub fn manual(wall: Wall) -> Self {
        let start = Now {
            monotonic: Monotonic::new(Duration::from_secs(1)),
            wall,
        };
        Self(Hands::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// Returns the present moment.
    pub fn now(&self) -> Now {
        match &self.0 {
            Hands::System { origin } => Now {
                monotonic: Monotonic::new(since_boot().saturating_sub(*origin)),
                wall: Wall::from_micros(wall_micros(SystemTime::now())),
            },
            Hands::Manual(sender) => *sender.borrow(),
        }
    }

    /// Moves a manual clock on by `step` on both hands; does nothing to the computer's own.
    pub fn advance(&self, step: Duration) {
        if let Hands::Manual(sender) = &self.0 {
            sender.send_modify(|now| {
                now.monotonic = now.monotonic + step;
                now.wall = now.wall + step;
            });
        }
    }

    /// Sets the wall hand of a manual clock alone, as a person does; does nothing to the computer's
    /// own.
    pub fn set_wall(&self, wall: Wall) {
        if let Hands::Manual(sender) = &self.0 {
            sender.send_modify(|now| now.wall = wall);
        }
    }

    /// Returns once the monotonic hand has reached `deadline`.
    pub async fn sleep_until(&self, deadline: Monotonic) {
        match &self.0 {
            Hands::System { .. } => loop {
                let left = deadline.saturating_since(self.now().monotonic);
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLICE)).await;
            },
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
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
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

/// Returns the day on which a moment falls where this computer is.
pub fn local_day(at: Wall) -> Day {
    let zone = jiff::tz::TimeZone::system();
    let local = jiff::Timestamp::from_microsecond(at.as_micros())
        .map(|stamp| zone.to_datetime(stamp).date());
    let utc = at.as_secs().div_euclid(86_400);
    let days = match local {
        Ok(date) => date
            .since(jiff::civil::Date::new(1970, 1, 1).unwrap_or_default())
            .map_or(utc, |span| i64::from(span.get_days())),
        Err(_) => utc,
    };
    Day(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }))
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
}
