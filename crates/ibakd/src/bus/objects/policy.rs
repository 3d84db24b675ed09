//! Methods about what holds for a phone: who may, and what is asked.

use super::Phone;
use super::errands::Caller;
use crate::bus::Call;
use crate::bus::auth::Action;
use ibak_core::{Automatic, Extent, Request, When};
use ibak_dbus::{Dict, Error, check_options};
use zbus::wire::OwnedObjectPath;

/// Most keys of one change.
const CHANGES_MAX: usize = 64;

pub(super) async fn back_up(
    phone: &Phone,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &["when-ready", "full"])?;
    let when = if options.flag("when-ready")? {
        When::Ready
    } else {
        When::AtOnce
    };
    let full = if options.flag("full")? {
        Extent::Full
    } else {
        Extent::Changes
    };
    caller.may(Action::Backup, &options).await?;
    let request = Request::BackUp {
        phone: phone.udid.clone(),
        when,
        full,
    };
    phone.door.request(request).await.and_then(super::job_of)
}

pub(super) async fn set_automatic(
    phone: &Phone,
    on: bool,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::Manage, &options).await?;
    let automatic = if on { Automatic::On } else { Automatic::Off };
    let request = Request::SetAutomatic {
        phone: phone.udid.clone(),
        automatic,
    };
    phone.door.request(request).await.map(drop)
}

pub(super) async fn get(phone: &Phone, options: &Dict) -> Result<Vec<Dict>, Error> {
    check_options(options, &[])?;
    let phone_id = phone.udid.clone();
    let call = |reply| Call::GetPolicy {
        phone: phone_id,
        reply,
    };
    phone.door.call(call).await
}

pub(super) async fn set(
    phone: &Phone,
    key: &str,
    value: &str,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &["also"])?;
    let also = options.texts("also")?;
    if also.len() >= CHANGES_MAX {
        return Err(Error::InvalidOption(format!(
            "option \"also\" has more than {CHANGES_MAX} entries"
        )));
    }
    if also.contains_key(key) {
        return Err(Error::InvalidOption(
            "option \"also\" has the key itself".to_owned(),
        ));
    }
    caller.may(Action::Manage, &options).await?;
    let mut changes = vec![(key.to_owned(), value.to_owned())];
    changes.extend(also);
    let udid = phone.udid.clone();
    let call = |reply| Call::SetPolicy {
        phone: udid,
        changes,
        reply,
    };
    phone.door.call(call).await?
}
