//! A backup, phase by phase (phone.md §5).

use std::collections::HashMap;
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
use super::sealing::Sealing;
use super::session::Session;
use super::upload::{Uploaded, Uploads};
use super::{
    BackupError, Faults, Interruption, LastBackup, Partial, PasscodeAnswer, Phase, locked,
};
use crate::content::{FileId, FileKind, Tree};

/// How long the phone waits for the host's first reply: not known; a host may hold it (phone.md §1).
const FIRST_REPLY_PATIENCE: Duration = Duration::from_secs(30 * 60);
const FIRST_REPLY_PATIENCE_SHORT: Duration = Duration::from_secs(60);

/// Runs a backup; what stops it on the phone's side is looked at between files and messages.
pub(super) async fn backup<S>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let force = request
        .get("Options")
        .and_then(Value::as_dictionary)
        .and_then(|options| options.get("ForceFullBackup"))
        .and_then(Value::as_boolean)
        .unwrap_or(false);
    let watch = session.watch();
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
    let faults = session.take_faults()?;
    session.enter(Phase::Asked);
    if host.standing().setup_unfinished {
        return Err(Refusal::setup_unfinished().into());
    }
    let sealing = Sealing::of(host);
    if host.requires_encryption() && sealing.keybag().is_none() {
        return Err(Refusal::encryption_required().into());
    }
    match host.passcode_prompt().await {
        PasscodeAnswer::NotAsked | PasscodeAnswer::Given => {}
        PasscodeAnswer::Ignored | PasscodeAnswer::Dismissed => return Err(Refusal::locked().into()),
    }
    session.stop_if_interrupted()?;
    tokio::time::sleep(host.silence()).await;
    session.enter(Phase::Scanning);
    let tree = sealing.tree(host);
    let base = host.identity().udid.clone();
    let mut backup = Backup {
        session,
        base,
        tree,
        faults,
        sealing: Arc::new(sealing),
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

pub(super) struct Backup<'s, 'h, S> {
    pub(super) session: &'s mut Session<'h, S>,
    /// The backup's directory on the host: the UDID.
    pub(super) base: String,
    pub(super) tree: Arc<Tree>,
    pub(super) faults: Faults,
    pub(super) sealing: Arc<Sealing>,
    pub(super) uuid: String,
    pub(super) date: SystemTime,
}

/// What the scan found out.
pub(super) struct Plan {
    /// The host's Manifest.db, which an incremental backup changes; `None` in a full one.
    pub(super) previous: Option<NamedTempFile>,
    pub(super) difference: Difference,
    /// The host's directory at the start.
    pub(super) root: HashMap<String, Entry>,
    pub(super) on_host: HashMap<FileId, u64>,
    /// Places of regular files to upload.
    pub(super) uploads: Vec<usize>,
    pub(super) upload_bytes: u64,
    /// Files that wait in `Snapshot/` since an interrupted backup.
    pub(super) resumed: Vec<(FileId, String)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Backup<'_, '_, S> {
    pub(super) fn quirk(&self, quirk: Quirk) -> bool {
        self.session.host.quirks().has(quirk)
    }

    pub(super) fn path(&self, name: &str) -> String {
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
    /// A phone that remembers nothing trusts the sizes it finds, unless it encrypts: what waits may
    /// be under other keys.
    fn remembers(&self, status: Option<&Status>) -> bool {
        let memory = self.session.host.memory();
        let memory = locked(&memory);
        if memory.partial.is_none() && self.sealing.keybag().is_some() {
            return false;
        }
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
        match &plist {
            absent if absent.is_absent() && interrupted => return Ok(None),
            absent if absent.is_absent() => {
                return Err(Refusal::manifest_absent(&plist_path).into());
            }
            Fetched::Failed(_) => {
                return Err(
                    Refusal::reading_properties(&plist_path, "Input/output error (5)").into(),
                );
            }
            Fetched::Whole(_) => {}
        }
        let bytes = plist.bytes().unwrap_or_default();
        let identity = self.session.host.identity();
        let key = match plists::judge_manifest(&bytes, identity, &self.sealing) {
            PreviousManifest::Unusable => return Ok(None),
            PreviousManifest::Usable => None,
            PreviousManifest::Encrypted(key) => Some(key),
        };
        match (db, key) {
            (Fetched::Whole(_), None) => Ok(Some(database)),
            (Fetched::Whole(_), Some(key)) => {
                let open = move || Sealing::open_database(&key, database);
                Ok(Some(blocking(open).await??))
            }
            (absent, _) if absent.is_absent() && interrupted => Ok(None),
            (absent, _) if absent.is_absent() => {
                Err(Refusal::manifest_absent(&database_path).into())
            }
            (Fetched::Failed(_), _) => {
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
        let sealing = Arc::clone(&self.sealing);
        let work = move || {
            manifest::compare(previous.path(), &tree, &on_host, &sealing)
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
            let host_bytes = self.sealing.host_bytes(row);
            if same_version && staged.get(&row.id) == Some(&host_bytes) {
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
                plan.upload_bytes += host_bytes;
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
        self.session.enter(Phase::Uploading);
        self.write_status(SnapshotState::Uploading, 0.0)
            .await
            .map(|_| ())
    }

    pub(super) async fn write_status(
        &mut self,
        state: SnapshotState,
        progress: f64,
    ) -> Result<Vec<u8>, Stop> {
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
            sealing: &self.sealing,
        };
        let uploaded = self.session.upload_files(uploads).await?;
        if self.faults.errors_end_with_104 && !uploaded.failed.is_empty() {
            return Err(Refusal::uploading().into());
        }
        Ok(uploaded)
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

impl<'h, S> Session<'h, S> {
    /// Notes from here on what stops the request on the phone's side; never ends by itself.
    pub(super) fn watch(
        &mut self,
    ) -> impl Future<Output = std::convert::Infallible> + Send + use<'h, S> {
        let (host, slot) = (self.host, Arc::new(OnceLock::new()));
        self.interrupted = Arc::clone(&slot);
        async move {
            let interruption = host.interrupted().await;
            slot.get_or_init(|| interruption);
            std::future::pending().await
        }
    }

    pub(super) fn interruption(&self) -> Option<Interruption> {
        self.interrupted.get().copied()
    }

    /// Ends the backup with 202 or 104 if something on the phone stopped it.
    pub(super) fn stop_if_interrupted(&self) -> Result<(), Stop> {
        self.link.cut.check()?;
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
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BackupError::Phone(error.to_string()))
}
