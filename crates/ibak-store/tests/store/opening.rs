//! Which directories are a store, and which are refused with a sentence.

use crate::device::*;
use crate::fault::{Fault, FaultFs};
use ibak_store::fs::{Errno, Fs, RealFs};
use ibak_store::{Create, Full, Retry, Store, StoreError};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn never(path: &Path) -> Result<Store, StoreError> {
    let mut options = options(0);
    options.create = Create::Never;
    Store::open(path, options).map(|(store, _)| store)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_absent_or_empty_place_becomes_a_store_only_when_told() {
    let dir = scratch_dir();
    let absent = dir.path().join("disk");
    assert!(matches!(
        never(&absent),
        Err(StoreError::Unavailable { .. })
    ));
    fs::create_dir(&absent).unwrap();
    let error = never(&absent).err().unwrap();
    assert!(
        error
            .to_string()
            .ends_with("there is no backup store in it; is its disk mounted?"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(&absent).unwrap().count(),
        0,
        "nothing is written into an empty mount point"
    );
    fs::create_dir(absent.join("lost+found")).unwrap();
    let (store, _) = open(&absent);
    assert!(store.facts().created);
    let uuid = store.facts().uuid.clone();
    drop(store);
    let store = never(&absent).unwrap();
    assert_eq!((store.facts().created, &store.facts().uuid), (false, &uuid));
    assert_eq!(
        fs::metadata(&absent).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "").unwrap();
    assert!(matches!(
        Store::open(&other, options(0)),
        Err(StoreError::Unavailable { .. })
    ));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}

#[test]
fn one_process_at_a_time_and_the_other_is_named() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let error = never(dir.path()).err().unwrap();
    assert_eq!(
        error,
        StoreError::Locked {
            path: dir.path().to_owned(),
            holder: Some(std::process::id())
        }
    );
    assert!(error.to_string().contains(&std::process::id().to_string()));
    drop(store);
    assert!(never(dir.path()).is_ok());
}

#[test]
fn a_newer_or_damaged_store_is_not_touched() {
    let dir = scratch_dir();
    drop(open(dir.path()));
    fs::write(
        dir.path().join("store.json"),
        r#"{"format": 3, "anything": true}"#,
    )
    .unwrap();
    let error = never(dir.path()).err().unwrap();
    assert_eq!(error, StoreError::NewerFormat { found: 3, known: 2 });
    assert_eq!(error.retry(), Retry::UserMustAct);
    fs::write(dir.path().join("store.json"), "{").unwrap();
    assert!(matches!(never(dir.path()), Err(StoreError::Damaged { .. })));
    assert!(matches!(
        Store::open(dir.path(), options(0)),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn a_path_that_others_could_bend_is_refused() {
    let dir = scratch_dir();
    let middle = dir.path().join("middle");
    let home = middle.join("store");
    fs::create_dir_all(&home).unwrap();
    drop(open(&home));
    for (bits, fine) in [
        (0o755, true),
        (0o777, false),
        (0o1777, true),
        (0o775, true),
        (0o700, true),
    ] {
        mode(&middle, bits);
        assert_eq!(never(&home).is_ok(), fine, "{bits:o}");
    }
    mode(&home, 0o755);
    assert!(never(&home).is_ok());
    assert_eq!(
        fs::metadata(&home).unwrap().permissions().mode() & 0o777,
        0o700,
        "made private"
    );
    // A link of our own is followed, and what it leads through is checked too.
    let link = dir.path().join("link");
    symlink("middle/../middle", &link).unwrap();
    assert!(never(&link.join("store")).is_ok());
    mode(&middle, 0o777);
    assert!(matches!(
        never(&link.join("store")),
        Err(StoreError::UnsafePath { .. })
    ));
    let looped = dir.path().join("loop");
    symlink("loop", &looped).unwrap();
    assert!(matches!(
        never(&looped),
        Err(StoreError::System {
            errno: Errno::LOOP,
            ..
        })
    ));
    assert!(matches!(
        never(Path::new("relative")),
        Err(StoreError::UnsafePath { .. })
    ));
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(
        never(&dir.path().join("file")),
        Err(StoreError::Unavailable { .. })
    ));
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if RealFs.user() != 0 {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let dir = scratch_dir();
    let home = dir.path().join("store");
    drop(open(&home));
    let planted = dir.path().join("planted");
    symlink(&home, &planted).unwrap();
    std::os::unix::fs::lchown(&planted, Some(12345), None).unwrap();
    assert!(matches!(
        never(&planted),
        Err(StoreError::UnsafePath { .. })
    ));
    std::os::unix::fs::chown(&home, Some(12345), None).unwrap();
    assert!(matches!(never(&home), Err(StoreError::UnsafePath { .. })));
}

#[test]
fn the_root_file_system_is_a_fact() {
    let device = |path: &str| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    for place in ["/dev/shm", env!("CARGO_TARGET_TMPDIR")] {
        let dir = tempfile::tempdir_in(place).unwrap();
        let home = dir.path().join("store");
        let (store, _) = open(&home);
        let want = device(dir.path().to_str().unwrap()) == device("/");
        assert_eq!(store.facts().on_root_filesystem, want, "{place}");
    }
}

#[test]
fn recovery_of_everything_a_crash_can_leave() {
    let dir = scratch_dir();
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery, ibak_store::Recovery::default());
    let good = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    drop(store);
    let phone = dir.path().join(UDID);
    let fake = "01JD8Z3YQ9V6W2X4T5R7P8N0KM";
    fs::create_dir_all(phone.join("gens").join(fake).join(UDID)).unwrap();
    fs::write(phone.join("gens").join(fake).join("commit.json"), "{}").unwrap();
    fs::create_dir_all(phone.join("trash").join(fake).join("deep")).unwrap();
    fs::create_dir_all(phone.join("staging").join(fake).join(UDID)).unwrap();
    fs::remove_file(phone.join("latest")).unwrap();
    symlink("gens/nowhere", phone.join("latest")).unwrap();
    fs::write(phone.join("notes.txt"), "mine").unwrap();
    let (store, recovery) = open(dir.path());
    let named = (udid(), ibak_core::BackupId::parse(fake).unwrap());
    assert_eq!(recovery.quarantined, std::slice::from_ref(&named));
    assert_eq!(recovery.removed, [named]);
    assert_eq!(recovery.waiting, 2, "what was there, and the working copy");
    assert_eq!(store.list(&udid()).unwrap(), std::slice::from_ref(&good));
    assert!(
        phone
            .join("quarantine")
            .join(fake)
            .join("commit.json")
            .is_file()
    );
    assert!(
        fs::read_link(phone.join("latest"))
            .unwrap()
            .ends_with(good.id.as_str())
    );
    assert!(phone.join("notes.txt").is_file());
    sweep(&store);
    for empty in ["trash", "staging"] {
        assert_eq!(fs::read_dir(phone.join(empty)).unwrap().count(), 0);
    }
    drop(store);
    assert_eq!(
        open(dir.path()).1,
        ibak_store::Recovery::default(),
        "asking twice is safe"
    );
}

#[test]
fn what_is_no_backup_hides_none() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let good = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let place = dir.path().join(UDID).join("gens");
    fs::create_dir_all(place.join("01JD8Z3YQ9V6W2X4T5R7P8N0KM")).unwrap();
    fs::create_dir_all(place.join("01JD8Z3YQ9V6W2X4T5R7P8N0KN")).unwrap();
    fs::write(
        place.join("01JD8Z3YQ9V6W2X4T5R7P8N0KN").join("commit.json"),
        "{",
    )
    .unwrap();
    assert_eq!(store.list(&udid()).unwrap(), std::slice::from_ref(&good));
    let next = back_up(&store, &Device::new(&[("a", "1")]), at(1)).unwrap();
    assert_eq!(next.parent, Some(good.id));
}

#[test]
fn a_store_that_was_moved_is_the_same_store() {
    let dir = scratch_dir();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let (store, _) = open(&one);
    let made = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let uuid = store.facts().uuid.clone();
    drop(store);
    fs::rename(&one, &two).unwrap();
    let store = never(&two).unwrap();
    assert_eq!(store.facts().uuid, uuid);
    assert!(verify(&store, &made).is_good());
    let next = back_up(&store, &Device::new(&[("a", "2")]), at(1)).unwrap();
    assert_eq!(next.parent, Some(made.id));
    assert!(matches!(never(&one), Err(StoreError::Unavailable { .. })));
}

#[test]
fn nothing_is_backed_up_into_what_came_in_its_place() {
    let dir = scratch_dir();
    let (home, away) = (dir.path().join("home"), dir.path().join("away"));
    let (store, _) = open(&home);
    let made = back_up(&store, &Device::new(&[("a", "1")]), at(0)).unwrap();
    let refused = |store: &Store| {
        let why = [
            begin(store, Full::IfNeeded, at(1)).err(),
            store.adopt(&udid(), UDID, at(1)).err(),
            store.totals().err(),
        ];
        for error in why {
            assert!(
                matches!(error, Some(StoreError::Unavailable { .. })),
                "{error:?}"
            );
        }
        // What is open is read all the same.
        assert_eq!(store.list(&udid()).unwrap(), std::slice::from_ref(&made));
    };
    fs::rename(&home, &away).unwrap();
    refused(&store);
    fs::create_dir(&home).unwrap();
    refused(&store);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    fs::remove_dir(&home).unwrap();
    fs::rename(&away, &home).unwrap();
    assert!(store.totals().is_ok());
    back_up(&store, &Device::new(&[("a", "2")]), at(1)).unwrap();
}

#[test]
fn a_file_system_without_hard_links_is_refused_with_a_sentence() {
    let mut refused = 0;
    for errno in [Errno::PERM, Errno::OPNOTSUPP] {
        for operation in 0.. {
            let dir = scratch_dir();
            let fault = FaultFs::new(Fault::Once(errno), operation);
            let outcome = Store::open_on(fault.clone(), dir.path(), options(0));
            match outcome {
                Ok(_) if fault.operations() <= operation => break,
                Err(error @ StoreError::Unfit { .. }) => {
                    refused += u32::from(error.to_string().contains("(hard links)"));
                    assert!(
                        error.to_string().ends_with("use ext4, xfs or btrfs"),
                        "{error}"
                    );
                    assert!(!dir.path().join("store.json").exists());
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    assert_eq!(refused, 2);
}
