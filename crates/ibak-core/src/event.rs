//! What happens to the machine: facts, requests, jobs that move on and end, and time.

use crate::{
    Bytes, JobId, LastResult, Observation, Outcome, PhoneBackups, Policies, StoreObservation, Udid,
    Wall,
};

/// One thing that happened. The shell turns everything it notices into one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time: the deadline came, the machine woke from sleep, or the wall clock jumped.
    Tick,
    /// A fact about a phone was seen.
    Observed(Observation),
    /// Somebody looks at this phone (`ibakctl why`): its signals are worth re-reading for a minute.
    LookedAt(Udid),
    /// The store was looked at.
    Store(StoreObservation),
    /// The store is recovered, and this is all it holds. Before this nothing starts, and after a
    /// move nothing until this or [`crate::RELOAD_MAX`].
    StoreRecovered(Vec<(Udid, PhoneBackups)>),
    /// What the store holds of one phone, read after a job of it ended or its backups were changed
    /// otherwise. Retention waits for it after each job that used the store.
    BackupsKnown(Udid, PhoneBackups),
    /// What was kept about one phone before a restart. Comes before the first observation.
    Recalled(PhoneMemory),
    /// What was kept about the whole house before a restart.
    RecalledHouse(HouseMemory),
    /// Old backups of a phone were removed to make room for the one that runs.
    MadeRoom {
        /// Whose they were.
        phone: Udid,
        /// How many.
        removed: u32,
        /// What that freed.
        freed: Bytes,
    },
    /// Reading again found so many backups of a phone damaged that were not known to be.
    DamageFound(Udid, u32),
    /// New policies hold from here on.
    PoliciesChanged(Policies),
    /// How usbmuxd is.
    Muxer(MuxerState),
    /// How many Apple devices the USB bus itself shows; `None` without a USB stack.
    AppleOnUsb(Option<u32>),
    /// How this computer itself is.
    Host(crate::Host),
    /// How local time follows from UTC here; told again when the house's time zone changes, and
    /// before the last change it lists.
    Zone(crate::Zone),
    /// A person asks for something; answered by exactly one [`crate::Effect::Answer`].
    Requested {
        /// The shell's own number for the request.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// A job entered another phase.
    JobPhase(JobId, Phase),
    /// A job moved on. At most twice a second is the shell's promise.
    JobProgress(JobId, Progress),
    /// A job ended, however that came about. Exactly one for every [`crate::Effect::StartJob`].
    JobEnded(JobId, Outcome),
    /// The calendar's next time is known; `None` when it has no further one.
    SchedulePlanned(Option<Wall>),
    /// A time of the calendar came: with [`crate::policy::Cadence::Calendar`] a backup is due.
    ScheduleFired,
    /// The daemon is about to end: nothing starts any more, and what runs is stopped.
    Stopping,
}

/// The shell's own number for a request, handed back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a person can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Back up this phone.
    BackUp {
        /// Which phone.
        phone: Udid,
        /// At once (Apple's "Back Up Now"), or when the conditions hold.
        when: When,
        /// Whether everything is sent again.
        full: Extent,
    },
    /// Pair with this phone, over its cable.
    Pair {
        /// Which phone.
        phone: Udid,
    },
    /// Do this errand.
    Errand {
        /// The phone, or whose backups it is about.
        phone: Udid,
        /// What to do.
        errand: crate::Errand,
    },
    /// End this job.
    Cancel {
        /// Which job.
        job: JobId,
    },
    /// Start nothing automatically, until this moment or until resumed.
    Pause {
        /// The end of the pause; `None` has no end.
        until: Option<Wall>,
    },
    /// End the pause.
    Resume,
    /// Bound what one phone's backups may take on the disk.
    SetQuota {
        /// Which phone.
        phone: Udid,
        /// The most they may take; `None` for no bound of their own.
        quota: Option<Bytes>,
    },
    /// Keep a phone's backups, and make and miss no further ones; or the other way round.
    SetRetired {
        /// Which phone.
        phone: Udid,
        /// Whether it is retired.
        retired: bool,
    },
    /// Forget a phone, whose backups are gone.
    Forget {
        /// Which phone.
        phone: Udid,
    },
    /// Let a new phone take the place of an old one: it gets its quota and its automatic backup, and
    /// the old one is retired.
    Replace {
        /// The old phone.
        old: Udid,
        /// The new phone.
        new: Udid,
    },
    /// Copy the whole store to another place.
    MoveStore,
    /// Switch automatic backup of one phone on or off.
    SetAutomatic {
        /// Which phone.
        phone: Udid,
        /// On or off.
        automatic: Automatic,
    },
    /// Take that switch back: its policy says whether it is backed up automatically.
    UnsetAutomatic {
        /// Which phone.
        phone: Udid,
    },
}

/// When a backup that a person asked for starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// At once: needs reachability, trust and space, and a free slot.
    AtOnce,
    /// As soon as all required conditions hold.
    Ready,
}

/// How much of a phone a backup sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// What changed since the last one; everything when there is none.
    Changes,
    /// Everything.
    Full,
}

