//! What the shell shall do. Values only: the machine never acts.

use crate::{
    Attention, BackupId, Condition, Extent, HouseMemory, Interruption, JobId, Outcome, PhoneMemory,
    RequestId, Room, StoreTrouble, Transport, Udid,
};
use std::time::Duration;

/// One thing to do. The shell does them in order.
///
/// There is no "view changed": render [`crate::Machine::view`] after each call and compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start this job. To be answered by exactly one [`crate::Event::JobEnded`].
    StartJob(StartJob),
    /// Stop this job soon; its [`crate::Event::JobEnded`] follows. Asked at most once per job.
    StopJob {
        /// Which job.
        job: JobId,
        /// Whose it is.
        phone: Option<Udid>,
        /// Why; [`StopWhy::outcome`] is the outcome to report when it stopped for this.
        why: StopWhy,
    },
    /// Read these again from the phone and report them as observations, also when that fails
    /// (as facts that are `None`).
    RefreshSignals {
        /// Which phone.
        phone: Udid,
        /// What is wanted; never empty.
        which: Vec<Signal>,
        /// What depends on it.
        why: RefreshWhy,
    },
    /// Look at the store again and report an [`crate::Event::Store`].
    RefreshStore,
    /// Tell a person; at most one a day for each phone and kind. Of a question to come, each time,
    /// before the [`Effect::StartJob`] that leads to it.
    Attention {
        /// Whom it concerns; `None` the whole house.
        phone: Option<Udid>,
        /// What about.
        attention: Attention,
    },
    /// Remove these backups of a phone, oldest first, and report [`crate::Event::BackupsKnown`].
    /// One that was pinned or is read meanwhile stays; it is asked for again at the next occasion: a
    /// commit, other rules, a start, or backups that changed while the next one has no room.
    RemoveBackups {
        /// Whose they are.
        phone: Udid,
        /// Which backups.
        backups: Vec<BackupId>,
    },
    /// Nothing of this phone is to be kept in mind any more.
    Forget(Udid),
    /// Answer a request.
    Answer {
        /// Which request.
        id: RequestId,
        /// The answer.
        answer: Result<Answer, RequestError>,
    },
    /// Keep this about a phone, in place of what was kept before.
    Remember(PhoneMemory),
    /// Keep this about the house, in place of what was kept before.
    RememberHouse(HouseMemory),
}

/// A job to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartJob {
    /// Its number.
    pub job: JobId,
    /// Whose it is; `None` for one about the whole store.
    pub phone: Option<Udid>,
    /// What it does.
    pub kind: JobKind,
    /// Who wanted it.
    pub trigger: Trigger,
    /// How much it sends.
    pub extent: Extent,
    /// How to reach the phone; `None` for an errand that does without it.
    pub transport: Option<Transport>,
    /// After a passcode was given, hold the first answer until [`crate::JobView::may_move`], for at
    /// most this long; `None` does not hold.
    pub hold_until_locked: Option<Duration>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKind {
    /// It backs a phone up.
    Backup,
    /// It pairs with a phone.
    Pair,
    /// It does one thing that a person asked for.
    Errand(Errand),
    /// It copies the whole store to another place.
    MoveStore,
}

/// One thing that a person asks of a phone or of its backups, begun at once or refused.
///
/// What it needs beside its name (passwords, file descriptors, which backup) never passes through
/// the core: the shell keeps it beside the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errand {
    /// It gives the phone's backups a password.
    EncryptionOn,
    /// It takes the password of the phone's backups away.
    EncryptionOff,
    /// It changes the password of the phone's backups.
    ChangePassword,
    /// It proves a password against a backup, without the phone.
    CheckPassword,
    /// It gives a backup back to a phone.
    Restore,
    /// It reads files out of a backup, without the phone.
    Read,
    /// It copies what was bought in the stores off the phone.
    Purchases,
    /// It switches iCloud Backup on the phone.
    ICloud,
    /// It reads a backup again, all of it.
    Verify,
    /// It takes a backup in that another program made.
    Adopt,
}

impl Errand {
    /// Lists all errands.
    pub const ALL: [Self; 10] = [
        Self::EncryptionOn,
        Self::EncryptionOff,
        Self::ChangePassword,
        Self::CheckPassword,
        Self::Restore,
        Self::Read,
        Self::Purchases,
        Self::ICloud,
        Self::Verify,
        Self::Adopt,
    ];

    /// Returns the word on the bus; the three about the password share theirs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::EncryptionOn | Self::EncryptionOff | Self::ChangePassword => "encryption",
            Self::CheckPassword => "check-password",
            Self::Restore => "restore",
            Self::Read => "read",
            Self::Purchases => "purchases",
            Self::ICloud => "icloud",
            Self::Verify => "verify",
            Self::Adopt => "adopt",
        }
    }

    /// Tells whether it talks to the phone; the others only read a backup.
    pub const fn uses_phone(self) -> bool {
        match self {
            Self::EncryptionOn
            | Self::EncryptionOff
            | Self::ChangePassword
            | Self::Restore
            | Self::Purchases
            | Self::ICloud => true,
            Self::CheckPassword | Self::Read | Self::Verify | Self::Adopt => false,
        }
    }
}

