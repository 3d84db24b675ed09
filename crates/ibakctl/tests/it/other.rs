//! backups, doctor, errors, watch lines and JSON, with the moment pinned.

use super::fixtures::{ada, attempt, backup, cause, job, manager, studio, style, wide};
use ibak_dbus::views::{CheckView, CompletedView, JobView};
use ibak_dbus::words::{
    AttentionKind, CheckDetail, CheckId, CheckStatus, Outcome, PhoneState, Remedy,
};
use ibak_dbus::{Bytes, Dict};
use ibakctl::render::{self, BackupsView, DoctorView, OwnCheck, PhoneBackups, StatusView, WhyView};
use ibakctl::{Exit, Failure, Glyphs, Style, json};

fn backups() -> BackupsView {
    let mut first = backup("01JD8Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-20T02:14:00Z");
    first.full = true;
    first.pinned = true;
    let mut second = backup("01JD9Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T02:14:00Z");
    second.verified = None;
    second.encrypted = false;
    BackupsView {
        phones: vec![
            PhoneBackups {
                phone: ada(),
                backups: vec![first, second],
                last: 0,
            },
            PhoneBackups {
                phone: studio(),
                backups: vec![],
                last: 0,
            },
        ],
    }
}

#[test]
fn backups_table() {
    let none = BackupsView { phones: vec![] };
    let ascii = Style {
        glyphs: Glyphs::Ascii,
        ..style()
    };
    insta::assert_snapshot!(
        [
            render::backups(&backups(), &wide()),
            render::backups(&backups(), &ascii),
            render::backups(&none, &style())
        ]
        .join("----\n")
    );
}

fn checks() -> Vec<CheckView> {
    let check = CheckView::new;
    vec![
        check(CheckId::Config, CheckStatus::Ok, CheckDetail::Fine),
        CheckView {
            remedy: Some(Remedy::StartUsbmuxd),
            subject: "/run/usbmuxd".into(),
            ..check(CheckId::Usbmuxd, CheckStatus::Fail, CheckDetail::Absent)
        },
        CheckView {
            remedy: Some(Remedy::AllowMulticast),
            ..check(CheckId::Mdns, CheckStatus::Unknown, CheckDetail::Mute)
        },
        CheckView {
            remedy: Some(Remedy::ChownStore),
            subject: "/srv/\u{1b}ibak".into(),
            ..check(
                CheckId::StorePath,
                CheckStatus::Fail,
                CheckDetail::StoreNoRights,
            )
        },
        CheckView {
            remedy: Some(Remedy::MakeRoom),
            free: Some(Bytes::from_gib(6)),
            used: Some(Bytes::from_gib(490)),
            quota: Some(Bytes::from_gib(500)),
            ..check(CheckId::StoreSpace, CheckStatus::Warn, CheckDetail::Low)
        },
        CheckView {
            phone: Some(ada().udid),
            remedy: Some(Remedy::Pair),
            ..check(
                CheckId::PhoneTrust,
                CheckStatus::Fail,
                CheckDetail::NotTrusted,
            )
        },
        CheckView {
            phone: Some(ada().udid),
            subject: "locked".into(),
            ..check(
                CheckId::PhoneSignals,
                CheckStatus::Warn,
                CheckDetail::ConditionUnknown,
            )
        },
        CheckView {
            remedy: Some(Remedy::Other("dance".into())),
            ..check(
                CheckId::Other("weather".into()),
                CheckStatus::Warn,
                CheckDetail::Other("rain".into()),
            )
        },
    ]
}

fn doctor() -> DoctorView {
    DoctorView {
        own: OwnCheck::Running {
            bus: "system".into(),
            version: "0.1.0".into(),
        },
        checks: checks(),
        phones: vec![ada()],
    }
}

