//! What every job with a phone shares: the way to it, one session, one conversation.

use super::outcome::of_conversation;
use super::progress::{About, Meter, report};
use super::{Reporter, Stop, blocking};
use crate::clock::Clock;
use ibak_core::{Bytes, Interruption, Outcome, Progress, StopWhy, Udid};
use ibak_device::{
    BackupSession, Deadlines, DeviceError, Link, PairRecord, PairStore, PhoneEvent, Session, Stream,
};
use ibak_mobilebackup2::{Deed, Ended, Hooks, Limits, Notice, Release, Request, Vault, converse};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::info;

/// Notices kept for the conversation.
const NOTICES_MAX: usize = 64;

/// Holds the first reply of a conversation back.
pub(super) type Hold = Pin<Box<dyn Future<Output = Release> + Send>>;

/// A phone, and what is needed to talk to it.
pub struct PhoneWork {
    /// Which phone.
    pub phone: Udid,
    /// Its UDID as it spells it itself.
    pub wire_udid: String,
    /// The way to it.
    pub link: Link,
    /// Our pairings.
    pub records: Arc<PairStore>,
    /// Both clocks.
    pub clock: Clock,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
    /// For each step with the phone.
    pub deadlines: Deadlines,
    /// Bounds of the conversation.
    pub limits: Limits,
}

/// A session that was announced to the phone, with its two ends.
pub(super) struct Opened {
    pub(super) session: BackupSession,
    stream: Box<dyn Stream>,
    events: mpsc::Receiver<PhoneEvent>,
}

/// A conversation that is over.
pub(super) struct Talked<V> {
    pub(super) ended: Ended<V>,
    asked: Option<StopWhy>,
}

impl<V> Talked<V> {
    /// Tells how it ended for the core; `None` when the phone said that all is well.
    ///
    /// A stop that was asked for explains whatever followed from it.
    pub(super) fn told(&self) -> Option<Outcome> {
        let outcome = &self.ended.outcome;
        if *outcome == ibak_mobilebackup2::Outcome::Finished {
            return None;
        }
        Some(match (self.asked, of_conversation(outcome)) {
            (Some(why), _) => why.outcome(),
            (None, Some(outcome)) => outcome,
            (None, None) => StopWhy::Interrupted(Interruption::Stopping).outcome(),
        })
    }
}

impl PhoneWork {
    /// Returns the outcome of a job that was asked to end.
    pub(super) fn stopped(&self) -> Outcome {
        self.stop.outcome()
    }

    async fn record(&self) -> Result<Arc<PairRecord>, DeviceError> {
        let (records, phone) = (Arc::clone(&self.records), self.phone.clone());
        let record = blocking(move || records.load(&phone)).await?;
        record.map(Arc::new).ok_or(DeviceError::NotPaired)
    }

    /// Opens a lockdown session.
    pub(super) async fn session(&self) -> Result<Session, DeviceError> {
        let record = self.record().await?;
        Session::open(&self.link, record, &self.phone, &self.deadlines).await
    }

    /// Announces a backup to the phone, and learns what its Info.plist is made of.
    pub(super) async fn open(&self) -> Result<Opened, DeviceError> {
        let record = self.record().await?;
        opened(BackupSession::open(&self.link, record, &self.phone, &self.deadlines).await?)
    }

    /// Announces anything else to the phone.
    pub(super) async fn announce(&self) -> Result<Opened, DeviceError> {
        let record = self.record().await?;
        opened(BackupSession::announce(&self.link, record, &self.phone, &self.deadlines).await?)
    }

    /// Asks the phone for one deed about its own folder and serves it to the end.
    pub(super) async fn converse<V: Vault>(
        &self,
        opened: Opened,
        vault: V,
        deed: Deed,
        hold: Option<Hold>,
    ) -> Talked<V> {
        let request = Request {
            udid: self.phone.clone(),
            folder: self.wire_udid.clone(),
            target: self.wire_udid.clone(),
            deed,
        };
        self.converse_about(opened, vault, request, hold).await
    }

    /// Makes a request and serves the phone until it is done, then takes leave of it.
    pub(super) async fn converse_about<V: Vault>(
        &self,
        opened: Opened,
        vault: V,
        request: Request,
        hold: Option<Hold>,
    ) -> Talked<V> {
        let Opened {
            session,
            stream,
            events,
        } = opened;
        let (notices, receiver) = mpsc::channel(NOTICES_MAX);
        let hooks = Hooks {
            notices: Some(receiver),
            hold,
            ..Hooks::default()
        };
        let about = About::of(&request.deed);
        let progress = Arc::clone(&hooks.progress);
        let listener = tokio::spawn(listen(events, notices, self.stop.clone()));
        let talk = converse(
            stream,
            vault,
            request,
            hooks,
            &self.limits,
            self.stop.token(),
        );
        let reports = report(
            about,
            Arc::clone(&progress),
            self.reporter.clone(),
            self.clock.clone(),
        );
        let ended = tokio::select! {
            ended = talk => ended,
            never = reports => match never {},
        };
        // What came after the last look at the counters counts too.
        let all = Progress {
            rate: Bytes::ZERO,
            expected_end: None,
            ..Meter::new(about, self.clock.now()).read(&progress.view(), self.clock.now())
        };
        self.reporter.progress(all).await;
        // What goes wrong while taking leave explains nothing of what came before.
        listener.abort();
        let asked = self.stop.why();
        session.finish().await;
        tracing::debug!(outcome = ?ended.outcome, stats = ?ended.stats, "the conversation ended");
        Talked { ended, asked }
    }
}

fn opened(mut session: BackupSession) -> Result<Opened, DeviceError> {
    match (session.take_stream(), session.take_events()) {
        (Some(stream), Some(events)) => Ok(Opened {
            session,
            stream,
            events,
        }),
        (_, _) => Err(DeviceError::Protocol {
            what: "mobilebackup2",
            reason: "the session was used before".into(),
        }),
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
