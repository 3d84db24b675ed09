//! What holds a backup back beside the four conditions.

use crate::{HostNetwork, JobId, JobResult, Monotonic, Wall};

/// What holds a backup back beside the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The phone is not there.
    Absent {
        /// When it was last there; `None` for never.
        last_seen: Option<Wall>,
    },
    /// Whether it accepts the pairing is not known yet.
    TrustUnknown,
    /// It already has a job.
    Job {
        /// Which.
        job: JobId,
    },
    /// A person paused automatic backups.
    Paused {
        /// The end; `None` until resumed.
        until: Option<Wall>,
    },
    /// It waits after failures.
    BackingOff {
        /// The end.
        until: Wall,
        /// What it comes from.
        after: JobResult,
        /// How many since the last success.
        failures: u32,
    },
    /// It is outside the hours at which an automatic backup may start.
    Window {
        /// When the next ones begin; `None` when none do within a week.
        opens: Option<Wall>,
    },
    /// This computer runs from its own battery.
    HostPower,
    /// The way to the phone is over this computer's network, which is not fit for that.
    Network(HostNetwork),
    /// It asks for its passcode, and by its policy it is never asked unless somebody starts it:
    /// `ibakctl backup`.
    Passcode,
    /// It asks for its passcode, and it is outside the hours for asking.
    AskWindow {
        /// When the next ones begin; `None` when none do within a week.
        opens: Option<Wall>,
    },
    /// It asks for its passcode, and was asked often enough for the moment.
    Asked {
        /// When it may be asked again.
        next: Wall,
    },
    /// It asks for its passcode, and nobody is there to give it: the screen is not known to have
    /// been unlocked for a moment.
    Person,
    /// The battery is below the minimum, or its charge is not known.
    Battery {
        /// Charge in percent.
        percent: Option<u8>,
        /// The minimum in percent.
        min: u8,
    },
    /// The conditions hold, and not yet for long enough.
    Settling {
        /// When they will have.
        until: Wall,
        /// The same on the monotonic clock, for deadlines.
        until_monotonic: Monotonic,
    },
    /// All slots are taken.
    Slot {
        /// Jobs that run.
        running: usize,
        /// Phones with an older claim.
        ahead: usize,
        /// The number of slots.
        max: usize,
    },
}

impl Hold {
    /// Returns the word on the bus (`WaitsFor`).
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "phone",
            Self::TrustUnknown => "trust",
            Self::Job { .. } => "job",
            Self::Paused { .. } => "pause",
            Self::BackingOff { .. } => "backoff",
            Self::Window { .. } => "window",
            Self::HostPower => "host-power",
            Self::Network(_) => "network",
            Self::Passcode => "passcode",
            Self::AskWindow { .. } => "ask-window",
            Self::Asked { .. } => "asked",
            Self::Person => "person",
            Self::Battery { .. } => "battery",
            Self::Settling { .. } => "settling",
            Self::Slot { .. } => "slot",
        }
    }

    /// Returns when a clock alone ends it, if one does.
    pub const fn ends(&self) -> Option<Wall> {
        match *self {
            Self::Paused { until }
            | Self::Window { opens: until }
            | Self::AskWindow { opens: until } => until,
            Self::BackingOff { until, .. }
            | Self::Settling { until, .. }
            | Self::Asked { next: until } => Some(until),
            Self::Absent { .. }
            | Self::TrustUnknown
            | Self::Job { .. }
            | Self::HostPower
            | Self::Network(_)
            | Self::Passcode
            | Self::Person
            | Self::Battery { .. }
            | Self::Slot { .. } => None,
        }
    }

    /// Tells whether the phone is left alone meanwhile, so that what is read of it grows old.
    pub(crate) const fn leaves_alone(&self) -> bool {
        let not_there = matches!(
            self,
            Self::Absent { .. } | Self::TrustUnknown | Self::Job { .. }
        );
        !not_there && !self.looking_may_end()
    }

    /// Tells whether only the moment is waited for: the phone is there, and nothing is wrong.
    pub(crate) const fn awaits_the_moment(&self) -> bool {
        match self {
            Self::Window { .. }
            | Self::AskWindow { .. }
            | Self::Asked { .. }
            | Self::Person
            | Self::Battery { .. }
            | Self::Settling { .. }
            | Self::Slot { .. } => true,
            Self::Absent { .. }
            | Self::TrustUnknown
            | Self::Job { .. }
            | Self::Paused { .. }
            | Self::BackingOff { .. }
            | Self::HostPower
            | Self::Network(_)
            | Self::Passcode => false,
        }
    }

    /// Tells whether a fresh look at the phone could end it. While anything else holds its backup
    /// back, nothing is asked of the phone.
    pub(crate) const fn looking_may_end(&self) -> bool {
        match self {
            Self::Battery { .. } | Self::Person | Self::Settling { .. } | Self::Slot { .. } => true,
            Self::Absent { .. }
            | Self::TrustUnknown
            | Self::Job { .. }
            | Self::Paused { .. }
            | Self::BackingOff { .. }
            | Self::Window { .. }
            | Self::HostPower
            | Self::Network(_)
            | Self::Passcode
            | Self::AskWindow { .. }
            | Self::Asked { .. } => false,
        }
    }
}

/// Why nothing will start by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Automatic backup is off for this phone.
    AutomaticOff,
    /// The phone does not accept this computer's pairing.
    NotTrusted,
}

impl Refusal {
    /// Returns the word on the bus (`WaitsFor`).
    pub const fn word(self) -> &'static str {
        match self {
            Self::AutomaticOff => "automatic-off",
            Self::NotTrusted => "not-trusted",
        }
    }
}
