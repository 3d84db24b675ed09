//! Dated facts about a phone, with where they came from.

use crate::{Bytes, Now, Udid, Wall};
use std::time::Duration;

/// How a phone is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// By cable, through usbmuxd.
    Usb,
    /// Over the network.
    Wifi,
}

impl Transport {
    /// Returns the word on the bus: `usb` or `wifi`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usb => "usb",
            Self::Wifi => "wifi",
        }
    }
}

/// Where a fact was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// usbmuxd's list of devices.
    Usbmuxd,
    /// The USB bus itself (presence only).
    UsbBus,
    /// A lockdown value read over this transport.
    Lockdown(Transport),
    /// A notification relayed by the phone.
    Notification,
    /// The phone's diagnostics relay.
    Diagnostics,
    /// A multicast DNS record.
    Mdns,
    /// The phone's heartbeat over the network.
    Heartbeat,
    /// The store's own file system.
    Store,
}

impl Source {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usbmuxd => "usbmuxd",
            Self::UsbBus => "usb-bus",
            Self::Lockdown(Transport::Usb) => "lockdown-usb",
            Self::Lockdown(Transport::Wifi) => "lockdown-wifi",
            Self::Notification => "notification",
            Self::Diagnostics => "diagnostics",
            Self::Mdns => "mdns",
            Self::Heartbeat => "heartbeat",
            Self::Store => "store",
        }
    }
}

/// One thing that was seen to be so. `None` inside a fact says: asked, and not known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// The phone can (or can no longer) be reached this way.
    Reachable {
        /// By which way.
        transport: Transport,
        /// Whether it can.
        reachable: bool,
    },
    /// Whether this computer holds a pairing the phone accepts.
    Trusted(Option<bool>),
    /// The phone's own account of itself.
    Identity {
        /// The name its owner gave it; untrusted text.
        name: String,
        /// For example `iPhone14,5`.
        product_type: String,
        /// For example `16.3.1`.
        os_version: String,
    },
    /// Power from outside (`ExternalConnected`), whether or not it charges.
    ExternalPower(Option<bool>),
    /// Charge of the battery in percent, 0 to 100.
    BatteryPercent(Option<u8>),
    /// Reachable on the network now.
    OnWifi(Option<bool>),
    /// Its screen is locked (`PasswordProtected`).
    ScreenLocked(Option<bool>),
    /// An edge: the screen was seen to lock just now.
    LockSeen,
    /// An edge: the screen was seen to unlock just now.
    UnlockSeen,
    /// Its notifications are heard no more, or anew: what its screen did in between was missed.
    Unheard,
    /// Bytes in use on the phone: an upper bound of its first backup.
    DataUsed(Option<Bytes>),
    /// Whether the phone encrypts its backups (`WillEncrypt`; absent means never had a password).
    EncryptsBackups(Option<bool>),
    /// Whether the phone's management demands encrypted backups (`RequiresEncryption`).
    EncryptionRequired(Option<bool>),
    /// Whether iCloud Backup is switched on.
    ICloudBackup(Option<bool>),
    /// When the phone was last backed up to iCloud.
    ICloudBackupDate(Option<Wall>),
    /// Whether the phone has a passcode, as far as it was ever seen.
    HasPasscode(Option<bool>),
}

/// A fact, whose it is, and how fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The phone it is about.
    pub phone: Udid,
    /// What was seen.
    pub fact: Fact,
    /// Where it was seen.
    pub source: Source,
    /// When it was seen.
    pub at: Now,
    /// For how long it may be believed; `None` until contradicted.
    pub time_to_live: Option<Duration>,
}
