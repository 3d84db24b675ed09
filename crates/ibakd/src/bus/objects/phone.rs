//! The interface of a phone.

use super::errands::{self, Caller};

use super::{observations, policy, storage};
use crate::bus::wire::PhoneProperties;
use crate::bus::{Call, Door};
use ibak_core::{Udid, Wall};
use ibak_dbus::{Dict, Dicts, Error, check_options, names};
use std::sync::Arc;
use zbus::message::Header;
use zbus::wire::{OwnedFd, OwnedObjectPath};
use zbus::{Connection, interface};

/// One phone.
#[derive(Debug)]
pub struct Phone {
    /// The way to the loop.
    pub door: Arc<Door>,
    /// Which phone.
    pub udid: Udid,
}

impl Phone {
    fn read<T: Default>(&self, pick: impl FnOnce(&PhoneProperties) -> T) -> T {
        self.door
            .wire()
            .phones
            .get(&self.udid)
            .map(pick)
            .unwrap_or_default()
    }
}

/// One phone: what it is doing, what it waits for, and its backups.
#[interface(name = "org.ibak.Ibak1.Phone")]
impl Phone {
    /// Starts a backup at once, as Apple's "Back Up Now" does, needing reachability, trust and space.
    ///
    /// Options: `when-ready` b queues it until all conditions hold; `full` b has everything sent anew.
    #[zbus(out_args("job"))]
    async fn backup(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        policy::back_up(self, &options, caller).await
    }

    /// Switches automatic backup on or off for this phone.
    async fn set_automatic(
        &self,
        on: bool,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        policy::set_automatic(self, on, &options, caller).await
    }

    /// Tells what holds for it, a row for each key: `key` s, `value` s, `source` s and `default` s.
    #[zbus(out_args("rows"))]
    async fn get_policy(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        policy::get(self, &options).await
    }

    /// Sets what holds for it under one key, before what the configuration says; an empty value
    /// takes that back.
    ///
    /// Option: `also` a{ss} gives further keys, which are taken together with this one or not at all.
    async fn set_policy(
        &self,
        key: &str,
        value: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        policy::set(self, key, value, &options, caller).await
    }

    /// Lists its backups, oldest first.
    ///
    /// Options: `frees` b adds what removing each would free, `explain` b why each stays.
    #[zbus(out_args("backups"))]
    async fn list_backups(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        storage::list(self, &options).await
    }

    /// Removes a backup.
    ///
    /// Option: `pinned` b removes it even if it is pinned, guarded or the newest good one.
    async fn remove_backup(
        &self,
        id: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        storage::remove(self, id, &options, caller).await
    }

    /// Keeps a backup whatever comes, or lets it go with the others.
    async fn pin_backup(
        &self,
        id: &str,
        pinned: bool,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        storage::pin(self, id, pinned, &options, caller).await
    }

    /// Reads a backup again, all of it; `Result` is backup-damaged when that finds damage.
    #[zbus(out_args("job"))]
    async fn verify_backup(
        &self,
        id: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        errands::verify(self, id, &options, caller).await
    }

    /// Bounds what its backups may take on the disk, in bytes; 0 = no bound of their own.
    async fn set_quota(
        &self,
        bytes: u64,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        storage::set_quota(self, bytes, &options, caller).await
    }

    /// Keeps its backups, and makes and misses no further ones; or the other way round.
    async fn retire(
        &self,
        retired: bool,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        storage::retire(self, retired, &options, caller).await
    }

    /// Removes all its backups and forgets it; its pairing stays.
    async fn forget(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        storage::forget(self, &options, caller).await
    }

    /// Lists its attempts since this time in µs, oldest first: why each backup did or did not happen.
    ///
    /// How each ended is for everybody to see, as `LastResult` is; who did what when in a night is not:
    /// that is `ListObservations`.
    ///
    /// Option: `all` b lists those at anything else as well.
    #[zbus(out_args("attempts"))]
    async fn list_attempts(&self, since: u64, options: Dict) -> Result<Vec<Dict>, Error> {
        let all = check_options(&options, &["all"])?.flag("all")?;
        let phone = self.udid.clone();
        let since = Wall::from_micros(i64::try_from(since).unwrap_or(i64::MAX));
        self.door
            .call(|reply| Call::ListAttempts {
                phone,
                since,
                all,
                reply,
            })
            .await
    }

