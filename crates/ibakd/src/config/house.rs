//! The keys that hold for the whole house.

use super::rules::Key;
use super::{Config, HostPower, Metered, PARALLEL_MAX, SIGNAL_HISTORY_DAYS_MAX, Value};
use crate::units::parse_size;
use ibak_device::MuxAddress;
use std::net::IpAddr;
use std::path::{Component, PathBuf};

/// Is every one of them.
const NAMES: [&str; 15] = [
    "store",
    "reserve",
    "quota",
    "cron",
    "parallel_max",
    "scrub",
    "log",
    "usbmuxd",
    "host_power",
    "networks",
    "metered",
    "metrics_textfile",
    "signal_history_days",
    "network.mdns",
    "network.interfaces",
];
const LOG_LEVELS: [(&str, &str); 5] = [
    ("error", "error"),
    ("warn", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
];
/// The ending of the files that the node exporter reads.
const METRICS_ENDING: &str = "prom";

impl Config {
    /// Sets a key that holds for the whole house.
    ///
    /// # Errors
    /// What it must be, or that there is no such key.
    pub(super) fn set_for_all(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "store" => {
                self.store = whole_path(value)?;
                self.store_is_explicit = true;
            }
            "reserve" => self.reserve_bytes = Some(size(value)?),
            "quota" => self.quota_bytes = Some(size(value)?),
            "cron" => self.cron = Some(cron(value)?),
            "parallel_max" => self.parallel_max = value.number(1, i64::from(PARALLEL_MAX))?,
            "scrub" => self.scrub = value.duration(super::DAY, 3_650 * super::DAY)?,
            "log" => self.log = value.word(&LOG_LEVELS)?.to_owned(),
            "usbmuxd" => self.usbmuxd = Some(usbmuxd(value)?),
            "host_power" => {
                self.host_power = value.word(&[("ac", HostPower::Ac), ("any", HostPower::Any)])?;
            }
            "networks" => self.networks = networks(value)?,
            "metered" => {
                self.metered = value.word(&[("wait", Metered::Wait), ("any", Metered::Any)])?;
            }
            "metrics_textfile" => self.metrics_textfile = Some(metrics_textfile(value)?),
            "signal_history_days" => {
                self.signal_history_days = value.number(0, i64::from(SIGNAL_HISTORY_DAYS_MAX))?;
            }
            "network.mdns" => self.mdns = value.flag()?,
            "network.interfaces" => self.interfaces = value.texts(',')?,
            unknown => return Err(unknown_key(unknown)),
        }
        Ok(())
    }
}

/// Tells whether this key holds for the whole house.
pub(super) fn is_for_all(key: &str) -> bool {
    NAMES.contains(&key)
}

/// Tells whether keys may stand in a table of this name.
pub(super) fn is_table(name: &str) -> bool {
    let begins = |key: &str| key.split_once('.').is_some_and(|(table, _)| table == name);
    NAMES
        .into_iter()
        .chain(Key::all().map(Key::name))
        .any(begins)
}

/// Says that there is no such key, and which was meant.
pub(super) fn unknown_key(key: &str) -> String {
    let mut names: Vec<&str> = NAMES.to_vec();
    names.extend(Key::all().map(Key::name));
    let last = key.rsplit('.').next().unwrap_or(key);
    if last != key
        && let Some(top) = names.iter().find(|name| **name == last)
    {
        return format!("there is no such key; `{top}` stands above the first [table]");
    }
    let meant = names
        .iter()
        .map(|name| (strokes(key, name), *name))
        .chain(
            names
                .iter()
                .filter(|name| name.ends_with(&format!(".{key}")))
                .map(|name| (0, *name)),
        )
        .min()
        .filter(|(strokes, _)| *strokes <= 2);
    match meant {
        Some((_, name)) => format!("there is no such key; is `{name}` meant?"),
        None => "there is no such key".to_owned(),
    }
}

/// Counts the letters to put in, take out or change between two words.
fn strokes(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut before = at;
        let mut left = at + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let changed = before + usize::from(a != b);
            before = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn whole_path(value: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(value.text()?);
    let plain = path
        .components()
        .all(|part| !matches!(part, Component::ParentDir));
    if path.is_absolute() && plain {
        Ok(path)
    } else {
        Err("must be a whole path that begins with / and has no .. in it".to_owned())
    }
}

fn size(value: &Value) -> Result<u64, String> {
    let expected = |_| "must be a size in quotes, like \"500GiB\"".to_owned();
    parse_size(value.text().map_err(expected)?).map_err(|error| error.to_string())
}

fn cron(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    if text.split_whitespace().count() != 5 {
        return Err(
            "must have five fields: minute, hour, day of month, month, day of week".to_owned(),
        );
    }
    if !crate::sources::cron::is_expression(text) {
        return Err("is no cron expression, for example \"0 2 * * *\"".to_owned());
    }
    Ok(text.to_owned())
}

fn usbmuxd(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    MuxAddress::parse(text)
        .map(|_| text.to_owned())
        .map_err(|_| "must be a path, or an address with a port like 127.0.0.1:27015".to_owned())
}

/// A text with a slash is a block of addresses, any other the name of a connection.
fn networks(value: &Value) -> Result<Vec<String>, String> {
    let names = value.texts(',')?;
    let good = |name: &String| match name.split_once('/') {
        Some((address, bits)) => is_block(address, bits),
        None => !name.is_empty() && name.len() <= 128 && !name.chars().any(char::is_control),
    };
    match names.iter().find(|name| !good(name)) {
        None => Ok(names),
        Some(bad) => Err(format!(
            "{bad:?} must be the name of a connection, or addresses like \"192.168.1.0/24\""
        )),
    }
}

fn is_block(address: &str, bits: &str) -> bool {
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn metrics_textfile(value: &Value) -> Result<PathBuf, String> {
    let path = whole_path(value)?;
    if path
        .extension()
        .is_some_and(|ending| ending == METRICS_ENDING)
    {
        Ok(path)
    } else {
        Err("must end in .prom: the node exporter reads no other files".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_meant_is_named() {
        for (key, want) in [
            ("stores", "is `store` meant?"),
            ("intervall", "is `interval` meant?"),
            ("conditions.windw", "there is no such key"),
            ("keep.window", "`window` stands above the first [table]"),
            ("battery_min", "is `conditions.battery_min` meant?"),
            ("something", "there is no such key"),
        ] {
            assert!(
                unknown_key(key).ends_with(want),
                "{key}: {}",
                unknown_key(key)
            );
        }
        assert_eq!((strokes("", "abc"), strokes("kitten", "sitting")), (3, 3));
    }

    #[test]
    fn every_key_is_taken_somewhere() {
        for key in NAMES {
            let told = Config::default().set_for_all(key, &Value::Odd);
            assert!(told.is_err_and(|why| !why.contains("no such key")), "{key}");
        }
    }
}
