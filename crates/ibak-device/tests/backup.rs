//! What happens around a backup, and that it is taken back on every way out.
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
use common::{UDID, keys};
use ibak_core::{Transport, Udid};
use ibak_device::{
    BackupSession, Deadlines, DeviceError, Escrow, Link, MuxAddress, PairRecord, PhoneEvent, Retry,
};
use plist::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn nature() -> Nature {
    let values = HashMap::from([(
        (String::new(), "DeviceName".to_owned()),
        Value::from("Ada's iPhone"),
    )]);
    Nature {
        values,
        ..Nature::default()
    }
}

fn deadlines() -> Deadlines {
    Deadlines {
        sync_lock_pause: Duration::from_millis(1),
        ..Deadlines::default()
    }
}

async fn open(link: &Link) -> Result<BackupSession, DeviceError> {
    let record = Arc::new(PairRecord::parse(&keys::record_plist()).unwrap());
    BackupSession::open(link, record, &Udid::parse(UDID).unwrap(), &deadlines()).await
}

/// Reaches the phone as if by cable.
struct Cable {
    _dir: tempfile::TempDir,
    mux: Mux,
}

impl Cable {
    fn to(phone: &Phone) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let phones = vec![(5, UDID.to_owned(), "USB".to_owned())];
        let mind = Mind {
            phones,
            lockdown: Some(phone.address),
            ..Mind::default()
        };
        let mux = Mux::start(&dir.path().join("usbmuxd"), Arc::new(Mutex::new(mind)));
        Self { _dir: dir, mux }
    }

    fn link(&self) -> Link {
        Link::Mux {
            address: MuxAddress::Unix(self.mux.path.clone()),
            device_id: 5,
            transport: Transport::Usb,
        }
    }
}

/// The deeds without observing and starting services.
fn sync_deeds(phone: &Phone) -> Vec<String> {
    phone
        .deeds()
        .into_iter()
        .filter(|deed| deed.starts_with("post") || deed.starts_with("afc"))
        .collect()
}

const BEGIN: [&str; 5] = [
    "post com.apple.itunes-mobdev.syncWillStart",
    "afc open",
    "post com.apple.itunes-mobdev.syncLockRequest",
    "afc lock",
    "post com.apple.itunes-mobdev.syncDidStart",
];
const END: [&str; 3] = [
    "afc unlock",
    "afc close",
    "post com.apple.itunes-mobdev.syncDidFinish",
];

/// The order of corpus, messages/19_lockdown_and_helpers_of_a_backup.json. Posts and file
/// operations go over two connections, so only within each is the order the phone's.
fn assert_begun_and_ended(phone: &Phone, locks: usize) {
    let deeds = sync_deeds(phone);
    let of = |kind: &str| {
        deeds
            .iter()
            .filter(|deed| deed.starts_with(kind))
            .cloned()
            .collect::<Vec<_>>()
    };
    let posts: Vec<&str> = BEGIN
        .iter()
        .chain(&END)
        .copied()
        .filter(|deed| deed.starts_with("post"))
        .collect();
    assert_eq!(of("post"), posts);
    let mut files = vec!["afc open"];
    files.extend(std::iter::repeat_n("afc lock", locks));
    files.extend(["afc unlock", "afc close"]);
    assert_eq!(of("afc"), files);
}

#[tokio::test]
async fn a_backup_is_announced_and_taken_back() {
    let phone = Phone::start(Nature {
        lock_busy: 3,
        service_tls: false,
        ..nature()
    })
    .await;
    let cable = Cable::to(&phone);
    let mut backup = open(&cable.link()).await.unwrap();
    assert_eq!(backup.escrow(), Escrow::Yes);
    assert_eq!(
        phone.deeds().first().unwrap(),
        "service com.apple.mobilebackup2 with escrow"
    );
    let inputs = backup.inputs();
    assert_eq!(inputs.root["DeviceName"].as_string(), Some("Ada's iPhone"));
    assert_eq!(
        inputs
            .apps
            .iter()
            .map(|app| app.bundle_id.as_str())
            .collect::<Vec<_>>(),
        ["org.example.notes"]
    );
    assert!(inputs.missing.is_empty(), "{:?}", inputs.missing);
    assert_eq!(inputs.guid.len(), 32);
    let mut stream = backup.take_stream().unwrap();
    let mut first = [0; 22];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"the phone speaks first");
    drop(stream);
    let mut events = backup.take_events().unwrap();
    assert_eq!(events.recv().await, Some(PhoneEvent::PasscodeAsked));
    assert_eq!(events.recv().await, Some(PhoneEvent::PasscodeClosed));
    assert_eq!(events.recv().await, Some(PhoneEvent::CancelledOnPhone));
    backup.finish().await;
    phone.until(END[2]).await;
    assert_begun_and_ended(&phone, 4);
}

