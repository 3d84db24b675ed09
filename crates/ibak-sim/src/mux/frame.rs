//! usbmuxd's frames: 16 bytes of header (length, version, message, tag; little-endian) and a plist.

use std::io;

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::wire;

const HEADER_LEN: u32 = 16;
/// The longest request, in bytes; a pair record has about 10 KiB.
const FRAME_LEN_MAX: u32 = 1 << 20;
const VERSION_PLIST: u32 = 1;
const MESSAGE_RESULT: u32 = 1;
const MESSAGE_PLIST: u32 = 8;

/// The numbers of a Result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Ok = 0,
    BadCommand = 1,
    /// Also ENOENT, which is what a missing pair record gives.
    BadDevice = 2,
    ConnectionRefused = 3,
    BadVersion = 6,
    /// EINVAL: a pair record without its parts.
    Invalid = 22,
}

/// A request.
pub(super) enum Request {
    Plist {
        tag: u32,
        message: Dictionary,
    },
    /// Not the plist version of the protocol.
    OtherVersion {
        tag: u32,
    },
}

pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Request>> {
    let mut header = [0_u8; HEADER_LEN as usize];
    match stream.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let field = |at: usize| {
        header
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let (length, version, message, tag) = (field(0), field(4), field(8), field(12));
    if !(HEADER_LEN..=FRAME_LEN_MAX).contains(&length) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a usbmuxd frame",
        ));
    }
    let mut body = vec![0_u8; (length - HEADER_LEN) as usize];
    stream.read_exact(&mut body).await?;
    if version != VERSION_PLIST || message != MESSAGE_PLIST {
        return Ok(Some(Request::OtherVersion { tag }));
    }
    let message = wire::from_bytes(&body)?.into_dictionary().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a request is not a dictionary")
    })?;
    Ok(Some(Request::Plist { tag, message }))
}

pub(super) async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    tag: u32,
    message: &Value,
) -> io::Result<()> {
    let body = wire::to_xml(message)?;
    send(stream, [VERSION_PLIST, MESSAGE_PLIST, tag], &body).await
}

pub(super) async fn write_result<S: AsyncWrite + Unpin>(
    stream: &mut S,
    tag: u32,
    number: Number,
) -> io::Result<()> {
    let result = wire::dict([
        ("MessageType", "Result".into()),
        ("Number", (number as u64).into()),
    ]);
    write(stream, tag, &result).await
}

/// Refuses the binary version of the protocol in its own words.
pub(super) async fn write_bad_version<S: AsyncWrite + Unpin>(
    stream: &mut S,
    tag: u32,
) -> io::Result<()> {
    send(
        stream,
        [0, MESSAGE_RESULT, tag],
        &(Number::BadVersion as u32).to_le_bytes(),
    )
    .await
}

async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    fields: [u32; 3],
    body: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)? + HEADER_LEN;
    let mut frame = length.to_le_bytes().to_vec();
    for field in fields {
        frame.extend(field.to_le_bytes());
    }
    frame.extend(body);
    stream.write_all(&frame).await?;
    stream.flush().await
}
