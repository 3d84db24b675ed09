//! Property lists from a phone, read without being expanded.
//!
//! A binary list is looked up in place: no recursion, no allocation by what it claims, so that
//! 202 bytes cannot become gigabytes and nesting cannot end the process (security.md). An XML
//! list goes through the plist crate after its depth and size were checked.

use ibak_core::Wall;
use plist::Value;
use std::time::SystemTime;

/// Longest property list read from a backup, in bytes.
pub(crate) const LEN_MAX: u64 = 64 << 20;
/// Longest XML list, in bytes; phones write binary ones, hosts write Info.plist as XML.
const XML_LEN_MAX: usize = 32 << 20;
/// Deepest nesting of an XML list.
const XML_DEPTH_MAX: u32 = 64;
/// Most entries of a dictionary that are looked through.
const ENTRIES_MAX: usize = 200_000;

/// A binary property list in place.
#[derive(Clone, Copy)]
pub(crate) struct Bplist<'a> {
    data: &'a [u8],
    offset_size: usize,
    ref_size: usize,
    count: usize,
    table: usize,
    /// The number of the outermost object.
    pub(crate) top: usize,
}

/// One object of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object<'a> {
    Bool(bool),
    Int(i64),
    /// Microseconds since 1970.
    Date(i64),
    Ascii(&'a [u8]),
    Utf16(&'a [u8]),
    Data(&'a [u8]),
    Uid(usize),
    Array(&'a [u8]),
    Dict {
        keys: &'a [u8],
        values: &'a [u8],
    },
    Other,
}

impl Object<'_> {
    /// Returns the text of a string, with what is no character replaced.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Ascii(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Self::Utf16(text) => {
                let units = text
                    .chunks_exact(2)
                    .filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
                let text = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}'));
                Some(text.collect())
            }
            Self::Bool(_)
            | Self::Int(_)
            | Self::Date(_)
            | Self::Data(_)
            | Self::Uid(_)
            | Self::Array(_)
            | Self::Dict { .. }
            | Self::Other => None,
        }
    }
}

fn big_endian(bytes: &[u8]) -> Option<usize> {
    let number = bytes.iter().try_fold(0u64, |sum, byte| {
        sum.checked_mul(256).map(|sum| sum | u64::from(*byte))
    })?;
    usize::try_from(number).ok()
}

