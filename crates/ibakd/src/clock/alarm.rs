//! A long wait that wakes the machine once. The runtime's own timers wake it up to four times for
//! each, on the way through their wheel, and stand still while the computer sleeps.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Shorter waits are the runtime's.
const LONG: Duration = Duration::from_secs(5);

/// Waits so long, counting the time that the computer sleeps, or a moment less.
pub(super) async fn sleep(left: Duration, slice: Duration) {
    if left >= LONG {
        match ring(left).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "the kernel has no timer for us"),
        }
    }
    tokio::time::sleep(left.min(slice)).await;
}

#[expect(
    deprecated,
    reason = "it owns its descriptor; what replaces it is unsafe"
)]
async fn ring(left: Duration) -> std::io::Result<()> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
    let once = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::from(u32::MAX)),
            tv_nsec: i64::from(left.subsec_nanos()),
        },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
    AsyncFd::new(timer)?.readable().await?.retain_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_when_it_is_due_and_not_before() {
        let begun = std::time::Instant::now();
        ring(Duration::from_millis(30)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(30));
        let far = ring(Duration::from_secs(3_600));
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, far).await.is_err());
    }
}
