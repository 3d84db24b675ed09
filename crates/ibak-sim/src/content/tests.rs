use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::identity::IosVersion;

fn identity(ios: IosVersion) -> Identity {
    Identity::draw(1, "Ada's iPhone", "iPhone14,5", ios, None)
}

fn content(spec: &ContentSpec) -> Content {
    Content::generate(spec, &identity(IosVersion::new(15, 6, 0)))
}

fn regular(content: &Content) -> BTreeMap<FileId, (u64, [u8; 20])> {
    content
        .files()
        .filter(|file| file.kind == FileKind::Regular)
        .map(|file| (file.id, (file.size, content.sha1_of(&file).unwrap())))
        .collect()
}

#[test]
fn the_totals_of_the_spec_are_met() {
    let table = [
        (0, 0, 0, None),
        (1, 10, 0, None),
        (3, 100, 1, None),
        (50, 1_000, 2, None),
        (200, 4 << 20, 3, None),
        (2_000, 40 << 20, 12, None),
        (5_000, 600_000, 0, None),
        (20, 5 << 30, 1, Some(4 << 30)),
        (20_000, 1 << 30, 21, None),
    ];
    for (files, bytes, apps, largest_file) in table {
        let content = content(&ContentSpec {
            seed: 9,
            files,
            bytes,
            apps,
            largest_file,
        });
        let sizes: Vec<u64> = content
            .files()
            .filter(|file| file.kind == FileKind::Regular)
            .map(|file| file.size)
            .collect();
        assert_eq!(sizes.len() as u64, files);
        assert_eq!(sizes.iter().sum::<u64>(), bytes, "{files} files");
        assert_eq!(content.used_bytes(), bytes);
        assert_eq!(content.apps().len() as u32, apps);
        if let Some(largest) = largest_file {
            assert_eq!(sizes.iter().max(), Some(&largest));
        }
    }
}

#[test]
fn file_ids_are_the_published_vectors() {
    // manifest_db.md
    let table = [
        (
            "HomeDomain",
            "Library/SMS/sms.db",
            "3d0d7e5fb2ce288813306e4d4636395e047a3d28",
        ),
        (
            "HomeDomain",
            "Library/CallHistoryDB/CallHistory.storedata",
            "5a4935c78a5255723f707230a451d79c540d2741",
        ),
        (
            "MediaDomain",
            "Media/Recordings/20190704 231625.m4a",
            "e41d74a1b3680375ab2055a45a09053f646d1cc6",
        ),
        (
            "AppDomainGroup-group.net.whatsapp.WhatsApp.shared",
            "ChatStorage.sqlite",
            "7c7fba66680ef796b916b067077cc246adacf01d",
        ),
    ];
    for (domain, path, hex) in table {
        assert_eq!(FileId::of(domain, path).hex(), hex);
        assert_eq!(FileId::parse(hex), Some(FileId::of(domain, path)));
    }
}

#[test]
fn the_shape_is_a_phones() {
    let content = content(&ContentSpec {
        seed: 2,
        files: 2_000,
        bytes: 200 << 20,
        apps: 12,
        largest_file: None,
    });
    let files: Vec<_> = content.files().collect();
    let ids: BTreeSet<_> = files.iter().map(|file| file.id).collect();
    assert_eq!(ids.len(), files.len(), "an id is double");

    let known: Vec<&str> = [
        "AppDomain-",
        "AppDomainGroup-",
        "AppDomainPlugin-",
        "SysContainerDomain-",
    ]
    .to_vec();
    for kind in known {
        assert!(
            files.iter().any(|file| file.domain.starts_with(kind)),
            "{kind}"
        );
    }
    let domains: BTreeSet<_> = files.iter().map(|file| file.domain).collect();
    for domain in &domains {
        let root = files
            .iter()
            .find(|file| file.domain == *domain && file.path.is_empty())
            .unwrap();
        assert_eq!(root.kind, FileKind::Directory, "{domain}");
    }
    // Every parent is a row of its own.
    for file in &files {
        if let Some((parent, _)) = file.path.rsplit_once('/') {
            assert!(
                ids.contains(&FileId::of(file.domain, parent)),
                "{} {parent}",
                file.domain
            );
        }
    }
    let links = files
        .iter()
        .filter(|file| file.kind == FileKind::Symlink)
        .count();
    assert!((2..60).contains(&links), "{links} links");
    assert!(
        files
            .iter()
            .any(|file| file.size == 0 && file.kind == FileKind::Regular),
        "no empty file"
    );
    let photos: Vec<u64> = files
        .iter()
        .filter(|file| file.path.starts_with("Media/DCIM/1") && file.size > 0)
        .map(|file| file.size)
        .collect();
    let thumbnails: Vec<u64> = files
        .iter()
        .filter(|file| file.path.contains("Thumbnails") && file.size > 0)
        .map(|file| file.size)
        .collect();
    let mean = |sizes: &[u64]| sizes.iter().sum::<u64>() / sizes.len() as u64;
    assert!(
        mean(&photos) > 200_000 && mean(&thumbnails) < 100_000,
        "{photos:?} {thumbnails:?}"
    );
}

