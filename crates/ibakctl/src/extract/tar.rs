//! Reads a tar stream without ever holding more of it than one block and one name.
//!
//! Written here because what a hostile stream may cost is the point: extension headers are
//! bounded, data are passed on in the reader's own blocks, and a stream that ends early is an
//! error, never the end. Knows ustar (POSIX.1-1988), the pax records `path`, `linkpath`, `size`
//! and `mtime` (POSIX.1-2001), and GNU's long names (`L`, `K`) and base-256 numbers.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Is how many bytes an extension header may have.
pub const EXTENSION_BYTES_MAX: u64 = 64 * 1024;
/// Is how many extension headers an entry may have.
const EXTENSIONS_MAX: usize = 4;
/// Is how much may follow the end mark: tar fills up its last record.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file; its data follow.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Symlink(Vec<u8>),
    /// A hard link, a device, or a letter nobody knows.
    Other(u8),
}

/// An entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as it came.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes of data.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970 UTC.
    pub modified: i64,
}

/// What is wrong with a stream.
#[derive(Debug)]
pub enum TarError {
    /// It could not be read.
    Read(io::Error),
    /// It ended before its end mark.
    Short,
    /// It is no tar stream, or one that asks for too much; the text says where.
    Malformed(&'static str),
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Short
        } else {
            Self::Read(error)
        }
    }
}

/// Reads entries one after the other; between them it is a [`Read`] of the entry's data.
pub struct Reader<R> {
    inner: R,
    left: u64,
    padding: u64,
}

#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    modified: Option<i64>,
}

impl<R: Read> Reader<R> {
    /// Reads from the beginning of a stream.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            left: 0,
            padding: 0,
        }
    }

    /// Skips what is left of the last entry and reads the next header; `None` at the end mark.
    ///
    /// # Errors
    /// [`TarError`]; nothing can be read after one.
    pub fn next_entry(&mut self) -> Result<Option<Header>, TarError> {
        let mut extensions = Extensions::default();
        for _ in 0..=EXTENSIONS_MAX {
            self.skip()?;
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            let size = number(field(&block, 124, 12)).ok_or(TarError::Malformed("a size"))?;
            let kind = block.get(156).copied().unwrap_or_default();
            if !matches!(kind, b'x' | b'g' | b'L' | b'K') {
                return self.header(&block, kind, size, extensions).map(Some);
            }
            let data = self.extension(size)?;
            match kind {
                b'L' => extensions.name = Some(until_zero(&data).to_vec()),
                b'K' => extensions.link = Some(until_zero(&data).to_vec()),
                b'x' => pax(&data, &mut extensions)?,
                // What holds for the whole stream is nothing we read.
                _ => {}
            }
        }
        Err(TarError::Malformed("too many extension headers"))
    }

    fn header(
        &mut self,
        block: &[u8; BLOCK],
        letter: u8,
        size: u64,
        extensions: Extensions,
    ) -> Result<Header, TarError> {
        let mode = number(field(block, 100, 8)).ok_or(TarError::Malformed("a mode"))?;
        let modified = number(field(block, 136, 12)).ok_or(TarError::Malformed("a time"))?;
        let name = extensions.name.unwrap_or_else(|| {
            let name = until_zero(field(block, 0, 100)).to_vec();
            let prefix = until_zero(field(block, 345, 155));
            let ustar = field(block, 257, 6) == b"ustar\0";
            if ustar && !prefix.is_empty() {
                [prefix, b"/", &name].concat()
            } else {
                name
            }
        });
        let link = extensions
            .link
            .unwrap_or_else(|| until_zero(field(block, 157, 100)).to_vec());
        let kind = match letter {
            // Before POSIX a directory was a file with a slash at its end.
            b'0' | 0 if name.ends_with(b"/") => Kind::Directory,
            b'0' | 0 => Kind::File,
            b'5' => Kind::Directory,
            b'2' => Kind::Symlink(link),
            other => Kind::Other(other),
        };
        let size = extensions.size.unwrap_or(size);
        // Links carry no data, whatever their size says.
        self.left = match letter {
            b'1' | b'2' => 0,
            _ => size,
        };
        self.padding = padding(self.left);
        Ok(Header {
            name,
            kind,
            size: self.left,
            mode: u32::try_from(mode & 0o7777).unwrap_or(0),
            modified: extensions
                .modified
                .unwrap_or_else(|| i64::try_from(modified).unwrap_or(0)),
        })
    }

    /// Reads a header block; `None` at the end mark, after which the rest is read away.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        self.inner.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            // The writer may still be writing: hanging up on it would look like a failure.
            io::copy(&mut (&mut self.inner).take(TAIL_BYTES_MAX), &mut io::sink())?;
            return Ok(None);
        }
        let told = number(field(&block, 148, 8)).ok_or(TarError::Malformed("a checksum"))?;
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                148..156 => u64::from(b' '),
                _ => u64::from(*byte),
            })
            .sum();
        if sum == told {
            Ok(Some(block))
        } else {
            Err(TarError::Malformed("a checksum"))
        }
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_BYTES_MAX {
            return Err(TarError::Malformed("an extension header that is too long"));
        }
        let mut data = Vec::new();
        let read = (&mut self.inner).take(size).read_to_end(&mut data)?;
        if u64::try_from(read) != Ok(size) {
            return Err(TarError::Short);
        }
        (self.left, self.padding) = (0, padding(size));
        Ok(data)
    }

    fn skip(&mut self) -> Result<(), TarError> {
        let rest = self
            .left
            .checked_add(self.padding)
            .ok_or(TarError::Malformed("a size"))?;
        (self.left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())?;
        if skipped == rest {
            Ok(())
        } else {
            Err(TarError::Short)
        }
    }
}

