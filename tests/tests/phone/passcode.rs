//! A phone that wants its passcode: the whole way is told on the bus, in the history and by
//! `ibakctl`, and where nobody gives it that is no failure.

use super::{house, ready};
use ibak_dbus::words::{
    ConditionName, ConditionStatus, JobState, Outcome, Passcode, Phase, PhoneState, WaitsFor,
};
use ibak_sim::PhoneSpec;
use ibak_tests::night::{Night, phone};
use std::time::Duration;

/// For how long a screen is unlocked before somebody counts as there.
const PRESENT: Duration = Duration::from_secs(10);
/// For how long the first reply is held back, as the configuration has it by itself.
const HOLD: Duration = Duration::from_secs(300);

fn asking_phone() -> PhoneSpec {
    let mut spec = phone("New iPhone");
    (spec.ios, spec.product) = ("26.3".parse().unwrap(), "iPhone17,4".to_owned());
    spec
}

/// Asks for a backup that waits until somebody is there, and waits until the phone shows its question
/// to whoever has it in hand.
async fn asked_when_ready(night: &mut Night) -> ibak_dbus::JobId {
    // Its lock is seen once, so that it is known to ask.
    night.tuck_in(0).await;
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    night.settle().await;
    assert_eq!(night.job(job).waits_for, [WaitsFor::Person]);
    night.set(0, &["locked=no"]).await;
    until_unlocked(night).await;
    night.advance(PRESENT).await;
    until_phase(night, job, Phase::Asking).await;
    job
}

async fn until_unlocked(night: &mut Night) {
    night
        .until_phone(0, "it is seen unlocked", |view| {
            view.condition(&ConditionName::Locked).status == ConditionStatus::Unmet
        })
        .await;
}

async fn until_phase(night: &mut Night, job: ibak_dbus::JobId, phase: Phase) {
    let what = format!("job {job} is {phase}");
    night
        .until(&what, |state| {
            state.job(job).is_some_and(|view| {
                assert!(!view.ended(), "it ended: {view:?}");
                view.phase == phase
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_asks_waits_for_the_lock_and_receives() {
    let mut night = house(vec![asking_phone()]).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = asked_when_ready(&mut night).await;
    night.until_state(0, PhoneState::Asking).await;
    night
        .set(0, &["upload-rate=200000", "passcode-answer=give"])
        .await;
    until_phase(&mut night, job, Phase::AwaitingLock).await;
    let sent = night.bytes_sent(0);
    assert_eq!(sent / 10_000, 0, "nothing but talk before the lock");
    night.set(0, &["locked=yes"]).await;
    until_phase(&mut night, job, Phase::Receiving).await;
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
    assert_eq!(night.simulated(0).activity().passcode_prompts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_too_late_is_told_and_nothing_was_sent() {
    let mut night = house(vec![asking_phone()]).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = asked_when_ready(&mut night).await;
    night.set(0, &["passcode-answer=give"]).await;
    until_phase(&mut night, job, Phase::AwaitingLock).await;
    night.advance(HOLD).await;
    assert_eq!(night.ended(job).await, Outcome::NotLockedInTime);
    assert_eq!(night.phone(0).last_result, Some(Outcome::NotLockedInTime));
    assert_eq!(night.bytes_sent(0) / 10_000, 0, "nothing but talk");
    let attempts = night.attempts(0).await;
    assert_eq!(attempts[0].result, Some(Outcome::NotLockedInTime));
    let why = night.ctl(&["why"], "").await;
    why.says(&["lock"]);
    assert_eq!(night.backups(0).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_is_ignored_or_dismissed_is_exit_code_7() {
    let mut night = house(vec![asking_phone()]).await;
    for (round, settings) in [
        &["passcode-answer=ignore", "passcode-patience=1"][..],
        &["passcode-answer=dismiss", "passcode-patience=180"],
    ]
    .into_iter()
    .enumerate()
    {
        night.set(0, settings).await;
        ready(&mut night, 0).await;
        let said = night.ctl(&["backup", "--wait"], "").await;
        assert_eq!(said.code, Some(7), "{said:?}");
        said.says(&["passcode"]);
        let attempt = night.attempts(0).await.pop().unwrap();
        assert_eq!(
            (attempt.result, attempt.device_code),
            (Some(Outcome::NotConfirmed), Some(208))
        );
        let prompts = night.simulated(0).activity().passcode_prompts;
        assert_eq!(
            prompts,
            round as u64 + 1,
            "asked once each, never again by itself"
        );
        night.ctl(&["why"], "").await.says(&["passcode"]);
    }
    let view = night.phone(0);
    assert_eq!(
        (view.passcode, view.last_result),
        (Passcode::Asks, Some(Outcome::NotConfirmed))
    );
    assert_eq!(night.backups(0).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_at_the_phone_may_call_it_off_while_it_asks() {
    let mut night = house(vec![asking_phone()]).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    until_phase(&mut night, job, Phase::Asking).await;
    night.simulated(0).person_cancels();
    assert_eq!(night.ended(job).await, Outcome::CancelledOnDevice);
    assert_eq!(night.job(job).state, JobState::Cancelled);
    let attempt = night.attempts(0).await.pop().unwrap();
    assert_eq!(attempt.result, Some(Outcome::CancelledOnDevice));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_here_may_call_it_off_while_it_asks() {
    let mut night = house(vec![asking_phone()]).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    until_phase(&mut night, job, Phase::Asking).await;
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    night.set(0, &["passcode-answer=give"]).await;
    ready(&mut night, 0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
}
