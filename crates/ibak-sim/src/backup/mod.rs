//! The phone's side of `com.apple.mobilebackup2` (phone.md §5).
//!
//! The phone drives: after `Backup` it asks the host for file operations until it sends a final
//! response. Full, incremental and resumed backups are acted out with a true Manifest.db; every
//! reply of the host is looked at, and ends in the error a real phone was seen to give. What is not
//! known of real phones is a [`Quirk`]. A phone with a backup password encrypts what it sends. A restore is acted out the same way. Erasing is refused.

mod cloud;
pub mod crypto;
mod cut;
mod download;
mod finale;
mod link;
mod manifest;
mod mbfile;
mod operations;
mod passwords;
mod plists;
mod queries;
pub mod quirks;
mod refusal;
mod restore;
mod run;
mod sealing;
mod session;
mod upload;
pub(crate) mod wire;

use std::collections::HashMap;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use self::crypto::{BackupLock, Costs};
use crate::content::{Content, FileId};
use crate::identity::Identity;

pub use quirks::{Quirk, Quirks, UnknownQuirk};
pub use restore::{RestoreOptions, RestoredContent, RestoredFile};

/// What the person did when the phone asked for its passcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasscodeAnswer {
    /// The phone did not ask: older iOS, or no passcode.
    NotAsked,
    /// The passcode was given.
    Given,
    /// Nobody answered until the phone gave up.
    Ignored,
    /// The person dismissed the prompt.
    Dismissed,
}

/// What can stop a backup on the phone's side while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The person cancelled it on the phone: error 202.
    CancelledByPerson,
    /// The phone was locked and its files can no longer be read: error 104.
    Locked,
}

/// What goes wrong on demand in the next backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The connection drops after this many bytes of file content, in bytes.
    pub drop_after_bytes: Option<u64>,
    /// So many files end with code 0x06 (local error).
    pub local_errors: u64,
    /// So many files end with code 0x0b (remote error).
    pub remote_errors: u64,
    /// A file error ends the backup with 104 after everything was uploaded.
    pub errors_end_with_104: bool,
    /// The request is refused with this MBErrorDomain code before anything else happens.
    pub refuse_with: Option<i64>,
    /// `drop_after_bytes` counts from the beginning of this phase, on the wire and both ways;
    /// `None` counts file content only.
    pub drop_in: Option<Phase>,
}

/// What the backup service needs of the rest of the phone.
pub trait BackupHost: Send + Sync {
    /// Returns who the phone is.
    fn identity(&self) -> &Identity;

    /// Returns the phone's data.
    fn content(&self) -> Arc<Mutex<Content>>;

    /// Returns the switches that are on.
    fn quirks(&self) -> &Quirks;

    /// Returns what the phone remembers of its backups with this host.
    fn memory(&self) -> Arc<Mutex<BackupMemory>>;

    /// Asks the person for the passcode if this iOS asks; resolves when that is settled.
    ///
    /// Posts `com.apple.LocalAuthentication.ui.presented` and `.dismissed` on the way.
    fn passcode_prompt(&self) -> BoxFuture<'_, PasscodeAnswer>;

    /// Returns whether the phone has a passcode (`WasPasscodeSet`).
    fn passcode_set(&self) -> bool;

    /// Asks the person for the passcode before the backup password changes, as
    /// [`BackupHost::passcode_prompt`] does before a backup.
    fn password_prompt(&self) -> BoxFuture<'_, PasscodeAnswer> {
        self.passcode_prompt()
    }

    /// Returns how much work a guess at a new backup password shall be.
    fn password_costs(&self) -> Costs {
        Costs::default()
    }

    /// Returns whether a management profile wants every backup encrypted (`RequiresEncryption`).
    fn requires_encryption(&self) -> bool {
        false
    }

    /// Hears that the backup password was set, changed or taken away.
    fn password_changed(&self) {}

    /// Resolves when something on the phone stops the backup; never, by default.
    fn interrupted(&self) -> BoxFuture<'_, Interruption> {
        Box::pin(std::future::pending())
    }

    /// Returns what shall go wrong in the backup that begins; asked once per backup.
    fn faults(&self) -> Faults {
        Faults::default()
    }

    /// Returns how long the phone is silent before its first message and while it scans.
    fn silence(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the upload rate in bytes per second; `None` is as fast as it goes. Asked per block.
    fn upload_rate(&self) -> Option<u64> {
        None
    }

    /// Returns what stands in the way of a backup or restore.
    fn standing(&self) -> Standing {
        Standing::default()
    }

    /// Returns what a host left at `/iTunesRestore/RestoreApplications.plist` over AFC.
    fn restore_applications(&self) -> Option<Vec<u8>> {
        None
    }

    /// Keeps what a restore has put onto the phone.
    fn keep_restored(&self, _content: RestoredContent) {}

    /// Turns iCloud Backup on or off.
    fn set_cloud_backup(&self, _on: bool) {}

    /// Hears what the backup does, for the simulator's status.
    fn backup_phase(&self, _phase: Phase) {}
}

