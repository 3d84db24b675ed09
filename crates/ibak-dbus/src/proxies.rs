//! Client proxies: the methods of issue 2's contract. Properties are read through [`crate::Mirror`].

use crate::{Dict, Error};
use zbus::proxy;
use zbus::wire::{ObjectPath, OwnedObjectPath};

/// The whole daemon.
#[proxy(
    interface = "org.ibak.Ibak1.Manager",
    default_service = "org.ibak.Ibak1",
    default_path = "/org/ibak/Ibak1/Manager"
)]
pub trait Manager {
    /// Stops automatic backups until this time in µs since 1970 UTC, 0 = until resumed.
    #[zbus(allow_interactive_auth)]
    fn pause(&self, until: u64, options: Dict) -> Result<(), Error>;

    /// Lets automatic backups start again.
    #[zbus(allow_interactive_auth)]
    fn resume(&self, options: Dict) -> Result<(), Error>;

    /// Pairs with a phone on USB; the job's `Phase` is `asking` while the phone asks.
    #[zbus(allow_interactive_auth)]
    fn pair(&self, udid: &str, options: Dict) -> Result<OwnedObjectPath, Error>;

    /// Reads the configuration again, whole or not at all; a refusal names the line.
    #[zbus(allow_interactive_auth)]
    fn reload(&self, options: Dict) -> Result<(), Error>;

    /// Checks what backups need; each row is a [`crate::views::CheckView`].
    fn diagnose(&self, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Says that somebody should look; words in [`crate::words::AttentionKind`].
    #[zbus(signal)]
    fn attention(&self, phone: ObjectPath<'_>, kind: &str, details: Dict) -> zbus::Result<()>;
}

/// One phone.
#[proxy(
    interface = "org.ibak.Ibak1.Phone",
    default_service = "org.ibak.Ibak1",
    assume_defaults = false
)]
pub trait Phone {
    /// Starts a backup, or queues it with `when-ready`; `full` forgets what the phone remembers.
    #[zbus(allow_interactive_auth)]
    fn backup(&self, options: Dict) -> Result<OwnedObjectPath, Error>;

    /// Switches automatic backup on or off for this phone.
    #[zbus(allow_interactive_auth)]
    fn set_automatic(&self, on: bool, options: Dict) -> Result<(), Error>;

    /// Lists its backups, oldest first; each row is a [`crate::views::BackupView`].
    fn list_backups(&self, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Lists its attempts since this time in µs, oldest first; each row is a [`crate::views::AttemptView`].
    fn list_attempts(&self, since: u64, options: Dict) -> Result<Vec<Dict>, Error>;
}

/// One job.
#[proxy(
    interface = "org.ibak.Ibak1.Job",
    default_service = "org.ibak.Ibak1",
    assume_defaults = false
)]
pub trait Job {
    /// Calls it off.
    #[zbus(allow_interactive_auth)]
    fn cancel(&self, options: Dict) -> Result<(), Error>;

    /// Says that it is over, and how; words in [`crate::words::Outcome`].
    #[zbus(signal)]
    fn completed(&self, result: &str, details: Dict) -> zbus::Result<()>;
}
