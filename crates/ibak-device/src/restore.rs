//! What has to be known of a phone before a backup is put onto it.

use crate::signals::{BACKUP, DISK_USAGE, boolean, domain, text, tolerant, unsigned, will_encrypt};
use crate::{DeviceError, Session};
use ibak_core::Bytes;
use plist::Value;

const FIND_MY: &str = "com.apple.fmip";
const SETUP: &str = "com.apple.purplebuddy";

/// What a phone says of itself that a restore depends on. What it does not say is `None`, which is
/// neither yes nor no: the phone itself has the last word (its errors 105, 207, 211, 212).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreFacts {
    /// Its iOS, for example `16.3.1`.
    pub ios: String,
    /// For example `iPhone14,5`.
    pub product_type: String,
    /// Whether Find My is on (`IsAssociated`): then it refuses with 211.
    pub find_my: Option<bool>,
    /// Whether its setup was finished (`SetupDone`): if not, it refuses with 212.
    pub setup_done: Option<bool>,
    /// Whether its screen is locked (`PasswordProtected`).
    pub locked: Option<bool>,
    /// Whether it has a passcode; only a locked one shows it.
    pub has_passcode: Option<bool>,
    /// Bytes of the data partition.
    pub capacity: Option<Bytes>,
    /// Bytes that are free on it.
    pub available: Option<Bytes>,
    /// Bytes that a restore may fill (`AmountRestoreAvailable`), where the phone counts them: the
    /// free ones and those that the restore itself frees.
    pub restorable: Option<Bytes>,
    /// Whether its management demands encrypted backups.
    pub requires_encryption: Option<bool>,
    /// Whether it has a backup password of its own.
    pub will_encrypt: Option<bool>,
}

/// Reads what a restore depends on, and changes nothing.
///
/// # Errors
/// When the conversation fails, or the phone does not say what it is.
pub async fn restore_facts(session: &mut Session) -> Result<RestoreFacts, DeviceError> {
    let root = domain(session, None).await?;
    let named = |key: &'static str| {
        text(&root, key).ok_or_else(|| DeviceError::Protocol {
            what: "GetValue",
            reason: format!("the phone has no {key}"),
        })
    };
    let (ios, product_type) = (named("ProductVersion")?, named("ProductType")?);
    let mut said = async |of, key| -> Result<Option<bool>, DeviceError> {
        let value = tolerant(session.get_value(of, Some(key)).await)?;
        Ok(value.as_ref().and_then(Value::as_boolean))
    };
    let find_my = said(Some(FIND_MY), "IsAssociated").await?;
    let setup_done = said(Some(SETUP), "SetupDone").await?;
    let locked = said(None, "PasswordProtected").await?;
    let usage = domain(session, Some(DISK_USAGE)).await?;
    let bytes = |key| unsigned(&usage, key).map(Bytes::new);
    let backup = tolerant(session.get_domain(Some(BACKUP)).await)?;
    Ok(RestoreFacts {
        ios,
        product_type,
        find_my,
        setup_done,
        locked,
        has_passcode: locked.filter(|locked| *locked),
        capacity: bytes("TotalDataCapacity"),
        available: bytes("TotalDataAvailable").or_else(|| bytes("AmountDataAvailable")),
        restorable: bytes("AmountRestoreAvailable"),
        requires_encryption: backup
            .as_ref()
            .and_then(|backup| boolean(backup, "RequiresEncryption")),
        will_encrypt: will_encrypt(backup.as_ref()),
    })
}
