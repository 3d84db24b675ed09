//! Views in, text out: pure, and each one a snapshot test.

mod backups;
mod conditions;
mod doctor;
mod encryption;
mod error;
mod events;
mod files;
mod icloud;
mod outcome;
mod pairing;
mod progress;
mod restore;
mod status;
mod table;
mod waits;
mod why;

pub use backups::{BackupsView, PhoneBackups, render as backups};
pub use doctor::{DoctorView, OwnCheck, render as doctor};
pub use encryption::{
    FullAgain, SheetView, backup_of, before_change, before_encryption, before_plain,
    encryption_changed, encryption_on, forgotten, sheet, short_keybag,
};
pub use error::render as error;
pub use events::{attention, job_line, manager_line, phone_line};
pub use files::{FileRow, Listed, Listing, exported, listing, refused, unpacked};
pub use icloud::render as icloud;
pub use outcome::{
    finished, phrase as outcome_phrase, phrase_of, remedy as outcome_remedy, remedy_of,
    took as attempt_took,
};
pub use pairing::{
    automatic_is_on, before_unpairing, first_backup, first_backup_hint, first_backup_later,
    foreign_password, paired, passcode_forgotten, recommend_encryption,
};
pub use progress::{bar, line as progress_line, prompt, short as progress_short};
pub use restore::{RestoreView, before_restore, restored};
pub use status::{StatusView, render as status};
pub use why::{WhyView, render as why, sentence as why_sentence};
