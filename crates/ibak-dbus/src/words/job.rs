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
    /// `Job.Phase`, in the order of a backup.
    new = "show the word";
    Phase {
        /// It waits for the conditions or for a slot.
        Waiting = "waiting",
        /// The session with the phone is being opened.
        Connecting = "connecting",
        /// The phone shows its passcode prompt, or the Trust question when pairing.
        Asking = "asking",
        /// The passcode was given, and the screen is not locked yet.
        HoldingUntilLocked = "holding-until-locked",
        /// The phone prepares: it takes a snapshot and looks for what changed.
        Preparing = "preparing",
        /// The phone sends its data.
        Receiving = "receiving",
        /// What was received is put in its place.
        Moving = "moving",
        /// What is gone from the phone leaves the copy.
        Removing = "removing",
        /// The phone ends its side.
        Finishing = "finishing",
        /// The copy is being checked.
        Verifying = "verifying",
        /// The copy is being kept.
        Committing = "committing",
        /// It is over.
        Done = "done",
    }
}

words! {
    /// `Job.Result`, `Phone.LastResult`, `Completed` and an attempt's `result`: how it ended.
    /// Empty while it runs, or when there never was one.
    new = "show the word; `Job.State` says whether it worked";
    Outcome {
        /// It worked.
        Done = "done",
        /// A person called it off at this computer.
        Cancelled = "cancelled",
        /// A person called it off at the phone.
        CancelledOnDevice = "cancelled-on-device",
        /// The passcode was not typed.
        NotConfirmed = "not-confirmed",
        /// The passcode was typed, and the screen was not locked in time.
        NotLockedInTime = "not-locked-in-time",
        /// A condition was lost and the policy says to stop (`condition`).
        ConditionLost = "condition-lost",
        /// The conditions never held (`waits-for`): nothing was tried.
        NotStarted = "not-started",
        /// The connection to the phone broke.
        ConnectionLost = "connection-lost",
        /// The phone could not be reached.
        Unreachable = "unreachable",
        /// The phone fell silent.
        TimedOut = "timed-out",
        /// The phone does not trust this computer.
        NotTrusted = "not-trusted",
        /// A person refused the Trust question.
        TrustDenied = "trust-denied",
        /// The phone is locked and must be unlocked first.
        PhoneLocked = "phone-locked",
        /// The store has too little room.
        NoSpace = "no-space",
        /// The phone reported an error (`device-code`).
        DeviceError = "device-error",
        /// The backup password is wrong.
        WrongPassword = "wrong-password",
        /// The phone left the rules of the conversation.
        ProtocolError = "protocol-error",
        /// The store could not be written.
        StoreError = "store-error",
        /// The copy failed its check and was not kept.
        VerifyFailed = "verify-failed",
        /// The daemon was stopped.
        DaemonStopped = "daemon-stopped",
        /// A bug of ours.
        Internal = "internal",
    }
}
