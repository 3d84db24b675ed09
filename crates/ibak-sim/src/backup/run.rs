//! A backup, phase by phase (phone.md §5).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use plist::{Dictionary, Value};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};

use super::download::{Fetched, Sink};
use super::link::Stop;
use super::manifest::{self, Difference};
use super::operations::{Entry, prefixes};
use super::plists::{self, PreviousManifest, SnapshotState, Status};
use super::quirks::Quirk;
use super::refusal::Refusal;
use super::session::Session;
use super::upload::{UPLOAD_PROGRESS_END, Uploaded, Uploads};
use super::{
    BackupError, Faults, Interruption, LastBackup, Partial, PasscodeAnswer, Phase, locked,
};
use crate::content::{FileId, FileKind, Tree};

/// How long the phone waits for the host's first reply: not known; a host may hold it (phone.md §1).
const FIRST_REPLY_PATIENCE: Duration = Duration::from_secs(30 * 60);
const FIRST_REPLY_PATIENCE_SHORT: Duration = Duration::from_secs(60);
const REMOVES_PER_MESSAGE: usize = 1_000;
const MOVES_PER_MESSAGE: usize = 256;

/// Runs a backup; what stops it on the phone's side is looked at between files and messages.
pub(super) async fn backup<S>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let host = session.host;
    let slot = Arc::new(OnceLock::new());
    session.interrupted = Arc::clone(&slot);
    let force = request
        .get("Options")
        .and_then(Value::as_dictionary)
        .and_then(|options| options.get("ForceFullBackup"))
        .and_then(Value::as_boolean)
        .unwrap_or(false);
    let watch = async {
        let interruption = host.interrupted().await;
        slot.get_or_init(|| interruption);
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        result = run(session, force) => result,
        never = watch => match never {},
    }
}

async fn run<S>(session: &mut Session<'_, S>, force: bool) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let host = session.host;
    host.backup_phase(Phase::Asked);
    let faults = host.faults();
    if let Some(code) = faults.refuse_with {
        return Err(Refusal::on_demand(code).into());
    }
    match host.passcode_prompt().await {
        PasscodeAnswer::NotAsked | PasscodeAnswer::Given => {}
        PasscodeAnswer::Ignored | PasscodeAnswer::Dismissed => return Err(Refusal::locked().into()),
    }
    session.stop_if_interrupted()?;
    tokio::time::sleep(host.silence()).await;
    host.backup_phase(Phase::Scanning);
    let tree = locked(&host.content()).snapshot();
    let base = host.identity().udid.clone();
    let mut backup = Backup {
        session,
        base,
        tree,
        faults,
        uuid: new_uuid(),
        date: SystemTime::now(),
    };
    let plan = backup.plan(force).await?;
    backup.prepare(&plan).await?;
    let uploaded = backup.upload(&plan).await?;
    let sent = backup.send_manifests(&plan, &uploaded).await?;
    backup.move_into_place(&plan, uploaded.staged).await?;
    backup.remove_stale(&plan, &uploaded.failed).await?;
    let status = backup.finish().await?;
    backup.verify(&sent, &status).await?;
    backup.remember();
    Ok(())
}

fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string().to_uppercase()
}

struct Backup<'s, 'h, S> {
    session: &'s mut Session<'h, S>,
    /// The backup's directory on the host: the UDID.
    base: String,
    tree: Arc<Tree>,
    faults: Faults,
    uuid: String,
    date: SystemTime,
}

/// What the scan found out.
struct Plan {
    /// The host's Manifest.db, which an incremental backup changes; `None` in a full one.
    previous: Option<NamedTempFile>,
    difference: Difference,
    /// The host's directory at the start.
    root: HashMap<String, Entry>,
    on_host: HashMap<FileId, u64>,
    /// Places of regular files to upload.
    uploads: Vec<usize>,
    upload_bytes: u64,
    /// Files that wait in `Snapshot/` since an interrupted backup.
    resumed: Vec<(FileId, String)>,
}

