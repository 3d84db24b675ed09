//! The `file` column of Manifest.db: an MBFile in an NSKeyedArchiver binary plist (manifest_db.md).
//!
//! A phone has 100 000 of these and more, so everything that never changes is laid out once and
//! only the numbers and the path are written per row.

use std::sync::OnceLock;

use super::crypto::PREFIXED_KEY_BYTES;
use crate::content::{Body, FileKind, FileView};

/// Where the constant objects stand in the object table.
mod object {
    pub(super) const TOP: u8 = 0;
    pub(super) const VERSION: u8 = 1;
    pub(super) const ARCHIVER: u8 = 2;
    pub(super) const TOP_KEY: u8 = 3;
    pub(super) const OBJECTS_KEY: u8 = 4;
    pub(super) const KEYED_ARCHIVER: u8 = 5;
    pub(super) const ROOT: u8 = 6;
    pub(super) const NULL: u8 = 7;
    pub(super) const CLASS_KEY: u8 = 8;
    pub(super) const CLASSNAME_KEY: u8 = 9;
    pub(super) const CLASSES_KEY: u8 = 10;
    pub(super) const MBFILE: u8 = 11;
    pub(super) const NSOBJECT: u8 = 12;
    pub(super) const CLASS_ARRAY: u8 = 13;
    pub(super) const CLASS: u8 = 14;
    pub(super) const ROOT_DICTIONARY: u8 = 15;
    pub(super) const UID_1: u8 = 16;
    pub(super) const UID_2: u8 = 17;
    pub(super) const UID_3: u8 = 18;
    pub(super) const UID_4: u8 = 19;
    pub(super) const VERSION_NUMBER: u8 = 20;
    /// The first of the keys of [`super::NUMBERS`].
    pub(super) const NUMBER_KEYS: u8 = 21;
    pub(super) const PATH_KEY: u8 = 31;
    pub(super) const TARGET_KEY: u8 = 32;
    pub(super) const ATTRIBUTES_KEY: u8 = 33;
    /// What only an encrypted file has, from here to the end.
    pub(super) const ENCRYPTION_KEY: u8 = 34;
    pub(super) const DATA_KEY: u8 = 35;
    pub(super) const MUTABLE_DATA: u8 = 36;
    pub(super) const DATA: u8 = 37;
    pub(super) const DATA_CLASS_ARRAY: u8 = 38;
    pub(super) const DATA_CLASS: u8 = 39;
    pub(super) const UID_5: u8 = 40;
    pub(super) const UID_6: u8 = 41;
}

const NUMBERS: [&str; 10] = [
    "Birth",
    "Flags",
    "GroupID",
    "InodeNumber",
    "LastModified",
    "LastStatusChange",
    "Mode",
    "ProtectionClass",
    "Size",
    "UserID",
];

struct Template {
    bytes: Vec<u8>,
    offsets: Vec<u16>,
}

fn template(sealed: bool) -> &'static Template {
    static PLAIN: OnceLock<Template> = OnceLock::new();
    static SEALED: OnceLock<Template> = OnceLock::new();
    let place = if sealed { &SEALED } else { &PLAIN };
    place.get_or_init(|| {
        use object::*;
        let mut template = Writer {
            bytes: b"bplist00".to_vec(),
            offsets: Vec::new(),
        };
        // The first object after the template's own: $objects.
        let variable = if sealed { UID_6 + 1 } else { ENCRYPTION_KEY };
        template.object(&[0xd4, VERSION, ARCHIVER, TOP_KEY, OBJECTS_KEY]);
        template.bytes.extend_from_slice(&[
            VERSION_NUMBER,
            KEYED_ARCHIVER,
            ROOT_DICTIONARY,
            variable,
        ]);
        for text in [
            "$version",
            "$archiver",
            "$top",
            "$objects",
            "NSKeyedArchiver",
            "root",
            "$null",
            "$class",
        ] {
            template.string(text);
        }
        for text in ["$classname", "$classes", "MBFile", "NSObject"] {
            template.string(text);
        }
        template.object(&[0xa2, MBFILE, NSOBJECT]);
        template.object(&[0xd2, CLASSNAME_KEY, CLASSES_KEY, MBFILE, CLASS_ARRAY]);
        template.object(&[0xd1, ROOT, UID_1]);
        for uid in 1..=4 {
            template.object(&[0x80, uid]);
        }
        template.object(&[0x12, 0, 1, 0x86, 0xa0]);
        for key in NUMBERS {
            template.string(key);
        }
        template.string("RelativePath");
        template.string("Target");
        template.string("ExtendedAttributes");
        if sealed {
            seal(&mut template);
        }
        Template {
            bytes: template.bytes,
            offsets: template.offsets,
        }
    })
}

