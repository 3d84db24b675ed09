//! Methods about the store itself: who may, and what is asked.

use super::errands::{Caller, backup_id};
use super::{Phone, job_of};
use crate::bus::auth::Action;
use crate::bus::{Call, Door, StorageCall, refusal};
use crate::executor::{ErrandWork, blocking};
use ibak_core::{Bytes, Errand, Request, Udid};
use ibak_dbus::{Dict, Error, check_options};
use ibak_store::Remover;
use rustix::fs::FileType;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use zbus::wire::OwnedObjectPath;

pub(super) fn udid(text: &str) -> Result<Udid, Error> {
    Udid::parse(text).map_err(|error| Error::InvalidOption(error.to_string()))
}

pub(super) async fn list(phone: &Phone, options: &Dict) -> Result<Vec<Dict>, Error> {
    let options = check_options(options, &["frees", "explain"])?;
    let (frees, explain) = (options.flag("frees")?, options.flag("explain")?);
    let udid = phone.udid.clone();
    let call = |reply| StorageCall::Backups {
        phone: udid,
        frees,
        explain,
        reply,
    };
    phone.door.storage(call).await
}

pub(super) async fn remove(
    phone: &Phone,
    id: &str,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &["pinned"])?;
    let backup = backup_id(id)?;
    let remover = if options.flag("pinned")? {
        Remover::Person
    } else {
        Remover::Plan
    };
    caller.may(Action::RemoveBackup, &options).await?;
    let udid = phone.udid.clone();
    let call = |reply| StorageCall::Remove {
        phone: udid,
        backup,
        remover,
        reply,
    };
    phone.door.storage(call).await
}

pub(super) async fn pin(
    phone: &Phone,
    id: &str,
    pinned: bool,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    let backup = backup_id(id)?;
    caller.may(Action::Manage, &options).await?;
    let udid = phone.udid.clone();
    let call = |reply| StorageCall::Pin {
        phone: udid,
        backup,
        pinned,
        reply,
    };
    phone.door.storage(call).await
}

pub(super) async fn set_quota(
    phone: &Phone,
    bytes: u64,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::Manage, &options).await?;
    let request = Request::SetQuota {
        phone: phone.udid.clone(),
        quota: (bytes > 0).then(|| Bytes::new(bytes)),
    };
    phone.door.request(request).await.map(drop)
}

pub(super) async fn retire(
    phone: &Phone,
    retired: bool,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::Manage, &options).await?;
    let request = Request::SetRetired {
        phone: phone.udid.clone(),
        retired,
    };
    phone.door.request(request).await.map(drop)
}

pub(super) async fn forget(phone: &Phone, options: &Dict, caller: Caller<'_>) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::RemoveBackup, &options).await?;
    let udid = phone.udid.clone();
    phone
        .door
        .storage(|reply| StorageCall::Forget { phone: udid, reply })
        .await
}

pub(super) async fn adopt(
    door: &Door,
    phone: &str,
    input: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &["size"])?;
    let phone = udid(phone)?;
    let size = options.number("size")?.map(Bytes::new);
    caller.may(Action::Manage, &options).await?;
    let call = |reply| Call::Errand {
        phone,
        errand: Errand::Adopt,
        work: ErrandWork::Adopt { input, size },
        reply,
    };
    door.call(call).await?.map_err(refusal).and_then(job_of)
}

/// Returns the path of a folder's descriptor.
fn path_of(target: &OwnedFd) -> io::Result<PathBuf> {
    let stat = rustix::fs::fstat(target)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(io::Error::other("it is no folder"));
    }
    std::fs::read_link(format!("/proc/self/fd/{}", target.as_raw_fd()))
}

/// Begins to copy the store into the folder of this descriptor. The path is what the kernel says it
/// is; the store opens it anew and looks at every step of the way.
pub(super) async fn move_store(
    door: &Door,
    target: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &[])?;
    // It is a copy of everything that everybody has.
    caller.may(Action::Manage, &options).await?;
    caller.may(Action::ReadBackup, &options).await?;
    let target = blocking(move || path_of(&target))
        .await
        .map_err(|error| Error::InvalidOption(format!("the target: {error}")))?;
    let call = |reply| Call::Storage(StorageCall::Move { target, reply });
    door.call(call).await?.map_err(refusal).and_then(job_of)
}
