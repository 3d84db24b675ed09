//! A phone's methods that are errands: who may, what is asked, which secrets come with it.
//!
//! A caller is authorised before any descriptor is read.

use super::{Phone, job_of};
use crate::bus::Call;
use crate::bus::auth::{Action, authorize, authorize_owner};
use crate::bus::secret::read_secret;
use crate::executor::{ErrandWork, ReadWhat, ReadWish, RestoreWish};
use ibak_core::{Answer, BackupId, Errand, JobResult, Secret, Udid};
use ibak_dbus::{Dict, Error, Options, check_options};
use std::os::fd::OwnedFd;
use zbus::Connection;
use zbus::message::Header;
use zbus::wire::OwnedObjectPath;

/// Items of a selection at most.
const SELECTION_MAX: usize = 10_000;

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    connection: &'a Connection,
    header: &'a Header<'a>,
}

impl<'a> Caller<'a> {
    pub(super) const fn new(connection: &'a Connection, header: &'a Header<'a>) -> Self {
        Self { connection, header }
    }

    pub(super) async fn may(self, action: Action, options: &Options<'_>) -> Result<(), Error> {
        let quiet = options.no_user_interaction();
        authorize(self.connection, self.header, action, quiet).await
    }

    /// Checks that this is who the configuration calls the owner, root or the daemon itself.
    pub(super) async fn is(self, owner: &str) -> Result<(), Error> {
        authorize_owner(self.connection, self.header, owner).await
    }
}

/// Reads a backup again.
pub(super) async fn verify(
    phone: &Phone,
    id: &str,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &[])?;
    let backup = backup_id(id)?;
    caller.may(Action::Backup, &options).await?;
    let work = ErrandWork::Verify { backup };
    phone.begin_job(Errand::Verify, work).await
}

impl Phone {
    async fn begin(&self, errand: Errand, work: ErrandWork) -> Result<Answer, Error> {
        let phone = self.udid.clone();
        self.door
            .call(|reply| Call::Errand {
                phone,
                errand,
                work,
                reply,
            })
            .await?
            .map_err(crate::bus::refusal)
    }

    async fn begin_job(&self, errand: Errand, work: ErrandWork) -> Result<OwnedObjectPath, Error> {
        self.begin(errand, work).await.and_then(job_of)
    }
}

pub(super) fn backup_id(id: &str) -> Result<BackupId, Error> {
    BackupId::parse(id).map_err(|error| Error::NoSuchBackup(error.to_string()))
}

async fn password(options: &Options<'_>) -> Result<Option<Secret>, Error> {
    match options.fd("password")? {
        Some(fd) => read_secret(fd).await,
        None => Ok(None),
    }
}

pub(super) async fn restore(
    phone: &Phone,
    id: &str,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let known = [
        "source",
        "password",
        "dry-run",
        "keep-settings",
        "remove-others",
        "no-reboot",
    ];
    let options = check_options(options, &known)?;
    let source = match options.text("source")? {
        None => phone.udid.clone(),
        Some(text) => Udid::parse(text)
            .map_err(|error| Error::InvalidOption(format!("option \"source\": {error}")))?,
    };
    let backup = backup_id(id)?;
    let (dry_run, keep_settings) = (options.flag("dry-run")?, options.flag("keep-settings")?);
    let remove_others = options.flag("remove-others")?;
    let reboot = !options.flag("no-reboot")?;
    caller.may(Action::Restore, &options).await?;
    let wish = RestoreWish {
        source,
        backup,
        password: password(&options).await?,
        dry_run,
        keep_settings,
        remove_others,
        reboot,
    };
    phone
        .begin_job(Errand::Restore, ErrandWork::Restore(wish))
        .await
}

pub(super) async fn set_encryption(
    phone: &Phone,
    old: OwnedFd,
    new: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::SetEncryption, &options).await?;
    let (old, new) = (read_secret(old).await?, read_secret(new).await?);
    let errand = match (&old, &new) {
        (None, Some(_)) => Errand::EncryptionOn,
        (Some(_), None) => Errand::EncryptionOff,
        (Some(_), Some(_)) => Errand::ChangePassword,
        (None, None) => {
            return Err(Error::InvalidOption(
                "neither an old nor a new password was given".into(),
            ));
        }
    };
    phone
        .begin_job(errand, ErrandWork::Encryption { old, new })
        .await
}