impl<'a> Bplist<'a> {
    /// Reads the trailer; `None` when this is no binary property list.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        if !data.starts_with(b"bplist00") {
            return None;
        }
        let trailer_at = data.len().checked_sub(32)?;
        let trailer = data.get(trailer_at..)?;
        let list = Self {
            data,
            offset_size: usize::from(*trailer.get(6)?),
            ref_size: usize::from(*trailer.get(7)?),
            count: big_endian(trailer.get(8..16)?)?,
            top: big_endian(trailer.get(16..24)?)?,
            table: big_endian(trailer.get(24..32)?)?,
        };
        let sizes = (1..=8).contains(&list.offset_size) && (1..=8).contains(&list.ref_size);
        let end = list
            .count
            .checked_mul(list.offset_size)?
            .checked_add(list.table)?;
        (sizes && list.top < list.count && end <= trailer_at).then_some(list)
    }

    pub(crate) fn object(&self, number: usize) -> Option<Object<'a>> {
        if number >= self.count {
            return None;
        }
        let entry = number
            .checked_mul(self.offset_size)?
            .checked_add(self.table)?;
        let at = big_endian(self.data.get(entry..entry.checked_add(self.offset_size)?)?)?;
        let marker = *self.data.get(at)?;
        let low = usize::from(marker & 0x0f);
        let body = at.checked_add(1)?;
        let bytes = |from: usize, len: usize| self.data.get(from..from.checked_add(len)?);
        Some(match marker >> 4 {
            0x0 if marker == 0x08 || marker == 0x09 => Object::Bool(marker == 0x09),
            0x1 => {
                let raw = bytes(body, 1usize.checked_shl(u32::try_from(low).ok()?)?)?;
                let tail = raw.get(raw.len().saturating_sub(8)..)?;
                let number = tail
                    .iter()
                    .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
                Object::Int(number.cast_signed())
            }
            0x3 if marker == 0x33 => {
                let raw: [u8; 8] = bytes(body, 8)?.try_into().ok()?;
                Object::Date(micros_since_1970(f64::from_be_bytes(raw))?)
            }
            0x4 => self
                .sized(body, low)
                .and_then(|(from, n)| bytes(from, n))
                .map(Object::Data)?,
            0x5 => self
                .sized(body, low)
                .and_then(|(from, n)| bytes(from, n))
                .map(Object::Ascii)?,
            0x6 => self
                .sized(body, low)
                .and_then(|(from, n)| bytes(from, n.checked_mul(2)?))
                .map(Object::Utf16)?,
            0x8 => Object::Uid(big_endian(bytes(body, low.checked_add(1)?)?)?),
            0xa | 0xc => {
                let (from, n) = self.sized(body, low)?;
                Object::Array(bytes(from, n.checked_mul(self.ref_size)?)?)
            }
            0xd => {
                let (from, n) = self.sized(body, low)?;
                let len = n.checked_mul(self.ref_size)?;
                Object::Dict {
                    keys: bytes(from, len)?,
                    values: bytes(from.checked_add(len)?, len)?,
                }
            }
            _ => Object::Other,
        })
    }

    /// Returns where the content begins and how many elements it has.
    fn sized(&self, body: usize, low: usize) -> Option<(usize, usize)> {
        if low != 0x0f {
            return Some((body, low));
        }
        let width = 1usize.checked_shl(u32::from(*self.data.get(body)? & 0x0f))?;
        let from = body.checked_add(1)?;
        let to = from.checked_add(width)?;
        Some((to, big_endian(self.data.get(from..to)?)?))
    }

    /// Returns the number of the object under a key of a dictionary.
    pub(crate) fn get(&self, dict: usize, key: &str) -> Option<usize> {
        let Object::Dict { keys, values } = self.object(dict)? else {
            return None;
        };
        let place = keys
            .chunks_exact(self.ref_size)
            .take(ENTRIES_MAX)
            .position(|reference| {
                let name = big_endian(reference).and_then(|number| self.object(number));
                matches!(name, Some(Object::Ascii(name)) if name == key.as_bytes())
            })?;
        big_endian(values.chunks_exact(self.ref_size).nth(place)?)
    }

    /// Returns the number of an element of an array.
    pub(crate) fn element(&self, array: usize, place: usize) -> Option<usize> {
        let Object::Array(elements) = self.object(array)? else {
            return None;
        };
        big_endian(elements.chunks_exact(self.ref_size).nth(place)?)
    }

    fn value(&self, path: &[&str]) -> Option<Object<'a>> {
        let number = path
            .iter()
            .try_fold(self.top, |at, key| self.get(at, key))?;
        self.object(number)
    }
}

/// A property list of either spelling.
pub(crate) enum Document<'a> {
    Binary(Bplist<'a>),
    Xml(Value),
}

impl<'a> Document<'a> {
    /// Parses; `None` for what is no property list, or is one nobody needs.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.starts_with(b"bplist") {
            let list = Bplist::parse(bytes)?;
            return matches!(list.object(list.top)?, Object::Dict { .. })
                .then_some(Self::Binary(list));
        }
        if bytes.len() > XML_LEN_MAX || !is_shallow(bytes) {
            return None;
        }
        let value = Value::from_reader_xml(bytes).ok()?;
        value.as_dictionary().is_some().then_some(Self::Xml(value))
    }

    pub(crate) fn text(&self, path: &[&str]) -> Option<String> {
        match self {
            Self::Binary(list) => list.value(path)?.text(),
            Self::Xml(value) => inside(value, path)?.as_string().map(str::to_owned),
        }
    }

    pub(crate) fn flag(&self, path: &[&str]) -> Option<bool> {
        match self {
            Self::Binary(list) => match list.value(path)? {
                Object::Bool(flag) => Some(flag),
                Object::Int(number) => Some(number != 0),
                Object::Date(_)
                | Object::Ascii(_)
                | Object::Utf16(_)
                | Object::Data(_)
                | Object::Uid(_)
                | Object::Array(_)
                | Object::Dict { .. }
                | Object::Other => None,
            },
            Self::Xml(value) => inside(value, path)?.as_boolean(),
        }
    }

    pub(crate) fn data(&self, path: &[&str]) -> Option<Vec<u8>> {
        match self {
            Self::Binary(list) => match list.value(path)? {
                Object::Data(data) => Some(data.to_vec()),
                Object::Bool(_)
                | Object::Int(_)
                | Object::Date(_)
                | Object::Ascii(_)
                | Object::Utf16(_)
                | Object::Uid(_)
                | Object::Array(_)
                | Object::Dict { .. }
                | Object::Other => None,
            },
            Self::Xml(value) => inside(value, path)?.as_data().map(<[u8]>::to_vec),
        }
    }

    pub(crate) fn date(&self, path: &[&str]) -> Option<Wall> {
        match self {
            Self::Binary(list) => match list.value(path)? {
                Object::Date(micros) => Some(Wall::from_micros(micros)),
                Object::Bool(_)
                | Object::Int(_)
                | Object::Ascii(_)
                | Object::Utf16(_)
                | Object::Data(_)
                | Object::Uid(_)
                | Object::Array(_)
                | Object::Dict { .. }
                | Object::Other => None,
            },
            Self::Xml(value) => {
                let time: SystemTime = inside(value, path)?.as_date()?.into();
                let micros = time
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .ok()?
                    .as_micros();
                i64::try_from(micros).ok().map(Wall::from_micros)
            }
        }
    }
}

