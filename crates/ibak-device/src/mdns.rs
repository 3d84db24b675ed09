//! Phones on the network, as they announce themselves.
//!
//! An announcement proves nothing: names and tags can be replayed. It says that something
//! claims to be on the network; who it is shows in TLS.

use crate::link::LOCKDOWN_PORT;
use crate::{DeviceError, PairRecord};
use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "_apple-mobdev2._tcp.local.";
/// How often the library looks for interfaces that have come or gone; each look wakes the machine.
const INTERFACES_EVERY_SECS: u32 = 900;
/// How soon it does after a change was told.
const INTERFACES_SOON_SECS: u32 = 1;
/// By when it has.
const INTERFACES_SEEN: Duration = Duration::from_secs(3);
/// Most tags looked at in one announcement; a phone has one for each paired computer.
const TAGS_MAX: usize = 64;

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct MdnsOptions {
    /// Only on this interface, for example `veth0` or `lo`; on all but loopback when `None`.
    pub interface: Option<String>,
    /// Changes when the computer's addresses do; without it new ones are found within 15 minutes.
    pub addresses_changed: Option<watch::Receiver<u64>>,
}

/// What became of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MdnsEvent {
    /// Something announces itself as a phone, or says something new.
    Seen(Advert),
    /// It said good-bye, or has not been heard of for too long.
    Gone {
        /// The full name, as in [`Advert::name`].
        name: String,
    },
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The full name, `<MAC>@<address>[-supportsRP-NN]._apple-mobdev2._tcp.local.`
    pub name: String,
    /// The hardware address at its beginning; a private one from iOS 26.4.
    pub mac: Option<String>,
    /// Where lockdown would answer. The announced port is not used: it is 62078 with its bytes
    /// swapped (corpus, mdns/txt.json).
    pub addresses: Vec<SocketAddr>,
    /// TXT `identifier`, from iOS 26.4.
    pub identifier: Option<String>,
    /// TXT `authTag`, `authTag#1` …: base 64, one for each computer the phone trusts.
    pub auth_tags: Vec<String>,
}

/// By what an announcement was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// The name the phone gave as its own over the cable (`BonjourFullServiceName`).
    Name,
    /// The hardware address in the pairing record (before iOS 26.4).
    Mac,
    /// A tag for this computer's host id (from iOS 26.4): a phone that trusts this pairing.
    AuthTag,
}

/// What is known of one phone that could be in an announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneKeys {
    /// `HostID` of our pairing with it.
    pub host_id: Option<String>,
    /// `WiFiMACAddress` of our pairing with it.
    pub wifi_mac: Option<String>,
    /// `BonjourFullServiceName` it told us; see [`crate::Traits`].
    pub bonjour_name: Option<String>,
}

impl PhoneKeys {
    /// Takes what a pairing record has, with the name the phone told us.
    pub fn of(record: &PairRecord, bonjour_name: Option<String>) -> Self {
        Self {
            host_id: Some(record.host_id().to_owned()),
            wifi_mac: record.wifi_mac().map(str::to_owned),
            bonjour_name,
        }
    }
}

impl Advert {
    /// Says whether this could be the phone with these keys, and by what.
    pub fn matches(&self, keys: &PhoneKeys) -> Option<MatchedBy> {
        let same_name = |name: &String| bare(name).eq_ignore_ascii_case(bare(&self.name));
        if keys.bonjour_name.as_ref().is_some_and(same_name) {
            return Some(MatchedBy::Name);
        }
        if let (Some(identifier), Some(host_id)) = (&self.identifier, &keys.host_id) {
            let tags: Vec<&[u8]> = self.auth_tags.iter().map(String::as_bytes).collect();
            if idevice::mdns::txt_record_matches(host_id.as_bytes(), identifier.as_bytes(), &tags) {
                return Some(MatchedBy::AuthTag);
            }
        }
        let same_mac = self
            .mac
            .as_ref()
            .zip(keys.wifi_mac.as_ref())
            .is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
        same_mac.then_some(MatchedBy::Mac)
    }