/// Adds what an encrypted file's MBFile has more: the names and the class of its key.
fn seal(template: &mut Writer) {
    use object::*;
    for text in ["EncryptionKey", "NS.data", "NSMutableData", "NSData"] {
        template.string(text);
    }
    template.object(&[0xa3, MUTABLE_DATA, DATA, NSOBJECT]);
    let class = [
        0xd2,
        CLASSNAME_KEY,
        CLASSES_KEY,
        MUTABLE_DATA,
        DATA_CLASS_ARRAY,
    ];
    template.object(&class);
    for uid in 5..=6 {
        template.object(&[0x80, uid]);
    }
}

struct Writer {
    bytes: Vec<u8>,
    offsets: Vec<u16>,
}

impl Writer {
    fn object(&mut self, bytes: &[u8]) -> u8 {
        let at = u8::try_from(self.offsets.len()).unwrap_or(u8::MAX);
        self.offsets
            .push(u16::try_from(self.bytes.len()).unwrap_or(u16::MAX));
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn string(&mut self, text: &str) -> u8 {
        if text.is_ascii() {
            let at = self.object(&[]);
            self.head(0x50, text.len());
            self.bytes.extend_from_slice(text.as_bytes());
            return at;
        }
        let units: Vec<u16> = text.encode_utf16().collect();
        let at = self.object(&[]);
        self.head(0x60, units.len());
        for unit in units {
            self.bytes.extend_from_slice(&unit.to_be_bytes());
        }
        at
    }

    fn data(&mut self, data: &[u8]) -> u8 {
        let at = self.object(&[]);
        self.head(0x40, data.len());
        self.bytes.extend_from_slice(data);
        at
    }

    fn head(&mut self, kind: u8, len: usize) {
        let len = len as u64;
        let [.., high, low] = len.to_be_bytes();
        match len {
            0..=14 => self.bytes.push(kind | low),
            15..=255 => self.bytes.extend_from_slice(&[kind | 0xf, 0x10, low]),
            _ => self.bytes.extend_from_slice(&[kind | 0xf, 0x11, high, low]),
        }
    }

    fn number(&mut self, value: i64) -> u8 {
        let wide = value.to_be_bytes();
        let [.., c, d, a, b] = wide;
        match value {
            0..=0xff => self.object(&[0x10, b]),
            0x100..=0xffff => self.object(&[0x11, a, b]),
            0x1_0000..=0xffff_ffff => self.object(&[0x12, c, d, a, b]),
            _ => {
                let at = self.object(&[0x13]);
                self.bytes.extend_from_slice(&wide);
                at
            }
        }
    }
}

/// The one object that only some rows have.
enum Extra {
    /// Of a link.
    Target(Box<str>),
    /// Of every second regular file: the optional ExtendedAttributes.
    Attributes(Vec<u8>),
}

fn extra(view: &FileView<'_>) -> Option<Extra> {
    match &view.row.body {
        Body::Link(target) => Some(Extra::Target(target.clone())),
        Body::Bytes(_) | Body::Preferences | Body::Database { .. }
            if view.row.inode.is_multiple_of(2) =>
        {
            Some(Extra::Attributes(attributes(
                view.row.inode,
                view.row.modified,
            )))
        }
        Body::Bytes(_) | Body::Preferences | Body::Database { .. } | Body::Directory => None,
    }
}

/// A property list with the attribute iOS sets when a file was last used.
fn attributes(inode: u64, modified: u32) -> Vec<u8> {
    let mut bytes =
        b"bplist00\xd1\x01\x02\x5f\x10\x19com.apple.lastuseddate#PS\x4f\x10\x10".to_vec();
    bytes.extend_from_slice(&u64::from(modified).to_le_bytes());
    bytes.extend_from_slice(&(inode % 1_000_000_000).to_le_bytes());
    let table_at = bytes.len() as u64;
    bytes.extend_from_slice(&[8, 11, 39, 0, 0, 0, 0, 0, 0, 1, 1]);
    for number in [3, 0, table_at] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Writes the blob of a row; the same row with the same key always gives the same bytes.
pub(super) fn blob(view: &FileView<'_>, key: Option<&[u8; PREFIXED_KEY_BYTES]>) -> Vec<u8> {
    use object::*;
    let template = template(key.is_some());
    let mut writer = Writer {
        bytes: Vec::with_capacity(1_024),
        offsets: Vec::with_capacity(64),
    };
    writer.bytes.extend_from_slice(&template.bytes);
    writer.offsets.extend_from_slice(&template.offsets);
    let variable = u8::try_from(template.offsets.len()).unwrap_or(u8::MAX);
    let extra = extra(view);
    let extra_key = match &extra {
        Some(Extra::Target(_)) => Some(TARGET_KEY),
        Some(Extra::Attributes(_)) => Some(ATTRIBUTES_KEY),
        None => None,
    };
    // $objects: $null, the MBFile, its path, its class, the extra one, the key and its class.
    let (dictionary, path) = (variable + 1, variable + 2);
    let extras = u8::from(extra.is_some());
    let sealed = u8::from(key.is_some());
    let key_at = path + 1 + extras;
    let first_number = key_at + 2 * sealed;
    let mut objects = vec![NULL, dictionary, path, CLASS];
    objects.extend(extra_key.map(|_| path + 1));
    if key.is_some() {
        objects.extend([key_at, DATA_CLASS]);
    }
    writer.object(&[0xa4 + extras + 2 * sealed]);
    writer.bytes.extend(objects);
    let numbers = numbers(view);
    let count = u8::try_from(numbers.len()).unwrap_or(0);
    writer.object(&[0xd0 | (count + 2 + extras + sealed)]);
    writer.bytes.extend(NUMBER_KEYS..NUMBER_KEYS + count);
    writer.bytes.extend_from_slice(&[PATH_KEY, CLASS_KEY]);
    writer.bytes.extend(extra_key);
    writer.bytes.extend(key.map(|_| ENCRYPTION_KEY));
    writer.bytes.extend(first_number..first_number + count);
    writer.bytes.extend_from_slice(&[UID_2, UID_3]);
    writer.bytes.extend(extra_key.map(|_| UID_4));
    let key_uid = if extras == 0 { UID_4 } else { UID_5 };
    writer.bytes.extend(key.map(|_| key_uid));
    writer.string(view.path);
    match &extra {
        Some(Extra::Target(target)) => {
            writer.string(target);
        }
        Some(Extra::Attributes(data)) => {
            writer.data(data);
        }
        None => {}
    }
    if let Some(key) = key {
        let class_uid = if extras == 0 { UID_5 } else { UID_6 };
        writer.object(&[0xd2, DATA_KEY, CLASS_KEY, key_at + 1, class_uid]);
        writer.data(key);
    }
    for number in numbers {
        writer.number(number);
    }
    finish(writer)
}

/// The values in the order of [`NUMBERS`].
fn numbers(view: &FileView<'_>) -> [i64; 10] {
    let row = view.row;
    let size = match view.kind {
        FileKind::Regular => i64::try_from(row.size).unwrap_or(i64::MAX),
        FileKind::Directory | FileKind::Symlink => 0,
    };
    [
        i64::from(row.born),
        0,
        row.owner.uid(),
        i64::try_from(row.inode).unwrap_or(i64::MAX),
        i64::from(row.modified),
        i64::from(row.modified),
        i64::from(row.mode()),
        i64::from(row.protection_class()),
        size,
        row.owner.uid(),
    ]
}

fn finish(mut writer: Writer) -> Vec<u8> {
    let table_at = writer.bytes.len() as u64;
    let count = writer.offsets.len() as u64;
    for offset in &writer.offsets {
        writer.bytes.extend_from_slice(&offset.to_be_bytes());
    }
    writer.bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 2, 1]);
    writer.bytes.extend_from_slice(&count.to_be_bytes());
    writer
        .bytes
        .extend_from_slice(&u64::from(object::TOP).to_be_bytes());
    writer.bytes.extend_from_slice(&table_at.to_be_bytes());
    writer.bytes
}

