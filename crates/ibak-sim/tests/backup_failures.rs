//! What goes wrong on the host, on the phone and between them, and the error it ends in.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup_host;

use std::collections::HashMap;
use std::time::Duration;

use backup_host::{Manners, TestPhone, assert_equal, assert_equal_but, backup, session};
use ibak_sim::backup::{BackupError, Faults, Interruption, PasscodeAnswer};
use ibak_sim::content::ContentSpec;

#[tokio::test]
async fn host_errors_end_in_the_errors_of_real_phones() {
    let table = [
        ("DLMessageUploadFiles", 1, -15, 105),
        ("DLMessageUploadFiles", 1, -1, 104),
        ("DLMessageCreateDirectory", 5, -15, 105),
        ("DLMessageCreateDirectory", 5, -11, 100),
        ("DLContentsOfDirectory", 0, -11, 100),
        ("DLMessageMoveItems", 7, -6, 4),
        ("DLMessageMoveItems", 7, -1, 2),
        ("DLMessageGetFreeDiskSpace", 0, -1, 105),
        ("DLMessageDownloadFiles", 0, -11, 103),
    ];
    for (name, nth, code, expected) in table {
        for unsigned_codes in [false, true] {
            let phone = TestPhone::small("15.6");
            let root = backup_host::scratch();
            let refuse = HashMap::from([((name, nth), code)]);
            let manners = Manners {
                refuse,
                unsigned_codes,
                ..Manners::default()
            };
            let session = session(&phone, root.path(), "Backup", None, manners).await;
            assert_eq!(
                session.code(),
                expected,
                "{name} {nth} {code}: {}",
                session.description()
            );
            let domain = format!("(MBErrorDomain/{expected})");
            assert!(
                session.description().contains(&domain),
                "{}",
                session.description()
            );
        }
    }
}

#[tokio::test]
async fn a_spoilt_previous_backup_is_refused_with_205_or_made_anew() {
    type Spoil = fn(&std::path::Path);
    fn some_payload(dir: &std::path::Path) -> std::path::PathBuf {
        let prefixes = (0..=255).map(|byte| dir.join(format!("{byte:02x}")));
        let mut files = prefixes.flat_map(|prefix| std::fs::read_dir(prefix).unwrap());
        files.next().unwrap().unwrap().path()
    }
    let table: [(&str, Spoil, i64, bool); 7] = [
        (
            "no Manifest.plist",
            |dir| std::fs::remove_file(dir.join("Manifest.plist")).unwrap(),
            205,
            false,
        ),
        (
            "no Manifest.db",
            |dir| std::fs::remove_file(dir.join("Manifest.db")).unwrap(),
            205,
            false,
        ),
        (
            "no database",
            |dir| std::fs::write(dir.join("Manifest.db"), [7; 5_000]).unwrap(),
            205,
            false,
        ),
        (
            "a file is gone",
            |dir| std::fs::remove_file(some_payload(dir)).unwrap(),
            205,
            false,
        ),
        (
            "an empty Manifest.plist",
            |dir| std::fs::write(dir.join("Manifest.plist"), []).unwrap(),
            0,
            true,
        ),
        (
            "no Status.plist",
            |dir| std::fs::remove_file(dir.join("Status.plist")).unwrap(),
            0,
            true,
        ),
        (
            "Status.plist is not one",
            |dir| std::fs::write(dir.join("Status.plist"), "x").unwrap(),
            103,
            false,
        ),
    ];
    for (what, spoil, code, full) in table {
        let phone = TestPhone::small("15.6");
        let root = backup_host::scratch();
        assert_eq!(backup(&phone, root.path()).await.code(), 0);
        spoil(&root.path().join(&phone.identity.udid));
        let next = backup(&phone, root.path()).await;
        assert_eq!(
            (next.code(), next.end().full),
            (code, full),
            "{what}: {}",
            next.description()
        );
        if code == 0 {
            assert_equal(root.path(), &phone);
        }
    }
}

