//! What people are told, word for word, and `ibakctl notify` and `status --check` against a mock daemon.

use super::fixtures::{ada, cause, style};
use super::keeping::details;
use super::mock::{Mock, Script};
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{AttentionKind, StorageState};
use ibak_dbus::{Dict, names};
use ibakctl::render;
use zbus::wire::{OwnedVariant, Variant};

fn word(word: &str) -> OwnedVariant {
    Variant::from(word.to_owned()).try_into_owned().unwrap()
}

#[test]
fn every_message_word_for_word() {
    let now = u64::try_from(style().now.as_microsecond()).unwrap();
    let days = |days: u64| OwnedVariant::from(now - days * 86_400_000_000);
    let result = |it: &str| details(&[("result", word(it))]);
    let reason = |it: &str| details(&[("reason", word(it))]);
    let room = details(&[
        ("reason", word("no-room")),
        ("needed-bytes", (9_u64 << 30).into()),
        ("free-bytes", (2_u64 << 30).into()),
    ]);
    let overdue = details(&[("last-backup", days(5)), ("first-seen", days(90))]);
    let never = details(&[("last-backup", 0_u64.into()), ("first-seen", days(4))]);
    let gap = details(&[("gap-secs", 432_000_u64.into())]);
    let made = details(&[
        ("removed", 3_u64.into()),
        ("freed-bytes", (12_u64 << 30).into()),
    ]);
    let damage = details(&[("reason", word("damage-found")), ("backups", 2_u64.into())]);
    let job = details(&[("job", 7_u64.into())]);
    let other = AttentionKind::Other("a\u{7}lien".to_owned());
    let cases = [
        (&AttentionKind::Asking, true, job),
        (
            &AttentionKind::FailedNeedsYou,
            true,
            result("setup-unfinished"),
        ),
        (&AttentionKind::FailedNeedsYou, true, result("not-trusted")),
        (&AttentionKind::FailedNeedsYou, true, result("crashed")),
        (&AttentionKind::FailedNeedsYou, true, result("a-new-word")),
        (&AttentionKind::Overdue, true, overdue),
        (&AttentionKind::Overdue, true, never),
        (&AttentionKind::Overdue, true, Dict::new()),
        (&AttentionKind::StoreTrouble, false, reason("store-missing")),
        (&AttentionKind::StoreTrouble, false, reason("full")),
        (&AttentionKind::StoreTrouble, true, reason("store-failing")),
        (&AttentionKind::StoreTrouble, true, room),
        (&AttentionKind::StoreTrouble, true, damage),
        (&AttentionKind::StoreTrouble, false, Dict::new()),
        (&AttentionKind::DoneAfterGap, true, gap),
        (&AttentionKind::MadeRoom, true, made),
        (&AttentionKind::CheckPassword, true, Dict::new()),
        (&AttentionKind::Test, true, Dict::new()),
        (&other, true, Dict::new()),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(kind, of_ada, details)| {
            let name = of_ada.then_some("Ada's iPhone");
            let cause = cause(kind, name, details);
            let message = cause.message(&style());
            format!(
                "[{}] {}\n{}\nwatch: {}\n",
                message.urgency.word(),
                message.subject,
                message.text,
                cause.clause(&style())
            )
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_prompt_in_the_morning_is_for_todays_backup() {
    for (now, zone, whose) in [
        ("2026-11-22T08:00:00Z", "UTC", "today's"),
        ("2026-11-22T16:59:59Z", "UTC", "today's"),
        ("2026-11-22T17:00:00Z", "UTC", "tonight's"),
        ("2026-11-22T16:00:00Z", "Europe/Berlin", "tonight's"),
        ("2026-11-22T23:00:00Z", "Europe/Berlin", "today's"),
    ] {
        let mut style = ibakctl::Style::plain(now.parse().unwrap());
        style.zone = jiff::tz::TimeZone::get(zone).unwrap();
        let details = Dict::new();
        let cause = cause(&AttentionKind::Asking, Some("Ada's iPhone"), &details);
        let wanted = format!("{whose} backup to attic");
        for said in [cause.message(&style).text, cause.clause(&style)] {
            assert!(said.contains(&wanted), "{now} {zone}: {said}");
        }
    }
}

#[tokio::test]
async fn a_test_message_is_asked_for_and_says_where_to_look() {
    let channels = |notify: &[&str]| PhoneView {
        notify: notify.iter().map(|it| (*it).to_owned()).collect(),
        ..ada()
    };
    let path = names::phone_path(&ada().udid);
    let mut said = Vec::new();
    for notify in [&[][..], &["desktop", "ntfy-ada"]] {
        let mock = Mock::start(Script {
            phones: vec![channels(notify)],
            ..Script::default()
        })
        .await;
        let ran = mock.run(&["notify", "test", "ada"]).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert_eq!(mock.calls(), [format!("test-notification {path}")]);
        said.push(ran.out);
        let ran = mock.run(&["notify", "test", "--json"]).await;
        assert_eq!(ran.json()["what"], "notified");
        let ran = mock.run(&["notify", "test", "bob"]).await;
        assert_eq!(ran.code, Some(4), "{ran:?}");
    }
    insta::assert_snapshot!(said.concat());
}

#[tokio::test]
async fn check_is_for_monitors() {
    let mock = Mock::start(Script {
        phones: vec![
            PhoneView {
                overdue: true,
                ..ada()
            },
            PhoneView {
                udid: ibak_dbus::Udid::parse("00008030-001A2B3C4D5E6F70").unwrap(),
                overdue: true,
                retired: true,
                ..ada()
            },
        ],
        ..Script::default()
    })
    .await;
    let ran = mock.run(&["status", "--check"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "Ada's iPhone has been without a backup for too long.\n"
    );
    mock.manager().storage_state = StorageState::Unavailable;
    let ran = mock.run(&["status", "--check", "--json"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("The store cannot be used; "), "{ran:?}");
    assert!(ran.json()["phones"].is_array());
    mock.manager().storage_state = StorageState::Low;
    assert_eq!(render::trouble(&view(&mock), &style()), [""; 0]);
    // No daemon is no news, and no good news.
    let ran = Mock::bus().run(&["status", "--check"]).await;
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let ran = mock.run(&["status", "bob", "--check"]).await;
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

fn view(mock: &Mock) -> render::StatusView {
    render::StatusView {
        manager: mock.manager().clone(),
        phones: Vec::new(),
        jobs: Vec::new(),
    }
}
