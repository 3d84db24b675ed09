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
        /// power met: power comes from outside (`percent`).
        ExternalPower = "external-power",
        /// power unmet: it runs on its battery (`percent`).
        OnBattery = "on-battery",
        /// wifi met: it answers on the network.
        Reachable = "reachable",
        /// wifi unmet: it is not on the network.
        NotReachable = "not-reachable",
        /// wifi met: the cable counts, by this phone's policy.
        Cable = "cable",
        /// locked met: its screen is locked.
        ScreenLocked = "screen-locked",
        /// locked unmet: its screen is unlocked.
        ScreenUnlocked = "screen-unlocked",
        /// locked met: its screen is off; without a passcode that counts as locked.
        ScreenOff = "screen-off",
        /// locked unknown: it has no passcode, so it never says whether it is locked.
        NoPasscode = "no-passcode",
        /// met: this phone's policy leaves the condition out.
        Ignored = "ignored",
        /// space met: there is room (`free-bytes`, `needed-bytes`, `used-bytes`, `quota-bytes`).
        EnoughSpace = "enough-space",
        /// space unmet: the store's file system is too full (same keys).
        TooLittleSpace = "too-little-space",
        /// space unmet: the quota is used up (same keys).
        QuotaReached = "quota-reached",
        /// space unmet: the store cannot be used.
        StoreUnavailable = "store-unavailable",
        /// unknown: never seen.
        NotSeen = "not-seen",
        /// unknown: seen, and too long ago to be believed.
        Stale = "stale",
        /// unknown: asked, and the phone did not say.
        NotAnswered = "not-answered",
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
        /// This phone's policy.
        Policy = "policy",
    }
}
