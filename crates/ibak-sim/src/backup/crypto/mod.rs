//! How a phone encrypts a backup, and how it opens one again (phone.md §6).
//!
//! A password opens a [`Keybag`], the keybag's [`ClassKeys`] open the key of a file, and that key
//! opens the file. The phone never keeps the password: it keeps the keybag and its class keys. All
//! of it is written from the format's description, and meant for simulated phones only: class keys
//! are not wiped from memory.

mod cbc;
mod keybag;
mod keys;
mod lock;
mod tlv;

pub use cbc::{
    Decrypting, Encrypting, Padding, decrypt_database, encrypt_database, encrypted_bytes,
};
pub use keybag::{Keybag, KeybagError};
pub use keys::{ClassKeys, Costs, FILE_CLASS, FileKey, MANIFEST_CLASS, PREFIXED_KEY_BYTES};
pub use lock::BackupLock;

#[cfg(test)]
mod tests;
