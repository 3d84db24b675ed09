use super::*;

fn dict(pairs: &[(&str, Value)]) -> Dictionary {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

fn int(value: i64) -> Value {
    Value::Integer(value.into())
}

/// corpus, lockdown/domain_battery.json.
#[test]
fn power_is_what_is_connected_not_what_charges() {
    let full = |connected| {
        dict(&[
            ("BatteryCurrentCapacity", int(80)),
            ("BatteryIsCharging", false.into()),
            ("ExternalConnected", connected),
            ("FullyCharged", false.into()),
            ("HasBattery", true.into()),
        ])
    };
    let cases = [
        (full(true.into()), Some(true), Some(80)),
        (full(false.into()), Some(false), Some(80)),
        (full("yes".into()), None, Some(80)),
        (dict(&[("BatteryCurrentCapacity", int(101))]), None, None),
        (dict(&[("BatteryCurrentCapacity", int(-1))]), None, None),
        (dict(&[]), None, None),
    ];
    for (domain, connected, percent) in cases {
        assert_eq!(
            power(&domain),
            [
                Fact::ExternalPower(connected),
                Fact::BatteryPercent(percent)
            ],
            "{domain:?}"
        );
    }
}

#[test]
fn a_lock_proves_a_passcode_and_its_absence_proves_nothing() {
    assert_eq!(
        lock(Some(&true.into())),
        [
            Fact::ScreenLocked(Some(true)),
            Fact::HasPasscode(Some(true))
        ]
    );
    assert_eq!(lock(Some(&false.into())), [Fact::ScreenLocked(Some(false))]);
    assert_eq!(lock(Some(&"true".into())), [Fact::ScreenLocked(None)]);
    assert_eq!(lock(None), [Fact::ScreenLocked(None)]);
}

/// corpus, lockdown/domain_disk_usage.json (12, 26) and phones that say less.
#[test]
fn used_is_capacity_less_what_is_available() {
    let cases = [
        (
            dict(&[
                ("TotalDataCapacity", int(11_306_721_280)),
                ("TotalDataAvailable", int(6_872_793_088)),
            ]),
            Some(4_433_928_192),
        ),
        (
            dict(&[
                ("AmountDataAvailable", int(6_045_429_760)),
                ("TotalDataAvailable", int(127_277_871_104)),
                ("TotalDataCapacity", int(235_267_575_808)),
            ]),
            Some(107_989_704_704),
        ),
        (
            dict(&[
                ("TotalDataCapacity", int(100)),
                ("AmountDataAvailable", int(40)),
            ]),
            Some(60),
        ),
        (
            dict(&[
                ("TotalDataCapacity", int(100)),
                ("TotalDataAvailable", int(101)),
            ]),
            None,
        ),
        (dict(&[("TotalDataCapacity", int(100))]), None),
        (dict(&[]), None),
    ];
    for (domain, used) in cases {
        assert_eq!(disk(&domain), used.map(Bytes::new), "{domain:?}");
    }
}

/// corpus, lockdown/domain_backup.json: seconds since 2001.
#[test]
fn icloud_tells_its_date() {
    for (seconds, date) in [
        (812_806_913, Some(Wall::from_secs(1_791_114_113))),
        (0, None),
        (-5, None),
    ] {
        let domain = dict(&[("LastCloudBackupDate", int(seconds))]);
        let told = backup(&Some(domain)).pop();
        assert_eq!(told, Some(Fact::ICloudBackupDate(date)), "{seconds}");
    }
}

/// corpus, lockdown/domain_backup.json: absent when there never was a password.
#[test]
fn encryption_is_unknown_only_when_the_domain_is() {
    let icloud = ("CloudBackupEnabled", Value::Boolean(true));
    let cases = [
        (None, None, None, None),
        (Some(dict(&[])), Some(false), None, None),
        (
            Some(dict(&[icloud.clone(), ("RequiresEncryption", int(0))])),
            Some(false),
            Some(false),
            Some(true),
        ),
        (
            Some(dict(&[icloud.clone(), ("WillEncrypt", false.into())])),
            Some(false),
            None,
            Some(true),
        ),
        (
            Some(dict(&[
                icloud.clone(),
                ("WillEncrypt", true.into()),
                ("RequiresEncryption", int(1)),
            ])),
            Some(true),
            Some(true),
            Some(true),
        ),
        (
            Some(dict(&[icloud, ("WillEncrypt", "x".into())])),
            None,
            None,
            Some(true),
        ),
    ];
    for (domain, encrypts, required, cloud) in cases {
        assert_eq!(
            backup(&domain),
            [
                Fact::EncryptsBackups(encrypts),
                Fact::EncryptionRequired(required),
                Fact::ICloudBackup(cloud),
                Fact::ICloudBackupDate(None),
            ],
            "{domain:?}"
        );
    }
}

#[test]
fn booleans_come_as_integers_too() {
    for (value, want) in [
        (Value::Boolean(true), Some(true)),
        (int(0), Some(false)),
        (int(1), Some(true)),
        (int(2), None),
        (Value::String("1".into()), None),
    ] {
        assert_eq!(truth(&value), want, "{value:?}");
    }
}

#[test]
fn an_identity_is_whole_or_absent() {
    let whole = [
        ("DeviceName", "Ada's iPhone"),
        ("ProductType", "iPhone14,5"),
        ("ProductVersion", "15.6"),
    ];
    let domain = dict(&whole.map(|(key, text)| (key, Value::from(text))));
    let want = Fact::Identity {
        name: "Ada's iPhone".into(),
        product_type: "iPhone14,5".into(),
        os_version: "15.6".into(),
    };
    assert_eq!(identity(&domain), Some(want));
    for key in ["DeviceName", "ProductType", "ProductVersion"] {
        let mut part = domain.clone();
        part.remove(key);
        assert_eq!(identity(&part), None, "{key}");
    }
    let mut long = domain;
    long.insert("DeviceName".into(), "é".repeat(10_000).into());
    assert!(
        matches!(identity(&long), Some(Fact::Identity { name, .. }) if name.chars().count() == NAME_LEN_MAX)
    );
}

#[test]
fn only_a_phone_that_does_not_tell_is_an_absence() {
    let refused = |code| {
        Err::<Option<()>, _>(DeviceError::Lockdown {
            what: "GetValue",
            code,
        })
    };
    use crate::LockdownCode::{GetProhibited, InvalidHostId, Other, PasswordProtected};
    for code in [GetProhibited, PasswordProtected, Other("x".into())] {
        assert!(matches!(tolerant(refused(code)), Ok(None)));
    }
    assert!(tolerant(refused(InvalidHostId)).is_err());
    assert!(tolerant(Err::<Option<()>, _>(DeviceError::NoTls { what: "x" })).is_err());
}
