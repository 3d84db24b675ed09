//! The computer on which it all happens: held awake while a phone is backed up and only then, and
//! awake again after a sleep.

use ibak_dbus::JobId;
use ibak_dbus::words::{ConditionName, Outcome};
use ibak_tests::mock::{LOGIND, Mock};
use ibak_tests::night::{Night, SLOW, Setup, phone};
use std::time::Duration;
use zbus::Variant;

fn two() -> Setup {
    Setup::of(vec![phone("Ada's iPhone"), phone("Ben's iPhone")]).by_cable()
}

async fn logind(night: &Night) -> Option<Mock> {
    Mock::start(&night.bus.address, "logind", LOGIND).await
}

/// Begins an automatic backup of Ada's that receives slowly.
async fn receiving(night: &mut Night) -> JobId {
    night.set(0, &[SLOW]).await;
    night.tuck_in(0).await;
    let job = night.let_start(0).await;
    night.until_receiving(job).await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_inhibitor_is_held_while_backups_run_and_none_after() {
    let mut night = two().begin().await;
    let Some(logind) = logind(&night).await else {
        return;
    };
    night.tuck_in(0).await;
    assert_eq!(logind.inhibitors().await, [], "nothing runs");
    let first = receiving(&mut night).await;
    logind.until_inhibitors(1).await;
    night.set(1, &[SLOW]).await;
    let second = night.back_up(1, &[]).await.unwrap();
    night.until_receiving(second).await;
    assert_eq!(logind.inhibitors().await.len(), 1, "two backups, one hold");
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(first).await, Outcome::Succeeded);
    assert_eq!(logind.inhibitors().await.len(), 1, "the other still runs");
    night.set(1, &["upload-rate=none"]).await;
    assert_eq!(night.ended(second).await, Outcome::Succeeded);
    logind.until_inhibitors(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_fails_lets_the_computer_sleep_and_so_does_the_daemons_end() {
    let mut night = two().begin().await;
    let Some(logind) = logind(&night).await else {
        return;
    };
    let job = receiving(&mut night).await;
    logind.until_inhibitors(1).await;
    night.set(0, &["attached=none"]).await;
    assert_ne!(night.ended(job).await, Outcome::Succeeded);
    logind.until_inhibitors(0).await;
    night.set(1, &[SLOW]).await;
    let job = night.back_up(1, &[]).await.unwrap();
    night.until_receiving(job).await;
    logind.until_inhibitors(1).await;
    night.stop_daemon().await;
    logind.until_inhibitors(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logind_that_begins_anew_is_asked_anew() {
    let mut night = two().begin().await;
    let Some(first) = logind(&night).await else {
        return;
    };
    let job = receiving(&mut night).await;
    first.until_inhibitors(1).await;
    drop(first);
    let Some(second) = logind(&night).await else {
        return;
    };
    second.until_inhibitors(1).await;
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    second.until_inhibitors(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_on_its_battery_may_sleep_in_the_middle_of_a_backup() {
    let setup = two().keys("host_power = \"any\"");
    let mut night = setup.begin().await;
    let Some(logind) = logind(&night).await else {
        return;
    };
    let battery = night.dir().join("power/BAT0");
    std::fs::create_dir_all(&battery).unwrap();
    std::fs::write(battery.join("type"), "Battery\n").unwrap();
    let status = |word: &str| std::fs::write(battery.join("status"), word).unwrap();
    status("Full\n");
    let job = receiving(&mut night).await;
    logind.until_inhibitors(1).await;
    // A quarter of an hour finds the battery, and from then on every minute what becomes of it.
    night.advance(Duration::from_secs(900)).await;
    status("Discharging\n");
    night.advance(Duration::from_secs(120)).await;
    logind.until_inhibitors(0).await;
    assert_eq!(night.job(job).result, None, "it goes on as long as it can");
    status("Charging\n");
    night.advance(Duration::from_secs(120)).await;
    logind.until_inhibitors(1).await;
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    logind.until_inhibitors(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sleep_every_phone_is_read_again() {
    let mut night = two().begin().await;
    let Some(logind) = logind(&night).await else {
        return;
    };
    night.tuck_in(0).await;
    // Sooner than anything is read again by itself; what tucking in still has read comes first.
    for _ in 0..5 {
        night.advance(Duration::from_secs(10)).await;
    }
    let now = night.clock.now().wall;
    let read = night.phone(0).condition(&ConditionName::Power).observed;
    assert!(read.is_some_and(|at| at < now), "{}", night.picture());
    let manager = "org.freedesktop.login1.Manager";
    for sleeps in [true, false] {
        logind
            .signal(manager, "PrepareForSleep", "b", Variant::from(sleeps))
            .await;
    }
    night
        .until_phone(0, "its power is read again", |view| {
            view.condition(&ConditionName::Power).observed == Some(now)
        })
        .await;
}
