//! How a session ended.

use crate::{DeviceError, Phase, VaultError, VaultErrorKind};
use ibak_core::Retry;
use std::time::Duration;

/// The one way a session ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The phone said that it did what was asked, and nothing failed on this side.
    Finished,
    /// The phone ended it with an error of its own.
    Refused {
        /// What it means.
        error: DeviceError,
        /// The phone's words, cleaned and at most 512 characters.
        description: String,
    },
    /// The passcode was not entered on the phone (its error 208).
    NotConfirmed,
    /// The caller's hold ended without the condition it waited for.
    NotLockedInTime,
    /// Something failed on this side; the first such failure.
    HostFailed {
        /// The vault's error, or a refusal of something the phone asked.
        error: VaultError,
    },
    /// The caller's token was cancelled.
    Cancelled,
    /// The person stopped it on the phone.
    CancelledOnDevice,
    /// The phone was silent too long.
    Timeout {
        /// Where.
        phase: Phase,
        /// The bound that was reached.
        after: Duration,
    },
    /// The connection ended before the phone's final word.
    Disconnected {
        /// Where.
        phase: Phase,
        /// How, in words.
        how: String,
    },
    /// The phone broke the protocol or a limit, or its last word had no error code: then nothing
    /// says that it did what was asked.
    Protocol {
        /// Where.
        phase: Phase,
        /// What, in words.
        what: String,
    },
}

/// Whether the copy that the phone was offered may itself be what it stumbled over (store.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDoubt {
    /// The copy had no part in it.
    Never,
    /// If the copy was an interrupted session's (104).
    IfResumed,
    /// Whatever it came from (205).
    Always,
}

impl Outcome {
    /// Returns the phone's own error number (MBErrorDomain), 0 when it gave none.
    pub fn device_code(&self) -> i64 {
        self.device_error().map_or(0, DeviceError::code)
    }

    /// Says whether the copy the phone was offered is to be used again.
    pub fn copy_in_doubt(&self) -> CopyDoubt {
        match self.device_error() {
            Some(DeviceError::PreviousUnreadable) => CopyDoubt::Always,
            Some(DeviceError::ReadWrite(104)) => CopyDoubt::IfResumed,
            Some(_) | None => CopyDoubt::Never,
        }
    }

    fn device_error(&self) -> Option<DeviceError> {
        match self {
            Self::Refused { error, .. } => Some(*error),
            Self::NotConfirmed => Some(DeviceError::NotConfirmed),
            Self::Finished
            | Self::NotLockedInTime
            | Self::HostFailed { .. }
            | Self::Cancelled
            | Self::CancelledOnDevice
            | Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::Protocol { .. } => None,
        }
    }

    /// Says whether trying again may help; [`Retry::Never`] for a finished deed.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Finished | Self::Cancelled | Self::CancelledOnDevice => Retry::Never,
            Self::NotLockedInTime
            | Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::Protocol { .. } => Retry::Later,
            Self::NotConfirmed => Retry::UserMustAct,
            Self::HostFailed { error } => match error.kind {
                VaultErrorKind::NoSpace | VaultErrorKind::Loop => Retry::UserMustAct,
                VaultErrorKind::Refused => Retry::Never,
                VaultErrorKind::NotFound
                | VaultErrorKind::Exists
                | VaultErrorKind::NotDirectory
                | VaultErrorKind::IsDirectory
                | VaultErrorKind::Io
                | VaultErrorKind::Other => Retry::Later,
            },
            Self::Refused { error, .. } => match error {
                DeviceError::Internal
                | DeviceError::CloudRestoreRunning
                | DeviceError::ReadWrite(_)
                | DeviceError::PreviousUnreadable
                | DeviceError::Other(_) => Retry::Later,
                DeviceError::SnapshotLeft
                | DeviceError::NoSpace
                | DeviceError::Password
                | DeviceError::NotConfirmed
                | DeviceError::NoAccount
                | DeviceError::FindMyOn
                | DeviceError::SetupUnfinished => Retry::UserMustAct,
                DeviceError::Cancelled | DeviceError::Version => Retry::Never,
            },
        }
    }
}

/// Whether the phone built upon an earlier backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupKind {
    /// Everything was to be sent.
    #[default]
    Full,
    /// The phone read the earlier backup's manifest before it sent anything.
    Incremental,
}

