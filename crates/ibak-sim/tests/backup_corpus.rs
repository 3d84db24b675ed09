//! Every backup fact of the corpus that the simulator can show, held against its JSON files.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

mod backup_host;

use std::collections::HashMap;

use backup_host::corpus::{HEX40, corpus, first_backup, message, same_shape, to_plist, wire};
use backup_host::{EMPTY, Manners, Session, TestPhone, backup, binary, session};
use ibak_sim::backup::{Faults, PasscodeAnswer, Quirks};
use ibak_sim::content::ContentSpec;
use plist::Value;

#[tokio::test]
async fn corpus_01_02_the_version_exchange_is_80_bytes() {
    for (ios, file) in [
        ("12.5.7", "messages/02_version_exchange_ios8_to_13.json"),
        ("13.7", "messages/02_version_exchange_ios8_to_13.json"),
        ("14.2", "messages/01_version_exchange_ios14plus.json"),
        ("26.3", "messages/01_version_exchange_ios14plus.json"),
    ] {
        let (phone, _root, session) = first_backup(ios).await;
        let udid = &phone.identity.udid;
        assert_eq!(
            wire(&session.seen[0]),
            to_plist(&message(file, 0), udid),
            "{ios}"
        );
        assert_eq!(
            session.seen[0].wire_bytes as u64,
            corpus(file)["messages"][0]["wire_len_binary"]
                .as_u64()
                .unwrap()
        );
        assert_eq!(
            wire(&session.seen[1]),
            to_plist(&message(file, 2), udid),
            "{ios}"
        );
    }
}

#[tokio::test]
async fn corpus_03_hello_answers_with_a_real() {
    let (phone, _root, session) = first_backup("12.1.4").await;
    assert_eq!(
        wire(&session.seen[2]),
        to_plist(&message("messages/03_hello.json", 1), &phone.identity.udid)
    );
}

#[test]
fn corpus_04_07_08_sizes_of_host_messages_are_those_of_the_logs() {
    let table = [
        ("messages/04_backup_request_plain_ios8.json", 0, 184),
        ("messages/08_host_ok_reply.json", 0, 192),
        ("messages/08_host_ok_reply.json", 1, 106),
    ];
    for (file, at, bytes) in table {
        assert_eq!(
            binary(&to_plist(&message(file, at), HEX40)).len(),
            bytes,
            "{file} {at}"
        );
    }
}

#[tokio::test]
async fn corpus_05_an_unanswered_prompt_is_208() {
    let mut phone = TestPhone::small("16.1");
    phone.passcode = PasscodeAnswer::Ignored;
    let root = backup_host::scratch();
    let session = backup(&phone, root.path()).await;
    let expected = to_plist(
        &message("messages/05_backup_request_full_locked_ios16.json", 1),
        &phone.identity.udid,
    );
    assert_eq!(wire(session.seen.last().unwrap()), expected);
}

#[tokio::test]
async fn corpus_07_10_status_plist_is_asked_for_first() {
    for ios in ["13.7", "16.1.1", "26.3"] {
        let (phone, _root, session) = first_backup(ios).await;
        let udid = &phone.identity.udid;
        assert_eq!(
            wire(&session.seen[3]),
            to_plist(
                &message("messages/07_host_status_plist_missing.json", 0),
                udid
            )
        );
        assert_eq!(
            wire(&session.seen[3]),
            to_plist(&message("messages/10_download_files_samples.json", 0), udid)
        );
    }
}

#[tokio::test]
async fn corpus_08_directories_are_created_with_four_elements() {
    let (phone, _root, session) = first_backup("15.6").await;
    let expected = to_plist(&message("messages/08_host_ok_reply.json", 0), HEX40);
    let created: Vec<_> = session
        .seen
        .iter()
        .filter(|seen| seen.name() == "DLMessageCreateDirectory")
        .collect();
    // Snapshot, its 256 prefixes, and the 256 of the backup itself.
    assert_eq!(created.len(), 513);
    for seen in &created {
        assert!(same_shape(&wire(seen), &expected), "{seen:?}");
        assert_eq!(seen.message[3], Value::Real(0.0));
    }
    assert_eq!(
        created[0].message[1].as_string().unwrap(),
        format!("{}/Snapshot", phone.identity.udid)
    );
}

