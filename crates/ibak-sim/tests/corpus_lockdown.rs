//! Lockdown, fact by fact, against `tests/corpus/lockdown`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::shape::{check, same};
use std::collections::BTreeSet;

use common::{Rig, corpus, dict, request, spec};
use plist::{Dictionary, Value};
use tokio::io::AsyncReadExt;

async fn root_matches(file: &str, ios: &str, product: &str) {
    let fact = corpus(file);
    assert_eq!(
        (fact["ios"].as_str(), fact["device"].as_str()),
        (Some(ios), Some(product))
    );
    let rig = Rig::one(ios, product).await;
    let root = Value::Dictionary(rig.session().await.domain(None).await);
    check("root", &fact["types"], &root);
    same("root", &fact["values"], &root);
    assert_eq!(
        root.as_dictionary().unwrap()["BuildVersion"].as_string(),
        fact["build"].as_str()
    );
}

#[tokio::test]
async fn the_root_domain_of_ios_13_3_1_has_the_keys_types_and_values_of_a_real_phone() {
    root_matches(
        "lockdown/root_ios13.3.1_iphone9_1.json",
        "13.3.1",
        "iPhone9,1",
    )
    .await;
}

#[tokio::test]
async fn the_root_domain_of_ios_26_3_has_the_keys_types_and_values_of_a_real_phone() {
    root_matches(
        "lockdown/root_ios26.3_iphone17_4.json",
        "26.3",
        "iPhone17,4",
    )
    .await;
}

#[tokio::test]
async fn partial_dumps_between_hold_too() {
    let partials = corpus("lockdown/root_partials.json");
    let dump = |ios: &str| {
        partials["dumps"]
            .as_array()
            .unwrap()
            .iter()
            .find(|d| d["ios"] == ios)
            .unwrap()["shows"]
            .clone()
    };
    let rig = Rig::one("15.6.1", "iPhone10,4").await;
    let root = rig.session().await.domain(None).await;
    let shows = dump("15.6.1");
    assert_eq!(
        root["PairRecordProtectionClass"].as_signed_integer(),
        shows["PairRecordProtectionClass"].as_i64()
    );
    for (key, len) in [
        ("PkHash", 32),
        ("ProximitySensorCalibration", 144),
        ("SoftwareBehavior", 16),
    ] {
        assert_eq!(shows[key], format!("data({len})"));
        assert_eq!(root[key].as_data().unwrap().len(), len, "{key}");
    }
    let nvram = root["NonVolatileRAM"].as_dictionary().unwrap();
    assert_eq!(nvram["obliteration"].as_data().unwrap().len(), 137);

    let rig = Rig::one("16.3.1", "iPhone14,5").await;
    let root = rig.session().await.domain(None).await;
    assert_eq!(
        dump("16.3.1")["InternationalMobileEquipmentIdentity2"],
        "present"
    );
    assert!(root.contains_key("InternationalMobileEquipmentIdentity2"));
    assert!(
        root["FirmwareVersion"]
            .as_string()
            .unwrap()
            .starts_with("iBoot-")
    );
}

#[tokio::test]
async fn device_color_and_protocol_version_are_strings_and_times_are_reals() {
    for (ios, product) in [
        ("13.3.1", "iPhone9,1"),
        ("15.6", "iPhone14,5"),
        ("26.3", "iPhone17,4"),
    ] {
        let rig = Rig::one(ios, product).await;
        let root = rig.session().await.domain(None).await;
        assert!(
            root["DeviceColor"].as_string().is_some()
                && root["ProtocolVersion"].as_string() == Some("2")
        );
        assert!(
            root["TimeIntervalSince1970"].as_real().is_some()
                && root["TimeZoneOffsetFromUTC"].as_real().is_some()
        );
        assert_eq!(root["BasebandMasterKeyHash"].as_string().unwrap().len(), 96);
    }
}

#[tokio::test]
async fn replies_carry_no_result_key_and_have_the_bytes_of_a_real_phone() {
    let rig = Rig::one("12.5.7", "iPhone8,1").await;
    let mut lockdown = rig.lockdown().await;
    let reply = lockdown.ask(request("QueryType", [])).await;
    assert_eq!(
        reply,
        dict([
            ("Request", "QueryType".into()),
            ("Type", "com.apple.mobile.lockdown".into())
        ])
    );

    let reply = lockdown.get(None, Some("ProductVersion")).await;
    let expected = dict([
        ("Key", "ProductVersion".into()),
        ("Request", "GetValue".into()),
        ("Value", "12.5.7".into()),
    ]);
    assert_eq!(
        reply, expected,
        "no Domain key in the reply when none was asked"
    );

    let record = rig.record();
    let start = request(
        "StartSession",
        [
            ("HostID", record["HostID"].clone()),
            ("SystemBUID", "B".into()),
        ],
    );
    let bytes = lockdown.ask_bytes(start).await;
    assert_eq!(
        bytes.len(),
        354,
        "corpus: StartSession reply of 12.5.7 is XML of 354 bytes"
    );
    let reply = common::record(&bytes);
    assert_eq!(
        reply.keys().collect::<BTreeSet<_>>(),
        ["EnableSessionSSL", "Request", "SessionID"]
            .map(str::to_owned)
            .iter()
            .collect()
    );

    let mut session = rig.session().await;
    for (service, len) in [
        ("com.apple.afc", 334),
        ("com.apple.mobile.notification_proxy", 356),
    ] {
        let bytes = session
            .ask_bytes(request("StartService", [("Service", service.into())]))
            .await;
        assert_eq!(bytes.len(), len, "corpus: {service}");
        let reply = common::record(&bytes);
        assert_eq!(
            reply.keys().collect::<Vec<_>>(),
            ["Port", "Request", "Service"],
            "plain over USB: no EnableServiceSSL"
        );
    }
}

