//! Plays what real phones said, and compares what real hosts answered.

use crate::phone::{ID, Phone, Rig, Setup, UDID, frame, list, replay};
use crate::vault::DirVault;
use ibak_mobilebackup2::{Limits, Outcome};
use plist::{Dictionary, Value};
use serde_json::Value as Json;
use std::fs;

fn messages(name: &str) -> Vec<(bool, Value)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/messages");
    let text = fs::read_to_string(format!("{dir}/{name}.json")).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    let entries = json["messages"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| (entry["dir"] == "device", value(&entry["message"])))
        .collect()
}

/// A number with a decimal point is a REAL, one without an integer (the corpus's own note).
fn value(json: &Json) -> Value {
    match json {
        Json::Bool(is) => (*is).into(),
        Json::Number(number) => match number.as_u64() {
            Some(integer) => integer.into(),
            None => number
                .as_i64()
                .map_or_else(|| number.as_f64().unwrap().into(), Value::from),
        },
        Json::String(text) if text.starts_with("<integer") => 1_000.into(),
        Json::String(text) => match text.as_str() {
            "<backup path>" => Value::from(format!("{UDID}/Manifest.db")),
            other => named(other).into(),
        },
        Json::Array(items) => items.iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(pairs) => pairs
            .iter()
            .map(|(key, item)| (named(key), value(item)))
            .collect::<Dictionary>()
            .into(),
        Json::Null => panic!("no null in a property list"),
    }
}

fn named(text: &str) -> String {
    let text = text
        .replace("<udid>", UDID)
        .replace("/00/<sha1>", &format!("/3d/{ID}"));
    text.replace("<...>", "x").replace("<sha1>", ID)
}

fn word(message: &Value) -> String {
    message.as_array().unwrap()[0]
        .as_string()
        .unwrap()
        .to_owned()
}

/// Plays one exchange of a file operation and returns the host's whole answer.
async fn exchange(phone: &mut Phone, message: &Value) -> Value {
    phone.send(message).await;
    let status = match word(message).as_str() {
        "DLMessageDownloadFiles" => phone.downloaded().await.1,
        "DLMessageUploadFiles" => {
            phone.raw(&[0; 4]).await;
            phone.status().await
        }
        _ => phone.status().await,
    };
    list([
        "DLMessageStatusResponse".into(),
        status.code.into(),
        status.text.as_str().into(),
        status.value,
    ])
}

async fn greeted() -> Rig {
    let mut setup = Setup::default();
    setup.vault.free = 10_000_000;
    setup.vault.put(&format!("Snapshot/3d/{ID}"), b"x");
    let sqlite = setup
        .vault
        .dir
        .path()
        .join("root/scratch/.b/6/Containers/x/FGTS.sqlite");
    fs::create_dir_all(sqlite.parent().unwrap()).unwrap();
    fs::write(sqlite, b"x").unwrap();
    Rig::greeted(setup).await
}

#[tokio::test]
async fn greetings_are_answered_as_seen() {
    for name in [
        "01_version_exchange_ios14plus",
        "02_version_exchange_ios8_to_13",
    ] {
        let mut rig = Rig::start(Setup::default());
        let [(_, version), (_, agreed), (_, ready)] = <[_; 3]>::try_from(messages(name)).unwrap();
        rig.phone.send(&version).await;
        assert_eq!(rig.phone.receive().await, agreed, "{name}");
        rig.phone.send(&ready).await;
        let [(_, hello), (_, response)] = <[_; 2]>::try_from(messages("03_hello")).unwrap();
        assert_eq!(rig.phone.receive().await, hello);
        rig.phone.send(&response).await;
        let (_, request) = messages("04_backup_request_plain_ios8").remove(0);
        assert_eq!(rig.phone.receive().await, request);
        let ended = rig.end().await;
        assert_eq!(
            ended.stats.link_version,
            if name.starts_with("01") { 400 } else { 300 }
        );
    }
}

#[tokio::test]
async fn operations_are_answered_as_seen() {
    for name in [
        "07_host_status_plist_missing",
        "08_host_ok_reply",
        "09_upload_progress_samples",
        "10_download_files_samples",
        "11_low_space_ios15",
        "13_finalize_moves_ios26",
        "14_verify_phase_ios13plus",
        "18_absolute_host_paths",
    ] {
        let mut rig = greeted().await;
        let script = messages(name);
        let mut played = 0;
        for (index, (_, message)) in script
            .iter()
            .enumerate()
            .filter(|(_, (is_device, _))| *is_device)
        {
            if word(message) == "DLMessageProcessMessage" {
                continue;
            }
            let answer = exchange(&mut rig.phone, message).await;
            played += 1;
            match script.get(index + 1) {
                // Peers refuse to purge; this vault had nothing to give, which is an answer too.
                Some((false, _)) if word(message) == "DLMessagePurgeDiskSpace" => {
                    assert_eq!(
                        answer.as_array().unwrap()[1..],
                        [0.into(), crate::phone::EMPTY.into(), 0.into()]
                    );
                }
                Some((false, seen)) => assert_eq!(&answer, seen, "{name} {message:?}"),
                Some((true, _)) | None => assert_eq!(answer.as_array().unwrap().len(), 4),
            }
        }
        assert!(played > 0, "{name}");
        if name.starts_with("09") {
            let view = rig.progress.view();
            assert_eq!((view.percent_raw, view.batch_bytes), (13.061936, 6_878_833));
        }
        rig.phone.finish(0).await;
        assert_eq!(rig.end().await.outcome, Outcome::Finished, "{name}");
    }
}

#[tokio::test]
async fn endings_are_understood() {
    let mut ends = messages("15_final_error_responses");
    ends.extend(
        messages("16_final_success")
            .into_iter()
            .filter(|(is_device, _)| *is_device),
    );
    for (_, message) in ends {
        let facts = message.as_array().unwrap()[1]
            .as_dictionary()
            .unwrap()
            .clone();
        let mut bytes: Vec<u8> = crate::phone::greeting().iter().flat_map(frame).collect();
        bytes.extend(frame(&message));
        let ended = replay(bytes, DirVault::new(), &Limits::default()).await;
        match (
            facts["ErrorCode"].as_signed_integer().unwrap(),
            ended.outcome,
        ) {
            (0, Outcome::Finished) | (208, Outcome::NotConfirmed) => {}
            (code, Outcome::Refused { error, description }) => {
                assert_eq!(error.code(), code);
                assert_eq!(description, facts["ErrorDescription"].as_string().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
}
