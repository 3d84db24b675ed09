//! Typed snapshots of what the bus holds, read leniently; and the rows' dictionaries, written.
//!
//! Each key is spelled in one place, beside the field it fills, so the daemon that writes a row
//! and the client that reads it cannot disagree.

mod manager;
mod observation;
mod phone;
mod policy;
mod rows;
mod storage;

pub use manager::{JobView, ManagerView};
pub use observation::ObservationView;
pub use phone::{ConditionView, Conditions, PhoneView, conditions_to_dicts};
pub use policy::PolicyView;
pub use rows::{AttemptView, BackupView, CheckView, CompletedView};
pub use storage::StorageView;
