//! When usbmuxd's socket appears: the system tells, so that nobody has to try again and again.

use super::MuxAddress;
use rustix::fs::inotify;
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use tokio::io::unix::AsyncFd;

/// Space for a handful of names at once.
const EVENTS_SPACE: usize = 4096;

/// Watches the directory of a socket.
pub(super) struct Appearance {
    watch: AsyncFd<OwnedFd>,
    name: OsString,
    over: bool,
}

impl Appearance {
    /// Begins to watch; `None` when the system cannot tell, as for an address on a network or in a
    /// directory that does not exist.
    pub(super) fn of(address: &MuxAddress) -> Option<Self> {
        let MuxAddress::Unix(path) = address else {
            return None;
        };
        let (directory, name) = (path.parent()?, path.file_name()?.to_owned());
        #[expect(
            deprecated,
            reason = "it owns its descriptor; what replaces it is unsafe"
        )]
        let begin = || -> std::io::Result<AsyncFd<OwnedFd>> {
            let watch =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            let what = inotify::WatchFlags::CREATE
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::DELETE_SELF
                | inotify::WatchFlags::MOVE_SELF
                | inotify::WatchFlags::ONLYDIR;
            inotify::add_watch(&watch, directory, what)?;
            AsyncFd::new(watch)
        };
        let watch = begin()
            .map_err(|error| tracing::debug!(%error, "nobody tells when usbmuxd's socket appears"))
            .ok()?;
        Some(Self {
            watch,
            name,
            over: false,
        })
    }

    /// Says whether nothing more can be told, since the directory has gone.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Returns once the socket has appeared; never when that cannot be told any more.
    async fn appeared(&mut self) {
        while !self.over {
            let Ok(mut ready) = self.watch.readable().await else {
                break;
            };
            let seen = ready.try_io(|watch| Ok(read(watch.get_ref(), &self.name)?));
            match seen {
                Ok(Ok(Seen::Nothing)) | Err(_) => {}
                Ok(Ok(Seen::Socket)) => return,
                Ok(Ok(Seen::End) | Err(_)) => {
                    self.over = true;
                    return;
                }
            }
        }
        std::future::pending().await
    }
}

/// Returns once the socket has appeared; never where nobody tells.
pub(super) async fn appeared(socket: &mut Option<Appearance>) {
    match socket {
        Some(socket) => socket.appeared().await,
        None => std::future::pending().await,
    }
}

/// What was told.
enum Seen {
    Nothing,
    Socket,
    End,
}

fn read(watch: &OwnedFd, name: &OsString) -> rustix::io::Result<Seen> {
    let mut space = [MaybeUninit::uninit(); EVENTS_SPACE];
    let mut events = inotify::Reader::new(watch, &mut space);
    let mut seen = Seen::Nothing;
    loop {
        let event = match events.next() {
            Ok(event) => event,
            Err(rustix::io::Errno::AGAIN) => {
                return match seen {
                    // Nothing of ours: wait for more.
                    Seen::Nothing => Err(rustix::io::Errno::AGAIN),
                    Seen::Socket | Seen::End => Ok(seen),
                };
            }
            Err(error) => return Err(error),
        };
        let end = inotify::ReadFlags::IGNORED
            | inotify::ReadFlags::DELETE_SELF
            | inotify::ReadFlags::MOVE_SELF;
        if event.events().intersects(end) {
            return Ok(Seen::End);
        }
        let ours = event
            .file_name()
            .is_some_and(|it| it.to_bytes() == name.as_bytes());
        // After an overflow anything may have appeared.
        if ours || event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
            seen = Seen::Socket;
        }
    }
}
