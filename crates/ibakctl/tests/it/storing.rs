//! What is said of storage and of places, with the moment pinned.

use super::fixtures::{ada, conditions, studio, style, wall, wide};
use super::keeping::{assert_fits, kept, view};
use ibak_dbus::views::{CheckView, CompletedView, PhoneView, StorageView};
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Outcome};
use ibak_dbus::{Bytes, Udid};
use ibakctl::json;
use ibakctl::render::{self, AdoptionView, StorageReport};
use std::path::Path;

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
    // The disk has less left than the quota; the other phone has none.
    let mut tight = rows.clone();
    for row in &mut tight {
        row.left = Bytes::from_gib(20);
        row.full = Some(wall("2026-11-25T12:00:00Z"));
        row.damaged = 0;
        row.retired = false;
    }
    let mut none_left = tight.clone();
    none_left[1].left = Bytes::ZERO;
    // Its own quota has less left than the disk, or just nothing.
    let mut used_up = full.clone();
    used_up[1].used = Bytes::from_gib(201);
    let shown = [
        render::storage(&report(&tight), &style()),
        render::storage(&report(&tight[1..]), &style()),
        render::storage(&report(&none_left[1..2]), &style()),
        render::storage(&report(&used_up[1..2]), &style()),
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
