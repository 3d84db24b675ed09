//! `why` for each state and each first reason, with the moment pinned.

use super::fixtures::{ada, at, attempt, job, met_all, set, style, wall, wide};
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, EvidenceSource, JobKind, Outcome, Passcode,
    Phase, PhoneState, TransportWord, Trust, WaitsFor,
};
use ibak_dbus::{Bytes, JobId};
use ibakctl::render::{self, WhyView};
use ibakctl::text;

fn view(phone: PhoneView) -> WhyView {
    WhyView {
        phone,
        job: None,
        attempts: vec![attempt(Outcome::Succeeded)],
        last: 0,
        me: " ada".into(),
    }
}

fn show(shown: &mut String, title: &str, view: &WhyView) {
    let text = render::why(view, &wide());
    assert!(text.is_ascii(), "{text}");
    let first = text.lines().next().unwrap();
    assert!(
        first.ends_with('.') && first.starts_with(char::is_uppercase),
        "a sentence first: {first}"
    );
    assert!(
        text.matches("Hint:").count() <= 1,
        "one hint at most: {text}"
    );
    shown.push_str(&format!("== {title}\n{text}\n"));
}

#[test]
fn as_the_design_shows_it() {
    let want = "\
Ada's iPhone is due and waits for its screen to be locked.
  yes  power    on power since 21:04                    (battery report over Wi-Fi, 12 s ago)
  yes  wifi     reachable on the network since 20:51    (mDNS, 8 s ago)
  NO   locked   the screen is unlocked since 23:02
  yes  space    212 GiB free, about 9 GiB needed, 288 of 500 GiB quota used
Hint: `ibakctl backup ada` starts one now.
";
    assert_eq!(render::why(&view(ada()), &wide()), want);
}

#[test]
fn at_80_columns_evidence_has_its_own_line() {
    let shown = render::why(&view(ada()), &style());
    insta::assert_snapshot!(shown);
    assert!(
        shown.lines().all(|line| text::columns(line) <= 80),
        "{shown}"
    );
}

#[test]
fn every_state() {
    let mut shown = String::new();
    away(&mut shown);
    at_work(&mut shown);
    at_rest(&mut shown);
    after_failures(&mut shown);
    insta::assert_snapshot!(shown);
}

/// A phone in this state, with all conditions met.
fn state(state: PhoneState) -> PhoneView {
    let mut phone = PhoneView { state, ..ada() };
    met_all(&mut phone);
    phone
}

fn away(shown: &mut String) {
    use WaitsFor::{Locked, Phone, Power, Wifi};
    let mut absent = PhoneView {
        transports: vec![],
        last_seen: Some(wall("2026-11-17T22:10:00Z")),
        waits_for: vec![Power, Wifi, Locked, Phone],
        ..state(PhoneState::Absent)
    };
    for name in [ConditionName::Power, ConditionName::Locked] {
        set(
            &mut absent,
            name,
            ConditionStatus::Unknown,
            ConditionReason::NotReachable,
        );
    }
    set(
        &mut absent,
        ConditionName::Wifi,
        ConditionStatus::Unmet,
        ConditionReason::NotOnNetwork,
    );
    show(shown, "absent", &view(absent.clone()));
    let kept = PhoneView {
        last_seen: Some(at("08:10")),
        last_backup: Some(at("02:14")),
        next_attempt: Some(wall("2026-11-23T00:14:00Z")),
        waits_for: vec![WaitsFor::Due],
        ..absent.clone()
    };
    show(shown, "absent and not due", &view(kept));
    absent.last_seen = None;
    absent.waits_for.push(WaitsFor::Pause);
    show(shown, "absent and paused, never seen", &view(absent));
    show(
        shown,
        "untrusted",
        &view(PhoneView {
            trust: Trust::Untrusted,
            waits_for: vec![WaitsFor::NotTrusted],
            ..state(PhoneState::Untrusted)
        }),
    );
}

fn at_work(shown: &mut String) {
    show(
        shown,
        "settling",
        &view(PhoneView {
            next_attempt: Some(at("23:05:40")),
            waits_for: vec![WaitsFor::Settling],
            ..state(PhoneState::Settling)
        }),
    );
    show(
        shown,
        "settling, past due",
        &view(PhoneView {
            next_attempt: Some(at("23:04:40")),
            waits_for: vec![WaitsFor::Settling],
            ..state(PhoneState::Settling)
        }),
    );
    for (name, working) in [
        ("asking", PhoneState::Asking),
        ("backing up", PhoneState::BackingUp),
        ("committing", PhoneState::Committing),
    ] {
        show(shown, name, &view(state(working)));
    }
}