#[tokio::test]
async fn another_phones_or_an_encrypted_manifest_makes_it_full() {
    for (key, value) in [
        ("IsEncrypted", plist::Value::Boolean(true)),
        ("Version", "9.1".into()),
    ] {
        let phone = TestPhone::small("15.6");
        let root = backup_host::scratch();
        assert_eq!(backup(&phone, root.path()).await.code(), 0);
        let path = root
            .path()
            .join(&phone.identity.udid)
            .join("Manifest.plist");
        let mut manifest = plist::Value::from_file(&path)
            .unwrap()
            .into_dictionary()
            .unwrap();
        manifest.insert(key.to_owned(), value);
        plist::Value::Dictionary(manifest)
            .to_file_binary(&path)
            .unwrap();
        let next = backup(&phone, root.path()).await;
        assert_eq!((next.code(), next.end().full), (0, true), "{key}");
        assert_equal(root.path(), &phone);
    }
}

#[tokio::test]
async fn what_comes_back_in_the_verify_phase_is_compared_from_ios_13_on() {
    for (ios, code) in [("12.5.7", 0), ("13.7", 205), ("26.3", 205)] {
        for end in ["Status.plist", "Manifest.plist", "Manifest.db"] {
            let phone = TestPhone::small(ios);
            let root = backup_host::scratch();
            // A first backup downloads no manifest before the verify phase; Status.plist it does.
            let manners = Manners {
                forge: Some((end, b"forged".to_vec())),
                ..Manners::default()
            };
            let session = session(&phone, root.path(), "Backup", None, manners).await;
            let expected = if end == "Status.plist" { 103 } else { code };
            assert_eq!(
                session.code(),
                expected,
                "{ios} {end}: {}",
                session.description()
            );
        }
    }
}

