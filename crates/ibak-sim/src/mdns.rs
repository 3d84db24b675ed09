//! The phone's record in mDNS, `_apple-mobdev2._tcp`.
//!
//! Source: corpus `mdns/*.json`: the instance's forms, the SRV port that is no port, and from
//! iOS 26.4 a private address and a tag for each paired host.

use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use sha2::{Sha256, Sha512};

use crate::identity::{Identity, IosVersion};
use crate::phone::Phone;

const SERVICE: &str = "_apple-mobdev2._tcp.local.";
/// 62078 with its bytes swapped; hosts ignore it.
pub const SRV_PORT: u16 = 32_498;
/// From here on the record shows a private address and tags.
const TAGS_FROM: IosVersion = IosVersion::new(26, 4, 0);

/// Returns the instance's name.
pub fn instance(identity: &Identity) -> String {
    let mac = if identity.ios >= TAGS_FROM {
        &identity.private_wifi_mac
    } else {
        &identity.wifi_mac
    };
    let address = link_local(identity, mac);
    match identity.ios.major {
        ..17 => format!("{mac}@{address}"),
        17.. if identity.ios <= IosVersion::new(26, 2, 0) => {
            format!("{mac}@{address}-supportsRP-24")
        }
        17.. => format!("{mac}@{address}-supportsRP-26"),
    }
}

/// Returns the full service name with its final dot, as lockdown's `BonjourFullServiceName` has it.
pub fn full_name(instance: &str) -> String {
    format!("{instance}.{SERVICE}")
}

/// The EUI-64 of the MAC; a random address was seen on iOS 13.
fn link_local(identity: &Identity, mac: &str) -> Ipv6Addr {
    let octets: Vec<u8> = mac
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap_or(0))
        .collect();
    let [a, b, c, d, e, f] = octets.as_slice().try_into().unwrap_or([0; 6]);
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    if (13..17).contains(&identity.ios.major) {
        let [h, g, .., y, z] = identity.ecid.to_be_bytes();
        return Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            word(h | 0x10, g ^ e),
            word(d, c),
            word(y, f),
            word(z, b),
        );
    }
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        word(a ^ 2, b),
        word(c, 0xff),
        word(0xfe, d),
        word(e, f),
    )
}

/// Returns a paired host's tag over an identifier (phone.md §3).
pub fn auth_tag(host_id: &str, identifier: &str) -> String {
    let mut key = [0_u8; 32];
    // 32 bytes are always within what HKDF-SHA512 gives, and HMAC takes a key of any length.
    if Hkdf::<Sha512>::new(Some(b""), host_id.as_bytes())
        .expand(b"", &mut key)
        .is_err()
    {
        return String::new();
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return String::new();
    };
    mac.update(identifier.as_bytes());
    let digest = mac.finalize().into_bytes();
    BASE64_STANDARD.encode(digest.get(..8).unwrap_or_default())
}

/// Returns the TXT record: empty before iOS 26.4, where nothing is known of it.
pub fn txt(ios: IosVersion, hosts: &[String], identifier: &str) -> Vec<(String, String)> {
    if ios < TAGS_FROM {
        return Vec::new();
    }
    let tags = hosts.iter().enumerate().map(|(at, host)| {
        let name = if at == 0 {
            "authTag".to_owned()
        } else {
            format!("authTag#{at}")
        };
        (name, auth_tag(host, identifier))
    });
    std::iter::once(("identifier".to_owned(), identifier.to_owned()))
        .chain(tags)
        .collect()
}

/// Announces phones on one network interface.
pub(crate) struct Responder(ServiceDaemon);

impl Responder {
    /// Begins on one interface.
    ///
    /// # Errors
    /// When mDNS's port cannot be used.
    pub(crate) fn new(interface: &str) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::Name(interface.to_owned()))?;
        Ok(Self(daemon))
    }

    pub(crate) fn announce(&self, phone: &Phone, address: IpAddr) {
        if let Err(error) = self.try_announce(phone, address) {
            tracing::warn!(udid = phone.identity().udid, %error, "cannot announce in mDNS");
        }
    }

    fn try_announce(&self, phone: &Phone, address: IpAddr) -> Result<(), mdns_sd::Error> {
        let identity = phone.identity();
        let identifier = uuid::Uuid::new_v4().to_string().to_uppercase();
        let properties = txt(identity.ios, &phone.hosts(), &identifier);
        let service = ServiceInfo::new(
            SERVICE,
            &instance(identity),
            &host_name(identity),
            address,
            SRV_PORT,
            properties.as_slice(),
        )?;
        self.0.register(service)
    }

    pub(crate) fn withdraw(&self, phone: &Phone) {
        if let Err(error) = self.0.unregister(&full_name(&instance(phone.identity()))) {
            tracing::debug!(%error, "cannot withdraw from mDNS");
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "mDNS did not stop");
        }
    }
}

/// `iPhone-Name.local.`: a name of the phone, not of the instance.
fn host_name(identity: &Identity) -> String {
    let name: String = identity
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect::<String>();
    format!(
        "{}-{}-{}.local.",
        identity.device_class,
        name.trim_matches('-'),
        identity.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ios: &str) -> Identity {
        Identity::draw(1, "Ada's iPhone", "iPhone14,5", ios.parse().unwrap(), None)
    }

    #[test]
    fn host_names_hold_only_what_dns_takes() {
        assert_eq!(host_name(&identity("26.4")), "iPhone-Ada-s-iPhone-1.local.");
    }

    #[test]
    fn a_tag_is_eight_bytes_and_differs_by_host_and_identifier() {
        let tag = auth_tag("HOST-A", "id");
        assert_eq!(BASE64_STANDARD.decode(&tag).unwrap().len(), 8);
        assert_ne!(tag, auth_tag("HOST-B", "id"));
        assert_ne!(tag, auth_tag("HOST-A", "other"));
    }
}
