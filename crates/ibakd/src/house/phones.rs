//! The phones that are there: how each is reached, and the task that reads it.

use super::{House, Input};
use crate::sources::phone::{PhoneNews, PhoneSource, PhoneTask};
use ibak_core::{
    Bytes, Event, Fact, MuxerState, Observation, Signal, Source, Transport, Udid, View,
};
use ibak_device::{Attachment, Link, MuxAddress, MuxEvent, presence::PresenceEvent};
use std::net::SocketAddr;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

/// Most phones that are looked after at once.
const PHONES_MAX: usize = 64;
/// Most attachments of one phone.
const ATTACHMENTS_MAX: usize = 8;
/// News of phones that wait for the loop.
const NEWS_MAX: usize = 32;

/// One phone that is or was there.
#[derive(Debug, Default)]
pub(super) struct PhoneSlot {
    /// What usbmuxd shows of it; the newest last.
    attachments: Vec<Attachment>,
    /// Where it announces itself on the network.
    pub(super) address: Option<SocketAddr>,
    /// How much it can hold at most, if it said so.
    pub(super) capacity: Option<Bytes>,
    /// The task that reads it.
    source: Option<PhoneSource>,
}

impl PhoneSlot {
    /// Returns the cable, if there is one.
    pub(super) fn by_cable(&self) -> Option<&Attachment> {
        self.attachments
            .iter()
            .rev()
            .find(|it| it.transport == Transport::Usb)
    }

    fn by_muxer(&self, transport: Transport) -> Option<&Attachment> {
        self.attachments
            .iter()
            .rev()
            .find(|it| it.transport == transport)
    }

    /// Returns the way to take by this transport.
    pub(super) fn link(&self, mux: &MuxAddress, transport: Transport) -> Option<Link> {
        let through = self
            .by_muxer(transport)
            .map(|attachment| Link::through(mux, attachment));
        match transport {
            Transport::Usb => through,
            Transport::Wifi => {
                through.or_else(|| self.address.map(|address| Link::Tcp { address }))
            }
        }
    }

    fn is_there(&self) -> bool {
        !self.attachments.is_empty() || self.address.is_some()
    }
}

impl House {
    pub(super) fn muxer(&mut self, event: MuxEvent) {
        match event {
            MuxEvent::Up => self.handle(Event::Muxer(MuxerState::Up)),
            MuxEvent::Down { reason } => {
                warn!(
                    reason,
                    "usbmuxd cannot be reached; phones on a cable are not seen"
                );
                self.handle(Event::Muxer(MuxerState::Absent));
            }
            MuxEvent::Mute => {
                warn!("usbmuxd does not answer; phones on a cable are not seen");
                self.handle(Event::Muxer(MuxerState::Mute));
            }
            MuxEvent::Attached(attachment) => self.attached(attachment),
            MuxEvent::Detached(attachment) => self.detached(&attachment),
        }
    }

    /// Returns the phone's place, made if there is room; phones that have left make room.
    pub(super) fn slot(&mut self, udid: &Udid) -> Option<&mut PhoneSlot> {
        if !self.phones.contains_key(udid) && self.phones.len() >= PHONES_MAX {
            self.phones.retain(|_, slot| slot.is_there());
            if self.phones.len() >= PHONES_MAX {
                warn!(phone = %udid, "too many phones; this one is not looked after");
                return None;
            }
        }
        Some(self.phones.entry(udid.clone()).or_default())
    }

    fn attached(&mut self, attachment: Attachment) {
        let udid = attachment.udid.clone();
        let transport = attachment.transport;
        let Some(slot) = self.slot(&udid) else {
            return;
        };
        info!(phone = %udid, ?transport, "attached");
        slot.attachments
            .retain(|it| it.device_id != attachment.device_id);
        if slot.attachments.len() >= ATTACHMENTS_MAX {
            slot.attachments.remove(0);
        }
        slot.attachments.push(attachment);
        self.attend(&udid);
        self.reachable(&udid, transport, true, Source::Usbmuxd);
    }

    fn detached(&mut self, attachment: &Attachment) {
        let udid = attachment.udid.clone();
        let Some(slot) = self.phones.get_mut(&udid) else {
            return;
        };
        slot.attachments
            .retain(|it| it.device_id != attachment.device_id);
        let still = slot.by_muxer(attachment.transport).is_some();
        info!(phone = %udid, transport = ?attachment.transport, "detached");
        self.attend(&udid);
        if !still {
            self.reachable(&udid, attachment.transport, false, Source::Usbmuxd);
            self.probe_network(&udid);
        }
    }

