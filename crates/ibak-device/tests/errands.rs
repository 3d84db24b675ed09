//! What a person asks for beside backups: a restore's first look, purchases, the end of a pairing.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod common;

use common::afc::{Files, Node};
use common::phone::{Nature, Phone};
use common::{UDID, keys};
use ibak_core::{Bytes, Udid};
use ibak_device::{
    BackupSession, Deadlines, DeviceError, Link, OLDEST_IOS, PairRecord, Purchase, Purchases,
    RestoreFacts, Retry, Session, enable_wifi_connections, info_plist, restore_facts,
};
use plist::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn udid() -> Udid {
    Udid::parse(UDID).unwrap()
}

fn link(phone: &Phone) -> Link {
    Link::Tcp {
        address: phone.address,
    }
}

fn record() -> Arc<PairRecord> {
    Arc::new(PairRecord::parse(&keys::record_plist()).unwrap())
}

async fn session(phone: &Phone, deadlines: &Deadlines) -> Session {
    Session::open(&link(phone), record(), &udid(), deadlines)
        .await
        .unwrap()
}

async fn with_values(values: &[(&str, &str, Value)]) -> Phone {
    let values = values
        .iter()
        .map(|(domain, key, value)| (((*domain).to_owned(), (*key).to_owned()), value.clone()))
        .collect();
    Phone::start(Nature {
        values,
        ..Nature::default()
    })
    .await
}

async fn with_files(files: Files) -> Phone {
    Phone::start(Nature {
        files,
        ..Nature::default()
    })
    .await
}

fn changes_threads<T: Send>(work: T) -> T {
    work
}

const DISK: &str = "com.apple.disk_usage";
const BACKUP: &str = "com.apple.mobile.backup";

#[tokio::test]
async fn a_phone_says_what_a_restore_depends_on() {
    let phone = with_values(&[
        ("", "ProductVersion", "16.3.1".into()),
        ("", "ProductType", "iPhone14,5".into()),
        ("", "PasswordProtected", true.into()),
        ("com.apple.fmip", "IsAssociated", true.into()),
        ("com.apple.purplebuddy", "SetupDone", true.into()),
        (DISK, "TotalDataCapacity", 1_000.into()),
        (DISK, "TotalDataAvailable", 400.into()),
        (DISK, "AmountDataAvailable", 300.into()),
        (DISK, "AmountRestoreAvailable", 900.into()),
        (BACKUP, "RequiresEncryption", 0.into()),
        (BACKUP, "WillEncrypt", true.into()),
    ])
    .await;
    let mut session = session(&phone, &Deadlines::default()).await;
    let facts = changes_threads(restore_facts(&mut session)).await.unwrap();
    let want = RestoreFacts {
        ios: "16.3.1".into(),
        product_type: "iPhone14,5".into(),
        find_my: Some(true),
        setup_done: Some(true),
        locked: Some(true),
        has_passcode: Some(true),
        capacity: Some(Bytes::new(1_000)),
        available: Some(Bytes::new(400)),
        restorable: Some(Bytes::new(900)),
        requires_encryption: Some(false),
        will_encrypt: Some(true),
    };
    assert_eq!(facts, want);
    assert_eq!(phone.deeds(), Vec::<String>::new(), "it was only asked");
}

#[tokio::test]
async fn what_a_phone_does_not_say_is_unknown() {
    let phone = with_values(&[
        ("", "ProductVersion", "26.0".into()),
        ("", "ProductType", "iPhone17,4".into()),
        ("", "PasswordProtected", false.into()),
        (DISK, "AmountDataAvailable", 300.into()),
    ])
    .await;
    let mut session = session(&phone, &Deadlines::default()).await;
    let want = RestoreFacts {
        ios: "26.0".into(),
        product_type: "iPhone17,4".into(),
        find_my: None,
        setup_done: None,
        locked: Some(false),
        has_passcode: None,
        capacity: None,
        available: Some(Bytes::new(300)),
        restorable: None,
        requires_encryption: None,
        will_encrypt: None,
    };
    assert_eq!(restore_facts(&mut session).await.unwrap(), want);
}

