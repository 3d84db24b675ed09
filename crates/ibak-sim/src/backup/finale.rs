//! What follows the last uploaded file: manifests, moves, removals, the end and its proof.

use std::collections::HashSet;
use std::sync::Arc;

use plist::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};

use super::download::{Fetched, Sink};
use super::link::Stop;
use super::plists::{self, SnapshotState};
use super::quirks::Quirk;
use super::refusal::Refusal;
use super::run::{Backup, Plan, blocking};
use super::upload::{UPLOAD_PROGRESS_END, Uploaded};
use super::{BackupError, Phase, manifest};
use crate::content::{FileId, FileKind};

const REMOVES_PER_MESSAGE: usize = 1_000;
const MOVES_PER_MESSAGE: usize = 256;

/// The manifests as they were sent.
pub(super) struct Sent {
    plist: Vec<u8>,
    /// Manifest.db before it was encrypted, if it was.
    database: NamedTempFile,
    database_sha1: [u8; 20],
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Backup<'_, '_, S> {
    /// Builds and sends Manifest.plist and Manifest.db.
    pub(super) async fn send_manifests(
        &mut self,
        plan: &Plan,
        uploaded: &Uploaded,
    ) -> Result<Sent, Stop> {
        let (tree, failed) = (Arc::clone(&self.tree), uploaded.failed.clone());
        let sealing = Arc::clone(&self.sealing);
        let work: Box<dyn FnOnce() -> Result<NamedTempFile, BackupError> + Send> =
            match &plan.previous {
                None => Box::new(move || manifest::build(&tree, &failed, &sealing)),
                Some(previous) => {
                    let copy = NamedTempFile::new()?;
                    std::fs::copy(previous.path(), copy.path())?;
                    let difference = plan.difference.clone();
                    Box::new(move || manifest::update(copy, &tree, &difference, &failed, &sealing))
                }
            };
        let sealing = Arc::clone(&self.sealing);
        let hashed = move || {
            let database = work()?;
            let sealed = sealing.seal_database(&database)?;
            let sent = sealed.as_ref().map_or(&database, |(sealed, _)| sealed);
            let (sha1, _) = manifest::digest(sent.path())?;
            Ok::<_, BackupError>((database, sealed, sha1))
        };
        let (database, sealed, database_sha1) = blocking(hashed).await??;
        let host = self.session.host;
        let seal = self
            .sealing
            .keybag()
            .zip(sealed.as_ref().map(|(_, key)| key));
        let plist = plists::manifest(
            host.identity(),
            &self.tree,
            host.passcode_set(),
            self.date,
            seal,
        )?;
        let sent = sealed.as_ref().map_or(&database, |(sealed, _)| sealed);
        let place = if self.quirk(Quirk::ManifestDirect) {
            self.base.clone()
        } else {
            self.path("Snapshot")
        };
        let progress = UPLOAD_PROGRESS_END;
        self.session
            .upload_plist(&format!("{place}/Manifest.plist"), &plist, progress)
            .await?;
        self.session
            .upload_database(&format!("{place}/Manifest.db"), sent.path(), progress)
            .await?;
        Ok(Sent {
            plist,
            database,
            database_sha1,
        })
    }

    /// Moves each file by a message of its own, then the manifests (corpus 13).
    pub(super) async fn move_into_place(
        &mut self,
        plan: &Plan,
        staged: Vec<(FileId, String)>,
    ) -> Result<(), Stop> {
        self.session.enter(Phase::Moving);
        self.write_status(SnapshotState::Moving, UPLOAD_PROGRESS_END)
            .await?;
        let per_message = if self.quirk(Quirk::MovesTogether) {
            MOVES_PER_MESSAGE
        } else {
            1
        };
        let mut moves = plan
            .resumed
            .iter()
            .cloned()
            .chain(staged)
            .map(|(id, from)| {
                let hex = id.hex();
                let to = format!("{}/{}/{hex}", self.base, hex.get(..2).unwrap_or(""));
                (from, to)
            });
        loop {
            let items: Vec<(String, String)> = moves.by_ref().take(per_message).collect();
            if items.is_empty() {
                break;
            }
            self.session.move_items(items, UPLOAD_PROGRESS_END).await?;
            self.session.stop_if_interrupted()?;
        }
        if self.quirk(Quirk::ManifestDirect) {
            return Ok(());
        }
        let names = ["Manifest.plist", "Manifest.db"];
        let pairs = names.map(|name| (self.path(&format!("Snapshot/{name}")), self.path(name)));
        if self.quirk(Quirk::CopyItem) {
            for (from, to) in pairs {
                self.session
                    .copy_item(&from, &to, UPLOAD_PROGRESS_END)
                    .await?;
            }
            return Ok(());
        }
        // One message for both: an incremental without changes was seen with "one move".
        self.session
            .move_items(pairs.to_vec(), UPLOAD_PROGRESS_END)
            .await
    }

    /// Removes what the phone has no longer.
    pub(super) async fn remove_stale(
        &mut self,
        plan: &Plan,
        failed: &HashSet<FileId>,
    ) -> Result<(), Stop> {
        self.session.enter(Phase::Removing);
        self.write_status(SnapshotState::Removing, 98.0).await?;
        let held: HashSet<FileId> = self
            .tree
            .rows
            .iter()
            .filter(|row| row.kind() == FileKind::Regular && !failed.contains(&row.id))
            .map(|row| row.id)
            .collect();
        let mut stale: Vec<String> = plan
            .on_host
            .keys()
            .filter(|id| !held.contains(id))
            .map(|id| {
                let hex = id.hex();
                format!("{}/{}/{hex}", self.base, hex.get(..2).unwrap_or(""))
            })
            .collect();
        stale.sort_unstable();
        for paths in stale.chunks(REMOVES_PER_MESSAGE) {
            self.session.remove_items(paths, 98.0).await?;
        }
        if self.quirk(Quirk::ScratchPaths) {
            self.session.remove_items(&["/.b".to_owned()], 98.0).await?;
        }
        Ok(())
    }

    /// Says that the backup is complete, and removes `Snapshot/`.
    pub(super) async fn finish(&mut self) -> Result<Vec<u8>, Stop> {
        self.session.stop_if_interrupted()?;
        let status = self.write_status(SnapshotState::Finished, 99.0).await?;
        self.session
            .remove_items(&[self.path("Snapshot")], 99.0)
            .await?;
        Ok(status)
    }

    /// From iOS 13 on, downloads what it has just sent and compares it (corpus 14).
    pub(super) async fn verify(&mut self, sent: &Sent, status: &[u8]) -> Result<(), Stop> {
        self.session.enter(Phase::Verifying);
        if self.session.host.identity().ios.major < 13 {
            return Ok(());
        }
        let paths = ["Status.plist", "Manifest.plist", "Manifest.db"].map(|name| self.path(name));
        let [status_path, plist_path, database_path] = paths.clone();
        let files = vec![
            (status_path.clone(), Sink::Memory(Vec::new())),
            (plist_path.clone(), Sink::Memory(Vec::new())),
            (database_path.clone(), Sink::digest()),
        ];
        let mut fetched = self
            .session
            .download(files, Value::Real(100.0))
            .await?
            .into_iter();
        let mut next = || fetched.next();
        if next().and_then(Fetched::bytes).as_deref() != Some(status) {
            return Err(Refusal::verify(&status_path).into());
        }
        if next().and_then(Fetched::bytes).as_ref() != Some(&sent.plist) {
            return Err(Refusal::verify(&plist_path).into());
        }
        if next().and_then(Fetched::sha1) != Some(sent.database_sha1) {
            return Err(Refusal::verify(&database_path).into());
        }
        if self.quirk(Quirk::VerifyLists) {
            self.verify_files(sent).await?;
        }
        Ok(())
    }

    /// Lists every directory and misses no file of the manifest.
    async fn verify_files(&mut self, sent: &Sent) -> Result<(), Stop> {
        let base = self.base.clone();
        let root = self.session.list(&base).await?;
        let present = self.session.list_files(&base, &root).await?;
        let path = sent.database.path().to_owned();
        let Ok(files) = blocking(move || manifest::regular_files(&path)).await? else {
            return Err(BackupError::Phone("its own Manifest.db cannot be read".into()).into());
        };
        if files.iter().all(|id| present.contains_key(id)) {
            Ok(())
        } else {
            Err(Refusal::files_missing().into())
        }
    }
}
