//! Failures of the vault: each becomes its code, and what must not succeed does not.

use crate::phone::{
    EMPTY, ID, Rig, Setup, Status, UDID, assert_tidy, dictionary, file, list, nothing, own,
    recorded, replay, texts,
};
use crate::vault::{DirVault, Fault, Verb, contents};
use ibak_mobilebackup2::{Limits, Outcome, VaultError, VaultErrorKind};
use plist::Value;
use std::time::Duration;

const KINDS: [(VaultErrorKind, i64, &str); 9] = [
    (VaultErrorKind::NotFound, -6, "No such file or directory"),
    (VaultErrorKind::Exists, -7, "File exists"),
    (VaultErrorKind::NotDirectory, -8, "Not a directory"),
    (VaultErrorKind::IsDirectory, -9, "Is a directory"),
    (
        VaultErrorKind::Loop,
        -10,
        "Too many levels of symbolic links",
    ),
    (VaultErrorKind::Io, -11, "Input/output error"),
    (VaultErrorKind::NoSpace, -15, "No space left on device"),
    (VaultErrorKind::Refused, -1, "Operation not permitted"),
    (VaultErrorKind::Other, -1, "Operation failed"),
];

fn requests() -> Vec<(Verb, Value)> {
    let from = own(&format!("Snapshot/3d/{ID}"));
    let pair = dictionary([(from.as_str(), own(&format!("3d/{ID}")).into())]);
    vec![
        (Verb::FreeSpace, list(["DLMessageGetFreeDiskSpace".into()])),
        (
            Verb::Purge,
            list(["DLMessagePurgeDiskSpace".into(), 7.into(), 4.into()]),
        ),
        (
            Verb::List,
            list(["DLContentsOfDirectory".into(), UDID.into()]),
        ),
        (
            Verb::CreateDir,
            list([
                "DLMessageCreateDirectory".into(),
                own("3d").into(),
                nothing(),
                0.0.into(),
            ]),
        ),
        (
            Verb::Rename,
            list([
                "DLMessageMoveFiles".into(),
                pair.clone(),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            Verb::Rename,
            list(["DLMessageMoveItems".into(), pair, nothing(), 1.0.into()]),
        ),
        (
            Verb::Remove,
            list([
                "DLMessageRemoveFiles".into(),
                texts(&[&own("3d")]),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            Verb::Remove,
            list([
                "DLMessageRemoveItems".into(),
                texts(&[&own("3d")]),
                nothing(),
                1.0.into(),
            ]),
        ),
        (
            Verb::Copy,
            list([
                "DLMessageCopyItem".into(),
                from.into(),
                own("3d").into(),
                nothing(),
                0.0.into(),
            ]),
        ),
    ]
}

fn faulty(verb: Verb, at: usize, kind: VaultErrorKind) -> Setup {
    let mut setup = Setup::default();
    setup.vault.fault = Some(Fault { verb, at, kind });
    setup
}

#[tokio::test]
async fn each_request_answers_each_error_with_its_code() {
    for (verb, request) in requests() {
        for (kind, code, text) in KINDS {
            let mut rig = Rig::greeted(faulty(verb, 0, kind)).await;
            let want = Status {
                code,
                text: text.into(),
                value: EMPTY.into(),
            };
            assert_eq!(rig.phone.ask(&request).await, want, "{request:?} {kind:?}");
            rig.phone.finish(0).await;
            // The vault said that it does not poison, so the phone's word decides.
            assert_eq!(
                rig.end().await.outcome,
                Outcome::Finished,
                "{request:?} {kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn opening_and_reading_fail_into_a_multi_status() {
    for verb in [Verb::Open, Verb::Read] {
        for (kind, mut code, mut text) in KINDS {
            if verb == Verb::Read && kind != VaultErrorKind::Io {
                (code, text) = (-1, "Operation failed");
            }
            let setup = faulty(verb, 0, kind);
            setup.vault.put("Manifest.db", &vec![7; 600_000]);
            let mut rig = Rig::greeted(setup).await;
            let wire = own("Manifest.db");
            let (files, status) = rig.phone.download(&[&wire]).await;
            let line = dictionary([
                ("DLFileErrorString", text.into()),
                ("DLFileErrorCode", code.into()),
            ]);
            let want = Status {
                code: -13,
                text: "Multi status".into(),
                value: dictionary([(wire.as_str(), line)]),
            };
            assert_eq!(
                (files[&wire].clone(), status),
                (Err(text.to_owned()), want),
                "{verb:?} {kind:?}"
            );
            rig.phone.finish(0).await;
            let ended = rig.end().await;
            let poisoned = verb == Verb::Read && kind == VaultErrorKind::Io;
            assert_eq!(
                ended.outcome == Outcome::Finished,
                !poisoned,
                "{verb:?} {kind:?} {:?}",
                ended.outcome
            );
            assert_eq!(ended.stats.files_sent, 0);
        }
    }
}

#[tokio::test]
async fn a_failure_in_a_batch_drains_it_answers_and_poisons() {
    for verb in [Verb::Create, Verb::Write, Verb::Finish] {
        for (kind, code, text) in KINDS {
            let mut rig = Rig::greeted(faulty(verb, 1, kind)).await;
            let files: Vec<Vec<u8>> = [
                "Info.plist",
                "Manifest.plist",
                "Manifest.db",
                "Status.plist",
            ]
            .iter()
            .map(|name| file(&own(name), &vec![1; 300_000]))
            .collect();
            let want = Status {
                code,
                text: text.into(),
                value: EMPTY.into(),
            };
            assert_eq!(rig.phone.upload(&files).await, want, "{verb:?} {kind:?}");
            // What follows touches nothing, in a batch or without.
            let make = list([
                "DLMessageCreateDirectory".into(),
                own("3d").into(),
                nothing(),
                0.0.into(),
            ]);
            assert_eq!(rig.phone.ask(&make).await, want);
            assert_eq!(rig.phone.upload(&files).await, want);
            for (_, request) in requests() {
                let name = request.as_array().unwrap()[0]
                    .as_string()
                    .unwrap()
                    .to_owned();
                let reading =
                    ["DLMessageGetFreeDiskSpace", "DLContentsOfDirectory"].contains(&name.as_str());
                assert_eq!(rig.phone.ask(&request).await.code == 0, reading, "{name}");
            }
            rig.phone.finish(0).await;
            let ended = rig.end().await;
            let error = VaultError::poisoning(kind, format!("injected into {verb:?}"));
            assert_eq!(ended.outcome, Outcome::HostFailed { error });
            assert_tidy(&ended);
            let kept: Vec<String> = contents(&ended.vault.dir.path().join("root/tree"))
                .into_keys()
                .collect();
            let whole: &[&str] = if verb == Verb::Write {
                &[]
            } else {
                &["Info.plist"]
            };
            assert_eq!(kept, whole, "{verb:?} {kind:?}");
        }
    }
}

/// The loop of SQLite's tests: the N-th use of each verb fails, N counting up until none does.
#[tokio::test]
async fn each_use_of_each_verb_fails_once() {
    let verbs = [
        Verb::FreeSpace,
        Verb::Purge,
        Verb::List,
        Verb::CreateDir,
        Verb::Rename,
        Verb::Remove,
        Verb::Copy,
        Verb::Open,
        Verb::Create,
        Verb::Write,
        Verb::Finish,
        Verb::Abandon,
    ];
    let (bytes, _) = recorded();
    for verb in verbs {
        for at in 0.. {
            let mut vault = DirVault::new();
            vault.fault = Some(Fault {
                verb,
                at,
                kind: VaultErrorKind::NoSpace,
            });
            let ended = replay(bytes.clone(), vault, &Limits::default()).await;
            assert_tidy(&ended);
            let used = ended
                .vault
                .log
                .lock()
                .unwrap()
                .verbs
                .iter()
                .filter(|(other, _)| *other == verb)
                .count();
            if used <= at {
                assert!(at > 0, "the session never uses {verb:?}");
                assert_eq!(ended.outcome, Outcome::Finished);
                break;
            }
            let poisons = matches!(
                verb,
                Verb::Create | Verb::Write | Verb::Finish | Verb::Abandon
            );
            let failed = matches!(ended.outcome, Outcome::HostFailed { .. });
            assert_eq!(failed, poisons, "{verb:?} {at}: {:?}", ended.outcome);
        }
    }
}

#[tokio::test]
async fn the_first_failure_is_the_one_that_is_told() {
    let mut rig = Rig::greeted(faulty(Verb::Write, 0, VaultErrorKind::NoSpace)).await;
    rig.phone
        .upload(&[file(&own("Info.plist"), b"x"), file("/etc/passwd", b"x")])
        .await;
    rig.phone
        .send(&crate::phone::response(105, "no space"))
        .await;
    let ended = rig.end().await;
    let Outcome::HostFailed { error } = ended.outcome else {
        panic!("{:?}", ended.outcome)
    };
    assert_eq!(error.kind, VaultErrorKind::NoSpace);
    assert_tidy_root(&ended.vault);
}

fn assert_tidy_root(vault: &DirVault) {
    assert_eq!(contents(&vault.dir.path().join("root")).len(), 0);
}

#[tokio::test]
#[should_panic(expected = "one file at a time")]
async fn a_panic_of_the_vault_is_passed_on() {
    let mut setup = Setup::default();
    setup.limits.timeouts.farewell = Duration::from_millis(1);
    // A file that is open already makes the directory vault panic at the next one.
    ibak_mobilebackup2::Vault::create(
        &mut setup.vault,
        &ibak_core::BackupPath::Tree("Info.plist".into()),
    )
    .unwrap();
    let mut rig = Rig::greeted(setup).await;
    rig.phone.send(&crate::phone::upload(0)).await;
    rig.phone.raw(&file(&own("Status.plist"), b"x")).await;
    rig.phone.raw(&[0; 4]).await;
    std::panic::resume_unwind(rig.running.await.unwrap_err().into_panic());
}
