//! The store: opened when it can be, looked at when the core asks.

use crate::clock::Clock;
use crate::config::Config;
use crate::executor::facts;
use ibak_core::{
    Bytes, Identity, PhoneBackups, StoreNumbers, StoreObservation, StoreReport, StoreTrouble, Udid,
    Wall,
};
use ibak_store::{Create, OpenOptions, Reserve, Store, StoreError};
use std::path::PathBuf;
use std::time::Duration;
use tracing::info;

/// For how long a look at the store is believed.
const LOOK_FOR: Duration = Duration::from_secs(300);

/// What is needed to open and judge a store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it may be on the root file system.
    pub may_be_on_root: bool,
    /// Whether a store was there before: then an empty folder is a disk that is not mounted.
    pub was_there: bool,
    /// Bytes left free; `None` = the store's own rule.
    pub reserve: Option<Bytes>,
    /// The most that all backups may use.
    pub quota: Option<Bytes>,
}

impl StoreSettings {
    /// Takes them from the configuration.
    pub fn of(config: &Config, was_there: bool) -> Self {
        Self {
            path: config.store.clone(),
            may_be_on_root: config.store_is_explicit,
            was_there,
            reserve: config.reserve_bytes.map(Bytes::new),
            quota: config.quota_bytes.map(Bytes::new),
        }
    }
}

/// What a look found.
#[derive(Debug)]
pub struct StoreLook {
    /// For the core.
    pub observation: StoreObservation,
    /// The store, when this look opened it, with all it holds.
    pub opened: Option<OpenedStore>,
    /// The trouble in its own words, for the log and for `doctor`.
    pub trouble: Option<String>,
    /// Whether only opening it anew can help.
    pub lost: bool,
    /// Whether it is this very process that still has it open.
    pub held_by_us: bool,
}

/// What the store holds of one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its backups.
    pub backups: PhoneBackups,
    /// Who it was when the newest of them was made.
    pub identity: Option<Identity>,
}

/// A store that was just opened.
pub struct OpenedStore {
    /// The store.
    pub store: Store,
    /// All it holds, phone by phone.
    pub contents: Vec<(Udid, Held)>,
}

impl std::fmt::Debug for OpenedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedStore")
            .field("contents", &self.contents)
            .finish_non_exhaustive()
    }
}

impl StoreLook {
    /// Makes the look of one that came to no end.
    pub fn broken(clock: &Clock) -> Self {
        let trouble = StoreTrouble::Failing;
        Self {
            observation: StoreObservation {
                report: StoreReport::Unavailable(trouble),
                at: clock.now(),
                time_to_live: Some(LOOK_FOR),
            },
            opened: None,
            trouble: Some("looking at the store broke".to_owned()),
            lost: true,
            held_by_us: false,
        }
    }
}

/// Says whether only opening it anew can help: the disk under an open store has gone, or has changed
/// between taking writes and not.
fn is_lost(report: &StoreReport, opened_read_only: bool) -> bool {
    match report {
        StoreReport::Open(_) => opened_read_only,
        StoreReport::Unavailable(StoreTrouble::OnRoot | StoreTrouble::Moving) => false,
        StoreReport::Unavailable(StoreTrouble::ReadOnly) => !opened_read_only,
        StoreReport::Unavailable(
            StoreTrouble::Missing
            | StoreTrouble::NoRights
            | StoreTrouble::Unsupported
            | StoreTrouble::Newer
            | StoreTrouble::Locked
            | StoreTrouble::Damaged
            | StoreTrouble::Failing,
        ) => true,
    }
}

/// Opens the store if it is not open, and looks at it. Blocks for the file system.
pub fn look(store: Option<Store>, settings: &StoreSettings, clock: &Clock) -> StoreLook {
    let mut opened = None;
    let mut read_only = false;
    let found = match store {
        Some(store) => {
            read_only = store.facts().read_only;
            numbers(&store, settings)
        }
        None => open(settings, clock).and_then(|fresh| {
            read_only = fresh.store.facts().read_only;
            let numbers = numbers(&fresh.store, settings);
            // A disk that takes no writes can still be read from.
            if numbers.is_ok() || read_only {
                opened = Some(fresh);
            }
            numbers
        }),
    };
    let held_by_us = found.as_ref().is_err_and(|trouble| trouble.held_by_us);
    let (report, trouble) = match found {
        Ok(numbers) => (StoreReport::Open(numbers), None),
        Err(trouble) => (StoreReport::Unavailable(trouble.kind), Some(trouble.words)),
    };
    let observation = StoreObservation {
        report,
        at: clock.now(),
        time_to_live: Some(LOOK_FOR),
    };
    StoreLook {
        lost: is_lost(&report, read_only),
        held_by_us,
        observation,
        opened,
        trouble,
    }
}

