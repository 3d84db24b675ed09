//! Status.plist and Manifest.plist, as the phone writes them (status_plist.json, manifest_plist.json).

use std::time::SystemTime;

use plist::{Date, Dictionary, Value};

use super::BackupError;
use super::crypto::{FileKey, Keybag, PREFIXED_KEY_BYTES};
use super::link::dictionary;
use super::sealing::Sealing;
use crate::content::Tree;
use crate::identity::Identity;

/// Where a backup stands, in the host's Status.plist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SnapshotState {
    Uploading,
    Moving,
    Removing,
    Finished,
}

impl SnapshotState {
    const ALL: [Self; 4] = [
        Self::Uploading,
        Self::Moving,
        Self::Removing,
        Self::Finished,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Moving => "moving",
            Self::Removing => "removing",
            Self::Finished => "finished",
        }
    }
}

/// What a host's Status.plist says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: SnapshotState,
    pub(super) uuid: String,
}

impl Status {
    /// Reads a Status.plist; `None` if it is not one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let value = Value::from_reader(std::io::Cursor::new(bytes)).ok()?;
        let status = value.as_dictionary()?;
        let word = status.get("SnapshotState")?.as_string()?;
        let state = SnapshotState::ALL
            .into_iter()
            .find(|state| state.word() == word)?;
        let uuid = status
            .get("UUID")
            .and_then(Value::as_string)
            .unwrap_or("")
            .to_owned();
        Some(Self { state, uuid })
    }

    /// Writes it: binary, 189 bytes when finished. IsFullBackup is false even for a first backup.
    pub(super) fn encode(&self, date: SystemTime, ios_major: u32) -> Result<Vec<u8>, BackupError> {
        encode(&dictionary([
            ("BackupState", "new".into()),
            ("Date", Value::Date(Date::from(date))),
            ("IsFullBackup", false.into()),
            ("SnapshotState", self.state.word().into()),
            ("UUID", self.uuid.as_str().into()),
            (
                "Version",
                if ios_major >= 10 { "3.3" } else { "2.4" }.into(),
            ),
        ]))
    }
}

/// What matters of a host's Manifest.plist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreviousManifest {
    /// It is of an unencrypted backup of this phone.
    Usable,
    /// It is of a backup of this phone under its keybag, and its Manifest.db has this key.
    Encrypted(FileKey),
    /// It is empty, of another kind, of another phone or under another keybag: a full backup follows.
    Unusable,
}

/// Judges a host's Manifest.plist.
pub(super) fn judge_manifest(
    bytes: &[u8],
    identity: &Identity,
    sealing: &Sealing,
) -> PreviousManifest {
    let value = Value::from_reader(std::io::Cursor::new(bytes)).ok();
    let manifest = value.as_ref().and_then(Value::as_dictionary);
    let encrypted = sealing.keybag().is_some();
    let usable = manifest.filter(|manifest| {
        let device = manifest.get("Lockdown").and_then(Value::as_dictionary);
        manifest.get("IsEncrypted").and_then(Value::as_boolean) == Some(encrypted)
            && manifest.get("Version").and_then(Value::as_string) == Some("10.0")
            && device
                .and_then(|device| device.get("UniqueDeviceID"))
                .and_then(Value::as_string)
                == Some(identity.udid.as_str())
    });
    let Some(manifest) = usable else {
        return PreviousManifest::Unusable;
    };
    if !encrypted {
        return PreviousManifest::Usable;
    }
    let ours = sealing.keybag().map(Keybag::uuid);
    match sealing.manifest_key(manifest) {
        Some(key) if keybag_of(manifest).as_ref().map(Keybag::uuid) == ours => {
            PreviousManifest::Encrypted(key)
        }
        Some(_) | None => PreviousManifest::Unusable,
    }
}

/// Reads the keybag of a host's Manifest.plist.
pub(super) fn keybag_of(manifest: &Dictionary) -> Option<Keybag> {
    let bytes = manifest.get("BackupKeyBag").and_then(Value::as_data)?;
    Keybag::parse(bytes).ok()
}

/// Writes Manifest.plist; an encrypted backup's has a keybag and the key of Manifest.db.
pub(super) fn manifest(
    identity: &Identity,
    tree: &Tree,
    passcode_set: bool,
    date: SystemTime,
    seal: Option<(&Keybag, &[u8; PREFIXED_KEY_BYTES])>,
) -> Result<Vec<u8>, BackupError> {
    let mut applications = Dictionary::new();
    let mut containers = Dictionary::new();
    for (name, root) in tree.domains() {
        let Some((kind, id)) = name.split_once('-') else {
            continue;
        };
        let (class, application) = match kind {
            "AppDomain" => ("Data/Application", true),
            "AppDomainPlugin" => ("Data/PluginKitPlugin", true),
            "AppDomainGroup" => ("Shared/AppGroup", true),
            "SysContainerDomain" => ("Data/System", false),
            "SysSharedContainerDomain" => ("Shared/SystemGroup", false),
            _ => continue,
        };
        let container = dictionary([
            ("CFBundleIdentifier", id.into()),
            ("ContainerContentClass", class.into()),
            ("Path", root.into()),
        ]);
        if application {
            applications.insert(id.to_owned(), container.clone());
        }
        containers.insert(id.to_owned(), container);
    }
    let lockdown = dictionary([
        ("BuildVersion", identity.build.as_str().into()),
        ("DeviceClass", identity.device_class.as_str().into()),
        ("DeviceName", identity.name.as_str().into()),
        ("ProductType", identity.product_type.as_str().into()),
        ("ProductVersion", identity.ios.to_string().into()),
        ("SerialNumber", identity.serial.as_str().into()),
        ("UniqueDeviceID", identity.udid.as_str().into()),
    ]);
    let version = if identity.ios.major >= 13 {
        "24.0"
    } else {
        "20.0"
    };
    let mut manifest = Dictionary::new();
    manifest.insert("Applications".into(), Value::Dictionary(applications));
    if let Some((keybag, _)) = seal {
        manifest.insert("BackupKeyBag".into(), Value::Data(keybag.encode()));
    }
    manifest.insert("Containers".into(), Value::Dictionary(containers));
    manifest.insert("Date".into(), Value::Date(Date::from(date)));
    manifest.insert("IsEncrypted".into(), seal.is_some().into());
    manifest.insert("Lockdown".into(), lockdown);
    if let Some((_, key)) = seal {
        manifest.insert("ManifestKey".into(), Value::Data(key.to_vec()));
    }
    manifest.insert("SystemDomainsVersion".into(), version.into());
    manifest.insert("Version".into(), "10.0".into());
    manifest.insert("WasPasscodeSet".into(), passcode_set.into());
    encode(&Value::Dictionary(manifest))
}

pub(super) fn encode(value: &Value) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    plist::to_writer_binary(&mut bytes, value)
        .map_err(|error| BackupError::Phone(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_status_is_189_bytes() {
        let uuid = "0A1B2C3D-0000-4000-8000-1234567890AB".to_owned();
        let status = Status {
            state: SnapshotState::Finished,
            uuid,
        };
        let bytes = status.encode(SystemTime::now(), 26).unwrap();
        assert_eq!(bytes.len(), 189);
        assert_eq!(Status::parse(&bytes), Some(status));
        assert_eq!(Status::parse(b""), None);
    }
}
