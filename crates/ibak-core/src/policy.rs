//! What the owner wants: which conditions count, how often, how patiently.
//!
//! Every wait here has a name, a unit and bounds; [`Policy::check`] holds the bounds. `space`
//! has no switch, because nothing overrides it.

use crate::{Condition, Udid, Windows};
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Whether a condition counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Without it no automatic backup starts.
    Required,
    /// It is shown and does not count.
    Ignored,
}

/// Whether the network counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WifiNeed {
    /// The phone must be on the network, also when it is reached by cable.
    Required,
    /// A cable will do in its place.
    OrUsb,
    /// It is shown and does not count.
    Ignored,
}

/// What happens to a running backup when a condition it started under is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnLoss {
    /// What started under four conditions may finish.
    Finish,
    /// It stops when the condition has not come back within this time; what arrived is kept.
    Grace(Duration),
    /// It stops at once; what arrived is kept.
    Stop,
}

/// The table of lost conditions. Only an `unmet` condition is lost: `unknown` stops nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossTable {
    /// Power lost. Default: 10 minutes of grace.
    pub power: OnLoss,
    /// The network lost, for a backup that runs over it; one by cable goes on. Default: stop.
    pub wifi: OnLoss,
    /// The screen unlocked. Default: finish.
    pub locked: OnLoss,
    /// The room used up, or the store gone. Default: stop.
    pub space: OnLoss,
}

impl LossTable {
    /// Returns one row of the table.
    pub const fn get(&self, condition: Condition) -> OnLoss {
        match condition {
            Condition::Power => self.power,
            Condition::Wifi => self.wifi,
            Condition::Locked => self.locked,
            Condition::Space => self.space,
        }
    }
}

impl Default for LossTable {
    fn default() -> Self {
        Self {
            power: OnLoss::Grace(10 * MINUTE),
            wifi: OnLoss::Stop,
            locked: OnLoss::Finish,
            space: OnLoss::Stop,
        }
    }
}

/// Growing waits after failures: `first`, twice that, four times, … up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// After the first interruption (a condition or the connection was lost).
    pub first_interruption: Duration,
    /// Never longer than this.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: 10 * MINUTE,
            first_interruption: MINUTE,
            max: 6 * HOUR,
        }
    }
}

/// What makes a backup due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cadence {
    /// That the last one is an interval old.
    #[default]
    Interval,
    /// That a time of the calendar came since the last one ([`crate::Event::ScheduleFired`]).
    Calendar,
}

/// When a person may be asked for a passcode without having asked for a backup (phone.md §1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskPolicy {
    /// At these times. Default: 19:00 to 23:30.
    pub window: Windows,
    /// So often a day of the house's calendar; 0 never. Default 1; at most 24.
    pub per_day: u8,
    /// No sooner after the last time. Default: 1 h; 1 min to 30 days.
    pub every: Duration,
}

impl Default for AskPolicy {
    fn default() -> Self {
        Self {
            window: Windows::evening(),
            per_day: 1,
            every: HOUR,
        }
    }
}

/// Whether this computer itself must be on mains power for an automatic backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPower {
    /// A computer with a battery of its own must; others never are on one.
    #[default]
    Ac,
    /// It does not matter.
    Any,
}

/// What is wanted for one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is backed up without being asked to, unless a person switched that with
    /// `ibakctl enable` or `disable`. Default: yes.
    pub automatic: bool,
    /// When an automatic backup may start; none is always. Default: always.
    pub window: Windows,
    /// When its owner may be asked for the passcode.
    pub ask: AskPolicy,
    /// What makes a backup due. Default: the interval.
    pub cadence: Cadence,
    /// Whether power counts. Default: required.
    pub power: Need,
    /// Whether the network counts. Default: required.
    pub wifi: WifiNeed,
    /// Whether the screen lock counts. Default: required.
    pub locked: Need,
    /// How often a backup is due. Default: a day; 1 s to 366 days.
    pub interval: Duration,
    /// How long the required conditions must hold together before a start. Default: 60 s; at
    /// most an hour.
    pub settle: Duration,
    /// The waits after failures. Each 1 s to 7 days.
    pub backoff: Backoff,
    /// What losing a condition does to a running backup. Each grace at most a day.
    pub on_loss: LossTable,
    /// The lowest battery charge in percent (1 to 100) for an automatic start, if any counts.
    pub battery_min: Option<u8>,
    /// For how long a phone that took a passcode is held until its screen is locked; zero does
    /// not hold. Default: 300 s; at most an hour.
    pub hold_until_locked_max: Duration,
    /// After how long without a backup a phone is overdue. Default: 3 days; at most 366 days.
    pub overdue_after: Duration,
    /// For how long a backup asked for with "when ready" is kept waiting. Default: 7 days.
    pub when_ready_max: Duration,
    /// How often a person is to prove that the backup password is still known; `None` for never.
    /// Default: 90 days; a day to ten years.
    pub password_check: Option<Duration>,
    /// How many backups stay.
    pub keep: crate::Keep,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            automatic: true,
            window: Windows::default(),
            ask: AskPolicy::default(),
            cadence: Cadence::Interval,
            power: Need::Required,
            wifi: WifiNeed::Required,
            locked: Need::Required,
            interval: DAY,
            settle: MINUTE,
            backoff: Backoff::default(),
            on_loss: LossTable::default(),
            battery_min: None,
            hold_until_locked_max: 5 * MINUTE,
            overdue_after: 3 * DAY,
            when_ready_max: 7 * DAY,
            password_check: Some(90 * DAY),
            keep: crate::Keep::default(),
        }
    }
}

