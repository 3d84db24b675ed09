//! Copying the whole store to another place.

use super::counted::{Counted, told};
use super::unlock::of_reading;
use super::{End, Reporter, Stop, blocking};
use crate::clock::Clock;
use ibak_core::{Failure, Outcome, Phase};
use ibak_store::{Copied, Create, OpenOptions, Reserve, Store, StoreError};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use tracing::{info, warn};

/// All that moving the store needs.
pub struct MoveJob {
    /// The store as it is.
    pub store: Store,
    /// The folder that is to hold it.
    pub target: PathBuf,
    /// Room to leave free there.
    pub reserve: Reserve,
    /// The present.
    pub clock: Clock,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
}

impl MoveJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Self {
            store,
            target,
            reserve,
            clock,
            reporter,
            stop,
        } = self;
        reporter.phase(Phase::Preparing).await;
        let options = OpenOptions {
            create: Create::IfEmpty,
            reserve,
            now: clock.now().wall,
        };
        let place = target.clone();
        let opened = blocking(move || Store::open(&place, options)).await;
        let other = match opened {
            Ok((other, _)) => other,
            Err(error) => return End::early(of_place(&error, &stop)),
        };
        reporter.phase(Phase::Copying).await;
        let counted = Arc::new(Counted::default());
        let (counting, asked) = (Arc::clone(&counted), stop.clone());
        let work = blocking(move || {
            store.copy_to(&other, &mut |seen| {
                counting.expect(seen.bytes_total);
                counting.set(seen.files, seen.bytes);
                match asked.why() {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            })
        });
        let copied = told(work, &counted, &reporter).await;
        let (files, bytes) = counted.read();
        let outcome = match copied {
            Ok(copied) => {
                say(&copied, &target);
                match copied.unreadable.len() {
                    0 => Outcome::Done,
                    left => Outcome::failed(
                        Failure::BackupDamaged,
                        format!("left behind, for their records cannot be read: {left}"),
                    ),
                }
            }
            Err(error) => of_place(&error, &stop),
        };
        End {
            files,
            bytes,
            ..End::early(outcome)
        }
    }
}

fn say(copied: &Copied, target: &std::path::Path) {
    info!(
        target = %target.display(),
        backups = copied.backups,
        already_there = copied.already_there,
        "the store is copied"
    );
    for (phone, backup) in &copied.damaged {
        warn!(%phone, %backup, "it is as damaged there as it is here");
    }
    for (phone, backup) in &copied.unreadable {
        warn!(%phone, %backup, "it was left behind: its record cannot be read");
    }
    for phone in &copied.left {
        warn!(%phone, "its unfinished backup was left behind; the next one begins anew");
    }
}

/// Converts why a folder cannot hold the store, in words for whoever chose it.
fn of_place(error: &StoreError, stop: &Stop) -> Outcome {
    match error {
        StoreError::NoRoom { .. } => Outcome::failed(Failure::NoSpace, error.to_string()),
        StoreError::Unavailable { .. }
        | StoreError::UnsafePath { .. }
        | StoreError::Locked { .. }
        | StoreError::Unfit { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::Refused { .. } => {
            Outcome::failed(Failure::StoreUnavailable, error.to_string())
        }
        StoreError::System { .. }
        | StoreError::Damaged { .. }
        | StoreError::Busy(_)
        | StoreError::LayingOut(_)
        | StoreError::InUse(_)
        | StoreError::Keybag(_)
        | StoreError::PasswordNeeded
        | StoreError::NotEncrypted
        | StoreError::Poisoned
        | StoreError::Incomplete(_)
        | StoreError::Unadoptable(_)
        | StoreError::NoSuchBackup(_)
        | StoreError::Cancelled => of_reading(error, stop),
    }
}
