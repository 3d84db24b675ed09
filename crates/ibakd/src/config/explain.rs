//! What a configuration means, in words (`ibakd --check`): for the house, for each phone, and for
//! the phones of which something else holds.

mod sentences;

use super::{Candidate, Config, HostPower, Matched, Metered, Rules, written};
use crate::house::book::Book;
use crate::memory::{Memory, Settings};
use ibak_core::{Automatic, PhoneMemory, Udid};
use sentences::sentences;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What the daemon knows of phones, beside what the configuration says of them.
#[derive(Debug, Default)]
pub struct Known {
    phones: Vec<PhoneMemory>,
    settings: BTreeMap<Udid, Settings>,
    /// Why that could not be read.
    trouble: Option<String>,
}

impl Known {
    /// Reads what the daemon keeps in this directory; there may be nothing.
    pub fn read(state_dir: &Path) -> Self {
        let path = state_dir.join("memory.json");
        match Memory::peek(&path) {
            Ok((phones, settings)) => Self {
                phones,
                settings,
                trouble: None,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Self::default(),
            Err(error) => Self {
                trouble: Some(trouble(&path, &error)),
                ..Self::default()
            },
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |phone: &PhoneMemory| Candidate {
            udid: phone.phone.clone(),
            name: name_of(phone),
            ours: phone.last_result.is_some(),
            retired: phone.retired,
        };
        self.phones.iter().map(candidate).collect()
    }
}

fn trouble(path: &Path, error: &io::Error) -> String {
    let what = format!(
        "Which phones are known cannot be read from {}: {error}.",
        path.display()
    );
    if error.kind() == ErrorKind::PermissionDenied {
        format!("{what} As root it can.")
    } else {
        what
    }
}

fn name_of(phone: &PhoneMemory) -> String {
    phone
        .identity
        .as_ref()
        .map(|identity| identity.name.clone())
        .unwrap_or_default()
}

/// Says what `config` means; ends with a newline.
pub fn explain(config: &Config, path: &Path, known: &Known) -> String {
    let mut lines = vec![format!("{} is good. It means:", path.display())];
    lines.extend(indented(of_house(config)));
    lines.push("For each phone:".to_owned());
    let general = sentences(&config.rules, config.cron.as_deref());
    lines.extend(indented(general.clone()));
    lines.extend(of_phones(config, known, &general));
    lines.push(String::new());
    lines.join("\n")
}

fn indented(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("  {line}"))
}

fn of_house(config: &Config) -> Vec<String> {
    let mut lines = vec![format!("Backups lie in {}.", config.store.display())];
    if !config.store_is_explicit {
        lines.push("As the file does not name that folder, nothing is backed up by itself while it is on the root file system.".to_owned());
    }
    lines.push(match config.parallel_max {
        1 => "One phone is backed up at a time.".to_owned(),
        many => format!("At most {many} phones are backed up at the same time."),
    });
    lines.push(
        match config.host_power {
            HostPower::Ac => "While this computer runs on its battery, nothing starts by itself.",
            HostPower::Any => "Backups also start while this computer runs on its battery.",
        }
        .to_owned(),
    );
    if !config.networks.is_empty() {
        lines.push(format!(
            "Over Wi-Fi backups start by themselves only on these networks: {}.",
            config.networks.join(", ")
        ));
    }
    lines.push(
        match config.metered {
            Metered::Wait => "On a metered network nothing starts by itself over Wi-Fi.",
            Metered::Any => "Backups also start on a metered network.",
        }
        .to_owned(),
    );
    lines.push(format!(
        "Everything in the store is read again within {}.",
        written(config.scrub)
    ));
    lines.push(match config.signal_history_days {
        0 => "When each condition held is not kept.".to_owned(),
        1 => "When each condition held is kept for a day.".to_owned(),
        days => format!("When each condition held is kept for {days} days."),
    });
    if let Some(path) = &config.metrics_textfile {
        lines.push(format!(
            "Numbers for Prometheus are written to {}.",
            path.display()
        ));
    }
    lines
}

/// Says what differs for single phones.
fn of_phones(config: &Config, known: &Known, general: &[String]) -> Vec<String> {
    let cron = config.cron.as_deref();
    let differing = |rules: &Rules| -> Vec<String> {
        let own = sentences(rules, cron);
        let other: Vec<String> = own.into_iter().filter(|it| !general.contains(it)).collect();
        if other.is_empty() {
            vec!["As for each phone.".to_owned()]
        } else {
            other
        }
    };
    let mut lines = Vec::new();
    if let Some(trouble) = &known.trouble {
        // The tables can be explained all the same; whether they fit a phone cannot.
        lines.push(trouble.clone());
        for table in &config.phones {
            lines.push(format!("For {} (line {}):", shown(&table.name), table.line));
            lines.extend(indented(differing(&table.rules)));
        }
        return lines;
    }
    let book = Book::new(config, &known.settings, &known.candidates());
    for phone in &known.phones {
        let udid = &phone.phone;
        let about = |it: &&crate::house::book::Table| it.about == Matched::Phone(udid.clone());
        let table = book.tables().iter().find(about);
        let is_set = known.settings.get(udid).is_some_and(|it| !it.is_empty());
        let by = [
            table.map(|table| format!("line {}", table.line)),
            is_set.then(|| "`ibakctl policy`".to_owned()),
        ];
        let by: Vec<String> = by.into_iter().flatten().collect();
        let by = match by.is_empty() {
            true => String::new(),
            false => format!(", by {}", by.join(" and ")),
        };
        lines.push(format!("For {} ({udid}){by}:", shown(&name_of(phone))));
        let rules = book.rules(config, udid);
        lines.extend(indented(differing(rules)));
        lines.extend(indented(of_state(phone, rules)));
        for left_out in book.left_out(udid) {
            lines.push(format!(
                "  What was set as {}={} is left out: {}.",
                left_out.key, left_out.value, left_out.reason
            ));
        }
    }
    lines.extend(odd_tables(&book));
    lines
}

/// Says what a person switched for a phone, beside the rules.
fn of_state(phone: &PhoneMemory, rules: &Rules) -> Vec<String> {
    let switched = match (phone.automatic, rules.automatic) {
        (_, _) if phone.retired => Some("It is retired: its backups stay, and no more are made."),
        (Some(Automatic::Off), true) => Some("It was switched off with `ibakctl disable`."),
        (Some(Automatic::On), false) => Some("It was switched on with `ibakctl enable`."),
        (Some(Automatic::On), true) | (Some(Automatic::Off), false) | (None, _) => None,
    };
    switched.into_iter().map(str::to_owned).collect()
}

fn odd_tables(book: &Book) -> Vec<String> {
    let odd = book.tables().iter().filter_map(|table| {
        let why = match &table.about {
            Matched::Phone(_) => return None,
            Matched::Nobody => "no known phone goes by this name".to_owned(),
            Matched::Several(phones) => format!("{phones} phones go by this name"),
            Matched::Elsewhere(udid) => format!("another table names this phone, as {udid}"),
        };
        Some(format!(
            "The table of {} (line {}) holds for none: {why}.",
            shown(&table.name),
            table.line
        ))
    });
    odd.collect()
}

/// Escapes a name that a phone or the file made up.
fn shown(name: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if name.is_empty() {
        return "a phone without a name".to_owned();
    }
    name.chars()
        .flat_map(|c| match hides(c) {
            true => c.escape_unicode().collect::<Vec<char>>(),
            false => vec![c],
        })
        .collect()
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
