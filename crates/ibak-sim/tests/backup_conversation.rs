//! Full, incremental and resumed backups against the reference host.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup_host;

use std::collections::HashMap;
use std::time::Duration;

use backup_host::{
    Manners, Session, TestPhone, assert_equal, backup, force_full, manifest_rows, session, status,
};
use ibak_sim::backup::{BackupError, Faults, Phase};
use ibak_sim::content::{ContentSpec, FileKind};

#[tokio::test]
async fn a_first_backup_is_full_and_equal_on_every_ios() {
    for ios in ["12.5.7", "13.7", "15.6", "16.1.1", "26.3"] {
        let phone = TestPhone::small(ios);
        let root = backup_host::scratch();
        let session = backup(&phone, root.path()).await;
        assert_eq!(session.code(), 0, "{ios}: {}", session.description());
        assert!(session.end().full);
        assert_eq!(session.files(), 300, "{ios}");
        assert_eq!(session.end().uploaded_bytes, 6 << 20);
        assert_equal(root.path(), &phone);
        assert_eq!(phone.memory.lock().unwrap().partial, None);
        let uuid = status(&root.path().join(&phone.identity.udid)).unwrap()["UUID"]
            .as_string()
            .unwrap()
            .to_owned();
        assert_eq!(
            phone.memory.lock().unwrap().last.as_ref().unwrap().uuid,
            uuid
        );
        use Phase::{Asked, Ended, Moving, Removing, Scanning, Uploading, Verifying};
        assert_eq!(
            *phone.phases.lock().unwrap(),
            [
                Asked, Scanning, Uploading, Moving, Removing, Verifying, Ended
            ]
        );
    }
}

#[tokio::test]
async fn an_incremental_sends_what_changed_and_nothing_else() {
    for ios in ["12.5.7", "15.6"] {
        let phone = TestPhone::small(ios);
        let root = backup_host::scratch();
        assert_eq!(backup(&phone, root.path()).await.code(), 0);
        for (touch, add, delete) in [(12, 5, 4), (0, 0, 3), (0, 2, 0), (0, 0, 0)] {
            let before = manifest_rows(&root.path().join(&phone.identity.udid));
            phone.change(touch, add, delete);
            let session = backup(&phone, root.path()).await;
            assert_eq!(session.code(), 0, "{}", session.description());
            assert!(!session.end().full);
            assert_eq!(session.files(), (touch + add) as usize);
            // One message per file, and one for the two manifests.
            assert_eq!(session.end().moves, touch + add + 1);
            assert_equal(root.path(), &phone);
            let after = manifest_rows(&root.path().join(&phone.identity.udid));
            let content = phone.content.lock().unwrap();
            let regular = |id: &String| before[id].flags == FileKind::Regular.flags();
            let changed = before
                .iter()
                .filter(|(id, row)| regular(id) && after.get(*id).is_some_and(|new| new != *row));
            assert_eq!(changed.count() as u64, touch);
            drop(content);
        }
    }
}

#[tokio::test]
async fn force_full_sends_everything_again_over_an_older_backup() {
    let phone = TestPhone::small("15.6");
    let root = backup_host::scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    phone.change(3, 2, 5);
    let full = session(
        &phone,
        root.path(),
        "Backup",
        force_full(),
        Manners::default(),
    )
    .await;
    assert_eq!((full.code(), full.files()), (0, 297));
    assert!(full.end().full);
    assert_equal(root.path(), &phone);
}

/// Runs a backup that is cut after so many bytes of content.
async fn cut(phone: &TestPhone, root: &std::path::Path, bytes: u64) -> Session {
    phone.faults.lock().unwrap().drop_after_bytes = Some(bytes);
    let cut = backup(phone, root).await;
    assert!(
        matches!(cut.phone, Err(BackupError::Dropped)),
        "{:?}",
        cut.phone
    );
    assert_eq!(cut.response, None);
    *phone.faults.lock().unwrap() = Faults::default();
    cut
}

#[tokio::test]
async fn an_interrupted_full_backup_resumes_with_what_is_there() {
    let phone = TestPhone::small("15.6");
    let root = backup_host::scratch();
    cut(&phone, root.path(), 4 << 20).await;
    let dir = root.path().join(&phone.identity.udid);
    let interrupted = status(&dir).unwrap();
    assert_eq!(interrupted["SnapshotState"].as_string(), Some("uploading"));
    let acknowledged = phone
        .memory
        .lock()
        .unwrap()
        .partial
        .as_ref()
        .unwrap()
        .uploaded
        .len();
    assert!(acknowledged >= 128, "{acknowledged}");
    let resumed = backup(&phone, root.path()).await;
    assert_eq!(resumed.code(), 0, "{}", resumed.description());
    assert_eq!(resumed.end().resumed_files as usize, acknowledged);
    assert_eq!(resumed.files(), 300 - acknowledged);
    assert_eq!(status(&dir).unwrap()["UUID"], interrupted["UUID"]);
    assert_equal(root.path(), &phone);
}

