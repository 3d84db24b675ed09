//! A tar stream from the daemon on its way into a directory.
//!
//! The pipe is read here, the files are written on a thread of their own, and a short queue lies
//! between: Ctrl-C ends both at once, and a disk that is slow slows the daemon down.

use crate::extract::target::Target;
use crate::extract::{Rules, Stopped, Summary, unpack};
use crate::failure::{Exit, Failure};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Is how many bytes are read at once.
const BLOCK_BYTES: usize = 128 * 1024;
/// Is how many blocks may wait to be written.
const BLOCKS_MAX: usize = 16;

/// The two ends of a pipe: one is read here, the other is the daemon's.
pub(super) struct Pipe {
    pub(super) reader: Receiver,
    pub(super) writer: OwnedFd,
}

pub(super) fn pipe() -> Result<Pipe, Failure> {
    let made = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    made.and_then(|(reader, writer)| {
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok(Pipe {
            reader: Receiver::from_owned_fd(reader)?,
            writer,
        })
    })
    .map_err(|error| Failure::new(Exit::Failed, "cannot make a pipe").because(error.to_string()))
}

/// An unpacking that goes on beside the job that feeds it.
pub(super) struct Unpacking {
    pump: JoinHandle<()>,
    work: JoinHandle<Unpacked>,
}

/// What became of it.
pub(super) struct Unpacked {
    pub(super) summary: Summary,
    pub(super) ended: Result<(), Stopped>,
    pub(super) target: Target,
}

impl Unpacking {
    /// Begins to unpack what comes out of the pipe.
    pub(super) fn start(reader: Receiver, target: Target, rules: Rules) -> Self {
        let (sender, receiver) = mpsc::channel(BLOCKS_MAX);
        let pump = tokio::spawn(pump(reader, sender));
        let work = tokio::task::spawn_blocking(move || {
            let mut target = target;
            let mut summary = Summary::default();
            let blocks = Blocks {
                receiver,
                block: Vec::new(),
                at: 0,
            };
            let ended = unpack(blocks, &mut target, rules, &mut summary);
            Unpacked {
                summary,
                ended,
                target,
            }
        });
        Self { pump, work }
    }

    /// Stops it; a file that is half there goes away.
    pub(super) async fn stop(self) -> Option<Unpacked> {
        self.pump.abort();
        self.work.await.ok()
    }

    /// Waits for its end.
    pub(super) async fn end(self) -> Result<Unpacked, Failure> {
        self.work.await.map_err(|error| {
            Failure::new(Exit::Failed, "writing the files broke").because(error.to_string())
        })
    }
}

async fn pump(mut reader: Receiver, sender: mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let next = match reader.read(&mut block).await {
            Ok(0) => return,
            Ok(read) => {
                block.truncate(read);
                Ok(block)
            }
            Err(error) => Err(error),
        };
        // Whoever unpacked has stopped: closing our end tells the daemon.
        if sender.send(next).await.is_err() {
            return;
        }
    }
}

/// The queue as something to read from.
struct Blocks {
    receiver: mpsc::Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.block.len() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(next) => {
                    self.block = next?;
                    self.at = 0;
                }
            }
        }
        let rest = self.block.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}
