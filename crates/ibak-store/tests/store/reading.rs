//! The files of a backup by the names they have on the phone, plain and encrypted.

use crate::device::*;
use crate::sealed::*;
use ibak_core::Secret;
use ibak_store::fs::Errno;
use ibak_store::{
    Catalogue, Content, FileEntry, FileKind, Filter, KeybagError, Listed, Reader, StoreError,
    Unlocking,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

fn bytes(mut content: Content) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = content.size();
    content.read_to_end(&mut bytes)?;
    assert_eq!(bytes.len() as u64, size);
    Ok(bytes)
}

fn all(catalogue: &Catalogue, filter: &Filter) -> (Vec<FileEntry>, Listed) {
    let mut found = Vec::new();
    let listed = catalogue
        .for_each(filter, &mut |entry| {
            found.push(entry);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(listed.given, found.len() as u64);
    (found, listed)
}

fn opened(reader: &Reader, encrypted: bool) -> Catalogue {
    if encrypted {
        reader.catalogue(Some(&keys(reader))).unwrap()
    } else {
        reader.catalogue(None).unwrap()
    }
}

#[test]
fn every_name_and_content_comes_back_plain_and_encrypted() {
    for sealed in [Sealed::new(), Sealed::plain()] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let reader = sealed.reader(&store);
        assert_eq!(reader.wire_udid(), UDID);
        let encrypted = sealed.bag.is_some();
        let uuid = encrypted.then(|| "ab".repeat(16));
        assert_eq!(reader.generation().keybag_uuid, uuid);
        assert_eq!(store.list(&udid()).unwrap()[0].keybag_uuid, uuid);
        assert_eq!(reader.generation().warnings, Vec::<String>::new());
        let catalogue = opened(&reader, encrypted);
        let (found, listed) = all(&catalogue, &Filter::default());
        assert_eq!(listed.refused, 0);
        assert_eq!(found.len(), sealed.items.len());
        for (entry, item) in found.iter().zip(&sealed.items) {
            assert_eq!(
                (entry.domain.as_str(), entry.path.as_str()),
                (item.domain, item.path)
            );
            assert_eq!(entry.file_id, id_of(item.domain, item.path));
            assert_eq!(entry.modified, Some(1_600_000_000));
            assert_eq!(entry.size, item.content.len() as u64);
            let kind = match item.flags {
                1 => FileKind::File,
                2 => FileKind::Directory,
                _ => FileKind::Symlink {
                    target: item.target.to_owned(),
                },
            };
            assert_eq!(entry.kind, kind);
            if kind == FileKind::File {
                assert_eq!(entry.mode, Some(0o100_644));
                assert_eq!(
                    bytes(catalogue.open(entry).unwrap()).unwrap(),
                    item.content,
                    "{}",
                    item.path
                );
            } else {
                assert!(matches!(
                    catalogue.open(entry),
                    Err(StoreError::System {
                        errno: Errno::ISDIR,
                        ..
                    })
                ));
            }
            assert_eq!(
                catalogue.find(item.domain, item.path).unwrap().as_ref(),
                Some(entry)
            );
        }
        assert_eq!(catalogue.find("HomeDomain", "absent"), Ok(None));
    }
}

#[test]
fn a_domain_a_file_or_all_beneath_a_path() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let reader = Sealed::plain().reader(&store);
    let catalogue = opened(&reader, false);
    let names = |domain: Option<&str>, path: Option<&str>| -> Vec<String> {
        let filter = Filter {
            domain: domain.map(str::to_owned),
            path: path.map(str::to_owned),
        };
        let (found, _) = all(&catalogue, &filter);
        found.into_iter().map(|entry| entry.path).collect()
    };
    let app = "AppDomain-com.example.a";
    assert_eq!(names(Some(app), None).len(), 4);
    assert_eq!(
        names(Some(app), Some("Documents")),
        ["Documents/\u{1b}[31m\u{202e}txt.exe", "Documents/a"]
    );
    assert_eq!(names(Some(app), Some("Documents/a")), ["Documents/a"]);
    assert_eq!(names(Some(app), Some("Doc")), [""; 0]);
    assert_eq!(names(None, Some("Library/link")), ["Library/link"]);
    assert_eq!(names(Some("homedomain"), None), [""; 0]);
    assert_eq!(names(None, Some("")).len(), items().len());
    let mut seen = 0;
    let stop = &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    };
    let listed = catalogue.for_each(&Filter::default(), stop).unwrap();
    assert_eq!((seen, listed.given), (1, 1));
}

