//! The interface of the whole daemon.

use super::errands::Caller;
use super::{job_of, storage};
use crate::bus::auth::{Action, authorize, check_polkit};
use crate::bus::wire::ManagerProperties;
use crate::bus::{Call, Door, StorageCall};
use ibak_core::{Request, Wall};
use ibak_dbus::{Dict, Error, check_options, names};
use std::sync::Arc;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::wire::{ObjectPath, OwnedFd, OwnedObjectPath};
use zbus::{Connection, interface};

/// The whole daemon.
#[derive(Debug)]
pub struct Manager(pub Arc<Door>);

impl Manager {
    fn read<T>(&self, pick: impl FnOnce(&ManagerProperties) -> T) -> T {
        pick(&self.0.wire().manager)
    }

    async fn manage(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        options: &Dict,
    ) -> Result<(), Error> {
        let options = check_options(options, &[])?;
        authorize(
            connection,
            header,
            Action::Manage,
            options.no_user_interaction(),
        )
        .await
    }
}

/// The whole daemon: the pause, the store, pairing, configuration and self-diagnosis.
#[interface(name = "org.ibak.Ibak1.Manager")]
impl Manager {
    /// Stops automatic backups until this time in µs since 1970 UTC, 0 = until resumed.
    async fn pause(
        &self,
        until: u64,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.manage(connection, &header, &options).await?;
        let until = match until {
            0 => None,
            micros => Some(Wall::from_micros(i64::try_from(micros).map_err(|_| {
                Error::InvalidOption(
                    "until is too far away: microseconds since 1970 are asked for".into(),
                )
            })?)),
        };
        self.0.request(Request::Pause { until }).await.map(drop)
    }

    /// Lets automatic backups start again.
    async fn resume(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.manage(connection, &header, &options).await?;
        self.0.request(Request::Resume).await.map(drop)
    }

    /// Pairs with a phone on USB; the job's `Phase` is `asking` while the phone asks its owner.
    #[zbus(out_args("job"))]
    async fn pair(
        &self,
        udid: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        self.manage(connection, &header, &options).await?;
        let phone = storage::udid(udid)?;
        self.0
            .request(Request::Pair { phone })
            .await
            .and_then(job_of)
    }

    /// Reads the configuration again, whole or not at all; a refusal names the line.
    async fn reload(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.manage(connection, &header, &options).await?;
        self.0.call(Call::Reload).await?
    }

    /// Tells what the store and each phone's backups use: a row for the whole store, then one for
    /// each phone that has any.
    #[zbus(out_args("rows"))]
    async fn list_storage(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        self.0.storage(StorageCall::Storage).await
    }

    /// Takes in a backup that another program made: the files of its folder as a tar stream, their
    /// names relative to the folder.
    ///
    /// Option: `size` t is how large it is in all, for the progress.
    #[zbus(out_args("job"))]
    async fn adopt(
        &self,
        udid: &str,
        input: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        storage::adopt(&self.0, udid, input.into(), &options, caller).await
    }

    /// Lets a new phone take the place of an old one: it gets its quota and its automatic backup, and
    /// the old one is retired.
    async fn replace(
        &self,
        old: &str,
        new: &str,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.manage(connection, &header, &options).await?;
        let (old, new) = (storage::udid(old)?, storage::udid(new)?);
        let request = Request::Replace { old, new };
        self.0.request(request).await.map(drop)
    }

    /// Copies the whole store into the folder that this descriptor is of; what an earlier try left
    /// there is gone on with. The daemon goes on using the store it has.
    #[zbus(out_args("job"))]
    async fn move_store(
        &self,
        target: OwnedFd,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let caller = Caller::new(connection, &header);
        storage::move_store(&self.0, target.into(), &options, caller).await
    }

    /// Checks what backups need; a row each with `id`, `status`, `detail`, `remedy`.
    #[zbus(out_args("checks"))]
    async fn diagnose(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        let mut checks = self.0.call(Call::Diagnose).await?;
        checks.push(check_polkit(connection).await.to_dict());
        Ok(checks)
    }

    /// Sends a message of kind `test` about a phone, to see where messages arrive.
    async fn test_notification(
        &self,
        phone: ObjectPath<'_>,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.manage(connection, &header, &options).await?;
        let unknown = || Error::Failed("no phone has this path".into());
        let phone = names::phone_of(phone.as_str()).ok_or_else(unknown)?;
        self.0
            .call(|reply| Call::TestNotification { phone, reply })
            .await?
    }

    /// Says that somebody should look: asking, failed-needs-you, overdue, store-trouble,
    /// done-after-gap, check-password, made-room, test; show the phone's state for a kind that is
    /// new.
    #[zbus(signal)]
    pub async fn attention(
        emitter: &SignalEmitter<'_>,
        phone: ObjectPath<'_>,
        kind: &str,
        details: Dict,
    ) -> zbus::Result<()>;

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// `automatic` or `paused`; show the word of a new one.
    #[zbus(property)]
    fn mode(&self) -> String {
        self.read(|it| it.mode.clone())
    }

    /// The end of the pause in µs since 1970 UTC; 0 = none, or until resumed.
    #[zbus(property)]
    fn paused_until(&self) -> u64 {
        self.read(|it| it.paused_until)
    }

    /// `ok`, `low`, `full`, `unavailable` or `unknown`; treat a new word as `unknown`.
    #[zbus(property)]
    fn storage_state(&self) -> String {
        self.read(|it| it.storage_state.clone())
    }

    /// Free bytes on the store's file system.
    #[zbus(property)]
    fn storage_free_bytes(&self) -> u64 {
        self.read(|it| it.storage_free_bytes)
    }

    /// Bytes that the backups take.
    #[zbus(property)]
    fn storage_used_bytes(&self) -> u64 {
        self.read(|it| it.storage_used_bytes)
    }

    /// Bytes that the backups may take; 0 = no quota.
    #[zbus(property)]
    fn quota_bytes(&self) -> u64 {
        self.read(|it| it.quota_bytes)
    }

    /// The folder that the backups lie in.
    #[zbus(property)]
    fn store_path(&self) -> String {
        self.read(|it| it.store_path.clone())
    }

    /// Where messages go that are about no single phone: channels, as the file names of hooks and
    /// `desktop`; empty = everywhere.
    #[zbus(property)]
    fn notify_channels(&self) -> Vec<String> {
        self.read(|it| it.notify_channels.clone())
    }

    /// The configuration file; empty when there is none.
    #[zbus(property)]
    fn config_path(&self) -> String {
        self.read(|it| it.config_path.clone())
    }
}
