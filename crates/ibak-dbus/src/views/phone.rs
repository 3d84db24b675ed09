//! A Phone and its conditions.

use crate::dict::{Dict, Dicts, Lookup, Properties, Writer};
use crate::names;
use crate::words::{
    Basis, ConditionName, ConditionReason, ConditionStatus, EvidenceSource, OnOff, Outcome,
    Passcode, PhoneState, TransportWord, Trust, WaitsFor,
};
use ibak_core::{Bytes, JobId, Met, Udid, Unmet, Verdict, Wall};
use std::collections::BTreeMap;

/// The conditions by name, in the contract's order.
pub type Conditions = BTreeMap<ConditionName, ConditionView>;

/// One condition: a value of `Phone.Conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionView {
    /// `status`.
    pub status: ConditionStatus,
    /// `since`: since when the status is so; `None` when not known.
    pub since: Option<Wall>,
    /// `reason`.
    pub reason: ConditionReason,
    /// `source`; `None` when there is no evidence.
    pub source: Option<EvidenceSource>,
    /// `observed`: when the evidence was last seen; `None` when not known.
    pub observed: Option<Wall>,
    /// `required`: whether this phone's policy asks for it; absent reads as true.
    pub required: bool,
    /// `lock-ever-seen`: whether its screen was ever seen locked, for `unlocked`.
    pub lock_ever_seen: Option<bool>,
    /// `percent`: charge of the battery.
    pub percent: Option<u8>,
    /// `free-bytes`: room on the store's file system.
    pub free: Option<Bytes>,
    /// `needed-bytes`: what the next backup is thought to take.
    pub needed: Option<Bytes>,
    /// `used-bytes`: what the backups take.
    pub used: Option<Bytes>,
    /// `quota-bytes`: what they may take: the phone's own quota, else the whole store's.
    pub quota: Option<Bytes>,
    /// `basis`: from what `needed-bytes` was estimated.
    pub basis: Option<Basis>,
}

impl ConditionView {
    /// Makes a condition with no details.
    pub fn new(status: ConditionStatus, reason: ConditionReason) -> Self {
        Self {
            status,
            since: None,
            reason,
            source: None,
            observed: None,
            required: true,
            lock_ever_seen: None,
            percent: None,
            free: None,
            needed: None,
            used: None,
            quota: None,
            basis: None,
        }
    }

    /// Converts what the core knows of one condition. `required` is whether the policy asks for
    /// it; `battery_percent` belongs to `power` only.
    pub fn of(
        state: &ibak_core::ConditionState,
        required: bool,
        battery_percent: Option<u8>,
    ) -> Self {
        let mut view = Self {
            since: Some(state.since.wall),
            source: state.source.map(EvidenceSource::from),
            observed: state.observed.map(|at| at.wall),
            required,
            percent: battery_percent,
            ..Self::new(
                ConditionStatus::parse(state.verdict.status().word()),
                ConditionReason::parse(state.verdict.word()),
            )
        };
        match state.verdict {
            Verdict::Met(Met::Room(room)) | Verdict::Unmet(Unmet::NoRoom(room)) => {
                view.free = Some(room.store.free);
                view.needed = Some(room.estimate.needed);
                let own = room.share.quota.map(|quota| (room.share.used, Some(quota)));
                let (used, quota) = own.unwrap_or((room.store.used, room.store.quota));
                view.used = Some(used);
                view.quota = quota;
                view.basis = Some(Basis::parse(room.estimate.basis.word()));
            }
            Verdict::Unmet(Unmet::Unlocked { lock_ever_seen }) => {
                view.lock_ever_seen = Some(lock_ever_seen)
            }
            Verdict::Met(_) | Verdict::Unmet(_) | Verdict::Unknown(_) => {}
        }
        view
    }

    /// Reads the value of one condition.
    pub fn from_dict(dict: &impl Lookup) -> Self {
        let bytes = |key| dict.number(key).map(Bytes::new);
        Self {
            status: ConditionStatus::parse(dict.text("status").unwrap_or("unknown")),
            since: dict.time("since"),
            reason: ConditionReason::parse(dict.text("reason").unwrap_or_default()),
            source: dict
                .text("source")
                .filter(|word| !word.is_empty())
                .map(EvidenceSource::parse),
            observed: dict.time("observed"),
            required: dict.flag("required").unwrap_or(true),
            lock_ever_seen: dict.flag("lock-ever-seen"),
            percent: dict
                .number("percent")
                .and_then(|n| u8::try_from(n).ok())
                .filter(|n| *n <= 100),
            free: bytes("free-bytes"),
            needed: bytes("needed-bytes"),
            used: bytes("used-bytes"),
            quota: bytes("quota-bytes").filter(|quota| *quota != Bytes::ZERO),
            basis: dict
                .text("basis")
                .filter(|word| !word.is_empty())
                .map(Basis::parse),
        }
    }

