//! Words of the rows of `Phone.ListObservations`.

use super::words;

words! {
    /// An observation's `what`: which thing came to be so.
    new = "leave the row out";
    ObservationKind {
        /// The condition power (`word`: its status; `reason`, `source`).
        Power = "power",
        /// The condition wifi (same keys).
        Wifi = "wifi",
        /// The condition locked (same keys).
        Locked = "locked",
        /// The condition space (same keys).
        Space = "space",
        /// What was decided about the automatic backup (`word`: words below; `waits-for`).
        Decision = "decision",
        /// The phone's state (`word`: as in `Phone.State`).
        State = "state",
        /// Its job (`word`: as in `Job.Kind`, empty = none; `job`, `trigger`).
        Job = "job",
        /// The daemon itself (`word`: words below; `since`).
        Daemon = "daemon",
        /// This computer (`word`: words below; `since`).
        Computer = "computer",
    }
}

words! {
    /// The `word` of an observation of the decision.
    new = "treat as `wait`";
    DecisionWord {
        /// A backup starts.
        Start = "start",
        /// A backup starts, and the phone will ask for its passcode.
        Ask = "ask",
        /// One is due and waits (`waits-for`).
        Wait = "wait",
        /// None is due.
        NotDue = "not-due",
        /// Nothing that happens by itself leads to one (`waits-for`).
        Refuse = "refuse",
    }
}

words! {
    /// The `word` of an observation of the daemon or of this computer: nothing is known between
    /// `since` and the row's own time.
    new = "treat as a gap without a reason";
    GapWord {
        /// The daemon began, for the first time or after it was stopped at `since`.
        Started = "started",
        /// The daemon began after an end that nobody saw; `since` is when it last noted anything.
        Restarted = "restarted",
        /// The daemon was stopped.
        Stopped = "stopped",
        /// This computer was asleep.
        Asleep = "asleep",
        /// This computer's clock was set forward.
        ClockSet = "clock-set",
        /// So much changed that no more is kept, until the next row.
        TooMany = "too-many",
    }
}
