//! Everything around a backup that is not the backup: announcing it to the phone, the sync
//! lock, watching for the person, and what Info.plist needs (phone.md §4, steps 2 to 6).

mod info_plist;
mod inputs;
mod sync;

pub use info_plist::info_plist;
pub use inputs::{App, HostInputs};

use crate::heartbeat::Beat;
use crate::notify::{NotificationProxy, NotificationReader};
use crate::wire::Stream;
use crate::{Deadlines, DeviceError, Escrow, Link, PairRecord, Service, Session};
use crate::{assertion, heartbeat};
use ibak_core::{Transport, Udid};
use std::sync::Arc;
use std::time::Duration;
use sync::SyncLock;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const SERVICE: &str = "com.apple.mobilebackup2";
const PROMPT_SHOWN: &str = "com.apple.LocalAuthentication.ui.presented";
const PROMPT_GONE: &str = "com.apple.LocalAuthentication.ui.dismissed";
const CANCEL: &str = "com.apple.itunes-client.syncCancelRequest";
const SUSPEND: &str = "com.apple.itunes-client.syncSuspendRequest";
const RESUME: &str = "com.apple.itunes-client.syncResumeRequest";
const DOMAIN_CHANGED: &str = "com.apple.mobile.backup.domain_changed";
const OBSERVED: [&str; 6] = [
    PROMPT_SHOWN,
    PROMPT_GONE,
    CANCEL,
    SUSPEND,
    RESUME,
    DOMAIN_CHANGED,
];
/// Events kept for a slow reader.
const QUEUE: usize = 64;

/// What happens on the phone beside the backup's own conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// A question for passcode, Face ID or Touch ID is on the screen. Not only backups ask:
    /// it means ours only while we wait for the first answer.
    PasscodeAsked,
    /// The question has gone, answered or dismissed.
    PasscodeClosed,
    /// The person cancelled the backup on the phone.
    CancelledOnPhone,
    /// The phone wants the sync to pause.
    SuspendAsked,
    /// The phone wants the sync to go on.
    ResumeAsked,
    /// The phone's backup settings changed.
    SettingsChanged,
    /// The phone is going to sleep: the transfer will freeze.
    Sleepy,
    /// The heartbeat ended: the phone has left the network.
    HeartbeatLost(String),
    /// The notification service ended; the person can no longer be heard.
    NotificationsLost(String),
}

impl PhoneEvent {
    fn of_notification(name: &str) -> Option<Self> {
        match name {
            PROMPT_SHOWN => Some(Self::PasscodeAsked),
            PROMPT_GONE => Some(Self::PasscodeClosed),
            CANCEL => Some(Self::CancelledOnPhone),
            SUSPEND => Some(Self::SuspendAsked),
            RESUME => Some(Self::ResumeAsked),
            DOMAIN_CHANGED => Some(Self::SettingsChanged),
            _ => None,
        }
    }
}

/// A phone that was told of the backup and holds still for it.
///
/// Call [`Self::finish`] on every way out. Dropping it does the same in the background, within
/// the same deadline, as long as the runtime lives.
#[derive(Debug)]
pub struct BackupSession {
    stream: Option<Box<dyn Stream>>,
    events: Option<mpsc::Receiver<PhoneEvent>>,
    inputs: HostInputs,
    escrow: Escrow,
    sync: SyncLock,
    session: Session,
    _tasks: DropGuard,
}

/// Where a restore looks for the apps it is to install.
const RESTORE_DIR: &str = "/iTunesRestore";
const RESTORE_APPLICATIONS: &str = "/iTunesRestore/RestoreApplications.plist";

impl BackupSession {
    /// Opens a session for a backup up to, and without, the first word of its conversation, and
    /// gathers what Info.plist is made of.
    ///
    /// # Errors
    /// [`DeviceError::SyncLockBusy`] when another program syncs; else as [`Session::open`] and
    /// [`Session::start_service`]. Whatever was announced by then is taken back.
    pub async fn open(
        link: &Link,
        record: Arc<PairRecord>,
        udid: &Udid,
        deadlines: &Deadlines,
    ) -> Result<Self, DeviceError> {
        let mut opened = Self::announce(link, record, udid, deadlines).await?;
        match inputs::gather(&mut opened.session, opened.sync.afc()).await {
            Ok(inputs) => {
                opened.inputs = inputs;
                Ok(opened)
            }
            Err(error) => {
                opened.sync.release().await;
                Err(error)
            }
        }
    }

