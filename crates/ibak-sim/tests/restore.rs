//! A restore: what the phone reads, what it has afterwards, and what it refuses.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup_host;

use std::path::Path;

use backup_host::{Manners, Session, TestPhone, backup, scratch, session_from};
use ibak_sim::backup::{BackupError, Faults, PasscodeAnswer, Phase, Quirk, RestoredContent};
use ibak_sim::content::{ContentSpec, FileKind};
use plist::{Dictionary, Value};

fn options(on: &[&str]) -> Dictionary {
    let all = [
        "RestoreSystemFiles",
        "RestoreShouldReboot",
        "RestoreDontCopyBackup",
        "RestorePreserveSettings",
        "RemoveItemsNotRestored",
    ];
    all.into_iter()
        .map(|key| (key.to_owned(), Value::Boolean(on.contains(&key))))
        .collect()
}

fn everything() -> Dictionary {
    options(&["RestoreSystemFiles", "RestoreDontCopyBackup"])
}

/// Backs a phone up into a directory and adds the Info.plist a host writes.
async fn backed_up(phone: &TestPhone, root: &Path) {
    assert_eq!(backup(phone, root).await.code(), 0);
    let apps = phone.content.lock().unwrap().apps().to_vec();
    let names: Vec<Value> = apps
        .iter()
        .map(|app| app.bundle_id.as_str().into())
        .collect();
    let mut info = Dictionary::new();
    info.insert("Installed Applications".into(), Value::Array(names));
    let bytes = backup_host::binary(&Value::Dictionary(info));
    std::fs::write(root.join(&phone.identity.udid).join("Info.plist"), bytes).unwrap();
}

async fn restore(phone: &TestPhone, root: &Path, source: &str, options: Dictionary) -> Session {
    session_from(
        phone,
        root,
        "Restore",
        source,
        Some(options),
        Manners::default(),
    )
    .await
}

fn taken(phone: &TestPhone) -> RestoredContent {
    phone.restored.lock().unwrap().clone().expect("a restore")
}

fn other_phone(ios: &str) -> TestPhone {
    let spec = ContentSpec {
        seed: 12,
        files: 60,
        bytes: 1 << 20,
        apps: 1,
        largest_file: None,
    };
    TestPhone::new(ios, &spec)
}

