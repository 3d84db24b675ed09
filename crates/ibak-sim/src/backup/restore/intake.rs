//! One file on its way onto the phone: decrypted, measured, hashed, not kept.

use std::io::{self, Write};

use sha1::{Digest, Sha1};

use super::super::crypto::{Decrypting, FileKey};

/// Takes the bytes of one file as they come.
pub(in super::super) struct Intake {
    way: Way,
    /// Bytes as they came.
    came: u64,
    /// Bytes the file has on the phone.
    size: u64,
}

enum Way {
    Plain(Tally),
    Encrypted(Box<Decrypting<Tally>>),
}

/// Counts and hashes what is written to it.
#[derive(Default)]
struct Tally {
    hash: Sha1,
    bytes: u64,
}

impl Write for Tally {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a file that came whole.
pub(super) struct Taken {
    pub(super) sha1: [u8; 20],
    /// Bytes as they came.
    pub(super) bytes: u64,
}

impl Intake {
    /// Expects a file of so many bytes, encrypted if there is a key.
    pub(super) fn new(size: u64, key: Option<&FileKey>) -> Self {
        let way = match key {
            None => Way::Plain(Tally::default()),
            Some(key) => Way::Encrypted(Box::new(Decrypting::new(Tally::default(), key))),
        };
        Self { way, came: 0, size }
    }

    pub(in super::super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.came += bytes.len() as u64;
        match &mut self.way {
            Way::Plain(tally) => tally.write_all(bytes),
            Way::Encrypted(decrypting) => decrypting.write_all(bytes),
        }
    }

    /// Ends the file; `None` when it is not what its row says, or another key's.
    pub(super) fn end(self) -> Option<Taken> {
        let tally = match self.way {
            Way::Plain(tally) => tally,
            Way::Encrypted(decrypting) => decrypting.finish().ok()?,
        };
        (tally.bytes == self.size).then(|| Taken {
            sha1: tally.hash.finalize().into(),
            bytes: self.came,
        })
    }
}
