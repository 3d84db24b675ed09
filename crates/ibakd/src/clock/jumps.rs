//! The kernel's word that the clock was set or that the computer woke: a timer that never comes and
//! is cancelled by either (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`).

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// Never: the year 2262.
const NEVER_SECS: i64 = 9_223_372_036;

/// Calls `jumped` each time; returns only when the kernel cannot tell.
pub(super) async fn listen(jumped: impl Fn()) -> std::io::Error {
    match try_listen(jumped).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_listen(jumped: impl Fn()) -> std::io::Result<std::convert::Infallible> {
    let timer = arm()?;
    loop {
        let mut ready = timer.readable().await?;
        let mut count = [0; 8];
        match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?)) {
            // It was cancelled, and is armed against the next time by itself.
            Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::CANCELED) => jumped(),
            // Nobody set it to a year that comes.
            Ok(Ok(_)) => jumped(),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
}

#[expect(
    deprecated,
    reason = "it owns its descriptor; what replaces it is unsafe"
)]
fn arm() -> std::io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    let never = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: NEVER_SECS,
            tv_nsec: 0,
        },
    };
    let how = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(&timer, how, &never)?;
    AsyncFd::new(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_takes_the_timer_and_does_not_ring_without_a_reason() {
        let timer = arm().unwrap();
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, timer.readable()).await.is_err());
    }
}
