//! Property lists that are small on the wire and large or endless when read.

/// Writes a binary plist of arrays in arrays: each of `depth` levels names the next `width` times.
pub(super) fn wide(depth: u8, width: u8) -> Vec<u8> {
    let mut plist = Writer::default();
    for level in 0..depth {
        let mut object = vec![0xa0 | width.min(14)];
        for _ in 0..width.min(14) {
            object.extend(u16::from(level + 1).to_be_bytes());
        }
        plist.object(&object);
    }
    plist.object(b"\x54boom");
    plist.end()
}

/// Writes a binary plist of so many arrays, one in the other.
pub(super) fn deep(levels: u16) -> Vec<u8> {
    let mut plist = Writer::default();
    for level in 0..levels {
        let mut object = vec![0xa1];
        object.extend((level + 1).to_be_bytes());
        plist.object(&object);
    }
    plist.object(b"\x54boom");
    plist.end()
}

/// Writes a binary plist of an array that holds itself.
pub(super) fn cycle() -> Vec<u8> {
    let mut plist = Writer::default();
    plist.object(&[0xa2, 0, 0, 0, 0]);
    plist.end()
}

/// Writes a binary plist of an array that claims 2^62 members.
pub(super) fn count() -> Vec<u8> {
    let mut plist = Writer::default();
    plist.object(&[0xaf, 0x13, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    plist.end()
}

/// Writes a binary plist whose trailer points far behind its end.
pub(super) fn offsets() -> Vec<u8> {
    let mut bytes = b"bplist00\x54boom".to_vec();
    bytes.extend([0, 0, 0, 0, 0, 0, 8, 8]);
    for number in [u64::MAX, u64::MAX - 1, u64::MAX - 2] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// Writes XML of so many arrays, one in the other, none of them closed.
pub(super) fn nesting(levels: usize) -> Vec<u8> {
    format!("<plist>{}", "<array>".repeat(levels)).into_bytes()
}

/// Writes XML with entities that name each other ten times, nine deep.
pub(super) fn entities() -> Vec<u8> {
    let mut text = "<?xml version=\"1.0\"?><!DOCTYPE plist [<!ENTITY a0 \"aaaaaaaaaa\">".to_owned();
    for level in 1..10 {
        let inner = format!("&a{};", level - 1).repeat(10);
        text.push_str(&format!("<!ENTITY a{level} \"{inner}\">"));
    }
    text.push_str("]><plist><string>&a9;</string></plist>");
    text.into_bytes()
}

/// Lays out a binary plist with references of two bytes; the first object is the top one.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
}

impl Writer {
    fn object(&mut self, bytes: &[u8]) {
        let at = u32::try_from(self.bytes.len() + 8).unwrap_or(u32::MAX);
        self.offsets.push(at);
        self.bytes.extend(bytes);
    }

    fn end(self) -> Vec<u8> {
        let mut all = b"bplist00".to_vec();
        all.extend(self.bytes);
        let table = all.len() as u64;
        all.extend(self.offsets.iter().flat_map(|offset| offset.to_be_bytes()));
        all.extend([0, 0, 0, 0, 0, 0, 4, 2]);
        for number in [self.offsets.len() as u64, 0, table] {
            all.extend(number.to_be_bytes());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use plist::Value;

    use super::*;

    #[test]
    fn small_ones_are_true_property_lists_and_grow_as_they_say() {
        fn leaves(value: &Value) -> usize {
            value
                .as_array()
                .map_or(1, |items| items.iter().map(leaves).sum())
        }
        let read = |bytes: &[u8]| Value::from_reader(std::io::Cursor::new(bytes)).unwrap();
        assert_eq!(leaves(&read(&wide(3, 4))), 64);
        assert_eq!(leaves(&read(&deep(20))), 1);
        // A phone needs few bytes for what a host would need gigabytes for.
        assert!(wide(31, 14).len() < 2_000);
        for bytes in [cycle(), count(), offsets()] {
            assert!(Value::from_reader(std::io::Cursor::new(&bytes)).is_err());
        }
    }
}
