//! Giving files to the phone.

use crate::batch::Batch;
use crate::link::Stop;
use crate::message::{self, MULTI_STATUS};
use crate::session::Session;
use crate::writer::Writer;
use crate::{Limits, Vault, VaultError};
use plist::{Dictionary, Value};
use std::io::{self, Read};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// Length and code before a block.
const HEADER_BYTES: usize = 5;
const CODE_DATA: u8 = 0x0c;
/// A block that says that the file is complete.
const DONE: [u8; HEADER_BYTES] = [0, 0, 0, 1, 0x00];
const CODE_ERROR: u8 = 0x06;

type Reader = Box<dyn Read + Send>;
/// A filled buffer on its way back: the reader, the buffer, and how it went.
type Filled = (Reader, Batch, io::Result<Chunk>);

/// What a buffer was filled with.
#[derive(Clone, Copy)]
struct Chunk {
    /// Bytes of content, without the headers.
    content: usize,
    /// Whether the file ends here.
    is_last: bool,
}

impl<S, V> Session<'_, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    V: Vault,
{
    /// Sends each file, or why not, and returns the answer for all of them.
    pub(crate) async fn send_files(&mut self, paths: Vec<String>) -> Result<Value, Stop> {
        let mut failed = Dictionary::new();
        for wire in paths {
            if let Err(error) = self.send_file(&wire).await? {
                failed.insert(wire, message::file_error(&error));
                self.note(error);
            }
        }
        self.link.write(&[0; 4]).await?;
        Ok(if failed.is_empty() {
            message::status_ok(message::nothing())
        } else {
            message::status(MULTI_STATUS, "Multi status", failed.into())
        })
    }

    async fn send_file(&mut self, wire: &str) -> Result<Result<(), VaultError>, Stop> {
        let Ok(len) = u32::try_from(wire.len()) else {
            return Err(Stop::Protocol(
                "the phone asked for a name that is too long".into(),
            ));
        };
        let mut head = len.to_be_bytes().to_vec();
        head.extend_from_slice(wire.as_bytes());
        let path = match self.parse(wire) {
            Ok(path) => path,
            // An empty name would end the list, and one this long was never a file's.
            Err(error) if wire.is_empty() || wire.len() > self.limits.name_bytes_max => {
                return Ok(Err(error));
            }
            Err(error) => return self.send_failure(head, error).await,
        };
        let opened = {
            let path = path.clone();
            self.writer
                .call(move |vault: &mut V| vault.open(&path))
                .await?
        };
        match opened {
            Ok(reader) => {
                self.link.write(&head).await?;
                let sent = self.send_content(reader).await?;
                if sent.is_ok() {
                    self.sent_file(&path);
                }
                Ok(sent)
            }
            Err(error) => self.send_failure(head, error).await,
        }
    }

    /// Sends name and reason of a file that cannot be read, in one write.
    async fn send_failure(
        &mut self,
        mut head: Vec<u8>,
        error: VaultError,
    ) -> Result<Result<(), VaultError>, Stop> {
        head.extend_from_slice(&error_block(&error));
        self.link.write(&head).await?;
        Ok(Err(error))
    }

    /// Sends the blocks of one file; the next buffer is read while one is written.
    async fn send_content(&mut self, reader: Reader) -> Result<Result<(), VaultError>, Stop> {
        let buffer = self.writer.buffer().await?;
        let mut spare = Some(self.writer.buffer().await?);
        let mut filling = start_fill(&mut self.writer, reader, buffer).await?;
        loop {
            let (reader, buffer, filled) = self.writer.answer(filling).await?;
            let chunk = match filled {
                Ok(chunk) => chunk,
                Err(error) => {
                    let error = VaultError::from(error);
                    self.link.write(&error_block(&error)).await?;
                    self.give_back([Some(buffer), spare]).await?;
                    return Ok(Err(error));
                }
            };
            if chunk.is_last {
                self.write_chunk(&buffer, chunk).await?;
                self.give_back([Some(buffer), spare]).await?;
                self.link.write(&DONE).await?;
                return Ok(Ok(()));
            }
            let other = match spare.take() {
                Some(other) => other,
                None => self.writer.buffer().await?,
            };
            filling = start_fill(&mut self.writer, reader, other).await?;
            self.write_chunk(&buffer, chunk).await?;
            spare = Some(buffer);
        }
    }

    async fn write_chunk(&mut self, buffer: &Batch, chunk: Chunk) -> Result<(), Stop> {
        self.link.write(&buffer.data).await?;
        let content = u64::try_from(chunk.content).unwrap_or(u64::MAX);
        self.stats.bytes_sent = self.stats.bytes_sent.saturating_add(content);
        self.progress.sent(content);
        Ok(())
    }

    /// An empty script returns a buffer to the pool.
    async fn give_back(&mut self, buffers: [Option<Batch>; 2]) -> Result<(), Stop> {
        for buffer in buffers.into_iter().flatten() {
            self.writer.submit(buffer).await?;
        }
        Ok(())
    }
}

async fn start_fill<V: Vault>(
    writer: &mut Writer<V>,
    mut reader: Reader,
    mut buffer: Batch,
) -> Result<oneshot::Receiver<Filled>, Stop> {
    let verb = move |_: &mut V| {
        let filled = fill(&mut reader, &mut buffer.data);
        (reader, buffer, filled)
    };
    Ok(writer.start_call(verb).await?)
}

/// Fills a buffer with whole frames, each at most [`Limits::FRAME_BYTES_MAX`] with its header.
fn fill(reader: &mut Reader, data: &mut Vec<u8>) -> io::Result<Chunk> {
    data.clear();
    let mut content = 0;
    while data.len() + Limits::FRAME_BYTES_MAX <= Limits::BUFFER_BYTES {
        let start = data.len();
        data.resize(start + Limits::FRAME_BYTES_MAX, 0);
        let frame = data.get_mut(start..).unwrap_or_default();
        let read = read_whole(reader, frame.get_mut(HEADER_BYTES..).unwrap_or_default())?;
        if let (Some(header), Ok(len)) = (
            frame.first_chunk_mut::<HEADER_BYTES>(),
            u32::try_from(read + 1),
        ) {
            let [a, b, c, d] = len.to_be_bytes();
            *header = [a, b, c, d, CODE_DATA];
        }
        data.truncate(if read == 0 {
            start
        } else {
            start + HEADER_BYTES + read
        });
        content += read;
        if read < Limits::FRAME_BYTES_MAX - HEADER_BYTES {
            return Ok(Chunk {
                content,
                is_last: true,
            });
        }
    }
    Ok(Chunk {
        content,
        is_last: false,
    })
}

/// Reads until the slice is full or the file ends.
fn read_whole(reader: &mut Reader, slice: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = slice.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn error_block(error: &VaultError) -> Vec<u8> {
    let text = error.kind.words();
    let len = u32::try_from(text.len() + 1).unwrap_or(1);
    let mut block = len.to_be_bytes().to_vec();
    block.push(CODE_ERROR);
    block.extend_from_slice(text.as_bytes());
    block
}
