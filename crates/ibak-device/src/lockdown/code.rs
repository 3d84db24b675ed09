//! The reasons a phone's lockdown service gives.

use crate::Retry;
use std::fmt;

/// Longest unknown reason that is kept, in characters: it is a phone's text.
const OTHER_LEN_MAX: usize = 64;

/// Why lockdown declined (names: corpus, lockdown/replies.json).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockdownCode {
    /// There is no such value.
    MissingValue,
    /// The value must not be read.
    GetProhibited,
    /// The value must not be written.
    SetProhibited,
    /// The phone is locked. It says so to any computer, paired or not.
    PasswordProtected,
    /// The person tapped "Don't Trust".
    UserDeniedPairing,
    /// The trust question is on the screen.
    PairingDialogResponsePending,
    /// Pairing works by cable only.
    PairingProhibitedOverThisConnection,
    /// The phone does not know this computer (any more).
    InvalidHostId,
    /// The phone does not take the certificates of this pairing (any more).
    InvalidPairRecord,
    /// The session was closed.
    SessionInactive,
    /// There is no such service.
    InvalidService,
    /// The service is not given to this computer.
    ServiceProhibited,
    /// Too many services at once.
    ServiceLimit,
    /// The escrow bag opens nothing before the first unlock after a restart.
    EscrowLocked,
    /// A management profile forbids it.
    MCProtected,
    /// Another reason; untrusted text, shortened.
    Other(String),
}

impl LockdownCode {
    /// Reads a reason.
    pub fn parse(text: &str) -> Self {
        match text {
            "MissingValue" => Self::MissingValue,
            "GetProhibited" => Self::GetProhibited,
            "SetProhibited" => Self::SetProhibited,
            "PasswordProtected" => Self::PasswordProtected,
            "UserDeniedPairing" => Self::UserDeniedPairing,
            "PairingDialogResponsePending" => Self::PairingDialogResponsePending,
            "PairingProhibitedOverThisConnection" => Self::PairingProhibitedOverThisConnection,
            "InvalidHostID" => Self::InvalidHostId,
            "InvalidPairRecord" => Self::InvalidPairRecord,
            "SessionInactive" => Self::SessionInactive,
            "InvalidService" => Self::InvalidService,
            "ServiceProhibited" => Self::ServiceProhibited,
            "ServiceLimit" => Self::ServiceLimit,
            "EscrowLocked" => Self::EscrowLocked,
            "MCProtected" => Self::MCProtected,
            other => Self::Other(
                other
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(OTHER_LEN_MAX)
                    .collect(),
            ),
        }
    }

    /// Says whether the phone does not know this computer.
    pub const fn is_not_paired(&self) -> bool {
        matches!(self, Self::InvalidHostId | Self::InvalidPairRecord)
    }

    /// Says whether the phone just does not tell, so that the value is unknown.
    pub(crate) const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::GetProhibited | Self::PasswordProtected | Self::Other(_)
        )
    }

    /// Says whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::PasswordProtected
            | Self::UserDeniedPairing
            | Self::PairingDialogResponsePending
            | Self::PairingProhibitedOverThisConnection
            | Self::InvalidHostId
            | Self::InvalidPairRecord
            | Self::EscrowLocked
            | Self::MCProtected => Retry::UserMustAct,
            Self::SessionInactive | Self::ServiceLimit | Self::Other(_) => Retry::Later,
            Self::MissingValue
            | Self::GetProhibited
            | Self::SetProhibited
            | Self::InvalidService
            | Self::ServiceProhibited => Retry::Never,
        }
    }

    /// Says in a sentence what a person can do, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::PasswordProtected => Some("Unlock the phone."),
            Self::UserDeniedPairing => Some(
                "Unplug the phone, plug it in again, tap Trust, and enter the phone's passcode.",
            ),
            Self::PairingDialogResponsePending => {
                Some("Tap Trust on the phone and enter its passcode.")
            }
            Self::PairingProhibitedOverThisConnection => Some("Connect the phone by cable."),
            Self::InvalidHostId | Self::InvalidPairRecord => {
                Some("Connect the phone by cable and pair it again.")
            }
            Self::EscrowLocked => Some("Unlock the phone once after its restart."),
            Self::MCProtected => {
                Some("Ask whoever manages the phone to allow pairing with computers.")
            }
            Self::MissingValue
            | Self::GetProhibited
            | Self::SetProhibited
            | Self::SessionInactive
            | Self::InvalidService
            | Self::ServiceProhibited
            | Self::ServiceLimit
            | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for LockdownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingValue => "the phone has no such value",
            Self::GetProhibited => "the phone does not let the value be read",
            Self::SetProhibited => "the phone does not let the value be written",
            Self::PasswordProtected => "the phone is locked",
            Self::UserDeniedPairing => "trust was denied on the phone",
            Self::PairingDialogResponsePending => {
                "the phone is asking whether to trust this computer"
            }
            Self::PairingProhibitedOverThisConnection => "pairing works by cable only",
            Self::InvalidHostId => "the phone does not know this computer",
            Self::InvalidPairRecord => "the phone does not accept this pairing any more",
            Self::SessionInactive => "the phone closed the session",
            Self::InvalidService => "the phone has no such service",
            Self::ServiceProhibited => "the phone does not give this service",
            Self::ServiceLimit => "too many services are open on the phone",
            Self::EscrowLocked => "the phone was not unlocked since it started",
            Self::MCProtected => "a management profile forbids it",
            Self::Other(text) => return write!(f, "the phone declined: {text}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, want) in [
            ("InvalidHostID", LockdownCode::InvalidHostId),
            ("PasswordProtected", LockdownCode::PasswordProtected),
            ("UserDeniedPairing", LockdownCode::UserDeniedPairing),
            ("NoSuchThing", LockdownCode::Other("NoSuchThing".into())),
            ("a\u{1b}[31mb", LockdownCode::Other("a[31mb".into())),
        ] {
            assert_eq!(LockdownCode::parse(text), want);
        }
        let long = LockdownCode::parse(&"x".repeat(10_000));
        assert_eq!(long, LockdownCode::Other("x".repeat(OTHER_LEN_MAX)));
    }
}
