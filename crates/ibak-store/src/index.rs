//! `index.zst`: path, size and BLAKE3 of every file of a committed backup.
//!
//! Lines of `size TAB hash TAB path`, in the order of a walk that sorts each directory's names,
//! zstd around it: `zstdcat index.zst` shows it to anyone, in twenty years too.

use crate::error::{Context, StoreError};
use crate::fs::util::{Reading, write_all};
use crate::fs::{Fs, Open};
use std::cmp::Ordering;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

/// Longest line taken from an index, in bytes.
const LINE_MAX: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) hash: [u8; 32],
}

/// Orders two paths as a sorted walk meets them.
pub(crate) fn walk_order(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2
        || !digits
            .iter()
            .all(|d| d.is_ascii_digit() || (b'a'..=b'f').contains(d))
    {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// Writes to a file while hashing what arrives there.
struct Hashing<F: Fs> {
    fs: F,
    file: F::Handle,
    hasher: blake3::Hasher,
    length: u64,
}

impl<F: Fs> Write for Hashing<F> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        write_all(&self.fs, &self.file, block)?;
        self.hasher.update(block);
        self.length = self
            .length
            .saturating_add(u64::try_from(block.len()).unwrap_or(u64::MAX));
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) struct IndexWriter<F: Fs> {
    encoder: zstd::Encoder<'static, BufWriter<Hashing<F>>>,
}

impl<F: Fs> IndexWriter<F> {
    pub(crate) fn create(fs: &F, dir: &F::Handle, name: &str) -> Result<Self, StoreError> {
        let file = fs.open(dir, name, Open::CreateNew).at("create", name)?;
        let sink = Hashing {
            fs: fs.clone(),
            file,
            hasher: blake3::Hasher::new(),
            length: 0,
        };
        let encoder = zstd::Encoder::new(BufWriter::with_capacity(64 << 10, sink), 3)
            .map_err(|e| failed(&e))?;
        Ok(Self { encoder })
    }

    pub(crate) fn add(&mut self, path: &str, size: u64, hash: &[u8; 32]) -> Result<(), StoreError> {
        writeln!(self.encoder, "{size}\t{}\t{path}", hex(hash)).map_err(|e| failed(&e))
    }

    /// Makes the file durable and read-only; returns its BLAKE3 and length.
    pub(crate) fn finish(self) -> Result<(String, u64), StoreError> {
        let buffer = self.encoder.finish().map_err(|e| failed(&e))?;
        let sink = buffer.into_inner().map_err(|e| failed(e.error()))?;
        sink.fs
            .set_mode(&sink.file, 0o400)
            .at("protect", "index.zst")?;
        sink.fs.sync(&sink.file).at("sync", "index.zst")?;
        sink.fs.close(sink.file).at("close", "index.zst")?;
        Ok((hex(sink.hasher.finalize().as_bytes()), sink.length))
    }
}

fn failed(error: &io::Error) -> StoreError {
    let errno = crate::fs::Errno::from_io_error(error).unwrap_or(crate::fs::Errno::IO);
    StoreError::System {
        action: "write",
        path: "index.zst".to_owned(),
        errno,
    }
}

/// Reads an index line by line, in walk order.
pub(crate) struct IndexReader {
    lines: Box<dyn BufRead + Send>,
    /// The entry after the last one that was taken.
    next: Option<IndexEntry>,
}

impl IndexReader {
    pub(crate) fn open<F: Fs>(fs: &F, dir: &F::Handle) -> Result<Self, StoreError> {
        let file = fs
            .open(dir, "index.zst", Open::Read)
            .at("open", "index.zst")?;
        let decoder = zstd::Decoder::new(Reading {
            fs: fs.clone(),
            file,
        })
        .map_err(|e| read_failed(&e))?;
        Ok(Self {
            lines: Box::new(BufReader::with_capacity(64 << 10, decoder)),
            next: None,
        })
    }

    /// Returns the next entry; `None` at the end.
    pub(crate) fn take(&mut self) -> Result<Option<IndexEntry>, StoreError> {
        if let Some(entry) = self.next.take() {
            return Ok(Some(entry));
        }
        let mut line = String::new();
        (&mut self.lines)
            .take(LINE_MAX)
            .read_line(&mut line)
            .map_err(|e| read_failed(&e))?;
        if line.is_empty() {
            return Ok(None);
        }
        parse(&line)
            .map(Some)
            .ok_or_else(|| StoreError::damaged("index.zst"))
    }

    /// Gives back what was taken last, to be taken again.
    pub(crate) fn put_back(&mut self, entry: IndexEntry) {
        self.next = Some(entry);
    }

    /// Returns the entry of `path`, passing over what the walk would have met before it.
    pub(crate) fn seek(&mut self, path: &str) -> Result<Option<IndexEntry>, StoreError> {
        while let Some(entry) = self.take()? {
            match walk_order(&entry.path, path) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(entry)),
                Ordering::Greater => {
                    self.put_back(entry);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }
}

fn parse(line: &str) -> Option<IndexEntry> {
    let mut fields = line.strip_suffix('\n')?.splitn(3, '\t');
    let size = fields.next()?.parse().ok()?;
    let hash = unhex(fields.next()?)?;
    Some(IndexEntry {
        path: fields.next()?.to_owned(),
        size,
        hash,
    })
}

fn read_failed(error: &io::Error) -> StoreError {
    match crate::fs::Errno::from_io_error(error) {
        Some(errno) => StoreError::System {
            action: "read",
            path: "index.zst".to_owned(),
            errno,
        },
        None => StoreError::damaged("index.zst"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_a_walk() {
        let mut paths = [
            "a.b",
            "a/x",
            "a",
            "Snapshot/00",
            "Info.plist",
            "a/x.y",
            "a/x/z",
        ];
        paths.sort_by(|a, b| walk_order(a, b));
        assert_eq!(
            paths,
            [
                "Info.plist",
                "Snapshot/00",
                "a",
                "a/x",
                "a/x/z",
                "a/x.y",
                "a.b"
            ]
        );
    }

    #[test]
    fn lines_that_are_not_ours() {
        let hash = "0".repeat(64);
        assert!(parse(&format!("5\t{hash}\tManifest.db\n")).is_some());
        for bad in [
            String::new(),
            format!("5\t{hash}\tManifest.db"),
            format!("x\t{hash}\tp\n"),
            "5\tzz\tp\n".into(),
        ] {
            assert_eq!(parse(&bad), None, "{bad:?}");
        }
    }
}
