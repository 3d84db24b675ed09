//! What the bus and the CLI may see. Everything here is a copy; nothing here decides.

use crate::{
    Automatic, BackupFacts, BackupId, Bytes, Conditions, Decision, Extent, Identity, JobId,
    JobKind, JobResult, JobState, LastResult, MuxerState, Passcode, Pause, Phase, Progress, Reach,
    Room, StorageState, StoreReport, Transport, Trigger, Trust, Udid, Wall,
};
use std::collections::BTreeMap;

/// The whole picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What concerns no single phone.
    pub house: HouseView,
    /// Every phone that was ever known.
    pub phones: BTreeMap<Udid, PhoneView>,
    /// Every job that waits or runs, or ended less than [`crate::JOB_KEPT`] ago.
    pub jobs: BTreeMap<JobId, JobView>,
}

/// What concerns no single phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HouseView {
    /// The pause, if there is one.
    pub pause: Option<Pause>,
    /// The store in one word.
    pub storage: StorageState,
    /// The newest report on the store; `None` before the first and when it grew stale.
    pub store: Option<StoreReport>,
    /// Whether it was ever told which backups the store holds: until then nobody can say when a
    /// phone was last backed up.
    pub recovered: bool,
    /// How usbmuxd is.
    pub muxer: MuxerState,
    /// Apple devices on the USB bus; `None` without a USB stack.
    pub apple_on_usb: Option<u32>,
    /// This computer itself.
    pub host: crate::Host,
    /// Apple devices on the USB bus that usbmuxd does not show.
    pub unseen_by_muxer: u32,
    /// Jobs that run.
    pub running: usize,
    /// The number of slots.
    pub parallel_max: usize,
    /// Whether upkeep of the store may work.
    pub upkeep: crate::Upkeep,
    /// Whether dates can be believed; while not, nothing old is removed.
    pub clock: crate::ClockTrust,
}

/// A phone's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhoneState {
    /// It is not there.
    Absent,
    /// It is there and does not accept the pairing.
    Untrusted,
    /// A backup is due, and something is waited for.
    Waiting,
    /// All conditions hold, and not yet for long enough.
    Settling,
    /// It asks its owner for the passcode, or for trust.
    Asking,
    /// It is being backed up.
    BackingUp,
    /// What arrived becomes a backup.
    Committing,
    /// Nothing is due.
    Idle,
    /// A backup is due, and waits after failures.
    BackingOff,
    /// A backup is due, and a person paused.
    Paused,
}

impl PhoneState {
    /// Lists all states.
    pub const ALL: [Self; 10] = [
        Self::Absent,
        Self::Untrusted,
        Self::Waiting,
        Self::Settling,
        Self::Asking,
        Self::BackingUp,
        Self::Committing,
        Self::Idle,
        Self::BackingOff,
        Self::Paused,
    ];

    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Untrusted => "untrusted",
            Self::Waiting => "waiting",
            Self::Settling => "settling",
            Self::Asking => "asking",
            Self::BackingUp => "backing-up",
            Self::Committing => "committing",
            Self::Idle => "idle",
            Self::BackingOff => "backing-off",
            Self::Paused => "paused",
        }
    }
}

/// One phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneView {
    /// Which phone.
    pub udid: Udid,
    /// What it says of itself, once it did.
    pub identity: Option<Identity>,
    /// Its state in one word.
    pub state: PhoneState,
    /// How it can be reached.
    pub reach: Reach,
    /// Whether it accepts the pairing.
    pub trust: Trust,
    /// Whether it is backed up without being asked to.
    pub automatic: Automatic,
    /// Whether its backups are kept and no further ones made or missed.
    pub retired: bool,
    /// What its backups may use on the disk, and do.
    pub share: crate::PhoneShare,
    /// The four conditions with their evidence.
    pub conditions: Conditions,
    /// Room in the store for its next backup, once both are known.
    pub room: Option<Room>,
    /// Charge in percent, if known.
    pub battery_percent: Option<u8>,
    /// Whether it encrypts its backups, if known.
    pub encrypts: Option<bool>,
    /// Whether its management demands encrypted backups, if known.
    pub encryption_required: Option<bool>,
    /// When the password of its backups was last proved to be known.
    pub password_proved: Option<Wall>,
    /// Whether it is time to prove that password again.
    pub password_due: bool,
    /// What an unfinished backup already has, and the next one need not send.
    pub staged: Bytes,
    /// Whether iCloud Backup is on, if known.
    pub icloud: Option<bool>,
    /// When it was last backed up to iCloud, if known.
    pub icloud_date: Option<Wall>,
    /// Whether it asks for its passcode.
    pub passcode: Passcode,
    /// What is decided, with all reasons.
    pub decision: Decision,
    /// The earliest next attempt; `None` = as soon as what is waited for comes.
    pub next_attempt: Option<Wall>,
    /// When its newest backup was committed.
    pub last_backup: Option<Wall>,
    /// Its committed backups, newest first.
    pub backups: Vec<BackupFacts>,
    /// How its last job ended.
    pub last_result: Option<LastResult>,
    /// Whether it has been without a backup for too long.
    pub overdue: bool,
    /// Its job, waiting or running.
    pub job: Option<JobId>,
    /// When it was first known.
    pub first_seen: Wall,
    /// When it was last reachable, if it is not.
    pub last_seen: Option<Wall>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Which job.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Whose it is; `None` for one about the whole store.
    pub phone: Option<Udid>,
    /// Who wanted it.
    pub trigger: Trigger,
    /// How much it sends.
    pub extent: Extent,
    /// How the phone is reached; `None` while it waits for its turn.
    pub transport: Option<Transport>,
    /// When it was accepted.
    pub started: Wall,
    /// Its state.
    pub state: JobState,
    /// What it is doing, or was doing last.
    pub phase: Phase,
    /// How far it is.
    pub progress: Progress,
    /// While it waits for its turn: for what.
    pub waits_for: Vec<&'static str>,
    /// Whether all that it counts on holds at this moment, a locked screen included: what a phone
    /// that took its passcode is held for.
    pub may_move: bool,
    /// How it ended, once it has.
    pub result: Option<JobResult>,
    /// The error in its own words; empty without one.
    pub detail: String,
    /// The backup it made.
    pub backup: Option<BackupId>,
    /// When it ended.
    pub ended: Option<Wall>,
}
