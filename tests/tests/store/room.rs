//! Quotas and room in need: what the phone hears, what goes, what the person is told.

use std::time::Duration;

use ibak_core::BackupId;
use ibak_dbus::Dict;
use ibak_dbus::MirrorEvent;
use ibak_dbus::views::StorageView;
use ibak_dbus::words::{
    AttentionKind, ConditionName, ConditionStatus, Outcome, TransportWord, Trust,
};
use ibak_sim::backup::Quirk;
use ibak_tests::night::{Night, Setup, phone};

async fn night(quirks: &[Quirk], tables: &str) -> Night {
    let mut spec = phone("Ada's iPhone");
    (spec.files, spec.bytes) = (60, 24 << 20);
    let mut night = Setup::of(vec![spec])
        .quirks(quirks)
        .by_cable()
        .tables(tables)
        .begin()
        .await;
    ready(&mut night).await;
    night
}

async fn ready(night: &mut Night) {
    night
        .until_phone(0, "it is there and read", |view| {
            view.trust == Trust::Trusted
                && view.transports.contains(&TransportWord::Usb)
                && view.current_job.is_none()
        })
        .await;
}

/// What the phone's backups take, as the daemon says.
async fn used(night: &mut Night) -> u64 {
    let manager = night.manager().await;
    let rows = night
        .drive(async move { manager.list_storage(Dict::new()).await })
        .await
        .unwrap();
    let udid = night.udid(0);
    let rows: Vec<_> = rows.iter().map(StorageView::from_dict).collect();
    let row = rows.iter().find(|row| row.phone.as_ref() == Some(&udid));
    row.unwrap().used.get()
}

async fn set_quota(night: &mut Night, bytes: u64) {
    let proxy = night.phone_proxy(&night.udid(0)).await;
    night
        .drive(async move { proxy.set_quota(bytes, Dict::new()).await })
        .await
        .unwrap();
}

/// Removals that were told, in backups and bytes.
fn made_room(night: &Night) -> Vec<(u64, u64)> {
    let number =
        |details: &Dict, key: &str| u64::try_from(details[key].try_clone().unwrap()).unwrap();
    night
        .events
        .iter()
        .filter_map(|event| match event {
            MirrorEvent::Attention { kind, details, .. } if *kind == AttentionKind::MadeRoom => {
                Some((number(details, "removed"), number(details, "freed-bytes")))
            }
            _ => None,
        })
        .collect()
}

/// Bounds the phone so that the daemon thinks it fits and the phone, which sends much more than
/// usual, sees that it does not.
async fn pinch(night: &mut Night) -> u64 {
    let view = night
        .until_phone(0, "what it needs is known", |view| {
            view.current_job.is_none() && view.condition(&ConditionName::Space).needed.is_some()
        })
        .await;
    let needed = view.condition(&ConditionName::Space).needed.unwrap().get();
    let quota = used(night).await + needed + (1 << 20);
    set_quota(night, quota).await;
    night
        .until_phone(0, "the quota is known, and there is room", |view| {
            view.quota.is_some_and(|known| known.get() == quota)
                && view.condition(&ConditionName::Space).status == ConditionStatus::Met
        })
        .await;
    night.simulated(0).change(56, 0, 0);
    quota
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_hears_its_quota() {
    let mut night = night(&[], "").await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    night.simulated(0).change(1, 0, 0);
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let quota = pinch(&mut night).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::NoSpace);
    assert!(used(&mut night).await <= quota);
    assert_eq!(night.backups(0).await.len(), 2);
    assert_eq!(made_room(&night), []);
    // Without one it goes.
    set_quota(&mut night, 0).await;
    night
        .until_phone(0, "no quota", |view| {
            view.quota.is_none()
                && view.condition(&ConditionName::Space).status == ConditionStatus::Met
        })
        .await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let newest = night.backups(0).await.pop().unwrap().id;
    night.assert_equals_phone(0, &newest);
}

/// Makes so many backups an hour apart, each anew, so that an old one frees much.
async fn hours(night: &mut Night, count: usize) -> Vec<BackupId> {
    for _ in 1..count {
        assert_eq!(night.back_up_now(0, &["full"]).await, Outcome::Succeeded);
        night.advance(Duration::from_secs(3_600)).await;
    }
    night.simulated(0).change(1, 0, 0);
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let made = ids(night).await;
    assert_eq!(made.len(), count);
    made
}

async fn ids(night: &mut Night) -> Vec<BackupId> {
    let rows = night.backups(0).await;
    rows.iter().map(|row| row.id.clone()).collect()
}

/// Many stay, so that there is something to remove.
const TEN: &str = "[keep]\nlast = 10\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_in_need_takes_the_oldest_and_is_told() {
    let mut night = night(&[Quirk::PurgeExact], TEN).await;
    let before = hours(&mut night, 6).await;
    pinch(&mut night).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let after = ids(&mut night).await;
    let told = made_room(&night);
    assert_eq!(told.len(), 1, "{told:?}");
    let (removed, freed) = told[0];
    assert!(removed >= 1 && freed >= 1 << 20, "{told:?}");
    // The oldest went; all others and the new one are there.
    let gone = usize::try_from(removed).unwrap();
    assert_eq!(after[..after.len() - 1], before[gone..]);
    assert!(after.len() >= 3);
    night.assert_equals_phone(0, after.last().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_not_suffice_or_leave_fewer_than_three_is_left_alone() {
    for (quirk, count) in [(Quirk::PurgeHuge, 5), (Quirk::PurgeExact, 3)] {
        let mut night = night(&[quirk], TEN).await;
        let before = hours(&mut night, count).await;
        pinch(&mut night).await;
        assert_eq!(night.back_up_now(0, &[]).await, Outcome::NoSpace);
        assert_eq!(ids(&mut night).await, before, "{quirk:?}");
        assert_eq!(made_room(&night), [], "{quirk:?}");
    }
}
