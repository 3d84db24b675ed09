//! Each switch alone, all of them together, and many mixtures: every backup ends equal to the
//! phone, or in the refusal that the switch stands for.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup_host;

use std::time::Duration;

use backup_host::{Manners, Session, TestPhone, assert_equal, backup, session};
use ibak_sim::backup::{BackupError, Quirk, Quirks};
use plist::Value;

fn phone(quirks: impl IntoIterator<Item = Quirk>) -> TestPhone {
    let spec = ibak_sim::content::ContentSpec {
        seed: 21,
        files: 90,
        bytes: 2 << 20,
        apps: 2,
        largest_file: None,
    };
    let mut phone = TestPhone::new("15.6", &spec);
    phone.quirks = quirks.into_iter().collect::<Quirks>();
    phone
}

/// A full backup, a change and an incremental one.
async fn two_backups(phone: &TestPhone) -> (Session, Session) {
    let root = backup_host::scratch();
    let first = backup(phone, root.path()).await;
    assert_eq!(
        first.code(),
        0,
        "{:?}: {}",
        phone.quirks,
        first.description()
    );
    assert_equal(root.path(), phone);
    phone.change(9, 4, 6);
    let second = backup(phone, root.path()).await;
    assert_eq!(
        second.code(),
        0,
        "{:?}: {}",
        phone.quirks,
        second.description()
    );
    assert!(!second.end().full);
    assert_eq!(second.files(), 13, "{:?}", phone.quirks);
    assert_equal(root.path(), phone);
    (first, second)
}

#[tokio::test]
async fn each_quirk_alone_and_all_together_end_in_equal_backups() {
    for &quirk in Quirk::ALL {
        two_backups(&phone([quirk])).await;
    }
    two_backups(&phone(Quirk::ALL.iter().copied())).await;
}

#[tokio::test]
async fn mixtures_of_quirks_end_in_equal_backups() {
    let mut bits = 0x9e37_79b9_u32;
    for _ in 0..24 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mixture = Quirk::ALL
            .iter()
            .enumerate()
            .filter(|(at, _)| bits.rotate_left(7) >> at & 1 == 1);
        two_backups(&phone(mixture.map(|(_, quirk)| *quirk))).await;
    }
}

#[tokio::test]
async fn paths_begin_with_a_slash() {
    let (first, _) = two_backups(&phone([Quirk::AbsolutePaths])).await;
    for seen in first.seen.iter().filter(|seen| {
        seen.name() == "DLMessageCreateDirectory" || seen.name() == "DLContentsOfDirectory"
    }) {
        assert!(
            seen.message[1].as_string().unwrap().starts_with('/'),
            "{seen:?}"
        );
    }
    assert!(
        first
            .received
            .iter()
            .all(|file| file.host_path.starts_with('/'))
    );
}

#[tokio::test]
async fn files_wait_in_scratch() {
    let (first, _) = two_backups(&phone([Quirk::ScratchPaths])).await;
    let scratch = first
        .received
        .iter()
        .filter(|file| file.host_path.starts_with("/.b/6/Containers/"))
        .count();
    assert!((4..40).contains(&scratch), "{scratch}");
}

#[tokio::test]
async fn messages_take_their_other_form() {
    let table: [(Quirk, &str, usize); 5] = [
        (Quirk::MoveFiles, "DLMessageMoveFiles", 91),
        (Quirk::MovesTogether, "DLMessageMoveItems", 2),
        (Quirk::CopyItem, "DLMessageCopyItem", 2),
        (Quirk::ManifestDirect, "DLMessageMoveItems", 90),
        (Quirk::SmallBatches, "DLMessageUploadFiles", 12),
    ];
    for (quirk, name, count) in table {
        let (first, _) = two_backups(&phone([quirk])).await;
        assert_eq!(first.count(name), count, "{quirk}");
    }
}

#[tokio::test]
async fn downloads_come_one_by_one() {
    let (plain, _) = two_backups(&phone([])).await;
    let (single, second) = two_backups(&phone([Quirk::DownloadsOneByOne])).await;
    assert_eq!(
        (
            plain.count("DLMessageDownloadFiles"),
            single.count("DLMessageDownloadFiles")
        ),
        (2, 4)
    );
    assert_eq!(second.count("DLMessageDownloadFiles"), 6);
}

#[tokio::test]
async fn listings_run_backwards_and_again_at_the_end() {
    let paths = |session: &Session| -> Vec<String> {
        let lists = session
            .seen
            .iter()
            .filter(|seen| seen.name() == "DLContentsOfDirectory");
        lists
            .map(|seen| seen.message[1].as_string().unwrap().to_owned())
            .collect()
    };
    let (_, forwards) = two_backups(&phone([])).await;
    let (_, backwards) = two_backups(&phone([Quirk::ListBackwards])).await;
    let (forwards, mut backwards) = (paths(&forwards), paths(&backwards));
    assert_eq!(forwards.len(), 257);
    backwards[1..].reverse();
    assert_eq!(forwards, backwards);
    let (first, second) = two_backups(&phone([Quirk::VerifyLists])).await;
    assert_eq!(
        (paths(&first).len(), paths(&second).len()),
        (1 + 257, 257 + 257)
    );
}