/// Converts seconds since 2001, as property lists count; `None` for what is no year of a phone.
fn micros_since_1970(seconds: f64) -> Option<i64> {
    const YEAR_2001: f64 = 978_307_200.0;
    let micros = (seconds + YEAR_2001) * 1e6;
    // Far inside what an i64 and an f64 hold exactly enough: the years 1970 to 2100.
    (0.0..4.2e15).contains(&micros).then_some(micros as i64)
}

fn inside<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter()
        .try_fold(value, |at, key| at.as_dictionary()?.get(key))
}

fn is_shallow(bytes: &[u8]) -> bool {
    let mut depth = 0u32;
    for (at, byte) in bytes.iter().enumerate() {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        match byte {
            b'<' if rest.starts_with(b"!ENTITY") => return false,
            b'<' if rest.starts_with(b"dict") || rest.starts_with(b"array") => depth += 1,
            b'<' if rest.starts_with(b"/dict") || rest.starts_with(b"/array") => {
                depth = depth.saturating_sub(1)
            }
            _ => {}
        }
        if depth > XML_DEPTH_MAX {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let mut lockdown = plist::Dictionary::new();
        lockdown.insert("DeviceName".into(), "Adas iPhone \u{1F600}".into());
        let mut dict = plist::Dictionary::new();
        dict.insert("SnapshotState".into(), "finished".into());
        dict.insert("IsEncrypted".into(), true.into());
        dict.insert("BackupKeyBag".into(), Value::Data(vec![7; 300]));
        dict.insert("Lockdown".into(), lockdown.into());
        let mut bytes = Vec::new();
        Value::from(dict).to_writer_binary(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_what_the_plist_crate_writes_in_both_spellings() {
        let binary = sample();
        let mut xml = Vec::new();
        Value::from_reader(std::io::Cursor::new(&binary))
            .unwrap()
            .to_writer_xml(&mut xml)
            .unwrap();
        for bytes in [binary, xml] {
            let list = Document::parse(&bytes).unwrap();
            assert_eq!(list.text(&["SnapshotState"]).as_deref(), Some("finished"));
            assert_eq!(
                list.text(&["Lockdown", "DeviceName"]).as_deref(),
                Some("Adas iPhone \u{1F600}")
            );
            assert_eq!(list.flag(&["IsEncrypted"]), Some(true));
            assert_eq!(list.data(&["BackupKeyBag"]), Some(vec![7; 300]));
            assert_eq!(list.text(&["Absent"]), None);
            assert_eq!(list.text(&["IsEncrypted", "x"]), None);
        }
    }

    #[test]
    fn refuses_deep_and_self_defining_xml() {
        let deep = format!(
            "<plist>{}{}</plist>",
            "<array>".repeat(70),
            "</array>".repeat(70)
        );
        assert!(Document::parse(deep.as_bytes()).is_none());
        assert!(
            Document::parse(b"<!DOCTYPE p [<!ENTITY a \"b\">]><plist><dict/></plist>").is_none()
        );
        assert!(Document::parse(b"").is_none());
        assert!(Document::parse(b"<plist><string>x</string></plist>").is_none());
    }

    proptest! {
        #[test]
        fn broken_lists_never_panic(mut flips in proptest::collection::vec((0usize..600, any::<u8>()), 1..8), cut in 0usize..600) {
            let mut bytes = sample();
            let len = bytes.len();
            for (at, value) in flips.drain(..) {
                bytes[at % len] = value;
            }
            bytes.rotate_left(0);
            bytes.truncate(len.saturating_sub(cut % 40));
            if let Some(list) = Document::parse(&bytes) {
                list.text(&["Lockdown", "DeviceName"]);
                list.data(&["BackupKeyBag"]);
            }
            crate::mbfile::MbFile::parse(&bytes);
        }
    }
}