    /// Opens a session for a restore, a change of the password, or the iCloud switch: the same
    /// without what Info.plist is made of.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn announce(
        link: &Link,
        record: Arc<PairRecord>,
        udid: &Udid,
        deadlines: &Deadlines,
    ) -> Result<Self, DeviceError> {
        let has_bag = record.has_escrow_bag();
        let mut session = Session::open(link, record, udid, deadlines).await?;
        let (service, escrow) = start(&mut session, has_bag).await?;
        let mut proxy = NotificationProxy::open(&mut session).await?;
        proxy.observe(&OBSERVED).await?;
        let (poster, reader) = proxy.into_parts();
        let (tx, events) = mpsc::channel(QUEUE);
        let cancel = CancellationToken::new();
        let tasks = cancel.clone().drop_guard();
        if link.transport() == Transport::Wifi {
            keep_alive(&mut session, &tx, &cancel).await?;
        }
        tokio::spawn(forward(reader, tx, cancel));
        let sync = SyncLock::take(&mut session, poster).await?;
        Ok(Self {
            stream: Some(service.stream),
            events: Some(events),
            inputs: HostInputs::empty(udid),
            escrow,
            sync,
            session,
            _tasks: tasks,
        })
    }

    /// Takes the stream of the backup's conversation; the phone speaks first. Once.
    pub fn take_stream(&mut self) -> Option<Box<dyn Stream>> {
        self.stream.take()
    }

    /// Takes the events of the phone. Once.
    pub fn take_events(&mut self) -> Option<mpsc::Receiver<PhoneEvent>> {
        self.events.take()
    }

    /// Returns what Info.plist is made of; empty, and of no use for that, after [`Self::announce`].
    pub const fn inputs(&self) -> &HostInputs {
        &self.inputs
    }

    /// Returns the lockdown session beside the conversation, for [`crate::restore_facts`] and the
    /// like.
    pub const fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Lays the list of apps where the phone looks for it after a restore, replacing an older one.
    ///
    /// # Errors
    /// [`DeviceError::Service`] when the phone does not take it, for example for want of space; else
    /// when the conversation fails. What was written by then is removed where possible.
    pub async fn place_restore_applications(&mut self, plist: &[u8]) -> Result<(), DeviceError> {
        let Some(afc) = self.sync.afc() else {
            return Err(DeviceError::Service {
                service: crate::afc::SERVICE,
                reason: "the sync is over".into(),
            });
        };
        let deadline = self.session.deadlines().inputs;
        let writing = afc.write_file(RESTORE_DIR, RESTORE_APPLICATIONS, plist);
        crate::wire::within(crate::afc::SERVICE, deadline, writing).await
    }

    /// Says whether the escrow bag was taken, so that the phone may be locked.
    pub const fn escrow(&self) -> Escrow {
        self.escrow
    }

    /// Tells the phone that the sync is over and lets go of everything, within
    /// [`Deadlines::goodbye`]. Never fails: the phone may be gone.
    pub async fn finish(self) {
        let Self {
            stream,
            mut sync,
            session,
            ..
        } = self;
        drop(stream);
        sync.release().await;
        session.goodbye().await;
    }
}

/// Starts the backup service with the escrow bag and, if that is refused, once without.
async fn start(session: &mut Session, has_bag: bool) -> Result<(Service, Escrow), DeviceError> {
    if has_bag {
        match session.start_service(SERVICE, Escrow::Yes).await {
            Ok(service) => return Ok((service, Escrow::Yes)),
            Err(DeviceError::Lockdown { code, .. }) => {
                tracing::debug!(%code, "the phone does not take the escrow bag; once more without");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((
        session.start_service(SERVICE, Escrow::No).await?,
        Escrow::No,
    ))
}

/// Answers the heartbeat and holds the phone awake, each in a task that ends with the session.
async fn keep_alive(
    session: &mut Session,
    tx: &mpsc::Sender<PhoneEvent>,
    cancel: &CancellationToken,
) -> Result<(), DeviceError> {
    let request = session.deadlines().request;
    let service = session
        .start_service(heartbeat::SERVICE, Escrow::No)
        .await?;
    let (beats_tx, beats) = mpsc::channel(QUEUE);
    tokio::spawn(relay_beats(beats, tx.clone()));
    let (events, token) = (tx.clone(), cancel.clone());
    tokio::spawn(async move {
        if let Err(error) = heartbeat::beat_over(service, request, beats_tx, token).await {
            tell(&events, PhoneEvent::HeartbeatLost(error.to_string())).await;
        }
    });
    match session.start_service(assertion::SERVICE, Escrow::No).await {
        Ok(service) => {
            tokio::spawn(hold(service, request, cancel.clone()));
        }
        // Worth having, not needed: the backup goes on.
        Err(DeviceError::Lockdown { code, .. }) => {
            tracing::debug!(%code, "the phone gives no power assertion")
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn hold(service: Service, request: Duration, cancel: CancellationToken) {
    if let Err(error) = assertion::hold_over(service, request, cancel).await {
        tracing::debug!(%error, "the power assertion ended");
    }
}

async fn relay_beats(mut beats: mpsc::Receiver<Beat>, tx: mpsc::Sender<PhoneEvent>) {
    while let Some(beat) = beats.recv().await {
        match beat {
            Beat::Alive { .. } => {}
            Beat::Sleepy => tell(&tx, PhoneEvent::Sleepy).await,
        }
    }
}

async fn forward(
    mut reader: NotificationReader,
    tx: mpsc::Sender<PhoneEvent>,
    cancel: CancellationToken,
) {
    let relay = async {
        loop {
            match reader.next().await {
                Ok(Some(name)) => {
                    if let Some(event) = PhoneEvent::of_notification(&name) {
                        tell(&tx, event).await;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    return tell(&tx, PhoneEvent::NotificationsLost(error.to_string())).await;
                }
            }
        }
    };
    cancel.run_until_cancelled(relay).await;
}

/// Sends an event; when nobody listens any more there is nobody to tell.
async fn tell(tx: &mpsc::Sender<PhoneEvent>, event: PhoneEvent) {
    if let Err(unheard) = tx.send(event).await {
        tracing::trace!(event = ?unheard.0, "nobody listens to the phone any more");
    }
}
