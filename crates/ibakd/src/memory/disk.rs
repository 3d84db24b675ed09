//! The memory's own types on disk: separate from the core's, converted by hand, read leniently.

use ibak_core::{
    Asking, Automatic, Bytes, Calendar, Day, HouseMemory, Identity, JobResult, LastAsked,
    LastResult, Pause, PhoneMemory, Told, Topic, Udid, Wall,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Values by key.
pub type Settings = BTreeMap<String, String>;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Contents {
    pub(super) next_job: u64,
    pub(super) store_uuids: BTreeMap<PathBuf, String>,
    pub(super) house: House,
    pub(super) phones: BTreeMap<String, Phone>,
    /// What people set for a phone: each key with its value, in the configuration's words.
    pub(super) settings: BTreeMap<String, Settings>,
    /// Phones whose pairing a person has ended.
    pub(super) unpaired: BTreeSet<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct House {
    paused: bool,
    paused_until_micros: Option<i64>,
    told: BTreeMap<String, i64>,
    schedule_fired_micros: Option<i64>,
    schedule_next_micros: Option<i64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Phone {
    name: String,
    product_type: String,
    os_version: String,
    automatic: Option<bool>,
    quota_bytes: Option<u64>,
    retired: bool,
    asks_for_passcode: Option<bool>,
    /// When it was last asked for it (microseconds), on which day of the house's calendar (days since
    /// 1970), and how often on that day.
    asked: Option<(i64, i32, u8)>,
    lock_ever_seen: bool,
    last_result: Option<(String, i64)>,
    password_proved_micros: Option<i64>,
    failures: u32,
    not_before_micros: Option<i64>,
    first_seen_micros: i64,
    last_seen_micros: Option<i64>,
    data_used_bytes: Option<u64>,
    told: BTreeMap<String, i64>,
}

impl Contents {
    pub(super) fn recall_phones(&self) -> Vec<PhoneMemory> {
        let phones = self.phones.iter();
        phones
            .filter_map(|(udid, phone)| phone.recall(udid))
            .collect()
    }

    /// Those of phones whose UDID can be read.
    pub(super) fn recall_settings(&self) -> BTreeMap<Udid, Settings> {
        let settings = self.settings.iter();
        settings
            .filter_map(|(udid, settings)| Some((Udid::parse(udid).ok()?, settings.clone())))
            .collect()
    }
}

impl House {
    pub(super) fn keep(house: &HouseMemory) -> Self {
        Self {
            paused: house.pause.is_some(),
            paused_until_micros: house
                .pause
                .and_then(|pause| pause.until)
                .map(Wall::as_micros),
            told: keep_told(&house.told),
            schedule_fired_micros: house.calendar.fired.map(Wall::as_micros),
            schedule_next_micros: house.calendar.next.map(Wall::as_micros),
        }
    }

    pub(super) fn recall(&self) -> HouseMemory {
        HouseMemory {
            pause: self.paused.then(|| Pause {
                until: self.paused_until_micros.map(Wall::from_micros),
            }),
            told: recall_told(&self.told),
            calendar: Calendar {
                fired: self.schedule_fired_micros.map(Wall::from_micros),
                next: self.schedule_next_micros.map(Wall::from_micros),
            },
        }
    }
}

impl Phone {
    pub(super) fn keep(phone: &PhoneMemory) -> Self {
        let identity = phone.identity.clone();
        let (name, product_type, os_version) = identity
            .map(|it| (it.name, it.product_type, it.os_version))
            .unwrap_or_default();
        Self {
            name,
            product_type,
            os_version,
            automatic: phone.automatic.map(|automatic| automatic == Automatic::On),
            quota_bytes: phone.quota.map(Bytes::get),
            retired: phone.retired,
            asks_for_passcode: phone
                .passcode_learned
                .map(|learned| learned == Asking::Asks),
            asked: phone
                .asked
                .map(|it| (it.at.as_micros(), it.day.0, it.count)),
            lock_ever_seen: phone.lock_ever_seen,
            last_result: phone
                .last_result
                .map(|last| (last.result.word().to_owned(), last.at.as_micros())),
            password_proved_micros: phone.password_proved.map(Wall::as_micros),
            failures: phone.failures,
            not_before_micros: phone.not_before.map(Wall::as_micros),
            first_seen_micros: phone.first_seen.as_micros(),
            last_seen_micros: phone.last_seen.map(Wall::as_micros),
            data_used_bytes: phone.data_used.map(Bytes::get),
            told: keep_told(&phone.told),
        }
    }

    /// Reads it back; `None` when the name it stands under is no UDID.
    pub(super) fn recall(&self, udid: &str) -> Option<PhoneMemory> {
        let identity = (!self.os_version.is_empty()).then(|| Identity {
            name: self.name.clone(),
            product_type: self.product_type.clone(),
            os_version: self.os_version.clone(),
        });
        let last_result = self.last_result.as_ref().and_then(|(word, at)| {
            Some(LastResult {
                result: JobResult::parse(word)?,
                at: Wall::from_micros(*at),
            })
        });
        Some(PhoneMemory {
            phone: Udid::parse(udid).ok()?,
            identity,
            automatic: self
                .automatic
                .map(|on| if on { Automatic::On } else { Automatic::Off }),
            quota: self.quota_bytes.map(Bytes::new),
            retired: self.retired,
            passcode_learned: self
                .asks_for_passcode
                .map(|asks| if asks { Asking::Asks } else { Asking::Never }),
            asked: self.asked.map(|(at, day, count)| LastAsked {
                at: Wall::from_micros(at),
                day: Day(day),
                count,
            }),
            lock_ever_seen: self.lock_ever_seen,
            last_result,
            password_proved: self.password_proved_micros.map(Wall::from_micros),
            failures: self.failures,
            not_before: self.not_before_micros.map(Wall::from_micros),
            first_seen: Wall::from_micros(self.first_seen_micros),
            last_seen: self.last_seen_micros.map(Wall::from_micros),
            data_used: self.data_used_bytes.map(Bytes::new),
            told: recall_told(&self.told),
        })
    }
}

fn keep_told(told: &[Told]) -> BTreeMap<String, i64> {
    told.iter()
        .map(|it| (it.topic.to_string(), it.at.as_micros()))
        .collect()
}

fn recall_told(told: &BTreeMap<String, i64>) -> Vec<Told> {
    told.iter()
        .filter_map(|(word, at)| {
            Some(Told {
                topic: Topic::parse(word)?,
                at: Wall::from_micros(*at),
            })
        })
        .collect()
}