/// Why a store cannot take backups.
struct Trouble {
    kind: StoreTrouble,
    words: String,
    held_by_us: bool,
}

impl Trouble {
    fn new(kind: StoreTrouble, words: String) -> Self {
        Self {
            kind,
            words,
            held_by_us: false,
        }
    }
}

fn open(settings: &StoreSettings, clock: &Clock) -> Result<OpenedStore, Trouble> {
    let options = OpenOptions {
        create: if settings.was_there {
            Create::Never
        } else {
            Create::IfEmpty
        },
        reserve: settings.reserve.map_or(Reserve::Usual, Reserve::Fixed),
        now: clock.now().wall,
    };
    let (store, recovery) =
        Store::open(&settings.path, options).map_err(|error| trouble(&error))?;
    if store.facts().half_copied {
        let words =
            "it is an unfinished copy of another store: `ibakctl store move` goes on with it";
        return Err(Trouble::new(StoreTrouble::Damaged, words.to_owned()));
    }
    let nothing = ibak_store::Recovery {
        waiting: recovery.waiting,
        ..ibak_store::Recovery::default()
    };
    if recovery != nothing {
        info!(?recovery, "the store was put right after an interruption");
    }
    let contents = contents(&store, options.now).map_err(|error| trouble(&error))?;
    info!(store = %settings.path.display(), phones = contents.len(), created = store.facts().created, "store opened");
    Ok(OpenedStore { store, contents })
}

/// Lists what the store holds of every phone.
///
/// # Errors
/// A system call's.
pub fn contents(store: &Store, now: Wall) -> Result<Vec<(Udid, Held)>, StoreError> {
    store
        .phones()?
        .into_iter()
        .map(|udid| Ok((udid.clone(), backups_of(store, &udid, now)?)))
        .collect()
}

/// Lists what the store holds of one phone.
///
/// # Errors
/// A system call's.
pub fn backups_of(store: &Store, udid: &Udid, now: Wall) -> Result<Held, StoreError> {
    let list = store.list(udid)?;
    let backups = PhoneBackups {
        committed: list.iter().map(facts).collect(),
        staged: Bytes::new(store.staged_bytes(udid, now)?),
        used: Bytes::new(store.used(udid)?),
    };
    let identity = list.last().and_then(|newest| {
        Some(Identity {
            name: newest.device_name.clone()?,
            product_type: newest.product_type.clone()?,
            os_version: newest.os_version.clone()?,
        })
    });
    Ok(Held { backups, identity })
}

fn numbers(store: &Store, settings: &StoreSettings) -> Result<StoreNumbers, Trouble> {
    let totals = store.totals().map_err(|error| trouble(&error))?;
    if store.facts().on_root_filesystem && !settings.may_be_on_root {
        return Err(Trouble::new(
            StoreTrouble::OnRoot,
            format!("{} is on the root file system", settings.path.display()),
        ));
    }
    Ok(StoreNumbers {
        free: Bytes::new(totals.available),
        reserve: Bytes::new(totals.reserve),
        used: Bytes::new(totals.used),
        quota: settings.quota,
    })
}

fn trouble(error: &StoreError) -> Trouble {
    let kind = match error {
        StoreError::Unavailable { .. } => StoreTrouble::Missing,
        StoreError::UnsafePath { .. } => StoreTrouble::NoRights,
        StoreError::Locked { .. } => StoreTrouble::Locked,
        StoreError::Unfit { .. } => StoreTrouble::Unsupported,
        StoreError::NewerFormat { .. } => StoreTrouble::Newer,
        StoreError::Damaged { .. } => StoreTrouble::Damaged,
        StoreError::System { errno, .. } => match errno.raw_os_error() {
            1 | 13 => StoreTrouble::NoRights,
            30 => StoreTrouble::ReadOnly,
            _ => StoreTrouble::Failing,
        },
        StoreError::Busy(_)
        | StoreError::LayingOut(_)
        | StoreError::InUse(_)
        | StoreError::Keybag(_)
        | StoreError::PasswordNeeded
        | StoreError::NotEncrypted
        | StoreError::Poisoned
        | StoreError::Refused { .. }
        | StoreError::Incomplete(_)
        | StoreError::Unadoptable(_)
        | StoreError::NoRoom { .. }
        | StoreError::NoSuchBackup(_)
        | StoreError::Cancelled => StoreTrouble::Failing,
    };
    let ours = std::process::id();
    Trouble {
        held_by_us: matches!(error, StoreError::Locked { holder: Some(holder), .. } if *holder == ours),
        ..Trouble::new(kind, error.to_string())
    }
}