#[cfg(test)]
mod tests {
    use plist::Value;

    use super::*;
    use crate::content::{Content, ContentSpec};
    use crate::identity::{Identity, IosVersion};

    /// Follows `$top.root` as NSKeyedUnarchiver does.
    fn read(blob: &[u8]) -> (plist::Dictionary, Vec<Value>) {
        let archive = Value::from_reader(std::io::Cursor::new(blob))
            .unwrap()
            .into_dictionary()
            .unwrap();
        assert_eq!(archive["$archiver"].as_string(), Some("NSKeyedArchiver"));
        assert_eq!(archive["$version"].as_signed_integer(), Some(100_000));
        let root = archive["$top"].as_dictionary().unwrap()["root"]
            .as_uid()
            .unwrap()
            .get();
        let objects = archive["$objects"].as_array().unwrap().clone();
        (
            objects[root as usize].as_dictionary().unwrap().clone(),
            objects,
        )
    }

    #[test]
    fn a_blob_reads_back_for_every_kind_of_row() {
        let spec = ContentSpec {
            seed: 8,
            files: 300,
            bytes: 6 << 20,
            apps: 4,
            largest_file: None,
        };
        let identity = Identity::draw(1, "a", "iPhone14,5", IosVersion::new(15, 6, 0), None);
        let content = Content::generate(&spec, &identity);
        for view in content.files() {
            let blob = blob(&view, None);
            let (file, objects) = read(&blob);
            let text = |key: &str| objects[file[key].as_uid().unwrap().get() as usize].as_string();
            assert_eq!(text("RelativePath"), Some(view.path));
            assert_eq!(file["Size"].as_unsigned_integer(), Some(view.size));
            assert_eq!(
                file["Mode"].as_unsigned_integer(),
                Some(u64::from(view.row.mode()))
            );
            assert_eq!(
                file["UserID"].as_signed_integer(),
                Some(view.row.owner.uid())
            );
            assert_eq!(
                file["LastModified"].as_unsigned_integer(),
                Some(u64::from(view.row.modified))
            );
            let class = objects[file["$class"].as_uid().unwrap().get() as usize]
                .as_dictionary()
                .unwrap();
            assert_eq!(class["$classname"].as_string(), Some("MBFile"));
            assert_eq!(file.contains_key("Target"), view.kind == FileKind::Symlink);
            assert!(
                !file.contains_key("EncryptionKey"),
                "this backup is not encrypted"
            );
            if let Some(attributes) = file.get("ExtendedAttributes") {
                let data = objects[attributes.as_uid().unwrap().get() as usize]
                    .as_data()
                    .unwrap();
                let value = Value::from_reader(std::io::Cursor::new(data)).unwrap();
                assert_eq!(value.as_dictionary().unwrap().len(), 1);
            }
            if let Body::Link(target) = &view.row.body {
                assert_eq!(text("Target"), Some(&**target));
            }
        }
    }

