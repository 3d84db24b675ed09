//! The services behind lockdown's StartService.

pub(crate) mod afc;
mod assertion;
mod backup;
mod diagnostics;
mod heartbeat;
mod installation;
mod notification;
mod observed;
mod png;
mod springboard;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(crate) use observed::Observed;

use crate::phone::{Phone, Transport};
use crate::ports::Waiting;
use crate::wire::BoxIo;

const AFC: &str = "com.apple.afc";
const ASSERTION: &str = "com.apple.mobile.assertion_agent";
const BACKUP: &str = "com.apple.mobilebackup2";
const DIAGNOSTICS: &str = "com.apple.mobile.diagnostics_relay";
const HEARTBEAT: &str = "com.apple.mobile.heartbeat";
const INSTALLATION: &str = "com.apple.mobile.installation_proxy";
const NOTIFICATION: &str = "com.apple.mobile.notification_proxy";
const SPRINGBOARD: &str = "com.apple.springboardservices";

const ALL: &[&str] = &[
    AFC,
    ASSERTION,
    BACKUP,
    DIAGNOSTICS,
    HEARTBEAT,
    INSTALLATION,
    NOTIFICATION,
    SPRINGBOARD,
];

/// How long a host may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);

/// Tells whether the phone has a service.
pub(crate) fn exists(service: &str) -> bool {
    ALL.contains(&service)
}

/// Tells whether a locked phone starts it only for who shows the escrow bag.
pub(crate) fn is_protected(service: &str) -> bool {
    service == BACKUP
}

/// Tells whether a service speaks TLS: all of them over the network, over USB only those of the
/// secure kind (corpus, replies.json).
pub(crate) fn does_tls(service: &str, transport: Transport) -> bool {
    match transport {
        Transport::Network(_) => true,
        Transport::Usb => service.ends_with(".secure"),
    }
}

/// Serves the one connection of a started service.
///
/// # Errors
/// When the stream fails, the handshake fails or the host speaks something else.
pub(crate) async fn run(
    waiting: Waiting,
    stream: BoxIo,
    phone: Arc<Phone>,
    transport: Transport,
) -> io::Result<()> {
    let stream: BoxIo = match waiting.tls {
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            Box::new(
                timeout(HANDSHAKE_MAX, handshake)
                    .await
                    .map_err(io::Error::from)??,
            )
        }
        None => stream,
    };
    match waiting.service.as_str() {
        AFC => afc::serve(stream, phone).await,
        ASSERTION => assertion::serve(stream).await,
        BACKUP => backup::serve(stream, phone, transport).await,
        DIAGNOSTICS => diagnostics::serve(stream, phone).await,
        HEARTBEAT => heartbeat::serve(stream, phone, transport).await,
        INSTALLATION => installation::serve(stream, phone).await,
        NOTIFICATION => notification::serve(stream, phone).await,
        SPRINGBOARD => springboard::serve(stream, phone).await,
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_usb_only_secure_services_do_tls_and_over_the_network_all() {
        let network = Transport::Network([127, 0, 0, 1].into());
        assert!(!does_tls(AFC, Transport::Usb));
        assert!(does_tls(
            "com.apple.testmanagerd.lockdown.secure",
            Transport::Usb
        ));
        assert!(ALL.iter().all(|service| does_tls(service, network)));
    }
}
