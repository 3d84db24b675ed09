//! How a job ended, as an exit code and as an error with its remedy.

use crate::failure::{Exit, Failure};
use crate::render;
use ibak_dbus::views::CompletedView;
use ibak_dbus::words::{JobKind, Outcome};
use ibak_dbus::{JobId, names};

/// Makes the error of a job that did not do what it was for; `what` names it ("the backup").
pub(super) fn failed(
    kind: &JobKind,
    what: &str,
    result: &Outcome,
    details: &CompletedView,
    me: &str,
) -> Failure {
    let mut failure = Failure::new(
        exit_of(result),
        format!("{what} {}", render::phrase_of(kind, result)),
    );
    if !details.detail.is_empty() {
        failure = failure.because(&details.detail);
    }
    match render::remedy_of(kind, result, me) {
        Some(remedy) => failure.hint(remedy),
        None => failure,
    }
}

/// Maps how a job ended to how the command ends.
pub(super) fn exit_of(result: &Outcome) -> Exit {
    match result {
        Outcome::Succeeded => Exit::Done,
        Outcome::NotConfirmed => Exit::NotConfirmed,
        Outcome::NotLockedInTime
        | Outcome::NotReadyInTime
        | Outcome::NotConnected
        | Outcome::NotTrusted
        | Outcome::NeedsCable
        | Outcome::NoSpace
        | Outcome::SpaceUnknown
        | Outcome::SyncLocked
        | Outcome::NoRoomOnPhone
        | Outcome::StoreUnavailable => Exit::CannotStart,
        Outcome::NoSuchBackup => Exit::NoSuch,
        Outcome::DaemonStopped => Exit::NoDaemon,
        Outcome::Cancelled
        | Outcome::CancelledOnDevice
        | Outcome::LostPower
        | Outcome::LostWifi
        | Outcome::LostLocked
        | Outcome::LostSpace
        | Outcome::LostConnection
        | Outcome::LostHostPower
        | Outcome::LostHostNetwork
        | Outcome::NoAnswer
        | Outcome::Protocol
        | Outcome::Version
        | Outcome::PhoneInternal
        | Outcome::SnapshotLeft
        | Outcome::ICloudRestore
        | Outcome::PhoneReadWrite
        | Outcome::PreviousUnreadable
        | Outcome::Encryption
        | Outcome::NoICloudAccount
        | Outcome::FindMy
        | Outcome::SetupUnfinished
        | Outcome::StoreIo
        | Outcome::NotWhole
        | Outcome::TrustDenied
        | Outcome::TrustNotAnswered
        | Outcome::WrongPassword
        | Outcome::EncryptionRequired
        | Outcome::OlderSystem
        | Outcome::SystemTooOld
        | Outcome::BackupUnreadable
        | Outcome::ClientGone
        | Outcome::BackupDamaged
        | Outcome::NotAdoptable
        | Outcome::Crashed
        | Outcome::Other(_) => Exit::Failed,
    }
}

/// Reads the job out of what a start answered.
pub(super) fn job_of(path: &str) -> Result<JobId, Failure> {
    names::job_of(path).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "the daemon answered with something that is no job",
        )
    })
}
