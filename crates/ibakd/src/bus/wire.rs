//! What the bus shows: the core's view, converted by hand into properties.
//!
//! Bus objects hold no state. They read the newest [`Wire`], and what differs between two of them
//! goes out as one `PropertiesChanged` for each object.

use crate::config::Config;
use ibak_core as core;
use ibak_core::{JobId, Udid, Wall};
use ibak_dbus::names;
use ibak_dbus::views::{ConditionView, Conditions, conditions_to_dicts};
use ibak_dbus::words::ConditionName;
use ibak_dbus::{Dict, Dicts};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use zbus::wire::{OwnedObjectPath, OwnedVariant, Variant};

macro_rules! properties {
    ($(#[$doc:meta])* $name:ident { $($field:ident : $kind:ty => $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each field is the property of the same name, see docs/dbus.md")]
        pub struct $name { $(pub $field: $kind),* }

        impl $name {
            /// Lists the properties that differ from `old`.
            pub fn changes(&self, old: &Self) -> HashMap<&'static str, OwnedVariant> {
                let mut changed = HashMap::new();
                $(if self.$field != old.$field {
                    if let Ok(value) = OwnedVariant::try_from(Variant::from(self.$field.clone())) {
                        changed.insert($key, value);
                    }
                })*
                changed
            }
        }
    };
}

properties! {
    /// The Manager's properties.
    ManagerProperties {
        mode: String => "Mode",
        paused_until: u64 => "PausedUntil",
        storage_state: String => "StorageState",
        storage_free_bytes: u64 => "StorageFreeBytes",
        storage_used_bytes: u64 => "StorageUsedBytes",
        quota_bytes: u64 => "QuotaBytes",
        store_path: String => "StorePath",
        config_path: String => "ConfigPath",
        notify_channels: Vec<String> => "NotifyChannels",
    }
}

properties! {
    /// A Phone's properties.
    PhoneProperties {
        name: String => "Name",
        product_type: String => "ProductType",
        os_version: String => "OsVersion",
        state: String => "State",
        transports: Vec<String> => "Transports",
        trust: String => "Trust",
        automatic: bool => "Automatic",
        conditions: Dicts => "Conditions",
        encryption: String => "Encryption",
        passcode: String => "Passcode",
        icloud_backup: String => "ICloudBackup",
        next_attempt: u64 => "NextAttempt",
        waits_for: Vec<String> => "WaitsFor",
        last_seen: u64 => "LastSeen",
        last_backup: u64 => "LastBackup",
        last_result: String => "LastResult",
        overdue: bool => "Overdue",
        current_job: OwnedObjectPath => "CurrentJob",
        encryption_required: bool => "EncryptionRequired",
        password_checked: u64 => "PasswordChecked",
        password_check_due: bool => "PasswordCheckDue",
        last_icloud_backup: u64 => "LastICloudBackup",
        staged_bytes: u64 => "StagedBytes",
        used_bytes: u64 => "UsedBytes",
        quota_bytes: u64 => "QuotaBytes",
        retired: bool => "Retired",
        notify_channels: Vec<String> => "NotifyChannels",
    }
}

properties! {
    /// A Job's properties.
    JobProperties {
        kind: String => "Kind",
        phone: OwnedObjectPath => "Phone",
        trigger: String => "Trigger",
        start_time: u64 => "StartTime",
        state: String => "State",
        phase: String => "Phase",
        progress: f64 => "Progress",
        progress_valid: bool => "ProgressValid",
        bytes_done: u64 => "BytesDone",
        bytes_total: u64 => "BytesTotal",
        files_done: u64 => "FilesDone",
        rate: u64 => "Rate",
        expected_end_time: u64 => "ExpectedEndTime",
        waits_for: Vec<String> => "WaitsFor",
        result: String => "Result",
    }
}

/// Everything the bus shows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Wire {
    /// The Manager.
    pub manager: ManagerProperties,
    /// The phones.
    pub phones: BTreeMap<Udid, PhoneProperties>,
    /// The jobs.
    pub jobs: BTreeMap<JobId, JobProperties>,
    /// What `Completed` says of the jobs that have ended.
    pub completed: BTreeMap<JobId, Dict>,
}

/// Where the daemon's things lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The store.
    pub store: String,
    /// The configuration file; empty when there is none.
    pub config: String,
}

impl Places {
    /// Takes them from what the daemon was started with.
    pub fn of(config: &Config, path: Option<&Path>) -> Self {
        Self {
            store: config.store.display().to_string(),
            config: path
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
        }
    }
}

fn time(at: Option<Wall>) -> u64 {
    at.and_then(|at| u64::try_from(at.as_micros()).ok())
        .unwrap_or(0)
}

fn on_off(known: Option<bool>) -> String {
    match known {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    }
    .to_owned()
}

impl Wire {
    /// Converts what the core shows.
    pub fn of(view: &core::View, policies: &core::Policies, places: &Places) -> Self {
        Self {
            manager: ManagerProperties::of(&view.house, places),
            phones: view
                .phones
                .iter()
                .map(|(udid, phone)| (udid.clone(), PhoneProperties::of(phone, policies.of(udid))))
                .collect(),
            jobs: view
                .jobs
                .iter()
                .map(|(id, job)| (*id, JobProperties::of(job)))
                .collect(),
            completed: view
                .jobs
                .iter()
                .filter(|(_, job)| job.result.is_some())
                .map(|(id, job)| (*id, completed(job)))
                .collect(),
        }
    }
}