#[tokio::test]
async fn a_phone_that_is_too_old_gets_a_sentence() {
    let (major, minor) = OLDEST_IOS;
    for (version, is_taken) in [
        ("9.3.5", false),
        ("10.1.1", false),
        ("10.2", true),
        ("15.6", true),
    ] {
        let phone = with_values(&[("", "ProductVersion", version.into())]).await;
        let opened = Session::open(&link(&phone), record(), &udid(), &Deadlines::default()).await;
        match opened {
            Ok(_) => assert!(is_taken, "{version}"),
            Err(DeviceError::TooOld { version: said }) => {
                assert!(!is_taken, "{version}");
                assert_eq!(said, version);
                let error = DeviceError::TooOld { version: said };
                assert_eq!(error.retry(), Retry::UserMustAct);
                assert!(
                    error
                        .remedy()
                        .unwrap()
                        .contains(&format!("{major}.{minor}"))
                );
            }
            Err(error) => panic!("{version}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn old_encryption_is_explained_by_the_version() {
    for (version, is_old) in [("9.3.5", true), ("15.6", false)] {
        let phone = with_values(&[("", "ProductVersion", version.into())]).await;
        // Its side of the handshake is nothing that ours could take.
        phone.change(|nature| nature.tls_garbage = true);
        let error = Session::open(&link(&phone), record(), &udid(), &Deadlines::default())
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, DeviceError::TooOld { .. }),
            is_old,
            "{error:?}"
        );
        assert_eq!(
            matches!(error, DeviceError::Tls { .. }),
            !is_old,
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_phone_without_wifi_is_not_told_to_use_it() {
    const WIRELESS: &str = "com.apple.mobile.wireless_lockdown";
    for (supports, refusal, want) in [
        (Some(true), None, true),
        (None, None, true),
        (Some(false), None, false),
        (Some(true), Some("SetProhibited"), false),
    ] {
        let values: Vec<_> = supports
            .map(|supports| (WIRELESS, "SupportsWifi", Value::Boolean(supports)))
            .into_iter()
            .collect();
        let phone = with_values(&values).await;
        phone.change(|nature| {
            nature.refusals = refusal
                .map(|error| ("SetValue", error))
                .into_iter()
                .collect();
        });
        let mut session = session(&phone, &Deadlines::default()).await;
        assert_eq!(enable_wifi_connections(&mut session).await.unwrap(), want);
        assert_eq!(phone.deeds().is_empty(), !want, "{supports:?} {refusal:?}");
    }
}

const APPLICATIONS: &str = "/iTunesRestore/RestoreApplications.plist";

async fn announced(phone: &Phone) -> BackupSession {
    BackupSession::announce(&link(phone), record(), &udid(), &Deadlines::default())
        .await
        .unwrap()
}

fn file(phone: &Phone, path: &str) -> Option<Vec<u8>> {
    match phone.nature().files.nodes.get(path) {
        Some(Node::File(content)) => Some(content.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_restore_is_announced_without_asking_for_apps() {
    let phone = with_files(Files::default()).await;
    let mut restore = announced(&phone).await;
    assert!(restore.take_stream().is_some());
    assert!(restore.take_events().is_some());
    let error = info_plist(restore.inputs(), None).unwrap_err();
    assert!(error.to_string().contains("told nothing"), "{error}");
    let deeds = phone.deeds();
    assert!(deeds.contains(&"service com.apple.mobilebackup2 with escrow".to_owned()));
    assert!(!deeds.iter().any(|deed| deed.contains("installation_proxy")));
    phone
        .until("post com.apple.itunes-mobdev.syncDidStart")
        .await;
    restore.finish().await;
    phone
        .until("post com.apple.itunes-mobdev.syncDidFinish")
        .await;
}

#[tokio::test]
async fn the_list_of_apps_is_laid_out() {
    let phone = with_files(Files::default()).await;
    let mut restore = announced(&phone).await;
    for len in [0, 1, 32 << 10, 100_001] {
        let plist: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        restore.place_restore_applications(&plist).await.unwrap();
        assert_eq!(file(&phone, APPLICATIONS), Some(plist));
    }
    assert!(
        phone
            .deeds()
            .contains(&"afc mkdir /iTunesRestore".to_owned())
    );
    restore.finish().await;
}

#[tokio::test]
async fn a_list_of_apps_that_does_not_fit_leaves_nothing() {
    let phone = with_files(Files {
        room: Some(40_000),
        ..Files::default()
    })
    .await;
    let mut restore = announced(&phone).await;
    let error = restore
        .place_restore_applications(&[7; 100_000])
        .await
        .unwrap_err();
    assert!(matches!(error, DeviceError::Service { .. }), "{error:?}");
    assert_eq!(file(&phone, APPLICATIONS), None);
    // The connection is good: a smaller one goes.
    restore
        .place_restore_applications(&[7; 30_000])
        .await
        .unwrap();
    restore.finish().await;
}

/// A phone with purchases whose content is its path, repeated.
fn shelf(extra: &[(&str, Node)]) -> Files {
    let names =
        |list: &[&str]| Node::Directory(list.iter().map(|name| name.as_bytes().to_vec()).collect());
    let mut nodes = BTreeMap::from([
        (
            "/Purchases".to_owned(),
            names(&["2.m4a", "1.m4a", "art", "gone.m4a"]),
        ),
        ("/Purchases/1.m4a".to_owned(), Node::File(content(700_000))),
        ("/Purchases/2.m4a".to_owned(), Node::File(Vec::new())),
        ("/Purchases/art".to_owned(), names(&["x.jpg"])),
        ("/Purchases/art/x.jpg".to_owned(), Node::File(content(5))),
        ("/Books/Purchases".to_owned(), names(&["Straße.epub"])),
        (
            "/Books/Purchases/Straße.epub".to_owned(),
            Node::File(content(262_144)),
        ),
    ]);
    for (path, node) in extra {
        nodes.insert((*path).to_owned(), node.clone());
    }
    Files {
        nodes,
        ..Files::default()
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

async fn purchases(phone: &Phone) -> Purchases {
    let mut session = session(phone, &Deadlines::default()).await;
    Purchases::open(&mut session).await.unwrap()
}

async fn read_all(
    purchases: &mut Purchases,
    file: &Purchase,
    from: u64,
) -> Result<Vec<u8>, DeviceError> {
    let mut reader = purchases.read(file, from).await?;
    let mut content = Vec::new();
    while let Some(piece) = changes_threads(reader.next()).await? {
        assert!(!piece.is_empty() && piece.len() as u64 <= Purchases::PIECE_BYTES_MAX);
        content.extend(piece);
    }
    assert_eq!(reader.left(), 0);
    Ok(content)
}

#[tokio::test]
async fn purchases_are_listed_and_read_from_anywhere() {
    let phone = with_files(shelf(&[])).await;
    let mut purchases = purchases(&phone).await;
    let list = changes_threads(purchases.list()).await.unwrap();
    let seen: Vec<(&str, u64)> = list
        .files
        .iter()
        .map(|file| (file.path(), file.size()))
        .collect();
    let want = [
        ("Books/Purchases/Straße.epub", 262_144),
        ("Purchases/1.m4a", 700_000),
        ("Purchases/2.m4a", 0),
        ("Purchases/art/x.jpg", 5),
    ];
    assert_eq!((seen.as_slice(), list.refused), (want.as_slice(), 0));
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    assert_eq!(list.files[0].modified(), Some(modified));
    for file in &list.files {
        let whole = content(file.size() as usize);
        for from in [0, 1, file.size() / 2, file.size(), file.size() + 9] {
            let got = read_all(&mut purchases, file, from).await.unwrap();
            let rest = whole.get(from as usize..).unwrap_or_default();
            assert_eq!(got, rest, "{} from {from}", file.path());
        }
    }
    let opened = phone
        .deeds()
        .iter()
        .filter(|deed| deed.starts_with("afc read"))
        .count();
    let closed = phone
        .deeds()
        .iter()
        .filter(|deed| *deed == "afc close")
        .count();
    assert_eq!(opened, closed);
}

#[tokio::test]
async fn a_phone_that_bought_nothing_has_an_empty_list() {
    let phone = with_files(Files::default()).await;
    let list = purchases(&phone).await.list().await.unwrap();
    assert_eq!(list, ibak_device::PurchaseList::default());
}

#[tokio::test]
async fn names_that_would_lead_elsewhere_are_left_out_and_never_asked_about() {
    let long = "x".repeat(256);
    let names: Vec<Vec<u8>> = [
        &b"../../../etc/passwd"[..],
        b"a/b",
        b"/etc/passwd",
        b"line\nbreak",
        b"\x1b[2J",
        b"\xff\xfe",
        long.as_bytes(),
        b"link",
        b"fine.m4a",
        b"fine.m4a",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    let phone = with_files(shelf(&[
        ("/Purchases", Node::Directory(names)),
        ("/Purchases/link", Node::Link),
        ("/Purchases/fine.m4a", Node::File(content(3))),
        ("/Books/Purchases", Node::Directory(Vec::new())),
        // Would be found if it were asked for.
        ("/Purchases/a/b", Node::File(content(3))),
    ]))
    .await;
    let list = purchases(&phone).await.list().await.unwrap();
    let seen: Vec<&str> = list.files.iter().map(Purchase::path).collect();
    assert_eq!((seen, list.refused), (vec!["Purchases/fine.m4a"], 8));
}

#[tokio::test]
async fn a_list_without_end_is_refused() {
    let bottomless = with_files(Files {
        bottomless: true,
        ..Files::default()
    })
    .await;
    let error = purchases(&bottomless).await.list().await.unwrap_err();
    assert!(error.to_string().contains("without end"), "{error}");
    // Names that are refused count as well, so this asks the phone for nothing.
    let many = vec![b"a/b".to_vec(); usize::try_from(Purchases::ENTRIES_MAX).unwrap() + 1];
    let endless = with_files(shelf(&[("/Purchases", Node::Directory(many))])).await;
    let error = purchases(&endless).await.list().await.unwrap_err();
    assert!(matches!(error, DeviceError::Refused { .. }), "{error:?}");
    let giant = vec![vec![b'x'; 3 << 20]];
    let giant = with_files(shelf(&[("/Purchases", Node::Directory(giant))])).await;
    let error = purchases(&giant).await.list().await.unwrap_err();
    assert!(matches!(error, DeviceError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_is_as_long_as_its_list_said() {
    let phone = with_files(shelf(&[])).await;
    let mut purchases = purchases(&phone).await;
    // The list says less, then more, than there is.
    phone.change(|nature| nature.files.size = Some(10));
    let list = purchases.list().await.unwrap();
    phone.change(|nature| nature.files.size = None);
    let first = list
        .files
        .iter()
        .find(|file| file.path() == "Purchases/1.m4a")
        .unwrap();
    assert_eq!(
        read_all(&mut purchases, first, 0).await.unwrap(),
        content(10)
    );
    let short = list
        .files
        .iter()
        .find(|file| file.path() == "Purchases/art/x.jpg")
        .unwrap();
    let error = read_all(&mut purchases, short, 0).await.unwrap_err();
    assert!(error.to_string().contains("5 bytes early"), "{error}");
    // It may go away, too; the next one is not concerned.
    phone.change(|nature| drop(nature.files.nodes.remove("/Purchases/art/x.jpg")));
    let error = read_all(&mut purchases, short, 0).await.unwrap_err();
    assert!(matches!(error, DeviceError::Service { .. }), "{error:?}");
    assert_eq!(
        read_all(&mut purchases, first, 9).await.unwrap(),
        content(10)[9..]
    );
    phone.change(|nature| nature.files.generous = true);
    let error = read_all(&mut purchases, first, 0).await.unwrap_err();
    assert!(matches!(error, DeviceError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_mute_phone_is_left_in_time_and_not_asked_again() {
    let phone = with_files(shelf(&[])).await;
    let deadlines = Deadlines {
        request: Duration::from_millis(300),
        ..Deadlines::default()
    };
    let mut session = session(&phone, &deadlines).await;
    let mut purchases = Purchases::open(&mut session).await.unwrap();
    let list = purchases.list().await.unwrap();
    phone.change(|nature| nature.files.mute_on = Some(0x0f));
    let first = &list.files[0];
    let mut reader = purchases.read(first, 0).await.unwrap();
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, DeviceError::TimedOut { .. }), "{error:?}");
    // What comes late would be taken for the answer to something else.
    phone.change(|nature| nature.files.mute_on = None);
    let error = reader.next().await.unwrap_err();
    assert!(error.to_string().contains("earlier question"), "{error}");
}
