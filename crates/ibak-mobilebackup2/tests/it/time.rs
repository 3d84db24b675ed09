//! Silences, the passcode prompt, the hold: on a clock that only moves when all is quiet.

use crate::phone::{Rig, Setup, frame, greeting, list, name, nothing, own, texts, upload};
use ibak_mobilebackup2::{Hooks, Notice, Outcome, Phase, Release, Timeouts};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

fn status_request() -> plist::Value {
    list([
        "DLMessageDownloadFiles".into(),
        texts(&[&own("Status.plist")]),
        nothing(),
        0.into(),
        0.into(),
    ])
}

#[tokio::test(start_paused = true)]
async fn each_silence_has_its_bound() {
    let timeouts = Timeouts::default();
    let greeting: Vec<u8> = greeting().iter().flat_map(frame).collect();
    let with = |rest: Vec<u8>| [greeting.clone(), rest].concat();
    let started = [frame(&upload(9)), name(b"/x")].concat();
    let free = frame(&list(["DLMessageGetFreeDiskSpace".into()]));
    let cases = vec![
        (vec![], Phase::Handshake, timeouts.handshake),
        (greeting[..2].to_vec(), Phase::Handshake, timeouts.handshake),
        (greeting[..50].to_vec(), Phase::Handshake, timeouts.transfer),
        (
            greeting.clone(),
            Phase::WaitingForPhone,
            timeouts.first_message,
        ),
        (with(free), Phase::Comparing, timeouts.between_messages),
        (with(started), Phase::Receiving, timeouts.transfer),
        (
            with([frame(&upload(9)), vec![0; 4]].concat()),
            Phase::Receiving,
            timeouts.between_messages,
        ),
    ];
    for (bytes, phase, after) in cases {
        let mut rig = Rig::start(Setup::default());
        let began = Instant::now();
        rig.phone.raw(&bytes).await;
        let ended = (&mut rig.running).await.unwrap();
        assert_eq!(ended.outcome, Outcome::Timeout { phase, after });
        assert!(
            began.elapsed() >= after && began.elapsed() < after + Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_silence_is_normal() {
    // Corpus messages/07: 62 s between the request and the first message.
    let mut rig = Rig::greeted(Setup::default()).await;
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!(
        rig.phone
            .ask(&list(["DLMessageGetFreeDiskSpace".into()]))
            .await
            .code,
        0
    );
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    rig.phone.finish(0).await;
    assert_eq!(rig.end().await.outcome, Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_takes_nothing_is_given_up() {
    let setup = Setup::default();
    setup.vault.put("Manifest.db", &vec![0; 1 << 20]);
    let mut rig = Rig::greeted(setup).await;
    let wire = own("Manifest.db");
    rig.phone
        .send(&list([
            "DLMessageDownloadFiles".into(),
            texts(&[&wire]),
            nothing(),
            0.into(),
        ]))
        .await;
    let ended = (&mut rig.running).await.unwrap();
    let after = Timeouts::default().write;
    assert_eq!(
        ended.outcome,
        Outcome::Timeout {
            phase: Phase::Comparing,
            after
        }
    );
}

async fn phase(rig: &Rig, want: Phase) {
    let mut phases = rig.progress.phases();
    phases.wait_for(|phase| *phase == want).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_passcode_prompt_is_seen_and_waited_for() {
    let mut rig = Rig::greeted(Setup::default()).await;
    phase(&rig, Phase::WaitingForPhone).await;
    rig.notices.send(Notice::PromptPresented).await.unwrap();
    phase(&rig, Phase::WaitingForPasscode).await;
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    rig.notices.send(Notice::PromptDismissed).await.unwrap();
    phase(&rig, Phase::WaitingForPhone).await;
    rig.phone.send(&status_request()).await;
    rig.phone.downloaded().await;
    // Later prompts are not the backup's.
    rig.notices.send(Notice::PromptPresented).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.progress.view().phase, Phase::Comparing);
    rig.phone.finish(208).await;
    let ended = rig.end().await;
    assert_eq!(
        (ended.outcome, ended.stats.passcode_asked),
        (Outcome::NotConfirmed, true)
    );
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_nobody_ends_is_bounded() {
    let mut rig = Rig::greeted(Setup::default()).await;
    phase(&rig, Phase::WaitingForPhone).await;
    rig.notices.send(Notice::PromptPresented).await.unwrap();
    let ended = (&mut rig.running).await.unwrap();
    let after = Timeouts::default().passcode;
    assert_eq!(
        ended.outcome,
        Outcome::Timeout {
            phase: Phase::WaitingForPasscode,
            after
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_on_the_device_ends_it() {
    for in_batch in [false, true] {
        let mut rig = Rig::greeted(Setup::default()).await;
        if in_batch {
            rig.phone.send(&upload(1)).await;
            rig.phone.raw(&name(b"/x")).await;
            phase(&rig, Phase::Receiving).await;
        }
        rig.notices.send(Notice::CancelRequested).await.unwrap();
        let ended = (&mut rig.running).await.unwrap();
        assert_eq!(ended.outcome, Outcome::CancelledOnDevice);
    }
}

fn held() -> (Setup, oneshot::Sender<Release>) {
    let (release, released) = oneshot::channel();
    let hold = Box::pin(async { released.await.unwrap() });
    (
        Setup {
            hooks: Hooks {
                hold: Some(hold),
                ..Hooks::default()
            },
            ..Setup::default()
        },
        release,
    )
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_held_until_released() {
    let (setup, release) = held();
    let mut rig = Rig::greeted(setup).await;
    // Before the phone has consented nothing is held and nothing is polled.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.progress.view().phase, Phase::WaitingForPhone);
    rig.phone.send(&status_request()).await;
    phase(&rig, Phase::Held).await;
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    assert_eq!(
        (rig.progress.view().phase, rig.running.is_finished()),
        (Phase::Held, false)
    );
    release.send(Release::Run).unwrap();
    assert_eq!(rig.phone.downloaded().await.1.code, -13);
    rig.phone.finish(0).await;
    assert_eq!(rig.end().await.outcome, Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_hold_may_end_without_the_lock() {
    let (setup, release) = held();
    let mut rig = Rig::greeted(setup).await;
    rig.phone.send(&status_request()).await;
    phase(&rig, Phase::Held).await;
    release.send(Release::GiveUp).unwrap();
    let goodbye = list(["DLMessageDisconnect".into(), crate::phone::EMPTY.into()]);
    assert_eq!(rig.phone.receive().await, goodbye);
    let ended = rig.end().await;
    assert_eq!(ended.outcome, Outcome::NotLockedInTime);
    assert_eq!(ended.vault.log.lock().unwrap().verbs, []);
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_leaves_during_the_hold_is_noticed() {
    let (setup, _release) = held();
    let mut rig = Rig::greeted(setup).await;
    rig.phone.send(&status_request()).await;
    phase(&rig, Phase::Held).await;
    let ended = rig.end().await;
    assert!(
        matches!(
            ended.outcome,
            Outcome::Disconnected {
                phase: Phase::Held,
                ..
            }
        ),
        "{:?}",
        ended.outcome
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_needs_no_hold() {
    let (setup, _release) = held();
    let mut rig = Rig::greeted(setup).await;
    rig.phone.finish(208).await;
    assert_eq!(rig.end().await.outcome, Outcome::NotConfirmed);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_while_waiting_is_said_to_the_phone() {
    for is_held in [false, true] {
        let (setup, _release) = held();
        let mut rig = Rig::greeted(setup).await;
        if is_held {
            rig.phone.send(&status_request()).await;
            phase(&rig, Phase::Held).await;
        }
        rig.cancel.cancel();
        let goodbye = list(["DLMessageDisconnect".into(), crate::phone::EMPTY.into()]);
        assert_eq!(rig.phone.receive().await, goodbye);
        assert_eq!(rig.end().await.outcome, Outcome::Cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_does_not_hang_up_is_left_after_the_farewell() {
    let mut rig = Rig::greeted(Setup::default()).await;
    rig.phone.finish(0).await;
    let began = Instant::now();
    assert_eq!((&mut rig.running).await.unwrap().outcome, Outcome::Finished);
    assert_eq!(
        began.elapsed().as_secs(),
        Timeouts::default().farewell.as_secs()
    );
}
