//! What is said of backups that stay and go, of storage and of places, with the moment pinned.

use super::fixtures::{ada, backup, cause, job, manager, studio, style, wide};
use ibak_dbus::views::{BackupView, CompletedView, JobView, PhoneView};
use ibak_dbus::words::{AttentionKind, Basis, ConditionName, JobKind, KeepReason, Outcome, Phase};
use ibak_dbus::{Bytes, Dict};
use ibakctl::render::{self, BackupsView, PhoneBackups, RemovalView, StatusView, WhyView};
use ibakctl::{Glyphs, Style};
use zbus::wire::{OwnedVariant, Variant};

fn id(number: usize) -> String {
    format!("01JD{number}Z3YQ9V6W2X4T5R7P8N0KM")
}

/// Backups of every kind, the oldest first.
pub(crate) fn kept() -> Vec<BackupView> {
    use KeepReason::{Daily, Last, Monthly, NewerDamaged, NewestVerified, Pinned, Weekly, Yearly};
    let of = |number: usize, day: &str, keep: &[KeepReason]| BackupView {
        keep: Some(keep.to_vec()),
        frees: Some(Bytes::from_mib(120)),
        ..backup(&id(number), &format!("{day}T02:14:00Z"))
    };
    vec![
        BackupView {
            adopted: true,
            ..of(1, "2025-03-12", &[Monthly, Yearly])
        },
        of(2, "2026-10-31", &[Monthly]),
        BackupView {
            guarded: true,
            ..of(3, "2026-11-12", &[Pinned, Daily, Weekly])
        },
        BackupView {
            pinned: true,
            encrypted: false,
            ..of(4, "2026-11-14", &[Pinned])
        },
        of(5, "2026-11-15", &[]),
        BackupView {
            damaged: 2,
            verified: None,
            ..of(6, "2026-11-19", &[Last, Daily])
        },
        of(
            7,
            "2026-11-20",
            &[NewestVerified, Last, Daily, NewerDamaged],
        ),
        BackupView {
            verified: None,
            keep: Some(vec![
                Last,
                KeepReason::ClockJumped,
                KeepReason::Other("luck".into()),
            ]),
            ..of(8, "2026-11-21", &[])
        },
    ]
}

pub(crate) fn view(backups: Vec<BackupView>) -> BackupsView {
    BackupsView {
        phones: vec![
            PhoneBackups {
                phone: ada(),
                backups,
                last: 3,
            },
            PhoneBackups {
                phone: studio(),
                backups: vec![],
                last: 0,
            },
        ],
    }
}

fn ascii() -> Style {
    Style {
        glyphs: Glyphs::Ascii,
        ..style()
    }
}

pub(crate) fn assert_fits(shown: &str) {
    for line in shown.lines() {
        let columns = ibakctl::text::columns(line);
        assert!(columns <= 80, "{columns}: {line}");
    }
}

