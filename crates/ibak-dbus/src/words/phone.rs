//! Words of the Manager and of a Phone.

use super::words;

words! {
    /// `Manager.Mode`.
    new = "show the word";
    ManagerMode {
        /// Backups start by themselves.
        Automatic = "automatic",
        /// A person paused everything, until `PausedUntil`.
        Paused = "paused",
    }
}

words! {
    /// `Manager.StorageState`.
    new = "treat as `unknown`";
    StorageState {
        /// There is room.
        Ok = "ok",
        /// There is room for fewer than two more backups.
        Low = "low",
        /// There is no room for the next backup.
        Full = "full",
        /// The store cannot be used: not mounted, not writable, locked by another.
        Unavailable = "unavailable",
        /// Not measured yet.
        Unknown = "unknown",
    }
}

words! {
    /// `Phone.State`.
    new = "show the word, assume nothing runs";
    PhoneState {
        /// It cannot be reached.
        Absent = "absent",
        /// It is here and does not trust this computer.
        Untrusted = "untrusted",
        /// A backup is due and waits; `WaitsFor` says for what.
        Waiting = "waiting",
        /// All conditions hold, and must keep holding for a short while.
        Settling = "settling",
        /// The phone shows its passcode prompt.
        Asking = "asking",
        /// Data is moving.
        BackingUp = "backing-up",
        /// The copy is being checked and kept.
        Committing = "committing",
        /// Nothing is due.
        Idle = "idle",
        /// The last try failed; the next is after a pause.
        BackingOff = "backing-off",
        /// A person paused everything.
        Paused = "paused",
    }
}

words! {
    /// A member of `Phone.Transports`.
    new = "show the word";
    TransportWord {
        /// By cable.
        Usb = "usb",
        /// Over the network.
        Wifi = "wifi",
    }
}

words! {
    /// `Phone.Trust`.
    new = "treat as `unknown`";
    Trust {
        /// The phone accepts this computer's pairing.
        Trusted = "trusted",
        /// It does not, or there is none.
        Untrusted = "untrusted",
        /// Not asked yet.
        Unknown = "unknown",
    }
}

words! {
    /// `Phone.Encryption` and `Phone.ICloudBackup`.
    new = "treat as `unknown`";
    OnOff {
        /// It is on.
        On = "on",
        /// It is off.
        Off = "off",
        /// Not asked yet.
        Unknown = "unknown",
    }
}

words! {
    /// `Phone.Passcode`: whether the phone asks for its passcode before a backup.
    new = "treat as `unknown`";
    Passcode {
        /// It asks each time.
        Asks = "asks",
        /// It has none, or its iOS does not ask.
        Never = "never",
        /// Not learned yet.
        Unknown = "unknown",
    }
}

words! {
    /// A member of `Phone.WaitsFor`, the most telling first. The four conditions come under their
    /// own names.
    new = "show the word";
    WaitsFor {
        /// Power from outside.
        Power = "power",
        /// The network.
        Wifi = "wifi",
        /// A locked screen.
        Locked = "locked",
        /// Room for the backup.
        Space = "space",
        /// The phone to be there at all (`LastSeen`).
        Phone = "phone",
        /// Whether the phone trusts this computer, to be known.
        Trust = "trust",
        /// Its running job to end.
        Job = "job",
        /// A person's pause to end (`NextAttempt`, 0 = until resumed).
        Pause = "pause",
        /// The wait after a failure to end (`NextAttempt`).
        Backoff = "backoff",
        /// The hours in which automatic backups may start (`NextAttempt`).
        Window = "window",
        /// This computer to be on mains power.
        HostPower = "host-power",
        /// This computer to be on a network that is fit for backups.
        Network = "network",
        /// Somebody to start it, for it asks for its passcode and is never asked by itself.
        Passcode = "passcode",
        /// The hours in which people may be asked for the passcode (`NextAttempt`).
        AskWindow = "ask-window",
        /// The next time that the passcode may be asked for: it was asked often enough
        /// (`NextAttempt`).
        Asked = "asked",
        /// Somebody to be there, for it asks for its passcode: the phone unlocked on its charger.
        Person = "person",
        /// The battery to reach its minimum.
        Battery = "battery",
        /// The conditions to have held for a short while (`NextAttempt`).
        Settling = "settling",
        /// Another phone's backup to end.
        Slot = "slot",
        /// The next backup to be due (`NextAttempt`).
        Due = "due",
        /// Automatic backup to be switched on for this phone.
        AutomaticOff = "automatic-off",
        /// The phone to trust this computer.
        NotTrusted = "not-trusted",
    }
}

words! {
    /// The `kind` of `Manager.Attention`.
    new = "show the phone's state";
    AttentionKind {
        /// The phone shows, or is about to show, its passcode prompt.
        Asking = "asking",
        /// A backup failed and only a person can help.
        FailedNeedsYou = "failed-needs-you",
        /// The last backup is older than it should be.
        Overdue = "overdue",
        /// The store cannot be used or is full.
        StoreTrouble = "store-trouble",
        /// A backup worked again after a gap.
        DoneAfterGap = "done-after-gap",
        /// Old backups were removed to make room.
        MadeRoom = "made-room",
        /// Nobody has proved for long that the backup password is still known (since 0.2).
        CheckPassword = "check-password",
        /// A person wants to see where messages arrive (since 0.2).
        Test = "test",
    }
}
