//! The bytes of a file, made while they are read.
//!
//! A file is a walk through one fixed pool of random bytes, chosen by the file's key; each block is
//! stamped with the key and its number, so no two blocks on the phone are equal. A file of 4 GiB
//! costs no memory and is read at the speed of a copy.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rng::mix;

const POOL_BYTES: usize = 1 << 20;
const BLOCK_BYTES: usize = 64 << 10;
const STAMP_AT: usize = 32;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    Plain,
    Heic,
    Jpeg,
    Movie,
    Sound,
}

impl Flavor {
    const fn head(self) -> &'static [u8] {
        match self {
            Self::Plain => b"",
            Self::Heic => b"\0\0\0\x24ftypheic\0\0\0\0mif1MiPrmiafMiHBheic",
            Self::Jpeg => b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x48\0\x48\0\0",
            Self::Movie => b"\0\0\0\x14ftypqt  \0\0\0\0qt  \0\0\0\x08wide",
            Self::Sound => b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom",
        }
    }
}

fn pool() -> &'static [u8] {
    static POOL: OnceLock<Vec<u8>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut bytes = vec![0; POOL_BYTES];
        ChaCha8Rng::seed_from_u64(0x6962_616b).fill_bytes(&mut bytes);
        bytes
    })
}

enum Source {
    Pool { key: u64, flavor: Flavor },
    Memory(Arc<[u8]>),
}

/// Reads one file of the phone from its beginning.
pub struct ContentReader {
    source: Source,
    at: u64,
    len: u64,
}

impl ContentReader {
    pub(crate) fn pool(key: u64, flavor: Flavor, len: u64) -> Self {
        Self {
            source: Source::Pool { key, flavor },
            at: 0,
            len,
        }
    }

    pub(crate) fn memory(bytes: Arc<[u8]>) -> Self {
        let len = bytes.len() as u64;
        Self {
            source: Source::Memory(bytes),
            at: 0,
            len,
        }
    }

    /// Makes a file of any bytes.
    pub(crate) fn of_key(key: u64, len: u64) -> Self {
        Self::pool(key, Flavor::Plain, len)
    }

    /// Goes on from another place; behind the end is the end.
    pub(crate) fn seek_to(&mut self, at: u64) {
        self.at = at.min(self.len);
    }

    /// Returns the bytes that are left to read.
    pub fn remaining(&self) -> u64 {
        self.len - self.at
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.remaining()).unwrap_or(usize::MAX);
        let mut filled = 0;
        while filled < buffer.len().min(left) {
            let want = buffer.len().min(left) - filled;
            let Some(out) = buffer.get_mut(filled..filled + want) else {
                break;
            };
            let n = match &self.source {
                Source::Memory(bytes) => {
                    copy_at(bytes, usize::try_from(self.at).unwrap_or(usize::MAX), out)
                }
                Source::Pool { key, flavor } => pool_block(*key, *flavor, self.at, out),
            };
            if n == 0 {
                break;
            }
            filled += n;
            self.at += n as u64;
        }
        Ok(filled)
    }
}

fn copy_at(bytes: &[u8], at: usize, out: &mut [u8]) -> usize {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let n = rest.len().min(out.len());
    if let (Some(to), Some(from)) = (out.get_mut(..n), rest.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

/// Fills `out` from the block at `at`, at most to the block's end.
fn pool_block(key: u64, flavor: Flavor, at: u64, out: &mut [u8]) -> usize {
    let block = at / BLOCK_BYTES as u64;
    let inside = usize::try_from(at % BLOCK_BYTES as u64).unwrap_or(0);
    let room = (POOL_BYTES - BLOCK_BYTES) as u64;
    let start = usize::try_from(mix(key, block) % room).unwrap_or(0);
    let n = out.len().min(BLOCK_BYTES - inside);
    let Some(out) = out.get_mut(..n) else {
        return 0;
    };
    copy_at(pool(), start + inside, out);
    let mut stamp = [0; 16];
    stamp[..8].copy_from_slice(&key.to_le_bytes());
    stamp[8..].copy_from_slice(&block.to_le_bytes());
    let head = if block == 0 { flavor.head() } else { b"" };
    let stamp_at = if head.is_empty() { 0 } else { STAMP_AT };
    overlay(out, inside, &stamp, stamp_at);
    overlay(out, inside, head, 0);
    n
}

/// Writes `patch`, which lies at `patch_at` of the block, over the part of it that `out` shows.
fn overlay(out: &mut [u8], out_at: usize, patch: &[u8], patch_at: usize) {
    for (byte, at) in patch.iter().zip(patch_at..) {
        if let Some(slot) = at.checked_sub(out_at).and_then(|at| out.get_mut(at)) {
            *slot = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_in_any_steps_gives_the_same_bytes() {
        let whole = {
            let mut bytes = Vec::new();
            ContentReader::pool(7, Flavor::Heic, 200_000)
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        };
        assert_eq!(whole.len(), 200_000);
        assert_eq!(&whole[4..12], b"ftypheic");
        for step in [1_000, 65_536, 65_537, 131_072] {
            let mut reader = ContentReader::pool(7, Flavor::Heic, 200_000);
            let mut bytes = Vec::new();
            let mut buffer = vec![0; step];
            loop {
                let n = reader.read(&mut buffer).unwrap();
                if n == 0 {
                    break;
                }
                bytes.extend_from_slice(&buffer[..n]);
            }
            assert!(bytes == whole, "step {step}");
        }
    }

    #[test]
    fn other_keys_and_other_blocks_are_other_bytes() {
        let read = |key, len| {
            let mut bytes = Vec::new();
            ContentReader::pool(key, Flavor::Plain, len)
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        };
        assert_ne!(read(1, 8), read(2, 8));
        let long = read(1, 3 * BLOCK_BYTES as u64);
        assert_ne!(long[..BLOCK_BYTES], long[BLOCK_BYTES..2 * BLOCK_BYTES]);
    }
}
