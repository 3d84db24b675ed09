//! Views in, text out: pure, and each one a snapshot test.

mod backups;
mod conditions;
mod doctor;
mod error;
mod events;
mod outcome;
mod progress;
mod status;
mod table;
mod waits;
mod why;

pub use backups::{BackupsView, PhoneBackups, render as backups};
pub use doctor::{DoctorView, OwnCheck, render as doctor};
pub use error::render as error;
pub use events::{attention, job_line, manager_line, phone_line};
pub use outcome::{
    finished, phrase as outcome_phrase, remedy as outcome_remedy, took as attempt_took,
};
pub use progress::{bar, line as progress_line, prompt, short as progress_short};
pub use status::{StatusView, render as status};
pub use why::{WhyView, render as why, sentence as why_sentence};
