//! Whole sessions that go as they should, and every way the phone may end one.

use crate::phone::{
    EMPTY, ID, Phone, Rig, Setup, Status, UDID, block, dictionary, file, list, name, nothing, own,
    response, texts,
};
use crate::vault::contents;
use ibak_mobilebackup2::{BackupKind, DeviceError, Ended, Outcome, Phase, RemoteError, Stats};
use plist::Value;

const OTHER: &str = "ff0d7e5fb2ce288813306e4d4636395e047a3d28";

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| u8::try_from(index * 31 % 251).unwrap())
        .collect()
}

fn ok(value: Value) -> Status {
    Status {
        code: 0,
        text: EMPTY.into(),
        value,
    }
}

async fn one_move(phone: &mut Phone, from: &str, to: &str) -> Status {
    let pair = dictionary([(from, to.into())]);
    phone
        .ask(&list([
            "DLMessageMoveItems".into(),
            pair,
            nothing(),
            97.0.into(),
        ]))
        .await
}

#[tokio::test]
async fn a_first_backup() {
    let mut rig = Rig::start(Setup {
        request: crate::phone::request(true),
        ..Setup::default()
    });
    let options = dictionary([("ForceFullBackup", true.into())]);
    let want = dictionary([
        ("MessageName", "Backup".into()),
        ("SourceIdentifier", UDID.into()),
        ("TargetIdentifier", UDID.into()),
        ("Options", options),
    ]);
    assert_eq!(
        rig.phone.greet().await,
        list(["DLMessageProcessMessage".into(), want])
    );

    let (files, status) = rig.phone.download(&[&own("Status.plist")]).await;
    assert_eq!(
        files[&own("Status.plist")],
        Err("No such file or directory".to_owned())
    );
    assert_eq!((status.code, status.text.as_str()), (-13, "Multi status"));
    assert_eq!(rig.progress.view().phase, Phase::Comparing);
    assert_eq!(
        rig.phone
            .ask(&list(["DLMessageGetFreeDiskSpace".into()]))
            .await,
        ok((1_u64 << 40).into())
    );
    for dir in ["Snapshot", "Snapshot/3d", "3d"] {
        let make = list([
            "DLMessageCreateDirectory".into(),
            own(dir).into(),
            nothing(),
            0.0.into(),
        ]);
        assert_eq!(rig.phone.ask(&make).await, ok(EMPTY.into()));
    }
    let snapshot = own(&format!("Snapshot/3d/{ID}"));
    let (large, small) = (pattern(3_000_000), pattern(1));
    let locked = [
        name(b"/var/x"),
        name(own("Snapshot/Manifest.db").as_bytes()),
        block(0x0c, b"half"),
        block(0x06, b"locked"),
    ];
    let batch = [
        file(&snapshot, &large),
        locked.concat(),
        file(&own("Status.plist"), &small),
        file(&format!("/{}", own("Manifest.plist")), b""),
    ];
    assert_eq!(rig.phone.upload(&batch).await, ok(nothing()));
    assert_eq!(rig.progress.view().phase, Phase::Receiving);
    assert_eq!(
        one_move(&mut rig.phone, &snapshot, &own(&format!("3d/{ID}"))).await,
        ok(nothing())
    );
    assert_eq!(rig.progress.view().phase, Phase::Moving);
    assert_eq!(rig.phone.upload(&[]).await, ok(nothing()));
    assert_eq!(rig.progress.view().phase, Phase::Moving);
    let remove = list([
        "DLMessageRemoveItems".into(),
        texts(&[&own("Snapshot"), &own("Manifest.mbdb")]),
        nothing(),
        98.0.into(),
    ]);
    assert_eq!(rig.phone.ask(&remove).await, ok(nothing()));
    assert_eq!(rig.progress.view().phase, Phase::Removing);
    let (files, status) = rig
        .phone
        .download(&[&own("Status.plist"), &own("Manifest.plist")])
        .await;
    assert_eq!(rig.progress.view().phase, Phase::Verifying);
    assert_eq!(
        files.into_values().collect::<Vec<_>>(),
        [Ok(vec![]), Ok(small.clone())]
    );
    assert_eq!(status, ok(nothing()));
    let view = rig.progress.view();
    assert_eq!(
        (view.percent_raw, view.percent, view.files_received),
        (98.0, 98.0, 3)
    );
    rig.phone.finish(0).await;

    let ended = rig.end().await;
    let stats = Stats {
        link_version: 400,
        protocol_version: Some(2.1),
        kind: BackupKind::Full,
        passcode_asked: false,
        messages: 14,
        files_received: 3,
        bytes_received: 3_000_005,
        files_sent: 2,
        bytes_sent: 1,
        moved: 1,
        removed: 2,
        files_failed: 1,
        remote_errors: vec![RemoteError {
            file: "/var/x".into(),
            text: "locked".into(),
        }],
        unknown_messages: vec![],
    };
    assert_eq!((&ended.outcome, &ended.stats), (&Outcome::Finished, &stats));
    assert_eq!(ended.vault.log.lock().unwrap().remote_errors, ["locked"]);
    let tree = contents(&ended.vault.dir.path().join("root/tree"));
    let want = [
        (format!("3d/{ID}"), large),
        ("Manifest.plist".into(), vec![]),
        ("Status.plist".into(), small),
    ];
    assert_eq!(tree, want.into_iter().collect());
    crate::phone::assert_tidy(&ended);
}

