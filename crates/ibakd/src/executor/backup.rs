//! One backup: the phone made ready and the working copy laid out side by side, the conversation,
//! the commit. Whatever happens, the phone is told goodbye and the working copy is kept, thrown
//! away or committed, in that order of doubt.

use super::outcome::{of_device, of_store};
use super::work::{Hold, Opened, Talked};
use super::{End, PhoneWork, RoomMaker, StagingVault};
use crate::clock::{Clock, local_day, system_time};
use ibak_core::{BackupFacts, Bytes, Extent, Failure, Outcome, Phase, StartJob};
use ibak_device::{DeviceError, HostInputs, info_plist};
use ibak_mobilebackup2::{CopyDoubt, Deed, Ended, Release, Stats};
use ibak_store::{Begin, DeviceDone, Full, Generation, Staging, Store, StoreError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// All that one backup needs.
pub struct BackupJob {
    /// The phone and the way to it.
    pub work: PhoneWork,
    /// What the core asked for.
    pub start: StartJob,
    /// Where backups lie.
    pub store: Store,
    /// The most bytes that backups may use.
    pub quota: Option<Bytes>,
    /// What may be done about a full store.
    pub room: Option<RoomMaker>,
    /// Whether its screen is known to be locked.
    pub locked: watch::Receiver<bool>,
}

impl BackupJob {
    /// Runs it to its end. A phone that cannot use a copy of its earlier backup (its error 205)
    /// sends everything, once.
    pub async fn run(mut self) -> End {
        let full = match self.start.extent {
            Extent::Changes => Full::IfNeeded,
            Extent::Full => Full::Forced,
        };
        let (mut end, mut copy) = self.attempt(full).await;
        if copy == EarlierCopy::Unusable && self.work.stop.why().is_none() {
            info!("the phone cannot use its earlier backup, and is to send everything");
            let first = end;
            (end, _) = self.attempt(Full::Forced).await;
            end.bytes = end.bytes.saturating_add(first.bytes);
            end.files = end.files.saturating_add(first.files);
            copy = if matches!(end.outcome, Outcome::BackedUp(_)) {
                EarlierCopy::Usable
            } else {
                EarlierCopy::Unusable
            };
        }
        let made = self.room.and_then(|room| room.made);
        End {
            made_room: made.filter(|made| made.removed > 0),
            copy_unusable: copy == EarlierCopy::Unusable,
            ..end
        }
    }

    async fn attempt(&mut self, full: Full) -> (End, EarlierCopy) {
        self.work.reporter.phase(Phase::Connecting).await;
        let laying_out = begin(&self.work, &self.store, self.quota, full);
        match prepare(&self.work, self.work.open(), laying_out).await {
            Ok((opened, staging)) => self.converse(opened, staging, full).await,
            Err(outcome) => (End::early(outcome), EarlierCopy::Usable),
        }
    }

    async fn converse(
        &mut self,
        opened: Opened,
        staging: Staging,
        full: Full,
    ) -> (End, EarlierCopy) {
        self.work.reporter.phase(Phase::Preparing).await;
        let inputs = opened.session.inputs().clone();
        let (staging, written) = self.write_info(staging, &inputs, false).await;
        if let Err(error) = written {
            opened.session.finish().await;
            put_away(staging, Doubt::None, &self.work.clock).await;
            return (End::early(of_store(&error)), EarlierCopy::Usable);
        }
        let resumed = staging.resumed();
        let full = full == Full::Forced || (staging.parent().is_none() && !resumed);
        let vault = StagingVault {
            staging,
            clock: self.work.clock.clone(),
            room: self.room.take(),
        };
        let deed = Deed::Backup { full };
        let talked = self.work.converse(opened, vault, deed, self.hold()).await;
        self.conclude(talked, resumed, inputs).await
    }

    async fn conclude(
        &mut self,
        talked: Talked<StagingVault>,
        resumed: bool,
        inputs: HostInputs,
    ) -> (End, EarlierCopy) {
        let told = talked.told();
        let Ended {
            outcome,
            stats,
            vault,
        } = talked.ended;
        let staging = vault.staging;
        self.room = vault.room;
        let doubted = outcome.copy_in_doubt();
        let end = |told| End {
            device_code: outcome.device_code(),
            bytes: stats.bytes_received,
            files: stats.files_received,
            ..End::early(told)
        };
        if let Some(told) = told {
            let doubt = match doubted {
                CopyDoubt::Always => Doubt::Whole,
                CopyDoubt::IfResumed if resumed => Doubt::Whole,
                CopyDoubt::IfResumed | CopyDoubt::Never => Doubt::None,
            };
            let copied = staging.parent().is_some();
            put_away(staging, doubt, &self.work.clock).await;
            let copy = if doubted == CopyDoubt::Always && !resumed && copied {
                EarlierCopy::Unusable
            } else {
                EarlierCopy::Usable
            };
            return (end(told), copy);
        }
        let outcome = self.commit(staging, &stats, &inputs).await;
        (end(outcome), EarlierCopy::Usable)
    }

    async fn commit(&self, staging: Staging, stats: &Stats, inputs: &HostInputs) -> Outcome {
        self.work.reporter.phase(Phase::Committing).await;
        let (staging, written) = self.write_info(staging, inputs, true).await;
        if let Err(error) = written {
            put_away(staging, Doubt::None, &self.work.clock).await;
            return of_store(&error);
        }
        let Some(done) = DeviceDone::from_error_code(0) else {
            return Outcome::failed(Failure::Crashed, "a finished backup without its proof");
        };
        let clock = self.work.clock.clone();
        match blocking(move || staging.commit(done, clock.now())).await {
            Ok(generation) => {
                info!(
                    backup = %generation.id,
                    bytes = generation.size_bytes,
                    new_bytes = generation.unique_bytes,
                    files = generation.files,
                    received_files = stats.files_received,
                    warnings = generation.warnings.len(),
                    "backup committed"
                );
                Outcome::BackedUp(facts(&generation))
            }
            Err(error) => {
                warn!(%error, "what arrived did not become a backup");
                of_store(&error)
            }
        }
    }

    /// Writes Info.plist; its date only counts for a backup that ended well.
    async fn write_info(
        &self,
        mut staging: Staging,
        inputs: &HostInputs,
        ended_well: bool,
    ) -> (Staging, Result<(), StoreError>) {
        let now = self.work.clock.now();
        let bytes = info_plist(inputs, ended_well.then(|| system_time(now.wall)));
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return (staging, Err(StoreError::Incomplete(error.to_string()))),
        };
        blocking(move || {
            let written = staging.write_info_plist(&bytes, now);
            (staging, written)
        })
        .await
    }

    /// Makes the future that holds the first reply until the screen is locked.
    fn hold(&self) -> Option<Hold> {
        let longest: Duration = self
            .start
            .hold_until_locked
            .filter(|longest| !longest.is_zero())?;
        let (mut locked, clock) = (self.locked.clone(), self.work.clock.clone());
        Some(Box::pin(async move {
            let deadline = clock.now().monotonic + longest;
            tokio::select! {
                known = locked.wait_for(|locked| *locked) => if known.is_ok() { Release::Run } else { Release::GiveUp },
                () = clock.sleep_until(deadline) => Release::GiveUp,
            }
        }))
    }
}

