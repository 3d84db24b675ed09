//! Everything that can go wrong between here and the phone, and what may be done about it.

use crate::lockdown::LockdownCode;
use crate::wire::Refusal;
use ibak_core::Udid;
use idevice::IdeviceError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same will happen again.
    Never,
    /// It may pass by itself.
    Later,
    /// Somebody has to do something first; [`DeviceError::remedy`] says what.
    UserMustAct,
}

/// Why usbmuxd declined a request (its `Result` numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuxRefusal {
    /// 1: it does not know the request.
    #[error("it does not know the request")]
    BadCommand,
    /// 2: the phone has gone, or there is no such record.
    #[error("it does not know the phone")]
    BadDevice,
    /// 3: nothing listens at that port of the phone.
    #[error("the phone refused the connection")]
    ConnectionRefused,
    /// 6: it speaks another version of its protocol.
    #[error("it speaks another version")]
    BadVersion,
    /// Any other number.
    #[error("it answered with number {0}")]
    Other(u64),
}

/// The error of this crate. Holds no secrets; texts from a phone are untrusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Nothing answers at usbmuxd's address.
    #[error("usbmuxd cannot be reached at {address}: {reason}")]
    MuxUnavailable {
        /// The address as it would be written in the environment.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// usbmuxd takes connections and answers nothing.
    #[error("usbmuxd at {address} takes connections and does not answer")]
    MuxMute {
        /// The address as it would be written in the environment.
        address: String,
    },
    /// usbmuxd declined.
    #[error("usbmuxd declined: {0}")]
    MuxRefused(MuxRefusal),
    /// The phone's network address does not take connections.
    #[error("the phone cannot be reached at {address}: {reason}")]
    Unreachable {
        /// Address and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// A step had a deadline and passed it.
    #[error("{what}: no answer within {after:?}")]
    TimedOut {
        /// The step.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The connection broke.
    #[error("{what}: the connection broke")]
    Io {
        /// The step.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A message was outside the limits and never reached a parser.
    #[error("{what}: the phone sent what is refused: {reason}")]
    Refused {
        /// The step.
        what: &'static str,
        /// The rule that was broken.
        reason: String,
    },
    /// An answer came that makes no sense here.
    #[error("{what}: the answer is not understood: {reason}")]
    Protocol {
        /// The step.
        what: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// The phone's lockdown service said no.
    #[error("{what}: {code}")]
    Lockdown {
        /// The step.
        what: &'static str,
        /// Its reason.
        code: LockdownCode,
    },
    /// The other end wants to talk without encryption.
    #[error("{what}: the other end offers no encryption, and without it nobody is believed")]
    NoTls {
        /// The step.
        what: &'static str,
    },
    /// The other end has another key than the phone that was paired, or cannot prove that it has it.
    #[error("{what}: the other end is not the phone that was paired")]
    WrongKey {
        /// The step.
        what: &'static str,
    },
    /// TLS failed in another way.
    #[error("{what}: encryption failed: {reason}")]
    Tls {
        /// The step.
        what: &'static str,
        /// What the TLS library said.
        reason: String,
    },
    /// The phone proved its key and is nevertheless another one than asked for.
    #[error("the phone says it is {found}, not {expected}")]
    WrongPhone {
        /// Who was asked for.
        expected: Udid,
        /// Who answered; untrusted text.
        found: String,
    },
    /// There is no pairing of ours with this phone.
    #[error("this computer is not paired with the phone")]
    NotPaired,
    /// A pairing record lacks something or cannot be read.
    #[error("the pairing record is unusable: {0}")]
    BadRecord(&'static str),
    /// The directory of pairing records.
    #[error("the pairing record store failed at {path}")]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody looks at the phone's records who must not.
    #[error("{path} must belong to this user and be closed to others (it has mode {mode:o})")]
    StoreOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another program holds the phone's sync lock.
    #[error("another program is syncing with the phone")]
    SyncLockBusy,
    /// A service of the phone failed.
    #[error("{service}: {reason}")]
    Service {
        /// Its name.
        service: &'static str,
        /// What happened.
        reason: String,
    },
    /// The person did not answer the trust question in time.
    #[error("nobody answered the question on the phone within {after:?}")]
    TrustNotAnswered {
        /// How long was waited.
        after: Duration,
        /// Whether the phone was locked at the end, so that it could not even ask.
        locked: bool,
    },
    /// The phone's iOS is older than [`crate::OLDEST_IOS`].
    #[error("the phone has iOS {version}; iOS {}.{} is the oldest that works", crate::OLDEST_IOS.0, crate::OLDEST_IOS.1)]
    TooOld {
        /// Its version, as it says; at most 16 characters of digits and dots.
        version: String,
    },
    /// Pairing works by cable only.
    #[error("pairing works by cable only")]
    PairingNeedsCable,
    /// The keys of a new pairing could not be made.
    #[error("the keys for the pairing cannot be made: {0}")]
    Keys(String),
    /// The mDNS daemon or the USB library cannot run here.
    #[error("{what} is not available: {reason}")]
    Unavailable {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl DeviceError {
    /// Turns an I/O error of the step `what` into ours; a guard's refusal keeps its meaning.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Refusal>())
        {
            Some(refusal) => Self::refused(what, refusal.0.clone()),
            None => Self::Io { what, source },
        }
    }

    /// Makes the error of a message that never reached a parser.
    pub(crate) fn refused(what: &'static str, reason: String) -> Self {
        Self::Refused { what, reason }
    }

    /// Turns an error of the phone library into ours.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's errors are many and only one is special"
    )]
    pub(crate) fn service(service: &'static str) -> impl FnOnce(IdeviceError) -> Self {
        move |error| match error {
            IdeviceError::Socket(source) => Self::io(service)(source),
            other => Self::Service {
                service,
                reason: other.to_string(),
            },
        }
    }

    /// Says whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::MuxUnavailable { .. }
            | Self::MuxMute { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Io { .. }
            | Self::Service { .. }
            | Self::SyncLockBusy
            | Self::Unavailable { .. } => Retry::Later,
            Self::MuxRefused(refusal) => match refusal {
                MuxRefusal::BadDevice | MuxRefusal::ConnectionRefused | MuxRefusal::Other(_) => {
                    Retry::Later
                }
                MuxRefusal::BadCommand | MuxRefusal::BadVersion => Retry::Never,
            },
            Self::Lockdown { code, .. } => code.retry(),
            Self::WrongKey { .. }
            | Self::NotPaired
            | Self::BadRecord(_)
            | Self::Store { .. }
            | Self::StoreOpen { .. }
            | Self::TrustNotAnswered { .. }
            | Self::TooOld { .. }
            | Self::PairingNeedsCable => Retry::UserMustAct,
            Self::Refused { .. }
            | Self::Protocol { .. }
            | Self::NoTls { .. }
            | Self::Tls { .. }
            | Self::WrongPhone { .. }
            | Self::Keys(_) => Retry::Never,
        }
    }

    /// Says in a sentence what a person can do, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::MuxUnavailable { .. } => Some(
                "Plug the phone in; usbmuxd starts with the first phone. If it does not, install usbmuxd.",
            ),
            Self::MuxMute { .. } => Some(
                "Unplug the phone and plug it in again; if that does not help, restart usbmuxd.",
            ),
            Self::Unreachable { .. } => {
                Some("Wake the phone, or look whether a firewall stands between.")
            }
            Self::Lockdown { code, .. } => code.remedy(),
            Self::WrongKey { .. } => Some(
                "Somebody may be posing as the phone. If the phone was erased or restored, pair it again by cable.",
            ),
            Self::NotPaired | Self::BadRecord(_) => Some("Connect the phone by cable and pair it."),
            Self::StoreOpen { .. } => Some("Take the permissions of the group and of others away."),
            Self::SyncLockBusy => Some("Let the other program finish, or close it."),
            Self::TrustNotAnswered { locked: true, .. } => {
                Some("Unlock the phone, tap Trust, and enter its passcode.")
            }
            Self::TrustNotAnswered { locked: false, .. } => {
                Some("Tap Trust on the phone and enter its passcode.")
            }
            Self::PairingNeedsCable => Some("Connect the phone by cable."),
            Self::TooOld { .. } => Some(crate::version::REMEDY),
            Self::MuxRefused(_)
            | Self::TimedOut { .. }
            | Self::Io { .. }
            | Self::Refused { .. }
            | Self::Protocol { .. }
            | Self::NoTls { .. }
            | Self::Tls { .. }
            | Self::WrongPhone { .. }
            | Self::Store { .. }
            | Self::Service { .. }
            | Self::Keys(_)
            | Self::Unavailable { .. } => None,
        }
    }

    /// Says whether the phone told us that it does not know this computer.
    pub fn is_not_paired(&self) -> bool {
        matches!(self, Self::NotPaired)
            || matches!(self, Self::Lockdown { code, .. } if code.is_not_paired())
    }
}
