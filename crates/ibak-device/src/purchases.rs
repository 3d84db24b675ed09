//! What was bought in the stores and still lies on the phone as files.
//!
//! Names come from the phone and become names here, so they are checked and never repaired: what
//! does not pass is not read. The list has bounds of depth, number and length; a file is read in
//! pieces of fixed size, exactly as many bytes as the list says, whatever the phone sends.

use crate::afc::{Afc, CHUNK_BYTES, Handle, Kind, SERVICE};
use crate::wire::within;
use crate::{DeviceError, Escrow, Session};
use ibak_core::plist_guard::Limits;
use std::time::{Duration, SystemTime};

const ROOTS: [&str; 2] = ["Purchases", "Books/Purchases"];
/// Largest packet taken: a piece of a file, or the names of one directory; in bytes.
const PACKET_BYTES_MAX: usize = 2 << 20;
/// For the whole list.
const LIST_MAX: Duration = Duration::from_secs(30 * 60);

/// One file, whose name has passed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purchase {
    path: String,
    size: u64,
    modified: Option<SystemTime>,
}

impl Purchase {
    /// Returns its path, for example `Purchases/1234.m4a`: without a leading slash, of ordinary
    /// components without control characters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns its size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns when it was last changed, where the phone says so.
    pub const fn modified(&self) -> Option<SystemTime> {
        self.modified
    }
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurchaseList {
    /// The files, by path, each once.
    pub files: Vec<Purchase>,
    /// How many things were left out: names that are refused, links, devices.
    pub refused: u64,
}

/// The phone's file service, for reading purchases.
#[derive(Debug)]
pub struct Purchases {
    afc: Afc,
}

impl Purchases {
    /// Most files and directories of a list.
    pub const ENTRIES_MAX: u64 = 50_000;
    /// Most directories below each other.
    pub const DEPTH_MAX: usize = 12;
    /// Longest name of one component, in bytes.
    pub const NAME_BYTES_MAX: usize = 255;
    /// Longest path, in bytes.
    pub const PATH_BYTES_MAX: usize = 1024;
    /// Longest piece of a file that is handed over, in bytes.
    pub const PIECE_BYTES_MAX: u64 = CHUNK_BYTES;

    /// Opens the file service.
    ///
    /// # Errors
    /// As [`Session::start_service`].
    pub async fn open(session: &mut Session) -> Result<Self, DeviceError> {
        let service = session.start_service(SERVICE, Escrow::No).await?;
        Ok(Self::over(service.stream, session.deadlines()))
    }

    pub(crate) fn over(stream: Box<dyn crate::Stream>, deadlines: &crate::Deadlines) -> Self {
        let limits = Limits {
            bytes_max: PACKET_BYTES_MAX,
            ..Limits::MESSAGE
        };
        let afc = Afc::over(stream, *deadlines, limits);
        Self { afc }
    }

    /// Lists what is there; nothing when the phone has no such directories.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] when there is more than a phone can have bought; else when the
    /// conversation fails.
    pub async fn list(&mut self) -> Result<PurchaseList, DeviceError> {
        within(SERVICE, LIST_MAX, self.walk()).await
    }

    async fn walk(&mut self) -> Result<PurchaseList, DeviceError> {
        let mut list = PurchaseList::default();
        let mut todo: Vec<(String, usize)> =
            ROOTS.iter().map(|root| ((*root).to_owned(), 1)).collect();
        let mut entries = 0;
        while let Some((dir, depth)) = todo.pop() {
            let Some(names) = self.afc.read_dir(&absolute(&dir)).await? else {
                continue;
            };
            for name in names.split(|byte| *byte == 0) {
                if matches!(name, b"" | b"." | b"..") {
                    continue;
                }
                entries += 1;
                if entries > Self::ENTRIES_MAX {
                    return Err(too_much("more than it can have bought"));
                }
                let Some(path) = child(&dir, name) else {
                    list.refused += 1;
                    continue;
                };
                let Some(info) = self.afc.info(&absolute(&path)).await? else {
                    continue;
                };
                match info.kind {
                    Kind::File => list.files.push(Purchase {
                        path,
                        size: info.size,
                        modified: info.modified,
                    }),
                    Kind::Directory if depth >= Self::DEPTH_MAX => {
                        return Err(too_much("directories below directories without end"));
                    }
                    Kind::Directory => todo.push((path, depth + 1)),
                    Kind::Other => list.refused += 1,
                }
            }
        }
        list.files.sort();
        list.files.dedup_by(|a, b| a.path == b.path);
        if list.refused > 0 {
            tracing::warn!(
                refused = list.refused,
                "purchases with names that are not taken"
            );
        }
        Ok(list)
    }

    /// Opens a file at a place in it, in bytes; from its end on there is nothing to read.
    ///
    /// # Errors
    /// [`DeviceError::Service`] when the phone does not give it; else when the conversation fails.
    pub async fn read(
        &mut self,
        purchase: &Purchase,
        from: u64,
    ) -> Result<PurchaseReader<'_>, DeviceError> {
        let file = self.afc.open_read(&absolute(&purchase.path)).await?;
        if from > 0 {
            self.afc.seek(file, from).await?;
        }
        Ok(PurchaseReader {
            afc: &mut self.afc,
            file: Some(file),
            left: purchase.size.saturating_sub(from),
        })
    }
}

/// A file being read.
#[derive(Debug)]
pub struct PurchaseReader<'a> {
    afc: &'a mut Afc,
    /// `None` once it was closed.
    file: Option<Handle>,
    left: u64,
}

impl PurchaseReader<'_> {
    /// Returns how many bytes are still to come; they come, or an error.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Reads the next piece, at most [`Purchases::PIECE_BYTES_MAX`] and never empty; `None` when the
    /// file was read as far as the list said, and then closes it. Dropping the future ends the use
    /// of the connection.
    ///
    /// # Errors
    /// [`DeviceError::Protocol`] when the file has become shorter; else when the conversation fails.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, DeviceError> {
        let Some(file) = self.file else {
            return Ok(None);
        };
        if self.left == 0 {
            self.file = None;
            self.afc.close(file).await?;
            return Ok(None);
        }
        let piece = self.afc.read(file, self.left.min(CHUNK_BYTES)).await?;
        if piece.is_empty() {
            return Err(DeviceError::Protocol {
                what: SERVICE,
                reason: format!("a file ended {} bytes early", self.left),
            });
        }
        // `read` takes no more than was asked for.
        self.left -= u64::try_from(piece.len()).unwrap_or(self.left);
        Ok(Some(piece))
    }

    /// Closes the file before its end; one that is only dropped stays open on the phone until the
    /// connection ends.
    ///
    /// # Errors
    /// When the conversation fails.
    pub async fn close(mut self) -> Result<(), DeviceError> {
        match self.file.take() {
            Some(file) => self.afc.close(file).await,
            None => Ok(()),
        }
    }
}

fn absolute(path: &str) -> String {
    format!("/{path}")
}

/// Joins a name from the phone to its directory, if it is one component and fit to be kept.
fn child(dir: &str, name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let is_fit = name.len() <= Purchases::NAME_BYTES_MAX
        && !matches!(name, "" | "." | "..")
        && !name.contains('/')
        && !name.chars().any(char::is_control);
    let path = format!("{dir}/{name}");
    (is_fit && path.len() <= Purchases::PATH_BYTES_MAX).then_some(path)
}

fn too_much(reason: &str) -> DeviceError {
    DeviceError::refused(SERVICE, reason.to_owned())
}
