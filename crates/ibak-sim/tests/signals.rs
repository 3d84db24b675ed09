//! What a phone says of itself when it is not the phone one expects (phone.md §1 and §2).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Mux, Rig, dict, exchange, receive, send};
use plist::{Dictionary, Value};

const BATTERY: &str = "com.apple.mobile.battery";

async fn battery(rig: &Rig) -> Dictionary {
    rig.session().await.domain(Some(BATTERY)).await
}

#[tokio::test]
async fn at_its_charge_limit_it_is_connected_and_does_not_charge() {
    let rig = Rig::one("26.3", "iPhone17,4").await;
    rig.set(&["power=on", "battery=79", "charge-limit=80"])
        .await;
    let says = |key: &str, all: &Dictionary| all[key].as_boolean().unwrap();
    let all = battery(&rig).await;
    assert!(says("ExternalConnected", &all) && says("BatteryIsCharging", &all));
    rig.set(&["battery=80"]).await;
    let all = battery(&rig).await;
    assert!(says("ExternalConnected", &all));
    assert!(!says("BatteryIsCharging", &all) && !says("FullyCharged", &all));
}

/// Each key of each way, by itself and with its domain; the others stay as they are.
#[tokio::test]
async fn one_value_may_be_missing_prohibited_or_of_another_type() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    for (domain, key) in [
        (None, "PasswordProtected"),
        (Some(BATTERY), "ExternalConnected"),
        (Some(BATTERY), "BatteryCurrentCapacity"),
        (Some("com.apple.disk_usage"), "TotalDataAvailable"),
    ] {
        let name = domain.map_or(key.to_owned(), |domain| format!("{domain}/{key}"));
        let honest = rig.session().await.domain(domain).await;
        for (word, wanted) in [
            ("missing", Err("MissingValue")),
            ("prohibited", Err("GetProhibited")),
            ("text", Ok(Value::from("a text"))),
            ("number", Ok(7.into())),
            ("data", Ok(Value::Data(vec![7; 8]))),
        ] {
            rig.set(&[&format!("tell={name}:{word}")]).await;
            let mut session = rig.session().await;
            let reply = session.get(domain, Some(key)).await;
            let told = match reply.get("Value") {
                Some(value) => Ok(value.clone()),
                None => Err(reply["Error"].as_string().unwrap()),
            };
            assert_eq!(told, wanted, "{name} {word}");
            let all = session.domain(domain).await;
            assert_eq!(all.get(key), wanted.as_ref().ok(), "{name} {word}");
            let others = honest.keys().filter(|other| *other != key);
            assert!(others.into_iter().all(|other| all.contains_key(other)));
        }
        rig.set(&[&format!("tell={name}:truth")]).await;
        assert_eq!(
            rig.session().await.domain(domain).await.get(key),
            honest.get(key)
        );
    }
    rig.set(&["tell=PasswordProtected:missing", "tell=truth"])
        .await;
    let root = rig.session().await.domain(None).await;
    assert!(root.contains_key("PasswordProtected"));
}

#[tokio::test]
async fn a_cable_into_a_phone_locked_for_long_carries_no_data_until_it_is_unlocked() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let shown = || async { Mux::open(&rig.mux()).await.devices().await.len() };
    rig.set(&["passcode=yes", "locked=yes"]).await;
    assert_eq!(shown().await, 1);
    rig.set(&["usb-restricted=on"]).await;
    assert_eq!(shown().await, 0);
    rig.set(&["locked=no"]).await;
    assert_eq!(shown().await, 1);
    rig.set(&["locked=yes"]).await;
    assert_eq!(shown().await, 1, "an hour has not passed again");
}

#[tokio::test]
async fn an_expired_pairing_is_an_invalid_host() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let record = rig.record();
    rig.set(&["pairings=expired"]).await;
    let reply = rig.lockdown().await.start(&record).await;
    assert_eq!(reply["Error"].as_string(), Some("InvalidHostID"));
}

/// The screen's own notification says neither that it was locked nor that it was unlocked.
#[tokio::test]
async fn a_glance_at_the_screen_is_no_edge_of_the_lock() {
    const BLANKED: &str = "com.apple.springboard.hasBlankedScreen";
    let rig = Rig::one("15.6", "iPhone14,5").await;
    rig.set(&["passcode=yes", "locked=yes"]).await;
    let mut proxy = rig.service("com.apple.mobile.notification_proxy").await;
    for name in [
        BLANKED,
        "com.apple.springboard.lockstate",
        "com.example.after",
    ] {
        let observe = [
            ("Command", "ObserveNotification".into()),
            ("Name", name.into()),
        ];
        send(&mut proxy, dict(observe)).await;
    }
    // What the host posts itself comes back once its commands were read.
    let post = |name: &str| {
        dict([
            ("Command", "PostNotification".into()),
            ("Name", name.into()),
        ])
    };
    let first = exchange(&mut proxy, post("com.example.after")).await;
    assert_eq!(first["Name"].as_string(), Some("com.example.after"));
    rig.sim.phones()[0].glance();
    send(&mut proxy, post("com.example.after")).await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(
            receive(&mut proxy).await["Name"]
                .as_string()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(heard, [BLANKED, BLANKED, "com.example.after"]);
    let protected = rig
        .session()
        .await
        .get(None, Some("PasswordProtected"))
        .await;
    assert_eq!(protected["Value"].as_boolean(), Some(true));
}
