//! The decision: one phone's snapshot and its policy in, a value with all its reasons out.
//!
//! Three kinds of wish run through the same table. What each asks for, of a phone that starts by
//! itself and of one that asks for its passcode (`Passcode::Asks`):
//!
//! | asked of the world                      | schedule | asks | when-ready | asks | at-once |
//! |-----------------------------------------|----------|------|------------|------|---------|
//! | automatic on, due, no pause, no backoff | yes      | yes  |            |      |         |
//! | inside the window                       | yes      | yes  |            |      |         |
//! | this computer on mains, its network fit | yes      | yes  |            |      |         |
//! | inside the hours for asking             |          | yes  |            |      |         |
//! | not asked often enough                  |          | yes  |            |      |         |
//! | power, wifi (those required)            | yes      | yes  | yes        | yes  |         |
//! | locked (if required)                    | yes      | no   | yes        | no   |         |
//! | unlocked: somebody is there             |          | yes  |            | yes  |         |
//! | battery minimum                         | yes      | yes  | yes        | yes  |         |
//! | settled                                 | yes      | 5 s  | yes        | 5 s  |         |
//! | reachable, trusted, space, a free slot  | yes      | yes  | yes        | yes  | yes     |
//! | → decision                              | start    | ask  | start      | ask  | start   |
//!
//! `unknown` counts as not holding, everywhere; it is no reason to wait while a phone is not read because
//! it waits for its hours. Of a phone of which it is not known whether it asks,
//! one start under all four conditions finds out. Who was asked locks the phone again before data
//! moves: the job holds until all that is required holds, locked included.

use crate::consent::{self, ASK_SETTLE_MAX};
use crate::{
    Condition, Due, Hold, HostNetwork, HostPower, Now, Opening, Policy, Refusal, Snapshot,
    Transport, Trust, Verdict, Wall,
};
use std::time::Duration;

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

/// What to do about one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start a backup: nobody is needed for it.
    Start,
    /// Start a backup that makes the phone ask for its passcode: somebody is there to give it. No data
    /// moves before the screen is locked again.
    Ask,
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

impl Decision {
    /// Returns `start`, `ask`, `wait`, `not-due` or `refuse`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ask => "ask",
            Self::Wait { .. } => "wait",
            Self::NotDue { .. } => "not-due",
            Self::Refuse(_) => "refuse",
        }
    }

    /// Lists the words of all that is waited for: conditions first, then what else.
    pub fn waits_for(&self) -> Vec<&'static str> {
        match self {
            Self::Start | Self::Ask => Vec::new(),
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
            Self::Start | Self::Ask | Self::Refuse(_) => None,
            Self::NotDue { until } => Some(*until),
            Self::Wait { also, .. } => also.iter().filter_map(Hold::ends).max(),
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
    let asks = consent::asks(demand, phone.passcode);
    let ground = |condition| counts_at_start(demand, asks, condition, policy);
    let counted = phone.conditions.iter().filter(|(it, _)| ground(*it));
    let mut unmet: Vec<_> = counted
        .filter(|(_, state)| !state.verdict.is_met())
        .map(|(condition, state)| (condition, state.verdict))
        .collect();
    let mut also = holds_of_the_phone(phone);
    if demand == Demand::Schedule {
        also.extend(holds_of_the_calendar(phone, policy, now));
        also.extend(holds_of_the_host(phone));
        also.extend(
            asks.then(|| consent::not_now(phone, &policy.ask, now))
                .flatten(),
        );
    }
    if demand != Demand::AtOnce {
        also.extend(low_battery(phone, policy));
    }
    if also.iter().any(Hold::leaves_alone) {
        // Nobody looks, so that nobody knows is no reason.
        unmet.retain(|(_, verdict)| !verdict.is_unread());
    }
    if asks && also.is_empty() && !consent::person_is_there(phone, now) {
        also.push(Hold::Person);
    }
    if demand != Demand::AtOnce && unmet.is_empty() && also.is_empty() {
        also.extend(settling(phone, ground, settle(asks, policy), now));
    }
    if unmet.is_empty() && also.is_empty() {
        also.extend(phone.slot.hold());
    }
    match (unmet.is_empty() && also.is_empty(), asks) {
        (true, true) => Decision::Ask,
        (true, false) => Decision::Start,
        (false, _) => Decision::Wait { unmet, also },
    }
}

/// Tells whether `condition` counts for what is wanted: three rows of the table above.
pub(crate) fn counts(demand: Demand, condition: Condition, policy: &Policy) -> bool {
    match demand {
        Demand::Schedule | Demand::WhenReady => policy.requires(condition),
        Demand::AtOnce => condition == Condition::Space,
    }
}

/// Tells whether `condition` counts for a start: who is asked for a passcode has it unlocked.
pub(crate) fn counts_at_start(
    demand: Demand,
    asks: bool,
    condition: Condition,
    policy: &Policy,
) -> bool {
    counts(demand, condition, policy) && !(asks && condition == Condition::Locked)
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

/// What holds an automatic backup back until a later moment.
fn holds_of_the_calendar(phone: &Snapshot, policy: &Policy, now: Now) -> Vec<Hold> {
    let mut holds = Vec::new();
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
    if let Opening::Closed { opens } = policy.window.at(&phone.zone, now.wall) {
        holds.push(Hold::Window { opens });
    }
    holds
}

/// What this computer itself has against an automatic backup.
fn holds_of_the_host(phone: &Snapshot) -> Vec<Hold> {
    let mut holds = Vec::new();
    if phone.host_power == HostPower::Ac && phone.host.is_on_battery() {
        holds.push(Hold::HostPower);
    }
    let by_network = phone.reach.best() == Some(Transport::Wifi);
    if by_network && phone.host.network != HostNetwork::Fit {
        holds.push(Hold::Network(phone.host.network));
    }
    holds
}

fn low_battery(phone: &Snapshot, policy: &Policy) -> Option<Hold> {
    let (min, percent) = (policy.battery_min?, phone.battery_percent);
    let low = percent.is_none_or(|percent| percent < min);
    low.then_some(Hold::Battery { percent, min })
}

/// How long the conditions must hold together.
fn settle(asks: bool, policy: &Policy) -> Duration {
    if asks {
        policy.settle.min(ASK_SETTLE_MAX)
    } else {
        policy.settle
    }
}

/// How long the conditions must still hold, once they all do.
fn settling(
    phone: &Snapshot,
    ground: impl Fn(Condition) -> bool,
    settle: Duration,
    now: Now,
) -> Option<Hold> {
    let counted = phone.conditions.iter().filter(|(it, _)| ground(*it));
    let since = counted
        .map(|(_, state)| state.since)
        .max_by_key(|since| since.monotonic)?;
    let until_monotonic = since.monotonic + settle;
    if until_monotonic <= now.monotonic {
        return None;
    }
    // Counted from where it began, so that two clocks read a moment apart give one date.
    Some(Hold::Settling {
        until: since.wall + settle,
        until_monotonic,
    })
}
