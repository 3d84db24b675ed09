//! Making keys from a password: seconds of arithmetic on a thread of its own, with progress.

use super::outcome::of_store;
use super::{End, Reporter, Stop, blocking};
use ibak_core::{BackupId, Failure, Outcome, Phase, Progress, Secret, Udid};
use ibak_store::{ClassKeys, Keybag, KeybagError, Reader, Store, StoreError, Unlocking};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// How often its progress is told.
const EVERY: Duration = Duration::from_millis(500);

/// Watches an unlocking from beside it.
#[derive(Clone)]
struct Watch {
    stop: Stop,
    permille: Arc<AtomicU16>,
}

impl Unlocking for Watch {
    fn progress(&self, share: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share from 0 to 1; saturates"
        )]
        self.permille
            .store((share * 1000.0) as u16, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stop.why().is_some()
    }
}

/// Runs work that watches its unlocking, and tells how far it is.
pub(super) async fn watched<T: Send + 'static>(
    reporter: &Reporter,
    stop: &Stop,
    work: impl FnOnce(&dyn Unlocking) -> T + Send + 'static,
) -> T {
    reporter.phase(Phase::Unlocking).await;
    let watch = Watch {
        stop: stop.clone(),
        permille: Arc::default(),
    };
    let permille = Arc::clone(&watch.permille);
    let work = blocking(move || work(&watch));
    tokio::pin!(work);
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            done = &mut work => return done,
            // A paced look at a counter that changes by the millisecond.
            _ = every.tick() => reporter.progress(Progress {
                permille: Some(permille.load(Ordering::Relaxed)),
                ..Progress::default()
            }).await,
        }
    }
}

/// Converts why a password opened nothing.
pub(super) fn of_keybag(error: &KeybagError, stop: &Stop) -> Outcome {
    match error {
        KeybagError::WrongPassword => Outcome::failed(Failure::WrongPassword, error.to_string()),
        KeybagError::Cancelled => stop.outcome(),
        KeybagError::Malformed(_) | KeybagError::TooCostly { .. } => {
            Outcome::failed(Failure::BackupUnreadable, error.to_string())
        }
    }
}

/// Converts why a backup cannot be read.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not about reading is the store's own"
)]
pub(super) fn of_reading(error: &StoreError, stop: &Stop) -> Outcome {
    match error {
        StoreError::NoSuchBackup(_) => Outcome::failed(Failure::NoSuchBackup, error.to_string()),
        StoreError::Keybag(error) => of_keybag(error, stop),
        StoreError::Cancelled => stop.outcome(),
        StoreError::PasswordNeeded => Outcome::failed(Failure::WrongPassword, error.to_string()),
        StoreError::NotEncrypted => Outcome::failed(Failure::Encryption, error.to_string()),
        StoreError::Damaged { .. } | StoreError::Incomplete(_) => {
            Outcome::failed(Failure::BackupUnreadable, error.to_string())
        }
        other => of_store(other),
    }
}

/// Opens a backup for reading.
pub(super) async fn open(
    store: &Store,
    udid: &Udid,
    backup: &BackupId,
    stop: &Stop,
) -> Result<Reader, Outcome> {
    let (store, udid, backup) = (store.clone(), udid.clone(), backup.clone());
    blocking(move || store.reader(&udid, &backup))
        .await
        .map_err(|error| of_reading(&error, stop))
}

/// Reads the keybag of a backup; `None` for a plain one.
pub(super) async fn keybag_of(
    reader: Reader,
    stop: &Stop,
) -> Result<(Reader, Option<Keybag>), Outcome> {
    let (reader, keybag) = blocking(move || {
        let keybag = reader.keybag();
        (reader, keybag)
    })
    .await;
    keybag
        .map(|keybag| (reader, keybag))
        .map_err(|error| of_reading(&error, stop))
}

/// Makes the keys of a backup; `None` for a plain one, which needs no password.
pub(super) async fn unlock(
    keybag: Option<Keybag>,
    password: Option<Secret>,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<Option<ClassKeys>, Outcome> {
    let (keybag, password) = match (keybag, password) {
        (None, _) => return Ok(None),
        (Some(_), None) => {
            return Err(Outcome::failed(
                Failure::WrongPassword,
                "the backup is encrypted, and no password was given",
            ));
        }
        (Some(keybag), Some(password)) => (keybag, password),
    };
    watched(reporter, stop, move |watch| keybag.unlock(&password, watch))
        .await
        .map(Some)
        .map_err(|error| of_keybag(&error, stop))
}

/// All that a proof of a password needs; the phone is not among it.
pub struct CheckJob {
    /// Whose backup it is.
    pub phone: Udid,
    /// Where backups lie.
    pub store: Store,
    /// Which backup.
    pub backup: BackupId,
    /// The password.
    pub password: Secret,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
}

impl CheckJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Self {
            phone,
            store,
            backup,
            password,
            reporter,
            stop,
        } = self;
        let reader = match open(&store, &phone, &backup, &stop).await {
            Ok(reader) => reader,
            Err(outcome) => return End::early(outcome),
        };
        let proved = watched(&reporter, &stop, move |watch| {
            reader.check_password(&password, watch)
        })
        .await;
        End::early(match proved {
            Ok(_keys) => Outcome::PasswordProved(backup),
            Err(error) => of_reading(&error, &stop),
        })
    }
}
