//! Pairing, and what becomes of the record.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod common;

use common::mux::{Mind, Mux};
use common::phone::{Nature, Phone};
use common::{UDID, contains, keys};
use ibak_core::{Fact, Transport, Udid};
use ibak_device::{
    Attachment, Deadlines, DeviceError, Imported, Link, LockdownCode, MuxAddress, PairEvent,
    PairOptions, PairRecord, PairStore, Paired, Session, greet, pair,
};
use plist::Value;
use std::collections::HashMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

struct Desk {
    dir: tempfile::TempDir,
    mux: Mux,
    phone: Phone,
}

impl Desk {
    async fn with(nature: Nature) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let phone = Phone::start(nature).await;
        let phones = vec![(5, UDID.to_owned(), "USB".to_owned())];
        let mind = Mind {
            phones,
            lockdown: Some(phone.address),
            ..Mind::default()
        };
        let mux = Mux::start(&dir.path().join("usbmuxd"), Arc::new(Mutex::new(mind)));
        Self { dir, mux, phone }
    }

    fn address(&self) -> MuxAddress {
        MuxAddress::Unix(self.mux.path.clone())
    }

    fn store(&self) -> PairStore {
        PairStore::open(&self.dir.path().join("records")).unwrap()
    }

    async fn pair(&self, options: PairOptions) -> (Result<Paired, DeviceError>, Vec<PairEvent>) {
        let (tx, mut events) = mpsc::channel(16);
        let result = pair(&self.address(), &attachment(), &self.store(), &options, &tx).await;
        drop(tx);
        let mut seen = Vec::new();
        while let Some(event) = events.recv().await {
            seen.push(event);
        }
        (result, seen)
    }
}

fn attachment() -> Attachment {
    Attachment {
        udid: udid(),
        wire_udid: UDID.into(),
        device_id: 5,
        transport: Transport::Usb,
    }
}

fn udid() -> Udid {
    Udid::parse(UDID).unwrap()
}

