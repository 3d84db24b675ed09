//! What is true about a phone, and what to do about it.
//!
//! Pure: no IO, no async, no clock, no serde. Time comes in as [`Now`]; facts come in as
//! [`Observation`]s; what the shell shall do comes out as values. Every decision the daemon
//! will ever make can be read here, next to the table that tests it.
//!
//! Read [`condition`] and [`decision`] for what is decided, [`machine`] for when.

mod attention;
pub mod condition;
mod consent;
pub mod decision;
pub mod effect;
pub mod event;
mod facts;
mod forecast;
mod hold;
mod host;
mod ids;
mod interruption;
pub mod machine;
mod observation;
pub mod outcome;
mod passcode;
mod path;
pub mod plist_guard;
pub mod policy;
mod restore;
pub mod retention;
mod secret;
mod snapshot;
pub mod store;
mod time;
mod upkeep;
pub mod view;
mod window;
mod zone;

pub use attention::{Attention, AttentionKind, StoreComplaint, Topic};
pub use condition::{Condition, ConditionState, Conditions, Met, Status, Unknown, Unmet, Verdict};
pub use consent::{ASK_SETTLE_MAX, Asked, IN_HAND_FOR, PRESENT_AFTER, SCREEN_SEEN_WITHIN};
pub use decision::{Decision, Demand, decide, decide_for};
pub use effect::{
    Answer, Effect, Errand, ErrorName, JobKind, RefreshWhy, RequestError, Signal, StartJob,
    StopWhy, Trigger,
};
pub use event::{
    Asking, Automatic, Calendar, Event, Extent, HouseMemory, Identity, LastAsked, MuxerState,
    Pause, Phase, PhoneMemory, Progress, Request, RequestId, Told, When,
};
pub use forecast::forecast;
pub use hold::{Hold, Refusal};
pub use host::{Host, HostNetwork};
pub use ids::{BackupId, Bytes, IdError, JobId, Udid};
pub use interruption::Interruption;
pub use machine::{DEADLINE_MAX, JOB_KEPT, Machine, PHONES_MAX, READERS_MAX, RELOAD_MAX};
pub use observation::{Fact, Observation, Source, Transport};
pub use outcome::{Failure, JobResult, JobState, LastResult, Outcome, Retry};
pub use passcode::Passcode;
pub use path::{BackupPath, PathError};
pub use policy::{
    AskPolicy, Backoff, Cadence, HostPower, LossTable, Need, OnLoss, Policies, Policy, PolicyError,
    WifiNeed,
};
pub use restore::{RestoreSource, RestoreTarget, restore_refused};
pub use retention::{ClockTrust, Day, Keep};
pub use secret::Secret;
pub use snapshot::{BackingOff, Due, Reach, Slot, Snapshot, Trust};
pub use store::{
    BackupFacts, Basis, Estimate, PhoneBackups, PhoneShare, Room, StorageState, StoreNumbers,
    StoreObservation, StoreReport, StoreTrouble, estimate,
};
pub use time::{Monotonic, Now, Wall};
pub use upkeep::{Upkeep, scrub_is_due};
pub use view::{HouseView, JobView, PhoneState, PhoneView, View};
pub use window::{Opening, WINDOWS_MAX, Window, WindowError, Windows};
pub use zone::{CHANGES_MAX, Civil, Zone};
