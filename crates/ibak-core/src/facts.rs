//! The facts of one phone with their dates, and the conditions that follow from them.
//!
//! A fact is believed until its time-to-live is over; then it is `unknown`, never "as before".

use crate::{
    Bytes, ConditionState, Fact, Met, Monotonic, Now, Observation, Reach, Signal, Source, Unknown,
    Unmet, Verdict, WifiNeed,
};
use std::time::Duration;

/// For how long a lock or unlock that was only heard of is believed of a phone whose
/// `PasswordProtected` can confirm it.
const EDGE_UNCONFIRMED_MAX: Duration = Duration::from_secs(60);

/// A value with its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dated<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
    pub(crate) at: Now,
    pub(crate) time_to_live: Option<Duration>,
}

impl<T> Dated<T> {
    /// Returns when it stops being believed.
    pub(crate) fn lapses(&self) -> Option<Monotonic> {
        self.time_to_live.map(|time| self.at.monotonic + time)
    }

    /// Returns when it is to be read again, so that it does not lapse.
    fn reread_at(&self) -> Option<Monotonic> {
        self.time_to_live
            .map(|time| self.at.monotonic + time / 4 * 3)
    }

    fn fresh(&self, now: Now) -> bool {
        self.lapses().is_none_or(|end| now.monotonic < end)
    }
}

/// What was heard of the screen, as opposed to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Locked,
    Unlocked,
}

type Level<T> = Option<Dated<Option<T>>>;

/// All facts of one phone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    power: Level<bool>,
    battery: Level<u8>,
    on_wifi: Level<bool>,
    locked: Level<bool>,
    edge: Option<Dated<Edge>>,
    data_used: Level<Bytes>,
    /// The newest data use ever told; it changes slowly and outlives its time-to-live.
    pub(crate) data_used_kept: Option<Bytes>,
    pub(crate) encrypts: Option<bool>,
    pub(crate) encryption_required: Option<bool>,
    pub(crate) icloud: Option<bool>,
    pub(crate) icloud_date: Option<crate::Wall>,
    has_passcode: Option<bool>,
    pub(crate) lock_ever_seen: bool,
}

impl Facts {
    /// Takes in one observation; facts about reach, trust and identity are not kept here.
    pub(crate) fn observe(&mut self, seen: &Observation, now: Now) {
        // A date in the future would outlive its time-to-live.
        let at = if seen.at.monotonic > now.monotonic {
            now
        } else {
            seen.at
        };
        match &seen.fact {
            Fact::ExternalPower(it) => replace(&mut self.power, dated(*it, seen, at)),
            Fact::OnWifi(it) => replace(&mut self.on_wifi, dated(*it, seen, at)),
            Fact::ScreenLocked(it) => {
                self.lock_ever_seen |= *it == Some(true);
                replace(&mut self.locked, dated(*it, seen, at));
            }
            Fact::BatteryPercent(it) => replace(&mut self.battery, dated(*it, seen, at)),
            Fact::DataUsed(it) => {
                replace(&mut self.data_used, dated(*it, seen, at));
                self.keep_data_used(*it);
            }
            Fact::LockSeen | Fact::UnlockSeen => {
                let value = if seen.fact == Fact::LockSeen {
                    Edge::Locked
                } else {
                    Edge::Unlocked
                };
                replace(&mut self.edge, dated(value, seen, at));
            }
            Fact::EncryptsBackups(it) => self.encrypts = *it,
            Fact::EncryptionRequired(it) => self.encryption_required = *it,
            Fact::ICloudBackup(it) => self.icloud = *it,
            Fact::ICloudBackupDate(it) => self.icloud_date = *it,
            Fact::HasPasscode(it) => {
                self.has_passcode = *it;
                self.lock_ever_seen &= *it != Some(false);
            }
            Fact::Unheard => {
                let later = |it: &Dated<Edge>| it.at.monotonic > at.monotonic;
                self.edge = self.edge.filter(later);
            }
            Fact::Reachable { .. } | Fact::Trusted(_) | Fact::Identity { .. } => {}
        }
    }