fn unpaired(refusals: &[&'static str]) -> Nature {
    let values = HashMap::from([
        (
            (String::new(), "DevicePublicKey".to_owned()),
            Value::Data(keys::device_public_key()),
        ),
        (
            (String::new(), "WiFiAddress".to_owned()),
            Value::from("a8:bb:cc:00:11:22"),
        ),
    ]);
    Nature {
        values,
        refusals: refusals.iter().map(|error| ("Pair", *error)).collect(),
        ..Nature::default()
    }
}

fn quick() -> PairOptions {
    PairOptions {
        ask_every: Duration::from_millis(10),
        patience: Duration::from_millis(200),
        ..PairOptions::default()
    }
}

#[tokio::test]
async fn a_person_unlocks_and_trusts() {
    let desk = Desk::with(unpaired(&[
        "PasswordProtected",
        "PairingDialogResponsePending",
        "PairingDialogResponsePending",
    ]))
    .await;
    let (record, events) = desk.pair(quick()).await;
    let Paired { record, wifi } = record.unwrap();
    assert_eq!(wifi, Some(true));
    assert_eq!(
        events,
        [
            PairEvent::UnlockPhone,
            PairEvent::TapTrust,
            PairEvent::Trusted
        ]
    );
    assert!(record.has_escrow_bag());
    assert_eq!(record.wifi_mac(), Some("a8:bb:cc:00:11:22"));
    assert!(
        desk.phone
            .deeds()
            .contains(&"set com.apple.mobile.wireless_lockdown EnableWifiConnections".to_owned())
    );
    // What was stored opens a session; nothing went to usbmuxd.
    let stored = Arc::new(desk.store().load(&udid()).unwrap().unwrap());
    let link = Link::Tcp {
        address: desk.phone.address,
    };
    Session::open(&link, stored, &udid(), &Deadlines::default())
        .await
        .unwrap();
    assert!(desk.mux.mind.lock().unwrap().saved.is_empty());
    // All questions were the same one, and no private key was in them.
    let heard = desk.phone.heard.lock().unwrap();
    let questions: Vec<_> = heard
        .requests
        .iter()
        .map(|(_, request)| request)
        .filter(|r| r["Request"].as_string() == Some("Pair"))
        .collect();
    assert_eq!(questions.len(), 4);
    assert!(questions.windows(2).all(|two| two[0] == two[1]));
    assert!(!contains(&heard.wire, b"PrivateKey"));
    let sent = questions[0]["PairRecord"].as_dictionary().unwrap();
    let mut names: Vec<&str> = sent.keys().map(String::as_str).collect();
    names.sort_unstable();
    let want = [
        "DeviceCertificate",
        "DevicePublicKey",
        "HostCertificate",
        "HostID",
        "RootCertificate",
        "SystemBUID",
    ];
    assert_eq!(names, want);
}

#[tokio::test]
async fn other_programs_share_the_record_only_when_told_to() {
    let desk = Desk::with(unpaired(&[])).await;
    let (record, _) = desk
        .pair(PairOptions {
            share_with_usbmuxd: true,
            wifi: false,
            ..quick()
        })
        .await;
    assert_eq!(record.unwrap().wifi, None);
    let mind = desk.mux.mind.lock().unwrap();
    let saved = mind.saved[0]["PairRecordData"].as_data().unwrap();
    assert!(PairRecord::parse(saved).is_ok());
    assert!(!contains(saved, b"RootPrivateKey"));
    assert!(
        !desk
            .phone
            .deeds()
            .iter()
            .any(|deed| deed.starts_with("set"))
    );
}

#[tokio::test]
async fn each_no_in_its_own_words() {
    let forever = |error| vec![error; 1000];
    let desk = Desk::with(unpaired(&["UserDeniedPairing"])).await;
    let (denied, _) = desk.pair(quick()).await;
    assert!(
        matches!(
            denied,
            Err(DeviceError::Lockdown {
                code: LockdownCode::UserDeniedPairing,
                ..
            })
        ),
        "{denied:?}"
    );

    let desk = Desk::with(unpaired(&forever("PairingDialogResponsePending"))).await;
    let (unanswered, events) = desk.pair(quick()).await;
    assert!(
        matches!(
            unanswered,
            Err(DeviceError::TrustNotAnswered { locked: false, .. })
        ),
        "{unanswered:?}"
    );
    assert_eq!(events, [PairEvent::TapTrust]);

    let desk = Desk::with(unpaired(&forever("PasswordProtected"))).await;
    let (locked, events) = desk.pair(quick()).await;
    let locked = locked.unwrap_err();
    assert!(
        matches!(locked, DeviceError::TrustNotAnswered { locked: true, .. }),
        "{locked:?}"
    );
    assert!(locked.remedy().unwrap().starts_with("Unlock"));
    assert_eq!(events, [PairEvent::UnlockPhone]);
    assert!(desk.store().load(&udid()).unwrap().is_none());

    let over_the_air = Attachment {
        transport: Transport::Wifi,
        ..attachment()
    };
    let (tx, _events) = mpsc::channel(1);
    let refused = pair(&desk.address(), &over_the_air, &desk.store(), &quick(), &tx).await;
    assert!(
        matches!(refused, Err(DeviceError::PairingNeedsCable)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn usbmuxds_record_is_taken_once_and_never_again() {
    let desk = Desk::with(Nature::default()).await;
    let (store, address, deadlines) = (desk.store(), desk.address(), Deadlines::default());
    let reads = || {
        desk.mux
            .mind
            .lock()
            .unwrap()
            .asked
            .iter()
            .filter(|kind| *kind == "ReadPairRecord")
            .count()
    };
    assert!(matches!(
        store
            .import(&address, &attachment(), &deadlines)
            .await
            .unwrap(),
        Imported::None
    ));
    desk.mux.mind.lock().unwrap().record = Some(keys::record_plist());
    let over_the_air = Attachment {
        transport: Transport::Wifi,
        ..attachment()
    };
    let refused = store.import(&address, &over_the_air, &deadlines).await;
    assert!(
        matches!(refused, Err(DeviceError::PairingNeedsCable)),
        "{refused:?}"
    );
    assert_eq!(reads(), 1);
    assert!(matches!(
        store
            .import(&address, &attachment(), &deadlines)
            .await
            .unwrap(),
        Imported::FromUsbmuxd(_)
    ));
    assert_eq!(reads(), 2);
    // A record planted later is not even looked at.
    desk.mux.mind.lock().unwrap().record = Some(b"planted".to_vec());
    assert!(matches!(
        store
            .import(&address, &attachment(), &deadlines)
            .await
            .unwrap(),
        Imported::AlreadyOurs(_)
    ));
    assert_eq!(reads(), 2);
}

#[test]
fn records_are_closed_to_others_and_without_the_root_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records");
    let store = PairStore::open(&path).unwrap();
    let record = PairRecord::parse(&keys::record_plist()).unwrap();
    assert_eq!(format!("{record:?}"), "PairRecord(secret)");
    store.save(&udid(), &record).unwrap();
    store.save(&udid(), &record).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let file = path.join(format!("{UDID}.plist"));
    assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
    let names: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        [format!("{UDID}.plist").as_str()],
        "nothing unfinished stays behind"
    );
    let bytes = std::fs::read(&file).unwrap();
    assert!(!contains(&bytes, b"RootPrivateKey") && !contains(&bytes, keys::ROOT_KEY_MARK));
    assert_eq!(store.phones().unwrap(), [udid()]);
    let buid = store.system_buid().unwrap();
    assert_eq!(store.system_buid().unwrap(), buid);
    assert_eq!(mode(&path.join("SystemBUID")), 0o600);

    // A link planted in place of a record leads nowhere.
    std::fs::remove_file(&file).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, keys::record_plist()).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert!(matches!(
        store.load(&udid()),
        Err(DeviceError::Store { .. })
    ));
    store.save(&udid(), &record).unwrap();
    assert!(
        std::fs::symlink_metadata(&file).unwrap().is_file(),
        "saving replaces the link, not its target"
    );
    assert_eq!(std::fs::read(&elsewhere).unwrap(), keys::record_plist());

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    let open = PairStore::open(&path).unwrap_err();
    assert!(
        matches!(open, DeviceError::StoreOpen { mode: 0o750, .. }),
        "{open:?}"
    );
}

#[test]
fn records_that_lack_something_say_what() {
    let whole: plist::Dictionary = plist::from_bytes(&keys::record_plist()).unwrap();
    let parse = |fields: plist::Dictionary| {
        let mut bytes = Vec::new();
        Value::Dictionary(fields)
            .to_writer_binary(&mut bytes)
            .unwrap();
        PairRecord::parse(&bytes)
    };
    let with = |key: &str, value: &[u8]| {
        let mut fields = whole.clone();
        fields.insert(key.into(), Value::Data(value.to_vec()));
        fields
    };
    for key in [
        "HostID",
        "SystemBUID",
        "HostPrivateKey",
        "HostCertificate",
        "DeviceCertificate",
    ] {
        let mut fields = whole.clone();
        fields.remove(key);
        match parse(fields) {
            Err(DeviceError::BadRecord(reason)) => assert!(reason.starts_with(key), "{reason}"),
            other => panic!("{key}: {other:?}"),
        }
    }
    for key in [
        "EscrowBag",
        "WiFiMACAddress",
        "RootCertificate",
        "RootPrivateKey",
    ] {
        let mut fields = whole.clone();
        fields.remove(key);
        assert!(parse(fields).is_ok(), "{key}");
    }
    assert!(matches!(
        parse(with("DeviceCertificate", b"x")),
        Err(DeviceError::BadRecord(_))
    ));
    assert!(matches!(
        parse(with("HostPrivateKey", b"x")),
        Err(DeviceError::BadRecord(_))
    ));
    assert!(matches!(
        PairRecord::parse(b"hello"),
        Err(DeviceError::BadRecord(_))
    ));
}

#[tokio::test]
async fn a_phone_that_declines_wifi_is_paired_all_the_same() {
    let mut nature = unpaired(&[]);
    nature.refusals.push(("SetValue", "SetProhibited"));
    let desk = Desk::with(nature).await;
    let (paired, events) = desk.pair(quick()).await;
    assert_eq!(paired.unwrap().wifi, Some(false));
    assert_eq!(events, [PairEvent::Trusted]);
    assert!(desk.store().load(&udid()).unwrap().is_some());
}

#[tokio::test]
async fn a_phone_that_is_too_old_is_not_asked_to_trust() {
    let mut nature = unpaired(&[]);
    let key = (String::new(), "ProductVersion".to_owned());
    nature.values.insert(key, "9.3.5".into());
    let desk = Desk::with(nature).await;
    let (paired, events) = desk.pair(quick()).await;
    let error = paired.unwrap_err();
    assert!(matches!(error, DeviceError::TooOld { .. }), "{error:?}");
    assert_eq!(events, []);
    let heard = desk.phone.heard.lock().unwrap();
    assert!(!heard.names().contains(&"Pair"));
}

#[tokio::test]
async fn a_phone_says_who_it_is_before_it_is_paired() {
    let told = |name: &str| {
        let mut nature = unpaired(&[]);
        for (key, value) in [
            ("DeviceName", name),
            ("ProductType", "iPhone14,5"),
            ("ProductVersion", "16.3.1"),
        ] {
            let key = (String::new(), key.to_owned());
            nature.values.insert(key, value.into());
        }
        nature
    };
    let cases = [
        (told("Ada's iPhone"), Some("Ada's iPhone")),
        (told(""), None),
        (told(&"x".repeat(257)), None),
        (unpaired(&[]), None),
    ];
    for (nature, want) in cases {
        let phone = Phone::start(nature).await;
        let link = Link::Tcp {
            address: phone.address,
        };
        let said = greet(&link, &Deadlines::default()).await.unwrap();
        let want = want.map(|name| Fact::Identity {
            name: name.to_owned(),
            product_type: "iPhone14,5".to_owned(),
            os_version: "16.3.1".to_owned(),
        });
        assert_eq!(said, want);
        let heard = phone.heard.lock().unwrap();
        assert!(
            !heard.names().contains(&"StartSession"),
            "no secret is shown"
        );
    }
}