/// Whether a phone is backed up without being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Automatic {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How usbmuxd is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MuxerState {
    /// Not tried yet.
    Unknown,
    /// Nobody listens on its socket.
    Absent,
    /// Somebody listens and does not answer.
    Mute,
    /// It answers.
    Up,
}

impl MuxerState {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Absent => "absent",
            Self::Mute => "mute",
            Self::Up => "up",
        }
    }
}

/// What a running job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It waits for the conditions, for what is not known yet, or for a slot. The machine's own.
    Queued,
    /// A session with the phone is being opened.
    Connecting,
    /// The working copy and the phone are being made ready.
    Preparing,
    /// The phone asks its owner for the passcode, or for trust.
    Asking,
    /// The passcode is given; the first answer is held until the screen is locked.
    AwaitingLock,
    /// The phone looks for what changed.
    Scanning,
    /// Files arrive.
    Receiving,
    /// The phone moves and removes files in the working copy.
    Arranging,
    /// What arrived is checked.
    Verifying,
    /// It becomes a backup.
    Committing,
    /// A key is made from a password; that takes seconds.
    Unlocking,
    /// The phone takes files from a backup.
    Sending,
    /// Files go to the person who asked for them.
    Copying,
}

impl Phase {
    /// Lists all phases, in the order in which a backup goes through them.
    pub const ALL: [Self; 13] = [
        Self::Queued,
        Self::Connecting,
        Self::Preparing,
        Self::Asking,
        Self::AwaitingLock,
        Self::Scanning,
        Self::Receiving,
        Self::Arranging,
        Self::Verifying,
        Self::Committing,
        Self::Unlocking,
        Self::Sending,
        Self::Copying,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Connecting => "connecting",
            Self::Preparing => "preparing",
            Self::Asking => "asking",
            Self::AwaitingLock => "awaiting-lock",
            Self::Scanning => "scanning",
            Self::Receiving => "receiving",
            Self::Arranging => "arranging",
            Self::Verifying => "verifying",
            Self::Committing => "committing",
            Self::Unlocking => "unlocking",
            Self::Sending => "sending",
            Self::Copying => "copying",
        }
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// From 0 to 1000; `None` while nobody can say.
    pub permille: Option<u16>,
    /// Bytes received.
    pub bytes_done: Bytes,
    /// Bytes expected in all; `None` while nobody can say.
    pub bytes_total: Option<Bytes>,
    /// Files received.
    pub files_done: u64,
    /// Bytes per second of late.
    pub rate: Bytes,
    /// When it is likely to end.
    pub expected_end: Option<Wall>,
}

/// What is worth keeping about one phone across a restart. The shell keeps the newest
/// [`crate::Effect::Remember`] and hands it back as [`Event::Recalled`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneMemory {
    /// Which phone.
    pub phone: Udid,
    /// What it said of itself.
    pub identity: Option<Identity>,
    /// Whether a person switched its automatic backup on or off.
    pub automatic: Option<Automatic>,
    /// The most its backups may take on the disk, if a person said so.
    pub quota: Option<Bytes>,
    /// Whether its backups are kept and no further ones made or missed.
    pub retired: bool,
    /// What was learned from its behaviour about its passcode; `None` for nothing yet.
    pub passcode_learned: Option<Asking>,
    /// When it was last asked for its passcode.
    pub asked: Option<LastAsked>,
    /// Whether its screen was ever seen locked (`PasswordProtected` was true).
    pub lock_ever_seen: bool,
    /// How its last backup ended.
    pub last_result: Option<LastResult>,
    /// When the password of its backups was last proved to be known.
    pub password_proved: Option<Wall>,
    /// Failures and interruptions since the last success.
    pub failures: u32,
    /// Before this moment no automatic start, because of these failures.
    pub not_before: Option<Wall>,
    /// When it was first known.
    pub first_seen: Wall,
    /// When it was last reachable and went away.
    pub last_seen: Option<Wall>,
    /// The newest data use it told, in bytes.
    pub data_used: Option<Bytes>,
    /// What a person was last told, and when.
    pub told: Vec<Told>,
}

/// Whether a phone asks for its passcode before a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asking {
    /// It asked.
    Asks,
    /// It did not.
    Never,
}

/// When a phone was last asked for its passcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAsked {
    /// The last time.
    pub at: Wall,
    /// The day of the house's calendar on which that was.
    pub day: crate::Day,
    /// How often on that day without anybody having asked for it.
    pub count: u8,
}

/// What a phone says of itself. Untrusted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name its owner gave it.
    pub name: String,
    /// For example `iPhone14,5`.
    pub product_type: String,
    /// For example `16.3.1`.
    pub os_version: String,
}

/// One message that went to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// About what.
    pub topic: crate::Topic,
    /// When.
    pub at: Wall,
}

/// What is worth keeping about the whole house across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HouseMemory {
    /// The pause, if there is one.
    pub pause: Option<Pause>,
    /// What was last told about the store.
    pub told: Vec<Told>,
    /// The times of the calendar.
    pub calendar: Calendar,
}

/// The times of the calendar that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// The last one that came.
    pub fired: Option<Wall>,
    /// The next one.
    pub next: Option<Wall>,
}

/// A pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Its end; `None` until resumed.
    pub until: Option<Wall>,
}
