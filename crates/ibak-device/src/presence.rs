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
/// How long the library waits at a time; its end interrupts it, so this is only a net beneath that.
const TICK: Duration = Duration::from_secs(3_600);
/// How often the bus is listed where the system tells of no changes.
const POLL: Duration = Duration::from_secs(120);

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

/// Watches the bus until cancelled or until nobody listens to `tx` any more. Sleeps as long as
/// nothing happens on it.
pub async fn watch(tx: mpsc::Sender<PresenceEvent>, cancel: CancellationToken) {
    let reason = match watch_or_fail(&tx, &cancel).await {
        Ok(()) => return,
        Err(reason) => reason,
    };
    let unavailable = PresenceEvent::Unavailable { reason };
    if tx.send(unavailable).await.is_err() {
        tracing::trace!("nobody listens to the USB bus any more");
    }
}

async fn watch_or_fail(
    tx: &mpsc::Sender<PresenceEvent>,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let opened = tokio::task::spawn_blocking(Context::new).await;
    let context = opened
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let (interrupt, ended) = Interrupt::of(&context);
    let events = tx.clone();
    let mut watching =
        tokio::task::spawn_blocking(move || watch_blocking(&context, &events, &ended));
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tx.closed() => {}
        watched = &mut watching => {
            let watched = watched.map_err(|error| error.to_string())?;
            return watched.map_err(|error| error.to_string());
        }
    }
    drop(interrupt);
    match watching.await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Ends the library's waiting when it is dropped, also with the future that holds it.
struct Interrupt {
    context: Context,
    /// Its end is what a thread between two listings waits for.
    end: Option<std::sync::mpsc::Sender<()>>,
    stop: CancellationToken,
}

/// Tells the library's thread to end.
struct Ended {
    stop: CancellationToken,
    waits: std::sync::mpsc::Receiver<()>,
}

impl Interrupt {
    fn of(context: &Context) -> (Self, Ended) {
        let (end, waits) = std::sync::mpsc::channel();
        let stop = CancellationToken::new();
        let ended = Ended {
            stop: stop.clone(),
            waits,
        };
        let context = context.clone();
        let interrupt = Self {
            context,
            end: Some(end),
            stop,
        };
        (interrupt, ended)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.stop.cancel();
        self.end = None;
        // Remembered by the library when nobody waits at this moment.
        self.context.interrupt_handle_events();
    }
}

fn watch_blocking(
    context: &Context,
    tx: &mpsc::Sender<PresenceEvent>,
    ended: &Ended,
) -> rusb::Result<()> {
    if rusb::has_hotplug() {
        let registration = HotplugBuilder::new()
            .enumerate(true)
            .register(context, Box::new(Relay(tx.clone())))?;
        return run_events(context, registration, ended);
    }
    poll_bus(context, tx, ended)
}

fn run_events(
    context: &Context,
    registration: Registration<Context>,
    ended: &Ended,
) -> rusb::Result<()> {
    while !ended.stop.is_cancelled() {
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
    ended: &Ended,
) -> rusb::Result<()> {
    let mut known = BTreeSet::new();
    loop {
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
        match ended.waits.recv_timeout(POLL) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
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

    /// The library waits for an hour at a time: a runtime that ends must not wait with it.
    #[test]
    fn watching_ends_with_its_runtime_and_with_its_listener() {
        let begun = std::time::Instant::now();
        for listens in [true, false] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let (tx, mut events) = mpsc::channel(16);
            let watching = runtime.spawn(watch(tx, CancellationToken::new()));
            if listens {
                // Until the bus is really watched, or is known not to be there.
                runtime.block_on(async {
                    tokio::time::timeout(Duration::from_millis(200), events.recv())
                        .await
                        .ok()
                });
            } else {
                drop(events);
                runtime.block_on(watching).unwrap();
            }
            drop(runtime);
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
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
