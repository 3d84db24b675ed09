//! A condition is lost while a backup runs: the policy's table, row by row.

use ibak_dbus::JobId;
use ibak_dbus::words::{ConditionName, ConditionStatus, Outcome, PhoneState, TransportWord};
use ibak_tests::night::{Night, SLOW, Setup, phone};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(600);

/// Has an automatic backup begin and send slowly.
async fn running(setup: Setup) -> (Night, JobId) {
    let mut night = setup.begin().await;
    night.set(0, &[SLOW]).await;
    night.tuck_in(0).await;
    let job = night.let_start(0).await;
    night.until_receiving(job).await;
    (night, job)
}

fn ada() -> Setup {
    Setup::of(vec![phone("Ada's iPhone")])
}

async fn until_lost(night: &mut Night, name: ConditionName) {
    let what = format!("{name} is lost");
    night
        .until_phone(0, &what, |view| {
            view.condition(&name).status == ConditionStatus::Unmet
        })
        .await;
}

/// Takes the power away, and waits until the daemon has read so.
async fn unplug_power(night: &mut Night) {
    night.set(0, &["power=off"]).await;
    night.advance(Duration::from_secs(225)).await;
    until_lost(night, ConditionName::Power).await;
}

async fn finishes(mut night: Night, job: JobId) {
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
}

/// What arrived is kept, and the next run finishes with it.
async fn is_resumed(night: &mut Night) {
    assert!(night.is_staged(0));
    assert_eq!(night.backups(0).await, []);
    night.set(0, &["upload-rate=none"]).await;
    night.tuck_in(0).await;
    let view = night
        .until_phone(0, "it backs off", |view| {
            view.state == PhoneState::BackingOff
        })
        .await;
    let left = view
        .next_attempt
        .unwrap()
        .saturating_since(night.clock.now().wall);
    night.advance(left).await;
    night
        .until_phone(0, "it goes on", |view| {
            view.last_backup.is_some() || view.state == PhoneState::Settling
        })
        .await;
    if night.phone(0).state == PhoneState::Settling {
        night.let_start(0).await;
    }
    night
        .until_phone(0, "it is backed up", |view| view.last_backup.is_some())
        .await;
    let backups = night.backups(0).await;
    assert_eq!(backups.len(), 1);
    night.assert_equals_phone(0, &backups[0].id);
    assert!(!night.is_staged(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_stops_it_after_the_grace_and_the_next_run_goes_on() {
    let (mut night, job) = running(ada().by_cable()).await;
    unplug_power(&mut night).await;
    let lost = night
        .phone(0)
        .condition(&ConditionName::Power)
        .since
        .unwrap();
    let over = (lost + GRACE - SECOND).saturating_since(night.clock.now().wall);
    night.pass(0, over).await;
    assert_eq!(night.job(job).result, None, "{}", night.picture());
    night.advance(SECOND).await;
    assert_eq!(night.ended(job).await, Outcome::LostPower);
    assert_eq!(night.phone(0).last_result, Some(Outcome::LostPower));
    is_resumed(&mut night).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_that_comes_back_within_the_grace_changes_nothing() {
    let (mut night, job) = running(ada().by_cable()).await;
    unplug_power(&mut night).await;
    night.pass(0, GRACE - SECOND * 60).await;
    night.set(0, &["power=on"]).await;
    night
        .until_phone(0, "power is back", |view| {
            view.condition(&ConditionName::Power).status == ConditionStatus::Met
        })
        .await;
    night.pass(0, GRACE).await;
    assert_eq!(night.job(job).result, None, "{}", night.picture());
    finishes(night, job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_stops_it_at_once_when_told_so() {
    let (mut night, job) = running(ada().by_cable().tables("[lost]\npower = \"stop\"")).await;
    unplug_power(&mut night).await;
    assert_eq!(night.ended(job).await, Outcome::LostPower);
    is_resumed(&mut night).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlocked_screen_lets_it_finish() {
    let (mut night, job) = running(ada().by_cable()).await;
    night.set(0, &["locked=no"]).await;
    until_lost(&mut night, ConditionName::Locked).await;
    night.settle().await;
    assert_eq!(night.job(job).result, None);
    finishes(night, job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlocked_screen_stops_it_when_told_so() {
    let (mut night, job) = running(ada().by_cable().tables("[lost]\nlocked = \"stop\"")).await;
    night.set(0, &["locked=no"]).await;
    assert_eq!(night.ended(job).await, Outcome::LostLocked);
    is_resumed(&mut night).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wifi_lost_goes_on_by_cable() {
    let (mut night, job) = running(ada()).await;
    night.set(0, &["wifi=off"]).await;
    until_lost(&mut night, ConditionName::Wifi).await;
    night.settle().await;
    assert_eq!(night.job(job).result, None);
    finishes(night, job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wifi_lost_without_a_cable_stops_it_and_the_next_run_goes_on() {
    let mut night = ada().begin().await;
    night.tuck_in(0).await;
    night.set(0, &["attached=none", SLOW]).await;
    night
        .until_phone(0, "it is there over the air alone", |view| {
            view.transports == [TransportWord::Wifi] && view.state == PhoneState::Settling
        })
        .await;
    let job = night.let_start(0).await;
    night.until_receiving(job).await;
    night.set(0, &["wifi=off"]).await;
    let outcome = night.ended(job).await;
    assert!(
        matches!(outcome, Outcome::LostWifi | Outcome::LostConnection),
        "{outcome}{}",
        night.picture()
    );
    night.until_state(0, PhoneState::Absent).await;
    is_resumed(&mut night).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cable_is_as_good_as_wifi_when_told_so() {
    let mut night = ada().by_cable().begin().await;
    night.set(0, &["power=on", "locked=yes"]).await;
    night.let_start(0).await;
    night
        .until_phone(0, "it is backed up", |view| view.last_backup.is_some())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cable_pulled_stops_it_and_the_next_run_goes_on() {
    let (mut night, job) = running(ada().by_cable()).await;
    night.set(0, &["attached=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::LostConnection);
    night.until_state(0, PhoneState::Absent).await;
    night.set(0, &["attached=usb"]).await;
    is_resumed(&mut night).await;
}
