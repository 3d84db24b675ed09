//! Apple devices on the USB bus, whether or not usbmuxd shows them.
//!
//! No device is ever opened: the point is only to tell "nothing is plugged in" from "a phone
//! is plugged in and usbmuxd does not show it". A machine without USB is no error.

use rusb::{Context, Device, Hotplug, HotplugBuilder, Registration, UsbContext};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Apple's vendor number.
const VENDOR: u16 = 0x05ac;
/// The products usbmuxd looks after: phones, tablets and players in their normal mode. Apple's
/// keyboards and mice have other numbers.
const PRODUCTS: std::ops::RangeInclusive<u16> = 0x1290..=0x12af;
/// How long the library waits at a time, so that a cancel is seen.
const TICK: Duration = Duration::from_millis(500);
/// How often the bus is listed where the system tells of no changes.
const POLL: Duration = Duration::from_secs(3);

/// Where on the bus something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Number of the bus.
    pub bus: u8,
    /// Number on the bus; another one after each replug.
    pub address: u8,
    /// Product number, for example `0x12a8`.
    pub product: u16,
}

/// What became of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceEvent {
    /// A phone (or tablet) was plugged in, or was there at the start.
    Arrived(Place),
    /// It was pulled out.
    Left(Place),
    /// There is no USB here, or it may not be looked at; nothing more will come.
    Unavailable {
        /// What the library said.
        reason: String,
    },
}

/// Says whether a device is one that usbmuxd should show.
pub const fn is_phone(vendor: u16, product: u16) -> bool {
    vendor == VENDOR && product >= *PRODUCTS.start() && product <= *PRODUCTS.end()
}

/// Watches the bus until cancelled or until nobody listens to `tx` any more.
pub async fn watch(tx: mpsc::Sender<PresenceEvent>, cancel: CancellationToken) {
    // A guard, so that the thread ends as well when this future is dropped.
    let stop = cancel.child_token();
    let _guard = stop.clone().drop_guard();
    let thread_tx = tx.clone();
    let thread_stop = stop.clone();
    let watching = tokio::task::spawn_blocking(move || watch_blocking(&thread_tx, &thread_stop));
    let reason = match watching.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    if tx
        .send(PresenceEvent::Unavailable { reason })
        .await
        .is_err()
    {
        tracing::trace!("nobody listens to the USB bus any more");
    }
}

fn watch_blocking(tx: &mpsc::Sender<PresenceEvent>, stop: &CancellationToken) -> rusb::Result<()> {
    let context = Context::new()?;
    if rusb::has_hotplug() {
        let registration = HotplugBuilder::new()
            .enumerate(true)
            .register(&context, Box::new(Relay(tx.clone())))?;
        return run_events(&context, registration, tx, stop);
    }
    poll_bus(&context, tx, stop)
}

fn run_events(
    context: &Context,
    registration: Registration<Context>,
    tx: &mpsc::Sender<PresenceEvent>,
    stop: &CancellationToken,
) -> rusb::Result<()> {
    while !stop.is_cancelled() && !tx.is_closed() {
        match context.handle_events(Some(TICK)) {
            Ok(()) | Err(rusb::Error::Interrupted | rusb::Error::Timeout) => {}
            Err(error) => return Err(error),
        }
    }
    drop(registration);
    Ok(())
}

fn poll_bus(
    context: &Context,
    tx: &mpsc::Sender<PresenceEvent>,
    stop: &CancellationToken,
) -> rusb::Result<()> {
    let mut known = BTreeSet::new();
    while !stop.is_cancelled() && !tx.is_closed() {
        let here: BTreeSet<Place> = context
            .devices()?
            .iter()
            .filter_map(|device| place(&device))
            .collect();
        for place in known.difference(&here) {
            report(tx, PresenceEvent::Left(*place));
        }
        for place in here.difference(&known) {
            report(tx, PresenceEvent::Arrived(*place));
        }
        known = here;
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Passes the library's news on.
struct Relay(mpsc::Sender<PresenceEvent>);

impl Hotplug<Context> for Relay {
    fn device_arrived(&mut self, device: Device<Context>) {
        if let Some(place) = place(&device) {
            report(&self.0, PresenceEvent::Arrived(place));
        }
    }

    fn device_left(&mut self, device: Device<Context>) {
        if let Some(place) = place(&device) {
            report(&self.0, PresenceEvent::Left(place));
        }
    }
}

/// Reads what the system keeps of a device; it is not opened.
fn place(device: &Device<Context>) -> Option<Place> {
    let descriptor = device.device_descriptor().ok()?;
    let (vendor, product) = (descriptor.vendor_id(), descriptor.product_id());
    is_phone(vendor, product).then(|| Place {
        bus: device.bus_number(),
        address: device.address(),
        product,
    })
}

/// Sends from the library's thread, which has no runtime; waits when the reader is slow.
fn report(tx: &mpsc::Sender<PresenceEvent>, event: PresenceEvent) {
    if tx.blocking_send(event).is_err() {
        tracing::trace!("nobody listens to the USB bus any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watching_ends_when_cancelled_with_or_without_usb() {
        let (tx, mut events) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let watching = tokio::spawn(watch(tx, cancel.clone()));
        cancel.cancel();
        tokio::time::timeout(Duration::from_secs(20), watching)
            .await
            .expect("it goes on")
            .unwrap();
        while let Some(event) = events.recv().await {
            let known = matches!(
                event,
                PresenceEvent::Arrived(_) | PresenceEvent::Unavailable { .. }
            );
            assert!(known, "{event:?}");
        }
    }

    #[test]
    fn phones_and_other_apple_things() {
        for (vendor, product, want) in [
            (0x05ac, 0x12a8, true),
            (0x05ac, 0x12ab, true),
            (0x05ac, 0x1290, true),
            (0x05ac, 0x12b0, false),
            (0x05ac, 0x024f, false),
            (0x1d6b, 0x12a8, false),
        ] {
            assert_eq!(
                is_phone(vendor, product),
                want,
                "{vendor:04x}:{product:04x}"
            );
        }
    }
}
