//! A backup on its way back to a phone.

use crate::deeds::{PASSWORD, SOURCE, download, from_source, restore, setup};
use crate::phone::{
    ID, Rig, UDID, assert_disconnected, assert_tidy, dictionary, file, frame, greeting, list,
    nothing, own, replay_of, response, texts, upload,
};
use crate::vault::{DirVault, Fault, Verb, contents};
use ibak_mobilebackup2::{Limits, Outcome, Phase, VaultErrorKind};
use plist::Value;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn a_restore_serves_the_phone_from_the_backup() {
    let big: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let setup = setup(restore(Some(PASSWORD)));
    setup.vault.put("Manifest.db", b"database");
    setup.vault.put("Status.plist", b"status");
    setup.vault.put(&format!("3d/{ID}"), &big);
    let mut rig = Rig::greeted(setup).await;
    assert_eq!(rig.progress.view().phase, Phase::WaitingForPhone);
    // It looks around first.
    let seen = rig
        .phone
        .ask(&list(["DLContentsOfDirectory".into(), SOURCE.into()]))
        .await;
    assert_eq!(seen.value.as_dictionary().unwrap().len(), 3);
    assert_eq!(rig.progress.view().phase, Phase::Comparing);
    // Corpus messages/10: an empty list was seen during a restore.
    rig.phone.send(&download(&[], 0.0)).await;
    assert_eq!(rig.phone.downloaded().await.1.code, 0);
    let (file_name, database) = (from_source(&format!("3d/{ID}")), from_source("Manifest.db"));
    rig.phone
        .send(&download(&[&database, &file_name], 37.5))
        .await;
    let (files, status) = rig.phone.downloaded().await;
    assert_eq!((status.code, &files[&file_name]), (0, &Ok(big)));
    assert!(
        rig.phone
            .frames
            .iter()
            .all(|len| *len <= Limits::FRAME_BYTES_MAX)
    );
    let view = rig.progress.view();
    assert_eq!(
        (view.phase, view.percent, view.bytes_sent, view.files_sent),
        (Phase::Sending, 37.5, 200_008, 2)
    );
    // Whatever else it does meanwhile is part of that, and goes to the vault.
    let deeds = [
        list([
            "DLMessageCreateDirectory".into(),
            ".b/1".into(),
            nothing(),
            0.0.into(),
        ]),
        list([
            "DLMessageCopyItem".into(),
            file_name.as_str().into(),
            ".b/1/x".into(),
        ]),
        list([
            "DLMessageMoveItems".into(),
            dictionary([(".b/1/x", ".b/1/y".into())]),
            nothing(),
            90.0.into(),
        ]),
        list([
            "DLMessageRemoveItems".into(),
            texts(&[".b/1"]),
            nothing(),
            91.0.into(),
        ]),
    ];
    for deed in deeds {
        assert_eq!(rig.phone.ask(&deed).await.code, 0, "{deed:?}");
        assert_eq!(rig.progress.view().phase, Phase::Sending);
    }
    let batch = [file(&from_source("Status.plist"), b"restored")];
    assert_eq!(rig.phone.upload(&batch).await.code, 0);
    assert_eq!(rig.progress.view().phase, Phase::Sending);
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    assert_eq!(ended.outcome, Outcome::Finished);
    assert_eq!(
        (ended.stats.bytes_sent, ended.stats.files_sent),
        (200_008, 2)
    );
    let verbs: Vec<Verb> = ended
        .vault
        .log
        .lock()
        .unwrap()
        .verbs
        .iter()
        .map(|(verb, _)| *verb)
        .collect();
    for verb in [
        Verb::Copy,
        Verb::Rename,
        Verb::Remove,
        Verb::CreateDir,
        Verb::Finish,
    ] {
        assert!(verbs.contains(&verb), "{verb:?}");
    }
}

#[tokio::test]
async fn a_phone_that_restarts_after_its_last_word_has_finished() {
    let last = frame(&response(0, ""));
    let bytes: Vec<u8> = greeting()
        .iter()
        .flat_map(frame)
        .chain(last.clone())
        .collect();
    // It is gone at any moment after, and any byte before is too early.
    for missing in 0..=last.len() {
        let part = bytes[..bytes.len() - missing].to_vec();
        let ended = replay_of(restore(None), part, DirVault::new(), &Limits::default()).await;
        if missing == 0 {
            assert_eq!(ended.outcome, Outcome::Finished);
        } else {
            assert_disconnected(&ended.outcome);
        }
    }
}

