//! What a person asks for: now, when ready, off, and with a phone that is new.

use ibak_dbus::words::{
    ConditionName, ConditionStatus, JobKind, JobState, Outcome, Phase, PhoneState, Trigger, Trust,
    WaitsFor,
};
use ibak_dbus::{Dict, Error, names};
use ibak_tests::night::{DAY, Night, SETTLE, SLOW, STRANGER, Setup, phone};
use std::time::Duration;

/// How many files a simulated phone sends at a time.
const BATCH_FILES: u64 = 128;

async fn evening() -> Night {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night
        .until_phone(0, "its size is known", |view| {
            view.condition(&ConditionName::Space).needed.is_some()
        })
        .await;
    night
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn now_needs_only_reach_trust_and_space() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")]).begin().await;
    let waiting = night
        .until_phone(0, "it waits for all but space", |view| {
            view.waits_for == [WaitsFor::Power, WaitsFor::Wifi, WaitsFor::Locked]
        })
        .await;
    assert_eq!(waiting.state, PhoneState::Waiting);
    let job = night.back_up(0, &[]).await.unwrap();
    let view = night.job(job);
    assert_eq!((view.kind, view.trigger), (JobKind::Backup, Trigger::User));
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
    let attempts = night.attempts(0).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (
            &attempts[0].trigger,
            &attempts[0].result,
            &attempts[0].backup,
            attempts[0].job
        ),
        (
            &Trigger::User,
            &Some(Outcome::Succeeded),
            &Some(backups[0].id.clone()),
            Some(job)
        )
    );
    assert!(attempts[0].bytes.get() > 1 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_ready_waits_for_the_conditions_and_not_for_the_day() {
    let mut night = evening().await;
    night.night_of(0).await;
    night.set(0, &["locked=no"]).await;
    night
        .until_phone(0, "it is unlocked", |view| {
            view.condition(&ConditionName::Locked).status == ConditionStatus::Unmet
        })
        .await;
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    let queued = night
        .until_some("it waits for the lock", |state| {
            state.job(job).filter(|view| view.phase == Phase::Queued)
        })
        .await;
    assert_eq!(queued.state, JobState::Running);
    night
        .until_phone(0, "the phone waits for its lock", |view| {
            view.waits_for == [WaitsFor::Locked]
        })
        .await;
    let sent = night.bytes_sent(0);
    night.advance(SETTLE).await;
    night.settle().await;
    assert_eq!(
        (night.job(job).phase, night.bytes_sent(0)),
        (Phase::Queued, sent)
    );
    night.set(0, &["locked=yes"]).await;
    night
        .until_phone(0, "it settles", |view| {
            view.waits_for == [WaitsFor::Settling]
        })
        .await;
    night.advance(SETTLE - Duration::from_secs(1)).await;
    assert_eq!(night.job(job).phase, Phase::Queued);
    night.advance(Duration::from_secs(1)).await;
    assert_ne!(night.job(job).phase, Phase::Queued);
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert_eq!(night.backups(0).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_ready_does_not_wait_for_ever() {
    let mut night = evening().await;
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    night.advance(DAY * 7 - Duration::from_secs(1)).await;
    assert_eq!(night.job(job).state, JobState::Running);
    night.advance(Duration::from_secs(1)).await;
    assert_eq!(night.job(job).result, Some(Outcome::NotReadyInTime));
    assert_eq!(night.phone(0).last_result, Some(Outcome::NotReadyInTime));
    assert_eq!(night.bytes_sent(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_job_at_a_time_for_a_phone() {
    let mut night = evening().await;
    night.set(0, &[SLOW]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    let again = night.back_up(0, &[]).await;
    assert!(matches!(again, Err(Error::Busy(_))), "{again:?}");
    let queued = night.back_up(0, &["when-ready"]).await;
    assert!(matches!(queued, Err(Error::Busy(_))), "{queued:?}");
    let udid = night.udid(0);
    let manager = night.manager().await;
    let pairing = night
        .drive(async move { manager.pair(udid.as_str(), Dict::new()).await })
        .await;
    assert!(matches!(pairing, Err(Error::Busy(_))), "{pairing:?}");
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert_eq!(night.simulated(0).activity().backups_begun, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_called_off_is_kept_and_the_next_run_goes_on_with_it() {
    let mut spec = phone("Full iPhone");
    spec.files = 600;
    let mut night = Setup::of(vec![spec]).by_cable().begin().await;
    night
        .until_phone(0, "its size is known", |view| {
            view.condition(&ConditionName::Space).needed.is_some()
        })
        .await;
    night.set(0, &["upload-rate=300000"]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    // The phone takes a batch for sent once the host has it whole.
    night
        .until("two batches have arrived", |state| {
            state
                .job(job)
                .is_some_and(|view| view.files_done > BATCH_FILES * 2)
        })
        .await;
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    assert_eq!(night.job(job).state, JobState::Cancelled);
    assert_eq!(night.backups(0).await, []);
    assert!(night.is_staged(0));
    let again = night.cancel(job).await;
    assert!(again.is_err(), "it has ended");

    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    assert!(night.simulated(0).activity().files_resumed > 0);
    let backups = night.backups(0).await;
    assert_eq!(backups.len(), 1);
    night.assert_equals_phone(0, &backups[0].id);
    assert!(!night.is_staged(0));
    let results: Vec<_> = night
        .attempts(0)
        .await
        .into_iter()
        .map(|it| it.result)
        .collect();
    assert_eq!(
        results,
        [Some(Outcome::Cancelled), Some(Outcome::Succeeded)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_called_off_while_it_waits_never_begins() {
    let mut night = evening().await;
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    assert_eq!((night.bytes_sent(0), night.is_staged(0)), (0, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn space_is_never_overridden() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .keys("quota = \"1MiB\"")
        .begin()
        .await;
    night
        .until_phone(0, "there is no room", |view| {
            view.condition(&ConditionName::Space).status == ConditionStatus::Unmet
        })
        .await;
    let now = night.back_up(0, &[]).await;
    assert!(matches!(now, Err(Error::NoSpace(_))), "{now:?}");
    let job = night.back_up(0, &["when-ready"]).await.unwrap();
    night.set(0, &["power=on", "wifi=on", "locked=yes"]).await;
    night
        .until_phone(0, "only space is missing", |view| {
            view.waits_for == [WaitsFor::Space]
        })
        .await;
    night.advance(SETTLE).await;
    assert_eq!(
        (night.job(job).phase, night.bytes_sent(0)),
        (Phase::Queued, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_gone_or_unknown_cannot_be_backed_up() {
    let mut night = evening().await;
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    let gone = night.back_up(0, &[]).await;
    assert!(matches!(gone, Err(Error::NotConnected(_))), "{gone:?}");
    let stranger = ibak_dbus::Udid::parse(STRANGER).unwrap();
    let proxy = night.phone_proxy(&stranger).await;
    let unknown = night
        .drive(async move { proxy.backup(Dict::new()).await })
        .await;
    assert!(matches!(unknown, Err(Error::Bus(_))), "{unknown:?}");
    assert_eq!(night.state().jobs(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_checked_by_name_and_kind() {
    let mut night = evening().await;
    let wrong = night.back_up(0, &["fuller"]).await;
    assert!(
        matches!(&wrong, Err(Error::InvalidOption(text)) if text.contains("fuller")),
        "{wrong:?}"
    );
    let proxy = night.phone_proxy(&night.udid(0)).await;
    let options = Dict::from([("full".to_owned(), 1_u32.into())]);
    let kind = night
        .drive(async move { proxy.backup(options).await })
        .await;
    assert!(
        matches!(&kind, Err(Error::InvalidOption(text)) if text.contains("full")),
        "{kind:?}"
    );
    assert_eq!(night.state().jobs(), []);
}

async fn pair(night: &mut Night) -> ibak_dbus::JobId {
    let (manager, udid) = (night.manager().await, night.udid(0));
    let path = night
        .drive(async move { manager.pair(udid.as_str(), Dict::new()).await })
        .await
        .unwrap();
    names::job_of(path.as_str()).unwrap()
}

async fn strange_phone() -> Night {
    let mut spec = phone("New iPhone");
    spec.paired = false;
    let mut night = Setup::of(vec![spec]).by_cable().begin().await;
    let view = night.until_state(0, PhoneState::Untrusted).await;
    assert_eq!(
        (view.trust, view.waits_for),
        (Trust::Untrusted, vec![WaitsFor::NotTrusted])
    );
    night
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_phone_is_paired_once_its_owner_taps_trust() {
    let mut night = strange_phone().await;
    let refused = night.back_up(0, &[]).await;
    assert!(matches!(refused, Err(Error::NotTrusted(_))), "{refused:?}");
    night.set(0, &["trust=ask"]).await;
    let job = pair(&mut night).await;
    night
        .until("the phone asks its owner", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Asking && view.kind == JobKind::Pair)
        })
        .await;
    night.until_state(0, PhoneState::Asking).await;
    night.set(0, &["trust=accept"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    night
        .until_phone(0, "it is trusted and read", |view| {
            view.trust == Trust::Trusted && view.condition(&ConditionName::Space).needed.is_some()
        })
        .await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    // The pairing is the daemon's own and outlives it.
    night.restart_daemon().await;
    night
        .until_phone(0, "it is still trusted", |view| {
            view.trust == Trust::Trusted
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_phone_whose_owner_declines_stays_strange() {
    let mut night = strange_phone().await;
    night.set(0, &["trust=deny"]).await;
    let job = pair(&mut night).await;
    assert_eq!(night.ended(job).await, Outcome::TrustDenied);
    let view = night.until_state(0, PhoneState::Untrusted).await;
    assert_eq!(view.trust, Trust::Untrusted);
    let refused = night.back_up(0, &[]).await;
    assert!(matches!(refused, Err(Error::NotTrusted(_))), "{refused:?}");
}
