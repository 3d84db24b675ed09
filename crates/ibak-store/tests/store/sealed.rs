//! An encrypted backup made by hand from phone.md §6, so that the reader is not tested with
//! anything of its own: PBKDF2, key wrapping and CBC are other crates' or a few lines here.

use crate::device::*;
use aes::Aes256;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes_kw::KekAes256;
use hmac::Hmac;
use ibak_core::{Now, Secret};
use ibak_store::fs::Fs;
use ibak_store::{ClassKeys, Full, Generation, Reader, Staging, Store, StoreError};
use plist::{Dictionary, Uid, Value};
use sha1::{Digest, Sha1};
use sha2::Sha256;

pub const PASSWORD: &str = "correct horse battery";

pub fn secret() -> Secret {
    Secret::new(PASSWORD.to_owned())
}

/// One row of Manifest.db, and what lies there for it.
#[derive(Clone)]
pub struct Item {
    pub domain: &'static str,
    pub path: &'static str,
    pub flags: i64,
    pub content: Vec<u8>,
    /// What MBFile says of its length; the truth when `None`.
    pub noted: Option<u64>,
    pub class: u32,
    pub target: &'static str,
    /// Whether it has a key; the phone gives none to some empty files.
    pub keyed: bool,
    pub padding: Padding,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Padding {
    Pkcs7,
    /// Zeroes up to a whole block, as nobody does.
    Zeroes,
}

pub fn file(domain: &'static str, path: &'static str, content: &[u8]) -> Item {
    Item {
        domain,
        path,
        flags: 1,
        content: content.to_vec(),
        noted: None,
        class: 3,
        target: "",
        keyed: true,
        padding: Padding::Pkcs7,
    }
}

pub fn directory(domain: &'static str, path: &'static str) -> Item {
    Item {
        flags: 2,
        ..file(domain, path, b"")
    }
}

pub fn link(domain: &'static str, path: &'static str, target: &'static str) -> Item {
    Item {
        flags: 4,
        target,
        ..file(domain, path, b"")
    }
}

/// A keybag field by field, so that each can be bent.
#[derive(Clone)]
pub struct Bag {
    pub fields: Vec<([u8; 4], Vec<u8>)>,
}

pub fn class_key(class: u32) -> [u8; 32] {
    Sha256::digest(format!("class {class}")).into()
}

fn file_key(item: &Item) -> [u8; 32] {
    Sha256::digest(format!("file {} {}", item.domain, item.path)).into()
}

fn wrap(kek: &[u8; 32], key: &[u8; 32]) -> Vec<u8> {
    let mut wrapped = [0; 40];
    KekAes256::from(*kek).wrap(key, &mut wrapped).unwrap();
    wrapped.to_vec()
}

/// u32 little-endian class and 40 bytes.
fn field(class: u32, key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = class.to_le_bytes().to_vec();
    bytes.extend(wrap(&class_key(class), key));
    bytes
}

impl Bag {
    pub fn new(password: &str, dpic: u32, iter: u32, uuid: u8) -> Self {
        let (salt, outer_salt) = ([7; 20], [9; 20]);
        let mut outer = [0; 32];
        pbkdf2::pbkdf2::<Hmac<Sha256>>(password.as_bytes(), &outer_salt, dpic, &mut outer).unwrap();
        let mut kek = [0; 32];
        pbkdf2::pbkdf2::<Hmac<Sha1>>(&outer, &salt, iter, &mut kek).unwrap();
        let number = |number: u32| number.to_be_bytes().to_vec();
        let mut fields = vec![
            (*b"VERS", number(5)),
            (*b"TYPE", number(1)),
            (*b"UUID", vec![uuid; 16]),
            (*b"HMCK", vec![1; 40]),
            (*b"WRAP", number(0)),
            (*b"SALT", salt.to_vec()),
            (*b"ITER", number(iter)),
            (*b"DPWT", number(0)),
            (*b"DPIC", number(dpic)),
            (*b"DPSL", outer_salt.to_vec()),
        ];
        for class in [1u32, 2, 3, 4, 11] {
            fields.extend([
                (*b"UUID", vec![u8::try_from(class).unwrap(); 16]),
                (*b"CLAS", number(class)),
                (*b"WRAP", number(2)),
                (*b"KTYP", number(0)),
                (*b"WPKY", wrap(&kek, &class_key(class))),
            ]);
        }
        Self { fields }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, value) in &self.fields {
            bytes.extend(tag);
            bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend(value);
        }
        bytes
    }