    #[test]
    fn an_encrypted_file_has_its_key_and_nothing_else_changes() {
        let spec = ContentSpec {
            files: 100,
            ..ContentSpec::default()
        };
        let identity = Identity::draw(1, "a", "iPhone14,5", IosVersion::new(15, 6, 0), None);
        let content = Content::generate(&spec, &identity);
        let mut key = [7; PREFIXED_KEY_BYTES];
        key[..4].copy_from_slice(&[3, 0, 0, 0]);
        for view in content.files() {
            let (plain, sealed) = (blob(&view, None), blob(&view, Some(&key)));
            let ((plain, plain_objects), (sealed, objects)) = (read(&plain), read(&sealed));
            assert_eq!(plain_objects.len() + 2, objects.len());
            let at = |value: &Value| objects[value.as_uid().unwrap().get() as usize].clone();
            let data = at(&sealed["EncryptionKey"]).into_dictionary().unwrap();
            assert_eq!(data["NS.data"].as_data(), Some(&key[..]));
            let class = at(&data["$class"]).into_dictionary().unwrap();
            assert_eq!(class["$classname"].as_string(), Some("NSMutableData"));
            assert_eq!(at(&sealed["RelativePath"]).as_string(), Some(view.path));
            let mut without = sealed;
            without.remove("EncryptionKey");
            assert_eq!(without, plain);
        }
    }
}
