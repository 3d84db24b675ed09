//! A connection that breaks on demand, after so many bytes in a phase.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::BackupError;

/// Where a connection breaks: bytes on the wire, both ways together.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    armed: AtomicBool,
    left: AtomicU64,
    fired: AtomicBool,
}

impl Cut {
    /// Breaks the connection once so many more bytes went over it.
    pub(super) fn after(&self, bytes: u64) {
        self.0.left.store(bytes, Ordering::Relaxed);
        self.0.armed.store(true, Ordering::Relaxed);
    }

    /// Tells whether the connection was broken on demand.
    pub(super) fn fired(&self) -> bool {
        self.0.fired.load(Ordering::Relaxed)
    }

    /// Breaks a connection over which no byte more may go, even if none is due.
    pub(super) fn check(&self) -> Result<(), BackupError> {
        match self.allow(1) {
            Ok(_) => Ok(()),
            Err(_) => Err(BackupError::Dropped),
        }
    }

    /// Returns how many of `wanted` bytes may pass; none breaks the connection.
    fn allow(&self, wanted: usize) -> io::Result<usize> {
        if !self.0.armed.load(Ordering::Relaxed) || wanted == 0 {
            return Ok(wanted);
        }
        match self.0.left.load(Ordering::Relaxed) {
            0 => {
                self.0.fired.store(true, Ordering::Relaxed);
                Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "dropped on demand",
                ))
            }
            left => Ok(usize::try_from(left).unwrap_or(usize::MAX).min(wanted)),
        }
    }

    fn passed(&self, bytes: usize) {
        if self.0.armed.load(Ordering::Relaxed) {
            self.0.left.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }
}

/// A stream that obeys a [`Cut`].
#[derive(Debug)]
pub(super) struct Cuttable<S> {
    pub(super) stream: S,
    pub(super) cut: Cut,
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let allowed = match self.cut.allow(buf.remaining()) {
            Ok(allowed) => allowed,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if allowed >= buf.remaining() {
            let before = buf.filled().len();
            let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
            self.cut.passed(buf.filled().len() - before);
            return polled;
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(allowed));
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let came = part.filled().len();
        buf.advance(came);
        self.cut.passed(came);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = match self.cut.allow(buf.len()) {
            Ok(allowed) => allowed,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let part = buf.get(..allowed).unwrap_or(buf);
        let written = Pin::new(&mut self.stream).poll_write(cx, part);
        if let Poll::Ready(Ok(written)) = written {
            self.cut.passed(written);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn so_many_bytes_pass_both_ways_and_not_one_more() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let cut = Cut::default();
        let mut stream = Cuttable {
            stream: ours,
            cut: cut.clone(),
        };
        stream.write_all(b"free").await.unwrap();
        cut.after(5);
        theirs.write_all(b"abc").await.unwrap();
        let mut three = [0; 3];
        stream.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"abc");
        assert!(stream.write_all(b"1234").await.is_err());
        assert!(cut.fired());
        drop(stream);
        let mut came = Vec::new();
        theirs.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"free12");
    }
}
