//! Tar streams written here, so that they can hold what no tar program would write.

use std::fmt::Write as _;

/// A stream in the making.
#[derive(Default)]
pub(crate) struct Tarball(Vec<u8>);

/// An entry of any kind.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) letter: u8,
    pub(crate) data: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) modified: u64,
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Self {
            name: b"",
            letter: b'0',
            data: b"",
            link: b"",
            mode: 0o644,
            modified: 1_700_000_000,
        }
    }
}

impl Tarball {
    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.entry(&Entry {
            name: name.as_bytes(),
            data: data.as_bytes(),
            ..Entry::default()
        })
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(&Entry {
            name: name.as_bytes(),
            letter: b'5',
            ..Entry::default()
        })
    }

    pub(crate) fn symlink(self, name: &str, to: &str) -> Self {
        self.entry(&Entry {
            name: name.as_bytes(),
            letter: b'2',
            link: to.as_bytes(),
            ..Entry::default()
        })
    }

    /// Adds an entry; a name that does not fit the header goes into a pax record before it.
    pub(crate) fn entry(mut self, entry: &Entry<'_>) -> Self {
        if entry.name.len() > 100 || entry.name.contains(&0) {
            let mut record = b" path=".to_vec();
            record.extend_from_slice(entry.name);
            record.push(b'\n');
            let mut length = record.len() + 1;
            while length.to_string().len() + record.len() > length {
                length += 1;
            }
            let record = [length.to_string().as_bytes(), &record].concat();
            self.block(&Entry {
                name: b"pax",
                letter: b'x',
                data: &record,
                ..Entry::default()
            });
        }
        self.block(entry);
        self
    }

    fn block(&mut self, entry: &Entry<'_>) {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8], most: usize| {
            let length = bytes.len().min(most);
            block[at..at + length].copy_from_slice(&bytes[..length]);
        };
        let octal = |value: u64, width: usize| {
            let mut text = String::new();
            write!(text, "{value:0width$o}").unwrap();
            text.into_bytes()
        };
        put(0, entry.name, 100);
        put(100, &octal(u64::from(entry.mode), 7), 8);
        put(124, &octal(entry.data.len() as u64, 11), 12);
        put(136, &octal(entry.modified, 11), 12);
        put(156, &[entry.letter], 1);
        put(157, entry.link, 100);
        put(257, b"ustar\x0000", 8);
        put(148, b"        ", 8);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(&octal(sum, 7));
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(entry.data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    /// Adds raw bytes.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Ends it as it must be ended.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// Ends it in mid-air.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}
