//! Encrypted backups and the backup password, against the reference host.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup_host;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backup_host::{
    Manners, TestPhone, assert_equal, assert_sealed, backup, change_password, force_full,
    manifest_rows, open_backup, scratch, session, status,
};
use ibak_sim::backup::{BackupError, Faults, PasscodeAnswer, Quirk};
use ibak_sim::content::{ContentSpec, FileKind};

const PASSWORD: &str = "tide-harbour 7 \u{e9}";

fn dir(phone: &TestPhone, root: &Path) -> PathBuf {
    root.join(&phone.identity.udid)
}

fn assert_whole(phone: &TestPhone, root: &Path, password: &str) -> backup_host::Opened {
    let tree = phone.content.lock().unwrap().snapshot_with_secrets();
    assert_sealed(&dir(phone, root), &tree, password)
}

#[tokio::test]
async fn a_phone_with_a_password_encrypts_everything() {
    for ios in ["12.5.7", "15.6", "26.3"] {
        let phone = TestPhone::small(ios).with_password(PASSWORD);
        let root = scratch();
        let first = backup(&phone, root.path()).await;
        assert_eq!(first.code(), 0, "{ios}: {}", first.description());
        assert!(first.end().full);
        let opened = assert_whole(&phone, root.path(), PASSWORD);
        assert_eq!(opened.manifest["WasPasscodeSet"].as_boolean(), Some(true));
        let dir = dir(&phone, root.path());
        assert!(open_backup(&dir, "tide-harbour 8 \u{e9}").is_none());
        // Nothing on the host is as it is on the phone, and files differ in their keys.
        let content = phone.content.lock().unwrap();
        let mut keys = BTreeMap::new();
        for file in content
            .files()
            .filter(|file| file.kind == FileKind::Regular && file.size > 0)
        {
            let id = file.id.hex();
            let key = opened.encryption_key(&id).expect("a key");
            assert_eq!(keys.insert(key, id), None, "two files with one key");
        }
        let classes: std::collections::BTreeSet<u8> = keys.keys().map(|key| key[0]).collect();
        assert!(classes.len() >= 3, "{classes:?}");
        assert_eq!(
            status(&dir).unwrap()["SnapshotState"].as_string(),
            Some("finished")
        );
    }
}

#[tokio::test]
async fn only_an_encrypted_backup_holds_what_is_secret() {
    let secrets = [
        ("KeychainDomain", "keychain-backup.plist"),
        ("HealthDomain", "Health/healthdb_secure.sqlite"),
        (
            "SystemPreferencesDomain",
            "com.apple.wifi.known-networks.plist",
        ),
        ("HomeDomain", "Library/Safari/History.db"),
        ("HomeDomain", "Library/CallHistoryDB/CallHistory.storedata"),
    ];
    let phone = TestPhone::small("15.6");
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let plain = manifest_rows(&dir(&phone, root.path()));
    let phone = TestPhone::small("15.6").with_password(PASSWORD);
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let sealed = assert_whole(&phone, root.path(), PASSWORD).rows;
    for (domain, path) in secrets {
        let id = ibak_sim::content::FileId::of(domain, path).hex();
        assert!(!plain.contains_key(&id), "{path} in a plain backup");
        assert_eq!(sealed[&id].path, path);
    }
    assert!(plain.keys().all(|id| sealed.contains_key(id)));
}

#[tokio::test]
async fn an_encrypted_increment_sends_what_changed_and_keeps_the_keys_of_the_rest() {
    let phone = TestPhone::small("15.6").with_password(PASSWORD);
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    for (touch, add, delete) in [(12, 5, 4), (0, 0, 3), (0, 2, 0), (0, 0, 0)] {
        let before = assert_whole(&phone, root.path(), PASSWORD);
        phone.change(touch, add, delete);
        let next = backup(&phone, root.path()).await;
        assert_eq!((next.code(), next.end().full), (0, false));
        assert_eq!(next.files() as u64, touch + add);
        let after = assert_whole(&phone, root.path(), PASSWORD);
        let kept = before
            .rows
            .keys()
            .filter(|id| after.rows.contains_key(*id))
            .filter(|id| before.encryption_key(id) == after.encryption_key(id));
        let possible = before.rows.len() as u64 - touch - delete;
        assert_eq!(kept.count() as u64, possible);
        assert_eq!(
            before.manifest["BackupKeyBag"],
            after.manifest["BackupKeyBag"]
        );
    }
}

