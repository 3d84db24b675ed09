//! `/etc/ibak/ibakd.toml`: parsed strictly, then checked as a whole.
//!
//! `parse` is pure; `load` reads. A file is taken whole or refused whole, with the line. What may
//! differ from phone to phone is in [`Rules`]; the rest holds for the whole house.

mod document;
mod explain;
mod house;
mod phones;
mod rules;
mod value;

pub use explain::explain;
pub(crate) use phones::not_a_phones;
pub use phones::{Candidate, Matched, PhoneConfig, match_tables, same_name};
pub use rules::{Key, Rules};
pub use value::Value;

use document::Document;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the configuration is looked for.
pub const DEFAULT_PATH: &str = "/etc/ibak/ibakd.toml";
/// Where the backups lie unless the configuration says so.
pub const DEFAULT_STORE: &str = "/var/lib/ibak/store";
/// Most phones that may be backed up at once.
pub const PARALLEL_MAX: u32 = 16;
/// Most days for which it is kept who was how when.
pub const SIGNAL_HISTORY_DAYS_MAX: u16 = 365;
/// Largest configuration file taken, in bytes.
const LEN_MAX: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

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

/// Whether this computer itself must be on mains power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostPower {
    /// One with a battery must.
    #[default]
    Ac,
    /// It does not matter.
    Any,
}

/// What a network that is paid by volume means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metered {
    /// Backups over the network wait.
    #[default]
    Wait,
    /// Nothing.
    Any,
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
    /// A cron expression that says when backups become due, instead of the interval.
    pub cron: Option<String>,
    /// Backups at once, 1 to [`PARALLEL_MAX`].
    pub parallel_max: u32,
    /// Within which time everything in the store is read again.
    pub scrub: Duration,
    /// The log level.
    pub log: String,
    /// Where usbmuxd listens; `None` = its usual place.
    pub usbmuxd: Option<String>,
    /// Whether phones are looked for on the network.
    pub mdns: bool,
    /// Network interfaces to look on; empty = all.
    pub interfaces: Vec<String>,
    /// Whether this computer must be on mains power.
    pub host_power: HostPower,
    /// This computer's networks on which phones are backed up over Wi-Fi: names of NetworkManager's
    /// connections and blocks of addresses (`192.168.1.0/24`); empty = all.
    pub networks: Vec<String>,
    /// What a metered network means.
    pub metered: Metered,
    /// Where numbers for Prometheus' node exporter are written.
    pub metrics_textfile: Option<PathBuf>,
    /// For how many days it is kept when each condition held, 0 to [`SIGNAL_HISTORY_DAYS_MAX`].
    pub signal_history_days: u16,
    /// What holds for every phone without its own.
    pub rules: Rules,
    /// Which of these the file says.
    pub said: BTreeSet<Key>,
    /// The phones' own tables, in the order of the file.
    pub phones: Vec<PhoneConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: PathBuf::from(DEFAULT_STORE),
            store_is_explicit: false,
            reserve_bytes: None,
            quota_bytes: None,
            cron: None,
            parallel_max: 4,
            scrub: 30 * DAY,
            log: "info".to_owned(),
            usbmuxd: None,
            mdns: true,
            interfaces: Vec::new(),
            host_power: HostPower::default(),
            networks: Vec::new(),
            metered: Metered::default(),
            metrics_textfile: None,
            signal_history_days: 14,
            rules: Rules::default(),
            said: BTreeSet::new(),
            phones: Vec::new(),
        }
    }
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
    /// [`ConfigError::Syntax`] for what TOML forbids, [`ConfigError::Value`] for a key that is not
    /// known or a value out of range.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text)?;
        let mut config = Self::default();
        for entry in document.entries.iter().filter(|it| it.phone.is_none()) {
            let set = match Key::find(&entry.key) {
                Some(key) => {
                    config.said.insert(key);
                    config.rules.set(key, &entry.value)
                }
                None => config.set_for_all(&entry.key, &entry.value),
            };
            set.map_err(|reason| error(&entry.key, entry.line, reason))?;
        }
        let general = document.entries.iter().filter(|it| it.phone.is_none());
        together(&config.rules, general, None)?;
        config.phones = phones::read(&document, &config.rules)?;
        Ok(config)
    }
}

/// Checks what no key can tell alone, and names the line of the later of the two.
fn together<'a>(
    rules: &Rules,
    entries: impl Iterator<Item = &'a document::Entry> + Clone,
    phone: Option<&str>,
) -> Result<(), ConfigError> {
    rules.check().map_err(|(keys, reason)| {
        let line_of = |key: Key| {
            let mut entries = entries.clone();
            entries.find(|entry| entry.key == key.name())
        };
        let [.., last] = keys;
        let line = keys.iter().rev().find_map(|key| line_of(*key));
        let key = phones::key_of(phone, last.name());
        error(&key, line.map_or(1, |entry| entry.line), reason)
    })
}

fn error(key: &str, line: usize, reason: String) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        line,
        reason,
    }
}

/// Writes a duration as the configuration has it, in its largest unit of which it is a whole number
/// (a day and a minute stay `24h` and `60s`).
pub(crate) fn written(time: Duration) -> String {
    let secs = time.as_secs();
    let units = [(86_400, 2, "d"), (3_600, 1, "h"), (60, 2, "min")];
    units
        .into_iter()
        .find(|(unit, least, _)| secs % unit == 0 && secs / unit >= *least)
        .map_or_else(
            || format!("{secs}s"),
            |(unit, _, name)| format!("{}{name}", secs / unit),
        )
}

#[cfg(test)]
mod tests;
