//! Info and List: the phone reads the host's backup and describes it.

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::download::{Fetched, Sink};
use super::link::Stop;
use super::manifest;
use super::plists::{self, Status};
use super::refusal::Refusal;
use super::run::blocking;
use super::sealing::Sealing;
use super::session::Session;
use crate::backup::crypto::BackupLock;

/// Describes the last backup in words, a line per fact; an encrypted one only for its password.
pub(super) async fn info<S: AsyncRead + AsyncWrite + Unpin + Send>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<String, Stop> {
    let base = session.host.identity().udid.clone();
    let paths =
        ["Info.plist", "Status.plist", "Manifest.plist"].map(|name| format!("{base}/{name}"));
    let files = paths
        .iter()
        .map(|path| (path.clone(), Sink::Memory(Vec::new())))
        .collect();
    let fetched = session.download(files, 0.into()).await?;
    let mut plists = fetched.into_iter().zip(&paths).map(|(fetched, path)| {
        let bytes = whole(fetched, path)?;
        let value = Value::from_reader(std::io::Cursor::new(&bytes))
            .ok()
            .and_then(Value::into_dictionary);
        value
            .map(|value| (bytes, value))
            .ok_or_else(|| Stop::from(Refusal::reading_properties(path, "Invalid argument (22)")))
    });
    let mut text = String::new();
    for plist in plists.by_ref() {
        let (bytes, plist) = plist?;
        if let Some(status) = Status::parse(&bytes) {
            text.push_str(&format!(
                "Backup UUID: {}\nSnapshot state: {:?}\n",
                status.uuid, status.state
            ));
        }
        for key in [
            "Device Name",
            "Product Type",
            "Product Version",
            "Unique Identifier",
            "Version",
        ] {
            if let Some(value) = plist.get(key).and_then(Value::as_string) {
                text.push_str(&format!("{key}: {value}\n"));
            }
        }
        if let Some(encrypted) = plist.get("IsEncrypted").and_then(Value::as_boolean) {
            if encrypted {
                unlock(&plist, request).await?;
            }
            text.push_str(&format!(
                "Encrypted: {}\n",
                if encrypted { "yes" } else { "no" }
            ));
        }
    }
    Ok(text)
}

/// Opens the keybag of a Manifest.plist with the request's password (207 without it: #1469).
async fn unlock(manifest: &Dictionary, request: &Dictionary) -> Result<BackupLock, Stop> {
    let password = request.get("Password").and_then(Value::as_string);
    let (Some(keybag), Some(password)) = (plists::keybag_of(manifest), password) else {
        return Err(Refusal::password().into());
    };
    let password = password.to_owned();
    let lock = blocking(move || BackupLock::adopt(keybag, &password)).await?;
    lock.ok_or_else(|| Refusal::password().into())
}

/// Lists the files of the last backup as comma-separated values.
pub(super) async fn list<S: AsyncRead + AsyncWrite + Unpin + Send>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<String, Stop> {
    let path = format!("{}/Manifest.db", session.host.identity().udid);
    let mut file = tempfile::NamedTempFile::new()?;
    let sink = Sink::File(file.reopen()?);
    let fetched = session
        .download(vec![(path.clone(), sink)], 0.into())
        .await?;
    for fetched in fetched {
        if let Fetched::Failed(code) = fetched {
            return Err(failure(code, &path));
        }
    }
    if !manifest::is_database(file.path())? {
        file = decrypted(session, request, file).await?;
    }
    match blocking(move || manifest::listing(file.path())).await? {
        Ok(text) => Ok(text),
        Err(manifest::Damaged) => Err(Refusal::manifest_damaged(&path).into()),
    }
}

/// Decrypts a Manifest.db with what Manifest.plist and the request say; a plain backup's stays.
async fn decrypted<S: AsyncRead + AsyncWrite + Unpin + Send>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
    file: tempfile::NamedTempFile,
) -> Result<tempfile::NamedTempFile, Stop> {
    let path = format!("{}/Manifest.plist", session.host.identity().udid);
    let wanted = vec![(path.clone(), Sink::Memory(Vec::new()))];
    let fetched = session.download(wanted, 0.into()).await?.into_iter().next();
    let bytes = whole(fetched.unwrap_or(Fetched::Failed(-1)), &path)?;
    let manifest = Value::from_reader(std::io::Cursor::new(&bytes)).ok();
    let Some(manifest) = manifest.and_then(Value::into_dictionary) else {
        return Ok(file);
    };
    if manifest.get("IsEncrypted").and_then(Value::as_boolean) != Some(true) {
        return Ok(file);
    }
    let lock = unlock(&manifest, request).await?;
    match Sealing::sealed(lock, session.host.quirks()).manifest_key(&manifest) {
        Some(key) => Ok(blocking(move || Sealing::open_database(&key, file)).await??),
        None => Err(Refusal::password().into()),
    }
}

fn whole(fetched: Fetched, path: &str) -> Result<Vec<u8>, Stop> {
    match fetched {
        Fetched::Failed(code) => Err(failure(code, path)),
        whole @ Fetched::Whole(_) => whole.bytes().ok_or_else(|| failure(-1, path)),
    }
}

fn failure(code: i64, path: &str) -> Stop {
    if code == -6 {
        Refusal::manifest_absent(path).into()
    } else {
        Refusal::reading_properties(path, "Input/output error (5)").into()
    }
}
