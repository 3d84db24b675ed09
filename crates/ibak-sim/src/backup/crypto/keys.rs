//! Passwords to keys, keys to wrapped keys.

use std::collections::BTreeMap;
use std::fmt;

use aes_kw::KekAes256;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha1::Sha1;
use sha2::Sha256;

use crate::content::FileId;

/// Bytes of a wrapped key (RFC 3394: eight more than the key).
pub(super) const WRAPPED_BYTES: usize = 40;
/// Bytes of a wrapped key behind the number of its class.
pub const PREFIXED_KEY_BYTES: usize = 4 + WRAPPED_BYTES;
/// The protection class of most files (corpus manifest_db.md, modes seen).
pub const FILE_CLASS: u32 = 4;
/// The protection class of the key of Manifest.db.
pub const MANIFEST_CLASS: u32 = 4;

/// How much work a guess at the password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// `DPIC`: rounds of PBKDF2-HMAC-SHA256, at least 1.
    pub dpic: u32,
    /// `ITER`: rounds of PBKDF2-HMAC-SHA1, at least 1.
    pub iter: u32,
}

impl Costs {
    /// What real phones use since iOS 10.2 (phone.md §6): seconds of work.
    pub const REAL: Self = Self {
        dpic: 10_000_000,
        iter: 10_000,
    };
    /// The most a keybag may ask for (phone.md §6: it comes from a file).
    pub const MAX: Self = Self {
        dpic: 50_000_000,
        iter: 1_000_000,
    };
}

impl Default for Costs {
    /// Milliseconds of work, for tests.
    fn default() -> Self {
        Self {
            dpic: 5_000,
            iter: 500,
        }
    }
}

/// Derives the key that wraps the class keys.
pub(super) fn derive(password: &str, dpsl: &[u8], salt: &[u8], costs: Costs) -> [u8; 32] {
    let first =
        pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), dpsl, costs.dpic.max(1));
    pbkdf2::pbkdf2_hmac_array::<Sha1, 32>(&first, salt, costs.iter.max(1))
}

/// Wraps a key by RFC 3394.
pub(super) fn wrap(kek: &[u8; 32], key: &[u8; 32]) -> [u8; WRAPPED_BYTES] {
    let mut wrapped = [0; WRAPPED_BYTES];
    // It can only fail for a wrong length, and both are of the right type.
    if KekAes256::from(*kek).wrap(key, &mut wrapped).is_err() {
        wrapped = [0; WRAPPED_BYTES];
    }
    wrapped
}

/// Unwraps a key by RFC 3394; `None` if it was wrapped with another.
pub(super) fn unwrap(kek: &[u8; 32], wrapped: &[u8]) -> Option<[u8; 32]> {
    let wrapped: [u8; WRAPPED_BYTES] = wrapped.try_into().ok()?;
    let mut key = [0; 32];
    KekAes256::from(*kek)
        .unwrap(&wrapped, &mut key)
        .ok()
        .map(|()| key)
}

/// The key of one file, or of Manifest.db.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileKey(pub(super) [u8; 32]);

impl FileKey {
    /// Draws a key.
    pub fn draw(rng: &mut impl RngCore) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Self(key)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// The class keys of an open keybag.
#[derive(Clone, PartialEq, Eq)]
pub struct ClassKeys {
    pub(super) keys: BTreeMap<u32, [u8; 32]>,
}

impl fmt::Debug for ClassKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClassKeys")
            .field(&self.keys.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl ClassKeys {
    /// Wraps a key with that of a class; `None` if there is no such class.
    pub fn wrap(&self, class: u32, key: &FileKey) -> Option<[u8; WRAPPED_BYTES]> {
        self.keys.get(&class).map(|kek| wrap(kek, &key.0))
    }

    /// Unwraps a key of 40 bytes; `None` if there is no such class or it is another keybag's.
    pub fn unwrap(&self, class: u32, wrapped: &[u8]) -> Option<FileKey> {
        unwrap(self.keys.get(&class)?, wrapped).map(FileKey)
    }

    /// Wraps a key as `EncryptionKey` and `ManifestKey` hold it: the class before it, little-endian.
    pub fn wrap_prefixed(&self, class: u32, key: &FileKey) -> Option<[u8; PREFIXED_KEY_BYTES]> {
        let wrapped = self.wrap(class, key)?;
        let mut bytes = [0; PREFIXED_KEY_BYTES];
        let (head, tail) = bytes.split_at_mut(4);
        head.copy_from_slice(&class.to_le_bytes());
        tail.copy_from_slice(&wrapped);
        Some(bytes)
    }

    /// Unwraps an `EncryptionKey` or a `ManifestKey` of 44 bytes.
    pub fn unwrap_prefixed(&self, bytes: &[u8]) -> Option<FileKey> {
        let (class, wrapped) = bytes.split_first_chunk::<4>()?;
        self.unwrap(u32::from_le_bytes(*class), wrapped)
    }

    /// Returns the key of a file: the same for the same content, and as good as drawn.
    ///
    /// A real phone keeps each file's key with the file; this one derives it from the class key, so
    /// that a changed file has a new key and an unchanged one keeps its own.
    pub fn key_of_file(&self, class: u32, id: &FileId, version: u32) -> Option<FileKey> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.keys.get(&class)?).ok()?;
        mac.update(b"file key");
        mac.update(&id.0);
        mac.update(&version.to_be_bytes());
        Some(FileKey(mac.finalize().into_bytes().into()))
    }
}
