//! What was bought in the stores, copied off the phone into a client's pipe.

use super::archive::{AppendError, Archive, file_header};
use super::counted::share;
use super::outcome::of_device;
use super::pipe::{Pipe, is_stopped};
use super::{End, PhoneWork, blocking};
use ibak_core::{Failure, Outcome, Phase};
use ibak_device::{DeviceError, Purchase, Purchases, Session};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;

/// Pieces of a file that wait for the client.
const PIECES_MAX: usize = 8;
/// How often its progress is told.
const EVERY: Duration = Duration::from_millis(500);

/// All that copying purchases needs.
pub struct PurchasesJob {
    /// The phone and the way to it.
    pub work: PhoneWork,
    /// Where to.
    pub out: OwnedFd,
    /// What is there already, with its size in bytes.
    pub have: BTreeMap<String, u64>,
}

/// The phone's half ended early.
const BROKE_OFF: io::ErrorKind = io::ErrorKind::UnexpectedEof;

/// How the two halves of the copy can fail.
enum Trouble {
    Phone(DeviceError),
    Client(io::Error),
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    files: u64,
    bytes: u64,
    /// Files that the phone did not give.
    unread: u64,
}

/// What goes to the writing thread.
enum Part {
    File(Purchase),
    Piece(Vec<u8>),
    End,
}

impl PurchasesJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Self { work, out, have } = self;
        work.reporter.phase(Phase::Connecting).await;
        let token = work.stop.token();
        let pipe = match Pipe::new(&out, work.stop.clone()) {
            Ok(pipe) => pipe,
            Err(error) => return End::early(gone(&error)),
        };
        let copy = async {
            // Announced like a backup: nothing else syncs meanwhile, and a phone on the network is
            // kept awake.
            let mut opened = work.announce().await.map_err(Trouble::Phone)?;
            let copied = copy(opened.session.session(), pipe, have, &work).await;
            opened.session.finish().await;
            copied
        };
        let copied = tokio::select! {
            copied = copy => copied,
            () = token.cancelled() => return End::early(work.stopped()),
        };
        match copied {
            Ok(copied) => {
                info!(?copied, "purchases copied");
                let outcome = match copied.unread {
                    0 => Outcome::Done,
                    unread => Outcome::failed(
                        Failure::PhoneReadWrite,
                        format!(
                            "the phone did not give {unread} of the files; the others are there"
                        ),
                    ),
                };
                End {
                    bytes: copied.bytes,
                    files: copied.files,
                    ..End::early(outcome)
                }
            }
            Err(Trouble::Phone(error)) => End::early(of_device(&error)),
            Err(Trouble::Client(error)) if is_stopped(&error) => End::early(work.stopped()),
            Err(Trouble::Client(error)) => End::early(gone(&error)),
        }
    }
}

/// Says that whoever asked does not take the files.
pub(super) fn gone(error: &io::Error) -> Outcome {
    Outcome::failed(Failure::ClientGone, error.to_string())
}

async fn copy(
    session: &mut Session,
    pipe: Pipe,
    have: BTreeMap<String, u64>,
    work: &PhoneWork,
) -> Result<Copied, Trouble> {
    work.reporter.phase(Phase::Preparing).await;
    let mut phone = Purchases::open(session).await.map_err(Trouble::Phone)?;
    let list = phone.list().await.map_err(Trouble::Phone)?;
    let wanted: Vec<Purchase> = list
        .files
        .into_iter()
        .filter(|file| have.get(file.path()) != Some(&file.size()))
        .collect();
    work.reporter.phase(Phase::Copying).await;
    let (parts, receiver) = mpsc::channel(PIECES_MAX);
    let writing = blocking(move || write(pipe, receiver));
    let reading = read(&mut phone, wanted, parts, work);
    let (read, written) = futures_util::future::join(reading, writing).await;
    match (read, written) {
        // Each half breaks off when the other does; the first cause is told.
        (Err(error), Err(broken)) if broken.kind() == BROKE_OFF => Err(Trouble::Phone(error)),
        (_, Err(error)) => Err(Trouble::Client(error)),
        (read, Ok(())) => read.map_err(Trouble::Phone),
    }
}

async fn read(
    phone: &mut Purchases,
    wanted: Vec<Purchase>,
    parts: mpsc::Sender<Part>,
    work: &PhoneWork,
) -> Result<Copied, DeviceError> {
    let total: u64 = wanted
        .iter()
        .map(Purchase::size)
        .fold(0, u64::saturating_add);
    let mut copied = Copied::default();
    let mut due = Instant::now();
    for file in wanted {
        let mut reader = match phone.read(&file, 0).await {
            Ok(reader) => reader,
            // Deleted meanwhile, or kept back while the phone is locked: the others still come.
            Err(DeviceError::Service { .. }) => {
                copied.unread += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        if parts.send(Part::File(file)).await.is_err() {
            return Ok(copied);
        }
        while let Some(piece) = reader.next().await? {
            copied.bytes += u64::try_from(piece.len()).unwrap_or(0);
            if parts.send(Part::Piece(piece)).await.is_err() {
                return Ok(copied);
            }
            if Instant::now() >= due {
                due = Instant::now() + EVERY;
                let so_far = share(copied.files, copied.bytes, total);
                work.reporter.progress(so_far).await;
            }
        }
        copied.files += 1;
    }
    let all = share(copied.files, copied.bytes, total);
    work.reporter.progress(all).await;
    // When nobody takes it, the writing half says why.
    drop(parts.send(Part::End).await);
    Ok(copied)
}

/// Writes the parts as a tar stream. One that breaks off has no end: the client sees that.
fn write(pipe: Pipe, mut parts: mpsc::Receiver<Part>) -> io::Result<()> {
    let mut archive = Archive::new(pipe);
    loop {
        let file = match parts.blocking_recv() {
            Some(Part::File(file)) => file,
            Some(Part::End) => return archive.finish().map(drop),
            Some(Part::Piece(_)) | None => return Err(broke_off()),
        };
        let mut header = file_header(file.size(), 0o600, file.modified());
        let pieces = Pieces {
            parts: &mut parts,
            left: file.size(),
            piece: Vec::new(),
            at: 0,
        };
        archive
            .append(&mut header, file.path(), pieces)
            .map_err(|error| match error {
                AppendError::Content(_) => broke_off(),
                AppendError::Client(error) => error,
            })?;
    }
}

fn broke_off() -> io::Error {
    io::Error::new(BROKE_OFF, "the phone broke off in the middle")
}

/// One file's pieces as a reader that gives exactly what was promised, or an error.
struct Pieces<'a> {
    parts: &'a mut mpsc::Receiver<Part>,
    left: u64,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        if self.at >= self.piece.len() {
            match self.parts.blocking_recv() {
                Some(Part::Piece(piece)) => (self.piece, self.at) = (piece, 0),
                Some(Part::File(_) | Part::End) | None => return Err(broke_off()),
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}