#[tokio::test]
async fn an_incremental_reads_the_manifest_in_small_frames() {
    let setup = Setup::default();
    let manifest = pattern(700_000);
    setup.vault.put("Manifest.db", &manifest);
    setup.vault.put(&format!("ff/{OTHER}"), b"old");
    let mut rig = Rig::start(setup);
    let want = dictionary([
        ("MessageName", "Backup".into()),
        ("SourceIdentifier", UDID.into()),
        ("TargetIdentifier", UDID.into()),
    ]);
    assert_eq!(
        rig.phone.greet().await,
        list(["DLMessageProcessMessage".into(), want])
    );
    let wire = format!("/{}", own("Manifest.db"));
    let (files, status) = rig.phone.download(&[&wire]).await;
    assert_eq!((&files[&wire], status.code), (&Ok(manifest), 0));
    assert!(
        rig.phone.frames.iter().all(|size| *size <= 32 * 1024),
        "{:?}",
        rig.phone.frames
    );
    assert!(rig.phone.frames.len() <= 24, "{:?}", rig.phone.frames);
    let listed = rig
        .phone
        .ask(&list(["DLContentsOfDirectory".into(), own("ff").into()]))
        .await;
    let entry = listed.value.as_dictionary().unwrap()[OTHER]
        .as_dictionary()
        .unwrap();
    assert_eq!(entry["DLFileType"], Value::from("DLFileTypeRegular"));
    assert_eq!(entry["DLFileSize"], Value::from(3));
    assert!(entry["DLFileModificationDate"].as_date().is_some());
    // A file that exists is replaced, a directory too.
    rig.phone
        .upload(&[
            file(&own("Status.plist"), b"s"),
            file(&own(&format!("Snapshot/ff/{OTHER}")), b"new"),
        ])
        .await;
    let moved = one_move(
        &mut rig.phone,
        &own(&format!("Snapshot/ff/{OTHER}")),
        &own(&format!("ff/{OTHER}")),
    )
    .await;
    assert_eq!(moved.code, 0);
    assert_eq!(
        one_move(&mut rig.phone, &own("Status.plist"), &own("ff"))
            .await
            .code,
        0
    );
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    assert_eq!(
        (ended.outcome, ended.stats.kind),
        (Outcome::Finished, BackupKind::Incremental)
    );
}

#[tokio::test]
async fn unknown_messages_are_answered_and_scratch_is_served() {
    let mut rig = Rig::greeted(Setup::default()).await;
    let unknown = rig
        .phone
        .ask(&list(["DLMessageNewInNextYear".into(), 1.into()]))
        .await;
    assert_eq!(
        unknown,
        Status {
            code: -1,
            text: "Operation not supported".into(),
            value: EMPTY.into()
        }
    );
    let scratch = "/.b/6/Containers/x/FGTS.sqlite";
    rig.phone.upload(&[file(scratch, b"scratch")]).await;
    assert_eq!(
        one_move(&mut rig.phone, scratch, &own("Manifest.db"))
            .await
            .code,
        0
    );
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    assert_eq!(ended.outcome, Outcome::Finished);
    assert_eq!(ended.stats.unknown_messages, ["DLMessageNewInNextYear"]);
    assert_eq!(
        contents(&ended.vault.dir.path().join("root"))["tree/Manifest.db"],
        b"scratch"
    );
}

