//! usbmuxd and mDNS, fact by fact, against `tests/corpus/{mux,mdns}`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::{Mux, Rig, corpus, dict, exchange, request, spec};
use ibak_sim::{Identity, MuxVerb, mdns};
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn keys(dictionary: &Dictionary) -> BTreeSet<&str> {
    dictionary.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn attached_has_the_keys_usbmuxd_on_linux_gives() {
    let fact = corpus("mux/attached_usb_linux.json")["message"].clone();
    let rig = Rig::new(vec![
        spec("13.3.1", "iPhone9,1"),
        spec("26.3", "iPhone17,4"),
    ])
    .await;
    let devices = Mux::open(&rig.mux()).await.devices().await;
    let (old, new) = (&devices[0], &devices[1]);
    let expected: BTreeSet<&str> = fact["Properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for device in [old, new] {
        let properties = device["Properties"].as_dictionary().unwrap();
        assert_eq!(device["MessageType"].as_string(), Some("Attached"));
        assert_eq!(
            keys(properties),
            expected,
            "no UDID and no USBSerialNumber key"
        );
        assert_eq!(
            properties["ProductID"].as_signed_integer(),
            fact["Properties"]["ProductID"].as_i64()
        );
        assert_eq!(
            properties["ConnectionSpeed"].as_signed_integer(),
            fact["Properties"]["ConnectionSpeed"].as_i64()
        );
        assert_eq!(properties["ConnectionType"].as_string(), Some("USB"));
        assert_eq!(properties["DeviceID"], device["DeviceID"]);
    }
    let serial = |device: &Dictionary| {
        device["Properties"].as_dictionary().unwrap()["SerialNumber"]
            .as_string()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (serial(old).len(), serial(new).len(), serial(new).find('-')),
        (40, 25, Some(8))
    );
}

#[tokio::test]
async fn listen_tells_who_is_there_and_who_comes_and_goes() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut listener = Mux::open(&rig.mux()).await;
    let answer = listener.ask("Listen", []).await;
    assert_eq!(
        answer,
        dict([("MessageType", "Result".into()), ("Number", 0.into())])
    );
    let (tag, attached) = listener.receive().await;
    assert_eq!(
        (tag, attached["MessageType"].as_string()),
        (0, Some("Attached"))
    );
    rig.set(&["attached=none"]).await;
    let (_, gone) = listener.receive().await;
    assert_eq!(
        gone,
        dict([
            ("DeviceID", attached["DeviceID"].clone()),
            ("MessageType", "Detached".into())
        ])
    );
    assert!(Mux::open(&rig.mux()).await.devices().await.is_empty());
    rig.set(&["attached=usb"]).await;
    let (_, again) = listener.receive().await;
    assert_eq!(again["MessageType"].as_string(), Some("Attached"));
    assert_ne!(
        again["DeviceID"], attached["DeviceID"],
        "a new DeviceID each time"
    );
}

#[tokio::test]
async fn connect_takes_the_port_in_network_byte_order_and_refuses_with_3() {
    assert_eq!(
        62_078_u16.swap_bytes(),
        32_498,
        "corpus: 62078 is written 32498"
    );
    let rig = Rig::one("14.2", "iPhone12,1").await;
    let mut mux = Mux::open(&rig.mux()).await;
    let id = mux.devices().await[0]["DeviceID"].clone();
    let answer = mux
        .ask(
            "Connect",
            [("DeviceID", id.clone()), ("PortNumber", 1.into())],
        )
        .await;
    let fact = corpus("lockdown/replies.json");
    let refusal = fact["samples"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["reply"]["Number"] == 3)
        .unwrap();
    assert_eq!(
        answer["MessageType"].as_string(),
        refusal["reply"]["MessageType"].as_str()
    );
    assert_eq!(
        answer["Number"].as_signed_integer(),
        refusal["reply"]["Number"].as_i64()
    );
    let answer = mux
        .ask(
            "Connect",
            [("DeviceID", 99.into()), ("PortNumber", 32_498.into())],
        )
        .await;
    assert_eq!(answer["Number"], 2.into(), "no such device");
    let answer = mux
        .ask("Connect", [("DeviceID", id), ("PortNumber", 32_498.into())])
        .await;
    assert_eq!(answer["Number"], 0.into());
    let reply = exchange(&mut mux.stream, request("QueryType", [])).await;
    assert_eq!(reply["Type"].as_string(), Some("com.apple.mobile.lockdown"));
}

#[tokio::test]
async fn unknown_messages_and_the_binary_protocol_are_refused_with_their_numbers() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut mux = Mux::open(&rig.mux()).await;
    assert_eq!(mux.ask("Nonsense", []).await["Number"], 1.into());
    let mut frame = Vec::new();
    for field in [16_u32, 0, 3, 77] {
        frame.extend(field.to_le_bytes());
    }
    mux.stream.write_all(&frame).await.unwrap();
    let mut answer = [0_u8; 20];
    mux.stream.read_exact(&mut answer).await.unwrap();
    let field = |at: usize| u32::from_le_bytes(answer[at..at + 4].try_into().unwrap());
    assert_eq!(
        [0, 4, 8, 12, 16].map(field),
        [20, 0, 1, 77, 6],
        "a binary Result with tag 77: bad version"
    );
}