impl Wire {
    /// Fills in where messages go: `channels` tells it for a phone, and for the whole.
    #[must_use]
    pub fn with_channels(mut self, channels: impl Fn(Option<&Udid>) -> Vec<String>) -> Self {
        self.manager.notify_channels = channels(None);
        for (udid, phone) in &mut self.phones {
            phone.notify_channels = channels(Some(udid));
        }
        self
    }
}

impl ManagerProperties {
    fn of(house: &core::HouseView, places: &Places) -> Self {
        let numbers = match house.store {
            Some(core::StoreReport::Open(numbers)) => numbers,
            Some(core::StoreReport::Unavailable(_)) | None => core::StoreNumbers::default(),
        };
        Self {
            mode: if house.pause.is_some() {
                "paused"
            } else {
                "automatic"
            }
            .to_owned(),
            paused_until: time(house.pause.and_then(|pause| pause.until)),
            storage_state: house.storage.word().to_owned(),
            storage_free_bytes: numbers.free.get(),
            storage_used_bytes: numbers.used.get(),
            quota_bytes: numbers.quota.map_or(0, core::Bytes::get),
            store_path: places.store.clone(),
            config_path: places.config.clone(),
            notify_channels: Vec::new(),
        }
    }
}

impl PhoneProperties {
    fn of(phone: &core::PhoneView, policy: &core::Policy) -> Self {
        let identity = phone.identity.clone();
        let (name, product_type, os_version) = identity
            .map(|it| (it.name, it.product_type, it.os_version))
            .unwrap_or_default();
        let reach = phone.reach;
        let transports = [(reach.usb, "usb"), (reach.wifi, "wifi")];
        Self {
            name,
            product_type,
            os_version,
            state: phone.state.word().to_owned(),
            transports: transports
                .iter()
                .filter(|(there, _)| *there)
                .map(|(_, word)| (*word).to_owned())
                .collect(),
            trust: phone.trust.word().to_owned(),
            automatic: phone.automatic == core::Automatic::On,
            conditions: conditions_to_dicts(&conditions(phone, policy)),
            encryption: on_off(phone.encrypts),
            passcode: phone.passcode.word().to_owned(),
            icloud_backup: on_off(phone.icloud),
            next_attempt: time(phone.next_attempt),
            waits_for: phone
                .decision
                .waits_for()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            last_seen: time(phone.last_seen),
            last_backup: time(phone.last_backup),
            last_result: phone
                .last_result
                .map(|last| last.result.word().to_owned())
                .unwrap_or_default(),
            overdue: phone.overdue,
            current_job: phone.job.map_or_else(names::no_object, names::job_path),
            encryption_required: phone.encryption_required == Some(true),
            password_checked: time(phone.password_proved),
            password_check_due: phone.password_due,
            last_icloud_backup: time(phone.icloud_date),
            staged_bytes: phone.staged.get(),
            used_bytes: phone.share.used.get(),
            quota_bytes: phone.share.quota.map_or(0, core::Bytes::get),
            retired: phone.retired,
            notify_channels: Vec::new(),
        }
    }
}

impl JobProperties {
    fn of(job: &core::JobView) -> Self {
        let progress = job.progress;
        Self {
            kind: job.kind.word().to_owned(),
            phone: job
                .phone
                .as_ref()
                .map_or_else(names::no_object, names::phone_path),
            trigger: job.trigger.word().to_owned(),
            start_time: time(Some(job.started)),
            state: job.state.word().to_owned(),
            phase: job.phase.word().to_owned(),
            progress: progress
                .permille
                .map_or(0.0, |permille| f64::from(permille.min(1000)) / 1000.0),
            progress_valid: progress.permille.is_some(),
            bytes_done: progress.bytes_done.get(),
            bytes_total: progress.bytes_total.map_or(0, core::Bytes::get),
            files_done: progress.files_done,
            rate: progress.rate.get(),
            expected_end_time: time(progress.expected_end),
            waits_for: job
                .waits_for
                .iter()
                .map(|word| (*word).to_owned())
                .collect(),
            result: job
                .result
                .map(|result| result.word().to_owned())
                .unwrap_or_default(),
        }
    }
}

fn conditions(phone: &core::PhoneView, policy: &core::Policy) -> Conditions {
    phone
        .conditions
        .iter()
        .map(|(condition, state)| {
            let percent = phone
                .battery_percent
                .filter(|_| condition == core::Condition::Power);
            let mut view = ConditionView::of(state, policy.requires(condition), percent);
            if condition == core::Condition::Locked {
                // Who was awake when is private; `ListObservations` tells it to whom it may.
                (view.since, view.source, view.observed) = (None, None, None);
            }
            (ConditionName::parse(condition.word()), view)
        })
        .collect()
}

fn completed(job: &core::JobView) -> Dict {
    ibak_dbus::views::CompletedView {
        backup: job.backup.clone(),
        bytes: job.progress.bytes_done,
        files: job.progress.files_done,
        detail: job.detail.clone(),
        ..ibak_dbus::views::CompletedView::default()
    }
    .to_dict()
}
