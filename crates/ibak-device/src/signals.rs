//! What a paired phone says about itself, as facts with their source.
//!
//! A key that is absent is unknown, never false. The one exception is a fact of its own:
//! `WillEncrypt` is absent on a phone that never had a backup password (corpus,
//! lockdown/domain_backup.json), so an answered domain without it says "not encrypted".

use crate::{DeviceError, Session};
use ibak_core::{Bytes, Fact, Source, Wall};
use plist::{Dictionary, Value};

const BATTERY: &str = "com.apple.mobile.battery";
pub(crate) const BACKUP: &str = "com.apple.mobile.backup";
pub(crate) const DISK_USAGE: &str = "com.apple.disk_usage";
const WIRELESS: &str = "com.apple.mobile.wireless_lockdown";
/// Longest name of a phone that is kept, in characters.
const NAME_LEN_MAX: usize = 256;

/// Reads every signal of phone.md §2 that lockdown has: trust, identity, power, lock, disk,
/// encryption, iCloud. Whether the phone is on Wi-Fi is not among them: see `browse`.
///
/// # Errors
/// When the conversation fails. A domain the phone refuses gives unknown facts instead.
pub async fn read_signals(session: &mut Session) -> Result<Vec<(Fact, Source)>, DeviceError> {
    let source = Source::Lockdown(session.link().transport());
    let mut facts = vec![Fact::Trusted(Some(true))];
    facts.extend(identity(&domain(session, None).await?));
    facts.extend(power(&domain(session, Some(BATTERY)).await?));
    let locked = tolerant(session.get_value(None, Some("PasswordProtected")).await)?;
    facts.extend(lock(locked.as_ref()));
    facts.push(Fact::DataUsed(disk(
        &domain(session, Some(DISK_USAGE)).await?,
    )));
    facts.extend(backup(&tolerant(session.get_domain(Some(BACKUP)).await)?));
    Ok(facts.into_iter().map(|fact| (fact, source)).collect())
}

/// Reads the two signals that can change at any moment: power and lock.
///
/// # Errors
/// As [`read_signals`].
pub async fn read_moment(session: &mut Session) -> Result<Vec<(Fact, Source)>, DeviceError> {
    let source = Source::Lockdown(session.link().transport());
    let mut facts = power(&domain(session, Some(BATTERY)).await?);
    let locked = tolerant(session.get_value(None, Some("PasswordProtected")).await)?;
    facts.extend(lock(locked.as_ref()));
    Ok(facts.into_iter().map(|fact| (fact, source)).collect())
}

/// What else is worth knowing of a phone, for showing and for finding it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Bytes of the data partition.
    pub data_capacity: Option<Bytes>,
    /// The name the phone gives its own mDNS record; from 26.4 it has a private MAC.
    pub bonjour_name: Option<String>,
    /// Whether the phone answers over the network at all.
    pub wifi_connections: Option<bool>,
    /// Whether a management profile demands encrypted backups.
    pub requires_encryption: Option<bool>,
}

/// Reads the traits.
///
/// # Errors
/// As [`read_signals`].
pub async fn traits(session: &mut Session) -> Result<Traits, DeviceError> {
    let wireless = domain(session, Some(WIRELESS)).await?;
    let usage = domain(session, Some(DISK_USAGE)).await?;
    let backup = domain(session, Some(BACKUP)).await?;
    Ok(Traits {
        data_capacity: unsigned(&usage, "TotalDataCapacity").map(Bytes::new),
        bonjour_name: text(&wireless, "BonjourFullServiceName"),
        wifi_connections: boolean(&wireless, "EnableWifiConnections"),
        requires_encryption: boolean(&backup, "RequiresEncryption"),
    })
}

/// Reads how many bytes are in use on the phone.
///
/// # Errors
/// As [`read_signals`].
pub async fn disk_usage(session: &mut Session) -> Result<Option<Bytes>, DeviceError> {
    Ok(disk(&domain(session, Some(DISK_USAGE)).await?))
}

