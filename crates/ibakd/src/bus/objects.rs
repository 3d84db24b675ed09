//! The three interfaces. They render the newest [`super::wire::Wire`] and turn methods into calls to the loop.

mod job;

pub use job::Job;

use super::auth::{Action, authorize, check_polkit};
use super::wire::{ManagerProperties, PhoneProperties};
use super::{Call, Door};
use ibak_core::{Answer, Automatic, Extent, Request, Udid, Wall, When};
use ibak_dbus::{Dict, Dicts, Error, check_options, names};
use std::sync::Arc;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::wire::{ObjectPath, OwnedObjectPath};
use zbus::{Connection, interface};

/// The whole daemon.
#[derive(Debug)]
pub struct Manager(pub Arc<Door>);

/// One phone.
#[derive(Debug)]
pub struct Phone {
    /// The way to the loop.
    pub door: Arc<Door>,
    /// Which phone.
    pub udid: Udid,
}

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
        let phone = Udid::parse(udid).map_err(|error| Error::InvalidOption(error.to_string()))?;
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
        self.0.call(Call::Reload).await?.map_err(Error::Failed)
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

    /// Says that somebody should look: asking, failed-needs-you, overdue, store-trouble,
    /// done-after-gap, made-room; show the phone's state for a kind that is new.
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
}

fn job_of(answer: Answer) -> Result<OwnedObjectPath, Error> {
    match answer {
        Answer::Job(id) => Ok(names::job_path(id)),
        Answer::Done | Answer::AlreadyThere => {
            Err(Error::Failed("the daemon made no job of it".into()))
        }
    }
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
        let options = check_options(&options, &["when-ready", "full"])?;
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
        authorize(
            connection,
            &header,
            Action::Backup,
            options.no_user_interaction(),
        )
        .await?;
        self.door
            .request(Request::BackUp {
                phone: self.udid.clone(),
                when,
                full,
            })
            .await
            .and_then(job_of)
    }

    /// Switches automatic backup on or off for this phone.
    async fn set_automatic(
        &self,
        on: bool,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let options = check_options(&options, &[])?;
        authorize(
            connection,
            &header,
            Action::Manage,
            options.no_user_interaction(),
        )
        .await?;
        let automatic = if on { Automatic::On } else { Automatic::Off };
        self.door
            .request(Request::SetAutomatic {
                phone: self.udid.clone(),
                automatic,
            })
            .await
            .map(drop)
    }

    /// Lists its backups, oldest first.
    #[zbus(out_args("backups"))]
    async fn list_backups(&self, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        let phone = self.udid.clone();
        self.door
            .call(|reply| Call::ListBackups { phone, reply })
            .await?
            .map_err(Error::Failed)
    }

    /// Lists its attempts since this time in µs, oldest first: why each backup did or did not happen.
    #[zbus(out_args("attempts"))]
    async fn list_attempts(&self, since: u64, options: Dict) -> Result<Vec<Dict>, Error> {
        check_options(&options, &[])?;
        let phone = self.udid.clone();
        let since = Wall::from_micros(i64::try_from(since).unwrap_or(i64::MAX));
        self.door
            .call(|reply| Call::ListAttempts {
                phone,
                since,
                reply,
            })
            .await
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
}
