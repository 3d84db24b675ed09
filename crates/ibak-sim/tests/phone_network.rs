//! How a phone behaves over the network, seen by a host.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Lockdown, Rig, corpus, pair, receive, request, send, spec, tcp, tls};
use ibak_sim::PhoneSpec;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

/// Waits for the end of a stream; what comes before it is dropped.
async fn ends(stream: &mut common::BoxStream) {
    let mut bytes = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut bytes))
        .await
        .expect("the connection ends");
    drop(end);
}

fn on_wifi(seed: u64) -> PhoneSpec {
    let mut spec = PhoneSpec {
        seed,
        wifi_address: "127.0.0.1:0".parse().ok(),
        ..spec("26.4", "iPhone17,4")
    };
    spec.state.wifi = true.into();
    spec
}

/// A session over TCP, with the record usbmuxd has.
async fn wifi_session(rig: &Rig) -> Lockdown {
    let address = rig.sim.wifi_address(&rig.udid()).unwrap();
    let lockdown = Lockdown {
        stream: tcp(address).await.unwrap(),
    };
    lockdown.into_session(&rig.record()).await.1
}

#[tokio::test]
async fn over_the_network_every_service_does_tls_on_a_port_of_its_own() {
    let rig = Rig::new(vec![on_wifi(1)]).await;
    let mut session = wifi_session(&rig).await;
    let reply = session
        .get(Some("com.apple.mobile.iTunes"), Some("ConnectedBus"))
        .await;
    assert_eq!(reply["Value"].as_string(), Some("WiFi"));
    let reply = session
        .ask(request(
            "StartService",
            [("Service", "com.apple.mobile.heartbeat".into())],
        ))
        .await;
    assert_eq!(reply["EnableServiceSSL"].as_boolean(), Some(true));
    let mut address = rig.sim.wifi_address(&rig.udid()).unwrap();
    address.set_port(
        reply["Port"]
            .as_unsigned_integer()
            .unwrap()
            .try_into()
            .unwrap(),
    );
    let mut heartbeat = tls(tcp(address).await.unwrap(), &rig.record(), "Host")
        .await
        .unwrap();
    assert_eq!(
        receive(&mut heartbeat).await["Command"].as_string(),
        Some("Marco")
    );
    assert!(tcp(address).await.is_err(), "good for one connection");
}

#[tokio::test]
async fn pairing_over_the_network_is_prohibited() {
    let error = "PairingProhibitedOverThisConnection";
    let facts = corpus("lockdown/replies.json")["facts"].to_string();
    assert!(facts.contains(error));
    let rig = Rig::new(vec![on_wifi(2)]).await;
    let mut lockdown = Lockdown {
        stream: tcp(rig.sim.wifi_address(&rig.udid()).unwrap())
            .await
            .unwrap(),
    };
    assert_eq!(lockdown.error(pair(&rig.record())).await, error);
}

#[tokio::test]
async fn leaving_the_network_ends_its_connections_and_not_those_by_cable() {
    let rig = Rig::new(vec![on_wifi(3)]).await;
    let address = rig.sim.wifi_address(&rig.udid()).unwrap();
    let mut over_air = wifi_session(&rig).await;
    let mut by_cable = rig.session().await;
    rig.set(&["wifi=off"]).await;
    ends(&mut over_air.stream).await;
    assert!(tcp(address).await.is_err());
    assert!(by_cable.domain(None).await.contains_key("SerialNumber"));
    rig.set(&["wifi=on"]).await;
    wifi_session(&rig).await;
    rig.set(&["awake=no"]).await;
    assert!(
        tcp(address).await.is_err(),
        "a sleeping phone does not answer"
    );
}

#[tokio::test]
async fn turning_wifi_connections_off_over_wifi_cuts_the_host_off_and_usb_brings_it_back() {
    let rig = Rig::new(vec![on_wifi(4)]).await;
    let address = rig.sim.wifi_address(&rig.udid()).unwrap();
    let mut session = wifi_session(&rig).await;
    let set = |on: bool| {
        let domain = "com.apple.mobile.wireless_lockdown";
        request(
            "SetValue",
            [
                ("Domain", domain.into()),
                ("Key", "EnableWifiConnections".into()),
                ("Value", on.into()),
            ],
        )
    };
    send(&mut session.stream, set(false)).await;
    ends(&mut session.stream).await;
    rig.set(&[]).await;
    assert!(tcp(address).await.is_err());
    rig.session().await.ask(set(true)).await;
    rig.set(&[]).await;
    wifi_session(&rig).await;
}

#[tokio::test]
async fn who_does_not_answer_the_heartbeat_loses_its_network_connections() {
    let rig = Rig::new(vec![on_wifi(5)]).await;
    let mut session = wifi_session(&rig).await;
    let reply = session
        .ask(request(
            "StartService",
            [("Service", "com.apple.mobile.heartbeat".into())],
        ))
        .await;
    let mut address = rig.sim.wifi_address(&rig.udid()).unwrap();
    address.set_port(
        reply["Port"]
            .as_unsigned_integer()
            .unwrap()
            .try_into()
            .unwrap(),
    );
    let mut heartbeat = tls(tcp(address).await.unwrap(), &rig.record(), "Host")
        .await
        .unwrap();
    receive(&mut heartbeat).await;
    tokio::time::pause();
    let mut byte = [0_u8; 1];
    let end = session.stream.read(&mut byte).await;
    assert!(matches!(end, Ok(0) | Err(_)), "the session ends too");
}
