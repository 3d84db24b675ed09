//! What a phone is asked for besides a backup: restore, password, iCloud switch.

use crate::phone::{
    EMPTY, Rig, Setup, UDID, asking, assert_disconnected, dictionary, file, list, nothing, own,
    request, response, texts,
};
use crate::vault::contents;
use ibak_core::{Secret, Udid};
use ibak_mobilebackup2::{
    Deed, DeviceError, Hooks, Notice, Outcome, Phase, Release, Request, RestoreOptions, Timeouts,
};
use plist::Value;
use std::time::Duration;

/// The phone that the restored backup is from.
pub const SOURCE: &str = "00008110-000A1B2C3D4E801E";
pub const PASSWORD: &str = "correct horse, Stra\u{df}e \u{1f434}";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

pub fn restore(password: Option<&str>) -> Request {
    Request {
        udid: Udid::parse(SOURCE).unwrap(),
        folder: SOURCE.to_owned(),
        target: UDID.to_owned(),
        deed: Deed::Restore(RestoreOptions {
            system_files: true,
            reboot: true,
            copy: false,
            preserve_settings: false,
            remove_others: true,
            password: password.map(secret),
        }),
    }
}

fn change_password(old: Option<&str>, new: Option<&str>) -> Request {
    asking(Deed::ChangePassword {
        old: old.map(secret),
        new: new.map(secret),
    })
}

pub fn cloud(on: bool) -> Request {
    asking(Deed::EnableCloudBackup { on })
}

/// One of each.
fn deeds() -> [Request; 4] {
    [
        request(false),
        restore(Some(PASSWORD)),
        change_password(None, Some(PASSWORD)),
        cloud(true),
    ]
}

pub fn setup(request: Request) -> Setup {
    Setup {
        request,
        ..Setup::default()
    }
}

pub fn from_source(path: &str) -> String {
    format!("{SOURCE}/{path}")
}

pub fn download(paths: &[&str], percent: f64) -> Value {
    list([
        "DLMessageDownloadFiles".into(),
        texts(paths),
        nothing(),
        percent.into(),
        0.into(),
    ])
}

async fn phase(rig: &Rig, want: Phase) {
    let mut phases = rig.progress.phases();
    phases.wait_for(|phase| *phase == want).await.unwrap();
}

#[tokio::test]
async fn each_deed_is_asked_for_in_its_own_words() {
    let yes = || Value::from(true);
    let no = || Value::from(false);
    let options = |password: Option<&str>| {
        let mut options = vec![
            ("RestoreSystemFiles", yes()),
            ("RestoreShouldReboot", yes()),
            ("RestoreDontCopyBackup", yes()),
            ("RestorePreserveSettings", no()),
            ("RemoveItemsNotRestored", yes()),
        ];
        options.extend(password.map(|password| ("Password", password.into())));
        ("Options", dictionary(options))
    };
    let target = || ("TargetIdentifier", UDID.into());
    let source = |of: &str| ("SourceIdentifier", of.into());
    let named = |name: &str| ("MessageName", name.into());
    let state = |on: bool| ("Options", dictionary([("CloudBackupState", on.into())]));
    let cases = vec![
        (
            request(false),
            vec![named("Backup"), source(UDID), target()],
        ),
        (
            restore(None),
            vec![named("Restore"), source(SOURCE), target(), options(None)],
        ),
        (
            restore(Some(PASSWORD)),
            vec![
                named("Restore"),
                source(SOURCE),
                target(),
                options(Some(PASSWORD)),
            ],
        ),
        (
            change_password(None, Some(PASSWORD)),
            vec![
                named("ChangePassword"),
                target(),
                ("NewPassword", PASSWORD.into()),
            ],
        ),
        (
            change_password(Some(PASSWORD), None),
            vec![
                named("ChangePassword"),
                target(),
                ("OldPassword", PASSWORD.into()),
            ],
        ),
        (
            change_password(Some(PASSWORD), Some("")),
            vec![
                named("ChangePassword"),
                target(),
                ("OldPassword", PASSWORD.into()),
                ("NewPassword", "".into()),
            ],
        ),
        (
            cloud(true),
            vec![
                named("EnableCloudBackup"),
                source(UDID),
                target(),
                state(true),
            ],
        ),
        (
            cloud(false),
            vec![
                named("EnableCloudBackup"),
                source(UDID),
                target(),
                state(false),
            ],
        ),
    ];
    for (request, want) in cases {
        let mut rig = Rig::start(setup(request));
        let asked = rig.phone.greet().await;
        assert_eq!(
            asked,
            list(["DLMessageProcessMessage".into(), dictionary(want)])
        );
        rig.phone.finish(0).await;
        let ended = rig.end().await;
        assert_eq!(ended.outcome, Outcome::Finished);
        assert_eq!(ended.stats.messages, 4);
    }
}