    fn of(service: &ResolvedService) -> Self {
        let mut tags: Vec<(&str, &str)> = service
            .txt_properties
            .iter()
            .map(|property| (property.key(), property.val_str()))
            .filter(|(key, _)| *key == "authTag" || key.starts_with("authTag#"))
            .take(TAGS_MAX)
            .collect();
        tags.sort_unstable();
        let mut addresses: Vec<SocketAddr> = service.addresses.iter().filter_map(socket).collect();
        // A routable address first: it needs no interface, and outlives a roaming one.
        addresses.sort_by_key(|address| (is_link_local(&address.ip()), *address));
        Self {
            name: service.fullname.clone(),
            mac: mac(&service.fullname),
            addresses,
            identifier: service
                .txt_properties
                .get_property_val_str("identifier")
                .map(str::to_owned),
            auth_tags: tags.into_iter().map(|(_, tag)| tag.to_owned()).collect(),
        }
    }
}

/// Browses for phones until cancelled or until nobody listens to `tx` any more.
///
/// # Errors
/// [`DeviceError::Unavailable`] when multicast cannot be used here.
pub async fn browse(
    options: MdnsOptions,
    tx: mpsc::Sender<MdnsEvent>,
    cancel: CancellationToken,
) -> Result<(), DeviceError> {
    let daemon = Daemon(ServiceDaemon::new().map_err(unavailable)?);
    match options.interface {
        Some(name) => {
            daemon
                .0
                .disable_interface(IfKind::All)
                .map_err(unavailable)?;
            daemon
                .0
                .enable_interface(IfKind::Name(name))
                .map_err(unavailable)?;
        }
        None => {
            daemon
                .0
                .disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
                .map_err(unavailable)?;
        }
    }
    let every = |secs| daemon.0.set_ip_check_interval(secs).map_err(unavailable);
    every(INTERFACES_EVERY_SECS)?;
    let found = daemon.0.browse(SERVICE).map_err(unavailable)?;
    let mut addresses = options.addresses_changed;
    let keep_up = async {
        loop {
            changed(&mut addresses).await;
            every(INTERFACES_SOON_SECS)?;
            tokio::time::sleep(INTERFACES_SEEN).await;
            every(INTERFACES_EVERY_SECS)?;
        }
    };
    let relay = async {
        while let Ok(event) = found.recv_async().await {
            let event = match event {
                ServiceEvent::ServiceResolved(service) => MdnsEvent::Seen(Advert::of(&service)),
                ServiceEvent::ServiceRemoved(_, name) => MdnsEvent::Gone { name },
                ServiceEvent::SearchStarted(_)
                | ServiceEvent::ServiceFound(..)
                | ServiceEvent::SearchStopped(_)
                | _ => continue,
            };
            if tx.send(event).await.is_err() {
                return Ok(());
            }
        }
        Err(DeviceError::Unavailable {
            what: "mDNS",
            reason: "its thread ended".into(),
        })
    };
    let both = async {
        tokio::select! {
            ended = relay => ended,
            ended = keep_up => ended,
        }
    };
    cancel.run_until_cancelled(both).await.unwrap_or(Ok(()))
}

/// Returns once the computer's addresses have changed; never where nobody tells.
async fn changed(addresses: &mut Option<watch::Receiver<u64>>) {
    if let Some(addresses) = addresses
        && addresses.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Ends the library's thread with the browsing.
struct Daemon(ServiceDaemon);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "the mDNS thread did not take its end");
        }
    }
}

fn unavailable(error: mdns_sd::Error) -> DeviceError {
    DeviceError::Unavailable {
        what: "mDNS",
        reason: error.to_string(),
    }
}

fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Reads the hardware address before the `@`.
fn mac(name: &str) -> Option<String> {
    let (head, _) = name.split_once('@')?;
    let octets: Vec<&str> = head.split(':').collect();
    let octet = |text: &&str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (octets.len() == 6 && octets.iter().all(octet)).then(|| head.to_ascii_lowercase())
}

fn socket(address: &ScopedIp) -> Option<SocketAddr> {
    match address {
        ScopedIp::V4(v4) => Some(SocketAddrV4::new(*v4.addr(), LOCKDOWN_PORT).into()),
        ScopedIp::V6(v6) => {
            Some(SocketAddrV6::new(*v6.addr(), LOCKDOWN_PORT, 0, v6.scope_id().index).into())
        }
        _ => None,
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
#[path = "mdns_tests.rs"]
mod tests;
