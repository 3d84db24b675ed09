//! The services, fact by fact, against `tests/corpus/{mux,messages}`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{BoxStream, Rig, corpus, dict, exchange, receive, request, send, spec};
use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn keys(dictionary: &Dictionary) -> BTreeSet<&str> {
    dictionary.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn notifications_are_relayed_to_who_observes_them_and_the_proxy_says_when_it_dies() {
    let fact = corpus("mux/notification_proxy.json");
    let rig = Rig::one("16.3.1", "iPhone14,5").await;
    let mut observer = rig.service("com.apple.mobile.notification_proxy").await;
    let mut poster = rig.service("com.apple.mobile.notification_proxy").await;
    let names: Vec<&str> = fact["names"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for name in &names {
        send(
            &mut observer,
            dict([
                ("Command", "ObserveNotification".into()),
                ("Name", (*name).into()),
            ]),
        )
        .await;
    }
    // Shutdown of an own connection shows that the observer's commands were read: it is answered
    // only after them, and a post that comes back shows the same without ending the connection.
    let post = |name: &str| {
        dict([
            ("Command", "PostNotification".into()),
            ("Name", name.into()),
        ])
    };
    send(&mut observer, post(names[0])).await;
    let relayed = |name: &str| {
        dict([
            ("Command", "RelayNotification".into()),
            ("Name", name.into()),
        ])
    };
    assert_eq!(receive(&mut observer).await, relayed(names[0]));
    send(&mut poster, post("com.example.nobody.observes")).await;
    for name in &names {
        send(&mut poster, post(name)).await;
        assert_eq!(receive(&mut observer).await, relayed(name));
    }
    let death = exchange(&mut observer, dict([("Command", "Shutdown".into())])).await;
    assert_eq!(death, dict([("Command", "ProxyDeath".into())]));
    let posted = rig.sim.phones()[0].activity().posted_by_hosts;
    assert_eq!(posted.len(), names.len() + 2);
}

/// One AFC connection.
struct Afc(BoxStream, u64);

impl Afc {
    async fn open(rig: &Rig) -> Self {
        Self(rig.service("com.apple.afc").await, 0)
    }

    /// Returns the answer's operation, its whole length and its body.
    async fn ask(&mut self, operation: u64, body: &[u8]) -> (u64, u64, Vec<u8>) {
        self.1 += 1;
        let len = 40 + body.len() as u64;
        let mut packet = b"CFA6LPAA".to_vec();
        for field in [len, len, self.1, operation] {
            packet.extend(field.to_le_bytes());
        }
        packet.extend(body);
        self.0.write_all(&packet).await.unwrap();
        let mut header = [0_u8; 40];
        self.0.read_exact(&mut header).await.unwrap();
        let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        assert_eq!(field(24), self.1, "the packet's number is echoed");
        let mut body = vec![0_u8; usize::try_from(field(8)).unwrap() - 40];
        self.0.read_exact(&mut body).await.unwrap();
        (field(32), field(8), body)
    }

    async fn open_lock_file(&mut self) -> u64 {
        let mut body = 2_u64.to_le_bytes().to_vec();
        body.extend(b"/com.apple.itunes.lock_sync\0");
        let (operation, _, body) = self.ask(0x0d, &body).await;
        assert_eq!(operation, 0x0e);
        u64::from_le_bytes(body.try_into().unwrap())
    }

    /// Locks and returns the whole length, the operation and the code.
    async fn lock(&mut self, handle: u64, wish: u64) -> (u64, u64, u64) {
        let (operation, len, body) = self
            .ask(0x1b, &[handle.to_le_bytes(), wish.to_le_bytes()].concat())
            .await;
        (len, operation, u64::from_le_bytes(body.try_into().unwrap()))
    }
}

#[tokio::test]
async fn the_sync_lock_is_handle_1_answers_48_bytes_and_would_block_for_the_other() {
    const EXCLUSIVE: u64 = 2 | 4;
    const UNLOCK: u64 = 8 | 4;
    const WOULD_BLOCK: u64 = 19;
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let (mut one, mut two) = (Afc::open(&rig).await, Afc::open(&rig).await);
    let handle = one.open_lock_file().await;
    assert_eq!(handle, 1, "corpus: open gives handle 1");
    assert_eq!(
        one.lock(handle, EXCLUSIVE).await,
        (48, 1, 0),
        "corpus: a 48-byte status packet, operation 1, code 0"
    );
    assert!(rig.sim.status().phones[0].sync_lock_held);
    let other = two.open_lock_file().await;
    assert_eq!(two.lock(other, EXCLUSIVE).await, (48, 1, WOULD_BLOCK));
    assert_eq!(one.lock(handle, UNLOCK).await, (48, 1, 0));
    let (operation, len, body) = one.ask(0x14, &handle.to_le_bytes()).await;
    assert_eq!(
        (operation, len, body),
        (1, 48, vec![0; 8]),
        "close answers the same"
    );
    assert_eq!(two.lock(other, EXCLUSIVE).await, (48, 1, 0));
    drop(two);
    rig.set(&["sync-lock=held"]).await;
    let handle = one.open_lock_file().await;
    assert_eq!(
        one.lock(handle, EXCLUSIVE).await.2,
        WOULD_BLOCK,
        "somebody else holds it"
    );
}

#[tokio::test]
async fn the_lock_falls_when_its_connection_breaks() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut one = Afc::open(&rig).await;
    let handle = one.open_lock_file().await;
    assert_eq!(one.lock(handle, 6).await.2, 0);
    drop(one);
    let mut two = Afc::open(&rig).await;
    let handle = two.open_lock_file().await;
    let free = async {
        while two.lock(handle, 6).await.2 != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), free)
        .await
        .expect("the lock falls");
}

