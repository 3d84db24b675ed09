//! ChangePassword: the backup password is set, changed or taken away.
//!
//! The phone changes it; the host only learns whether it did. A change keeps the class keys: the
//! phone reads the host's Manifest.plist and writes it back with the new keybag, so that the next
//! backup can go on from there. Without that (no backup on the host, or one under another keybag)
//! and after on or off, the next backup is a full one. Which of prompt and password comes first is
//! not published; #1155 saw the prompt before the refusal.

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::crypto::{BackupLock, Costs, Keybag};
use super::download::{Fetched, Sink};
use super::link::Stop;
use super::refusal::Refusal;
use super::run::blocking;
use super::session::Session;
use super::{BackupError, PasscodeAnswer, Phase, locked, plists};

/// Runs a change of the password; the person may cancel it on the phone.
pub(super) async fn change<S>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let watch = session.watch();
    tokio::select! {
        result = run(session, request) => result,
        never = watch => match never {},
    }
}

/// What is asked for, after the old password was found right.
enum Deed {
    Enable { new: String },
    Change { lock: BackupLock, new: String },
    Disable,
}

async fn run<S>(session: &mut Session<'_, S>, request: &Dictionary) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let host = session.host;
    session.take_faults()?;
    session.enter(Phase::Asked);
    match host.password_prompt().await {
        PasscodeAnswer::NotAsked | PasscodeAnswer::Given => {}
        PasscodeAnswer::Ignored | PasscodeAnswer::Dismissed => return Err(Refusal::locked().into()),
    }
    session.stop_if_interrupted()?;
    tokio::time::sleep(host.silence()).await;
    session.enter(Phase::Scanning);
    let lock = locked(&host.memory()).lock.clone();
    let (old, new) = (
        password(request, "OldPassword"),
        password(request, "NewPassword"),
    );
    let costs = host.password_costs();
    let required = host.requires_encryption();
    let relocked = match judge(lock, old, new, required).await? {
        Deed::Disable => None,
        Deed::Enable { new } => Some(blocking(move || set(&new, costs)).await?),
        Deed::Change { lock, new } => {
            let before = lock.keybag().clone();
            let after = blocking(move || rewrap(lock, &new)).await?;
            rekey_manifest(session, &before, after.keybag()).await?;
            Some(after)
        }
    };
    session.stop_if_interrupted()?;
    locked(&host.memory()).relock(relocked);
    host.password_changed();
    Ok(())
}

/// An empty password is none: hosts send either.
fn password(request: &Dictionary, key: &str) -> Option<String> {
    let text = request.get(key).and_then(Value::as_string)?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn set(new: &str, costs: Costs) -> BackupLock {
    BackupLock::set(new, &costs, &mut rand::rng())
}

fn rewrap(mut lock: BackupLock, new: &str) -> BackupLock {
    lock.change(new, &mut rand::rng());
    lock
}

/// Refuses what does not fit: no old password or a wrong one where there is a password, an old one
/// where there is none, and off where a profile wants encryption.
async fn judge(
    lock: Option<BackupLock>,
    old: Option<String>,
    new: Option<String>,
    required: bool,
) -> Result<Deed, Stop> {
    let (lock, old, new) = match (lock, old, new) {
        (None, None, Some(new)) => return Ok(Deed::Enable { new }),
        (None, _, _) | (Some(_), None, _) => return Err(Refusal::invalid_password().into()),
        (Some(_), Some(_), None) if required => {
            return Err(Refusal::encryption_required().into());
        }
        (Some(lock), Some(old), new) => (lock, old, new),
    };
    let tried = lock.clone();
    if !blocking(move || tried.is_opened_by(&old)).await? {
        return Err(Refusal::invalid_password().into());
    }
    Ok(match new {
        None => Deed::Disable,
        Some(new) => Deed::Change { lock, new },
    })
}

/// Puts the new keybag into the host's Manifest.plist, if that is of a backup under the old one.
async fn rekey_manifest<S>(
    session: &mut Session<'_, S>,
    before: &Keybag,
    after: &Keybag,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let path = format!("{}/Manifest.plist", session.host.identity().udid);
    let files = vec![(path.clone(), Sink::Memory(Vec::new()))];
    let fetched = session.download(files, 0.into()).await?;
    let bytes = match fetched.into_iter().next() {
        Some(absent) if absent.is_absent() => return Ok(()),
        Some(whole @ Fetched::Whole(_)) => whole.bytes().unwrap_or_default(),
        Some(Fetched::Failed(_)) => {
            return Err(Refusal::reading_properties(&path, "Input/output error (5)").into());
        }
        None => return Err(BackupError::Phone("a download lost its file".into()).into()),
    };
    let manifest = Value::from_reader(std::io::Cursor::new(&bytes)).ok();
    let Some(mut manifest) = manifest.and_then(Value::into_dictionary) else {
        return Ok(());
    };
    if plists::keybag_of(&manifest).as_ref().map(Keybag::uuid) != Some(before.uuid()) {
        return Ok(());
    }
    manifest.insert("BackupKeyBag".into(), Value::Data(after.encode()));
    let bytes = plists::encode(&Value::Dictionary(manifest))?;
    session.enter(Phase::Uploading);
    session.upload_plist(&path, &bytes, 100.0).await
}