    /// Sets the first field of that name.
    pub fn set(mut self, tag: &[u8; 4], value: &[u8]) -> Self {
        let place = self.fields.iter_mut().find(|(name, _)| name == tag);
        place.unwrap().1 = value.to_vec();
        self
    }

    pub fn without(mut self, tag: &[u8; 4]) -> Self {
        self.fields.retain(|(name, _)| name != tag);
        self
    }
}

/// AES-256-CBC with a zero IV.
pub fn encrypt(key: &[u8; 32], plain: &[u8], padding: Padding) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    let short = 16 - bytes.len() % 16;
    match padding {
        Padding::Pkcs7 => bytes.extend(vec![u8::try_from(short).unwrap(); short]),
        Padding::Zeroes => bytes.extend(vec![0; short % 16]),
    }
    let cipher = Aes256::new(key.into());
    let mut last = [0; 16];
    for block in bytes.chunks_mut(16) {
        for (byte, before) in block.iter_mut().zip(last) {
            *byte ^= before;
        }
        cipher.encrypt_block(block.into());
        last.copy_from_slice(block);
    }
    bytes
}

fn dict(entries: Vec<(&str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(k, v)| (k.to_owned(), v));
    Value::from(entries.collect::<Dictionary>())
}

pub fn binary(value: Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.to_writer_binary(&mut bytes).unwrap();
    bytes
}

fn mbfile(item: &Item, encrypted: bool) -> Vec<u8> {
    let size = item.noted.unwrap_or(item.content.len() as u64);
    let uid = |place| Value::Uid(Uid::new(place));
    let mode: u64 = match item.flags {
        1 => 0o100_644,
        2 => 0o040_755,
        _ => 0o120_755,
    };
    let mut file = vec![
        ("Size", size.into()),
        ("LastModified", 1_600_000_000_u64.into()),
        ("Mode", mode.into()),
        ("ProtectionClass", u64::from(item.class).into()),
        ("UserID", (-2_i64).into()),
        ("RelativePath", uid(2)),
    ];
    let mut objects = vec!["$null".into(), Value::Boolean(false), item.path.into()];
    if item.flags == 1 && encrypted && item.keyed {
        file.push(("EncryptionKey", uid(3)));
        objects.push(dict(vec![(
            "NS.data",
            Value::Data(field(item.class, &file_key(item))),
        )]));
    }
    if item.flags == 4 {
        file.push(("Target", uid(3)));
        objects.push(item.target.into());
    }
    objects[1] = dict(file);
    binary(dict(vec![
        ("$archiver", "NSKeyedArchiver".into()),
        ("$top", dict(vec![("root", uid(1))])),
        ("$objects", Value::Array(objects)),
    ]))
}