#[tokio::test]
async fn a_file_that_changed_while_interrupted_is_sent_again_even_with_the_same_size() {
    let phone = TestPhone::small("26.3");
    let root = backup_host::scratch();
    cut(&phone, root.path(), 5 << 20).await;
    phone.change(150, 3, 10);
    let resumed = backup(&phone, root.path()).await;
    assert_eq!(resumed.code(), 0, "{}", resumed.description());
    assert!(resumed.end().resumed_files > 0);
    assert_equal(root.path(), &phone);
}

#[tokio::test]
async fn an_interrupted_incremental_resumes_on_its_base() {
    let phone = TestPhone::small("15.6");
    let root = backup_host::scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    phone.change(250, 20, 10);
    cut(&phone, root.path(), 3 << 20).await;
    let resumed = backup(&phone, root.path()).await;
    assert_eq!(resumed.code(), 0, "{}", resumed.description());
    assert!(!resumed.end().full && resumed.end().resumed_files >= 128);
    assert_eq!(resumed.files() as u64 + resumed.end().resumed_files, 270);
    assert_equal(root.path(), &phone);
}

#[tokio::test]
async fn a_file_cut_short_in_the_snapshot_is_sent_again() {
    let phone = TestPhone::small("15.6");
    let root = backup_host::scratch();
    cut(&phone, root.path(), 4 << 20).await;
    let dir = root.path().join(&phone.identity.udid).join("Snapshot");
    let mut damaged = 0;
    for prefix in std::fs::read_dir(dir).unwrap() {
        for file in std::fs::read_dir(prefix.unwrap().path()).unwrap().take(1) {
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(file.unwrap().path())
                .unwrap();
            let size = file.metadata().unwrap().len();
            file.set_len(size + 1).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 50);
    // The phone was restarted and remembers nothing: it goes by the sizes.
    *phone.memory.lock().unwrap() = ibak_sim::backup::BackupMemory::default();
    let resumed = backup(&phone, root.path()).await;
    assert_eq!(resumed.code(), 0);
    assert!(resumed.end().resumed_files > 0);
    assert_equal(root.path(), &phone);
}

#[tokio::test]
async fn a_stop_in_each_later_phase_is_finished_by_the_next_backup() {
    // The connection ends when the host answers the n-th message of a name with an error.
    let stops = [
        ("DLMessageMoveItems", 0, -1),
        ("DLMessageMoveItems", 150, -11),
        ("DLMessageMoveItems", 300, -1),
        ("DLMessageRemoveItems", 0, -11),
        ("DLMessageCreateDirectory", 100, -15),
        ("DLMessageUploadFiles", 3, -11),
    ];
    for (name, nth, code) in stops {
        let phone = TestPhone::small("15.6");
        let root = backup_host::scratch();
        let manners = Manners {
            refuse: HashMap::from([((name, nth), code)]),
            ..Manners::default()
        };
        let stopped = session(&phone, root.path(), "Backup", None, manners).await;
        assert_ne!(stopped.code(), 0, "{name} {nth}");
        phone.change(20, 5, 5);
        let next = backup(&phone, root.path()).await;
        assert_eq!(next.code(), 0, "{name} {nth}: {}", next.description());
        assert_equal(root.path(), &phone);
    }
}

#[tokio::test]
async fn info_and_list_describe_the_hosts_backup() {
    let phone = TestPhone::small("13.3.1");
    let root = backup_host::scratch();
    let absent = session(&phone, root.path(), "List", None, Manners::default()).await;
    assert_eq!(absent.code(), 205);
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let dir = root.path().join(&phone.identity.udid);
    let info = plist::Value::Dictionary(plist::Dictionary::from_iter([(
        "Device Name".to_owned(),
        plist::Value::from("Ada's iPhone"),
    )]));
    info.to_file_xml(dir.join("Info.plist")).unwrap();
    let info = session(&phone, root.path(), "Info", None, Manners::default()).await;
    let text = info.response.as_ref().unwrap()["Content"]
        .as_string()
        .unwrap()
        .to_owned();
    assert!(
        text.contains("Device Name: Ada's iPhone") && text.contains("Encrypted: no"),
        "{text}"
    );
    let list = session(&phone, root.path(), "List", None, Manners::default()).await;
    let text = list.response.as_ref().unwrap()["Content"]
        .as_string()
        .unwrap()
        .to_owned();
    let rows = phone.content.lock().unwrap().files().len();
    assert_eq!(text.lines().count(), rows + 1);
    assert!(text.contains("HomeDomain,\"Library/SMS/sms.db\",1"));
}

#[tokio::test]
async fn a_slow_phone_keeps_its_rate() {
    let mut phone = TestPhone::new(
        "15.6",
        &ContentSpec {
            seed: 1,
            files: 10,
            bytes: 1 << 20,
            apps: 0,
            largest_file: None,
        },
    );
    phone.rate = Some(4 << 20);
    let root = backup_host::scratch();
    let start = std::time::Instant::now();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    assert!(
        start.elapsed() >= Duration::from_millis(240),
        "{:?}",
        start.elapsed()
    );
    assert_equal(root.path(), &phone);
}