#[test]
fn databases_and_preferences_are_what_their_names_say() {
    let content = content(&ContentSpec {
        seed: 3,
        files: 800,
        bytes: 30 << 20,
        apps: 2,
        largest_file: None,
    });
    let read = |file: &FileView<'_>| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut content.reader(file), &mut bytes).unwrap();
        bytes
    };
    let sms = content
        .files()
        .find(|file| file.path == "Library/SMS/sms.db")
        .unwrap();
    assert!(read(&sms).starts_with(b"SQLite format 3\0"));
    let plists: Vec<_> = content
        .files()
        .filter(|file| file.path.starts_with("Library/Preferences/com.apple."))
        .collect();
    assert!(plists.len() > 50);
    for file in plists
        .iter()
        .filter(|file| file.kind == FileKind::Regular && file.size >= 120)
    {
        let bytes = read(file);
        assert_eq!(bytes.len() as u64, file.size);
        assert!(
            plist::Value::from_reader(std::io::Cursor::new(bytes)).is_ok(),
            "{}",
            file.path
        );
    }
}

#[test]
fn call_history_left_plain_backups_with_ios_13() {
    let spec = ContentSpec {
        files: 400,
        ..ContentSpec::default()
    };
    let has = |ios| {
        let content = Content::generate(&spec, &identity(ios));
        let mut files = content.files();
        files.any(|file| file.path.ends_with("CallHistory.storedata"))
    };
    assert!(has(IosVersion::new(12, 5, 7)));
    assert!(!has(IosVersion::new(15, 6, 0)));
}

#[test]
fn the_same_history_gives_the_same_phone() {
    let spec = ContentSpec {
        seed: 4,
        files: 300,
        bytes: 5 << 20,
        apps: 3,
        largest_file: None,
    };
    let (mut one, mut two) = (content(&spec), content(&spec));
    assert_eq!(regular(&one), regular(&two));
    one.change(5, 3, 2);
    assert_ne!(regular(&one), regular(&two));
    two.change(5, 3, 2);
    assert_eq!(regular(&one), regular(&two));
    assert_ne!(
        regular(&content(&ContentSpec { seed: 5, ..spec })),
        regular(&one)
    );
}

#[test]
fn a_change_is_exactly_as_large_as_asked() {
    let spec = ContentSpec {
        seed: 6,
        files: 500,
        bytes: 8 << 20,
        apps: 3,
        largest_file: None,
    };
    let mut content = content(&spec);
    let mut before = regular(&content);
    for (touch, add, delete) in [(30, 0, 0), (0, 7, 0), (0, 0, 9), (12, 5, 4), (1, 1, 1)] {
        let snapshot = content.snapshot();
        content.change(touch, add, delete);
        let after = regular(&content);
        let touched = after
            .iter()
            .filter(|(id, file)| before.get(id).is_some_and(|old| old.1 != file.1))
            .count();
        let added = after.keys().filter(|id| !before.contains_key(id)).count();
        let deleted = before.keys().filter(|id| !after.contains_key(id)).count();
        assert_eq!(
            (touched, added, deleted),
            (touch as usize, add as usize, delete as usize)
        );
        // A snapshot taken before the change still shows the old files.
        for file in snapshot
            .files()
            .filter(|file| file.kind == FileKind::Regular)
            .take(40)
        {
            assert_eq!(snapshot.sha1_of(&file).unwrap(), before[&file.id].1);
        }
        before = after;
    }
}