/// Whether the phone could use the copy of its earlier backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EarlierCopy {
    Usable,
    Unusable,
}

/// Whether the working copy itself may be what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    None,
    Whole,
}

/// Announces a conversation to the phone and lays out a working copy, side by side. Without one
/// of the two the other is put away.
///
/// A working copy that is being laid out is waited for, also when the job was told to stop: the
/// next job of this phone finds the place free.
pub(super) async fn prepare(
    work: &PhoneWork,
    opening: impl Future<Output = Result<Opened, DeviceError>>,
    laying_out: impl Future<Output = Result<Staging, StoreError>>,
) -> Result<(Opened, Staging), Outcome> {
    let token = work.stop.token();
    let opening = async {
        tokio::select! {
            opened = opening => Some(opened),
            () = token.cancelled() => None,
        }
    };
    let (opened, staging) = futures_util::future::join(opening, laying_out).await;
    let (opened, staging) = match (opened, staging) {
        (Some(Ok(opened)), Ok(staging)) if !token.is_cancelled() => return Ok((opened, staging)),
        other => other,
    };
    if let Ok(staging) = staging {
        put_away(staging, Doubt::None, &work.clock).await;
    } else if let Err(error) = staging {
        warn!(%error, "the store lays out no working copy");
        if let Some(Ok(opened)) = opened {
            opened.session.finish().await;
        }
        return Err(of_store(&error));
    }
    match opened {
        Some(Ok(opened)) => {
            opened.session.finish().await;
            Err(work.stopped())
        }
        Some(Err(error)) => {
            info!(%error, "no session with the phone");
            Err(of_device(&error))
        }
        None => Err(work.stopped()),
    }
}

/// Lays out a working copy, or goes on with an earlier one.
pub(super) async fn begin(
    work: &PhoneWork,
    store: &Store,
    quota: Option<Bytes>,
    full: Full,
) -> Result<Staging, StoreError> {
    let (store, clock) = (store.clone(), work.clock.clone());
    let (udid, wire_udid) = (work.phone.clone(), work.wire_udid.clone());
    blocking(move || {
        store.begin(Begin {
            udid: &udid,
            wire_udid: &wire_udid,
            full,
            quota,
            now: clock.now(),
        })
    })
    .await
}

pub(super) async fn put_away(staging: Staging, doubt: Doubt, clock: &Clock) {
    let clock = clock.clone();
    let done = blocking(move || match doubt {
        Doubt::None => staging.keep(clock.now()).map(|kept| {
            if kept {
                "kept to be resumed"
            } else {
                "not worth keeping"
            }
        }),
        Doubt::Whole => staging.discard().map(|()| "discarded"),
    })
    .await;
    match done {
        Ok(fate) => tracing::debug!(fate, "the working copy"),
        Err(error) => warn!(%error, "the working copy could not be put away"),
    }
}

/// Converts a committed backup for the core.
pub(crate) fn facts(generation: &Generation) -> BackupFacts {
    BackupFacts {
        id: generation.id.clone(),
        finished: generation.finished,
        size: Bytes::new(generation.size_bytes),
        added: Bytes::new(generation.unique_bytes),
        encrypted: generation.encrypted,
        day: local_day(generation.finished),
        verified: generation.verified,
        pinned: generation.pinned || generation.guarded,
        adopted: generation.adopted,
    }
}

/// Runs blocking file work on a thread of its own; a panic there is a panic here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // A blocking task cannot be cancelled once it runs; before that the runtime is ending.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Says whether an error means that the pairing is not accepted.
pub(crate) fn is_untrusted(error: &DeviceError) -> bool {
    if let DeviceError::Lockdown { code, .. } = error {
        return code.is_not_paired();
    }
    matches!(
        error,
        DeviceError::NotPaired | DeviceError::WrongKey { .. } | DeviceError::BadRecord(_)
    )
}
