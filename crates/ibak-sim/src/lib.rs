//! A simulated iPhone that other people's clients believe.
//!
//! It speaks the usbmuxd protocol (and TCP, as a phone on Wi-Fi does), lockdownd with real TLS,
//! and the services a backup needs. What is known of real phones lies in `tests/corpus`; where a
//! fact is there, the simulator does it so. It is never part of a package.

pub mod backup;
pub mod content;
pub mod identity;
pub mod pairing;
pub mod products;
pub mod profile;
pub mod state;
mod wire;

pub use identity::{Identity, IosVersion};