#[test]
fn what_is_shown_of_a_request_has_no_password() {
    for (request, want) in [
        (restore(Some(PASSWORD)), "password: given"),
        (restore(None), "password: none"),
        (
            change_password(Some(PASSWORD), None),
            "old: given, new: none",
        ),
        (change_password(None, Some("x1y2")), "old: none, new: given"),
    ] {
        let shown = format!("{request:?}");
        assert!(shown.contains(want), "{shown}");
        assert!(
            !shown.contains("horse") && !shown.contains("x1y2"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_change_of_the_password_works_on_the_manifest() {
    let setup = setup(change_password(None, Some(PASSWORD)));
    setup.vault.put("Manifest.plist", b"plain");
    let mut rig = Rig::greeted(setup).await;
    let manifest = own("Manifest.plist");
    let (files, _) = rig.phone.download(&[&manifest]).await;
    assert_eq!(files[&manifest], Ok(b"plain".to_vec()));
    assert_eq!(rig.progress.view().phase, Phase::Comparing);
    assert_eq!(
        rig.phone
            .upload(&[file(&manifest, b"with a keybag")])
            .await
            .code,
        0
    );
    rig.phone.finish(0).await;
    let ended = rig.end().await;
    assert_eq!(ended.outcome, Outcome::Finished);
    let all = contents(ended.vault.dir.path());
    assert_eq!(all["root/tree/Manifest.plist"], b"with a keybag");
}

#[tokio::test]
async fn the_phone_refuses_each_deed_in_its_own_way() {
    let refused = |error| Outcome::Refused {
        error,
        description: "why".into(),
    };
    for request in deeds() {
        for (code, want) in [
            (105, refused(DeviceError::NoSpace)),
            (202, Outcome::CancelledOnDevice),
            (205, refused(DeviceError::PreviousUnreadable)),
            (207, refused(DeviceError::Password)),
            (208, Outcome::NotConfirmed),
            (210, refused(DeviceError::NoAccount)),
            (211, refused(DeviceError::FindMyOn)),
            (212, refused(DeviceError::SetupUnfinished)),
            (22, refused(DeviceError::Other(22))),
        ] {
            let mut rig = Rig::greeted(setup(request.clone())).await;
            rig.phone.send(&response(code, "why")).await;
            let ended = rig.end().await;
            assert_eq!(ended.outcome, want, "{request:?}");
            assert_eq!(
                ended.outcome.device_code(),
                if code == 202 { 0 } else { code }
            );
        }
    }
}

#[tokio::test]
async fn an_end_without_a_word_is_no_success() {
    let no_code = list([
        "DLMessageProcessMessage".into(),
        dictionary([("MessageName", "Response".into())]),
    ]);
    let goodbye = list(["DLMessageDisconnect".into(), EMPTY.into()]);
    for request in deeds() {
        let mut rig = Rig::greeted(setup(request.clone())).await;
        phase(&rig, Phase::WaitingForPhone).await;
        drop(rig.phone);
        assert_disconnected(&rig.running.await.unwrap().outcome);

        rig = Rig::greeted(setup(request.clone())).await;
        rig.phone.send(&goodbye).await;
        assert_disconnected(&rig.end().await.outcome);

        rig = Rig::greeted(setup(request.clone())).await;
        rig.phone.send(&no_code).await;
        let want = Outcome::Protocol {
            phase: Phase::WaitingForPhone,
            what: "the phone's last word has no error code, so nothing says that it succeeded"
                .into(),
        };
        assert_eq!(rig.end().await.outcome, want, "{request:?}");
    }
}

#[tokio::test]
async fn a_person_may_stop_each_deed_on_the_phone() {
    for request in deeds() {
        let rig = Rig::greeted(setup(request)).await;
        phase(&rig, Phase::WaitingForPhone).await;
        rig.notices.send(Notice::CancelRequested).await.unwrap();
        assert_eq!(rig.end().await.outcome, Outcome::CancelledOnDevice);
    }
}

#[tokio::test(start_paused = true)]
async fn each_deed_waits_as_long_and_no_longer() {
    let timeouts = Timeouts::default();
    for request in deeds() {
        let mut rig = Rig::greeted(setup(request.clone())).await;
        let ended = (&mut rig.running).await.unwrap();
        let want = Outcome::Timeout {
            phase: Phase::WaitingForPhone,
            after: timeouts.first_message,
        };
        assert_eq!(ended.outcome, want, "{request:?}");
    }
    let setup = setup(restore(None));
    setup.vault.put("Manifest.db", b"x");
    let mut rig = Rig::greeted(setup).await;
    rig.phone
        .send(&download(&[&from_source("Manifest.db")], 1.0))
        .await;
    rig.phone.downloaded().await;
    // The phone puts its files in order: a quarter of an hour is no failure.
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let ended = (&mut rig.running).await.unwrap();
    let want = Outcome::Timeout {
        phase: Phase::Sending,
        after: timeouts.between_messages,
    };
    assert_eq!(ended.outcome, want);
}

#[tokio::test(start_paused = true)]
async fn the_passcode_is_seen_and_waited_for_in_each_deed() {
    for request in deeds() {
        let mut rig = Rig::greeted(setup(request.clone())).await;
        phase(&rig, Phase::WaitingForPhone).await;
        rig.notices.send(Notice::PromptPresented).await.unwrap();
        phase(&rig, Phase::WaitingForPasscode).await;
        // Longer than the first message may take.
        tokio::time::sleep(Duration::from_secs(31 * 60)).await;
        rig.notices.send(Notice::PromptDismissed).await.unwrap();
        phase(&rig, Phase::WaitingForPhone).await;
        rig.phone.finish(0).await;
        let ended = rig.end().await;
        assert_eq!(ended.outcome, Outcome::Finished, "{request:?}");
        assert!(ended.stats.passcode_asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_passcode_that_nobody_enters_ends_each_deed() {
    for request in deeds() {
        let mut rig = Rig::greeted(setup(request.clone())).await;
        phase(&rig, Phase::WaitingForPhone).await;
        rig.notices.send(Notice::PromptPresented).await.unwrap();
        phase(&rig, Phase::WaitingForPasscode).await;
        tokio::time::sleep(Duration::from_secs(180)).await;
        rig.notices.send(Notice::PromptDismissed).await.unwrap();
        rig.phone
            .send(&response(208, "Device locked (MBErrorDomain/208)"))
            .await;
        assert_eq!(
            rig.end().await.outcome,
            Outcome::NotConfirmed,
            "{request:?}"
        );
        // A phone that shows its prompt for ever is left, too.
        let mut rig = Rig::greeted(setup(request)).await;
        phase(&rig, Phase::WaitingForPhone).await;
        rig.notices.send(Notice::PromptPresented).await.unwrap();
        let want = Outcome::Timeout {
            phase: Phase::WaitingForPasscode,
            after: Timeouts::default().passcode,
        };
        assert_eq!((&mut rig.running).await.unwrap().outcome, want);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_in_the_middle_belongs_to_a_change_of_the_password_only() {
    for (request, is_ours) in [
        (request(false), false),
        (restore(None), false),
        (change_password(Some(PASSWORD), None), true),
    ] {
        let folder = request.folder.clone();
        let before = if matches!(request.deed, Deed::Restore(_)) {
            Phase::Sending
        } else {
            Phase::Comparing
        };
        let setup = setup(request);
        setup.vault.put("Manifest.plist", b"x");
        let mut rig = Rig::greeted(setup).await;
        let manifest = format!("{folder}/Manifest.plist");
        rig.phone.send(&download(&[&manifest], 0.0)).await;
        rig.phone.downloaded().await;
        rig.notices.send(Notice::PromptPresented).await.unwrap();
        tokio::time::sleep(Duration::from_secs(31)).await;
        let during = if is_ours {
            Phase::WaitingForPasscode
        } else {
            before
        };
        assert_eq!(rig.progress.view().phase, during);
        rig.notices.send(Notice::PromptDismissed).await.unwrap();
        phase(&rig, before).await;
        assert_eq!(rig.phone.upload(&[file(&manifest, b"y")]).await.code, 0);
        rig.phone.finish(0).await;
        let ended = rig.end().await;
        assert_eq!(
            (ended.outcome, ended.stats.passcode_asked),
            (Outcome::Finished, is_ours)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_deed_can_be_held() {
    for request in deeds() {
        for release in [Release::Run, Release::GiveUp] {
            let hold = Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(200)).await;
                release
            });
            let mut rig = Rig::greeted(Setup {
                hooks: Hooks {
                    hold: Some(hold),
                    ..Hooks::default()
                },
                ..setup(request.clone())
            })
            .await;
            rig.phone
                .send(&list(["DLMessageGetFreeDiskSpace".into()]))
                .await;
            phase(&rig, Phase::Held).await;
            match release {
                Release::Run => {
                    assert_eq!(rig.phone.status().await.code, 0);
                    rig.phone.finish(0).await;
                    assert_eq!(rig.end().await.outcome, Outcome::Finished);
                }
                Release::GiveUp => {
                    let ended = (&mut rig.running).await.unwrap();
                    assert_eq!(ended.outcome, Outcome::NotLockedInTime);
                }
            }
        }
    }
}
