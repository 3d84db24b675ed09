//! Who is believed, and what is said before.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod common;

use common::keys::{self, BOTH, ESCROW_BAG, ONLY_12};
use common::phone::{Nature, Phone};
use common::{UDID, contains};
use ibak_core::{Bytes, Fact, Source, Transport, Udid};
use ibak_device::{
    Deadlines, DeviceError, Escrow, Link, LockdownCode, PairRecord, Retry, Session, read_signals,
};
use plist::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn record() -> Arc<PairRecord> {
    Arc::new(PairRecord::parse(&keys::record_plist()).unwrap())
}

fn udid() -> Udid {
    Udid::parse(UDID).unwrap()
}

fn deadlines() -> Deadlines {
    Deadlines {
        request: Duration::from_millis(700),
        ..Deadlines::default()
    }
}

async fn open(phone: &Phone) -> Result<Session, DeviceError> {
    Session::open(
        &Link::Tcp {
            address: phone.address,
        },
        record(),
        &udid(),
        &deadlines(),
    )
    .await
}

fn values(pairs: &[(&str, &str, Value)]) -> HashMap<(String, String), Value> {
    pairs
        .iter()
        .map(|(domain, key, value)| (((*domain).into(), (*key).into()), value.clone()))
        .collect()
}

#[tokio::test]
async fn the_paired_phone_is_believed() {
    for versions in [BOTH, ONLY_12] {
        let tls = keys::server(&keys::device_certificate(), &keys::keys().device, versions);
        let known = values(&[("", "DeviceName", "Ada's iPhone".into())]);
        let phone = Phone::start(Nature {
            tls,
            values: known,
            ..Nature::default()
        })
        .await;
        let mut session = open(&phone).await.unwrap();
        let name = session.get_value(None, Some("DeviceName")).await.unwrap();
        assert_eq!(
            name.as_ref().and_then(Value::as_string),
            Some("Ada's iPhone")
        );
        assert_eq!(
            session
                .get_value(Some("com.apple.x"), Some("y"))
                .await
                .unwrap(),
            None
        );
        session.stop().await.unwrap();
        let heard = phone.heard.lock().unwrap();
        let want = [
            "QueryType",
            "StartSession",
            "GetValue",
            "GetValue",
            "GetValue",
            "GetValue",
            "StopSession",
        ];
        assert_eq!(heard.names(), want);
        let plain: Vec<bool> = heard
            .requests
            .iter()
            .map(|(encrypted, _)| *encrypted)
            .collect();
        assert_eq!(plain, [false, false, true, true, true, true, true]);
    }
}

/// Each of these gets our opening words and nothing else.
#[tokio::test]
async fn an_impostor_gets_no_secret() {
    let own = keys::keys();
    let device = keys::device_certificate();
    let cases = [
        (
            "a stranger's certificate",
            keys::certificate(&own.stranger, "CN=Stranger"),
            BOTH,
        ),
        (
            "a stranger's certificate with the phone's name",
            keys::certificate(&own.stranger, "CN=Device"),
            BOTH,
        ),
        (
            "the same in TLS 1.2",
            keys::certificate(&own.stranger, "CN=Device"),
            ONLY_12,
        ),
        (
            "the phone's certificate without its key",
            device.clone(),
            BOTH,
        ),
        ("the same in TLS 1.2", device, ONLY_12),
    ];
    for (name, certificate, versions) in cases {
        let tls = keys::server(&certificate, &own.stranger, versions);
        let phone = Phone::start(Nature {
            tls,
            ..Nature::default()
        })
        .await;
        let error = open(&phone).await.expect_err(name);
        assert!(
            matches!(error, DeviceError::WrongKey { .. }),
            "{name}: {error:?}"
        );
        assert_eq!(error.retry(), Retry::UserMustAct, "{name}");
        assert_opening_only(&phone, name);
    }
}

