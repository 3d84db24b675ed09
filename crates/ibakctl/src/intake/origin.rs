//! What a backup says of itself: whose it is, of when, of which iOS, and whether it is encrypted.

use super::{Folder, Trouble};
use ibak_dbus::plist_guard::{self, Limits};
use ibak_dbus::{Udid, Wall};
use plist::{Dictionary, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// Is the file without which a folder is no backup.
pub(super) const INFO: &str = "Info.plist";
/// Is the file that says whether it is encrypted.
const MANIFEST: &str = "Manifest.plist";
/// Is the file that says when it was finished.
const STATUS: &str = "Status.plist";

/// What a backup says of itself; untrusted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The phone it is of.
    pub udid: Udid,
    /// The phone's identifier as the backup spells it.
    pub wire_udid: String,
    /// What the phone was called.
    pub name: Option<String>,
    /// Its iOS.
    pub os_version: Option<String>,
    /// When it was made.
    pub made: Option<Wall>,
    /// Whether it is encrypted; `None` when that cannot be read.
    pub encrypted: Option<bool>,
}

impl Origin {
    pub(super) fn read(folder: &Folder) -> Result<Self, Trouble> {
        let info = dictionary(folder, INFO)?
            .ok_or_else(|| Trouble::new(format!("{} has no {INFO}", folder.path().display())))?;
        let text = |key: &str| {
            info.get(key)
                .and_then(Value::as_string)
                .filter(|text| !text.trim().is_empty())
                .map(str::to_owned)
        };
        let named = ["Target Identifier", "Unique Identifier"]
            .into_iter()
            .find_map(|key| {
                let wire = text(key)?;
                Udid::parse(&wire).ok().map(|udid| (udid, wire))
            });
        let Some((udid, wire_udid)) = named else {
            return Err(Trouble::new(format!(
                "the {INFO} in {} does not say which phone it is of",
                folder.path().display()
            ))
            .hint("choose the folder that iTunes, Finder or idevicebackup2 made"));
        };
        // The daemon says why these cannot be read, if they cannot.
        let other = |name| dictionary(folder, name).ok().flatten().unwrap_or_default();
        let (manifest, status) = (other(MANIFEST), other(STATUS));
        Ok(Self {
            udid,
            wire_udid,
            name: text("Device Name").or_else(|| text("Display Name")),
            os_version: text("Product Version"),
            made: date(status.get("Date")).or_else(|| date(info.get("Last Backup Date"))),
            encrypted: manifest.get("IsEncrypted").and_then(Value::as_boolean),
        })
    }
}

fn dictionary(folder: &Folder, name: &str) -> Result<Option<Dictionary>, Trouble> {
    let limits = Limits::MESSAGE;
    let Some(bytes) = folder.small(name, limits.bytes_max)? else {
        return Ok(None);
    };
    let odd = |why: &dyn std::fmt::Display| {
        Trouble::new(format!(
            "{} cannot be read: {why}",
            folder.path().join(name).display()
        ))
    };
    plist_guard::check(&bytes, &limits).map_err(|error| odd(&error))?;
    let value = plist::from_bytes::<Value>(&bytes).map_err(|error| odd(&error))?;
    value
        .into_dictionary()
        .map(Some)
        .ok_or_else(|| odd(&"it is no dictionary"))
}

fn date(value: Option<&Value>) -> Option<Wall> {
    let time: SystemTime = value?.as_date()?.into();
    let micros = i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()?;
    (micros > 0).then(|| Wall::from_micros(micros))
}
