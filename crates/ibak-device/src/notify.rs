//! The phone's notifications: asked for by name, relayed as they happen.
//!
//! Reading and writing are on two halves of the connection, so that waiting for a notification
//! can be cancelled at any point without losing the place in the stream.

use crate::guard::{Framing, PlistGuard};
use crate::wire::{Stream, within};
use crate::{Deadlines, DeviceError, Escrow, Service, Session};
use ibak_core::plist_guard::Limits;
use idevice::Idevice;
use idevice::notification_proxy::NotificationProxyClient;
use tokio::io::{empty, join, sink, split};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The service's name.
pub(crate) const SERVICE: &str = "com.apple.mobile.notification_proxy";
/// Notifications kept for a slow reader; a phone sends a few a minute.
const QUEUE: usize = 64;

/// A connection to the phone's notification service.
#[derive(Debug)]
pub struct NotificationProxy {
    poster: Poster,
    names: mpsc::Receiver<Result<String, DeviceError>>,
    reader: JoinHandle<()>,
}

/// The writing half: observes and posts.
#[derive(Debug)]
pub struct Poster {
    client: NotificationProxyClient,
    deadlines: Deadlines,
}

impl NotificationProxy {
    /// Starts the service and connects to it.
    ///
    /// # Errors
    /// As [`Session::start_service`].
    pub async fn open(session: &mut Session) -> Result<Self, DeviceError> {
        let service = session.start_service(SERVICE, Escrow::No).await?;
        Ok(Self::over(service, session.deadlines()))
    }

    /// Speaks over a service that is connected.
    pub fn over(service: Service, deadlines: &Deadlines) -> Self {
        let (read, write) = split(service.stream);
        let (tx, names) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(async move {
            let guarded = PlistGuard::new(read, Framing::Plist, Limits::MESSAGE);
            let mut client = client(Box::new(join(guarded, sink())));
            loop {
                let name = client
                    .receive_notification()
                    .await
                    .map_err(DeviceError::service(SERVICE));
                let ended = name.is_err();
                if tx.send(name).await.is_err() || ended {
                    return;
                }
            }
        });
        let poster = Poster {
            client: client(Box::new(join(empty(), write))),
            deadlines: *deadlines,
        };
        Self {
            poster,
            names,
            reader,
        }
    }

    /// Asks for notifications of these names.
    ///
    /// # Errors
    /// When the connection fails; the service gives no answer.
    pub async fn observe(&mut self, names: &[&str]) -> Result<(), DeviceError> {
        self.poster.observe(names).await
    }

    /// Posts a notification on the phone.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn post(&mut self, name: &str) -> Result<(), DeviceError> {
        self.poster.post(name).await
    }

    /// Waits for the next notification, without a deadline; `None` after the connection ended.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Once, when the connection fails.
    pub async fn next(&mut self) -> Result<Option<String>, DeviceError> {
        self.names.recv().await.transpose()
    }

    /// Separates the half that posts, which must be kept for as long as notifications are wanted.
    pub(crate) fn into_parts(self) -> (Poster, NotificationReader) {
        (
            self.poster,
            NotificationReader {
                names: self.names,
                reader: self.reader,
            },
        )
    }
}

impl Poster {
    /// Asks for notifications of these names.
    ///
    /// # Errors
    /// When the connection fails; the service gives no answer.
    pub async fn observe(&mut self, names: &[&str]) -> Result<(), DeviceError> {
        within(SERVICE, self.deadlines.request, async {
            self.client
                .observe_notifications(names)
                .await
                .map_err(DeviceError::service(SERVICE))
        })
        .await
    }

    /// Posts a notification on the phone.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn post(&mut self, name: &str) -> Result<(), DeviceError> {
        within(SERVICE, self.deadlines.request, async {
            self.client
                .post_notification(name)
                .await
                .map_err(DeviceError::service(SERVICE))
        })
        .await
    }
}

/// The reading half; its task ends when it is dropped.
#[derive(Debug)]
pub(crate) struct NotificationReader {
    names: mpsc::Receiver<Result<String, DeviceError>>,
    reader: JoinHandle<()>,
}

impl NotificationReader {
    pub(crate) async fn next(&mut self) -> Result<Option<String>, DeviceError> {
        self.names.recv().await.transpose()
    }
}

impl Drop for NotificationReader {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn client(stream: Box<dyn Stream>) -> NotificationProxyClient {
    NotificationProxyClient::new(Idevice::new(Box::new(stream), "ibak"))
}
