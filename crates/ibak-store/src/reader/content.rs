//! The content of one file: as it lies there, or decrypted while it is read.
//!
//! AES-256-CBC with a zero IV, in constant memory. What is delivered has exactly the length that
//! was announced, or the last read is an error.

use super::Held;
use crate::error::{Context, StoreError};
use crate::fs::util::Reading;
use crate::fs::{Errno, Fs, Kind, Open};
use aes::Aes256;
use cbc::Decryptor;
use cbc::cipher::inout::InOutBuf;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use std::io::{self, Read};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Length of a block of AES, in bytes.
pub(super) const BLOCK: u64 = 16;
/// Bytes decrypted at a time, whole blocks.
const CHUNK: usize = 64 << 10;

/// The content of one file of a backup, with its length known before the first byte.
pub struct Content {
    size: u64,
    left: u64,
    bytes: Box<dyn Read + Send>,
}

impl Content {
    /// Returns the bytes that will be delivered, no more and no less.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn new(size: u64, bytes: impl Read + Send + 'static) -> Self {
        Self {
            size,
            left: size,
            bytes: Box::new(bytes),
        }
    }

    fn empty() -> Self {
        Self::new(0, io::empty())
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(part) = buffer.get_mut(..most).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        let some = self.bytes.read(part)?;
        if some == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(some).unwrap_or(u64::MAX));
        Ok(some)
    }
}

/// Reads a file and keeps its backup leased.
struct Leased<F: Fs> {
    reading: Reading<F>,
    _held: Arc<Held<F>>,
}

impl<F: Fs> Read for Leased<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reading.read(buffer)
    }
}

fn opened<F: Fs>(held: &Arc<Held<F>>, path: &str) -> Result<(Leased<F>, u64), StoreError> {
    let fs = &held.inner.fs;
    let file = fs.open(&held.tree, path, Open::Read).at("open", path)?;
    let stat = fs.stat_handle(&file).at("look at", path)?;
    match stat.kind {
        Kind::Regular => {}
        Kind::Directory => return Err(Errno::ISDIR).at("open", path),
        Kind::Symlink | Kind::Other => return Err(StoreError::refused(path, "it is not a file")),
    }
    let leased = Leased {
        reading: Reading {
            fs: fs.clone(),
            file,
        },
        _held: Arc::clone(held),
    };
    Ok((leased, stat.size))
}

/// Opens a file as it lies there.
pub(super) fn plain<F: Fs>(held: &Arc<Held<F>>, path: &str) -> Result<Content, StoreError> {
    let (file, size) = opened(held, path)?;
    Ok(Content::new(size, file))
}

/// Opens an encrypted file. Its length is what its padding says, which a live database outgrew
/// since the phone noted another; without a padding it has to be the noted one, whole blocks.
pub(super) fn encrypted<F: Fs>(
    held: &Arc<Held<F>>,
    path: &str,
    key: &Zeroizing<[u8; 32]>,
    noted: u64,
) -> Result<Content, StoreError> {
    let (file, length) = opened(held, path)?;
    if length == 0 && noted == 0 {
        return Ok(Content::empty());
    }
    let damaged = || StoreError::damaged(format!("the encrypted content of {path}"));
    if length == 0 || length % BLOCK != 0 {
        return Err(damaged());
    }
    let last = last_block(&held.inner.fs, &file.reading.file, length, key).at("read", path)?;
    let size = match padding(&last) {
        Some(padding) => length.saturating_sub(padding),
        None if noted == length => noted,
        None => return Err(damaged()),
    };
    Ok(Content::new(size, Decrypting::new(file, key, length)))
}

/// Returns the length of a PKCS #7 padding, 1 to 16 bytes.
fn padding(block: &[u8; 16]) -> Option<u64> {
    let [.., count] = *block;
    let tail = block.len().checked_sub(usize::from(count))?;
    let whole = count > 0 && block.get(tail..)?.iter().all(|byte| *byte == count);
    whole.then_some(u64::from(count))
}