#[tokio::test]
async fn dropping_it_takes_it_back_as_well() {
    let phone = Phone::start(nature()).await;
    let backup = open(&Link::Tcp {
        address: phone.address,
    })
    .await
    .unwrap();
    drop(backup);
    phone.until(END[2]).await;
    assert_begun_and_ended(&phone, 1);
    phone.until("mobilebackup2 closed").await;
}

#[tokio::test]
async fn a_lock_that_another_holds_is_waited_for_and_given_up() {
    let phone = Phone::start(Nature {
        lock_busy: 1000,
        ..nature()
    })
    .await;
    let error = open(&Link::Tcp {
        address: phone.address,
    })
    .await
    .unwrap_err();
    assert!(matches!(error, DeviceError::SyncLockBusy), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
    phone.until(END[2]).await;
    let deeds = sync_deeds(&phone);
    assert_eq!(deeds.iter().filter(|deed| *deed == "afc lock").count(), 50);
    assert!(
        !deeds.contains(&"afc unlock".to_owned()),
        "what was not locked is not unlocked"
    );
    assert!(deeds.contains(&"afc close".to_owned()));
}

#[tokio::test]
async fn an_escrow_bag_that_is_refused_is_left_away_once() {
    let phone = Phone::start(Nature {
        refuse_escrow: true,
        ..nature()
    })
    .await;
    let backup = open(&Link::Tcp {
        address: phone.address,
    })
    .await
    .unwrap();
    assert_eq!(backup.escrow(), Escrow::No);
    backup.finish().await;
    let backups: Vec<String> = phone
        .deeds()
        .into_iter()
        .filter(|deed| deed.starts_with("service com.apple.mobilebackup2"))
        .collect();
    assert_eq!(
        backups,
        [
            "service com.apple.mobilebackup2 with escrow",
            "service com.apple.mobilebackup2"
        ]
    );
}

#[tokio::test]
async fn over_the_network_the_heart_is_answered_and_the_phone_kept_awake() {
    let phone = Phone::start(nature()).await;
    let mut backup = open(&Link::Tcp {
        address: phone.address,
    })
    .await
    .unwrap();
    let mut events = backup.take_events().unwrap();
    while events.recv().await.unwrap() != PhoneEvent::Sleepy {}
    phone.until("Polo").await;
    phone
        .until("assert AMDPowerAssertionTypeWirelessSync")
        .await;
    backup.finish().await;
}

#[tokio::test]
async fn inputs_that_a_phone_refuses_are_named() {
    let phone = Phone::start(Nature {
        refuse_apps: true,
        ..nature()
    })
    .await;
    let cable = Cable::to(&phone);
    let backup = open(&cable.link()).await.unwrap();
    assert_eq!(backup.inputs().missing, ["Installed Applications"]);
    backup.finish().await;
}

fn changes_threads<T: Send>(_: &T) {}

#[tokio::test]
async fn the_futures_of_a_backup_change_threads() {
    let phone = Phone::start(nature()).await;
    let link = Link::Tcp {
        address: phone.address,
    };
    let opening = open(&link);
    changes_threads(&opening);
    let mut backup = opening.await.unwrap();
    let events = backup.take_events().unwrap();
    assert!(backup.take_events().is_none(), "once");
    drop(events);
    let finishing = backup.finish();
    changes_threads(&finishing);
    finishing.await;
    phone.until(END[2]).await;
}