#[tokio::test]
async fn corpus_09_uploads_announce_progress_and_an_inexact_size() {
    let (_phone, _root, session) = first_backup("15.6").await;
    let plists = to_plist(
        &message("messages/09_upload_progress_samples.json", 0),
        HEX40,
    );
    let files = to_plist(
        &message("messages/09_upload_progress_samples.json", 2),
        HEX40,
    );
    let announced: Vec<_> = session
        .seen
        .iter()
        .filter(|seen| seen.name() == "DLMessageUploadFiles")
        .collect();
    for (batch, seen) in announced.iter().enumerate() {
        let received: Vec<_> = session
            .received
            .iter()
            .filter(|file| file.batch == batch)
            .collect();
        assert!(!received.is_empty() && received.len() <= 128);
        let own = received
            .iter()
            .all(|file| file.host_path.ends_with(".plist"));
        assert!(
            same_shape(&wire(seen), if own { &plists } else { &files }),
            "{seen:?}"
        );
        let progress = seen.message[2].as_real().unwrap();
        assert!((0.0..=100.0).contains(&progress), "{progress}");
        assert_eq!(own, seen.message[3].as_unsigned_integer() == Some(0));
    }
    let declared: u64 = announced
        .iter()
        .map(|seen| seen.message[3].as_unsigned_integer().unwrap())
        .sum();
    let database = std::fs::metadata(_root.path().join(&_phone.identity.udid).join("Manifest.db"))
        .unwrap()
        .len();
    assert!(
        declared > session.end().uploaded_bytes + database,
        "the size is not exact"
    );
}

#[tokio::test]
async fn corpus_10_an_empty_download_can_come() {
    let mut phone = TestPhone::small("15.6");
    phone.quirks = Quirks::parse(["empty-download"]).unwrap();
    let root = backup_host::scratch();
    let session = backup(&phone, root.path()).await;
    assert_eq!(session.code(), 0);
    let empty = session
        .seen
        .iter()
        .filter(|seen| seen.name() == "DLMessageDownloadFiles")
        .find(|seen| seen.message[1].as_array().unwrap().is_empty());
    assert_eq!(empty.unwrap().message.len(), 5);
}

#[tokio::test]
async fn corpus_11_low_space_is_asked_about_and_then_refused() {
    for (ios, expected) in [("15.6", true), ("13.7", false)] {
        let phone = TestPhone::small(ios);
        let udid = &phone.identity.udid;
        let root = backup_host::scratch();
        let manners = Manners {
            free_bytes: vec![10_000_000],
            ..Manners::default()
        };
        let session = session(&phone, root.path(), "Backup", None, manners).await;
        let file = "messages/11_low_space_ios15.json";
        let at = session
            .names()
            .iter()
            .position(|name| *name == "DLMessageGetFreeDiskSpace")
            .unwrap();
        assert_eq!(wire(&session.seen[at]), to_plist(&message(file, 0), udid));
        if expected {
            assert!(same_shape(
                &wire(&session.seen[at + 1]),
                &to_plist(&message(file, 2), udid)
            ));
            let amount = session.seen[at + 1].message[1]
                .as_unsigned_integer()
                .unwrap();
            assert_eq!(amount, (6 << 20) + (128 << 20) - 10_000_000 + (2 << 30));
            assert_eq!(session.seen[at + 1].message[2], 4.into());
        }
        assert_eq!(
            session.names()[at + 1..]
                .iter()
                .filter(|name| **name == "DLMessagePurgeDiskSpace")
                .count(),
            usize::from(expected)
        );
        assert_eq!(
            wire(session.seen.last().unwrap()),
            to_plist(&message(file, 4), udid)
        );
    }
}

#[tokio::test]
async fn corpus_13_every_file_is_moved_by_a_message_of_its_own() {
    let (_phone, _root, session) = first_backup("26.6").await;
    let expected = to_plist(&message("messages/13_finalize_moves_ios26.json", 0), HEX40);
    let moves: Vec<_> = session
        .seen
        .iter()
        .filter(|seen| seen.name() == "DLMessageMoveItems")
        .collect();
    assert_eq!(moves.len(), 301);
    for seen in &moves[..300] {
        assert!(same_shape(&wire(seen), &expected), "{seen:?}");
        assert_eq!(
            (seen.message[3].as_real(), seen.state.as_deref()),
            (Some(97.0), Some("moving"))
        );
        let (from, to) = seen.message[1]
            .as_dictionary()
            .unwrap()
            .iter()
            .next()
            .unwrap();
        assert_eq!(from.replacen("/Snapshot/", "/", 1), to.as_string().unwrap());
    }
}

