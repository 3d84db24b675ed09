//! Cancelling and dropping at every await.

use crate::phone::{assert_tidy, recorded, request};
use crate::vault::{DirVault, contents};
use ibak_mobilebackup2::{Hooks, Limits, Outcome, converse};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Gives the recorded bytes in small pieces, swallows what is written, and acts on the N-th poll.
struct Counting {
    bytes: Vec<u8>,
    at: usize,
    polls: usize,
    act_on: usize,
    cancel: CancellationToken,
    /// Whether the N-th poll and all later ones say "pending" without cancelling.
    hangs: bool,
}

impl Counting {
    fn new(act_on: usize, cancel: CancellationToken, hangs: bool) -> Self {
        Self {
            bytes: recorded().0,
            at: 0,
            polls: 0,
            act_on,
            cancel,
            hangs,
        }
    }

    fn poll(&mut self, waker: &Waker) -> bool {
        self.polls += 1;
        if self.polls <= self.act_on {
            return false;
        }
        if !self.hangs {
            self.cancel.cancel();
            waker.wake_by_ref();
        }
        true
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll(cx.waker()) {
            return Poll::Pending;
        }
        let len = 37.min(buf.remaining()).min(self.bytes.len() - self.at);
        let part = self.bytes[self.at..self.at + len].to_vec();
        buf.put_slice(&part);
        self.at += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.poll(cx.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(buf.len().min(50)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll(cx.waker()) {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.timeouts.farewell = Duration::from_millis(1);
    limits
}

#[tokio::test]
async fn a_cancel_at_every_poll_ends_cancelled_and_tidy() {
    for act_on in 0.. {
        let cancel = CancellationToken::new();
        let stream = Counting::new(act_on, cancel.clone(), false);
        let ended = converse(
            stream,
            DirVault::new(),
            request(false),
            Hooks::default(),
            &limits(),
            cancel,
        )
        .await;
        assert_tidy(&ended);
        if ended.outcome == Outcome::Finished {
            assert!(act_on > 50, "{act_on}");
            break;
        }
        assert_eq!(ended.outcome, Outcome::Cancelled, "{act_on}");
    }
}

#[tokio::test]
async fn a_dropped_session_drops_the_vault_tidily() {
    let mut whole = 0;
    for act_on in (0..400).step_by(3) {
        let vault = DirVault::new();
        let (dir, log) = (Arc::clone(&vault.dir), Arc::clone(&vault.log));
        let cancel = CancellationToken::new();
        let stream = Counting::new(act_on, cancel.clone(), true);
        let limits = limits();
        let mut session = Box::pin(converse(
            stream,
            vault,
            request(false),
            Hooks::default(),
            &limits,
            cancel,
        ));
        // Runs until the stream hangs: whatever the vault still does is then under way.
        let ended = tokio::time::timeout(Duration::from_millis(20), &mut session).await;
        drop(session);
        whole += usize::from(ended.is_ok());
        drop(ended);
        while !log.lock().unwrap().is_dropped {
            tokio::task::yield_now().await;
        }
        for name in contents(dir.path()).keys() {
            assert!(!name.ends_with(".part"), "{name} after {act_on} polls");
        }
    }
    assert!(whole < 134, "no session was dropped in the middle");
}

#[tokio::test]
async fn a_cancel_before_the_start_ends_at_once() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (host, _device) = tokio::io::duplex(64);
    let ended = converse(
        host,
        DirVault::new(),
        request(false),
        Hooks::default(),
        &limits(),
        cancel,
    )
    .await;
    assert_eq!(ended.outcome, Outcome::Cancelled);
}