#[tokio::test]
async fn a_file_lost_after_the_moves_is_noticed_only_when_listing() {
    for (quirk, code) in [(None, 0), (Some(Quirk::VerifyLists), 205)] {
        let phone = phone(quirk);
        let root = backup_host::scratch();
        // The host says it moved the tenth file and did not.
        let manners = Manners {
            refuse: std::collections::HashMap::from([(("DLMessageMoveItems", 9), 0)]),
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        assert_eq!(session.code(), code, "{quirk:?}");
    }
}

#[tokio::test]
async fn progress_goes_backwards() {
    let batches = |session: &Session| -> Vec<f64> {
        let uploads = session
            .seen
            .iter()
            .filter(|seen| seen.name() == "DLMessageUploadFiles");
        uploads
            .map(|seen| seen.message[2].as_real().unwrap())
            .collect()
    };
    let falls = |progress: &[f64]| progress.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let (plain, _) = two_backups(&phone([Quirk::SmallBatches])).await;
    let (odd, _) = two_backups(&phone([Quirk::SmallBatches, Quirk::ProgressBackwards])).await;
    assert_eq!(
        (falls(&batches(&plain)), falls(&batches(&odd)) > 0),
        (0, true),
        "{:?}",
        batches(&odd)
    );
}

#[tokio::test]
async fn the_end_has_its_other_forms() {
    let (first, _) = two_backups(&phone([Quirk::DescriptionOnSuccess])).await;
    let response = first.response.unwrap();
    assert_eq!(
        (
            response["ErrorDescription"].as_string(),
            response["Content"].as_string()
        ),
        (Some(""), Some(""))
    );
    let (first, _) = two_backups(&phone([Quirk::DeviceDisconnects])).await;
    assert!(first.phone.is_ok());
}

#[tokio::test]
async fn the_known_unreadable_file_ends_with_0x0b() {
    let (first, _) = two_backups(&phone([Quirk::UnreadableManifest])).await;
    let failed: Vec<_> = first
        .received
        .iter()
        .filter(|file| file.code != 0)
        .collect();
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0]
            .device_path
            .ends_with("FileProvider/backup/backup_manifest.db")
    );
    assert_eq!(failed[0].code, 0x0b);
}

#[tokio::test]
async fn purges_ask_for_other_amounts() {
    let need: u64 = (2 << 20) + (128 << 20);
    let table = [
        (None, need - 5_000 + (2 << 30)),
        (Some(Quirk::PurgeExact), need - 5_000),
        (Some(Quirk::PurgeHuge), 11 << 40),
    ];
    for (quirk, amount) in table {
        let phone = phone(quirk);
        let root = backup_host::scratch();
        let manners = Manners {
            free_bytes: vec![5_000],
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        let purge = session
            .seen
            .iter()
            .find(|seen| seen.name() == "DLMessagePurgeDiskSpace")
            .unwrap();
        assert_eq!(
            (session.code(), &purge.message[1]),
            (105, &Value::from(amount)),
            "{quirk:?}"
        );
    }
}

#[tokio::test]
async fn one_large_frame_kills_a_strict_phone() {
    let phone = phone([Quirk::FrameStrict]);
    let root = backup_host::scratch();
    let manners = Manners {
        frame_bytes: (32 << 10) + 1,
        ..Manners::default()
    };
    let session = session(&phone, root.path(), "Backup", None, manners).await;
    assert!(
        matches!(session.phone, Err(BackupError::Protocol(_))),
        "{:?}",
        session.phone
    );
}

#[tokio::test(start_paused = true)]
async fn an_impatient_phone_leaves_after_a_minute_and_others_wait() {
    for (quirk, hold, stays) in [
        (None, 299, true),
        (Some(Quirk::Impatient), 59, true),
        (Some(Quirk::Impatient), 61, false),
    ] {
        let phone = phone(quirk);
        let root = backup_host::scratch();
        let manners = Manners {
            hold: Duration::from_secs(hold),
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        assert_eq!(
            session.phone.is_ok(),
            stays,
            "{quirk:?} {hold}: {:?}",
            session.phone
        );
        assert_eq!(session.response.is_some(), stays);
    }
}

#[tokio::test]
async fn an_interrupted_backup_starts_again_without_resume() {
    let phone = phone([Quirk::NoResume, Quirk::SmallBatches]);
    let root = backup_host::scratch();
    phone.faults.lock().unwrap().drop_after_bytes = Some(1 << 20);
    assert!(backup(&phone, root.path()).await.phone.is_err());
    phone.faults.lock().unwrap().drop_after_bytes = None;
    let again = backup(&phone, root.path()).await;
    assert_eq!(
        (again.code(), again.files(), again.end().resumed_files),
        (0, 90, 0)
    );
    assert_equal(root.path(), &phone);
}
