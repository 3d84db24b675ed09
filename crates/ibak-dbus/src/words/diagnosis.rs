//! Words of `Manager.Diagnose`.

use super::words;

words! {
    /// A check's `id`.
    new = "show the word with its status";
    CheckId {
        /// The configuration file reads (`subject`: the file).
        Config = "config",
        /// The daemon owns its name on the bus.
        Bus = "bus",
        /// It runs under its systemd unit.
        Unit = "unit",
        /// usbmuxd answers (`subject`: its address).
        Usbmuxd = "usbmuxd",
        /// The USB bus can be watched.
        UsbPresence = "usb-presence",
        /// Announcements on the network can be heard.
        Mdns = "mdns",
        /// The store's directory is there and writable (`subject`: the directory).
        StorePath = "store-path",
        /// The store is not by accident on the root file system (`subject`: the directory).
        StoreRootFilesystem = "store-root-filesystem",
        /// The store has room (`free-bytes`, `quota-bytes`, `used-bytes`).
        StoreSpace = "store-space",
        /// The computer can be kept awake during a backup.
        Inhibitor = "inhibitor",
        /// polkit answers.
        Polkit = "polkit",
        /// A phone's own settings hold (`phone`).
        PhoneSettings = "phone-settings",
        /// A phone trusts this computer (`phone`).
        PhoneTrust = "phone-trust",
        /// A phone can be reached (`phone`).
        PhoneReachable = "phone-reachable",
        /// A phone's backups are encrypted (`phone`).
        PhoneEncryption = "phone-encryption",
        /// A phone's four conditions can be told (`phone`).
        PhoneSignals = "phone-signals",
    }
}

words! {
    /// A check's `status`.
    new = "treat as `unknown`";
    CheckStatus {
        /// It is as it should be.
        Ok = "ok",
        /// It works, and could be better.
        Warn = "warn",
        /// Backups cannot work like this.
        Fail = "fail",
        /// It could not be checked.
        Unknown = "unknown",
    }
}

words! {
    /// A check's `detail`: what was found.
    new = "show the word";
    CheckDetail {
        /// It is as it should be.
        Fine = "fine",
        /// Nothing is there.
        Absent = "absent",
        /// It is there and does not answer.
        Mute = "mute",
        /// It refused.
        Refused = "refused",
        /// Its directory does not exist.
        StoreMissing = "store-missing",
        /// It is on the root file system, and the configuration does not say that it may.
        StoreOnRoot = "store-on-root",
        /// Its file system is mounted read-only.
        StoreReadOnly = "store-read-only",
        /// The daemon may not write there.
        StoreNoRights = "store-no-rights",
        /// Its file system lacks hard links or another ability the store needs.
        StoreUnsupported = "store-unsupported",
        /// Another daemon holds its lock.
        StoreLocked = "store-locked",
        /// It holds what no store of ours holds.
        StoreDamaged = "store-damaged",
        /// Reading or writing it failed.
        StoreFailing = "store-failing",
        /// It is being moved (since 0.2).
        StoreMoving = "store-moving",
        /// A newer ibak wrote it (since 0.2).
        StoreNewer = "store-newer",
        /// It is on the root file system, and the configuration says that it may.
        OnRootAllowed = "on-root-allowed",
        /// What is left is less than the reserve.
        Low = "low",
        /// Nothing is left above the reserve or under the quota.
        Full = "full",
        /// It cannot be read.
        Unreadable = "unreadable",
        /// The daemon was not started by systemd.
        NotAService = "not-a-service",
        /// An Apple device is on the USB bus, and usbmuxd does not show it.
        SeenOnBusOnly = "seen-on-bus-only",
        /// No network interface can be used.
        NoInterface = "no-interface",
        /// No known phone goes by the name of this table (`subject`: the table).
        TableOfNobody = "table-of-nobody",
        /// Several phones go by the name of this table, so it holds for none (`subject`: the table).
        TableOfSeveral = "table-of-several",
        /// The phone of this table has another one by its UDID, which holds (`subject`: the table).
        TableTwice = "table-twice",
        /// A setting does not fit with the configuration and is left out (`subject`: the setting).
        SettingLeftOut = "setting-left-out",
        /// The phone was never paired.
        NotPaired = "not-paired",
        /// The phone does not accept the pairing.
        NotTrusted = "not-trusted",
        /// The phone is not there.
        NotReachable = "not-reachable",
        /// Backups are not encrypted, so passwords, health data and calls are not in them.
        NotEncrypted = "not-encrypted",
        /// The phone asks for its passcode before every backup.
        AsksPasscode = "asks-passcode",
        /// A condition cannot be told (`subject`: its name).
        ConditionUnknown = "condition-unknown",
    }
}

words! {
    /// A check's `remedy`: what a person can do. Empty when nothing needs doing.
    new = "leave the remedy out";
    Remedy {
        /// Install or start usbmuxd.
        StartUsbmuxd = "start-usbmuxd",
        /// Restart usbmuxd.
        RestartUsbmuxd = "restart-usbmuxd",
        /// Plug the phone in and unlock it once.
        PlugInAndUnlock = "plug-in-and-unlock",
        /// Pair it: `ibakctl pair`.
        Pair = "pair",
        /// Create the directory, or correct `store.path`.
        CreateStorePath = "create-store-path",
        /// Mount the disk.
        MountStore = "mount-store",
        /// Give the directory to the user ibak.
        ChownStore = "chown-store",
        /// Choose another disk, or say so in the configuration.
        AllowRootFilesystem = "allow-root-filesystem",
        /// Make room, or raise the quota.
        MakeRoom = "make-room",
        /// Install a newer ibak (since 0.2).
        Upgrade = "upgrade",
        /// Stop the other daemon.
        StopOther = "stop-other",
        /// Correct the configuration: `ibakd --check`.
        FixConfig = "fix-config",
        /// Name the phone by its UDID in the configuration.
        NameByUdid = "name-by-udid",
        /// Set it anew: `ibakctl policy`.
        SetAnew = "set-anew",
        /// Let multicast through: UDP port 5353.
        AllowMulticast = "allow-multicast",
        /// Start it as a service.
        EnableUnit = "enable-unit",
        /// Install polkit.
        InstallPolkit = "install-polkit",
        /// Turn on encrypted backups on the phone.
        EncryptBackups = "encrypt-backups",
        /// Give the daemon access to USB devices.
        AllowUsb = "allow-usb",
        /// See whether systemd-logind runs.
        StartLogind = "start-logind",
    }
}
