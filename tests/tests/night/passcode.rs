//! Phones that ask for their passcode before a backup: iOS 16.1 and later.

use ibak_core::Udid;
use ibak_dbus::MirrorEvent;
use ibak_dbus::words::{
    AttentionKind, ConditionName, ConditionStatus, Outcome, Passcode, Phase, PhoneState, WaitsFor,
};
use ibak_sim::state::Switch;
use ibak_tests::night::{ALL_MET, Night, SETTLE, Setup, phone};
use std::time::Duration;

/// For how long a screen is unlocked before somebody counts as there.
const PRESENT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

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
    for _ in 0..3 {
        assert!(night.phone(0).waits_for.contains(&WaitsFor::Person));
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

fn is_attention(event: &MirrorEvent) -> bool {
    matches!(event, MirrorEvent::Attention { .. })
}

/// Lists the jobs of which a person was told that they will ask, and of which phone.
fn announced(night: &Night) -> Vec<(Udid, u64)> {
    let announced = |event: &MirrorEvent| {
        let MirrorEvent::Attention {
            phone: Some(phone),
            kind: AttentionKind::Asking,
            details,
        } = event
        else {
            return None;
        };
        Some((phone.clone(), u64::try_from(details.get("job")?).ok()?))
    };
    night.events.iter().filter_map(announced).collect()
}

/// Its lock is seen once, so that it is known to ask; then its owner has it in hand, on its charger.
async fn in_hand(night: &mut Night, phone: usize) {
    night.tuck_in(phone).await;
    night.set(phone, &["locked=no"]).await;
    night
        .until_phone(phone, "it is seen unlocked", |view| {
            let locked = view.condition(&ConditionName::Locked);
            locked.status == ConditionStatus::Unmet
        })
        .await;
}

/// Waits for the question of a phone that is in hand, and returns its job.
async fn question(night: &mut Night, phone: usize) -> ibak_dbus::JobId {
    let view = night.until_state(phone, PhoneState::Asking).await;
    view.current_job.expect("who asks has a job")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_parents_in_the_evening_are_told_asked_and_backed_up_once_locked() {
    let mut mother = phone("Mother's iPhone");
    mother.ios = "16.3".parse().unwrap();
    let mut father = phone("Father's iPhone");
    father.ios = "26.3".parse().unwrap();
    let mut night = Setup::of(vec![mother, father]).by_cable().begin().await;
    for phone in [0, 1] {
        night.set(phone, &["passcode-answer=ignore"]).await;
        in_hand(&mut night, phone).await;
    }
    assert_eq!(
        announced(&night),
        [],
        "a glance is no moment for a question"
    );
    night.advance(PRESENT).await;
    let jobs = [question(&mut night, 0).await, question(&mut night, 1).await];
    let mut told = announced(&night);
    told.sort_by_key(|it| it.1);
    let mut want: Vec<_> = [0, 1].map(|it| (night.udid(it), jobs[it].get())).to_vec();
    want.sort_by_key(|it| it.1);
    assert_eq!(told, want, "each is told once");
    for phone in [0, 1] {
        night.set(phone, &["passcode-answer=give"]).await;
        let job = jobs[phone];
        night
            .until("it is held", |state| {
                state
                    .job(job)
                    .is_some_and(|view| view.phase == Phase::AwaitingLock)
            })
            .await;
        assert_eq!(night.bytes_sent(phone) / 10_000, 0, "nothing but talk");
        night.set(phone, &["locked=yes"]).await;
        assert_eq!(night.ended(job).await, Outcome::Succeeded);
        let backups = night.backups(phone).await;
        night.assert_equals_phone(phone, &backups[0].id);
        assert_eq!(night.simulated(phone).activity().passcode_prompts, 1);
    }
    assert_eq!(night.events.iter().filter(|it| is_attention(it)).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_and_it_asks_again_the_next_evening_only() {
    let mut night = new_iphone(Switch::On).await;
    night
        .set(0, &["passcode-answer=ignore", "passcode-patience=1"])
        .await;
    in_hand(&mut night, 0).await;
    night.advance(PRESENT).await;
    // It was told before; the prompt itself may be over by now.
    night
        .until_phone(0, "nobody answered", |view| {
            view.last_result == Some(Outcome::NotConfirmed)
        })
        .await;
    assert_eq!(announced(&night).len(), 1);
    let asked = [WaitsFor::Asked];
    let what = "it asked for today";
    night
        .until_phone(0, what, |view| view.waits_for == asked)
        .await;
    // The evening begins at 20:00, and tomorrow's hours at 19:00.
    let tomorrow = ibak_tests::night::EVENING + 23 * HOUR;
    assert_eq!(night.phone(0).next_attempt, Some(tomorrow));
    night.restart_daemon().await;
    night
        .until_phone(0, what, |view| view.waits_for == asked)
        .await;
    night.advance(HOUR).await;
    night
        .until_phone(0, what, |view| view.waits_for == asked)
        .await;
    assert_eq!(night.simulated(0).activity().passcode_prompts, 1);

    let left = tomorrow.saturating_since(night.clock.now().wall);
    night.advance(left).await;
    night
        .until_phone(0, "it is looked at again", |view| {
            view.waits_for == [WaitsFor::Person]
                && view.condition(&ConditionName::Locked).status == ConditionStatus::Unmet
        })
        .await;
    night.set(0, &["passcode-answer=give"]).await;
    night.advance(PRESENT).await;
    let what = "it asks again";
    let view = night
        .until_phone(0, what, |view| view.current_job.is_some())
        .await;
    night.set(0, &["locked=yes"]).await;
    assert_eq!(
        night.ended(view.current_job.unwrap()).await,
        Outcome::Succeeded
    );
    assert_eq!(announced(&night).len(), 2);
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