#[tokio::test]
async fn pair_records_have_their_shape_and_are_wrapped_as_data() {
    let fact = corpus("mux/pair_record.json")["types"].clone();
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut mux = Mux::open(&rig.mux()).await;
    let answer = mux
        .ask("ReadPairRecord", [("PairRecordID", rig.udid().into())])
        .await;
    assert_eq!(keys(&answer), BTreeSet::from(["PairRecordData"]));
    let record = common::record(answer["PairRecordData"].as_data().unwrap());
    assert_eq!(
        keys(&record),
        fact.as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    );
    for (key, kind) in fact.as_object().unwrap() {
        let value = &record[key];
        match kind.as_str().unwrap() {
            "data" => assert!(
                value.as_data().unwrap().starts_with(b"-----BEGIN "),
                "{key}"
            ),
            "data (32)" => assert_eq!(value.as_data().unwrap().len(), 32, "{key}"),
            "string" => assert!(value.as_string().is_some(), "{key}"),
            "string UUID" => assert_eq!(value.as_string().unwrap().len(), 36, "{key}"),
            other => panic!("the corpus says {other}"),
        }
    }
    assert_eq!(
        record["WiFiMACAddress"].as_string(),
        Some(rig.sim.phones()[0].identity().wifi_mac.as_str())
    );
    let buid = mux.ask("ReadBUID", []).await;
    assert_eq!(buid["BUID"], record["SystemBUID"]);
}

#[tokio::test]
async fn usbmuxd_saves_reads_and_deletes_pair_records() {
    let rig = Rig::new(vec![ibak_sim::PhoneSpec {
        paired: false,
        ..spec("15.6", "iPhone14,5")
    }])
    .await;
    let mut listener = Mux::open(&rig.mux()).await;
    listener.ask("Listen", []).await;
    let (_, attached) = listener.receive().await;
    let mut mux = Mux::open(&rig.mux()).await;
    let id = || [("PairRecordID", Value::from("some-id"))];
    assert_eq!(
        mux.ask("ReadPairRecord", id()).await["Number"],
        2.into(),
        "ENOENT"
    );
    let data = Value::Data(b"<plist/>".to_vec());
    let [name] = id();
    let save = [
        name,
        ("PairRecordData", data.clone()),
        ("DeviceID", attached["DeviceID"].clone()),
    ];
    assert_eq!(mux.ask("SavePairRecord", save).await["Number"], 0.into());
    let (_, paired) = listener.receive().await;
    assert_eq!(
        (paired["MessageType"].as_string(), &paired["DeviceID"]),
        (Some("Paired"), &attached["DeviceID"])
    );
    assert_eq!(
        mux.ask("ReadPairRecord", id()).await["PairRecordData"],
        data
    );
    assert_eq!(
        mux.ask("SavePairRecord", id()).await["Number"],
        22.into(),
        "EINVAL"
    );
    rig.sim.mux(MuxVerb::Restart).await.unwrap();
    let mut mux = Mux::open(&rig.mux()).await;
    assert_eq!(
        mux.ask("ReadPairRecord", id()).await["PairRecordData"],
        data,
        "records outlive a restart"
    );
    assert_eq!(mux.ask("DeletePairRecord", id()).await["Number"], 0.into());
    assert_eq!(mux.ask("DeletePairRecord", id()).await["Number"], 2.into());
}

#[test]
fn mdns_instances_have_the_form_of_their_ios() {
    let fact = corpus("mdns/instances.json");
    let identity = |ios: &str| {
        let mut identity = Identity::draw(1, "a", "iPhone14,5", ios.parse().unwrap(), None);
        identity.wifi_mac = "a8:bb:cc:00:11:22".to_owned();
        identity.private_wifi_mac = "02:00:00:aa:bb:cc".to_owned();
        identity
    };
    let sample = |at: usize| fact["samples"][at]["instance"].as_str().unwrap();
    let full = |ios: &str| mdns::full_name(&mdns::instance(&identity(ios)));
    assert_eq!(full("12.1.4"), sample(0), "the hardware MAC and its EUI-64");
    let thirteen = full("13.3.1");
    assert!(
        thirteen.starts_with("a8:bb:cc:00:11:22@fe80::") && thirteen != sample(0),
        "not the EUI-64: {thirteen}"
    );
    assert_eq!(
        full("26.2"),
        sample(4),
        "-supportsRP-24 with the hardware MAC"
    );
    assert_eq!(
        full("26.4"),
        sample(3),
        "-supportsRP-26; from 26.4 with the private MAC and its EUI-64"
    );
    assert!(
        full("26.3.1").starts_with("a8:bb:cc:00:11:22@fe80::aabb:ccff:fe00:1122-supportsRP-26.")
    );
}

#[test]
fn the_txt_record_has_an_identifier_and_a_tag_for_each_host_from_26_4() {
    let fact = corpus("mdns/txt.json");
    assert_eq!(fact["srv_port"], mdns::SRV_PORT);
    let hosts = ["HOST-A".to_owned(), "HOST-B".to_owned()];
    assert_eq!(mdns::txt("26.3.1".parse().unwrap(), &hosts, "id"), []);
    let txt = mdns::txt(
        fact["from_ios"].as_str().unwrap().parse().unwrap(),
        &hosts,
        "id",
    );
    let names: BTreeSet<&str> = txt.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        fact["keys"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    );
    // Worked out apart from this code, with Python's hmac and hashlib.
    assert_eq!(txt[1].1, "YDno2KTQpRM=");
    assert_eq!(txt[2].1, "lcklABPjZjc=");
}
