//! `status` in every state, with the moment pinned.

use super::fixtures::{ada, at, job, manager, set, studio, style, wall, wide};
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, ManagerMode, OnOff, Phase, PhoneState,
    StorageState, WaitsFor,
};
use ibak_dbus::{Bytes, Udid};
use ibakctl::render::{self, StatusView};
use ibakctl::{Glyphs, Paint, Style, text};

fn view(phones: Vec<PhoneView>) -> StatusView {
    StatusView {
        manager: manager(),
        phones,
        jobs: vec![job()],
    }
}

/// One phone in each state, named after it.
fn all_states() -> StatusView {
    let states = [
        ("Absent", PhoneState::Absent, vec![]),
        ("Untrusted", PhoneState::Untrusted, vec![]),
        (
            "Waiting",
            PhoneState::Waiting,
            vec![WaitsFor::Power, WaitsFor::Locked],
        ),
        ("Settling", PhoneState::Settling, vec![WaitsFor::Settling]),
        ("Asking", PhoneState::Asking, vec![]),
        ("Backing up", PhoneState::BackingUp, vec![]),
        ("Committing", PhoneState::Committing, vec![]),
        ("Idle", PhoneState::Idle, vec![WaitsFor::Due]),
        (
            "Backing off",
            PhoneState::BackingOff,
            vec![WaitsFor::Backoff],
        ),
        ("Paused", PhoneState::Paused, vec![WaitsFor::Pause]),
        (
            "Dreaming",
            PhoneState::Other("dreaming".into()),
            vec![WaitsFor::Other("moon".into())],
        ),
    ];
    let phones = states
        .into_iter()
        .map(|(name, state, waits_for)| {
            let mut phone = PhoneView {
                name: name.into(),
                state,
                waits_for,
                ..ada()
            };
            set(
                &mut phone,
                ConditionName::Power,
                ConditionStatus::Unmet,
                ConditionReason::OnBattery,
            );
            match phone.state {
                PhoneState::Absent => phone.last_seen = Some(wall("2026-11-17T22:10:00Z")),
                PhoneState::Idle => phone.next_attempt = Some(wall("2026-11-23T02:00:00Z")),
                PhoneState::BackingOff => phone.next_attempt = Some(at("23:40")),
                _ => {}
            }
            phone
        })
        .collect();
    StatusView {
        jobs: vec![],
        ..view(phones)
    }
}

#[test]
fn as_the_design_shows_it() {
    let shown = render::status(&view(vec![ada(), studio()]), &wide());
    let want = "\
PHONE           STATE        LAST BACKUP       ENCRYPTED   NEXT
Ada's iPhone    waiting      yesterday 02:14   🔒 yes      when its screen is locked
Studio iPad     backing-up   3 days ago        no          41 % of 7.6 GiB, 12 min left
";
    assert_eq!(shown, want);
}

#[test]
fn at_80_columns() {
    let shown = render::status(&view(vec![ada(), studio()]), &style());
    insta::assert_snapshot!(shown);
    for line in shown.lines() {
        assert!(text::columns(line) <= 80, "{line}");
    }
    // The lock is two columns wide and its neighbours still line up.
    let next = |line: &str| text::columns(line.split("when").next().unwrap());
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        next(lines[1]),
        text::columns(lines[2].split("41 %").next().unwrap())
    );
}

#[test]
fn every_state() {
    insta::assert_snapshot!(render::status(&all_states(), &wide()));
}

#[test]
fn a_queued_backup_says_what_it_waits_for() {
    let mut queued = job();
    queued.phase = Phase::Queued;
    queued.waits_for = vec![WaitsFor::Slot];
    let idle = PhoneView {
        state: PhoneState::Idle,
        next_attempt: Some(wall("2026-11-23T02:00:00Z")),
        ..studio()
    };
    let shown = render::status(
        &StatusView {
            jobs: vec![queued],
            ..view(vec![idle])
        },
        &wide(),
    );
    assert!(
        shown.ends_with("when another phone's backup has ended\n"),
        "{shown}"
    );
}

#[test]
fn in_ascii() {
    let ascii = Style {
        glyphs: Glyphs::Ascii,
        ..style()
    };
    let odd = PhoneView {
        name: "Zoë’s 📱".into(),
        ..ada()
    };
    let shown = render::status(&view(vec![odd, studio()]), &ascii);
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn in_colour() {
    let coloured = Style {
        paint: Paint::Color,
        ..style()
    };
    insta::assert_snapshot!(
        render::status(&view(vec![ada(), studio()]), &coloured).replace('\u{1b}', "ESC")
    );
}

#[test]
fn odd_phones() {
    let evil = PhoneView {
        name: "\u{1b}[2J\u{202e}ada\u{7}".into(),
        ..ada()
    };
    let nameless = PhoneView {
        name: "  ".into(),
        udid: Udid::parse("00008030-001A2B3C4D5E6F70").unwrap(),
        encryption: OnOff::Unknown,
        last_backup: None,
        overdue: true,
        ..ada()
    };
    let long = PhoneView {
        name: "a phone whose owner likes long names very much".into(),
        automatic: false,
        state: PhoneState::Idle,
        ..ada()
    };
    let shown = render::status(&view(vec![evil, nameless, long]), &wide());
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']));
    insta::assert_snapshot!(shown);
}

#[test]
fn what_concerns_all() {
    let mut shown = Vec::new();
    let mut none = StatusView {
        jobs: vec![],
        ..view(vec![])
    };
    shown.push(render::status(&none, &style()));
    none.manager.mode = ManagerMode::Paused;
    none.manager.storage_state = StorageState::Low;
    none.manager.storage_free = Bytes::from_gib(6);
    shown.push(render::status(&none, &style()));
    none.manager.paused_until = Some(wall("2026-11-23T08:00:00Z"));
    none.manager.storage_state = StorageState::Full;
    none.manager.quota = None;
    shown.push(render::status(&none, &style()));
    none.manager.storage_state = StorageState::Unavailable;
    shown.push(render::status(&none, &style()));
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn progress_lines_and_bars() {
    let mut shown = String::new();
    let phases = [
        Phase::Queued,
        Phase::Connecting,
        Phase::Preparing,
        Phase::Asking,
        Phase::AwaitingLock,
        Phase::Scanning,
        Phase::Receiving,
        Phase::Arranging,
        Phase::Verifying,
        Phase::Committing,
        Phase::Other("dreaming".into()),
    ];
    for phase in phases {
        let mut now = job();
        now.phase = phase;
        now.progress = match now.phase {
            Phase::Receiving | Phase::Arranging => Some(0.41),
            _ => None,
        };
        if now.progress.is_none() {
            now.bytes_total = None;
            now.bytes_done = Bytes::ZERO;
        }
        shown.push_str(&render::progress_line(&now, &style()));
        shown.push_str(&format!("{}\n", render::bar(&now, &style())));
        shown.push_str(&render::prompt(&now, &ada(), &style()).unwrap_or_default());
    }
    for width in [40, 60, 120] {
        shown.push_str(&format!(
            "{}\n",
            render::bar(
                &job(),
                &Style {
                    width: Some(width),
                    ..style()
                }
            )
        ));
    }
    shown.push_str(&render::bar(
        &job(),
        &Style {
            glyphs: Glyphs::Ascii,
            ..style()
        },
    ));
    for line in shown.lines() {
        assert!(text::columns(line) < 120, "{line}");
    }
    insta::assert_snapshot!(shown);
}
