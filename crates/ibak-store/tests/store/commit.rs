//! What becomes a backup, what is refused, and what a list says of it.

use crate::device::*;
use ibak_core::{BackupId, Udid};
use ibak_store::{DeviceDone, ErrorKind, Full, History, Staging, StoreError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn small() -> Device {
    Device::new(&[("a", "first"), ("b", "second"), ("c", "")])
}

#[test]
fn only_error_code_zero_is_an_end() {
    assert!(DeviceDone::from_error_code(0).is_some());
    for code in [1, -1, 105, 208] {
        assert_eq!(DeviceDone::from_error_code(code), None);
    }
}

#[test]
fn full_then_incremental() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = small();
    let first = back_up(&store, &device, at(100)).unwrap();
    assert_eq!(
        (first.full, first.parent.clone(), first.files),
        (true, None, 7)
    );
    assert_eq!(first.warnings, Vec::<String>::new());
    assert_eq!(
        (first.device_name.as_deref(), first.product_type.as_deref()),
        (Some("Ada"), Some("iPhone14,5"))
    );
    assert_eq!(
        (first.os_version.as_deref(), first.encrypted, first.verified),
        (Some("15.6"), false, true)
    );
    let kept = fingerprint(&gens(dir.path()).join(first.id.as_str()));
    device.put("a", "changed");
    device.put("d", "new");
    device.files.remove("b");
    let second = back_up(&store, &device, at(200)).unwrap();
    assert_eq!(
        (second.full, second.parent.as_ref()),
        (false, Some(&first.id))
    );
    // Changed: a, d, and the five of the protocol less none of them shared.
    assert_eq!((second.files, second.new_files), (7, 5));
    assert_eq!(content(&store, &second), device.backup());
    assert_eq!(fingerprint(&gens(dir.path()).join(first.id.as_str())), kept);
    assert_eq!(
        store.list(&udid()).unwrap(),
        [first.clone(), second.clone()]
    );
    assert_eq!(store.phones().unwrap(), [udid()]);
    let latest = std::fs::read_link(dir.path().join(UDID).join("latest")).unwrap();
    assert_eq!(
        latest.to_str(),
        Some(format!("gens/{}", second.id).as_str())
    );
    let history = History {
        backups: 2,
        last_size: Some(second.size_bytes),
        last_growth: Some(second.unique_bytes),
        growth_max: Some(second.unique_bytes),
    };
    assert_eq!(store.history(&udid()), Ok(history));
    assert!(
        !dir.path()
            .join(UDID)
            .join("staging")
            .join(second.id.as_str())
            .exists()
    );
    for generation in [&first, &second] {
        assert!(verify(&store, generation).is_good());
    }
}

#[test]
fn committed_files_are_read_only_and_shared() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let first = back_up(&store, &small(), at(0)).unwrap();
    let second = back_up(&store, &small(), at(1)).unwrap();
    for (path, (mode, ..)) in fingerprint(&gens(dir.path())) {
        let want = if path.is_dir() { 0o700 } else { 0o400 };
        assert_eq!(mode & 0o7777, want, "{}", path.display());
    }
    let blob = |id: &BackupId| {
        gens(dir.path())
            .join(id.as_str())
            .join(UDID)
            .join(place("a"))
    };
    assert_eq!(
        std::fs::metadata(blob(&first.id)).unwrap().ino(),
        std::fs::metadata(blob(&second.id)).unwrap().ino()
    );
    assert!(second.unique_bytes < first.unique_bytes + 8192);
}

#[test]
fn a_forced_full_backup_shares_nothing() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    back_up(&store, &small(), at(0)).unwrap();
    let mut staging = begin(&store, Full::Forced, at(1)).unwrap();
    assert_eq!(staging.list(&tree("")).unwrap(), []);
    run(&mut staging, &small(), at(1)).unwrap();
    let made = staging.commit(done(), at(1)).unwrap();
    assert_eq!((made.full, made.files, made.new_files), (true, 7, 7));
}

#[test]
fn names_sort_by_time_even_if_the_clock_goes_back() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let ids: Vec<BackupId> = [5000, 10, 10]
        .map(|secs| back_up(&store, &small(), at(secs)).unwrap().id)
        .into();
    assert!(ids.is_sorted());
}

