//! Whether this machine can play a Wi-Fi.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// How the phone is seen on the Wi-Fi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wifi {
    /// It announces itself on the loopback interface.
    Announced,
    /// This machine carries no multicast on loopback: the cable stands in for the Wi-Fi.
    Cable,
}

impl Wifi {
    /// Tries what this machine allows this user.
    pub(crate) fn find() -> Self {
        if multicast_on_loopback().unwrap_or(false) {
            Self::Announced
        } else {
            Self::Cable
        }
    }

    /// Says to the person how it is done.
    pub(crate) const fn explanation(self) -> &'static str {
        match self {
            Self::Announced => {
                "The phone announces itself by multicast DNS on this machine's loopback, as on a Wi-Fi."
            }
            Self::Cable => {
                "This machine does not let us send multicast on its loopback, so the phone cannot announce itself \
                 on a Wi-Fi; instead the policy counts a cable as Wi-Fi (wifi = \"or-usb\")."
            }
        }
    }
}

/// Sends itself one multicast packet on loopback.
fn multicast_on_loopback() -> std::io::Result<bool> {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::sockopt::set_ip_multicast_if(&sender, &Ipv4Addr::LOCALHOST)?;
    sender.send_to(b"ibak", (group, receiver.local_addr()?.port()))?;
    let mut buffer = [0; 16];
    match receiver.recv(&mut buffer) {
        Ok(length) => Ok(buffer.get(..length) == Some(b"ibak".as_slice())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