#[test]
fn a_wrong_password_a_missing_one_and_one_of_another_backup() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let reader = sealed.reader(&store);
    let keybag = reader.keybag().unwrap().unwrap();
    assert_eq!(keybag.cost(), (20, 3));
    for wrong in ["", "Correct horse battery", "correct horse battery\n"] {
        let wrong = Secret::new(wrong.to_owned());
        assert_eq!(
            keybag.unlock(&wrong, &()).err(),
            Some(KeybagError::WrongPassword)
        );
        assert_eq!(
            reader.check_password(&wrong, &()).err(),
            Some(StoreError::Keybag(KeybagError::WrongPassword))
        );
    }
    assert_eq!(
        reader.catalogue(None).err(),
        Some(StoreError::PasswordNeeded)
    );
    let proved = reader.check_password(&secret(), &()).unwrap();
    assert_eq!(proved.keybag_uuid(), "ab".repeat(16));
    assert!(reader.catalogue(Some(&proved)).is_ok());
    let plain = Sealed::plain().commit(&store, at(1));
    let plain = store.reader(&udid(), &plain.id).unwrap();
    assert!(plain.keybag().unwrap().is_none());
    assert_eq!(
        plain.check_password(&secret(), &()).err(),
        Some(StoreError::NotEncrypted)
    );
}

/// Says stop at the n-th question.
struct StopAt(AtomicU32);

impl Unlocking for StopAt {
    fn progress(&self, share: f64) {
        assert!((0.0..=1.0).contains(&share));
    }

    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

#[test]
fn a_check_can_be_stopped_anywhere() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let reader = Sealed::new().reader(&store);
    let mut stops = 0;
    for question in 1.. {
        match reader.check_password(&secret(), &StopAt(AtomicU32::new(question))) {
            Err(error) => assert_eq!(error, StoreError::Cancelled, "{question}"),
            Ok(_) => break,
        }
        stops = question;
    }
    // Each derivation, the list of files block by block, its rows.
    assert!(stops >= 5, "{stops}");
    assert_eq!(leftovers(dir.path()), 0);
}

fn leftovers(store: &std::path::Path) -> usize {
    let scratch = store.join(UDID).join("scratch");
    std::fs::read_dir(scratch).map_or(0, |names| names.count())
}

#[test]
fn a_decrypted_list_has_no_name_and_leaves_nothing() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let reader = Sealed::new().reader(&store);
    let before = fingerprint(&gens(dir.path()));
    let catalogue = opened(&reader, true);
    assert_eq!(leftovers(dir.path()), 0);
    assert_eq!(all(&catalogue, &Filter::default()).0.len(), items().len());
    drop((catalogue, reader, store));
    assert_eq!(fingerprint(&gens(dir.path())), before);
    // What a crash between its making and its unlinking leaves goes with the next opening.
    let scratch = dir.path().join(UDID).join("scratch");
    std::fs::write(scratch.join("01JD8Z3YQ9V6W2X4T5R7P8N0KM.db"), "plain text").unwrap();
    let (_, recovery) = open(dir.path());
    assert_eq!((recovery.cleared, leftovers(dir.path())), (1, 0));
}

#[test]
fn a_list_of_files_with_and_without_a_padding() {
    for database_padding in [Padding::Pkcs7, Padding::Zeroes] {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let sealed = Sealed {
            database_padding,
            ..Sealed::new()
        };
        let catalogue = opened(&sealed.reader(&store), true);
        assert_eq!(all(&catalogue, &Filter::default()).0.len(), items().len());
    }
}

/// What reading one file of an encrypted backup gives.
fn one(item: Item, bend: impl Fn(&str, &mut BTreeMap<String, Vec<u8>>)) -> Result<Vec<u8>, String> {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let mut sealed = Sealed {
        items: vec![item.clone()],
        ..Sealed::new()
    };
    let id = id_of(item.domain, item.path);
    let mut files = sealed.files();
    bend(&format!("{}/{id}", &id[..2]), &mut files);
    sealed.bent = files;
    let catalogue = opened(&sealed.reader(&store), true);
    let entry = catalogue.find(item.domain, item.path).unwrap().unwrap();
    let content = catalogue.open(&entry).map_err(|error| error.to_string())?;
    bytes(content).map_err(|error| error.to_string())
}

