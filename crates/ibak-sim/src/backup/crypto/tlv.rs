//! The tagged values a keybag is written in: four bytes of tag, four of length (big-endian), data.

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) tag: [u8; 4],
    pub(super) data: &'a [u8],
}

impl Item<'_> {
    /// Reads a number of four bytes.
    pub(super) fn number(&self) -> Option<u32> {
        self.data.try_into().ok().map(u32::from_be_bytes)
    }
}

/// Splits a keybag into its values; `None` if a value is cut.
pub(super) fn split(mut bytes: &[u8]) -> Option<Vec<Item<'_>>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (tag, rest) = bytes.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (data, rest) = rest.split_at_checked(len)?;
        items.push(Item { tag: *tag, data });
        bytes = rest;
    }
    Some(items)
}

/// Appends a value; no keybag has one of more than a few dozen bytes.
pub(super) fn put(bytes: &mut Vec<u8>, tag: [u8; 4], data: &[u8]) {
    bytes.extend_from_slice(&tag);
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(data);
}

/// Appends a number.
pub(super) fn put_number(bytes: &mut Vec<u8>, tag: [u8; 4], number: u32) {
    put(bytes, tag, &number.to_be_bytes());
}
