//! What the store builds from the verbs of [`Fs`].

use super::{Errno, Fs, Kind, Open, Replace};
use std::io;

/// Directories deeper than this are not ours.
pub(crate) const DEPTH_MAX: u32 = 80;

/// Bytes moved at a time.
pub(crate) const CHUNK: usize = 256 << 10;

/// Reads a whole small file; EFBIG above `max` bytes.
pub(crate) fn read_small<F: Fs>(
    fs: &F,
    dir: &F::Handle,
    path: &str,
    max: u64,
) -> Result<Vec<u8>, Errno> {
    let file = fs.open(dir, path, Open::Read)?;
    let stat = fs.stat_handle(&file)?;
    if stat.kind != Kind::Regular {
        return Err(Errno::INVAL);
    }
    if stat.size > max {
        return Err(Errno::FBIG);
    }
    let mut bytes = vec![0; usize::try_from(stat.size).map_err(|_| Errno::FBIG)?];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match fs.read(&file, rest)? {
            0 => return Err(Errno::IO),
            some => filled += some,
        }
    }
    Ok(bytes)
}

/// Writes all of `block`.
pub(crate) fn write_all<F: Fs>(fs: &F, file: &F::Handle, mut block: &[u8]) -> Result<(), Errno> {
    while !block.is_empty() {
        match fs.write(file, block)? {
            0 => return Err(Errno::IO),
            some => block = block.get(some..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Writes a new file and makes its content durable, not its name.
pub(crate) fn write_new<F: Fs>(
    fs: &F,
    dir: &F::Handle,
    name: &str,
    bytes: &[u8],
) -> Result<(), Errno> {
    let file = fs.open(dir, name, Open::CreateNew)?;
    write_all(fs, &file, bytes)?;
    fs.sync(&file)?;
    fs.close(file)
}

/// Replaces a small file of ours so that a crash leaves the old or the new one.
pub(crate) fn replace<F: Fs>(
    fs: &F,
    dir: &F::Handle,
    name: &str,
    bytes: &[u8],
) -> Result<(), Errno> {
    let fresh = format!("{name}.tmp");
    absent_ok(fs.unlink(dir, &fresh))?;
    write_new(fs, dir, &fresh, bytes)?;
    fs.rename(dir, &fresh, dir, name, Replace::Yes)?;
    fs.sync(dir)
}

/// Takes "it does not exist" for success.
pub(crate) fn absent_ok(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Opens a directory, making it when absent.
pub(crate) fn ensure_dir<F: Fs>(fs: &F, dir: &F::Handle, name: &str) -> Result<F::Handle, Errno> {
    match fs.open(dir, name, Open::Directory) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    match fs.make_dir(dir, name) {
        Ok(()) | Err(Errno::EXIST) => fs.open(dir, name, Open::Directory),
        Err(errno) => Err(errno),
    }
}

/// Removes a file, link or whole tree; absent is fine. Returns whether it was a directory.
pub(crate) fn remove_all<F: Fs>(fs: &F, dir: &F::Handle, name: &str) -> Result<bool, Errno> {
    remove_below(fs, dir, name, DEPTH_MAX)
}

fn remove_below<F: Fs>(fs: &F, dir: &F::Handle, name: &str, depth: u32) -> Result<bool, Errno> {
    match fs.unlink(dir, name) {
        Ok(()) | Err(Errno::NOENT) => return Ok(false),
        // Linux says EISDIR, POSIX says EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    if depth == 0 {
        return Err(Errno::NAMETOOLONG);
    }
    let inner = fs.open(dir, name, Open::Directory)?;
    for entry in fs.read_dir(&inner)? {
        remove_below(fs, &inner, &entry.name, depth - 1)?;
    }
    drop(inner);
    absent_ok(fs.remove_dir(dir, name))?;
    Ok(true)
}

/// Lists a directory in byte order.
pub(crate) fn sorted<F: Fs>(fs: &F, dir: &F::Handle) -> Result<Vec<super::Name>, Errno> {
    let mut names = fs.read_dir(dir)?;
    names.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(names)
}

/// Copies the rest of a file, inside the kernel where it can.
pub(crate) fn copy_rest<F: Fs>(fs: &F, from: &F::Handle, to: &F::Handle) -> Result<(), Errno> {
    loop {
        match fs.copy_range(from, to, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let some = fs.read(from, &mut buffer)?;
        if some == 0 {
            return Ok(());
        }
        write_all(fs, to, buffer.get(..some).unwrap_or_default())?;
    }
}

/// Hashes the rest of a file; returns its length and BLAKE3.
pub(crate) fn hash_rest<F: Fs>(fs: &F, file: &F::Handle) -> Result<(u64, [u8; 32]), Errno> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut size = 0u64;
    loop {
        let some = fs.read(file, &mut buffer)?;
        if some == 0 {
            return Ok((size, *hasher.finalize().as_bytes()));
        }
        hasher.update(buffer.get(..some).unwrap_or_default());
        size = size.saturating_add(u64::try_from(some).unwrap_or(u64::MAX));
    }
}

/// Reads an open file as `std::io` wants it.
pub(crate) struct Reading<F: Fs> {
    pub(crate) fs: F,
    pub(crate) file: F::Handle,
}

impl<F: Fs> io::Read for Reading<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.fs.read(&self.file, buffer)?)
    }
}

/// Makes a directory and every directory below it durable, not the files.
pub(crate) fn sync_dirs<F: Fs>(fs: &F, dir: &F::Handle) -> Result<(), Errno> {
    for entry in fs.read_dir(dir)? {
        if entry.kind == Kind::Directory {
            sync_dirs(fs, &fs.open(dir, &entry.name, Open::Directory)?)?;
        }
    }
    fs.sync(dir)
}
