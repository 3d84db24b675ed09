//! What each room's error means to the core.

use ibak_core::{Failure, Interruption, Outcome};
use ibak_device::{DeviceError, LockdownCode};
use ibak_store::{ErrorKind, StoreError};

/// Converts how the conversation ended without a whole backup; `None` for a finished one, and for
/// a cancelled one, whose reason its canceller knows.
pub(super) fn of_conversation(outcome: &ibak_mobilebackup2::Outcome) -> Option<Outcome> {
    use ibak_mobilebackup2::{Outcome as Talk, VaultErrorKind};
    Some(match outcome {
        Talk::Finished | Talk::Cancelled => return None,
        Talk::Refused { error, description } => {
            return Outcome::of_phone_code(error.code(), description.clone());
        }
        Talk::NotConfirmed => Outcome::NotConfirmed,
        Talk::NotLockedInTime => Outcome::NotLockedInTime,
        Talk::CancelledOnDevice => Outcome::CancelledOnDevice,
        Talk::HostFailed { error } => match error.kind {
            VaultErrorKind::NoSpace => Outcome::failed(Failure::NoSpace, error.message.clone()),
            VaultErrorKind::Refused => Outcome::failed(Failure::Protocol, error.message.clone()),
            VaultErrorKind::NotFound
            | VaultErrorKind::Exists
            | VaultErrorKind::NotDirectory
            | VaultErrorKind::IsDirectory
            | VaultErrorKind::Loop
            | VaultErrorKind::Io
            | VaultErrorKind::Other => Outcome::failed(Failure::StoreIo, error.message.clone()),
        },
        Talk::Timeout { phase, after } => Outcome::failed(
            Failure::NoAnswer,
            format!(
                "nothing came for {} s while {}",
                after.as_secs(),
                phase.as_str()
            ),
        ),
        Talk::Disconnected { .. } => Outcome::Interrupted(Interruption::ConnectionLost),
        Talk::Protocol { phase, what } => Outcome::failed(
            Failure::Protocol,
            format!("{what} while {}", phase.as_str()),
        ),
    })
}

/// Converts an error of the store.
pub(super) fn of_store(error: &StoreError) -> Outcome {
    let failure = match (error, error.kind()) {
        (StoreError::Incomplete(_), _) => Failure::NotWhole,
        (_, ErrorKind::NoSpace) => Failure::NoSpace,
        (
            _,
            ErrorKind::NotFound
            | ErrorKind::Exists
            | ErrorKind::NotDirectory
            | ErrorKind::IsDirectory
            | ErrorKind::Loop
            | ErrorKind::Io
            | ErrorKind::Refused
            | ErrorKind::Other,
        ) => Failure::StoreIo,
    };
    Outcome::failed(failure, error.to_string())
}

/// Converts an error on the way to the phone.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the device's error is non-exhaustive"
)]
pub(super) fn of_device(error: &DeviceError) -> Outcome {
    let failure = match error {
        DeviceError::MuxUnavailable { .. }
        | DeviceError::MuxRefused(_)
        | DeviceError::Unreachable { .. } => Failure::NotConnected,
        DeviceError::Io { .. } => return Outcome::Interrupted(Interruption::ConnectionLost),
        DeviceError::MuxMute { .. } | DeviceError::TimedOut { .. } => Failure::NoAnswer,
        DeviceError::NotPaired
        | DeviceError::WrongKey { .. }
        | DeviceError::NoTls { .. }
        | DeviceError::WrongPhone { .. } => Failure::NotTrusted,
        DeviceError::Lockdown { code, .. } => match code {
            LockdownCode::UserDeniedPairing => Failure::TrustDenied,
            code if code.is_not_paired() => Failure::NotTrusted,
            _ => Failure::PhoneInternal,
        },
        DeviceError::SyncLockBusy => Failure::SyncLocked,
        DeviceError::TooOld { .. } => Failure::SystemTooOld,
        DeviceError::TrustNotAnswered { .. } => Failure::TrustNotAnswered,
        DeviceError::PairingNeedsCable => Failure::NeedsCable,
        DeviceError::Store { .. } | DeviceError::StoreOpen { .. } => Failure::StoreIo,
        DeviceError::BadRecord(_) | DeviceError::Keys(_) => Failure::NotTrusted,
        _ => Failure::Protocol,
    };
    Outcome::failed(failure, error.to_string())
}
