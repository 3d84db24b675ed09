//! usbmuxd: the door to every phone on a cable, on a Unix socket and on TCP.

mod client;
mod frame;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use plist::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::phone::{Phone, locked};
use crate::wire::{BoxIo, dict};

/// How many events a slow listener may be behind before it loses some.
const EVENTS_MAX: usize = 64;

/// Whether usbmuxd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Normal,
    /// It accepts connections and never answers (rigs.md, lesson 1).
    Mute,
}

/// A simulated usbmuxd.
pub struct Muxer {
    path: PathBuf,
    tcp: Mutex<Option<SocketAddr>>,
    buid: String,
    phones: Vec<Arc<Phone>>,
    devices: Mutex<Devices>,
    events: broadcast::Sender<Value>,
    records: Mutex<BTreeMap<String, Vec<u8>>>,
    mode: watch::Sender<Mode>,
    running: tokio::sync::Mutex<Option<Running>>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Devices {
    next: u32,
    list: Vec<(u32, Arc<Phone>)>,
}

struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Muxer {
    pub(crate) fn new(
        path: &Path,
        tcp: Option<SocketAddr>,
        buid: &str,
        phones: Vec<Arc<Phone>>,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            tcp: Mutex::new(tcp),
            buid: buid.to_owned(),
            phones,
            devices: Mutex::new(Devices {
                next: 1,
                list: Vec::new(),
            }),
            events: broadcast::Sender::new(EVENTS_MAX),
            records: Mutex::default(),
            mode: watch::Sender::new(Mode::Normal),
            running: tokio::sync::Mutex::new(None),
            stop: stop.child_token(),
        })
    }

    /// Returns where it listens on TCP, if it does.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        *locked(&self.tcp)
    }

    /// Returns whether it answers.
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Makes it answer or not.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Returns the DeviceIDs and UDIDs it shows.
    pub fn devices(&self) -> Vec<(u32, String)> {
        let devices = locked(&self.devices);
        devices
            .list
            .iter()
            .map(|(id, phone)| (*id, phone.identity().udid.clone()))
            .collect()
    }

    /// Keeps a pair record.
    pub(crate) fn save_record(&self, udid: &str, bytes: Vec<u8>) {
        locked(&self.records).insert(udid.to_owned(), bytes);
    }

    /// Returns a pair record.
    pub fn record(&self, udid: &str) -> Option<Vec<u8>> {
        locked(&self.records).get(udid).cloned()
    }

    /// Returns where its Unix socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows and hides phones, unless usbmuxd does not run.
    pub(crate) async fn look_if_running(&self) {
        if self.running.lock().await.is_some() {
            self.look();
        }
    }

    /// Shows and hides phones as they are attached.
    fn look(&self) {
        let mut devices = locked(&self.devices);
        for phone in &self.phones {
            let shown = devices
                .list
                .iter()
                .position(|(_, shown)| Arc::ptr_eq(shown, phone));
            match (phone.state().is_on_usb(), shown) {
                (true, None) => {
                    let id = devices.next;
                    devices.next += 1;
                    devices.list.push((id, Arc::clone(phone)));
                    self.tell(attached(id, phone));
                }
                (false, Some(at)) => {
                    let (id, phone) = devices.list.remove(at);
                    phone.unplug();
                    self.tell(dict([
                        ("DeviceID", u64::from(id).into()),
                        ("MessageType", "Detached".into()),
                    ]));
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
    }

    fn tell(&self, event: Value) {
        // Nobody listening is no error.
        drop(self.events.send(event));
    }

    /// Begins to listen; does nothing when it already does.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub async fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_some() {
            return Ok(());
        }
        clear_stale_socket(&self.path).await?;
        let unix = UnixListener::bind(&self.path)?;
        let address = *locked(&self.tcp);
        let tcp = match address {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        };
        if let Some(tcp) = &tcp {
            *locked(&self.tcp) = Some(tcp.local_addr()?);
        }
        let (stop, tasks) = (self.stop.child_token(), TaskTracker::new());
        self.look();
        let on_unix = accept_unix(Arc::clone(self), unix, stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(on_unix));
        if let Some(tcp) = tcp {
            let on_tcp = accept_tcp(Arc::clone(self), tcp, stop.clone(), tasks.clone());
            tasks.spawn(stop.clone().run_until_cancelled_owned(on_tcp));
        }
        *running = Some(Running { stop, tasks });
        Ok(())
    }

    /// Ends like a process that is killed: sockets, clients and tunnels go, pair records stay.
    pub async fn stop(&self) {
        let Some(running) = self.running.lock().await.take() else {
            return;
        };
        running.stop.cancel();
        running.tasks.close();
        running.tasks.wait().await;
        self.unlink();
        let mut devices = locked(&self.devices);
        for (_, phone) in devices.list.drain(..) {
            phone.unplug();
        }
        devices.next = 1;
    }

    pub(crate) fn unlink(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Removes a socket nobody listens on; anything else in its place is an error of whoever wrote
/// the path.
pub(crate) async fn clear_stale_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something that is no socket",
        )),
        Ok(_) => match tokio::net::UnixStream::connect(path).await {
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "somebody else listens there",
            )),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

/// Accepting fails for a moment when there are too many open files; then it goes on.
async fn refused(error: &io::Error) {
    tracing::warn!(%error, "cannot accept");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

async fn accept_unix(
    muxer: Arc<Muxer>,
    listener: UnixListener,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => welcome(&muxer, Box::new(stream), &stop, &tasks),
            Err(error) => refused(&error).await,
        }
    }
}

async fn accept_tcp(
    muxer: Arc<Muxer>,
    listener: TcpListener,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                welcome(&muxer, Box::new(stream), &stop, &tasks);
            }
            Err(error) => refused(&error).await,
        }
    }
}

fn welcome(muxer: &Arc<Muxer>, stream: BoxIo, stop: &CancellationToken, tasks: &TaskTracker) {
    let serving = client::serve(Arc::clone(muxer), stream);
    let stop = stop.clone();
    tasks.spawn(async move {
        if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
            tracing::debug!(%error, "usbmuxd client ended");
        }
    });
}

/// Makes the Attached message as usbmuxd on Linux does (corpus, attached_usb_linux.json).
fn attached(id: u32, phone: &Phone) -> Value {
    let properties = dict([
        ("ConnectionSpeed", 480_000_000.into()),
        ("ConnectionType", "USB".into()),
        ("DeviceID", u64::from(id).into()),
        ("LocationID", (0x0001_0000 + u64::from(id) + 1).into()),
        ("ProductID", 4776.into()),
        ("SerialNumber", phone.identity().udid.as_str().into()),
    ]);
    dict([
        ("DeviceID", u64::from(id).into()),
        ("MessageType", "Attached".into()),
        ("Properties", properties),
    ])
}