#[test]
fn what_is_not_whole_is_refused_and_never_resumed() {
    type Spoil = fn(&mut Staging);
    let cases: [(&str, Spoil); 9] = [
        ("Status.plist is missing", |s| {
            s.remove(&tree("Status.plist")).unwrap()
        }),
        ("not finished", |s| {
            send(s, "Status.plist", &status("removing"), at(0)).unwrap()
        }),
        ("left in Snapshot", |s| {
            send(s, "Snapshot/ab/x", b"1", at(0)).unwrap()
        }),
        ("blob missing", |s| s.remove(&tree(&place("a"))).unwrap()),
        ("no Manifest.plist", |s| {
            s.remove(&tree("Manifest.plist")).unwrap()
        }),
        ("no Manifest.db", |s| {
            s.remove(&tree("Manifest.db")).unwrap()
        }),
        ("Manifest.db garbage", |s| {
            send(s, "Manifest.db", &[7; 9000], at(0)).unwrap()
        }),
        ("no Info.plist", |s| s.remove(&tree("Info.plist")).unwrap()),
        ("half a file", |s| {
            s.create(&tree("ab/cd")).unwrap();
            s.write(b"x").unwrap();
        }),
    ];
    for (what, spoil) in cases {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let good = back_up(&store, &small(), at(0)).unwrap();
        let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
        run(&mut staging, &small(), at(1)).unwrap();
        spoil(&mut staging);
        let id = staging.id().clone();
        let error = staging.commit(done(), at(1)).err();
        assert!(
            matches!(error, Some(StoreError::Incomplete(_))),
            "{what}: {error:?}"
        );
        assert_eq!(store.list(&udid()).unwrap(), [good], "{what}");
        drop(store);
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery.resumable, [], "{what}");
        let next = begin(&store, Full::IfNeeded, at(2)).unwrap();
        assert_ne!(next.id(), &id);
        assert!(!next.resumed());
    }
}

#[test]
fn an_empty_snapshot_directory_is_removed() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    run(&mut staging, &small(), at(0)).unwrap();
    if staging.list(&tree("Snapshot")).is_err() {
        staging.create_dir(&tree("Snapshot/00")).unwrap();
    }
    let made = staging.commit(done(), at(0)).unwrap();
    assert_eq!(content(&store, &made), small().backup());
    assert!(
        !gens(dir.path())
            .join(made.id.as_str())
            .join(UDID)
            .join("Snapshot")
            .exists()
    );
}

#[test]
fn what_the_phone_could_not_send_is_a_warning_also_the_next_day() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = small();
    device.unreadable.push("b".into());
    let first = back_up(&store, &device, at(0)).unwrap();
    assert_eq!(first.warnings.len(), 1);
    assert!(
        first.warnings[0].contains("HomeDomain b"),
        "{:?}",
        first.warnings
    );
    // The next day the phone does not even try.
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    send(&mut staging, "Status.plist", &status("uploading"), at(1)).unwrap();
    send(&mut staging, "Status.plist", &status("finished"), at(1)).unwrap();
    let second = staging.commit(done(), at(1)).unwrap();
    assert_eq!(second.warnings, first.warnings);
    assert!(verify(&store, &second).is_good());
}

#[test]
fn a_live_file_of_another_size_is_a_warning() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    run(&mut staging, &small(), at(0)).unwrap();
    send(&mut staging, &place("a"), b"longer than noted", at(0)).unwrap();
    let made = staging.commit(done(), at(0)).unwrap();
    assert_eq!(made.warnings.len(), 1);
    assert!(
        made.warnings[0].contains("another size"),
        "{:?}",
        made.warnings
    );
}

#[test]
fn an_encrypted_backup_is_checked_by_its_shape() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut device = Device::new(&[("a", "sixteen bytes ok")]);
    device.encrypted = true;
    let made = back_up(&store, &device, at(0)).unwrap();
    assert!(made.encrypted);
    assert_eq!(made.keybag_uuid, Some("ab".repeat(16)));
    // The keybag of this phone is two fields long, and it has no ManifestKey.
    assert_eq!(made.warnings.len(), 2);
    for warning in &made.warnings {
        assert!(
            warning.starts_with("its files cannot be listed or extracted here: "),
            "{warning}"
        );
    }
    let record =
        std::fs::read_to_string(gens(dir.path()).join(made.id.as_str()).join("commit.json"))
            .unwrap();
    assert!(record.contains(&"ab".repeat(16)), "{record}");
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    send(&mut staging, "Manifest.db", &[0; 100], at(1)).unwrap();
    assert_eq!(
        staging.commit(done(), at(1)).map_err(|error| error.kind()),
        Err(ErrorKind::Refused)
    );
}

#[test]
fn a_reading_finds_every_kind_of_damage_and_the_next_backup_builds_on_a_good_one() {
    type Harm = fn(&std::path::Path);
    let cases: [(&str, Harm); 5] = [
        ("bit flip", |tree| {
            let path = tree.join(place("a"));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::write(&path, "fIrst").unwrap();
        }),
        ("gone", |tree| {
            std::fs::remove_file(tree.join(place("a"))).unwrap()
        }),
        ("extra", |tree| {
            std::fs::write(tree.join("zz"), "x").unwrap()
        }),
        ("index", |tree| {
            std::fs::remove_file(tree.join("../index.zst")).unwrap()
        }),
        ("tree", |tree| {
            std::fs::rename(tree, tree.with_extension("old")).unwrap()
        }),
    ];
    for (what, harm) in cases {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let first = back_up(&store, &small(), at(0)).unwrap();
        let mut staging = begin(&store, Full::Forced, at(1)).unwrap();
        run(&mut staging, &small(), at(1)).unwrap();
        let second = staging.commit(done(), at(1)).unwrap();
        harm(&gens(dir.path()).join(second.id.as_str()).join(UDID));
        assert!(!verify(&store, &second).is_good(), "{what}");
        assert!(verify(&store, &first).is_good(), "{what}");
        let verified: Vec<bool> = store
            .list(&udid())
            .unwrap()
            .iter()
            .map(|found| found.verified)
            .collect();
        assert_eq!(verified, [true, false], "{what}");
        let latest = std::fs::read_link(dir.path().join(UDID).join("latest")).unwrap();
        assert!(latest.ends_with(first.id.as_str()), "{what}");
        let next = begin(&store, Full::IfNeeded, at(2)).unwrap();
        assert_eq!(next.parent(), Some(&first.id), "{what}");
    }
}

