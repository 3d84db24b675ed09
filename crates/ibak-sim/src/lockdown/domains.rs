//! The values of lockdown's other domains.
//!
//! Source: corpus `lockdown/domain_*.json`.

use plist::{Dictionary, Value};

use crate::backup::Quirk;
use crate::phone::{Phone, Transport, apple_seconds, locked};
use crate::restored::SYSTEM_BYTES;
use crate::wire::dict;

/// What lies between AmountDataAvailable and TotalDataAvailable up to iOS 12, in bytes.
const DATA_RESERVED: u64 = 209_715_200;

/// Returns a domain, or `None` when the phone has none of that name.
pub fn values(phone: &Phone, transport: Transport, domain: &str) -> Option<Dictionary> {
    let value = match domain {
        "com.apple.disk_usage" => disk_usage(phone),
        "com.apple.fmip" => find_my(phone),
        "com.apple.international" => dict([
            ("Keyboard", "en_US".into()),
            ("Language", "en".into()),
            ("Locale", "en_US".into()),
            (
                "SupportedKeyboards",
                vec![Value::from("en_US"), "fi_FI".into()].into(),
            ),
        ]),
        "com.apple.mobile.backup" => backup(phone),
        "com.apple.mobile.battery" => battery(phone),
        "com.apple.mobile.data_sync" => data_sync(),
        "com.apple.mobile.iTunes" => itunes(phone, transport),
        "com.apple.mobile.internal" => dict([
            ("CarrierBuild", false.into()),
            ("IsInternal", false.into()),
            ("UIBuild", true.into()),
        ]),
        "com.apple.mobile.ldwatch" => dict([("WatchCompanionCapability", 1.into())]),
        "com.apple.mobile.restriction" => dict([
            ("ProhibitAppDelete", 0.into()),
            ("ProhibitAppInstall", 0.into()),
        ]),
        "com.apple.mobile.sync_data_class" => sync_data_class(),
        "com.apple.mobile.wireless_lockdown" => wireless(phone),
        "com.apple.purplebuddy" => setup(phone),
        _ => return None,
    };
    value.into_dictionary()
}

/// The activation lock goes with Find My.
fn find_my(phone: &Phone) -> Value {
    let on = phone.state().find_my.is_on();
    dict([
        ("IsActivationLockEnabled", on.into()),
        ("IsAssociated", on.into()),
    ])
}

/// The setup assistant. Key names as the tools read them; the values of a phone in mid-setup are
/// not published.
fn setup(phone: &Phone) -> Value {
    let done = phone.state().setup.is_on();
    dict([
        ("SetupDone", done.into()),
        ("SetupFinishedAllSteps", done.into()),
        ("SetupState", "SetupUsingAssistant".into()),
        ("SetupVersion", 11.into()),
    ])
}

fn battery(phone: &Phone) -> Value {
    let state = phone.state();
    let full = state.battery == 100;
    let mut values = Dictionary::new();
    values.insert(
        "BatteryCurrentCapacity".into(),
        u64::from(state.battery).into(),
    );
    values.insert("BatteryIsCharging".into(), state.is_charging().into());
    values.insert("ExternalChargeCapable".into(), state.power.is_on().into());
    values.insert("ExternalConnected".into(), state.power.is_on().into());
    values.insert("FullyCharged".into(), full.into());
    values.insert("GasGaugeCapability".into(), true.into());
    if phone.identity().ios.major >= 13 {
        values.insert("HasBattery".into(), true.into());
    }
    values.into()
}

/// `WillEncrypt` is absent on a phone that never had a backup password.
fn backup(phone: &Phone) -> Value {
    let major = phone.identity().ios.major;
    let mut values = Dictionary::new();
    if !phone.quirks().has(Quirk::NoCloudBackupKeys) {
        let state = phone.state();
        let on = state.icloud.is_on() && state.icloud_account.is_on();
        values.insert("CloudBackupEnabled".into(), on.into());
        if major >= 17 && state.icloud_account.is_on() {
            values.insert("LastCloudBackupDate".into(), 812_806_913.into());
            values.insert("LastCloudBackupTZ".into(), "GMT+2".into());
        }
    }
    if let Some(on) = phone.will_encrypt() {
        values.insert("WillEncrypt".into(), on.into());
    }
    let required = phone.state().requires_encryption.is_on();
    if major < 26 || required {
        values.insert("RequiresEncryption".into(), i64::from(required).into());
    }
    if major < 26 {
        values.insert("Version".into(), "2.0".into());
    }
    let last = locked(&phone.memory())
        .last
        .as_ref()
        .map(|last| apple_seconds(last.finished));
    if let Some(seconds) = last {
        values.insert("LastiTunesBackupDate".into(), seconds.into());
        values.insert("LastiTunesBackupTZ".into(), "GMT+2".into());
    }
    values.into()
}