async fn ended_by(message: Value) -> Ended<crate::vault::DirVault> {
    let mut rig = Rig::greeted(Setup::default()).await;
    rig.phone.send(&message).await;
    rig.end().await
}

#[tokio::test]
async fn every_last_word() {
    let phase = Phase::WaitingForPhone;
    let protocol = |what: &str| Outcome::Protocol {
        phase,
        what: what.into(),
    };
    let process = |facts| {
        list([
            "DLMessageProcessMessage".into(),
            dictionary::<'static>(facts),
        ])
    };
    let no_code = "the phone's last word has no error code, so nothing says that it succeeded";
    let cases = vec![
        (response(0, ""), Outcome::Finished),
        (
            response(208, "Device locked (MBErrorDomain/208)"),
            Outcome::NotConfirmed,
        ),
        (response(202, "Cancelled"), Outcome::CancelledOnDevice),
        (
            response(105, "Insufficient\u{202e} space (MBErrorDomain/105)\n"),
            Outcome::Refused {
                error: DeviceError::NoSpace,
                description: "Insufficient\u{fffd} space (MBErrorDomain/105)\u{fffd}".into(),
            },
        ),
        (
            response(-9, ""),
            Outcome::Refused {
                error: DeviceError::Other(-9),
                description: String::new(),
            },
        ),
        (
            process(vec![("MessageName", "Response".into())]),
            protocol(no_code),
        ),
        (
            process(vec![
                ("MessageName", "Response".into()),
                ("ErrorCode", "0".into()),
            ]),
            protocol(no_code),
        ),
        (
            process(vec![("ErrorCode", 0.into())]),
            protocol("the phone sent a message that is no response"),
        ),
        (
            list(["DLMessageDisconnect".into(), EMPTY.into()]),
            Outcome::Disconnected {
                phase,
                how: "the phone said goodbye without a result".into(),
            },
        ),
        (
            list(["DLMessageDeviceReady".into()]),
            protocol("the phone began the conversation again"),
        ),
        (
            list(["Other".into()]),
            protocol("the phone sent something that is no DeviceLink message"),
        ),
    ];
    for (message, want) in cases {
        let ended = ended_by(message.clone()).await;
        assert_eq!(ended.outcome, want, "{message:?}");
    }
}

#[tokio::test]
async fn greetings_that_fail() {
    let version = |major: u64| list(["DLMessageVersionExchange".into(), major.into(), 0.into()]);
    let ready = list(["DLMessageDeviceReady".into()]);
    let hello = |facts| {
        list([
            "DLMessageProcessMessage".into(),
            dictionary::<'static>(facts),
        ])
    };
    let refused = hello(vec![
        ("MessageName", "Response".into()),
        ("ErrorCode", 203.into()),
    ]);
    let strange = hello(vec![
        ("MessageName", "Response".into()),
        ("ErrorCode", 0.into()),
        ("ProtocolVersion", 9.5.into()),
    ]);
    let protocol = |what: &str| Outcome::Protocol {
        phase: Phase::Handshake,
        what: what.into(),
    };
    let cases = vec![
        (
            vec![ready.clone()],
            protocol("the phone did not begin with its version"),
        ),
        (
            vec![version(300), version(300)],
            protocol("the phone did not say that it is ready"),
        ),
        (
            vec![version(300), ready.clone(), ready.clone()],
            protocol("the phone did not answer the greeting"),
        ),
        (
            vec![version(300), ready.clone(), refused],
            Outcome::Refused {
                error: DeviceError::Version,
                description: String::new(),
            },
        ),
        (
            vec![version(400), ready, strange],
            protocol("the phone chose a protocol version that was not offered"),
        ),
    ];
    for (messages, want) in cases {
        let bytes = messages.iter().flat_map(crate::phone::frame).collect();
        let ended =
            crate::phone::replay(bytes, Setup::default().vault, &Setup::default().limits).await;
        assert_eq!(ended.outcome, want);
    }
}