#[tokio::test]
async fn afc_keeps_what_is_written() {
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let mut afc = Afc::open(&rig).await;
    assert_eq!(afc.ask(0x09, b"/Downloads/a/b\0").await.2, vec![0; 8]);
    let mut open = 4_u64.to_le_bytes().to_vec();
    open.extend(b"/Downloads/a/b/f\0");
    let handle = afc.ask(0x0d, &open).await.2;
    afc.ask(0x10, &[handle.as_slice(), b"hello"].concat()).await;
    assert_eq!(afc.ask(0x12, &handle).await.2, 5_u64.to_le_bytes(), "tell");
    let seek = [
        handle.as_slice(),
        &0_u64.to_le_bytes(),
        &1_i64.to_le_bytes(),
    ]
    .concat();
    afc.ask(0x11, &seek).await;
    let read = [handle.as_slice(), &100_u64.to_le_bytes()].concat();
    assert_eq!(afc.ask(0x0f, &read).await, (2, 44, b"ello".to_vec()));
    assert_eq!(afc.ask(0x0f, &read).await, (2, 40, Vec::new()), "the end");
    let info = afc.ask(0x0a, b"/Downloads/a/b/f\0").await.2;
    assert!(
        info.starts_with(
            b"st_size\x005\0st_blocks\x001\0st_nlink\x001\0st_ifmt\0S_IFREG\0st_mtime\0"
        )
    );
    assert_eq!(
        afc.ask(0x18, b"/Downloads/a\0/Downloads/z\0").await.2,
        vec![0; 8]
    );
    assert_eq!(afc.ask(0x03, b"/Downloads/z/b\0").await.2, b".\0..\0f\0");
    assert_eq!(
        afc.ask(0x0a, b"/Downloads/a\0").await.2,
        8_u64.to_le_bytes(),
        "object not found"
    );
    assert_eq!(afc.ask(0x08, b"/Downloads/z/b/f\0").await.2, vec![0; 8]);
    assert!(
        afc.ask(0x0b, b"")
            .await
            .2
            .starts_with(b"Model\0iPhone14,5\0FSTotalBytes\0")
    );
}