#[tokio::test]
async fn a_link_that_breaks_inside_a_file_is_no_success() {
    let setup = setup(restore(None));
    setup.vault.put("Manifest.db", &vec![1; 4 << 20]);
    let mut rig = Rig::greeted(setup).await;
    rig.phone
        .send(&download(&[&from_source("Manifest.db")], 1.0))
        .await;
    let mut some = vec![0; 100_000];
    rig.phone.stream.read_exact(&mut some).await.unwrap();
    let ended = rig.end().await;
    assert_disconnected(&ended.outcome);
    assert_eq!(ended.stats.files_sent, 0);
    assert_tidy(&ended);
}

#[tokio::test]
async fn a_restore_is_cancelled_between_files_and_inside_one() {
    for inside in [false, true] {
        let setup = setup(restore(None));
        setup.vault.put("Manifest.db", &vec![1; 4 << 20]);
        let before = contents(setup.vault.dir.path());
        let mut rig = Rig::greeted(setup).await;
        rig.phone
            .send(&download(&[&from_source("Manifest.db")], 1.0))
            .await;
        if inside {
            rig.phone
                .stream
                .read_exact(&mut [0; 100_000])
                .await
                .unwrap();
        } else {
            rig.phone.downloaded().await;
        }
        rig.cancel.cancel();
        let ended = (&mut rig.running).await.unwrap();
        assert_eq!(ended.outcome, Outcome::Cancelled);
        assert_eq!(ended.stats.files_sent, u64::from(!inside));
        assert_eq!(contents(ended.vault.dir.path()), before);
    }
}

/// The phone's own folder is not the one that is restored, and every other way out is shut as well.
#[tokio::test]
async fn a_restore_stays_in_the_folder_of_its_backup() {
    let mut vectors: Vec<String> = crate::paths::vectors();
    vectors.extend([
        UDID.to_owned(),
        own("Status.plist"),
        own(&format!("3d/{ID}")),
    ]);
    for wire in vectors {
        let vault = DirVault::new();
        vault.put("Manifest.db", b"database");
        let path = || Value::from(wire.as_str());
        let good = || Value::from(from_source("Manifest.db"));
        let messages = [
            download(&[&wire], 0.0),
            list(["DLContentsOfDirectory".into(), path()]),
            list([
                "DLMessageCreateDirectory".into(),
                path(),
                nothing(),
                0.0.into(),
            ]),
            list([
                "DLMessageRemoveItems".into(),
                list([path()]),
                nothing(),
                0.0.into(),
            ]),
            list(["DLMessageCopyItem".into(), good(), path()]),
            list(["DLMessageCopyItem".into(), path(), good()]),
            list([
                "DLMessageMoveItems".into(),
                dictionary([(wire.as_str(), good())]),
                nothing(),
                0.0.into(),
            ]),
        ];
        let before = contents(vault.dir.path());
        let mut bytes: Vec<u8> = greeting().iter().flat_map(frame).collect();
        bytes.extend(messages.iter().flat_map(frame));
        bytes.extend([frame(&upload(0)), file(&wire, b"evil"), vec![0; 4]].concat());
        bytes.extend(frame(&response(0, "")));
        let ended = replay_of(restore(None), bytes, vault, &Limits::default()).await;
        match &ended.outcome {
            Outcome::HostFailed { error } => {
                assert_eq!(error.kind, VaultErrorKind::Refused, "{wire:?}")
            }
            // An empty name ends a batch early: what follows is then no message.
            Outcome::Protocol { .. } if wire.is_empty() => {}
            other => panic!("{wire:?}: {other:?}"),
        }
        assert_eq!(contents(ended.vault.dir.path()), before, "{wire:?}");
        assert_eq!(ended.stats.files_sent, 0, "{wire:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_here_is_told_and_poisons() {
    let mut setup = setup(restore(None));
    setup.vault.put("Manifest.db", &vec![1; 300_000]);
    setup.vault.fault = Some(Fault {
        verb: Verb::Read,
        at: 0,
        kind: VaultErrorKind::Io,
    });
    let mut rig = Rig::greeted(setup).await;
    let name = from_source("Manifest.db");
    rig.phone.send(&download(&[&name], 1.0)).await;
    let (files, status) = rig.phone.downloaded().await;
    assert_eq!(files[&name], Err("Input/output error".to_owned()));
    assert_eq!(status.code, -13);
    // Even a phone that is content has not got the whole backup.
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    assert!(
        matches!(&ended.outcome, Outcome::HostFailed { error } if error.kind == VaultErrorKind::Io),
        "{:?}",
        ended.outcome
    );
}
