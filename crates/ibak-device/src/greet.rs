//! What a phone says of itself to anybody: enough to call it by its name before it is paired.

use crate::lockdown::Plain;
use crate::{Deadlines, DeviceError, Link};
use ibak_core::Fact;
use plist::Value;

/// Longest text taken, in bytes.
const TEXT_MAX: usize = 256;

/// Asks a phone for its name, model and system without a session, which every iOS allows; `None`
/// when it does not tell. Nothing of it is proved: it is for showing only.
///
/// # Errors
/// When the conversation fails.
pub async fn greet(link: &Link, deadlines: &Deadlines) -> Result<Option<Fact>, DeviceError> {
    let mut front = Plain::open(link, deadlines).await?;
    let mut texts = [const { String::new() }; 3];
    for (key, text) in ["DeviceName", "ProductType", "ProductVersion"]
        .iter()
        .zip(&mut texts)
    {
        let value = match front.get_value(key).await {
            Ok(value) => value.and_then(Value::into_string),
            Err(DeviceError::Lockdown { .. }) => None,
            Err(error) => return Err(error),
        };
        match value.filter(|value| !value.is_empty() && value.len() <= TEXT_MAX) {
            Some(value) => *text = value,
            None => return Ok(None),
        }
    }
    let [name, product_type, os_version] = texts;
    Ok(Some(Fact::Identity {
        name,
        product_type,
        os_version,
    }))
}
