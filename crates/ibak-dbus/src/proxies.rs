//! Client proxies: the methods of the contract. Properties are read through [`crate::Mirror`].

use crate::{Dict, Error};
use zbus::proxy;
use zbus::wire::{ObjectPath, OwnedFd, OwnedObjectPath};

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

    /// Gives a backup back to this phone; options `source` s (UDID whose backup, else this phone's),
    /// `password` h, `dry-run` b, `keep-settings` b, `remove-others` b, `no-reboot` b.
    #[zbus(allow_interactive_auth)]
    fn restore(&self, id: &str, options: Dict) -> Result<OwnedObjectPath, Error>;

    /// Sets, changes or removes the password of its backups; a descriptor that yields nothing is no
    /// password.
    #[zbus(allow_interactive_auth)]
    fn set_encryption(
        &self,
        old: OwnedFd,
        new: OwnedFd,
        options: Dict,
    ) -> Result<OwnedObjectPath, Error>;

    /// Switches iCloud Backup on the phone; it answers when that is done.
    #[zbus(name = "SetICloudBackup", allow_interactive_auth)]
    fn set_icloud_backup(&self, on: bool, options: Dict) -> Result<(), Error>;

    /// Proves a password against a backup, without the phone.
    #[zbus(allow_interactive_auth)]
    fn check_password(
        &self,
        id: &str,
        password: OwnedFd,
        options: Dict,
    ) -> Result<OwnedObjectPath, Error>;

    /// Ends the pairing, here and on the phone if it is there; backups stay.
    #[zbus(allow_interactive_auth)]
    fn unpair(&self, options: Dict) -> Result<(), Error>;

    /// Writes what a backup holds into a pipe, one JSON object a line (see docs/dbus.md); options
    /// `password` h, `domain` s, `path` s.
    #[zbus(allow_interactive_auth)]
    fn list_files(&self, id: &str, out: OwnedFd, options: Dict) -> Result<(), Error>;

    /// Writes files of a backup into a pipe as a tar stream; options `password` h, `raw` b.
    #[zbus(allow_interactive_auth)]
    fn read_files(
        &self,
        id: &str,
        selection: Vec<String>,
        out: OwnedFd,
        options: Dict,
    ) -> Result<OwnedObjectPath, Error>;

    /// Writes what was bought in the stores and is on the phone into a pipe as a tar stream; option
    /// `have` a{st} names what is there already, with its size.
    #[zbus(allow_interactive_auth)]
    fn save_purchases(&self, out: OwnedFd, options: Dict) -> Result<OwnedObjectPath, Error>;
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
