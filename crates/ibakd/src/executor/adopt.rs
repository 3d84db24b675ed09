//! Taking in a backup that another program made: the client sends the files of its folder as a tar
//! stream, the store checks them as it checks a phone's.

use super::counted::{Counted, told};
use super::pipe::{Pipe, is_stopped};
use super::purchases::gone;
use super::unlock::of_reading;
use super::{End, Reporter, Stop, blocking};
use crate::clock::Clock;
use ibak_core::{BackupPath, Bytes, Failure, Outcome, Phase, Udid};
use ibak_store::{Adopted, Adopting, Store, StoreError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tracing::info;

/// Bytes taken at a time.
const PIECE: usize = 256 << 10;
/// Most files of one backup.
const FILES_MAX: u64 = 5_000_000;

/// All that an adoption needs; the phone is not among it.
pub struct AdoptJob {
    /// Whose backup it is.
    pub phone: Udid,
    /// Where backups lie.
    pub store: Store,
    /// Its files as a tar stream.
    pub input: OwnedFd,
    /// How large it is in all, as far as the client says.
    pub size: Option<Bytes>,
    /// What may still be written for this phone.
    pub left: Bytes,
    /// For the dates.
    pub clock: Clock,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
}

/// Why an adoption ended early.
enum Trouble {
    Store(StoreError),
    Client(io::Error),
    Stream(String),
    TooLarge(Bytes),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Trouble {
    fn outcome(self, stop: &Stop) -> Outcome {
        match self {
            Self::Store(error @ (StoreError::Unadoptable(_) | StoreError::Refused { .. })) => {
                Outcome::failed(Failure::NotAdoptable, error.to_string())
            }
            Self::Store(error) => of_reading(&error, stop),
            Self::Client(error) if is_stopped(&error) => stop.outcome(),
            Self::Client(error) if error.kind() == io::ErrorKind::BrokenPipe => gone(&error),
            Self::Client(error) => Outcome::failed(
                Failure::NotAdoptable,
                format!("what was sent is no whole backup: {error}"),
            ),
            Self::Stream(words) => Outcome::failed(Failure::NotAdoptable, words),
            Self::TooLarge(left) => Outcome::failed(
                Failure::NoSpace,
                format!("no more than {} bytes are left for this phone", left.get()),
            ),
        }
    }
}

impl AdoptJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Self {
            phone,
            store,
            input,
            size,
            left,
            clock,
            reporter,
            stop,
        } = self;
        if size.is_some_and(|size| size > left) {
            return End::early(Trouble::TooLarge(left).outcome(&stop));
        }
        reporter.phase(Phase::Receiving).await;
        let counted = Arc::new(Counted::default());
        counted.expect(size.map_or(0, Bytes::get));
        let (counting, asked) = (Arc::clone(&counted), stop.clone());
        let (udid, at) = (phone.clone(), clock.clone());
        let receiving = blocking(move || {
            let pipe = Pipe::reading(&input, asked).map_err(Trouble::Client)?;
            let adopting = store.adopt(&udid, udid.as_str(), at.now())?;
            receive(adopting, pipe, &udid, left, &counting)
        });
        let received = told(receiving, &counted, &reporter).await;
        let (files, bytes) = counted.read();
        let outcome = match received {
            Err(trouble) => trouble.outcome(&stop),
            Ok(adopting) if stop.why().is_some() => {
                throw_away(adopting).await;
                stop.outcome()
            }
            Ok(adopting) => {
                reporter.phase(Phase::Committing).await;
                match blocking(move || adopting.commit(clock.now())).await {
                    Ok(Adopted::New(generation)) => {
                        info!(backup = %generation.id, files, bytes, "taken in");
                        Outcome::Adopted(generation.id)
                    }
                    Ok(Adopted::AlreadyThere(backup)) => {
                        info!(%backup, "it was here already");
                        Outcome::Adopted(backup)
                    }
                    Err(error) => Trouble::Store(error).outcome(&stop),
                }
            }
        };
        End {
            files,
            bytes,
            ..End::early(outcome)
        }
    }
}

async fn throw_away(adopting: Adopting) {
    if let Err(error) = blocking(move || adopting.discard()).await {
        // Nothing of it is ever used.
        tracing::warn!(%error, "what was received stays until the next start");
    }
}

/// A stream whose end is its end mark, before which it may not break off: a reader of tar would take
/// either for an end.
struct ToItsEnd(Pipe);

impl Read for ToItsEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::other("the stream broke off")),
            count => Ok(count),
        }
    }
}

/// Receives every file; what is left of it after an error is thrown away.
fn receive(
    mut adopting: Adopting,
    pipe: Pipe,
    udid: &Udid,
    left: Bytes,
    counted: &Counted,
) -> Result<Adopting, Trouble> {
    match all(&mut adopting, pipe, udid, left, counted) {
        Ok(()) => Ok(adopting),
        Err(trouble) => {
            if let Err(error) = adopting.discard() {
                tracing::warn!(%error, "what was received stays until the next start");
            }
            Err(trouble)
        }
    }
}

fn all(
    adopting: &mut Adopting,
    pipe: Pipe,
    udid: &Udid,
    most: Bytes,
    counted: &Counted,
) -> Result<(), Trouble> {
    let mut archive = tar::Archive::new(ToItsEnd(pipe));
    let mut files = 0_u64;
    let mut piece = vec![0; PIECE];
    // No backup has names that are too long for a plain header, and whatever else a stream can
    // carry in place of one is unbounded.
    for entry in archive.entries().map_err(Trouble::Client)?.raw(true) {
        let mut entry = entry.map_err(Trouble::Client)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            // They are made with the files in them.
            continue;
        }
        if !kind.is_file() {
            return Err(Trouble::Stream(format!(
                "{name:?} is neither a file nor a folder"
            )));
        }
        files += 1;
        if files > FILES_MAX {
            return Err(Trouble::Stream(format!(
                "there are more than {FILES_MAX} files"
            )));
        }
        let path = BackupPath::parse(&format!("{udid}/{name}"), udid)
            .map_err(|_| Trouble::Stream(format!("{name:?} is no file of a backup")))?;
        adopting.create(&path)?;
        let expected = entry.size();
        let mut left = expected;
        while left > 0 {
            let count = match entry.read(&mut piece).map_err(Trouble::Client)? {
                0 => {
                    let words = "the stream ended in the middle of a file";
                    return Err(Trouble::Client(io::Error::other(words)));
                }
                count => count,
            };
            adopting.write(piece.get(..count).unwrap_or_default())?;
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            left = left.saturating_sub(count);
            counted.add(0, count);
            if counted.read().1 > most.get() {
                return Err(Trouble::TooLarge(most));
            }
        }
        adopting.finish()?;
        counted.add(1, 0);
    }
    Ok(())
}
