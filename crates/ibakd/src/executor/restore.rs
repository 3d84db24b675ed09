//! Giving a backup back to a phone: everything that can be checked is checked here first, then the
//! phone takes what it wants from a committed backup that nothing can write to.

use super::outcome::{of_device, of_store};
use super::unlock::{keybag_of, of_reading, open, unlock};
use super::vault::ServingVault;
use super::{End, PhoneWork, RestoreWish, blocking};
use ibak_core::{
    Bytes, Failure, Outcome, Phase, RestoreSource, RestoreTarget, Udid, restore_refused,
};
use ibak_device::{RestoreFacts, restore_facts};
use ibak_mobilebackup2::{Deed, Ended, Request, RestoreOptions};
use ibak_store::{Generation, Reader, Store};
use tracing::{info, warn};

/// All that giving a backup back needs.
pub struct RestoreJob {
    /// The phone and the way to it.
    pub work: PhoneWork,
    /// Where backups lie.
    pub store: Store,
    /// Which backup, and how.
    pub wish: RestoreWish,
}

impl RestoreJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        self.work.reporter.phase(Phase::Connecting).await;
        let token = self.work.stop.token();
        let checked = tokio::select! {
            checked = self.check() => checked,
            () = token.cancelled() => Err(self.work.stopped()),
        };
        match checked {
            Err(outcome) => End::early(outcome),
            Ok(_) if self.wish.dry_run => End::early(Outcome::Done),
            Ok(reader) => self.restore(reader).await,
        }
    }

    /// Checks what can be known before the phone is touched.
    async fn check(&self) -> Result<Reader, Outcome> {
        let work = &self.work;
        let (stop, reporter) = (&work.stop, &work.reporter);
        let reader = open(&self.store, &self.wish.source, &self.wish.backup, stop).await?;
        let backup = self.backup(reader.generation()).await?;
        let facts = async {
            let mut session = work.session().await?;
            let facts = restore_facts(&mut session).await;
            session.goodbye().await;
            facts
        };
        let facts = facts.await.map_err(|error| of_device(&error))?;
        tracing::debug!(?facts, ?backup, "before a restore");
        let phone = target(facts);
        if let Some(failure) = restore_refused(&phone, &backup) {
            return Err(Outcome::failed(failure, compared(&backup, &phone)));
        }
        let (reader, keybag) = keybag_of(reader, stop).await?;
        unlock(keybag, self.wish.password.clone(), reporter, stop).await?;
        Ok(reader)
    }

    /// Says what is known of the backup, also what a later reading found.
    async fn backup(&self, generation: &Generation) -> Result<RestoreSource, Outcome> {
        let (store, source) = (self.store.clone(), self.wish.source.clone());
        let listed = blocking(move || store.list(&source)).await;
        let listed = listed.map_err(|error| of_reading(&error, &self.work.stop))?;
        let found = listed.iter().find(|it| it.id == self.wish.backup);
        Ok(RestoreSource {
            os_version: generation.os_version.clone(),
            size: Bytes::new(generation.size_bytes),
            damaged: found.is_some_and(|it| !it.verified),
        })
    }

    async fn restore(self, reader: Reader) -> End {
        let Self { work, store, wish } = self;
        work.reporter.phase(Phase::Preparing).await;
        let wire_udid = reader.wire_udid().to_owned();
        let apps = match blocking(move || reader.applications()).await {
            Ok(apps) => apps,
            Err(error) => return End::early(of_reading(&error, &work.stop)),
        };
        let (source, backup) = (wish.source.clone(), wish.backup.clone());
        let serving = match blocking(move || store.serve(&source, &backup)).await {
            Ok(serving) => serving,
            Err(error) => return End::early(of_store(&error)),
        };
        let token = work.stop.token();
        let opened = tokio::select! {
            opened = work.announce() => opened,
            () = token.cancelled() => return End::early(work.stopped()),
        };
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(error) => return End::early(of_device(&error)),
        };
        if let Some(plist) = apps.restore_plist
            && let Err(error) = opened.session.place_restore_applications(&plist).await
        {
            warn!(%error, "the list of apps cannot be given to the phone");
            opened.session.finish().await;
            return End::early(of_device(&error));
        }
        let request = request(&work, wish, wire_udid);
        let vault = ServingVault { serving };
        info!("the phone takes a backup");
        let talked = work.converse_about(opened, vault, request, None).await;
        let told = talked.told().map_or(Outcome::Done, explained);
        let Ended {
            outcome,
            stats,
            vault,
        } = talked.ended;
        // What the phone wrote is thrown away with it.
        blocking(move || drop(vault)).await;
        End {
            device_code: outcome.device_code(),
            bytes: stats.bytes_sent,
            files: stats.files_sent,
            ..End::early(told)
        }
    }
}

fn request(work: &PhoneWork, wish: RestoreWish, folder: String) -> Request {
    let source: Udid = wish.source;
    Request {
        udid: source,
        folder,
        target: work.wire_udid.clone(),
        deed: Deed::Restore(RestoreOptions {
            system_files: true,
            reboot: wish.reboot,
            copy: false,
            preserve_settings: wish.keep_settings,
            remove_others: wish.remove_others,
            password: wish.password,
        }),
    }
}

/// Puts the two side by side, for whoever wants the numbers.
fn compared(backup: &RestoreSource, phone: &RestoreTarget) -> String {
    let room = phone.room.map_or_else(
        || "room not known".to_owned(),
        |room| format!("room for {} bytes", room.get()),
    );
    format!(
        "the backup has iOS {} and {} bytes, the phone iOS {} and {room}",
        backup.os_version.as_deref().unwrap_or("of unknown version"),
        backup.size.get(),
        phone.os_version,
    )
}

/// Converts what the phone says; the core decides on it.
fn target(facts: RestoreFacts) -> RestoreTarget {
    RestoreTarget {
        os_version: facts.ios,
        find_my: facts.find_my,
        setup_done: facts.setup_done,
        // What it holds now goes away: where it tells no better number, all of it counts.
        room: facts.restorable.or(facts.capacity),
    }
}

/// In this conversation the phone's errors say something of their own.
fn explained(outcome: Outcome) -> Outcome {
    let Outcome::Failed { failure, detail } = outcome else {
        return outcome;
    };
    let here = [
        (Failure::Encryption, Failure::WrongPassword),
        (Failure::NoSpace, Failure::NoRoomOnPhone),
        (Failure::PreviousUnreadable, Failure::BackupUnreadable),
        (Failure::Version, Failure::OlderSystem),
    ];
    let found = here.iter().find(|(from, _)| *from == failure);
    let failure = found.map_or(failure, |(_, to)| *to);
    Outcome::Failed { failure, detail }
}
