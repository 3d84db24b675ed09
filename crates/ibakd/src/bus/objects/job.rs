//! The interface of a job.

use crate::bus::Door;
use crate::bus::auth::{Action, authorize};
use crate::bus::wire::{JobProperties, Wire};
use ibak_core::{JobId, Request};
use ibak_dbus::{Dict, Error, check_options, names};
use std::sync::Arc;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::wire::OwnedObjectPath;
use zbus::{Connection, interface};

/// One job.
#[derive(Debug)]
pub struct Job {
    /// The way to the loop.
    pub door: Arc<Door>,
    /// Which job.
    pub id: JobId,
}

impl Job {
    fn wire(&self) -> Arc<Wire> {
        self.door.wire()
    }

    fn read<T: Default>(&self, pick: impl FnOnce(&JobProperties) -> T) -> T {
        self.wire().jobs.get(&self.id).map(pick).unwrap_or_default()
    }
}

/// One job. It stays 60 s after it ends, so that a late client misses nothing.
#[interface(name = "org.ibak.Ibak1.Job")]
impl Job {
    /// Calls it off.
    async fn cancel(
        &self,
        options: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let options = check_options(&options, &[])?;
        let action = Action::of_job(&self.read(|it| it.kind.clone()));
        authorize(connection, &header, action, options.no_user_interaction()).await?;
        self.door
            .request(Request::Cancel { job: self.id })
            .await
            .map(drop)
    }

    /// Says that it is over, and how; words and details in docs/dbus.md.
    #[zbus(signal)]
    pub async fn completed(
        emitter: &SignalEmitter<'_>,
        result: &str,
        details: Dict,
    ) -> zbus::Result<()>;

    /// backup, verify, restore, pair, encryption, prune, check-password, read, purchases, icloud,
    /// adopt or move-store;
    /// show the word of a new one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        self.read(|it| it.kind.clone())
    }

    /// Whose it is.
    #[zbus(property(emits_changed_signal = "const"))]
    fn phone(&self) -> OwnedObjectPath {
        self.wire()
            .jobs
            .get(&self.id)
            .map_or_else(names::no_object, |job| job.phone.clone())
    }

    /// schedule or user.
    #[zbus(property(emits_changed_signal = "const"))]
    fn trigger(&self) -> String {
        self.read(|it| it.trigger.clone())
    }

    /// When it was accepted, in µs since 1970 UTC.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> u64 {
        self.read(|it| it.start_time)
    }

    /// running, succeeded, failed or cancelled; treat a new word as running.
    #[zbus(property)]
    fn state(&self) -> String {
        self.read(|it| it.state.clone())
    }

    /// What it is doing; words in docs/dbus.md.
    #[zbus(property)]
    fn phase(&self) -> String {
        self.read(|it| it.phase.clone())
    }

    /// How far it is, 0 to 1, when `ProgressValid`.
    #[zbus(property)]
    fn progress(&self) -> f64 {
        self.read(|it| it.progress)
    }

    /// Whether `Progress` says anything.
    #[zbus(property)]
    fn progress_valid(&self) -> bool {
        self.read(|it| it.progress_valid)
    }

    /// Bytes received.
    #[zbus(property)]
    fn bytes_done(&self) -> u64 {
        self.read(|it| it.bytes_done)
    }

    /// Bytes expected in all; 0 = not known.
    #[zbus(property)]
    fn bytes_total(&self) -> u64 {
        self.read(|it| it.bytes_total)
    }

    /// Files received.
    #[zbus(property)]
    fn files_done(&self) -> u64 {
        self.read(|it| it.files_done)
    }

    /// Bytes a second of late; 0 = not known.
    #[zbus(property)]
    fn rate(&self) -> u64 {
        self.read(|it| it.rate)
    }

    /// When it is likely to end, in µs since 1970 UTC; 0 = not known.
    #[zbus(property)]
    fn expected_end_time(&self) -> u64 {
        self.read(|it| it.expected_end_time)
    }

    /// While it is queued: for what; words in docs/dbus.md.
    #[zbus(property)]
    fn waits_for(&self) -> Vec<String> {
        self.read(|it| it.waits_for.clone())
    }

    /// How it ended; empty while it runs; words in docs/dbus.md.
    #[zbus(property)]
    fn result(&self) -> String {
        self.read(|it| it.result.clone())
    }
}