#[tokio::test]
async fn stop_session_goes_back_to_plain_text() {
    let rig = Rig::one("13.3.1", "iPhone9,1").await;
    let (reply, mut session) = rig.lockdown().await.into_session(&rig.record()).await;
    let id = reply["SessionID"].clone();
    assert_eq!(
        session.error(request("StopSession", [])).await,
        "MissingSessionID"
    );
    assert_eq!(
        session
            .error(request("StopSession", [("SessionID", "x".into())]))
            .await,
        "InvalidSessionID"
    );
    let stop = request("StopSession", [("SessionID", id)]);
    assert_eq!(
        session.ask(stop).await,
        dict([("Request", "StopSession".into())])
    );
}

#[tokio::test]
async fn each_start_service_opens_a_new_port_of_the_dynamic_range() {
    let rig = Rig::one("13.3.1", "iPhone9,1").await;
    let mut session = rig.session().await;
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let reply = session
            .ask(request(
                "StartService",
                [("Service", "com.apple.afc".into())],
            ))
            .await;
        let port = reply["Port"].as_unsigned_integer().unwrap();
        assert!((49_152..=65_535).contains(&port), "{port}");
        assert!(seen.insert(port), "{port} came twice");
    }
}

#[tokio::test]
async fn an_escrow_bag_the_phone_does_not_accept_gives_missing_value() {
    let fact = corpus("lockdown/replies.json");
    let sample = fact["samples"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["reply"]["Error"] == "MissingValue")
        .unwrap();
    let rig = Rig::one("12.5.7", "iPhone8,1").await;
    let mut session = rig.session().await;
    let with = |bag: Vec<u8>| {
        request(
            "StartService",
            [
                ("Service", "com.apple.mobilebackup2".into()),
                ("EscrowBag", Value::Data(bag)),
            ],
        )
    };
    let reply = Value::Dictionary(session.ask(with(vec![1; 32])).await);
    same("reply", &sample["reply"], &reply);
    assert_eq!(reply.as_dictionary().unwrap().len(), 3);
    let right = rig.record()["EscrowBag"].as_data().unwrap().to_vec();
    assert!(session.ask(with(right)).await.contains_key("Port"));
}

#[tokio::test]
async fn a_locked_phone_starts_the_backup_service_only_with_the_escrow_bag() {
    let mut phone = spec("15.6", "iPhone14,5");
    phone.state.passcode = true.into();
    let rig = Rig::new(vec![phone]).await;
    let mut session = rig.session().await;
    let plain = || {
        request(
            "StartService",
            [("Service", "com.apple.mobilebackup2".into())],
        )
    };
    assert!(session.ask(plain()).await.contains_key("Port"), "unlocked");
    rig.set(&["locked=yes"]).await;
    assert_eq!(session.error(plain()).await, "PasswordProtected");
    let mut with_bag = plain();
    with_bag.insert("EscrowBag".to_owned(), rig.record()["EscrowBag"].clone());
    assert!(session.ask(with_bag).await.contains_key("Port"));
    let np = request(
        "StartService",
        [("Service", "com.apple.mobile.notification_proxy".into())],
    );
    assert!(
        session.ask(np).await.contains_key("Port"),
        "notification_proxy is not protected"
    );
}

#[tokio::test]
async fn a_locked_phone_says_password_protected_to_any_host_that_validates() {
    let mut phone = spec("15.6", "iPhone14,5");
    phone.state.passcode = true.into();
    phone.state.locked = true.into();
    let rig = Rig::new(vec![phone]).await;
    let mut lockdown = rig.lockdown().await;
    let stranger = dict([("HostID", "7E7E7E7E-0000-4000-8000-000000000000".into())]);
    for record in [rig.record(), stranger.clone()] {
        let validate = request("ValidatePair", [("PairRecord", record.into())]);
        assert_eq!(lockdown.error(validate).await, "PasswordProtected");
    }
    rig.set(&["locked=no"]).await;
    let validate = |record: Dictionary| request("ValidatePair", [("PairRecord", record.into())]);
    assert_eq!(
        lockdown.ask(validate(rig.record())).await,
        dict([("Request", "ValidatePair".into())])
    );
    assert_eq!(lockdown.error(validate(stranger)).await, "InvalidHostID");
}