#[tokio::test]
async fn unreadable_files_are_left_out_and_come_with_the_next_backup() {
    let phone = TestPhone::small("17.2.1");
    let root = backup_host::scratch();
    *phone.faults.lock().unwrap() = Faults {
        local_errors: 3,
        remote_errors: 2,
        ..Faults::default()
    };
    let first = backup(&phone, root.path()).await;
    assert_eq!(first.code(), 0, "{}", first.description());
    let codes: Vec<u8> = first
        .received
        .iter()
        .filter(|file| file.code != 0)
        .map(|file| file.code)
        .collect();
    assert_eq!(codes, [6, 6, 6, 11, 11]);
    let failed: Vec<String> = first
        .received
        .iter()
        .filter(|file| file.code != 0)
        .map(|file| file.host_path.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_equal_but(root.path(), &phone, &failed);
    *phone.faults.lock().unwrap() = Faults::default();
    let next = backup(&phone, root.path()).await;
    assert_eq!((next.code(), next.files()), (0, 5));
    assert_equal(root.path(), &phone);
}

#[tokio::test]
async fn many_unreadable_files_may_end_in_104() {
    let phone = TestPhone::small("15.8.2");
    let root = backup_host::scratch();
    *phone.faults.lock().unwrap() = Faults {
        local_errors: 9,
        errors_end_with_104: true,
        ..Faults::default()
    };
    let session = backup(&phone, root.path()).await;
    assert_eq!(
        (session.code(), session.description()),
        (104, "Multiple errors uploading files (MBErrorDomain/104)")
    );
}

#[tokio::test]
async fn space_must_exceed_the_upload_by_128_mib() {
    const NEED: u64 = (6 << 20) + (128 << 20);
    let table = [
        ("15.6", vec![NEED + 1], Err(-1), 0, 0),
        ("15.6", vec![NEED], Err(-1), 105, 1),
        ("15.6", vec![NEED - 5, NEED + 1], Ok(6), 0, 1),
        ("15.6", vec![NEED - 5, NEED - 1], Ok(4), 105, 1),
        ("15.6", vec![NEED - 5, NEED + 1], Ok(0), 105, 1),
        ("13.7", vec![NEED - 5], Ok(6), 105, 0),
    ];
    for (ios, free_bytes, purge, code, purges) in table {
        let phone = TestPhone::small(ios);
        let root = backup_host::scratch();
        let manners = Manners {
            free_bytes: free_bytes.clone(),
            purge,
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        assert_eq!(
            session.code(),
            code,
            "{ios} {free_bytes:?}: {}",
            session.description()
        );
        assert_eq!(session.count("DLMessagePurgeDiskSpace"), purges);
        if code == 105 {
            assert_eq!(session.count("DLMessageUploadFiles"), 0, "a byte moved");
        }
    }
}

#[tokio::test]
async fn the_passcode_comes_before_everything_else() {
    for (answer, code) in [
        (PasscodeAnswer::Given, 0),
        (PasscodeAnswer::Ignored, 208),
        (PasscodeAnswer::Dismissed, 208),
    ] {
        let mut phone = TestPhone::small("16.1.1");
        phone.passcode = answer;
        let root = backup_host::scratch();
        let manners = Manners {
            free_bytes: vec![if code == 0 { 1 << 40 } else { 0 }],
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        assert_eq!(session.code(), code);
        if code != 0 {
            assert_eq!(session.description(), "Device locked (MBErrorDomain/208)");
            assert_eq!(
                session.seen.len(),
                4,
                "nothing was asked of the host: {:?}",
                session.names()
            );
        }
    }
}

#[tokio::test]
async fn the_person_or_a_lock_ends_a_running_backup() {
    for (interruption, code) in [
        (Interruption::CancelledByPerson, 202),
        (Interruption::Locked, 104),
    ] {
        let mut phone = TestPhone::new(
            "15.6",
            &ContentSpec {
                seed: 3,
                files: 600,
                bytes: 8 << 20,
                apps: 2,
                largest_file: None,
            },
        );
        let when = tokio::sync::Notify::new();
        phone.interruption = Some((interruption, when));
        phone.rate = Some(4 << 20);
        let root = backup_host::scratch();
        let later = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            phone.interruption.as_ref().unwrap().1.notify_one();
        };
        let (session, ()) = tokio::join!(backup(&phone, root.path()), later);
        assert_eq!(session.code(), code, "{}", session.description());
        assert!(session.files() < 600);
        // The next backup goes on from there.
        phone.interruption = None;
        phone.rate = None;
        let next = backup(&phone, root.path()).await;
        assert_eq!(next.code(), 0);
        assert_equal(root.path(), &phone);
    }
}

#[tokio::test]
async fn large_frames_are_counted_and_128_mib_kills_the_agent() {
    let phone = TestPhone::small("26.3");
    let root = backup_host::scratch();
    assert_eq!(backup(&phone, root.path()).await.end().large_frames, 0);
    let manners = Manners {
        frame_bytes: 64 << 10,
        ..Manners::default()
    };
    let large = session(&phone, root.path(), "Backup", None, manners).await;
    assert_eq!(large.code(), 0);
    assert!(large.end().large_frames > 0);
    let forge = Some(("Manifest.db", vec![0; 128 << 20]));
    let manners = Manners {
        frame_bytes: 128 << 20,
        forge,
        ..Manners::default()
    };
    let killed = session(&phone, root.path(), "Backup", None, manners).await;
    assert!(matches!(killed.phone, Err(BackupError::Protocol(_))));
    assert_eq!(killed.response, None);
}

#[tokio::test]
async fn requests_of_later_days_are_refused_in_words() {
    for request in ["EraseDevice", "Unback", "Extract", "Nonsense"] {
        let phone = TestPhone::small("15.6");
        let root = backup_host::scratch();
        let session = session(&phone, root.path(), request, None, Manners::default()).await;
        assert_eq!(
            (session.code(), session.description()),
            (
                1,
                format!("Unsupported request \"{request}\" (MBErrorDomain/1)").as_str()
            )
        );
    }
}

#[tokio::test]
async fn a_host_that_leaves_is_a_failure_and_a_phone_that_goes_says_so() {
    use tokio::io::AsyncWriteExt;
    let phone = TestPhone::small("15.6");
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    ours.write_all(&[0, 0]).await.unwrap();
    drop(ours);
    let end =
        ibak_sim::backup::serve(theirs, &phone, tokio_util::sync::CancellationToken::new()).await;
    assert!(matches!(end, Err(BackupError::Io(_))), "{end:?}");

    let (_ours, theirs) = tokio::io::duplex(1 << 16);
    let cancel = tokio_util::sync::CancellationToken::new();
    cancel.cancel();
    let end = ibak_sim::backup::serve(theirs, &phone, cancel).await;
    assert!(matches!(end, Err(BackupError::Cancelled)), "{end:?}");
}

#[tokio::test]
async fn a_host_may_name_a_higher_version_and_not_a_lower_one() {
    for (ios, version, agreed) in [
        ("13.7", 400, true),
        ("15.6", 400, true),
        ("15.6", 300, false),
        ("13.7", 299, false),
    ] {
        let phone = TestPhone::small(ios);
        let root = backup_host::scratch();
        let manners = Manners {
            version: Some(version),
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        assert_eq!(
            session.phone.is_ok(),
            agreed,
            "{ios} {version}: {:?}",
            session.phone
        );
        assert_eq!(session.response.is_some(), agreed);
    }
}
