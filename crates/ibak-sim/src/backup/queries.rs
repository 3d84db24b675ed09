//! Info and List: the phone reads the host's backup and describes it.

use plist::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::download::{Fetched, Sink};
use super::link::Stop;
use super::manifest;
use super::plists::Status;
use super::refusal::Refusal;
use super::session::Session;

/// Describes the last backup in words, a line per fact.
pub(super) async fn info<S: AsyncRead + AsyncWrite + Unpin + Send>(
    session: &mut Session<'_, S>,
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
            text.push_str(&format!(
                "Encrypted: {}\n",
                if encrypted { "yes" } else { "no" }
            ));
        }
    }
    Ok(text)
}

/// Lists the files of the last backup as comma-separated values.
pub(super) async fn list<S: AsyncRead + AsyncWrite + Unpin + Send>(
    session: &mut Session<'_, S>,
) -> Result<String, Stop> {
    let path = format!("{}/Manifest.db", session.host.identity().udid);
    let file = tempfile::NamedTempFile::new()?;
    let sink = Sink::File(file.reopen()?);
    let fetched = session
        .download(vec![(path.clone(), sink)], 0.into())
        .await?;
    for fetched in fetched {
        if let Fetched::Failed(code) = fetched {
            return Err(failure(code, &path));
        }
    }
    let listing = tokio::task::spawn_blocking(move || manifest::listing(file.path()));
    match listing.await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(manifest::Damaged)) | Err(_) => Err(Refusal::manifest_damaged(&path).into()),
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
