//! Words of the four conditions.

use super::words;

words! {
    /// A key of `Phone.Conditions`.
    new = "show it after the four";
    ConditionName {
        /// Power comes from outside.
        Power = "power",
        /// The phone is on the home network.
        Wifi = "wifi",
        /// Its screen is locked.
        Locked = "locked",
        /// There is room for the backup.
        Space = "space",
    }
}

words! {
    /// A condition's `status`. Only `met` lets an automatic backup start.
    new = "treat as `unknown`";
    ConditionStatus {
        /// It holds.
        Met = "met",
        /// It does not hold.
        Unmet = "unmet",
        /// It is not known.
        Unknown = "unknown",
    }
}

words! {
    /// A condition's `reason`.
    new = "show the word; the status decides";
    ConditionReason {
        /// power met: power comes from outside, whether or not it charges (`percent`).
        ExternalPower = "external-power",
        /// power unmet: no power from outside (`percent`).
        OnBattery = "on-battery",
        /// wifi met: it is seen on the network.
        OnNetwork = "on-network",
        /// wifi met: a cable counts, by this phone's policy.
        ByCable = "by-cable",
        /// wifi unmet: it is not seen on the network.
        NotOnNetwork = "not-on-network",
        /// locked met: the phone says that its screen is locked.
        ScreenLocked = "screen-locked",
        /// locked met: its screen went off and was not unlocked since; without a passcode that counts as locked.
        LockSeen = "lock-seen",
        /// locked unmet: its screen is unlocked (`lock-ever-seen`).
        Unlocked = "unlocked",
        /// space met (`free-bytes`, `needed-bytes`, `used-bytes`, `quota-bytes`).
        EnoughRoom = "enough-room",
        /// space unmet: the next backup does not fit (same keys).
        NoRoom = "no-room",
        /// space unmet: its directory does not exist.
        StoreMissing = "store-missing",
        /// space unmet: it is on the root file system, and the configuration does not say that it may.
        StoreOnRoot = "store-on-root",
        /// space unmet: its file system is mounted read-only.
        StoreReadOnly = "store-read-only",
        /// space unmet: the daemon may not write there.
        StoreNoRights = "store-no-rights",
        /// space unmet: its file system lacks hard links or another ability the store needs.
        StoreUnsupported = "store-unsupported",
        /// space unmet: another daemon holds its lock.
        StoreLocked = "store-locked",
        /// space unmet: it holds what no store of ours holds.
        StoreDamaged = "store-damaged",
        /// space unmet: reading or writing it failed.
        StoreFailing = "store-failing",
        /// space unmet: it is being moved (since 0.2).
        StoreMoving = "store-moving",
        /// space unmet: a newer ibak wrote it (since 0.2).
        StoreNewer = "store-newer",
        /// unknown: the phone is not there to be asked.
        NotReachable = "not-reachable",
        /// unknown: the phone was not asked yet.
        NotRead = "not-read",
        /// unknown: the phone was asked and did not say.
        NotTold = "not-told",
        /// unknown: what was read is older than it may be believed.
        Stale = "stale",
        /// locked unknown: without a passcode it never says that it is locked, and no lock was seen.
        NoPasscode = "no-passcode",
        /// space unknown: how large its first backup will be is not known yet.
        SizeNotKnown = "size-not-known",
        /// space unknown: the store was not looked at yet.
        StoreNotRead = "store-not-read",
    }
}

words! {
    /// A space condition's `basis`: from what `needed-bytes` was estimated (since 0.2).
    new = "show the number without it";
    Basis {
        /// From what is in use on the phone: a first backup is not larger.
        DataUsed = "data-used",
        /// From the sizes of earlier backups and how they grew.
        EarlierBackups = "earlier-backups",
        /// From the larger of both, because everything will be sent again.
        Full = "full",
        /// A backup is running.
        Running = "running",
    }
}

words! {
    /// An item of a backup's `keep`: why it stays (since 0.2).
    new = "show the word";
    KeepReason {
        /// It is pinned.
        Pinned = "pinned",
        /// It is the newest that is known to be good.
        NewestVerified = "newest-verified",
        /// It is one of the last.
        Last = "last",
        /// It is the newest of its day.
        Daily = "daily",
        /// It is the newest of its week.
        Weekly = "weekly",
        /// It is the newest of its month.
        Monthly = "monthly",
        /// It is the newest of its year.
        Yearly = "yearly",
        /// A newer one is not known to be good.
        NewerDamaged = "newer-damaged",
        /// Its date cannot be trusted, for the clock has jumped.
        ClockJumped = "clock-jumped",
    }
}

words! {
    /// A condition's `source`: where its evidence comes from.
    new = "show the word";
    EvidenceSource {
        /// usbmuxd's list of devices.
        Usbmuxd = "usbmuxd",
        /// The USB bus itself.
        UsbBus = "usb-bus",
        /// A value read from the phone by cable.
        LockdownUsb = "lockdown-usb",
        /// A value read from the phone over Wi-Fi.
        LockdownWifi = "lockdown-wifi",
        /// A notification from the phone.
        Notification = "notification",
        /// The phone's diagnostics.
        Diagnostics = "diagnostics",
        /// Its announcement on the network.
        Mdns = "mdns",
        /// Its heartbeat over the network.
        Heartbeat = "heartbeat",
        /// The store's file system.
        Store = "store",
    }
}

impl From<ibak_core::Source> for EvidenceSource {
    fn from(source: ibak_core::Source) -> Self {
        use ibak_core::{Source, Transport};
        match source {
            Source::Usbmuxd => Self::Usbmuxd,
            Source::UsbBus => Self::UsbBus,
            Source::Lockdown(Transport::Usb) => Self::LockdownUsb,
            Source::Lockdown(Transport::Wifi) => Self::LockdownWifi,
            Source::Notification => Self::Notification,
            Source::Diagnostics => Self::Diagnostics,
            Source::Mdns => Self::Mdns,
            Source::Heartbeat => Self::Heartbeat,
            Source::Store => Self::Store,
        }
    }
}
