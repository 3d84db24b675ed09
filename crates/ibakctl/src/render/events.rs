//! Lines of `ibakctl watch`.

use super::attention::Cause;
use super::jobs::noun;
use super::{outcome, progress};
use crate::moment;
use crate::select::shown_name;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::Lookup;
use ibak_dbus::views::{CompletedView, JobView, ManagerView, PhoneView};
use ibak_dbus::words::{JobKind, ManagerMode, Outcome, PhoneState, StorageState};

fn stamped(text: &str, style: &Style) -> String {
    format!(
        "{}  {text}\n",
        style.tone(Tone::Dim, &moment::clock_with_seconds(style))
    )
}

/// Says what the daemon as a whole is doing.
pub fn manager_line(manager: &ManagerView, style: &Style) -> String {
    let mode = match &manager.mode {
        ManagerMode::Automatic => "automatic backups are on".to_owned(),
        ManagerMode::Paused => match manager.paused_until {
            Some(until) => format!(
                "automatic backups are paused until {}",
                moment::exact(until, style)
            ),
            None => "automatic backups are paused until you resume them".to_owned(),
        },
        ManagerMode::Other(word) => format!("mode {}", text::escape(word, style)),
    };
    let store = match &manager.storage_state {
        StorageState::Ok => format!("{} free in the store", text::bytes(manager.storage_free)),
        StorageState::Low => format!(
            "the store is nearly full, {} free",
            text::bytes(manager.storage_free)
        ),
        StorageState::Full => "the store is full".to_owned(),
        StorageState::Unavailable => "the store cannot be used".to_owned(),
        StorageState::Unknown | StorageState::Other(_) => {
            "the store has not been looked at yet".to_owned()
        }
    };
    stamped(&format!("{mode}; {store}"), style)
}

/// Says what a phone is doing.
pub fn phone_line(phone: &PhoneView, style: &Style) -> String {
    let waits = match phone.state {
        PhoneState::Waiting if !phone.waits_for.is_empty() => {
            let clauses: Vec<String> = phone
                .waits_for
                .iter()
                .map(|word| super::waits::waits(word, phone, style))
                .collect();
            format!(" {}", text::join(&clauses))
        }
        PhoneState::Waiting
        | PhoneState::Absent
        | PhoneState::Untrusted
        | PhoneState::Settling
        | PhoneState::Asking
        | PhoneState::BackingUp
        | PhoneState::Committing
        | PhoneState::Idle
        | PhoneState::BackingOff
        | PhoneState::Paused
        | PhoneState::Other(_) => String::new(),
    };
    stamped(
        &format!(
            "{}: {}{waits}",
            shown_name(phone, style),
            text::escape(phone.state.as_str(), style)
        ),
        style,
    )
}

/// Says how far a job is, or how it ended.
pub fn job_line(
    job: &JobView,
    phone: Option<&PhoneView>,
    completed: Option<&CompletedView>,
    style: &Style,
) -> String {
    let name = match (phone, &job.kind) {
        (Some(phone), _) => shown_name(phone, style),
        (None, JobKind::MoveStore) => "the store".to_owned(),
        (None, _) => "a phone".to_owned(),
    };
    let kind = noun(&job.kind, style);
    let what = match &job.result {
        Some(Outcome::Succeeded) => match completed {
            // A check counts what it read in its own words, and may have nothing to count.
            Some(done) if done.files == 0 => format!("{kind} worked"),
            Some(done) => format!(
                "{kind} worked: {}, {}",
                text::bytes(done.bytes),
                text::count(done.files, "file", "files")
            ),
            None => format!("{kind} worked"),
        },
        Some(result) => format!("{kind} {}", outcome::phrase_of(&job.kind, result)),
        None => format!("{kind} {}", progress::line(job, style).trim_end()),
    };
    stamped(&format!("{name}: {}", text::escape(&what, style)), style)
}

/// Says what somebody should look at.
pub fn attention<D: Lookup>(cause: &Cause<'_, D>, style: &Style) -> String {
    stamped(&style.tone(Tone::Wary, &cause.clause(style)), style)
}