#[tokio::test]
async fn everything_comes_back_onto_the_phone_and_onto_another() {
    let (phone, root) = (TestPhone::small("15.6"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    let before = backup_host::manifest_rows(&root.path().join(&udid));
    let mut other = other_phone("16.0");
    let mut applications = Dictionary::new();
    applications.insert("com.example.a".into(), Value::Dictionary(Dictionary::new()));
    other.applications = Some(backup_host::binary(&Value::Dictionary(applications)));
    for target in [&phone, &other] {
        let session = restore(target, root.path(), &udid, everything()).await;
        assert_eq!(session.code(), 0, "{}", session.description());
        let content = taken(target);
        assert_eq!(content.differences(&phone.content.lock().unwrap()), [""; 0]);
        assert_eq!(
            (content.source.as_str(), content.ios.as_str()),
            (udid.as_str(), "15.6")
        );
        let apps: Vec<String> = content.apps.iter().cloned().collect();
        let mut expected: Vec<String> = phone
            .content
            .lock()
            .unwrap()
            .apps()
            .iter()
            .map(|app| app.bundle_id.clone())
            .collect();
        expected.sort();
        assert_eq!(apps, expected);
        let end = session.end();
        assert_eq!(end.restored_files, 300);
        assert_eq!(end.restored_bytes, 6 << 20);
        assert!(!end.reboots);
        let link = content.files().find(|file| file.kind == FileKind::Symlink);
        assert!(link.unwrap().target.is_some());
    }
    assert_eq!(taken(&phone).restore_applications, None);
    let named = taken(&other).restore_applications.unwrap();
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["com.example.a"]);
    // Those of its 60 files that the backup does not have stay.
    assert!(taken(&other).others_kept > 0 && taken(&phone).others_kept == 0);
    assert_eq!(before, backup_host::manifest_rows(&root.path().join(&udid)));
}

#[tokio::test]
async fn the_host_is_read_in_the_order_of_the_logs() {
    let (phone, root) = (TestPhone::small("15.6"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    let session = restore(&phone, root.path(), &udid, everything()).await;
    let downloads: Vec<String> = session
        .seen
        .iter()
        .filter(|seen| seen.name() == "DLMessageDownloadFiles")
        .take(3)
        .flat_map(|seen| seen.message[1].as_array().unwrap().clone())
        .map(|path| path.as_string().unwrap().replace(&udid, ""))
        .collect();
    let expected = [
        "/Status.plist",
        "/Manifest.plist",
        "/Manifest.db",
        "/Info.plist",
    ];
    assert_eq!(downloads, expected);
    // 300 files in batches of 128, and Status.plist written back.
    assert_eq!(session.count("DLMessageDownloadFiles"), 3 + 3);
    assert_eq!(session.count("DLMessageUploadFiles"), 1);
    assert_eq!(session.count("DLMessageCopyItem"), 0);
    let progress: Vec<f64> = session
        .seen
        .iter()
        .filter(|seen| seen.name() == "DLMessageDownloadFiles")
        .filter_map(|seen| seen.message[3].as_real())
        .collect();
    assert!(
        progress.is_sorted() && progress.last() == Some(&97.0),
        "{progress:?}"
    );
}

#[tokio::test]
async fn options_and_quirks_change_what_is_taken_and_written() {
    let (mut phone, root) = (TestPhone::small("15.6"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    let session = restore(
        &phone,
        root.path(),
        &udid,
        options(&["RemoveItemsNotRestored"]),
    )
    .await;
    assert_eq!(session.code(), 0, "{}", session.description());
    let content = taken(&phone);
    assert!(!content.domains().contains("RootDomain") && content.domains().contains("HomeDomain"));
    assert_eq!(content.differences(&phone.content.lock().unwrap()), [""; 0]);
    // Without RestoreDontCopyBackup the manifests are copied to scratch, and that is removed.
    assert_eq!(session.count("DLMessageCopyItem"), 3);
    assert!(!root.path().join(".b").exists());
    assert!(content.options.copy && content.options.remove_others && !content.options.reboot);

    phone.quirks.insert(Quirk::RestoreWritesNothing);
    phone.quirks.insert(Quirk::EmptyDownload);
    phone.quirks.insert(Quirk::SmallBatches);
    let on = ["RestoreSystemFiles", "RestoreShouldReboot"];
    let session = restore(&phone, root.path(), &udid, options(&on)).await;
    assert_eq!(session.code(), 0, "{}", session.description());
    assert!(session.end().reboots);
    assert_eq!(
        session
            .names()
            .iter()
            .filter(|name| name.contains("Upload") || name.contains("Copy"))
            .count(),
        0
    );
    assert!(session.count("DLMessageDownloadFiles") > 20);
}

#[tokio::test]
async fn what_cannot_be_restored_ends_in_its_error_and_changes_nothing() {
    type Spoil = fn(&mut TestPhone, &Path);
    let table: [(Spoil, i64); 13] = [
        (|phone, _| phone.standing.find_my = true, 211),
        (|phone, _| phone.standing.setup_unfinished = true, 212),
        (|phone, _| phone.standing.awaits_reboot = true, 102),
        (|phone, _| phone.standing.free_bytes = (6 << 20) - 1, 105),
        (|phone, _| phone.identity.ios = "15.5".parse().unwrap(), 203),
        (|phone, _| phone.passcode = PasscodeAnswer::Ignored, 208),
        (|phone, _| phone.passcode = PasscodeAnswer::Dismissed, 208),
        (
            |_, dir| std::fs::remove_file(dir.join("Status.plist")).unwrap(),
            4,
        ),
        (
            |_, dir| std::fs::remove_file(dir.join("Manifest.plist")).unwrap(),
            205,
        ),
        (
            |_, dir| std::fs::remove_file(dir.join("Manifest.db")).unwrap(),
            205,
        ),
        (
            |_, dir| std::fs::write(dir.join("Manifest.db"), [7; 5_000]).unwrap(),
            205,
        ),
        (
            |_, dir| {
                let prefixes = (0..=255).map(|byte| dir.join(format!("{byte:02x}")));
                let mut files = prefixes.flat_map(|prefix| std::fs::read_dir(prefix).unwrap());
                std::fs::remove_file(files.next().unwrap().unwrap().path()).unwrap();
            },
            205,
        ),
        (
            |phone, _| phone.faults.lock().unwrap().refuse_with = Some(25),
            25,
        ),
    ];
    for (at, (spoil, code)) in table.into_iter().enumerate() {
        let (mut phone, root) = (TestPhone::small("15.6"), scratch());
        backed_up(&phone, root.path()).await;
        let udid = phone.identity.udid.clone();
        spoil(&mut phone, &root.path().join(&udid));
        let session = restore(&phone, root.path(), &udid, everything()).await;
        assert_eq!(session.code(), code, "{at}: {}", session.description());
        let domain = format!("(MBErrorDomain/{code})");
        assert!(
            session.description().contains(&domain),
            "{}",
            session.description()
        );
        assert_eq!(*phone.restored.lock().unwrap(), None);
        assert!(!session.end().reboots);
    }
}

#[tokio::test]
async fn a_backup_that_was_never_finished_is_refused() {
    let (phone, root) = (TestPhone::small("15.6"), scratch());
    *phone.faults.lock().unwrap() = Faults {
        drop_in: Some(Phase::Moving),
        drop_after_bytes: Some(0),
        ..Faults::default()
    };
    let session = backup(&phone, root.path()).await;
    assert!(
        matches!(session.phone, Err(BackupError::Dropped)),
        "{:?}",
        session.phone
    );
    *phone.faults.lock().unwrap() = Faults::default();
    let udid = phone.identity.udid.clone();
    let session = restore(&phone, root.path(), &udid, everything()).await;
    assert_eq!(session.code(), 205);
}

#[tokio::test]
async fn icloud_backup_is_switched_and_wants_an_account() {
    let (mut phone, root) = (TestPhone::small("15.6"), scratch());
    let udid = phone.identity.udid.clone();
    for on in [true, false] {
        let options = Dictionary::from_iter([("CloudBackupState".to_owned(), Value::Boolean(on))]);
        let asked = session_from(
            &phone,
            root.path(),
            "EnableCloudBackup",
            &udid,
            Some(options),
            Manners::default(),
        );
        assert_eq!(asked.await.code(), 0);
        assert_eq!(*phone.cloud.lock().unwrap(), Some(on));
    }
    phone.standing.no_icloud_account = true;
    let options = Dictionary::from_iter([("CloudBackupState".to_owned(), Value::Boolean(true))]);
    let asked = session_from(
        &phone,
        root.path(),
        "EnableCloudBackup",
        &udid,
        Some(options),
        Manners::default(),
    );
    assert_eq!(asked.await.code(), 210);
    assert_eq!(*phone.cloud.lock().unwrap(), Some(false));
}

#[tokio::test]
async fn an_encrypted_backup_wants_its_password_and_brings_the_secrets_too() {
    let (phone, root) = (TestPhone::small("15.6").with_password("one"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    let other = other_phone("16.0");
    for password in [None, Some(""), Some("two"), Some("One")] {
        let mut options = everything();
        options.extend(password.map(|text| ("Password".to_owned(), Value::from(text))));
        let session = restore(&other, root.path(), &udid, options).await;
        let expected = "Invalid password when restoring encrypted backup (MBErrorDomain/207)";
        assert_eq!(session.code(), 207, "{password:?}");
        assert!(session.description().starts_with(expected));
        assert_eq!(*other.restored.lock().unwrap(), None);
    }
    let mut options = everything();
    options.insert("Password".to_owned(), "one".into());
    let session = restore(&other, root.path(), &udid, options).await;
    assert_eq!(session.code(), 0, "{}", session.description());
    let content = taken(&other);
    assert!(content.encrypted && content.domains().contains("HealthDomain"));
    assert_eq!(content.differences(&phone.content.lock().unwrap()), [""; 0]);
}

#[tokio::test]
async fn a_backup_can_be_cut_in_every_phase_and_the_next_one_goes_on() {
    use Phase::{Asked, Moving, Removing, Scanning, Uploading, Verifying};
    // Bytes after which a phase is cut; of the uploaded ones a half is kept.
    for (phase, bytes, resumes) in [
        (Asked, 0, false),
        (Scanning, 0, false),
        (Scanning, 200, false),
        (Uploading, 0, false),
        (Uploading, 3 << 20, true),
        (Moving, 0, false),
        (Moving, 20_000, false),
        (Removing, 0, false),
        (Removing, 300, false),
        (Verifying, 0, false),
        (Verifying, 2_000, false),
    ] {
        let (phone, root) = (TestPhone::small("15.6"), scratch());
        *phone.faults.lock().unwrap() = Faults {
            drop_in: Some(phase),
            drop_after_bytes: Some(bytes),
            ..Faults::default()
        };
        let cut = backup(&phone, root.path()).await;
        assert!(
            matches!(cut.phone, Err(BackupError::Dropped)),
            "{phase:?}: {:?}",
            cut.phone
        );
        assert_eq!(cut.response, None);
        assert_eq!(phone.phases.lock().unwrap().last(), Some(&phase));
        *phone.faults.lock().unwrap() = Faults::default();
        let next = backup(&phone, root.path()).await;
        assert_eq!(next.code(), 0, "{phase:?} {bytes}: {}", next.description());
        assert_eq!(
            next.end().resumed_files > 0,
            resumes || phase == Moving,
            "{phase:?} {bytes}"
        );
        backup_host::assert_equal(root.path(), &phone);
    }
}

#[tokio::test]
async fn a_host_that_kept_nothing_gets_everything_again() {
    let (phone, root) = (TestPhone::small("15.6"), scratch());
    *phone.faults.lock().unwrap() = Faults {
        drop_in: Some(Phase::Uploading),
        drop_after_bytes: Some(3 << 20),
        ..Faults::default()
    };
    assert!(backup(&phone, root.path()).await.phone.is_err());
    *phone.faults.lock().unwrap() = Faults::default();
    let empty = scratch();
    let next = backup(&phone, empty.path()).await;
    assert_eq!((next.code(), next.end().resumed_files), (0, 0));
    assert!(next.end().full && next.files() == 300);
    backup_host::assert_equal(empty.path(), &phone);
}

#[tokio::test]
async fn a_restore_that_is_cut_leaves_nothing_and_can_be_done_again() {
    let (phone, root) = (TestPhone::small("15.6"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    for (phase, bytes) in [
        (Phase::Scanning, 100),
        (Phase::Sending, 0),
        (Phase::Sending, 3 << 20),
    ] {
        *phone.faults.lock().unwrap() = Faults {
            drop_in: Some(phase),
            drop_after_bytes: Some(bytes),
            ..Faults::default()
        };
        let cut = restore(&phone, root.path(), &udid, everything()).await;
        assert!(
            matches!(cut.phone, Err(BackupError::Dropped)),
            "{:?}",
            cut.phone
        );
        assert_eq!(*phone.restored.lock().unwrap(), None);
    }
    *phone.faults.lock().unwrap() = Faults::default();
    assert_eq!(
        restore(&phone, root.path(), &udid, everything())
            .await
            .code(),
        0
    );
    assert_eq!(
        taken(&phone).differences(&phone.content.lock().unwrap()),
        [""; 0]
    );
}

#[tokio::test]
async fn the_person_may_cancel_a_restore_and_a_slow_link_slows_it() {
    let (mut phone, root) = (TestPhone::small("15.6"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    let when = tokio::sync::Notify::new();
    when.notify_one();
    phone.interruption = Some((ibak_sim::backup::Interruption::CancelledByPerson, when));
    phone.rate = Some(8 << 20);
    let session = restore(&phone, root.path(), &udid, everything()).await;
    assert_eq!(session.code(), 202, "{}", session.description());
    assert_eq!(*phone.restored.lock().unwrap(), None);
    phone.interruption = None;
    let began = std::time::Instant::now();
    assert_eq!(
        restore(&phone, root.path(), &udid, everything())
            .await
            .code(),
        0
    );
    // 6 MiB at 8 MiB/s: never faster than that.
    assert!(began.elapsed().as_millis() >= 740);
}

#[tokio::test]
async fn every_error_of_the_list_comes_on_demand_and_once() {
    let (phone, root) = (TestPhone::small("15.6"), scratch());
    backed_up(&phone, root.path()).await;
    let udid = phone.identity.udid.clone();
    for code in [
        1, 3, 25, 102, 104, 105, 202, 203, 205, 207, 208, 210, 211, 212, 777,
    ] {
        *phone.faults.lock().unwrap() = Faults {
            refuse_with: Some(code),
            ..Faults::default()
        };
        for request in ["Backup", "Restore", "EnableCloudBackup"] {
            let asked = session_from(
                &phone,
                root.path(),
                request,
                &udid,
                Some(everything()),
                Manners::default(),
            );
            let session = asked.await;
            assert_eq!(session.code(), code, "{request}");
            let domain = format!("(MBErrorDomain/{code})");
            assert!(
                session.description().contains(&domain),
                "{}",
                session.description()
            );
        }
    }
}