#[tokio::test]
async fn an_interrupted_encrypted_backup_resumes() {
    let phone = TestPhone::small("15.6").with_password(PASSWORD);
    let root = scratch();
    phone.faults.lock().unwrap().drop_after_bytes = Some(4 << 20);
    let cut = backup(&phone, root.path()).await;
    assert!(matches!(cut.phone, Err(BackupError::Dropped)));
    *phone.faults.lock().unwrap() = Faults::default();
    let next = backup(&phone, root.path()).await;
    assert_eq!(next.code(), 0, "{}", next.description());
    assert!(next.end().resumed_files > 50, "{:?}", next.end());
    assert_whole(&phone, root.path(), PASSWORD);
}

#[tokio::test]
async fn what_waits_under_other_keys_is_not_taken_for_ones_own() {
    for disabled_between in [false, true] {
        let phone = TestPhone::small("15.6").with_password("first");
        let root = scratch();
        phone.faults.lock().unwrap().drop_after_bytes = Some(4 << 20);
        let cut = backup(&phone, root.path()).await;
        assert!(matches!(cut.phone, Err(BackupError::Dropped)));
        *phone.faults.lock().unwrap() = Faults::default();
        let code = change_password(&phone, root.path(), "first", "")
            .await
            .code();
        assert_eq!(code, 0);
        if disabled_between {
            let plain = backup(&phone, root.path()).await;
            assert_eq!((plain.code(), plain.end().full), (0, true));
            assert_equal(root.path(), &phone);
        }
        let code = change_password(&phone, root.path(), "", "second")
            .await
            .code();
        assert_eq!(code, 0);
        let next = backup(&phone, root.path()).await;
        assert_eq!((next.code(), next.end().full), (0, true));
        assert_eq!(next.end().resumed_files, 0);
        assert_whole(&phone, root.path(), "second");
    }
}

