//! The values of lockdown's root domain, with the key set and the types of the iOS version.
//!
//! Source: corpus `lockdown/root_*.json`, full dumps of iOS 13.3.1 and 26.3 and parts of others.

use std::time::SystemTime;

use plist::{Dictionary, Value};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::identity::Identity;
use crate::phone::{Phone, Transport};
use crate::state::Attachment;

/// Draws values that stay the same for one phone.
struct Draw(ChaCha8Rng);

impl Draw {
    fn data(&mut self, len: usize) -> Value {
        let mut bytes = vec![0; len];
        self.0.fill_bytes(&mut bytes);
        Value::Data(bytes)
    }

    fn hex(&mut self, digits: usize) -> Value {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        (0..digits)
            .map(|_| char::from(HEX[self.0.random_range(0..16)]))
            .collect::<String>()
            .into()
    }

    fn digits(&mut self, prefix: &str, len: usize) -> String {
        let mut text = prefix.to_owned();
        while text.len() < len {
            text.push(char::from(b'0' + self.0.random_range(0..10_u8)));
        }
        text
    }

    fn word(&mut self, len: usize) -> Value {
        const ALPHABET: &[u8] = b"CDFGHJKLMNPQRTVWXY0123456789";
        (0..len)
            .map(|_| char::from(ALPHABET[self.0.random_range(0..ALPHABET.len())]))
            .collect::<String>()
            .into()
    }

    fn int(&mut self, max: u32) -> Value {
        u64::from(self.0.random_range(1..=max)).into()
    }
}

fn put(all: &mut Dictionary, key: &str, value: impl Into<Value>) {
    all.insert(key.to_owned(), value.into());
}

/// Returns every value of the root domain.
pub fn values(phone: &Phone, transport: Transport) -> Dictionary {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(
        phone.identity().seed ^ phone.identity().ecid,
    ));
    let mut all = Dictionary::new();
    names(phone, &mut all);
    chip(phone, &mut draw, &mut all);
    standing(phone, transport, &mut all);
    if phone.identity().phone_number.is_some() {
        telephone(phone.identity(), &mut draw, &mut all);
    }
    if phone.identity().ios.major >= 15 {
        put(&mut all, "PairRecordProtectionClass", 4);
    }
    if phone.identity().ios.major < 17 {
        put(&mut all, "ProximitySensorCalibration", draw.data(144));
    }
    if phone.identity().ios.major >= 17 {
        put(&mut all, "ActivationStateAcknowledged", true);
        put(&mut all, "BootSessionID", uuid(&mut draw));
        put(&mut all, "GID1", "");
        put(&mut all, "GID2", "");
        put(
            &mut all,
            "HumanReadableProductVersionString",
            phone.identity().ios.to_string(),
        );
        put(&mut all, "UntrustedHostBUID", phone.last_host_buid());
    }
    all
}

fn uuid(draw: &mut Draw) -> String {
    let mut bytes = [0; 16];
    draw.0.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
        .to_uppercase()
}

fn names(phone: &Phone, all: &mut Dictionary) {
    let identity = phone.identity();
    let newer = identity.ios.major >= 17;
    let model = format!("M{}", identity.serial.chars().take(4).collect::<String>());
    put(all, "BuildVersion", identity.build.clone());
    put(all, "DeviceClass", identity.device_class.clone());
    put(all, "DeviceColor", if newer { "1" } else { "2" });
    put(all, "DeviceName", identity.name.clone());
    put(all, "HardwareModel", identity.hardware_model.clone());
    put(all, "HardwarePlatform", phone.product().platform.clone());
    put(all, "ModelNumber", model);
    put(all, "ProductName", "iPhone OS");
    put(all, "ProductType", identity.product_type.clone());
    put(all, "ProductVersion", identity.ios.to_string());
    put(all, "ProtocolVersion", "2");
    put(all, "RegionInfo", "LL/A");
    put(all, "SerialNumber", identity.serial.clone());
    put(all, "UniqueDeviceID", identity.udid.clone());
    put(all, "WiFiAddress", identity.wifi_mac.clone());
}

