//! Words of a job, an attempt and how they end.

use super::words;

words! {
    /// `Job.Kind`.
    new = "show the word";
    JobKind {
        /// A backup.
        Backup = "backup",
        /// A check of a backup.
        Verify = "verify",
        /// A restore.
        Restore = "restore",
        /// A pairing.
        Pair = "pair",
        /// A change of the backup password.
        Encryption = "encryption",
        /// A removal of old backups.
        Prune = "prune",
        /// A proof that a password is a backup's (since 0.2).
        CheckPassword = "check-password",
        /// Files being read out of a backup (since 0.2).
        Read = "read",
        /// What was bought in the stores being copied off the phone (since 0.2).
        Purchases = "purchases",
        /// The phone's iCloud Backup being switched (since 0.2).
        ICloud = "icloud",
        /// A backup made by another program being taken in (since 0.2).
        Adopt = "adopt",
        /// The whole store being copied to another place; it is no phone's (since 0.2).
        MoveStore = "move-store",
    }
}

words! {
    /// `Job.Trigger`.
    new = "show the word";
    Trigger {
        /// The four conditions held and it was due.
        Schedule = "schedule",
        /// A person asked.
        User = "user",
    }
}

words! {
    /// `Job.State`.
    new = "treat as `running`";
    JobState {
        /// It goes on.
        Running = "running",
        /// It did what it was for.
        Succeeded = "succeeded",
        /// It did not; `Result` says why.
        Failed = "failed",
        /// A person called it off.
        Cancelled = "cancelled",
    }
}

words! {
    /// `Job.Phase`, in the order of a backup; the last three belong to other jobs.
    new = "show the word";
    Phase {
        /// It waits for the conditions or for a slot (`WaitsFor`).
        Queued = "queued",
        /// A session with the phone is being opened.
        Connecting = "connecting",
        /// The working copy and the phone are being made ready.
        Preparing = "preparing",
        /// The phone asks its owner for the passcode, or for trust when pairing.
        Asking = "asking",
        /// The passcode is given; the backup begins when the screen is locked.
        AwaitingLock = "awaiting-lock",
        /// The phone looks for what changed; minutes of silence are normal.
        Scanning = "scanning",
        /// Files arrive.
        Receiving = "receiving",
        /// The phone moves and removes files in the working copy.
        Arranging = "arranging",
        /// What arrived is checked.
        Verifying = "verifying",
        /// It becomes a backup.
        Committing = "committing",
        /// A key is made from the password, which takes seconds (since 0.2).
        Unlocking = "unlocking",
        /// The phone takes files from a backup (since 0.2).
        Sending = "sending",
        /// Files go to whoever asked for them (since 0.2).
        Copying = "copying",
    }
}

words! {
    /// `Job.Result`, `Phone.LastResult`, `Completed` and an attempt's `result`: how it ended.
    /// Empty while it runs, or when there never was one.
    new = "show the word; `Job.State` says whether it worked";
    Outcome {
        /// It did what was asked.
        Succeeded = "succeeded",
        /// A person ended it here.
        Cancelled = "cancelled",
        /// A person ended it on the phone.
        CancelledOnDevice = "cancelled-on-device",
        /// The phone asked for its passcode and nobody gave it.
        NotConfirmed = "not-confirmed",
        /// The passcode was given, and the screen was not locked in time.
        NotLockedInTime = "not-locked-in-time",
        /// Asked for `when-ready` or confirmed, and the conditions never held together in time.
        NotReadyInTime = "not-ready-in-time",
        /// Power was lost; what arrived is kept and the next run resumes.
        LostPower = "lost-power",
        /// The network was lost; what arrived is kept and the next run resumes.
        LostWifi = "lost-wifi",
        /// The screen was unlocked, and the policy says to stop; the next run resumes.
        LostLocked = "lost-locked",
        /// The room was used up; what arrived is kept and the next run resumes.
        LostSpace = "lost-space",
        /// The phone went away; what arrived is kept and the next run resumes.
        LostConnection = "lost-connection",
        /// This computer ran from its own battery for too long; the next run resumes.
        LostHostPower = "lost-host-power",
        /// This computer came to a network that is not fit for backups; the next run resumes.
        LostHostNetwork = "lost-host-network",
        /// The daemon was stopped; the next run resumes.
        DaemonStopped = "daemon-stopped",
        /// The phone was not there.
        NotConnected = "not-connected",
        /// The phone does not accept this computer's pairing.
        NotTrusted = "not-trusted",
        /// The phone did not answer in time.
        NoAnswer = "no-answer",
        /// The phone said what the protocol does not allow.
        Protocol = "protocol",
        /// The phone and the daemon share no protocol version.
        Version = "version",
        /// The phone reported an internal error.
        PhoneInternal = "phone-internal",
        /// A snapshot was left on the phone; restarting it helps.
        SnapshotLeft = "snapshot-left",
        /// The phone is being restored from iCloud.
        ICloudRestore = "icloud-restore",
        /// The phone could not read or write its own files.
        PhoneReadWrite = "phone-read-write",
        /// There was no room in the store.
        NoSpace = "no-space",
        /// How much room is needed could not be learned in time.
        SpaceUnknown = "space-unknown",
        /// The phone could not read the previous backup, also not after all was sent anew; the next one starts afresh.
        PreviousUnreadable = "previous-unreadable",
        /// The backup password is wrong, or encryption is required.
        Encryption = "encryption",
        /// The phone has no iCloud account for what was asked.
        NoICloudAccount = "no-icloud-account",
        /// Find My is on.
        FindMy = "find-my",
        /// The phone's setup is not finished.
        SetupUnfinished = "setup-unfinished",
        /// Another program holds the phone's sync lock.
        SyncLocked = "sync-locked",
        /// Writing or reading the store failed.
        StoreIo = "store-io",
        /// The store cannot take backups.
        StoreUnavailable = "store-unavailable",
        /// What arrived is not a whole backup; it was not kept.
        NotWhole = "not-whole",
        /// The phone's owner declined to trust this computer.
        TrustDenied = "trust-denied",
        /// The phone's owner did not answer whether to trust this computer.
        TrustNotAnswered = "trust-not-answered",
        /// Pairing needs the cable, and there is none.
        NeedsCable = "needs-cable",
        /// The password is not the one of this backup or phone (since 0.2).
        WrongPassword = "wrong-password",
        /// Whoever manages the phone demands encrypted backups (since 0.2).
        EncryptionRequired = "encryption-required",
        /// The phone's system is older than the backup's (since 0.2).
        OlderSystem = "older-system",
        /// The phone's system is older than any this program can speak to (since 0.2).
        SystemTooOld = "system-too-old",
        /// What is to be restored does not fit on the phone (since 0.2).
        NoRoomOnPhone = "no-room-on-phone",
        /// There is no such backup (since 0.2).
        NoSuchBackup = "no-such-backup",
        /// What lies in the store cannot be read as a backup (since 0.2).
        BackupUnreadable = "backup-unreadable",
        /// Whoever asked for the files has gone away (since 0.2).
        ClientGone = "client-gone",
        /// Reading a backup again found damage (since 0.2).
        BackupDamaged = "backup-damaged",
        /// What another program made cannot be taken in (since 0.2).
        NotAdoptable = "not-adoptable",
        /// The job itself broke: a bug of the daemon.
        Crashed = "crashed",
    }
}