#[tokio::test]
async fn the_password_is_set_changed_and_taken_away() {
    let phone = TestPhone::small("15.6");
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);

    let on = change_password(&phone, root.path(), "", "one").await;
    assert_eq!(on.code(), 0, "{}", on.description());
    let next = backup(&phone, root.path()).await;
    assert_eq!((next.code(), next.end().full), (0, true), "on: full");
    let first = assert_whole(&phone, root.path(), "one");

    let changed = change_password(&phone, root.path(), "one", "two").await;
    assert_eq!(changed.code(), 0);
    let names = changed.names();
    let operations: Vec<&&str> = names
        .iter()
        .filter(|name| name.starts_with("DLMessage"))
        .collect();
    assert!(
        operations.contains(&&"DLMessageDownloadFiles"),
        "{operations:?}"
    );
    assert!(
        operations.contains(&&"DLMessageUploadFiles"),
        "{operations:?}"
    );
    // The host's backup opens with the new password already.
    let second = assert_whole(&phone, root.path(), "two");
    assert!(open_backup(&dir(&phone, root.path()), "one").is_none());
    assert_eq!(first.keys, second.keys);
    assert_ne!(
        first.manifest["BackupKeyBag"],
        second.manifest["BackupKeyBag"]
    );
    assert_eq!(
        first.manifest["ManifestKey"],
        second.manifest["ManifestKey"]
    );
    phone.change(3, 1, 0);
    let next = backup(&phone, root.path()).await;
    assert_eq!(
        (next.code(), next.end().full),
        (0, false),
        "change: goes on"
    );
    assert_eq!(next.files(), 4);
    assert_whole(&phone, root.path(), "two");

    let off = change_password(&phone, root.path(), "two", "").await;
    assert_eq!(off.code(), 0);
    let next = backup(&phone, root.path()).await;
    assert_eq!((next.code(), next.end().full), (0, true), "off: full");
    assert_equal(root.path(), &phone);
    assert_eq!(*phone.password_changes.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_change_the_hosts_copy_missed_makes_the_next_backup_full() {
    let phone = TestPhone::small("15.6").with_password("one");
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let manifest = dir(&phone, root.path()).join("Manifest.plist");
    let kept = std::fs::read(&manifest).unwrap();
    assert_eq!(
        change_password(&phone, root.path(), "one", "two")
            .await
            .code(),
        0
    );
    std::fs::write(&manifest, kept).unwrap();
    let next = backup(&phone, root.path()).await;
    assert_eq!(
        (next.code(), next.end().full),
        (0, true),
        "{}",
        next.description()
    );
    assert_whole(&phone, root.path(), "two");

    // The same without any backup on the host, and with one of other keys.
    let elsewhere = scratch();
    assert_eq!(
        change_password(&phone, elsewhere.path(), "two", "three")
            .await
            .code(),
        0
    );
    let next = backup(&phone, root.path()).await;
    assert_eq!((next.code(), next.end().full), (0, true));
    assert_whole(&phone, root.path(), "three");
    let other = TestPhone::small("15.6").with_password("three");
    let next = backup(&other, root.path()).await;
    assert_eq!((next.code(), next.end().full), (0, true));
    assert_whole(&other, root.path(), "three");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_207_and_changes_nothing() {
    let invalid = (207, "Invalid password (MBErrorDomain/207)");
    let table = [
        // there is one: old, new
        (Some("one"), "wrong", "two", invalid),
        (Some("one"), "wrong", "", invalid),
        (Some("one"), "", "two", invalid),
        (Some("one"), "", "", invalid),
        (None, "one", "", invalid),
        (None, "one", "two", invalid),
        (None, "", "", invalid),
    ];
    for (has, old, new, expected) in table {
        let mut phone = TestPhone::small("15.6");
        if let Some(has) = has {
            phone = phone.with_password(has);
        }
        let root = scratch();
        let before = phone.memory.lock().unwrap().clone();
        let answer = change_password(&phone, root.path(), old, new).await;
        assert_eq!(
            (answer.code(), answer.description()),
            expected,
            "{old} {new}"
        );
        assert_eq!(*phone.memory.lock().unwrap(), before);
        assert_eq!(*phone.password_changes.lock().unwrap(), 0);
    }
}

#[tokio::test]
async fn a_profile_that_requires_encryption_forbids_what_is_plain() {
    let mut phone = TestPhone::small("15.6");
    phone.requires_encryption = true;
    let root = scratch();
    let plain = backup(&phone, root.path()).await;
    assert_eq!(plain.code(), 207, "{}", plain.description());
    assert_eq!(plain.received.len(), 0);
    assert_eq!(
        change_password(&phone, root.path(), "", "one").await.code(),
        0
    );
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    assert_whole(&phone, root.path(), "one");
    let off = change_password(&phone, root.path(), "one", "").await;
    assert_eq!(off.code(), 207);
    assert!(off.description().contains("required by a profile"));
    assert_eq!(
        change_password(&phone, root.path(), "one", "two")
            .await
            .code(),
        0
    );
    assert!(phone.memory.lock().unwrap().lock.is_some());
}

#[tokio::test]
async fn a_change_nobody_confirms_is_208_and_changes_nothing() {
    for answer in [PasscodeAnswer::Ignored, PasscodeAnswer::Dismissed] {
        let mut phone = TestPhone::small("15.6");
        phone.passcode = answer;
        let root = scratch();
        let ended = change_password(&phone, root.path(), "", "one").await;
        assert_eq!(
            (ended.code(), ended.description()),
            (208, "Device locked (MBErrorDomain/208)")
        );
        assert_eq!(phone.memory.lock().unwrap().lock, None);
    }
}

#[tokio::test]
async fn a_host_that_cannot_take_the_new_keybag_leaves_the_old_password() {
    let phone = TestPhone::small("15.6").with_password("one");
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let manners = Manners {
        beside: vec![
            ("OldPassword", "one".to_owned()),
            ("NewPassword", "two".to_owned()),
        ],
        refuse: [(("DLMessageUploadFiles", 0), -15)].into(),
        ..Manners::default()
    };
    let ended = session(&phone, root.path(), "ChangePassword", None, manners).await;
    assert_eq!(ended.code(), 105, "{}", ended.description());
    assert!(change_password(&phone, root.path(), "two", "").await.code() == 207);
    let next = change_password(&phone, root.path(), "one", "").await;
    assert_eq!(next.code(), 0);
}

#[tokio::test]
async fn full_on_demand_and_either_way_of_what_is_not_known() {
    for quirk in [
        None,
        Some(Quirk::EmptyFilesEncrypted),
        Some(Quirk::ManifestUnpadded),
    ] {
        let spec = ContentSpec {
            files: 1_500,
            bytes: 12 << 20,
            ..ContentSpec::default()
        };
        let mut phone = TestPhone::new("15.6", &spec).with_password(PASSWORD);
        if let Some(quirk) = quirk {
            phone.quirks.insert(quirk);
        }
        let root = scratch();
        assert_eq!(backup(&phone, root.path()).await.code(), 0);
        let full = session(
            &phone,
            root.path(),
            "Backup",
            force_full(),
            Manners::default(),
        )
        .await;
        assert_eq!((full.code(), full.end().full), (0, true));
        let next = backup(&phone, root.path()).await;
        assert_eq!((next.code(), next.end().full), (0, false));
        let opened = assert_whole(&phone, root.path(), PASSWORD);
        let content = phone.content.lock().unwrap();
        let mut files = content.files();
        let empty = files
            .find(|file| file.kind == FileKind::Regular && file.size == 0)
            .expect("an empty file");
        let has_key = opened.encryption_key(&empty.id.hex()).is_some();
        assert_eq!(has_key, quirk == Some(Quirk::EmptyFilesEncrypted));
    }
}

#[tokio::test]
async fn a_damaged_encrypted_manifest_is_205_and_its_loss_too() {
    let phone = TestPhone::small("15.6").with_password(PASSWORD);
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let database = dir(&phone, root.path()).join("Manifest.db");
    let kept = std::fs::read(&database).unwrap();
    for damaged in [kept[..kept.len() - 5].to_vec(), vec![9; 4_096], Vec::new()] {
        std::fs::write(&database, &damaged).unwrap();
        let next = backup(&phone, root.path()).await;
        assert_eq!(next.code(), 205, "{} bytes", damaged.len());
    }
    std::fs::remove_file(&database).unwrap();
    assert_eq!(backup(&phone, root.path()).await.code(), 205);
}

#[tokio::test]
async fn info_and_list_want_the_password() {
    let phone = TestPhone::small("15.6").with_password(PASSWORD);
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    // What the host writes.
    let info = plist::Dictionary::from_iter([("Device Name".to_owned(), "a")]);
    let info = plist::Value::Dictionary(info);
    info.to_file_binary(dir(&phone, root.path()).join("Info.plist"))
        .unwrap();
    for request in ["Info", "List"] {
        for (given, code) in [(None, 207), (Some("wrong"), 207), (Some(PASSWORD), 0)] {
            let given = given.map(|text| ("Password", text.to_owned()));
            let manners = Manners {
                beside: given.into_iter().collect(),
                ..Manners::default()
            };
            let answer = session(&phone, root.path(), request, None, manners).await;
            assert_eq!(answer.code(), code, "{request}: {}", answer.description());
            if code == 0 {
                let text = answer.response.unwrap()["Content"]
                    .as_string()
                    .unwrap()
                    .to_owned();
                let expected = match request {
                    "Info" => "Encrypted: yes",
                    _ => "HomeDomain,\"Library/SMS/sms.db\",1",
                };
                assert!(text.contains(expected), "{text}");
            }
        }
    }
}
