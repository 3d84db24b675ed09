//! How to reach an iPhone: usbmuxd, lockdown with pinned TLS, signals, pairing.
//!
//! Promises: every wait has a deadline; whatever comes from a phone is limited and checked
//! before it is parsed; no escrow bag, no backup and no word about a person goes to an end
//! that has not proved the key the phone had when it was paired. Refuses: a session without
//! encryption, pairing over the network, and reading usbmuxd's records once there are our own.
//! Decides nothing: it reports facts and errors, and the core decides.

mod afc;
mod assertion;
mod backup;
mod certs;
mod deadlines;
mod edges;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod greet;
mod guard;
mod heartbeat;
mod link;
mod lockdown;
mod mdns;
mod mux;
mod notify;
mod pair;
pub mod presence;
mod purchases;
mod record;
mod restore;
mod signals;
mod store;
mod tls;
mod unpair;
mod version;
mod wire;

pub use assertion::hold_awake;
pub use backup::{App, BackupSession, HostInputs, PhoneEvent, info_plist};
pub use deadlines::Deadlines;
pub use edges::{EDGE_NOTIFICATIONS, Edge, EdgeReader};
pub use error::{DeviceError, MuxRefusal, Retry};
pub use greet::greet;
pub use guard::{Framing, PlistGuard};
pub use heartbeat::{Beat, heartbeat};
pub use link::{LOCKDOWN_PORT, Link};
pub use lockdown::{Escrow, LockdownCode, Service, Session};
pub use mdns::{Advert, MatchedBy, MdnsEvent, MdnsOptions, PhoneKeys, browse};
pub use mux::{
    Attachment, MuxAddress, MuxAddressError, MuxClient, MuxEvent, WatchOptions, watch, watch_with,
};
pub use notify::{NotificationProxy, Poster};
pub use pair::{PairEvent, PairOptions, Paired, pair};
pub use purchases::{Purchase, PurchaseList, PurchaseReader, Purchases};
pub use record::PairRecord;
pub use restore::{RestoreFacts, restore_facts};
pub use signals::{Traits, disk_usage, enable_wifi_connections, read_moment, read_signals, traits};
pub use store::{Imported, PairStore};
pub use unpair::{MuxCopy, OnPhone, Unpaired, unpair};
pub use version::OLDEST_IOS;
pub use wire::Stream;