fn last_block<F: Fs>(
    fs: &F,
    file: &F::Handle,
    length: u64,
    key: &Zeroizing<[u8; 32]>,
) -> Result<[u8; 16], Errno> {
    // The block before the last is what the last one was chained to; the first has zeroes.
    let mut tail = [[0u8; 16]; 2];
    let [before, last] = &mut tail;
    read_whole(fs, file, last, length.saturating_sub(BLOCK))?;
    if length > BLOCK {
        read_whole(fs, file, before, length.saturating_sub(2 * BLOCK))?;
    }
    let mut cipher = Decryptor::<Aes256>::new((&**key).into(), (&*before).into());
    cipher.decrypt_block_mut(last.into());
    Ok(*last)
}

fn read_whole<F: Fs>(
    fs: &F,
    file: &F::Handle,
    mut buffer: &mut [u8],
    mut at: u64,
) -> Result<(), Errno> {
    while !buffer.is_empty() {
        let some = fs.read_at(file, buffer, at)?;
        if some == 0 {
            return Err(Errno::IO);
        }
        at = at.saturating_add(u64::try_from(some).unwrap_or(u64::MAX));
        buffer = buffer.get_mut(some..).unwrap_or_default();
    }
    Ok(())
}

/// Decrypts whole blocks while they are read.
pub(super) struct Decrypting<R> {
    source: R,
    cipher: Decryptor<Aes256>,
    buffer: Vec<u8>,
    /// What of the buffer was not delivered yet.
    from: usize,
    to: usize,
    /// Encrypted bytes that were not read yet.
    left: u64,
}

impl<R: Read> Decrypting<R> {
    /// Takes a source of `length` bytes, whole blocks.
    pub(super) fn new(source: R, key: &Zeroizing<[u8; 32]>, length: u64) -> Self {
        Self {
            source,
            cipher: Decryptor::new((&**key).into(), &[0; 16].into()),
            buffer: vec![0; CHUNK],
            from: 0,
            to: 0,
            left: length,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let most = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let part = self.buffer.get_mut(..most).unwrap_or_default();
        self.source.read_exact(part)?;
        let (blocks, tail) = InOutBuf::from(part).into_chunks();
        if !tail.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.cipher.decrypt_blocks_inout_mut(blocks);
        (self.from, self.to) = (0, most);
        self.left = self
            .left
            .saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
        Ok(())
    }
}

impl<R: Read> Read for Decrypting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.from == self.to && self.left > 0 {
            self.fill()?;
        }
        let ready = self.buffer.get(self.from..self.to).unwrap_or_default();
        let some = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..some), ready.get(..some)) {
            to.copy_from_slice(from);
        }
        self.from += some;
        Ok(some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::unhex;

    /// NIST SP 800-38A, F.2.6, with its IV applied to the first block by hand.
    #[test]
    fn cbc_as_nist_has_it() {
        let key = unhex::<32>("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let key = Zeroizing::new(key.unwrap());
        let secret = unhex::<64>(concat!(
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
            "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"
        ))
        .unwrap();
        let want = unhex::<64>(concat!(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
        ))
        .unwrap();
        let mut found = Vec::new();
        Decrypting::new(secret.as_slice(), &key, 64)
            .read_to_end(&mut found)
            .unwrap();
        for (place, byte) in found.iter_mut().take(16).enumerate() {
            *byte ^= u8::try_from(place).unwrap();
        }
        assert_eq!(found, want);
        let mut found = Vec::new();
        let short = Decrypting::new(secret.get(..48).unwrap(), &key, 64).read_to_end(&mut found);
        assert_eq!(short.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_padding_is_whole_or_none() {
        let with = |count: u8, byte: u8| {
            let mut block = [0x61; 16];
            let from = 16_usize.saturating_sub(usize::from(count));
            block[from..].fill(byte);
            block
        };
        for count in 1..=16 {
            assert_eq!(padding(&with(count, count)), Some(u64::from(count)));
        }
        for (count, byte) in [(1, 0), (1, 17), (1, 255), (2, 3), (15, 16)] {
            assert_eq!(padding(&with(count, byte)), None, "{count} of {byte}");
        }
    }

    #[test]
    fn a_content_is_never_silently_short_or_long() {
        let mut found = Vec::new();
        let short = Content::new(5, &b"four"[..]).read_to_end(&mut found);
        assert_eq!(short.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut found = Vec::new();
        Content::new(3, &b"four"[..])
            .read_to_end(&mut found)
            .unwrap();
        assert_eq!(found, b"fou");
    }
}