#[test]
fn doctor_report() {
    let mut shown = vec![render::doctor(&doctor(), &style())];
    let fine = DoctorView {
        checks: vec![CheckView::new(
            CheckId::Bus,
            CheckStatus::Ok,
            CheckDetail::Fine,
        )],
        ..doctor()
    };
    assert!(!fine.fails());
    shown.push(render::doctor(&fine, &style()));
    for own in [
        OwnCheck::NoDaemon {
            bus: "system".into(),
            installed: true,
        },
        OwnCheck::NoDaemon {
            bus: "system".into(),
            installed: false,
        },
        OwnCheck::NoDaemon {
            bus: "session".into(),
            installed: false,
        },
        OwnCheck::NoBus {
            bus: "unix:path=/nowhere".into(),
            why: "no such file".into(),
        },
    ] {
        let view = DoctorView {
            own,
            checks: vec![],
            phones: vec![],
        };
        assert!(view.fails());
        shown.push(render::doctor(&view, &style()));
    }
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn every_check_detail_and_remedy_has_words() {
    let mut shown = String::new();
    for id in CheckId::ALL {
        let view = DoctorView {
            checks: vec![CheckView::new(
                id.clone(),
                CheckStatus::Ok,
                CheckDetail::Fine,
            )],
            ..doctor()
        };
        shown.push_str(render::doctor(&view, &style()).lines().nth(1).unwrap());
        shown.push('\n');
    }
    for detail in CheckDetail::ALL {
        let view = DoctorView {
            checks: vec![CheckView::new(
                CheckId::StorePath,
                CheckStatus::Warn,
                detail.clone(),
            )],
            ..doctor()
        };
        shown.push_str(render::doctor(&view, &style()).lines().nth(1).unwrap());
        shown.push('\n');
    }
    for remedy in Remedy::ALL {
        let check = CheckView {
            remedy: Some(remedy.clone()),
            ..CheckView::new(CheckId::StorePath, CheckStatus::Warn, CheckDetail::Fine)
        };
        shown.push_str(
            render::doctor(
                &DoctorView {
                    checks: vec![check],
                    ..doctor()
                },
                &style(),
            )
            .lines()
            .nth(2)
            .unwrap(),
        );
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn errors() {
    let failures = [
        Failure::new(Exit::Failed, "it broke"),
        Failure::new(Exit::NoSuch, "no phone is called \"bob\"").hint("name one of: Ada's iPhone"),
        Failure::new(Exit::Failed, "cannot load the configuration")
            .because("line 3: unknown key `stor\u{1b}`")
            .because("near the top"),
        Failure::no_daemon(),
        Failure::of_call(
            "start the backup",
            ibak_dbus::Error::Busy("the phone is busy with job 7".into()),
        ),
        Failure::of_call(
            "start the backup",
            ibak_dbus::Error::NotAuthorized("polkit says no".into()),
        ),
        Failure::of_call(
            "start the backup",
            ibak_dbus::Error::NotConnected("the phone is not connected".into()),
        ),
        Failure::of_call(
            "start the backup",
            ibak_dbus::Error::NotTrusted("the phone does not trust this computer".into()),
        ),
        Failure::of_call(
            "start the backup",
            ibak_dbus::Error::NoSpace("there is no room for the backup".into()),
        ),
        Failure::of_call(
            "list the backups",
            ibak_dbus::Error::NoSuchBackup("no backup has this id".into()),
        ),
        Failure::of_call(
            "start the backup",
            ibak_dbus::Error::InvalidOption("unknown option \"full\"".into()),
        ),
    ];
    let shown: Vec<String> = failures
        .iter()
        .map(|failure| {
            format!(
                "{}exit {}\n",
                render::error(failure, &style()),
                failure.exit.code()
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn watch_lines() {
    let ended = JobView {
        result: Some(Outcome::Succeeded),
        ..job()
    };
    let failed = JobView {
        result: Some(Outcome::LostPower),
        ..job()
    };
    let details = CompletedView {
        bytes: Bytes::from_gib(7),
        files: 2012,
        ..CompletedView::default()
    };
    let mut shown = vec![
        render::manager_line(&manager(), &style()),
        render::phone_line(&ada(), &style()),
        render::phone_line(
            &ibak_dbus::views::PhoneView {
                state: PhoneState::Settling,
                ..ada()
            },
            &style(),
        ),
        render::job_line(&job(), Some(&studio()), None, &style()),
        render::job_line(&ended, Some(&studio()), Some(&details), &style()),
        render::job_line(&ended, None, None, &style()),
        render::job_line(&failed, Some(&studio()), None, &style()),
    ];
    shown.extend(
        AttentionKind::ALL.iter().map(|kind| {
            render::attention(&cause(kind, Some("Ada's iPhone"), &Dict::new()), &style())
        }),
    );
    insta::assert_snapshot!(shown.concat());
}

#[test]
fn the_end_of_a_backup() {
    insta::assert_snapshot!(render::finished(
        &ada(),
        Bytes::from_mib(1229),
        1,
        Some(360),
        &style()
    ));
}

#[test]
fn json_of_everything() {
    let status = StatusView {
        manager: manager(),
        phones: vec![ada(), studio()],
        jobs: vec![job()],
    };
    let why = WhyView {
        phone: ada(),
        job: Some(job()),
        attempts: vec![attempt(Outcome::NotConfirmed)],
        last: 0,
        me: String::new(),
    };
    let documents = [
        json::status(&status),
        json::why(&why, &render::why_sentence(&why, &style())),
        json::backups(&backups()),
        json::doctor(&doctor()),
        json::started(ibak_dbus::JobId::new(7), &ada().udid),
        json::completed(
            ibak_dbus::JobId::new(7),
            Some(&ada().udid),
            &Outcome::Succeeded,
            &CompletedView::default(),
        ),
        json::attention(&AttentionKind::Overdue, Some(&ada().udid), &Dict::new()),
        json::done("paused", None),
    ];
    let shown: Vec<String> = documents
        .iter()
        .map(|document| serde_json::to_string_pretty(document).unwrap())
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}
