//! What a person asks of a phone besides a backup: pairing with a passcode, purchases, iCloud, and
//! the reboot after a restore, through usbmuxd and lockdown.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{BoxStream, Rig, pair, request, spec};
use ibak_sim::PhoneSpec;
use plist::Value;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn asking(ios: &str) -> PhoneSpec {
    let mut spec = PhoneSpec {
        paired: true,
        ..spec(ios, "iPhone14,5")
    };
    spec.state.passcode = true.into();
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn pairing_asks_for_trust_and_then_for_the_passcode() {
    let rig = Rig::new(vec![asking("16.3")]).await;
    // A host the phone does not know yet: the same certificates under another name.
    let mut record = rig.record();
    record.insert(
        "HostID".into(),
        "00000000-0000-4000-8000-000000000001".into(),
    );
    let prompts = || rig.sim.phones()[0].activity().pairing_prompts;
    rig.set(&["trust=ask", "passcode-answer=ignore"]).await;
    let mut lockdown = rig.lockdown().await;
    let pending = "PairingDialogResponsePending";
    assert_eq!(lockdown.error(pair(&record)).await, pending);
    assert_eq!(prompts(), 0, "before Trust there is no passcode question");
    rig.set(&["trust=accept"]).await;
    for _ in 0..3 {
        assert_eq!(lockdown.error(pair(&record)).await, pending);
    }
    assert_eq!(prompts(), 1);
    rig.set(&["passcode-answer=dismiss"]).await;
    assert_eq!(lockdown.error(pair(&record)).await, "UserDeniedPairing");
    rig.set(&["passcode-answer=give"]).await;
    assert!(lockdown.ask(pair(&record)).await.contains_key("EscrowBag"));
    assert_eq!(prompts(), 2);
    // Known by now: nothing is asked again.
    rig.set(&["passcode-answer=ignore"]).await;
    assert!(lockdown.ask(pair(&record)).await.contains_key("EscrowBag"));

    // No passcode, no question.
    let rig = Rig::new(vec![spec("16.3", "iPhone14,5")]).await;
    record.extend([(
        "DeviceCertificate".to_owned(),
        rig.record()["DeviceCertificate"].clone(),
    )]);
    rig.set(&["passcode-answer=ignore"]).await;
    let mut lockdown = rig.lockdown().await;
    assert!(lockdown.ask(pair(&record)).await.contains_key("EscrowBag"));
}

async fn value(rig: &Rig, domain: &str, key: &str) -> Option<Value> {
    let mut lockdown = rig.session().await;
    lockdown
        .get(Some(domain), Some(key))
        .await
        .get("Value")
        .cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_a_restore_is_seen_before() {
    let rig = Rig::one("26.3", "iPhone17,4").await;
    let table: [(&str, &str, &str, Value); 8] = [
        ("find-my=on", "com.apple.fmip", "IsAssociated", true.into()),
        (
            "find-my=off",
            "com.apple.fmip",
            "IsAssociated",
            false.into(),
        ),
        (
            "setup=unfinished",
            "com.apple.purplebuddy",
            "SetupDone",
            false.into(),
        ),
        (
            "setup=done",
            "com.apple.purplebuddy",
            "SetupDone",
            true.into(),
        ),
        (
            "free-space=7 MB",
            "com.apple.disk_usage",
            "TotalDataAvailable",
            7_000_000.into(),
        ),
        (
            "icloud=off",
            "com.apple.mobile.backup",
            "CloudBackupEnabled",
            false.into(),
        ),
        (
            "icloud=on",
            "com.apple.mobile.backup",
            "CloudBackupEnabled",
            true.into(),
        ),
        (
            "icloud-account=no",
            "com.apple.mobile.backup",
            "CloudBackupEnabled",
            false.into(),
        ),
    ];
    for (setting, domain, key, expected) in table {
        rig.set(&[setting]).await;
        assert_eq!(value(&rig, domain, key).await, Some(expected), "{setting}");
    }
    let key = "LastCloudBackupDate";
    assert_eq!(value(&rig, "com.apple.mobile.backup", key).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_ends_everything_and_locks_a_phone_with_a_passcode() {
    let mut phone = asking("16.3");
    phone.wifi_address = Some("127.0.0.1:0".parse().unwrap());
    let rig = Rig::new(vec![phone]).await;
    rig.set(&["wifi=on"]).await;
    let phone = &rig.sim.phones()[0];
    assert!(phone.is_on_network());
    let mut session = rig.session().await;
    let mut watch = phone.watch_state();
    watch.borrow_and_update();
    phone.reboot();
    // The session breaks.
    assert!(common::receive_bytes(&mut session.stream).await.is_err());
    watch
        .wait_for(|state| !state.unlocked_once.is_on())
        .await
        .unwrap();
    assert_eq!(phone.activity().reboots, 1);
    let state = phone.state();
    assert!(state.is_protected() && state.attached == ibak_sim::state::Attachment::Usb);
    assert!(!phone.is_on_network(), "before the first unlock");
    rig.set(&["locked=no"]).await;
    assert!(phone.is_on_network());
    rig.session().await;
}

struct Afc {
    stream: BoxStream,
    number: u64,
}

impl Afc {
    async fn ask(&mut self, operation: u64, body: &[u8]) -> (u64, Vec<u8>) {
        self.number += 1;
        let len = 40 + body.len() as u64;
        let mut packet = b"CFA6LPAA".to_vec();
        for field in [len, len, self.number, operation] {
            packet.extend(field.to_le_bytes());
        }
        packet.extend(body);
        self.stream.write_all(&packet).await.unwrap();
        let mut head = [0; 40];
        self.stream.read_exact(&mut head).await.unwrap();
        let field = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let mut rest = vec![0; field(8) as usize - 40];
        self.stream.read_exact(&mut rest).await.unwrap();
        (field(32), rest)
    }

    async fn strings(&mut self, operation: u64, path: &str) -> Vec<String> {
        let (_, bytes) = self.ask(operation, format!("{path}\0").as_bytes()).await;
        let parts = bytes.split(|byte| *byte == 0);
        parts
            .filter(|part| !part.is_empty())
            .map(|part| String::from_utf8(part.to_vec()).unwrap())
            .collect()
    }

    async fn open(&mut self, path: &str) -> [u8; 8] {
        let mut body = 1_u64.to_le_bytes().to_vec();
        body.extend(path.as_bytes());
        body.push(0);
        let (operation, handle) = self.ask(13, &body).await;
        assert_eq!(operation, 14, "{path}");
        handle.try_into().unwrap()
    }

    async fn read(&mut self, handle: [u8; 8], len: u64) -> Vec<u8> {
        self.ask(15, &[handle, len.to_le_bytes()].concat()).await.1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_are_listed_and_read_from_any_place() {
    let rig = Rig::new(vec![PhoneSpec {
        purchases: 4,
        purchase_bytes: 9 << 20,
        ..spec("15.6", "iPhone14,5")
    }])
    .await;
    let stream = rig.service("com.apple.afc").await;
    let mut afc = Afc { stream, number: 0 };
    let mut sum = 0;
    for folder in ["/Purchases", "/Books/Purchases"] {
        for name in afc.strings(3, folder).await {
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{folder}/{name}");
            let info = afc.strings(10, &path).await;
            let at = info.iter().position(|word| word == "st_size").unwrap();
            let size: u64 = info[at + 1].parse().unwrap();
            sum += size;
            let handle = afc.open(&path).await;
            let mut whole = Vec::new();
            while (whole.len() as u64) < size {
                let part = afc.read(handle, 1 << 20).await;
                assert!(!part.is_empty());
                whole.extend(part);
            }
            assert!(afc.read(handle, 1 << 20).await.is_empty());
            // Resumed in the middle, it is the same file.
            let half = whole.len() / 2;
            let handle = afc.open(&path).await;
            let seek = [handle, 0_u64.to_le_bytes(), (half as u64).to_le_bytes()].concat();
            afc.ask(17, &seek).await;
            let mut rest = whole[..half].to_vec();
            while rest.len() < whole.len() {
                rest.extend(afc.read(handle, 300_000).await);
            }
            assert_eq!(Sha1::digest(&rest), Sha1::digest(&whole), "{path}");
        }
    }
    assert_eq!(sum, 9 << 20);
    // A phone that bought nothing has the folders and nothing in them.
    let rig = Rig::one("15.6", "iPhone14,5").await;
    let stream = rig.service("com.apple.afc").await;
    let mut afc = Afc { stream, number: 0 };
    assert_eq!(afc.strings(3, "/Purchases").await, [".", ".."]);
    let lockdown = rig.session().await.ask(request("QueryType", [])).await;
    assert!(lockdown.contains_key("Type"));
}