fn at_rest(shown: &mut String) {
    show(
        shown,
        "idle",
        &view(PhoneView {
            next_attempt: Some(wall("2026-11-23T01:00:00Z")),
            waits_for: vec![WaitsFor::Due],
            ..state(PhoneState::Idle)
        }),
    );
    show(
        shown,
        "idle, automatic off",
        &view(PhoneView {
            automatic: false,
            waits_for: vec![WaitsFor::AutomaticOff],
            ..state(PhoneState::Idle)
        }),
    );
    show(
        shown,
        "idle, never backed up",
        &view(PhoneView {
            last_backup: None,
            ..state(PhoneState::Idle)
        }),
    );
    show(
        shown,
        "paused",
        &view(PhoneView {
            waits_for: vec![WaitsFor::Pause],
            ..state(PhoneState::Paused)
        }),
    );
    show(
        shown,
        "paused until, and unlocked",
        &view(PhoneView {
            state: PhoneState::Paused,
            next_attempt: Some(wall("2026-11-23T08:00:00Z")),
            waits_for: vec![WaitsFor::Locked, WaitsFor::Pause],
            ..ada()
        }),
    );
}

fn after_failures(shown: &mut String) {
    for result in [
        Outcome::NotConfirmed,
        Outcome::LostConnection,
        Outcome::Protocol,
    ] {
        let phone = PhoneView {
            next_attempt: Some(at("23:40")),
            waits_for: vec![WaitsFor::Backoff, WaitsFor::Locked],
            last_result: Some(result.clone()),
            ..state(PhoneState::BackingOff)
        };
        show(
            shown,
            &format!("backing off after {result}"),
            &WhyView {
                attempts: vec![attempt(result)],
                ..view(phone)
            },
        );
    }
    show(
        shown,
        "a state of a newer daemon",
        &view(PhoneView {
            waits_for: vec![WaitsFor::Other("full-moon".into())],
            ..state(PhoneState::Other("dreaming".into()))
        }),
    );
}