/// What stands in the way of a backup or restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The setup assistant is not through: 212.
    pub setup_unfinished: bool,
    /// Find My is on: a restore ends in 211.
    pub find_my: bool,
    /// Nobody is signed in to iCloud: 210 for its switch.
    pub no_icloud_account: bool,
    /// A restore waits for the reboot that puts it into place: 102.
    pub awaits_reboot: bool,
    /// Free bytes on the phone.
    pub free_bytes: u64,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            setup_unfinished: false,
            find_my: false,
            no_icloud_account: false,
            awaits_reboot: false,
            free_bytes: u64::MAX,
        }
    }
}

/// Where a backup is, as the phone sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request is in; the phone may be asking for its passcode.
    Asked,
    /// It reads the host's state and its own files.
    Scanning,
    /// It sends files.
    Uploading,
    /// It moves the uploaded files to their places.
    Moving,
    /// It removes what is gone.
    Removing,
    /// It downloads the manifests back and compares them.
    Verifying,
    /// It takes the files of a backup from the host: a restore.
    Sending,
    /// The final response was sent.
    Ended,
}

impl Phase {
    /// The phases in which a connection can be cut on demand.
    pub const CUTTABLE: &[Self] = &[
        Self::Asked,
        Self::Scanning,
        Self::Uploading,
        Self::Moving,
        Self::Removing,
        Self::Verifying,
        Self::Sending,
    ];

    /// Returns the word for it in status and settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Scanning => "scanning",
            Self::Uploading => "uploading",
            Self::Moving => "moving",
            Self::Removing => "removing",
            Self::Verifying => "verifying",
            Self::Sending => "sending",
            Self::Ended => "ended",
        }
    }
}

/// What the phone remembers of its backups with this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupMemory {
    /// The last backup that finished.
    pub last: Option<LastBackup>,
    /// The backup that was begun and not finished.
    pub partial: Option<Partial>,
    /// The backup password, as the phone keeps it; `None` makes plain backups.
    pub lock: Option<BackupLock>,
    /// Whether there ever was a password: `WillEncrypt` is absent until then.
    pub had_password: bool,
}

impl BackupMemory {
    /// Takes the lock of another password, or of none; what was begun under the old one is lost.
    pub fn relock(&mut self, lock: Option<BackupLock>) {
        let keys = |lock: &Option<BackupLock>| lock.as_ref().map(|lock| lock.keys().clone());
        if keys(&self.lock) != keys(&lock) {
            self.partial = None;
        }
        self.had_password |= lock.is_some();
        self.lock = lock;
    }
}

/// A backup that was begun and not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// The UUID in its Status.plist.
    pub uuid: String,
    /// The files the host has acknowledged, with the version that was sent.
    pub uploaded: HashMap<FileId, u32>,
}

/// A backup that finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastBackup {
    /// The UUID in its Status.plist.
    pub uuid: String,
    /// When it finished.
    pub finished: std::time::SystemTime,
}

/// How a session of the backup service ended, in facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupEnd {
    /// Every final response that was sent, in order.
    pub responses: Vec<FinalResponse>,
    /// Files uploaded whole, the phone's own plists and Manifest.db not counted.
    pub uploaded_files: u64,
    /// Bytes of those files.
    pub uploaded_bytes: u64,
    /// Files that were in `Snapshot/` from an interrupted backup and were not sent again.
    pub resumed_files: u64,
    /// Move messages sent.
    pub moves: u64,
    /// File frames from the host of more than 32 KiB.
    pub large_frames: u64,
    /// Whether the last backup was a full one.
    pub full: bool,
    /// Files a restore took from the host.
    pub restored_files: u64,
    /// Bytes of those files as they came.
    pub restored_bytes: u64,
    /// A restore ended well and the phone reboots.
    pub reboots: bool,
}

/// A final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalResponse {
    /// The MessageName of the request.
    pub request: String,
    /// 0, or the code in MBErrorDomain.
    pub code: i64,
    /// The ErrorDescription that was sent; empty on success.
    pub description: String,
}

/// A session that could not be ended in order.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The connection to the host failed.
    #[error("the connection to the host failed")]
    Io(#[from] std::io::Error),
    /// The host spoke something that is not DeviceLink.
    #[error("the host broke the protocol: {0}")]
    Protocol(String),
    /// The phone itself failed.
    #[error("the simulated phone failed: {0}")]
    Phone(String),
    /// The phone went away.
    #[error("the phone went away")]
    Cancelled,
    /// The connection was dropped on demand.
    #[error("the connection was dropped on demand")]
    Dropped,
}

/// Serves one connection of the backup service until the host leaves.
pub async fn serve<S>(
    stream: S,
    host: &dyn BackupHost,
    cancel: CancellationToken,
) -> Result<BackupEnd, BackupError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    session::serve(stream, host, cancel).await
}

/// Locks what cannot be left half-changed: a panic elsewhere does not make it worse.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
