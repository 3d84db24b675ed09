//! How a backup ends that does not end well, and who is told.

use ibak_dbus::words::{AttentionKind, JobState, Outcome, PhoneState};
use ibak_dbus::{Lookup, MirrorEvent};
use ibak_sim::content::FileKind;
use ibak_tests::night::{ALL_MET, DAY, Night, SLOW, Setup, fingerprint, phone};

async fn ada() -> Night {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night
        .until_phone(0, "it is read", |view| {
            !view.name.is_empty() && view.conditions.values().any(|it| it.needed.is_some())
        })
        .await;
    night
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phones_errors_have_their_words() {
    let mut night = ada().await;
    let table = [
        (1, Outcome::PhoneInternal),
        (3, Outcome::SnapshotLeft),
        (25, Outcome::ICloudRestore),
        (104, Outcome::PhoneReadWrite),
        (105, Outcome::NoSpace),
        (202, Outcome::CancelledOnDevice),
        (203, Outcome::Version),
        (205, Outcome::PreviousUnreadable),
        (207, Outcome::Encryption),
        (208, Outcome::NotConfirmed),
        (211, Outcome::FindMy),
        (212, Outcome::SetupUnfinished),
    ];
    for (code, word) in &table {
        night.set(0, &[&format!("refuse-with={code}")]).await;
        assert_eq!(night.back_up_now(0, &[]).await, *word, "{code}");
        assert_eq!(night.phone(0).last_result.as_ref(), Some(word));
    }
    let attempts = night.attempts(0).await;
    let told: Vec<_> = attempts
        .iter()
        .map(|it| (it.device_code, it.result.clone()))
        .collect();
    // Who cancels at the phone is no error of it.
    let code = |code: i64| (code != 202).then_some(code);
    let wanted: Vec<_> = table
        .iter()
        .map(|(number, word)| (code(*number), Some(word.clone())))
        .collect();
    assert_eq!(told, wanted);
    assert!(
        attempts
            .iter()
            .any(|it| it.detail.contains("Setup is finished")),
        "{attempts:#?}"
    );
    assert_eq!(night.backups(0).await, []);
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_the_phone_cannot_read_come_with_the_next_backup() {
    let mut night = ada().await;
    night.set(0, &["file-errors=2"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    // The phone leaves them out of its list of files.
    let on_phone = night
        .simulated(0)
        .content()
        .lock()
        .unwrap()
        .files()
        .filter(|file| file.kind == FileKind::Regular)
        .count();
    let dir = night.backup_dir(0, &backups[0].id);
    let arrived = fingerprint(&dir)
        .iter()
        .filter(|(path, print)| path.as_bytes().get(2) == Some(&b'/') && !print.content.is_empty())
        .count();
    assert_eq!(arrived, on_phone - 2);
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[1].id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_mid_file_is_gone_on_with() {
    let mut night = ada().await;
    night.set(0, &["drop-after=500000"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::LostConnection);
    assert!(night.is_staged(0));
    assert_eq!(night.backups(0).await, []);
    night
        .until_phone(0, "it is there again", |view| !view.transports.is_empty())
        .await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_at_the_phone_may_call_it_off() {
    let mut night = ada().await;
    night.set(0, &[SLOW]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    night.until_receiving(job).await;
    night.simulated(0).person_cancels();
    assert_eq!(night.ended(job).await, Outcome::CancelledOnDevice);
    assert_eq!(night.job(job).state, JobState::Cancelled);
}

fn attentions(night: &Night) -> Vec<(AttentionKind, String)> {
    night
        .events
        .iter()
        .filter_map(|event| match event {
            MirrorEvent::Attention {
                kind,
                details,
                phone,
            } => {
                assert_eq!(phone.as_ref(), Some(&night.udid(0)));
                Some((
                    kind.clone(),
                    details.text("result").unwrap_or_default().to_owned(),
                ))
            }
            MirrorEvent::Changed
            | MirrorEvent::Completed { .. }
            | MirrorEvent::Lost
            | MirrorEvent::Back => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_needs_a_person_is_told_once_and_not_to_who_asked() {
    let mut night = ada().await;
    night.set(0, &["refuse-with=212"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::SetupUnfinished);
    assert_eq!(attentions(&night), [], "who asked reads the result");

    night.set(0, &["refuse-with=212"]).await;
    night.tuck_in(0).await;
    let view = night.until_state(0, PhoneState::BackingOff).await;
    let left = view
        .next_attempt
        .unwrap()
        .saturating_since(night.clock.now().wall);
    assert_eq!(left, DAY, "a person must act first");
    night.advance(left).await;
    night.until_conditions(0, &ALL_MET).await;
    let job = night.let_start(0).await;
    assert_eq!(night.ended(job).await, Outcome::SetupUnfinished);
    night.settle().await;
    let told = (AttentionKind::FailedNeedsYou, "setup-unfinished".to_owned());
    assert_eq!(attentions(&night), [told]);
    night.until_state(0, PhoneState::BackingOff).await;
}
