//! The two clocks, behind one door so that tests may hold the hands.

use ibak_core::{Monotonic, Now, Wall};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Tells the time to the whole daemon.
#[derive(Clone, Debug)]
pub struct Clock(Hands);

#[derive(Clone, Debug)]
enum Hands {
    System { origin: Instant },
    Manual(Arc<watch::Sender<Now>>),
}

impl Clock {
    /// Makes the computer's own clock.
    pub fn system() -> Self {
        Self(Hands::System {
            origin: Instant::now(),
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
                monotonic: Monotonic::new(origin.elapsed()),
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

    /// Returns once the monotonic hand has reached `deadline`.
    pub async fn sleep_until(&self, deadline: Monotonic) {
        match &self.0 {
            Hands::System { origin } => {
                tokio::time::sleep_until((*origin + deadline.since_origin()).into()).await;
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
