//! Info.plist: the one file of a backup that the computer writes and not the phone.

use super::inputs::{App, HostInputs};
use crate::DeviceError;
use plist::{Dictionary, Value};
use std::time::SystemTime;

/// What is written when the phone names no version (corpus, backup/info_plist.json).
const ITUNES_VERSION: &str = "10.0.1";

/// Keys of Info.plist and the lockdown values they repeat; what a phone lacks is left out.
const IDENTITY: [(&str, &str); 10] = [
    ("Build Version", "BuildVersion"),
    ("Device Name", "DeviceName"),
    ("Display Name", "DeviceName"),
    ("ICCID", "IntegratedCircuitCardIdentity"),
    ("IMEI", "InternationalMobileEquipmentIdentity"),
    ("MEID", "MobileEquipmentIdentifier"),
    ("Phone Number", "PhoneNumber"),
    ("Product Type", "ProductType"),
    ("Product Version", "ProductVersion"),
    ("Serial Number", "SerialNumber"),
];

/// Writes Info.plist as XML. The date of the last backup goes in only when there is one: it is
/// what restore screens show, so it must be that of a backup that succeeded.
///
/// # Errors
/// [`DeviceError::Protocol`] when the phone told nothing of itself, or its values cannot be written.
pub fn info_plist(
    inputs: &HostInputs,
    last_backup: Option<SystemTime>,
) -> Result<Vec<u8>, DeviceError> {
    if inputs.root.is_empty() {
        return Err(DeviceError::Protocol {
            what: "Info.plist",
            reason: "the phone told nothing of itself".into(),
        });
    }
    let mut info = Dictionary::new();
    let mut put = |key: &str, value: Value| drop(info.insert(key.to_owned(), value));
    let udid = inputs.udid.as_str();
    let root = |key: &str| {
        inputs
            .root
            .get(key)
            .and_then(Value::as_string)
            .map(Value::from)
    };
    let described = inputs
        .apps
        .iter()
        .filter_map(|app| Some((app.bundle_id.clone(), description(app)?)));
    put("Applications", Value::Dictionary(described.collect()));
    for (key, source) in IDENTITY {
        if let Some(value) = root(source) {
            put(key, value);
        }
    }
    put("GUID", inputs.guid.as_str().into());
    let ids = inputs
        .apps
        .iter()
        .map(|app| Value::from(app.bundle_id.as_str()));
    put("Installed Applications", Value::Array(ids.collect()));
    if let Some(time) = last_backup {
        put("Last Backup Date", Value::Date(time.into()));
    }
    put("Target Identifier", udid.into());
    put("Target Type", "Device".into());
    put("Unique Identifier", udid.to_uppercase().into());
    if let Some(books) = &inputs.books {
        put("iBooks Data 2", Value::Data(books.clone()));
    }
    let files = inputs
        .itunes_files
        .iter()
        .map(|(name, data)| (name.clone(), Value::Data(data.clone())));
    put("iTunes Files", Value::Dictionary(files.collect()));
    put(
        "iTunes Settings",
        Value::Dictionary(inputs.itunes_settings.clone()),
    );
    put(
        "iTunes Version",
        inputs
            .itunes_version
            .as_deref()
            .unwrap_or(ITUNES_VERSION)
            .into(),
    );
    let mut bytes = Vec::new();
    Value::Dictionary(info)
        .to_writer_xml(&mut bytes)
        .map_err(|error| DeviceError::Protocol {
            what: "Info.plist",
            reason: error.to_string(),
        })?;
    Ok(bytes)
}

/// Describes an app that can be fetched again by itself.
fn description(app: &App) -> Option<Value> {
    let mut fields = Dictionary::new();
    fields.insert("ApplicationSINF".into(), Value::Data(app.sinf.clone()?));
    fields.insert("iTunesMetadata".into(), Value::Data(app.metadata.clone()?));
    if let Some(icon) = &app.icon {
        fields.insert("PlaceholderIcon".into(), Value::Data(icon.clone()));
    }
    Some(Value::Dictionary(fields))
}

#[cfg(test)]
#[path = "info_plist_tests.rs"]
mod tests;