#[test]
fn a_length_that_cannot_be_is_an_error_and_never_a_short_file() {
    let item = || file("HomeDomain", "f", b"exactly twenty bytes");
    let noted = |size| Item {
        noted: Some(size),
        ..item()
    };
    let untouched = |_: &str, _: &mut BTreeMap<String, Vec<u8>>| {};
    let whole = Ok(b"exactly twenty bytes".to_vec());
    // A live database: what the phone noted before it was read is not what it sent.
    for size in [0, 19, 21, 40, u64::MAX / 2] {
        assert_eq!(one(noted(size), untouched), whole, "{size}");
    }
    // Whole blocks need no padding if the phone noted as many; anything else has one.
    let unpadded = |size: usize, noted| Item {
        padding: Padding::Zeroes,
        noted: Some(noted),
        ..file("HomeDomain", "f", &[0x61; 64][..size])
    };
    assert_eq!(one(unpadded(48, 48), untouched), Ok(vec![0x61; 48]));
    for (size, noted) in [(48, 47), (48, 49), (48, 0), (48, u64::MAX), (40, 40)] {
        let error = one(unpadded(size, noted), untouched).unwrap_err();
        assert!(error.contains("is damaged"), "{size} {noted}: {error}");
    }
    type Bend = fn(&str, &mut BTreeMap<String, Vec<u8>>);
    let bends: [(&str, Bend); 4] = [
        ("a byte short", |path, files| {
            files.get_mut(path).unwrap().pop();
        }),
        ("a block short", |path, files| {
            files.get_mut(path).unwrap().truncate(16);
        }),
        ("empty", |path, files| {
            files.get_mut(path).unwrap().clear();
        }),
        ("its last block bent", |path, files| {
            files.get_mut(path).unwrap()[20] ^= 1;
        }),
    ];
    for (what, bend) in bends {
        let error = one(item(), bend).unwrap_err();
        assert!(error.contains("is damaged"), "{what}: {error}");
    }
}

#[test]
fn a_file_the_phone_could_not_send_and_one_whose_key_is_bent() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let mut files = sealed.files();
    let id = id_of("HomeDomain", "Library/short");
    files.remove(&format!("{}/{id}", &id[..2]));
    let made = try_commit(&store, &files, at(0)).unwrap();
    let reader = store.reader(&udid(), &made.id).unwrap();
    let catalogue = opened(&reader, true);
    let entry = catalogue.find("HomeDomain", "Library/short").unwrap();
    assert_eq!(
        catalogue.open(&entry.unwrap()).err().map(|e| e.kind()),
        Some(ibak_store::ErrorKind::NotFound)
    );
    // A class that the keybag does not have.
    let sealed = Sealed {
        items: vec![Item {
            class: 7,
            ..file("HomeDomain", "f", b"x")
        }],
        ..Sealed::new()
    };
    let made = sealed.commit(&store, at(1));
    let reader = store.reader(&udid(), &made.id).unwrap();
    let catalogue = opened(&reader, true);
    let entry = catalogue.find("HomeDomain", "f").unwrap().unwrap();
    assert!(matches!(
        catalogue.open(&entry).err(),
        Some(StoreError::Damaged { .. })
    ));
    // Without a key a file is empty; anything else is damage, or never came.
    for (content, size, want) in [
        (Some(vec![]), 0, Some(0)),
        (None, 0, None),
        (Some(vec![0; 16]), 0, None),
        (Some(vec![0; 16]), 16, None),
        (Some(vec![]), 16, None),
    ] {
        let sealed = Sealed {
            items: vec![Item {
                keyed: false,
                noted: Some(size),
                ..file("HomeDomain", "f", &content.clone().unwrap_or_default())
            }],
            ..Sealed::new()
        };
        let mut files = sealed.files();
        if content.is_none() {
            let id = id_of("HomeDomain", "f");
            files.remove(&format!("{}/{id}", &id[..2]));
        }
        let made = try_commit(&store, &files, at(2)).unwrap();
        let catalogue = opened(&store.reader(&udid(), &made.id).unwrap(), true);
        let entry = catalogue.find("HomeDomain", "f").unwrap().unwrap();
        let found = catalogue.open(&entry).ok().map(|content| content.size());
        assert_eq!(found, want, "{content:?} {size}");
    }
    // And so the password proves nothing.
    assert!(matches!(
        reader.check_password(&secret(), &()).err(),
        Some(StoreError::Damaged { .. })
    ));
}

