//! How a phone behaves as it is plugged, locked, trusted and moved, seen by a host.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Lockdown, Mux, Rig, dict, pair, receive, record, request, send, spec, tcp, tls};
use ibak_sim::{MuxVerb, PhoneSpec, SimError, SimOptions, Simulator};
use plist::{Dictionary, Value};
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

/// A phone that is not paired, and a record whose DeviceCertificate is for its key.
async fn stranger() -> (Rig, Dictionary) {
    let paired = Rig::one("15.6", "iPhone14,5").await;
    let record = paired.record();
    let rig = Rig::new(vec![PhoneSpec {
        paired: false,
        ..spec("15.6", "iPhone14,5")
    }])
    .await;
    (rig, record)
}

#[tokio::test]
async fn pairing_waits_for_the_person_and_gives_the_escrow_bag() {
    let (rig, mut record) = stranger().await;
    let mut lockdown = rig.lockdown().await;
    assert_eq!(
        lockdown.start(&record).await["Error"].as_string(),
        Some("InvalidHostID")
    );
    rig.set(&["trust=ask"]).await;
    assert_eq!(
        lockdown.error(pair(&record)).await,
        "PairingDialogResponsePending"
    );
    assert_eq!(
        lockdown.error(pair(&record)).await,
        "PairingDialogResponsePending"
    );
    rig.set(&["trust=deny"]).await;
    assert_eq!(lockdown.error(pair(&record)).await, "UserDeniedPairing");
    rig.set(&["trust=accept", "passcode=yes", "locked=yes"])
        .await;
    assert_eq!(lockdown.error(pair(&record)).await, "PasswordProtected");
    rig.set(&["locked=no"]).await;
    let reply = lockdown.ask(pair(&record)).await;
    assert_eq!(reply.keys().collect::<Vec<_>>(), ["EscrowBag", "Request"]);
    let bag = reply["EscrowBag"].clone();
    assert_eq!(bag.as_data().unwrap().len(), 32);
    assert_eq!(
        lockdown.ask(pair(&record)).await["EscrowBag"],
        bag,
        "pairing again gives the same bag"
    );
    record.insert("EscrowBag".to_owned(), bag);

    let mut session = lockdown.into_session(&record).await.1;
    assert!(session.domain(None).await.contains_key("SerialNumber"));
    let unpair = request("Unpair", [("PairRecord", record.clone().into())]);
    assert_eq!(
        rig.lockdown().await.ask(unpair).await,
        dict([("Request", "Unpair".into())])
    );
    let refused = rig.lockdown().await.start(&record).await;
    assert_eq!(refused["Error"].as_string(), Some("InvalidHostID"));
}

#[tokio::test]
async fn a_record_for_another_phones_key_is_refused() {
    let other = Rig::new(vec![PhoneSpec {
        seed: 9,
        ..spec("15.6", "iPhone14,5")
    }])
    .await;
    let (rig, _) = stranger().await;
    assert_eq!(
        rig.lockdown().await.error(pair(&other.record())).await,
        "InvalidPairRecord"
    );
}

#[tokio::test]
async fn tls_takes_the_hosts_and_the_roots_certificate_and_nobody_elses() {
    let rig = Rig::one("26.3", "iPhone17,4").await;
    for whose in ["Host", "Root"] {
        let mut lockdown = rig.lockdown().await;
        lockdown.start(&rig.record()).await;
        let stream = tls(lockdown.stream, &rig.record(), whose).await.unwrap();
        let mut lockdown = Lockdown { stream };
        assert!(
            lockdown.domain(None).await.contains_key("SerialNumber"),
            "{whose}"
        );
    }
    let mut forged = rig.record();
    let mut key = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    key.distinguished_name = rcgen::DistinguishedName::new();
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = key.self_signed(&pair).unwrap();
    forged.insert(
        "HostCertificate".to_owned(),
        Value::Data(certificate.pem().into_bytes()),
    );
    forged.insert(
        "HostPrivateKey".to_owned(),
        Value::Data(pair.serialize_pem().into_bytes()),
    );
    let mut lockdown = rig.lockdown().await;
    lockdown.start(&forged).await;
    match tls(lockdown.stream, &forged, "Host").await {
        Err(_) => {}
        Ok(mut stream) => ends(&mut stream).await,
    }
}

