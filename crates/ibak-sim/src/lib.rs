//! A simulated iPhone that other people's clients believe.
//!
//! It speaks the usbmuxd protocol (and TCP, as a phone on Wi-Fi does), lockdownd with real TLS,
//! and the services a backup needs. What is known of real phones lies in `tests/corpus`; where a
//! fact is there, the simulator does it so. It is never part of a package.
//!
//! [`Simulator::start`] runs phones inside a test; the binary `ibak-sim` runs them for others.

mod addresses;
pub mod backup;
pub mod cli;
pub mod content;
pub mod control;
mod host;
pub mod hostile;
pub mod identity;
pub mod lockdown;
pub mod mdns;
pub mod mux;
mod network;
pub mod pairing;
mod password;
mod person;
pub mod phone;
mod ports;
pub mod products;
pub mod profile;
mod restored;
mod services;
pub mod simulator;
pub mod state;
pub mod status;
mod wire;

pub use host::asks_for_passcode;
pub use hostile::{Attack, Loot};
pub use identity::{Identity, IosVersion};
pub use phone::Phone;
pub use profile::PhoneSpec;
pub use simulator::{MuxVerb, SimError, SimOptions, Simulator};
pub use state::{Password, Setting};
pub use wire::{BoxIo, Io};
