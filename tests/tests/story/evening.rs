//! The evening of the demo, and the next one.

use crate::{HOUR, MET, UNMET, ada, house, known, new_ada, why};
use ibak_dbus::MirrorEvent;
use ibak_dbus::words::{AttentionKind, ConditionName, ConditionStatus, Outcome, Phase, PhoneState};
use ibak_tests::night::SETTLE;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_and_the_next() {
    let mut night = house(ada(), "").await;
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    insta::assert_snapshot!("evening_1_she_is_out", why(&mut night).await);

    // The first reading hears of no change that comes before it.
    night.set(0, &["power=on"]).await;
    night.set(0, &["attached=usb"]).await;
    known(
        &mut night,
        &[(ConditionName::Power, MET), (ConditionName::Space, MET)],
    )
    .await;
    known(
        &mut night,
        &[(ConditionName::Locked, ConditionStatus::Unmet)],
    )
    .await;
    insta::assert_snapshot!("evening_2_she_plugs_it_in", why(&mut night).await);

    night.set(0, &["locked=yes"]).await;
    night.until_state(0, PhoneState::Settling).await;
    insta::assert_snapshot!("evening_3_she_locks_it", why(&mut night).await);

    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    insta::assert_snapshot!("evening_4_it_is_backed_up", why(&mut night).await);

    night
        .set(0, &["attached=none", "power=off", "locked=no"])
        .await;
    night.until_state(0, PhoneState::Absent).await;
    night.advance(HOUR * 23).await;
    insta::assert_snapshot!("evening_5_the_next_day_it_is_due", why(&mut night).await);
}

/// The person is told before the phone asks, gives the passcode, and locks the phone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_with_a_phone_that_asks() {
    let mut night = house(new_ada(), "").await;
    night.set(0, &["locked=yes"]).await;
    known(&mut night, &[(ConditionName::Locked, MET)]).await;
    night.advance(HOUR).await;
    night.set(0, &["locked=no", "passcode-answer=ignore"]).await;
    // Who asks has its power read as well, so that it is known not to have had any.
    why(&mut night).await;
    let unmet = [ConditionName::Power, ConditionName::Locked].map(|it| (it, UNMET));
    known(&mut night, &unmet).await;
    night.set(0, &["power=on"]).await;
    known(&mut night, &[(ConditionName::Power, MET)]).await;
    insta::assert_snapshot!("asking_1_in_her_hand", why(&mut night).await);
    night.advance(Duration::from_secs(11)).await;
    let job = night
        .until_phone(0, "it asks", |view| view.state == PhoneState::Asking)
        .await
        .current_job
        .unwrap();
    insta::assert_snapshot!("asking_2_it_asks", why(&mut night).await);
    let told = |event: &MirrorEvent| matches!(event, MirrorEvent::Attention { kind, .. } if *kind == AttentionKind::Asking);
    assert_eq!(night.events.iter().filter(|it| told(it)).count(), 1);
    night.set(0, &["passcode-answer=give"]).await;
    night
        .until("the passcode is given", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::AwaitingLock)
        })
        .await;
    let before = night.bytes_sent(0);
    insta::assert_snapshot!("asking_3_it_waits_for_its_lock", why(&mut night).await);
    night.advance(SETTLE).await;
    assert_eq!(
        night.bytes_sent(0),
        before,
        "not one byte while it is unlocked"
    );
    night.set(0, &["locked=yes"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    insta::assert_snapshot!("asking_4_it_is_backed_up", why(&mut night).await);
    assert_eq!(night.simulated(0).activity().passcode_prompts, 1);
}
