//! What a person is told unasked: seldom, and why.

use crate::{Bytes, Failure, JobId, Room, StoreTrouble, Wall};
use std::fmt;
use std::time::Duration;

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attention {
    /// The phone is about to ask for its passcode, for this backup.
    Asking {
        /// The job that makes it ask.
        job: JobId,
    },
    /// A backup failed, and only a person can help.
    FailedNeedsYou {
        /// How it failed.
        failure: Failure,
    },
    /// The phone was not backed up for too long.
    Overdue {
        /// Its last backup; `None` for never.
        last: Option<Wall>,
        /// Since when it is known.
        first_seen: Wall,
    },
    /// The store cannot take backups, or the last backup of a phone found no room in it.
    StoreTrouble(StoreComplaint),
    /// A backup succeeded again after the phone had been overdue.
    DoneAfterGap {
        /// From the backup before (or since it was known) to this one.
        gap: Duration,
    },
    /// Old backups of the phone were removed, for the next one had no room.
    MadeRoom {
        /// How many.
        removed: u32,
        /// What that freed.
        freed: Bytes,
    },
    /// It is time to see whether the backup password is still known.
    CheckPassword {
        /// When it was last proved; `None` for never.
        last: Option<Wall>,
    },
}

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreComplaint {
    /// It cannot take backups.
    Unavailable(StoreTrouble),
    /// Nothing more fits.
    Full,
    /// A backup that is due does not fit.
    NoRoom(Room),
    /// So many backups of a phone were found damaged; its next backup is to repair that.
    Damage(u32),
}

impl StoreComplaint {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unavailable(trouble) => trouble.word(),
            Self::Full => FULL,
            Self::NoRoom(_) => NO_ROOM,
            Self::Damage(_) => DAMAGE,
        }
    }
}

const FULL: &str = "full";
const NO_ROOM: &str = "no-room";
const DAMAGE: &str = "damage-found";

/// What a message is about, and for what cause: once in a while is enough for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// What it is about.
    pub kind: AttentionKind,
    /// The word of what brought it about, for a kind that has several causes.
    pub cause: Option<&'static str>,
}

impl Topic {
    /// Makes the topic of a kind that has one cause.
    pub const fn of(kind: AttentionKind) -> Self {
        Self { kind, cause: None }
    }

    /// Finds the topic that is written like this: `overdue`, `failed-needs-you/not-trusted`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, cause) = text
            .split_once('/')
            .map_or((text, None), |(kind, cause)| (kind, Some(cause)));
        let kind = AttentionKind::parse(kind)?;
        let Some(cause) = cause else {
            return Some(Self::of(kind));
        };
        let failures = Failure::ALL.into_iter().map(Failure::word);
        let troubles = StoreTrouble::ALL.into_iter().map(StoreTrouble::word);
        let mut words = failures.chain(troubles).chain([FULL, NO_ROOM, DAMAGE]);
        let cause = words.find(|word| *word == cause)?;
        Some(Self {
            kind,
            cause: Some(cause),
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.word())?;
        self.cause.map_or(Ok(()), |cause| write!(f, "/{cause}"))
    }
}

/// What a message is about, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttentionKind {
    /// It is about to ask for its passcode.
    Asking,
    /// A backup failed, and only a person can help.
    FailedNeedsYou,
    /// Not backed up for too long.
    Overdue,
    /// The store.
    StoreTrouble,
    /// Backed up again after a gap.
    DoneAfterGap,
    /// Whether the password is still known.
    CheckPassword,
    /// Old backups had to go.
    MadeRoom,
}

impl AttentionKind {
    /// Lists all kinds.
    pub const ALL: [Self; 7] = [
        Self::Asking,
        Self::FailedNeedsYou,
        Self::Overdue,
        Self::StoreTrouble,
        Self::DoneAfterGap,
        Self::CheckPassword,
        Self::MadeRoom,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::FailedNeedsYou => "failed-needs-you",
            Self::Overdue => "overdue",
            Self::StoreTrouble => "store-trouble",
            Self::DoneAfterGap => "done-after-gap",
            Self::CheckPassword => "check-password",
            Self::MadeRoom => "made-room",
        }
    }

    /// Finds the kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}

impl Attention {
    /// Returns what it is about.
    pub const fn kind(&self) -> AttentionKind {
        match self {
            Self::Asking { .. } => AttentionKind::Asking,
            Self::FailedNeedsYou { .. } => AttentionKind::FailedNeedsYou,
            Self::Overdue { .. } => AttentionKind::Overdue,
            Self::StoreTrouble(_) => AttentionKind::StoreTrouble,
            Self::DoneAfterGap { .. } => AttentionKind::DoneAfterGap,
            Self::CheckPassword { .. } => AttentionKind::CheckPassword,
            Self::MadeRoom { .. } => AttentionKind::MadeRoom,
        }
    }

    /// Returns what it is about, and for what cause.
    pub const fn topic(&self) -> Topic {
        let cause = match self {
            Self::FailedNeedsYou { failure } => Some(failure.word()),
            Self::StoreTrouble(complaint) => Some(complaint.word()),
            Self::Asking { .. }
            | Self::Overdue { .. }
            | Self::DoneAfterGap { .. }
            | Self::MadeRoom { .. }
            | Self::CheckPassword { .. } => None,
        };
        Topic {
            kind: self.kind(),
            cause,
        }
    }
}