/// A file the phone could not send; normal in small numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// The name on the phone's side, cleaned and at most 256 characters; for display only.
    pub file: String,
    /// The phone's words, cleaned and at most 256 characters.
    pub text: String,
}

/// What was counted during a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Version of the link: 300 before iOS 14, 400 since; 0 when never learned.
    pub link_version: u64,
    /// Version of the backup protocol, 2.0 or 2.1; `None` when never learned.
    pub protocol_version: Option<f64>,
    /// Whether the phone built upon an earlier backup.
    pub kind: BackupKind,
    /// Whether the phone showed a prompt while it was waited for.
    pub passcode_asked: bool,
    /// Messages taken from the phone.
    pub messages: u64,
    /// Files that arrived whole.
    pub files_received: u64,
    /// Bytes of content of all files that arrived, whole or not.
    pub bytes_received: u64,
    /// Files sent to the phone.
    pub files_sent: u64,
    /// Bytes of content sent to the phone.
    pub bytes_sent: u64,
    /// Files and trees moved.
    pub moved: u64,
    /// Files and trees asked to be removed.
    pub removed: u64,
    /// Files the phone could not send.
    pub files_failed: u64,
    /// The first [`Stats::REMOTE_ERRORS_MAX`] of these.
    pub remote_errors: Vec<RemoteError>,
    /// Names of the first [`Stats::UNKNOWN_MESSAGES_MAX`] messages that were not known.
    pub unknown_messages: Vec<String>,
}

impl Stats {
    /// Most remote errors kept.
    pub const REMOTE_ERRORS_MAX: usize = 100;
    /// Most unknown messages kept.
    pub const UNKNOWN_MESSAGES_MAX: usize = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_help() {
        let host = |kind| Outcome::HostFailed {
            error: VaultError::new(kind, ""),
        };
        let refused = |code| Outcome::Refused {
            error: DeviceError::from_code(code).unwrap(),
            description: String::new(),
        };
        let phase = Phase::Receiving;
        let cases = [
            (Outcome::Finished, Retry::Never),
            (Outcome::Cancelled, Retry::Never),
            (Outcome::CancelledOnDevice, Retry::Never),
            (Outcome::NotConfirmed, Retry::UserMustAct),
            (Outcome::NotLockedInTime, Retry::Later),
            (
                Outcome::Timeout {
                    phase,
                    after: Duration::ZERO,
                },
                Retry::Later,
            ),
            (
                Outcome::Disconnected {
                    phase,
                    how: String::new(),
                },
                Retry::Later,
            ),
            (
                Outcome::Protocol {
                    phase,
                    what: String::new(),
                },
                Retry::Later,
            ),
            (host(VaultErrorKind::NoSpace), Retry::UserMustAct),
            (host(VaultErrorKind::Refused), Retry::Never),
            (host(VaultErrorKind::Io), Retry::Later),
            (refused(3), Retry::UserMustAct),
            (refused(104), Retry::Later),
            (refused(105), Retry::UserMustAct),
            (refused(203), Retry::Never),
            (refused(205), Retry::Later),
            (refused(207), Retry::UserMustAct),
            (refused(999), Retry::Later),
        ];
        for (outcome, want) in cases {
            assert_eq!(outcome.retry(), want, "{outcome:?}");
        }
    }

    #[test]
    fn which_errors_put_the_copy_in_doubt() {
        let refused = |code| Outcome::Refused {
            error: DeviceError::from_code(code).unwrap(),
            description: String::new(),
        };
        for (outcome, code, doubt) in [
            (refused(205), 205, CopyDoubt::Always),
            (refused(104), 104, CopyDoubt::IfResumed),
            (refused(103), 103, CopyDoubt::Never),
            (refused(105), 105, CopyDoubt::Never),
            (refused(777), 777, CopyDoubt::Never),
            (Outcome::NotConfirmed, 208, CopyDoubt::Never),
            (Outcome::Finished, 0, CopyDoubt::Never),
            (Outcome::Cancelled, 0, CopyDoubt::Never),
        ] {
            assert_eq!(
                (outcome.device_code(), outcome.copy_in_doubt()),
                (code, doubt),
                "{outcome:?}"
            );
        }
    }
}
