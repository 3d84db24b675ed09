//! The addresses that phones on Wi-Fi are given on this computer.

use crate::profile::LOCKDOWN_PORT;
use crate::simulator::SimError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// Finds the last address that can be bound, once, so that a bad one is an error of the start;
/// returns it with those before it. All others are skipped while somebody else has them.
pub(crate) async fn first_free(
    mut candidates: Vec<SocketAddr>,
) -> Result<Option<(SocketAddr, Vec<SocketAddr>)>, SimError> {
    let mut refused = None;
    while let Some(wanted) = candidates.pop() {
        let bound = TcpListener::bind(wanted).await;
        match bound.and_then(|listener| listener.local_addr()) {
            Ok(address) => return Ok(Some((address, candidates))),
            Err(source) => {
                refused = Some(SimError::Listen {
                    what: "the phone's address",
                    place: wanted.to_string(),
                    source,
                });
            }
        }
    }
    refused.map_or(Ok(None), Err)
}

/// How many addresses of the loopback network one simulator draws from.
const LOOPBACK_SPARE: u8 = 250;

/// Lists the addresses of an interface; of the loopback network, all of which is this computer's,
/// a stretch that other simulators on this computer hardly take.
pub(crate) fn addresses(interface: &str) -> io::Result<Vec<SocketAddr>> {
    let all = if_addrs::get_if_addrs()?;
    let own = all
        .into_iter()
        .filter(|one| one.name == interface)
        .map(|one| one.ip());
    let mut found = Vec::new();
    for ip in own.filter(IpAddr::is_ipv4) {
        if ip.is_loopback() {
            let [.., high, low] = std::process::id().to_be_bytes();
            let stretch = (1..=LOOPBACK_SPARE).map(|n| Ipv4Addr::new(127, high | 0x40, low, n));
            found.extend(stretch.map(|ip| SocketAddr::new(ip.into(), LOCKDOWN_PORT)));
        } else {
            found.push(SocketAddr::new(ip, LOCKDOWN_PORT));
        }
    }
    Ok(found)
}
