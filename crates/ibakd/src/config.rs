//! `/etc/ibak/ibakd.toml`: parsed strictly, then checked as a whole.
//!
//! `parse` is pure; `load` reads. A file is taken whole or refused whole, with the line.

use crate::units::{parse_duration, parse_size};
use ibak_device::MuxAddress;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the configuration is looked for.
pub const DEFAULT_PATH: &str = "/etc/ibak/ibakd.toml";
/// Where the backups lie unless the configuration says so.
pub const DEFAULT_STORE: &str = "/var/lib/ibak/store";
/// Most phones that may be backed up at once.
pub const PARALLEL_MAX: u32 = 16;
/// Largest configuration file taken, in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Says what is wrong with a configuration, with the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no TOML, or has a key or a kind of value that is not known.
    #[error("{0}")]
    Syntax(String),
    /// A value is out of its range.
    #[error("line {line}: `{key}`: {reason}")]
    Value {
        /// The key, with its table.
        key: String,
        /// Counted from one.
        line: usize,
        /// What it must be.
        reason: String,
    },
}

/// Whether a condition counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// It must hold.
    Required,
    /// It does not matter.
    Ignored,
    /// For Wi-Fi: a cable will do as well.
    OrUsb,
}

/// What losing a condition does to a running backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// The backup goes on.
    Finish,
    /// It stops after so long.
    Grace(Duration),
    /// It stops and keeps what arrived.
    Stop,
}