#[tokio::test]
async fn password_protected_follows_the_lock_only_with_a_passcode() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut session = rig.session().await;
    for (set, protected) in [
        ("locked=yes", false),
        ("passcode=yes", true),
        ("locked=no", false),
        ("locked=yes", true),
        ("passcode=no", false),
    ] {
        rig.set(&[set]).await;
        let reply = session.get(None, Some("PasswordProtected")).await;
        assert_eq!(reply["Value"].as_boolean(), Some(protected), "{set}");
    }
}

#[tokio::test]
async fn set_value_keeps_any_domain_and_key_and_remove_value_takes_it_away() {
    let rig = Rig::one("26.3", "iPhone17,4").await;
    let mut session = rig.session().await;
    let pairs = || {
        [
            ("Domain", "com.example.any".into()),
            ("Key", "Some".into()),
            ("Value", 7.into()),
        ]
    };
    assert_eq!(
        session.get(Some("com.example.any"), None).await["Error"].as_string(),
        Some("MissingValue")
    );
    assert!(
        !session
            .ask(request("SetValue", pairs()))
            .await
            .contains_key("Error")
    );
    assert_eq!(
        rig.session()
            .await
            .get(Some("com.example.any"), Some("Some"))
            .await["Value"],
        7.into()
    );
    let [domain, key, _] = pairs();
    session.ask(request("RemoveValue", [domain, key])).await;
    assert_eq!(
        session.get(Some("com.example.any"), Some("Some")).await["Error"].as_string(),
        Some("MissingValue")
    );
    let mut stranger = rig.lockdown().await;
    assert_eq!(
        stranger.error(request("SetValue", pairs())).await,
        "SetProhibited"
    );
}

#[tokio::test]
async fn without_a_session_only_public_values_are_given() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut stranger = rig.lockdown().await;
    let root = stranger.domain(None).await;
    assert!(root.contains_key("UniqueDeviceID") && !root.contains_key("SerialNumber"));
    assert_eq!(
        stranger.get(None, Some("SerialNumber")).await["Error"].as_string(),
        Some("GetProhibited")
    );
    assert_eq!(
        stranger.get(None, Some("Nonsense")).await["Error"].as_string(),
        Some("MissingValue")
    );
    let key = stranger.get(None, Some("DevicePublicKey")).await;
    assert!(
        key["Value"]
            .as_data()
            .unwrap()
            .starts_with(b"-----BEGIN RSA PUBLIC KEY-----")
    );
    let start = request("StartService", [("Service", "com.apple.afc".into())]);
    assert_eq!(stranger.error(start).await, "SessionInactive");

    let fact = corpus("lockdown/domain_itunes.json");
    let open: BTreeSet<&str> = fact["samples"][1]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| k.as_str().unwrap())
        .collect();
    let shown = stranger.domain(Some("com.apple.mobile.iTunes")).await;
    assert_eq!(
        shown.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        open
    );
}

#[tokio::test]
async fn every_error_this_phone_gives_is_one_lockdown_knows() {
    let fact = corpus("lockdown/replies.json");
    let known: BTreeSet<&str> = fact["error_strings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e.as_str().unwrap())
        .collect();
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut lockdown = rig.lockdown().await;
    let mut errors = Vec::new();
    for wrong in [
        request("Pair", []),
        request("Pair", [("PairRecord", dict([]).into())]),
        request(
            "Pair",
            [("PairRecord", dict([("HostID", "x".into())]).into())],
        ),
        request("ValidatePair", []),
        request(
            "Unpair",
            [("PairRecord", dict([("HostID", "x".into())]).into())],
        ),
        request("StartSession", []),
        request("StartSession", [("HostID", "x".into())]),
        request("StopSession", []),
        request("StartService", []),
        request("SetValue", []),
        request("RemoveValue", []),
        request("GetValue", [("Key", "nothing".into())]),
    ] {
        errors.push(lockdown.error(wrong).await);
    }
    let mut session = rig.session().await;
    for wrong in [
        request("StartSession", [("HostID", "x".into())]),
        request("StartService", [("Service", "com.example.none".into())]),
        request("SetValue", [("Key", "x".into())]),
        request("SetValue", []),
    ] {
        errors.push(session.error(wrong).await);
    }
    assert_eq!(errors.len(), 16);
    for error in errors {
        assert!(known.contains(error.as_str()), "{error}");
    }
}

#[tokio::test]
async fn lockdownd_closes_a_connection_that_is_idle_for_60_s() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut lockdown = rig.lockdown().await;
    lockdown.ask(request("QueryType", [])).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut byte = [0_u8; 1];
    assert_eq!(lockdown.stream.read(&mut byte).await.unwrap(), 0, "closed");
    assert_eq!(began.elapsed().as_secs(), 60);
}
