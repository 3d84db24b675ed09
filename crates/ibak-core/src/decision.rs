//! The decision: one phone's snapshot and its policy in, a value with all its reasons out.
//!
//! Three kinds of wish run through the same table. What each asks for:
//!
//! | asked of the world                      | schedule | when-ready | at-once |
//! |-----------------------------------------|----------|------------|---------|
//! | automatic on, due, no pause, no backoff | yes      |            |         |
//! | the phone never asks for a passcode     | yes      |            |         |
//! | power, wifi, locked (those required)    | yes      | yes        |         |
//! | battery minimum, settled                | yes      | yes        |         |
//! | reachable, trusted, space, a free slot  | yes      | yes        | yes     |
//!
//! `unknown` counts as not holding, everywhere.

use crate::{
    Condition, Conditions, JobId, JobResult, Monotonic, Now, Passcode, Policy, Transport, Verdict,
    Wall,
};

/// What a backup is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// The calendar.
    Schedule,
    /// A person who is content to wait for the conditions.
    WhenReady,
    /// A person, now.
    AtOnce,
}

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
    /// Whether there is a slot.
    pub slot: Slot,
}

/// What to do about one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start a backup.
    Start,
    /// Wait for all of these; never both empty.
    Wait {
        /// The conditions that count and do not hold.
        unmet: Vec<(Condition, Verdict)>,
        /// What else holds it back.
        also: Vec<Hold>,
    },
    /// The last backup is recent enough.
    NotDue {
        /// Until then.
        until: Wall,
    },
    /// Nothing that the world does by itself leads to a start.
    Refuse(Refusal),
}

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
    /// It asks for its passcode, so somebody must be there: `ibakctl backup` when you are.
    Passcode,
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
            Self::Passcode => "passcode",
            Self::Battery { .. } => "battery",
            Self::Settling { .. } => "settling",
            Self::Slot { .. } => "slot",
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

impl Decision {
    /// Returns `start`, `wait`, `not-due` or `refuse`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Wait { .. } => "wait",
            Self::NotDue { .. } => "not-due",
            Self::Refuse(_) => "refuse",
        }
    }

    /// Lists the words of all that is waited for: conditions first, then what else.
    pub fn waits_for(&self) -> Vec<&'static str> {
        match self {
            Self::Start => Vec::new(),
            Self::Wait { unmet, also } => unmet
                .iter()
                .map(|(condition, _)| condition.word())
                .chain(also.iter().map(Hold::word))
                .collect(),
            Self::NotDue { .. } => vec!["due"],
            Self::Refuse(why) => vec![why.word()],
        }
    }

    /// Returns the earliest moment at which this can become a start, if a clock says so;
    /// `None` when the world decides.
    pub fn next_attempt(&self) -> Option<Wall> {
        match self {
            Self::Start | Self::Refuse(_) => None,
            Self::NotDue { until } => Some(*until),
            Self::Wait { also, .. } => also
                .iter()
                .filter_map(|hold| match hold {
                    Hold::Paused { until } => *until,
                    Hold::BackingOff { until, .. } | Hold::Settling { until, .. } => Some(*until),
                    Hold::Absent { .. }
                    | Hold::TrustUnknown
                    | Hold::Job { .. }
                    | Hold::Passcode
                    | Hold::Battery { .. }
                    | Hold::Slot { .. } => None,
                })
                .max(),
        }
    }
}

/// Decides about the automatic backup of one phone.
pub fn decide(phone: &Snapshot, policy: &Policy, now: Now) -> Decision {
    decide_for(Demand::Schedule, phone, policy, now)
}

/// Decides about a backup of one phone that is wanted for `demand`; see the table above.
pub fn decide_for(demand: Demand, phone: &Snapshot, policy: &Policy, now: Now) -> Decision {
    if phone.trust == Trust::Untrusted {
        return Decision::Refuse(Refusal::NotTrusted);
    }
    if demand == Demand::Schedule {
        if phone.automatic == crate::Automatic::Off {
            return Decision::Refuse(Refusal::AutomaticOff);
        }
        if let (Due::NotUntil(until), None) = (phone.due, phone.job) {
            return Decision::NotDue { until };
        }
    }
    let unmet: Vec<_> = phone
        .conditions
        .iter()
        .filter(|(condition, state)| counts(demand, *condition, policy) && !state.verdict.is_met())
        .map(|(condition, state)| (condition, state.verdict))
        .collect();
    let mut also = holds_of_the_phone(phone);
    also.extend(holds_of_the_wish(demand, phone, policy, now));
    if unmet.is_empty() && also.is_empty() {
        also.extend(settling(demand, phone, policy, now));
    }
    if let (
        Slot::Taken {
            running,
            ahead,
            max,
        },
        true,
        true,
    ) = (phone.slot, unmet.is_empty(), also.is_empty())
    {
        also.push(Hold::Slot {
            running,
            ahead,
            max,
        });
    }
    if unmet.is_empty() && also.is_empty() {
        Decision::Start
    } else {
        Decision::Wait { unmet, also }
    }
}

/// Tells whether `condition` counts for what is wanted: two columns of the table above.
pub(crate) fn counts(demand: Demand, condition: Condition, policy: &Policy) -> bool {
    match demand {
        Demand::Schedule | Demand::WhenReady => policy.requires(condition),
        Demand::AtOnce => condition == Condition::Space,
    }
}

/// What holds back every wish.
fn holds_of_the_phone(phone: &Snapshot) -> Vec<Hold> {
    let mut holds = Vec::new();
    if phone.reach.best().is_none() {
        holds.push(Hold::Absent {
            last_seen: phone.last_seen,
        });
    } else if phone.trust == Trust::Unknown {
        holds.push(Hold::TrustUnknown);
    }
    if let Some(job) = phone.job {
        holds.push(Hold::Job { job });
    }
    holds
}

/// What holds back a wish that is not "at once".
fn holds_of_the_wish(demand: Demand, phone: &Snapshot, policy: &Policy, now: Now) -> Vec<Hold> {
    let mut holds = Vec::new();
    if demand == Demand::Schedule {
        if let Some(pause) = phone.pause {
            holds.push(Hold::Paused { until: pause.until });
        }
        if let Some(wait) = phone.backing_off.filter(|wait| wait.until > now.monotonic) {
            holds.push(Hold::BackingOff {
                until: wait.until_wall,
                after: wait.after,
                failures: wait.failures,
            });
        }
        if phone.passcode == Passcode::Asks {
            holds.push(Hold::Passcode);
        }
    }
    if let (Demand::Schedule | Demand::WhenReady, Some(min)) = (demand, policy.battery_min) {
        let percent = phone.battery_percent;
        if percent.is_none_or(|percent| percent < min) {
            holds.push(Hold::Battery { percent, min });
        }
    }
    holds
}

/// How long the conditions must still hold, once they all do.
fn settling(demand: Demand, phone: &Snapshot, policy: &Policy, now: Now) -> Option<Hold> {
    let counted = phone
        .conditions
        .iter()
        .filter(|(condition, _)| counts(demand, *condition, policy));
    let since = counted
        .map(|(_, state)| state.since)
        .max_by_key(|since| since.monotonic)?;
    let until_monotonic = since.monotonic + policy.settle;
    if demand == Demand::AtOnce || until_monotonic <= now.monotonic {
        return None;
    }
    // Counted from where it began, so that two clocks read a moment apart give one date.
    Some(Hold::Settling {
        until: since.wall + policy.settle,
        until_monotonic,
    })
}