/// The whole configuration, every value in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the backups lie.
    pub store: PathBuf,
    /// Whether the file names the store: only then may it be on the root file system.
    pub store_is_explicit: bool,
    /// Bytes left free; `None` = the store's own rule.
    pub reserve_bytes: Option<u64>,
    /// Bytes that all backups may use; `None` = no bound.
    pub quota_bytes: Option<u64>,
    /// How often a phone is backed up.
    pub interval: Duration,
    /// A cron expression that says when backups become due, instead of the interval.
    pub cron: Option<String>,
    /// How long the conditions must hold.
    pub settle: Duration,
    /// Backups at once, 1 to [`PARALLEL_MAX`].
    pub parallel_max: u32,
    /// When a phone counts as overdue.
    pub overdue: Duration,
    /// How often a person is asked whether the backup password is still known, in days; 0 = never.
    pub password_check_days: u16,
    /// How many backups of each phone stay: last, daily, weekly, monthly, yearly.
    pub keep: [u16; 5],
    /// Within which time everything in the store is read again.
    pub scrub: Duration,
    /// How long a confirmed backup waits for the lock.
    pub hold_until_locked_max: Duration,
    /// The log level.
    pub log: String,
    /// Where usbmuxd listens; `None` = its usual place.
    pub usbmuxd: Option<String>,
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
    /// Whether phones are looked for on the network.
    pub mdns: bool,
    /// Network interfaces to look on; empty = all.
    pub interfaces: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    store: Option<PathBuf>,
    reserve: Option<String>,
    quota: Option<String>,
    interval: Option<String>,
    cron: Option<String>,
    settle: Option<String>,
    parallel_max: Option<i64>,
    overdue: Option<String>,
    password_check_days: Option<i64>,
    scrub: Option<String>,
    hold_until_locked_max: Option<String>,
    log: Option<String>,
    usbmuxd: Option<String>,
    keep: RawKeep,
    conditions: RawConditions,
    lost: RawLost,
    backoff: RawBackoff,
    network: RawNetwork,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawKeep {
    last: Option<i64>,
    daily: Option<i64>,
    weekly: Option<i64>,
    monthly: Option<i64>,
    yearly: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawConditions {
    power: Option<String>,
    wifi: Option<String>,
    locked: Option<String>,
    battery_min: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLost {
    power: Option<String>,
    wifi: Option<String>,
    locked: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawBackoff {
    first: Option<String>,
    longest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawNetwork {
    mdns: Option<bool>,
    interfaces: Option<Vec<String>>,
}

impl Config {
    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or [`Config::parse`] refuses it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = || {
            let len = std::fs::metadata(path)?.len();
            if len > LEN_MAX {
                return Err(std::io::Error::other(format!(
                    "{len} bytes are too many for a configuration"
                )));
            }
            std::fs::read_to_string(path)
        };
        Self::parse(&read().map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?)
    }

    /// Parses the text of a configuration.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] for what TOML or the set of keys forbids, [`ConfigError::Value`] for a value out of range.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text)
            .map_err(|error| ConfigError::Syntax(error.to_string().trim_end().to_owned()))?;
        Reader { text }.config(raw)
    }
}

/// Turns raw values into checked ones and knows where each key stands.
struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn config(&self, raw: Raw) -> Result<Config, ConfigError> {
        let RawConditions {
            power,
            wifi,
            locked,
            battery_min,
        } = raw.conditions;
        let (backoff_first, backoff_longest) = self.backoff(raw.backoff)?;
        Ok(Config {
            store_is_explicit: raw.store.is_some(),
            store: self.store(raw.store)?,
            reserve_bytes: self.parsed("reserve", raw.reserve.as_deref(), parse_size)?,
            quota_bytes: self.parsed("quota", raw.quota.as_deref(), parse_size)?,
            interval: self.bounded("interval", raw.interval, 86_400, (1, 365 * 86_400))?,
            cron: self.cron(raw.cron)?,
            settle: self.bounded("settle", raw.settle, 60, (0, 86_400))?,
            parallel_max: self.number(
                "parallel_max",
                raw.parallel_max,
                4,
                1,
                i64::from(PARALLEL_MAX),
            )?,
            overdue: self.bounded("overdue", raw.overdue, 3 * 86_400, (1, 3_650 * 86_400))?,
            password_check_days: self.number(
                "password_check_days",
                raw.password_check_days,
                90,
                0,
                3_660,
            )?,
            keep: self.keep(&raw.keep)?,
            scrub: self.bounded("scrub", raw.scrub, 30 * 86_400, (86_400, 3_650 * 86_400))?,
            hold_until_locked_max: self.bounded(
                "hold_until_locked_max",
                raw.hold_until_locked_max,
                300,
                (0, 3_600),
            )?,
            log: self.word(
                "log",
                raw.log,
                "info",
                &["error", "warn", "info", "debug", "trace"],
            )?,
            usbmuxd: self.usbmuxd(raw.usbmuxd)?,
            power: self.requirement("conditions.power", power, false)?,
            wifi: self.requirement("conditions.wifi", wifi, true)?,
            locked: self.requirement("conditions.locked", locked, false)?,
            battery_min: self.number("conditions.battery_min", battery_min, 0, 0, 100)?,
            power_lost: self.on_loss(
                "lost.power",
                raw.lost.power,
                OnLoss::Grace(Duration::from_secs(600)),
            )?,
            wifi_lost: self.on_loss("lost.wifi", raw.lost.wifi, OnLoss::Stop)?,
            locked_lost: self.on_loss("lost.locked", raw.lost.locked, OnLoss::Finish)?,
            backoff_first,
            backoff_longest,
            mdns: raw.network.mdns.unwrap_or(true),
            interfaces: raw.network.interfaces.unwrap_or_default(),
        })
    }

    fn backoff(&self, raw: RawBackoff) -> Result<(Duration, Duration), ConfigError> {
        let first = self.bounded("backoff.first", raw.first, 300, (1, 86_400))?;
        let longest = self.bounded("backoff.longest", raw.longest, 4 * 3_600, (1, 7 * 86_400))?;
        if longest < first {
            return Err(self.error(
                "backoff.longest",
                "must not be shorter than `backoff.first`",
            ));
        }
        Ok((first, longest))
    }

    fn keep(&self, raw: &RawKeep) -> Result<[u16; 5], ConfigError> {
        let most = i64::from(u16::MAX);
        Ok([
            self.number("keep.last", raw.last, 3, 1, most)?,
            self.number("keep.daily", raw.daily, 7, 0, most)?,
            self.number("keep.weekly", raw.weekly, 5, 0, most)?,
            self.number("keep.monthly", raw.monthly, 12, 0, most)?,
            self.number("keep.yearly", raw.yearly, 0, 0, most)?,
        ])
    }

    fn store(&self, store: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        let store = store.unwrap_or_else(|| PathBuf::from(DEFAULT_STORE));
        if store.is_absolute()
            && store
                .components()
                .all(|c| !matches!(c, std::path::Component::ParentDir))
        {
            Ok(store)
        } else {
            Err(self.error(
                "store",
                "must be a whole path that begins with / and has no .. in it",
            ))
        }
    }

    fn cron(&self, cron: Option<String>) -> Result<Option<String>, ConfigError> {
        match cron {
            Some(text) if text.split_whitespace().count() != 5 => Err(self.error(
                "cron",
                "must have five fields: minute, hour, day of month, month, day of week",
            )),
            Some(text) if !crate::sources::cron::is_expression(&text) => {
                Err(self.error("cron", "is no cron expression, for example \"0 2 * * *\""))
            }
            other => Ok(other),
        }
    }

    fn usbmuxd(&self, address: Option<String>) -> Result<Option<String>, ConfigError> {
        match address {
            Some(text) if MuxAddress::parse(&text).is_ok() => Ok(Some(text)),
            Some(_) => Err(self.error(
                "usbmuxd",
                "must be a path, or an address with a port like 127.0.0.1:27015",
            )),
            None => Ok(None),
        }
    }

    fn requirement(
        &self,
        key: &str,
        value: Option<String>,
        may_use_cable: bool,
    ) -> Result<Requirement, ConfigError> {
        match value.as_deref() {
            None | Some("required") => Ok(Requirement::Required),
            Some("ignored") => Ok(Requirement::Ignored),
            Some("or-usb") if may_use_cable => Ok(Requirement::OrUsb),
            Some(_) if may_use_cable => {
                Err(self.error(key, "must be \"required\", \"or-usb\" or \"ignored\""))
            }
            Some(_) => Err(self.error(key, "must be \"required\" or \"ignored\"")),
        }
    }

    fn on_loss(
        &self,
        key: &str,
        value: Option<String>,
        default: OnLoss,
    ) -> Result<OnLoss, ConfigError> {
        match value.as_deref() {
            None => Ok(default),
            Some("finish") => Ok(OnLoss::Finish),
            Some("stop") => Ok(OnLoss::Stop),
            Some(text) => parse_duration(text).map(OnLoss::Grace).map_err(|_| {
                self.error(
                    key,
                    "must be \"finish\", \"stop\", or a duration like \"10min\"",
                )
            }),
        }
    }

    fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &str,
        value: Option<&str>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        value
            .map(|text| parse(text).map_err(|error| self.error(key, &error.to_string())))
            .transpose()
    }

    fn bounded(
        &self,
        key: &str,
        value: Option<String>,
        default_secs: u64,
        secs: (u64, u64),
    ) -> Result<Duration, ConfigError> {
        let duration = self
            .parsed(key, value.as_deref(), parse_duration)?
            .unwrap_or(Duration::from_secs(default_secs));
        if (secs.0..=secs.1).contains(&duration.as_secs()) {
            Ok(duration)
        } else {
            Err(self.error(
                key,
                &format!("must be from {} to {} seconds", secs.0, secs.1),
            ))
        }
    }

    fn number<T: TryFrom<i64>>(
        &self,
        key: &str,
        value: Option<i64>,
        default: i64,
        least: i64,
        most: i64,
    ) -> Result<T, ConfigError> {
        let number = value.unwrap_or(default);
        (least..=most)
            .contains(&number)
            .then(|| T::try_from(number).ok())
            .flatten()
            .ok_or_else(|| self.error(key, &format!("must be a number from {least} to {most}")))
    }

    fn word(
        &self,
        key: &str,
        value: Option<String>,
        default: &str,
        words: &[&str],
    ) -> Result<String, ConfigError> {
        let word = value.unwrap_or_else(|| default.to_owned());
        if words.contains(&word.as_str()) {
            Ok(word)
        } else {
            Err(self.error(key, &format!("must be one of {}", words.join(", "))))
        }
    }

    fn error(&self, key: &str, reason: &str) -> ConfigError {
        ConfigError::Value {
            key: key.to_owned(),
            line: line_of(self.text, key),
            reason: reason.to_owned(),
        }
    }
}

/// Finds the line of `table.key` or `key`, counted from one; 1 when it stands in an unusual way.
fn line_of(text: &str, key: &str) -> usize {
    let (table, name) = key.split_once('.').unwrap_or(("", key));
    let mut current = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            current = header.trim();
        } else if current == table
            && line
                .split('=')
                .next()
                .is_some_and(|left| left.trim() == name)
        {
            return number + 1;
        }
    }
    1
}

mod explain;

pub use explain::explain;

#[cfg(test)]
mod tests;