fn chip(phone: &Phone, draw: &mut Draw, all: &mut Dictionary) {
    let (identity, product) = (phone.identity(), phone.product());
    let neighbour = |step: u8| {
        let mut octets: Vec<String> = identity
            .wifi_mac
            .split(':')
            .map(ToOwned::to_owned)
            .collect();
        if let Some(last) = octets.last_mut() {
            *last = format!(
                "{:02x}",
                u8::from_str_radix(last, 16).unwrap_or(0).wrapping_add(step)
            );
        }
        octets.join(":")
    };
    put(all, "BluetoothAddress", neighbour(1));
    put(all, "BoardId", product.board_id);
    put(all, "CPUArchitecture", product.cpu());
    put(all, "CertID", draw.int(u32::MAX));
    put(all, "ChipID", u64::from(product.chip_id));
    put(all, "ChipSerialNo", draw.data(8));
    put(all, "DieID", identity.ecid);
    put(all, "EthernetAddress", neighbour(2));
    put(
        all,
        "FirmwareVersion",
        format!("iBoot-{}.0.0", u64::from(identity.ios.major) * 500 + 300),
    );
    put(all, "FusingStatus", 3);
    put(all, "HasSiDP", true);
    put(all, "MLBSerialNumber", draw.word(17));
    put(all, "NonVolatileRAM", nvram(identity, draw));
    put(all, "PartitionType", "GUID_partition_scheme");
    put(all, "PkHash", draw.data(32));
    put(all, "ProductionSOC", true);
    put(all, "SoftwareBehavior", draw.data(16));
    put(all, "SoftwareBundleVersion", "");
    let families: Vec<Value> = if identity.device_class == "iPad" {
        vec![1.into(), 2.into()]
    } else {
        vec![1.into()]
    };
    put(all, "SupportedDeviceFamilies", families);
    put(all, "UniqueChipID", identity.ecid);
    put(all, "UseRaptorCerts", true);
    put(all, "WirelessBoardSerialNumber", draw.word(17));
}

fn nvram(identity: &Identity, draw: &mut Draw) -> Value {
    let mut nvram = Dictionary::new();
    put(&mut nvram, "auto-boot", Value::Data(b"true".to_vec()));
    put(&mut nvram, "backlight-level", Value::Data(b"1520".to_vec()));
    put(&mut nvram, "obliteration", draw.data(137));
    if identity.ios.major < 17 {
        for key in [
            "IONVRAM-SYNCNOW-PROPERTY",
            "com.apple.System.tz0-size",
            "oblit-begins",
        ] {
            put(&mut nvram, key, draw.data(8));
        }
        put(&mut nvram, "boot-args", "");
    } else {
        for key in [
            "StartupMute",
            "SystemAudioVolumeExtension",
            "alpm-hist",
            "backlight-nits",
            "bootdelay",
            "fm-account-masked",
            "fm-activation-locked",
            "fm-spkeys",
            "fm-spstatus",
            "panicmedic-telemetry",
            "panicmedic-timestamps",
            "usbc,version,rid0",
            "utc-offset",
        ] {
            put(&mut nvram, key, draw.data(8));
        }
    }
    nvram.into()
}

/// What changes while the phone runs.
fn standing(phone: &Phone, transport: Transport, all: &mut Dictionary) {
    let state = phone.state();
    let attached = state.attached == Attachment::Usb && transport == Transport::Usb;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    put(all, "ActivationState", "Activated");
    put(all, "BrickState", false);
    put(all, "HostAttached", attached);
    put(all, "PasswordProtected", state.is_protected());
    put(
        all,
        "TelephonyCapability",
        phone.identity().phone_number.is_some(),
    );
    put(all, "TimeIntervalSince1970", now.as_secs_f64());
    put(all, "TimeZone", "Europe/Helsinki");
    put(all, "TimeZoneOffsetFromUTC", 7200.0);
    put(
        all,
        "TrustedHostAttached",
        attached && !phone.hosts().is_empty(),
    );
    put(all, "Uses24HourClock", true);
}

