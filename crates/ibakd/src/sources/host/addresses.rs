//! The kernel's word that an address of this computer came or went.
//!
//! Only IPv4 is heard of: a router repeats IPv6 addresses every few minutes, and nearly every other
//! network brings another IPv4 address. What changes without one is found with the next look.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
};
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tracing::debug;

/// `RTMGRP_IPV4_IFADDR` (rtnetlink(7)).
const IPV4_ADDRESSES: u32 = 0x10;
/// Messages are only counted: what is longer is cut.
const MESSAGE_SPACE: usize = 1024;

/// Counts the changes, for ever.
pub(super) async fn listen(changes: watch::Sender<u64>) {
    match try_listen(&changes).await {
        Ok(never) => match never {},
        Err(error) => debug!(%error, "nobody tells when this computer's addresses change"),
    }
    // Whoever waits for changes waits on.
    let _changes = changes;
    std::future::pending().await
}

async fn try_listen(changes: &watch::Sender<u64>) -> std::io::Result<std::convert::Infallible> {
    let socket = open()?;
    loop {
        let mut ready = socket.readable().await?;
        match ready.try_io(|socket| drain(socket.get_ref())) {
            Ok(seen) => {
                seen?;
                changes.send_modify(|count| *count = count.wrapping_add(1));
            }
            Err(_) => continue,
        }
    }
}

#[expect(
    deprecated,
    reason = "it owns its descriptor; what replaces it is unsafe"
)]
fn open() -> std::io::Result<AsyncFd<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // No protocol is the one of routes and addresses.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, IPV4_ADDRESSES))?;
    AsyncFd::new(socket)
}

/// Takes everything that is there; several changes at once are one.
fn drain(socket: &OwnedFd) -> std::io::Result<()> {
    let mut space = [0; MESSAGE_SPACE];
    let mut seen = false;
    loop {
        match recv(socket, &mut space, RecvFlags::DONTWAIT) {
            // Too many at once is a change as well.
            Ok(_) | Err(Errno::NOBUFS) => seen = true,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if seen => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_lets_us_listen() {
        let socket = open().unwrap();
        let error = drain(socket.get_ref()).err();
        assert!(
            error.is_none_or(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "a change or nothing"
        );
    }
}
