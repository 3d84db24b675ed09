//! How a job ended, and what that means for the next try.
//!
//! An outcome is a fact with one word. Only [`Failure`]s are failures: a passcode nobody gave
//! or a cable somebody pulled is an ordinary evening.

use crate::{BackupFacts, BackupId, Condition, Wall};

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retry {
    /// The same try would end the same way, until something is replaced or updated.
    Never,
    /// By itself, after a while.
    Later,
    /// After a person did something, and not before.
    UserMustAct,
}

/// What went wrong. The numbers are MBErrorDomain codes (phone.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The phone was not there to begin with.
    NotConnected,
    /// The phone does not accept this computer's pairing.
    NotTrusted,
    /// The phone did not answer in time.
    NoAnswer,
    /// The phone said what the protocol does not allow.
    Protocol,
    /// The phone and this program share no protocol version (203).
    Version,
    /// The phone reported an internal error (1, or a code nobody knows).
    PhoneInternal,
    /// A snapshot was left on the phone; restarting it helps (3).
    SnapshotLeft,
    /// The phone is being restored from iCloud (25).
    ICloudRestore,
    /// The phone could not read or write its own files (100 to 104).
    PhoneReadWrite,
    /// There was no room in the store (105, or our own count).
    NoSpace,
    /// How much room is needed could not be learned in time.
    SpaceUnknown,
    /// The phone could not read the previous backup (205).
    PreviousUnreadable,
    /// The backup password is wrong, or encryption is required (207).
    Encryption,
    /// The phone has no iCloud account for what was asked (210).
    NoICloudAccount,
    /// Find My is on (211).
    FindMy,
    /// The phone's setup is not finished (212).
    SetupUnfinished,
    /// Another program holds the phone's sync lock.
    SyncLocked,
    /// Writing or reading the store failed.
    StoreIo,
    /// The store cannot take backups.
    StoreUnavailable,
    /// What arrived is not a whole backup; it was not committed.
    NotWhole,
    /// The phone's owner declined to trust this computer.
    TrustDenied,
    /// The phone's owner did not answer whether to trust this computer.
    TrustNotAnswered,
    /// Pairing needs the cable, and there is none.
    NeedsCable,
    /// The password is not the one of this backup or phone (207, or our own proof).
    WrongPassword,
    /// The phone's management demands encrypted backups.
    EncryptionRequired,
    /// The phone's system is older than the backup's.
    OlderSystem,
    /// The phone's system is older than what is spoken here.
    SystemTooOld,
    /// What is to be restored does not fit on the phone.
    NoRoomOnPhone,
    /// There is no such backup.
    NoSuchBackup,
    /// What lies in the store cannot be read as a backup.
    BackupUnreadable,
    /// Who asked for the files has gone away.
    ClientGone,
    /// Reading a backup again found damage.
    BackupDamaged,
    /// What another program made cannot be taken in.
    NotAdoptable,
    /// The job itself broke: a bug of ours.
    Crashed,
}

impl Failure {
    /// Lists every failure.
    pub const ALL: [Self; 34] = [
        Self::NotConnected,
        Self::NotTrusted,
        Self::NoAnswer,
        Self::Protocol,
        Self::Version,
        Self::PhoneInternal,
        Self::SnapshotLeft,
        Self::ICloudRestore,
        Self::PhoneReadWrite,
        Self::NoSpace,
        Self::SpaceUnknown,
        Self::PreviousUnreadable,
        Self::Encryption,
        Self::NoICloudAccount,
        Self::FindMy,
        Self::SetupUnfinished,
        Self::SyncLocked,
        Self::StoreIo,
        Self::StoreUnavailable,
        Self::NotWhole,
        Self::TrustDenied,
        Self::TrustNotAnswered,
        Self::NeedsCable,
        Self::WrongPassword,
        Self::EncryptionRequired,
        Self::OlderSystem,
        Self::SystemTooOld,
        Self::NoRoomOnPhone,
        Self::NoSuchBackup,
        Self::BackupUnreadable,
        Self::ClientGone,
        Self::BackupDamaged,
        Self::NotAdoptable,
        Self::Crashed,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotConnected => "not-connected",
            Self::NotTrusted => "not-trusted",
            Self::NoAnswer => "no-answer",
            Self::Protocol => "protocol",
            Self::Version => "version",
            Self::PhoneInternal => "phone-internal",
            Self::SnapshotLeft => "snapshot-left",
            Self::ICloudRestore => "icloud-restore",
            Self::PhoneReadWrite => "phone-read-write",
            Self::NoSpace => "no-space",
            Self::SpaceUnknown => "space-unknown",
            Self::PreviousUnreadable => "previous-unreadable",
            Self::Encryption => "encryption",
            Self::NoICloudAccount => "no-icloud-account",
            Self::FindMy => "find-my",
            Self::SetupUnfinished => "setup-unfinished",
            Self::SyncLocked => "sync-locked",
            Self::StoreIo => "store-io",
            Self::StoreUnavailable => "store-unavailable",
            Self::NotWhole => "not-whole",
            Self::TrustDenied => "trust-denied",
            Self::TrustNotAnswered => "trust-not-answered",
            Self::NeedsCable => "needs-cable",
            Self::WrongPassword => "wrong-password",
            Self::EncryptionRequired => "encryption-required",
            Self::OlderSystem => "older-system",
            Self::SystemTooOld => "system-too-old",
            Self::NoRoomOnPhone => "no-room-on-phone",
            Self::NoSuchBackup => "no-such-backup",
            Self::BackupUnreadable => "backup-unreadable",
            Self::ClientGone => "client-gone",
            Self::BackupDamaged => "backup-damaged",
            Self::NotAdoptable => "not-adoptable",
            Self::Crashed => "crashed",
        }
    }

    /// Tells whether trying again can help.
    pub const fn retry(self) -> Retry {
        match self {
            Self::NotConnected
            | Self::NoAnswer
            | Self::Protocol
            | Self::PhoneInternal
            | Self::ICloudRestore
            | Self::PhoneReadWrite
            | Self::SpaceUnknown
            | Self::PreviousUnreadable
            | Self::SyncLocked
            | Self::StoreIo
            | Self::NotWhole
            | Self::Crashed => Retry::Later,
            Self::NotTrusted
            | Self::SnapshotLeft
            | Self::NoSpace
            | Self::Encryption
            | Self::NoICloudAccount
            | Self::FindMy
            | Self::SetupUnfinished
            | Self::StoreUnavailable
            | Self::TrustDenied
            | Self::TrustNotAnswered
            | Self::NeedsCable
            | Self::WrongPassword
            | Self::EncryptionRequired
            | Self::OlderSystem
            | Self::NoRoomOnPhone
            | Self::ClientGone
            | Self::NotAdoptable => Retry::UserMustAct,
            Self::Version
            | Self::SystemTooOld
            | Self::NoSuchBackup
            | Self::BackupUnreadable
            | Self::BackupDamaged => Retry::Never,
        }
    }
}

