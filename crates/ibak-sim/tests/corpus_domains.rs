//! The domains of lockdown, fact by fact, against `tests/corpus/lockdown`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::shape::{check, same};
use std::collections::BTreeSet;
use std::time::Duration;

use common::{Rig, corpus, spec};
use plist::{Dictionary, Value};

#[tokio::test]
async fn the_battery_domain_has_its_types_and_follows_power_and_level() {
    let fact = corpus("lockdown/domain_battery.json");
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut session = rig.session().await;
    rig.set(&["power=on", "battery=42"]).await;
    let values = session.domain(Some("com.apple.mobile.battery")).await;
    check(
        "battery",
        &fact["samples"][0]["types"],
        &Value::Dictionary(values.clone()),
    );
    assert_eq!(
        values["BatteryCurrentCapacity"].as_unsigned_integer(),
        Some(42)
    );
    assert_eq!(
        (
            values["ExternalConnected"].as_boolean(),
            values["BatteryIsCharging"].as_boolean()
        ),
        (Some(true), Some(true))
    );
    rig.set(&["battery=100"]).await;
    let values = session.domain(Some("com.apple.mobile.battery")).await;
    assert_eq!(
        (
            values["BatteryIsCharging"].as_boolean(),
            values["FullyCharged"].as_boolean()
        ),
        (Some(false), Some(true))
    );
    rig.set(&["power=off"]).await;
    let reply = session
        .get(Some("com.apple.mobile.battery"), Some("ExternalConnected"))
        .await;
    assert_eq!(reply["Value"].as_boolean(), Some(false));
    assert_eq!(
        reply["Domain"].as_string(),
        Some("com.apple.mobile.battery"),
        "a domain that was asked is named"
    );
}

#[tokio::test]
async fn the_backup_domain_lacks_will_encrypt_and_counts_dates_from_2001() {
    let fact = corpus("lockdown/domain_backup.json");
    for (at, ios) in [(1, "18.4.1"), (2, "27.0.1")] {
        let expected: BTreeSet<&str> = fact["samples"][at]["values"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let rig = Rig::one(ios, "iPhone13,2").await;
        let values = rig
            .session()
            .await
            .domain(Some("com.apple.mobile.backup"))
            .await;
        assert_eq!(
            values.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            expected,
            "{ios}"
        );
    }
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let memory = rig.sim.phones()[0].memory();
    memory.lock().unwrap().last = Some(ibak_sim::backup::LastBackup {
        uuid: String::new(),
        finished: std::time::UNIX_EPOCH + Duration::from_secs(978_307_200 + 681_028_961),
    });
    let values = rig
        .session()
        .await
        .domain(Some("com.apple.mobile.backup"))
        .await;
    assert!(
        !values.contains_key("WillEncrypt"),
        "absent on a phone that never had a backup password"
    );
    assert_eq!(
        values["RequiresEncryption"],
        Value::Integer(0.into()),
        "an integer, not a boolean"
    );
    assert_eq!(
        values["LastiTunesBackupDate"].as_signed_integer(),
        fact["samples"][0]["values"]["LastiTunesBackupDate"].as_i64()
    );
}

#[tokio::test]
async fn the_disk_usage_domain_adds_up_as_on_its_ios() {
    let number = |values: &Dictionary, key: &str| values[key].as_unsigned_integer().unwrap();
    let mut old = spec("12.1.4", "iPhone11,8");
    old.seed = 5;
    let rig = Rig::new(vec![old]).await;
    let values = rig
        .session()
        .await
        .domain(Some("com.apple.disk_usage"))
        .await;
    assert_eq!(
        number(&values, "TotalDataAvailable"),
        number(&values, "AmountDataAvailable") + 209_715_200
    );
    let rig = Rig::one("26.3", "iPhone17,4").await;
    let values = rig
        .session()
        .await
        .domain(Some("com.apple.disk_usage"))
        .await;
    assert_ne!(
        number(&values, "TotalDataAvailable"),
        number(&values, "AmountDataAvailable") + 209_715_200
    );
    assert!(
        [64, 128, 256, 512, 1024].contains(&(number(&values, "TotalDiskCapacity") / 1_000_000_000))
    );
    assert_eq!(
        number(&values, "TotalDiskCapacity") % 1_000_000_000,
        0,
        "the marketing size"
    );
    assert!(number(&values, "TotalDataCapacity") < number(&values, "TotalDiskCapacity"));
    for key in ["CameraUsage", "PhotoUsage"] {
        assert!(values.contains_key(key), "{key} is present on 26");
    }
}

#[tokio::test]
async fn the_wireless_domain_has_four_five_and_six_keys() {
    let fact = corpus("lockdown/domain_wireless_lockdown.json");
    let expected: BTreeSet<&str> = fact["samples"][0]["values"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let rig = Rig::one("26.3", "iPhone17,4").await;
    let values = rig
        .session()
        .await
        .domain(Some("com.apple.mobile.wireless_lockdown"))
        .await;
    assert_eq!(
        values.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        expected
    );
    assert!(
        values["BonjourFullServiceName"]
            .as_string()
            .unwrap()
            .ends_with("._apple-mobdev2._tcp.local.")
    );
    for (ios, product, count) in [("12.1.4", "iPhone11,8", 4), ("13.3.1", "iPhone9,1", 5)] {
        let rig = Rig::one(ios, product).await;
        let values = rig
            .session()
            .await
            .domain(Some("com.apple.mobile.wireless_lockdown"))
            .await;
        assert_eq!(
            (values.len(), values.contains_key("EnableWifiDebugging")),
            (count, count > 4),
            "{ios}"
        );
    }
}

#[tokio::test]
async fn the_small_domains_have_their_keys_and_types() {
    let fact = corpus("lockdown/domain_small.json");
    let rig = Rig::one("26.3", "iPhone17,4").await;
    rig.set(&["find-my=on"]).await;
    let mut session = rig.session().await;
    let sample = |name: &str| {
        fact["samples"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["domain"].as_str().unwrap().starts_with(name))
            .unwrap()
            .clone()
    };
    for (name, domain) in [
        (
            "com.apple.mobile.restriction",
            "com.apple.mobile.restriction",
        ),
        ("com.apple.mobile.ldwatch", "com.apple.mobile.ldwatch"),
        ("com.apple.fmip", "com.apple.fmip"),
    ] {
        let values = Value::Dictionary(session.domain(Some(domain)).await);
        same(name, &sample(name)["values"], &values);
    }
    let values = session.domain(Some("com.apple.international")).await;
    for key in sample("com.apple.international")["values"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(values.contains_key(key), "{key}");
    }
    let values = session
        .domain(Some("com.apple.mobile.sync_data_class"))
        .await;
    for key in sample("com.apple.mobile.data_sync")["keys"]
        .as_array()
        .unwrap()
    {
        let key = key.as_str().unwrap().split('{').next().unwrap();
        assert!(values.contains_key(key), "{key}");
    }
    let values = Value::Dictionary(session.domain(Some("com.apple.mobile.iTunes")).await);
    let itunes = corpus("lockdown/domain_itunes.json");
    same("iTunes", &itunes["samples"][0]["values"], &values);
    assert_eq!(
        values.as_dictionary().unwrap()["MinITunesVersion"].as_string(),
        Some("12.10.10")
    );
    let ipad = Rig::one("15.6", "iPad13,16").await;
    let reply = ipad
        .session()
        .await
        .get(Some("com.apple.mobile.iTunes"), Some("MinITunesVersion"))
        .await;
    assert_eq!(
        reply["Error"].as_string(),
        Some("MissingValue"),
        "PMD3 #1332: absent on iPads"
    );
}