#[tokio::test]
async fn the_order_of_a_backups_helpers_goes_through() {
    let fact = corpus("messages/19_lockdown_and_helpers_of_a_backup.json");
    let posts: Vec<String> = fact["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["message"][0])
        .filter(|m| m["Command"] == "PostNotification")
        .map(|m| m["Name"].as_str().unwrap().to_owned())
        .collect();
    let rig = Rig::one("12.5.7", "iPhone8,1").await;
    let mut proxy = rig.service("com.apple.mobile.notification_proxy").await;
    let mut afc = Afc::open(&rig).await;
    let post = |name: &str| {
        dict([
            ("Command", "PostNotification".into()),
            ("Name", name.into()),
        ])
    };
    send(&mut proxy, post(&posts[0])).await;
    let handle = afc.open_lock_file().await;
    send(&mut proxy, post(&posts[1])).await;
    assert_eq!(afc.lock(handle, 6).await, (48, 1, 0));
    for name in &posts[2..] {
        send(&mut proxy, post(name)).await;
    }
    let death = exchange(&mut proxy, dict([("Command", "Shutdown".into())])).await;
    assert_eq!(death["Command"].as_string(), Some("ProxyDeath"));
    assert_eq!(rig.sim.phones()[0].activity().posted_by_hosts, posts);
}

#[tokio::test]
async fn the_battery_is_in_the_registry_under_the_name_of_its_generation() {
    let fact = corpus("mux/diagnostics_battery.json");
    for (ios, product, there, elsewhere) in [
        (
            "26.6",
            "iPhone15,2",
            "AppleSmartBattery",
            "AppleARMPMUCharger",
        ),
        (
            "13.3.1",
            "iPhone9,1",
            "AppleARMPMUCharger",
            "AppleSmartBattery",
        ),
    ] {
        let rig = Rig::one(ios, product).await;
        rig.set(&["power=on", "battery=61"]).await;
        let mut relay = rig.service("com.apple.mobile.diagnostics_relay").await;
        let ask = |name: &str| request("IORegistry", [("EntryName", name.into())]);
        let reply = exchange(&mut relay, ask(there)).await;
        assert_eq!(reply["Status"].as_string(), Some("Success"));
        let registry = reply["Diagnostics"].as_dictionary().unwrap()["IORegistry"]
            .as_dictionary()
            .unwrap();
        assert_eq!(registry["CurrentCapacity"].as_signed_integer(), Some(61));
        for key in fact["samples"][1]["values"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "BatteryData")
        {
            assert!(registry.contains_key(key), "{key}");
        }
        let data = registry["BatteryData"].as_dictionary().unwrap();
        for key in fact["samples"][0]["values"]["BatteryData"]
            .as_object()
            .unwrap()
            .keys()
        {
            assert!(data.contains_key(key), "BatteryData/{key}");
        }
        for absent in [
            ask(elsewhere),
            request("IORegistry", [("CurrentPlane", "IOPower".into())]),
        ] {
            let reply = exchange(&mut relay, absent).await;
            let diagnostics = reply["Diagnostics"].as_dictionary().unwrap();
            assert_eq!(
                diagnostics["IORegistry"],
                Value::Dictionary(Dictionary::new())
            );
        }
        let reply = exchange(&mut relay, request("GasGauge", [])).await;
        let gauge = reply["Diagnostics"].as_dictionary().unwrap()["GasGauge"]
            .as_dictionary()
            .unwrap();
        assert_eq!(
            gauge["FullChargeCapacity"],
            100.into(),
            "percent since 12.2"
        );
        assert_eq!(
            exchange(&mut relay, request("Goodbye", [])).await["Status"].as_string(),
            Some("Success")
        );
    }
}

#[tokio::test]
async fn mobile_gestalt_is_deprecated_from_17_4() {
    let fact = corpus("lockdown/replies.json");
    let deprecated = fact["samples"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["service"].is_string())
        .unwrap();
    for (ios, status) in [("17.3", "Success"), ("17.4", "MobileGestaltDeprecated")] {
        let rig = Rig::one(ios, "iPhone14,5").await;
        let mut relay = rig.service("com.apple.mobile.diagnostics_relay").await;
        let keys = Value::Array(vec!["ProductType".into()]);
        let reply = exchange(
            &mut relay,
            request("MobileGestalt", [("MobileGestaltKeys", keys)]),
        )
        .await;
        let gestalt = reply["Diagnostics"].as_dictionary().unwrap()["MobileGestalt"]
            .as_dictionary()
            .unwrap();
        assert_eq!(gestalt["Status"].as_string(), Some(status), "{ios}");
    }
    assert_eq!(
        deprecated["reply"]["MobileGestalt"]["Status"],
        "MobileGestaltDeprecated"
    );
}

#[tokio::test]
async fn the_heartbeat_begins_with_marco_and_goes_on_after_polo() {
    let fact = corpus("mux/heartbeat.json")["messages"][0]["message"][0].clone();
    let rig = Rig::one("26.3", "iPhone17,4").await;
    let mut heartbeat = rig.service("com.apple.mobile.heartbeat").await;
    let marco = receive(&mut heartbeat).await;
    assert_eq!(marco["Command"].as_string(), fact["Command"].as_str());
    assert_eq!(
        marco["Interval"].as_signed_integer(),
        fact["Interval"].as_i64()
    );
    assert_eq!(
        marco["SupportsSleepyTime"].as_boolean(),
        fact["SupportsSleepyTime"].as_bool()
    );
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    send(&mut heartbeat, dict([("Command", "Polo".into())])).await;
    assert_eq!(receive(&mut heartbeat).await, marco);
    assert_eq!(began.elapsed().as_secs(), 10);
    tokio::time::resume();
    send(&mut heartbeat, dict([("Command", "Polo".into())])).await;
    rig.set(&["awake=no"]).await;
    assert_eq!(
        receive(&mut heartbeat).await,
        dict([("Command", "SleepyTime".into())])
    );
}

#[tokio::test]
async fn apps_are_browsed_in_batches_and_looked_up() {
    let rig = Rig::new(vec![ibak_sim::PhoneSpec {
        apps: 30,
        ..spec("15.6", "iPhone14,5")
    }])
    .await;
    let mut proxy = rig.service("com.apple.mobile.installation_proxy").await;
    let wanted: Vec<Value> = ["CFBundleIdentifier", "ApplicationSINF", "iTunesMetadata"]
        .into_iter()
        .map(Value::from)
        .collect();
    let options = dict([
        ("ApplicationType", "User".into()),
        ("ReturnAttributes", wanted.into()),
    ]);
    send(
        &mut proxy,
        dict([
            ("Command", "Browse".into()),
            ("ClientOptions", options.into()),
        ]),
    )
    .await;
    let mut apps = Vec::new();
    loop {
        let message = receive(&mut proxy).await;
        if message["Status"].as_string() == Some("Complete") {
            break;
        }
        assert_eq!(
            message["CurrentIndex"].as_unsigned_integer(),
            Some(apps.len() as u64)
        );
        apps.extend(message["CurrentList"].as_array().unwrap().clone());
    }
    assert_eq!(apps.len(), 30);
    let first = apps[0].as_dictionary().unwrap();
    assert_eq!(
        keys(first),
        BTreeSet::from(["CFBundleIdentifier", "ApplicationSINF", "iTunesMetadata"])
    );
    let id = first["CFBundleIdentifier"].as_string().unwrap();
    let options = dict([("BundleIDs", Value::Array(vec![id.into()]))]);
    let reply = exchange(
        &mut proxy,
        dict([
            ("Command", "Lookup".into()),
            ("ClientOptions", options.into()),
        ]),
    )
    .await;
    assert_eq!(
        keys(reply["LookupResult"].as_dictionary().unwrap()),
        BTreeSet::from([id])
    );

    let mut springboard = rig.service("com.apple.springboardservices").await;
    let icon = exchange(
        &mut springboard,
        dict([
            ("command", "getIconPNGData".into()),
            ("bundleId", id.into()),
        ]),
    )
    .await;
    assert!(icon["pngData"].as_data().unwrap().starts_with(b"\x89PNG"));
}