/// The manifests as they were sent.
struct Sent {
    plist: Vec<u8>,
    database: NamedTempFile,
    database_sha1: [u8; 20],
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Backup<'_, '_, S> {
    fn quirk(&self, quirk: Quirk) -> bool {
        self.session.host.quirks().has(quirk)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    /// Reads the host's state and decides what has to be sent.
    async fn plan(&mut self, force: bool) -> Result<Plan, Stop> {
        let status = self.read_status().await?;
        let interrupted = status
            .as_ref()
            .is_some_and(|status| status.state != SnapshotState::Finished);
        let resume = interrupted
            && !force
            && !self.quirk(Quirk::NoResume)
            && self.remembers(status.as_ref());
        let previous = if force || status.is_none() {
            None
        } else {
            self.previous_manifest(interrupted).await?
        };
        if self.quirk(Quirk::EmptyDownload) {
            self.session.download(Vec::new(), Value::Real(0.0)).await?;
        }
        let root = self.session.list(&self.base.clone()).await?;
        let on_host = self.session.list_files(&self.base.clone(), &root).await?;
        let staged = self.staged(&root, resume).await?;
        if let (true, Some(status)) = (resume, status) {
            self.uuid = status.uuid;
        }
        let (previous, difference) = self.compare(previous, &on_host).await?;
        if difference.missing_on_host.is_some() {
            return Err(Refusal::files_missing().into());
        }
        self.session.end.full = previous.is_none();
        let mut plan = Plan {
            previous,
            difference,
            root,
            on_host,
            uploads: Vec::new(),
            upload_bytes: 0,
            resumed: Vec::new(),
        };
        self.choose(&mut plan, &staged);
        self.session.stop_if_interrupted()?;
        self.session.claim_space(plan.upload_bytes).await?;
        Ok(plan)
    }

    /// The first message of every backup; the host may hold its reply.
    async fn read_status(&mut self) -> Result<Option<Status>, Stop> {
        let patience = if self.quirk(Quirk::Impatient) {
            FIRST_REPLY_PATIENCE_SHORT
        } else {
            FIRST_REPLY_PATIENCE
        };
        let path = self.path("Status.plist");
        let files = vec![(path.clone(), Sink::Memory(Vec::new()))];
        let reply = tokio::time::timeout(patience, self.session.download(files, 0.into())).await;
        let Ok(fetched) = reply else {
            return Err(BackupError::Protocol(format!(
                "no first reply in {} s",
                patience.as_secs()
            ))
            .into());
        };
        let fetched = match fetched {
            Err(Stop::Refuse(_)) => return Err(Refusal::reading_status(&path).into()),
            other => other?.into_iter().next(),
        };
        match fetched {
            Some(fetched) if fetched.is_absent() => Ok(None),
            Some(Fetched::Whole(Sink::Memory(bytes))) => match Status::parse(&bytes) {
                Some(status) => Ok(Some(status)),
                None => Err(Refusal::reading_status(&path).into()),
            },
            Some(_) | None => Err(Refusal::reading_status(&path).into()),
        }
    }

    /// Whether the interrupted backup on the host is the one this phone remembers.
    ///
    /// A phone that remembers nothing trusts the sizes it finds.
    fn remembers(&self, status: Option<&Status>) -> bool {
        let memory = self.session.host.memory();
        let memory = locked(&memory);
        memory
            .partial
            .as_ref()
            .is_none_or(|partial| status.is_some_and(|status| status.uuid == partial.uuid))
    }

    /// Downloads the host's manifests; `None` means that a full backup follows.
    async fn previous_manifest(
        &mut self,
        interrupted: bool,
    ) -> Result<Option<NamedTempFile>, Stop> {
        let database = NamedTempFile::new()?;
        let (plist_path, database_path) = (self.path("Manifest.plist"), self.path("Manifest.db"));
        let files = vec![
            (plist_path.clone(), Sink::Memory(Vec::new())),
            (database_path.clone(), Sink::File(database.reopen()?)),
        ];
        let mut fetched = self.session.download(files, 0.into()).await?.into_iter();
        let (Some(plist), Some(db)) = (fetched.next(), fetched.next()) else {
            return Err(BackupError::Phone("a download lost its files".into()).into());
        };
        match plist {
            absent if absent.is_absent() && interrupted => return Ok(None),
            absent if absent.is_absent() => {
                return Err(Refusal::manifest_absent(&plist_path).into());
            }
            Fetched::Failed(_) => {
                return Err(
                    Refusal::reading_properties(&plist_path, "Input/output error (5)").into(),
                );
            }
            whole @ Fetched::Whole(_) => {
                let bytes = whole.bytes().unwrap_or_default();
                if plists::judge_manifest(&bytes, self.session.host.identity())
                    == PreviousManifest::Unusable
                {
                    return Ok(None);
                }
            }
        }
        match db {
            Fetched::Whole(_) => Ok(Some(database)),
            absent if absent.is_absent() && interrupted => Ok(None),
            absent if absent.is_absent() => Err(Refusal::manifest_absent(&database_path).into()),
            Fetched::Failed(_) => {
                Err(Refusal::reading_properties(&database_path, "Input/output error (5)").into())
            }
        }
    }

    /// Lists what an interrupted backup left in `Snapshot/`, or removes it.
    async fn staged(
        &mut self,
        root: &HashMap<String, Entry>,
        resume: bool,
    ) -> Result<HashMap<FileId, u64>, Stop> {
        if !root.get("Snapshot").is_some_and(|entry| entry.directory) {
            return Ok(HashMap::new());
        }
        let snapshot = self.path("Snapshot");
        if !resume {
            self.session.remove_items(&[snapshot], 0.0).await?;
            return Ok(HashMap::new());
        }
        let present = self.session.list(&snapshot).await?;
        self.session.list_files(&snapshot, &present).await
    }

    /// Compares the phone with the host's Manifest.db; without one, everything is new.
    async fn compare(
        &self,
        previous: Option<NamedTempFile>,
        on_host: &HashMap<FileId, u64>,
    ) -> Result<(Option<NamedTempFile>, Difference), Stop> {
        let Some(previous) = previous else {
            let difference = Difference {
                changed: (0..self.tree.rows.len()).collect(),
                ..Difference::default()
            };
            return Ok((None, difference));
        };
        let (tree, on_host) = (Arc::clone(&self.tree), on_host.clone());
        let work = move || {
            manifest::compare(previous.path(), &tree, &on_host)
                .map(|difference| (previous, difference))
        };
        match blocking(work).await? {
            Ok((previous, difference)) => Ok((Some(previous), difference)),
            Err(manifest::Damaged) => {
                Err(Refusal::manifest_damaged(&self.path("Manifest.db")).into())
            }
        }
    }

    /// Chooses what to upload: what is different and does not already wait in `Snapshot/`.
    fn choose(&mut self, plan: &mut Plan, staged: &HashMap<FileId, u64>) {
        let memory = self.session.host.memory();
        let memory = locked(&memory);
        for &place in &plan.difference.changed {
            let Some(row) = self
                .tree
                .rows
                .get(place)
                .filter(|row| row.kind() == FileKind::Regular)
            else {
                continue;
            };
            let same_version = memory
                .partial
                .as_ref()
                .is_none_or(|partial| partial.uploaded.get(&row.id) == Some(&row.version));
            if same_version && staged.get(&row.id) == Some(&row.size) {
                let hex = row.id.hex();
                plan.resumed.push((
                    row.id,
                    format!(
                        "{}/Snapshot/{}/{hex}",
                        self.base,
                        hex.get(..2).unwrap_or("")
                    ),
                ));
            } else {
                plan.uploads.push(place);
                plan.upload_bytes += row.size;
            }
        }
        self.session.end.resumed_files = plan.resumed.len() as u64;
    }

    /// Creates the directories and says in Status.plist that files are on their way.
    async fn prepare(&mut self, plan: &Plan) -> Result<(), Stop> {
        let snapshot = self.path("Snapshot");
        self.session.create_directory(&snapshot).await?;
        for prefix in prefixes() {
            self.session
                .create_directory(&format!("{snapshot}/{prefix}"))
                .await?;
            if !plan.root.contains_key(&prefix) {
                self.session.create_directory(&self.path(&prefix)).await?;
            }
        }
        if self.quirk(Quirk::ScratchPaths) {
            for path in ["/.b", "/.b/6", "/.b/6/Containers"] {
                self.session.create_directory(path).await?;
            }
        }
        {
            let memory = self.session.host.memory();
            let mut memory = locked(&memory);
            let uuid = &self.uuid;
            let kept = memory
                .partial
                .take()
                .filter(|partial| partial.uuid == *uuid);
            let fresh = || Partial {
                uuid: uuid.clone(),
                uploaded: HashMap::new(),
            };
            let mut partial = kept.unwrap_or_else(fresh);
            // What was found by size alone is known from here on.
            let versions: HashMap<FileId, u32> = self
                .tree
                .rows
                .iter()
                .map(|row| (row.id, row.version))
                .collect();
            for (id, _) in &plan.resumed {
                partial
                    .uploaded
                    .insert(*id, versions.get(id).copied().unwrap_or(0));
            }
            memory.partial = Some(partial);
        }
        self.session.host.backup_phase(Phase::Uploading);
        self.write_status(SnapshotState::Uploading, 0.0)
            .await
            .map(|_| ())
    }

    async fn write_status(&mut self, state: SnapshotState, progress: f64) -> Result<Vec<u8>, Stop> {
        let status = Status {
            state,
            uuid: self.uuid.clone(),
        };
        let bytes = status.encode(self.date, self.session.host.identity().ios.major)?;
        self.session
            .upload_plist(&self.path("Status.plist"), &bytes, progress)
            .await?;
        Ok(bytes)
    }

    async fn upload(&mut self, plan: &Plan) -> Result<Uploaded, Stop> {
        let tree = Arc::clone(&self.tree);
        let uploads = Uploads {
            tree: &tree,
            places: plan.uploads.clone(),
            base: &self.base,
            faults: &self.faults,
        };
        let uploaded = self.session.upload_files(uploads).await?;
        if self.faults.errors_end_with_104 && !uploaded.failed.is_empty() {
            return Err(Refusal::uploading().into());
        }
        Ok(uploaded)
    }

    /// Builds and sends Manifest.plist and Manifest.db.
    async fn send_manifests(&mut self, plan: &Plan, uploaded: &Uploaded) -> Result<Sent, Stop> {
        let (tree, failed) = (Arc::clone(&self.tree), uploaded.failed.clone());
        let work: Box<dyn FnOnce() -> Result<NamedTempFile, BackupError> + Send> =
            match &plan.previous {
                None => Box::new(move || manifest::build(&tree, &failed)),
                Some(previous) => {
                    let copy = NamedTempFile::new()?;
                    std::fs::copy(previous.path(), copy.path())?;
                    let difference = plan.difference.clone();
                    Box::new(move || manifest::update(copy, &tree, &difference, &failed))
                }
            };
        let hashed = move || {
            let database = work()?;
            manifest::digest(database.path()).map(|(sha1, _)| (database, sha1))
        };
        let (database, database_sha1) = blocking(hashed).await??;
        let host = self.session.host;
        let plist = plists::manifest(host.identity(), &self.tree, host.passcode_set(), self.date)?;
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
            .upload_database(&format!("{place}/Manifest.db"), database.path(), progress)
            .await?;
        Ok(Sent {
            plist,
            database,
            database_sha1,
        })
    }

    /// Moves each file by a message of its own, then the manifests (corpus 13).
    async fn move_into_place(
        &mut self,
        plan: &Plan,
        staged: Vec<(FileId, String)>,
    ) -> Result<(), Stop> {
        self.session.host.backup_phase(Phase::Moving);
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
    async fn remove_stale(&mut self, plan: &Plan, failed: &HashSet<FileId>) -> Result<(), Stop> {
        self.session.host.backup_phase(Phase::Removing);
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
    async fn finish(&mut self) -> Result<Vec<u8>, Stop> {
        self.session.stop_if_interrupted()?;
        let status = self.write_status(SnapshotState::Finished, 99.0).await?;
        self.session
            .remove_items(&[self.path("Snapshot")], 99.0)
            .await?;
        Ok(status)
    }

    /// From iOS 13 on, downloads what it has just sent and compares it (corpus 14).
    async fn verify(&mut self, sent: &Sent, status: &[u8]) -> Result<(), Stop> {
        self.session.host.backup_phase(Phase::Verifying);
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

    fn remember(&mut self) {
        let memory = self.session.host.memory();
        let mut memory = locked(&memory);
        memory.partial = None;
        memory.last = Some(LastBackup {
            uuid: self.uuid.clone(),
            finished: self.date,
        });
    }
}

impl<S> Session<'_, S> {
    pub(super) fn interruption(&self) -> Option<Interruption> {
        self.interrupted.get().copied()
    }

    /// Ends the backup with 202 or 104 if something on the phone stopped it.
    pub(super) fn stop_if_interrupted(&self) -> Result<(), Stop> {
        match self.interruption() {
            None => Ok(()),
            Some(Interruption::CancelledByPerson) => Err(Refusal::cancelled().into()),
            Some(Interruption::Locked) => Err(Refusal::uploading().into()),
        }
    }

    /// Notes the files of a batch that the host has acknowledged.
    pub(super) fn remember_uploaded(&self, files: HashMap<FileId, u32>) {
        let memory = self.host.memory();
        if let Some(partial) = &mut locked(&memory).partial {
            partial.uploaded.extend(files);
        }
    }
}

/// Does slow work off the event loop.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BackupError::Phone(error.to_string()))
}