#[tokio::test]
async fn a_pulled_cable_ends_every_connection_and_closes_the_ports() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut session = rig.session().await;
    let reply = session
        .ask(request(
            "StartService",
            [("Service", "com.apple.afc".into())],
        ))
        .await;
    let mut service = rig.service("com.apple.mobile.heartbeat").await;
    receive(&mut service).await;
    rig.set(&["attached=none"]).await;
    ends(&mut session.stream).await;
    ends(&mut service).await;
    rig.set(&["attached=usb"]).await;
    let port = reply["Port"].as_unsigned_integer().unwrap();
    let refused = Mux::open(&rig.mux())
        .await
        .connect(&rig.udid(), port.try_into().unwrap())
        .await;
    assert_eq!(refused.err(), Some(3));
    assert!(
        rig.session()
            .await
            .domain(None)
            .await
            .contains_key("SerialNumber")
    );
}

#[tokio::test]
async fn a_service_port_is_good_for_one_connection() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let reply = rig
        .session()
        .await
        .ask(request(
            "StartService",
            [("Service", "com.apple.afc".into())],
        ))
        .await;
    let port = u16::try_from(reply["Port"].as_unsigned_integer().unwrap()).unwrap();
    let first = Mux::open(&rig.mux()).await.connect(&rig.udid(), port).await;
    assert!(first.is_ok());
    let second = Mux::open(&rig.mux()).await.connect(&rig.udid(), port).await;
    assert_eq!(second.err(), Some(3));
}

/// Reads relayed names until the last one of `until`.
async fn relayed(stream: &mut common::BoxStream, until: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let message = timeout(SOON, receive(stream))
            .await
            .expect("a notification");
        let name = message["Name"].as_string().unwrap().to_owned();
        names.push(name.clone());
        if name == until {
            return names;
        }
    }
}

#[tokio::test]
async fn locking_plugging_and_changing_post_what_a_real_phone_posts() {
    const SPRINGBOARD: &str = "com.apple.springboard";
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut proxy = rig.service("com.apple.mobile.notification_proxy").await;
    let mark = "com.example.mark";
    for name in [
        "com.apple.springboard.lockstate",
        "com.apple.springboard.lockcomplete",
        "com.apple.springboard.hasBlankedScreen",
        "com.apple.springboard.pluggedin",
        "com.apple.mobile.lockdown.disk_usage_changed",
        "com.apple.mobile.lockdown.device_name_changed",
        mark,
    ] {
        send(
            &mut proxy,
            dict([
                ("Command", "ObserveNotification".into()),
                ("Name", name.into()),
            ]),
        )
        .await;
    }
    send(
        &mut proxy,
        dict([
            ("Command", "PostNotification".into()),
            ("Name", mark.into()),
        ]),
    )
    .await;
    relayed(&mut proxy, mark).await;

    let after = async |proxy: &mut common::BoxStream| {
        rig.sim.phones()[0].post(mark);
        let mut names = relayed(proxy, mark).await;
        names.pop();
        names
            .iter()
            .map(|name| name.rsplit('.').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    rig.set(&["locked=yes"]).await;
    assert_eq!(
        after(&mut proxy).await,
        ["hasBlankedScreen", "lockcomplete", "lockstate"],
        "{SPRINGBOARD}"
    );
    rig.set(&["locked=yes"]).await;
    assert_eq!(after(&mut proxy).await, [""; 0], "nothing changed");
    rig.set(&["locked=no"]).await;
    assert_eq!(
        after(&mut proxy).await,
        ["hasBlankedScreen", "lockstate"],
        "a lone lockstate is an unlock"
    );
    rig.set(&["power=on"]).await;
    assert_eq!(after(&mut proxy).await, ["pluggedin"]);
    rig.sim.change(&rig.udid(), 1, 1, 0).unwrap();
    assert_eq!(after(&mut proxy).await, ["disk_usage_changed"]);
    let name = [("Key", "DeviceName".into()), ("Value", "Bo".into())];
    rig.session().await.ask(request("SetValue", name)).await;
    assert_eq!(after(&mut proxy).await, ["device_name_changed"]);
}

#[tokio::test]
async fn usbmuxd_can_be_mute_absent_and_begin_again() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut listener = Mux::open(&rig.mux()).await;
    listener.ask("Listen", []).await;
    listener.receive().await;
    rig.sim.mux(MuxVerb::Mute).await.unwrap();
    let mut mute = Mux::open(&rig.mux()).await;
    mute.send(dict([("MessageType", "ListDevices".into())]))
        .await;
    let silence = timeout(Duration::from_millis(300), mute.receive()).await;
    assert!(silence.is_err(), "it accepts and never answers");
    rig.sim.mux(MuxVerb::Normal).await.unwrap();
    assert_eq!(mute.devices().await.len(), 1);
    rig.sim.mux(MuxVerb::Stop).await.unwrap();
    ends(&mut listener.stream).await;
    assert!(!rig.mux().exists());
    rig.set(&["power=on"]).await;
    rig.sim.mux(MuxVerb::Start).await.unwrap();
    let devices = Mux::open(&rig.mux()).await.devices().await;
    assert_eq!(devices[0]["DeviceID"], 1.into(), "DeviceIDs start over");
    rig.sim.mux(MuxVerb::Restart).await.unwrap();
    assert_eq!(Mux::open(&rig.mux()).await.devices().await.len(), 1);
}

#[tokio::test]
async fn usbmuxd_on_tcp_is_the_same_usbmuxd() {
    let dir = tempfile::tempdir().unwrap();
    let options = SimOptions {
        usbmuxd_tcp: "127.0.0.1:0".parse().ok(),
        ..SimOptions::in_dir(dir.path(), vec![spec("15.6", "iPhone14,5")])
    };
    let sim = Simulator::start(options).await.unwrap();
    let address = sim.muxer().tcp_address().unwrap();
    let udid = sim.phones()[0].identity().udid.clone();
    let stream = Mux::over(tcp(address).await.unwrap())
        .connect(&udid, 62_078)
        .await
        .unwrap();
    let record = record(&sim.muxer().record(&udid).unwrap());
    let mut session = Lockdown { stream }.into_session(&record).await.1;
    assert_eq!(
        session.domain(None).await["UniqueDeviceID"].as_string(),
        Some(udid.as_str())
    );
}

#[tokio::test]
async fn stopping_takes_the_sockets_away_and_dropping_does_too() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut session = rig.session().await;
    let (mux, control) = (rig.mux(), rig.dir.path().join("control"));
    assert!(mux.exists() && control.exists());
    let Rig { dir, sim } = rig;
    sim.stop().await;
    ends(&mut session.stream).await;
    assert!(!mux.exists() && !control.exists());
    let again = Simulator::start(SimOptions::in_dir(
        dir.path(),
        vec![spec("15.6", "iPhone14,5")],
    ))
    .await
    .unwrap();
    assert!(mux.exists());
    drop(again);
    assert!(!mux.exists() && !control.exists());
}