    /// Writes the value of one condition; absent details are left out.
    pub fn to_dict(&self) -> Dict {
        Writer::default()
            .text("status", self.status.as_str())
            .time("since", self.since)
            .text("reason", self.reason.as_str())
            .text(
                "source",
                self.source.as_ref().map_or("", EvidenceSource::as_str),
            )
            .time("observed", self.observed)
            .flag("required", self.required)
            .flag_if("lock-ever-seen", self.lock_ever_seen)
            .number_if("percent", self.percent.map(u64::from))
            .number_if("free-bytes", self.free.map(Bytes::get))
            .number_if("needed-bytes", self.needed.map(Bytes::get))
            .number_if("used-bytes", self.used.map(Bytes::get))
            .number_if("quota-bytes", self.quota.map(Bytes::get))
            .text_if("basis", self.basis.as_ref().map(Basis::as_str))
            .done()
    }
}

/// Writes `Phone.Conditions`.
pub fn conditions_to_dicts(conditions: &Conditions) -> Dicts {
    conditions
        .iter()
        .map(|(name, view)| (name.as_str().to_owned(), view.to_dict()))
        .collect()
}

/// A Phone's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneView {
    /// The UDID in its path.
    pub udid: Udid,
    /// `Name`: untrusted text of its owner.
    pub name: String,
    /// `ProductType`, for example `iPhone14,5`; untrusted.
    pub product_type: String,
    /// `OsVersion`, for example `15.6`; untrusted.
    pub os_version: String,
    /// `State`.
    pub state: PhoneState,
    /// `Transports`; empty when absent.
    pub transports: Vec<TransportWord>,
    /// `Trust`.
    pub trust: Trust,
    /// `Automatic`.
    pub automatic: bool,
    /// `Conditions`.
    pub conditions: Conditions,
    /// `Encryption`.
    pub encryption: OnOff,
    /// `Passcode`.
    pub passcode: Passcode,
    /// `ICloudBackup`.
    pub icloud_backup: OnOff,
    /// `NextAttempt`; `None` is as soon as the conditions are met.
    pub next_attempt: Option<Wall>,
    /// `WaitsFor`, the most telling first.
    pub waits_for: Vec<WaitsFor>,
    /// `LastSeen`: when it was last there; `None` while it is, and when it never was.
    pub last_seen: Option<Wall>,
    /// `LastBackup`; `None` is never.
    pub last_backup: Option<Wall>,
    /// `LastResult`; `None` when nothing was ever tried.
    pub last_result: Option<Outcome>,
    /// `Overdue`.
    pub overdue: bool,
    /// `CurrentJob`.
    pub current_job: Option<JobId>,
    /// `EncryptionRequired`: whoever manages the phone demands encrypted backups.
    pub encryption_required: bool,
    /// `PasswordChecked`: when the backup password was last proved; `None` is never.
    pub password_checked: Option<Wall>,
    /// `PasswordCheckDue`: whether it is time to prove it again.
    pub password_check_due: bool,
    /// `LastICloudBackup`: when the phone was last backed up to iCloud; `None` is never or not known.
    pub last_icloud_backup: Option<Wall>,
    /// `StagedBytes`: what an unfinished backup already has.
    pub staged: Bytes,
    /// `UsedBytes`: what its backups take on the disk.
    pub used: Bytes,
    /// `QuotaBytes`: the most they may take; `None` without a quota of their own.
    pub quota: Option<Bytes>,
    /// `Retired`: its backups are kept, and no further ones made or missed.
    pub retired: bool,
    /// `NotifyChannels`: where messages about it go; empty = everywhere.
    pub notify: Vec<String>,
}