    /// Small changes are not worth remembering on disk.
    fn keep_data_used(&mut self, told: Option<Bytes>) {
        if let Some(told) = told {
            let drift = |kept: Bytes| told.get().abs_diff(kept.get()) > kept.get() / 20;
            if self.data_used_kept.is_none_or(drift) {
                self.data_used_kept = Some(told);
            }
        }
    }

    /// Forgets what only a connected phone can tell.
    pub(crate) fn forget_connection(&mut self) {
        self.power = None;
        self.battery = None;
        self.locked = None;
        self.edge = None;
        self.data_used = None;
    }

    /// Forgets what was read by a cable that is gone: it was power, too.
    pub(crate) fn forget_power(&mut self) {
        self.power = None;
        self.battery = None;
    }

    /// Tells whether the phone is known to have a passcode.
    pub(crate) fn has_passcode(&self) -> bool {
        self.lock_ever_seen || self.has_passcode == Some(true)
    }

    /// Returns the charge, if it is known and fresh.
    pub(crate) fn battery_percent(&self, now: Now) -> Option<u8> {
        self.battery
            .filter(|it| it.fresh(now))
            .and_then(|it| it.value)
    }

    pub(crate) fn power(&self, reach: Reach, now: Now) -> ConditionState {
        if reach.best().is_none() {
            return gone(now);
        }
        state(&self.power, reach, now, |on| {
            if on {
                Verdict::Met(Met::ExternalPower)
            } else {
                Verdict::Unmet(Unmet::OnBattery)
            }
        })
    }

    pub(crate) fn wifi(&self, reach: Reach, need: WifiNeed, now: Now) -> ConditionState {
        let here = |met, source| ConditionState {
            verdict: Verdict::Met(met),
            since: now,
            source: Some(source),
            observed: None,
        };
        if reach.wifi {
            return here(Met::OnNetwork, Source::Heartbeat);
        }
        let seen = state(&self.on_wifi, reach, now, |on| {
            if on {
                Verdict::Met(Met::OnNetwork)
            } else {
                Verdict::Unmet(Unmet::NotOnNetwork)
            }
        });
        if need == WifiNeed::OrUsb && reach.usb && !seen.verdict.is_met() {
            return here(Met::ByCable, Source::Usbmuxd);
        }
        seen
    }

    /// A lock or unlock heard of after the last reading outweighs it for a minute, in which it
    /// is read again; of a phone without a passcode, which always reads "unlocked", it is all
    /// there is (phone.md §2).
    pub(crate) fn locked(&self, reach: Reach, now: Now) -> ConditionState {
        if reach.best().is_none() {
            return gone(now);
        }
        let unlocked = Verdict::Unmet(Unmet::Unlocked {
            lock_ever_seen: self.lock_ever_seen,
        });
        let mut read = state(&self.locked, reach, now, |locked| {
            if locked {
                Verdict::Met(Met::ScreenLocked)
            } else {
                unlocked
            }
        });
        match self.believed_edge(now) {
            Some(edge) => {
                read.source = Some(edge.source);
                read.observed = Some(edge.at);
                read.verdict = match edge.value {
                    // That it has none is what makes hearing of it all there is.
                    Edge::Locked if self.has_passcode() => Verdict::Met(Met::ScreenLocked),
                    Edge::Locked => Verdict::Met(Met::LockSeen),
                    Edge::Unlocked => unlocked,
                };
            }
            None if read.verdict == unlocked && self.has_passcode == Some(false) => {
                read.verdict = Verdict::Unknown(Unknown::NoPasscode);
            }
            None => {}
        }
        read
    }