#[tokio::test]
async fn wrong_options_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let start = |phones| Simulator::start(SimOptions::in_dir(dir.path(), phones));
    let say = |result: Result<Simulator, SimError>| result.err().expect("an error").to_string();
    assert!(say(start(vec![]).await).contains("--phone FILE.toml"));
    let twice = vec![spec("15.6", "iPhone14,5"), spec("15.6", "iPhone14,5")];
    assert!(say(start(twice).await).contains("give them different seeds"));
    std::fs::write(dir.path().join("usbmuxd"), "precious").unwrap();
    let refused = say(start(vec![spec("15.6", "iPhone14,5")]).await);
    assert!(
        refused.contains("no socket") && refused.contains("choose another place"),
        "{refused}"
    );
    assert_eq!(
        std::fs::read_to_string(dir.path().join("usbmuxd")).unwrap(),
        "precious"
    );
    let nowhere = PhoneSpec {
        wifi_address: "192.0.2.1:62078".parse().ok(),
        ..spec("15.6", "iPhone14,5")
    };
    std::fs::remove_file(dir.path().join("usbmuxd")).unwrap();
    assert!(say(start(vec![nowhere]).await).contains("192.0.2.1:62078"));
    let mdns = SimOptions {
        mdns: Some("nosuch0".to_owned()),
        ..SimOptions::in_dir(dir.path(), vec![spec("15.6", "iPhone14,5")])
    };
    assert!(say(Simulator::start(mdns).await).contains("there is no such interface"));
}

#[tokio::test]
async fn two_simulators_do_not_share_a_socket() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let second = Simulator::start(SimOptions::in_dir(
        rig.dir.path(),
        vec![spec("15.6", "iPhone14,5")],
    ))
    .await;
    assert!(
        second
            .err()
            .expect("an error")
            .to_string()
            .contains("somebody else listens there")
    );
    assert!(
        rig.session()
            .await
            .domain(None)
            .await
            .contains_key("SerialNumber"),
        "the first goes on"
    );
}
