//! Engine, store and the phone's side of the backup service in one process, over a stream in
//! memory: no daemon, no bus, no TLS. What `ibakd::executor` does around the conversation is done
//! here in short, with its own vault.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use futures_util::future::BoxFuture;
use ibak_core::{Bytes, Udid};
use ibak_mobilebackup2::{Deed, Hooks, Limits, Outcome, Release, Request, Stats, converse};
use ibak_sim::backup::{
    BackupEnd, BackupError, BackupHost, BackupMemory, Faults, PasscodeAnswer, Quirks, serve,
};
use ibak_sim::content::{Content, ContentSpec, Tree};
use ibak_sim::{Identity, IosVersion};
use ibak_store::{
    Begin, Create, DeviceDone, Full, Generation, OpenOptions, Reserve, Staging, Store, StoreError,
};
use ibakd::clock::Clock;
use ibakd::executor::StagingVault;
use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// The phone's error that says it could not use the working copy.
const PREVIOUS_UNREADABLE: i64 = 205;

/// The part of a phone that backs itself up.
pub struct PhoneAlone {
    identity: Identity,
    content: Arc<Mutex<Content>>,
    quirks: Quirks,
    memory: Arc<Mutex<BackupMemory>>,
}

impl PhoneAlone {
    /// Draws a phone.
    pub fn new(ios: IosVersion, spec: &ContentSpec, quirks: Quirks) -> Self {
        let identity = Identity::draw(spec.seed, "Ada's iPhone", "iPhone14,5", ios, None);
        let content = Content::generate(spec, &identity);
        Self {
            identity,
            content: Arc::new(Mutex::new(content)),
            quirks,
            memory: Arc::default(),
        }
    }

    /// Changes, adds and deletes so many files.
    pub fn change(&self, touch: u64, add: u64, delete: u64) {
        locked(&self.content).change(touch, add, delete);
    }

    /// Returns what it holds.
    pub fn tree(&self) -> Arc<Tree> {
        locked(&self.content).snapshot()
    }

    /// Returns its UDID as it spells it.
    pub fn wire_udid(&self) -> &str {
        &self.identity.udid
    }
}

impl BackupHost for PhoneAlone {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn content(&self) -> Arc<Mutex<Content>> {
        Arc::clone(&self.content)
    }

    fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    fn memory(&self) -> Arc<Mutex<BackupMemory>> {
        Arc::clone(&self.memory)
    }

    fn passcode_prompt(&self) -> BoxFuture<'_, PasscodeAnswer> {
        Box::pin(std::future::ready(PasscodeAnswer::NotAsked))
    }

    fn passcode_set(&self) -> bool {
        false
    }

    fn faults(&self) -> Faults {
        Faults::default()
    }
}

/// How one backup is to go.
#[derive(Default)]
pub struct Wish {
    /// Everything anew.
    pub full: bool,
    /// The most that backups may take, in bytes.
    pub quota: Option<u64>,
    /// The connection breaks once the phone sent so many bytes.
    pub cut_after: Option<u64>,
    /// Holds the first reply.
    pub hold: Option<Pin<Box<dyn Future<Output = Release> + Send>>>,
}

/// What one backup came to.
#[derive(Debug)]
pub struct Came {
    /// How the conversation ended for the host.
    pub outcome: Outcome,
    /// What the host counted.
    pub stats: Stats,
    /// How it ended for the phone.
    pub phone: Result<BackupEnd, BackupError>,
    /// Bytes the phone sent, frames included.
    pub sent: u64,
    /// Whether an earlier working copy was gone on with.
    pub resumed: bool,
    /// The backup, or why the store refused it; `None` when the conversation did not finish.
    pub committed: Option<Result<Generation, StoreError>>,
}

/// Makes a directory in memory where there is such a file system: a thousand backups synced to a
/// disk would only measure the disk.
///
/// # Errors
/// The system's.
pub fn directory() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("ibak-headless-");
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(made) = builder.tempdir_in(memory)
    {
        return Ok(made);
    }
    builder.tempdir()
}

/// Opens a store, making it in an empty directory.
///
/// # Errors
/// The store's.
pub fn open_store(path: &Path, clock: &Clock) -> Result<Store, StoreError> {
    let options = OpenOptions {
        create: Create::IfEmpty,
        reserve: Reserve::Fixed(Bytes::new(1 << 20)),
        now: clock.now().wall,
    };
    Store::open(path, options).map(|(store, _)| store)
}

