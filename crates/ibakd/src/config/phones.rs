//! The tables of single phones, and which phone each is about.

use super::document::{Document, Entry};
use super::house::{is_for_all, unknown_key};
use super::{ConfigError, Key, Rules, error, together};
use ibak_core::Udid;
use std::collections::BTreeSet;

/// What the file says of one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneConfig {
    /// Its name or its UDID, as the file has it.
    pub name: String,
    /// Where its table begins, counted from one.
    pub line: usize,
    /// What holds for it: its own keys over those of all.
    pub rules: Rules,
    /// Which keys are its own.
    pub said: BTreeSet<Key>,
}

/// Which phone a table is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// This one.
    Phone(Udid),
    /// None that is known.
    Nobody,
    /// So many that go by this name, so it is nobody's.
    Several(usize),
    /// The one whose UDID has a table, which goes first.
    Elsewhere(Udid),
}

/// A phone that a table may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which phone.
    pub udid: Udid,
    /// What it says it is called.
    pub name: String,
    /// Whether this house backs it up or did: a stranger takes no name from such a phone.
    pub ours: bool,
    /// Whether its backups are only kept. It leaves its name to another.
    pub retired: bool,
}

impl PhoneConfig {
    /// Returns the UDID when that is what it is named by.
    pub fn udid(&self) -> Option<Udid> {
        Udid::parse(&self.name).ok()
    }
}

/// Says for each table which phone it is about.
pub fn match_tables(tables: &[PhoneConfig], phones: &[Candidate]) -> Vec<Matched> {
    let by_udid: BTreeSet<Udid> = tables.iter().filter_map(PhoneConfig::udid).collect();
    let known = |udid: &Udid| phones.iter().any(|phone| phone.udid == *udid);
    tables
        .iter()
        .map(|table| match table.udid() {
            Some(udid) if known(&udid) => Matched::Phone(udid),
            Some(_) => Matched::Nobody,
            None => match named(&table.name, phones).as_slice() {
                [] => Matched::Nobody,
                [one] if by_udid.contains(&one.udid) => Matched::Elsewhere(one.udid.clone()),
                [one] => Matched::Phone(one.udid.clone()),
                several => Matched::Several(several.len()),
            },
        })
        .collect()
}

/// Lists the phones that go by this name; of several, those that count more.
fn named<'a>(name: &str, phones: &'a [Candidate]) -> Vec<&'a Candidate> {
    let mut found: Vec<&Candidate> = phones
        .iter()
        .filter(|phone| same_name(name, &phone.name))
        .collect();
    let counts_more: [fn(&Candidate) -> bool; 2] = [|it| it.ours, |it| !it.retired];
    for counts in counts_more {
        if found.len() > 1 && found.iter().any(|phone| counts(phone)) {
            found.retain(|phone| counts(phone));
        }
    }
    found
}

/// Says whether two names are the same to a person: case, kinds of apostrophe and kinds of space do
/// not matter, as phones write some that no keyboard has.
pub fn same_name(one: &str, other: &str) -> bool {
    fold(one) == fold(other)
}

fn fold(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    words
        .join(" ")
        .replace(['\u{2019}', '\u{2018}'], "'")
        .to_lowercase()
}

/// Returns a key with the table of its phone.
pub(super) fn key_of(phone: Option<&str>, key: &str) -> String {
    match phone {
        Some(phone) => format!("phone.{phone:?}.{key}"),
        None => key.to_owned(),
    }
}

/// Reads the tables of the phones.
pub(super) fn read(document: &Document, general: &Rules) -> Result<Vec<PhoneConfig>, ConfigError> {
    let mut tables: Vec<PhoneConfig> = Vec::new();
    for table in &document.phones {
        let wrong = |reason: &str| {
            let key = format!("phone.{:?}", table.name);
            error(&key, table.line, reason.to_owned())
        };
        if fold(&table.name).is_empty() {
            return Err(wrong("must be named by a phone's name or its UDID"));
        }
        let udid = Udid::parse(&table.name).ok();
        let again = |it: &PhoneConfig| {
            same_name(&it.name, &table.name) || (udid.is_some() && it.udid() == udid)
        };
        if let Some(earlier) = tables.iter().find(|it| again(it)) {
            let line = earlier.line;
            return Err(wrong(&format!("is the phone of the table in line {line}")));
        }
        let own = |entry: &&Entry| entry.phone.as_ref() == Some(&table.name);
        let entries = document.entries.iter().filter(own);
        let mut phone = PhoneConfig {
            name: table.name.clone(),
            line: table.line,
            rules: general.clone(),
            said: BTreeSet::new(),
        };
        for entry in entries.clone() {
            let set = match Key::find(&entry.key) {
                Some(key) => {
                    phone.said.insert(key);
                    phone.rules.set(key, &entry.value)
                }
                None => Err(not_a_phones(&entry.key)),
            };
            let key = key_of(Some(&table.name), &entry.key);
            set.map_err(|reason| error(&key, entry.line, reason))?;
        }
        together(&phone.rules, entries, Some(&table.name))?;
        tables.push(phone);
    }
    Ok(tables)
}

/// Says why a key is none of a single phone.
pub(crate) fn not_a_phones(key: &str) -> String {
    if is_for_all(key) {
        "holds for the whole house: it stands in the configuration file, above the phones' tables"
            .to_owned()
    } else {
        unknown_key(key)
    }
}
