//! Several phones in one house.

use ibak_dbus::words::{Outcome, Phase, WaitsFor};
use ibak_tests::night::{SLOW, Setup, phone};
use std::time::Duration;

fn two() -> Setup {
    Setup::of(vec![phone("Ada's iPhone"), phone("Ben's iPhone")]).by_cable()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phones_are_backed_up_at_once() {
    let mut night = two().begin().await;
    for phone in [0, 1] {
        night.set(phone, &[SLOW]).await;
        night.tuck_in(phone).await;
    }
    night.let_start(0).await;
    let udids = [night.udid(0), night.udid(1)];
    let jobs = night
        .until_some("both receive", |state| {
            let jobs: Vec<_> = udids
                .iter()
                .filter_map(|udid| state.job(state.phone(udid)?.current_job?))
                .filter(|job| job.phase == Phase::Receiving)
                .map(|job| job.id)
                .collect();
            (jobs.len() == 2).then_some(jobs)
        })
        .await;
    for phone in [0, 1] {
        night.set(phone, &["upload-rate=none"]).await;
    }
    for (phone, job) in jobs.into_iter().enumerate() {
        assert_eq!(night.ended(job).await, Outcome::Succeeded);
        let backups = night.backups(phone).await;
        assert_eq!(backups.len(), 1);
        night.assert_equals_phone(phone, &backups[0].id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_slot_the_phone_that_waited_longest_goes_first() {
    let mut night = two().keys("parallel_max = 1").begin().await;
    night.night_of(1).await;
    night.advance(Duration::from_secs(3_600)).await;
    night.night_of(0).await;
    night.advance(Duration::from_secs(86_400)).await;
    for phone in [0, 1] {
        night.set(phone, &[SLOW]).await;
        night.tuck_in(phone).await;
    }
    let first = night.let_start(1).await;
    let waiting = night
        .until_phone(0, "the other waits for the slot", |view| {
            view.waits_for == [WaitsFor::Slot]
        })
        .await;
    assert_eq!(waiting.current_job, None);
    night.until_receiving(first).await;
    assert_eq!(night.simulated(0).activity().backups_begun, 1);
    night.set(1, &["upload-rate=none"]).await;
    assert_eq!(night.ended(first).await, Outcome::Succeeded);
    let second = night
        .until_phone(0, "it is the other's turn", |view| {
            view.current_job.is_some()
        })
        .await
        .current_job
        .unwrap();
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(second).await, Outcome::Succeeded);
    assert_eq!(
        (night.backups(0).await.len(), night.backups(1).await.len()),
        (2, 2)
    );
}