/// Runs one backup as the daemon would.
///
/// # Errors
/// The working copy cannot be made or put away.
pub async fn back_up(phone: &PhoneAlone, store: &Store, clock: &Clock, wish: Wish) -> Result<Came> {
    let wire = phone.wire_udid().to_owned();
    let udid = Udid::parse(&wire)?;
    let mut staging = store.begin(Begin {
        udid: &udid,
        wire_udid: &wire,
        full: if wish.full {
            Full::Forced
        } else {
            Full::IfNeeded
        },
        quota: wish.quota.map(Bytes::new),
        now: clock.now(),
    })?;
    let info = info_plist(phone)?;
    staging.write_info_plist(&info, clock.now())?;
    let resumed = staging.resumed();
    let request = Request {
        udid,
        folder: wire.clone(),
        target: wire,
        deed: Deed::Backup {
            full: wish.full || (staging.parent().is_none() && !resumed),
        },
    };
    let (ours, theirs) = tokio::io::duplex(1 << 18);
    let sent = Arc::new(AtomicU64::new(0));
    let theirs = Counted {
        stream: theirs,
        sent: Arc::clone(&sent),
        cut_after: wish.cut_after.unwrap_or(u64::MAX),
    };
    let vault = StagingVault {
        room: None,
        staging,
        clock: clock.clone(),
    };
    let hooks = Hooks {
        hold: wish.hold,
        ..Hooks::default()
    };
    let limits = Limits::default();
    let talk = converse(
        ours,
        vault,
        request,
        hooks,
        &limits,
        CancellationToken::new(),
    );
    let (ended, phone_end) = tokio::join!(talk, serve(theirs, phone, CancellationToken::new()));
    let committed = conclude(ended.vault.staging, &ended.outcome, &info, clock)?;
    Ok(Came {
        outcome: ended.outcome,
        stats: ended.stats,
        phone: phone_end,
        sent: sent.load(Ordering::Relaxed),
        resumed,
        committed,
    })
}

/// Commits a finished working copy, throws away one that the phone could not use, keeps any other.
fn conclude(
    mut staging: Staging,
    outcome: &Outcome,
    info: &[u8],
    clock: &Clock,
) -> Result<Option<Result<Generation, StoreError>>> {
    match outcome {
        Outcome::Finished => {
            staging.write_info_plist(info, clock.now())?;
            let done = DeviceDone::from_error_code(0).context("0 is no error")?;
            return Ok(Some(staging.commit(done, clock.now())));
        }
        Outcome::Refused { error, .. } if error.code() == PREVIOUS_UNREADABLE => {
            staging.discard()?;
        }
        Outcome::Refused { .. }
        | Outcome::NotConfirmed
        | Outcome::NotLockedInTime
        | Outcome::HostFailed { .. }
        | Outcome::Cancelled
        | Outcome::CancelledOnDevice
        | Outcome::Timeout { .. }
        | Outcome::Disconnected { .. }
        | Outcome::Protocol { .. } => {
            staging.keep(clock.now())?;
        }
    }
    Ok(None)
}

/// Writes the little of Info.plist that a store wants to see.
fn info_plist(phone: &PhoneAlone) -> Result<Vec<u8>> {
    let mut info = Dictionary::new();
    for (key, text) in [
        ("Device Name", phone.identity.name.clone()),
        ("Product Type", phone.identity.product_type.clone()),
        ("Product Version", phone.identity.ios.to_string()),
        ("Target Identifier", phone.identity.udid.clone()),
    ] {
        info.insert(key.to_owned(), text.into());
    }
    info.insert(
        "Last Backup Date".to_owned(),
        Value::Date(SystemTime::now().into()),
    );
    let mut bytes = Vec::new();
    Value::Dictionary(info).to_writer_xml(&mut bytes)?;
    Ok(bytes)
}

/// The phone's end of the stream: counts what it sends, and breaks when told.
struct Counted<S> {
    stream: S,
    sent: Arc<AtomicU64>,
    cut_after: u64,
}

impl<S> Counted<S> {
    fn left(&self) -> u64 {
        self.cut_after
            .saturating_sub(self.sent.load(Ordering::Relaxed))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left() == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = usize::try_from(self.left()).unwrap_or(usize::MAX);
        if room == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let part = buf.get(..room.min(buf.len())).unwrap_or(buf);
        let written = Pin::new(&mut self.stream).poll_write(cx, part);
        if let Poll::Ready(Ok(count)) = written {
            self.sent.fetch_add(count as u64, Ordering::Relaxed);
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
