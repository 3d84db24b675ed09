//! What is said of backups that stay and go, of storage and of places, with the moment pinned.

use super::fixtures::{ada, backup, conditions, job, manager, studio, style, wall, wide};
use ibak_dbus::views::{BackupView, CheckView, CompletedView, JobView, PhoneView, StorageView};
use ibak_dbus::words::{
    AttentionKind, Basis, CheckDetail, CheckId, CheckStatus, ConditionName, JobKind, KeepReason,
    Outcome, Phase,
};
use ibak_dbus::{Bytes, Dict, Udid};
use ibakctl::render::{
    self, AdoptionView, BackupsView, PhoneBackups, RemovalView, StatusView, StorageReport, WhyView,
};
use ibakctl::{Glyphs, Style, json};
use std::path::Path;
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

fn view(backups: Vec<BackupView>) -> BackupsView {
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

fn assert_fits(shown: &str) {
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
    let shown = [
        render::explained(&view(kept()), &style()),
        render::explained(&view(kept()), &wide()),
        render::explained(&one, &ascii()),
        render::explained(&view(vec![silent]), &style()),
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
    let views = [
        silent,
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
        render::still_held(&style()),
    ];
    insta::assert_snapshot!(said.concat());
}

pub(crate) fn storage() -> Vec<StorageView> {
    let whole = StorageView {
        phone: None,
        used: Bytes::from_gib(288),
        quota: Some(Bytes::from_gib(500)),
        left: Bytes::from_gib(212),
        full: Some(wall("2027-01-02T12:00:00Z")),
        backups: 27,
        damaged: 1,
        oldest: Some(wall("2025-03-12T02:14:00Z")),
        newest: Some(wall("2026-11-21T02:14:00Z")),
        read: Some(wall("2026-11-02T02:14:00Z")),
        trash: 0,
        retired: false,
    };
    let of = |udid: Udid| StorageView {
        phone: Some(udid),
        ..whole.clone()
    };
    vec![
        whole.clone(),
        StorageView {
            used: Bytes::from_gib(122),
            quota: Some(Bytes::from_gib(200)),
            left: Bytes::from_gib(78),
            full: Some(wall("2026-12-04T12:00:00Z")),
            backups: 8,
            ..of(ada().udid)
        },
        StorageView {
            used: Bytes::from_gib(166),
            quota: None,
            backups: 19,
            damaged: 0,
            retired: true,
            ..of(studio().udid)
        },
    ]
}

fn report(rows: &[StorageView]) -> StorageReport {
    let phones = [ada(), studio()];
    StorageReport {
        store: "/var/lib/ibak/store".into(),
        whole: rows.iter().find(|row| row.phone.is_none()).cloned(),
        phones: rows
            .iter()
            .filter_map(|row| {
                let udid = row.phone.as_ref()?;
                let phone = phones.iter().find(|phone| phone.udid == *udid).cloned();
                Some((phone, row.clone()))
            })
            .collect(),
    }
}

#[test]
fn storage_of_everything() {
    let rows = storage();
    let none = StorageView {
        left: Bytes::from_gib(500),
        ..StorageView::default()
    };
    let mut full = rows.clone();
    for row in &mut full {
        row.left = Bytes::ZERO;
        row.trash = 2;
        row.damaged = 2;
        row.phone = row
            .phone
            .as_ref()
            .map(|_| Udid::parse(&"1".repeat(40)).unwrap());
        row.oldest = row.newest;
    }
    let mut soon = rows.clone();
    soon[0].full = Some(wall("2026-11-22T22:00:00Z"));
    soon[1].full = None;
    soon[0].trash = 1;
    let shown = [
        render::storage(&report(&rows), &style()),
        render::storage(&report(&rows[1..2]), &style()),
        render::storage(&report(&soon), &style()),
        render::storage(&report(&[none]), &style()),
        render::storage(&report(&full), &wide()),
    ];
    assert_fits(&shown[0]);
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn quotas_are_told_with_what_they_mean() {
    let used = Bytes::from_gib(122);
    let needs_much = PhoneView {
        conditions: conditions(),
        ..ada()
    };
    let said: Vec<String> = [None, Some(500), Some(125), Some(122), Some(60)]
        .into_iter()
        .map(|quota| render::quota_set(&needs_much, quota.map(Bytes::from_gib), used, &style()))
        .collect();
    insta::assert_snapshot!(said.join("----\n"));
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

#[test]
fn places() {
    let (old, new) = (Path::new("/var/lib/ibak/store"), Path::new("/mnt/big disk"));
    let used = Some(Bytes::from_gib(288));
    let mut said = vec![
        render::store_used(new, old, Some(12), &style()),
        render::store_used(new, old, Some(1), &style()),
        render::store_used(new, old, None, &style()),
        render::before_move(old, new, Some(27), used, &style()),
        render::before_move(old, new, Some(1), used, &style()),
        render::before_move(old, new, None, None, &style()),
        render::store_moved(old, new, &style()),
    ];
    let of_stores = CheckDetail::ALL
        .iter()
        .filter(|detail| detail.as_str().starts_with("store") || **detail == CheckDetail::Fine);
    said.extend(of_stores.map(|detail| {
        let check = CheckView {
            subject: "/mnt/big disk".into(),
            ..CheckView::new(CheckId::StorePath, CheckStatus::Fail, detail.clone())
        };
        let found = render::check_detail(&check, &style());
        format!("{found}: {}\n", render::store_remedy(detail, new, &style()))
    }));
    insta::assert_snapshot!(said.concat());
    assert_eq!(
        render::shell_place(Path::new("/a'b/\u{1b}c"), &style()),
        r"'/a'\''b/\u{1b}c'"
    );
}

#[test]
fn adoptions() {
    let view = AdoptionView {
        name: "Ada's iPhone".into(),
        os_version: Some("17.5.1".into()),
        made: Some(wall("2025-03-12T20:10:00Z")),
        encrypted: Some(true),
        size: Bytes::from_gib(41),
        files: 100_000,
        skipped: 0,
        known: true,
    };
    let odd = AdoptionView {
        name: "A\u{1b}da\u{202e}".into(),
        os_version: None,
        made: None,
        encrypted: None,
        skipped: 2,
        known: false,
        ..view.clone()
    };
    let plain = AdoptionView {
        encrypted: Some(false),
        skipped: 1,
        ..view.clone()
    };
    let said = [
        render::before_adoption(&view, &style()),
        render::before_adoption(&plain, &style()),
        render::before_adoption(&odd, &style()),
        render::adopted(&view, false, " ada", &style()),
        render::adopted(&odd, false, "", &style()),
        render::adopted(&view, true, " ada", &style()),
    ];
    insta::assert_snapshot!(said.join("----\n"));
}

fn details(pairs: &[(&str, OwnedVariant)]) -> Dict {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
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
        render::attention(&room, Some(&ada()), &made, &style()),
        render::attention(&room, None, &made, &style()),
        render::attention(
            &room,
            Some(&ada()),
            &details(&[("removed", 1_u64.into())]),
            &style(),
        ),
        render::attention(&trouble, Some(&ada()), &damage(2), &style()),
        render::attention(&trouble, Some(&ada()), &damage(0), &style()),
        render::attention(&trouble, None, &damage(1), &style()),
        render::attention(&trouble, None, &damage(0), &style()),
        render::attention(&trouble, None, &missing, &style()),
        render::attention(&trouble, None, &odd, &style()),
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

#[test]
fn json_of_what_is_kept() {
    let backup = &kept()[5];
    let documents = [
        json::storage(&report(&storage())),
        json::verified(
            &ada().udid,
            backup,
            &Outcome::BackupDamaged,
            &CompletedView::default(),
        ),
        json::done_with("pinned", &ada().udid, &backup.id),
        json::store("store-used", Path::new("/new"), Path::new("/old")),
        json::backups(&view(kept()[5..6].to_vec())),
    ];
    let shown: Vec<String> = documents
        .iter()
        .map(|document| serde_json::to_string_pretty(document).unwrap())
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}