    /// Returns the newest edge while it counts for more than what was read.
    fn believed_edge(&self, now: Now) -> Option<Dated<Edge>> {
        let edge = self.edge.filter(|it| it.fresh(now))?;
        let heard_last = self
            .locked
            .is_none_or(|read| read.at.monotonic <= edge.at.monotonic);
        if self.has_passcode() {
            let end = edge.at.monotonic + EDGE_UNCONFIRMED_MAX;
            return (heard_last && now.monotonic < end).then_some(edge);
        }
        // Without a passcode a reading says nothing but that the connection still lives.
        let alive = self
            .locked
            .is_some_and(|read| read.fresh(now) && read.value == Some(false));
        (heard_last || alive).then_some(edge)
    }

    /// Returns when `signal` is to be read again: `None` when it holds until contradicted.
    pub(crate) fn reread_at(&self, signal: Signal, now: Now) -> Option<Monotonic> {
        fn due<T: Copy>(level: &Level<T>, now: Now) -> Option<Monotonic> {
            match level {
                Some(it) if it.value.is_some() => it.reread_at(),
                Some(_) | None => Some(now.monotonic),
            }
        }
        match signal {
            Signal::Power => due(&self.power, now),
            Signal::Wifi => due(&self.on_wifi, now),
            Signal::Locked => match self.edge {
                Some(edge)
                    if self
                        .locked
                        .is_none_or(|read| read.at.monotonic < edge.at.monotonic) =>
                {
                    Some(now.monotonic)
                }
                Some(_) | None => due(&self.locked, now),
            },
            Signal::DataUsed => match self.data_used_kept {
                Some(_) => self.data_used.and_then(|it| it.reread_at()),
                None => Some(now.monotonic),
            },
            Signal::Trust | Signal::Identity => None,
        }
    }

    /// Lists every moment after `now` at which something stops being believed.
    pub(crate) fn lapses(&self, now: Now) -> impl Iterator<Item = Monotonic> {
        let edge = self.edge.map(|it| it.at.monotonic + EDGE_UNCONFIRMED_MAX);
        [
            self.power.and_then(|it| it.lapses()),
            self.battery.and_then(|it| it.lapses()),
            self.on_wifi.and_then(|it| it.lapses()),
            self.locked.and_then(|it| it.lapses()),
            self.edge.and_then(|it| it.lapses()),
            edge,
        ]
        .into_iter()
        .flatten()
        .filter(move |end| *end > now.monotonic)
    }
}

/// What only a phone that is there can say; a reading may end after the phone has gone.
fn gone(now: Now) -> ConditionState {
    ConditionState {
        verdict: Verdict::Unknown(Unknown::NotReachable),
        since: now,
        source: None,
        observed: None,
    }
}

/// Dates what was seen.
fn dated<T>(value: T, seen: &Observation, at: Now) -> Dated<T> {
    Dated {
        value,
        source: seen.source,
        at,
        time_to_live: seen.time_to_live,
    }
}

/// What was seen later wins.
fn replace<T>(slot: &mut Option<Dated<T>>, new: Dated<T>) {
    if slot
        .as_ref()
        .is_none_or(|old| old.at.monotonic <= new.at.monotonic)
    {
        *slot = Some(new);
    }
}

fn state(
    level: &Level<bool>,
    reach: Reach,
    now: Now,
    say: impl Fn(bool) -> Verdict,
) -> ConditionState {
    let there = reach.best().is_some();
    let fresh = level.as_ref().filter(|it| it.fresh(now));
    let verdict = match (fresh.map(|it| it.value), level) {
        (Some(Some(told)), _) => say(told),
        (Some(None), _) if there => Verdict::Unknown(Unknown::NotTold),
        (None, Some(_)) if there => Verdict::Unknown(Unknown::Stale),
        (None, None) if there => Verdict::Unknown(Unknown::NotRead),
        _ => Verdict::Unknown(Unknown::NotReachable),
    };
    ConditionState {
        verdict,
        since: now,
        source: level.as_ref().map(|it| it.source),
        observed: level.as_ref().map(|it| it.at),
    }
}