/// Lets the phone answer over the network, and says whether it does from here on; works over a
/// cable only.
///
/// # Errors
/// When the conversation fails. A phone that declines, or has no Wi-Fi, is no error.
pub async fn enable_wifi_connections(session: &mut Session) -> Result<bool, DeviceError> {
    let wireless = domain(session, Some(WIRELESS)).await?;
    if boolean(&wireless, "SupportsWifi") == Some(false) {
        return Ok(false);
    }
    let key = "EnableWifiConnections";
    match session.set_value(Some(WIRELESS), key, true.into()).await {
        Ok(()) => Ok(true),
        Err(DeviceError::Lockdown { code, .. }) => {
            tracing::debug!(%code, "the phone does not let itself be reached over the network");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn domain(
    session: &mut Session,
    name: Option<&str>,
) -> Result<Dictionary, DeviceError> {
    Ok(tolerant(session.get_domain(name).await)?.unwrap_or_default())
}

/// Turns "the phone does not say" into an absence; everything else stays an error.
pub(crate) fn tolerant<T>(
    result: Result<Option<T>, DeviceError>,
) -> Result<Option<T>, DeviceError> {
    match result {
        Err(DeviceError::Lockdown { code, what }) if code.is_silence() => {
            tracing::debug!(what, %code, "the phone does not say");
            Ok(None)
        }
        other => other,
    }
}

fn identity(root: &Dictionary) -> Option<Fact> {
    Some(Fact::Identity {
        name: text(root, "DeviceName")?,
        product_type: text(root, "ProductType")?,
        os_version: text(root, "ProductVersion")?,
    })
}

fn power(battery: &Dictionary) -> Vec<Fact> {
    let percent =
        unsigned(battery, "BatteryCurrentCapacity").and_then(|value| u8::try_from(value).ok());
    vec![
        Fact::ExternalPower(boolean(battery, "ExternalConnected")),
        Fact::BatteryPercent(percent.filter(|percent| *percent <= 100)),
    ]
}

fn lock(password_protected: Option<&Value>) -> Vec<Fact> {
    let locked = password_protected.and_then(Value::as_boolean);
    let mut facts = vec![Fact::ScreenLocked(locked)];
    if locked == Some(true) {
        // Only a phone with a passcode is ever protected by one.
        facts.push(Fact::HasPasscode(Some(true)));
    }
    facts
}

fn disk(usage: &Dictionary) -> Option<Bytes> {
    let capacity = unsigned(usage, "TotalDataCapacity")?;
    let available =
        unsigned(usage, "TotalDataAvailable").or_else(|| unsigned(usage, "AmountDataAvailable"))?;
    capacity.checked_sub(available).map(Bytes::new)
}

fn backup(answered: &Option<Dictionary>) -> Vec<Fact> {
    let said = |key| answered.as_ref().and_then(|domain| boolean(domain, key));
    vec![
        Fact::EncryptsBackups(will_encrypt(answered.as_ref())),
        Fact::EncryptionRequired(said("RequiresEncryption")),
        Fact::ICloudBackup(said("CloudBackupEnabled")),
        Fact::ICloudBackupDate(answered.as_ref().and_then(cloud_date)),
    ]
}

/// Seconds from 1970 to 2001, from where the phone counts.
const COCOA_EPOCH: i64 = 978_307_200;

/// Reads the date of the last backup to iCloud (corpus, domain_backup.json: seconds since 2001).
fn cloud_date(domain: &Dictionary) -> Option<Wall> {
    let since = i64::try_from(unsigned(domain, "LastCloudBackupDate")?).ok()?;
    (since > 0).then_some(Wall::from_secs(since.checked_add(COCOA_EPOCH)?))
}

/// Reads whether backups are encrypted; the key is absent on a phone that never had a password.
pub(crate) fn will_encrypt(answered: Option<&Dictionary>) -> Option<bool> {
    answered.and_then(|domain| domain.get("WillEncrypt").map_or(Some(false), truth))
}

/// Reads a dictionary as every domain there is, for the fuzzer.
pub(crate) fn read_everything(answer: &Dictionary) {
    let mut facts: Vec<Fact> = identity(answer).into_iter().collect();
    facts.extend(power(answer));
    facts.extend(lock(answer.get("Value")));
    facts.push(Fact::DataUsed(disk(answer)));
    facts.extend(backup(&Some(answer.clone())));
    tracing::trace!(?facts, "the fuzzer's facts");
}

pub(crate) fn text(domain: &Dictionary, key: &str) -> Option<String> {
    let text = domain.get(key)?.as_string()?;
    Some(text.chars().take(NAME_LEN_MAX).collect())
}

pub(crate) fn unsigned(domain: &Dictionary, key: &str) -> Option<u64> {
    domain.get(key)?.as_unsigned_integer()
}

pub(crate) fn boolean(domain: &Dictionary, key: &str) -> Option<bool> {
    truth(domain.get(key)?)
}

/// Reads a boolean; `RequiresEncryption` and others come as the integers 0 and 1.
fn truth(value: &Value) -> Option<bool> {
    value
        .as_boolean()
        .or_else(|| match value.as_signed_integer() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(_) | None => None,
        })
}

#[cfg(test)]
#[path = "signals_tests.rs"]
mod tests;
