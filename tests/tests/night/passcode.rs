//! Phones that ask for their passcode before a backup: iOS 16.1 and later.

use ibak_core::Udid;
use ibak_dbus::words::{Outcome, Passcode, Phase, PhoneState, WaitsFor};
use ibak_sim::state::Switch;
use ibak_tests::night::{ALL_MET, Night, SETTLE, Setup, phone};

async fn new_iphone(passcode: Switch) -> Night {
    let mut spec = phone("New iPhone");
    spec.ios = "16.3".parse().unwrap();
    spec.product = "iPhone15,2".to_owned();
    spec.state.passcode = passcode;
    Setup::of(vec![spec]).by_cable().begin().await
}

/// Asks for a backup and waits until the phone shows its question.
async fn asking(night: &mut Night) -> ibak_dbus::JobId {
    let job = night.back_up(0, &[]).await.unwrap();
    night
        .until("the phone asks for its passcode", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Asking)
        })
        .await;
    night.until_state(0, PhoneState::Asking).await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_asked_while_nobody_is_there() {
    let mut night = new_iphone(Switch::On).await;
    let view = night.tuck_in(0).await;
    assert_eq!(
        (view.passcode, view.state),
        (Passcode::Asks, PhoneState::Waiting)
    );
    night.until_conditions(0, &ALL_MET).await;
    // The first time all four hold; later nothing is read again for a backup that waits for a person.
    for _ in 0..3 {
        assert!(night.phone(0).waits_for.contains(&WaitsFor::Passcode));
        night.advance(SETTLE).await;
        assert_eq!(night.state().jobs(), []);
    }
    let activity = night.simulated(0).activity();
    assert_eq!((activity.passcode_prompts, activity.backups_begun), (0, 0));
    assert_eq!(night.bytes_sent(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_asks_and_answers_gets_a_backup() {
    let mut night = new_iphone(Switch::On).await;
    night.tuck_in(0).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = asking(&mut night).await;
    assert_eq!(night.bytes_sent(0) / 10_000, 0, "nothing but talk so far");
    night.set(0, &["passcode-answer=give"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert_eq!(night.simulated(0).activity().passcode_prompts, 1);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
    assert_eq!(night.phone(0).passcode, Passcode::Asks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_without_an_answer_is_not_a_failure() {
    let mut night = new_iphone(Switch::On).await;
    night.tuck_in(0).await;
    night
        .set(0, &["passcode-answer=ignore", "passcode-patience=1"])
        .await;
    let job = asking(&mut night).await;
    assert_eq!(night.ended(job).await, Outcome::NotConfirmed);
    assert_eq!(night.backups(0).await, []);

    night.set(0, &["passcode-patience=180"]).await;
    let job = asking(&mut night).await;
    night.set(0, &["passcode-answer=dismiss"]).await;
    assert_eq!(night.ended(job).await, Outcome::NotConfirmed);
    let attempts = night.attempts(0).await;
    let told: Vec<_> = attempts
        .into_iter()
        .map(|it| (it.result, it.device_code))
        .collect();
    assert_eq!(told, vec![(Some(Outcome::NotConfirmed), Some(208)); 2]);
    let view = night.phone(0);
    assert_eq!(
        (view.passcode, view.last_result),
        (Passcode::Asks, Some(Outcome::NotConfirmed))
    );
    assert_eq!(
        night
            .events
            .iter()
            .filter(|event| is_attention(event))
            .count(),
        0
    );
}

fn is_attention(event: &ibak_dbus::MirrorEvent) -> bool {
    matches!(event, ibak_dbus::MirrorEvent::Attention { .. })
}

/// Whether it asks cannot be known of a new iOS without a lock seen; one try finds out, and what
/// was learnt outlives the daemon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_tried_once_and_learnt() {
    let mut night = new_iphone(Switch::Off).await;
    night
        .until_phone(0, "it is read", |view| !view.name.is_empty())
        .await;
    assert_eq!(night.phone(0).passcode, Passcode::Unknown);
    night.night_of(0).await;
    assert_eq!(night.phone(0).passcode, Passcode::Never);
    night.restart_daemon().await;
    let udid: Udid = night.udid(0);
    night
        .until("it is still known", |state| {
            state
                .phone(&udid)
                .is_some_and(|view| view.passcode == Passcode::Never)
        })
        .await;
}
