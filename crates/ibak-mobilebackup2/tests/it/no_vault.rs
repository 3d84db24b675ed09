//! A deed that concerns no files, and a phone that thinks otherwise.

use crate::deeds::cloud;
use crate::phone::{
    EMPTY, Phone, Status, UDID, file, frame, greeting, list, nothing, own, replay_of, response,
    texts, upload,
};
use ibak_mobilebackup2::{Hooks, Limits, NoVault, Outcome, converse};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn without_a_vault_everything_is_refused_and_the_last_word_counts() {
    let (host, device) = tokio::io::duplex(1 << 16);
    let limits = Limits::default();
    let talk = converse(
        host,
        NoVault,
        cloud(true),
        Hooks::default(),
        &limits,
        CancellationToken::new(),
    );
    let phone = async {
        let mut phone = Phone {
            stream: device,
            frames: Vec::new(),
        };
        phone.greet().await;
        let refusal = Status {
            code: -1,
            text: "Operation not permitted".into(),
            value: EMPTY.into(),
        };
        for message in [
            list(["DLMessageGetFreeDiskSpace".into()]),
            list(["DLMessagePurgeDiskSpace".into(), 5.into(), 4.into()]),
            list(["DLContentsOfDirectory".into(), UDID.into()]),
            list([
                "DLMessageCreateDirectory".into(),
                own("Snapshot").into(),
                nothing(),
                0.0.into(),
            ]),
            list([
                "DLMessageRemoveItems".into(),
                texts(&[&own("3d")]),
                nothing(),
                0.0.into(),
            ]),
        ] {
            assert_eq!(phone.ask(&message).await, refusal, "{message:?}");
        }
        let (files, _) = phone.download(&[&own("Info.plist")]).await;
        assert_eq!(files[&own("Info.plist")], Err(refusal.text));
        phone.finish(0).await;
    };
    let (ended, ()) = tokio::join!(talk, phone);
    assert_eq!((ended.outcome, ended.vault), (Outcome::Finished, NoVault));
}

#[tokio::test]
async fn a_phone_that_sends_files_to_no_vault_does_not_succeed() {
    let mut bytes: Vec<u8> = greeting().iter().flat_map(frame).collect();
    bytes.extend(
        [
            frame(&upload(0)),
            file(&own("Info.plist"), b"x"),
            vec![0; 4],
        ]
        .concat(),
    );
    bytes.extend(frame(&response(0, "")));
    let ended = replay_of(cloud(false), bytes, NoVault, &Limits::default()).await;
    assert!(
        matches!(ended.outcome, Outcome::HostFailed { .. }),
        "{:?}",
        ended.outcome
    );
}