#[test]
fn everything_that_came_from_a_reader_holds_its_lease() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let made = sealed.commit(&store, at(0));
    let in_use = Some(StoreError::InUse(made.id.clone()));
    let reader = store.reader(&udid(), &made.id).unwrap();
    assert_eq!(store.claim_removal(&made.id).err(), in_use);
    let catalogue = opened(&reader, true);
    drop(reader);
    assert_eq!(store.claim_removal(&made.id).err(), in_use);
    let entry = catalogue.find("HomeDomain", "Library/long").unwrap();
    let content = catalogue.open(&entry.unwrap()).unwrap();
    drop(catalogue);
    assert_eq!(store.claim_removal(&made.id).err(), in_use);
    assert_eq!(bytes(content).unwrap(), long());
    let serving = store.serve(&udid(), &made.id).unwrap();
    assert_eq!(store.claim_removal(&made.id).err(), in_use);
    drop(serving);
    // What is built on it needs it too.
    let staging = begin(&store, ibak_store::Full::IfNeeded, at(1)).unwrap();
    assert_eq!(store.claim_removal(&made.id).err(), in_use);
    drop(staging);
    let mut asked = None;
    let go_on = &mut |_| {
        asked = Some(store.claim_removal(&made.id).err());
        ControlFlow::Continue(())
    };
    store.verify(&udid(), &made.id, at(1).wall, go_on).unwrap();
    assert_eq!(asked, Some(in_use.clone()));
    let removal = store.claim_removal(&made.id).unwrap();
    assert_eq!(removal.id(), &made.id);
    assert_eq!(store.claim_removal(&made.id).err(), in_use);
    let gone = StoreError::NoSuchBackup(made.id.clone());
    assert_eq!(store.reader(&udid(), &made.id).err(), Some(gone.clone()));
    assert_eq!(store.serve(&udid(), &made.id).err(), Some(gone));
    drop(removal);
    assert!(store.reader(&udid(), &made.id).is_ok());
}

#[test]
fn every_raw_file_with_its_size_in_order() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let sealed = Sealed::new();
    let reader = sealed.reader(&store);
    let mut found = Files::new();
    let mut paths = Vec::new();
    for raw in reader.raw_files().unwrap() {
        let raw = raw.unwrap();
        let content = bytes(reader.open(&raw.path).unwrap()).unwrap();
        assert_eq!(content.len() as u64, raw.size);
        paths.push(raw.path.clone());
        found.insert(raw.path, content);
    }
    let mut want = sealed.files();
    want.insert("Status.plist".into(), status("finished"));
    assert_eq!(found, want);
    assert!(paths.is_sorted());
    assert!(reader.open("aa").is_err() && reader.open("../commit.json").is_err());
}

#[test]
fn the_apps_as_the_phone_wants_them_back() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let reader = Sealed::new().reader(&store);
    assert_eq!(
        reader.applications().unwrap(),
        ibak_store::Applications::default()
    );
    let info = r#"<?xml version="1.0"?><plist version="1.0"><dict>
        <key>Applications</key><dict><key>com.example.a</key><dict><key>iTunesMetadata</key><data>AAEC</data></dict></dict>
        <key>Installed Applications</key><array><string>com.example.a</string><string>com.example.b</string></array>
        </dict></plist>"#;
    let sealed = Sealed {
        info: info.as_bytes().to_vec(),
        ..Sealed::new()
    };
    let made = sealed.commit(&store, at(1));
    let found = store
        .reader(&udid(), &made.id)
        .unwrap()
        .applications()
        .unwrap();
    assert_eq!(found.installed, ["com.example.a", "com.example.b"]);
    let list = plist::Value::from_reader_xml(found.restore_plist.unwrap().as_slice()).unwrap();
    let app = list.as_dictionary().unwrap()["com.example.a"]
        .as_dictionary()
        .unwrap();
    assert_eq!(
        app["iTunesMetadata"].as_data(),
        Some([0_u8, 1, 2].as_slice())
    );
}
