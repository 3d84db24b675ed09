//! What may differ from phone to phone: each key once, with its reading and its writing.
//!
//! A value is written as it can be set again: [`Rules::set`] takes what [`Rules::text`] gives.

use super::value::{ALL, ALWAYS};
use super::{DAY, OnLoss, Requirement, Value, written};
use ibak_core::{AskPolicy, Windows};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What holds for one phone, or for all that have nothing else; every value in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether it is backed up without being asked to.
    pub automatic: bool,
    /// How often it is backed up.
    pub interval: Duration,
    /// When an automatic backup may start.
    pub window: Windows,
    /// When its owner may be asked for the passcode.
    pub ask_window: Windows,
    /// How often a day, 0 to 24.
    pub asks_per_day: u8,
    /// How much later than the last time at least.
    pub ask_every: Duration,
    /// How long the conditions must hold.
    pub settle: Duration,
    /// When it counts as overdue.
    pub overdue: Duration,
    /// How long a confirmed backup waits for the lock.
    pub hold_until_locked_max: Duration,
    /// How often a person is asked whether the backup password is still known, in days; 0 = never.
    pub password_check_days: u16,
    /// On which channels people are told of it; empty = all.
    pub notify: Vec<String>,
    /// The login name of whom it belongs to; `None` = nobody's in particular.
    pub owner: Option<String>,
    /// Whether power counts.
    pub power: Requirement,
    /// Whether Wi-Fi counts.
    pub wifi: Requirement,
    /// Whether the lock counts.
    pub locked: Requirement,
    /// Least charge in percent, 0 to 100.
    pub battery_min: u8,
    /// What losing power does.
    pub power_lost: OnLoss,
    /// What losing Wi-Fi does.
    pub wifi_lost: OnLoss,
    /// What an unlock does.
    pub locked_lost: OnLoss,
    /// First wait after a failure.
    pub backoff_first: Duration,
    /// Longest wait after failures.
    pub backoff_longest: Duration,
    /// How many backups stay: last, daily, weekly, monthly, yearly.
    pub keep: [u16; 5],
}

impl Default for Rules {
    fn default() -> Self {
        let ask = AskPolicy::default();
        Self {
            automatic: true,
            interval: DAY,
            window: Windows::default(),
            ask_window: ask.window,
            asks_per_day: ask.per_day,
            ask_every: ask.every,
            settle: MINUTE,
            overdue: 3 * DAY,
            hold_until_locked_max: 5 * MINUTE,
            password_check_days: 90,
            notify: Vec::new(),
            owner: None,
            power: Requirement::Required,
            wifi: Requirement::Required,
            locked: Requirement::Required,
            battery_min: 0,
            power_lost: OnLoss::Grace(10 * MINUTE),
            wifi_lost: OnLoss::Stop,
            locked_lost: OnLoss::Finish,
            backoff_first: 5 * MINUTE,
            backoff_longest: 4 * HOUR,
            keep: [3, 7, 5, 12, 0],
        }
    }
}

/// One key of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is a field of the rules")]
pub enum Key {
    Automatic,
    Interval,
    Window,
    AskWindow,
    AsksPerDay,
    AskEvery,
    Settle,
    Overdue,
    HoldUntilLockedMax,
    PasswordCheckDays,
    Notify,
    Owner,
    Power,
    Wifi,
    Locked,
    BatteryMin,
    PowerLost,
    WifiLost,
    LockedLost,
    BackoffFirst,
    BackoffLongest,
    KeepLast,
    KeepDaily,
    KeepWeekly,
    KeepMonthly,
    KeepYearly,
}

const NAMES: [(Key, &str); 26] = [
    (Key::Automatic, "automatic"),
    (Key::Interval, "interval"),
    (Key::Window, "window"),
    (Key::AskWindow, "ask_window"),
    (Key::AsksPerDay, "asks_per_day"),
    (Key::AskEvery, "ask_every"),
    (Key::Settle, "settle"),
    (Key::Overdue, "overdue"),
    (Key::HoldUntilLockedMax, "hold_until_locked_max"),
    (Key::PasswordCheckDays, "password_check_days"),
    (Key::Notify, "notify"),
    (Key::Owner, "owner"),
    (Key::Power, "conditions.power"),
    (Key::Wifi, "conditions.wifi"),
    (Key::Locked, "conditions.locked"),
    (Key::BatteryMin, "conditions.battery_min"),
    (Key::PowerLost, "lost.power"),
    (Key::WifiLost, "lost.wifi"),
    (Key::LockedLost, "lost.locked"),
    (Key::BackoffFirst, "backoff.first"),
    (Key::BackoffLongest, "backoff.longest"),
    (Key::KeepLast, "keep.last"),
    (Key::KeepDaily, "keep.daily"),
    (Key::KeepWeekly, "keep.weekly"),
    (Key::KeepMonthly, "keep.monthly"),
    (Key::KeepYearly, "keep.yearly"),
];

impl Key {
    /// Lists every key, in the order of the shipped file.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(key, _)| key)
    }

    /// Finds a key by its name.
    pub fn find(name: &str) -> Option<Self> {
        NAMES
            .into_iter()
            .find(|(_, it)| *it == name)
            .map(|(key, _)| key)
    }

    /// Returns its name, with its table.
    pub fn name(self) -> &'static str {
        NAMES
            .into_iter()
            .find(|(key, _)| *key == self)
            .map_or("", |(_, name)| name)
    }
}

