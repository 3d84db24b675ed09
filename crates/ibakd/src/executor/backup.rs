//! One backup: the phone made ready and the working copy laid out side by side, the conversation,
//! the commit. Whatever happens, the phone is told goodbye and the working copy is kept, thrown
//! away or committed, in that order of doubt.

use super::outcome::{of_conversation, of_device, of_store};
use super::progress::{Meter, report};
use super::{End, Reporter, StagingVault, Stop};
use crate::clock::{Clock, system_time};
use ibak_core::{
    BackupFacts, Bytes, Extent, Failure, Interruption, Outcome, Phase, StartJob, StopWhy,
};
use ibak_device::{
    BackupSession, Deadlines, DeviceError, HostInputs, Link, PairRecord, PairStore, PhoneEvent,
    info_plist,
};
use ibak_mobilebackup2::{
    CopyDoubt, Deed, Ended, Hooks, Limits, Notice, Release, Request, Stats, converse,
};
use ibak_store::{Begin, DeviceDone, Full, Generation, Staging, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// Notices kept for the conversation.
const NOTICES_MAX: usize = 64;

/// All that one backup needs.
pub struct BackupJob {
    /// What the core asked for.
    pub start: StartJob,
    /// The way to the phone.
    pub link: Link,
    /// Its UDID as it spells it itself.
    pub wire_udid: String,
    /// Our pairings.
    pub records: Arc<PairStore>,
    /// Where backups lie.
    pub store: Store,
    /// The most bytes that backups may use.
    pub quota: Option<Bytes>,
    /// Both clocks.
    pub clock: Clock,
    /// Whether its screen is known to be locked.
    pub locked: watch::Receiver<bool>,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
    /// For each step with the phone.
    pub deadlines: Deadlines,
    /// Bounds of the conversation.
    pub limits: Limits,
}

impl BackupJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        self.reporter.phase(Phase::Connecting).await;
        let token = self.stop.token();
        let session = async {
            let record = self.record().await?;
            BackupSession::open(&self.link, record, &self.start.phone, &self.deadlines).await
        };
        let opening = futures_util::future::join(session, self.begin());
        let (session, staging) = tokio::select! {
            opened = opening => opened,
            () = token.cancelled() => return End::early(self.stopped()),
        };
        match (session, staging) {
            (Ok(session), Ok(staging)) => self.converse(session, staging).await,
            (Ok(session), Err(error)) => {
                session.finish().await;
                warn!(%error, "the store cannot take a backup");
                End::early(of_store(&error))
            }
            (Err(error), staging) => {
                if let Ok(staging) = staging {
                    self.put_away(staging, Doubt::None).await;
                }
                info!(%error, "no session for a backup");
                End::early(of_device(&error))
            }
        }
    }

    fn stopped(&self) -> Outcome {
        self.stop
            .why()
            .unwrap_or(StopWhy::Interrupted(Interruption::Stopping))
            .outcome()
    }

    async fn record(&self) -> Result<Arc<PairRecord>, DeviceError> {
        let (records, phone) = (Arc::clone(&self.records), self.start.phone.clone());
        let record = blocking(move || records.load(&phone)).await?;
        record.map(Arc::new).ok_or(DeviceError::NotPaired)
    }

    async fn begin(&self) -> Result<Staging, StoreError> {
        let (store, clock, quota) = (self.store.clone(), self.clock.clone(), self.quota);
        let (udid, wire_udid) = (self.start.phone.clone(), self.wire_udid.clone());
        let full = match self.start.extent {
            Extent::Changes => Full::IfNeeded,
            Extent::Full => Full::Forced,
        };
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

    async fn converse(self, mut session: BackupSession, staging: Staging) -> End {
        self.reporter.phase(Phase::Preparing).await;
        let inputs = session.inputs().clone();
        let (staging, written) = self.write_info(staging, &inputs, false).await;
        let (Some(stream), Some(events)) = (session.take_stream(), session.take_events()) else {
            session.finish().await;
            return End::early(Outcome::failed(
                Failure::Crashed,
                "the session was used before",
            ));
        };
        if let Err(error) = written {
            session.finish().await;
            self.put_away(staging, Doubt::None).await;
            return End::early(of_store(&error));
        }
        let resumed = staging.resumed();
        let full = self.start.extent == Extent::Full || (staging.parent().is_none() && !resumed);
        let request = Request {
            udid: self.start.phone.clone(),
            folder: self.wire_udid.clone(),
            target: self.wire_udid.clone(),
            deed: Deed::Backup { full },
        };
        let (notices, receiver) = mpsc::channel(NOTICES_MAX);
        let hooks = Hooks {
            notices: Some(receiver),
            hold: self.hold(),
            ..Hooks::default()
        };
        let progress = Arc::clone(&hooks.progress);
        let listener = tokio::spawn(listen(events, notices, self.stop.clone()));
        let vault = StagingVault {
            staging,
            clock: self.clock.clone(),
        };
        let talk = converse(
            stream,
            vault,
            request,
            hooks,
            &self.limits,
            self.stop.token(),
        );
        let reports = report(
            Arc::clone(&progress),
            self.reporter.clone(),
            self.clock.clone(),
        );
        let ended = tokio::select! {
            ended = talk => ended,
            never = reports => match never {},
        };
        // What came after the last look at the counters counts too.
        let all = Meter::new(self.clock.now()).read(&progress.view(), self.clock.now());
        self.reporter.progress(all).await;
        // What goes wrong while taking leave explains nothing of what came before.
        listener.abort();
        let asked = self.stop.why();
        session.finish().await;
        self.conclude(ended, asked, resumed, inputs).await
    }

    async fn conclude(
        self,
        ended: Ended<StagingVault>,
        asked: Option<StopWhy>,
        resumed: bool,
        inputs: HostInputs,
    ) -> End {
        let Ended {
            outcome,
            stats,
            vault,
        } = ended;
        let staging = vault.staging;
        tracing::debug!(?outcome, ?stats, resumed, "the conversation ended");
        let device_code = outcome.device_code();
        let doubted = outcome.copy_in_doubt();
        let end = |outcome| End {
            outcome,
            device_code,
            bytes: stats.bytes_received,
            files: stats.files_received,
            copy_unreadable: doubted == CopyDoubt::Always && !resumed,
        };
        if outcome != ibak_mobilebackup2::Outcome::Finished {
            // A stop that was asked for explains whatever followed from it.
            let told = match (asked, of_conversation(&outcome)) {
                (Some(why), _) => why.outcome(),
                (None, Some(outcome)) => outcome,
                (None, None) => self.stopped(),
            };
            let doubt = match doubted {
                CopyDoubt::Always => Doubt::Whole,
                CopyDoubt::IfResumed if resumed => Doubt::Whole,
                CopyDoubt::IfResumed | CopyDoubt::Never => Doubt::None,
            };
            self.put_away(staging, doubt).await;
            return end(told);
        }
        end(self.commit(staging, &stats, &inputs).await)
    }

    async fn commit(&self, staging: Staging, stats: &Stats, inputs: &HostInputs) -> Outcome {
        self.reporter.phase(Phase::Committing).await;
        let (staging, written) = self.write_info(staging, inputs, true).await;
        if let Err(error) = written {
            self.put_away(staging, Doubt::None).await;
            return of_store(&error);
        }
        let Some(done) = DeviceDone::from_error_code(0) else {
            return Outcome::failed(Failure::Crashed, "a finished backup without its proof");
        };
        let clock = self.clock.clone();
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
        let now = self.clock.now();
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

    async fn put_away(&self, staging: Staging, doubt: Doubt) {
        let clock = self.clock.clone();
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

    /// Makes the future that holds the first reply until the screen is locked.
    fn hold(&self) -> Option<std::pin::Pin<Box<dyn Future<Output = Release> + Send>>> {
        let longest: Duration = self
            .start
            .hold_until_locked
            .filter(|longest| !longest.is_zero())?;
        let (mut locked, clock) = (self.locked.clone(), self.clock.clone());
        Some(Box::pin(async move {
            let deadline = clock.now().monotonic + longest;
            tokio::select! {
                known = locked.wait_for(|locked| *locked) => if known.is_ok() { Release::Run } else { Release::GiveUp },
                () = clock.sleep_until(deadline) => Release::GiveUp,
            }
        }))
    }
}

/// Whether the working copy itself may be what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    Whole,
}

/// Converts a committed backup for the core.
pub(crate) fn facts(generation: &Generation) -> BackupFacts {
    BackupFacts {
        id: generation.id.clone(),
        finished: generation.finished,
        size: Bytes::new(generation.size_bytes),
        added: Bytes::new(generation.unique_bytes),
    }
}

/// Passes on what the phone says beside the conversation.
async fn listen(mut events: mpsc::Receiver<PhoneEvent>, notices: mpsc::Sender<Notice>, stop: Stop) {
    while let Some(event) = events.recv().await {
        let notice = match event {
            PhoneEvent::PasscodeAsked => Notice::PromptPresented,
            PhoneEvent::PasscodeClosed => Notice::PromptDismissed,
            PhoneEvent::CancelledOnPhone => Notice::CancelRequested,
            PhoneEvent::HeartbeatLost(reason) => {
                info!(reason, "the phone has left the network");
                stop.ask(StopWhy::Interrupted(Interruption::ConnectionLost));
                continue;
            }
            PhoneEvent::Sleepy => {
                info!("the phone is about to sleep");
                continue;
            }
            PhoneEvent::SuspendAsked
            | PhoneEvent::ResumeAsked
            | PhoneEvent::SettingsChanged
            | PhoneEvent::NotificationsLost(_) => {
                tracing::debug!(?event, "the phone says");
                continue;
            }
        };
        if notices.send(notice).await.is_err() {
            return;
        }
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