    /// Lists what was seen and decided between two times in µs, oldest first, and how things stood at
    /// the first of them: the night behind `ibakctl timeline`.
    ///
    /// For root, the daemon's own user and the phone's `owner`; for a phone without one also whoever
    /// polkit lets `read-backup`. Since: 0.2
    #[zbus(out_args("observations"))]
    async fn list_observations(
        &self,
        since: u64,
        until: u64,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<Dict>, Error> {
        let caller = Caller::new(connection, &header);
        observations::list(self, since, until, &options, caller).await
    }

    /// Gives a backup back to this phone, never without being asked to.
    ///
    /// Options: `source` s is the UDID whose backup it is, `password` h belongs to an encrypted one,
    /// `dry-run` b only checks; `keep-settings`, `remove-others` and `no-reboot` b say how.
    #[zbus(out_args("job"))]
    async fn restore(
        &self,
        id: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        errands::restore(self, id, &options, caller).await
    }

    /// Sets the password of its backups (`old` yields nothing), removes it (`new` yields nothing) or
    /// changes it.
    #[zbus(out_args("job"))]
    async fn set_encryption(
        &self,
        old: OwnedFd,
        new: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        errands::set_encryption(self, old.into(), new.into(), &options, caller).await
    }

    /// Switches iCloud Backup on the phone; it answers when that is done.
    #[zbus(name = "SetICloudBackup")]
    async fn set_icloud_backup(
        &self,
        on: bool,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        errands::set_icloud(self, on, &options, caller).await
    }

    /// Proves a password against a backup, without the phone.
    #[zbus(out_args("job"))]
    async fn check_password(
        &self,
        id: &str,
        password: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        errands::check_password(self, id, password.into(), &options, caller).await
    }

    /// Ends the pairing, here and on the phone if it is there; backups stay.
    async fn unpair(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        errands::unpair(self, &options, caller).await
    }

    /// Writes what a backup holds into a pipe, one JSON object a line; it answers when all is written.
    ///
    /// Options: `password` h, `domain` s, `path` s.
    async fn list_files(
        &self,
        id: &str,
        out: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let caller = Caller::new(connection, &header);
        errands::list_files(self, id, out.into(), &options, caller).await
    }

    /// Writes files of a backup into a pipe as a tar stream; each item is `DOMAIN` or `DOMAIN/PATH`.
    ///
    /// Options: `password` h, `raw` b has the stored files themselves.
    #[zbus(out_args("job"))]
    async fn read_files(
        &self,
        id: &str,
        selection: Vec<String>,
        out: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        errands::read_files(self, id, selection, out.into(), &options, caller).await
    }

    /// Writes what was bought in the stores and is on the phone into a pipe as a tar stream.
    ///
    /// Option: `have` a{st} names what is there already, with its size.
    #[zbus(out_args("job"))]
    async fn save_purchases(
        &self,
        out: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        errands::save_purchases(self, out.into(), &options, caller).await
    }

    /// Its unique device identifier.
    #[zbus(property(emits_changed_signal = "const"))]
    fn udid(&self) -> String {
        self.udid.as_str().to_owned()
    }

    /// The name its owner gave it; untrusted text.
    #[zbus(property)]
    fn name(&self) -> String {
        self.read(|it| it.name.clone())
    }

    /// For example `iPhone14,5`; untrusted text; empty until the phone was asked.
    #[zbus(property)]
    fn product_type(&self) -> String {
        self.read(|it| it.product_type.clone())
    }

    /// For example `15.6`; untrusted text.
    #[zbus(property)]
    fn os_version(&self) -> String {
        self.read(|it| it.os_version.clone())
    }

    /// What it is doing: absent, untrusted, waiting, settling, asking, backing-up, committing,
    /// idle, backing-off or paused; show a new word and assume nothing runs.
    #[zbus(property)]
    fn state(&self) -> String {
        self.read(|it| it.state.clone())
    }

    /// How it is reached: usb, wifi; empty = absent.
    #[zbus(property)]
    fn transports(&self) -> Vec<String> {
        self.read(|it| it.transports.clone())
    }

    /// trusted, untrusted or unknown.
    #[zbus(property)]
    fn trust(&self) -> String {
        self.read(|it| it.trust.clone())
    }

    /// Whether automatic backup is on for this phone.
    #[zbus(property)]
    fn automatic(&self) -> bool {
        self.read(|it| it.automatic)
    }

    /// power, wifi, locked and space, each with status, since, reason, source and details.
    #[zbus(property)]
    fn conditions(&self) -> Dicts {
        self.door.call_soon(Call::LookedAt(self.udid.clone()));
        self.read(|it| it.conditions.clone())
    }

    /// Whether its backups are encrypted: on, off or unknown.
    #[zbus(property)]
    fn encryption(&self) -> String {
        self.read(|it| it.encryption.clone())
    }

    /// Whether it asks for its passcode before a backup: asks, never or unknown.
    #[zbus(property)]
    fn passcode(&self) -> String {
        self.read(|it| it.passcode.clone())
    }

    /// Its own iCloud Backup: on, off or unknown.
    #[zbus(property, name = "ICloudBackup")]
    fn icloud_backup(&self) -> String {
        self.read(|it| it.icloud_backup.clone())
    }

    /// The earliest next attempt in µs since 1970 UTC; 0 = as soon as the conditions are met.
    #[zbus(property)]
    fn next_attempt(&self) -> u64 {
        self.read(|it| it.next_attempt)
    }

    /// What it waits for, the most telling first; words in docs/dbus.md.
    #[zbus(property)]
    fn waits_for(&self) -> Vec<String> {
        self.read(|it| it.waits_for.clone())
    }

    /// When it was last there in µs since 1970 UTC; 0 = it is there, or never was.
    #[zbus(property)]
    fn last_seen(&self) -> u64 {
        self.read(|it| it.last_seen)
    }

    /// When its newest backup was committed in µs since 1970 UTC; 0 = never.
    #[zbus(property)]
    fn last_backup(&self) -> u64 {
        self.read(|it| it.last_backup)
    }

    /// How its last attempt ended; words in docs/dbus.md, empty = there was none.
    #[zbus(property)]
    fn last_result(&self) -> String {
        self.read(|it| it.last_result.clone())
    }

    /// Whether it has been without a backup for too long.
    #[zbus(property)]
    fn overdue(&self) -> bool {
        self.read(|it| it.overdue)
    }

    /// Its job; `/` = none.
    #[zbus(property)]
    fn current_job(&self) -> OwnedObjectPath {
        self.door
            .wire()
            .phones
            .get(&self.udid)
            .map_or_else(names::no_object, |phone| phone.current_job.clone())
    }
    /// Whether whoever manages the phone demands encrypted backups.
    #[zbus(property)]
    fn encryption_required(&self) -> bool {
        self.read(|it| it.encryption_required)
    }

    /// When its backup password was last proved to be known in µs since 1970 UTC; 0 = never.
    #[zbus(property)]
    fn password_checked(&self) -> u64 {
        self.read(|it| it.password_checked)
    }

    /// Whether it is time to prove that password again.
    #[zbus(property)]
    fn password_check_due(&self) -> bool {
        self.read(|it| it.password_check_due)
    }

    /// When it was last backed up to iCloud in µs since 1970 UTC; 0 = never or not known.
    #[zbus(property, name = "LastICloudBackup")]
    fn last_icloud_backup(&self) -> u64 {
        self.read(|it| it.last_icloud_backup)
    }

    /// Bytes that an unfinished backup already has.
    #[zbus(property)]
    fn staged_bytes(&self) -> u64 {
        self.read(|it| it.staged_bytes)
    }

    /// Bytes that its backups take on the disk.
    #[zbus(property)]
    fn used_bytes(&self) -> u64 {
        self.read(|it| it.used_bytes)
    }

    /// Bytes that its backups may take; 0 = no quota of their own.
    #[zbus(property)]
    fn quota_bytes(&self) -> u64 {
        self.read(|it| it.quota_bytes)
    }

    /// Whether its backups are kept, and no further ones made or missed.
    #[zbus(property)]
    fn retired(&self) -> bool {
        self.read(|it| it.retired)
    }

    /// Where messages about it go: channels, as the file names of hooks and `desktop`; empty =
    /// everywhere.
    #[zbus(property)]
    fn notify_channels(&self) -> Vec<String> {
        self.read(|it| it.notify_channels.clone())
    }
}
