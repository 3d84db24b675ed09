//! usbmuxd: where it listens, what it says about phones, and the way through it to a port.
//!
//! Requests are ours because every one needs a deadline (usbmuxd can accept and stay mute), a
//! length limit and a guard, which the library's client has none of; the packets are the
//! library's.

mod address;
mod appearance;
mod client;
mod watch;

pub use address::{MuxAddress, MuxAddressError};
pub use client::MuxClient;
pub use watch::{Attachment, MuxEvent, WatchOptions, watch, watch_with};