fn assert_opening_only(phone: &Phone, name: &str) {
    let heard = phone.heard.lock().unwrap();
    assert_eq!(heard.names(), ["QueryType", "StartSession"], "{name}");
    let record = keys::record_plist();
    let fields: plist::Dictionary = plist::from_bytes(&record).unwrap();
    let secrets = [
        ESCROW_BAG.to_vec(),
        base64(&ESCROW_BAG),
        fields["HostPrivateKey"].as_data().unwrap().to_vec(),
        der(fields["HostCertificate"].as_data().unwrap()),
    ];
    for secret in secrets {
        assert!(!contains(&heard.wire, &secret), "{name}: a secret was sent");
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .encode(bytes)
        .into_bytes()
}

fn der(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem)
        .unwrap()
        .to_vec()
}

#[tokio::test]
async fn without_encryption_nothing_is_said() {
    let phone = Phone::start(Nature {
        session_tls: false,
        ..Nature::default()
    })
    .await;
    let error = open(&phone).await.unwrap_err();
    assert!(matches!(error, DeviceError::NoTls { .. }), "{error:?}");
    assert_opening_only(&phone, "no TLS");
}

#[tokio::test]
async fn a_service_without_encryption_is_refused_over_the_network() {
    let phone = Phone::start(Nature {
        service_tls: false,
        ..Nature::default()
    })
    .await;
    let mut session = open(&phone).await.unwrap();
    let error = session
        .start_service("com.apple.mobilebackup2", Escrow::No)
        .await
        .unwrap_err();
    assert!(matches!(error, DeviceError::NoTls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_service_shows_the_same_key() {
    let phone = Phone::start(Nature::default()).await;
    let mut session = open(&phone).await.unwrap();
    let mut service = session
        .start_service("com.apple.mobilebackup2", Escrow::Yes)
        .await
        .unwrap();
    assert!(service.encrypted);
    let mut first = [0; 9];
    service.stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"the phone");
    assert_eq!(
        phone.deeds(),
        ["service com.apple.mobilebackup2 with escrow"]
    );

    // Another port, another key: not the phone.
    phone.change(|nature| {
        nature.tls = keys::server(&keys::device_certificate(), &keys::keys().stranger, BOTH);
    });
    let error = session
        .start_service("com.apple.mobilebackup2", Escrow::Yes)
        .await
        .unwrap_err();
    assert!(matches!(error, DeviceError::WrongKey { .. }), "{error:?}");
}

#[tokio::test]
async fn another_phone_is_not_this_one() {
    let other = "00008030-001A2B3C4D5E6F70";
    let phone = Phone::start(Nature {
        udid: other.into(),
        ..Nature::default()
    })
    .await;
    match open(&phone).await.unwrap_err() {
        DeviceError::WrongPhone { expected, found } => {
            assert_eq!((expected.as_str(), found.as_str()), (UDID, other))
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn refusals_keep_their_meaning() {
    for (error, code, not_paired) in [
        ("InvalidHostID", LockdownCode::InvalidHostId, true),
        ("PasswordProtected", LockdownCode::PasswordProtected, false),
        (
            "SessionActive",
            LockdownCode::Other("SessionActive".into()),
            false,
        ),
    ] {
        let phone = Phone::start(Nature {
            refusals: vec![("StartSession", error)],
            ..Nature::default()
        })
        .await;
        let got = open(&phone).await.unwrap_err();
        assert_eq!(got.is_not_paired(), not_paired, "{error}");
        assert!(
            matches!(got, DeviceError::Lockdown { code: found, .. } if found == code),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_bomb_before_encryption_goes_off_nowhere() {
    let mut nested = b"<?xml version=\"1.0\"?><plist version=\"1.0\">".to_vec();
    nested.extend(b"<array>".repeat(20_000));
    nested.extend(b"</array>".repeat(20_000));
    nested.extend(b"</plist>");
    let framed = [
        &u32::try_from(nested.len()).unwrap().to_be_bytes(),
        nested.as_slice(),
    ]
    .concat();
    for raw in [framed, vec![0xff; 4], vec![0, 0, 0, 1, b'x']] {
        let phone = Phone::start(Nature {
            first_answer: Some(raw),
            ..Nature::default()
        })
        .await;
        let error = open(&phone).await.unwrap_err();
        assert!(matches!(error, DeviceError::Refused { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let phone = Phone::start(Nature {
        silent: true,
        ..Nature::default()
    })
    .await;
    let error = open(&phone).await.unwrap_err();
    assert!(
        matches!(
            error,
            DeviceError::TimedOut {
                what: "QueryType",
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_closed_session_is_opened_again() {
    let known = values(&[("", "DeviceName", "x".into())]);
    let phone = Phone::start(Nature {
        requests_per_session: 2,
        values: known,
        ..Nature::default()
    })
    .await;
    let mut session = open(&phone).await.unwrap();
    for _ in 0..3 {
        assert!(
            session
                .get_value(None, Some("DeviceName"))
                .await
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(phone.heard.lock().unwrap().connections, 4);
}

#[tokio::test]
async fn a_cancelled_request_does_not_shift_the_answers() {
    let known = values(&[("", "A", "a".into()), ("", "B", "b".into())]);
    let phone = Phone::start(Nature {
        values: known,
        ..Nature::default()
    })
    .await;
    let mut session = open(&phone).await.unwrap();
    {
        let mut asking = std::pin::pin!(session.get_value(None, Some("A")));
        // Polled once: the request is out, the answer is not in.
        assert!(futures_util::poll!(asking.as_mut()).is_pending());
    }
    let b = session.get_value(None, Some("B")).await.unwrap();
    assert_eq!(b.as_ref().and_then(Value::as_string), Some("b"));
    assert_eq!(phone.heard.lock().unwrap().connections, 2);
}

#[tokio::test]
async fn signals_of_a_phone() {
    let int = |value: i64| Value::Integer(value.into());
    let known = values(&[
        ("", "DeviceName", "Ada's iPhone".into()),
        ("", "ProductType", "iPhone14,5".into()),
        ("", "ProductVersion", "15.6".into()),
        ("", "PasswordProtected", true.into()),
        ("com.apple.mobile.battery", "ExternalConnected", true.into()),
        (
            "com.apple.mobile.battery",
            "BatteryCurrentCapacity",
            int(80),
        ),
        ("com.apple.disk_usage", "TotalDataCapacity", int(1000)),
        ("com.apple.disk_usage", "TotalDataAvailable", int(400)),
        ("com.apple.mobile.backup", "CloudBackupEnabled", true.into()),
    ]);
    let phone = Phone::start(Nature {
        values: known,
        ..Nature::default()
    })
    .await;
    let mut session = open(&phone).await.unwrap();
    let identity = |version: &str| Fact::Identity {
        name: "Ada's iPhone".into(),
        product_type: "iPhone14,5".into(),
        os_version: version.into(),
    };
    let want = [
        Fact::Trusted(Some(true)),
        identity("15.6"),
        Fact::ExternalPower(Some(true)),
        Fact::BatteryPercent(Some(80)),
        Fact::ScreenLocked(Some(true)),
        Fact::HasPasscode(Some(true)),
        Fact::DataUsed(Some(Bytes::new(600))),
        Fact::EncryptsBackups(Some(false)),
        Fact::EncryptionRequired(None),
        Fact::ICloudBackup(Some(true)),
        Fact::ICloudBackupDate(None),
    ];
    assert_eq!(facts(&mut session).await, want);

    // What is gone is unknown, not false.
    phone.change(|nature| nature.values.retain(|(domain, _), _| domain.is_empty()));
    phone.change(|nature| {
        drop(
            nature
                .values
                .remove(&(String::new(), "PasswordProtected".into())),
        )
    });
    let want = [
        Fact::Trusted(Some(true)),
        identity("15.6"),
        Fact::ExternalPower(None),
        Fact::BatteryPercent(None),
        Fact::ScreenLocked(None),
        Fact::DataUsed(None),
        Fact::EncryptsBackups(None),
        Fact::EncryptionRequired(None),
        Fact::ICloudBackup(None),
        Fact::ICloudBackupDate(None),
    ];
    assert_eq!(facts(&mut session).await, want);
}

async fn facts(session: &mut Session) -> Vec<Fact> {
    let found = read_signals(session).await.unwrap();
    assert!(
        found
            .iter()
            .all(|(_, source)| *source == Source::Lockdown(Transport::Wifi))
    );
    found.into_iter().map(|(fact, _)| fact).collect()
}
