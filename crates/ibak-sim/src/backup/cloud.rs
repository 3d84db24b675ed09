//! EnableCloudBackup: the phone's own iCloud Backup switch.

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Stop;
use super::refusal::Refusal;
use super::session::Session;

/// Turns iCloud Backup on or off; `CloudBackupState` lies in the options, as idevicebackup2 sends
/// it, or beside them.
pub(super) fn enable<S: AsyncRead + AsyncWrite + Unpin + Send>(
    session: &mut Session<'_, S>,
    request: &Dictionary,
) -> Result<(), Stop> {
    session.take_faults()?;
    let options = request.get("Options").and_then(Value::as_dictionary);
    let state = options
        .and_then(|options| options.get("CloudBackupState"))
        .or_else(|| request.get("CloudBackupState"))
        .and_then(Value::as_boolean);
    let Some(on) = state else {
        return Err(Refusal::unsupported("EnableCloudBackup").into());
    };
    if session.host.standing().no_icloud_account {
        return Err(Refusal::no_icloud_account().into());
    }
    session.host.set_cloud_backup(on);
    Ok(())
}
