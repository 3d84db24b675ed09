//! The raw frames of a file transfer, for who speaks them without a session.

/// Writes a length and a text, as names are written.
pub(crate) fn named(name: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(name.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes()
        .to_vec();
    bytes.extend(name.as_bytes());
    bytes
}

/// Writes one block: its length with the code, the code, the data.
pub(crate) fn block(code: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(data.len() + 1)
        .unwrap_or(u32::MAX)
        .to_be_bytes()
        .to_vec();
    bytes.push(code);
    bytes.extend(data);
    bytes
}
