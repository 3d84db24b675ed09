//! Views in, text out: pure, and each one a snapshot test.

mod account;
mod attention;
mod backups;
mod conditions;
mod doctor;
mod encryption;
mod error;
mod events;
mod explain;
mod files;
mod history;
mod icloud;
mod jobs;
mod keeping;
mod night;
mod outcome;
mod pairing;
mod policy;
mod progress;
mod restore;
mod status;
mod storage;
mod store;
mod table;
mod timeline;
mod waits;
mod why;

pub use account::sentence as night_sentence;
pub use attention::{Cause, Message, Urgency, test_sent};
pub use backups::{BackupsView, PhoneBackups, render as backups};
pub use doctor::{DoctorView, OwnCheck, found as check_detail, render as doctor};
pub use encryption::{
    FullAgain, SheetView, backup_of, before_change, before_encryption, before_plain,
    encryption_changed, encryption_on, forgotten, sheet, short_keybag,
};
pub use error::render as error;
pub use events::{attention, job_line, manager_line, phone_line};
pub use explain::render as explained;
pub use files::{FileRow, Listed, Listing, exported, listing, refused, unpacked};
pub use history::{HistoryView, render as history};
pub use icloud::render as icloud;
pub use keeping::{
    RemovalView, after_damage, before_forgetting, before_removal, damage, forgotten_phone, removed,
    replaced, retired, sound,
};
pub use night::{NightView, missed, nights, render as night};
pub use outcome::{
    finished, phrase as outcome_phrase, phrase_of, remedy as outcome_remedy, remedy_of,
    took as attempt_took,
};
pub use pairing::{
    automatic_is_on, before_unpairing, first_backup, first_backup_hint, first_backup_later,
    foreign_password, paired, passcode_forgotten, recommend_encryption,
};
pub use policy::{PolicyReport, render as policy, set as policy_set};
pub use progress::{bar, line as progress_line, prompt, short as progress_short};
pub use restore::{RestoreView, before_restore, restored};
pub use status::{StatusView, render as status, trouble};
pub use storage::{StorageReport, quota_set, render as storage};
pub use store::{
    AdoptionView, adopted, before_adoption, before_move, place, shell_place, store_moved,
    store_remedy, store_used,
};
pub use timeline::{TimelineView, render as timeline};
pub use why::{WhyView, render as why, sentence as why_sentence};