impl PhoneView {
    /// Reads the properties; `None` when `path` is not a phone's.
    pub fn from_properties(path: &str, properties: &Properties) -> Option<Self> {
        let text = |key| properties.text(key).unwrap_or_default().to_owned();
        let word = |key| properties.text(key).unwrap_or("unknown");
        let conditions = properties.dict("Conditions");
        Some(Self {
            udid: names::phone_of(path)?,
            name: text("Name"),
            product_type: text("ProductType"),
            os_version: text("OsVersion"),
            state: PhoneState::parse(word("State")),
            transports: properties
                .texts("Transports")
                .iter()
                .map(|word| TransportWord::parse(word))
                .collect(),
            trust: Trust::parse(word("Trust")),
            automatic: properties.flag("Automatic").unwrap_or(true),
            conditions: conditions
                .keys()
                .map(|name| {
                    (
                        ConditionName::parse(name),
                        ConditionView::from_dict(&conditions.dict(name)),
                    )
                })
                .collect(),
            encryption: OnOff::parse(word("Encryption")),
            passcode: Passcode::parse(word("Passcode")),
            icloud_backup: OnOff::parse(word("ICloudBackup")),
            next_attempt: properties.time("NextAttempt"),
            waits_for: properties
                .texts("WaitsFor")
                .iter()
                .map(|word| WaitsFor::parse(word))
                .collect(),
            last_seen: properties.time("LastSeen"),
            last_backup: properties.time("LastBackup"),
            last_result: properties
                .text("LastResult")
                .filter(|word| !word.is_empty())
                .map(Outcome::parse),
            overdue: properties.flag("Overdue").unwrap_or(false),
            current_job: properties.text("CurrentJob").and_then(names::job_of),
            encryption_required: properties.flag("EncryptionRequired").unwrap_or(false),
            password_checked: properties.time("PasswordChecked"),
            password_check_due: properties.flag("PasswordCheckDue").unwrap_or(false),
            last_icloud_backup: properties.time("LastICloudBackup"),
            staged: Bytes::new(properties.number("StagedBytes").unwrap_or(0)),
            used: Bytes::new(properties.number("UsedBytes").unwrap_or(0)),
            quota: properties
                .number("QuotaBytes")
                .filter(|bytes| *bytes != 0)
                .map(Bytes::new),
            retired: properties.flag("Retired").unwrap_or(false),
            notify: properties.texts("NotifyChannels"),
        })
    }

    /// Returns a condition, or an unknown one when the daemon did not name it.
    pub fn condition(&self, name: &ConditionName) -> ConditionView {
        self.conditions.get(name).cloned().unwrap_or_else(|| {
            ConditionView::new(ConditionStatus::Unknown, ConditionReason::NotRead)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zbus::wire::OwnedVariant;

    fn condition() -> impl Strategy<Value = ConditionView> {
        let time = || proptest::option::of((1_i64..1 << 60).prop_map(Wall::from_micros));
        let bytes = || proptest::option::of((1_u64..1 << 50).prop_map(Bytes::new));
        (
            (
                proptest::sample::select(ConditionStatus::ALL),
                proptest::sample::select(ConditionReason::ALL),
            ),
            (
                time(),
                proptest::option::of(proptest::sample::select(EvidenceSource::ALL)),
                time(),
            ),
            (any::<bool>(), proptest::option::of(any::<bool>())),
            (
                proptest::option::of(0_u8..=100),
                bytes(),
                bytes(),
                bytes(),
                bytes(),
            ),
        )
            .prop_map(
                |(
                    (status, reason),
                    (since, source, observed),
                    (required, lock_ever_seen),
                    (percent, free, needed, used, quota),
                )| {
                    ConditionView {
                        status,
                        since,
                        reason,
                        source,
                        observed,
                        required,
                        lock_ever_seen,
                        percent,
                        free,
                        needed,
                        used,
                        quota,
                        basis: needed.map(|_| Basis::Full),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn conditions_read_as_written(power in condition(), space in condition()) {
            let conditions = Conditions::from([(ConditionName::Power, power), (ConditionName::Space, space)]);
            let properties = Properties::from([("Conditions".to_owned(), OwnedVariant::from(conditions_to_dicts(&conditions)))]);
            let phone = PhoneView::from_properties("/org/ibak/Ibak1/phones/00008110_000A1B2C3D4E5F60", &properties).unwrap();
            prop_assert_eq!(phone.conditions, conditions);
        }
    }

    #[test]
    fn nothing_reads_as_unknown() {
        let phone = PhoneView::from_properties(
            "/org/ibak/Ibak1/phones/00008110_000A1B2C3D4E5F60",
            &Properties::new(),
        )
        .unwrap();
        assert_eq!(phone.state, PhoneState::Other("unknown".into()));
        assert_eq!(phone.trust, Trust::Unknown);
        assert_eq!(
            phone.condition(&ConditionName::Power).status,
            ConditionStatus::Unknown
        );
        assert_eq!(
            (phone.last_backup, phone.current_job, phone.last_result),
            (None, None, None)
        );
        assert_eq!(PhoneView::from_properties("/", &Properties::new()), None);
    }
}