#[tokio::test]
async fn corpus_14_the_manifests_are_downloaded_back_from_ios_13_on() {
    for (ios, verified) in [("12.5.7", false), ("13.7", true), ("26.3", true)] {
        let (phone, _root, session) = first_backup(ios).await;
        let expected = to_plist(
            &message("messages/14_verify_phase_ios13plus.json", 0),
            &phone.identity.udid,
        );
        let last_but_one = &session.seen[session.seen.len() - 2];
        assert_eq!(
            wire(last_but_one) == expected,
            verified,
            "{ios}: {last_but_one:?}"
        );
    }
}

#[tokio::test]
async fn corpus_14_an_incremental_downloads_the_manifests_at_its_start() {
    let (phone, root, _first) = first_backup("15.6").await;
    let next = backup(&phone, root.path()).await;
    let asked: Vec<&str> = next.seen[4].message[1]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_string().unwrap())
        .collect();
    assert_eq!(
        asked,
        ["Manifest.plist", "Manifest.db"].map(|name| format!("{}/{name}", phone.identity.udid))
    );
}

#[tokio::test]
async fn corpus_15_the_final_errors_have_the_texts_of_real_phones() {
    let texts: Vec<(i64, String)> = corpus("messages/15_final_error_responses.json")["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let response = &entry["message"][1];
            (
                response["ErrorCode"].as_i64().unwrap(),
                response["ErrorDescription"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let known = |session: &Session, udid: &str| {
        let text = session.description().replace(udid, "<udid>");
        assert!(
            texts.contains(&(session.code(), text.clone())),
            "{} {text}",
            session.code()
        );
    };
    for code in [1, 3, 104, 105, 205, 207, 208, 212] {
        let phone = TestPhone::small("15.6");
        *phone.faults.lock().unwrap() = Faults {
            refuse_with: Some(code),
            ..Faults::default()
        };
        let root = backup_host::scratch();
        let refused = backup(&phone, root.path()).await;
        assert_eq!(refused.code(), code);
        known(&refused, &phone.identity.udid);
    }
    let (phone, root, _first) = first_backup("13.7").await;
    let udid = phone.identity.udid.clone();
    let refuse = |name, nth, code| Manners {
        refuse: HashMap::from([((name, nth), code)]),
        ..Manners::default()
    };
    known(
        &session(
            &phone,
            root.path(),
            "Backup",
            None,
            refuse("DLMessageDownloadFiles", 0, -11),
        )
        .await,
        &udid,
    );
    phone.change(3, 3, 0);
    known(
        &session(
            &phone,
            root.path(),
            "Backup",
            None,
            refuse("DLMessageUploadFiles", 1, -1),
        )
        .await,
        &udid,
    );
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    std::fs::remove_file(root.path().join(&udid).join("Manifest.plist")).unwrap();
    known(&backup(&phone, root.path()).await, &udid);
}

#[tokio::test]
async fn corpus_16_success_is_two_keys() {
    let (phone, _root, session) = first_backup("15.6").await;
    assert_eq!(
        wire(session.seen.last().unwrap()),
        to_plist(
            &message("messages/16_final_success.json", 0),
            &phone.identity.udid
        )
    );
    assert_eq!(EMPTY, "___EmptyParameterString___");
}

#[tokio::test]
async fn corpus_17_blocks_are_at_most_256_kib_and_paths_are_for_display() {
    let spec = ContentSpec {
        seed: 5,
        files: 30,
        bytes: 24 << 20,
        apps: 1,
        largest_file: Some(5 << 20),
    };
    for (ios, start) in [
        ("15.8.2", "/.ba/mobile/Media/DCIM/"),
        ("13.7", "/var/mobile/Media/DCIM/"),
    ] {
        let phone = TestPhone::new(ios, &spec);
        let root = backup_host::scratch();
        let session = backup(&phone, root.path()).await;
        assert_eq!(
            session.received.iter().map(|file| file.largest_block).max(),
            Some(256 << 10)
        );
        assert!(
            session
                .received
                .iter()
                .any(|file| file.device_path.starts_with(start)),
            "{ios}"
        );
    }
}
