//! All that is true of one phone at one moment, as far as deciding needs it.

use crate::{
    Asked, Conditions, Hold, Host, HostPower, JobId, JobResult, Monotonic, Passcode, Transport,
    Wall, Zone,
};

/// Whether a phone accepts this computer's pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// It does.
    Trusted,
    /// It does not.
    Untrusted,
    /// It was not asked yet.
    Unknown,
}

impl Trust {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Untrusted => "untrusted",
            Self::Unknown => "unknown",
        }
    }
}

/// How a phone can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// By cable.
    pub usb: bool,
    /// Over the network.
    pub wifi: bool,
}

impl Reach {
    /// Returns the way to take: the cable, if there is one.
    pub const fn best(self) -> Option<Transport> {
        match (self.usb, self.wifi) {
            (true, _) => Some(Transport::Usb),
            (false, true) => Some(Transport::Wifi),
            (false, false) => None,
        }
    }

    /// Tells whether the phone can be reached this way.
    pub const fn by(self, transport: Transport) -> bool {
        match transport {
            Transport::Usb => self.usb,
            Transport::Wifi => self.wifi,
        }
    }
}

/// Whether a job may begin beside those that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It may.
    Free,
    /// All slots are taken, or promised to phones that have waited longer.
    Taken {
        /// Jobs that run.
        running: usize,
        /// Phones with an older claim.
        ahead: usize,
        /// The number of slots.
        max: usize,
    },
}

impl Slot {
    /// Returns what it holds back with, if it does.
    pub(crate) const fn hold(self) -> Option<Hold> {
        match self {
            Self::Free => None,
            Self::Taken {
                running,
                ahead,
                max,
            } => Some(Hold::Slot {
                running,
                ahead,
                max,
            }),
        }
    }
}

/// A wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingOff {
    /// Its end.
    pub until: Monotonic,
    /// The same on the wall clock, as it was when the wait began.
    pub until_wall: Wall,
    /// What it comes from.
    pub after: JobResult,
    /// Failures and interruptions since the last success.
    pub failures: u32,
}

/// Whether a backup is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is, since this moment; `None` for a phone that was never backed up.
    Since(Option<Wall>),
    /// It is not, until this moment.
    NotUntil(Wall),
}

/// All that is true of one phone at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether it is backed up without being asked to.
    pub automatic: crate::Automatic,
    /// How it can be reached.
    pub reach: Reach,
    /// When it was last reachable, if it is not.
    pub last_seen: Option<Wall>,
    /// Whether it accepts the pairing.
    pub trust: Trust,
    /// The four conditions.
    pub conditions: Conditions,
    /// Charge in percent, if known.
    pub battery_percent: Option<u8>,
    /// Whether a backup is due.
    pub due: Due,
    /// Whether it asks for its passcode.
    pub passcode: Passcode,
    /// The pause, if there is one.
    pub pause: Option<crate::Pause>,
    /// The wait after failures, if there is one.
    pub backing_off: Option<BackingOff>,
    /// Its running job, if there is one.
    pub job: Option<JobId>,
    /// When it last asked, as far as that is remembered.
    pub asked: Option<Asked>,
    /// When it was last put on power while its screen was unlocked.
    pub plugged_in_hand: Option<Monotonic>,
    /// Whether there is a slot.
    pub slot: Slot,
    /// This computer.
    pub host: Host,
    /// Whether this computer must be on mains power.
    pub host_power: HostPower,
    /// The house's local time.
    pub zone: Zone,
}