pub fn id_of(domain: &str, path: &str) -> String {
    let digest = Sha1::digest(format!("{domain}-{path}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A Manifest.db whose first statements are given, and rows after them.
pub fn database(schema: &str, rows: &[(String, String, String, i64, Vec<u8>)]) -> Vec<u8> {
    let dir = scratch_dir();
    let path = dir.path().join("m.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        .unwrap();
    database.execute_batch(schema).unwrap();
    database.execute_batch("BEGIN").unwrap();
    if !rows.is_empty() {
        let mut insert = database
            .prepare("INSERT INTO Files (fileID, domain, relativePath, flags, file) VALUES (?1, ?2, ?3, ?4, ?5)")
            .unwrap();
        for (id, domain, path, flags, blob) in rows {
            insert.execute((id, domain, path, flags, blob)).unwrap();
        }
    }
    database.execute_batch("COMMIT").unwrap();
    drop(database);
    std::fs::read(path).unwrap()
}

pub const SCHEMA: &str = "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
    CREATE INDEX FilesDomainIdx ON Files(domain);
    CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";

/// A phone's whole backup, encrypted or plain.
#[derive(Clone)]
pub struct Sealed {
    pub items: Vec<Item>,
    /// `None` for a plain one.
    pub bag: Option<Bag>,
    pub info: Vec<u8>,
    /// Instead of the Manifest.db of the items.
    pub database: Option<Vec<u8>>,
    pub database_padding: Padding,
    /// What is changed at the end.
    pub bent: Files,
}

pub fn items() -> Vec<Item> {
    vec![
        directory("HomeDomain", ""),
        directory("HomeDomain", "Library"),
        Item {
            keyed: false,
            ..file("HomeDomain", "Library/no key", b"")
        },
        file("HomeDomain", "Library/short", b"hello"),
        file("HomeDomain", "Library/block", &[0x61; 16]),
        file("HomeDomain", "Library/empty", b""),
        Item {
            class: 4,
            ..file("HomeDomain", "Library/long", &long())
        },
        link("HomeDomain", "Library/link", "../../etc/passwd"),
        directory("AppDomain-com.example.a", ""),
        file(
            "AppDomain-com.example.a",
            "Documents/\u{1b}[31m\u{202e}txt.exe",
            b"odd name",
        ),
        file("AppDomain-com.example.a", "Documents/a", b"a"),
        file("AppDomain-com.example.a", "Documents2", b"not beneath"),
    ]
}

pub fn long() -> Vec<u8> {
    (0..200_001_u32)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect()
}

impl Sealed {
    pub fn new() -> Self {
        Self {
            items: items(),
            bag: Some(Bag::new(PASSWORD, 20, 3, 0xab)),
            info: INFO.to_vec(),
            database: None,
            database_padding: Padding::Zeroes,
            bent: Files::new(),
        }
    }

    pub fn plain() -> Self {
        Self {
            bag: None,
            ..Self::new()
        }
    }

    fn manifest_db(&self) -> Vec<u8> {
        let rows: Vec<_> = self
            .items
            .iter()
            .map(|item| {
                (
                    id_of(item.domain, item.path),
                    item.domain.to_owned(),
                    item.path.to_owned(),
                    item.flags,
                    mbfile(item, self.bag.is_some()),
                )
            })
            .collect();
        database(SCHEMA, &rows)
    }

    /// Its MobileSync directory.
    pub fn files(&self) -> Files {
        let key: [u8; 32] = Sha256::digest("manifest").into();
        let mut files = Files::new();
        for item in self.items.iter().filter(|item| item.flags == 1) {
            let id = id_of(item.domain, item.path);
            let content = match self.bag {
                Some(_) if !item.keyed => item.content.clone(),
                Some(_) => encrypt(&file_key(item), &item.content, item.padding),
                None => item.content.clone(),
            };
            files.insert(format!("{}/{id}", &id[..2]), content);
        }
        let mut manifest = vec![("IsEncrypted", Value::from(self.bag.is_some()))];
        let mut db = self.database.clone().unwrap_or_else(|| self.manifest_db());
        if let Some(bag) = &self.bag {
            manifest.push(("BackupKeyBag", Value::Data(bag.bytes())));
            manifest.push(("ManifestKey", Value::Data(field(4, &key))));
            db = encrypt(&key, &db, self.database_padding);
        }
        files.insert("Manifest.plist".into(), binary(dict(manifest)));
        files.insert("Manifest.db".into(), db);
        files.insert("Info.plist".into(), self.info.clone());
        files.extend(self.bent.clone());
        files
    }

    pub fn commit<F: Fs>(&self, store: &Store<F>, now: Now) -> Generation {
        try_commit(store, &self.files(), now).unwrap()
    }

    pub fn reader(&self, store: &Store) -> Reader {
        let made = self.commit(store, at(0));
        store.reader(&udid(), &made.id).unwrap()
    }
}

pub fn receive<F: Fs>(staging: &mut Staging<F>, files: &Files, now: Now) -> Result<(), StoreError> {
    for (path, content) in files {
        send(staging, path, content, now)?;
    }
    send(staging, "Status.plist", &status("finished"), now)
}

pub fn try_commit<F: Fs>(
    store: &Store<F>,
    files: &Files,
    now: Now,
) -> Result<Generation, StoreError> {
    let mut staging = begin(store, Full::Forced, now)?;
    receive(&mut staging, files, now)?;
    staging.commit(done(), now)
}

pub fn keys(reader: &Reader) -> ClassKeys {
    reader
        .keybag()
        .unwrap()
        .unwrap()
        .unlock(&secret(), &())
        .unwrap()
}
