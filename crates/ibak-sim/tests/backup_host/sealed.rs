//! Opens an encrypted backup with its password and holds it against the phone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use ibak_sim::backup::crypto::{ClassKeys, Decrypting, FileKey, Keybag, decrypt_database};
use ibak_sim::content::{FileKind, Tree};
use plist::{Dictionary, Value};
use sha1::{Digest, Sha1};

use super::{ManifestRow, Manners, Session, TestPhone, manifest_rows, scratch, session};

/// Sends ChangePassword; an empty password is left out.
pub async fn change_password(phone: &TestPhone, root: &Path, old: &str, new: &str) -> Session {
    let passwords = [("OldPassword", old), ("NewPassword", new)];
    let manners = Manners {
        beside: passwords
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| (key, text.to_owned()))
            .collect(),
        ..Manners::default()
    };
    session(phone, root, "ChangePassword", None, manners).await
}

/// An encrypted backup, opened.
pub struct Opened {
    pub manifest: Dictionary,
    pub keys: ClassKeys,
    pub rows: BTreeMap<String, ManifestRow>,
}

/// Opens an encrypted backup; `None` for a wrong password.
pub fn open_backup(dir: &Path, password: &str) -> Option<Opened> {
    let manifest = Value::from_file(dir.join("Manifest.plist"))
        .unwrap()
        .into_dictionary()
        .unwrap();
    assert_eq!(manifest["IsEncrypted"].as_boolean(), Some(true));
    let keybag = Keybag::parse(manifest["BackupKeyBag"].as_data().unwrap()).unwrap();
    let keys = keybag.unlock(password)?;
    let manifest_key = manifest["ManifestKey"].as_data().unwrap();
    assert_eq!(manifest_key.len(), 44);
    let key = keys.unwrap_prefixed(manifest_key).unwrap();
    let encrypted = std::fs::read(dir.join("Manifest.db")).unwrap();
    assert!(!encrypted.starts_with(b"SQLite format 3"));
    let plain = scratch();
    let mut file = std::fs::File::create(plain.path().join("Manifest.db")).unwrap();
    decrypt_database(&mut encrypted.as_slice(), &mut file, &key).unwrap();
    let rows = manifest_rows(plain.path());
    Some(Opened {
        manifest,
        keys,
        rows,
    })
}

impl Opened {
    /// Returns `EncryptionKey` of a row, as it lies in the archive.
    pub fn encryption_key(&self, id: &str) -> Option<Vec<u8>> {
        let blob = &self.rows[id].blob;
        let archive = Value::from_reader(std::io::Cursor::new(blob)).unwrap();
        let archive = archive.into_dictionary().unwrap();
        let objects = archive["$objects"].as_array().unwrap();
        let object = |value: &Value| &objects[value.as_uid().unwrap().get() as usize];
        let root = object(&archive["$top"].as_dictionary().unwrap()["root"]);
        let root = root.as_dictionary().unwrap();
        let key = object(root.get("EncryptionKey")?).as_dictionary().unwrap();
        let key = key["NS.data"].as_data().unwrap().to_vec();
        let class = root["ProtectionClass"].as_unsigned_integer().unwrap();
        assert_eq!(key[..4], u32::try_from(class).unwrap().to_le_bytes());
        Some(key)
    }

    fn key(&self, id: &str) -> Option<FileKey> {
        self.encryption_key(id)
            .map(|key| self.keys.unwrap_prefixed(&key).expect("the class key fits"))
    }

    /// Decrypts a file.
    pub fn file(&self, dir: &Path, id: &str) -> Vec<u8> {
        let payload = std::fs::read(dir.join(&id[..2]).join(id)).unwrap();
        let Some(key) = self.key(id) else {
            assert!(payload.is_empty(), "{id} is not encrypted");
            return payload;
        };
        assert!(payload.len().is_multiple_of(16) && !payload.is_empty());
        let mut plain = Decrypting::new(Vec::new(), &key);
        plain.write_all(&payload).unwrap();
        plain.finish().unwrap()
    }
}

/// Holds an encrypted backup against the phone: every row and every file.
pub fn assert_sealed(dir: &Path, tree: &Tree, password: &str) -> Opened {
    let opened = open_backup(dir, password).expect("the password is right");
    assert_eq!(opened.rows.len(), tree.len());
    for file in tree.files() {
        let id = file.id.hex();
        let row = &opened.rows[&id];
        assert_eq!(
            (row.domain.as_str(), row.path.as_str(), row.flags),
            (file.domain, file.path, file.kind.flags())
        );
        if file.kind == FileKind::Regular {
            let plain = opened.file(dir, &id);
            assert_eq!(plain.len() as u64, file.size, "{}", file.path);
            let sha1: [u8; 20] = Sha1::digest(&plain).into();
            assert_eq!(sha1, tree.sha1_of(&file).unwrap(), "{}", file.path);
        } else {
            assert_eq!(opened.encryption_key(&id), None, "{}", file.path);
        }
    }
    opened
}
