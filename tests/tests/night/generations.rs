//! The second day: only what changed is sent, and both backups are whole.

use ibak_sim::content::{FileId, FileKind};
use ibak_tests::night::{Night, Setup, fingerprint, phone};
use std::collections::BTreeMap;

fn versions(night: &Night) -> BTreeMap<FileId, u32> {
    let content = night.simulated(0).content();
    let content = content.lock().unwrap();
    content
        .files()
        .filter(|file| file.kind == FileKind::Regular)
        .map(|file| (file.id, file.version))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_day_sends_only_what_changed() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    let first = night.night_of(0).await;
    night.assert_equals_phone(0, &first);
    assert!(night.simulated(0).activity().last_was_full);
    let first_dir = night.backup_dir(0, &first);
    let first_dir = first_dir.parent().unwrap().to_owned();
    let print = fingerprint(&first_dir);
    let (files_before, bytes_before) = (
        night.simulated(0).activity().files_sent,
        night.bytes_sent(0),
    );

    let was = versions(&night);
    night.simulated(0).change(5, 3, 2);
    let is = versions(&night);
    let changed = is
        .iter()
        .filter(|(id, version)| was.get(id) != Some(version))
        .count();
    assert!((8..20).contains(&changed), "{changed}");
    let second = night.next_night_of(0).await;
    night.assert_equals_phone(0, &second);
    assert!(!night.simulated(0).activity().last_was_full);
    let sent = night.simulated(0).activity().files_sent - files_before;
    assert_eq!(
        sent,
        u64::try_from(changed).unwrap(),
        "files sent on the second day"
    );
    assert!(night.bytes_sent(0) - bytes_before < bytes_before / 2);

    assert_eq!(
        fingerprint(&first_dir),
        print,
        "the earlier backup is untouched"
    );
    let backups = night.backups(0).await;
    let ids: Vec<_> = backups.iter().map(|row| row.id.clone()).collect();
    assert_eq!(ids, [first, second.clone()]);
    assert!(
        backups
            .iter()
            .all(|row| row.verified.is_some() && !row.encrypted)
    );
    assert_eq!((backups[0].full, backups[1].full), (true, false));
    assert!(backups[1].unique < backups[0].unique, "{backups:#?}");
    let view = night.phone(0);
    assert_eq!(view.last_backup, backups[1].finished);
    let latest = night.store().join(night.udid(0).as_str()).join("latest");
    assert_eq!(
        std::fs::canonicalize(latest).unwrap(),
        std::fs::canonicalize(night.backup_dir(0, &second))
            .unwrap()
            .parent()
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backup_has_everything_sent_anew() {
    let mut night = Setup::of(vec![phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night
        .until_phone(0, "it is known", |view| !view.name.is_empty())
        .await;
    night.back_up_now(0, &[]).await;
    let files = night.simulated(0).activity().files_sent;
    night.back_up_now(0, &["full"]).await;
    assert!(night.simulated(0).activity().last_was_full);
    assert_eq!(night.simulated(0).activity().files_sent, files * 2);
    let backups = night.backups(0).await;
    assert_eq!(
        backups.iter().map(|row| row.full).collect::<Vec<_>>(),
        [true, true]
    );
    night.assert_equals_phone(0, &backups[1].id);
}
