//! The phone on Wi-Fi: lockdown on TCP, a TCP port for each started service, and its record in
//! mDNS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::lockdown;
use crate::mdns::Responder;
use crate::phone::{Phone, Transport};
use crate::ports::{self, SERVICE_WAIT_MAX, Waiting};
use crate::services;
use crate::wire::BoxIo;

/// How often a free service port is sought.
const PORT_TRIES_MAX: usize = 50;
/// How long until an address that could not be bound is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// Opens a TCP port for a service, good for one connection.
///
/// # Errors
/// When no port is free.
pub(crate) async fn open_service(
    phone: &Arc<Phone>,
    address: IpAddr,
    waiting: Waiting,
) -> io::Result<u16> {
    let mut tries = 0;
    let listener = loop {
        match TcpListener::bind((address, ports::draw())).await {
            Ok(listener) => break listener,
            Err(error) if tries == PORT_TRIES_MAX => return Err(error),
            Err(_) => tries += 1,
        }
    };
    let port = listener.local_addr()?.port();
    let (link, served) = (phone.wifi.token(), Arc::clone(phone));
    let host = Arc::clone(phone);
    phone.tasks.spawn(async move {
        let work = async move {
            let Ok(accepted) = timeout(SERVICE_WAIT_MAX, listener.accept()).await else {
                return Ok(());
            };
            drop(listener);
            let stream = prepared(accepted?.0)?;
            services::run(waiting, stream, served, Transport::Network(address)).await
        };
        host.run("service", link, work).await;
    });
    Ok(port)
}

fn prepared(stream: TcpStream) -> io::Result<BoxIo> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Keeps a phone on the network while it is there: joined, awake, and allowed by
/// `EnableWifiConnections`.
pub(crate) async fn supervise(
    phone: Arc<Phone>,
    address: SocketAddr,
    responder: Option<Arc<Responder>>,
    listening: watch::Sender<bool>,
) {
    let mut changes = phone.watch_state();
    loop {
        if phone.is_on_network() {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    if let Some(responder) = &responder {
                        responder.announce(&phone, address.ip());
                    }
                    listening.send_replace(true);
                    accept(
                        &phone,
                        &listener,
                        &mut changes,
                        responder.as_deref(),
                        address.ip(),
                    )
                    .await;
                }
                Err(error) => {
                    tracing::warn!(udid = phone.identity().udid, %address, %error, "cannot listen");
                    sleep(BIND_AGAIN).await;
                    continue;
                }
            }
        }
        if let Some(responder) = &responder {
            responder.withdraw(&phone);
        }
        // A phone that sleeps keeps its connections, frozen; one that left the network does not.
        if !(phone.state().wifi.is_on() && phone.wifi_connections()) {
            phone.drop_network_hosts();
        }
        listening.send_replace(false);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts hosts until the phone leaves the network.
async fn accept(
    phone: &Arc<Phone>,
    listener: &TcpListener,
    changes: &mut watch::Receiver<crate::state::PhoneState>,
    responder: Option<&Responder>,
    address: IpAddr,
) {
    let mut hosts = phone.hosts();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted.and_then(|(stream, _)| prepared(stream)) {
                Ok(stream) => {
                    let (host, link) = (Arc::clone(phone), phone.wifi.token());
                    phone.tasks.spawn(async move {
                        let serving = lockdown::serve(stream, Arc::clone(&host), Transport::Network(address));
                        host.run("lockdown over Wi-Fi", link, serving).await;
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            changed = changes.changed() => {
                if changed.is_err() || !phone.is_on_network() {
                    return;
                }
                let known = phone.hosts();
                if known != hosts {
                    hosts = known;
                    if let Some(responder) = responder {
                        responder.announce(phone, address);
                    }
                }
            }
        }
    }
}
