//! DeviceLink: frames of binary plists, and the raw frames of files between them.

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};

use super::BackupError;
use super::cut::{Cut, Cuttable};
use super::refusal::Refusal;

/// What DeviceLink says for "no value".
pub(super) const EMPTY: &str = "___EmptyParameterString___";
/// The largest plist accepted from a host, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const WRITE_BUFFER_BYTES: usize = 512 << 10;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why a request stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The phone answers with an error; the session goes on.
    Refuse(Refusal),
    /// The session is over.
    Fatal(BackupError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<BackupError> for Stop {
    fn from(error: BackupError) -> Self {
        Self::Fatal(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Fatal(error.into())
    }
}

/// A host's DLMessageStatusResponse.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) code: i64,
    pub(super) value: Value,
}

pub(super) struct Link<S> {
    stream: BufStream<Cuttable<S>>,
    /// Breaks the connection on demand.
    pub(super) cut: Cut,
    /// The bytes of the last reply that said "done, no value": most replies are the same.
    plain_ok: Vec<u8>,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Link<S> {
    pub(super) fn new(stream: S) -> Self {
        let cut = Cut::default();
        let stream = Cuttable {
            stream,
            cut: cut.clone(),
        };
        let stream = BufStream::with_capacity(READ_BUFFER_BYTES, WRITE_BUFFER_BYTES, stream);
        Self {
            stream,
            cut,
            plain_ok: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: Vec<Value>) -> Result<(), BackupError> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; 4]);
        plist::to_writer_binary(&mut self.buffer, &Value::Array(message))
            .map_err(|error| BackupError::Phone(error.to_string()))?;
        let len = u32::try_from(self.buffer.len() - 4)
            .map_err(|_| BackupError::Phone("a huge message".into()))?;
        if let Some(head) = self.buffer.get_mut(..4) {
            head.copy_from_slice(&len.to_be_bytes());
        }
        self.stream.write_all(&self.buffer).await?;
        self.stream.flush().await?;
        Ok(())
    }

    async fn frame(&mut self) -> Result<(), BackupError> {
        let len = self.stream.read_u32().await? as usize;
        if len > MESSAGE_BYTES_MAX {
            return Err(BackupError::Protocol(format!("a message of {len} bytes")));
        }
        self.buffer.clear();
        let read = (&mut self.stream)
            .take(len as u64)
            .read_to_end(&mut self.buffer)
            .await?;
        if read < len {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }

    fn decode(&self) -> Result<Vec<Value>, BackupError> {
        Value::from_reader(std::io::Cursor::new(&self.buffer))
            .ok()
            .and_then(Value::into_array)
            .ok_or_else(|| BackupError::Protocol("a message that is no plist array".into()))
    }

    /// Receives one message.
    pub(super) async fn receive(&mut self) -> Result<Vec<Value>, BackupError> {
        self.frame().await?;
        self.decode()
    }

    /// Receives one message, or `None` if the host closed the connection between two.
    pub(super) async fn receive_or_end(&mut self) -> Result<Option<Vec<Value>>, BackupError> {
        match self.receive().await {
            Err(BackupError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Receives the reply to a file operation.
    pub(super) async fn reply(&mut self) -> Result<Reply, BackupError> {
        self.frame().await?;
        if self.buffer == self.plain_ok {
            return Ok(Reply {
                code: 0,
                value: Value::String(EMPTY.into()),
            });
        }
        let message = self.decode()?;
        let name = message.first().and_then(Value::as_string).unwrap_or("");
        if name != "DLMessageStatusResponse" {
            return Err(BackupError::Protocol(format!(
                "\"{name}\" instead of a status response"
            )));
        }
        let code = message
            .get(1)
            .and_then(integer)
            .ok_or_else(|| BackupError::Protocol("a status response without a code".into()))?;
        let value = message
            .into_iter()
            .nth(3)
            .unwrap_or_else(|| Value::String(EMPTY.into()));
        if code == 0 && value.as_string() == Some(EMPTY) {
            self.plain_ok.clone_from(&self.buffer);
        }
        Ok(Reply { code, value })
    }

    /// Sends a file operation and receives its reply.
    pub(super) async fn ask(&mut self, message: Vec<Value>) -> Result<Reply, BackupError> {
        self.send(message).await?;
        self.reply().await
    }

    /// Writes raw bytes of a file transfer.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Writes a length and a text, as names are written in a file transfer.
    pub(super) async fn write_name(&mut self, name: &str) -> Result<(), BackupError> {
        let len =
            u32::try_from(name.len()).map_err(|_| BackupError::Phone("a huge name".into()))?;
        self.stream.write_u32(len).await?;
        self.write(name.as_bytes()).await
    }

    /// Writes one block: its length with the code, the code, the data.
    pub(super) async fn write_block(&mut self, code: u8, data: &[u8]) -> Result<(), BackupError> {
        let len =
            u32::try_from(data.len() + 1).map_err(|_| BackupError::Phone("a huge block".into()))?;
        let [a, b, c, d] = len.to_be_bytes();
        self.write(&[a, b, c, d, code]).await?;
        self.write(data).await
    }

    /// Writes the head of a block and only the first `rest` bytes of its data.
    pub(super) async fn write_cut_block(
        &mut self,
        code: u8,
        data: &[u8],
        rest: usize,
    ) -> Result<(), BackupError> {
        let len =
            u32::try_from(data.len() + 1).map_err(|_| BackupError::Phone("a huge block".into()))?;
        self.stream.write_u32(len).await?;
        self.stream.write_u8(code).await?;
        self.write(data.get(..rest).unwrap_or(data)).await?;
        self.flush().await
    }

    pub(super) async fn flush(&mut self) -> Result<(), BackupError> {
        Ok(self.stream.flush().await?)
    }

    pub(super) async fn read_u32(&mut self) -> Result<u32, BackupError> {
        Ok(self.stream.read_u32().await?)
    }

    pub(super) async fn read_u8(&mut self) -> Result<u8, BackupError> {
        Ok(self.stream.read_u8().await?)
    }

    pub(super) async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), BackupError> {
        self.stream.read_exact(buffer).await?;
        Ok(())
    }

    pub(super) async fn shutdown(&mut self) -> Result<(), BackupError> {
        Ok(self.stream.shutdown().await?)
    }
}

/// Reads an integer; some hosts send negative codes as unsigned 64-bit numbers.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value
        .as_signed_integer()
        .or_else(|| value.as_unsigned_integer().map(u64::cast_signed))
}

/// Makes a dictionary.
pub(super) fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// Makes an empty dictionary.
pub(super) fn nothing() -> Value {
    Value::Dictionary(Dictionary::new())
}
