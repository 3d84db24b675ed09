//! What GetValue answers, in which domain, before and after a session.

use std::collections::BTreeSet;

use plist::{Dictionary, Value};

use super::{domains, root};
use crate::phone::{Phone, Transport};

/// The root keys a host may read without a session.
const PUBLIC_KEYS: &[&str] = &[
    "ActivationState",
    "BasebandCertId",
    "BasebandKeyHashInformation",
    "BasebandSerialNumber",
    "BasebandStatus",
    "BoardId",
    "BuildVersion",
    "CPUArchitecture",
    "ChipID",
    "DeviceClass",
    "DeviceColor",
    "DeviceName",
    "DieID",
    "HardwareModel",
    "HasSiDP",
    "HumanReadableProductVersionString",
    "PartitionType",
    "ProductName",
    "ProductType",
    "ProductVersion",
    "ProductionSOC",
    "ProtocolVersion",
    "SupportedDeviceFamilies",
    "TelephonyCapability",
    "UniqueChipID",
    "UniqueDeviceID",
    "UntrustedHostBUID",
    "WiFiAddress",
];

/// The keys of com.apple.mobile.iTunes without a session (corpus, domain_itunes.json).
const PUBLIC_ITUNES_KEYS: &[&str] = &[
    "FamilyID",
    "MinITunesVersion",
    "MinMacOSVersion",
    "iTunesSetupComplete",
];

const ITUNES: &str = "com.apple.mobile.iTunes";

/// Whether a host is in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is not.
    Anyone,
    /// It is.
    Session,
}

/// Answers GetValue: one value, or the whole domain when no key is asked.
///
/// # Errors
/// The error string of lockdown: `MissingValue` for what is not there, `GetProhibited` for what
/// wants a session.
pub fn get(
    phone: &Phone,
    transport: Transport,
    access: Access,
    domain: Option<&str>,
    key: Option<&str>,
) -> Result<Value, &'static str> {
    let mut all = whole(phone, transport, domain).ok_or("MissingValue")?;
    let closed = tell(phone, domain, &mut all);
    let visible = |name: &str| match (access, domain) {
        (Access::Session, _) => !closed.contains(name),
        (Access::Anyone, None) => PUBLIC_KEYS.contains(&name),
        (Access::Anyone, Some(ITUNES)) => PUBLIC_ITUNES_KEYS.contains(&name),
        (Access::Anyone, Some(_)) => false,
    };
    match key {
        None => {
            let shown: Dictionary = all.into_iter().filter(|(name, _)| visible(name)).collect();
            if shown.is_empty() && access == Access::Anyone {
                Err("GetProhibited")
            } else {
                Ok(shown.into())
            }
        }
        Some("DevicePublicKey") if domain.is_none() => {
            Ok(Value::Data(phone.key().public_pem().as_bytes().to_vec()))
        }
        Some(name) => match all.get(name) {
            Some(_) if !visible(name) => Err("GetProhibited"),
            Some(value) => Ok(value.clone()),
            None => Err("MissingValue"),
        },
    }
}

/// Puts what the phone says in the place of the truth; returns the keys that no host may read.
fn tell(phone: &Phone, domain: Option<&str>, all: &mut Dictionary) -> BTreeSet<String> {
    let mut closed = BTreeSet::new();
    for ((of, key), telling) in phone.state().tells {
        if of.as_deref() != domain {
            continue;
        }
        match telling.instead_of(all.get(&key).cloned()) {
            Ok(value) => drop(all.insert(key, value)),
            Err("GetProhibited") => drop(closed.insert(key)),
            Err(_) => drop(all.remove(&key)),
        }
    }
    closed
}

/// Returns a domain with what hosts wrote into it.
fn whole(phone: &Phone, transport: Transport, domain: Option<&str>) -> Option<Dictionary> {
    let own = match domain {
        None => Some(root::values(phone, transport)),
        Some(name) => domains::values(phone, transport, name),
    };
    let written = phone.written(domain);
    if own.is_none() && written.is_empty() {
        return None;
    }
    let mut all = own.unwrap_or_default();
    for (key, value) in written {
        match value {
            Some(value) => drop(all.insert(key, value)),
            None => drop(all.remove(&key)),
        }
    }
    Some(all)
}
