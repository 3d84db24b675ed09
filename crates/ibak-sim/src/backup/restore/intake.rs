//! One file on its way onto the phone: decrypted, measured, hashed, not kept.

use sha1::{Digest, Sha1};

/// Takes the bytes of one file as they come.
pub(in super::super) struct Intake {
    hash: Sha1,
    /// Bytes that came, as they came.
    pub(in super::super) bytes: u64,
    size: u64,
}

/// What came of a file that came whole.
pub(super) struct Taken {
    pub(super) sha1: [u8; 20],
    /// Bytes as they came.
    pub(super) bytes: u64,
}

impl Intake {
    /// Expects a plain file of so many bytes.
    pub(super) fn plain(size: u64) -> Self {
        Self {
            hash: Sha1::new(),
            bytes: 0,
            size,
        }
    }

    pub(in super::super) fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// Ends the file; `None` when it is not as long as its row says.
    pub(super) fn end(self) -> Option<Taken> {
        (self.bytes == self.size).then(|| Taken {
            sha1: self.hash.finalize().into(),
            bytes: self.bytes,
        })
    }
}
