//! Property lists on the wire: a big-endian length and one plist, as lockdown and most services
//! speak it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The longest message the phone reads, in bytes.
const MESSAGE_LEN_MAX: usize = 16 << 20;

/// Any two-way stream.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A two-way stream of a kind that does not matter.
pub type BoxIo = Box<dyn Io>;

/// Writes a value as Apple does: XML, sorted keys, tabs, a newline at the end.
pub(crate) fn to_xml(value: &Value) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    sorted(value)
        .to_writer_xml(&mut bytes)
        .map_err(io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn sorted(value: &Value) -> Value {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign, non-exhaustive enum"
    )]
    match value {
        Value::Dictionary(dict) => {
            let mut pairs: Vec<_> = dict
                .iter()
                .map(|(key, inner)| (key.clone(), sorted(inner)))
                .collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Dictionary(pairs.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Parses a plist of either kind.
pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Value> {
    Value::from_reader(io::Cursor::new(bytes))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads one message; `None` when the peer closed between messages.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Value>> {
    let mut header = [0_u8; 4];
    match stream.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(header) as usize;
    if length > MESSAGE_LEN_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes is too long"),
        ));
    }
    let mut body = vec![0_u8; length];
    stream.read_exact(&mut body).await?;
    from_bytes(&body).map(Some)
}

/// Reads one message that must be a dictionary; `None` when the peer closed.
pub(crate) async fn read_dict<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> io::Result<Option<Dictionary>> {
    match read(stream).await? {
        Some(value) => value.into_dictionary().map(Some).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "a message is not a dictionary")
        }),
        None => Ok(None),
    }
}

/// Writes one message as XML, header and body in one write.
pub(crate) async fn write<S: AsyncWrite + Unpin>(stream: &mut S, value: &Value) -> io::Result<()> {
    let body = to_xml(value)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Makes a dictionary from pairs.
pub(crate) fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Dictionary(
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// A stream whose writing side is not closed by a TLS layer on top of it.
///
/// After StopSession a lockdown connection goes on in plain text over the same socket.
pub(crate) struct KeepOpen<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> AsyncRead for KeepOpen<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for KeepOpen<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_survive_the_wire_in_xml_and_in_binary() {
        let message = dict([("Request", "QueryType".into()), ("N", 3.into())]);
        let mut bytes = Vec::new();
        write(&mut bytes, &message).await.unwrap();
        assert_eq!(
            read(&mut bytes.as_slice()).await.unwrap(),
            Some(sorted(&message))
        );

        let mut binary = Vec::new();
        message.to_writer_binary(&mut binary).unwrap();
        let mut frame = u32::try_from(binary.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(binary);
        assert_eq!(read(&mut frame.as_slice()).await.unwrap(), Some(message));
    }

    #[tokio::test]
    async fn an_end_between_messages_is_no_error_and_within_one_is() {
        assert_eq!(read(&mut [].as_slice()).await.unwrap(), None);
        assert!(read(&mut [0, 0, 0, 9, 1].as_slice()).await.is_err());
        assert!(read(&mut [255, 0, 0, 0].as_slice()).await.is_err());
    }
}