/// Up to iOS 12 TotalDataAvailable is AmountDataAvailable and the reserve; later it also counts
/// what can be purged.
fn disk_usage(phone: &Phone) -> Value {
    let (used, disk) = phone.disk_usage();
    let capacity = disk - SYSTEM_BYTES;
    let free = phone.free_bytes().saturating_sub(DATA_RESERVED);
    let purgeable = if phone.identity().ios.major >= 13 {
        (used / 20).min(free)
    } else {
        0
    };
    let mut values = Dictionary::new();
    values.insert("AmountDataAvailable".into(), (free - purgeable).into());
    values.insert("AmountDataReserved".into(), DATA_RESERVED.into());
    values.insert("AmountRestoreAvailable".into(), free.into());
    values.insert("TotalDataAvailable".into(), phone.free_bytes().into());
    values.insert("TotalDataCapacity".into(), capacity.into());
    values.insert("TotalDiskCapacity".into(), disk.into());
    values.insert("TotalSystemCapacity".into(), SYSTEM_BYTES.into());
    if phone.identity().ios.major < 13 {
        values.insert("TotalSystemAvailable".into(), 0.into());
    }
    if phone.identity().ios.major >= 26 {
        values.insert("CameraUsage".into(), (used / 2).into());
        values.insert("PhotoUsage".into(), (used / 2).into());
    }
    values.into()
}

fn wireless(phone: &Phone) -> Value {
    let identity = phone.identity();
    let instance = crate::mdns::instance(identity);
    let mut values = Dictionary::new();
    values.insert(
        "BonjourFullServiceName".into(),
        crate::mdns::full_name(&instance).into(),
    );
    values.insert(
        "EnableWifiConnections".into(),
        phone.wifi_connections().into(),
    );
    if identity.ios.major >= 13 {
        values.insert("EnableWifiDebugging".into(), false.into());
    }
    if identity.ios.major >= 17 {
        values.insert("InstanceName".into(), instance.into());
    }
    values.insert("SupportsWifi".into(), true.into());
    values.insert("SupportsWifiSyncing".into(), true.into());
    values.into()
}

/// The values iOS 7 is known to give, and of the others those a backup reads.
fn itunes(phone: &Phone, transport: Transport) -> Value {
    let bus = match transport {
        Transport::Usb => "USB",
        Transport::Network(_) => "WiFi",
    };
    let drm = dict([
        ("Format", 2.into()),
        ("Maximum", 4.into()),
        ("Minimum", 0.into()),
    ]);
    let mut values = Dictionary::new();
    for (key, value) in [
        ("64Bit", 3),
        ("BatteryPollInterval", 60),
        ("DBVersion", 5),
        ("FairPlayCBMaxVersion", 4),
    ] {
        values.insert(key.into(), value.into());
    }
    for (key, value) in [
        ("FairPlayCBMinVersion", 3),
        ("FamilyID", 10_032),
        ("KeyTypeSupportVersion", 492),
    ] {
        values.insert(key.into(), value.into());
    }
    values.insert("AppleDRMVersion".into(), drm);
    values.insert("ConnectedBus".into(), bus.into());
    for key in [
        "AlbumArt",
        "CustomerRingtones",
        "HomeVideosSupported",
        "PlaylistFoldersSupported",
        "PodcastsSupported",
        "RentalsSupported",
        "Ringtones",
        "TVShowRentalsSupported",
        "UseVoiceMemosFolder",
        "VideoPlaylistsSupported",
        "VoiceMemosSupported",
        "iTunesSetupComplete",
        "iTunesStoreCapable",
        "iTunesUSupported",
    ] {
        values.insert(key.into(), true.into());
    }
    values.insert("FairPlayGUID".into(), phone.identity().usb_serial().into());
    // Absent on iPads was seen (PMD3 #1332).
    if phone.identity().device_class != "iPad" {
        values.insert("MinITunesVersion".into(), "12.10.10".into());
    }
    values.insert("MinMacOSVersion".into(), "10.5.8".into());
    let classes = [
        "Bookmarks",
        "Calendars",
        "Contacts",
        "Mail Accounts",
        "Notes",
    ];
    values.insert(
        "SyncDataClasses".into(),
        Value::Array(classes.into_iter().map(Value::from).collect()),
    );
    values.insert("iPhoneCheckpointVersion".into(), 1.into());
    values.into()
}

fn data_sync() -> Value {
    let source = |name: &str| {
        dict([
            ("AccountNames", vec![Value::from(name)].into()),
            ("Sources", vec![Value::from("iCloud")].into()),
        ])
    };
    dict([
        ("Bookmarks", source("iCloud")),
        ("Calendars", source("iCloud")),
        ("Contacts", source("iCloud")),
    ])
}

fn sync_data_class() -> Value {
    let empty = || Value::Dictionary(Dictionary::new());
    dict([
        ("Bookmarks", empty()),
        ("Calendars", empty()),
        ("Contacts", empty()),
        ("DeviceHandlesDefaultCalendar", true.into()),
        ("DeviceSupportsClearingData", true.into()),
        ("Mail Accounts", dict([("ReadOnly", true.into())])),
        ("Notes", empty()),
        ("SupportsEncryptedBackups", true.into()),
        ("SyncSupportsCalDAV", true.into()),
    ])
}
