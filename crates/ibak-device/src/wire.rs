//! Property lists on a stream: a big-endian length, then the list, checked before it is parsed.

use crate::DeviceError;
use ibak_core::plist_guard::{self, Limits};
use plist::{Dictionary, Value};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// A byte stream to a phone: a socket, or TLS over one.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> Stream for T {}

/// How much of a frame is asked for at a time, whatever its header claims; in bytes.
pub(crate) const READ_STEP: usize = 64 << 10;

/// Runs `work` under a deadline and names it when it is late.
pub(crate) async fn within<T>(
    what: &'static str,
    after: Duration,
    work: impl Future<Output = Result<T, DeviceError>>,
) -> Result<T, DeviceError> {
    match tokio::time::timeout(after, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(DeviceError::TimedOut { what, after }),
    }
}

/// Writes `message` as XML, in buffers that are wiped.
pub(crate) fn xml(what: &'static str, message: &Value) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(32 << 10));
    message
        .to_writer_xml(&mut *bytes)
        .map_err(|error| DeviceError::Protocol {
            what,
            reason: format!("the request cannot be written: {error}"),
        })?;
    Ok(bytes)
}

/// Sends one framed list.
pub(crate) async fn send<S: Stream + ?Sized>(
    what: &'static str,
    stream: &mut S,
    message: &Value,
) -> Result<(), DeviceError> {
    let body = xml(what, message)?;
    let len = u32::try_from(body.len()).map_err(|_| DeviceError::Protocol {
        what,
        reason: "the request is too long".into(),
    })?;
    let mut frame = Zeroizing::new(Vec::with_capacity(body.len() + 4));
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&body);
    stream
        .write_all(&frame)
        .await
        .map_err(DeviceError::io(what))?;
    stream.flush().await.map_err(DeviceError::io(what))
}

/// Receives one framed list; memory grows with what arrives, not with what is announced.
pub(crate) async fn receive<S: Stream + ?Sized>(
    what: &'static str,
    stream: &mut S,
    limits: &Limits,
) -> Result<Dictionary, DeviceError> {
    let mut head = [0; 4];
    stream
        .read_exact(&mut head)
        .await
        .map_err(DeviceError::io(what))?;
    let len = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    let body = receive_body(what, stream, len, limits).await?;
    parse(what, &body, limits)
}

/// Receives `len` bytes, step by step.
pub(crate) async fn receive_body<S: Stream + ?Sized>(
    what: &'static str,
    stream: &mut S,
    len: usize,
    limits: &Limits,
) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
    if len > limits.bytes_max {
        return Err(DeviceError::refused(
            what,
            format!("a message of {len} bytes"),
        ));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(len.min(READ_STEP)));
    while body.len() < len {
        let start = body.len();
        let end = len.min(start + READ_STEP);
        body.resize(end, 0);
        let (_, space) = body.split_at_mut(start);
        stream
            .read_exact(space)
            .await
            .map_err(DeviceError::io(what))?;
    }
    Ok(body)
}

/// Checks, then parses a dictionary.
pub(crate) fn parse(
    what: &'static str,
    body: &[u8],
    limits: &Limits,
) -> Result<Dictionary, DeviceError> {
    plist_guard::check(body, limits)
        .map_err(|error| DeviceError::refused(what, error.to_string()))?;
    let value: Value = plist::from_bytes(body).map_err(|error| DeviceError::Protocol {
        what,
        reason: format!("not a property list: {error}"),
    })?;
    value
        .into_dictionary()
        .ok_or_else(|| DeviceError::Protocol {
            what,
            reason: "the answer is not a dictionary".into(),
        })
}

/// Is what a guard says when it closes a stream; travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// Makes the I/O error that a refused frame becomes.
pub(crate) fn refusal(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Refusal(reason.into()))
}
