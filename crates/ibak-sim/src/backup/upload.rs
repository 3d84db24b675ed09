//! DLMessageUploadFiles: batches of files from the phone to the host.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::time::Duration;

use plist::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::{Stop, dictionary, integer, nothing};
use super::quirks::Quirk;
use super::refusal::Refusal;
use super::sealing::Sealing;
use super::session::Session;
use super::{BackupError, Faults};
use crate::content::{Body, FileId, Tree};

/// Blocks from the phone carry at most so much data (corpus 17).
const BLOCK_BYTES: usize = 256 << 10;
const BATCH_FILES: usize = 128;
const BATCH_FILES_SMALL: usize = 16;
/// A batch is closed when it holds so much; most real ones are of 2 to 120 MB (corpus shape.md).
const BATCH_BYTES: u64 = 64 << 20;
const ENOSPC: i64 = -15;
const MULTI_STATUS: i64 = -13;
/// Progress while uploading ends here; the moves are parked at it (corpus 13).
pub(super) const UPLOAD_PROGRESS_END: f64 = 97.0;

/// How one file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    /// Code 0x06.
    LocalError,
    /// Code 0x0b.
    RemoteError,
}

/// What was to be uploaded, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Uploaded {
    /// Files that arrived, with the host path they lie at.
    pub(super) staged: Vec<(FileId, String)>,
    /// Files that could not be sent.
    pub(super) failed: HashSet<FileId>,
}

/// The files of a backup, in the order in which they are sent.
pub(super) struct Uploads<'t> {
    pub(super) tree: &'t Tree,
    /// Places in the tree, regular files only.
    pub(super) places: Vec<usize>,
    pub(super) base: &'t str,
    pub(super) faults: &'t Faults,
    pub(super) sealing: &'t Sealing,
}

struct Batch {
    places: Vec<usize>,
    bytes: u64,
    /// What the phone says it is: not exact (corpus 09).
    declared: u64,
}

impl Uploads<'_> {
    fn batches(&self, files_max: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut open = Batch {
            places: Vec::new(),
            bytes: 0,
            declared: 0,
        };
        for &place in &self.places {
            let Some(row) = self.tree.rows.get(place) else {
                continue;
            };
            open.places.push(place);
            let host_bytes = self.sealing.host_bytes(row);
            open.bytes += host_bytes;
            // A live database is counted with the write-ahead log it may still get.
            open.declared += host_bytes
                + if matches!(row.body, Body::Database { .. }) {
                    32_992
                } else {
                    0
                };
            if open.places.len() >= files_max || open.bytes >= BATCH_BYTES {
                batches.push(std::mem::replace(
                    &mut open,
                    Batch {
                        places: Vec::new(),
                        bytes: 0,
                        declared: 0,
                    },
                ));
            }
        }
        if !open.places.is_empty() {
            batches.push(open);
        }
        batches
    }

    fn bytes(&self) -> u64 {
        self.places
            .iter()
            .filter_map(|place| self.tree.rows.get(*place))
            .map(|row| self.sealing.host_bytes(row))
            .sum()
    }
}