impl<R: Read> Read for Reader<R> {
    /// Reads the entry's data; an early end of the stream is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self
            .inner
            .read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

fn field(block: &[u8; BLOCK], at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads octal text, or GNU's base 256; an empty field is 0, a negative number none.
fn number(bytes: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = bytes
        && first & 0x80 != 0
    {
        if first & 0x7f != 0 {
            return None;
        }
        return rest.iter().try_fold(0_u64, |value, byte| {
            value.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let text = std::str::from_utf8(until_zero(bytes))
        .ok()?
        .trim_matches(' ');
    if text.is_empty() {
        return Some(0);
    }
    if text.starts_with('+') {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

/// Reads pax records: `length key=value\n`, one after the other.
fn pax(mut data: &[u8], extensions: &mut Extensions) -> Result<(), TarError> {
    const BAD: TarError = TarError::Malformed("a pax record");
    while !data.is_empty() {
        let space = data
            .iter()
            .take(8)
            .position(|byte| *byte == b' ')
            .ok_or(BAD)?;
        let length: usize = data
            .get(..space)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .ok_or(BAD)?;
        let record = data.get(space + 1..length).ok_or(BAD)?;
        let record = record.strip_suffix(b"\n").ok_or(BAD)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
        let (key, value) = (
            record.get(..equals).unwrap_or_default(),
            record.get(equals + 1..).unwrap_or_default(),
        );
        let text = || std::str::from_utf8(value).ok();
        match key {
            b"path" => extensions.name = Some(value.to_vec()),
            b"linkpath" => extensions.link = Some(value.to_vec()),
            b"size" => extensions.size = Some(text().and_then(|t| t.parse().ok()).ok_or(BAD)?),
            b"mtime" => {
                // Fractions of a second are cut off.
                let whole = text().and_then(|t| t.split('.').next()).ok_or(BAD)?;
                extensions.modified = Some(whole.parse().map_err(|_| BAD)?);
            }
            _ => {}
        }
        data = data.get(length..).unwrap_or_default();
    }
    Ok(())
}
