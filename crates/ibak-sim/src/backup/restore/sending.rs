//! The files of a restore, and what the phone writes to the host around them.

use std::collections::HashSet;
use std::time::SystemTime;

use plist::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::Phase;
use super::super::crypto::{BackupLock, ClassKeys};
use super::super::download::{Fetched, Sink};
use super::super::link::Stop;
use super::super::locked;
use super::super::quirks::Quirk;
use super::super::refusal::Refusal;
use super::intake::Intake;
use super::reading::{Backup, dictionary};
use super::rows::Row;
use super::unlock::key_of;
use super::{Restore, RestoredContent, RestoredFile};
use crate::content::{FileId, FileKind};

const BATCH_FILES: usize = 128;
const BATCH_FILES_SMALL: usize = 16;
const BATCH_BYTES: u64 = 64 << 20;
/// Progress while files come ends here (corpus 10: 97).
const PROGRESS_END: f64 = 97.0;
/// Where the manifests are copied to when a copy is asked for: scratch, as backups use it
/// (corpus 18).
const SCRATCH: &str = ".b/7";

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Restore<'_, '_, S> {
    fn quirk(&self, quirk: Quirk) -> bool {
        self.session.host.quirks().has(quirk)
    }

    /// Has the host copy what the restore may change, unless it asked for no copy.
    pub(super) async fn copy(&mut self) -> Result<(), Stop> {
        if !self.options.copy || self.quirk(Quirk::RestoreWritesNothing) {
            return Ok(());
        }
        if self.quirk(Quirk::RestoreCopiesTree) {
            let seconds = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs();
            let to = format!("{}-{seconds}", self.source);
            return self.session.copy_item(&self.source.clone(), &to, 1.0).await;
        }
        for path in [".b", SCRATCH] {
            self.session.create_directory(path).await?;
        }
        for name in ["Status.plist", "Manifest.plist", "Manifest.db"] {
            let (from, to) = (self.path(name), format!("{SCRATCH}/{name}"));
            self.session.copy_item(&from, &to, 1.0).await?;
        }
        Ok(())
    }

    /// Takes every file of the backup, batch by batch.
    pub(super) async fn take(&mut self, backup: Backup) -> Result<RestoredContent, Stop> {
        self.session.enter(Phase::Sending);
        self.session.throttled = true;
        let Backup {
            status,
            rows,
            lock,
            mut content,
        } = backup;
        let keys = lock.as_ref().map(BackupLock::keys);
        let (files, others): (Vec<Row>, Vec<Row>) = rows
            .into_iter()
            .partition(|row| row.file.kind == FileKind::Regular);
        let total = files.iter().map(|row| row.file.size).sum::<u64>().max(1);
        let mut keep = |file: RestoredFile| {
            let key = (file.domain.clone(), file.path.clone());
            content.files.insert(key, file);
        };
        others.into_iter().for_each(|row| keep(row.file));
        let mut done = 0_u64;
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let batch = self.batch(&mut files);
            done += batch.iter().map(|row| row.file.size).sum::<u64>();
            let progress = done as f64 / total as f64 * PROGRESS_END;
            for file in self.take_batch(batch, keys, progress).await? {
                keep(file);
            }
            self.session.stop_if_interrupted()?;
        }
        self.session.throttled = false;
        if self.quirk(Quirk::EmptyDownload) {
            let progress = Value::Real(PROGRESS_END);
            self.session.download(Vec::new(), progress).await?;
        }
        self.update_status(&status).await?;
        content.restore_applications = self
            .session
            .host
            .restore_applications()
            .and_then(|bytes| dictionary(&bytes))
            .map(|applications| applications.keys().cloned().collect());
        content.others_kept = self.others_kept(&content);
        Ok(content)
    }

    fn batch(&self, files: &mut std::iter::Peekable<impl Iterator<Item = Row>>) -> Vec<Row> {
        let files_max = if self.quirk(Quirk::SmallBatches) {
            BATCH_FILES_SMALL
        } else {
            BATCH_FILES
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < files_max && bytes < BATCH_BYTES {
            let Some(row) = files.next() else { break };
            bytes += row.file.size;
            batch.push(row);
        }
        batch
    }

    async fn take_batch(
        &mut self,
        batch: Vec<Row>,
        keys: Option<&ClassKeys>,
        progress: f64,
    ) -> Result<Vec<RestoredFile>, Stop> {
        let mut sinks = Vec::with_capacity(batch.len());
        for row in &batch {
            let hex = row.file.id.hex();
            let path = self.path(&format!("{}/{hex}", hex.get(..2).unwrap_or("")));
            let key = key_of(keys, row)?;
            let intake = Intake::new(row.file.size, key.as_ref());
            sinks.push((path, Sink::Restored(Box::new(intake))));
        }
        let fetched = self.session.download(sinks, Value::Real(progress)).await?;
        let mut files = Vec::with_capacity(batch.len());
        for (row, fetched) in batch.into_iter().zip(fetched) {
            let taken = match fetched {
                Fetched::Whole(Sink::Restored(intake)) => intake.end(),
                Fetched::Whole(_) | Fetched::Failed(_) => None,
            };
            let Some(taken) = taken else {
                return Err(Refusal::downloading().into());
            };
            self.session.end.restored_files += 1;
            self.session.end.restored_bytes += taken.bytes;
            files.push(RestoredFile {
                sha1: Some(taken.sha1),
                ..row.file
            });
        }
        Ok(files)
    }

    /// Writes Status.plist as it was ("Updating backup info" in the log of LIMD #438).
    async fn update_status(&mut self, status: &[u8]) -> Result<(), Stop> {
        if self.quirk(Quirk::RestoreWritesNothing) {
            return Ok(());
        }
        let path = self.path("Status.plist");
        self.session.upload_plist(&path, status, 98.0).await
    }

    /// Counts the phone's own files that the backup does not have and that stay.
    fn others_kept(&self, content: &RestoredContent) -> u64 {
        if self.options.remove_others {
            return 0;
        }
        let restored: HashSet<FileId> = content.files().map(|file| file.id).collect();
        let own = self.session.host.content();
        let own = locked(&own);
        own.files()
            .filter(|file| file.kind == FileKind::Regular && !restored.contains(&file.id))
            .count() as u64
    }

    /// Removes its scratch from the host.
    pub(super) async fn end(&mut self) -> Result<(), Stop> {
        self.session.stop_if_interrupted()?;
        let scratch = self.options.copy
            && !self.quirk(Quirk::RestoreWritesNothing)
            && !self.quirk(Quirk::RestoreCopiesTree);
        if scratch {
            self.session.remove_items(&[".b".to_owned()], 99.0).await?;
        }
        Ok(())
    }
}
