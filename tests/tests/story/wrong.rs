//! Nights that go wrong, and the reason of each in the words of `ibakctl why`.

use crate::{HOUR, MET, MINUTE, SECOND, UNMET, ada, house, known, new_ada, why};
use ibak_dbus::words::{ConditionName, ConditionStatus, Outcome, PhoneState, WaitsFor};
use ibak_sim::MuxVerb;
use ibak_tests::night::{Night, Setup};
use std::time::Duration;

const ON_POWER: [(ConditionName, ConditionStatus); 2] =
    [(ConditionName::Power, MET), (ConditionName::Space, MET)];

async fn waits_for(night: &mut Night, word: WaitsFor) {
    let what = format!("it waits for {word}");
    night
        .until_phone(0, &what, |view| view.waits_for.contains(&word))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn she_forgets_the_charger() {
    let mut night = house(ada(), "").await;
    night.set(0, &["locked=yes", "battery=34"]).await;
    known(&mut night, &[(ConditionName::Locked, MET)]).await;
    night.advance(HOUR * 3).await;
    known(
        &mut night,
        &[(ConditionName::Power, UNMET), (ConditionName::Locked, MET)],
    )
    .await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn she_reads_all_night() {
    let mut night = house(ada(), "").await;
    night.set(0, &["power=on"]).await;
    known(&mut night, &ON_POWER).await;
    night.advance(HOUR * 5).await;
    known(&mut night, &ON_POWER).await;
    known(&mut night, &[(ConditionName::Locked, UNMET)]).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn she_is_away() {
    let mut night = house(ada(), "").await;
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    night.advance(HOUR * 26).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_full() {
    let mut night = house(ada(), "quota = \"1MiB\"").await;
    night.set(0, &["power=on", "locked=yes"]).await;
    known(
        &mut night,
        &[(ConditionName::Space, UNMET), (ConditionName::Locked, MET)],
    )
    .await;
    known(&mut night, &[(ConditionName::Power, MET)]).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usbmuxd_is_gone() {
    let mut night = house(ada(), "").await;
    night.set(0, &["power=on", "locked=yes"]).await;
    known(&mut night, &ON_POWER).await;
    night.sim.mux(MuxVerb::Stop).await.unwrap();
    night.until_state(0, PhoneState::Absent).await;
    night.advance(HOUR).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_does_not_say_whether_it_has_power() {
    let mut night = house(ada(), "").await;
    night
        .set(
            0,
            &[
                "tell=com.apple.mobile.battery/ExternalConnected:text",
                "locked=yes",
            ],
        )
        .await;
    night.set(0, &["power=on"]).await;
    known(&mut night, &[(ConditionName::Locked, MET)]).await;
    night.advance(HOUR).await;
    known(&mut night, &[(ConditionName::Locked, MET)]).await;
    known(
        &mut night,
        &[(ConditionName::Power, ConditionStatus::Unknown)],
    )
    .await;
    night
        .until_phone(0, "its power was read", |view| {
            view.condition(&ConditionName::Power).reason
                == ibak_dbus::words::ConditionReason::NotTold
        })
        .await;
    insta::assert_snapshot!(why(&mut night).await);
}

/// The phone refuses; the second time it waits for twice as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_refuses() {
    let mut night = house(ada(), "").await;
    night.set(0, &["refuse-with=104"]).await;
    night.tuck_in(0).await;
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::PhoneReadWrite);
    waits_for(&mut night, WaitsFor::Backoff).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cable_is_pulled() {
    let mut night = house(ada(), "").await;
    night.set(0, &["drop-in=uploading"]).await;
    night.tuck_in(0).await;
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::LostConnection);
    night.set(0, &["attached=none", "power=off"]).await;
    night.until_state(0, PhoneState::Absent).await;
    night.advance(HOUR * 8).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_time_yet() {
    let mut night = house(ada(), "window = \"01:00-06:00\"").await;
    night.set(0, &["power=on", "locked=yes"]).await;
    known(&mut night, &ON_POWER).await;
    known(&mut night, &[(ConditionName::Locked, MET)]).await;
    waits_for(&mut night, WaitsFor::Window).await;
    night.settle().await;
    insta::assert_snapshot!(why(&mut night).await);
}

/// Seen locked once, so that it is known to ask.
async fn asking_house(keys: &str) -> Night {
    let mut night = house(new_ada(), keys).await;
    night.set(0, &["locked=yes"]).await;
    known(&mut night, &[(ConditionName::Locked, MET)]).await;
    night.advance(HOUR).await;
    night
}

async fn in_hand(night: &mut Night) {
    night.set(0, &["locked=no", "power=on"]).await;
    known(night, &ON_POWER).await;
    known(night, &[(ConditionName::Locked, UNMET)]).await;
    night.advance(SECOND * 11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_the_passcode() {
    let mut night = asking_house("").await;
    night.set(0, &["passcode-answer=dismiss"]).await;
    in_hand(&mut night).await;
    let job = night
        .until_phone(0, "it asks", |view| view.current_job.is_some())
        .await
        .current_job
        .unwrap();
    assert_eq!(night.ended(job).await, Outcome::NotConfirmed);
    waits_for(&mut night, WaitsFor::Asked).await;
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn she_gives_it_and_goes_on_reading() {
    let mut night = asking_house("").await;
    in_hand(&mut night).await;
    let job = night
        .until_phone(0, "it asks", |view| view.current_job.is_some())
        .await
        .current_job
        .unwrap();
    night
        .until("the passcode is given", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == ibak_dbus::words::Phase::AwaitingLock)
        })
        .await;
    // It is read again before the end, while its lock still matters and its power is still known.
    night.advance(Duration::from_secs(280)).await;
    let now = night.clock.now().wall;
    night
        .until_phone(0, "it is read again", |view| {
            view.condition(&ConditionName::Power).observed == Some(now)
        })
        .await;
    known(&mut night, &[(ConditionName::Locked, UNMET)]).await;
    night.advance(SECOND * 21).await;
    assert_eq!(night.ended(job).await, Outcome::NotLockedInTime);
    insta::assert_snapshot!(why(&mut night).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn she_comes_home_too_late_to_be_asked() {
    let mut night = asking_house("ask_window = \"19:00-21:30\"").await;
    // Nothing is read while only the hours matter.
    night.set(0, &["locked=no", "power=on"]).await;
    known(
        &mut night,
        &[(ConditionName::Power, MET), (ConditionName::Locked, UNMET)],
    )
    .await;
    night.advance(SECOND * 11).await;
    waits_for(&mut night, WaitsFor::AskWindow).await;
    night.advance(MINUTE).await;
    assert_eq!(night.simulated(0).activity().passcode_prompts, 0);
    insta::assert_snapshot!(why(&mut night).await);
}

/// It is not asked while nobody has it in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn she_plugs_it_in_locked() {
    let mut night = asking_house("").await;
    night.set(0, &["power=on"]).await;
    known(
        &mut night,
        &[(ConditionName::Power, MET), (ConditionName::Locked, MET)],
    )
    .await;
    waits_for(&mut night, WaitsFor::Person).await;
    insta::assert_snapshot!(why(&mut night).await);
}

/// A cable is no Wi-Fi where nobody said so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_wifi_is_off() {
    let setup = Setup::of(vec![ada()]).zone("Europe/Berlin");
    let mut night = setup.begin().await;
    night.set(0, &["power=on", "locked=yes"]).await;
    known(&mut night, &ON_POWER).await;
    known(
        &mut night,
        &[(ConditionName::Wifi, UNMET), (ConditionName::Locked, MET)],
    )
    .await;
    insta::assert_snapshot!(why(&mut night).await);
}
