//! A folder as a tar stream. The end mark is only written when everything before it is whole.

use super::{Contents, Folder, Trouble};
use std::fs::File;
use std::io::{self, Read, Write};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// Is how many bytes are moved at once.
const BLOCK_BYTES: usize = 128 * 1024;

/// Why a stream ended early.
#[derive(Debug)]
pub enum Stopped {
    /// Something in the folder cannot be sent.
    Folder(Trouble),
    /// Whoever reads the stream has gone away, and knows why.
    Gone,
    /// It cannot be written.
    Write(io::Error),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self::Folder(trouble)
    }
}

fn of_write(error: io::Error) -> Stopped {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Stopped::Gone
    } else {
        Stopped::Write(error)
    }
}

/// Writes every file of the folder.
///
/// # Errors
/// What stopped it; the stream then has no end mark and is no whole one.
pub fn pack(folder: &Folder, contents: &Contents, out: &mut impl Write) -> Result<(), Stopped> {
    let mut block = vec![0; BLOCK_BYTES];
    for item in &contents.items {
        let (file, size, modified) = folder.file(&item.name)?;
        out.write_all(header(&item.name, size, modified)?.as_bytes())
            .map_err(of_write)?;
        let sent = copy(&item.name, file, size, &mut block, out)?;
        let padding = sent.next_multiple_of(BLOCK) - sent;
        io::copy(&mut io::repeat(0).take(padding), out).map_err(of_write)?;
    }
    io::copy(&mut io::repeat(0).take(2 * BLOCK), out).map_err(of_write)?;
    out.flush().map_err(of_write)
}

fn header(name: &str, size: u64, modified: u64) -> Result<Header, Trouble> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(size);
    header.set_mtime(modified);
    header
        .set_path(name)
        .map_err(|_| Trouble::new(format!("{name} has a longer name than any phone gives")))?;
    header.set_cksum();
    Ok(header)
}

/// Copies exactly what the header promised.
fn copy(
    name: &str,
    mut file: File,
    size: u64,
    block: &mut [u8],
    out: &mut impl Write,
) -> Result<u64, Stopped> {
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        let part = block.get_mut(..wanted).unwrap_or_default();
        match file.read(part) {
            Ok(0) => {
                return Err(
                    Trouble::new(format!("{name} became shorter while it was read"))
                        .hint("end the program that changes it, and run it again")
                        .into(),
                );
            }
            Ok(read) => {
                out.write_all(part.get(..read).unwrap_or_default())
                    .map_err(of_write)?;
                left -= u64::try_from(read).unwrap_or(left);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::new(format!("{name}: {error}")).into()),
        }
    }
    Ok(size)
}