#[test]
fn why_each_one_stays() {
    let one = view(kept().into_iter().take(1).collect());
    let silent = BackupView {
        keep: None,
        ..backup(&id(1), "2026-11-21T02:14:00Z")
    };
    let retired = |backups| {
        let mut view = view(backups);
        view.phones[0].phone.retired = true;
        view
    };
    let shown = [
        render::explained(&view(kept()), &style()),
        render::explained(&view(kept()), &wide()),
        render::explained(&one, &ascii()),
        render::explained(&view(vec![silent.clone()]), &style()),
        render::explained(&retired(vec![silent]), &style()),
        render::explained(&retired(kept()[3..6].to_vec()), &style()),
        render::explained(&view(vec![]), &style()),
    ];
    assert_fits(&shown[0]);
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn every_reason_to_stay_has_words() {
    for reason in KeepReason::ALL {
        let row = BackupView {
            keep: Some(vec![reason.clone()]),
            ..backup(&id(1), "2026-11-21T02:14:00Z")
        };
        let shown = render::explained(&view(vec![row]), &style());
        let words = format!("  {reason}\n");
        let is_itself = *reason == KeepReason::Pinned;
        assert_eq!(shown.contains(&words), is_itself, "{reason}: {shown}");
    }
}

#[test]
fn marks_in_the_list() {
    let shown = [
        render::backups(&view(kept()), &style()),
        render::backups(&view(kept()), &ascii()),
    ];
    assert_fits(&shown[0]);
    insta::assert_snapshot!(shown.join("----\n"));
}

fn removal(at: usize, others: &[usize]) -> RemovalView {
    let all = kept();
    RemovalView {
        phone: ada(),
        backup: all[at].clone(),
        others: others.iter().map(|at| all[*at].clone()).collect(),
    }
}

#[test]
fn before_and_after_removing() {
    let mut alone = removal(1, &[]);
    alone.backup.frees = Some(alone.backup.size);
    let mut silent = removal(4, &[1, 5, 6]);
    silent.backup.frees = None;
    let mut none_good = removal(5, &[7]);
    none_good.backup.finished = none_good.others[0].finished;
    let views = [
        silent,
        none_good,
        removal(4, &[1]),
        removal(6, &[1, 5]),
        removal(6, &[1, 7]),
        removal(6, &[5, 7]),
        removal(3, &[6, 7]),
        removal(2, &[6, 7]),
        alone,
    ];
    let shown: Vec<String> = views
        .iter()
        .map(|view| {
            let before = render::before_removal(view, &style());
            assert_fits(&before);
            format!("{before}{}", render::removed(view, &style()))
        })
        .collect();
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn after_reading_again() {
    let all = kept();
    let one = BackupView {
        damaged: 1,
        files: 0,
        ..all[5].clone()
    };
    let lost = BackupView {
        damaged: 0,
        ..all[5].clone()
    };
    let said = [
        render::sound(&ada(), &all[6], &style()),
        format!("{}\n", render::damage(&all[5])),
        format!("{}\n", render::damage(&one)),
        format!("{}\n", render::damage(&lost)),
        format!("{}\n", render::after_damage(&all[5], &all, &style())),
        format!("{}\n", render::after_damage(&all[5], &all[5..7], &style())),
        format!("{}\n", render::after_damage(&all[5], &all[5..6], &style())),
    ];
    insta::assert_snapshot!(said.concat());
}

#[test]
fn phones_that_come_and_go() {
    let all = kept();
    let quota = PhoneView {
        quota: Some(Bytes::from_gib(200)),
        ..ada()
    };
    let unknown = PhoneView {
        used: Bytes::ZERO,
        ..ada()
    };
    let said = [
        render::retired(&ada(), " ada", &style()),
        render::before_forgetting(&ada(), &all, &style()),
        render::before_forgetting(&unknown, &all[..1], &style()),
        render::before_forgetting(&ada(), &[], &style()),
        render::forgotten_phone("Ada's iPhone", &all, &style()),
        render::forgotten_phone("Ada's iPhone", &all[..1], &style()),
        render::forgotten_phone("Ada's iPhone", &[], &style()),
        render::replaced(&ada(), &studio(), "ada", " studio", &style()),
        render::replaced(&quota, &studio(), "ada", " studio", &style()),
    ];
    insta::assert_snapshot!(said.join("----\n"));
}

pub(crate) fn details(pairs: &[(&str, OwnedVariant)]) -> Dict {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

fn told(kind: &AttentionKind, of_ada: bool, details: &Dict) -> String {
    let name = of_ada.then_some("Ada's iPhone");
    render::attention(&cause(kind, name, details), &style())
}

#[test]
fn what_watch_tells_of_the_store() {
    let word = |word: &str| Variant::from(word.to_owned()).try_into_owned().unwrap();
    let made = details(&[
        ("removed", 3_u64.into()),
        ("freed-bytes", (12_u64 << 30).into()),
    ]);
    let damage = |backups: u64| {
        details(&[
            ("reason", word("damage-found")),
            ("backups", backups.into()),
        ])
    };
    let room = AttentionKind::MadeRoom;
    let trouble = AttentionKind::StoreTrouble;
    let missing = details(&[("reason", word("store-missing"))]);
    let odd = details(&[("reason", word("luck"))]);
    let moving = JobView {
        kind: JobKind::MoveStore,
        phone: None,
        phase: Phase::Copying,
        ..job()
    };
    let moved = JobView {
        result: Some(Outcome::Succeeded),
        ..moving.clone()
    };
    let said = [
        told(&room, true, &made),
        told(&room, false, &made),
        told(&room, true, &details(&[("removed", 1_u64.into())])),
        told(&trouble, true, &damage(2)),
        told(&trouble, true, &damage(0)),
        told(&trouble, false, &damage(1)),
        told(&trouble, false, &damage(0)),
        told(&trouble, false, &missing),
        told(&trouble, false, &odd),
        render::job_line(&moving, None, None, &style()),
        render::job_line(&moved, None, Some(&CompletedView::default()), &style()),
    ];
    insta::assert_snapshot!(said.concat());
}

#[test]
fn a_retired_phone_and_a_moving_store_in_status() {
    let retired = PhoneView {
        retired: true,
        overdue: true,
        ..ada()
    };
    let moving = JobView {
        kind: JobKind::MoveStore,
        phone: None,
        ..job()
    };
    let mut manager = manager();
    manager.storage_state = ibak_dbus::words::StorageState::Unavailable;
    let status = StatusView {
        manager,
        phones: vec![retired.clone()],
        jobs: vec![moving],
    };
    let why = |phone: PhoneView| {
        let view = WhyView {
            phone,
            job: None,
            attempts: vec![],
            last: 0,
            me: " ada".into(),
        };
        render::why(&view, &style())
    };
    let based = |basis: Basis, quota: Option<u64>| {
        let mut phone = PhoneView {
            quota: quota.map(Bytes::from_gib),
            ..ada()
        };
        phone
            .conditions
            .get_mut(&ConditionName::Space)
            .unwrap()
            .basis = Some(basis);
        why(phone)
            .lines()
            .skip_while(|line| !line.contains("space"))
            .take(2)
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let mut said = vec![render::status(&status, &style()), why(retired)];
    said.extend(Basis::ALL.iter().map(|basis| based(basis.clone(), None)));
    said.push(based(Basis::EarlierBackups, Some(200)));
    insta::assert_snapshot!(said.join("----\n"));
}