pub(super) async fn set_icloud(
    phone: &Phone,
    on: bool,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::Manage, &options).await?;
    let answer = phone
        .begin(Errand::ICloud, ErrandWork::ICloud { on })
        .await?;
    let Answer::Job(job) = answer else {
        return job_of(answer).map(drop);
    };
    let (result, detail) = phone.door.call(|reply| Call::Await { job, reply }).await?;
    match result {
        JobResult::Succeeded => Ok(()),
        JobResult::Cancelled | JobResult::CancelledOnDevice => {
            Err(Error::Cancelled("it was called off".into()))
        }
        JobResult::NotConfirmed
        | JobResult::NotLockedInTime
        | JobResult::NotReadyInTime
        | JobResult::Interrupted(_)
        | JobResult::Failed(_) => Err(Error::Failed(format!("{}: {detail}", result.word()))),
    }
}

pub(super) async fn check_password(
    phone: &Phone,
    id: &str,
    password: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &[])?;
    let backup = backup_id(id)?;
    caller.may(Action::ReadBackup, &options).await?;
    let Some(password) = read_secret(password).await? else {
        return Err(Error::InvalidOption("no password was given".into()));
    };
    let work = ErrandWork::CheckPassword { backup, password };
    phone.begin_job(Errand::CheckPassword, work).await
}

pub(super) async fn unpair(phone: &Phone, options: &Dict, caller: Caller<'_>) -> Result<(), Error> {
    let options = check_options(options, &[])?;
    caller.may(Action::Manage, &options).await?;
    let udid = phone.udid.clone();
    phone
        .door
        .call(|reply| Call::Unpair { phone: udid, reply })
        .await?
}

pub(super) async fn list_files(
    phone: &Phone,
    id: &str,
    out: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<(), Error> {
    let options = check_options(options, &["password", "domain", "path"])?;
    let backup = backup_id(id)?;
    let what = ReadWhat::List {
        domain: options.text("domain")?.map(str::to_owned),
        path: options.text("path")?.map(str::to_owned),
    };
    caller.may(Action::ReadBackup, &options).await?;
    let wish = ReadWish {
        backup,
        password: password(&options).await?,
        what,
        out,
    };
    let answer = phone.begin(Errand::Read, ErrandWork::Read(wish)).await?;
    let Answer::Job(job) = answer else {
        return job_of(answer).map(drop);
    };
    let (result, detail) = phone.door.call(|reply| Call::Await { job, reply }).await?;
    listed(result, detail)
}

/// Names the error of a list that was not written whole.
fn listed(result: JobResult, detail: String) -> Result<(), Error> {
    use ibak_core::Failure;
    match result {
        JobResult::Succeeded => Ok(()),
        JobResult::Failed(Failure::WrongPassword) => Err(Error::WrongPassword(detail)),
        JobResult::Failed(Failure::NoSuchBackup) => Err(Error::NoSuchBackup(detail)),
        JobResult::Cancelled
        | JobResult::CancelledOnDevice
        | JobResult::Failed(Failure::ClientGone) => Err(Error::Cancelled(detail)),
        JobResult::NotConfirmed
        | JobResult::NotLockedInTime
        | JobResult::NotReadyInTime
        | JobResult::Interrupted(_)
        | JobResult::Failed(_) => Err(Error::Failed(format!("{}: {detail}", result.word()))),
    }
}

pub(super) async fn read_files(
    phone: &Phone,
    id: &str,
    selection: Vec<String>,
    out: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &["password", "raw"])?;
    let backup = backup_id(id)?;
    let what = match (options.flag("raw")?, selection.len()) {
        (true, 0) => ReadWhat::Raw,
        (true, _) => {
            return Err(Error::InvalidOption(
                "option \"raw\" takes the whole backup: give no selection".into(),
            ));
        }
        (false, ..=SELECTION_MAX) => ReadWhat::Files(selection),
        (false, _) => {
            return Err(Error::InvalidOption(format!(
                "the selection has more than {SELECTION_MAX} items"
            )));
        }
    };
    caller.may(Action::ReadBackup, &options).await?;
    let wish = ReadWish {
        backup,
        password: password(&options).await?,
        what,
        out,
    };
    phone.begin_job(Errand::Read, ErrandWork::Read(wish)).await
}

pub(super) async fn save_purchases(
    phone: &Phone,
    out: OwnedFd,
    options: &Dict,
    caller: Caller<'_>,
) -> Result<OwnedObjectPath, Error> {
    let options = check_options(options, &["have"])?;
    caller.may(Action::ReadBackup, &options).await?;
    let have = options.numbers("have")?;
    phone
        .begin_job(Errand::Purchases, ErrandWork::Purchases { out, have })
        .await
}