#[test]
fn every_first_reason() {
    let mut shown = String::new();
    for word in WaitsFor::ALL {
        let mut phone = PhoneView {
            waits_for: vec![word.clone()],
            next_attempt: Some(wall("2026-11-23T08:00:00Z")),
            ..ada()
        };
        set(
            &mut phone,
            ConditionName::Locked,
            ConditionStatus::Met,
            ConditionReason::ScreenLocked,
        );
        match word {
            WaitsFor::Power => {
                set(
                    &mut phone,
                    ConditionName::Power,
                    ConditionStatus::Unmet,
                    ConditionReason::OnBattery,
                );
                phone
                    .conditions
                    .get_mut(&ConditionName::Power)
                    .unwrap()
                    .percent = Some(57);
            }
            WaitsFor::Wifi => set(
                &mut phone,
                ConditionName::Wifi,
                ConditionStatus::Unmet,
                ConditionReason::NotOnNetwork,
            ),
            WaitsFor::Locked => set(
                &mut phone,
                ConditionName::Locked,
                ConditionStatus::Unmet,
                ConditionReason::Unlocked,
            ),
            WaitsFor::Space => {
                set(
                    &mut phone,
                    ConditionName::Space,
                    ConditionStatus::Unmet,
                    ConditionReason::NoRoom,
                );
                phone
                    .conditions
                    .get_mut(&ConditionName::Space)
                    .unwrap()
                    .free = Some(Bytes::from_gib(3));
            }
            WaitsFor::Passcode | WaitsFor::AskWindow | WaitsFor::Asked | WaitsFor::Person => {
                phone.passcode = Passcode::Asks;
            }
            WaitsFor::NotTrusted => phone.trust = Trust::Untrusted,
            WaitsFor::AutomaticOff => phone.automatic = false,
            _ => {}
        }
        show(&mut shown, word.as_str(), &view(phone));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn every_reason_of_a_condition() {
    let mut shown = String::new();
    for reason in ConditionReason::ALL
        .iter()
        .chain([&ConditionReason::Other("eclipse".into())])
    {
        let name = match reason {
            ConditionReason::ExternalPower | ConditionReason::OnBattery => ConditionName::Power,
            ConditionReason::OnNetwork
            | ConditionReason::ByCable
            | ConditionReason::NotOnNetwork => ConditionName::Wifi,
            ConditionReason::ScreenLocked
            | ConditionReason::LockSeen
            | ConditionReason::Unlocked
            | ConditionReason::NoPasscode => ConditionName::Locked,
            ConditionReason::NotReachable
            | ConditionReason::NotRead
            | ConditionReason::NotTold
            | ConditionReason::Stale
            | ConditionReason::Other(_) => ConditionName::Power,
            _ => ConditionName::Space,
        };
        let mut phone = ada();
        set(
            &mut phone,
            name.clone(),
            ConditionStatus::Unknown,
            reason.clone(),
        );
        phone.waits_for = vec![];
        let text = render::why(&view(phone), &wide());
        let line = text
            .lines()
            .find(|line| line.contains(&format!("  {name}")))
            .unwrap();
        shown.push_str(&format!("{line}\n"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn several_at_once() {
    let mut shown = String::new();
    let mut phone = ada();
    set(
        &mut phone,
        ConditionName::Power,
        ConditionStatus::Unmet,
        ConditionReason::OnBattery,
    );
    set(
        &mut phone,
        ConditionName::Wifi,
        ConditionStatus::Unknown,
        ConditionReason::NotRead,
    );
    phone.waits_for = vec![
        WaitsFor::Power,
        WaitsFor::Wifi,
        WaitsFor::Locked,
        WaitsFor::Battery,
        WaitsFor::Slot,
    ];
    show(
        &mut shown,
        "three conditions and two more",
        &view(phone.clone()),
    );

    set(
        &mut phone,
        ConditionName::Space,
        ConditionStatus::Unmet,
        ConditionReason::StoreMissing,
    );
    phone.waits_for = vec![WaitsFor::Space, WaitsFor::Passcode];
    show(&mut shown, "the store is gone", &view(phone));

    let mut silent = ada();
    let locked = silent.conditions.get_mut(&ConditionName::Locked).unwrap();
    locked.lock_ever_seen = Some(false);
    show(&mut shown, "no lock was ever seen", &view(silent.clone()));
    let locked = silent.conditions.get_mut(&ConditionName::Locked).unwrap();
    locked.required = false;
    silent.waits_for = vec![];
    silent.transports = vec![TransportWord::Usb];
    show(&mut shown, "the lock does not count", &view(silent.clone()));
    let mut plugged_in = silent.clone();
    set(
        &mut plugged_in,
        ConditionName::Wifi,
        ConditionStatus::Unmet,
        ConditionReason::NotOnNetwork,
    );
    plugged_in.waits_for = vec![WaitsFor::Wifi];
    show(
        &mut shown,
        "a cable, and only the network is missing",
        &view(plugged_in.clone()),
    );
    plugged_in.waits_for.push(WaitsFor::Power);
    show(
        &mut shown,
        "a cable, and more is missing",
        &view(plugged_in),
    );
    let wifi = silent.conditions.get_mut(&ConditionName::Wifi).unwrap();
    wifi.source = Some(EvidenceSource::Other("tea-leaves".into()));
    show(
        &mut shown,
        "an odd source, the only phone",
        &WhyView {
            me: String::new(),
            ..view(silent)
        },
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn jobs() {
    let mut shown = String::new();
    let mut phone = PhoneView {
        state: PhoneState::BackingUp,
        current_job: Some(JobId::new(7)),
        ..ada()
    };
    met_all(&mut phone);
    for phase in Phase::ALL {
        let mut now = job();
        now.phase = phase.clone();
        now.waits_for = vec![WaitsFor::Locked, WaitsFor::Slot];
        let phone = if *phase == Phase::Queued {
            PhoneView {
                state: PhoneState::Waiting,
                ..ada()
            }
        } else {
            phone.clone()
        };
        show(
            &mut shown,
            phase.as_str(),
            &WhyView {
                job: Some(now),
                ..view(phone)
            },
        );
    }
    for phase in [Phase::Connecting, Phase::Asking] {
        let now = ibak_dbus::views::JobView {
            kind: JobKind::Pair,
            phase,
            ..job()
        };
        show(
            &mut shown,
            "pairing",
            &WhyView {
                job: Some(now),
                ..view(phone.clone())
            },
        );
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn tries() {
    let mut shown = String::new();
    let mut tries = vec![
        attempt(Outcome::Succeeded),
        attempt(Outcome::LostPower),
        attempt(Outcome::NotConfirmed),
    ];
    tries.push(ibak_dbus::views::AttemptView {
        kind: ibak_dbus::words::JobKind::Backup,
        result: None,
        ended: None,
        ..attempt(Outcome::Succeeded)
    });
    for (title, attempts, last) in [
        ("--last 9", tries.clone(), 9),
        ("--last 2", tries.clone(), 2),
        ("--last 2 of none", vec![], 2),
    ] {
        let view = WhyView {
            attempts,
            last,
            ..view(ada())
        };
        show(&mut shown, title, &view);
    }
    tries.pop();
    show(
        &mut shown,
        "the last one went wrong",
        &WhyView {
            attempts: tries,
            ..view(ada())
        },
    );
    insta::assert_snapshot!(shown);
}