    fn reachable(&mut self, udid: &Udid, transport: Transport, reachable: bool, source: Source) {
        self.observe(
            udid,
            Fact::Reachable {
                transport,
                reachable,
            },
            source,
        );
    }

    /// Says whether any phone is there.
    pub(super) fn is_anybody_there(&self) -> bool {
        self.phones.values().any(PhoneSlot::is_there)
    }

    /// Gives the core a fact that holds until it is contradicted.
    pub(super) fn observe(&mut self, udid: &Udid, fact: Fact, source: Source) {
        let at = self.clock.now();
        self.handle(Event::Observed(Observation {
            phone: udid.clone(),
            fact,
            source,
            at,
            time_to_live: None,
        }));
    }

    /// Has the phone read by the best way there is; a task that reads by another way ends.
    pub(super) fn attend(&mut self, udid: &Udid) {
        if self.is_unpairing(udid) {
            return;
        }
        let import = self.memory.may_import(udid);
        let Some(slot) = self.phones.get(udid) else {
            return;
        };
        let link = slot
            .link(&self.mux, Transport::Usb)
            .or_else(|| slot.link(&self.mux, Transport::Wifi));
        if slot.source.as_ref().map(PhoneSource::link) == link.as_ref() {
            return;
        }
        let news = self.news();
        let Some(slot) = self.phones.get_mut(udid) else {
            return;
        };
        slot.source = link.map(|link| {
            let task = PhoneTask {
                udid: udid.clone(),
                attachment: slot
                    .attachments
                    .iter()
                    .rev()
                    .find(|it| Link::through(&self.mux, it) == link)
                    .cloned(),
                link,
                address: self.mux.clone(),
                import,
                records: std::sync::Arc::clone(&self.records),
                deadlines: self.deadlines,
                clock: self.clock.clone(),
            };
            PhoneSource::start(task, news)
        });
    }

    fn news(&self) -> mpsc::Sender<PhoneNews> {
        let (sender, mut receiver) = mpsc::channel(NEWS_MAX);
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            while let Some(news) = receiver.recv().await {
                if inputs.send(Input::Phone(news)).await.is_err() {
                    return;
                }
            }
        });
        sender
    }

    pub(super) fn read_phone(&mut self, udid: &Udid, which: Vec<Signal>) {
        if let Some(source) = self.phones.get(udid).and_then(|slot| slot.source.as_ref()) {
            source.ask(which);
        }
    }

    /// Ends the task that reads the phone, until it is attended to again.
    pub(super) fn leave_alone(&mut self, udid: &Udid) {
        if let Some(slot) = self.phones.get_mut(udid) {
            slot.source = None;
        }
    }

    /// Reads everything anew with the record that pairing made.
    pub(super) fn reread_after_pairing(&mut self, udid: &Udid) {
        self.leave_alone(udid);
        self.attend(udid);
        self.read_phone(udid, Signal::ALL.to_vec());
    }

    pub(super) fn phone_news(&mut self, news: PhoneNews) {
        match news {
            PhoneNews::Seen(observations) => {
                for observation in observations {
                    self.handle(Event::Observed(observation));
                }
            }
            PhoneNews::Keys(udid, keys) => self.recognise(udid, keys),
            PhoneNews::Capacity(udid, capacity) => {
                if let Some(slot) = self.phones.get_mut(&udid) {
                    slot.capacity = Some(capacity);
                }
            }
        }
    }

    pub(super) fn presence(&mut self, event: PresenceEvent) {
        let count = match event {
            PresenceEvent::Arrived(place) => {
                if !self.apple_devices.contains(&place) && self.apple_devices.len() < PHONES_MAX {
                    self.apple_devices.push(place);
                }
                self.look_at_mux.notify_one();
                u32::try_from(self.apple_devices.len()).ok()
            }
            PresenceEvent::Left(place) => {
                self.apple_devices.retain(|it| *it != place);
                u32::try_from(self.apple_devices.len()).ok()
            }
            PresenceEvent::Unavailable { reason } => {
                info!(
                    reason,
                    "the USB bus cannot be watched; usbmuxd alone tells which phones are there"
                );
                self.apple_devices.clear();
                None
            }
        };
        self.handle(Event::AppleOnUsb(count));
    }

    /// Lets backups that hold a phone know when data may move: its screen is locked, and the rest
    /// holds.
    pub(super) fn tell_locks(&mut self, view: &View) {
        for (udid, phone) in &view.phones {
            let job = phone.job.and_then(|job| view.jobs.get(&job));
            let locked = job.is_some_and(|job| job.may_move);
            let sender = self
                .locked
                .entry(udid.clone())
                .or_insert_with(|| watch::Sender::new(false));
            sender.send_if_modified(|known| std::mem::replace(known, locked) != locked);
        }
    }
}
