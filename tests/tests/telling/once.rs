//! Never more than one message a day for one cause, through the real daemon and its restarts.

use ibak_core::Wall;
use ibak_dbus::words::AttentionKind;
use ibak_dbus::{Lookup, MirrorEvent};
use ibak_tests::night::{DAY, Night, Setup, phone};
use std::time::Duration;

const STEP: Duration = Duration::from_secs(6 * 3_600);

/// Takes what was told since the last look.
fn told(night: &mut Night) -> Vec<(AttentionKind, ibak_dbus::Dict)> {
    std::mem::take(&mut night.events)
        .into_iter()
        .filter_map(|event| match event {
            MirrorEvent::Attention { kind, details, .. } => Some((kind, details)),
            MirrorEvent::Changed
            | MirrorEvent::Completed { .. }
            | MirrorEvent::Lost
            | MirrorEvent::Back => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overdue_phone_is_told_once_a_day_over_restarts() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .keys("notify = [\"desktop\", \"ntfy\"]")
        .begin()
        .await;
    night
        .until_phone(0, "it is read", |view| view.name == "Ada's iPhone")
        .await;
    let mut moments: Vec<Wall> = Vec::new();
    for step in 0..40 {
        night.advance(STEP).await;
        for (kind, details) in told(&mut night) {
            assert_eq!(kind, AttentionKind::Overdue);
            assert_eq!(details.text("name"), Some("Ada's iPhone"));
            assert_eq!(details.texts("channels"), ["desktop", "ntfy"]);
            moments.push(night.clock.now().wall);
        }
        if step % 5 == 4 {
            night.restart_daemon().await;
            night
                .until_phone(0, "its store was read", |view| {
                    view.overdue != moments.is_empty()
                })
                .await;
            night.settle().await;
        }
    }
    // Ten days, of which it was overdue on the last seven.
    assert!((6..=8).contains(&moments.len()), "{moments:?}");
    for pair in moments.windows(2) {
        assert!(pair[1].saturating_since(pair[0]) >= DAY, "{moments:?}");
    }
    assert!(night.phone(0).overdue);
    assert_eq!(night.phone(0).notify, ["desktop", "ntfy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_message_has_the_channels_that_hold_for_the_phone() {
    let mut night = Setup::of(vec![phone("Ada's iPhone"), phone("Bob")])
        .by_cable()
        .keys("notify = \"mail\"")
        .tables("[phone.Bob]\nnotify = [\"desktop\"]")
        .begin()
        .await;
    for (at, name, channel) in [(0, "Ada's iPhone", "mail"), (1, "Bob", "desktop")] {
        let view = night
            .until_phone(at, "its channels", |view| {
                view.name == name && view.notify == [channel]
            })
            .await;
        let manager = night.manager().await;
        let path = ibak_dbus::names::phone_path(&view.udid);
        let sent = night
            .drive(async move {
                manager
                    .test_notification(path.into(), Default::default())
                    .await
            })
            .await;
        assert!(sent.is_ok(), "{sent:?}");
        night.settle().await;
        let told = told(&mut night);
        let [(AttentionKind::Test, details)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(details.text("name"), Some(name));
        assert_eq!(details.texts("channels"), [channel]);
    }
    let manager = night.manager().await;
    let stranger = ibak_core::Udid::parse(ibak_tests::night::STRANGER).unwrap();
    let path = ibak_dbus::names::phone_path(&stranger);
    let refused = night
        .drive(async move {
            manager
                .test_notification(path.into(), Default::default())
                .await
        })
        .await;
    assert!(
        matches!(refused, Err(ibak_dbus::Error::Failed(_))),
        "{refused:?}"
    );
    assert_eq!(night.manager_view().notify, ["mail"]);
}
