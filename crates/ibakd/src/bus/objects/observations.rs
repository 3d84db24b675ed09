//! Who was awake when is private: a phone's night is for its owner and root.

use super::Phone;
use super::errands::Caller;
use crate::bus::Call;
use crate::bus::auth::Action;
use ibak_core::Wall;
use ibak_dbus::{Dict, Error, check_options};

/// Lists what was noted of a phone.
pub(super) async fn list(
    phone: &Phone,
    since: u64,
    until: u64,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<Vec<Dict>, Error> {
    let options = check_options(options, &[])?;
    let udid = phone.udid.clone();
    let owner = phone.door.call(|reply| Call::OwnerOf(udid, reply)).await?;
    match owner {
        Some(owner) => caller.is(&owner).await?,
        None => caller.may(Action::ReadBackup, &options).await?,
    }
    let wall = |micros| Wall::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
    let (since, until) = (wall(since), wall(until));
    let phone_asked = phone.udid.clone();
    phone
        .door
        .call(|reply| Call::ListObservations {
            phone: phone_asked,
            since,
            until,
            reply,
        })
        .await
}
