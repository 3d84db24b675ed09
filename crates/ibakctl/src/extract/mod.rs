//! Unpacks the daemon's tar stream beneath one directory.
//!
//! What a backup holds was named by a phone, or by whoever made the phone's files, so every name
//! is hostile until proven plain: [`name`] refuses what is odd, [`target`] resolves each name
//! beneath the directory's own handle and through no link, and what exists stays unless the
//! person said otherwise. A file appears under its name only when all of it is there. Nothing
//! that is refused ends the unpacking: it is counted and told.

pub mod name;
pub mod tar;
pub mod target;

use name::{Name, Odd};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use tar::{Kind, Reader, TarError};
use target::{Made, Refusal, Target};

/// Is how many refused names are remembered; the others are only counted.
pub const REFUSED_LISTED_MAX: usize = 10;
/// Is how many entries a stream may have; a phone's backup has at most this many files.
pub const ENTRIES_MAX: u64 = 10_000_000;

/// What to do with what a plain copy leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Replaces files that are there.
    pub overwrite: bool,
    /// Makes symbolic links too.
    pub symlinks: bool,
}

/// Why an entry was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Its name is not one a file may have here.
    Name(Odd),
    /// It came twice.
    Twice,
    /// It is a hard link, a device or another thing that a backup has not.
    Kind,
    /// On the way to it lies a link, or something that is no directory.
    Way,
    /// The directory it is to go into may not be written.
    Denied,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Symbolic links made.
    pub links: u64,
    /// Symbolic links left out.
    pub links_skipped: u64,
    /// Files left alone because something of that name was there.
    pub present: u64,
    /// Entries refused.
    pub refused: u64,
    /// The first [`REFUSED_LISTED_MAX`] of them: the name as it came, and why.
    pub listed: Vec<(String, Why)>,
}

impl Summary {
    fn refuse(&mut self, name: &[u8], why: Why) {
        self.refused += 1;
        if self.listed.len() < REFUSED_LISTED_MAX {
            let shown: String = String::from_utf8_lossy(name).chars().take(200).collect();
            self.listed.push((shown, why));
        }
    }
}

/// What ended the unpacking before its end.
#[derive(Debug)]
pub enum Stopped {
    /// The stream is no tar stream, or not whole.
    Stream(TarError),
    /// Writing failed.
    Write(io::Error),
    /// The stream has more than [`ENTRIES_MAX`] entries.
    TooMany,
}

/// Unpacks a stream to its end; what was written before an error stays.
///
/// # Errors
/// [`Stopped`]; the summary tells how far it came.
pub fn unpack(
    stream: impl Read,
    target: &mut Target,
    rules: Rules,
    summary: &mut Summary,
) -> Result<(), Stopped> {
    let mut reader = Reader::new(stream);
    let hasher = RandomState::new();
    let mut seen: HashSet<u64> = HashSet::new();
    let mut entries = 0_u64;
    while let Some(header) = reader.next_entry().map_err(Stopped::Stream)? {
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(Stopped::TooMany);
        }
        let name = match Name::parse(&header.name) {
            Ok(name) => name,
            Err(odd) => {
                summary.refuse(&header.name, Why::Name(odd));
                continue;
            }
        };
        let directory = matches!(header.kind, Kind::Directory);
        // Directories may be named as often as one likes; a file only once.
        if !directory && !seen.insert(hasher.hash_one(name.parts())) {
            summary.refuse(&header.name, Why::Twice);
            continue;
        }
        let made = match &header.kind {
            Kind::Directory => target.directory(&name),
            Kind::File => target.file(&name, &header, &mut reader, rules.overwrite),
            Kind::Symlink(_) if !rules.symlinks => {
                summary.links_skipped += 1;
                continue;
            }
            Kind::Symlink(to) => target.symlink(&name, to, rules.overwrite),
            Kind::Other(_) => Err(Refusal::Kind),
        };
        count(made, &header.name, summary)?;
    }
    Ok(())
}

fn count(made: Result<Made, Refusal>, name: &[u8], summary: &mut Summary) -> Result<(), Stopped> {
    match made {
        Ok(Made::File(bytes)) => {
            summary.files += 1;
            summary.bytes += bytes;
        }
        Ok(Made::Directory) => {}
        Ok(Made::Link) => summary.links += 1,
        Ok(Made::Present) => summary.present += 1,
        Err(Refusal::Kind) => summary.refuse(name, Why::Kind),
        Err(Refusal::Way) => summary.refuse(name, Why::Way),
        Err(Refusal::Denied) => summary.refuse(name, Why::Denied),
        Err(Refusal::Stream(error)) => return Err(Stopped::Stream(error)),
        Err(Refusal::Write(error)) => return Err(Stopped::Write(error)),
    }
    Ok(())
}
