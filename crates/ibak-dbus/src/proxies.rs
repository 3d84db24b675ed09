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

    /// Tells what the store and each phone's backups use; each row is a
    /// [`crate::views::StorageView`].
    fn list_storage(&self, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Takes in a backup that another program made: the files of its folder as a tar stream, names
    /// relative to the folder.
    #[zbus(allow_interactive_auth)]
    fn adopt(&self, udid: &str, input: OwnedFd, options: Dict) -> Result<OwnedObjectPath, Error>;

    /// Lets a new phone take the place of an old one, which is retired.
    #[zbus(allow_interactive_auth)]
    fn replace(&self, old: &str, new: &str, options: Dict) -> Result<(), Error>;

    /// Copies the whole store into this empty folder; what is there from an earlier try stays.
    #[zbus(allow_interactive_auth)]
    fn move_store(&self, target: OwnedFd, options: Dict) -> Result<OwnedObjectPath, Error>;

    /// Checks what backups need; each row is a [`crate::views::CheckView`].
    fn diagnose(&self, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Sends a message of kind `test` about a phone, to see where messages arrive.
    #[zbus(allow_interactive_auth)]
    fn test_notification(&self, phone: ObjectPath<'_>, options: Dict) -> Result<(), Error>;

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

    /// Lists its backups, oldest first; each row is a [`crate::views::BackupView`]. Options: `frees` b
    /// and `explain` b fill in what their keys tell.
    fn list_backups(&self, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Lists its attempts at backups since this time in µs, oldest first, with option `all` b those at
    /// anything else as well; each row is a [`crate::views::AttemptView`].
    fn list_attempts(&self, since: u64, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Lists what was seen and decided between two times in µs, and how things stood at the first;
    /// each row is a [`crate::views::ObservationView`]. For its owner and root.
    #[zbus(allow_interactive_auth)]
    fn list_observations(&self, since: u64, until: u64, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Removes a backup; option `pinned` b removes it even if it is pinned.
    #[zbus(allow_interactive_auth)]
    fn remove_backup(&self, id: &str, options: Dict) -> Result<(), Error>;

    /// Keeps a backup whatever comes, or lets it go with the others.
    #[zbus(allow_interactive_auth)]
    fn pin_backup(&self, id: &str, pinned: bool, options: Dict) -> Result<(), Error>;

    /// Reads a backup again, all of it.
    #[zbus(allow_interactive_auth)]
    fn verify_backup(&self, id: &str, options: Dict) -> Result<OwnedObjectPath, Error>;

    /// Bounds what this phone's backups may take on the disk; 0 = no bound of their own.
    #[zbus(allow_interactive_auth)]
    fn set_quota(&self, bytes: u64, options: Dict) -> Result<(), Error>;

    /// Keeps its backups, and makes and misses no further ones; or the other way round.
    #[zbus(allow_interactive_auth)]
    fn retire(&self, retired: bool, options: Dict) -> Result<(), Error>;

    /// Removes all its backups and forgets it.
    #[zbus(allow_interactive_auth)]
    fn forget(&self, options: Dict) -> Result<(), Error>;

    /// Tells what holds for it and who says so; each row is a [`crate::views::PolicyView`].
    fn get_policy(&self, options: Dict) -> Result<Vec<Dict>, Error>;

    /// Sets what holds for it under one key; nothing takes that back. Option `also` a{ss} gives
    /// further keys, taken together with this one or not at all.
    #[zbus(allow_interactive_auth)]
    fn set_policy(&self, key: &str, value: &str, options: Dict) -> Result<(), Error>;

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