impl Policy {
    /// Returns how much earlier than `interval` a backup is already due: a twelfth, two hours
    /// a day, so that a daily run does not move later every day by its own length.
    pub fn slack(&self) -> Duration {
        self.interval / 12
    }

    /// Tells whether `condition` counts for an automatic start. With `wifi = "or-usb"` it
    /// counts, and a cable meets it.
    pub const fn requires(&self, condition: Condition) -> bool {
        match condition {
            Condition::Power => matches!(self.power, Need::Required),
            Condition::Wifi => matches!(self.wifi, WifiNeed::Required | WifiNeed::OrUsb),
            Condition::Locked => matches!(self.locked, Need::Required),
            Condition::Space => true,
        }
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// Names the first field out of its bounds, in the config's spelling.
    pub fn check(&self) -> Result<(), PolicyError> {
        let second = Duration::from_secs(1);
        let grace = |it: OnLoss| match it {
            OnLoss::Grace(time) => time,
            OnLoss::Finish | OnLoss::Stop => Duration::ZERO,
        };
        let table = &self.on_loss;
        let rows = [
            ("interval", self.interval, second, 366 * DAY),
            ("settle_secs", self.settle, Duration::ZERO, HOUR),
            ("backoff.first_secs", self.backoff.first, second, 7 * DAY),
            (
                "backoff.first_interruption_secs",
                self.backoff.first_interruption,
                second,
                7 * DAY,
            ),
            ("backoff.max_secs", self.backoff.max, second, 7 * DAY),
            ("on_loss.power", grace(table.power), Duration::ZERO, DAY),
            ("on_loss.wifi", grace(table.wifi), Duration::ZERO, DAY),
            ("on_loss.locked", grace(table.locked), Duration::ZERO, DAY),
            ("on_loss.space", grace(table.space), Duration::ZERO, DAY),
            (
                "hold_until_locked_max_secs",
                self.hold_until_locked_max,
                Duration::ZERO,
                HOUR,
            ),
            ("ask_every", self.ask.every, MINUTE, 30 * DAY),
            ("overdue_after", self.overdue_after, second, 366 * DAY),
            ("when_ready_max", self.when_ready_max, second, 366 * DAY),
            (
                "password_check_days",
                self.password_check.unwrap_or(DAY),
                DAY,
                3660 * DAY,
            ),
        ];
        for (field, value, min, max) in rows {
            if value < min || value > max {
                return Err(PolicyError::OutOfBounds {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        if self.ask.per_day > 24 {
            return Err(PolicyError::AsksPerDay(self.ask.per_day));
        }
        match self.battery_min {
            Some(percent) if !(1..=100).contains(&percent) => Err(PolicyError::Battery(percent)),
            Some(_) | None => Ok(()),
        }
    }
}

/// The policies of the whole house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// At most so many jobs at once. Default 4; 1 to 64.
    pub parallel_max: usize,
    /// Whether this computer must be on mains power. Default: a portable one must.
    pub host_power: HostPower,
    /// For every phone without its own.
    pub default: Policy,
    /// For these phones.
    pub phones: BTreeMap<Udid, Policy>,
}

impl Policies {
    /// Returns the policy that holds for `phone`.
    pub fn of(&self, phone: &Udid) -> &Policy {
        self.phones.get(phone).unwrap_or(&self.default)
    }

    /// Checks all of them.
    ///
    /// # Errors
    /// Names the first value out of its bounds.
    pub fn check(&self) -> Result<(), PolicyError> {
        if !(1..=64).contains(&self.parallel_max) {
            return Err(PolicyError::ParallelMax(self.parallel_max));
        }
        self.default.check()?;
        self.phones.values().try_for_each(Policy::check)
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            parallel_max: 4,
            host_power: HostPower::default(),
            default: Policy::default(),
            phones: BTreeMap::new(),
        }
    }
}

/// Says which wish cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A time out of its bounds.
    #[error("{field} is {value:?}, and must be from {min:?} to {max:?}")]
    OutOfBounds {
        /// The config's key.
        field: &'static str,
        /// What it was set to.
        value: Duration,
        /// The least it may be.
        min: Duration,
        /// The most it may be.
        max: Duration,
    },
    /// A battery minimum out of its bounds.
    #[error("battery_min is {0}, and must be from 1 to 100 percent")]
    Battery(u8),
    /// A number of questions out of its bounds.
    #[error("asks_per_day is {0}, and must be from 0 to 24")]
    AsksPerDay(u8),
    /// A number of slots out of its bounds.
    #[error("parallel_max is {0}, and must be from 1 to 64")]
    ParallelMax(usize),
}