fn telephone(identity: &Identity, draw: &mut Draw, all: &mut Dictionary) {
    let newer = identity.ios.major >= 17;
    let mut hashes = Dictionary::new();
    put(&mut hashes, "AKeyStatus", 2);
    put(&mut hashes, "SKeyHash", draw.data(32));
    put(&mut hashes, "SKeyStatus", 0);
    put(all, "BasebandActivationTicketVersion", "V2");
    put(all, "BasebandCertId", draw.int(u32::MAX));
    put(all, "BasebandChipID", draw.int(0x00ff_ffff));
    put(all, "BasebandKeyHashInformation", hashes);
    put(all, "BasebandMasterKeyHash", draw.hex(96));
    put(all, "BasebandRegionSKU", draw.data(16));
    put(all, "BasebandSerialNumber", draw.data(4));
    put(all, "BasebandStatus", "BBInfoAvailable");
    put(all, "BasebandVersion", "2.40.01");
    let (iccid, imsi) = (draw.digits("8935801", 20), draw.digits("24405", 15));
    put(
        all,
        "CarrierBundleInfoArray",
        vec![carrier(&iccid, &imsi, newer, draw)],
    );
    put(all, "IntegratedCircuitCardIdentity", iccid);
    let imei = identity.imei.clone().unwrap_or_default();
    if newer || identity.ios.major >= 16 {
        let second: String = imei.chars().rev().collect();
        put(all, "InternationalMobileEquipmentIdentity2", second);
    }
    if identity.ios.major < 26 {
        put(
            all,
            "MobileEquipmentIdentifier",
            imei.chars().take(14).collect::<String>(),
        );
    }
    put(all, "InternationalMobileEquipmentIdentity", imei);
    put(all, "InternationalMobileSubscriberIdentity", imsi);
    put(all, "InternationalMobileSubscriberIdentityOverride", false);
    put(all, "MobileSubscriberCountryCode", "244");
    put(all, "MobileSubscriberNetworkCode", "05");
    put(all, "PRIVersion_Major", 1);
    put(all, "PRIVersion_Minor", 0);
    put(all, "PRIVersion_ReleaseNo", 3);
    put(
        all,
        "PhoneNumber",
        identity.phone_number.clone().unwrap_or_default(),
    );
    put(all, "SIMStatus", "kCTSIMSupportSIMStatusReady");
    put(all, "SIMTrayStatus", "kCTSIMSupportSIMTrayInsertedWithSIM");
    put(all, "kCTPostponementInfoPRIVersion", "0.1.141");
    put(all, "kCTPostponementInfoServiceProvisioningState", false);
    put(all, "kCTPostponementStatus", "kCTPostponementStatusReady");
    if newer {
        put(all, "SIM1IsEmbedded", true);
        put(all, "SIMGID1", draw.data(5));
        put(all, "SIMGID2", draw.data(5));
    } else {
        put(all, "kCTPostponementInfoPRLName", 301);
    }
}

fn carrier(iccid: &str, imsi: &str, newer: bool, draw: &mut Draw) -> Value {
    let mut entry = Dictionary::new();
    put(&mut entry, "CFBundleIdentifier", "com.apple.Elisa_fi");
    put(&mut entry, "CFBundleVersion", "55.0");
    if newer {
        put(&mut entry, "GID1", "");
        put(&mut entry, "GID2", "");
    }
    put(&mut entry, "IntegratedCircuitCardIdentity", iccid);
    put(&mut entry, "InternationalMobileSubscriberIdentity", imsi);
    put(&mut entry, "MCC", "244");
    put(&mut entry, "MNC", "05");
    put(&mut entry, "SIMGID1", draw.data(5));
    put(&mut entry, "SIMGID2", draw.data(5));
    put(&mut entry, "Slot", "kOne");
    put(&mut entry, "kCTPostponementInfoAvailable", "SIMCarrierInfo");
    entry.into()
}
