//! An encrypted backup is restored with its password, and with no other.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup_host;

use std::path::Path;

use backup_host::{Manners, Session, TestPhone, backup, scratch, session_from};
use ibak_sim::backup::Quirk;
use ibak_sim::content::{ContentSpec, FileKind};
use plist::{Dictionary, Value};

fn spec(seed: u64) -> ContentSpec {
    ContentSpec {
        seed,
        files: 1_500,
        bytes: 12 << 20,
        ..ContentSpec::default()
    }
}

async fn restore(phone: &TestPhone, root: &Path, source: &str, password: Option<&str>) -> Session {
    let mut options = Dictionary::new();
    options.insert("RestoreSystemFiles".into(), true.into());
    options.insert("RestoreDontCopyBackup".into(), true.into());
    if let Some(password) = password {
        options.insert("Password".into(), password.into());
    }
    let manners = Manners::default();
    session_from(phone, root, "Restore", source, Some(options), manners).await
}

#[tokio::test]
async fn everything_comes_back_even_what_is_secret_and_the_password_with_it() {
    for quirk in [
        None,
        Some(Quirk::EmptyFilesEncrypted),
        Some(Quirk::ManifestUnpadded),
    ] {
        let mut phone = TestPhone::new("15.6", &spec(11)).with_password("one");
        if let Some(quirk) = quirk {
            phone.quirks.insert(quirk);
        }
        let root = scratch();
        assert_eq!(backup(&phone, root.path()).await.code(), 0);
        let udid = phone.identity.udid.clone();
        let info = Value::Dictionary(Dictionary::new());
        info.to_file_binary(root.path().join(&udid).join("Info.plist"))
            .unwrap();
        {
            let content = phone.content.lock().unwrap();
            let mut files = content.files();
            assert!(files.any(|file| file.kind == FileKind::Regular && file.size == 0));
        }
        let other = TestPhone::new("16.0", &spec(12));
        for wrong in [None, Some("two")] {
            let ended = restore(&other, root.path(), &udid, wrong).await;
            assert_eq!(ended.code(), 207, "{}", ended.description());
            assert_eq!(*other.restored.lock().unwrap(), None);
            assert_eq!(other.memory.lock().unwrap().lock, None);
        }
        let ended = restore(&other, root.path(), &udid, Some("one")).await;
        assert_eq!(ended.code(), 0, "{}", ended.description());
        let content = other.restored.lock().unwrap().clone().expect("a restore");
        assert!(content.encrypted);
        assert_eq!(content.differences(&phone.content.lock().unwrap()), [""; 0]);
        assert!(content.domains().contains("HealthDomain"));
        let lock = other.memory.lock().unwrap().lock.clone();
        assert_eq!(lock, phone.memory.lock().unwrap().lock);
        assert!(lock.unwrap().is_opened_by("one"));
    }
}

#[tokio::test]
async fn a_file_under_another_key_ends_the_restore() {
    let phone = TestPhone::new("15.6", &spec(11)).with_password("one");
    let root = scratch();
    assert_eq!(backup(&phone, root.path()).await.code(), 0);
    let udid = phone.identity.udid.clone();
    let dir = root.path().join(&udid);
    let info = Value::Dictionary(Dictionary::new());
    info.to_file_binary(dir.join("Info.plist")).unwrap();
    let victim = {
        let content = phone.content.lock().unwrap();
        let mut files = content.files();
        // A whole block of padding: chance does not make one.
        let victim = files.find(|file| {
            file.kind == FileKind::Regular && file.size > 0 && file.size.is_multiple_of(16)
        });
        victim.expect("a file of whole blocks").id.hex()
    };
    let path = dir.join(&victim[..2]).join(&victim);
    let len = std::fs::metadata(&path).unwrap().len();
    // Other bytes of the same length: its padding cannot come out right.
    std::fs::write(&path, vec![3; usize::try_from(len).unwrap()]).unwrap();
    let ended = restore(&phone, root.path(), &udid, Some("one")).await;
    assert_eq!(ended.code(), 205, "{}", ended.description());
    assert_eq!(*phone.restored.lock().unwrap(), None);
}
