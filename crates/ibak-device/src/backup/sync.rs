//! The phone's sync lock: while we hold it no other program changes what a backup reads.

use crate::afc::{Afc, Handle, Lock};
use crate::notify::Poster;
use crate::{Deadlines, DeviceError, Session};

const LOCK_FILE: &str = "/com.apple.itunes.lock_sync";
const WILL_START: &str = "com.apple.itunes-mobdev.syncWillStart";
const LOCK_REQUEST: &str = "com.apple.itunes-mobdev.syncLockRequest";
const DID_START: &str = "com.apple.itunes-mobdev.syncDidStart";
const DID_FINISH: &str = "com.apple.itunes-mobdev.syncDidFinish";
/// How often the lock is tried for (phone.md §4).
const TRIES: u32 = 50;

/// The sync as announced to the phone; taken back on every way out.
#[derive(Debug)]
pub(super) struct SyncLock {
    held: Option<Held>,
    deadlines: Deadlines,
}

#[derive(Debug)]
struct Held {
    poster: Poster,
    afc: Afc,
    file: Option<Handle>,
    locked: bool,
}

impl SyncLock {
    /// Announces the sync, takes the lock, and says that the sync has begun.
    pub(super) async fn take(session: &mut Session, poster: Poster) -> Result<Self, DeviceError> {
        let afc = Afc::open(session).await?;
        let deadlines = *session.deadlines();
        let held = Held {
            poster,
            afc,
            file: None,
            locked: false,
        };
        let mut lock = Self {
            held: Some(held),
            deadlines,
        };
        match lock.announce().await {
            Ok(()) => Ok(lock),
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    /// Returns the file service the lock is held through.
    pub(super) fn afc(&mut self) -> Option<&mut Afc> {
        self.held.as_mut().map(|held| &mut held.afc)
    }

    async fn announce(&mut self) -> Result<(), DeviceError> {
        let pause = self.deadlines.sync_lock_pause;
        let Some(held) = &mut self.held else {
            return Ok(());
        };
        held.poster.post(WILL_START).await?;
        let file = held.afc.open_read_write(LOCK_FILE).await?;
        held.file = Some(file);
        held.poster.post(LOCK_REQUEST).await?;
        for _ in 0..TRIES {
            match held.afc.lock(file).await? {
                Lock::Taken => {
                    held.locked = true;
                    return held.poster.post(DID_START).await;
                }
                Lock::Busy => tokio::time::sleep(pause).await,
            }
        }
        Err(DeviceError::SyncLockBusy)
    }

    /// Lets go, within the deadline for good-byes; what the phone says to it changes nothing.
    pub(super) async fn release(&mut self) {
        if let Some(held) = self.held.take() {
            release(held, self.deadlines).await;
        }
    }
}

impl Drop for SyncLock {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        // Without a runtime the connections just close, which frees the lock as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(release(held, self.deadlines));
        }
    }
}

async fn release(mut held: Held, deadlines: Deadlines) {
    let goodbye = async {
        if let Some(file) = held.file {
            if held.locked {
                said(held.afc.unlock(file).await);
            }
            said(held.afc.close(file).await);
        }
        said(held.poster.post(DID_FINISH).await);
    };
    if tokio::time::timeout(deadlines.goodbye, goodbye)
        .await
        .is_err()
    {
        tracing::debug!("the phone did not take the end of the sync in time");
    }
}

fn said(result: Result<(), DeviceError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the phone did not take the end of the sync");
    }
}
