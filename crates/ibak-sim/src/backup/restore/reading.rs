//! What a restore reads before the first file: the manifests, and whether they fit this phone.

use plist::{Dictionary, Value};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::BackupError;
use super::super::crypto::BackupLock;
use super::super::download::{Fetched, Sink};
use super::super::link::Stop;
use super::super::plists::{SnapshotState, Status};
use super::super::refusal::{Operation, Refusal};
use super::super::run::blocking;
use super::content::is_system;
use super::rows::{self, Row};
use super::{Restore, RestoredContent};
use crate::content::FileKind;
use crate::identity::IosVersion;

/// A backup as its manifests tell.
pub(super) struct Backup {
    /// Its Status.plist as it came.
    pub(super) status: Vec<u8>,
    pub(super) rows: Vec<Row>,
    /// What opens its files, if they are encrypted.
    pub(super) lock: Option<BackupLock>,
    /// What is known of the content before its files came.
    pub(super) content: RestoredContent,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Restore<'_, '_, S> {
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.source)
    }

    /// Reads the manifests and refuses what this phone cannot take.
    pub(super) async fn read(&mut self) -> Result<Backup, Stop> {
        let status_path = self.path("Status.plist");
        let status = match self.fetch(&status_path).await? {
            Some(bytes) => bytes,
            // LIMD #52: 4 and not 205.
            None => return Err(Refusal::operation(Operation::List, -6, &status_path).into()),
        };
        match Status::parse(&status) {
            Some(parsed) if parsed.state == SnapshotState::Finished => {}
            Some(_) => return Err(Refusal::unfinished().into()),
            None => return Err(Refusal::reading_status(&status_path).into()),
        }
        let (manifest, database) = self.manifests().await?;
        let ios = self.fits(&manifest)?;
        let lock = self.unlock(&manifest).await?;
        let database = match &lock {
            Some(lock) => self.open_database(&manifest, lock.keys(), database).await?,
            None => database,
        };
        let info_path = self.path("Info.plist");
        let Some(info) = self.fetch(&info_path).await? else {
            return Err(Refusal::manifest_absent(&info_path).into());
        };
        let apps = dictionary(&info)
            .and_then(|info| info.get("Installed Applications")?.as_array().cloned())
            .unwrap_or_default();
        let Ok(rows) = blocking(move || rows::read(database.path())).await? else {
            return Err(Refusal::manifest_damaged(&self.path("Manifest.db")).into());
        };
        let system_files = self.options.system_files;
        let wanted = |row: &Row| system_files || !is_system(&row.file.domain);
        Ok(Backup {
            status,
            rows: rows.into_iter().filter(wanted).collect(),
            content: RestoredContent {
                source: self.source.clone(),
                ios,
                encrypted: lock.is_some(),
                options: self.options,
                apps: apps
                    .iter()
                    .filter_map(Value::as_string)
                    .map(ToOwned::to_owned)
                    .collect(),
                ..RestoredContent::default()
            },
            lock,
        })
    }

    /// Downloads a property list; `None` when the host does not have it.
    async fn fetch(&mut self, path: &str) -> Result<Option<Vec<u8>>, Stop> {
        let files = vec![(path.to_owned(), Sink::Memory(Vec::new()))];
        let fetched = self.session.download(files, 0.into()).await?;
        match fetched.into_iter().next() {
            Some(whole @ Fetched::Whole(_)) => Ok(whole.bytes()),
            Some(absent) if absent.is_absent() => Ok(None),
            Some(Fetched::Failed(_)) | None => {
                Err(Refusal::reading_properties(path, "Input/output error (5)").into())
            }
        }
    }

    async fn manifests(&mut self) -> Result<(Dictionary, NamedTempFile), Stop> {
        let database = NamedTempFile::new()?;
        let paths = [self.path("Manifest.plist"), self.path("Manifest.db")];
        let [plist_path, database_path] = paths.clone();
        let files = vec![
            (plist_path, Sink::Memory(Vec::new())),
            (database_path, Sink::File(database.reopen()?)),
        ];
        let mut fetched = self.session.download(files, 0.into()).await?.into_iter();
        let (Some(plist), Some(db)) = (fetched.next(), fetched.next()) else {
            return Err(BackupError::Phone("a download lost its files".into()).into());
        };
        for (fetched, path) in [&plist, &db].into_iter().zip(&paths) {
            if fetched.is_absent() {
                return Err(Refusal::manifest_absent(path).into());
            }
            if let Fetched::Failed(_) = fetched {
                return Err(Refusal::reading_properties(path, "Input/output error (5)").into());
            }
        }
        let bytes = plist.bytes().unwrap_or_default();
        match dictionary(&bytes) {
            Some(manifest) => Ok((manifest, database)),
            None => Err(Refusal::manifest_damaged(&self.path("Manifest.plist")).into()),
        }
    }

    /// Returns the backup's iOS, which must not be newer than the phone's.
    fn fits(&self, manifest: &Dictionary) -> Result<String, Stop> {
        let text = manifest
            .get("Lockdown")
            .and_then(Value::as_dictionary)
            .and_then(|lockdown| lockdown.get("ProductVersion"))
            .and_then(Value::as_string);
        let parsed = text.and_then(|text| text.parse::<IosVersion>().ok());
        let (Some(text), Some(ios)) = (text, parsed) else {
            return Err(Refusal::manifest_damaged(&self.path("Manifest.plist")).into());
        };
        let own = self.session.host.identity().ios;
        if ios > own {
            return Err(Refusal::newer_system(text, &own.to_string()).into());
        }
        Ok(text.to_owned())
    }

    /// Refuses a backup that does not fit into the phone's free space.
    pub(super) fn claim_space(&self, backup: &Backup, free_bytes: u64) -> Result<(), Stop> {
        let needed = backup
            .rows
            .iter()
            .filter(|row| row.file.kind == FileKind::Regular)
            .fold(0_u64, |sum, row| sum.saturating_add(row.file.size));
        if needed > free_bytes {
            return Err(Refusal::no_space_on_phone(free_bytes, needed).into());
        }
        Ok(())
    }
}

/// Reads a property list that is a dictionary.
pub(super) fn dictionary(bytes: &[u8]) -> Option<Dictionary> {
    Value::from_reader(std::io::Cursor::new(bytes))
        .ok()?
        .into_dictionary()
}