/// What broke off a job that could go on later from where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interruption {
    /// A condition was lost, and the policy's table says stop.
    Lost(Condition),
    /// The phone went away.
    ConnectionLost,
    /// This computer ran from its own battery for too long.
    HostPower,
    /// This computer came to a network that is not fit for backups.
    HostNetwork,
    /// The daemon was asked to end.
    Stopping,
}

impl Interruption {
    /// Lists every interruption.
    pub const ALL: [Self; 8] = [
        Self::Lost(Condition::Power),
        Self::Lost(Condition::Wifi),
        Self::Lost(Condition::Locked),
        Self::Lost(Condition::Space),
        Self::ConnectionLost,
        Self::HostPower,
        Self::HostNetwork,
        Self::Stopping,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost(Condition::Power) => "lost-power",
            Self::Lost(Condition::Wifi) => "lost-wifi",
            Self::Lost(Condition::Locked) => "lost-locked",
            Self::Lost(Condition::Space) => "lost-space",
            Self::ConnectionLost => "lost-connection",
            Self::HostPower => "lost-host-power",
            Self::HostNetwork => "lost-host-network",
            Self::Stopping => "daemon-stopped",
        }
    }
}

/// How a job ended, in full. The shell hands one back for every [`crate::Effect::StartJob`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A backup is committed.
    BackedUp(BackupFacts),
    /// The phone trusts this computer.
    Paired,
    /// The errand is done.
    Done,
    /// The password is this backup's.
    PasswordProved(BackupId),
    /// Another program's backup was taken in as this one, or was here already.
    Adopted(BackupId),
    /// A person ended it here.
    Cancelled,
    /// A person ended it on the phone.
    CancelledOnDevice,
    /// The phone asked for its passcode and nobody gave it (208).
    NotConfirmed,
    /// The passcode was given, and the screen not locked in time.
    NotLockedInTime,
    /// Asked for "when ready", and the conditions never held together in time.
    NotReadyInTime,
    /// Broken off; what arrived is kept and the next run resumes.
    Interrupted(Interruption),
    /// It went wrong.
    Failed {
        /// How.
        failure: Failure,
        /// The error in its own words, for the log and the details; no secrets, short.
        detail: String,
    },
}

impl Outcome {
    /// Makes a failure.
    pub fn failed(failure: Failure, detail: impl Into<String>) -> Self {
        Self::Failed {
            failure,
            detail: detail.into(),
        }
    }

    /// Translates the error code with which the phone ended a conversation (phone.md §5).
    /// `None` for 0, which is success.
    pub fn of_phone_code(code: i64, detail: impl Into<String>) -> Option<Self> {
        let failure = match code {
            0 => return None,
            202 => return Some(Self::CancelledOnDevice),
            208 => return Some(Self::NotConfirmed),
            3 => Failure::SnapshotLeft,
            25 => Failure::ICloudRestore,
            100..=104 => Failure::PhoneReadWrite,
            105 => Failure::NoSpace,
            203 => Failure::Version,
            205 => Failure::PreviousUnreadable,
            207 => Failure::Encryption,
            210 => Failure::NoICloudAccount,
            211 => Failure::FindMy,
            212 => Failure::SetupUnfinished,
            _ => Failure::PhoneInternal,
        };
        Some(Self::failed(failure, detail))
    }

