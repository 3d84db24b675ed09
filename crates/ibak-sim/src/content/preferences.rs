//! Preferences: real binary property lists of exactly the wanted size.

use super::rng::{Rng, mix};

/// The smallest size, in bytes, that [`preferences`] can meet.
pub(crate) const SMALLEST: u64 = 120;

const HEADER: &[u8] = b"bplist00";
const TRAILER_BYTES: usize = 32;
const OBJECTS: usize = 7;
/// Header, dictionary, three keys, the date, and the string's and nothing of the data's header.
const FIXED_BYTES: usize = 8 + 7 + 11 + 9 + 6 + 9 + 3;

/// Makes a property list of exactly `len` bytes, or `None` if that is too small.
pub(crate) fn preferences(key: u64, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok()?;
    // Sizes jump where a length or an offset needs another byte; a longer name or wider offsets
    // fill the gap.
    let (width, name_len, data_len) = (16..40).find_map(|name_len| {
        let rest = len.checked_sub(FIXED_BYTES + TRAILER_BYTES + name_len)?;
        [1, 2, 3, 4].into_iter().find_map(|offset_bytes| {
            let rest = rest.checked_sub(OBJECTS * offset_bytes)?;
            let data_len = [1, 3, 4, 6]
                .into_iter()
                .filter_map(|head| Some((head, rest.checked_sub(head)?)))
                .find(|(head, data_len)| data_head(*data_len).len() == *head)
                .map(|(_, data_len)| data_len)?;
            let table_at = FIXED_BYTES + name_len + data_head(data_len).len() + data_len;
            (offset_width(table_at) <= offset_bytes).then_some((offset_bytes, name_len, data_len))
        })
    })?;
    Some(encode(key, width, name_len, data_len))
}

fn offset_width(table_at: usize) -> usize {
    match table_at {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

fn data_head(len: usize) -> Vec<u8> {
    let wide = len as u64;
    match len {
        0..=14 => vec![0x40 | wide.to_be_bytes()[7]],
        15..=0xff => vec![0x4f, 0x10, wide.to_be_bytes()[7]],
        0x100..=0xffff => [&[0x4f, 0x11], &wide.to_be_bytes()[6..]].concat(),
        _ => [&[0x4f, 0x12], &wide.to_be_bytes()[4..]].concat(),
    }
}

fn encode(key: u64, width: usize, name_len: usize, data_len: usize) -> Vec<u8> {
    let mut rng = Rng::new(mix(key, 0x70));
    let name: String = (0..name_len)
        .map(|_| char::from(b"0123456789ABCDEF"[usize::try_from(rng.below(16)).unwrap_or(0)]))
        .collect();
    let mut data = vec![0; data_len];
    for chunk in data.chunks_mut(8) {
        let word = rng.next().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    let date = 700_000_000.0 + f64::from(u32::try_from(rng.below(80_000_000)).unwrap_or(0));
    let name_size = u8::try_from(name_len).unwrap_or(0);
    let objects: [Vec<u8>; OBJECTS] = [
        vec![0xd3, 1, 2, 3, 4, 5, 6],
        b"\x5aIdentifier".to_vec(),
        b"\x58Modified".to_vec(),
        b"\x55State".to_vec(),
        [&[0x5f, 0x10, name_size], name.as_bytes()].concat(),
        [&[0x33], date.to_be_bytes().as_slice()].concat(),
        [data_head(data_len), data].concat(),
    ];
    let mut out = HEADER.to_vec();
    let mut offsets = Vec::new();
    for object in &objects {
        offsets.push(out.len() as u64);
        out.extend_from_slice(object);
    }
    let table_at = out.len();
    for offset in offsets {
        out.extend_from_slice(&offset.to_be_bytes()[8 - width..]);
    }
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, u8::try_from(width).unwrap_or(8), 1]);
    out.extend_from_slice(&(OBJECTS as u64).to_be_bytes());
    out.extend_from_slice(&0u64.to_be_bytes());
    out.extend_from_slice(&(table_at as u64).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_met_and_reads_as_a_property_list() {
        let mut sizes: Vec<u64> = (SMALLEST..900).collect();
        sizes.extend(
            [65_530u64, 65_600, 65_650, 65_700, 70_000]
                .iter()
                .flat_map(|at| *at..at + 40),
        );
        for len in sizes {
            let bytes = preferences(len, len).unwrap();
            assert_eq!(bytes.len() as u64, len);
            let value = plist::Value::from_reader(std::io::Cursor::new(&bytes)).unwrap();
            assert_eq!(value.as_dictionary().unwrap().len(), 3, "{len}");
        }
        assert_eq!(preferences(1, 60), None);
    }
}
