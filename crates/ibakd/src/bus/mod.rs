//! The bus side: objects that render, a door that leads to the loop, a publisher that tells what changed.

pub mod auth;
pub mod objects;
mod owner;
mod publish;
mod secret;
pub mod wire;

pub use publish::{Publication, Publisher, Reply, Served, serve};

use crate::executor::ErrandWork;
use ibak_core::{
    Answer, BackupId, Errand, ErrorName, JobId, JobResult, Request, RequestError, Udid, Wall,
};
use ibak_dbus::{Dict, Error};
use ibak_store::Remover;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot};
use wire::Wire;

/// Most calls that wait for the loop at once; further ones wait to get in.
pub const CALLS_MAX: usize = 64;

/// What a bus client asks of the loop.
#[derive(Debug)]
pub enum Call {
    /// Something the core decides.
    Request(Request, oneshot::Sender<Result<Answer, RequestError>>),
    /// An errand, with what the core does not see of it.
    Errand {
        /// The phone, or whose backups it is about.
        phone: Udid,
        /// What to do.
        errand: Errand,
        /// With what.
        work: ErrandWork,
        /// The job, or why not.
        reply: oneshot::Sender<Result<Answer, RequestError>>,
    },
    /// Tell how a job ends, once it does.
    Await {
        /// Which job.
        job: JobId,
        /// Its end, and the error in its own words.
        reply: oneshot::Sender<(JobResult, String)>,
    },
    /// End a pairing.
    Unpair {
        /// Which phone's.
        phone: Udid,
        /// Done, or why not.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Somebody looks at this phone.
    LookedAt(Udid),
    /// Send a message about a phone, to see where it arrives.
    TestNotification {
        /// Which phone.
        phone: Udid,
        /// Sent, or why not.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<(), Error>>),
    /// Check everything.
    Diagnose(oneshot::Sender<Vec<Dict>>),
    /// Something about the store itself.
    Storage(StorageCall),
    /// Tell what holds for a phone.
    GetPolicy {
        /// Which phone.
        phone: Udid,
        /// A row for each key.
        reply: oneshot::Sender<Vec<Dict>>,
    },
    /// Set what holds for a phone.
    SetPolicy {
        /// Which phone.
        phone: Udid,
        /// Keys and their values; an empty one takes it back.
        changes: Vec<(String, String)>,
        /// Done, or why not.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Who owns a phone: a login name, if the configuration gives one.
    OwnerOf(Udid, oneshot::Sender<Option<String>>),
    /// List what was seen and decided about a phone.
    ListObservations {
        /// Which phone.
        phone: Udid,
        /// Since when.
        since: Wall,
        /// Until when.
        until: Wall,
        /// The rows, oldest first.
        reply: oneshot::Sender<Vec<Dict>>,
    },
    /// List a phone's attempts.
    ListAttempts {
        /// Whose.
        phone: Udid,
        /// Since when.
        since: Wall,
        /// Also those at anything but a backup.
        all: bool,
        /// The rows, oldest first.
        reply: oneshot::Sender<Vec<Dict>>,
    },
}

/// What a bus client asks of the store itself.
#[derive(Debug)]
pub enum StorageCall {
    /// Remove a backup.
    Remove {
        /// Whose.
        phone: Udid,
        /// Which.
        backup: BackupId,
        /// Whether a person insists.
        remover: Remover,
        /// Done, or why not.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Keep a backup whatever comes, or not.
    Pin {
        /// Whose.
        phone: Udid,
        /// Which.
        backup: BackupId,
        /// Keep it.
        pinned: bool,
        /// Done, or why not.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Remove all of a phone's backups and forget it.
    Forget {
        /// Which phone.
        phone: Udid,
        /// Done, or why not.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// List a phone's backups.
    Backups {
        /// Whose.
        phone: Udid,
        /// With what removing each would free.
        frees: bool,
        /// With why each stays.
        explain: bool,
        /// The rows, oldest first, or why not.
        reply: oneshot::Sender<Result<Vec<Dict>, Error>>,
    },
    /// Tell what everything uses.
    Storage(oneshot::Sender<Result<Vec<Dict>, Error>>),
    /// Copy the whole store to another place.
    Move {
        /// The folder.
        target: PathBuf,
        /// The job, or why not.
        reply: oneshot::Sender<Result<Answer, RequestError>>,
    },
}

/// Leads from the bus objects to the loop, and holds the newest picture for them to render.
#[derive(Debug)]
pub struct Door {
    calls: mpsc::Sender<Call>,
    wire: RwLock<Arc<Wire>>,
}

impl Door {
    /// Makes a door; the calls come out of the receiver.
    pub fn new(first: Wire) -> (Arc<Self>, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::channel(CALLS_MAX);
        (
            Arc::new(Self {
                calls,
                wire: RwLock::new(Arc::new(first)),
            }),
            receiver,
        )
    }

    /// Returns the newest picture.
    pub fn wire(&self) -> Arc<Wire> {
        Arc::clone(&self.wire.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, wire: Arc<Wire>) {
        *self.wire.write().unwrap_or_else(PoisonError::into_inner) = wire;
    }

    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, Error> {
        let (sender, reply) = oneshot::channel();
        let gone = || Error::Failed("the daemon is stopping".into());
        self.calls.send(call(sender)).await.map_err(|_| gone())?;
        reply.await.map_err(|_| gone())
    }

    /// Makes a call that needs no answer, or drops it when the loop is busy.
    fn call_soon(&self, call: Call) {
        if let Err(error) = self.calls.try_send(call) {
            tracing::debug!(%error, "a hint for the loop was dropped");
        }
    }

    async fn storage<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> StorageCall,
    ) -> Result<T, Error> {
        self.call(|reply| Call::Storage(call(reply))).await?
    }

    async fn request(&self, request: Request) -> Result<Answer, Error> {
        self.call(|reply| Call::Request(request, reply))
            .await?
            .map_err(refusal)
    }
}

/// Names the bus error of a refused request.
pub(crate) fn refusal(error: RequestError) -> Error {
    let text = error.to_string();
    match error.name() {
        ErrorName::Failed => Error::Failed(text),
        ErrorName::Busy => Error::Busy(text),
        ErrorName::NotConnected => Error::NotConnected(text),
        ErrorName::NotTrusted => Error::NotTrusted(text),
        ErrorName::ConditionsNotMet => Error::ConditionsNotMet(text),
        ErrorName::NoSpace => Error::NoSpace(text),
        ErrorName::InvalidOption => Error::InvalidOption(text),
    }
}