    /// Returns the error in its own words; empty without one.
    pub fn detail(&self) -> &str {
        if let Self::Failed { detail, .. } = self {
            detail
        } else {
            ""
        }
    }

    /// Returns the outcome without its particulars.
    pub const fn result(&self) -> JobResult {
        match self {
            Self::BackedUp(_)
            | Self::Paired
            | Self::Done
            | Self::PasswordProved(_)
            | Self::Adopted(_) => JobResult::Succeeded,
            Self::Cancelled => JobResult::Cancelled,
            Self::CancelledOnDevice => JobResult::CancelledOnDevice,
            Self::NotConfirmed => JobResult::NotConfirmed,
            Self::NotLockedInTime => JobResult::NotLockedInTime,
            Self::NotReadyInTime => JobResult::NotReadyInTime,
            Self::Interrupted(by) => JobResult::Interrupted(*by),
            Self::Failed { failure, .. } => JobResult::Failed(*failure),
        }
    }
}

/// How a job ended, as one word that can be kept: `Job.Result`, `Phone.LastResult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobResult {
    /// Done.
    Succeeded,
    /// A person ended it here.
    Cancelled,
    /// A person ended it on the phone.
    CancelledOnDevice,
    /// Nobody gave the passcode.
    NotConfirmed,
    /// The screen was not locked in time.
    NotLockedInTime,
    /// The conditions never held together in time.
    NotReadyInTime,
    /// Broken off, to be resumed.
    Interrupted(Interruption),
    /// It went wrong.
    Failed(Failure),
}

impl JobResult {
    /// Lists every result.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::Succeeded,
            Self::Cancelled,
            Self::CancelledOnDevice,
            Self::NotConfirmed,
            Self::NotLockedInTime,
            Self::NotReadyInTime,
        ]
        .into_iter()
        .chain(Interruption::ALL.into_iter().map(Self::Interrupted))
        .chain(Failure::ALL.into_iter().map(Self::Failed))
    }

    /// Returns the word on the bus; all differ.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::CancelledOnDevice => "cancelled-on-device",
            Self::NotConfirmed => "not-confirmed",
            Self::NotLockedInTime => "not-locked-in-time",
            Self::NotReadyInTime => "not-ready-in-time",
            Self::Interrupted(by) => by.word(),
            Self::Failed(failure) => failure.word(),
        }
    }

    /// Finds the result with this word.
    ///
    /// ```
    /// use ibak_core::{Failure, JobResult};
    /// assert_eq!(JobResult::parse("no-space"), Some(JobResult::Failed(Failure::NoSpace)));
    /// assert_eq!(JobResult::parse("?"), None);
    /// ```
    pub fn parse(word: &str) -> Option<Self> {
        Self::all().find(|it| it.word() == word)
    }

    /// Returns the state of a job that ended so.
    pub const fn job_state(self) -> JobState {
        match self {
            Self::Succeeded => JobState::Succeeded,
            Self::Cancelled | Self::CancelledOnDevice => JobState::Cancelled,
            Self::NotConfirmed
            | Self::NotLockedInTime
            | Self::NotReadyInTime
            | Self::Interrupted(_)
            | Self::Failed(_) => JobState::Failed,
        }
    }
}

/// A job's state on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// It goes on; also while it waits for its turn.
    Running,
    /// It did what was asked.
    Succeeded,
    /// It did not.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl JobState {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The result of a phone's last backup, with its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastResult {
    /// How it ended.
    pub result: JobResult,
    /// When it ended.
    pub at: Wall,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_is_unique_and_parses_back() {
        let words: BTreeSet<&str> = JobResult::all().map(JobResult::word).collect();
        assert_eq!(words.len(), JobResult::all().count());
        for result in JobResult::all() {
            assert_eq!(JobResult::parse(result.word()), Some(result));
            assert!(
                result
                    .word()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{}",
                result.word()
            );
        }
    }

    #[test]
    fn codes_of_the_phone() {
        let word = |code| Outcome::of_phone_code(code, "").map(|it| it.result().word());
        for (code, want) in [
            (0, None),
            (1, Some("phone-internal")),
            (3, Some("snapshot-left")),
            (25, Some("icloud-restore")),
            (100, Some("phone-read-write")),
            (104, Some("phone-read-write")),
            (105, Some("no-space")),
            (202, Some("cancelled-on-device")),
            (203, Some("version")),
            (205, Some("previous-unreadable")),
            (207, Some("encryption")),
            (208, Some("not-confirmed")),
            (210, Some("no-icloud-account")),
            (211, Some("find-my")),
            (212, Some("setup-unfinished")),
            (-1, Some("phone-internal")),
            (i64::MAX, Some("phone-internal")),
        ] {
            assert_eq!(word(code), want, "{code}");
        }
    }
}