#[test]
fn a_reading_can_be_stopped_and_says_how_far_it_is() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &small(), at(0)).unwrap();
    let mut seen = Vec::new();
    let outcome = store.verify(&udid(), &made.id, at(1).wall, &mut |progress| {
        seen.push((progress.files, progress.files_total));
        if progress.files == 2 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    });
    assert_eq!(outcome, Err(StoreError::Cancelled));
    assert_eq!(seen, [(0, 7), (1, 7), (2, 7)]);
    assert_eq!(store.list(&udid()).unwrap()[0].checked, None);
    let other = BackupId::parse("01JD8Z3YQ9V6W2X4T5R7P8N0KM").unwrap();
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    assert_eq!(
        store.verify(&udid(), &other, at(1).wall, go_on),
        Err(StoreError::NoSuchBackup(other))
    );
}

#[test]
fn a_reader_keeps_reading_what_it_opened_and_nothing_else() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let made = back_up(&store, &small(), at(0)).unwrap();
    let reader = store.reader(&udid(), &made.id).unwrap();
    let home = gens(dir.path()).join(made.id.as_str());
    std::fs::rename(&home, home.with_extension("moved")).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader.open(&place("a")).unwrap(), &mut text).unwrap();
    assert_eq!(text, "first");
    assert!(reader.open("../commit.json").is_err());
    assert!(reader.open("/etc/passwd").is_err());
    let stranger = Udid::parse("abcdef0123456789abcdef0123456789abcdef01").unwrap();
    assert_eq!(store.list(&stranger), Ok(Vec::new()));
    assert!(store.reader(&stranger, &made.id).is_err());
}

#[test]
fn an_encrypted_backup_holds_only_what_was_sent_or_inherited() {
    use crate::sealed::*;
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let first = sealed.commit(&store, at(0));
    assert_eq!(first.warnings, Vec::<String>::new());
    let planted = |text: &str, secs| {
        let mut staging = begin(&store, Full::IfNeeded, at(secs)).unwrap();
        send(&mut staging, "Status.plist", &status("finished"), at(secs)).unwrap();
        let home = dir.path().join(UDID).join("staging");
        let home = home.join(staging.id().as_str()).join(UDID);
        if !text.is_empty() {
            let id = file_id(text);
            std::fs::create_dir_all(home.join(&id[..2])).unwrap();
            std::fs::write(home.join(&id[..2]).join(id), [0; 16]).unwrap();
        }
        staging.commit(done(), at(secs))
    };
    let inherited = planted("", 1).unwrap();
    assert_eq!(inherited.parent.as_ref(), Some(&first.id));
    let error = planted("nobody sent this", 2).err();
    let text = format!("{error:?}");
    assert!(text.contains("was neither sent nor inherited"), "{text}");
    // Half a block was sent: that file is not whole, and the others are.
    let mut files = sealed.files();
    let id = id_of("HomeDomain", "Library/long");
    files.get_mut(&format!("{}/{id}", &id[..2])).unwrap().pop();
    let made = try_commit(&store, &files, at(3)).unwrap();
    assert_eq!(
        made.warnings,
        [format!(
            "1 file has a size that no encrypted file has ({id})"
        )]
    );
}

#[test]
fn what_never_came_of_an_encrypted_backup_is_noted_also_the_next_day() {
    use crate::sealed::*;
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let mut files = sealed.files();
    let id = id_of("HomeDomain", "Library/short");
    let path = format!("{}/{id}", &id[..2]);
    files.remove(&path);
    let mut staging = begin(&store, Full::IfNeeded, at(0)).unwrap();
    for lost in [path.as_str(), "Snapshot/Manifest.db-wal"] {
        staging.create(&tree(lost)).unwrap();
        staging.abandon(Some("Operation not permitted")).unwrap();
    }
    receive(&mut staging, &files, at(0)).unwrap();
    staging.commit(done(), at(0)).unwrap();
    let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
    send(&mut staging, "Status.plist", &status("finished"), at(1)).unwrap();
    let second = staging.commit(done(), at(1)).unwrap();
    let record = gens(dir.path())
        .join(second.id.as_str())
        .join("commit.json");
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert_eq!(record["missing"], serde_json::json!([id]));
    let reader = store.reader(&udid(), &second.id).unwrap();
    let catalogue = reader.catalogue(Some(&keys(&reader))).unwrap();
    for (name, lost) in [("Library/short", true), ("Library/long", false)] {
        let entry = catalogue.find("HomeDomain", name).unwrap().unwrap();
        assert_eq!(catalogue.never_came(&entry), lost, "{name}");
        assert_eq!(catalogue.open(&entry).is_err(), lost, "{name}");
    }
}
