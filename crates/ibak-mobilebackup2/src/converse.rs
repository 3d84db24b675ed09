//! One conversation from the phone's greeting to the last word.

use crate::link::Link;
use crate::message::EMPTY;
use crate::session::Session;
use crate::writer::Writer;
use crate::{
    Limits, Outcome, Phase, Progress, Request, Stats, Vault, VaultError, VaultErrorKind, link,
};
use plist::Value;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Something that was learned beside the conversation, from notification_proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `com.apple.LocalAuthentication.ui.presented`.
    PromptPresented,
    /// `com.apple.LocalAuthentication.ui.dismissed`.
    PromptDismissed,
    /// `com.apple.itunes-client.syncCancelRequest`.
    CancelRequested,
}

impl Notice {
    /// Sorts a notification by its name; `None` for one that does not matter here.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "com.apple.LocalAuthentication.ui.presented" => Some(Self::PromptPresented),
            "com.apple.LocalAuthentication.ui.dismissed" => Some(Self::PromptDismissed),
            "com.apple.itunes-client.syncCancelRequest" => Some(Self::CancelRequested),
            _ => None,
        }
    }
}

/// How a hold of the first reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Go on.
    Run,
    /// What was waited for did not come in time: [`Outcome::NotLockedInTime`].
    GiveUp,
}

/// Where a session touches the rest of the program.
#[derive(Default)]
pub struct Hooks {
    /// Counters to read while it runs.
    pub progress: Arc<Progress>,
    /// What notification_proxy says; a closed channel is fine.
    pub notices: Option<mpsc::Receiver<Notice>>,
    /// Polled once the phone has consented, before its first request is answered; its bound is the
    /// caller's.
    pub hold: Option<Pin<Box<dyn Future<Output = Release> + Send>>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("progress", &self.progress)
            .field("holds", &self.hold.is_some())
            .finish()
    }
}

/// What is left of a session.
#[derive(Debug)]
pub struct Ended<V> {
    /// How it ended.
    pub outcome: Outcome,
    /// What was counted.
    pub stats: Stats,
    /// The vault, to be kept, discarded or committed.
    pub vault: V,
}

/// Asks the phone for one deed over a stream that is connected to its mobilebackup2 service, and
/// serves it until its last word.
///
/// Only [`Outcome::Finished`] means that the deed is done. A phone that was told to restart may
/// hang up right after its last word, which is fine; before it, that is a failure.
///
/// It ends by itself, by `cancel`, or by being dropped; in the last case the vault's thread
/// finishes what it was given, abandons a half received file and drops the vault.
///
/// # Panics
/// Passes on a panic of the vault.
pub async fn converse<S, V>(
    stream: S,
    vault: V,
    request: Request,
    hooks: Hooks,
    limits: &Limits,
    cancel: CancellationToken,
) -> Ended<V>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    V: Vault,
{
    let Hooks {
        progress,
        notices,
        hold,
    } = hooks;
    let writer = match Writer::start(vault, limits, cancel.clone()) {
        Ok(writer) => writer,
        Err((error, vault)) => {
            let error = VaultError::poisoning(
                VaultErrorKind::Other,
                format!("the vault's thread: {error}"),
            );
            return Ended {
                outcome: Outcome::HostFailed { error },
                stats: Stats::default(),
                vault,
            };
        }
    };
    progress.enter(Phase::Handshake);
    let control = link::Control::new(
        cancel,
        notices,
        Arc::clone(&progress),
        limits.timeouts.clone(),
        request.deed.prompts(),
    );
    let mut session = Session::new(
        Link::new(stream, control),
        writer,
        request,
        Arc::clone(&progress),
        limits,
    );
    let outcome = session.run(hold).await;
    progress.enter(Phase::Ending);
    let (mut link, writer, stats) = session.into_parts();
    let goodbye = Value::Array(vec!["DLMessageDisconnect".into(), EMPTY.into()]);
    link.farewell(&goodbye, limits.timeouts.farewell).await;
    Ended {
        outcome,
        stats,
        vault: writer.close().await,
    }
}
