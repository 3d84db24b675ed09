//! Who announces itself on the network, and which of our phones that is.

use super::House;
use ibak_core::{Fact, Signal, Source, Transport, Udid};
use ibak_device::{Advert, MdnsEvent, PhoneKeys};
use std::collections::BTreeMap;
use tracing::{debug, warn};

/// Most announcements that are kept; further ones are not taken in unless they are a phone of ours.
const ADVERTS_MAX: usize = 256;

/// Which of the listeners: one for each interface of the configuration, or one for all.
pub(super) type Listener = usize;

/// Whether a listener's silence means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It has not listened for long enough: who was not heard may be there all the same.
    Starting,
    /// Who is there was heard.
    Listening,
    /// It can hear nothing, for this reason.
    Deaf(String),
}

/// What is heard.
#[derive(Debug, Default)]
pub(super) struct Network {
    adverts: BTreeMap<(Listener, String), Advert>,
    keys: BTreeMap<Udid, PhoneKeys>,
    listeners: Vec<Hearing>,
}

impl Network {
    /// Begins with the phones that can be recognised by our pairing with them.
    pub(super) fn new(keys: BTreeMap<Udid, PhoneKeys>) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// Adds a listener that is about to start.
    pub(super) fn add_listener(&mut self) -> Listener {
        self.listeners.push(Hearing::Starting);
        self.listeners.len() - 1
    }

    /// Says whether anybody listens at all.
    pub(super) fn listens(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Says why something cannot be heard, if it cannot.
    pub(super) fn deaf(&self) -> Option<&str> {
        self.listeners.iter().find_map(|it| match it {
            Hearing::Deaf(reason) => Some(reason.as_str()),
            Hearing::Starting | Hearing::Listening => None,
        })
    }

    /// Says whether this phone is or was paired with this computer.
    pub(super) fn knows(&self, udid: &Udid) -> bool {
        self.keys.contains_key(udid)
    }

    /// Says whether a phone is on the network: `None` when that cannot be told.
    fn sees(&self, udid: &Udid) -> Option<bool> {
        self.keys.get(udid)?;
        let silence_counts =
            self.listens() && self.listeners.iter().all(|it| *it == Hearing::Listening);
        match self.advert(udid) {
            Some(_) => Some(true),
            None => silence_counts.then_some(false),
        }
    }

    fn advert(&self, udid: &Udid) -> Option<&Advert> {
        let keys = self.keys.get(udid)?;
        self.adverts
            .values()
            .find(|advert| advert.matches(keys).is_some())
    }

    fn is_ours(&self, advert: &Advert) -> bool {
        self.keys
            .values()
            .any(|keys| advert.matches(keys).is_some())
    }

    fn hear(&mut self, listener: Listener, advert: Advert) {
        let key = (listener, advert.name.clone());
        if self.adverts.len() >= ADVERTS_MAX && !self.adverts.contains_key(&key) {
            let stranger = self.adverts.iter().find(|(_, it)| !self.is_ours(it));
            let stranger = stranger.map(|(key, _)| key.clone());
            match stranger.filter(|_| self.is_ours(&advert)) {
                Some(stranger) => drop(self.adverts.remove(&stranger)),
                None => return debug!(name = advert.name, "too many announcements"),
            }
        }
        self.adverts.insert(key, advert);
    }

    /// Takes in how a listener is; tells whether that is news.
    fn set_hearing(&mut self, listener: Listener, hearing: Hearing) -> bool {
        if let Hearing::Deaf(_) = hearing {
            self.adverts.retain(|(by, _), _| *by != listener);
        }
        match self.listeners.get_mut(listener) {
            Some(before) => std::mem::replace(before, hearing.clone()) != hearing,
            None => false,
        }
    }
}

impl House {
    pub(super) fn announced(&mut self, listener: Listener, event: MdnsEvent) {
        match event {
            MdnsEvent::Seen(advert) => self.network.hear(listener, advert),
            MdnsEvent::Gone { name } => drop(self.network.adverts.remove(&(listener, name))),
        }
        self.compare_all();
    }

    pub(super) fn hearing(&mut self, listener: Listener, hearing: Hearing) {
        if !self.network.set_hearing(listener, hearing) {
            return;
        }
        if let Some(reason) = self.network.deaf() {
            warn!(reason, "phones cannot be looked for on the network");
        }
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
        if seen != Some(true) && !self.phones.contains_key(udid) {
            return;
        }
        let address = self
            .network
            .advert(udid)
            .and_then(|advert| advert.addresses.first().copied());
        let Some(slot) = self.slot(udid) else {
            return;
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn udid() -> Udid {
        Udid::parse("00008030-001A2B3C4D5E6F70").unwrap()
    }

    fn advert(mac: &str) -> Advert {
        Advert {
            name: format!("{mac}@fe80::1._apple-mobdev2._tcp.local."),
            mac: Some(mac.to_owned()),
            addresses: Vec::new(),
            identifier: None,
            auth_tags: Vec::new(),
        }
    }

    fn network() -> Network {
        let keys = PhoneKeys {
            wifi_mac: Some("aa:bb:cc:dd:ee:ff".to_owned()),
            ..PhoneKeys::default()
        };
        Network::new(BTreeMap::from([(udid(), keys)]))
    }

    #[test]
    fn silence_counts_only_once_everybody_has_listened() {
        let mut network = network();
        assert_eq!(network.sees(&udid()), None, "nobody listens");
        let (one, two) = (network.add_listener(), network.add_listener());
        assert_eq!(network.sees(&udid()), None, "both begin");
        assert!(network.set_hearing(one, Hearing::Listening));
        assert_eq!(network.sees(&udid()), None, "one begins");
        network.set_hearing(two, Hearing::Listening);
        assert_eq!(network.sees(&udid()), Some(false));
        network.set_hearing(two, Hearing::Deaf("no socket".to_owned()));
        assert_eq!(network.sees(&udid()), None, "one is deaf");
        network.hear(one, advert("aa:bb:cc:dd:ee:ff"));
        assert_eq!(network.sees(&udid()), Some(true));
        assert_eq!(network.deaf(), Some("no socket"));
    }

    #[test]
    fn a_phone_heard_by_two_is_there_until_both_miss_it() {
        let mut network = network();
        let (one, two) = (network.add_listener(), network.add_listener());
        for listener in [one, two] {
            network.set_hearing(listener, Hearing::Listening);
            network.hear(listener, advert("aa:bb:cc:dd:ee:ff"));
        }
        network.set_hearing(one, Hearing::Deaf("unplugged".to_owned()));
        network.set_hearing(one, Hearing::Listening);
        assert_eq!(network.sees(&udid()), Some(true));
        network.adverts.clear();
        assert_eq!(network.sees(&udid()), Some(false));
    }

    #[test]
    fn strangers_do_not_crowd_out_a_phone_of_ours() {
        let mut network = network();
        let ear = network.add_listener();
        for number in 0..=ADVERTS_MAX {
            network.hear(
                ear,
                advert(&format!(
                    "00:00:00:00:{:02x}:{:02x}",
                    number >> 8,
                    number & 0xff
                )),
            );
        }
        assert_eq!(network.adverts.len(), ADVERTS_MAX);
        network.hear(ear, advert("aa:bb:cc:dd:ee:ff"));
        assert_eq!(network.adverts.len(), ADVERTS_MAX);
        assert_eq!(network.sees(&udid()), Some(true));
    }
}