impl Rules {
    /// Says whether a phone that asks for its passcode would be asked, but for the windows, which
    /// have no time in common.
    pub fn is_never_asked(&self) -> bool {
        self.automatic && self.asks_per_day > 0 && !self.window.meets(&self.ask_window)
    }

    /// Sets one key.
    ///
    /// # Errors
    /// What it must be; then nothing has changed.
    pub fn set(&mut self, key: Key, value: &Value) -> Result<(), String> {
        let keep_max = i64::from(u16::MAX);
        let [last, daily, weekly, monthly, yearly] = &mut self.keep;
        match key {
            Key::Automatic => self.automatic = value.flag()?,
            Key::Interval => self.interval = value.duration(SECOND, 365 * DAY)?,
            Key::Window => self.window = value.windows()?,
            Key::AskWindow => self.ask_window = value.windows()?,
            Key::AsksPerDay => self.asks_per_day = value.number(0, 24)?,
            Key::AskEvery => self.ask_every = value.duration(MINUTE, 30 * DAY)?,
            Key::Settle => self.settle = value.duration(Duration::ZERO, HOUR)?,
            Key::Overdue => self.overdue = value.duration(SECOND, 366 * DAY)?,
            Key::HoldUntilLockedMax => {
                self.hold_until_locked_max = value.duration(Duration::ZERO, HOUR)?;
            }
            Key::PasswordCheckDays => self.password_check_days = value.number(0, 3_660)?,
            Key::Notify => self.notify = value.channels()?,
            Key::Owner => self.owner = Some(value.login()?),
            Key::Power => self.power = value.requirement(false)?,
            Key::Wifi => self.wifi = value.requirement(true)?,
            Key::Locked => self.locked = value.requirement(false)?,
            Key::BatteryMin => self.battery_min = value.number(0, 100)?,
            Key::PowerLost => self.power_lost = value.on_loss()?,
            Key::WifiLost => self.wifi_lost = value.on_loss()?,
            Key::LockedLost => self.locked_lost = value.on_loss()?,
            Key::BackoffFirst => self.backoff_first = value.duration(SECOND, DAY)?,
            Key::BackoffLongest => self.backoff_longest = value.duration(SECOND, 7 * DAY)?,
            Key::KeepLast => *last = value.number(1, keep_max)?,
            Key::KeepDaily => *daily = value.number(0, keep_max)?,
            Key::KeepWeekly => *weekly = value.number(0, keep_max)?,
            Key::KeepMonthly => *monthly = value.number(0, keep_max)?,
            Key::KeepYearly => *yearly = value.number(0, keep_max)?,
        }
        Ok(())
    }

    /// Writes the value of one key, as it can be set again; nobody as the owner is empty.
    pub fn text(&self, key: Key) -> String {
        let [last, daily, weekly, monthly, yearly] = self.keep;
        match key {
            Key::Automatic => self.automatic.to_string(),
            Key::Interval => written(self.interval),
            Key::Window => windows(&self.window),
            Key::AskWindow => windows(&self.ask_window),
            Key::AsksPerDay => self.asks_per_day.to_string(),
            Key::AskEvery => written(self.ask_every),
            Key::Settle => written(self.settle),
            Key::Overdue => written(self.overdue),
            Key::HoldUntilLockedMax => written(self.hold_until_locked_max),
            Key::PasswordCheckDays => self.password_check_days.to_string(),
            Key::Notify if self.notify.is_empty() => ALL.to_owned(),
            Key::Notify => self.notify.join(","),
            Key::Owner => self.owner.clone().unwrap_or_default(),
            Key::Power => requirement(self.power).to_owned(),
            Key::Wifi => requirement(self.wifi).to_owned(),
            Key::Locked => requirement(self.locked).to_owned(),
            Key::BatteryMin => self.battery_min.to_string(),
            Key::PowerLost => on_loss(self.power_lost),
            Key::WifiLost => on_loss(self.wifi_lost),
            Key::LockedLost => on_loss(self.locked_lost),
            Key::BackoffFirst => written(self.backoff_first),
            Key::BackoffLongest => written(self.backoff_longest),
            Key::KeepLast => last.to_string(),
            Key::KeepDaily => daily.to_string(),
            Key::KeepWeekly => weekly.to_string(),
            Key::KeepMonthly => monthly.to_string(),
            Key::KeepYearly => yearly.to_string(),
        }
    }

    /// Checks what no key can tell alone.
    ///
    /// # Errors
    /// The keys that do not go together, and why; the last one is the more likely to be wrong.
    pub fn check(&self) -> Result<(), ([Key; 2], String)> {
        if self.backoff_longest < self.backoff_first {
            return Err((
                [Key::BackoffFirst, Key::BackoffLongest],
                format!(
                    "must not be shorter than `backoff.first`, which is {}",
                    written(self.backoff_first)
                ),
            ));
        }
        Ok(())
    }
}

fn windows(windows: &Windows) -> String {
    if windows.is_always() {
        ALWAYS.to_owned()
    } else {
        windows.to_string()
    }
}

fn requirement(requirement: Requirement) -> &'static str {
    match requirement {
        Requirement::Required => "required",
        Requirement::Ignored => "ignored",
        Requirement::OrUsb => "or-usb",
    }
}

fn on_loss(loss: OnLoss) -> String {
    match loss {
        OnLoss::Finish => "finish".to_owned(),
        OnLoss::Stop => "stop".to_owned(),
        OnLoss::Grace(time) => written(time),
    }
}
