//! What holds for each phone, and who says so: the default, the configuration, its own table there,
//! what a person set. Each goes before the one before it.
//!
//! What cannot hold is left out and told, never guessed: a table that several phones go by, and a
//! setting that does not fit with a configuration that came after it.

use super::policy::{cadence, policies, policy};
use crate::config::{Candidate, Config, Key, Matched, PhoneConfig, Rules, Value, match_tables};
use crate::memory::Settings;
use ibak_core::{Policies, Udid};
use ibak_dbus::views::PolicyView;
use ibak_dbus::words::PolicySource;
use std::collections::{BTreeMap, BTreeSet};

/// What holds for the phones of which something is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pages: BTreeMap<Udid, Page>,
    tables: Vec<Table>,
}

/// A phone's table in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// How it names the phone.
    pub name: String,
    /// Where it begins, counted from one.
    pub line: usize,
    /// Which phone it is about.
    pub about: Matched,
}

/// What holds for one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    rules: Rules,
    /// Which keys its table says.
    said: BTreeSet<Key>,
    /// Which keys a person set.
    set: BTreeSet<Key>,
    left_out: Vec<LeftOut>,
}

/// A setting that cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its key, as it was kept.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Why.
    pub reason: String,
}

impl Book {
    /// Puts together what is said. `phones` are those that tables may be about.
    pub fn new(config: &Config, settings: &BTreeMap<Udid, Settings>, phones: &[Candidate]) -> Self {
        let matched = match_tables(&config.phones, phones);
        let tables: BTreeMap<&Udid, &PhoneConfig> = matched
            .iter()
            .zip(&config.phones)
            .filter_map(|(matched, table)| match matched {
                Matched::Phone(udid) => Some((udid, table)),
                Matched::Nobody | Matched::Several(_) | Matched::Elsewhere(_) => None,
            })
            .collect();
        let none = Settings::new();
        let said_of: BTreeSet<&Udid> = tables.keys().copied().chain(settings.keys()).collect();
        let pages = said_of.into_iter().map(|udid| {
            let set = settings.get(udid).unwrap_or(&none);
            let page = Page::new(config, tables.get(udid).copied(), set);
            (udid.clone(), page)
        });
        let pages = pages.collect();
        let tables = matched.into_iter().zip(&config.phones);
        let tables = tables.map(|(about, table)| Table {
            name: table.name.clone(),
            line: table.line,
            about,
        });
        Self {
            pages,
            tables: tables.collect(),
        }
    }

    /// Returns what holds for a phone.
    pub fn rules<'a>(&'a self, config: &'a Config, phone: &Udid) -> &'a Rules {
        self.pages
            .get(phone)
            .map_or(&config.rules, |page| &page.rules)
    }

    /// Lists the phones of which something is said.
    pub fn phones(&self) -> impl Iterator<Item = &Udid> {
        self.pages.keys()
    }

    /// Lists what could not be taken of a phone's settings.
    pub fn left_out(&self, phone: &Udid) -> &[LeftOut] {
        self.pages.get(phone).map_or(&[], |page| &page.left_out)
    }

    /// Lists the phones' tables in the configuration.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Converts all of it for the core.
    pub(super) fn policies(&self, config: &Config) -> Policies {
        let cadence = cadence(config);
        let own = |(udid, page): (&Udid, &Page)| (udid.clone(), policy(&page.rules, cadence));
        Policies {
            phones: self.pages.iter().map(own).collect(),
            ..policies(config)
        }
    }

    /// Lists each key of a phone. `switched` is how a person switched automatic backup.
    pub fn rows(&self, config: &Config, phone: &Udid, switched: Option<bool>) -> Vec<PolicyView> {
        let rules = self.rules(config, phone);
        let page = self.pages.get(phone);
        let default = Rules::default();
        let source = |key| match page {
            Some(page) if page.set.contains(&key) => PolicySource::Set,
            Some(page) if page.said.contains(&key) => PolicySource::ConfigPhone,
            Some(_) | None if config.said.contains(&key) => PolicySource::Config,
            Some(_) | None => PolicySource::Default,
        };
        let row = |key: Key| match (key, switched) {
            (Key::Automatic, Some(on)) => (on.to_string(), PolicySource::Set),
            (_, _) => (rules.text(key), source(key)),
        };
        let keys = Key::all().map(|key| {
            let (value, source) = row(key);
            PolicyView {
                key: key.name().to_owned(),
                value,
                source,
                default: default.text(key),
            }
        });
        // It holds for all, and makes the interval mean nothing.
        let cron = config.cron.iter().map(|expression| PolicyView {
            key: "cron".to_owned(),
            value: expression.clone(),
            source: PolicySource::Config,
            default: String::new(),
        });
        keys.chain(cron).collect()
    }
}

impl Page {
    fn new(config: &Config, table: Option<&PhoneConfig>, settings: &Settings) -> Self {
        let mut page = Self {
            rules: table.map_or(&config.rules, |table| &table.rules).clone(),
            said: table.map(|table| table.said.clone()).unwrap_or_default(),
            set: BTreeSet::new(),
            left_out: Vec::new(),
        };
        for (name, text) in settings {
            let set = match Key::find(name) {
                Some(key) => page.take(key, text),
                None => Err("there is no such key".to_owned()),
            };
            if let Err(reason) = set {
                page.leave_out(name, text, reason);
            }
        }
        match page.rules.check() {
            Ok(()) => page,
            Err((keys, reason)) => Self::without(keys, &reason, config, table, settings),
        }
    }

    /// Leaves out those of these keys that a person set: the configuration without them is good.
    fn without(
        keys: [Key; 2],
        reason: &str,
        config: &Config,
        table: Option<&PhoneConfig>,
        settings: &Settings,
    ) -> Self {
        let is_one = |name: &str| keys.iter().any(|key| key.name() == name);
        let mut rest = settings.clone();
        rest.retain(|name, _| !is_one(name));
        let mut page = Self::new(config, table, &rest);
        for (name, text) in settings.iter().filter(|(name, _)| is_one(name)) {
            let words = format!("`{}`: {reason}", keys.map(Key::name)[1]);
            page.leave_out(name, text, words);
        }
        page
    }

    fn take(&mut self, key: Key, text: &str) -> Result<(), String> {
        self.rules.set(key, &Value::typed(text))?;
        self.set.insert(key);
        Ok(())
    }

    fn leave_out(&mut self, key: &str, value: &str, reason: String) {
        self.left_out.push(LeftOut {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        });
    }
}
