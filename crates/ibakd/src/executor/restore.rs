//! Giving a backup back to a phone: everything that can be checked is checked here first, then the
//! phone takes what it wants from a committed backup that nothing can write to.

use super::outcome::{of_device, of_store};
use super::unlock::{of_reading, open, unlock};
use super::vault::ServingVault;
use super::{End, PhoneWork, RestoreWish, blocking};
use ibak_core::{Bytes, Failure, Outcome, Phase, Udid};
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
        self.not_known_to_be_damaged().await?;
        let facts = async {
            let mut session = work.session().await?;
            let facts = restore_facts(&mut session).await;
            let goodbye = session.deadlines().goodbye;
            match tokio::time::timeout(goodbye, session.stop()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the phone did not say good-bye"),
                Err(_elapsed) => tracing::debug!("the phone did not say good-bye in time"),
            }
            facts
        };
        let facts = facts.await.map_err(|error| of_device(&error))?;
        tracing::debug!(?facts, "the phone before a restore");
        allowed(&facts, reader.generation())?;
        let keybag = reader.keybag().map_err(|error| of_reading(&error, stop))?;
        unlock(keybag, self.wish.password.clone(), reporter, stop).await?;
        Ok(reader)
    }

    /// Refuses a backup that a later reading found damaged.
    async fn not_known_to_be_damaged(&self) -> Result<(), Outcome> {
        let (store, source) = (self.store.clone(), self.wish.source.clone());
        let listed = blocking(move || store.list(&source)).await;
        let listed = listed.map_err(|error| of_reading(&error, &self.work.stop))?;
        let found = listed.iter().find(|it| it.id == self.wish.backup);
        if found.is_some_and(|it| !it.verified) {
            return Err(Outcome::failed(
                Failure::BackupUnreadable,
                "files of this backup were found damaged",
            ));
        }
        Ok(())
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

/// Says why this phone cannot take this backup, as far as that can be known. What the phone does
/// not say is no reason: it has the last word itself.
fn allowed(facts: &RestoreFacts, backup: &Generation) -> Result<(), Outcome> {
    let no = |failure, detail: String| Err(Outcome::failed(failure, detail));
    if facts.find_my == Some(true) {
        return no(Failure::FindMy, "Find My is on".to_owned());
    }
    if facts.setup_done == Some(false) {
        return no(
            Failure::SetupUnfinished,
            "the phone's setup is not finished".to_owned(),
        );
    }
    if let Some(made_on) = &backup.os_version
        && is_older(&facts.ios, made_on)
    {
        return no(
            Failure::OlderSystem,
            format!(
                "the backup was made on iOS {made_on}, the phone has {}",
                facts.ios
            ),
        );
    }
    let size = Bytes::new(backup.size_bytes);
    // What it holds now goes away, so the whole partition counts where it tells no better number.
    if let Some(room) = facts.restorable.or(facts.capacity)
        && room < size
    {
        return no(
            Failure::NoRoomOnPhone,
            format!(
                "the backup has {} bytes, the phone room for {}",
                size.get(),
                room.get()
            ),
        );
    }
    Ok(())
}

/// Tells whether version `a` is older than `b`; what is no version is not.
fn is_older(a: &str, b: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        let parsed: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        parsed.ok().map(|mut numbers| {
            while numbers.last() == Some(&0) {
                numbers.pop();
            }
            numbers
        })
    };
    match (numbers(a), numbers(b)) {
        (Some(a), Some(b)) => a < b,
        (_, _) => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (a, b, older) in [
            ("15.6", "15.6", false),
            ("15.6", "15.6.1", true),
            ("15.6.0", "15.6", false),
            ("9.3.5", "15.6", true),
            ("26.3", "16.3.1", false),
            ("16.3", "16.10", true),
            ("?", "16.10", false),
            ("16.1", "", false),
        ] {
            assert_eq!(is_older(a, b), older, "{a} {b}");
        }
    }
}
