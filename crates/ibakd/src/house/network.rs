//! Who announces itself on the network, and which of our phones that is.

use super::House;
use ibak_core::{Fact, Signal, Source, Transport, Udid};
use ibak_device::{Advert, MdnsEvent, PhoneKeys};
use std::collections::BTreeMap;
use tracing::{debug, warn};

/// Most announcements that are kept; further ones are not taken in.
const ADVERTS_MAX: usize = 256;

/// What is heard.
#[derive(Debug, Default)]
pub(super) struct Network {
    adverts: BTreeMap<String, Advert>,
    keys: BTreeMap<Udid, PhoneKeys>,
    /// Why nothing can be heard, if nothing can.
    pub(super) unavailable: Option<String>,
    /// Whether anybody listens at all.
    pub(super) listening: bool,
}

impl Network {
    /// Says whether a phone is on the network: `None` when that cannot be told.
    fn sees(&self, udid: &Udid) -> Option<bool> {
        let keys = self.keys.get(udid)?;
        (self.listening && self.unavailable.is_none()).then(|| {
            self.adverts
                .values()
                .any(|advert| advert.matches(keys).is_some())
        })
    }

    fn advert(&self, udid: &Udid) -> Option<&Advert> {
        let keys = self.keys.get(udid)?;
        self.adverts
            .values()
            .find(|advert| advert.matches(keys).is_some())
    }
}

impl House {
    pub(super) fn announced(&mut self, event: MdnsEvent) {
        match event {
            MdnsEvent::Seen(advert) => {
                if self.network.adverts.len() >= ADVERTS_MAX
                    && !self.network.adverts.contains_key(&advert.name)
                {
                    debug!(name = advert.name, "too many announcements");
                    return;
                }
                self.network.adverts.insert(advert.name.clone(), advert);
            }
            MdnsEvent::Gone { name } => drop(self.network.adverts.remove(&name)),
        }
        self.compare_all();
    }

    pub(super) fn network_unavailable(&mut self, reason: String) {
        warn!(reason, "phones cannot be looked for on the network");
        self.network.unavailable = Some(reason);
        self.network.adverts.clear();
        self.compare_all();
    }

    /// Learns how a phone's announcements are recognised.
    pub(super) fn recognise(&mut self, udid: Udid, keys: PhoneKeys) {
        self.network.keys.insert(udid.clone(), keys);
        self.look_on_network(&udid);
    }

    fn compare_all(&mut self) {
        let known: Vec<Udid> = self.network.keys.keys().cloned().collect();
        for udid in known {
            self.look_on_network(&udid);
        }
    }

    /// Tells the core whether a phone is on the network.
    pub(super) fn look_on_network(&mut self, udid: &Udid) {
        let seen = self.network.sees(udid);
        let address = self
            .network
            .advert(udid)
            .and_then(|advert| advert.addresses.first().copied());
        let slot = self.phones.entry(udid.clone()).or_default();
        let moved = slot.address != address;
        slot.address = address;
        self.observe(udid, Fact::OnWifi(seen), Source::Mdns);
        if moved {
            self.attend(udid);
            self.probe_network(udid);
        }
        if address.is_none()
            && self
                .phones
                .get(udid)
                .is_some_and(|slot| slot.link(&self.mux, Transport::Wifi).is_none())
        {
            self.observe(
                udid,
                Fact::Reachable {
                    transport: Transport::Wifi,
                    reachable: false,
                },
                Source::Mdns,
            );
        }
    }

    /// Tries a phone that has no cable at its address: an announcement alone is not a connection.
    pub(super) fn probe_network(&mut self, udid: &Udid) {
        let Some(slot) = self.phones.get(udid) else {
            return;
        };
        if slot.by_cable().is_none() && slot.address.is_some() {
            self.read_phone(udid, Signal::ALL.to_vec());
        }
    }
}
