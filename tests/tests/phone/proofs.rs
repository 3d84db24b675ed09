//! Whether a password is still known: proved against a backup without the phone, and asked for
//! every so often.

use super::encryption::{FIRST, SECOND, ada, backed_up, quick, until_encryption};
use super::{house, ready};
use ibak_dbus::words::{AttentionKind, JobKind, OnOff, Outcome, Phase, PhoneState};
use ibak_dbus::{Lookup, MirrorEvent};
use ibak_sim::backup::crypto::Costs;
use ibak_sim::{Password, PhoneSpec};
use ibak_tests::night::{DAY, EVENING, Night, Setup, phone};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_proved_without_the_phone() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    let first = backed_up(&mut night).await;
    let second = backed_up(&mut night).await;
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    night.advance(DAY).await;
    for (backup, password, end, moved) in [
        (&second, "wrong", Outcome::WrongPassword, false),
        (&first, FIRST, Outcome::Succeeded, false),
        (&second, FIRST, Outcome::Succeeded, true),
    ] {
        let job = night.check_password(0, &backup.id, password).await.unwrap();
        assert_eq!(night.job(job).kind, JobKind::CheckPassword);
        assert_eq!(night.ended(job).await, end);
        let proved = if moved { EVENING + DAY } else { EVENING };
        assert_eq!(night.phone(0).password_checked, Some(proved));
    }
    let said = night
        .ctl(&["encryption", "check", "--password-fd", "0"], FIRST)
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = night
        .ctl(&["encryption", "check", "--password-fd", "0"], "wrong")
        .await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(!format!("{said:?}").contains("wrong\""), "{said:?}");
    night.restart_daemon().await;
    night
        .until_phone(0, "it is remembered", |view| {
            view.password_checked == Some(EVENING + DAY)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_takes_long_is_shown_and_can_be_called_off() {
    let slow = Costs {
        dpic: 6_000_000,
        iter: 10_000,
    };
    let spec = PhoneSpec {
        password_costs: slow,
        ..phone("Ada's iPhone")
    };
    let mut night = house(vec![spec]).await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    let backup = backed_up(&mut night).await;
    let job = night.check_password(0, &backup.id, FIRST).await.unwrap();
    night
        .until("a key is made", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Unlocking)
        })
        .await;
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    let job = night.check_password(0, &backup.id, FIRST).await.unwrap();
    night
        .until("its progress is shown", |state| {
            state.job(job).is_some_and(|view| {
                view.phase == Phase::Unlocking && view.progress.is_some_and(|share| share > 0.0)
            })
        })
        .await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_without_a_password_has_none_to_prove() {
    let mut night = ada().await;
    let plain = backed_up(&mut night).await;
    let job = night.check_password(0, &plain.id, FIRST).await.unwrap();
    let end = night.ended(job).await;
    assert!(
        !matches!(end, Outcome::Succeeded | Outcome::WrongPassword),
        "{end}"
    );
    assert_eq!(night.phone(0).password_checked, None);
}

/// How often somebody was asked whether the password is still known, with when it last was.
fn reminders(night: &Night) -> usize {
    let reminder = |event: &&MirrorEvent| {
        matches!(
            event,
            MirrorEvent::Attention {
                kind: AttentionKind::CheckPassword,
                ..
            }
        )
    };
    night.events.iter().filter(reminder).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_of_another_computer_is_seen_and_asked_for_after_the_first_backup() {
    let spec = PhoneSpec {
        password: Some(Password::new(FIRST.to_owned())),
        ..quick("Ada's iPhone")
    };
    let setup = Setup::of(vec![spec]).by_cable();
    let mut night = setup.keys("password_check_days = 30").begin().await;
    ready(&mut night, 0).await;
    until_encryption(&mut night, OnOff::On).await;
    assert_eq!(night.phone(0).password_checked, None);
    assert_eq!(reminders(&night), 0, "there is nothing it would open");
    let sealed = backed_up(&mut night).await;
    assert!(sealed.encrypted);
    night.settle().await;
    assert_eq!(reminders(&night), 1);
    let job = night.check_password(0, &sealed.id, FIRST).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    night.advance(DAY * 29).await;
    assert_eq!(reminders(&night), 1);
    night.advance(DAY).await;
    night.settle().await;
    assert_eq!(reminders(&night), 2);
    let last = night.events.iter().rev().find_map(|event| match event {
        MirrorEvent::Attention {
            kind: AttentionKind::CheckPassword,
            details,
            ..
        } => details.time("last-checked"),
        MirrorEvent::Attention { .. }
        | MirrorEvent::Changed
        | MirrorEvent::Completed { .. }
        | MirrorEvent::Lost
        | MirrorEvent::Back => None,
    });
    assert_eq!(last, Some(EVENING));
    // Setting another one proves that somebody knows it.
    ready(&mut night, 0).await;
    let end = night.change_password(0, Some(FIRST), Some(SECOND)).await;
    assert_eq!(end, Outcome::Succeeded);
    night.advance(DAY * 29).await;
    assert_eq!(reminders(&night), 2);
}