/// The file a real phone is known to fail on (corpus domains.json), and where it lies.
const UNREADABLE: (&str, &str) = (
    "HomeDomain",
    "Library/Application Support/FileProvider/backup/backup_manifest.db",
);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    /// Announces a batch.
    async fn announce(
        &mut self,
        callbacks: bool,
        progress: f64,
        bytes: u64,
    ) -> Result<(), BackupError> {
        let options = if callbacks {
            dictionary([("DLDeviceIOCallbacks", 4_955_806_704_i64.into())])
        } else {
            nothing()
        };
        self.link
            .send(vec![
                "DLMessageUploadFiles".into(),
                options,
                Value::Real(progress),
                bytes.into(),
            ])
            .await
    }

    /// Ends a batch and reads what the host makes of it.
    async fn end_batch(&mut self) -> Result<(), Stop> {
        self.link.write(&[0; 4]).await?;
        self.link.flush().await?;
        let reply = self.link.reply().await?;
        let no_space = reply.code == ENOSPC
            || (reply.code == MULTI_STATUS
                && reply
                    .value
                    .as_dictionary()
                    .into_iter()
                    .flat_map(|files| files.values())
                    .any(|file| {
                        file.as_dictionary()
                            .and_then(|file| file.get("DLFileErrorCode"))
                            .and_then(integer)
                            == Some(ENOSPC)
                    }));
        match reply.code {
            0 => Ok(()),
            _ if no_space => Err(Refusal::no_space().into()),
            _ => Err(Refusal::uploading().into()),
        }
    }

    /// Uploads one of the phone's own plists: no callbacks, size 0 (corpus 09).
    pub(super) async fn upload_plist(
        &mut self,
        path: &str,
        bytes: &[u8],
        progress: f64,
    ) -> Result<(), Stop> {
        self.announce(false, progress, 0).await?;
        let device_path = self.temporary_path(path);
        let host_path = self.host_path(path);
        self.send_file(
            &device_path,
            &host_path,
            &mut &*bytes,
            Ending::Whole,
            &mut u64::MAX.clone(),
        )
        .await?;
        self.end_batch().await
    }

    /// Uploads Manifest.db.
    pub(super) async fn upload_database(
        &mut self,
        path: &str,
        file: &std::path::Path,
        progress: f64,
    ) -> Result<(), Stop> {
        let mut reader = std::fs::File::open(file)?;
        self.announce(true, progress, reader.metadata()?.len())
            .await?;
        let device_path = self.temporary_path(path);
        let host_path = self.host_path(path);
        self.send_file(
            &device_path,
            &host_path,
            &mut reader,
            Ending::Whole,
            &mut u64::MAX.clone(),
        )
        .await?;
        self.end_batch().await
    }

    /// A path in the phone's temporary directory: display only (corpus 17).
    fn temporary_path(&self, path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or(path);
        format!(
            "/var/mobile/Library/Caches/Backup/tmp.{}.{name}",
            self.end.moves % 10
        )
    }

    /// Uploads the files, and remembers each batch the host has acknowledged.
    pub(super) async fn upload_files(&mut self, uploads: Uploads<'_>) -> Result<Uploaded, Stop> {
        let small = self.host.quirks().has(Quirk::SmallBatches);
        let batches = uploads.batches(if small {
            BATCH_FILES_SMALL
        } else {
            BATCH_FILES
        });
        let total = uploads.bytes().max(1);
        let mut uploaded = Uploaded::default();
        let mut done = 0;
        let mut drop_in = match (uploads.faults.drop_in, uploads.faults.drop_after_bytes) {
            (None, Some(bytes)) => bytes,
            (Some(_), _) | (None, None) => u64::MAX,
        };
        let mut sent_before = 0;
        for (at, batch) in batches.iter().enumerate() {
            done += batch.bytes;
            let mut progress = done as f64 / total as f64 * (UPLOAD_PROGRESS_END - 1.0);
            if self.host.quirks().has(Quirk::ProgressBackwards) && at == batches.len() / 2 {
                progress *= 0.75;
            }
            self.announce(true, progress, batch.declared).await?;
            if at == 0 {
                self.send_unreadable(uploads.base).await?;
            }
            let mut acknowledged = HashMap::new();
            for &place in &batch.places {
                if self.interruption().is_some() {
                    break;
                }
                let Some(row) = uploads.tree.rows.get(place) else {
                    continue;
                };
                let ending = ending(uploads.faults, sent_before);
                sent_before += 1;
                let staged = self.staged_path(uploads.base, &row.id, place);
                let device_path = self.display_path(&uploads.tree.device_path(row));
                let host_path = self.host_path(&staged);
                let mut reader = uploads.sealing.open(uploads.tree, row);
                self.send_file(&device_path, &host_path, &mut reader, ending, &mut drop_in)
                    .await?;
                if ending == Ending::Whole {
                    self.end.uploaded_files += 1;
                    self.end.uploaded_bytes += uploads.sealing.host_bytes(row);
                    acknowledged.insert(row.id, row.version);
                    uploaded.staged.push((row.id, staged));
                } else {
                    uploaded.failed.insert(row.id);
                }
            }
            self.end_batch().await?;
            self.remember_uploaded(acknowledged);
            self.stop_if_interrupted()?;
        }
        Ok(uploaded)
    }

    /// Where a file waits for its place: in `Snapshot/`, or with the quirk every eighth in `/.b/`.
    fn staged_path(&self, base: &str, id: &FileId, place: usize) -> String {
        let hex = id.hex();
        if self.host.quirks().has(Quirk::ScratchPaths) && place.is_multiple_of(8) {
            return format!("/.b/6/Containers/{hex}");
        }
        format!("{base}/Snapshot/{}/{hex}", hex.get(..2).unwrap_or(""))
    }

    /// From iOS 15 the phone reads from a mounted snapshot (corpus 17).
    fn display_path(&self, path: &str) -> String {
        match path.strip_prefix("/var/") {
            Some(rest) if self.host.identity().ios.major >= 15 => format!("/.ba/{rest}"),
            Some(_) | None => path.to_owned(),
        }
    }

    async fn send_unreadable(&mut self, base: &str) -> Result<(), Stop> {
        if !self.host.quirks().has(Quirk::UnreadableManifest) {
            return Ok(());
        }
        let id = FileId::of(UNREADABLE.0, UNREADABLE.1).hex();
        let host_path = self.host_path(&format!(
            "{base}/Snapshot/{}/{id}",
            id.get(..2).unwrap_or("")
        ));
        let device_path = format!("/var/mobile/{}", UNREADABLE.1);
        let mut nothing: &[u8] = &[];
        self.send_file(
            &device_path,
            &host_path,
            &mut nothing,
            Ending::RemoteError,
            &mut u64::MAX.clone(),
        )
        .await
    }

    /// Sends one file: names, blocks, end. A file that fails does so after half of its bytes.
    async fn send_file(
        &mut self,
        device_path: &str,
        host_path: &str,
        reader: &mut (impl Read + Send),
        ending: Ending,
        drop_in: &mut u64,
    ) -> Result<(), Stop> {
        self.link.write_name(device_path).await?;
        self.link.write_name(host_path).await?;
        let mut buffer = std::mem::take(&mut self.block);
        buffer.resize(BLOCK_BYTES, 0);
        let mut blocks = 0_u64;
        loop {
            let rate = self.host.upload_rate();
            let wish = rate.map_or(BLOCK_BYTES, |rate| {
                usize::try_from(rate / 8).unwrap_or(BLOCK_BYTES)
            });
            let wish = wish.clamp(1 << 10, BLOCK_BYTES);
            let n = buffer
                .get_mut(..wish)
                .map_or(Ok(0), |part| reader.read(part))?;
            let Some(part) = buffer.get(..n).filter(|part| !part.is_empty()) else {
                break;
            };
            // Half of what there is: the first block only, and half of that.
            let part = if ending == Ending::Whole {
                part
            } else {
                part.get(..n / 2).unwrap_or(part)
            };
            if *drop_in < part.len() as u64 {
                // The cut falls into the block: its head promises more than comes.
                let rest = usize::try_from(*drop_in).unwrap_or(0);
                self.link.write_cut_block(0x0c, part, rest).await?;
                return Err(BackupError::Dropped.into());
            }
            *drop_in -= part.len() as u64;
            self.link.write_block(0x0c, part).await?;
            blocks += 1;
            if let Some(rate) = rate {
                self.link.flush().await?;
                tokio::time::sleep(Duration::from_secs_f64(
                    part.len() as f64 / rate.max(1) as f64,
                ))
                .await;
            }
            if ending != Ending::Whole {
                break;
            }
            if blocks.is_multiple_of(64) {
                // Making bytes never waits; others on this thread shall have their turn.
                tokio::task::yield_now().await;
            }
        }
        self.block = buffer;
        match ending {
            Ending::Whole => self.link.write_block(0x00, &[]).await?,
            Ending::LocalError => {
                self.link
                    .write_block(0x06, b"Input/output error (5)")
                    .await?
            }
            Ending::RemoteError => {
                self.link
                    .write_block(0x0b, b"Input/output error (5)")
                    .await?
            }
        }
        Ok(())
    }
}

/// Returns how the file number `at` ends: first the local errors, then the remote ones.
fn ending(faults: &Faults, at: u64) -> Ending {
    if at < faults.local_errors {
        Ending::LocalError
    } else if at < faults.local_errors.saturating_add(faults.remote_errors) {
        Ending::RemoteError
    } else {
        Ending::Whole
    }
}
