//! The MBFile of a row of Manifest.db: what the phone noted of a file.
//!
//! An NSKeyedArchiver blob, looked up in place (corpus backup/manifest_db.md): its references are
//! followed once and never in a circle.

use crate::bplist::{Bplist, Object};

/// Length of a file's key: its class, little-endian, and 40 wrapped bytes.
pub(crate) const KEY_LEN: usize = 44;

/// What the phone noted; whatever is absent or of another type is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MbFile {
    /// Bytes.
    pub(crate) size: Option<u64>,
    /// Seconds since 1970.
    pub(crate) modified: Option<i64>,
    /// `st_mode`
    pub(crate) mode: Option<u32>,
    pub(crate) class: Option<u32>,
    pub(crate) key: Option<[u8; KEY_LEN]>,
    /// Where a symbolic link leads.
    pub(crate) target: Option<String>,
}

impl MbFile {
    /// Parses; `None` when this is no MBFile at all.
    pub(crate) fn parse(blob: &[u8]) -> Option<Self> {
        let list = Bplist::parse(blob)?;
        let root = list.get(list.get(list.top, "$top")?, "root")?;
        let objects = list.get(list.top, "$objects")?;
        let archive = Archive { list, objects };
        let file = archive.follow(root)?;
        Some(Self {
            size: archive
                .number(file, "Size")
                .and_then(|size| u64::try_from(size).ok()),
            modified: archive.number(file, "LastModified"),
            mode: archive
                .number(file, "Mode")
                .and_then(|mode| u32::try_from(mode).ok()),
            class: archive
                .number(file, "ProtectionClass")
                .and_then(|class| u32::try_from(class).ok()),
            key: archive.key(file),
            target: archive.target(file),
        })
    }
}

struct Archive<'a> {
    list: Bplist<'a>,
    objects: usize,
}

impl<'a> Archive<'a> {
    /// Returns what an object refers to, or itself.
    fn follow(&self, number: usize) -> Option<usize> {
        if let Object::Uid(place) = self.list.object(number)? {
            return self.list.element(self.objects, place);
        }
        Some(number)
    }

    fn field(&self, file: usize, key: &str) -> Option<(usize, Object<'a>)> {
        let number = self.follow(self.list.get(file, key)?)?;
        Some((number, self.list.object(number)?))
    }

    fn number(&self, file: usize, key: &str) -> Option<i64> {
        match self.field(file, key)?.1 {
            Object::Int(number) => Some(number),
            Object::Bool(_)
            | Object::Date(_)
            | Object::Ascii(_)
            | Object::Utf16(_)
            | Object::Data(_)
            | Object::Uid(_)
            | Object::Array(_)
            | Object::Dict { .. }
            | Object::Other => None,
        }
    }

    fn key(&self, file: usize) -> Option<[u8; KEY_LEN]> {
        let (number, object) = self.field(file, "EncryptionKey")?;
        let object = if matches!(object, Object::Dict { .. }) {
            self.field(number, "NS.data")?.1
        } else {
            object
        };
        match object {
            Object::Data(data) => data.try_into().ok(),
            Object::Bool(_)
            | Object::Int(_)
            | Object::Date(_)
            | Object::Ascii(_)
            | Object::Utf16(_)
            | Object::Uid(_)
            | Object::Array(_)
            | Object::Dict { .. }
            | Object::Other => None,
        }
    }

    fn target(&self, file: usize) -> Option<String> {
        self.field(file, "Target")?.1.text()
    }
}