impl JobKind {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Pair => "pair",
            Self::Errand(errand) => errand.word(),
            Self::MoveStore => "move-store",
        }
    }

    /// Tells whether it talks to the phone, which does one thing at a time.
    pub const fn uses_phone(self) -> bool {
        match self {
            Self::Backup | Self::Pair => true,
            Self::Errand(errand) => errand.uses_phone(),
            Self::MoveStore => false,
        }
    }

    /// Tells whether it takes one of the slots; an errand is done at once.
    pub const fn takes_slot(self) -> bool {
        match self {
            Self::Backup | Self::Pair => true,
            Self::Errand(_) | Self::MoveStore => false,
        }
    }

    /// Tells whether it needs the store.
    pub const fn uses_store(self) -> bool {
        match self {
            Self::Backup | Self::MoveStore => true,
            Self::Pair => false,
            Self::Errand(errand) => !matches!(errand, Errand::Purchases | Errand::ICloud),
        }
    }
}

/// Who wanted a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// It was due.
    Schedule,
    /// A person asked.
    User,
}

impl Trigger {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::User => "user",
        }
    }
}

/// Why a job is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopWhy {
    /// A person asked.
    ByUser,
    /// It cannot or must not go on for the moment.
    Interrupted(Interruption),
}

impl StopWhy {
    /// Returns the outcome of a job that stopped for this.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::ByUser => Outcome::Cancelled,
            Self::Interrupted(by) => Outcome::Interrupted(by),
        }
    }
}

/// Something to read from a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Whether it accepts the pairing.
    Trust,
    /// Name, model, system, encryption, iCloud Backup.
    Identity,
    /// Power and battery.
    Power,
    /// Whether it is on the network.
    Wifi,
    /// Whether its screen is locked.
    Locked,
    /// How much data it holds.
    DataUsed,
}

impl Signal {
    /// Lists all signals.
    pub const ALL: [Self; 6] = [
        Self::Trust,
        Self::Identity,
        Self::Power,
        Self::Wifi,
        Self::Locked,
        Self::DataUsed,
    ];
}

/// What depends on a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefreshWhy {
    /// The phone appeared, or its pairing was accepted.
    Appeared,
    /// A backup is due or asked for, and this is missing or about to grow stale.
    Due,
    /// A backup runs that stops when this is lost.
    JobRuns,
    /// An edge was seen that this confirms.
    Edge,
    /// Somebody looks.
    LookedAt,
}

/// What a request led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// This job runs or waits for its turn.
    Job(JobId),
    /// It is so.
    Done,
    /// It was so already.
    AlreadyThere,
}

/// Why a request is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody knows this phone.
    #[error("there is no such phone")]
    NoSuchPhone,
    /// Nobody knows this job, or it has ended.
    #[error("there is no such job, or it has ended")]
    NoSuchJob,
    /// The phone cannot be reached.
    #[error("the phone is not connected")]
    NotConnected,
    /// Pairing works over the cable only.
    #[error("the phone is not connected by cable")]
    NeedsCable,
    /// The phone does not accept this computer's pairing.
    #[error("the phone does not trust this computer")]
    NotTrusted,
    /// The phone has a job already.
    #[error("the phone is busy with job {job}")]
    Busy {
        /// Which job.
        job: JobId,
    },
    /// Too many people read backups at once.
    #[error("too many others are reading backups: try again when one is done")]
    TooManyReaders,
    /// The backup does not fit.
    #[error("there is no room for the backup")]
    NoSpace(Room),
    /// The store cannot take backups.
    #[error("the store cannot take backups ({})", .0.word())]
    StoreUnavailable(StoreTrouble),
    /// A pause must end later than it begins.
    #[error("the pause would have ended already")]
    PauseInThePast,
    /// The whole store is being moved.
    #[error("the store is being moved by job {job}")]
    StoreMoving {
        /// By which job.
        job: JobId,
    },
    /// A job holds the store.
    #[error("the store is in use by job {job}")]
    StoreInUse {
        /// Which job.
        job: JobId,
    },
    /// A phone cannot take its own place.
    #[error("a phone cannot replace itself")]
    SamePhone,
    /// The daemon is about to end.
    #[error("the daemon is stopping")]
    Stopping,
}

/// The named errors of the bus that a refused request becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorName {
    /// `Failed`.
    Failed,
    /// `Busy`.
    Busy,
    /// `NotConnected`.
    NotConnected,
    /// `NotTrusted`.
    NotTrusted,
    /// `ConditionsNotMet`.
    ConditionsNotMet,
    /// `NoSpace`.
    NoSpace,
    /// `InvalidOption`.
    InvalidOption,
}

impl RequestError {
    /// Returns the bus error it becomes.
    pub const fn name(&self) -> ErrorName {
        match self {
            Self::NoSuchPhone | Self::NoSuchJob => ErrorName::Failed,
            Self::NotConnected | Self::NeedsCable => ErrorName::NotConnected,
            Self::NotTrusted => ErrorName::NotTrusted,
            Self::Busy { .. }
            | Self::TooManyReaders
            | Self::StoreMoving { .. }
            | Self::StoreInUse { .. } => ErrorName::Busy,
            Self::NoSpace(_) => ErrorName::NoSpace,
            Self::StoreUnavailable(_) | Self::Stopping => ErrorName::ConditionsNotMet,
            Self::PauseInThePast | Self::SamePhone => ErrorName::InvalidOption,
        }
    }
}

impl Condition {
    /// Returns the signals that bear on this condition.
    pub const fn signals(self) -> &'static [Signal] {
        match self {
            Self::Power => &[Signal::Power],
            Self::Wifi => &[Signal::Wifi],
            Self::Locked => &[Signal::Locked],
            Self::Space => &[Signal::DataUsed],
        }
    }
}
