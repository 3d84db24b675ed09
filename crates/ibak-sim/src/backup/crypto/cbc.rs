//! AES-256-CBC with a zero IV over streams: nothing is ever held whole.

use std::io::{self, Read, Write};

use aes::Aes256;
use aes::cipher::inout::InOutBuf;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};

use super::keys::FileKey;

const BLOCK: usize = 16;
const CHUNK: usize = 64 << 10;

type Encryptor = cbc::Encryptor<Aes256>;
type Decryptor = cbc::Decryptor<Aes256>;

/// Returns how many bytes a file has on the host: it always ends with 1 to 16 bytes of padding.
pub const fn encrypted_bytes(plain_bytes: u64) -> u64 {
    (plain_bytes / BLOCK as u64 + 1) * BLOCK as u64
}

fn encryptor(key: &FileKey) -> Encryptor {
    Encryptor::new(&key.0.into(), &[0; BLOCK].into())
}

fn decryptor(key: &FileKey) -> Decryptor {
    Decryptor::new(&key.0.into(), &[0; BLOCK].into())
}

/// Encrypts whole blocks in place; bytes after the last whole block stay as they are.
fn encrypt_blocks(cipher: &mut Encryptor, bytes: &mut [u8]) {
    let (blocks, _) = InOutBuf::from(bytes).into_chunks();
    cipher.encrypt_blocks_inout_mut(blocks);
}

/// Decrypts whole blocks in place; bytes after the last whole block stay as they are.
fn decrypt_blocks(cipher: &mut Decryptor, bytes: &mut [u8]) {
    let (blocks, _) = InOutBuf::from(bytes).into_chunks();
    cipher.decrypt_blocks_inout_mut(blocks);
}

/// Reads a file encrypted, with PKCS #7 padding, from a file that is not.
pub struct Encrypting<R> {
    plain: R,
    cipher: Encryptor,
    /// Encrypted bytes, of which those up to `given` were read.
    ready: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Encrypting<R> {
    /// Begins at the file's beginning.
    pub fn new(plain: R, key: &FileKey) -> Self {
        Self {
            plain,
            cipher: encryptor(key),
            ready: Vec::new(),
            given: 0,
            ended: false,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        let read = (&mut self.plain)
            .take(CHUNK as u64)
            .read_to_end(&mut self.ready)?;
        if read < CHUNK {
            let missing = BLOCK - read % BLOCK;
            let padding = u8::try_from(missing).unwrap_or(0);
            self.ready.extend(std::iter::repeat_n(padding, missing));
            self.ended = true;
        }
        encrypt_blocks(&mut self.cipher, &mut self.ready);
        Ok(())
    }
}

impl<R: Read> Read for Encrypting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() && !self.ended {
            self.refill()?;
        }
        let mut rest = self.ready.get(self.given..).unwrap_or(&[]);
        let n = rest.read(buffer)?;
        self.given += n;
        Ok(n)
    }
}

/// Decrypts what is written to it into another writer, and takes the padding off at the end.
pub struct Decrypting<W> {
    plain: W,
    cipher: Decryptor,
    /// Encrypted bytes that wait: at least the last block, which may be padding.
    waiting: Vec<u8>,
}

impl<W: Write> Decrypting<W> {
    /// Begins at the file's beginning.
    pub fn new(plain: W, key: &FileKey) -> Self {
        Self {
            plain,
            cipher: decryptor(key),
            waiting: Vec::with_capacity(CHUNK + BLOCK),
        }
    }

    /// Writes the last bytes without their padding and returns the writer.
    ///
    /// # Errors
    /// `InvalidData` when the bytes do not end in whole blocks or in padding: another key, or not
    /// an encrypted file.
    pub fn finish(mut self) -> io::Result<W> {
        decrypt_blocks(&mut self.cipher, &mut self.waiting);
        let padding = self.waiting.last().copied().unwrap_or(0);
        let kept = self.waiting.len().checked_sub(usize::from(padding));
        let whole = !self.waiting.is_empty() && self.waiting.len().is_multiple_of(BLOCK);
        let (Some(kept), true, true) = (kept, whole, (1..=16).contains(&padding)) else {
            return Err(not_encrypted());
        };
        let (data, tail) = self.waiting.split_at(kept);
        if tail.iter().any(|byte| *byte != padding) {
            return Err(not_encrypted());
        }
        self.plain.write_all(data)?;
        Ok(self.plain)
    }
}

fn not_encrypted() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "not encrypted with the key of the file",
    )
}

impl<W: Write> Write for Decrypting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (CHUNK + BLOCK - self.waiting.len()).max(1);
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.waiting.extend_from_slice(taken);
        if self.waiting.len() >= CHUNK + BLOCK {
            let (ready, _) = self.waiting.split_at_mut(CHUNK);
            decrypt_blocks(&mut self.cipher, ready);
            self.plain.write_all(ready)?;
            self.waiting.drain(..CHUNK);
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }
}

/// Whether an encrypted Manifest.db ends with padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// A block of it, as files have: iphone_backup_decrypt opens no real backup without.
    Pkcs7,
    /// None: a database is of whole blocks.
    None,
}

/// Encrypts Manifest.db.
///
/// # Errors
/// `InvalidData` when it shall have no padding and is not of whole blocks; what reading or writing
/// gives.
pub fn encrypt_database(
    plain: &mut impl Read,
    encrypted: &mut impl Write,
    key: &FileKey,
    padding: Padding,
) -> io::Result<()> {
    match padding {
        Padding::Pkcs7 => io::copy(&mut Encrypting::new(plain, key), encrypted).map(|_| ()),
        Padding::None => {
            let mut cipher = encryptor(key);
            in_chunks(plain, |chunk| {
                encrypt_blocks(&mut cipher, chunk);
                encrypted.write_all(chunk)
            })
        }
    }
}

/// Decrypts Manifest.db, padded or not; with a wrong key the outcome is no database.
///
/// # Errors
/// `InvalidData` when it is not of whole blocks; what reading or writing gives.
pub fn decrypt_database(
    encrypted: &mut impl Read,
    plain: &mut impl Write,
    key: &FileKey,
) -> io::Result<()> {
    let mut cipher = decryptor(key);
    let mut last = Vec::with_capacity(BLOCK);
    in_chunks(encrypted, |chunk| {
        decrypt_blocks(&mut cipher, chunk);
        plain.write_all(&last)?;
        let (ready, held) = chunk.split_at(chunk.len() - BLOCK);
        plain.write_all(ready)?;
        last.clear();
        last.extend_from_slice(held);
        Ok(())
    })?;
    // A database is of whole blocks, so its padding is a whole block too.
    if last != [16; BLOCK] {
        plain.write_all(&last)?;
    }
    Ok(())
}

/// Hands the bytes on in chunks of whole blocks, never an empty one.
fn in_chunks(
    from: &mut impl Read,
    mut take: impl FnMut(&mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        if from.take(CHUNK as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(());
        }
        if !chunk.len().is_multiple_of(BLOCK) {
            return Err(not_encrypted());
        }
        take(&mut chunk)?;
    }
}
