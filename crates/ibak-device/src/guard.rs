//! A wall under every stream that the phone library reads.
//!
//! The library allocates what a header claims and hands the bytes to a parser that expands
//! shared references. This reader lets a message through only after it was received whole and
//! found to be within the limits of security.md. AFC packets are not property lists; of them
//! the header is checked and the rest is passed on as it comes.

use crate::wire::{READ_STEP, refusal};
use ibak_core::plist_guard::{self, Limits};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `CFA6LPAA` as a little-endian number, at the head of every AFC packet.
const AFC_MAGIC: u64 = 0x4141_504c_3641_4643;
const AFC_HEAD: usize = 40;
const HEAD_MAX: usize = AFC_HEAD;

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A big-endian length of 4 bytes, then a property list.
    Plist,
    /// AFC packets: a header of 40 bytes with two lengths.
    Afc,
}

impl Framing {
    const fn head_len(self) -> usize {
        match self {
            Self::Plist => 4,
            Self::Afc => AFC_HEAD,
        }
    }
}

/// A stream whose reads are checked message by message; writes pass.
#[derive(Debug)]
pub struct PlistGuard<S> {
    inner: S,
    framing: Framing,
    limits: Limits,
    /// Bytes of messages that may still come in all.
    left: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Head {
        bytes: [u8; HEAD_MAX],
        have: usize,
    },
    Body {
        frame: Vec<u8>,
        have: usize,
        len: usize,
    },
    Release {
        frame: Vec<u8>,
        at: usize,
    },
    Pass {
        left: u64,
    },
    Closed,
}

impl State {
    const START: Self = Self::Head {
        bytes: [0; HEAD_MAX],
        have: 0,
    };
}

impl<S> PlistGuard<S> {
    /// Puts the wall before `inner`.
    pub const fn new(inner: S, framing: Framing, limits: Limits) -> Self {
        Self {
            inner,
            framing,
            limits,
            left: u64::MAX,
            state: State::START,
        }
    }

    /// Limits the messages of the whole conversation to `bytes_max` in all.
    #[must_use]
    pub const fn total(mut self, bytes_max: u64) -> Self {
        self.left = bytes_max;
        self
    }

    /// Takes a message of `bytes` off the total.
    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| refusal("more messages than fit the total"))?;
        Ok(())
    }

    /// Checks a whole head and says what follows it.
    fn after_head(&mut self, bytes: &[u8; HEAD_MAX]) -> io::Result<State> {
        let head = bytes.get(..self.framing.head_len()).unwrap_or_default();
        match self.framing {
            Framing::Plist => {
                let len = be_u32(head);
                if len > self.limits.bytes_max {
                    return Err(refusal(format!("a message of {len} bytes")));
                }
                self.spend(len as u64)?;
                Ok(State::Body {
                    frame: head.to_vec(),
                    have: head.len(),
                    len: head.len() + len,
                })
            }
            Framing::Afc => {
                let (whole, first) = (le_u64(head, 8), le_u64(head, 16));
                if le_u64(head, 0) != AFC_MAGIC {
                    return Err(refusal("an AFC packet without its magic number"));
                }
                let head_len = AFC_HEAD as u64;
                if first < head_len || whole < first || whole > self.limits.bytes_max as u64 {
                    return Err(refusal(format!(
                        "an AFC packet of {whole} bytes with a head of {first}"
                    )));
                }
                self.spend(whole)?;
                // The head first, then the rest unbuffered: `Release` falls through to `Pass`.
                Ok(State::Release {
                    frame: head.to_vec(),
                    at: 0,
                })
            }
        }
    }

    /// Says what follows a frame (or an AFC head) that was handed over.
    fn after_release(&self, frame: &[u8]) -> State {
        match self.framing {
            Framing::Plist => State::START,
            Framing::Afc => match le_u64(frame, 8).saturating_sub(AFC_HEAD as u64) {
                0 => State::START,
                left => State::Pass { left },
            },
        }
    }
}

fn be_u32(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(4)
        .fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

fn le_u64(bytes: &[u8], at: usize) -> u64 {
    bytes
        .iter()
        .skip(at)
        .take(8)
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Reads once into `space` and says how many bytes came.
fn poll_some<S: AsyncRead + Unpin>(
    inner: &mut S,
    cx: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(space);
    ready!(Pin::new(inner).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

impl<S: AsyncRead + Unpin> AsyncRead for PlistGuard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match this.poll_step(cx, out) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Step::Again)) => {}
                Poll::Ready(Ok(Step::Done)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => {
                    this.state = State::Closed;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

enum Step {
    Again,
    Done,
}

impl<S: AsyncRead + Unpin> PlistGuard<S> {
    fn poll_step(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        match &mut self.state {
            State::Closed => Poll::Ready(Err(refusal("the stream was closed by its guard"))),
            State::Head { .. } => self.poll_head(cx),
            State::Body { .. } => self.poll_body(cx),
            State::Release { frame, at } => {
                let rest = frame.get(*at..).unwrap_or_default();
                let part = rest
                    .get(..rest.len().min(out.remaining()))
                    .unwrap_or_default();
                out.put_slice(part);
                *at += part.len();
                if *at == frame.len() {
                    let frame = std::mem::take(frame);
                    self.state = self.after_release(&frame);
                }
                Poll::Ready(Ok(Step::Done))
            }
            State::Pass { left } => {
                let space = out.initialize_unfilled();
                let most = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(space.len());
                let space = space.get_mut(..most).unwrap_or_default();
                let got = some(ready!(poll_some(&mut self.inner, cx, space))?)?;
                out.advance(got);
                *left -= got as u64;
                if *left == 0 {
                    self.state = State::START;
                }
                Poll::Ready(Ok(Step::Done))
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let head_len = self.framing.head_len();
        let State::Head { bytes, have } = &mut self.state else {
            return Poll::Ready(Ok(Step::Again));
        };
        let space = bytes.get_mut(*have..head_len).unwrap_or_default();
        let got = ready!(poll_some(&mut self.inner, cx, space))?;
        if got == 0 && *have == 0 {
            return Poll::Ready(Ok(Step::Done));
        }
        *have += some(got)?;
        if *have == head_len {
            let bytes = *bytes;
            self.state = self.after_head(&bytes)?;
        }
        Poll::Ready(Ok(Step::Again))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let head_len = self.framing.head_len();
        let State::Body { frame, have, len } = &mut self.state else {
            return Poll::Ready(Ok(Step::Again));
        };
        if *have == *len {
            let body = frame.get(head_len..).unwrap_or_default();
            plist_guard::check(body, &self.limits).map_err(|error| refusal(error.to_string()))?;
            self.state = State::Release {
                frame: std::mem::take(frame),
                at: 0,
            };
            return Poll::Ready(Ok(Step::Again));
        }
        if frame.len() == *have {
            frame.resize((*len).min(*have + READ_STEP), 0);
        }
        let space = frame.get_mut(*have..).unwrap_or_default();
        *have += some(ready!(poll_some(&mut self.inner, cx, space))?)?;
        Poll::Ready(Ok(Step::Again))
    }
}

/// In the middle of a message nothing means that the rest will not come.
fn some(got: usize) -> io::Result<usize> {
    if got == 0 {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Ok(got)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PlistGuard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
