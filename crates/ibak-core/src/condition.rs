//! The four conditions, each `met`, `unmet` or `unknown`, with the evidence for it.
//!
//! There is no fourth value and no default: what nobody has seen is `unknown`, and `unknown`
//! never starts an automatic backup. Reasons are data (amounts, not sentences); the CLI
//! writes the sentences.

use crate::{Now, Room, Source, StoreTrouble};

/// What an automatic backup asks of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The phone has power from outside.
    Power,
    /// The phone is on the network.
    Wifi,
    /// Its screen is locked.
    Locked,
    /// The store has room for its next backup.
    Space,
}

impl Condition {
    /// Lists all four, in the order in which people read them.
    pub const ALL: [Self; 4] = [Self::Power, Self::Wifi, Self::Locked, Self::Space];

    /// Returns the condition's word on the bus: `power`, `wifi`, `locked` or `space`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Wifi => "wifi",
            Self::Locked => "locked",
            Self::Space => "space",
        }
    }
}

/// What is known about one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Met(Met),
    /// It does not hold.
    Unmet(Unmet),
    /// Nobody can say.
    Unknown(Unknown),
}

/// The three values without their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It holds.
    Met,
    /// It does not hold.
    Unmet,
    /// Nobody can say.
    Unknown,
}

impl Status {
    /// Returns `met`, `unmet` or `unknown`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Unmet => "unmet",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// `ExternalConnected` is true, whether or not the battery charges.
    ExternalPower,
    /// The phone is seen on the network.
    OnNetwork,
    /// The policy takes a cable for the network (`wifi = "or-usb"`), and there is one.
    ByCable,
    /// `PasswordProtected` is true.
    ScreenLocked,
    /// The screen was seen to lock, and not to unlock since; the phone has no passcode that
    /// would make it say so itself (phone.md §2).
    LockSeen,
    /// The store has this room.
    Room(Room),
}

/// Why a condition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// No power from outside.
    OnBattery,
    /// Not seen on the network.
    NotOnNetwork,
    /// The screen is unlocked, or the phone has no passcode and never says otherwise.
    Unlocked {
        /// Whether this phone's screen was ever seen locked. When it never was, a phone
        /// without a passcode is likely, and `locked = "ignored"` is worth offering.
        lock_ever_seen: bool,
    },
    /// The next backup does not fit.
    NoRoom(Room),
    /// The store cannot take a backup at all.
    Store(StoreTrouble),
}

/// Why nobody can say whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// The phone is not there to be asked.
    NotReachable,
    /// The phone has not been asked yet.
    NotRead,
    /// The phone was asked and did not say.
    NotTold,
    /// What was read is older than it may be believed.
    Stale,
    /// The phone has no passcode, so it never says that it is locked, and no lock was seen.
    NoPasscode,
    /// The size of the phone's first backup cannot be bounded yet.
    SizeNotKnown,
    /// The store has not been looked at yet.
    StoreNotRead,
}

impl Verdict {
    /// Returns the value without its reason.
    pub const fn status(&self) -> Status {
        match self {
            Self::Met(_) => Status::Met,
            Self::Unmet(_) => Status::Unmet,
            Self::Unknown(_) => Status::Unknown,
        }
    }

    /// Tells whether the condition holds.
    pub const fn is_met(&self) -> bool {
        matches!(self, Self::Met(_))
    }

    /// Tells whether nobody has looked, or not lately.
    pub(crate) const fn is_unread(&self) -> bool {
        matches!(self, Self::Unknown(Unknown::NotRead | Unknown::Stale))
    }

    /// Returns the reason's word on the bus.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Met(Met::ExternalPower) => "external-power",
            Self::Met(Met::OnNetwork) => "on-network",
            Self::Met(Met::ByCable) => "by-cable",
            Self::Met(Met::ScreenLocked) => "screen-locked",
            Self::Met(Met::LockSeen) => "lock-seen",
            Self::Met(Met::Room(_)) => "enough-room",
            Self::Unmet(Unmet::OnBattery) => "on-battery",
            Self::Unmet(Unmet::NotOnNetwork) => "not-on-network",
            Self::Unmet(Unmet::Unlocked { .. }) => "unlocked",
            Self::Unmet(Unmet::NoRoom(_)) => "no-room",
            Self::Unmet(Unmet::Store(trouble)) => trouble.word(),
            Self::Unknown(Unknown::NotReachable) => "not-reachable",
            Self::Unknown(Unknown::NotRead) => "not-read",
            Self::Unknown(Unknown::NotTold) => "not-told",
            Self::Unknown(Unknown::Stale) => "stale",
            Self::Unknown(Unknown::NoPasscode) => "no-passcode",
            Self::Unknown(Unknown::SizeNotKnown) => "size-not-known",
            Self::Unknown(Unknown::StoreNotRead) => "store-not-read",
        }
    }
}

/// A verdict with its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionState {
    /// What is known.
    pub verdict: Verdict,
    /// Since when it is so, as far as was seen: for `met`, since it became met by any reason;
    /// otherwise since this reason took hold.
    pub since: Now,
    /// Where the newest evidence came from.
    pub source: Option<Source>,
    /// When the newest evidence was gathered; `None` without any, or when it holds by itself at
    /// this moment (a live connection).
    pub observed: Option<Now>,
}

impl ConditionState {
    /// Returns `self` as it follows on `before`: `since` stays while nothing changed.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let same = match (&self.verdict, &before.verdict) {
            (Verdict::Met(_), Verdict::Met(_)) => true,
            (now, then) => now.status() == then.status() && now.word() == then.word(),
        };
        if same {
            self.since = before.since;
        }
        self
    }
}

/// The four conditions of one phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Power from outside.
    pub power: ConditionState,
    /// On the network.
    pub wifi: ConditionState,
    /// Screen locked.
    pub locked: ConditionState,
    /// Room in the store.
    pub space: ConditionState,
}

impl Conditions {
    /// Returns one of the four.
    pub const fn get(&self, condition: Condition) -> &ConditionState {
        match condition {
            Condition::Power => &self.power,
            Condition::Wifi => &self.wifi,
            Condition::Locked => &self.locked,
            Condition::Space => &self.space,
        }
    }

    /// Returns all four with their names, in reading order.
    pub fn iter(&self) -> impl Iterator<Item = (Condition, &ConditionState)> {
        Condition::ALL
            .into_iter()
            .map(|condition| (condition, self.get(condition)))
    }

    /// Returns `self` as it follows on `before`, keeping each `since` that did not change.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self {
            power: self.power.after(&before.power),
            wifi: self.wifi.after(&before.wifi),
            locked: self.locked.after(&before.locked),
            space: self.space.after(&before.space),
        }
    }
}
